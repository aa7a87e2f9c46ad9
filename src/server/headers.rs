//! What the pages' answers tell browsers to keep to.

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use super::hosts;
use super::tls::Shown;

/// Plain ES modules, the camera, the microphone and a WebSocket; nothing from elsewhere, nothing inline. `ws:` and `wss:`
/// beside 'self': not every browser counts them to it.
const CALL_PAGE: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
    media-src 'self' blob: mediastream:; connect-src 'self' ws: wss:; font-src 'self'; manifest-src 'self'; \
    worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors";
/// Of a page without scripts.
pub const PLAIN_PAGE: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What a page may ask the browser for: no more than a call takes.
const PERMISSIONS: &str = "camera=(self), microphone=(self), accelerometer=(), display-capture=(), \
    geolocation=(), gyroscope=(), hid=(), magnetometer=(), midi=(), payment=(), serial=(), usb=()";
/// The same for one that asks for nothing.
pub const NO_PERMISSIONS: &str = "camera=(), microphone=(), geolocation=(), display-capture=(), payment=(), usb=()";

/// Browsers come over TLS only for a year after each visit (RFC 6797). For this one name, since what its neighbours do is
/// not ours to say.
const STRICT: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// For every page: no guesses at types, no address to whoever a link leads to, apart from windows of other sites, and no
/// part of it in theirs.
pub const EVERYWHERE: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];
pub const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// Those of the call page.
#[derive(Clone)]
pub struct Headers {
    policy: HeaderValue,
    shown: Option<Shown>,
}

impl Headers {
    /// `frames`: sites whose pages may show ours in a frame, none by default.
    pub fn new(frames: &[String], shown: Option<Shown>) -> Headers {
        let frames = if frames.is_empty() { "'none'".to_owned() } else { frames.join(" ") };
        let policy = HeaderValue::from_str(&format!("{CALL_PAGE} {frames}"));
        // The configuration lets none through that is no header; without a policy of its own a page is in no frame.
        Headers { policy: policy.unwrap_or(HeaderValue::from_static(PLAIN_PAGE)), shown }
    }

    /// Whether only TLS will do for the host that was asked for. Not where browsers were told to trust the local
    /// authority: with a new one, or none, they would stand before a closed door for a year.
    fn is_strict(&self, host: Option<&HeaderValue>) -> bool {
        let host = host.and_then(|host| host.to_str().ok());
        self.shown.as_ref().is_some_and(|shown| host.is_some_and(|host| shown.is_public(&hosts::name(host))))
    }
}

pub async fn add(State(headers): State<Headers>, request: Request, next: Next) -> Response {
    let strict = headers.is_strict(request.headers().get(header::HOST));
    let mut response = next.run(request).await;
    let given = response.headers_mut();
    for (name, value) in EVERYWHERE.into_iter().chain([(PERMISSIONS_POLICY, PERMISSIONS)]) {
        given.entry(name).or_insert(HeaderValue::from_static(value));
    }
    given.entry(header::CONTENT_SECURITY_POLICY).or_insert(headers.policy);
    if strict {
        given.insert(header::STRICT_TRANSPORT_SECURITY, STRICT);
    }
    response
}

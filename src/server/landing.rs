//! The plain-HTTP page that says how to trust the local certificate authority, and hands it out. It has no scripts, so
//! that it works in whatever a person happens to have in the hand.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;

use super::tls::CaInfo;
use super::{headers, hosts};

const PAGE: &str = include_str!("landing.html");
const STYLE: &str = include_str!("landing.css");

/// The landing page; the call page is on `port` of the same host. Whoever asks for one of the names in `public` is sent
/// there, since a public authority vouches for those.
pub fn router(ca: CaInfo, port: u16, public: Vec<String>) -> Router {
    Router::new()
        .route("/", get(landing))
        .route("/landing.css", get(async || ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)))
        .route("/ca.crt", get(certificate))
        .route("/ca.pem", get(certificate_pem))
        .fallback(async || (StatusCode::NOT_FOUND, "there is nothing at this address\n"))
        .with_state((ca, port))
        .layer(middleware::from_fn_with_state((Arc::from(public), port), trusted_elsewhere))
        .layer(middleware::map_response(with_headers))
}

async fn trusted_elsewhere(
    State((public, port)): State<(Arc<[String]>, u16)>,
    request: Request,
    next: Next,
) -> Response {
    match requested_host(request.headers()).is_some_and(|host| public.contains(&hosts::name(host))) {
        true => same_place("https", Some(port), request.headers(), request.uri()),
        false => next.run(request).await,
    }
}

async fn with_headers(mut response: Response) -> Response {
    let own = [
        (header::CONTENT_SECURITY_POLICY, headers::PLAIN_PAGE),
        (headers::PERMISSIONS_POLICY, headers::NO_PERMISSIONS),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    for (name, value) in headers::EVERYWHERE.into_iter().chain(own) {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Sends everybody to the same path in another scheme and, where given, at another port.
/// Not for ever: TLS may be switched off one day.
pub fn redirect(scheme: &'static str, port: Option<u16>) -> Router {
    Router::new().fallback(async move |headers: HeaderMap, uri: Uri| same_place(scheme, port, &headers, &uri))
}

fn same_place(scheme: &str, port: Option<u16>, headers: &HeaderMap, uri: &Uri) -> Response {
    let Some(host) = requested_host(headers) else {
        return (StatusCode::BAD_REQUEST, "this port speaks HTTPS\n").into_response();
    };
    let authority = match port {
        Some(port) => format!("{}:{port}", without_port(host)),
        None => host.to_owned(),
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Redirect::temporary(&format!("{scheme}://{authority}{path}")).into_response()
}

async fn landing(State((ca, port)): State<(CaInfo, u16)>, headers: HeaderMap) -> Response {
    let Some(host) = requested_host(&headers) else {
        return (StatusCode::BAD_REQUEST, "the request names no host\n").into_response();
    };
    let page = format!("https://{}:{port}/", without_port(host));
    Html(PAGE.replace("{{page}}", &page).replace("{{fingerprint}}", &ca.fingerprint)).into_response()
}

async fn certificate(State((ca, _)): State<(CaInfo, u16)>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/x-x509-ca-cert"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"callbox-ca.crt\""),
    ];
    (headers, ca.der).into_response()
}

async fn certificate_pem(State((ca, _)): State<(CaInfo, u16)>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/x-pem-file"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"callbox-ca.pem\""),
    ];
    (headers, ca.pem).into_response()
}

/// The host that the client asked for, if it is made of nothing but what hosts are made of: it goes into HTML and into
/// a header.
fn requested_host(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:[]".contains(&b);
    (!host.is_empty() && host.bytes().all(plain)).then_some(host)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

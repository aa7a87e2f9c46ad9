//! From an HTTP request to a WebSocket (RFC 6455, section 4.2), and why not.

use std::sync::Arc;

use axum::Json;
use axum::extract::Request;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::access::{Access, Asked, Shown, Visit, Way, bearer};
use super::complaints::Complaints;
use super::connection::Connection;
use super::exchange::Shared;
use super::hosts::Hosts;
use super::lingering::Lingering;
use super::listen::{Peer, Tasks};
use super::proxies::Proxies;
use crate::logic::access::Pass;
use crate::logic::hub::Origin;
use crate::protocol::CHALLENGE;

/// What a WebSocket needs of the server.
#[derive(Clone)]
pub struct Doors {
    pub shared: Arc<Shared>,
    pub tasks: Tasks,
    pub hosts: Arc<Hosts>,
    pub proxies: Arc<Proxies>,
    pub complaints: Arc<Complaints>,
    /// What the device that embeds this server shows to have the place that is kept for it.
    pub pass: Arc<str>,
    pub access: Access,
    /// How pages reach this server, unless a proxy says otherwise.
    pub way: Way,
}

impl Doors {
    /// Whom a request comes from.
    pub fn origin(&self, headers: &HeaderMap, peer: Option<Peer>) -> Origin {
        match peer {
            Some(peer) => self.proxies.origin(peer, headers),
            None => Origin::Local,
        }
    }

    /// How its page was reached.
    pub fn way(&self, headers: &HeaderMap, peer: Option<Peer>) -> Way {
        match peer {
            Some(peer) if self.proxies.came_over_tls(peer, headers) => Way::Tls,
            Some(_) | None => self.way,
        }
    }
}

/// Why a request does not become a WebSocket. The page asks by a plain request, and finds the name in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    BadHost,
    BadOrigin,
    ServerFull,
    NotAWebSocket,
    /// What was shown lets nobody in.
    Unauthorized,
    TooManyAttempts,
    /// Nobody can tell now what was shown is worth.
    Unavailable,
}

impl Refused {
    pub fn status(self) -> StatusCode {
        match self {
            Refused::BadHost | Refused::BadOrigin => StatusCode::FORBIDDEN,
            Refused::ServerFull => StatusCode::SERVICE_UNAVAILABLE,
            Refused::NotAWebSocket => StatusCode::UPGRADE_REQUIRED,
            Refused::Unauthorized => StatusCode::UNAUTHORIZED,
            Refused::TooManyAttempts => StatusCode::TOO_MANY_REQUESTS,
            Refused::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Refused::BadHost => "badHost",
            Refused::BadOrigin => "badOrigin",
            Refused::ServerFull => "serverFull",
            Refused::NotAWebSocket => "notAWebSocket",
            Refused::Unauthorized => "unauthorized",
            Refused::TooManyAttempts => "tooManyAttempts",
            Refused::Unavailable => "unavailable",
        }
    }

    /// For the person who reads it.
    pub fn message(self) -> &'static str {
        match self {
            Refused::BadHost => "this server does not go by that name; add it to [server] names if it should",
            Refused::BadOrigin => {
                "pages of other sites may not connect; behind a proxy, let it pass Host on unchanged or add the page's \
                 name to [server] names"
            }
            Refused::ServerFull => "the server is full; try again later",
            Refused::NotAWebSocket => "this address speaks WebSocket",
            Refused::Unauthorized => "you need an invitation, or a token that counts",
            Refused::TooManyAttempts => "too many wrong tries; wait a little",
            Refused::Unavailable => "the server's memory does not answer",
        }
    }
}

/// Whether the request asks for a WebSocket at all.
pub fn is_upgrade(request: &Request) -> bool {
    names(request.headers(), header::UPGRADE, "websocket")
}

/// Answers a request at an address where the WebSocket is.
pub async fn answer(mut request: Request, doors: &Doors) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    if is_upgrade(&request) {
        let headers = request.headers();
        let origin = headers.get(header::ORIGIN);
        let key = match doors.hosts.admit(headers, origin).map(|()| handshake(&request)) {
            Ok(Some(key)) => key,
            Ok(None) => return refuse(Refused::NotAWebSocket, headers, doors),
            Err(refused) => return refuse(refused, headers, doors),
        };
        return match caller(request.headers(), peer, doors).await {
            Ok(caller) => open(&mut request, &key, doors, caller),
            Err(refused) => refuse(refused, request.headers(), doors),
        };
    }
    let headers = request.headers();
    // A page's plain request to its own server carries no `Origin`; a page that asks why names its address in `Referer`.
    let origin = headers.get(header::ORIGIN).or(headers.get(header::REFERER));
    let asks_why = names(headers, header::ACCEPT, "application/json");
    let refused = match doors.hosts.admit(headers, origin) {
        Err(refused) if asks_why => refused,
        Ok(()) if asks_why && doors.shared.is_full() => Refused::ServerFull,
        Ok(()) if asks_why => match caller(headers, peer, doors).await {
            Ok(_) => Refused::NotAWebSocket,
            Err(refused) => refused,
        },
        Ok(()) | Err(_) => Refused::NotAWebSocket,
    };
    refuse(refused, request.headers(), doors)
}

/// In JSON for those who ask for it, and else in plain words.
fn refuse(refused: Refused, headers: &HeaderMap, doors: &Doors) -> Response {
    doors.complaints.refused(refused, headers);
    let upgrade = (refused == Refused::NotAWebSocket).then_some([(header::UPGRADE, "websocket")]);
    match names(headers, header::ACCEPT, "application/json") {
        true => {
            let body = json!({"error": {"code": refused.name(), "message": refused.message()}});
            (refused.status(), upgrade.unwrap_or([(header::VARY, "accept")]), Json(body)).into_response()
        }
        false => {
            let body = format!("{}\n", refused.message());
            (refused.status(), upgrade.unwrap_or([(header::VARY, "accept")]), body).into_response()
        }
    }
}

/// The client's key, if the handshake is sound.
fn handshake(request: &Request) -> Option<HeaderValue> {
    let headers = request.headers();
    let sound = request.method() == Method::GET
        && request.version() >= Version::HTTP_11
        && names(headers, header::CONNECTION, "upgrade")
        && headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version.as_bytes() == b"13");
    headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| sound).cloned()
}

/// Whoever asks for a WebSocket, and what lets them in.
struct Caller {
    origin: Origin,
    pass: Pass,
    visit: Option<Visit>,
    /// What may still be signed on this connection.
    asked: Option<Asked>,
}

async fn caller(headers: &HeaderMap, peer: Option<Peer>, doors: &Doors) -> Result<Caller, Refused> {
    if bearer(headers).is_some_and(|shown| shown == &*doors.pass) {
        return Ok(Caller { origin: Origin::Own, pass: doors.access.own_pass(), visit: None, asked: None });
    }
    let origin = doors.origin(headers, peer);
    match doors.access.shown(doors.way(headers, peer), headers, origin).await {
        Shown::Session(visit) => Ok(Caller { origin, pass: visit.pass.clone(), visit: Some(visit), asked: None }),
        Shown::Nothing => {
            let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
            let asked = doors.access.ask(host);
            Ok(Caller { origin, pass: doors.access.of_strangers(), visit: None, asked })
        }
        Shown::Wrong { slow: false } => Err(Refused::Unauthorized),
        Shown::Wrong { slow: true } => Err(Refused::TooManyAttempts),
        Shown::Unknown => Err(Refused::Unavailable),
    }
}

fn open(request: &mut Request, key: &HeaderValue, doors: &Doors, caller: Caller) -> Response {
    let upgrade = hyper::upgrade::on(&mut *request);
    let challenge = caller.asked.as_ref().and_then(|asked| HeaderValue::try_from(asked.challenge.to_string()).ok());
    let (shared, access) = (doors.shared.clone(), doors.access.clone());
    doors.tasks.spawn(async move {
        match upgrade.await {
            Ok(upgraded) => attend(upgraded, shared, access, caller).await,
            Err(error) => log::debug!(error:%; "a WebSocket did not come about"),
        }
    });
    let switching = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
    ];
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok();
    let accept = accept.map(|accept| [(header::SEC_WEBSOCKET_ACCEPT, accept)]);
    match accept {
        Some(accept) => {
            let mut response = (StatusCode::SWITCHING_PROTOCOLS, switching, accept).into_response();
            if let Some(challenge) = challenge {
                response.headers_mut().insert(CHALLENGE, challenge);
            }
            response
        }
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Serves one client over what is left when HTTP has done its part. What HTTP held is gone by then: its buffer alone is
/// more than a connection may cost.
async fn attend(upgraded: Upgraded, shared: Arc<Shared>, access: Access, caller: Caller) {
    let Some(wire) = Wire::of(upgraded) else { return };
    let line = shared.connect(caller.origin, caller.pass);
    let conn = line.id;
    access.enter(conn, caller.visit, caller.asked, &shared).await;
    match wire {
        Wire::Plain(stream, begun) => Connection::new(stream, begun, line, shared).attend().await,
        // Boxed, since what TLS keeps would make every task larger.
        Wire::Tls(stream, begun) => Box::pin(Connection::new(*stream, begun, line, shared).attend()).await,
    }
    access.leave(conn);
}

/// A connection, and what came on it right behind the request.
enum Wire {
    Plain(Lingering, Vec<u8>),
    Tls(Box<TlsStream<Lingering>>, Vec<u8>),
}

impl Wire {
    fn of(upgraded: Upgraded) -> Option<Wire> {
        match upgraded.downcast::<TokioIo<Lingering>>() {
            Ok(plain) => Some(Wire::Plain(plain.io.into_inner(), plain.read_buf.to_vec())),
            Err(upgraded) => {
                let tls = upgraded.downcast::<TokioIo<TlsStream<Lingering>>>().ok()?;
                Some(Wire::Tls(Box::new(tls.io.into_inner()), tls.read_buf.to_vec()))
            }
        }
    }
}

/// Whether a header that lists words has this one, as in `Accept: text/html, application/json;q=0.9`.
fn names(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|item| item.split(';').next().is_some_and(|item| item.trim().eq_ignore_ascii_case(word)))
}

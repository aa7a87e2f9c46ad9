//! The HTTP side: the call page's files out of the binary, the WebSocket at `/` and `/ws`, a health check.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::RustEmbed;

use super::access;
use super::headers::{self, Headers};
use super::socket::{self, Doors};

/// `web/` as it was at build time (in debug builds: as it is now).
#[derive(RustEmbed)]
#[folder = "web/"]
struct Files;

pub fn router(doors: Doors, headers: Headers) -> Router {
    Router::new()
        .route("/", get(root))
        .route("/ws", get(web_socket))
        .route("/healthz", get(async || "ok\n"))
        .merge(access::api::router())
        .fallback_service(get(file))
        .layer(axum::middleware::from_fn_with_state(headers, headers::add))
        .with_state(doors)
}

async fn root(State(doors): State<Doors>, request: Request) -> Response {
    match socket::is_upgrade(&request) {
        true => socket::answer(request, &doors).await,
        false => serve("index.html", request.headers()),
    }
}

async fn web_socket(State(doors): State<Doors>, request: Request) -> Response {
    socket::answer(request, &doors).await
}

async fn file(uri: Uri, headers: HeaderMap) -> Response {
    serve(uri.path().trim_start_matches('/'), &headers)
}

/// Names are looked up in a fixed table; what is not in it, `..` for one, does not exist.
fn serve(path: &str, headers: &HeaderMap) -> Response {
    let found = content_type(path).and_then(|kind| Some((kind, Files::get(path)?)));
    let Some((kind, file)) = found else {
        return (StatusCode::NOT_FOUND, "there is nothing at this address\n").into_response();
    };
    let hash: String = file.metadata.sha256_hash().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{hash}\"");
    let cache = [(header::CACHE_CONTROL, "no-cache".to_owned()), (header::ETAG, tag.clone())];
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known.is_some_and(|known| known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag)) {
        return (StatusCode::NOT_MODIFIED, cache).into_response();
    }
    (cache, [(header::CONTENT_TYPE, kind)], file.data.into_owned()).into_response()
}

/// What the page may consist of; other files in `web/` are not served.
fn content_type(path: &str) -> Option<&'static str> {
    let (_, extension) = path.rsplit_once('.')?;
    Some(match extension {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "webmanifest" => "application/manifest+json",
        "woff2" => "font/woff2",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "wav" => "audio/wav",
        _ => return None,
    })
}

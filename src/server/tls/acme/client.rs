//! HTTPS to the certificate authority: one request a connection, HTTP/1.1, bounded in time and size. The only requests
//! that this server ever makes of others.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::body::{Body, to_bytes};
use axum::http::header::{self, HeaderValue};
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{Request, Response, Uri};
use bytes::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::TlsError;
use crate::base::lock::lock;
use crate::base::text;

/// One request, from the look-up of the name to the end of the answer.
const REQUEST: Duration = Duration::from_secs(60);
/// One address of several may be dead.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest answer; a chain of certificates has some 6 kB. A longer one is an error.
const MAX_ANSWER: usize = 256 * 1024;

/// What the authority said beside its answers.
#[derive(Clone, Debug, Default)]
pub struct Heard(Arc<Mutex<Remarks>>);

#[derive(Debug, Default)]
struct Remarks {
    anything: bool,
    retry_after: Option<Duration>,
}

impl Heard {
    /// To be called before an attempt.
    pub fn forget(&self) {
        *lock(&self.0) = Remarks::default();
    }

    /// Whether there was any answer.
    pub fn anything(&self) -> bool {
        lock(&self.0).anything
    }

    /// The longest `Retry-After` of its refusals.
    pub fn retry_after(&self) -> Option<Duration> {
        lock(&self.0).retry_after
    }

    fn note<T>(&self, response: &Response<T>) {
        let mut remarks = lock(&self.0);
        remarks.anything = true;
        let status = response.status();
        if status.is_client_error() || status.is_server_error() {
            let told = response.headers().get(header::RETRY_AFTER).and_then(|value| delay(value, SystemTime::now()));
            remarks.retry_after = remarks.retry_after.max(told);
        }
    }
}

/// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.
fn delay(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(SystemTime::from(date).duration_since(now).unwrap_or_default())
}

#[derive(Clone)]
pub struct Client {
    tls: TlsConnector,
    heard: Heard,
}

impl Client {
    /// Believes the system's authorities, or those in `ca_file` only.
    pub fn new(ca_file: Option<&Path>, heard: Heard) -> Result<Client, TlsError> {
        let mut roots = RootCertStore::empty();
        match ca_file {
            Some(path) => {
                let count = roots.add_parsable_certificates(read(path)?).0;
                if count == 0 {
                    return Err(TlsError::NoAuthority { path: path.to_owned() });
                }
            }
            None => {
                let system = rustls_native_certs::load_native_certs();
                for error in &system.errors {
                    log::debug!("a system certificate was skipped: {error}");
                }
                roots.add_parsable_certificates(system.certs);
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Make(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Client { tls: TlsConnector::from(Arc::new(config)), heard })
    }

    async fn exchange(&self, request: Request<BodyWrapper<Bytes>>) -> io::Result<Response<Bytes>> {
        let (mut parts, body) = request.into_parts();
        let not_https = || io::Error::other(format!("{} is no https:// address", parts.uri));
        let authority = match (parts.uri.scheme(), parts.uri.authority()) {
            (Some(scheme), Some(authority)) if *scheme == Scheme::HTTPS => authority.clone(),
            _ => return Err(not_https()),
        };
        let stream = self.connect(&authority).await?;
        // In the form for the server itself (RFC 9112, section 3.2.1).
        let host = HeaderValue::from_str(authority.as_str()).map_err(io::Error::other)?;
        parts.headers.insert(header::HOST, host);
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        let path = parts.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        parts.uri = Uri::from(path);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let answer = async {
            let response = sender.send_request(Request::from_parts(parts, body)).await.map_err(io::Error::other)?;
            self.heard.note(&response);
            let (parts, body) = response.into_parts();
            let body = to_bytes(Body::new(body), MAX_ANSWER).await.map_err(io::Error::other)?;
            Ok(Response::from_parts(parts, body))
        };
        tokio::pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            // Where the connection is over, what it brought is there.
            _ = connection => answer.await,
        }
    }

    /// Tries one address after the other.
    async fn connect(&self, authority: &Authority) -> io::Result<TlsStream<TcpStream>> {
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let mut last = io::Error::other(format!("{host} has no address"));
        for address in lookup_host((host, authority.port_u16().unwrap_or(443))).await? {
            match timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return self.tls.connect(name, stream).await,
                Ok(Err(error)) => last = io::Error::new(error.kind(), format!("{address}: {error}")),
                Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not answer")),
            }
        }
        Err(last)
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move {
            match timeout(REQUEST, client.exchange(request)).await {
                Ok(Ok(response)) => {
                    let (parts, body) = response.into_parts();
                    Ok(BytesResponse { parts, body: Box::new(body) })
                }
                Ok(Err(error)) => Err(Error::Other(Box::new(error))),
                Err(_) => Err(Error::Other(format!("no answer within {} s", REQUEST.as_secs()).into())),
            }
        })
    }
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let path = || PathBuf::from(path);
    let pem = std::fs::read(path()).map(text::utf8_where_text);
    let pem = pem.map_err(|error| TlsError::Read { path: path(), key: "acme.ca_file", error })?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>();
    certificates.map_err(|_| TlsError::NoAuthority { path: path() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let told = |text: &str| delay(&HeaderValue::from_str(text).unwrap(), now);
        assert_eq!(told("120"), Some(Duration::from_secs(120)));
        assert_eq!(told("Fri, 15 Jan 2027 08:01:00 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(told("Wed, 01 Jan 2020 00:00:00 GMT"), Some(Duration::ZERO));
        for senseless in ["", "soon", "-5", "99999999999999999999999"] {
            assert_eq!(told(senseless), None, "{senseless}");
        }
    }
}

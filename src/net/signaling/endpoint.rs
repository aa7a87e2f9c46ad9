//! From a URL to an open WebSocket: name, addresses, TCP, TLS, HTTP. The words for what can go wrong on the way are here.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Error, error::ProtocolError};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use super::SignalingError;
use super::client::Connect;
use crate::base::lock::lock;
use crate::net::connect::{Failed, first, interleave};
use crate::net::trust;
use crate::protocol::{CHALLENGE, Challenge, MAX_MESSAGE_BYTES};

/// Asking for the addresses; the system's resolver has its own time-outs, which may be longer.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connecting, TLS and the WebSocket handshake together, at all addresses.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Endpoint {
    request: Request,
    /// `host:port` of the URL.
    host: String,
    /// Connect here instead.
    address: Option<SocketAddr>,
    tls: Arc<rustls::ClientConfig>,
    /// Addresses on which a connection came to nothing after it was made, the latest last: they are tried after the others.
    broken: Vec<SocketAddr>,
}

impl Endpoint {
    pub(super) fn new(
        url: &str,
        address: Option<SocketAddr>,
        token: Option<&str>,
        tls: Arc<rustls::ClientConfig>,
    ) -> Result<Endpoint, SignalingError> {
        let bad_url = || SignalingError::BadUrl(url.to_owned());
        let mut request = url.into_client_request().map_err(|_| bad_url())?;
        if let Some(token) = token {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut value = value.map_err(|_| SignalingError::BadToken)?;
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let uri = request.uri();
        let port = match (uri.port_u16(), uri.scheme_str()) {
            (Some(port), Some("ws" | "wss")) => port,
            (None, Some("ws")) => 80,
            (None, Some("wss")) => 443,
            _ => return Err(bad_url()),
        };
        let host = format!("{}:{port}", uri.host().ok_or_else(bad_url)?);
        Ok(Endpoint { request, host, address, tls, broken: Vec::new() })
    }

    /// The name by which we call the server.
    pub(super) fn name(&self) -> String {
        let name = self.request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        name.unwrap_or(&self.host).to_owned()
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, SignalingError> {
        if let Some(address) = self.address {
            return Ok(vec![address]);
        }
        let unreachable = |error| SignalingError::Unreachable { address: self.host.clone(), error };
        let found = match timeout(RESOLVE_TIMEOUT, lookup_host(&self.host)).await {
            Ok(found) => found.map_err(unreachable)?,
            Err(_) => {
                let detail = format!("no name server answered within {} s", RESOLVE_TIMEOUT.as_secs());
                return Err(unreachable(io::Error::new(io::ErrorKind::TimedOut, detail)));
            }
        };
        let mut addresses = interleave(found);
        addresses.sort_by_key(|address| self.broken.iter().position(|broken| broken == address).map_or(0, |at| at + 1));
        Ok(addresses)
    }

    fn broke(&mut self, address: SocketAddr) {
        self.broken.retain(|broken| *broken != address);
        self.broken.push(address);
    }
}

impl Connect for Endpoint {
    type Io = MaybeTlsStream<TcpStream>;

    async fn connect(&mut self) -> Result<(WebSocketStream<Self::Io>, Option<Challenge>), SignalingError> {
        let addresses = self.addresses().await?;
        let reached = Mutex::new(Vec::new());
        let shake = |address, stream| {
            lock(&reached).push(address);
            let tls = Connector::Rustls(self.tls.clone());
            client_async_tls_with_config(self.request.clone(), stream, Some(configuration()), Some(tls))
        };
        let opened = timeout(CONNECT_TIMEOUT, first(&addresses, open, shake)).await;
        // Whoever took a connection and made nothing of it has its turn after the others next time.
        let reached = reached.into_inner().unwrap_or_default();
        let opened = match opened {
            Ok(Ok((address, (socket, response)))) => {
                self.broken.retain(|broken| *broken != address);
                let challenge = response.headers().get(CHALLENGE).and_then(|text| text.to_str().ok()?.parse().ok());
                return Ok((socket, challenge));
            }
            Ok(Err(failed)) => Err(failed),
            Err(_) => Ok(SignalingError::NoAnswer { address: self.host.clone(), within: CONNECT_TIMEOUT }),
        };
        reached.into_iter().for_each(|address| self.broke(address));
        Err(match opened {
            Ok(error) => error,
            Err(Failed::Handshake(_, error)) => handshake_error(error),
            Err(Failed::Connect(refused)) => {
                let error = refused.map_or_else(|| io::Error::other("the name has no address"), |(_, error)| error);
                SignalingError::Unreachable { address: self.host.clone(), error }
            }
        })
    }
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn configuration() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(8 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * MAX_MESSAGE_BYTES)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
}

fn handshake_error(error: Error) -> SignalingError {
    SignalingError::WebSocket(match error {
        Error::Http(response) => match response.status().as_u16() {
            401 | 403 => format!("the server does not let us in ({}): check the token", response.status()),
            404 => "there is no signaling server at this path (404)".to_owned(),
            301 | 302 | 307 | 308 => {
                let target = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
                format!(
                    "the server wants another URL ({}): write that one, with ws:// or wss://",
                    target.unwrap_or("it does not say which")
                )
            }
            _ => format!("the server answered {}", response.status()),
        },
        Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => return SignalingError::Tls(trust::explain(error)),
            None => format!("the handshake failed: {error}"),
        },
        Error::Tls(tungstenite::error::TlsError::Rustls(error)) => return SignalingError::Tls(trust::explain(&error)),
        Error::Tls(tungstenite::error::TlsError::InvalidDnsName) => {
            return SignalingError::Tls(
                "TLS knows no such host name: write the server's name or address as its certificate has it".to_owned(),
            );
        }
        Error::Protocol(ProtocolError::HandshakeIncomplete) => {
            "the server closed the connection during the handshake: if it wants TLS, the URL begins with wss://"
                .to_owned()
        }
        Error::HttpFormat(_) | Error::Protocol(_) => {
            format!("no WebSocket server answers there ({error}): if it wants TLS, the URL begins with wss://")
        }
        other => other.to_string(),
    })
}

pub(super) fn socket_error(error: Error) -> SignalingError {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => SignalingError::Closed("no reason given".into()),
        Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => SignalingError::Tls(trust::explain(error)),
            None => SignalingError::WebSocket(error.to_string()),
        },
        other => SignalingError::WebSocket(other.to_string()),
    }
}

//! A WebSocket client for tests: says what it is told to and waits for what it expects, within a bound.

use std::net::SocketAddr;
use std::time::Duration;

use callbox::server::{Server, ServerSettings};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// No wait in these tests is longer.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub fn settings() -> ServerSettings {
    ServerSettings::new("127.0.0.1:0".parse().unwrap())
}

pub async fn start() -> Server {
    Server::start(settings()).await.unwrap()
}

pub struct Client {
    pub socket: WebSocketStream<TcpStream>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Client {
        Client::connect_to(address, "/ws").await
    }

    pub async fn connect_to(address: SocketAddr, path: &str) -> Client {
        let stream = TcpStream::connect(address).await.unwrap();
        let (socket, _) = client_async(format!("ws://{address}{path}"), stream).await.unwrap();
        Client { socket }
    }

    /// Connects, joins, and has read `joined`.
    pub async fn join(address: SocketAddr, id: &str) -> Client {
        let mut client = Client::connect(address).await;
        client.say(json!({"type": "join", "userId": id})).await;
        client.hear("joined").await;
        client
    }

    pub async fn say(&mut self, value: Value) {
        self.say_text(&value.to_string()).await;
    }

    pub async fn say_text(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    pub async fn send(&mut self, message: Message) {
        tokio::time::timeout(PATIENCE, self.socket.send(message)).await.expect("sends in time").unwrap();
    }

    /// The next JSON message.
    pub async fn next(&mut self) -> Value {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("hears something in time");
            match message.expect("is not at its end").unwrap() {
                Message::Text(text) => return serde_json::from_str(text.as_str()).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next message of this type; others are passed over.
    pub async fn hear(&mut self, kind: &str) -> Value {
        loop {
            let message = self.next().await;
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// Reads to the close frame.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("is closed in time");
            match message {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(_)) => {}
                other => panic!("the connection ended without a close code: {other:?}"),
            }
        }
    }

    /// Asserts that the server still answers this client, and that nothing else was waiting for it.
    pub async fn is_well(&mut self) {
        self.say(json!({"type": "offer", "targetId": "nobody is called so", "offer": {"type": "offer", "sdp": ""}}))
            .await;
        let answer = self.next().await;
        assert!(answer["type"] == "error" && answer["targetId"] == "nobody is called so", "{answer}");
    }

    pub async fn close(mut self) {
        match self.socket.close(None).await {
            Ok(()) | Err(Error::ConnectionClosed) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

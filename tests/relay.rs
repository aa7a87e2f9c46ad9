//! The plain relay that other tests call through is itself what it says.

#[path = "common/relay.rs"]
mod relay;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use relay::Relay;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn forwards_the_basic_messages_and_nothing_else() {
    let relay = Relay::start().await;
    let mut sockets = Vec::new();
    for id in ["anna", "bert"] {
        let stream = tokio::net::TcpStream::connect(relay.address()).await.unwrap();
        let (mut socket, _) = client_async(relay.url(), stream).await.unwrap();
        socket.send(Message::text(format!(r#"{{"type":"join","userId":"{id}"}}"#))).await.unwrap();
        sockets.push(socket);
    }
    let offer = r#"{ "type": "offer", "targetId": "bert", "userId": "whoever", "x": 1e2 }"#;
    let bound = Duration::from_secs(10);
    let heard = tokio::time::timeout(bound, async {
        while relay.users() != ["anna", "bert"] {
            tokio::task::yield_now().await;
        }
        for text in [r#"{"type":"ringing","targetId":"bert"}"#, "{", r#"{"type":"leave"}"#, offer] {
            sockets[0].send(Message::text(text)).await.unwrap();
        }
        sockets[1].next().await.unwrap().unwrap()
    });
    assert_eq!(heard.await.unwrap(), Message::text(offer));
    assert_eq!(relay.forwarded().len(), 1);
    drop(relay);
    let end = tokio::time::timeout(bound, sockets[0].next()).await.unwrap();
    assert!(matches!(end, None | Some(Err(_))), "nothing was ever answered: {end:?}");
}

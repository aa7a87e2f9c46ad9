//! A server whose connections break: what was on its way is said again, and taken once.

use callbox::device::control::Operation;
use callbox::net::peer::Peer;
use callbox::protocol::{Message, parse};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{WebSocketStream, accept_async};

use crate::caller::{Door, ice, offer_from, soon};

/// The server's end of the door's connection, after its `join`.
struct Wire(WebSocketStream<TcpStream>);

impl Wire {
    async fn accept(listener: &TcpListener) -> Wire {
        let connection = async { accept_async(listener.accept().await.unwrap().0).await.unwrap() };
        let mut wire = Wire(soon("a connection of the door", connection).await);
        wire.hear("join", |m| matches!(m, Message::Join { .. }).then_some(())).await;
        wire
    }

    async fn hear<T>(&mut self, what: &str, mut wanted: impl FnMut(Message) -> Option<T>) -> T {
        let listen = async {
            loop {
                if let Frame::Text(text) = self.0.next().await.unwrap().unwrap()
                    && let Some(found) = wanted(parse(&text).unwrap().0)
                {
                    return found;
                }
            }
        };
        soon(what, listen).await
    }

    /// As some relays forward: the text in a binary frame.
    async fn say(&mut self, message: &Message) {
        self.0.send(Frame::binary(message.to_text())).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_may_be_lost_is_repeated_unchanged() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at_door = Door::begin("door", &format!("ws://{}/", listener.local_addr().unwrap()), "").await;
    let mut wire = Wire::accept(&listener).await;
    at_door.until("registered", |s| s["signaling"]["registration"]["state"] == "registered").await;
    at_door.order(Operation::Call { user: "anna".parse().unwrap() }).await.unwrap();
    let offer = |m| matches!(m, Message::Offer { .. }).then_some(m);
    let first = wire.hear("an offer", offer).await;
    // Nobody says goodbye.
    drop(wire);
    let mut wire = Wire::accept(&listener).await;
    assert_eq!(wire.hear("the offer again", offer).await, first);
    // Those that were there at once are in it.
    assert!(matches!(&first, Message::Offer { offer, .. } if offer.sdp.contains("a=candidate:")));
    wire.hear("the end of its candidates", |m| matches!(m, Message::Candidate { .. }).then_some(())).await;
    at_door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_may_be_lost_is_repeated_and_the_callers_repetition_is_answered_alike() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at_door = Door::begin("door", &format!("ws://{}/", listener.local_addr().unwrap()), "").await;
    let mut wire = Wire::accept(&listener).await;
    let (_peer, sdp, _events) = Peer::offer(&ice()).await.unwrap();
    let offer = offer_from("anna", sdp, Some("c1"));
    wire.say(&offer).await;
    let answer = |m| matches!(m, Message::Answer { .. }).then_some(m);
    let first = wire.hear("an answer to what came in a binary frame", answer).await;
    drop(wire);
    let mut wire = Wire::accept(&listener).await;
    assert_eq!(wire.hear("the answer again", answer).await, first);
    wire.say(&offer).await;
    assert_eq!(wire.hear("the same answer to the same offer", answer).await, first);
    let status = at_door.status().await;
    assert_eq!(status["calls"].as_array().unwrap().len(), 1, "{status:#}");
    assert_eq!(status["signaling"]["unreadable"], 0);
    at_door.close().await;
}

//! What clients do with each other.

use std::time::Duration;

use callbox::protocol::IceServer;
use callbox::server::Server;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Client, PATIENCE, settings, start};

#[tokio::test]
async fn a_joiner_learns_who_is_there_and_which_ice_servers_to_use() {
    let mut settings = settings();
    let turn = IceServer {
        urls: vec!["turn:127.0.0.1:3478".into()],
        username: Some("user".into()),
        credential: Some("secret".into()),
    };
    settings.ice_servers.push(turn);
    let server = Server::start(settings).await.unwrap();
    let mut door = Client::connect_to(server.local_addr(), "/").await;
    door.say(json!({"type": "join", "userId": "door", "name": "Front door", "kind": "device"})).await;
    let joined = door.next().await;
    assert_eq!(joined["peers"], json!([]));
    let mut anna = Client::connect(server.local_addr()).await;
    anna.say(json!({"type": "join", "userId": "anna"})).await;
    assert_eq!(
        anna.next().await,
        json!({"type": "joined", "userId": "anna", "version": 1,
            "peers": [{"userId": "door", "name": "Front door", "kind": "device"}],
            "iceServers": [{"urls": ["turn:127.0.0.1:3478"], "username": "user", "credential": "secret"}]})
    );
    let peer = json!({"userId": "anna", "name": "anna", "kind": "person"});
    assert_eq!(door.next().await, json!({"type": "presence", "peer": peer, "online": true}));
    anna.close().await;
    assert_eq!(door.next().await, json!({"type": "presence", "peer": peer, "online": false}));
}

/// A client that writes only `join`, `offer`, `answer`, `candidate` and `leave`, and reads only those, is in a call.
#[tokio::test]
async fn basic_clients_complete_a_call() {
    let server = start().await;
    let mut anna = Client::connect(server.local_addr()).await;
    let mut bert = Client::connect_to(server.local_addr(), "/").await;
    bert.say(json!({"type": "join", "userId": "bert"})).await;
    bert.hear("joined").await;
    // Anna waits for no answer to anything.
    anna.say(json!({"type": "join", "userId": "anna"})).await;
    let offer = json!({"type": "offer", "sdp": "v=0 o"});
    anna.say(json!({"type": "offer", "userId": "anna", "targetId": "bert", "offer": offer})).await;
    let heard = bert.hear("offer").await;
    assert_eq!(heard, json!({"type": "offer", "userId": "anna", "targetId": "bert", "offer": offer}));
    let answer =
        json!({"type": "answer", "userId": "bert", "targetId": "anna", "answer": {"type": "answer", "sdp": "v=0 a"}});
    bert.say(answer.clone()).await;
    assert_eq!(anna.hear("answer").await, answer);
    let candidate = json!({"candidate": "candidate:1 1 udp 1 127.0.0.1 9 typ host", "sdpMid": "0", "sdpMLineIndex": 0});
    for (from, to, id, target) in [(&mut anna, &mut bert, "anna", "bert")] {
        let message = json!({"type": "candidate", "userId": id, "targetId": target, "candidate": candidate});
        from.say(message.clone()).await;
        assert_eq!(to.hear("candidate").await, message);
    }
    // A leave that names nobody reaches the partner, and the leaver is off line.
    anna.say(json!({"type": "leave", "userId": "anna"})).await;
    assert_eq!(bert.hear("leave").await, json!({"type": "leave", "userId": "anna", "targetId": "bert"}));
    assert_eq!(bert.hear("presence").await["online"], false);
}

#[tokio::test]
async fn unknown_fields_survive_and_a_forged_sender_does_not() {
    let server = start().await;
    let mut anna = Client::join(server.local_addr(), "anna").await;
    let mut bert = Client::join(server.local_addr(), "bert").await;
    let offer = json!({"type": "offer", "sdp": "v=0", "mood": {"deep": [1, 2.5, null]}});
    anna.say(json!({"type": "offer", "userId": "mallory", "targetId": "bert", "offer": offer, "colour": "ö"})).await;
    assert_eq!(
        bert.hear("offer").await,
        json!({"type": "offer", "userId": "anna", "targetId": "bert", "offer": offer, "colour": "ö"})
    );
}

#[tokio::test]
async fn a_dropped_connection_ends_presence_but_no_call() {
    let server = start().await;
    let mut anna = Client::join(server.local_addr(), "anna").await;
    let mut bert = Client::join(server.local_addr(), "bert").await;
    anna.say(json!({"type": "offer", "targetId": "bert", "offer": {"type": "offer", "sdp": "v=0"}})).await;
    bert.hear("offer").await;
    drop(anna);
    let next = bert.next().await;
    assert!(next["type"] == "presence" && next["online"] == false, "{next}");
    // Back again, a leave still reaches the partner of the call.
    let mut anna = Client::join(server.local_addr(), "anna").await;
    assert_eq!(bert.next().await["online"], true);
    anna.say(json!({"type": "leave"})).await;
    assert_eq!(bert.next().await["type"], "leave");
}

#[tokio::test]
async fn an_id_of_a_live_connection_is_not_given_away() {
    let server = start().await;
    let mut first = Client::join(server.local_addr(), "anna").await;
    let holder = tokio::spawn(async move {
        // Reading answers the server's ping.
        first.hear("presence").await;
        first
    });
    let mut second = Client::connect(server.local_addr()).await;
    second.say(json!({"type": "join", "userId": "anna"})).await;
    let error = second.next().await;
    assert!(error["code"] == "idTaken" && error["inReplyTo"] == "join", "{error}");
    second.say(json!({"type": "join", "userId": "anna-2"})).await;
    assert_eq!(second.hear("joined").await["peers"][0]["userId"], "anna");
    let mut first = holder.await.unwrap();
    first.is_well().await;
}

#[tokio::test]
async fn an_id_of_a_dead_connection_is_taken_over() {
    let server = start().await;
    // Nobody reads here, so no ping is answered.
    let mut dead = Client::join(server.local_addr(), "anna").await;
    let mut bert = Client::join(server.local_addr(), "bert").await;
    dead.hear("presence").await;
    let mut live = Client::connect(server.local_addr()).await;
    live.say(json!({"type": "join", "userId": "anna", "name": "Anna again"})).await;
    // A client that waits for no answer is not punished for the wait.
    live.say(json!({"type": "offer", "targetId": "bert", "offer": {"type": "offer", "sdp": "v=0"}})).await;
    live.hear("joined").await;
    // Presence is told together with what else changes in its moment, so a message may come before it.
    let mut heard = [bert.next().await, bert.next().await];
    heard.sort_by_key(|message| message["type"].to_string());
    let [offer, presence] = heard;
    assert_eq!(offer["type"], "offer");
    assert!(presence["online"] == true && presence["peer"]["name"] == "Anna again", "{presence}");
    assert_eq!(dead.close_code().await, callbox::protocol::close::REPLACED);
}

#[tokio::test]
async fn shutdown_tells_everybody() {
    let server = start().await;
    let address = server.local_addr();
    let mut anna = Client::join(address, "anna").await;
    let mut stranger = Client::connect(address).await;
    let ending = tokio::spawn(server.shutdown());
    assert_eq!(anna.close_code().await, 1001);
    assert_eq!(stranger.close_code().await, 1001);
    let _ = (anna.socket.next().await, stranger.socket.next().await);
    tokio::time::timeout(Duration::from_secs(5), ending).await.unwrap().unwrap();
    // The port is free again.
    let mut settings = settings();
    settings.listen = address;
    Server::start(settings).await.unwrap();
}

#[tokio::test]
async fn pings_are_answered() {
    let server = start().await;
    let mut anna = Client::join(server.local_addr(), "anna").await;
    anna.send(Message::Ping(b"are you there?".as_slice().into())).await;
    let pong = tokio::time::timeout(Duration::from_secs(10), anna.socket.next()).await.unwrap();
    assert!(matches!(pong, Some(Ok(Message::Pong(data))) if data.as_ref() == b"are you there?"));
}

#[tokio::test]
async fn a_message_in_pieces_is_relayed_whole_and_unchanged() {
    let server = start().await;
    let mut anna = Client::join(server.local_addr(), "anna").await;
    let mut bert = Client::join(server.local_addr(), "bert").await;
    let text = r#"{"userId": "anna" ,"type":"ringing","targetId":"bert", "x":[1e2,0.50]}"#;
    let frame = |first: u8, payload: &[u8]| [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat();
    let (head, tail) = text.as_bytes().split_at(30);
    let stream = [frame(0x01, head), frame(0x89, b"?"), frame(0x00, &tail[..9]), frame(0x80, &tail[9..])].concat();
    // However the network cuts it.
    for part in stream.chunks(7) {
        anna.socket.get_mut().write_all(part).await.unwrap();
        tokio::task::yield_now().await;
    }
    loop {
        let message = tokio::time::timeout(PATIENCE, bert.socket.next()).await.unwrap().unwrap().unwrap();
        match message {
            Message::Text(heard) if heard.as_str().contains("ringing") => break assert_eq!(heard.as_str(), text),
            _ => {}
        }
    }
    let pong = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Message::Pong(payload) = anna.socket.next().await.unwrap().unwrap() {
                return payload;
            }
        }
    });
    assert_eq!(pong.await.unwrap().as_ref(), b"?");
}

/// The order in which one client says things to another is the order in which the other hears them, through everything
/// that a connection goes through.
#[tokio::test]
async fn messages_of_one_client_to_another_keep_their_order() {
    let server = start().await;
    let mut bert = Client::join(server.local_addr(), "bert").await;
    let mut anna = Client::connect(server.local_addr()).await;
    let ringing = |n: usize| json!({"type": "ringing", "targetId": "bert", "n": n});
    // All at once, without waiting for an answer: what follows a `join` is said by the member.
    let mut said = vec![json!({"type": "join", "userId": "anna"})];
    said.extend((0..50).map(ringing));
    said.extend([json!({"type": "leave"}), json!({"type": "join", "userId": "anna"})]);
    said.extend((50..100).map(ringing));
    for message in said {
        anna.socket.feed(Message::text(message.to_string())).await.unwrap();
    }
    anna.socket.flush().await.unwrap();
    for n in 0..100 {
        let heard = bert.hear("ringing").await;
        assert_eq!((&heard["n"], &heard["userId"]), (&json!(n), &json!("anna")));
    }
}

#[tokio::test]
async fn a_client_that_takes_lists_hears_of_others_in_lists() {
    let server = start().await;
    let mut anna = Client::connect(server.local_addr()).await;
    anna.say(json!({"type": "join", "userId": "anna", "accepts": ["peers"]})).await;
    anna.hear("joined").await;
    let bert = Client::join(server.local_addr(), "bert").await;
    let peer = json!({"userId": "bert", "name": "bert", "kind": "person"});
    assert_eq!(anna.next().await, json!({"type": "peers", "online": [peer]}));
    bert.close().await;
    assert_eq!(anna.next().await, json!({"type": "peers", "offline": ["bert"]}));
}

#[tokio::test]
async fn the_server_says_that_it_is_there() {
    let server = start().await;
    let mut anna = Client::connect(server.local_addr()).await;
    anna.say(json!({"type": "ping", "nonce": "1"})).await;
    assert_eq!(anna.next().await, json!({"type": "pong", "nonce": "1"}));
    anna.say(json!({"type": "ping", "nonce": "x".repeat(65)})).await;
    assert_eq!(anna.next().await["code"], "badField");
}

//! The commands that speak to the running daemon over its control socket.

use std::path::Path;

use anyhow::Context;
use callbox::config::Config;
use callbox::device::control::{self, Operation};
use callbox::protocol::UserId;
use serde_json::Value;

use super::system;
use crate::outcome::{Failure, print};

/// `callbox call`.
pub fn call(file: Option<&Path>, user: UserId) -> Result<(), Failure> {
    let reply = request(file, &Operation::Call { user: user.clone() })?;
    print(format!("{user}: {}\n", reply["state"].as_str().unwrap_or("calling")).as_bytes())
}

/// `callbox answer`.
pub fn answer(file: Option<&Path>) -> Result<(), Failure> {
    request(file, &Operation::Answer).map(drop)
}

/// `callbox ring`.
pub fn ring(file: Option<&Path>, bell: Option<String>, cancel: bool) -> Result<(), Failure> {
    request(file, &Operation::Ring { bell, cancel }).map(drop)
}

/// `callbox hangup`.
pub fn hang_up(file: Option<&Path>) -> Result<(), Failure> {
    request(file, &Operation::Hangup).map(drop)
}

/// `callbox debug-block`.
pub fn block(file: Option<&Path>) -> Result<(), Failure> {
    request(file, &Operation::Block).map(drop)
}

/// `callbox status`.
pub fn status(file: Option<&Path>, as_json: bool) -> Result<(), Failure> {
    let status = request(file, &Operation::Status)?;
    match as_json {
        true => print(format!("{status:#}\n").as_bytes()),
        false => print(describe(&status).as_bytes()),
    }
}

/// Sends one command and returns the reply of a daemon that carried it out.
fn request(file: Option<&Path>, operation: &Operation) -> Result<Value, Failure> {
    let socket = system::socket(&Config::look(file)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("the asynchronous runtime does not start")?;
    Ok(runtime.block_on(control::request(&socket, operation)).map_err(anyhow::Error::new)?)
}

/// The status in words. Whatever a daemon of another version leaves out is left out here.
fn describe(status: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let mut out = format!("{} ({}), Callbox {}", text(&status["name"]), text(&status["id"]), text(&status["version"]));
    if let Some(seconds) = status["uptimeSeconds"].as_u64() {
        out.push_str(&format!(", up for {}", duration(seconds)));
    }
    out.push('\n');

    let registration = &status["signaling"]["registration"];
    let mut line = format!("{} at {}", text(&registration["state"]), text(&status["signaling"]["url"]));
    if let Some(seconds) = registration["seconds"].as_u64() {
        line.push_str(&format!(" for {}", duration(seconds)));
    }
    if let Some(error) = registration["error"].as_str() {
        line.push_str(&format!(": {error}"));
    }
    row(&mut out, "signaling", &line);
    for page in status["pages"].as_array().into_iter().flatten() {
        row(&mut out, "page", &text(page));
    }
    if let Some(word) = status["certificate"].as_str() {
        row(&mut out, "certificate", word);
    }

    let media = &status["media"];
    if let Some(video) = media["video"].as_object() {
        let source = video.get("camera").and_then(Value::as_str);
        let fault = video.get("fault").and_then(Value::as_str);
        row(&mut out, "camera", source.or(fault).unwrap_or("opening"));
    }
    for part in ["microphone", "speaker"] {
        if media[part].is_object() {
            row(&mut out, part, media[part]["device"].as_str().unwrap_or("opening"));
        }
    }

    let indicator = &media["indicator"];
    match (indicator["problem"].as_str(), indicator["required"].as_bool(), indicator["shown"].as_bool()) {
        (Some(problem), Some(true), _) => row(&mut out, "indicator", &format!("{problem}. Nobody is seen or heard")),
        (Some(problem), _, _) => row(&mut out, "indicator", &format!("{problem}. Calls go on without it")),
        (None, _, Some(true)) => row(&mut out, "indicator", "on"),
        (None, _, _) => {}
    }

    for visit in status["visits"].as_array().into_iter().flatten() {
        let seconds = visit["seconds"].as_u64().map(|s| format!(" for {}", duration(s))).unwrap_or_default();
        let how = match (visit["state"].as_str(), visit["by"].as_str()) {
            (Some("answered"), Some(by)) => format!("answered by {by}"),
            _ => format!("ringing{seconds}, {} phones", visit["phones"].as_u64().unwrap_or(0)),
        };
        row(&mut out, "visit", &format!("{}: {how}", text(&visit["bell"])));
    }

    let calls = status["calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    if calls.is_empty() {
        row(&mut out, "calls", "none");
    }
    for call in calls {
        let seconds = call["seconds"].as_u64().map(|s| format!(" for {}", duration(s))).unwrap_or_default();
        let line = format!("{}, {}, {}{seconds}", text(&call["user"]), text(&call["direction"]), text(&call["state"]));
        row(&mut out, "call", &line);
        if let Some(why) = call["stats"]["soundOnly"].as_str() {
            row(&mut out, "", &format!("sound only: {why}"));
        }
    }
    out
}

fn row(out: &mut String, label: &str, text: &str) {
    out.push_str(&format!("  {label:<11} {text}\n"));
}

fn duration(seconds: u64) -> String {
    match (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, _, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_status_reads_like_a_sentence() {
        let status = json!({
            "ok": true, "id": "door", "name": "Front door", "version": "0.1.0", "uptimeSeconds": 7384,
            "signaling": { "url": "ws://127.0.0.1:8080/ws", "registration": { "state": "registered", "seconds": 61 } },
            "pages": ["http://127.0.0.1:8080/"],
            "certificate": "door.example.org, from ca.example.org, until 2027-02-28",
            "media": { "video": { "camera": "/dev/video0, YUYV", "fault": null },
                       "microphone": { "device": "plughw:1" }, "speaker": null },
            "calls": [{ "user": "anna", "direction": "incoming", "state": "connected", "seconds": 5,
                        "stats": { "soundOnly": null } },
                      { "user": "ben", "direction": "incoming", "state": "connected", "seconds": 4,
                        "stats": { "soundOnly": "the browser has no H.264" } }],
        });
        let expected = "\
Front door (door), Callbox 0.1.0, up for 2 h 3 min
  signaling   registered at ws://127.0.0.1:8080/ws for 1 min 1 s
  page        http://127.0.0.1:8080/
  certificate door.example.org, from ca.example.org, until 2027-02-28
  camera      /dev/video0, YUYV
  microphone  plughw:1
  call        anna, incoming, connected for 5 s
  call        ben, incoming, connected for 4 s
              sound only: the browser has no H.264
";
        assert_eq!(describe(&status), expected);
        assert!(describe(&json!({ "ok": true })).contains("calls       none"));
    }

    #[test]
    fn durations_in_two_units() {
        let texts: Vec<_> = [5, 65, 3600, 90061].into_iter().map(duration).collect();
        assert_eq!(texts, ["5 s", "1 min 5 s", "1 h 0 min", "1 d 1 h"]);
    }
}

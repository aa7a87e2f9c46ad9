//! What the clients say: the five basic messages only, as small clients write them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::frame::{self, MASK};

/// Bytes of each relayed message, about those of a short offer.
pub const BYTES: usize = 1200;
/// Precedes the time in a relayed message: a field that no server knows, and that each has to pass on.
const STAMP: &[u8] = br#""at":""#;
const DIGITS: usize = 16;
/// Bytes of the frame's head: two, the length, the mask.
const HEAD: usize = 8;

/// A bare `join`, the basic dialect's.
pub fn join(id: &str) -> Vec<u8> {
    frame::masked(frame::TEXT, json!({ "type": "join", "userId": id }).to_string().as_bytes())
}

/// A candidate from one client to another, masked but for the time it is sent.
pub struct Template {
    frame: Vec<u8>,
    stamp: usize,
    /// What the other end has to get, without the time.
    pub meant: Value,
}

impl Template {
    pub fn new(from: &str, to: &str) -> Template {
        let text = |padding: usize| {
            let line =
                "candidate:842163049 1 udp 1677729535 192.0.2.5 50000 typ srflx raddr 0.0.0.0 rport 0 generation 0";
            format!(
                r#"{{"type":"candidate","at":"{:0DIGITS$}","userId":"{from}","targetId":"{to}","callId":"0f9a3c52-6b1d-4e0e-9a54-1d2f7c1be0aa","candidate":{{"candidate":"{line} ufrag {}","sdpMid":"0","sdpMLineIndex":0}}}}"#,
                0,
                "u".repeat(padding)
            )
        };
        let text = text(BYTES - text(0).len());
        let stamp = find(text.as_bytes()).expect("the text above has a time") + HEAD;
        let mut meant: Value = serde_json::from_str(&text).expect("the text above is JSON");
        meant["at"] = Value::Null;
        Template { frame: frame::masked(frame::TEXT, text.as_bytes()), stamp, meant }
    }

    /// Appends the frame, sent `at` that time.
    pub fn write(&self, at: Duration, out: &mut Vec<u8>) {
        let start = out.len() + self.stamp;
        out.extend(&self.frame);
        let digits = format!("{:0DIGITS$}", at.as_nanos());
        for (i, digit) in digits.bytes().enumerate() {
            out[start + i] = digit ^ MASK[(self.stamp - HEAD + i) % MASK.len()];
        }
    }
}

/// When a relayed message was sent; `None` for whatever else a server says.
pub fn stamp(text: &[u8]) -> Option<Duration> {
    let start = find(text)?;
    let digits = std::str::from_utf8(text.get(start..start + DIGITS)?).ok()?;
    digits.parse().ok().map(Duration::from_nanos)
}

fn find(text: &[u8]) -> Option<usize> {
    text.windows(STAMP.len()).position(|window| window == STAMP).map(|at| at + STAMP.len())
}

/// Whether a relayed text says what was meant, in whatever order.
pub fn same(text: &[u8], meant: &Value) -> bool {
    let Ok(mut value) = serde_json::from_slice::<Value>(text) else { return false };
    value["at"] = Value::Null;
    value == *meant
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_arrives_and_the_rest_is_as_it_was() {
        let template = Template::new("caller-00001", "callee-00001");
        let mut out = vec![1, 2, 3];
        template.write(Duration::from_nanos(1_234_567_890), &mut out);
        let text: Vec<u8> = out[3 + HEAD..].iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        assert_eq!(text.len(), BYTES);
        assert!(template.meant["candidate"]["candidate"].as_str().unwrap().len() < 1000, "Callbox takes 1024");
        assert_eq!(stamp(&text), Some(Duration::from_nanos(1_234_567_890)));
        assert!(same(&text, &template.meant));
        let other = Template::new("caller-00001", "callee-00002");
        assert!(!same(&text, &other.meant));
        assert_eq!(stamp(br#"{"type":"joined"}"#), None);
    }
}

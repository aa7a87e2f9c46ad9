//! One borrowed pass over a text frame that finds out what a relay needs to know: whether the message is sound, who it
//! says it is from, and whom it is for. Nothing is allocated and nothing is changed, so that what is relayed is the
//! sender's text to the byte.
//!
//! A glance vouches for what it understands: where it says yes, [`parse`](super::parse) says the same. Whatever is
//! unusual (a key said twice, an escape in a key, a field of an unexpected shape, one that only the server says, any error) it leaves to `parse`, which
//! alone has the last word.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Range;

use super::{MAX_CALL_ID_BYTES, MAX_CANDIDATE_BYTES};

/// A sound message that is for somebody.
#[derive(Debug, PartialEq, Eq)]
pub struct Glance<'a> {
    pub topic: Topic,
    pub target: Cow<'a, str>,
    pub call: Option<Cow<'a, str>>,
    /// Where the value of `userId` stands in the text, quotes included. Whether it is an ID is left to the reader.
    pub user: Option<Range<usize>>,
    /// Just after the opening brace.
    pub inside: usize,
}

/// The types of message that clients send each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    Offer,
    Answer,
    /// Rare enough to be read in full.
    Proof,
    Candidate,
    Ringing,
    /// As rare as proofs.
    Visit,
    Attend,
    Leave,
}

/// Depth of nesting that `serde_json` takes.
const MAX_DEPTH: usize = 127;

const TYPE: usize = 0;
const USER: usize = 1;
const TARGET: usize = 2;
const CALL: usize = 3;
const OFFER: usize = 4;
const ANSWER: usize = 5;
const CANDIDATE: usize = 6;
const KIND: usize = 7;
const REASON: usize = 8;
const RIGHTS: usize = 9;
const IDENTITY: usize = 10;
const VISIT: usize = 11;
const KEYS: [&[u8]; 12] = [
    b"type",
    b"userId",
    b"targetId",
    b"callId",
    b"offer",
    b"answer",
    b"candidate",
    b"kind",
    b"reason",
    b"rights",
    b"identity",
    b"visit",
];

/// Those of `offer` and `answer`, and of `candidate`.
const DESCRIPTION: [&[u8]; 2] = [b"type", b"sdp"];
const LINE: [&[u8]; 4] = [b"candidate", b"sdpMid", b"usernameFragment", b"sdpMLineIndex"];

/// Glances at a text frame. `None`: it has to be read in full.
pub fn glance(text: &str) -> Option<Glance<'_>> {
    let mut scan = Scan { text, at: 0 };
    scan.space();
    scan.expect(b'{')?;
    let inside = scan.at;
    let mut found: [Value; KEYS.len()] = std::array::from_fn(|_| Value::Absent);
    let mut description = [const { Value::Absent }; DESCRIPTION.len()];
    let mut line = [const { Value::Absent }; LINE.len()];
    scan.members(&KEYS, &mut found, |scan, key| match key {
        OFFER | ANSWER => Some(Value::Object(scan.object(&DESCRIPTION, &mut description)?)),
        CANDIDATE => Some(Value::Object(scan.object(&LINE, &mut line)?)),
        _ => None,
    })?;
    scan.space();
    if scan.at != text.len() {
        return None;
    }
    let topic = match found[TYPE].plain()? {
        "offer" => Topic::Offer,
        "answer" => Topic::Answer,
        "candidate" => Topic::Candidate,
        "ringing" => Topic::Ringing,
        "leave" => Topic::Leave,
        _ => return None,
    };
    let target = found[TARGET].text()?;
    let user = match &found[USER] {
        Value::Absent => None,
        Value::Null(span) | Value::Text { span, .. } => Some(span.clone()),
        Value::Number(_) | Value::Object(_) | Value::Other => return None,
    };
    let call = if found[CALL].is_nothing() { None } else { Some(found[CALL].text()?) };
    if call.as_ref().is_some_and(|call| !(1..=MAX_CALL_ID_BYTES).contains(&call.len())) {
        return None;
    }
    // Only the server says what somebody may do, and keys are read where there is time.
    if [RIGHTS, IDENTITY, VISIT].into_iter().any(|key| !matches!(found[key], Value::Absent)) {
        return None;
    }
    // The two descriptions share their places: a message with both is for somebody with more time.
    if !matches!(found[OFFER], Value::Absent) && !matches!(found[ANSWER], Value::Absent) {
        return None;
    }
    let [kind, sdp] = &description;
    let [candidate, mid, fragment, index] = &line;
    let sound = match topic {
        Topic::Offer => {
            found[OFFER].is_object()
                && kind.plain()? == "offer"
                && sdp.is_text()
                && (found[KIND].is_nothing() || found[KIND].is_text())
        }
        Topic::Answer => found[ANSWER].is_object() && matches!(kind.plain()?, "answer" | "pranswer") && sdp.is_text(),
        Topic::Candidate if found[CANDIDATE].is_object() => {
            let texts = [candidate, mid, fragment];
            candidate.is_text()
                && texts.iter().all(|text| text.is_text() || text.is_nothing())
                // As written; what has escapes is shorter.
                && texts.iter().map(|text| text.raw_len()).sum::<usize>() <= MAX_CANDIDATE_BYTES
                && (index.is_nothing() || matches!(index, Value::Number(digits) if digits.parse::<u16>().is_ok()))
        }
        Topic::Candidate => found[CANDIDATE].is_nothing(),
        Topic::Proof | Topic::Visit | Topic::Attend => false,
        Topic::Ringing => true,
        Topic::Leave => found[REASON].is_nothing() || found[REASON].is_text(),
    };
    sound.then_some(Glance { topic, target, call, user, inside })
}

/// What stands at a key.
#[derive(Clone, Debug)]
enum Value<'a> {
    Absent,
    Null(Range<usize>),
    /// `raw` is between the quotes, `span` includes them.
    Text {
        raw: &'a str,
        span: Range<usize>,
        escaped: bool,
    },
    Number(&'a str),
    /// An object whose members were looked at.
    Object(()),
    Other,
}

impl<'a> Value<'a> {
    fn is_nothing(&self) -> bool {
        matches!(self, Value::Absent | Value::Null(_))
    }

    fn is_text(&self) -> bool {
        matches!(self, Value::Text { .. })
    }

    fn is_object(&self) -> bool {
        matches!(self, Value::Object(()))
    }

    fn raw_len(&self) -> usize {
        match self {
            Value::Text { raw, .. } => raw.len(),
            Value::Absent | Value::Null(_) | Value::Number(_) | Value::Object(()) | Value::Other => 0,
        }
    }

    /// A text without escapes.
    fn plain(&self) -> Option<&'a str> {
        match self {
            Value::Text { raw, escaped: false, .. } => Some(raw),
            _ => None,
        }
    }

    fn text(&self) -> Option<Cow<'a, str>> {
        match self {
            Value::Text { raw, escaped: false, .. } => Some(Cow::Borrowed(raw)),
            Value::Text { raw, .. } => Some(Cow::Owned(serde_json::from_str(&format!("\"{raw}\"")).ok()?)),
            _ => None,
        }
    }
}

/// A place in a text that is JSON as far as it was read. Everything returns `None` where it is not.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// An object on the second level, the values of `keys` in `found`.
    fn object<const N: usize>(&mut self, keys: &[&[u8]; N], found: &mut [Value<'a>; N]) -> Option<()> {
        self.expect(b'{')?;
        self.members(keys, found, |_, _| None)
    }

    /// The members of an object whose brace was read, to its end. `look` may read the objects at certain keys itself.
    fn members<const N: usize>(
        &mut self,
        keys: &[&[u8]; N],
        found: &mut [Value<'a>; N],
        mut look: impl FnMut(&mut Scan<'a>, usize) -> Option<Value<'a>>,
    ) -> Option<()> {
        self.space();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.space();
            let Value::Text { raw, escaped: false, .. } = self.string()? else { return None };
            self.space();
            self.expect(b':')?;
            self.space();
            match keys.iter().position(|key| *key == raw.as_bytes()) {
                None => _ = self.value()?,
                // Said twice, the last one counts; that is for those who read in full.
                Some(key) if !matches!(found.get(key)?, Value::Absent) => return None,
                Some(key) => {
                    let start = self.at;
                    let value = match self.peek()? {
                        b'{' => look(self, key),
                        _ => None,
                    };
                    let value = match value {
                        Some(value) => value,
                        None if self.at == start => self.value()?,
                        // It was begun and is no JSON.
                        None => return None,
                    };
                    *found.get_mut(key)? = value;
                }
            }
            self.space();
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    /// Any value; objects and arrays are looked through and forgotten.
    fn value(&mut self) -> Option<Value<'a>> {
        match self.peek()? {
            b'"' => self.string(),
            b'n' => {
                let start = self.at;
                self.word("null")?;
                Some(Value::Null(start..self.at))
            }
            b't' => self.word("true").map(|()| Value::Other),
            b'f' => self.word("false").map(|()| Value::Other),
            b'{' | b'[' => self.nested().map(|()| Value::Other),
            _ => self.number().map(Value::Number),
        }
    }

    /// An object or array with all that is in it, without recursion: `open` has a bit for each level, set for objects.
    fn nested(&mut self) -> Option<()> {
        // Those around it: a value stands in one or two objects.
        const OUTSIDE: usize = 2;
        let (mut open, mut depth) = (0_u128, 0_usize);
        loop {
            // At the start of a value.
            self.space();
            let mut ended = match self.peek()? {
                bracket @ (b'{' | b'[') => {
                    self.at += 1;
                    depth += 1;
                    if depth + OUTSIDE > MAX_DEPTH {
                        return None;
                    }
                    open = open << 1 | u128::from(bracket == b'{');
                    self.space();
                    let empty = matches!((self.peek()?, bracket), (b'}', b'{') | (b']', b'['));
                    if !empty {
                        if bracket == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                    empty
                }
                _ => {
                    self.value()?;
                    false
                }
            };
            // After a value, or at the bracket that ends an empty one.
            loop {
                if !ended {
                    self.space();
                }
                let object = open & 1 == 1;
                match (self.peek()?, object) {
                    (b'}', true) | (b']', false) => {
                        self.at += 1;
                        open >>= 1;
                        depth -= 1;
                        if depth == 0 {
                            return Some(());
                        }
                        ended = false;
                    }
                    (b',', true) => {
                        self.at += 1;
                        self.space();
                        self.key()?;
                        break;
                    }
                    (b',', false) => {
                        self.at += 1;
                        break;
                    }
                    _ => return None,
                }
            }
        }
    }

    fn key(&mut self) -> Option<()> {
        self.string()?;
        self.space();
        self.expect(b':')
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text.as_bytes().get(self.at..)?.starts_with(word.as_bytes()).then(|| self.at += word.len())
    }

    fn number(&mut self) -> Option<&'a str> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) {
            self.at += 1;
        }
        let number = self.text.get(start..self.at)?;
        let digits = number.strip_prefix('-').unwrap_or(number);
        let plain = digits.bytes().all(|b| b.is_ascii_digit())
            && (digits == "0" || (1..=18).contains(&digits.len()) && !digits.starts_with('0'));
        // How large a number may be is for those to say who make numbers of it.
        (plain || serde_json::from_str::<f64>(number).is_ok()).then_some(number)
    }

    fn string(&mut self) -> Option<Value<'a>> {
        let start = self.at;
        self.expect(b'"')?;
        let mut escaped = false;
        loop {
            self.at += ordinary(self.text.as_bytes().get(self.at..)?);
            match self.peek()? {
                b'"' => {
                    let raw = self.text.get(start + 1..self.at)?;
                    self.at += 1;
                    return Some(Value::Text { raw, span: start..self.at, escaped });
                }
                b'\\' => {
                    escaped = true;
                    self.at += 1;
                    self.escape()?;
                }
                // Control characters have to be escaped.
                _ => return None,
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Option<()> {
        let kind = self.peek()?;
        self.at += 1;
        match kind {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => match self.unit()? {
                // The first half of a pair wants the second.
                0xd800..0xdc00 => {
                    self.expect(b'\\')?;
                    self.expect(b'u')?;
                    (0xdc00..0xe000).contains(&self.unit()?).then_some(())
                }
                0xdc00..0xe000 => None,
                _ => Some(()),
            },
            _ => None,
        }
    }

    fn unit(&mut self) -> Option<u16> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        let hexadecimal = digits.bytes().all(|b| b.is_ascii_hexdigit());
        hexadecimal.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
    }
}

/// How many bytes a string goes on without a quote, a backslash or a control character. Eight at a time: descriptions
/// are long.
fn ordinary(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    // Marks the bytes below `limit`; above the first marked one there may be marks that are none.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGH;
    let (words, rest) = bytes.as_chunks::<8>();
    for (n, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let special =
            below(word, 0x20) | below(word ^ (ONES * u64::from(b'"')), 1) | below(word ^ (ONES * u64::from(b'\\')), 1);
        if special != 0 {
            return n * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let tail = rest.iter().position(|byte| matches!(byte, 0..0x20 | b'"' | b'\\'));
    words.len() * 8 + tail.unwrap_or(rest.len())
}

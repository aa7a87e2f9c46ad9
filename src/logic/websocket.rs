//! The server's half of WebSocket framing (RFC 6455, section 5): what a client's bytes say, and frames to send. No
//! sockets and no buffers of its own beyond the pieces of a fragmented message, so that an idle connection holds nothing.
//!
//! It is ours because a signaling server does little else: a frame is read where the kernel put it and checked once, and
//! a message to many is encoded once and shared.

use std::borrow::Cow;

use bytes::Bytes;

use crate::protocol::{MAX_MESSAGE_BYTES, close};

/// The longest header of a client's frame: two bytes, eight of length, four of mask.
pub const MAX_HEADER: usize = 14;

/// Payload of a control frame, at most (section 5.5).
const MAX_CONTROL: usize = 125;

/// A frame from the server, ready to be written; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(Bytes);

/// What one frame of a client said.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// A whole message.
    Text(Cow<'a, str>),
    Ping(&'a [u8]),
    Pong,
    /// The client closes; the answer is [`Frame::echo`].
    Close(Option<u16>),
    /// A piece of a message whose end is still to come.
    Piece,
}

/// Why a connection cannot go on: the close code and a few words for the close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub code: u16,
    pub reason: &'static str,
}

/// Reads a client's frames. After a [`Fault`] nothing more is to be read.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The pieces of a fragmented message so far, at most [`MAX_MESSAGE_BYTES`].
    pieces: Option<Vec<u8>>,
}

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

impl Frame {
    pub fn text(text: &str) -> Frame {
        Frame::joined(&[text.as_bytes()])
    }

    /// A text of several parts, which together are UTF-8.
    pub fn joined(parts: &[&[u8]]) -> Frame {
        Frame::new(TEXT, parts)
    }

    pub fn ping() -> Frame {
        Frame(Bytes::from_static(&[FIN | PING, 0]))
    }

    /// The answer to a ping, whose payload has at most 125 bytes.
    pub fn pong(payload: &[u8]) -> Frame {
        Frame::new(PONG, &[payload.get(..MAX_CONTROL).unwrap_or(payload)])
    }

    pub fn close(code: u16, reason: &str) -> Frame {
        Frame::new(CLOSE, &[&code.to_be_bytes(), reason.as_bytes().get(..MAX_CONTROL - 2).unwrap_or(reason.as_bytes())])
    }

    /// The answer to a close frame (section 5.5.1).
    pub fn echo(code: Option<u16>) -> Frame {
        match code {
            Some(code) => Frame::close(code, ""),
            None => Frame::new(CLOSE, &[]),
        }
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// What it says.
    pub fn payload(&self) -> &[u8] {
        let header = match self.0.get(1) {
            Some(126) => 4,
            Some(127) => 10,
            Some(_) | None => 2,
        };
        self.0.get(header..).unwrap_or_default()
    }

    /// A server does not mask (section 5.1).
    fn new(opcode: u8, parts: &[&[u8]]) -> Frame {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let mut frame = Vec::with_capacity(length + if length > usize::from(u16::MAX) { 10 } else { 4 });
        frame.push(FIN | opcode);
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ 0..=125), _) => frame.push(short),
            (_, Ok(middle)) => {
                frame.push(126);
                frame.extend(middle.to_be_bytes());
            }
            (_, Err(_)) => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        for part in parts {
            frame.extend_from_slice(part);
        }
        Frame(frame.into())
    }
}

impl Decoder {
    /// Reads the first frame in `input` and says how many bytes it took. `None`: its rest is still to come. The payload
    /// is unmasked where it lies, so the same bytes are never to be read twice.
    pub fn next<'a>(&mut self, input: &'a mut [u8]) -> Result<Option<(usize, Received<'a>)>, Fault> {
        let Some(header) = Header::read(input)? else { return Ok(None) };
        self.admit(&header)?;
        let end = header.length + header.payload;
        let Some(payload) = input.get_mut(header.length..end) else { return Ok(None) };
        unmask(payload, header.mask);
        Ok(Some((end, self.take(header.opcode, header.last, payload)?)))
    }

    /// Whether a message has begun whose end is still to come.
    pub fn in_pieces(&self) -> bool {
        self.pieces.is_some()
    }

    /// Bytes of memory that such a message takes.
    pub fn holds(&self) -> usize {
        self.pieces.as_ref().map_or(0, Vec::capacity)
    }

    /// Refuses a frame by its header, before its payload is waited for.
    fn admit(&self, header: &Header) -> Result<(), Fault> {
        match (header.opcode, &self.pieces) {
            (CONTINUATION, None) => return Err(PROTOCOL),
            (TEXT, Some(_)) => return Err(PROTOCOL),
            (BINARY, _) => return Err(Fault { code: close::UNSUPPORTED, reason: "only text frames are understood" }),
            (CONTINUATION, Some(_)) | (TEXT, None) => {}
            (CLOSE | PING | PONG, _) => {
                return if header.last && header.payload <= MAX_CONTROL { Ok(()) } else { Err(PROTOCOL) };
            }
            _ => return Err(PROTOCOL),
        }
        let before = self.pieces.as_ref().map_or(0, Vec::len);
        match before.saturating_add(header.payload) > MAX_MESSAGE_BYTES {
            true => Err(Fault { code: close::TOO_BIG, reason: "a message has at most 65536 bytes" }),
            false => Ok(()),
        }
    }

    fn take<'a>(&mut self, opcode: u8, last: bool, payload: &'a [u8]) -> Result<Received<'a>, Fault> {
        match (opcode, last) {
            (PING, _) => Ok(Received::Ping(payload)),
            (PONG, _) => Ok(Received::Pong),
            (CLOSE, _) => closed(payload),
            (TEXT, true) => Ok(Received::Text(Cow::Borrowed(std::str::from_utf8(payload).map_err(|_| NOT_UTF8)?))),
            (_, false) => {
                self.pieces.get_or_insert_default().extend_from_slice(payload);
                Ok(Received::Piece)
            }
            (_, true) => {
                let mut whole = self.pieces.take().unwrap_or_default();
                whole.extend_from_slice(payload);
                Ok(Received::Text(Cow::Owned(String::from_utf8(whole).map_err(|_| NOT_UTF8)?)))
            }
        }
    }
}

const PROTOCOL: Fault = Fault { code: close::PROTOCOL, reason: "not a WebSocket frame" };
const NOT_UTF8: Fault = Fault { code: close::INVALID, reason: "the text is not UTF-8" };

/// The head of a client's frame.
struct Header {
    last: bool,
    opcode: u8,
    mask: [u8; 4],
    /// Of the header itself.
    length: usize,
    payload: usize,
}

impl Header {
    /// `None`: more bytes are needed.
    fn read(input: &[u8]) -> Result<Option<Header>, Fault> {
        let &[first, second, ref rest @ ..] = input else { return Ok(None) };
        if first & RESERVED != 0 || second & MASKED == 0 {
            return Err(PROTOCOL);
        }
        let (wide, payload) = match second & !MASKED {
            126 => match rest.first_chunk() {
                Some(length) => (2, u64::from(u16::from_be_bytes(*length))),
                None => return Ok(None),
            },
            127 => match rest.first_chunk() {
                Some(length) => (8, u64::from_be_bytes(*length)),
                None => return Ok(None),
            },
            short => (0, u64::from(short)),
        };
        let Some(&mask) = rest.get(wide..).and_then(|rest| rest.first_chunk()) else { return Ok(None) };
        // Too long for this machine is too long for everybody.
        let payload = usize::try_from(payload).unwrap_or(usize::MAX);
        let header = Header { last: first & FIN != 0, opcode: first & 0x0f, mask, length: 2 + wide + 4, payload };
        Ok(Some(Header { payload: payload.min(usize::MAX - header.length), ..header }))
    }
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Section 7.4.1 and 7.4.2: which codes may stand on the wire.
fn closed(payload: &[u8]) -> Result<Received<'static>, Fault> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(Received::Close(None)) } else { Err(PROTOCOL) };
    };
    let code = u16::from_be_bytes(*code);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(PROTOCOL);
    }
    std::str::from_utf8(reason).map_err(|_| NOT_UTF8)?;
    Ok(Received::Close(Some(code)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A client's frame.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..126 => frame.push(MASKED | short as u8),
            middle @ 126..65_536 => {
                frame.push(MASKED | 126);
                frame.extend((middle as u16).to_be_bytes());
            }
            long => {
                frame.push(MASKED | 127);
                frame.extend((long as u64).to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    /// What a stream of frames says, and how it ends.
    fn read(stream: &[u8]) -> (Vec<String>, Option<u16>) {
        let (mut stream, mut decoder, mut said) = (stream.to_vec(), Decoder::default(), Vec::new());
        let mut rest = stream.as_mut_slice();
        loop {
            match decoder.next(rest) {
                Ok(None) => return (said, None),
                Err(fault) => return (said, Some(fault.code)),
                Ok(Some((length, received))) => {
                    said.push(match received {
                        Received::Text(text) => text.into_owned(),
                        Received::Ping(payload) => format!("ping {}", payload.len()),
                        Received::Pong => "pong".to_owned(),
                        Received::Close(code) => format!("close {code:?}"),
                        Received::Piece => "...".to_owned(),
                    });
                    rest = &mut rest[length..];
                }
            }
        }
    }

    #[test]
    fn frames_of_every_length_survive() {
        for length in [0, 1, 7, 8, 125, 126, 1200, 65_535, 65_536] {
            let text = "x".repeat(length);
            assert_eq!(read(&frame(0x81, text.as_bytes())), (vec![text.clone()], None));
            let sent = Frame::text(&text);
            assert_eq!(sent.payload(), text.as_bytes());
            assert_eq!(sent.bytes()[0], 0x81);
            assert_eq!(sent.bytes()[1] & MASKED, 0, "a server does not mask");
        }
        assert_eq!(Frame::close(1001, "bye").bytes().as_ref(), b"\x88\x05\x03\xe9bye");
        assert_eq!(Frame::ping().bytes().as_ref(), b"\x89\x00");
        assert_eq!(Frame::pong(b"7").bytes().as_ref(), b"\x8a\x017");
        assert_eq!(Frame::echo(None).bytes().as_ref(), b"\x88\x00");
    }

    #[test]
    fn pieces_make_a_message_and_control_frames_may_come_between() {
        let mut stream = frame(0x01, "gr\u{fc}".as_bytes());
        stream.extend(frame(0x89, b"there?"));
        // A character may be cut in two.
        let (head, tail) = "\u{df}e".as_bytes().split_at(1);
        stream.extend(frame(0x00, head));
        stream.extend(frame(0x8a, b""));
        stream.extend(frame(0x80, tail));
        stream.extend(frame(0x81, b"next"));
        let expected = ["...", "ping 6", "...", "pong", "gr\u{fc}\u{df}e", "next"];
        assert_eq!(read(&stream), (expected.map(str::to_owned).to_vec(), None));
    }

    #[test]
    fn what_breaks_the_rules_has_its_close_code() {
        let long = vec![b'x'; MAX_MESSAGE_BYTES];
        let mut too_long = frame(0x01, &long);
        too_long.extend(frame(0x80, b"x"));
        for (stream, code) in [
            (frame(0xc1, b"reserved"), close::PROTOCOL),
            (frame(0xa1, b"reserved"), close::PROTOCOL),
            (frame(0x91, b"reserved"), close::PROTOCOL),
            (frame(0x83, b"no such opcode"), close::PROTOCOL),
            (frame(0x8b, b"no such opcode"), close::PROTOCOL),
            (vec![0x81, 2, b'h', b'i'], close::PROTOCOL),
            (frame(0x80, b"continues nothing"), close::PROTOCOL),
            ([frame(0x01, b"a"), frame(0x81, b"b")].concat(), close::PROTOCOL),
            (frame(0x09, b"a ping in pieces"), close::PROTOCOL),
            (frame(0x89, &[0; 126]), close::PROTOCOL),
            (frame(0x88, &[3]), close::PROTOCOL),
            (frame(0x88, &999_u16.to_be_bytes()), close::PROTOCOL),
            (frame(0x88, &1005_u16.to_be_bytes()), close::PROTOCOL),
            (frame(0x88, &5000_u16.to_be_bytes()), close::PROTOCOL),
            (frame(0x88, b"\x03\xe8\xff"), close::INVALID),
            (frame(0x81, &[0xc3, 0x28]), close::INVALID),
            (frame(0x81, &[0xed, 0xa0, 0x80]), close::INVALID),
            ([frame(0x01, &[0xc3]), frame(0x80, &[0x28])].concat(), close::INVALID),
            (frame(0x82, b"binary"), close::UNSUPPORTED),
            (frame(0x81, &[long.as_slice(), b"x"].concat()), close::TOO_BIG),
            (too_long, close::TOO_BIG),
            // By its header alone.
            ([&[0x81, 0xff, 0x7f], [0xff; 7].as_slice(), &[0; 4]].concat(), close::TOO_BIG),
        ] {
            assert_eq!(read(&stream).1, Some(code), "{:x?}", &stream[..stream.len().min(20)]);
        }
        assert_eq!(read(&frame(0x88, b"")).0, ["close None"]);
        assert_eq!(read(&frame(0x88, b"\x03\xe8bye")).0, ["close Some(1000)"]);
    }

    #[test]
    fn a_frame_waits_for_its_last_byte() {
        let whole = frame(0x81, "x".repeat(300).as_bytes());
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), (Vec::new(), None), "{length}");
        }
    }

    proptest! {
        /// However a text is cut, it comes out whole; and no bytes make the decoder panic or take more than there is.
        #[test]
        fn texts_in_pieces_are_whole_again(text in ".{0,300}", cuts in prop::collection::vec(0_usize..300, 0..6)) {
            let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < text.len()).collect();
            cuts.sort_unstable();
            let (mut stream, mut at) = (Vec::new(), 0);
            for cut in cuts {
                stream.extend(frame(if at == 0 && stream.is_empty() { TEXT } else { CONTINUATION }, &text.as_bytes()[at..cut]));
                at = cut;
            }
            let first = if stream.is_empty() { TEXT } else { CONTINUATION };
            stream.extend(frame(FIN | first, &text.as_bytes()[at..]));
            let (said, fault) = read(&stream);
            prop_assert_eq!(fault, None);
            prop_assert_eq!(said.last(), Some(&text));
        }

        #[test]
        fn garbage_is_no_panic(garbage in prop::collection::vec(any::<u8>(), 0..200)) {
            read(&garbage);
        }
    }
}

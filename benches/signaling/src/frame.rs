//! WebSocket frames (RFC 6455, section 5) as far as a load generator needs them: whole text messages, pings and closes.

pub const TEXT: u8 = 1;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// Every frame is masked with it. Any key but zero makes a server do the work; a constant one lets messages be masked
/// long before they are sent.
pub const MASK: [u8; 4] = [0x5a, 0xc3, 0x17, 0x8e];

/// No server here sends anything near it.
const LONGEST: usize = 1 << 20;

/// A frame from a server.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub opcode: u8,
    pub payload: &'a [u8],
    /// Bytes of the whole frame.
    pub length: usize,
}

/// The frame at the beginning of `bytes`; `None` if it is not complete yet.
pub fn parse(bytes: &[u8]) -> Result<Option<Frame<'_>>, &'static str> {
    let &[first, second, ..] = bytes else { return Ok(None) };
    if first & 0x80 == 0 {
        return Err("a message in fragments");
    }
    if first & 0x70 != 0 || second & 0x80 != 0 {
        return Err("a compressed or masked frame");
    }
    let (length, start) = match second {
        126 => match bytes.get(2..4) {
            Some(length) => (usize::from(u16::from_be_bytes([length[0], length[1]])), 4),
            None => return Ok(None),
        },
        127 => match bytes.get(2..10).map(<[u8; 8]>::try_from) {
            Some(Ok(length)) => match usize::try_from(u64::from_be_bytes(length)) {
                Ok(length) if length <= LONGEST => (length, 10),
                Ok(_) | Err(_) => return Err("a frame of more than a mebibyte"),
            },
            Some(Err(_)) | None => return Ok(None),
        },
        short => (usize::from(short), 2),
    };
    let payload = bytes.get(start..start + length);
    Ok(payload.map(|payload| Frame { opcode: first & 0x0f, payload, length: start + length }))
}

/// A frame to a server, masked.
pub fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match u16::try_from(payload.len()) {
        Ok(length) if length < 126 => frame.push(0x80 | length as u8),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => panic!("a message of {} bytes", payload.len()),
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_found_in_any_piece_of_the_stream() {
        for length in [0, 1, 125, 126, 1200, 65_535] {
            let payload = vec![b'x'; length];
            let mut stream = masked(TEXT, &payload);
            // What a server would send: no mask.
            let start = stream.len() - length - 4;
            stream.drain(start..start + 4);
            stream[1] &= 0x7f;
            stream.truncate(start);
            stream.extend(&payload);
            let whole = stream.len();
            for cut in [0, 1, whole / 2, whole - 1] {
                assert_eq!(parse(&stream[..cut]), Ok(None), "{length} cut at {cut}");
            }
            stream.extend(b"\x81\x01y");
            assert_eq!(parse(&stream), Ok(Some(Frame { opcode: TEXT, payload: &payload, length: whole })));
        }
        let mut long = vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0];
        long.resize(10 + 65_536, b'z');
        assert_eq!(parse(&long).unwrap().unwrap().payload.len(), 65_536);
        assert!(parse(&[0x81, 127, 0, 0, 1, 0, 0, 0, 0, 0]).is_err());
        assert!(parse(&[0x01, 0x00]).is_err());
        assert!(parse(&[0xc1, 0x00]).is_err());
    }

    #[test]
    fn a_mask_is_taken_off_as_it_was_put_on() {
        let frame = masked(TEXT, b"hello");
        assert_eq!(frame[..2], [0x81, 0x85]);
        let text: Vec<u8> = frame[6..].iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        assert_eq!(text, b"hello");
    }
}

//! Text as editors leave it on a FAT partition: with or without a byte order mark, UTF-16 from older Notepads, Windows
//! line ends.

/// Longest file that is read, in bytes; what is longer is not what was meant.
pub const MAX_BYTES: u64 = 256 * 1024;

/// The text, or what is wrong with it in words.
pub fn decode(bytes: &[u8]) -> Result<String, &'static str> {
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        // No text has zeros, so every other byte says which UTF-16 this is.
        [_, 0, ..] => utf16(bytes, u16::from_le_bytes),
        [0, _, ..] => utf16(bytes, u16::from_be_bytes),
        _ => utf8(bytes),
    }
}

const NOT_TEXT: &str = "this is not text; save it again as plain text, encoding UTF-8";

fn utf8(bytes: &[u8]) -> Result<String, &'static str> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| "it holds letters in an old encoding; save it again with the encoding UTF-8")?;
    plain(text.to_owned())
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, &'static str> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let text = char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect::<Result<String, _>>();
    match text {
        Ok(text) if rest.is_empty() => plain(text),
        Ok(_) | Err(_) => Err(NOT_TEXT),
    }
}

fn plain(text: String) -> Result<String, &'static str> {
    if text.contains('\0') { Err(NOT_TEXT) } else { Ok(text) }
}

/// Windows line ends, for editors that show nothing else in lines.
pub fn with_crlf(text: &str) -> String {
    text.lines().flat_map(|line| [line, "\r\n"]).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_encoding_of_notepad_is_read() {
        let text = "ssid = Café\r\n";
        let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [
            text.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            [b"\xff\xfe", le.as_slice()].concat(),
            [b"\xfe\xff", be.as_slice()].concat(),
            le,
            be,
        ] {
            assert_eq!(decode(&bytes).as_deref(), Ok(text), "{bytes:?}");
        }
        assert_eq!(decode(b""), Ok(String::new()));
    }

    #[test]
    fn what_is_no_text_is_said_to_be_none() {
        for bytes in [&b"Caf\xe9"[..], b"abc\0def", b"\xff\xfea", b"\xff\xfe\x00\xd8", b"\x89PNG\r\n\x1a\n"] {
            assert!(decode(bytes).unwrap_err().contains("save it again"), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
        }
    }
}

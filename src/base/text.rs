//! Text as editors leave it, on a FAT partition or elsewhere: with or without a byte order mark, UTF-16 from older Notepads,
//! any line ends. Whatever file of text Callbox takes from people is read here.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::unseen::is_unseen;

/// Longest file that is read, in bytes; what is longer is not what was meant.
pub const MAX_BYTES: u64 = 256 * 1024;

/// Why a file gives no text, in words.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is longer than {0} bytes")]
    TooLong(u64),
    #[error("{0}")]
    NotText(&'static str),
}

/// The text of a file of at most `most` bytes.
pub fn read(path: &Path, most: u64) -> Result<String, TextError> {
    read_from(File::open(path)?, most)
}

/// [`read`] of what is open already.
pub fn read_from(source: impl Read, most: u64) -> Result<String, TextError> {
    let mut bytes = Vec::new();
    source.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(TextError::TooLong(most));
    }
    decode(&bytes).map_err(TextError::NotText)
}

/// The one line that is a secret, without what editors and copying leave around it.
pub fn secret(text: &str) -> Result<&str, &'static str> {
    match text.trim_matches(|c: char| c.is_whitespace() || is_unseen(c)) {
        "" => Err("it is empty"),
        secret if secret.contains('\n') => Err("it has several lines, and a secret is one"),
        secret if secret.contains(char::is_control) => Err("it holds a control character"),
        secret => Ok(secret),
    }
}

/// For parsers that look for their own marks in UTF-8, such as those of PEM. What is no text stays as it is: comments
/// there may be in any encoding.
pub fn utf8_where_text(bytes: Vec<u8>) -> Vec<u8> {
    match decode(&bytes) {
        Ok(text) => text.into_bytes(),
        Err(_) => bytes,
    }
}

/// The text with `\n` at the ends of its lines, or what is wrong with it in words.
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
    if text.contains('\0') {
        return Err(NOT_TEXT);
    }
    Ok(if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text })
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
            assert_eq!(decode(&bytes).as_deref(), Ok("ssid = Café\n"), "{bytes:?}");
        }
        assert_eq!(decode(b"a\rb\r\nc\n").as_deref(), Ok("a\nb\nc\n"));
        assert_eq!(decode(b""), Ok(String::new()));
    }

    #[test]
    fn what_is_no_text_is_said_to_be_none() {
        for bytes in [&b"Caf\xe9"[..], b"abc\0def", b"\xff\xfea", b"\xff\xfe\x00\xd8", b"\x89PNG\r\n\x1a\n"] {
            assert!(decode(bytes).unwrap_err().contains("save it again"), "{bytes:?}");
        }
    }

    #[test]
    fn a_secret_is_one_line_without_what_is_around_it() {
        for text in ["s3 cret", " s3 cret\n", "s3 cret\n\n", "\u{feff}s3 cret", "\u{200b}s3 cret\u{a0}\t\n"] {
            assert_eq!(secret(text), Ok("s3 cret"), "{text:?}");
        }
        for (text, why) in [("", "empty"), (" \n\u{200b}", "empty"), ("a\nb", "several lines"), ("a\tb", "control")] {
            assert!(secret(text).unwrap_err().contains(why), "{text:?}");
        }
    }

    #[test]
    fn a_file_has_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, b"\xff\xfea\0\r\0\n\0").unwrap();
        assert_eq!(read(&path, 8).unwrap(), "a\n");
        assert_eq!(read(&path, 7).unwrap_err().to_string(), "it is longer than 7 bytes");
        assert!(
            matches!(read(&dir.path().join("none"), 8), Err(TextError::Io(error)) if error.kind() == io::ErrorKind::NotFound)
        );
        assert!(matches!(read(dir.path(), 8), Err(TextError::Io(_))));
    }

    #[test]
    fn what_is_no_text_stays_bytes() {
        assert_eq!(utf8_where_text(b"\xef\xbb\xbf-----BEGIN X-----\r\n".to_vec()), b"-----BEGIN X-----\n");
        assert_eq!(utf8_where_text(b"Caf\xe9\r\n".to_vec()), b"Caf\xe9\r\n");
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
        }
    }
}

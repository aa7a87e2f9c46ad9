//! What somebody shows in `join` to be let in. It is a secret: nothing here prints it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::MAX_TOKEN_BYTES;

/// At most [`MAX_TOKEN_BYTES`] of text, which only [`Token::secret`] gives away.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Token(Box<str>);

impl Token {
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Token {
    type Error = InvalidToken;

    fn try_from(text: String) -> Result<Token, InvalidToken> {
        if text.len() <= MAX_TOKEN_BYTES { Ok(Token(text.into())) } else { Err(InvalidToken) }
    }
}

impl<'de> Deserialize<'de> for Token {
    /// By way of a `Value`: serde's own errors would quote what was found.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Token, D::Error> {
        let found = match Value::deserialize(deserializer)? {
            Value::String(text) => Token::try_from(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Err(InvalidToken),
        };
        found.map_err(serde::de::Error::custom)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is a text of at most {MAX_TOKEN_BYTES} bytes")]
pub struct InvalidToken;

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn nothing_prints_a_token() {
        let join = |token: Value| serde_json::json!({"type": "join", "userId": "anna", "token": token}).to_string();
        let (message, _) = parse(&join("s3cret".into())).unwrap();
        assert!(!format!("{message:?}").contains("s3cret"));
        assert!(message.to_text().contains(r#""token":"s3cret""#));
        let long = format!("s3cret{}", "x".repeat(MAX_TOKEN_BYTES));
        for token in [Value::from(long), 53.into(), vec!["s3cret"].into(), true.into()] {
            let error = parse(&join(token)).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret") && !error.to_string().contains("53"), "{error}");
        }
        assert!(parse(&join(Value::Null)).is_ok(), "none is shown");
    }
}

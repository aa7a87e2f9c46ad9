//! The notation that codes for setting up share: `SCHEME:K:value;K:value;;`, as phones write it for Wi-Fi. In values a
//! backslash stands before `\`, `;`, `,`, `:` and `"`.

/// Longest code in bytes. A camera of 640x480 reads no larger one, and no setting needs more.
pub const MAX_BYTES: usize = 1024;

/// Why a text is no code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    #[error("it is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error("it does not end with \";;\": a part is missing")]
    Unfinished,
    #[error("{0:?} is no field; a field is KEY:value")]
    NotAField(String),
    #[error("the field {0} is there twice")]
    Twice(String),
    #[error("it holds control characters")]
    Control,
}

/// Keys and values in the order they stand, unescaped.
pub type Fields = Vec<(String, String)>;

/// Reads what stands behind the scheme. Each key is there once; nothing follows the end.
pub fn parse(body: &str) -> Result<Fields, FieldError> {
    if body.len() > MAX_BYTES {
        return Err(FieldError::TooLong);
    }
    if body.chars().any(char::is_control) {
        return Err(FieldError::Control);
    }
    let mut fields = Fields::new();
    // A code ends with an empty field.
    for raw in split(body, ';').ok_or(FieldError::Unfinished)? {
        let Some((key, value)) = raw.split_once(':') else { return Err(FieldError::NotAField(raw)) };
        if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(FieldError::NotAField(raw));
        }
        if fields.iter().any(|(known, _)| known == key) {
            return Err(FieldError::Twice(key.to_owned()));
        }
        let value = unescape(value).ok_or_else(|| FieldError::NotAField(raw.clone()))?;
        fields.push((key.to_owned(), value));
    }
    Ok(fields)
}

/// `K:value;K:value;;`
pub fn write(fields: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (key, value) in fields {
        text.push_str(key);
        text.push(':');
        for c in value.chars() {
            if SPECIAL.contains(&c) {
                text.push('\\');
            }
            text.push(c);
        }
        text.push(';');
    }
    text.push(';');
    text
}

const SPECIAL: [char; 5] = ['\\', ';', ',', ':', '"'];

/// The parts before each unescaped `end`, up to an empty one, which must come last.
fn split(body: &str, end: char) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut chars = body.chars();
    loop {
        match chars.next()? {
            c if c == end && part.is_empty() => break,
            c if c == end => parts.push(std::mem::take(&mut part)),
            '\\' => part.extend(['\\', chars.next()?]),
            c => part.push(c),
        }
    }
    chars.as_str().trim().is_empty().then_some(parts)
}

fn unescape(raw: &str) -> Option<String> {
    let mut value = String::new();
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        value.push(if c == '\\' { chars.next()? } else { c });
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_read_as_phones_write_them() {
        let fields = parse(r#"T:WPA;S:\"Home\";P:a\;b\:c\\d\,e;;"#).unwrap();
        let expected = [("T", "WPA"), ("S", "\"Home\""), ("P", r"a;b:c\d,e")];
        assert_eq!(fields, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
        // Not everything that may be escaped is.
        assert_eq!(parse("S:a:b;;").unwrap()[0].1, "a:b");
        assert_eq!(parse(";").unwrap(), Fields::new());
    }

    #[test]
    fn what_is_no_code_is_refused() {
        for (text, error) in [
            ("S:a", FieldError::Unfinished),
            ("S:a;", FieldError::Unfinished),
            (r"S:a\", FieldError::Unfinished),
            ("S:a;;x", FieldError::Unfinished),
            ("Sa;;", FieldError::NotAField("Sa".into())),
            (":a;;", FieldError::NotAField(":a".into())),
            ("S:a;S:b;;", FieldError::Twice("S".into())),
            ("S:a\n;;", FieldError::Control),
        ] {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
        assert_eq!(parse(&"x".repeat(MAX_BYTES + 1)), Err(FieldError::TooLong));
    }

    proptest! {
        #[test]
        fn reading_undoes_writing(values in prop::collection::vec("[^\\p{C}]{0,20}", 0..6)) {
            let keys = ["A", "B", "C", "D", "E", "F"];
            let fields: Vec<(&str, &str)> = keys.into_iter().zip(values.iter().map(String::as_str)).collect();
            let read = parse(&write(&fields)).unwrap();
            let read: Vec<(&str, &str)> = read.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            prop_assert_eq!(read, fields);
        }

        #[test]
        fn no_text_is_too_odd(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}

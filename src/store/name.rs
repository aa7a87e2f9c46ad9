//! The names of people: which ones can be told apart, which IDs come from them, and which one was meant.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;

use crate::base::unseen::is_unseen;
use crate::protocol::MAX_ID_BYTES;

/// Longest name in bytes of UTF-8.
const MAX_NAME_BYTES: usize = 64;

/// A text that can be nobody's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be a name: a name has 1 to {MAX_NAME_BYTES} bytes, and no control or invisible characters")]
pub struct InvalidName(pub String);

/// The name without the blanks around it, in the one form of those that look the same.
pub(super) fn checked(name: &str) -> Result<String, InvalidName> {
    let composed = composed(name.trim());
    let hidden = |c: char| c.is_control() || is_unseen(c);
    match (1..=MAX_NAME_BYTES).contains(&composed.len()) && !composed.contains(hidden) {
        true => Ok(composed.into_owned()),
        false => Err(InvalidName(name.to_owned())),
    }
}

/// What two names have in common that differ in case only.
pub(super) fn folded(name: &str) -> String {
    composed(name.trim()).to_lowercase()
}

/// Some keyboards write "ä" as one character and some as two (Unicode's Normalization Form C is the former).
fn composed(name: &str) -> Cow<'_, str> {
    const { ComposingNormalizerBorrowed::new_nfc() }.normalize(name)
}

/// The IDs that somebody of that name may get, without end and in order: "aunt-mae", "aunt-mae-2", "aunt-mae-3".
pub(super) fn user_ids(name: &str) -> impl Iterator<Item = String> {
    let stem = stem(name);
    (1u64..).map(move |number| match number {
        1 => stem.clone(),
        _ => {
            let suffix = format!("-{number}");
            format!("{}{suffix}", cut(&stem, MAX_ID_BYTES - suffix.len()).trim_end_matches('-'))
        }
    })
}

/// What a browser or program calls itself, as one line that can be shown.
pub(super) fn label(text: &str) -> String {
    let seen: String = text.chars().filter(|c| !c.is_control() && !is_unseen(*c)).collect();
    cut(seen.trim(), MAX_NAME_BYTES).trim_end().to_owned()
}

/// The one of `known` that somebody may have meant who wrote `text`.
pub(super) fn nearest<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = folded(text).chars().collect();
    let far = |name: &str| edits(&wanted, &folded(name).chars().collect::<Vec<_>>());
    let nearest = known.map(|name| (far(name), name)).min();
    // Two letters of a short name are all of it.
    nearest.filter(|(far, _)| *far <= 2 && far * 2 < wanted.len().max(2)).map(|(_, name)| name)
}

/// Letters and digits in lower case, with '-' for what stands between words.
fn stem(name: &str) -> String {
    let mut stem = String::new();
    for c in folded(name).chars() {
        match c {
            // Some letters show nothing.
            _ if is_unseen(c) => {}
            _ if c.is_alphanumeric() => stem.push(c),
            _ if (c.is_ascii() || c.is_whitespace()) && !stem.ends_with('-') => stem.push('-'),
            _ => {}
        }
    }
    match cut(stem.trim_matches('-'), MAX_ID_BYTES).trim_end_matches('-') {
        "" => "person".to_owned(),
        stem => stem.to_owned(),
    }
}

/// As many whole characters as have room in so many bytes.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// How many letters have to be changed, added or left out (Levenshtein).
fn edits(from: &[char], to: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, a) in from.iter().enumerate() {
        let mut next = vec![at + 1];
        let mut last = at + 1;
        for ((b, above), both) in to.iter().zip(row.iter().skip(1)).zip(&row) {
            last = (both + usize::from(a != b)).min(above + 1).min(last + 1);
            next.push(last);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::UserId;

    #[test]
    fn a_name_can_be_read() {
        assert_eq!(checked(" Aunt Mae "), Ok("Aunt Mae".to_owned()));
        assert!(checked(&"ä".repeat(32)).is_ok());
        for bad in ["", "  ", &"ä".repeat(33), "an\nna", "an\u{200b}na", "\u{202e}anna"] {
            assert_eq!(checked(bad), Err(InvalidName(bad.to_owned())));
        }
        assert_eq!(folded(" ÄNNE"), folded("änne"));
    }

    #[test]
    fn one_name_has_one_form() {
        assert_eq!(checked("A\u{308}nne"), Ok("\u{c4}nne".to_owned()));
        assert_eq!(folded("a\u{308}nne"), folded("\u{c4}NNE"));
        assert_eq!(user_ids("Jose\u{301}").next(), user_ids("Jos\u{e9}").next());
        // What counts are the bytes of the form that is kept.
        assert!(checked(&"a\u{308}".repeat(32)).is_ok());
    }

    #[test]
    fn an_id_comes_from_the_name() {
        for (name, id) in [
            ("Anna", "anna"),
            ("Aunt  Mae!", "aunt-mae"),
            ("O'Brien", "o-brien"),
            ("Jürgen-Ørsted 2", "jürgen-ørsted-2"),
            ("玄関", "玄関"),
            ("🔔", "person"),
            ("-.-", "person"),
            ("An\u{3164}na", "anna"),
            ("\u{3164}", "person"),
        ] {
            assert_eq!(user_ids(name).take(3).collect::<Vec<_>>(), [id, &format!("{id}-2"), &format!("{id}-3")]);
        }
    }

    #[test]
    fn a_label_is_one_short_line() {
        assert_eq!(label(" Fire\u{200b}fox\n on Android "), "Firefox on Android");
        assert_eq!(label(&"ä".repeat(40)), "ä".repeat(32));
    }

    #[test]
    fn a_slip_is_understood_and_a_guess_is_not() {
        let known = ["Anna", "Ben", "Aunt Mae"];
        for (text, meant) in [
            ("Ana", Some("Anna")),
            ("anan", None),
            ("aunt may", Some("Aunt Mae")),
            ("Bem", Some("Ben")),
            ("Jo", None),
            ("", None),
            ("Christine", None),
        ] {
            assert_eq!(nearest(text, known.into_iter()), meant, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_name_has_ids(name in "\\PC{1,64}") {
            for id in user_ids(&name).take(12) {
                prop_assert!(id.parse::<UserId>().is_ok(), "{id:?}");
            }
            prop_assert!(label(&name).len() <= MAX_NAME_BYTES);
        }
    }
}

//! What single values must look like: IDs, numbers, files. Each function takes what was written and returns the value, or
//! nothing where it cannot be.

use std::path::{Path, PathBuf};

use super::Token;
use super::layers::{Node, Value};
use super::surroundings::Surroundings;
use crate::base::text;
use crate::base::unseen::without_unseen;
use crate::protocol::{self, UserId};

/// In place of a path: a credential of the systemd unit.
const CREDENTIAL: &str = "credential:";
/// Longest secret in bytes; longer files are not what was meant.
const MAX_SECRET_BYTES: u64 = 4096;

pub(super) fn id(text: &str) -> Option<UserId> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.len() <= 63 && text.chars().all(allowed) { text.parse().ok() } else { None }
}

/// Without what nobody would see of it.
pub(super) fn name(text: &str) -> Option<String> {
    let seen = without_unseen(text);
    let name = seen.trim();
    let fits = (1..=protocol::MAX_NAME_BYTES).contains(&name.len()) && !text.contains(char::is_control);
    fits.then(|| name.to_owned())
}

/// Of a file in a directory that is known.
pub(super) fn file_name(text: &str) -> Option<String> {
    let fits = (1..=255).contains(&text.len()) && ![".", ".."].contains(&text);
    (fits && !text.contains(['/', '\0']) && !text.contains(char::is_control)).then(|| text.to_owned())
}

/// An even number of pixels up to `most`.
pub(super) fn pixels(number: i64, most: u32) -> Option<u32> {
    number_up_to(number, 16, most).filter(|pixels| pixels % 2 == 0)
}

pub(super) fn number_up_to(number: i64, least: u32, most: u32) -> Option<u32> {
    u32::try_from(number).ok().filter(|number| (least..=most).contains(number))
}

/// The trimmed contents of a file that holds one secret, or of a credential that systemd keeps for the unit.
pub(super) fn secret(node: &Node, surroundings: &Surroundings) -> Result<Token, Option<String>> {
    let text = node.value.as_text().filter(|text| !text.is_empty()).ok_or(None)?;
    let Some(name) = text.strip_prefix(CREDENTIAL) else {
        let file = node.origin.resolve(Path::new(text));
        return Ok(Token { secret: secret_in(&file)?, file });
    };
    if name.is_empty()
        || name.len() > 255
        || name.starts_with('.')
        || !name.bytes().all(|b| b.is_ascii_graphic() && b != b'/')
    {
        return Err(None);
    }
    let secret = match surroundings.credentials() {
        Some(dir) if dir.join(name).exists() => secret_in(&dir.join(name))?,
        _ if !surroundings.credentials_needed => String::new(),
        Some(_) => {
            return Err(Some(format!(
                "systemd has no such credential: put it into /etc/credstore/{name}, and LoadCredential={name} into the unit"
            )));
        }
        None => return Err(Some("only a systemd unit with LoadCredential= is given credentials".to_owned())),
    };
    Ok(Token { secret, file: text.into() })
}

fn secret_in(path: &Path) -> Result<String, String> {
    let fail = |why: &dyn std::fmt::Display| format!("{} cannot be read: {why}", path.display());
    let metadata = std::fs::metadata(path).map_err(|e| fail(&e))?;
    if !metadata.is_file() {
        return Err(fail(&"it is not a file"));
    }
    let text = text::read(path, MAX_SECRET_BYTES).map_err(|e| fail(&e))?;
    text::secret(&text).map(str::to_owned).map_err(|e| fail(&e))
}

/// A file that can be opened now, rather than a surprise later.
pub(super) fn readable_file(node: &Node) -> Result<PathBuf, Option<String>> {
    let Value::Text(text) = &node.value else { return Err(None) };
    let path = node.origin.resolve(Path::new(text));
    if text.is_empty() {
        return Err(None);
    }
    match std::fs::metadata(&path).and_then(|metadata| std::fs::File::open(&path).map(|_| metadata.is_file())) {
        Ok(true) => Ok(path),
        Ok(false) => Err(Some(format!("{} is not a file", path.display()))),
        Err(error) => Err(Some(format!("{} cannot be read: {error}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names() {
        assert!(id("front-door_2.hall").is_some() && id(&"x".repeat(63)).is_some());
        for bad in ["", "a b", "a/b", "ä", &"x".repeat(64)] {
            assert!(id(bad).is_none(), "{bad}");
        }
        assert_eq!(file_name("input3::capslock").as_deref(), Some("input3::capslock"));
        assert!(["", ".", "..", "a/b", "/sys", "a\nb"].iter().all(|bad| file_name(bad).is_none()));
        assert_eq!(name(" Front door ").as_deref(), Some("Front door"));
        assert_eq!(name("\u{202e}Front\u{200b} door \u{2069}").as_deref(), Some("Front door"));
        assert!(name("\u{200b}").is_none() && id("do\u{200b}or").is_none());
        assert!(name(" ").is_none() && name("a\tb").is_none() && name(&"x".repeat(129)).is_none());
    }
}

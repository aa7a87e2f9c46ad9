//! The first owner's link on a card: the daemon makes it at its first start, and whoever has the card in hand finds it in
//! the report until somebody has used it.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::report;
use crate::config::{Config, FIRST_LINK};

/// Bytes of the file.
const MAX_LINK: u64 = 1024;
/// What stands between the page's address and the secret.
const MARK: &str = "#invite=";
/// What stands between the secret and the household's key.
const SITE: &str = "&site=";
/// Characters of either.
const LENGTH: usize = 43;

/// The link, at the address by which the report names the page. What the daemon's directory holds is not trusted: only a
/// secret and a key are taken from it.
pub fn first_link(daemon: &Path, config: &Config, host: &str) -> Option<String> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(daemon.join(FIRST_LINK))
        .ok()
        .filter(|file| file.metadata().is_ok_and(|found| found.is_file()))?;
    let mut text = String::new();
    opened.take(MAX_LINK).read_to_string(&mut text).ok()?;
    let (_, shown) = text.trim().rsplit_once(MARK)?;
    let (secret, site) = shown.split_once(SITE)?;
    let is_sound = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let are_sound = [secret, site].iter().all(|text| text.len() == LENGTH && text.chars().all(is_sound));
    let page = report::page(config, host)?;
    are_sound.then(|| format!("{page}{MARK}{secret}{SITE}{site}"))
}

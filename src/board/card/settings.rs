//! `callbox.toml` from the boot partition: read as any editor leaves it, judged by the loader that the daemon uses, and
//! kept together with the files it names beside itself.

use std::path::{Component, Path, PathBuf};
use std::{fs, io};

use super::storage;
use crate::base::durable::{self, Access};
use crate::base::text::{self, MAX_BYTES};
use crate::board::{Places, SETTINGS, SUPPLICANT};
use crate::config::{Config, Loaded, Origin, Surroundings};

/// What the card is written with. It is in force too where there is no file at all.
pub const TEMPLATE: &str = include_str!("../../../image/boot/callbox.toml");
/// The networks that it is written with: none.
pub const WIFI_TEMPLATE: &str = include_str!("../../../image/boot/wifi.txt");

/// Settings that the daemon can start with.
pub struct Settings {
    text: String,
    /// What keys such as token_file name beside the settings: path below the partition, contents.
    files: Vec<(PathBuf, Vec<u8>)>,
}

/// Something wrong with the settings.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// From 1, where it is known.
    pub line: Option<usize>,
    pub what: String,
}

impl Settings {
    /// Those of the template.
    pub fn template() -> Settings {
        Settings { text: TEMPLATE.to_owned(), files: Vec::new() }
    }

    /// Reads `file` and what it names beside itself.
    pub fn read(file: &Path, places: &Places) -> Result<Settings, Vec<Fault>> {
        let whole = |what: String| vec![Fault { line: None, what }];
        let text = storage::moved(places, &decoded(file).map_err(whole)?);
        // For trying it out; nothing stays there.
        let trial = &places.run.join("trial");
        let mut settings = Settings { text, files: Vec::new() };
        let dir = file.parent().unwrap_or(Path::new(""));
        for name in files_beside(&settings.text) {
            if let Ok(bytes) = bytes(&dir.join(&name)) {
                settings.files.push((name, text::utf8_where_text(bytes)));
            }
        }
        let tried = settings.store(trial, Access::PRIVATE).map_err(|e| whole(format!("it cannot be tried out: {e}")));
        let judged = tried.and_then(|()| settings.judge(trial));
        let _ = fs::remove_dir_all(trial);
        judged.map(|()| settings)
    }

    /// Whether they differ from those the card is written with.
    pub fn edited(&self) -> bool {
        edited(&self.text)
    }

    /// Puts them in force in `dir`, the settings last.
    pub fn store(&self, dir: &Path, access: Access) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        for (name, contents) in &self.files {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap_or(dir))?;
            durable::replace_if_different(&path, contents, access)?;
        }
        durable::replace_if_different(&dir.join(SETTINGS), self.text.as_bytes(), access).map(|_| ())
    }

    fn judge(&self, dir: &Path) -> Result<(), Vec<Fault>> {
        let Err(error) = load(dir) else { return Ok(()) };
        let here = format!("{}/", dir.display());
        let mut faults: Vec<Fault> = error
            .problems()
            .iter()
            .map(|problem| Fault {
                line: if let Origin::File { line, .. } = problem.origin { Some(line) } else { None },
                what: problem.message.replace(&here, ""),
            })
            .collect();
        let curly = |line: &usize| self.text.lines().nth(line.saturating_sub(1)).is_some_and(has_curly_quotes);
        if let Some(line) = faults.iter().filter_map(|fault| fault.line).find(curly) {
            let what = "the quotation marks are curly, as word processors make them; write straight ones: \"";
            faults.insert(0, Fault { line: Some(line), what: what.to_owned() });
        }
        Err(faults)
    }
}

/// Whether a line has curly marks where straight ones belong. Between straight ones and in comments they are text.
fn has_curly_quotes(line: &str) -> bool {
    line.chars()
        .find(|c| "\"'#\u{201c}\u{201d}\u{201e}\u{2018}\u{2019}\u{201a}".contains(*c))
        .is_some_and(|c| !c.is_ascii())
}

/// Whether a file's text says anything else than the template. Comments do not count.
pub fn edited(text: &str) -> bool {
    text.parse::<toml::Table>().ok() != TEMPLATE.parse::<toml::Table>().ok()
}

/// The settings in force in `dir`, as the daemon of a board without a name would read them.
pub fn load(dir: &Path) -> Result<Loaded, crate::config::ConfigError> {
    Config::load_in(Some(&dir.join(SETTINGS)), &Surroundings { credentials_needed: false, ..Surroundings::bare() })
}

/// A file's text, or why there is none, in words.
pub fn decoded(path: &Path) -> Result<String, String> {
    bytes(path)
        .map_err(|error| format!("it cannot be read: {error}"))
        .and_then(|bytes| text::decode(&bytes).map_err(str::to_owned))
}

/// A small file.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return Err(io::Error::other(format!("it is no file of at most {} KiB", MAX_BYTES / 1024)));
    }
    fs::read(path)
}

/// The files that settings name beside themselves.
pub fn files_beside(text: &str) -> Vec<PathBuf> {
    // What is no TOML is the loader's to explain, with its line.
    let table: toml::Table = text.parse().unwrap_or_default();
    let mut named = Vec::new();
    files_named(&table, &mut named);
    named
}

/// Values of keys such as token_file that stay below the settings' directory.
fn files_named(table: &toml::Table, found: &mut Vec<PathBuf>) {
    for (key, value) in table {
        match value {
            toml::Value::Table(table) => files_named(table, found),
            toml::Value::Array(items) => items.iter().filter_map(toml::Value::as_table).for_each(|table| {
                files_named(table, found);
            }),
            toml::Value::String(path) if key.ends_with("_file") && is_below(Path::new(path)) => found.push(path.into()),
            _ => {}
        }
    }
}

/// A relative path without a way up, to none of the files that the import keeps.
fn is_below(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_)))
        && path.components().next().is_some()
        && ![SETTINGS, SUPPLICANT].iter().any(|ours| path == Path::new(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Card(tempfile::TempDir);

    impl Card {
        fn with(text: &[u8]) -> Card {
            let card = Card(tempfile::tempdir().unwrap());
            fs::write(card.0.path().join(SETTINGS), text).unwrap();
            card
        }

        fn read(&self) -> Result<Settings, Vec<Fault>> {
            Settings::read(&self.0.path().join(SETTINGS), &Places::below(self.0.path()))
        }
    }

    #[test]
    fn the_template_is_good_and_unedited() {
        let settings = Card::with(&TEMPLATE.replace('\n', "\r\n").into_bytes()).read().unwrap();
        assert!(!settings.edited());
        assert!(Card::with(b"device.id = 'door'").read().unwrap().edited());
        let config = Config::from_toml(TEMPLATE).unwrap();
        assert!(!config.is_local() && config.server.http_listen.is_some());
    }

    #[test]
    fn each_setting_the_template_offers_is_possible() {
        let setting = |line: &str| line.strip_prefix('#').filter(|l| !l.starts_with(' ')).unwrap_or(line).to_owned();
        let text: Vec<String> = TEMPLATE.lines().map(setting).collect();
        let card = Card::with(text.join("\n").as_bytes());
        fs::write(card.0.path().join("token.txt"), "\u{feff}s3cret\r\n").unwrap();
        let settings = card.read().unwrap();
        let state = card.0.path().join("state");
        settings.store(&state, Access::PRIVATE).unwrap();
        let config = load(&state).unwrap().config;
        assert_eq!(config.signaling.token.unwrap().secret, "s3cret");
        assert_eq!(config.device.id.as_str(), "front-door");
        assert!(!Places::below(card.0.path()).run.join("trial").exists());
    }

    #[test]
    fn faults_have_lines_and_no_paths_of_ours() {
        let faults = Card::with(b"[camera]\nwidht = 3\n[signaling]\ntoken_file = \"t.txt\"").read().err().unwrap();
        assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [Some(2), Some(4)]);
        assert!(faults[0].what.contains("did you mean camera.width?"));
        assert!(faults[1].what.contains("t.txt cannot be read") && !faults[1].what.contains("trial"), "{faults:?}");
        let faults = Card::with("[device]\nid = “door”".as_bytes()).read().err().unwrap();
        assert!(faults[0].line == Some(2) && faults[0].what.contains("curly"), "{faults:?}");
        for innocent in
            ["name = \"“The” door\"\nwidht = 3", "# “door”\nwidht = 3", "wi = \"“\"", "wi = 3 # “three”", "’ = 1"]
        {
            let faults = Card::with(innocent.as_bytes()).read().err().unwrap();
            assert_eq!(faults.iter().any(|fault| fault.what.contains("curly")), innocent == "’ = 1", "{faults:?}");
        }
        assert!(Card::with(b"caf\xe9 = 1").read().err().unwrap()[0].what.contains("UTF-8"));
        assert!(!is_below(Path::new("../x")) && !is_below(Path::new("/etc/x")) && !is_below(Path::new(SUPPLICANT)));
    }
}

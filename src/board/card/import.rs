//! Takes what people wrote on the boot partition, at each start. What is broken there changes nothing: the last good
//! settings stay in force, and a report says so. Every file is written whole or not at all, so that the plug may be
//! pulled at any moment.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::report::{self, CORRECT, Report};
use super::settings::{self, Settings};
use super::{led, owner, reset, storage};
use crate::base::durable::{self, Access};
use crate::base::text::with_crlf;
use crate::board::wifi::network::{Key, Network};
use crate::board::wifi::{self, Wifi, keyfile, supplicant};
use crate::board::{AWAITS_CODE, CODE_REQUEST, Places, REPORT, SETTINGS, SUPPLICANT, WIFI, WIFI_TROUBLE};
use crate::config::COMMISSIONED;

/// How an import went.
#[derive(Debug)]
pub struct Import {
    /// For people; the same is on the boot partition.
    pub report: String,
    /// How many things need somebody's attention.
    pub problems: usize,
    /// Whether the daemon can start with what is in force.
    pub usable: bool,
    /// Whether the card holds more than what it was written with.
    pub configured: bool,
    /// Whether a code may set the board up.
    pub awaits_code: bool,
}

const CARD: &str = "the boot partition of the card";
const STORAGE: &str = "the board's own storage";
const CHECK_CARD: &str = "put the card into a computer, check that its files can be opened, else write it anew";
const CHECK_STORAGE: &str = "start the board again; if this stays, write the card anew";

/// Reads the boot partition, puts in force what is good there, and says how it went.
pub fn import(places: &Places) -> Import {
    let mut work = Work { places, report: Report::default(), access: daemon_may_read(&places.root) };
    work.make_directories();
    reset::reset(places, &mut work.report);
    let files = work.files_on_card();
    let edited = work.settings(files.as_deref());
    let wifi = work.wifi(files.as_deref());
    let usable = work.facts();
    let configured = edited || wifi;
    let awaits_code = work.code(configured, files.as_deref().unwrap_or_default());
    work.finish(usable, configured, awaits_code)
}

struct Work<'a> {
    places: &'a Places,
    report: Report,
    /// For the settings, which may hold a password: root's, readable for the daemon.
    access: Access,
}

impl Work<'_> {
    fn make_directories(&mut self) {
        let made = fs::create_dir_all(&self.places.run);
        if let Err(error) = made {
            self.report.problem(self.places.run.display().to_string(), error.to_string(), CHECK_STORAGE);
        }
        let state = storage::directory(&self.places.state, self.access)
            .and_then(|()| storage::take_over(self.places, self.access));
        if let Err(error) = state {
            self.report.problem(STORAGE, said(&error), CHECK_STORAGE);
        }
    }

    /// Names and paths, or `None` where the partition is not there.
    fn files_on_card(&mut self) -> Option<Vec<(String, PathBuf)>> {
        let listed = files(&self.places.boot);
        match listed {
            // The partition always holds the firmware; an empty directory is one that nothing is mounted on.
            Ok(files) if files.is_empty() => self.report.problem(CARD, "it could not be mounted", CHECK_CARD),
            Ok(files) => return Some(files),
            Err(error) => self.report.problem(CARD, said(&error), CHECK_CARD),
        }
        None
    }

    /// Puts settings in force. Returns whether somebody has edited them.
    fn settings(&mut self, files: Option<&[(String, PathBuf)]>) -> bool {
        // Windows hides the end of a name, so that a file may be called callbox.toml.txt without anybody seeing it.
        let on_card = |files: &[(String, PathBuf)]| {
            let file = |name: &str| files.iter().find(|(n, _)| n == name).map(|(_, path)| path.clone());
            file(SETTINGS).or_else(|| file(&format!("{SETTINGS}.txt")))
        };
        let settings = match files.map(on_card) {
            Some(Some(file)) => match Settings::read(&file, self.places) {
                Ok(settings) => settings,
                Err(faults) => {
                    for fault in faults {
                        self.report.problem(place(&file, fault.line), fault.what, CORRECT);
                    }
                    return self.keep_settings();
                }
            },
            Some(None) => Settings::template(),
            None => return self.keep_settings(),
        };
        if let Err(error) = settings.store(&self.places.state, self.access) {
            self.report.problem(STORAGE, format!("the settings cannot be kept: {}", said(&error)), CHECK_STORAGE);
            self.report.kept("The settings of an earlier start are in force, if there were any.");
        }
        settings.edited()
    }

    /// For settings that are broken or out of reach.
    fn keep_settings(&mut self) -> bool {
        if settings::load(&self.places.state).is_ok() {
            self.report.kept(format!("The last good {SETTINGS} is in force."));
            return true;
        }
        self.report
            .kept("There is no earlier copy, so the settings that the card was first written with are in force.");
        if let Err(error) = Settings::template().store(&self.places.state, self.access) {
            self.report.problem(STORAGE, format!("the settings cannot be kept: {}", said(&error)), CHECK_STORAGE);
        }
        true
    }

    /// Writes what wpa_supplicant reads. Returns whether there is a network.
    fn wifi(&mut self, files: Option<&[(String, PathBuf)]>) -> bool {
        let kept = self.places.state.join(SUPPLICANT);
        let text = match files {
            Some(files) => {
                let Wifi { networks, country, problems, .. } = self.networks(files);
                match networks[..] {
                    [] if problems.is_empty() => None,
                    [] => self.keep_wifi(&kept),
                    [..] => {
                        self.report.fact("Wi-Fi", in_words(&networks));
                        Some(supplicant::configuration(&networks, country))
                    }
                }
            }
            None => self.keep_wifi(&kept),
        };
        let run = self.places.run.join(SUPPLICANT);
        let written = match &text {
            Some(text) => durable::replace_if_different(&run, text.as_bytes(), Access::PRIVATE).and_then(|changed| {
                durable::replace_if_different(&kept, text.as_bytes(), Access::PRIVATE).map(|_| changed)
            }),
            None => durable::remove(&run).and_then(|()| durable::remove(&kept)).map(|()| true),
        };
        let trouble = self.places.run.join(WIFI_TROUBLE);
        let forgotten = match written {
            // What the watch had to tell was about other networks.
            Ok(true) => durable::remove(&trouble),
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = forgotten {
            self.report.problem(STORAGE, format!("the networks cannot be kept: {}", said(&error)), CHECK_STORAGE);
        }
        // What is wrong, and on the next line what to do.
        if let Ok(text) = fs::read_to_string(trouble) {
            let (what, remedy) = text.trim_end().split_once('\n').unwrap_or((text.trim_end(), CORRECT));
            self.report.problem("Wi-Fi", what, remedy.to_owned());
        }
        text.is_some()
    }

    /// All networks on the card; mistakes are reported.
    fn networks(&mut self, files: &[(String, PathBuf)]) -> Wifi {
        let mut all = Wifi::default();
        for (name, path) in files {
            let read = match name.as_str() {
                name if name == WIFI || name == format!("{WIFI}.txt") => wifi::read,
                name if name.ends_with(".nmconnection") => keyfile::read,
                _ => continue,
            };
            match settings::decoded(path) {
                Ok(text) => {
                    let Wifi { networks, country, problems, notes } = read(&text);
                    for note in &notes {
                        self.report.note(place(path, Some(note.line)), &note.what);
                    }
                    for problem in &problems {
                        self.report.problem(place(path, Some(problem.line)), problem.what.clone(), CORRECT);
                    }
                    all.networks.extend(networks);
                    all.country = all.country.or(country);
                    all.problems.extend(problems);
                }
                Err(what) => {
                    self.report.problem(place(path, None), what.clone(), CORRECT);
                    all.problems.push(wifi::Mistake { line: 1, what });
                }
            }
        }
        all
    }

    fn keep_wifi(&mut self, kept: &Path) -> Option<String> {
        let text = fs::read_to_string(kept).ok();
        self.report.kept(match text {
            Some(_) => "The last good Wi-Fi networks stay in use.",
            None => "There is no Wi-Fi; a network cable works.",
        });
        text
    }

    /// Names the board, and says where it is. Returns whether there are settings to start with.
    fn facts(&mut self) -> bool {
        let config = match settings::load(&self.places.state) {
            Ok(loaded) => loaded.config,
            Err(error) => {
                self.report.problem(STORAGE, format!("there are no settings to start with: {error}"), CHECK_STORAGE);
                return false;
            }
        };
        let host = host_name(config.device.id.as_str());
        if let Err(error) = set_host_name(&self.places.root, &host) {
            self.report.problem("the host name", format!("{host} cannot be set: {}", said(&error)), CHECK_STORAGE);
        }
        self.report.fact("Device", format!("{} ({})", config.device.name, config.device.id));
        self.report.fact("Page", report::pages(&config, &host));
        if let Some(link) = owner::first_link(&self.places.daemon, &config, &host) {
            self.report.fact("Owner", format!("nobody yet. Whoever opens this link first is: {link}"));
        }
        true
    }

    /// Whether a code in front of the camera counts. A board that has served takes none from strangers, though its settings
    /// be those that every card is written with.
    fn code(&mut self, configured: bool, files: &[(String, PathBuf)]) -> bool {
        let requested = files.iter().any(|(name, _)| is_request(name));
        // A link there would be the daemon's own doing; it is there.
        let commissioned = fs::symlink_metadata(self.places.daemon.join(COMMISSIONED)).is_ok();
        if requested {
            let what = format!("looked for five minutes after each start, while the card holds {CODE_REQUEST}");
            self.report.fact("Code", what);
        } else if !configured && commissioned {
            self.report.fact("Code", format!("taken again once the card holds an empty file named {CODE_REQUEST}"));
        }
        requested || !(configured || commissioned)
    }

    fn finish(self, usable: bool, configured: bool, awaits_code: bool) -> Import {
        let Work { places, report, .. } = self;
        let mut text = report.text();
        let on_card = places.boot.join(REPORT);
        if let Err(error) = durable::replace_if_different(&on_card, with_crlf(&text).as_bytes(), Access::PUBLIC) {
            text.push_str(&format!("\nThis report cannot be written to {CARD}: {}.\n", said(&error)));
        }
        let flag = places.run.join(AWAITS_CODE);
        let marked = if awaits_code { durable::replace(&flag, b"", Access::PUBLIC) } else { durable::remove(&flag) };
        // It may hold the first owner's link.
        let noted = durable::replace(&places.run.join("report"), text.as_bytes(), Access::PRIVATE);
        if let Err(error) = marked.and(noted) {
            log::warn!(dir:% = places.run.display(), error:%; "the report cannot be written");
        }
        led::attention(&places.root, &places.run, report.problems() > 0);
        Import { report: text, problems: report.problems(), usable, configured, awaits_code }
    }
}

/// Small names and paths of what is on the boot partition, sorted.
pub fn files(boot: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let named = |entry: fs::DirEntry| Some((entry.file_name().to_str()?.to_lowercase(), entry.path()));
    let entries = fs::read_dir(boot)?.collect::<Result<Vec<_>, _>>()?;
    let mut files: Vec<_> = entries.into_iter().filter_map(named).collect();
    files.sort();
    Ok(files)
}

/// The files on the boot partition that ask for a code.
pub fn asks_for_code(boot: &Path) -> Vec<(String, PathBuf)> {
    files(boot).unwrap_or_default().into_iter().filter(|(name, _)| is_request(name)).collect()
}

/// Windows hides the end of a name.
fn is_request(name: &str) -> bool {
    name.strip_suffix(".txt").unwrap_or(name) == CODE_REQUEST
}

fn in_words(networks: &[Network]) -> String {
    let open = |network: &Network| if network.key == Key::Open { " (open, no password)" } else { "" };
    networks.iter().map(|network| format!("{}{}", network.name(), open(network))).collect::<Vec<_>>().join(", ")
}

fn place(file: &Path, line: Option<usize>) -> String {
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
    line.map_or(name.to_string(), |line| format!("{name}, line {line}"))
}

/// An error of the file system for people who do not know its names.
pub fn said(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "it is full".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "it can only be read".to_owned(),
        io::ErrorKind::NotFound => "it is not there".to_owned(),
        _ => error.to_string(),
    }
}

/// Mode 0640 with the daemon's group where this is root and the user is there.
pub fn daemon_may_read(root: &Path) -> Access {
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let users = fs::read_to_string(root.join("etc/passwd")).unwrap_or_default();
    let line = users.lines().find(|line| line.starts_with("callbox:"));
    let group: Option<u32> = line.and_then(|line| line.split(':').nth(3)).and_then(|group| group.parse().ok());
    match group {
        Some(group) if is_root => Access { mode: 0o640, owner: Some((0, group)) },
        Some(_) | None => Access { mode: 0o600, owner: None },
    }
}

/// A device ID as a host name (RFC 1123).
pub fn host_name(id: &str) -> String {
    let name: String =
        id.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(63).collect();
    match name.trim_matches('-') {
        "" => "callbox".to_owned(),
        name => name.to_owned(),
    }
}

/// Of the running system and of the next start.
fn set_host_name(root: &Path, name: &str) -> io::Result<()> {
    let line = format!("{name}\n");
    let kernel = root.join("proc/sys/kernel/hostname");
    if fs::read_to_string(&kernel).is_ok_and(|present| present != line) {
        fs::write(&kernel, &line)?;
    }
    durable::replace_if_different(&root.join("etc/hostname"), line.as_bytes(), Access::PUBLIC).map(|_| ())
}

//! What a configuration takes from the machine: the environment, the host name, and whether the process is root.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rustix::process::{Resource, getrlimit};
use rustix::system::sysinfo;

use crate::protocol::UserId;

/// Least `[server] max_connections`.
pub(super) const MIN_CONNECTIONS: u32 = 64;
/// Most sockets of the server beside its clients.
const MAX_OTHERS: u32 = 4096;
/// Open files that clients never take, or a quarter of all where that is less.
const KEPT_FILES: u32 = 384;

/// Gathered once, so that tests can give their own.
#[derive(Clone, Debug)]
pub struct Surroundings {
    pub variables: Vec<(OsString, OsString)>,
    pub host_name: String,
    /// Root keeps its state in /var/lib and its socket in /run.
    pub root: bool,
    /// Whether systemd's credentials are needed: only the service itself is given them, and others want to look at its
    /// configuration too.
    pub credentials_needed: bool,
    /// How many files the process may open; `None` where there is no limit.
    pub open_files: Option<u64>,
    /// The machine's memory in bytes.
    pub memory: u64,
}

/// A client takes up to 16 kB, over TLS, and all of them an eighth of the memory at most: a quarter of what the units allow
/// the process.
const MEMORY_OF_CLIENT: u64 = 8 * 16 * 1024;

impl Surroundings {
    pub fn of_process() -> Surroundings {
        Surroundings {
            variables: std::env::vars_os().collect(),
            host_name: gethostname::gethostname().to_string_lossy().into_owned(),
            // /proc/self belongs to the effective user.
            root: std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0),
            credentials_needed: true,
            // The daemon takes what it can get.
            open_files: getrlimit(Resource::Nofile).maximum,
            memory: memory(),
        }
    }

    /// No environment, root, a host named "callbox", a small board.
    pub fn bare() -> Surroundings {
        Surroundings {
            variables: Vec::new(),
            host_name: "callbox".to_owned(),
            root: true,
            credentials_needed: true,
            open_files: Some(1024),
            memory: 512 << 20,
        }
    }

    /// The device ID a host name gives: its first label, reduced to a-z, 0-9 and '-'.
    pub(super) fn device_id(&self) -> UserId {
        let label = self.host_name.split('.').next().unwrap_or_default().to_lowercase();
        let id: String = label.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(63).collect();
        let id = match id.trim_matches('-') {
            "" => "callbox",
            id => id,
        };
        id.parse().expect("up to 63 letters, digits and hyphens are an ID")
    }

    /// How many clients the server may have at a time, if so many are asked for, and how many sockets beside them. With
    /// what the rest of the process needs, for calls and devices for one, they stay below the limit of open files.
    pub(super) fn connections(&self, asked: Option<u32>) -> (u32, u32) {
        let files = u32::try_from(self.open_files.unwrap_or(u64::MAX)).unwrap_or(u32::MAX);
        let memory = u32::try_from(self.memory / MEMORY_OF_CLIENT).unwrap_or(u32::MAX);
        let most = files - (files / 4).min(KEPT_FILES);
        let clients =
            asked.unwrap_or((files / 2).min(memory).clamp(MIN_CONNECTIONS, 20_000)).min(most.max(MIN_CONNECTIONS));
        (clients, (files.saturating_sub(clients) / 2).min(MAX_OTHERS))
    }

    /// Systemd says where a unit's state belongs; otherwise it depends on who runs the process.
    pub(super) fn state_dir(&self) -> PathBuf {
        let home = || self.directory("HOME").map(|home| home.join(".local/state"));
        match (self.directory("STATE_DIRECTORY"), self.root) {
            (Some(dir), _) => dir,
            (None, true) => "/var/lib/callbox".into(),
            (None, false) => match self.directory("XDG_STATE_HOME").or_else(home) {
                Some(dir) => dir.join("callbox"),
                None => "/var/lib/callbox".into(),
            },
        }
    }

    /// Never in /tmp, where anybody could put a socket of that name first.
    pub(super) fn control_socket(&self) -> PathBuf {
        let dir = match (self.directory("RUNTIME_DIRECTORY"), self.root) {
            (Some(dir), _) => dir,
            (None, true) => "/run/callbox".into(),
            (None, false) => self.directory("XDG_RUNTIME_DIR").unwrap_or_else(|| self.state_dir()),
        };
        dir.join("callbox.sock")
    }

    /// Where systemd put the credentials of the unit, systemd.exec(5).
    pub(super) fn credentials(&self) -> Option<PathBuf> {
        self.directory("CREDENTIALS_DIRECTORY")
    }

    /// An absolute directory from a variable; systemd lists several with colons, the first is the unit's own.
    fn directory(&self, variable: &str) -> Option<PathBuf> {
        let (_, value) = self.variables.iter().find(|(name, _)| name == variable)?;
        let first = std::env::split_paths(value).next()?;
        first.is_absolute().then_some(first)
    }
}

fn memory() -> u64 {
    let info = sysinfo();
    // Of either width, by the machine.
    #[allow(clippy::unnecessary_cast)]
    let units = info.totalram as u64;
    units.saturating_mul(info.mem_unit.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(variables: &[(&str, &str)]) -> Surroundings {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Surroundings { variables, host_name: "x".into(), root: false, ..Surroundings::bare() }
    }

    #[test]
    fn host_names_become_ids() {
        let id = |host: &str| Surroundings { host_name: host.into(), ..Surroundings::bare() }.device_id().to_string();
        assert_eq!(id("Front-Door.local"), "front-door");
        assert_eq!(id("Haustür_2"), "haustr2");
        assert_eq!(id(""), "callbox");
        assert_eq!(id("---"), "callbox");
        assert_eq!(id(&"a".repeat(80)).len(), 63);
    }

    #[test]
    fn clients_are_as_many_as_files_and_memory_allow() {
        let most =
            |open_files, asked| Surroundings { open_files, memory: 8 << 30, ..Surroundings::bare() }.connections(asked);
        assert_eq!(most(Some(20), None).0, 64);
        assert_eq!(most(Some(1024), None), (512, 256));
        assert_eq!(most(Some(524_288), None), (20_000, 4096));
        assert_eq!(most(None, None), (20_000, 4096));
        assert_eq!(most(Some(20_000), Some(19_500)), (19_500, 250));
        for (files, asked) in [(256, 1000), (1024, 1000), (4096, 1_000_000), (20_000, 20_000)] {
            let (clients, others) = most(Some(files), Some(asked));
            assert!(clients < asked && others > 0, "{files} {asked}");
            assert!(u64::from(clients + 2 * others) <= files, "{files} {asked}: half of the rest is not the server's");
        }
        let memory = |memory| Surroundings { open_files: None, memory, ..Surroundings::bare() }.connections(None).0;
        assert_eq!([0, 512 << 20, 1 << 30, u64::MAX].map(memory), [64, 4096, 8192, 20_000]);
        assert!((16 << 20..1 << 50).contains(&super::memory()), "{}", super::memory());
    }

    #[test]
    fn paths_follow_the_user_and_systemd() {
        let root = Surroundings::bare();
        assert_eq!(root.state_dir(), PathBuf::from("/var/lib/callbox"));
        assert_eq!(root.control_socket(), PathBuf::from("/run/callbox/callbox.sock"));
        let anna = user(&[("HOME", "/home/anna"), ("XDG_RUNTIME_DIR", "/run/user/1000")]);
        assert_eq!(anna.state_dir(), PathBuf::from("/home/anna/.local/state/callbox"));
        assert_eq!(anna.control_socket(), PathBuf::from("/run/user/1000/callbox.sock"));
        let plain = user(&[("HOME", "/home/anna"), ("XDG_RUNTIME_DIR", "run")]);
        assert_eq!(plain.control_socket(), PathBuf::from("/home/anna/.local/state/callbox/callbox.sock"));
        let unit = user(&[("STATE_DIRECTORY", "/var/lib/cb:/x"), ("RUNTIME_DIRECTORY", "/run/cb")]);
        assert_eq!(unit.state_dir(), PathBuf::from("/var/lib/cb"));
        assert_eq!(unit.control_socket(), PathBuf::from("/run/cb/callbox.sock"));
    }
}

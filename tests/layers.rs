//! Reads the source tree and fails on what the layer diagram in src/lib.rs forbids: an import against its direction,
//! the WebRTC stack outside net/peer, a clock in logic/, a file that has grown too long.

use std::path::Path;

/// A file of more lines wants to be two.
const MAX_LINES: usize = 500;

/// The parts of the library.
const PARTS: [&str; 11] =
    ["base", "protocol", "logic", "config", "media", "net", "store", "server", "device", "board", "update"];

/// What a part may use beside itself, and whether it may know tokio. Paths are those below src/; the first one that fits
/// a file counts.
const LAYERS: &[(&str, &[&str], Tokio)] = &[
    ("base/task", &["base"], Tokio::Known),
    ("base", &[], Tokio::Unknown),
    ("protocol", &["base"], Tokio::Unknown),
    ("logic", &["base", "protocol"], Tokio::Unknown),
    ("config", &["base", "protocol"], Tokio::Unknown),
    ("media", &["base", "protocol", "logic"], Tokio::Unknown),
    ("net", &["base", "protocol", "logic"], Tokio::Known),
    ("store/keeper", &["base", "protocol", "logic"], Tokio::Known),
    ("store", &["base", "protocol", "logic"], Tokio::Unknown),
    ("server", &["base", "protocol", "logic", "config", "store"], Tokio::Known),
    ("device", &["base", "protocol", "logic", "config", "media", "net", "server"], Tokio::Known),
    ("board", &["base", "protocol", "logic", "config", "media", "device"], Tokio::Unknown),
    ("update", &["base"], Tokio::Unknown),
];

#[derive(Clone, Copy, PartialEq)]
enum Tokio {
    Known,
    Unknown,
}

/// What a part must not name.
fn forbidden(part: &str, uses: &[&str], tokio: Tokio) -> Vec<String> {
    let own = part.split('/').next().unwrap_or_default();
    let parts = PARTS.iter().filter(|other| **other != own && !uses.contains(other));
    let tokio = (tokio == Tokio::Unknown).then(|| "tokio".to_owned());
    parts.map(|part| format!("crate::{part}")).chain(tokio).collect()
}

/// The only place that names the WebRTC stack, so that its next release touches nothing else.
const PEER: &str = "net/peer";

/// A state machine is told the time.
const CLOCKS: [&str; 4] = ["Instant::now", "SystemTime::now", "Utc::now", ".elapsed()"];

#[test]
fn the_source_keeps_to_its_layers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    assert!(files.len() > 10, "the source was not found");
    let mut faults = Vec::new();
    for file in files {
        let path = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        faults.extend(check(&path, &std::fs::read_to_string(&file).unwrap()));
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// The faults of one file; `path` is below src/.
fn check(path: &str, text: &str) -> Vec<String> {
    let module = path.trim_end_matches(".rs");
    let below = |part: &str| part.is_empty() || module == part || module.starts_with(&format!("{part}/"));
    let (part, forbidden) = match LAYERS.iter().find(|(part, ..)| below(part)) {
        Some((part, uses, tokio)) => (*part, forbidden(part, uses, *tokio)),
        // The binaries: the library is their only crate of ours, and its machines are not theirs.
        None => ("a binary", vec!["callbox::logic".to_owned()]),
    };
    let mut faults = Vec::new();
    // A test has to begin somewhere in time, and an `Instant` comes from the clock only.
    let mut tests = module.ends_with("/tests") || module.contains("/tests/");
    for (number, line) in code_lines(text) {
        tests |= line.starts_with("#[cfg(test)]");
        let mut fault = |what: String| faults.push(format!("src/{path}:{number}: {what}"));
        for name in forbidden.iter().filter(|name| names(&line, name)) {
            fault(format!("{part} must not know {name}"));
        }
        if module != PEER && !below(PEER) && (names(&line, "webrtc") || names(&line, "rtc")) {
            fault("only net/peer names the WebRTC stack".to_owned());
        }
        for clock in CLOCKS.iter().filter(|clock| below("logic") && !tests && line.contains(*clock)) {
            fault(format!("logic/ is told the time, it does not read {clock}"));
        }
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        faults.push(format!("src/{path}: {lines} lines, at most {MAX_LINES}: split it by idea"));
    }
    faults
}

/// Whether a line uses a path: `use crate::media`, `crate::media::x()`, and members of `use crate::{a, media}`.
fn names(line: &str, path: &str) -> bool {
    let boundary = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let stands_alone = |name: &str, before: fn(Option<char>) -> bool, after: fn(&str) -> bool| {
        line.match_indices(name).any(|(at, _)| {
            let rest = &line[at + name.len()..];
            before(line[..at].chars().next_back()) && boundary(rest.chars().next()) && after(rest)
        })
    };
    match path.split_once("::") {
        Some((_, module)) => {
            let grouped =
                line.contains("crate::{") && stands_alone(module, |c| matches!(c, Some('{' | ' ' | ',')), |_| true);
            stands_alone(path, |c| c != Some(':'), |_| true) || grouped
        }
        None => {
            let outside = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || "_:.\"".contains(c));
            stands_alone(path, outside, |rest| rest.starts_with("::"))
                || line.trim_start().strip_prefix("use ").is_some_and(|rest| {
                    rest.trim_end().strip_prefix(path).is_some_and(|rest| rest.starts_with([';', ' ']))
                })
        }
    }
}

/// Numbered lines of code: comments left out, `use` groups that span lines joined on the line they start.
fn code_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut group: Option<usize> = None;
    for (i, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        match group {
            Some(at) => {
                lines[at].1.push(' ');
                lines[at].1.push_str(code.trim());
            }
            None => lines.push((i + 1, code.to_owned())),
        }
        let opened = code.trim_start().trim_start_matches("pub ").starts_with("use ") && !code.contains(';');
        group = match group {
            Some(_) if code.contains(';') => None,
            Some(at) => Some(at),
            None if opened => Some(lines.len() - 1),
            None => None,
        };
    }
    lines
}

fn rust_files(dir: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn the_check_finds_what_it_looks_for() {
    for (path, text) in [
        ("media/video.rs", "use crate::net::peer::Peer;"),
        ("media/video.rs", "use crate::{logic, net};"),
        ("media/video.rs", "use crate::{\n    logic::unit,\n    net::peer,\n};"),
        ("media/video.rs", "    let x = crate::net::sdp::check();"),
        ("media.rs", "use crate::config::Camera;"),
        ("media/video.rs", "use tokio::sync::mpsc;"),
        ("media/video.rs", "    tokio::spawn(async {});"),
        ("net/signaling.rs", "use crate::media::frame::I420;"),
        ("net/signaling.rs", "use crate::store::Keeper;"),
        ("logic/hub/mod.rs", "use crate::store::Memory;"),
        ("store/memory.rs", "use crate::server::Server;"),
        ("store/sqlite/mod.rs", "use tokio::fs;"),
        ("net/signaling.rs", "use webrtc::peer_connection::X;"),
        ("net/sdp/read.rs", "    rtc::sdp::parse(text);"),
        ("device/mod.rs", "use rtc::rtp;"),
        ("server/mod.rs", "use crate::device::run;"),
        ("server/mod.rs", "use crate::media;"),
        ("logic/hub/mod.rs", "use crate::server::Server;"),
        ("logic/hub/mod.rs", "let now = std::time::Instant::now();"),
        ("logic/hub/mod.rs", "let late = start.elapsed() > limit;"),
        ("logic/hub/room.rs", "let now = SystemTime::now();"),
        ("protocol/ids.rs", "use crate::logic::unit;"),
        ("config/read.rs", "use crate::device;"),
        ("update/settle.rs", "use crate::device::control;"),
        ("base/durable.rs", "use crate::protocol;"),
        ("base/text.rs", "use tokio::fs;"),
        ("logic/hub/mod.rs", "use crate::board::Places;"),
        ("config/read.rs", "use crate::update::Slot;"),
        ("device/mod.rs", "use crate::board::import;"),
        ("board/setup/scan.rs", "use tokio::fs;"),
    ] {
        assert_eq!(check(path, text).len(), 1, "{path}: {text}: {:?}", check(path, text));
    }
    assert_eq!(check("media/long.rs", &"\n".repeat(MAX_LINES + 1)).len(), 1);
}

#[test]
fn the_check_leaves_the_rest_alone() {
    for (path, text) in [
        ("media/video.rs", "use crate::logic::unit::AccessUnit;\nuse crate::protocol;"),
        ("media/video.rs", "// crate::net takes over from here"),
        ("media/video.rs", "use std::net::IpAddr; use crate::media::network::X;"),
        ("base/task.rs", "use tokio::time::timeout;"),
        ("net/peer.rs", "use webrtc::x; use rtc::y;"),
        ("store/keeper.rs", "use tokio::sync::mpsc; use crate::logic::access::Grants;"),
        ("net/peer/track.rs", "use webrtc::x;"),
        ("net/signaling.rs", "use tokio::time::Instant; let now = Instant::now();"),
        ("device/mod.rs", "use crate::server::Server; use crate::{config, media, net};"),
        ("bin/callbox/logging.rs", "const NOISY: [&str; 2] = [\"rtc\", \"webrtc\"];"),
        ("logic/hub/mod.rs", "use std::time::Instant; fn handle(now: Instant) {}"),
        ("logic/hub/mod.rs", "#[cfg(test)]\nmod tests {\n    let start = Instant::now();\n}"),
        ("net/stats.rs", "let rtc_like = self.webrtc_state;"),
    ] {
        assert_eq!(check(path, text), Vec::<String>::new(), "{path}: {text}");
    }
}

//! docs/config.md and docs/callbox.example.toml against the one list of keys: nothing missing, nothing else, and the
//! defaults they state are the real ones.

use std::collections::BTreeSet;

use callbox::config::keys::{Form, KEYS, LISTS, Preset};
use callbox::config::{Config, DEFAULT_FILE};

const EXAMPLE: &str = include_str!("../docs/callbox.example.toml");
const DOCUMENT: &str = include_str!("../docs/config.md");

fn kind(kind: Form) -> &'static str {
    match kind {
        Form::Text => "text",
        Form::Integer => "integer",
        Form::Boolean => "boolean",
        Form::List => "list",
    }
}

/// The example with every setting switched on: "#key = value" and "#[[section]]" are settings, "# ..." is prose.
fn everything() -> String {
    let setting =
        |line: &str| line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c != ' ')).map(str::to_owned);
    EXAMPLE.lines().map(|line| setting(line).unwrap_or(line.to_owned()) + "\n").collect()
}

/// Paths of all values, with each as TOML writes it.
fn leaves(prefix: &str, value: &toml::Value, found: &mut Vec<(String, String)>) {
    match value {
        toml::Value::Table(table) => {
            for (name, value) in table {
                leaves(&format!("{prefix}{}{name}", if prefix.is_empty() { "" } else { "." }), value, found);
            }
        }
        toml::Value::Array(items) if items.iter().any(toml::Value::is_table) => {
            found.push((prefix.to_owned(), "[]".to_owned()));
            items.iter().for_each(|item| leaves(prefix, item, found));
        }
        other => found.push((prefix.to_owned(), other.to_string())),
    }
}

#[test]
fn the_example_as_it_is_changes_nothing() {
    assert_eq!(Config::from_toml(EXAMPLE).unwrap(), Config::from_toml("").unwrap());
}

/// The packages install it; upgrades then bring new defaults, because none is written down.
#[test]
fn the_example_is_the_packages_configuration_and_sets_nothing() {
    let manifest: toml::Value = toml::from_str(include_str!("../Cargo.toml")).unwrap();
    let deb = &manifest["package"]["metadata"]["deb"];
    for package in [deb, &deb["variants"]["server"]] {
        let asset = |asset: &&toml::Value| asset[0].as_str() == Some("docs/callbox.example.toml");
        let installed = package["assets"].as_array().unwrap().iter().find(asset).unwrap();
        assert_eq!(Some(DEFAULT_FILE), installed[1].as_str().map(|path| format!("/{path}")).as_deref());
    }
    for line in EXAMPLE.lines() {
        assert!(line.is_empty() || line.starts_with('#') || line.starts_with('['), "{line}");
    }
}

#[test]
fn the_example_has_every_key_and_the_real_defaults() {
    let mut found = Vec::new();
    leaves("", &toml::from_str(&everything()).unwrap(), &mut found);
    let named: BTreeSet<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    let known: BTreeSet<&str> =
        KEYS.iter().chain(LISTS.iter().flat_map(|(_, keys)| *keys)).map(|key| key.path).collect();
    assert_eq!(named, known);
    for key in KEYS {
        if let Preset::Value(default) = key.default {
            let stated = found.iter().find(|(path, _)| path == key.path).map(|(_, value)| value.as_str());
            assert_eq!(stated, Some(default), "{}", key.path);
        }
    }
    // What cannot be a constant is stated for root, on loopback.
    let config = Config::from_toml("").unwrap();
    for (path, default) in [
        ("server.tls.mode", "off".to_owned()),
        ("control.socket", config.control.socket.display().to_string()),
        ("state.dir", config.state.dir.display().to_string()),
    ] {
        assert!(found.contains(&(path.to_owned(), format!("\"{default}\""))), "{path}");
    }
}

#[test]
fn each_value_in_the_example_is_possible() {
    // Files of the example do not exist here, and some settings exclude each other; nothing else may be wrong.
    let errors = Config::from_toml(&everything()).unwrap_err();
    for problem in errors.problems() {
        let message = problem.to_string();
        assert!(
            ["cannot be read", "one of the two must go", "is for [server.tls] mode"]
                .iter()
                .any(|m| message.contains(m)),
            "{message}"
        );
    }
}

#[test]
fn the_document_has_every_key() {
    let cell = |text: &str| text.replace('|', "\\|");
    let mut rows: Vec<String> = Vec::new();
    for key in KEYS {
        let default = match key.default {
            Preset::Value(value) => format!("`{value}`"),
            Preset::Computed(words) => words.to_owned(),
            Preset::Unset => "not set".to_owned(),
        };
        let allowed = cell(key.allowed);
        let reload = if key.live { "live" } else { "restart" };
        let (path, kind, variable) = (key.path, kind(key.kind), key.variable());
        rows.push(format!("| `{path}` | {kind} | {allowed} | {default} | `{variable}` | {reload} |"));
    }
    for key in LISTS.iter().flat_map(|(_, keys)| *keys) {
        rows.push(format!("| `{}` | {} | {} |", key.name(), kind(key.kind), cell(key.allowed)));
    }
    let written: Vec<&str> = DOCUMENT.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(written, rows, "docs/config.md should have these rows:\n{}", rows.join("\n"));
}

proptest::proptest! {
    /// Whatever somebody's editor leaves behind: no panic, and each error names the file and a line.
    #[test]
    fn a_damaged_file_is_understood_or_refused_with_its_place(
        cut in 0..4000usize,
        rest in 0..4000usize,
        typed in "[a-z0-9=\\[\\]{}\"'.,# \n-]{0,12}",
    ) {
        let text = everything();
        let part = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let damaged = format!("{}{typed}{}", &text[..part(cut)], &text[part(rest)..]);
        if let Err(error) = Config::from_toml(&damaged) {
            for line in error.to_string().lines() {
                let (place, _) = line.strip_prefix("callbox.toml:").and_then(|rest| rest.split_once(": ")).expect(line);
                let number: usize = place.parse().expect(line);
                assert!((1..=damaged.lines().count() + 1).contains(&number), "{line}");
            }
        }
    }
}

//! The layers a configuration is made of: defaults, the file, the environment. Each value knows where it came from, so
//! that whatever is wrong with it later can be said with file and line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::error::Problem;
use super::keys::{self, Form, KEYS, Key, Preset};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    /// Lines count from 1.
    File {
        path: Arc<Path>,
        line: usize,
    },
    /// An environment variable.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Variable(name) => f.write_str(name),
        }
    }
}

impl Origin {
    /// A path as written at this place: relative ones in a file count from the file's directory.
    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        match self {
            Origin::File { path: file, .. } => file.parent().unwrap_or(Path::new("")).join(path),
            Origin::Default | Origin::Variable(_) => path.to_owned(),
        }
    }
}

/// A value as it was written.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub origin: Origin,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Node>),
    Table(Vec<Entry>),
    /// What no key takes: fractions, dates, integers beyond 64 bits.
    Other(String),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub name: String,
    pub node: Node,
}

impl Value {
    pub fn as_text(&self) -> Option<&str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) if text.chars().count() > 60 => {
                write!(f, "{:?}...", text.chars().take(60).collect::<String>())
            }
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Integer(number) => write!(f, "{number}"),
            Value::Boolean(yes) => write!(f, "{yes}"),
            Value::List(_) => f.write_str("[...]"),
            Value::Table(_) => f.write_str("{...}"),
            Value::Other(text) => f.write_str(text),
        }
    }
}

/// For each key the value that counts.
#[derive(Clone, Debug)]
pub(super) struct Layers {
    nodes: BTreeMap<&'static str, Node>,
}

impl Layers {
    /// Also returns what is wrong already: unknown keys, text that is no TOML.
    pub fn gather(file: Option<(&Path, &str)>, variables: &[(OsString, OsString)]) -> (Layers, Vec<Problem>) {
        let mut gathering = Gathering { nodes: BTreeMap::new(), problems: Vec::new() };
        gathering.defaults();
        if let Some((path, text)) = file {
            gathering.file(path.into(), text);
        }
        for (name, value) in variables {
            if let Some(name) = name.to_str() {
                gathering.variable(name, value.to_str());
            }
        }
        (Layers { nodes: gathering.nodes }, gathering.problems)
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.nodes.get(key)
    }

    pub fn origin(&self, key: &str) -> Origin {
        self.nodes.get(key).map_or(Origin::Default, |node| node.origin.clone())
    }
}

struct Gathering {
    nodes: BTreeMap<&'static str, Node>,
    problems: Vec<Problem>,
}

impl Gathering {
    fn defaults(&mut self) {
        for key in KEYS {
            if let Preset::Value(text) = key.default
                && let Ok(value) = DeValue::parse(text)
            {
                let node = Convert::To(&Origin::Default).node(&value);
                self.nodes.insert(key.path, node);
            }
        }
    }

    fn file(&mut self, path: Arc<Path>, text: &str) {
        let place = Convert::Lines { path: path.clone(), text };
        match DeTable::parse(text) {
            Ok(table) => {
                let entries = place.entries(table.get_ref());
                self.section("", entries);
            }
            Err(error) => {
                let origin = place.origin(&error.span().unwrap_or(0..0));
                let message = format!("this is not TOML: {}", error.message().replace('\n', "; "));
                self.problems.push(Problem { origin, message });
            }
        }
    }

    /// Sorts a table's entries into keys, sections below it, and mistakes.
    fn section(&mut self, section: &str, entries: Vec<Entry>) {
        for Entry { name, node } in entries {
            let path = if section.is_empty() { name } else { format!("{section}.{name}") };
            if let Some(key) = KEYS.iter().find(|key| key.path == path) {
                self.nodes.insert(key.path, node);
            } else if !keys::is_section(&path) {
                let message = unknown(&path);
                self.problems.push(Problem { origin: node.origin, message });
            } else if let Value::Table(entries) = node.value {
                self.section(&path, entries);
            } else {
                let message = format!(
                    "{path} = {}: must be a section, [{path}], with {}",
                    node.value,
                    keys::names_in(&path).join(", ")
                );
                self.problems.push(Problem { origin: node.origin, message });
            }
        }
    }

    /// Takes `CALLBOX_SECTION__KEY`; of variables without the double underscore those few that stand for a whole list.
    fn variable(&mut self, name: &str, value: Option<&str>) {
        let looks_like_one = name.starts_with("CALLBOX_") && name.contains("__");
        if !looks_like_one && KEYS.iter().all(|key| key.variable() != name) {
            return;
        }
        let origin = Origin::Variable(name.to_owned());
        let Some(key) = KEYS.iter().find(|key| key.variable() == name) else {
            let path = name["CALLBOX_".len()..].to_lowercase().replace("__", ".");
            if let Some((_, instead)) = keys::GONE.iter().find(|(gone, _)| *gone == path) {
                return self.problems.push(Problem { origin, message: format!("{path}: {instead}") });
            }
            let meant = keys::nearest(&path).and_then(|path| keys::KEYS.iter().find(|key| key.path == path));
            let hint = match meant {
                Some(key) => format!("did you mean {}?", key.variable()),
                None => "docs/config.md lists all; a key's variable is CALLBOX_SECTION__KEY".to_owned(),
            };
            let message = format!("there is no such setting; {hint}");
            return self.problems.push(Problem { origin, message });
        };
        match read_variable(key, value, &origin) {
            Ok(value) => {
                self.nodes.insert(key.path, Node { origin, value });
            }
            Err(why) => {
                let message = format!("{}: {why}; must be {}", key.path, key.allowed);
                self.problems.push(Problem { origin, message });
            }
        }
    }
}

/// Text counts as it stands; what is not text is written as in TOML.
fn read_variable(key: &Key, value: Option<&str>, origin: &Origin) -> Result<Value, String> {
    let value = value.ok_or("this is not UTF-8 text")?;
    match key.kind {
        Form::Text => Ok(Value::Text(value.to_owned())),
        Form::Integer | Form::Boolean | Form::List => match DeValue::parse(value.trim()) {
            Ok(parsed) => Ok(Convert::To(origin).node(&parsed).value),
            Err(_) => Err(format!("{value:?} is not a value as TOML writes it")),
        },
    }
}

/// What to say about a key that does not exist.
pub(super) fn unknown(path: &str) -> String {
    if let Some((_, instead)) = keys::GONE.iter().find(|(gone, _)| *gone == path) {
        return format!("{path}: {instead}");
    }
    let (section, _) = path.rsplit_once('.').unwrap_or(("", path));
    let hint = match keys::nearest(path) {
        Some(known) if keys::is_section(&known) => format!("did you mean [{known}]? "),
        Some(known) => format!("did you mean {known}? "),
        None => String::new(),
    };
    let place = if section.is_empty() { "at the top are the sections".to_owned() } else { format!("[{section}] has") };
    format!("{path}: there is no such key; {hint}{place} {}", keys::names_in(section).join(", "))
}

/// Turns what the TOML parser returns into nodes with origins.
enum Convert<'a> {
    /// Everything gets this origin.
    To(&'a Origin),
    /// Everything gets its line in a file.
    Lines { path: Arc<Path>, text: &'a str },
}

impl Convert<'_> {
    fn origin(&self, span: &std::ops::Range<usize>) -> Origin {
        match self {
            Convert::To(origin) => (*origin).clone(),
            Convert::Lines { path, text } => {
                let before = text.as_bytes().iter().take(span.start);
                let line = 1 + before.filter(|byte| **byte == b'\n').count();
                Origin::File { path: path.clone(), line }
            }
        }
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Node {
        let converted = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::Other(number.to_string()),
            },
            DeValue::Boolean(yes) => Value::Boolean(*yes),
            DeValue::Float(number) => Value::Other(number.to_string()),
            DeValue::Datetime(date) => Value::Other(date.to_string()),
            DeValue::Array(items) => Value::List(items.iter().map(|item| self.node(item)).collect()),
            DeValue::Table(table) => Value::Table(self.entries(table)),
        };
        Node { origin: self.origin(&value.span()), value: converted }
    }

    /// A key's place is where its name stands, which for a long list is not where the value ends.
    fn entries(&self, table: &DeTable<'_>) -> Vec<Entry> {
        let entry = |(name, value): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
            let mut node = self.node(value);
            node.origin = self.origin(&name.span());
            Entry { name: name.get_ref().to_string(), node }
        };
        table.iter().map(entry).collect()
    }
}

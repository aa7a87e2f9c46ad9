//! `[[button]]`, `[[rings]]`, `[[group]]` and `[visits]`: which bells there are, and whom they ring when.

use std::time::Duration;

use super::Rings;
use super::layers::{Node, Value};
use super::read::{Reader, Refusal, text};
use super::values;
use super::{Button, Group, Visits};
use crate::protocol::{EVERYONE, MAX_NAME_BYTES, MAX_RUNG};

/// Bells of one device.
const MAX_BUTTONS: usize = 64;

impl Reader<'_> {
    pub(super) fn visits(&mut self) -> Visits {
        let ring_time = self.number("visits.ring_seconds", |n| values::number_up_to(n, 5, 300));
        let ring_time = Duration::from_secs(ring_time.into());
        let mut buttons: Vec<Button> = Vec::new();
        let tables = self.tables("button");
        if let Some((origin, _)) = tables.get(MAX_BUTTONS) {
            self.fail(origin, format!("button: a device has at most {MAX_BUTTONS}"));
        }
        for (origin, entries) in tables {
            let name = self.entry("button.name", &entries, |node| text(node, values::name));
            let rings = self.entry("button.rings", &entries, names).unwrap_or_else(|| vec![EVERYONE.to_owned()]);
            match name {
                Some(name) if buttons.iter().any(|other| same(&other.name, &name)) => {
                    self.fail(&origin, format!("button.name: there are two buttons of the name {name:?}"));
                }
                Some(name) => buttons.push(Button { name, rings }),
                None => self.missing(&origin, &entries, "button.name", "name = \"Front door\""),
            }
        }
        let mut groups = Vec::new();
        for (origin, entries) in self.tables("group") {
            let name = self.entry("group.name", &entries, |node| text(node, values::name));
            let people = self.entry("group.people", &entries, names);
            match (name, people) {
                (Some(name), _) if same(&name, EVERYONE) => {
                    self.fail(&origin, format!("group.name: {EVERYONE:?} is everybody, and no group"));
                }
                (Some(name), Some(people)) => groups.push(Group { name, people }),
                (None, _) => self.missing(&origin, &entries, "group.name", "name = \"kitchen\""),
                (_, None) => self.missing(&origin, &entries, "group.people", "people = [\"Anna\"]"),
            }
        }
        let mut steps = Vec::new();
        for (origin, entries) in self.tables("rings") {
            let after = self.entry("rings.after_seconds", &entries, |node| seconds(node, 300)).unwrap_or_default();
            let people = self.entry("rings.people", &entries, names);
            let of = self.entry("rings.buttons", &entries, names).unwrap_or_default();
            if let Some(unknown) = of.iter().find(|name| !buttons.iter().any(|button| same(&button.name, name))) {
                self.fail(&origin, format!("rings.buttons: there is no button of the name {unknown:?}"));
            }
            if after >= ring_time && !ring_time.is_zero() {
                let most = ring_time.as_secs();
                self.fail(
                    &origin,
                    format!(
                        "rings.after_seconds: by then, after {most} s, nobody is rung any more (visits.ring_seconds)"
                    ),
                );
            }
            match people {
                Some(people) => steps.push(Rings { after, people, buttons: of }),
                None => self.missing(&origin, &entries, "rings.people", "people = [\"everyone\"]"),
            }
        }
        Visits { buttons, groups, steps, ring_time }
    }
}

/// People tell names apart by more than capitals.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

fn seconds(node: &Node, most: u32) -> Result<Duration, Refusal> {
    let Value::Integer(number) = node.value else { return Err(None) };
    values::number_up_to(number, 0, most).map(|seconds| Duration::from_secs(seconds.into())).ok_or(None)
}

/// One name needs no brackets.
fn names(node: &Node) -> Result<Vec<String>, Refusal> {
    let items = match &node.value {
        Value::List(items) if (1..=MAX_RUNG).contains(&items.len()) => items.as_slice(),
        Value::Text(_) => std::slice::from_ref(node),
        _ => return Err(None),
    };
    let name = |item: &Node| item.value.as_text().filter(|text| text.len() <= MAX_NAME_BYTES).and_then(values::name);
    items.iter().map(|item| name(item).ok_or_else(|| Some(format!("{} is no name", item.value)))).collect()
}

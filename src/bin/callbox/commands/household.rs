//! `callbox invite`, `people` and their like. They open the server's memory themselves, beside a daemon that may be running:
//! that one sees the change within a second. So they work for whoever may read that file, and for nobody else.

use std::io::ErrorKind;
use std::time::SystemTime;

use anyhow::{Context, anyhow, bail};
use callbox::base::qr::Drawing;
use callbox::config::{Config, Loaded, Mode};
use callbox::protocol::{Grants, Right, Rights, Role};
use callbox::server::{INVITATION_LIFE, ServerSettings, household_key, invitation_link, outside_urls};
use callbox::store::{
    Invite as Wanted, Memory, PersonRecord, Revoked, Secret, SessionRecord, Sqlite, StoreError, Timestamp,
};
use serde_json::{Value, json};

use super::moments::{after, moment, shown};
use super::system::state_dir;
use crate::cli::{Backup, Erase, Invite, People, Rename, Restore, Revoke, Token};
use crate::outcome::{Failure, print};

/// `callbox invite`.
pub fn invite(wanted: Invite) -> Result<(), Failure> {
    let loaded = Config::look(wanted.config.file())?;
    let base = match &wanted.url {
        Some(url) => page(url)?,
        None => outside_urls(&ServerSettings::from(&loaded.config)).into_iter().next().context(NO_ADDRESS)?,
    };
    let now = Timestamp::from(SystemTime::now());
    let role = wanted.role.unwrap_or(Role::Member);
    let until = end(now, wanted.until.as_deref(), wanted.span.as_deref())?;
    let grants = match (&wanted.devices, wanted.rights) {
        (devices, rights) if !devices.is_empty() => {
            Some(Grants::only_at(devices.iter().cloned(), rights.unwrap_or(role.usual_rights())))
        }
        (_, Some(rights)) => Some(Grants::everywhere(rights)),
        (_, None) => None,
    };
    let asked = Wanted {
        name: wanted.name.clone(),
        role: wanted.role,
        grants,
        from: wanted.from.as_deref().map(moment).transpose()?,
        until,
        uses: wanted.uses,
        expires: until.or(Some(now.plus(INVITATION_LIFE))),
    };
    let secret = Secret::random().context("no secret can be made")?;
    let mut memory = open(&loaded)?;
    let invited = memory.invite(&asked, secret.hash(), now).map_err(anyhow::Error::new)?;
    let link = invitation_link(&base, &secret, Some(&household_key(&mut memory).map_err(anyhow::Error::new)?));
    if wanted.json {
        let shown = json!({ "name": wanted.name, "invitation": invited.invitation, "link": link, "new": invited.new });
        return print(format!("{shown:#}\n").as_bytes());
    }
    let mut text = format!("{link}\n\n");
    if let Some(code) = Drawing::new(&link) {
        text.push_str(&code.for_terminal());
    }
    let uses = if wanted.uses == 1 { "once".to_owned() } else { format!("{} times", wanted.uses) };
    let last = asked.expires.map(|time| format!(", until {}", shown(time))).unwrap_or_default();
    text.push_str(&format!(
        "\nWhoever opens this link, or the code with a phone, comes in as {}: {uses}{last}.\n",
        wanted.name
    ));
    if invited.changed {
        text.push_str(&format!("What {} may do has changed with it; see callbox people.\n", wanted.name));
    }
    if loaded.config.access.mode == Mode::Open {
        text.push_str("Mind that [access] mode is \"open\" here: whoever reaches the page comes in without it.\n");
    }
    print(text.as_bytes())
}

/// `callbox token`.
pub fn token(wanted: Token) -> Result<(), Failure> {
    let loaded = Config::look(wanted.config.file())?;
    let now = Timestamp::from(SystemTime::now());
    let until = end(now, wanted.until.as_deref(), wanted.span.as_deref())?;
    let grants = match wanted.devices.is_empty() {
        true => Grants::everywhere(wanted.rights),
        false => Grants::only_at(wanted.devices.iter().cloned(), wanted.rights),
    };
    let secret = Secret::random().context("no secret can be made")?;
    let made =
        open(&loaded)?.add_token(&wanted.name, &grants, until, secret.hash(), now).map_err(anyhow::Error::new)?;
    eprintln!("It joins under the ID {}, and is shown only now:", made.user_id);
    print(format!("{}\n", secret.text()).as_bytes())
}

/// `callbox people`.
pub fn people(wanted: People) -> Result<(), Failure> {
    let people = open(&Config::look(wanted.config.file())?)?.people().map_err(anyhow::Error::new)?;
    match wanted.json {
        true => print(format!("{:#}\n", Value::from_iter(people.iter().map(as_json))).as_bytes()),
        false if people.is_empty() => print(b"Nobody was invited yet: callbox invite --name NAME --role owner\n"),
        false => print(people.iter().map(describe).collect::<String>().as_bytes()),
    }
}

/// `callbox revoke`.
pub fn revoke(wanted: Revoke) -> Result<(), Failure> {
    let revoked =
        open(&Config::look(wanted.config.file())?)?.revoke(&wanted.which, wanted.force).map_err(anyhow::Error::new)?;
    let text = match revoked {
        Revoked::Person(person) => format!("{} has no access any more.\n", person.name),
        Revoked::Session { person, session } => format!("{person} has no access with {} any more.\n", session.label),
        Revoked::Invitation { person, .. } => format!("That invitation of {person} lets nobody in any more.\n"),
    };
    print(text.as_bytes())
}

/// `callbox rename`.
pub fn rename(wanted: Rename) -> Result<(), Failure> {
    Ok(open(&Config::look(wanted.config.file())?)?.rename(&wanted.old, &wanted.new).map_err(anyhow::Error::new)?)
}

/// `callbox erase`.
pub fn erase(wanted: Erase) -> Result<(), Failure> {
    open(&Config::look(wanted.config.file())?)?.erase(&wanted.person, wanted.force).map_err(anyhow::Error::new)?;
    print(format!("{} is forgotten.\n", wanted.person).as_bytes())
}

/// `callbox backup`.
pub fn backup(wanted: Backup) -> Result<(), Failure> {
    Ok(open(&Config::look(wanted.config.file())?)?.backup(&wanted.file).map_err(anyhow::Error::new)?)
}

/// `callbox restore`.
pub fn restore(wanted: Restore) -> Result<(), Failure> {
    let loaded = Config::look(wanted.config.file())?;
    Ok(Sqlite::restore(state_dir(&loaded), &wanted.file).map_err(anyhow::Error::new)?)
}

const NO_ADDRESS: &str = "this machine has no address that a phone could open; name the page's with --url";

pub(super) fn open(loaded: &Loaded) -> Result<Sqlite, Failure> {
    let opened = Sqlite::open(state_dir(loaded)).map_err(|error| match &error {
        StoreError::File { error: cause, .. } if cause.kind() == ErrorKind::PermissionDenied => {
            anyhow!(error).context("be root, or the user that Callbox runs as")
        }
        _ => anyhow!(error),
    })?;
    if let Some(path) = opened.set_aside {
        eprintln!("callbox: warning: what the server remembered was damaged, and is now {}", path.display());
    }
    Ok(opened.memory)
}

/// The page's address as somebody has typed it.
fn page(url: &str) -> anyhow::Result<String> {
    let (scheme, rest) = url.split_once("://").context("--url begins with https:// or http://")?;
    if !["https", "http"].contains(&scheme) || rest.is_empty() || rest.contains(['#', '?', ' ']) {
        bail!("--url is the page's address, such as https://door.example.org/");
    }
    Ok(if rest.contains('/') { url.to_owned() } else { format!("{url}/") })
}

fn end(now: Timestamp, until: Option<&str>, span: Option<&str>) -> anyhow::Result<Option<Timestamp>> {
    match (until, span) {
        (Some(until), _) => moment(until).map(Some),
        (None, Some(span)) => after(now, span).map(Some),
        (None, None) => Ok(None),
    }
}

/// A person in a few lines.
fn describe(person: &PersonRecord) -> String {
    let what = if person.program { "program" } else { person.role.name() };
    let mut text = format!("{} ({what}): {}", person.name, allowed(person));
    for (word, time) in [("from", person.from), ("until", person.until)] {
        text.push_str(&time.map(|time| format!(", {word} {}", shown(time))).unwrap_or_default());
    }
    text.push('\n');
    for session in &person.sessions {
        let SessionRecord { id, label, user_id, last_seen, .. } = session;
        text.push_str(&format!("  {id}  {label}, as {user_id}, last seen {}\n", shown(*last_seen)));
    }
    for invitation in person.invitations.iter().filter(|invitation| invitation.uses_left > 0) {
        let until = invitation.expires.map(|time| format!(" until {}", shown(time))).unwrap_or_default();
        text.push_str(&format!("  {}  invitation, not used yet{until}\n", invitation.id));
    }
    text
}

fn allowed(person: &PersonRecord) -> String {
    if person.role == Role::Owner {
        return "everything".to_owned();
    }
    let words = |rights: Rights| match rights.is_empty() {
        true => "nothing".to_owned(),
        false => rights.iter().map(Right::name).collect::<Vec<_>>().join(", "),
    };
    let at = person.grants.at.iter().map(|(device, rights)| format!("{} at {device}", words(*rights)));
    let everywhere = person.grants.everywhere;
    let parts: Vec<_> = match person.grants.at.is_empty() {
        true => vec![words(everywhere)],
        false if everywhere.is_empty() => at.collect(),
        false => at.chain([format!("{} elsewhere", words(everywhere))]).collect(),
    };
    parts.join("; ")
}

fn as_json(person: &PersonRecord) -> Value {
    json!({
        "name": person.name, "role": person.role, "rights": person.grants, "from": person.from, "until": person.until,
        "program": person.program, "created": person.created,
        "sessions": person.sessions.iter().map(|session| json!({
            "id": session.id, "userId": session.user_id, "label": session.label, "created": session.created,
            "lastSeen": session.last_seen,
        })).collect::<Vec<_>>(),
        "invitations": person.invitations.iter().map(|invitation| json!({
            "id": invitation.id, "usesLeft": invitation.uses_left, "created": invitation.created,
            "expires": invitation.expires,
        })).collect::<Vec<_>>(),
    })
}

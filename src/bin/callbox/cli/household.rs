//! What the commands on people take.

use std::path::PathBuf;

use callbox::protocol::{Rights, Role, UserId};
use clap::Args;

use super::ConfigFile;

#[derive(Args, Debug)]
pub struct Invite {
    /// How the household calls them
    #[arg(long)]
    pub name: String,
    /// owner, member or guest; without it a member
    #[arg(long)]
    pub role: Option<Role>,
    /// Some of view, talk, ring, open, manage; without it what is usual for the role
    #[arg(long)]
    pub rights: Option<Rights>,
    /// Devices that the rights are for; without it all
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub devices: Vec<UserId>,
    /// When access begins, such as '2026-12-03 10:00'
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// When it ends
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// How long it lasts from now on, such as 30d
    #[arg(long = "for", value_name = "TIME", conflicts_with = "until")]
    pub span: Option<String>,
    /// How many browsers may come in with the link
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub uses: u32,
    /// Address of the page; without it the first of this machine's
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// As JSON: {name, invitation, link, new}
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub config: ConfigFile,
}

#[derive(Args, Debug)]
pub struct People {
    /// As JSON: a list of {name, role, rights, sessions, invitations, ...}
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub config: ConfigFile,
}

#[derive(Args, Debug)]
pub struct Revoke {
    /// A person's name, or the ID of a session or an invitation
    #[arg(value_name = "NAME|ID")]
    pub which: String,
    /// Even the last owner
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub config: ConfigFile,
}

#[derive(Args, Debug)]
pub struct Rename {
    pub old: String,
    pub new: String,
    #[command(flatten)]
    pub config: ConfigFile,
}

#[derive(Args, Debug)]
pub struct Token {
    /// What the program is called
    #[arg(long)]
    pub name: String,
    /// Some of view, talk, ring, open, manage
    #[arg(long)]
    pub rights: Rights,
    /// Devices that the rights are for; without it all
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub devices: Vec<UserId>,
    /// When it ends, such as '2027-01-01'
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// How long it lasts from now on, such as 365d
    #[arg(long = "for", value_name = "TIME", conflicts_with = "until")]
    pub span: Option<String>,
    #[command(flatten)]
    pub config: ConfigFile,
}

#[derive(Args, Debug)]
pub struct Pair {
    /// The ID under which it joins; without it all devices that have one
    #[arg(value_name = "ID")]
    pub device: Option<UserId>,
    /// How long it can be used, such as 2d; a week where it is not said
    #[arg(long = "for", value_name = "TIME")]
    pub span: Option<String>,
    #[command(flatten)]
    pub config: ConfigFile,
}

#[derive(Args, Debug)]
pub struct Unpair {
    /// The device's ID
    #[arg(value_name = "ID")]
    pub device: UserId,
    #[command(flatten)]
    pub config: ConfigFile,
}

#[derive(Args, Debug)]
pub struct Erase {
    /// Whom
    #[arg(long, value_name = "NAME")]
    pub person: String,
    /// Even the last owner
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub config: ConfigFile,
}

#[derive(Args, Debug)]
pub struct Backup {
    /// A file that is not there yet
    pub file: PathBuf,
    #[command(flatten)]
    pub config: ConfigFile,
}

#[derive(Args, Debug)]
pub struct Restore {
    /// What callbox backup has written
    pub file: PathBuf,
    #[command(flatten)]
    pub config: ConfigFile,
}

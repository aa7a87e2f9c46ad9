//! `callbox provision`: gathers what a board needs to know, secrets never from the command line, and draws the code.

use std::io::{BufRead, IsTerminal, Write, stdin};
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use callbox::base::durable::{self, Access};
use callbox::base::qr::Drawing;
use callbox::base::text;
use callbox::board::setup::code::{Setup, SignalingServer};
use callbox::board::wifi::network::{self, Key, Network};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::cli::Provision;
use crate::outcome::{Failure, print};

/// Longest secret in bytes that is read.
const MAX_SECRET: u64 = 4096;
/// Modules a side, with the light around, beyond which a camera of 640x480 begins to fail.
const MANY_MODULES: usize = 77;

pub fn provision(wanted: Provision) -> Result<(), Failure> {
    let png = wanted.png.clone();
    let mut setup = setup(wanted)?;
    let link = owner(&mut setup)?;
    let text = setup.encode().context("these values make no code")?;
    let drawing = Drawing::new(&text).context("this is more than a code can hold; take shorter names")?;
    if let Some(path) = png {
        let picture = drawing.png().context("the picture cannot be made")?;
        // It holds the password.
        durable::replace(&path, &picture, Access::PRIVATE)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let mut shown = drawing.for_terminal();
    shown.push_str("\nHold this in front of the board's camera, so that it fills a good part of the picture.\n");
    if drawing.width() > MANY_MODULES {
        shown.push_str("The code is fine; shorter names and token make it easier to read.\n");
    }
    if let Some(link) = link {
        shown.push_str(&format!(
            "\nOnce the board is up, this link makes you its owner. It works once, and is shown only now:\n  {link}\n"
        ));
    }
    print(shown.as_bytes())
}

/// Makes whoever has the link the first owner of a board that is its own server. The code only lets the board know it.
#[cfg(feature = "server")]
fn owner(setup: &mut Setup) -> anyhow::Result<Option<String>> {
    use callbox::server::invitation_link;
    use callbox::store::Secret;

    let Some(page) = setup.page() else { return Ok(None) };
    let secret = Secret::random().context("no secret can be made")?;
    setup.owner = Some(secret.hash().0);
    Ok(Some(invitation_link(&page, &secret, None)))
}

#[cfg(not(feature = "server"))]
fn owner(_: &mut Setup) -> anyhow::Result<Option<String>> {
    Ok(None)
}

fn setup(wanted: Provision) -> anyhow::Result<Setup> {
    let from_stdin = |path: &Option<std::path::PathBuf>| path.as_deref() == Some(Path::new("-"));
    if from_stdin(&wanted.wifi_password_file) && from_stdin(&wanted.token_file) {
        bail!("standard input can be the password or the token, not both");
    }
    let token = wanted.token_file.as_deref().map(secret).transpose()?;
    let token =
        token.as_deref().map(text::secret).transpose().map_err(|why| anyhow!("the token: {why}"))?.map(str::to_owned);
    let network = match wanted.ssid {
        Some(ssid) => {
            let password = match (&wanted.wifi_password_file, wanted.open) {
                (_, true) => String::new(),
                (Some(file), false) => secret(file)?,
                (None, false) => prompt(&format!("Password of the Wi-Fi {ssid}: "))?,
            };
            if password.is_empty() && !wanted.open {
                bail!("the password of {ssid} is empty; a network without one wants --open");
            }
            let key = Key::from_password(&password).map_err(|why| anyhow!(why))?;
            Some(Network::new(ssid.into_bytes(), key, wanted.hidden).map_err(|why| anyhow!(why))?)
        }
        None => None,
    };
    Ok(Setup {
        id: wanted.id,
        name: wanted.name,
        server: wanted.server.map(|url| SignalingServer { url, token }),
        network,
        country: wanted.country.as_deref().map(network::country).transpose().map_err(|why| anyhow!(why))?,
        owner: None,
    })
}

/// What a file holds, without the line end behind it: a password may begin and end with blanks.
fn secret(path: &Path) -> anyhow::Result<String> {
    let read = match path.to_str() {
        Some("-") => text::read_from(stdin().lock(), MAX_SECRET),
        _ => text::read(path, MAX_SECRET),
    };
    let text = read.with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(text.trim_end_matches('\n').to_owned())
}

/// Asks on the terminal, without showing the answer.
fn prompt(question: &str) -> anyhow::Result<String> {
    let terminal = stdin();
    if !terminal.is_terminal() {
        bail!("there is no terminal to ask for the password on; give --wifi-password-file or --open");
    }
    eprint!("{question}");
    std::io::stderr().flush()?;
    let shown = tcgetattr(&terminal).context("the terminal cannot be asked")?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&terminal, OptionalActions::Flush, &hidden).context("the terminal cannot be silenced")?;
    let mut line = String::new();
    let read = terminal.lock().read_line(&mut line);
    tcsetattr(&terminal, OptionalActions::Flush, &shown).context("the terminal cannot be restored")?;
    eprintln!();
    read.context("the password cannot be read")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

//! The commands and their help. Scripts depend on the names; docs/config.md and README.md show them in use.

use std::path::{Path, PathBuf};

#[cfg(feature = "device")]
use callbox::protocol::UserId;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

#[cfg(feature = "server")]
mod household;

#[cfg(feature = "server")]
pub use household::{Backup, Erase, Invite, Pair, People, Rename, Restore, Revoke, Token, Unpair};

#[derive(Debug, Parser)]
#[command(
    version,
    about = "A video intercom that any browser can call",
    long_about = "Callbox makes a Linux board with a camera, a microphone and a speaker an intercom that any browser can \
                  call. `callbox run` is the whole appliance: it prints an address; open it in a browser and press Call.",
    after_help = TOP_EXAMPLES,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

const TOP_EXAMPLES: &str = "\
Examples:
  callbox run                            start the intercom
  callbox devices                        which cameras and sound cards are there
  CALLBOX_CAMERA__SOURCE=/dev/video2 callbox run
                                         any setting can come from the environment
  callbox check                          the settings that count, and where each comes from

Exit codes: 0 done, 1 failed, 2 the configuration or the command line is wrong.";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the intercom: camera, microphone, speaker, and a server with the call page
    #[cfg(feature = "device")]
    #[command(after_help = "\
Prints the address to open in a browser, then logs until Ctrl-C. Without a configuration it takes the first camera and \
sound card it finds, synthetic ones where there are none, and listens on 127.0.0.1:8080. With [signaling] url it \
registers at that server and runs none of its own.

Examples:
  callbox run
  callbox run --config ./callbox.toml
  CALLBOX_SERVER__LISTEN=127.0.0.1:9000 callbox run
  RUST_LOG=debug callbox run             more log; callbox::net=trace for one part")]
    Run {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Start the signaling server and the call page alone, for devices elsewhere
    #[cfg(feature = "server")]
    #[command(after_help = "\
Takes [server] and [ice] of the configuration. Devices reach it with [signaling] url = \"wss://HOST:PORT/ws\".

Examples:
  callbox server
  CALLBOX_SERVER__LISTEN=0.0.0.0:8443 callbox server")]
    Server {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// List cameras with formats, sizes and rates, and sound cards
    #[cfg(feature = "device")]
    #[command(after_help = "\
The names are what the configuration takes: a camera's path (or \"name:NAME\") for [camera] source, \"alsa:...\" for [microphone] source \
and [speaker] sink.

Examples:
  callbox devices
  callbox devices --json | jq -r '.cameras[].path'")]
    Devices {
        /// As JSON: {cameras, capture, playback}
        #[arg(long)]
        json: bool,
    },
    /// Show what the running daemon is doing
    #[cfg(feature = "device")]
    #[command(after_help = "\
Examples:
  callbox status
  callbox status --json | jq '.calls | length'")]
    Status {
        /// As JSON, with all figures
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Call somebody who is online
    #[cfg(feature = "device")]
    #[command(after_help = "\
The running daemon places the call; it goes on after this command has ended. USER is the ID somebody joined under on \
the page, or another device's.

Examples:
  callbox call anna
  callbox call \"Aunt Mae\"")]
    Call {
        /// Whom to call: the ID at the signaling server
        user: UserId,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Answer the call that is ringing (with [calls] answer = "ring")
    #[cfg(feature = "device")]
    Answer {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Ring as if somebody had pressed the button of that name, or the only one there is
    #[cfg(feature = "device")]
    Ring {
        button: Option<String>,
        /// Take it back: nobody is rung any more
        #[arg(long)]
        cancel: bool,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// End all calls of the running daemon
    #[cfg(feature = "device")]
    Hangup {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Block the running daemon's main loop, if CALLBOX_DEBUG_HOOKS=1 is in its environment
    #[cfg(feature = "device")]
    #[command(hide = true)]
    DebugBlock {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Invite somebody to this server, or one of their further browsers
    #[cfg(feature = "server")]
    #[command(after_help = "\
Prints a link and its QR code; whoever opens it first comes in. A name that is known gets a further invitation, and what \
is given with it replaces what was. The owner's way back in when locked out is here too, for root on the machine itself.

Examples:
  callbox invite --name Anna
  callbox invite --name Ben --role owner
  callbox invite --name Courier --role guest --rights ring --devices front-door \\
      --from '2026-12-03 10:00' --until '2026-12-03 12:00'
  callbox invite --name Guests --role guest --for 3d --uses 4 --url https://door.example.org/")]
    Invite(Invite),
    /// List the people of this server, their browsers, programs and open invitations
    #[cfg(feature = "server")]
    #[command(after_help = "\
Examples:
  callbox people
  callbox people --json | jq -r '.[].sessions[].id'")]
    People(People),
    /// Take access back: a person's, one browser's, or an invitation
    #[cfg(feature = "server")]
    #[command(after_help = "\
Live connections are closed within two seconds, and calls end. Names and IDs are those of callbox people.

Examples:
  callbox revoke Courier
  callbox revoke k3v7q2ha")]
    Revoke(Revoke),
    /// Change the name under which others see a person
    #[cfg(feature = "server")]
    #[command(after_help = "\
Examples:
  callbox rename Owner Anna")]
    Rename(Rename),
    /// Make a token for a program: a dashboard, a script, another client
    #[cfg(feature = "server")]
    #[command(after_help = "\
Prints the token, which is not kept and not shown again. The program shows it in the header Authorization: Bearer TOKEN, \
or as the field token of join. It is listed and revoked like people.

Examples:
  callbox token --name dashboard --rights view --for 365d")]
    Token(Token),
    /// Let a device elsewhere join this server under an ID
    #[cfg(feature = "server")]
    #[command(after_help = "\
Prints what the device has to show once, which is not kept and not shown again. It goes into the file that [signaling] \
token_file names on the device, or into 'callbox provision --token-file'. From then on the ID belongs to the device's own key.

Examples:
  callbox pair front-door > front-door.token
  callbox pair")]
    Pair(Pair),
    /// Free a device's ID for another device
    #[cfg(feature = "server")]
    #[command(after_help = "\
Examples:
  callbox unpair front-door")]
    Unpair(Unpair),
    /// Forget a person, and remove what was kept of them
    #[cfg(feature = "server")]
    #[command(after_help = "\
Examples:
  callbox erase --person Courier")]
    Erase(Erase),
    /// Write what the server remembers into a file
    #[cfg(feature = "server")]
    #[command(after_help = "\
The daemon may run meanwhile. The file holds names and rights, hashes of secrets, and the key that vouches for your devices: \
keep it where nobody else reads it.

Examples:
  callbox backup /mnt/household.db")]
    Backup(Backup),
    /// Put a backup in the place of what the server remembers; stop the daemon first
    #[cfg(feature = "server")]
    #[command(after_help = "\
Examples:
  systemctl stop callbox && callbox restore /mnt/household.db && systemctl start callbox")]
    Restore(Restore),
    /// Erase all that Callbox has kept: as if it had never run
    #[command(after_help = "\
Stop the daemon first. People, keys, certificates and the first owner's link are overwritten and removed, and so is what \
earlier versions of them have left in the free space. On a board from the image the networks, the settings on the card and \
the journal go too, at the next start; an empty file callbox-reset on the card does the same. A backup that you made is yours \
to remove.

Examples:
  systemctl stop callbox && callbox reset
  callbox reset --yes --free-space 100000")]
    Reset(Reset),
    /// Check the configuration and print it with the origin of each value
    #[command(after_help = "\
Reads the file and the environment as `callbox run` would, and prints every setting with its effective value: \
from the file (with its line), from a variable, or the default. Secrets are not shown.

Examples:
  callbox check
  callbox check --config ./callbox.toml
  CALLBOX_CAMERA__FPS=15 callbox check | grep fps")]
    Check {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Make a QR code that sets up a board when its camera sees it
    #[cfg(feature = "board")]
    #[command(after_help = "\
Prints the code in the terminal, and as a picture with --png. Hold it in front of the camera of a freshly written \
board; docs/provisioning.md has what it says. It carries the Wi-Fi password and the token: show it to nobody else. \
Secrets come from files, standard input (-) or a prompt, never from the command line, which every user of the machine \
can see.

Examples:
  callbox provision --id front-door --name \"Front door\" --ssid Home --country DE
  callbox provision --id hall --ssid Guests --open
  callbox provision --id door --ssid Home --wifi-password-file wifi.pass \\
      --server wss://call.example.org/ws --token-file token --png door.png")]
    Provision(Provision),
    /// What a flashed board does at its start (for root)
    #[cfg(feature = "board")]
    #[command(
        subcommand,
        after_help = "\
The image calls these from its units; docs/provisioning.md has the files they read and write.

Examples:
  callbox board import
  callbox board import --boot /media/me/CALLBOX --root /tmp/try"
    )]
    Board(BoardCommand),
    /// Print a completion script for a shell
    #[command(after_help = "\
Examples:
  callbox completions bash > /etc/bash_completion.d/callbox
  callbox completions zsh > \"${fpath[1]}/_callbox\"
  callbox completions fish > ~/.config/fish/completions/callbox.fish")]
    Completions { shell: Shell },
    /// Write the manual pages, one for each command, into a directory
    #[command(hide = true)]
    Man { dir: PathBuf },
}

#[cfg(feature = "board")]
#[derive(Debug, Subcommand)]
pub enum BoardCommand {
    /// Put in force what callbox.toml and wifi.txt on the boot partition say
    #[command(after_help = "\
What is broken there changes nothing: the last good settings stay in force, and callbox-report.txt on the boot \
partition says what is wrong. Exits with code 1 only where there are no settings to start with at all.")]
    Import(BoardPlaces),
    /// Wait for a setup code in front of the camera, and leave its text in a file
    #[command(after_help = "\
Ticks while it looks, plays rising notes when a code was taken and a low one when it was refused. Takes the codes of \
`callbox provision`, and those that phones make to share Wi-Fi. Needs no rights but to the devices; `callbox board apply` \
then does what the code says. Exits with code 1 where no code was shown in time.

Examples:
  callbox board scan --to /run/code && callbox board apply /run/code && callbox board import")]
    Scan(Scan),
    /// Write what a setup code says onto the boot partition
    #[command(after_help = "\
Reads the file that `callbox board scan` has left, and trusts it no more than any stranger's code. Afterwards `callbox board \
import` puts the settings in force.")]
    Apply(Apply),
    /// Watch whether the Wi-Fi takes the board, and note for the import why not
    #[command(after_help = "\
Runs until it is ended, and prints a line for each change. A report that tells of it takes another `callbox board import`; \
the image does that.")]
    Wifi(BoardPlaces),
}

#[cfg(feature = "board")]
#[derive(Args, Debug)]
pub struct Scan {
    /// Where the text of the code goes, with its secrets: readable for nobody else
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
    /// How long to look, in seconds
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Camera to look with, as [camera] source; without it that of the settings in force
    #[arg(long, value_name = "SOURCE", value_parser = camera_source)]
    pub camera: Option<callbox::config::CameraSource>,
    /// Where to be heard, as [speaker] sink; without it that of the settings in force
    #[arg(long, value_name = "SINK", value_parser = speaker_sink)]
    pub speaker: Option<callbox::config::SpeakerSink>,
    #[command(flatten)]
    pub places: BoardPlaces,
}

#[cfg(feature = "board")]
#[derive(Args, Debug)]
pub struct Apply {
    /// Text of a code
    pub file: PathBuf,
    #[command(flatten)]
    pub places: BoardPlaces,
}

#[cfg(feature = "board")]
fn camera_source(text: &str) -> Result<callbox::config::CameraSource, String> {
    callbox::config::CameraSource::parse(text).ok_or_else(|| must_be("camera.source"))
}

#[cfg(feature = "board")]
fn speaker_sink(text: &str) -> Result<callbox::config::SpeakerSink, String> {
    callbox::config::SpeakerSink::parse(text).ok_or_else(|| must_be("speaker.sink"))
}

#[cfg(feature = "board")]
fn must_be(key: &str) -> String {
    callbox::config::keys::find(key).map_or_else(String::new, |key| format!("must be {}", key.allowed))
}

#[cfg(feature = "board")]
#[derive(Args, Debug)]
pub struct Provision {
    /// Who the board is at the signaling server, and its name in the network
    #[arg(long)]
    pub id: String,
    /// What people read; without it the ID
    #[arg(long)]
    pub name: Option<String>,
    /// Wi-Fi network to join; without it the board is on a cable
    #[arg(long, value_name = "NAME")]
    pub ssid: Option<String>,
    /// File with the Wi-Fi password, - for standard input; without it and --open you are asked
    #[arg(long, value_name = "FILE", requires = "ssid", conflicts_with = "open")]
    pub wifi_password_file: Option<PathBuf>,
    /// The network has no password
    #[arg(long, requires = "ssid")]
    pub open: bool,
    /// The network does not announce its name
    #[arg(long, requires = "ssid")]
    pub hidden: bool,
    /// Country of the board, for the channels that are allowed: two letters such as DE
    #[arg(long, value_name = "CODE")]
    pub country: Option<String>,
    /// Signaling server to register at, wss://...; without it the board is its own server
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// File with the token for that server, - for standard input
    #[arg(long, value_name = "FILE", requires = "server")]
    pub token_file: Option<PathBuf>,
    /// Also write the code as a picture
    #[arg(long, value_name = "FILE")]
    pub png: Option<PathBuf>,
}

#[cfg(feature = "board")]
#[derive(Args, Debug)]
pub struct BoardPlaces {
    /// The boot partition; without it boot/firmware below the root
    #[arg(long, value_name = "DIR")]
    boot: Option<PathBuf>,
    /// What outlasts a restart; without it var/lib/callbox-board below the root
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// What is made at each start; without it run/callbox-board below the root
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// The root file system
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

#[cfg(feature = "board")]
impl BoardPlaces {
    pub fn places(self) -> callbox::board::Places {
        let mut places = callbox::board::Places::below(&self.root);
        let set = |place: &mut PathBuf, given: Option<PathBuf>| {
            if let Some(given) = given {
                *place = given;
            }
        };
        set(&mut places.boot, self.boot);
        set(&mut places.state, self.state);
        set(&mut places.run, self.run);
        places
    }
}

#[derive(Args, Debug)]
pub struct Reset {
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// How much of the free space to overwrite at most, in MiB; 0: none
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    pub free_space: u64,
    /// The root file system of a board
    #[cfg(feature = "board")]
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
    #[command(flatten)]
    pub config: ConfigFile,
}

#[derive(Args, Debug)]
pub struct ConfigFile {
    /// TOML file to read; without it /etc/callbox/callbox.toml where there is one
    #[arg(long = "config", value_name = "FILE")]
    path: Option<PathBuf>,
}

impl ConfigFile {
    pub fn file(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }
}

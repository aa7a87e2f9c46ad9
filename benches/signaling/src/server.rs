//! The servers under test, each a process of its own, and what /proc tells of them.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::client::{Door, any_certificate};

/// From its start to its first connection.
const START: Duration = Duration::from_secs(10);
/// A server rests when it has used no processor time for so long.
const QUIET: Duration = Duration::from_millis(300);
/// Longest wait for rest.
const RESTLESS: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Callbox,
    Node,
}

impl Kind {
    pub const ALL: [Kind; 2] = [Kind::Callbox, Kind::Node];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Callbox => "Callbox",
            Kind::Node => "Node",
        }
    }
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    pub callbox: PathBuf,
    pub node: PathBuf,
    pub relay: PathBuf,
    /// Whether Callbox can be told how many connections it may have.
    unlimited: bool,
}

impl Programs {
    pub fn new(callbox: PathBuf, node: PathBuf, relay: PathBuf) -> anyhow::Result<Programs> {
        ensure!(callbox.is_file(), "{} is missing; `make build` builds it", callbox.display());
        ensure!(
            relay.with_file_name("node_modules").is_dir(),
            "{} has no packages; `scripts/setup bench` installs them",
            relay.display()
        );
        let settings = Command::new(&callbox).args(["check", "--config"]).arg(empty()?.path()).output();
        let settings = settings.with_context(|| format!("{} does not run", callbox.display()))?;
        let unlimited = String::from_utf8_lossy(&settings.stdout).contains("max_connections");
        Ok(Programs { callbox, node, relay, unlimited })
    }
}

/// A running server. It ends when this is dropped.
pub struct Server {
    pub kind: Kind,
    pub door: Door,
    process: Child,
    folder: tempfile::TempDir,
}

impl Server {
    /// Starts one, and returns when it takes connections.
    pub fn start(kind: Kind, programs: &Programs, tls: bool, sources: u32) -> anyhow::Result<Server> {
        let port = free_port()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let folder = tempfile::tempdir()?;
        let mut command = match kind {
            Kind::Callbox => {
                let config = folder.path().join("callbox.toml");
                fs::write(&config, "")?;
                let mut command = Command::new(&programs.callbox);
                command.arg("server").arg("--config").arg(config);
                command.env("CALLBOX_SERVER__LISTEN", address.to_string());
                command.env("CALLBOX_SERVER__TLS__MODE", if tls { "auto" } else { "off" });
                command.env("CALLBOX_STATE__DIR", folder.path());
                if programs.unlimited {
                    command.env("CALLBOX_SERVER__MAX_CONNECTIONS", "19500");
                }
                command
            }
            Kind::Node => {
                ensure!(!tls, "the relay speaks no TLS");
                let mut command = Command::new(&programs.node);
                command.arg(&programs.relay).arg(port.to_string());
                command
            }
        };
        let log = File::create(folder.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let process = command.spawn().with_context(|| format!("{command:?} does not start"))?;
        let tls = if tls { Some(any_certificate()?) } else { None };
        let mut server = Server { kind, door: Door { address, tls, sources }, process, folder };
        server.wait_for_it()?;
        Ok(server)
    }

    fn wait_for_it(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START;
        while TcpStream::connect(self.door.address).is_err() {
            let ended = self.process.try_wait()?;
            if let (Some(_), _) | (None, true) = (ended, Instant::now() > deadline) {
                bail!("{} does not come up:\n{}", self.kind.name(), self.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// What it has written.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Processor time of all its threads so far, ended ones too; in steps of 10 ms.
    pub fn processor_time(&self) -> anyhow::Result<Duration> {
        /// proc(5) counts in hundredths of a second on every Linux there is.
        const TICK: Duration = Duration::from_millis(10);
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // The name in parentheses may have spaces; `utime` and `stime` are the 12th and 13th field after it.
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields.split_whitespace()).context("no processor time")?;
        let ticks: Vec<u32> = fields.skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
        Ok(TICK * ticks.iter().sum())
    }

    /// Resident memory in KiB.
    pub fn memory(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no resident memory")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Returns once it has nothing to do.
    pub async fn rest(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + RESTLESS;
        let mut used = self.processor_time()?;
        loop {
            tokio::time::sleep(QUIET).await;
            let now = self.processor_time()?;
            if now == used || Instant::now() > deadline {
                return Ok(());
            }
            used = now;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A configuration that says nothing, so that this machine's own does not count.
fn empty() -> anyhow::Result<tempfile::NamedTempFile> {
    Ok(tempfile::Builder::new().suffix(".toml").tempfile()?)
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The path of a program, looked for as the shell does.
pub fn which(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path: &PathBuf| is_program(path));
    found.with_context(|| format!("{name} is not in PATH; `scripts/setup bench` installs it"))
}

fn is_program(path: &Path) -> bool {
    path.is_file()
}

//! The commands that stay: they log, say where to open the page, and end on SIGINT or SIGTERM.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
#[cfg(feature = "server")]
use callbox::base::qr::Drawing;
use callbox::config::{Config, Loaded};
#[cfg(feature = "device")]
use callbox::device::Device;
#[cfg(feature = "server")]
use callbox::server::{Server, ServerSettings};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::logging;
use crate::outcome::{Failure, print};
use crate::service::systemd::Subject;
use crate::service::{reload, systemd};

/// How long the ending process waits for what cannot be interrupted: devices that close, names that are looked up.
const REST: Duration = Duration::from_secs(3);

/// Set to 1, it makes `callbox debug-block` work.
#[cfg(feature = "device")]
const DEBUG_HOOKS: &str = "CALLBOX_DEBUG_HOOKS";

/// `callbox run`.
#[cfg(feature = "device")]
pub fn run(file: Option<&Path>) -> Result<(), Failure> {
    let config = start(file)?;
    to_its_end(async {
        let (stop, reload) = (stop_signal()?, reload::signal()?);
        let hooks = std::env::var_os(DEBUG_HOOKS).is_some_and(|value| value == "1");
        let device = Device::start(&config, hooks).await.map_err(anyhow::Error::new)?;
        let ready = device.ready();
        let mut text = format!("{} is ready.\n", ready.name);
        if ready.pages.is_empty() {
            text.push_str(&format!("It waits for calls at {}\n", ready.signaling));
        }
        tell(text, &ready.pages, &ready.trust_pages, ready.fingerprint.as_deref());
        #[cfg(feature = "server")]
        hand_over(ready.first_link.as_deref());
        attend(Subject::Device(device.handle()), file, config, reload);
        Ok(device.run(stop).await.map_err(anyhow::Error::new)?)
    })
}

/// `callbox server`.
#[cfg(feature = "server")]
pub fn serve(file: Option<&Path>) -> Result<(), Failure> {
    let config = start(file)?;
    to_its_end(async {
        let (stop, reload) = (stop_signal()?, reload::signal()?);
        let server = Server::start(ServerSettings::from(&config)).await.map_err(anyhow::Error::new)?;
        let text = "The signaling server is ready.\n".to_owned();
        tell(text, &server.page_urls(), &server.trust_urls(), server.ca_fingerprint().as_deref());
        hand_over(server.first_link().as_deref());
        attend(Subject::Server(server.handle()), file, config, reload);
        let ended = server.handle().ended();
        let result = tokio::select! {
            () = stop => Ok(()),
            () = ended => Err(anyhow::anyhow!("the signaling server has ended by itself, which is a fault in Callbox")),
        };
        server.shutdown().await;
        Ok(result?)
    })
}

/// Speaks for the daemon with the service manager as long as it runs.
fn attend(subject: Subject, file: Option<&Path>, config: Config, reload: Signal) {
    systemd::ready();
    tokio::spawn(systemd::report(subject.status()));
    tokio::spawn(systemd::feed_watchdog(subject.checkup()));
    tokio::spawn(reload::on(reload, file.map(Path::to_owned), config, subject));
}

/// Reads the configuration, then logs as it says.
fn start(file: Option<&Path>) -> Result<Config, Failure> {
    let Loaded { config, warnings, file, .. } = Config::load(file)?;
    logging::start(config.log, std::env::var("RUST_LOG").ok().as_deref());
    take_descriptors();
    match file {
        Some(file) => log::info!(file:% = file.display(), version = env!("CARGO_PKG_VERSION"); "Callbox starts"),
        None => log::info!(version = env!("CARGO_PKG_VERSION"); "Callbox starts without a configuration file"),
    }
    for warning in warnings {
        log::warn!("{warning}");
    }
    Ok(config)
}

/// Says what a person needs to call: where the page is, and how browsers come to trust it.
fn tell(mut text: String, pages: &[String], trust: &[String], fingerprint: Option<&str>) {
    let mut list = |title: &str, lines: &[String]| {
        if !lines.is_empty() {
            text.push_str(&format!("{title}:\n"));
        }
        lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    };
    list("Open in a browser", pages);
    list("How browsers come to trust the certificate", trust);
    list("SHA-256 of the certificate authority", fingerprint.map(str::to_owned).as_slice());
    // A daemon whose standard output is gone still does its work.
    if let Err(error) = print(text.as_bytes()) {
        log::warn!(error:? = error; "nobody reads the addresses");
    }
}

/// Gives the first owner's link to the person at the terminal. What a service prints goes into the journal, which more
/// people read than own the house.
#[cfg(feature = "server")]
fn hand_over(link: Option<&str>) {
    let Some(link) = link else { return };
    if logging::goes_to_the_journal() {
        return log::warn!(
            "nobody was invited yet: callbox invite --name NAME --role owner, by root on this machine, prints a link"
        );
    }
    let code = Drawing::new(link).map(|code| code.for_terminal()).unwrap_or_default();
    let text = format!(
        "Nobody was invited yet. Whoever opens this link first is the owner; it works once:\n  {link}\n\n{code}\n"
    );
    if let Err(error) = print(text.as_bytes()) {
        log::warn!(error:? = error; "nobody reads the first owner's link; callbox invite --role owner prints another");
    }
}

/// Every call and every client holds some. The usual limit of 1024 is there for the sake of select(2), and nothing here
/// calls that.
fn take_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        log::debug!(error:%; "the limit of descriptors stays as it is");
    }
}

fn to_its_end(daemon: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = Runtime::new().context("the asynchronous runtime does not start")?;
    let result = runtime.block_on(daemon);
    runtime.shutdown_timeout(REST);
    result
}

/// Resolves when somebody wants the daemon to end.
fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let listen = |kind| -> Result<Signal, Failure> { Ok(signal(kind).context("signals cannot be received")?) };
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        systemd::stopping();
        log::info!("Callbox ends");
    })
}

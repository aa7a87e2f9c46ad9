//! Watches how joining the Wi-Fi goes: wpa_supplicant's control interface (a datagram socket, its `wpa_ctrl.h`) on one
//! side, on the other the file that the import takes into its report.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::joining::{Air, Change, Joining, Known};
use crate::base::durable::{self, Access};
use crate::board::{Places, WIFI_TROUBLE};

const INTERFACE: &str = "wlan0";
/// Between looks for a radio that is not there.
const RETRY: Duration = Duration::from_secs(2);
/// How long wpa_supplicant may take for an answer.
const ANSWER: Duration = Duration::from_secs(5);
/// In silence, how often to ask whether it is still there.
const PING: Duration = Duration::from_secs(15);
/// wpa_supplicant's replies have 4096 bytes at most.
const MAX_REPLY: usize = 4096;
/// The longest line of SCAN_RESULTS: 32 bytes of a name are 128 when escaped.
const MAX_LINE: usize = 256;

/// Watches for as long as the process lives. `tell` gets a line for each change, after the file has it.
pub fn watch(places: &Places, tell: &mut dyn FnMut(&str)) -> io::Result<()> {
    let trouble = places.run.join(WIFI_TROUBLE);
    let mut told = |change: Change| -> io::Result<()> {
        match change {
            Change::Trouble { what, remedy } => {
                durable::replace(&trouble, format!("{what}\n{remedy}\n").as_bytes(), Access::PUBLIC)?;
                tell(&format!("Wi-Fi: {what}"));
            }
            Change::Over => {
                durable::remove(&trouble)?;
                tell("Wi-Fi: joined");
            }
        }
        Ok(())
    };
    let start = Instant::now();
    let mut joining = Joining::new(trouble.exists(), start.elapsed());
    loop {
        if let Ok(radio) = Radio::open(places, &mut joining, start) {
            let lost = radio.follow(&mut joining, start, &mut told)?;
            log::debug!(interface = INTERFACE, error:% = lost; "wpa_supplicant is gone");
            joining.radio_lost(start.elapsed());
        }
        if let Some(change) = joining.poll(start.elapsed()) {
            told(change)?;
        }
        std::thread::sleep(RETRY);
    }
}

struct Radio {
    socket: UnixDatagram,
    own: PathBuf,
}

impl Radio {
    /// Attached, so that events arrive.
    fn open(places: &Places, joining: &mut Joining, start: Instant) -> io::Result<Radio> {
        let own = places.run.join("wifi-watch");
        durable::remove(&own)?;
        let socket = UnixDatagram::bind(&own)?;
        let radio = Radio { socket, own };
        radio.socket.connect(places.root.join("run/wpa_supplicant").join(INTERFACE))?;
        radio.ask("ATTACH", joining, start)?;
        let networks = radio.ask("LIST_NETWORKS", joining, start)?;
        joining.radio_found(known(&networks), start.elapsed());
        let results = radio.ask("SCAN_RESULTS", joining, start)?;
        joining.scanned(air(&results));
        let status = radio.ask("STATUS", joining, start)?;
        if status.lines().any(|line| line == "wpa_state=COMPLETED") {
            let id = status.lines().find_map(|line| line.strip_prefix("id=")).and_then(|id| id.parse().ok());
            joining.joined(id);
        }
        Ok(radio)
    }

    /// Until wpa_supplicant is gone: returns how. An error is one of `told`.
    fn follow(
        &self,
        joining: &mut Joining,
        start: Instant,
        told: &mut dyn FnMut(Change) -> io::Result<()>,
    ) -> io::Result<io::Error> {
        loop {
            let now = start.elapsed();
            while let Some(change) = joining.poll(now) {
                told(change)?;
            }
            let due = joining.poll_timeout(now).map_or(PING, |due| due.saturating_sub(now).min(PING));
            let event = match self.receive(due.max(Duration::from_millis(1))) {
                Ok(event) => event,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match self.ask("PING", joining, start) {
                    Ok(_) => continue,
                    Err(error) => return Ok(error),
                },
                Err(error) => return Ok(error),
            };
            self.heard(&event, joining, start);
            if event.contains("CTRL-EVENT-SCAN-RESULTS") {
                match self.ask("SCAN_RESULTS", joining, start) {
                    Ok(results) => joining.scanned(air(&results)),
                    Err(error) => return Ok(error),
                }
            }
            if event.contains("CTRL-EVENT-TERMINATING") {
                return Ok(io::ErrorKind::ConnectionReset.into());
            }
        }
    }

    /// Events that come between are handled.
    fn ask(&self, command: &str, joining: &mut Joining, start: Instant) -> io::Result<String> {
        self.socket.send(command.as_bytes())?;
        let asked = Instant::now();
        while let Some(left) = ANSWER.checked_sub(asked.elapsed()).filter(|left| !left.is_zero()) {
            let reply = self.receive(left)?;
            if !self.heard(&reply, joining, start) {
                return Ok(reply);
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// Whether it was an event: those begin with their level, `<3>`.
    fn heard(&self, message: &str, joining: &mut Joining, start: Instant) -> bool {
        let event = message.strip_prefix('<').and_then(|rest| rest.split_once('>'));
        if let Some((_, event)) = event {
            joining.handle(event, start.elapsed());
        }
        event.is_some()
    }

    fn receive(&self, within: Duration) -> io::Result<String> {
        self.socket.set_read_timeout(Some(within))?;
        let mut buffer = [0; MAX_REPLY];
        let length = self.socket.recv(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }
}

impl Drop for Radio {
    fn drop(&mut self) {
        // A next one would replace it.
        let _ = durable::remove(&self.own);
    }
}

/// The networks of LIST_NETWORKS: number, name, access point, flags, with a heading and tabs between.
fn known(table: &str) -> Vec<Known> {
    let network = |line: &str| {
        let (id, rest) = line.split_once('\t')?;
        let printed = rest.split('\t').next()?.to_owned();
        Some(Known { id: id.parse().ok()?, name: unescaped(&printed), printed })
    };
    table.lines().skip(1).filter_map(network).collect()
}

/// The networks of SCAN_RESULTS: access point, MHz, dBm, flags, name. Each name once; networks without one are left out.
fn air(table: &str) -> Air {
    let heard = |line: &str| {
        let mut fields = line.split('\t').skip(2);
        let signal: i32 = fields.next()?.parse().ok()?;
        Some((signal, unescaped(fields.nth(1)?)))
    };
    let mut all: Vec<(i32, String)> = table.lines().skip(1).filter_map(heard).collect();
    all.sort_by_key(|(signal, _)| std::cmp::Reverse(*signal));
    let mut names: Vec<String> = Vec::new();
    for (_, name) in all {
        if !name.trim_matches('\0').is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    // A longer answer is cut without a word, after the last line that fits or in the middle of one.
    Air { names, cut: table.len() + MAX_LINE > MAX_REPLY }
}

/// A network's name as wpa_supplicant prints it: `\\`, `\"`, `\e`, `\n`, `\r`, `\t`, and `\x` with two digits.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next() {
                Some(b'e') => 0x1b,
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'x') => {
                    let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).unwrap_or(0);
                    (digit(rest.next()) * 16 + digit(rest.next())) as u8
                }
                Some(other) => other,
                None => b'\\',
            },
            byte => byte,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whoever is in reach of the radio chooses what stands in the tables and events.
        #[test]
        fn no_name_in_the_air_is_too_odd(name in "[\\\\\"'xa-f0-9\t\n\r \u{0}-\u{1f}é]{0,40}", number in 0..3_usize) {
            let mut joining = Joining::new(false, Duration::ZERO);
            joining.radio_found(known(&format!("heading\n0\t{name}\tany\t\n")), Duration::ZERO);
            joining.scanned(air(&format!("heading\n{name}\t1\t-30\t\t{name}\n")));
            joining.handle(&name, Duration::ZERO);
            joining.handle(&format!("Trying to associate with SSID '{name}'"), Duration::ZERO);
            let disabled = format!("CTRL-EVENT-SSID-TEMP-DISABLED id={number} ssid=\"{name}\" reason=WRONG_KEY");
            joining.handle(&disabled, Duration::ZERO);
            if let Some(Change::Trouble { what, .. }) = joining.poll(Duration::from_secs(60)) {
                prop_assert!(!what.chars().any(char::is_control), "{what:?}");
            }
        }
    }

    #[test]
    fn names_are_read_from_wpa_supplicants_tables() {
        let networks = "network id / ssid / bssid / flags\n0\tCaf\\xc3\\xa9 \\\"2\\\"\tany\t[CURRENT]\n\
                        2\tHome\tany\t\n3\tHome\tany\t\n";
        let read: Vec<_> = known(networks).into_iter().map(|known| (known.id, known.name)).collect();
        assert_eq!(read, [(0, "Café \"2\"".to_owned()), (2, "Home".to_owned()), (3, "Home".to_owned())]);
        let scan = "bssid / frequency / signal level / flags / ssid\n\
                    02:00:00:00:05:00\t2412\t-70\t[ESS]\tFar\n\
                    02:00:00:00:01:00\t2412\t-30\t[WPA2-PSK-CCMP][ESS]\tHome\n\
                    02:00:00:00:02:00\t5180\t-50\t[WPA2-PSK-CCMP][ESS]\tHome\n\
                    02:00:00:00:03:00\t2412\t-60\t[ESS]\t\n\
                    02:00:00:00:04:00\t2412\t-60\t[ESS]\t\\x00\\x00\n";
        assert_eq!((air(scan).names, air(scan).cut), (vec!["Home".to_owned(), "Far".to_owned()], false));
        assert!(known("FAIL\n").is_empty() && air("").names.is_empty() && air(&"x".repeat(4000)).cut);
        assert_eq!(
            (unescaped("\\"), unescaped("\\x4"), unescaped("\\xff")),
            ("\\".into(), "@".into(), "\u{fffd}".into())
        );
    }
}

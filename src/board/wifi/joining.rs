//! Joining the Wi-Fi, as wpa_supplicant tells it: whether the board is in a network and, if it is not for too long, why
//! not. Told the time and the events (its `wpa_ctrl.h`); opens nothing.

use std::time::Duration;

/// How long a radio may take to come up after the start.
const RADIO_PATIENCE: Duration = Duration::from_secs(60);
/// How long a first join may take: scans of all channels, and a handshake with each network.
const JOIN_PATIENCE: Duration = Duration::from_secs(45);
/// How long a network that was joined may be away: routers restart at night, and a report wears the card. As long between
/// two reports that differ in no more than what the radio happened to hear.
const LOST_PATIENCE: Duration = Duration::from_secs(600);
/// A handshake also fails once where the signal is weak.
const WRONG_KEYS: u32 = 2;
/// Names of networks in reach that a report lists.
const LISTED: usize = 6;

/// What is known of joining. [`handle`](Joining::handle) or another input, then [`poll`](Joining::poll) until it has
/// nothing more, then sleep until [`poll_timeout`](Joining::poll_timeout).
#[derive(Debug)]
pub struct Joining {
    link: Link,
    networks: Vec<Candidate>,
    air: Air,
    /// Which of the networks the radio tries.
    trying: Option<usize>,
    /// What people were told last; `None` where only an earlier watch knows.
    told: Option<Option<Trouble>>,
    told_at: Duration,
}

/// What whoever set the board up has to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Why the board is in no network, and what to do, for people.
    Trouble { what: String, remedy: &'static str },
    /// It is in a network.
    Over,
}

/// A network that wpa_supplicant is to join.
#[derive(Clone, Debug)]
pub struct Known {
    /// wpa_supplicant's number.
    pub id: usize,
    /// Its name as wpa_supplicant prints it, with escapes.
    pub printed: String,
    pub name: String,
}

/// What the last scan found.
#[derive(Clone, Debug, Default)]
pub struct Air {
    /// Strongest first.
    pub names: Vec<String>,
    /// Whether there is more that was not told.
    pub cut: bool,
}

#[derive(Debug)]
enum Link {
    NoRadio { since: Duration },
    Out { since: Duration, patience: Duration },
    In,
}

#[derive(Debug)]
struct Candidate {
    known: Known,
    /// It has taken the board before, so its password is no mistake of today's.
    proven: bool,
    wrong_keys: u32,
    refused: bool,
    /// wpa_supplicant had nothing to try at least once.
    unsuitable: bool,
}

/// What keeps the board out of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Nothing,
    NotInReach,
    /// It is in reach and wpa_supplicant does not try: another kind of protection.
    Unsuitable,
    Refused,
    WrongPassword,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Trouble {
    NoRadio,
    Out(Vec<Finding>),
}

const COMPARE: &str = "compare name and password with those of the router, capitals count; correct them, save the file, and \
                       start the board again. A network cable works in any case";
const NO_RADIO: &str =
    "use a network cable, or another board; to be rid of this message take the networks out of wifi.txt";

impl Joining {
    /// Before the radio is there. `troubled`: an earlier watch has told of trouble, which may be over. `now` counts from
    /// any moment, as in all that follows.
    pub fn new(troubled: bool, now: Duration) -> Joining {
        let told = if troubled { None } else { Some(None) };
        let (networks, air) = (Vec::new(), Air::default());
        Joining { link: Link::NoRadio { since: now }, networks, air, trying: None, told, told_at: now }
    }

    /// wpa_supplicant answers, and has these networks.
    pub fn radio_found(&mut self, networks: Vec<Known>, now: Duration) {
        let candidate = |known| Candidate { known, proven: false, wrong_keys: 0, refused: false, unsuitable: false };
        self.networks = networks.into_iter().map(candidate).collect();
        (self.air, self.trying) = (Air::default(), None);
        self.link = Link::Out { since: now, patience: JOIN_PATIENCE };
    }

    /// wpa_supplicant does not answer any more.
    pub fn radio_lost(&mut self, now: Duration) {
        self.link = Link::NoRadio { since: now };
    }

    /// The board is in a network; which, where that is known.
    pub fn joined(&mut self, id: Option<usize>) {
        self.link = Link::In;
        for network in &mut self.networks {
            (network.wrong_keys, network.refused, network.unsuitable) = (0, false, false);
            network.proven |= id == Some(network.known.id);
        }
    }

    pub fn scanned(&mut self, air: Air) {
        self.air = air;
    }

    /// An event without its level, such as `CTRL-EVENT-CONNECTED - Connection to ...`. Others than those of joining are
    /// passed over.
    pub fn handle(&mut self, event: &str, now: Duration) {
        let (name, rest) = event.split_once(' ').unwrap_or((event, ""));
        match name {
            "CTRL-EVENT-CONNECTED" => {
                let id = rest.rsplit_once("[id=").and_then(|(_, id)| id.split(' ').next());
                self.joined(id.and_then(|id| id.parse().ok()));
            }
            "CTRL-EVENT-DISCONNECTED" => match self.link {
                Link::In => self.link = Link::Out { since: now, patience: LOST_PATIENCE },
                Link::Out { .. } | Link::NoRadio { .. } => {}
            },
            "CTRL-EVENT-NETWORK-NOT-FOUND" => self.networks.iter_mut().for_each(|network| network.unsuitable = true),
            "CTRL-EVENT-SSID-TEMP-DISABLED" => {
                // `id=0 ssid="..." auth_failures=1 duration=10 reason=WRONG_KEY`; the name may hold anything.
                let id =
                    rest.split(' ').next().and_then(|word| word.strip_prefix("id=")).and_then(|id| id.parse().ok());
                let Some(network) = self.networks.iter_mut().find(|network| Some(network.known.id) == id) else {
                    return;
                };
                network.refused = true;
                if rest.ends_with(" reason=WRONG_KEY") {
                    network.wrong_keys = network.wrong_keys.saturating_add(1);
                }
            }
            // What radios say that shake hands by themselves, and all of them where WPA3 refuses.
            "CTRL-EVENT-ASSOC-REJECT" | "CTRL-EVENT-AUTH-REJECT" => {
                let trying = match self.networks.len() {
                    1 => Some(0),
                    _ => self.trying,
                };
                if let Some(network) = trying.and_then(|index| self.networks.get_mut(index)) {
                    network.refused = true;
                }
            }
            // `SME: Trying to authenticate with ... (SSID='...' freq=...)`, `Trying to associate with SSID '...'`.
            _ if event.contains("Trying to a") => {
                let named = |network: &Candidate| event.contains(&format!("'{}'", network.known.printed));
                self.trying = self.networks.iter().position(named);
            }
            _ => {}
        }
    }

    /// What has changed for people since it was last asked.
    pub fn poll(&mut self, now: Duration) -> Option<Change> {
        let trouble = self.trouble();
        // While it still looks, what was said stays said.
        if self.told.as_ref() == Some(&trouble) || self.due().is_some_and(|due| due > now) {
            return None;
        }
        if let (Some(Some(told)), Some(trouble)) = (&self.told, &trouble)
            && now < self.told_at + LOST_PATIENCE
            && !trouble.is_surer_than(told)
        {
            return None;
        }
        let change = trouble.as_ref().map_or(Change::Over, |trouble| self.in_words(trouble));
        (self.told, self.told_at) = (Some(trouble), now);
        Some(change)
    }

    /// When to ask again at the latest.
    pub fn poll_timeout(&self, now: Duration) -> Option<Duration> {
        self.due().filter(|due| *due > now)
    }

    /// When being out counts as trouble.
    fn due(&self) -> Option<Duration> {
        let hopeless = |network: &Candidate| !network.proven && network.wrong_keys >= WRONG_KEYS;
        match self.link {
            Link::In => None,
            Link::NoRadio { since } => Some(since + RADIO_PATIENCE),
            // There is nothing to wait for.
            Link::Out { since, .. } if self.networks.iter().all(hopeless) => Some(since),
            Link::Out { since, patience } => Some(since + patience),
        }
    }

    fn trouble(&self) -> Option<Trouble> {
        match self.link {
            Link::In => None,
            Link::NoRadio { .. } => Some(Trouble::NoRadio),
            Link::Out { .. } if self.networks.is_empty() => None,
            Link::Out { .. } => Some(Trouble::Out(self.networks.iter().map(|network| self.finding(network)).collect())),
        }
    }

    fn finding(&self, network: &Candidate) -> Finding {
        let heard = self.air.names.contains(&network.known.name);
        match () {
            () if network.wrong_keys >= WRONG_KEYS => Finding::WrongPassword,
            () if !heard && !self.air.cut && !self.air.names.is_empty() => Finding::NotInReach,
            () if network.refused => Finding::Refused,
            () if network.unsuitable && heard => Finding::Unsuitable,
            () if network.unsuitable => Finding::NotInReach,
            () => Finding::Nothing,
        }
    }

    fn in_words(&self, trouble: &Trouble) -> Change {
        let findings = match trouble {
            Trouble::NoRadio => {
                let what = "this board has no Wi-Fi radio, or its driver did not start".to_owned();
                return Change::Trouble { what, remedy: NO_RADIO };
            }
            Trouble::Out(findings) => findings,
        };
        let said = self.networks.iter().zip(findings).map(|(Candidate { known: Known { name, .. }, .. }, found)| match found {
            Finding::Nothing => format!("{name:?} does not answer"),
            Finding::NotInReach => format!("{name:?} is not in reach"),
            Finding::Unsuitable => {
                format!("{name:?} is in reach, but protected in another way than written here (no password, or WPA3 alone)")
            }
            Finding::Refused => format!("{name:?} refuses this board; most often that is the password"),
            Finding::WrongPassword => format!("{name:?} does not take the password"),
        });
        let mut what = said.collect::<Vec<_>>().join("; ");
        let others: Vec<_> = self.air.names.iter().take(LISTED).map(|name| format!("{name:?}")).collect();
        if findings.contains(&Finding::NotInReach) && !others.is_empty() {
            what.push_str(&format!(". In reach: {}", others.join(", ")));
        }
        Change::Trouble { what, remedy: COMPARE }
    }
}

impl Trouble {
    /// Worth another report at once: a password is now known to be wrong, or the radio came or went.
    fn is_surer_than(&self, told: &Trouble) -> bool {
        let wrong = |findings: &[Finding]| findings.iter().filter(|found| **found == Finding::WrongPassword).count();
        match (self, told) {
            (Trouble::Out(now), Trouble::Out(before)) => wrong(now) > wrong(before),
            (Trouble::NoRadio, Trouble::Out(_)) | (Trouble::Out(_), Trouble::NoRadio) => true,
            (Trouble::NoRadio, Trouble::NoRadio) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRONG_KEY: &str =
        "CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid=\"My id=1\" auth_failures=1 duration=10 reason=WRONG_KEY";
    const CONNECTED: &str = "CTRL-EVENT-CONNECTED - Connection to 02:00:00:00:01:00 completed [id=0 id_str=]";
    const NOT_FOUND: &str = "CTRL-EVENT-NETWORK-NOT-FOUND ";
    const LOST: &str = "CTRL-EVENT-DISCONNECTED bssid=02:00:00:00:01:00 reason=3";

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn known(names: &[&str]) -> Vec<Known> {
        let known = |(id, name): (usize, &&str)| Known { id, printed: (*name).to_owned(), name: (*name).to_owned() };
        names.iter().enumerate().map(known).collect()
    }

    fn radio(networks: &[&str]) -> Joining {
        let mut joining = Joining::new(false, s(0));
        joining.radio_found(known(networks), s(5));
        joining
    }

    fn air(names: &[&str]) -> Air {
        Air { names: names.iter().map(|name| (*name).to_owned()).collect(), cut: false }
    }

    /// What it tells, if anything.
    fn told(joining: &mut Joining, at: u64) -> Option<String> {
        joining.poll(s(at)).map(|change| match change {
            Change::Trouble { what, .. } => what,
            Change::Over => "over".to_owned(),
        })
    }

    #[test]
    fn a_wrong_password_is_told_once_and_over_once_joined() {
        let mut joining = radio(&["Home"]);
        joining.handle(WRONG_KEY, s(8));
        assert_eq!((told(&mut joining, 8), joining.poll_timeout(s(8))), (None, Some(s(50))));
        joining.handle(WRONG_KEY, s(20));
        assert_eq!(told(&mut joining, 20).unwrap(), "\"Home\" does not take the password");
        joining.handle(WRONG_KEY, s(40));
        joining.handle(NOT_FOUND, s(41));
        joining.scanned(air(&["Other"]));
        assert_eq!((told(&mut joining, 99), joining.poll_timeout(s(99))), (None, None));
        joining.handle(CONNECTED, s(100));
        assert_eq!((told(&mut joining, 100).unwrap(), told(&mut joining, 100)), ("over".to_owned(), None));
    }

    #[test]
    fn a_network_out_of_reach_is_told_in_time_with_those_that_are() {
        let mut joining = radio(&["Home"]);
        joining.handle(NOT_FOUND, s(9));
        joining.scanned(air(&["Hom", "Café"]));
        assert_eq!(told(&mut joining, 49), None);
        assert_eq!(told(&mut joining, 50).unwrap(), "\"Home\" is not in reach. In reach: \"Hom\", \"Café\"");
        // Other neighbours are no news.
        joining.scanned(air(&["Hom"]));
        assert_eq!(told(&mut joining, 60), None);
    }

    /// wpa_supplicant says NETWORK-NOT-FOUND of whatever it has no way to try.
    #[test]
    fn a_network_in_reach_that_is_not_tried_is_protected_otherwise() {
        let mut joining = radio(&["Home"]);
        joining.handle(NOT_FOUND, s(9));
        joining.scanned(air(&["Home"]));
        assert!(told(&mut joining, 50).unwrap().starts_with("\"Home\" is in reach, but protected in another way"));
    }

    #[test]
    fn where_not_all_of_the_air_was_told_nothing_is_concluded_from_a_missing_name() {
        let mut joining = radio(&["Home"]);
        joining.scanned(Air { cut: true, ..air(&["Hom"]) });
        assert_eq!(told(&mut joining, 50).unwrap(), "\"Home\" does not answer");
    }

    #[test]
    fn each_of_several_networks_has_its_reason() {
        let mut joining = radio(&["Home", "Office", "Shed", "Attic"]);
        joining.handle(WRONG_KEY, s(6));
        joining.handle(WRONG_KEY, s(7));
        joining.handle("CTRL-EVENT-SSID-TEMP-DISABLED id=1 ssid=\"O\" auth_failures=3 reason=CONN_FAILED", s(8));
        joining.handle("Trying to associate with SSID 'Attic'", s(8));
        joining.handle("CTRL-EVENT-ASSOC-REJECT status_code=16", s(9));
        joining.scanned(air(&["Home", "Office", "Attic"]));
        let refuses = "refuses this board; most often that is the password";
        let text = format!(
            "\"Home\" does not take the password; \"Office\" {refuses}; \"Shed\" is not in reach; \"Attic\" {refuses}. \
             In reach: \"Home\", \"Office\", \"Attic\""
        );
        assert_eq!((told(&mut joining, 9), told(&mut joining, 50)), (None, Some(text)));
    }

    #[test]
    fn a_short_loss_is_no_trouble_and_a_long_one_is() {
        let mut joining = radio(&["Home"]);
        joining.handle(CONNECTED, s(10));
        joining.handle(LOST, s(100));
        // An access point that starts again breaks off handshakes.
        joining.handle(WRONG_KEY, s(110));
        joining.handle(WRONG_KEY, s(130));
        assert_eq!((told(&mut joining, 699), joining.poll_timeout(s(699))), (None, Some(s(700))));
        joining.handle(CONNECTED, s(699));
        assert_eq!(told(&mut joining, 800), None);
        joining.handle(LOST, s(800));
        joining.handle("CTRL-EVENT-ASSOC-REJECT status_code=1", s(810));
        joining.scanned(air(&["Other"]));
        assert_eq!(told(&mut joining, 1400).unwrap(), "\"Home\" is not in reach. In reach: \"Other\"");
        // What the radio happens to hear is told no more than once in ten minutes.
        joining.scanned(air(&["Home"]));
        assert_eq!((told(&mut joining, 1999), told(&mut joining, 2000).is_some()), (None, true));
    }

    #[test]
    fn a_board_without_a_radio_says_so() {
        let mut joining = Joining::new(false, s(0));
        assert_eq!((told(&mut joining, 59), joining.poll_timeout(s(0))), (None, Some(s(60))));
        assert!(matches!(joining.poll(s(60)), Some(Change::Trouble { remedy: NO_RADIO, .. })));
        // It stays said until there is more to say.
        joining.radio_found(known(&["Home"]), s(70));
        assert_eq!(told(&mut joining, 70), None);
        joining.joined(None);
        assert_eq!(told(&mut joining, 71).unwrap(), "over");
        joining.radio_lost(s(80));
        assert_eq!((told(&mut joining, 80), told(&mut joining, 140).is_some()), (None, true));
    }

    #[test]
    fn what_an_earlier_watch_has_told_is_over_once_joined() {
        let mut joining = Joining::new(true, s(0));
        joining.radio_found(known(&["Home"]), s(1));
        assert_eq!(told(&mut joining, 1), None);
        joining.handle(CONNECTED, s(2));
        assert_eq!((told(&mut joining, 2).unwrap(), told(&mut joining, 2)), ("over".to_owned(), None));
        assert!(told(&mut Joining::new(true, s(0)), 60).unwrap().contains("no Wi-Fi radio"));
    }

    #[test]
    fn without_a_network_to_join_there_is_no_trouble() {
        let mut joining = radio(&[]);
        assert_eq!((told(&mut joining, 5), told(&mut joining, 500)), (None, None));
    }

    #[test]
    fn events_of_anything_else_are_passed_over() {
        let mut joining = radio(&["Home"]);
        let odd = ["", " ", "CTRL-EVENT-SSID-TEMP-DISABLED", "CTRL-EVENT-SSID-TEMP-DISABLED id=9", "WPS-AP-AVAILABLE "];
        for event in odd {
            joining.handle(event, s(6));
        }
        assert_eq!(told(&mut joining, 50).unwrap(), "\"Home\" does not answer");
    }
}

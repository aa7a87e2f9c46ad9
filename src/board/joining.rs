//! Joining the Wi-Fi, as wpa_supplicant tells it: whether the board is in a network and, if it is not for too long, why
//! not. Told the time and the events (its `wpa_ctrl.h`); opens nothing.

use std::time::Duration;

/// How long a radio may take to come up after the start.
const RADIO_PATIENCE: Duration = Duration::from_secs(60);
/// How long a first join may take: scans of all channels, and a handshake with each network.
const JOIN_PATIENCE: Duration = Duration::from_secs(45);
/// How long a network that was joined may be away: routers restart at night, and a report wears the card.
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
    in_reach: Vec<String>,
    /// What people were told last; `None` where only an earlier watch knows.
    told: Option<Option<Trouble>>,
}

/// What whoever set the board up has to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Why the board is in no network, for people.
    Trouble(String),
    /// It is in a network, or looks for one again.
    Over,
}

#[derive(Debug)]
enum Link {
    NoRadio { since: Duration },
    Out { since: Duration, patience: Duration },
    In,
}

#[derive(Debug)]
struct Candidate {
    name: String,
    wrong_keys: u32,
    found: Finding,
}

/// What kept the board out of a network; later ones are surer and replace earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Finding {
    Nothing,
    NotInReach,
    Refused,
    WrongPassword,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Trouble {
    NoRadio,
    Out(Vec<Finding>),
}

impl Joining {
    /// Before the radio is there. `troubled`: an earlier watch has told of trouble, which may be over. `now` counts from
    /// any moment, as in all that follows.
    pub fn new(troubled: bool, now: Duration) -> Joining {
        let told = if troubled { None } else { Some(None) };
        Joining { link: Link::NoRadio { since: now }, networks: Vec::new(), in_reach: Vec::new(), told }
    }

    /// wpa_supplicant answers, and has these networks, in the order of its numbers.
    pub fn radio_found(&mut self, networks: Vec<String>, now: Duration) {
        let candidate = |name| Candidate { name, wrong_keys: 0, found: Finding::Nothing };
        self.networks = networks.into_iter().map(candidate).collect();
        self.link = Link::Out { since: now, patience: JOIN_PATIENCE };
    }

    /// wpa_supplicant does not answer any more.
    pub fn radio_lost(&mut self, now: Duration) {
        self.link = Link::NoRadio { since: now };
    }

    /// The board is in a network.
    pub fn joined(&mut self) {
        self.link = Link::In;
        for network in &mut self.networks {
            (network.wrong_keys, network.found) = (0, Finding::Nothing);
        }
    }

    /// What the last scan found, strongest first.
    pub fn in_reach(&mut self, names: Vec<String>) {
        self.in_reach = names;
    }

    /// An event without its level, such as `CTRL-EVENT-CONNECTED - Connection to ...`. Others than those of joining are
    /// passed over.
    pub fn handle(&mut self, event: &str, now: Duration) {
        let (name, rest) = event.split_once(' ').unwrap_or((event, ""));
        match name {
            "CTRL-EVENT-CONNECTED" => self.joined(),
            "CTRL-EVENT-DISCONNECTED" => match self.link {
                Link::In => self.link = Link::Out { since: now, patience: LOST_PATIENCE },
                Link::Out { .. } | Link::NoRadio { .. } => {}
            },
            "CTRL-EVENT-NETWORK-NOT-FOUND" => {
                for network in &mut self.networks {
                    network.found = network.found.max(Finding::NotInReach);
                }
            }
            "CTRL-EVENT-SSID-TEMP-DISABLED" => {
                // `id=0 ssid="..." auth_failures=1 duration=10 reason=WRONG_KEY`; the name may hold anything.
                let id = rest.split(' ').next().and_then(|word| word.strip_prefix("id="));
                let number = id.and_then(|id| id.parse::<usize>().ok());
                let Some(network) = number.and_then(|number| self.networks.get_mut(number)) else { return };
                if rest.ends_with(" reason=WRONG_KEY") {
                    network.wrong_keys = network.wrong_keys.saturating_add(1);
                }
                let surest = if network.wrong_keys < WRONG_KEYS { Finding::Refused } else { Finding::WrongPassword };
                network.found = network.found.max(surest);
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
        let change = trouble.as_ref().map_or(Change::Over, |trouble| Change::Trouble(self.in_words(trouble)));
        self.told = Some(trouble);
        Some(change)
    }

    /// When to ask again at the latest.
    pub fn poll_timeout(&self, now: Duration) -> Option<Duration> {
        self.due().filter(|due| *due > now)
    }

    /// When being out counts as trouble.
    fn due(&self) -> Option<Duration> {
        match self.link {
            Link::In => None,
            Link::NoRadio { since } => Some(since + RADIO_PATIENCE),
            // There is nothing to wait for.
            Link::Out { since, .. } if self.networks.iter().all(|network| network.found == Finding::WrongPassword) => {
                Some(since)
            }
            Link::Out { since, patience } => Some(since + patience),
        }
    }

    fn trouble(&self) -> Option<Trouble> {
        match self.link {
            Link::In => None,
            Link::NoRadio { .. } => Some(Trouble::NoRadio),
            Link::Out { .. } => Some(Trouble::Out(self.networks.iter().map(|network| network.found).collect())),
        }
    }

    fn in_words(&self, trouble: &Trouble) -> String {
        let findings = match trouble {
            Trouble::NoRadio => return "this board has no Wi-Fi radio, or its driver did not start".to_owned(),
            Trouble::Out(findings) => findings,
        };
        let said = self.networks.iter().zip(findings).map(|(Candidate { name, .. }, found)| match found {
            Finding::Nothing => format!("{name:?} does not answer"),
            Finding::NotInReach => format!("{name:?} is not in reach"),
            Finding::Refused => format!("{name:?} refuses this board; most often that is the password"),
            Finding::WrongPassword => format!("{name:?} does not take the password"),
        });
        let mut text = said.collect::<Vec<_>>().join("; ");
        let others: Vec<_> = self.in_reach.iter().take(LISTED).map(|name| format!("{name:?}")).collect();
        if findings.contains(&Finding::NotInReach) && !others.is_empty() {
            text.push_str(&format!(". In reach: {}", others.join(", ")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRONG_KEY: &str =
        "CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid=\"My id=1\" auth_failures=1 duration=10 reason=WRONG_KEY";
    const CONNECTED: &str = "CTRL-EVENT-CONNECTED - Connection to 02:00:00:00:01:00 completed [id=0 id_str=]";

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn radio(networks: &[&str]) -> Joining {
        let mut joining = Joining::new(false, s(0));
        joining.radio_found(networks.iter().map(|name| (*name).to_owned()).collect(), s(5));
        joining
    }

    fn trouble(text: &str) -> Option<Change> {
        Some(Change::Trouble(text.to_owned()))
    }

    #[test]
    fn a_wrong_password_is_told_once_and_over_once_joined() {
        let mut joining = radio(&["Home"]);
        joining.handle(WRONG_KEY, s(8));
        assert_eq!((joining.poll(s(8)), joining.poll_timeout(s(8))), (None, Some(s(50))));
        joining.handle(WRONG_KEY, s(20));
        assert_eq!(joining.poll(s(20)), trouble("\"Home\" does not take the password"));
        joining.handle(WRONG_KEY, s(40));
        joining.handle("CTRL-EVENT-NETWORK-NOT-FOUND ", s(41));
        assert_eq!((joining.poll(s(99)), joining.poll_timeout(s(99))), (None, None));
        joining.handle(CONNECTED, s(100));
        assert_eq!((joining.poll(s(100)), joining.poll(s(100))), (Some(Change::Over), None));
    }

    #[test]
    fn a_network_out_of_reach_is_told_in_time_with_those_that_are() {
        let mut joining = radio(&["Home"]);
        joining.handle("CTRL-EVENT-NETWORK-NOT-FOUND ", s(9));
        joining.in_reach(vec!["Hom".to_owned(), "Café".to_owned()]);
        assert_eq!(joining.poll(s(49)), None);
        assert_eq!(joining.poll(s(50)), trouble("\"Home\" is not in reach. In reach: \"Hom\", \"Café\""));
        // Other neighbours are no news.
        joining.in_reach(Vec::new());
        assert_eq!(joining.poll(s(60)), None);
    }

    #[test]
    fn each_of_several_networks_has_its_reason() {
        let mut joining = radio(&["Home", "Office", "Shed"]);
        joining.handle(WRONG_KEY, s(6));
        joining.handle(WRONG_KEY, s(7));
        joining.handle("CTRL-EVENT-SSID-TEMP-DISABLED id=1 ssid=\"O\" auth_failures=3 reason=CONN_FAILED", s(8));
        let text = "\"Home\" does not take the password; \"Office\" refuses this board; most often that is the \
                    password; \"Shed\" does not answer";
        assert_eq!((joining.poll(s(8)), joining.poll(s(50))), (None, trouble(text)));
    }

    #[test]
    fn a_short_loss_is_no_trouble_and_a_long_one_is() {
        let mut joining = radio(&["Home"]);
        joining.handle(CONNECTED, s(10));
        joining.handle("CTRL-EVENT-DISCONNECTED bssid=02:00:00:00:01:00 reason=3", s(100));
        joining.handle("CTRL-EVENT-DISCONNECTED bssid=00:00:00:00:00:00 reason=3", s(400));
        assert_eq!((joining.poll(s(699)), joining.poll_timeout(s(699))), (None, Some(s(700))));
        assert_eq!(joining.poll(s(700)), trouble("\"Home\" does not answer"));
    }

    #[test]
    fn a_board_without_a_radio_says_so() {
        let mut joining = Joining::new(false, s(0));
        assert_eq!((joining.poll(s(59)), joining.poll_timeout(s(0))), (None, Some(s(60))));
        assert_eq!(joining.poll(s(60)), trouble("this board has no Wi-Fi radio, or its driver did not start"));
        // It stays said until there is more to say.
        joining.radio_found(vec!["Home".to_owned()], s(70));
        assert_eq!(joining.poll(s(70)), None);
        joining.joined();
        assert_eq!(joining.poll(s(71)), Some(Change::Over));
        joining.radio_lost(s(80));
        assert_eq!((joining.poll(s(80)), joining.poll(s(140)).is_some()), (None, true));
    }

    #[test]
    fn what_an_earlier_watch_has_told_is_over_once_joined() {
        let mut joining = Joining::new(true, s(0));
        joining.radio_found(vec!["Home".to_owned()], s(1));
        assert_eq!(joining.poll(s(1)), None);
        joining.handle(CONNECTED, s(2));
        assert_eq!((joining.poll(s(2)), joining.poll(s(2))), (Some(Change::Over), None));
        let mut joining = Joining::new(true, s(0));
        assert!(matches!(joining.poll(s(60)), Some(Change::Trouble(text)) if text.contains("no Wi-Fi radio")));
    }

    #[test]
    fn events_of_anything_else_are_passed_over() {
        let mut joining = radio(&["Home"]);
        for event in
            ["", " ", "CTRL-EVENT-SSID-TEMP-DISABLED", "CTRL-EVENT-SSID-TEMP-DISABLED id=9", "WPS-AP-AVAILABLE "]
        {
            joining.handle(event, s(6));
        }
        assert_eq!(joining.poll(s(50)), trouble("\"Home\" does not answer"));
    }
}

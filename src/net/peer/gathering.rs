//! Candidates that are there at once travel inside the description. If they followed it, our first checks could overtake
//! them, and would come from an address that the caller knows nothing of: several stacks hold such a path back for a
//! second and more before they use it, where the choice is theirs. Callers that do not trickle are served as well.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;

use crate::base::lock::lock;
use crate::protocol::Candidate;

/// How long a description waits for them. They take a millisecond; what needs a server is never waited for.
const FIRST_CANDIDATES: Duration = Duration::from_millis(20);

/// What is found before the description leaves.
pub(super) struct Gathering {
    /// `None`: it has left.
    held: Mutex<Option<Found>>,
    changed: Notify,
}

#[derive(Default)]
pub(super) struct Found {
    pub(super) candidates: Vec<Candidate>,
    /// There are no more.
    pub(super) complete: bool,
}

impl Gathering {
    pub(super) fn new() -> Gathering {
        Gathering { held: Mutex::new(Some(Found::default())), changed: Notify::new() }
    }

    /// Keeps what was found for the description. `false`: it has left, and the candidate goes its own way.
    pub(super) fn keep(&self, candidate: &Candidate) -> bool {
        self.change(|found| found.candidates.push(candidate.clone()))
    }

    /// There are no more. `false` as above.
    pub(super) fn complete(&self) -> bool {
        self.change(|found| found.complete = true)
    }

    /// What goes into the description, once there are as many as `expected` or it has waited long enough.
    pub(super) async fn take(&self, expected: usize) -> Found {
        let enough = async {
            while lock(&self.held).as_ref().is_some_and(|found| !found.complete && found.candidates.len() < expected) {
                self.changed.notified().await;
            }
        };
        // Whatever is missing then follows by itself.
        drop(tokio::time::timeout(FIRST_CANDIDATES, enough).await);
        lock(&self.held).take().unwrap_or_default()
    }

    fn change(&self, change: impl FnOnce(&mut Found)) -> bool {
        let mut held = lock(&self.held);
        let Some(found) = &mut *held else { return false };
        change(found);
        self.changed.notify_one();
        true
    }
}

/// Writes candidates into the section of this index, whose transport carries all. `None`: it is not there or not in use.
pub(super) fn write(sdp: &str, index: usize, candidates: &[Candidate]) -> Option<String> {
    let in_use = |line: &&str| line.split(' ').nth(1).is_some_and(|port| port != "0");
    let mut lines: Vec<&str> = sdp.lines().collect();
    let (section, _) = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.starts_with("m="))
        .nth(index)
        .filter(|(_, line)| in_use(line))?;
    let end = lines.iter().skip(section + 1).position(|line| line.starts_with("m="));
    let end = end.map_or(lines.len(), |length| section + 1 + length);
    let written: Vec<String> = candidates.iter().map(|candidate| format!("a={}", candidate.candidate)).collect();
    lines.splice(end..end, written.iter().map(String::as_str));
    Some(lines.join("\r\n") + "\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(text: &str) -> Candidate {
        Candidate { candidate: text.to_owned(), sdp_mid: None, sdp_m_line_index: Some(0), username_fragment: None }
    }

    #[test]
    fn candidates_go_into_the_section_that_has_the_transport() {
        let sdp = "v=0\r\nm=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";
        let written = write(sdp, 1, &[candidate("candidate:1"), candidate("candidate:2")]).unwrap();
        assert_eq!(written, sdp.replace("a=mid:1\r\n", "a=mid:1\r\na=candidate:1\r\na=candidate:2\r\n"));
        for none in [0, 3] {
            assert_eq!(write(sdp, none, &[candidate("candidate:1")]), None);
        }
        let last = write(sdp, 2, &[candidate("candidate:1")]).unwrap();
        assert_eq!(last, format!("{sdp}a=candidate:1\r\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_description_takes_what_is_there_and_waits_for_nothing_else() {
        let gathering = Gathering::new();
        assert!(gathering.keep(&candidate("candidate:1")));
        let found = gathering.take(2).await;
        assert_eq!((found.candidates.len(), found.complete), (1, false));
        assert!(!gathering.keep(&candidate("candidate:2")) && !gathering.complete());

        let gathering = Gathering::new();
        let (found, kept) = tokio::join!(gathering.take(1), async { gathering.keep(&candidate("candidate:1")) });
        assert!(kept && found.candidates.len() == 1);
        let gathering = Gathering::new();
        assert!(gathering.complete());
        assert!(gathering.take(9).await.complete);
    }
}

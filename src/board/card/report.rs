//! The report for the person who edited the files: what is wrong and where, what to do, and what the board does
//! meanwhile. It holds no date, so that an unchanged report is not written to the card again.

use std::borrow::Cow;
use std::fmt::{self, Write};

use crate::config::{Config, Tls};

/// What there is to say after an import.
#[derive(Debug, Default)]
pub struct Report {
    problems: Vec<Problem>,
    kept: Vec<String>,
    notes: Vec<String>,
    facts: Vec<(&'static str, String)>,
}

/// One thing that is wrong.
#[derive(Debug)]
pub struct Problem {
    /// "callbox.toml, line 3".
    pub place: String,
    pub what: String,
    pub remedy: Cow<'static, str>,
}

/// For mistakes in a file.
pub const CORRECT: &str = "correct this, save the file, and start the board again";

impl Report {
    pub fn problem(&mut self, place: impl Into<String>, what: impl Into<String>, remedy: impl Into<Cow<'static, str>>) {
        self.problems.push(Problem { place: place.into(), what: what.into(), remedy: remedy.into() });
    }

    /// What stays in force because of a problem.
    pub fn kept(&mut self, what: impl Into<String>) {
        self.kept.push(what.into());
    }

    /// What is no mistake, and yet not sure to be what was meant.
    pub fn note(&mut self, place: impl fmt::Display, what: &str) {
        self.notes.push(format!("{place}: {what}"));
    }

    pub fn fact(&mut self, what: &'static str, value: impl Into<String>) {
        self.facts.push((what, value.into()));
    }

    pub fn problems(&self) -> usize {
        self.problems.len()
    }

    /// Plain text with Unix line ends.
    pub fn text(&self) -> String {
        let mut text = match self.problems.len() {
            0 => "Callbox: all is well.\n".to_owned(),
            1 => "Callbox: one thing needs your attention.\n".to_owned(),
            many => format!("Callbox: {many} things need your attention.\n"),
        };
        for (i, Problem { place, what, remedy }) in self.problems.iter().enumerate() {
            let _ = write!(text, "\n{}. {place}\n   {what}\n   What to do: {remedy}.\n", i + 1);
        }
        if !self.kept.is_empty() {
            text.push_str("\nUntil then:\n");
        }
        for kept in &self.kept {
            let _ = writeln!(text, "- {kept}");
        }
        if !self.notes.is_empty() {
            text.push_str("\nWorth knowing:\n");
        }
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        text.push('\n');
        for (what, value) in &self.facts {
            let _ = writeln!(text, "{what:<9} {value}");
        }
        text
    }
}

/// The page itself, where the board serves it and other machines reach it.
pub fn page(config: &Config, host: &str) -> Option<String> {
    let server = &config.server;
    let served = config.signaling.url.is_none() && !server.listen.ip().is_loopback();
    let scheme = if server.tls == Tls::Off { "http" } else { "https" };
    served.then(|| format!("{scheme}://{host}.local:{}/", server.listen.port()))
}

/// Where a browser finds the board.
pub fn pages(config: &Config, host: &str) -> String {
    if let Some(url) = &config.signaling.url {
        return format!("the one of the server {url}");
    }
    let plain = config.server.http_listen.filter(|http| !http.ip().is_loopback());
    match (plain, page(config, host)) {
        (Some(http), _) => format!("http://{host}.local:{}/", http.port()),
        (None, Some(page)) => page,
        (None, None) => "none that other machines reach; see [server] listen".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_where_what_and_what_to_do() {
        let mut report = Report::default();
        report.fact("Name", "Front door");
        assert_eq!(report.text(), "Callbox: all is well.\n\nName      Front door\n");
        report.problem("wifi.txt, line 2", "Home: the password has 5 characters", CORRECT);
        report.kept("the last good networks stay in use");
        let expected = "\
Callbox: one thing needs your attention.

1. wifi.txt, line 2
   Home: the password has 5 characters
   What to do: correct this, save the file, and start the board again.

Until then:
- the last good networks stay in use

Name      Front door
";
        assert_eq!(report.text(), expected);
    }

    #[test]
    fn the_page_is_where_the_settings_put_it() {
        let page = |text: &str| pages(&Config::from_toml(text).unwrap(), "door");
        assert_eq!(page(super::super::settings::TEMPLATE), "http://door.local:8080/");
        assert_eq!(page("server = { listen = '0.0.0.0:8443' }"), "https://door.local:8443/");
        assert!(page("").contains("none that other machines reach"));
        assert!(page("signaling.url = 'wss://call.example.org/ws'").contains("wss://call.example.org/ws"));
    }
}

//! The table: medians over the rounds, the servers side by side.

use std::fmt;
use std::time::Duration;

use crate::rows::{Outcome, Row, quantile};
use crate::server::Kind;

/// A load that comes later than this says more about the machine than about a server.
const LATE: Duration = Duration::from_millis(20);

pub struct Table {
    kinds: Vec<Kind>,
    lines: Vec<Line>,
    faults: Vec<String>,
    gave_up: Vec<(Row, Kind)>,
    late: Vec<Duration>,
}

/// One figure of one row, and its values by server and round.
struct Line {
    row: Row,
    what: &'static str,
    values: Vec<(Kind, f64)>,
}

impl Table {
    pub fn new(kinds: Vec<Kind>) -> Table {
        Table { kinds, lines: Vec::new(), faults: Vec::new(), gave_up: Vec::new(), late: Vec::new() }
    }

    pub fn add(&mut self, row: Row, kind: Kind, outcome: anyhow::Result<Outcome>) {
        let faults = match outcome {
            Ok(mut outcome) => {
                let late = quantile(&mut outcome.late, 0.99);
                if late > LATE {
                    let late = late.as_millis();
                    outcome.faults.push(format!("this machine was busy, the load came {late} ms late (p99)"));
                }
                self.late.extend(outcome.late);
                for figure in outcome.figures {
                    self.line(row, figure.what).values.push((kind, figure.value));
                }
                outcome.faults
            }
            Err(error) => {
                self.gave_up.push((row, kind));
                vec![format!("not measured: {error:#}")]
            }
        };
        let fault = |what| format!("{}, {}: {what}", row.title(), kind.name());
        self.faults.extend(faults.into_iter().map(fault));
    }

    /// Whether that server could not be measured in that row.
    pub fn gave_up(&self, row: Row, kind: Kind) -> bool {
        self.gave_up.contains(&(row, kind))
    }

    fn line(&mut self, row: Row, what: &'static str) -> &mut Line {
        let at = self.lines.iter().position(|line| line.row == row && line.what == what).unwrap_or_else(|| {
            self.lines.push(Line { row, what, values: Vec::new() });
            self.lines.len() - 1
        });
        &mut self.lines[at]
    }
}

impl Line {
    fn median(&self, kind: Kind) -> Option<f64> {
        let mut values: Vec<f64> = self.values.iter().filter(|(of, _)| *of == kind).map(|(_, value)| *value).collect();
        if values.is_empty() { None } else { Some(quantile(&mut values, 0.5)) }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n| load | figure |")?;
        for kind in &self.kinds {
            write!(f, " {} |", kind.name())?;
        }
        writeln!(f, " Callbox / Node |\n|---|---|{}---|", "---|".repeat(self.kinds.len()))?;
        for line in &self.lines {
            write!(f, "| {} | {} |", line.row.title(), line.what)?;
            for &kind in &self.kinds {
                write!(f, " {} |", line.median(kind).map_or("–".to_owned(), figure))?;
            }
            let ratio = match (line.median(Kind::Callbox), line.median(Kind::Node)) {
                (Some(callbox), Some(node)) if node > 0.0 => format!("{:.2}", callbox / node),
                _ => "–".to_owned(),
            };
            writeln!(f, " {ratio} |")?;
        }
        if !self.late.is_empty() {
            let late = quantile(&mut self.late.clone(), 0.99);
            writeln!(f, "\nThe load itself was late by {:.1} ms (p99).", 1000.0 * late.as_secs_f64())?;
        }
        for fault in &self.faults {
            writeln!(f, "! {fault}")?;
        }
        Ok(())
    }
}

/// Three digits, whole numbers where they are large.
fn figure(value: f64) -> String {
    match value {
        large if large >= 100.0 => format!("{large:.0}"),
        middle if middle >= 10.0 => format!("{middle:.1}"),
        small => format!("{small:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Figure;

    #[test]
    fn the_median_of_each_server_and_what_went_wrong_are_shown() {
        let row = Row::Open { pairs: 100 };
        let outcome = |value: f64, faults: &[&str]| {
            let figures = vec![Figure { what: "messages per core second", value }];
            let faults = faults.iter().map(|fault| (*fault).to_owned()).collect();
            Ok(Outcome { figures, faults, late: vec![Duration::from_millis(2)] })
        };
        let mut table = Table::new(Kind::ALL.to_vec());
        for (callbox, node) in [(30_000.0, 9_000.0), (50_000.0, 11_000.0), (40_000.0, 10_000.0)] {
            table.add(row, Kind::Callbox, outcome(callbox, &[]));
            table.add(row, Kind::Node, outcome(node, &["2 x lost"]));
        }
        table.add(Row::Storm { members: 900 }, Kind::Node, Err(anyhow::anyhow!("it is full")));
        let text = table.to_string();
        assert!(text.contains("| 100 pairs | messages per core second | 40000 | 10000 | 4.00 |"), "{text}");
        assert!(text.contains("late by 2.0 ms"), "{text}");
        assert_eq!(text.matches("! 100 pairs, Node: 2 x lost").count(), 3, "{text}");
        assert!(text.contains("! storm of 900, Node: not measured: it is full"), "{text}");
    }
}

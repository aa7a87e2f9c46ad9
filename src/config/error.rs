//! What is wrong with a configuration, in lines for the person who wrote it.

use std::fmt;
use std::path::Path;

use super::layers::Origin;

/// Everything that is wrong, in the order it was found; one line each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

/// One thing that is wrong: where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub origin: Origin,
    pub message: String,
}

impl ConfigError {
    /// `Ok` where there is no problem.
    pub(super) fn check(problems: Vec<Problem>) -> Result<(), ConfigError> {
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }

    pub(super) fn unreadable(path: &Path, error: &dyn fmt::Display) -> ConfigError {
        let message = format!("{}: the configuration cannot be read: {error}", path.display());
        ConfigError { problems: vec![Problem { origin: Origin::Default, message }] }
    }

    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Default => f.write_str(&self.message),
            Origin::File { .. } | Origin::Variable(_) => write!(f, "{}: {}", self.origin, self.message),
        }
    }
}

//! One LED of the board (Documentation/leds/leds-class.rst) as a lamp: dark from the moment it is taken, lit when it is
//! told, and given back as it was found. Blocking; sysfs answers at once, but a lamp behind I2C need not.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::{fs, io};

use crate::base::lock::lock;

/// Where the kernel lists them.
pub const LEDS: &str = "/sys/class/leds";
/// The trigger that leaves the brightness alone.
const BY_HAND: &str = "none";

pub struct Led {
    dir: PathBuf,
    /// What it showed before it was taken.
    found: Mutex<Option<Found>>,
}

struct Found {
    trigger: String,
    brightness: String,
}

#[derive(Debug, thiserror::Error)]
#[error("the LED {name} cannot be set: {error}. ls /sys/class/leds says which there are")]
pub struct LedError {
    name: String,
    error: io::Error,
}

impl Led {
    /// `name` is a name in the directory `leds`. It need not be there yet.
    pub fn new(leds: &Path, name: &str) -> Led {
        Led { dir: leds.join(name), found: Mutex::new(None) }
    }

    pub fn light(&self) -> Result<(), LedError> {
        self.show(|led| led.read("max_brightness"))
    }

    pub fn darken(&self) -> Result<(), LedError> {
        self.show(|_| Ok("0".to_owned()))
    }

    fn show(&self, brightness: impl Fn(&Led) -> io::Result<String>) -> Result<(), LedError> {
        let shown = self.take().and_then(|()| self.write("brightness", &brightness(self)?));
        shown.map_err(|error| {
            let name = self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
            LedError { name, error }
        })
    }

    /// Nothing else may switch it from now on.
    fn take(&self) -> io::Result<()> {
        // All triggers there are, the present one in brackets; LEDs without any have no such file.
        let listed = self.read("trigger").or_else(|error| match error.kind() {
            io::ErrorKind::NotFound if self.dir.join("brightness").exists() => Ok(format!("[{BY_HAND}]")),
            _ => Err(error),
        })?;
        let present =
            listed.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or(BY_HAND, |(name, _)| name);
        let mut found = lock(&self.found);
        if found.is_none() {
            *found = Some(Found { trigger: present.to_owned(), brightness: self.read("brightness")? });
        }
        if present == BY_HAND { Ok(()) } else { self.write("trigger", BY_HAND) }
    }

    fn read(&self, name: &str) -> io::Result<String> {
        fs::read_to_string(self.dir.join(name)).map(|text| text.trim().to_owned())
    }

    fn write(&self, name: &str, value: &str) -> io::Result<()> {
        fs::OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(self.dir.join(name))
            .and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()))
    }
}

impl Drop for Led {
    fn drop(&mut self) {
        let Some(Found { trigger, brightness }) = lock(&self.found).take() else { return };
        let given_back = match trigger.as_str() {
            BY_HAND => self.write("brightness", &brightness),
            trigger => self.write("trigger", trigger),
        };
        if let Err(error) = given_back {
            log::debug!(led:% = self.dir.display(), error:%; "the LED stays as it is");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Board(tempfile::TempDir);

    impl Board {
        fn new(trigger: &str) -> Board {
            let board = Board(tempfile::tempdir().unwrap());
            fs::create_dir(board.0.path().join("sign")).unwrap();
            for (name, value) in [("trigger", trigger), ("brightness", "3\n"), ("max_brightness", "255\n")] {
                fs::write(board.0.path().join("sign").join(name), value).unwrap();
            }
            board
        }

        fn shows(&self) -> (String, String) {
            let read =
                |name: &str| fs::read_to_string(self.0.path().join("sign").join(name)).unwrap().trim().to_owned();
            (read("trigger"), read("brightness"))
        }
    }

    #[test]
    fn it_is_lit_and_dark_and_given_back() {
        let pair = |trigger: &str, brightness: &str| (trigger.to_owned(), brightness.to_owned());
        let board = Board::new("none [heartbeat] mmc0\n");
        let led = Led::new(board.0.path(), "sign");
        led.darken().unwrap();
        assert_eq!(board.shows(), pair("none", "0"));
        led.light().unwrap();
        assert_eq!(board.shows(), pair("none", "255"));
        // Somebody else lets it blink meanwhile: for the sign that does not count.
        fs::write(board.0.path().join("sign/trigger"), "none [timer]\n").unwrap();
        led.light().unwrap();
        assert_eq!(board.shows(), pair("none", "255"));
        drop(led);
        assert_eq!(board.shows().0, "heartbeat");
        let board = Board::new("[none] timer\n");
        let led = Led::new(board.0.path(), "sign");
        led.light().unwrap();
        drop(led);
        assert_eq!(board.shows().1, "3");
    }

    #[test]
    fn one_that_is_not_there_is_named() {
        let board = Board::new("[none]\n");
        let error = Led::new(board.0.path(), "sing").light().unwrap_err().to_string();
        assert!(error.contains("LED sing") && error.contains("/sys/class/leds"), "{error}");
        fs::remove_file(board.0.path().join("sign/trigger")).unwrap();
        Led::new(board.0.path(), "sign").light().unwrap();
    }
}

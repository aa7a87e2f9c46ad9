//! The board's activity LED (Documentation/leds/leds-class.rst): it blinks while something needs a person's attention.

use std::path::Path;
use std::{fs, io};

/// What the kernel and the firmware call it.
const NAMES: [&str; 3] = ["ACT", "led0", "led1"];
/// The kernel's trigger that blinks.
const BLINK: &str = "timer";
/// Milliseconds; quick and short, unlike card access.
const ON_OFF: [(&str, &str); 2] = [("delay_on", "100"), ("delay_off", "400")];

/// Blinks, or goes back to what the LED showed before. A board without such an LED shows nothing.
pub fn attention(root: &Path, run: &Path, needed: bool) {
    let leds = root.join("sys/class/leds");
    let Some(led) = NAMES.iter().map(|name| leds.join(name)).find(|led| led.join("trigger").exists()) else { return };
    if let Err(error) = set(&led, &run.join("led-trigger"), needed) {
        log::debug!(led:% = led.display(), error:%; "the LED cannot be set");
    }
}

fn set(led: &Path, before: &Path, needed: bool) -> io::Result<()> {
    let trigger = led.join("trigger");
    // All triggers there are, the present one in brackets.
    let listed = fs::read_to_string(&trigger)?;
    let present = listed.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or("none", |(name, _)| name);
    match (needed, present == BLINK) {
        (true, false) => {
            fs::write(before, present)?;
            fs::write(&trigger, BLINK)?;
            ON_OFF.iter().try_for_each(|(name, value)| fs::write(led.join(name), value))
        }
        (false, true) => fs::write(&trigger, fs::read_to_string(before).unwrap_or_else(|_| "mmc0".to_owned())),
        (true, true) | (false, false) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_blinks_and_goes_back() {
        let dir = tempfile::tempdir().unwrap();
        let led = dir.path().join("sys/class/leds/ACT");
        fs::create_dir_all(&led).unwrap();
        let trigger = || fs::read_to_string(led.join("trigger")).unwrap();
        fs::write(led.join("trigger"), "none timer [mmc0] heartbeat\n").unwrap();
        attention(dir.path(), dir.path(), false);
        assert!(trigger().contains("[mmc0]"));
        attention(dir.path(), dir.path(), true);
        assert_eq!(trigger(), "timer");
        assert_eq!(fs::read_to_string(led.join("delay_off")).unwrap(), "400");
        fs::write(led.join("trigger"), "none [timer] mmc0 heartbeat\n").unwrap();
        attention(dir.path(), dir.path(), false);
        assert_eq!(trigger(), "mmc0");
        attention(Path::new("/nonexistent"), dir.path(), true);
    }
}

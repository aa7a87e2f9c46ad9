//! What wpa_supplicant reads (its wpa_supplicant.conf). Its file has no escapes: a `"` and a `#` in one password make it
//! refuse the whole file. So nothing is quoted; names and passwords are written in hexadecimal.

use std::fmt::Write;
use std::num::NonZeroU32;

use ring::pbkdf2;

use super::network::{Key, Network};

/// The whole file. Networks that are written first are preferred.
pub fn configuration(networks: &[Network], country: Option<[u8; 2]>) -> String {
    let mut text = String::from(
        "# Written by `callbox board import` from the boot partition at each start; changes here do not last.\n\
         ctrl_interface=DIR=/run/wpa_supplicant\n\
         update_config=0\n",
    );
    if let Some([a, b]) = country {
        let _ = writeln!(text, "country={}{}", char::from(a), char::from(b));
    }
    for (i, network) in networks.iter().enumerate() {
        let _ = write!(text, "\nnetwork={{\n\tssid={}\n\tpriority={}\n", hex(network.ssid()), networks.len() - i);
        if network.hidden {
            text.push_str("\tscan_ssid=1\n");
        }
        let _ = match &network.key {
            Key::Open => writeln!(text, "\tkey_mgmt=NONE"),
            Key::Passphrase(passphrase) => {
                let (psk, password) = (psk(passphrase, network.ssid()), hex(passphrase.as_bytes()));
                text.push_str("\tkey_mgmt=WPA-PSK WPA-PSK-SHA256 SAE\n\tieee80211w=1\n");
                writeln!(text, "\tpsk={psk}\n\tsae_password={password}")
            }
            Key::Sae(password) => {
                writeln!(text, "\tkey_mgmt=SAE\n\tieee80211w=2\n\tsae_password={}", hex(password.as_bytes()))
            }
            Key::Raw(psk) => writeln!(text, "\tkey_mgmt=WPA-PSK WPA-PSK-SHA256\n\tieee80211w=1\n\tpsk={psk}"),
        };
        text.push_str("}\n");
    }
    text
}

/// The key that a passphrase stands for (IEEE 802.11, annex J.4).
fn psk(passphrase: &str, ssid: &[u8]) -> String {
    const ROUNDS: NonZeroU32 = NonZeroU32::new(4096).expect("4096 is not 0");
    let mut key = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA1, ROUNDS, ssid, passphrase.as_bytes(), &mut key);
    hex(&key)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_people_write_stands_in_the_file_as_it_is() {
        let network = |ssid: &str, password| {
            Network::new(ssid.as_bytes().to_vec(), Key::from_password(password).unwrap(), true).unwrap()
        };
        let networks = [network("a\"}\n#", "pass\"word}#"), network("Café", "")];
        let text = configuration(&networks, Some(*b"DE"));
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert!(lines.contains(&"country=DE") && lines.contains(&"ssid=61227d0a23"), "{text}");
        assert!(lines.contains(&"sae_password=7061737322776f72647d23") && lines.contains(&"ssid=436166c3a9"), "{text}");
        assert!(lines.contains(&"key_mgmt=NONE") && lines.contains(&"scan_ssid=1"));
        assert_eq!(lines.iter().filter(|line| **line == "network={").count(), 2);
        assert!(!text.contains('"') && text.matches('#').count() == 1);
    }

    /// The test vectors of IEEE 802.11, annex J.4.3.
    #[test]
    fn a_passphrase_becomes_the_standard_s_key() {
        let expected = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e";
        assert_eq!(psk("password", b"IEEE"), expected);
        let expected = "0dc0d6eb90555ed6419756b9a15ec3e3209b63df707dd508d14581f8982721af";
        assert_eq!(psk("ThisIsAPassword", b"ThisIsASSID"), expected);
    }

    #[test]
    fn each_key_has_its_management() {
        let text = |key| configuration(&[Network::new(b"x".to_vec(), key, false).unwrap()], None);
        assert!(text(Key::Sae("p".into())).contains("key_mgmt=SAE\n\tieee80211w=2\n\tsae_password=70\n"));
        let raw = "ab".repeat(32);
        assert!(text(Key::Raw(raw.clone())).contains(&format!("psk={raw}\n")));
        assert!(!text(Key::Open).contains("country") && !text(Key::Open).contains("scan_ssid"));
    }
}

//! What wpa_supplicant reads (its wpa_supplicant.conf). Its file has no escapes, so names are written in hexadecimal; a
//! password in quotation marks reaches to the last one on its line.

use std::fmt::Write;

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
        let ssid: String = network.ssid().iter().map(|byte| format!("{byte:02x}")).collect();
        let _ = write!(text, "\nnetwork={{\n\tssid={ssid}\n\tpriority={}\n", networks.len() - i);
        if network.hidden {
            text.push_str("\tscan_ssid=1\n");
        }
        let _ = match &network.key {
            Key::Open => writeln!(text, "\tkey_mgmt=NONE"),
            Key::Passphrase(passphrase) => {
                writeln!(text, "\tkey_mgmt=WPA-PSK WPA-PSK-SHA256 SAE\n\tieee80211w=1\n\tpsk=\"{passphrase}\"")
            }
            Key::Sae(password) => writeln!(text, "\tkey_mgmt=SAE\n\tieee80211w=2\n\tsae_password=\"{password}\""),
            Key::Raw(hex) => writeln!(text, "\tkey_mgmt=WPA-PSK WPA-PSK-SHA256\n\tieee80211w=1\n\tpsk={hex}"),
        };
        text.push_str("}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_cannot_break_out() {
        let network = |ssid: &str, password| {
            Network::new(ssid.as_bytes().to_vec(), Key::from_password(password).unwrap(), true).unwrap()
        };
        let networks = [network("a\"}\n#", "pass\"word}#"), network("Café", "")];
        let text = configuration(&networks, Some(*b"DE"));
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert!(lines.contains(&"country=DE") && lines.contains(&"ssid=61227d0a23"), "{text}");
        assert!(lines.contains(&"psk=\"pass\"word}#\"") && lines.contains(&"ssid=436166c3a9"), "{text}");
        assert!(lines.contains(&"key_mgmt=NONE") && lines.contains(&"scan_ssid=1"));
        assert_eq!(lines.iter().filter(|line| **line == "network={").count(), 2);
    }

    #[test]
    fn each_key_has_its_management() {
        let text = |key| configuration(&[Network::new(b"x".to_vec(), key, false).unwrap()], None);
        assert!(text(Key::Sae("p".into())).contains("key_mgmt=SAE\n\tieee80211w=2\n\tsae_password=\"p\""));
        let raw = "ab".repeat(32);
        assert!(text(Key::Raw(raw.clone())).contains(&format!("psk={raw}\n")));
        assert!(!text(Key::Open).contains("country") && !text(Key::Open).contains("scan_ssid"));
    }
}

//! Secrets: files of their own, whatever their editor, and credentials of the systemd unit.

use crate::place::{Place, errors};

#[test]
fn one_credential_is_enough() {
    let place = Place::new();
    place.file("turn", "hunter2");
    let errors = place.errors("[[ice.servers]]\nurls=['turn:a']\nusername='u'\ncredential='c'\ncredential_file='turn'");
    assert_eq!(errors, "callbox.toml:5: ice.servers.credential_file: credential is there too; one of the two must go");
}

#[test]
fn a_secret_file_holds_one_short_secret() {
    let place = Place::new();
    for (contents, why) in [(String::new(), "it is empty"), ("x".repeat(5000), "it is longer than 4096 bytes")] {
        place.file("token", &contents);
        let errors = place.errors("signaling.token_file = 'token'");
        assert!(errors.contains(why), "{errors}");
    }
}

#[test]
fn a_secret_can_be_a_credential_of_the_unit() {
    let text = "signaling.token_file = 'credential:callbox-token'\n\
                ice.servers = [{urls = ['turn:a'], username = 'u', credential_file = 'credential:callbox-turn'}]";
    let outside = errors("signaling.token_file = 'credential:callbox-token'");
    assert!(outside.contains("only a systemd unit with LoadCredential= is given credentials"), "{outside}");

    let mut place = Place::new();
    let dir = place.dir.path().to_str().unwrap().to_owned();
    place = place.variable("CREDENTIALS_DIRECTORY", &dir);
    let missing = place.errors(text);
    assert!(
        missing.contains("/etc/credstore/callbox-token") && missing.contains("/etc/credstore/callbox-turn"),
        "{missing}"
    );
    place.file("callbox-token", "tell nobody\n");
    place.file("callbox-turn", "neither\n");
    let loaded = place.load(text).unwrap();
    assert_eq!(loaded.config.signaling.token.as_ref().unwrap().secret, "tell nobody");
    assert_eq!(loaded.config.ice.servers[0].credential.as_deref(), Some("neither"));
    let shown = loaded.effective();
    assert!(shown.contains("\"credential:callbox-token\"") && !shown.contains("tell nobody"), "{shown}");
    for name in ["", ".", "../callbox-token", "a/b", "a b"] {
        assert!(place.load(&format!("signaling.token_file = 'credential:{name}'")).is_err(), "{name}");
    }
}

#[test]
fn who_only_looks_needs_no_credential() {
    let mut place = Place::new();
    place.surroundings.credentials_needed = false;
    let loaded = place.load("signaling.token_file = 'credential:callbox-token'").unwrap();
    assert!(loaded.effective().contains("credential:callbox-token"));
    assert!(place.load("signaling.token_file = 'nowhere'").is_err(), "a file is looked for all the same");
}

#[test]
fn what_an_editor_leaves_around_a_secret_is_no_part_of_it() {
    let utf16 = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let mut place = Place::new();
    let dir = place.dir.path().to_str().unwrap().to_owned();
    place = place.variable("CREDENTIALS_DIRECTORY", &dir);
    let text = "ice.servers = [{urls = ['turn:a'], username = 'u', credential_file = 'secret'}]\n";
    for bytes in [
        b"\xef\xbb\xbfs3cret\r\n".to_vec(),
        [b"\xff\xfe".to_vec(), utf16("s3cret\r\n")].concat(),
        utf16("s3cret"),
        b" \ts3cret \n\n".to_vec(),
        b"s3cret\r".to_vec(),
        "\u{200b}s3cret\u{a0}\n".into(),
    ] {
        place.file("secret", &bytes);
        for name in ["secret", "credential:secret"] {
            let config = place.load(&format!("signaling.token_file = '{name}'\n{text}")).unwrap().config;
            assert_eq!(config.signaling.token.unwrap().secret, "s3cret", "{name}: {bytes:?}");
            assert_eq!(config.ice.servers[0].credential.as_deref(), Some("s3cret"), "{bytes:?}");
        }
    }
    for (bytes, why) in [
        (&b"\xef\xbb\xbf\r\n"[..], "it is empty"),
        (b"one\ntwo\n", "several lines"),
        (b"a\x07b", "control character"),
        (b"caf\xe9", "UTF-8"),
    ] {
        place.file("secret", bytes);
        let errors = place.errors("signaling.token_file = 'secret'");
        assert!(errors.starts_with("callbox.toml:1: signaling.token_file") && errors.contains(why), "{errors}");
    }
}

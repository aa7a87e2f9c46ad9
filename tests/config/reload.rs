//! What changes while the daemon runs.

use callbox::config::{Config, keys};

use crate::place::Place;

/// For each key a value other than its default; some need company.
const OTHERS: &[(&str, &str)] = &[
    ("device.id", "'gate'"),
    ("device.name", "'Gate'"),
    ("signaling.url", "'wss://callbox.example.org/ws'"),
    ("signaling.token_file", "'secret'"),
    ("signaling.ca_file", "'secret'"),
    ("server.listen", "'127.0.0.1:9'"),
    ("server.http_listen", "'127.0.0.1:7'"),
    ("server.names", "['door']"),
    ("server.trusted_proxies", "['127.0.0.1', 'fd00::/8']"),
    ("server.frame_ancestors", "['https://dashboard.example.org']"),
    ("server.max_connections", "64"),
    ("server.tls.mode", "'auto'"),
    ("server.tls.cert_file", "'secret'\nserver.tls.key_file = 'secret'\nserver.tls.mode = 'files'"),
    ("server.tls.key_file", "'secret'\nserver.tls.cert_file = 'secret'\nserver.tls.mode = 'files'"),
    (
        "server.tls.acme.challenge",
        "'tls-alpn-01'\nserver.tls.mode = 'acme'\nserver.names = ['door.example.org']\nserver.http_listen = '127.0.0.1:80'",
    ),
    (
        "server.tls.acme.hook",
        "'hook'\nserver.tls.acme.challenge = 'dns-01'\nserver.tls.mode = 'acme'\nserver.names = ['door.example.org']\nserver.http_listen = '127.0.0.1:80'",
    ),
    (
        "server.tls.acme.directory",
        "'https://acme.example.org/directory'\nserver.tls.mode = 'acme'\nserver.names = ['door.example.org']\nserver.http_listen = '127.0.0.1:80'",
    ),
    (
        "server.tls.acme.ca_file",
        "'secret'\nserver.tls.mode = 'acme'\nserver.names = ['door.example.org']\nserver.http_listen = '127.0.0.1:80'",
    ),
    (
        "server.tls.acme.contact",
        "'anna@example.org'\nserver.tls.mode = 'acme'\nserver.names = ['door.example.org']\nserver.http_listen = '127.0.0.1:80'",
    ),
    ("access.mode", "'invited'"),
    ("access.rights", "['view']"),
    ("access.unverified", "'allow'"),
    ("device.key_file", "'secret'"),
    ("camera.source", "'synthetic'"),
    ("camera.width", "640"),
    ("camera.height", "480"),
    ("camera.fps", "15"),
    ("camera.format", "'mjpeg'"),
    ("microphone.source", "'none'"),
    ("speaker.sink", "'none'"),
    ("indicator.led", "'sign'"),
    ("indicator.chime", "'soft'"),
    ("indicator.required", "true"),
    ("ice.servers", "[{urls = ['turn:a'], username = 'u', credential_file = 'secret'}]"),
    ("ice.policy", "'relay'"),
    ("ice.bind", "['127.0.0.1']"),
    ("ice.mdns", "false"),
    ("button", "[{name = 'Front'}]"),
    ("rings", "[{people = 'Anna'}]"),
    ("group", "[{name = 'kitchen', people = 'Anna'}]"),
    ("visits.ring_seconds", "30"),
    ("calls.answer", "'ring'"),
    ("calls.max_calls", "1"),
    ("control.socket", "'c.sock'"),
    ("state.dir", "'state'"),
    ("log.level", "'debug'"),
];

#[test]
fn a_reload_takes_the_live_keys_and_names_the_others() {
    let place = Place::new();
    place.file("secret", "s");
    place.program("hook");
    let default = place.load("").unwrap().config;
    assert!(default.changed(&default).is_empty());
    for key in keys::KEYS {
        let (_, value) = OTHERS.iter().find(|(path, _)| *path == key.path).expect(key.path);
        let new = place.load(&format!("{} = {value}", key.path)).unwrap().config;
        let paths = |from: &Config| from.changed(&new).iter().map(|key| key.path).collect::<Vec<_>>();
        assert!(paths(&default).contains(&key.path), "{}: a change is seen", key.path);
        let waiting = paths(&default.with_live(&new));
        assert_eq!(waiting.contains(&key.path), !key.live, "{}: {waiting:?} wait for a restart", key.path);
    }
}

#[test]
fn another_secret_in_the_same_file_is_a_change() {
    let place = Place::new();
    let text = "signaling.token_file = 'a'\n\
                ice.servers = [{urls = ['turn:a'], username = 'u', credential_file = 'b'}]";
    let with = |secret: &str| {
        place.file("a", secret);
        place.file("b", secret);
        place.load(text).unwrap().config
    };
    let (old, new) = (with("1"), with("2"));
    let changed: Vec<_> = old.changed(&new).iter().map(|key| key.path).collect();
    assert_eq!(changed, ["signaling.token_file", "ice.servers"]);
}

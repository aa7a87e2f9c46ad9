//! The configuration as a person meets it: what a file and the environment may say, and what the errors tell.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use callbox::config::{
    Answer, CameraSource, Config, ConfigError, IcePolicy, Loaded, MicrophoneSource, Origin, SpeakerSink, Surroundings,
    Tls, keys,
};

/// A directory with `callbox.toml` and whatever a test puts beside it.
struct Place {
    dir: tempfile::TempDir,
    surroundings: Surroundings,
}

impl Place {
    fn new() -> Place {
        Place { dir: tempfile::tempdir().unwrap(), surroundings: Surroundings::bare() }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn variable(mut self, name: &str, value: &str) -> Place {
        self.surroundings.variables.push((name.into(), value.into()));
        self
    }

    fn load(&self, text: &str) -> Result<Loaded, ConfigError> {
        Config::load_in(Some(&self.file("callbox.toml", text)), &self.surroundings)
    }

    /// The error's lines, the directory left out.
    fn errors(&self, text: &str) -> String {
        let error = self.load(text).expect_err(text).to_string();
        error.replace(&format!("{}/", self.dir.path().display()), "")
    }
}

fn errors(text: &str) -> String {
    Place::new().errors(text)
}

#[test]
fn nothing_written_gives_the_documented_defaults() {
    let config = Config::from_toml("").unwrap();
    assert_eq!((config.device.id.as_str(), config.device.name.as_str()), ("callbox", "callbox"));
    assert_eq!((config.signaling.url, config.signaling.token, config.signaling.ca_file), (None, None, None));
    assert_eq!(config.server.listen, SocketAddr::from(([127, 0, 0, 1], 8080)));
    assert_eq!((config.server.insecure, config.server.http_listen, config.server.tls), (false, None, Tls::Off));
    assert_eq!(config.camera.source, CameraSource::Auto);
    assert_eq!((config.camera.width, config.camera.height, config.camera.fps), (1280, 720, 30));
    assert_eq!((config.microphone, config.speaker), (MicrophoneSource::Auto, SpeakerSink::Auto));
    assert_eq!((config.ice.servers.len(), config.ice.policy, config.ice.mdns), (0, IcePolicy::All, true));
    assert_eq!((config.calls.answer, config.calls.max_calls), (Answer::Auto, 8));
    assert_eq!(config.control.socket, Path::new("/run/callbox/callbox.sock"));
    assert_eq!(config.state.dir, Path::new("/var/lib/callbox"));
    assert_eq!(config.log, log::LevelFilter::Info);
}

#[test]
fn a_camera_is_named_so_that_a_restart_changes_nothing() {
    let source =
        |text: &str| Config::from_toml(&format!("camera.source = {text:?}")).map(|config| config.camera.source);
    assert_eq!(source("name: USB Camera: HD").unwrap(), CameraSource::Named("USB Camera: HD".into()));
    let link = "/dev/v4l/by-id/usb-046d_C920-video-index0";
    assert_eq!(source(link).unwrap(), CameraSource::Device(link.into()));
    assert_eq!(CameraSource::Named("C920".into()).to_string(), "name:C920");
    assert!(source("name:").is_err() && source("name: ").is_err() && source("C920").is_err());
}

#[test]
fn a_full_file_is_read() {
    let place = Place::new();
    place.file("token", "  s3cret\n");
    place.file("turn", "hunter2\n");
    place.file("ca.pem", "x");
    let loaded = place
        .load(
            r#"
            device = { id = "door", name = "Front door" }
            signaling.url = "wss://call.example.org/ws"
            signaling.token_file = "token"
            signaling.ca_file = "ca.pem"
            [server]
            listen = "0.0.0.0:8443"
            insecure = true
            http_listen = "[::]:8081"
            names = ["Door.example.org", "door"]
            [camera]
            source = "file:clip.y4m"
            width = 640
            height = 480
            fps = 15
            [microphone]
            source = "alsa:plughw:1,0"
            [speaker]
            sink = "file:/tmp/heard.WAV"
            [[ice.servers]]
            urls = "stun:stun.example.org"
            [[ice.servers]]
            urls = ["turn:turn.example.org:3478?transport=udp", "turns:turn.example.org"]
            username = "anna"
            credential_file = "turn"
            [ice]
            policy = "relay"
            bind = ["127.0.0.1", "::1"]
            mdns = false
            [calls]
            answer = "ring"
            max_calls = 2
            [control]
            socket = "c.sock"
            [state]
            dir = "/srv/callbox"
            [log]
            level = "debug"
            "#,
        )
        .unwrap();
    let dir = place.dir.path();
    let config = &loaded.config;
    assert_eq!((config.device.id.as_str(), config.device.name.as_str()), ("door", "Front door"));
    assert_eq!(config.signaling.token.as_ref().unwrap().secret, "s3cret");
    assert_eq!(config.signaling.ca_file, Some(dir.join("ca.pem")));
    assert_eq!(config.server.tls, Tls::Auto);
    assert_eq!(config.server.names, ["door.example.org", "door"]);
    assert_eq!(config.camera.source, CameraSource::File(dir.join("clip.y4m")));
    assert_eq!(config.microphone, MicrophoneSource::Alsa("plughw:1,0".into()));
    assert_eq!(config.speaker, SpeakerSink::File("/tmp/heard.WAV".into()));
    assert_eq!(config.ice.servers[0].urls, ["stun:stun.example.org"]);
    assert_eq!(config.ice.servers[1].credential.as_deref(), Some("hunter2"));
    assert_eq!((config.ice.policy, config.ice.bind.len(), config.ice.mdns), (IcePolicy::Relay, 2, false));
    assert_eq!((config.calls.answer, config.calls.max_calls), (Answer::Ring, 2));
    assert_eq!(config.control.socket, dir.join("c.sock"));
    assert_eq!(config.log, log::LevelFilter::Debug);

    let debug = format!("{:?}", config.signaling);
    assert!(!debug.contains("s3cret"), "{debug}");
    let shown = loaded.effective();
    assert!(
        !shown.contains("s3cret") && !shown.contains("hunter2") && shown.contains("credential = \"***\""),
        "{shown}"
    );
    assert!(shown.contains(&format!("# {}:19\n", dir.join("callbox.toml").display())), "{shown}");
    let warnings = loaded.warnings.join("\n");
    assert!(warnings.contains("callbox.toml:8: server.insecure: whoever reaches 0.0.0.0:8443 can call"), "{warnings}");
    assert!(warnings.contains("turns:turn.example.org: the device reaches TURN over UDP only"), "{warnings}");
}

#[test]
fn what_check_prints_can_be_read_again() {
    let text = "device.id = 'a'\ncamera.width = 640\n[[ice.servers]]\nurls = ['turn:a']\nusername='u'\ncredential='c'";
    let loaded = Place::new().load(text).unwrap();
    let again = Config::from_toml(&loaded.effective()).unwrap();
    assert_eq!(again.ice.servers[0].credential.as_deref(), Some("***"));
    let mut expected = loaded.config.clone();
    expected.ice.servers = again.ice.servers.clone();
    assert_eq!(again, expected);
}

/// One line each: what is written, and what the error must say. The line number is part of it.
#[test]
fn errors_name_file_line_key_and_what_is_allowed() {
    for (text, expected) in [
        (
            "[camera]\nwidht = 640",
            "callbox.toml:2: camera.widht: there is no such key; did you mean camera.width? [camera] has source, width, height, fps",
        ),
        (
            "\n[camrea]\nwidth = 640",
            "callbox.toml:2: camrea: there is no such key; did you mean [camera]? at the top are the sections device, signaling, server, camera, microphone, speaker, ice, calls, control, state, log",
        ),
        ("camera = 3", "callbox.toml:1: camera = 3: must be a section, [camera], with source, width, height, fps"),
        (
            "[server.tls]\nmod = 'off'",
            "callbox.toml:2: server.tls.mod: there is no such key; did you mean server.tls.mode? [server.tls] has mode, cert_file, key_file",
        ),
        ("[camera]\nwidth = 0", "callbox.toml:2: camera.width = 0: must be an even number of pixels from 16 to 3840"),
        ("[camera]\nwidth = 641", "callbox.toml:2: camera.width = 641: must be an even number"),
        (
            "[camera]\nheight = \"tall\"",
            "callbox.toml:2: camera.height = \"tall\": must be an even number of pixels from 16 to 2160",
        ),
        (
            "[camera]\n\nfps = 121",
            "callbox.toml:3: camera.fps = 121: must be a number of frames a second from 1 to 120",
        ),
        ("[camera]\nfps = 29.97", "callbox.toml:2: camera.fps = 29.97: must be"),
        ("[camera]\nfps = 99999999999999999999", "callbox.toml:2: camera.fps = 99999999999999999999: must be"),
        ("[camera]\nfps = -1", "callbox.toml:2: camera.fps = -1: must be"),
        ("[camera]\nfps = 1979-05-27", "callbox.toml:2: camera.fps = 1979-05-27: must be"),
        (
            "[camera]\nsource = \"usb\"",
            "callbox.toml:2: camera.source = \"usb\": must be \"auto\", \"/dev/videoN\", \"/dev/v4l/...\", \"name:NAME\", \"file:PATH.y4m\", \"synthetic\" or \"none\"",
        ),
        (
            "[microphone]\nsource = \"hw:0\"",
            "callbox.toml:2: microphone.source = \"hw:0\": must be \"auto\", \"alsa:PCM\", \"file:PATH.wav\"",
        ),
        ("[speaker]\nsink = \"file:a.mp3\"", "callbox.toml:2: speaker.sink = \"file:a.mp3\": must be"),
        (
            "device.id = \"front door\"",
            "callbox.toml:1: device.id = \"front door\": must be 1 to 63 letters, digits, '-', '_' or '.'",
        ),
        ("device.id = ['a']", "callbox.toml:1: device.id = [...]: must be 1 to 63"),
        ("device.name = ''", "callbox.toml:1: device.name = \"\": must be 1 to 128 bytes"),
        (
            "signaling.url = 'http://a'",
            "callbox.toml:1: signaling.url = \"http://a\": must be an address that starts with ws:// or wss://",
        ),
        (
            "signaling.token_file = 'nowhere'",
            "nowhere cannot be read: No such file or directory (os error 2); must be the path of a file",
        ),
        ("signaling.ca_file = '/'", "callbox.toml:1: signaling.ca_file = \"/\": / is not a file; must be the path"),
        (
            "[server]\nlisten = 'localhost'",
            "callbox.toml:2: server.listen = \"localhost\": must be an IP address and a port",
        ),
        (
            "[server]\n# all\nlisten = '0.0.0.0:80'",
            "callbox.toml:3: server.listen = \"0.0.0.0:80\": there are no accounts yet",
        ),
        ("server.insecure = 'yes'", "callbox.toml:1: server.insecure = \"yes\": must be true or false"),
        (
            "server.http_listen = '127.0.0.1:8080'",
            "callbox.toml:1: server.http_listen = \"127.0.0.1:8080\": must be another address or port than server.listen",
        ),
        (
            "[server.tls]\nmode = 'on'",
            "callbox.toml:2: server.tls.mode = \"on\": must be \"auto\", \"files\" or \"off\"",
        ),
        ("[server.tls]\nmode = 'files'", "callbox.toml:2: server.tls.mode = \"files\": needs server.tls.cert_file"),
        ("[ice]\npolicy = 'none'", "callbox.toml:2: ice.policy = \"none\": must be \"all\" or \"relay\""),
        ("[server]\nnames = ['a:80']", "callbox.toml:2: server.names = [...]: must be a list of host names"),
        ("[ice]\nbind = ['eth0']", "callbox.toml:2: ice.bind = [...]: must be a list of IP addresses"),
        ("[ice]\nservers = 'stun:a'", "callbox.toml:2: ice.servers = \"stun:a\": must be a list of tables"),
        (
            "[ice]\nservers = [\n{urls=['stun:a']},\n'stun:a']",
            "callbox.toml:4: ice.servers = \"stun:a\": must be a list of tables",
        ),
        (
            "[[ice.servers]]\nurls = ['stun:a']\n[[ice.servers]]\nurls = ['stun:b',\n'http:c']",
            "callbox.toml:4: ice.servers.urls = [...]: \"http:c\" is no such address; must be a list of addresses that start with stun:, turn: or turns:",
        ),
        (
            "[[ice.servers]]\nurl = ['stun:a']",
            "callbox.toml:2: ice.servers.url: there is no such key; did you mean ice.servers.urls? [ice.servers] has urls, username, credential, credential_file",
        ),
        ("\n[[ice.servers]]\nusername = 'a'", "callbox.toml:2: ice.servers: urls is missing"),
        (
            "\n[[ice.servers]]\nurls = ['turn:a']\nusername = 'a'",
            "callbox.toml:2: ice.servers: a turn: or turns: address needs username, and credential or credential_file",
        ),
        (
            "[[ice.servers]]\nurls = ['stun:a']\nusername = 'a'",
            "callbox.toml:3: ice.servers: username and credential are for turn: and turns: addresses only",
        ),
        (
            "[[ice.servers]]\nurls = ['turn:a']\nusername = 'a'\ncredential = 7",
            "callbox.toml:4: ice.servers.credential: must be text",
        ),
        ("[calls]\nmax_calls = 0", "callbox.toml:2: calls.max_calls = 0: must be a number from 1 to 16"),
        ("calls.answer = 'never'", "callbox.toml:1: calls.answer = \"never\": must be \"auto\" or \"ring\""),
        ("log.level = 'loud'", "callbox.toml:1: log.level = \"loud\": must be \"off\", \"error\""),
        ("[camera]\nwidth = = 3", "callbox.toml:2: this is not TOML: "),
        ("[camera]\nwidth = 640\nwidth = 640", "callbox.toml:3: this is not TOML: duplicate key"),
        ("[camera", "callbox.toml:1: this is not TOML: "),
    ] {
        let errors = errors(text);
        assert!(errors.contains(expected), "{text:?}\n  says     {errors}\n  expected {expected}");
        assert_eq!(errors.lines().count(), 1 + usize::from(text.contains("'files'")), "{errors}");
    }
}

#[test]
fn everything_wrong_is_said_at_once() {
    let errors = errors("[camera]\nwidth = 0\nfsp = 0\n[calls]\nmax_calls = 0");
    assert_eq!(errors.lines().count(), 3, "{errors}");
}

#[test]
fn certificate_files_and_their_mode_go_together() {
    let place = Place::new();
    place.file("cert.pem", "x");
    place.file("key.pem", "x");
    let files = "[server.tls]\ncert_file = 'cert.pem'\nkey_file = 'key.pem'\n";
    let tls = place.load(&format!("{files}mode = 'files'")).unwrap().config.server.tls;
    let path = |name| place.dir.path().join(name);
    assert_eq!(tls, Tls::Files { cert_file: path("cert.pem"), key_file: path("key.pem") });
    let errors = place.errors(files);
    assert!(
        errors.starts_with(
            "callbox.toml:2: server.tls.cert_file = \"cert.pem\": is for [server.tls] mode = \"files\" only"
        ),
        "{errors}"
    );
}

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
fn the_environment_lies_over_the_file() {
    let place = Place::new()
        .variable("CALLBOX_CAMERA__WIDTH", "320")
        .variable("CALLBOX_CAMERA__SOURCE", "file:clip.y4m")
        .variable("CALLBOX_SERVER__TLS__MODE", "auto")
        .variable("CALLBOX_SERVER__LISTEN", "127.0.0.1:0")
        .variable("CALLBOX_ICE__BIND", "[\"127.0.0.1\"]")
        .variable("CALLBOX_ICE__MDNS", "false")
        .variable("CALLBOX_ICE__SERVERS", "[{urls=[\"stun:a\"]}]")
        .variable("CALLBOX_BIN", "/usr/bin/callbox")
        .variable("CALLBOX", "x")
        .variable("OTHER__THING", "x");
    let loaded = place.load("[camera]\nwidth = 640\nheight = 480\n[ice]\nmdns = true").unwrap();
    let config = &loaded.config;
    assert_eq!((config.camera.width, config.camera.height), (320, 480));
    // From the environment a relative path counts from where the process runs.
    assert_eq!(config.camera.source, CameraSource::File("clip.y4m".into()));
    assert_eq!(config.server.tls, Tls::Auto);
    assert_eq!(config.server.listen.port(), 0);
    assert_eq!((config.ice.bind.len(), config.ice.mdns, config.ice.servers.len()), (1, false, 1));
    assert_eq!(loaded.origin("camera.width"), Origin::Variable("CALLBOX_CAMERA__WIDTH".into()));
    assert!(matches!(loaded.origin("camera.height"), Origin::File { line: 3, .. }));
    assert_eq!(loaded.origin("camera.fps"), Origin::Default);
    let shown = loaded.effective();
    let line = shown.lines().find(|line| line.starts_with("width")).unwrap();
    assert!(line.starts_with("width = 320 ") && line.ends_with("# CALLBOX_CAMERA__WIDTH"), "{line}");
}

#[test]
fn errors_in_the_environment_name_the_variable() {
    for (name, value, expected) in [
        (
            "CALLBOX_CAMERA__WIDTH",
            "wide",
            "CALLBOX_CAMERA__WIDTH: camera.width: \"wide\" is not a value as TOML writes it; must be an even number",
        ),
        ("CALLBOX_CAMERA__WIDTH", "", "CALLBOX_CAMERA__WIDTH: camera.width: \"\" is not a value"),
        ("CALLBOX_CAMERA__WIDTH", "7", "CALLBOX_CAMERA__WIDTH: camera.width = 7: must be an even number"),
        (
            "CALLBOX_CAMERA__WIDHT",
            "640",
            "CALLBOX_CAMERA__WIDHT: there is no such setting; did you mean CALLBOX_CAMERA__WIDTH?",
        ),
        (
            "CALLBOX_CAMERA__WI_DTH__",
            "640",
            "CALLBOX_CAMERA__WI_DTH__: there is no such setting; did you mean CALLBOX_CAMERA__WIDTH?",
        ),
        ("CALLBOX_ZZZ__YYY", "640", "CALLBOX_ZZZ__YYY: there is no such setting; docs/config.md lists all"),
        (
            "CALLBOX_camera__width",
            "640",
            "CALLBOX_camera__width: there is no such setting; did you mean CALLBOX_CAMERA__WIDTH?",
        ),
        (
            "CALLBOX_ICE__SERVERS",
            "stun:a",
            "CALLBOX_ICE__SERVERS: ice.servers: \"stun:a\" is not a value as TOML writes it; must be a list of tables",
        ),
        (
            "CALLBOX_ICE__SERVERS",
            "[{urls=[\"x\"]}]",
            "CALLBOX_ICE__SERVERS: ice.servers.urls = [...]: \"x\" is no such address",
        ),
        (
            "CALLBOX_SERVER__LISTEN",
            "0.0.0.0:8080",
            "CALLBOX_SERVER__LISTEN: server.listen = \"0.0.0.0:8080\": there are no accounts yet",
        ),
        ("CALLBOX_SIGNALING__URL", "", "CALLBOX_SIGNALING__URL: signaling.url = \"\": must be an address"),
    ] {
        let errors = Place::new().variable(name, value).errors("");
        assert!(errors.starts_with(expected), "{name}={value}\n  says     {errors}\n  expected {expected}");
    }
}

#[test]
fn a_named_file_must_exist_and_the_default_one_need_not() {
    let place = Place::new();
    let path = place.dir.path().join("missing.toml");
    let error = Config::load_in(Some(&path), &place.surroundings).unwrap_err().to_string();
    assert!(error.contains("missing.toml: the configuration cannot be read: No such file"), "{error}");
    if !Path::new(callbox::config::DEFAULT_FILE).exists() {
        assert_eq!(Config::load_in(None, &place.surroundings).unwrap().file, None);
    }
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    let error = Config::load_in(Some(&path), &place.surroundings).unwrap_err().to_string();
    assert!(error.contains("cannot be read"), "{error}");
}

#[test]
fn worth_a_warning() {
    let warnings = |text: &str| Place::new().load(text).unwrap().warnings.join("\n");
    assert_eq!(warnings(""), "");
    assert_eq!(warnings("server.listen = '[::1]:80'\nsignaling.url = 'ws://localhost:1'"), "");
    assert!(warnings("signaling.url = 'ws://door'").contains("callbox.toml:1: signaling.url: ws:// is not encrypted"));
    assert!(warnings("server.http_listen = '127.0.0.1:81'").contains("server.http_listen: the page there"));
    assert!(warnings("ice.policy = 'relay'").contains("no call will connect"));
    let open = "[server]\ninsecure = true\nlisten = '0.0.0.0:80'\ntls.mode = 'off'";
    assert!(warnings(open).contains("callbox.toml:4: server.tls.mode: without HTTPS"), "{}", warnings(open));
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

/// For each key a value other than its default; some need company.
const OTHERS: &[(&str, &str)] = &[
    ("device.id", "'gate'"),
    ("device.name", "'Gate'"),
    ("signaling.url", "'wss://callbox.example.org/ws'"),
    ("signaling.token_file", "'secret'"),
    ("signaling.ca_file", "'secret'"),
    ("server.listen", "'127.0.0.1:9'"),
    ("server.insecure", "true"),
    ("server.http_listen", "'127.0.0.1:7'"),
    ("server.names", "['door']"),
    ("server.tls.mode", "'auto'"),
    ("server.tls.cert_file", "'secret'\nserver.tls.key_file = 'secret'\nserver.tls.mode = 'files'"),
    ("server.tls.key_file", "'secret'\nserver.tls.cert_file = 'secret'\nserver.tls.mode = 'files'"),
    ("camera.source", "'synthetic'"),
    ("camera.width", "640"),
    ("camera.height", "480"),
    ("camera.fps", "15"),
    ("microphone.source", "'none'"),
    ("speaker.sink", "'none'"),
    ("ice.servers", "[{urls = ['turn:a'], username = 'u', credential_file = 'secret'}]"),
    ("ice.policy", "'relay'"),
    ("ice.bind", "['127.0.0.1']"),
    ("ice.mdns", "false"),
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

//! What a file may say, and what counts where it says nothing.

use std::net::SocketAddr;
use std::path::Path;

use callbox::config::{Answer, CameraSource, Config, IcePolicy, MicrophoneSource, Mode, SpeakerSink, Tls};

use crate::place::Place;

#[test]
fn nothing_written_gives_the_documented_defaults() {
    let config = Config::from_toml("").unwrap();
    assert_eq!((config.device.id.as_str(), config.device.name.as_str()), ("callbox", "callbox"));
    assert_eq!((config.signaling.url, config.signaling.token, config.signaling.ca_file), (None, None, None));
    assert_eq!(config.server.listen, SocketAddr::from(([127, 0, 0, 1], 8080)));
    assert_eq!((config.access.mode, config.server.http_listen, config.server.tls), (Mode::Open, None, Tls::Off));
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
            http_listen = "[::]:8081"
            names = ["Door.example.org", "door"]
            [access]
            mode = "open"
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
            urls = "STUN:stun.example.org"
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
    assert!(shown.contains(&format!("# {}:20\n", dir.join("callbox.toml").display())), "{shown}");
    let warnings = loaded.warnings.join("\n");
    assert!(warnings.contains("callbox.toml:11: access.mode: whoever reaches 0.0.0.0:8443 can call"), "{warnings}");
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

#[test]
fn a_named_file_must_exist_and_the_default_one_need_not() {
    let place = Place::new();
    let path = place.dir.path().join("missing.toml");
    let error = Config::load_in(Some(&path), &place.surroundings).unwrap_err().to_string();
    assert!(error.contains("missing.toml: the configuration cannot be read: No such file"), "{error}");
    if !Path::new(callbox::config::DEFAULT_FILE).exists() {
        assert_eq!(Config::load_in(None, &place.surroundings).unwrap().file, None);
    }
    std::fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
    let error = Config::load_in(Some(&path), &place.surroundings).unwrap_err().to_string();
    assert!(error.contains("cannot be read"), "{error}");
}

#[test]
fn worth_a_warning() {
    let warnings = |text: &str| Place::new().load(text).unwrap().warnings.join("\n");
    assert_eq!(warnings(""), "");
    assert_eq!(warnings("server.listen = '[::1]:80'\nsignaling.url = 'ws://localhost:1'"), "");
    let beyond = warnings("server.max_connections = 1000");
    assert!(
        beyond.contains("server.max_connections: 1000 clients are more than the limit of open files allows"),
        "{beyond}"
    );
    assert!(beyond.contains("which is 1024: 768 are served"), "{beyond}");
    assert!(warnings("signaling.url = 'ws://door'").contains("callbox.toml:1: signaling.url: ws:// is not encrypted"));
    assert!(warnings("server.http_listen = '127.0.0.1:81'").contains("server.http_listen: the page there"));
    assert!(warnings("ice.policy = 'relay'").contains("no call will connect"));
    let acme = "server.tls.mode = 'acme'\nserver.names = ['door.local', 'door.example.org']\n";
    let http = warnings(&format!("{acme}server.http_listen = '0.0.0.0:8080'"));
    assert!(http.contains("callbox.toml:3: server.http_listen: the certificate authority comes to port 80"), "{http}");
    assert!(http.contains("callbox.toml:2: server.names: door.local: no public") && !http.contains("door.example.org"));
    let tls = warnings(&format!("{acme}server.tls.acme.challenge = 'tls-alpn-01'"));
    assert!(tls.contains("server.listen: the certificate authority comes to port 443"), "{tls}");
    let own = "server.tls.acme.directory = 'https://ca.home.arpa/acme'\nserver.http_listen = '0.0.0.0:80'";
    assert!(!warnings(&format!("{acme}{own}")).contains("door.local"));
    let open = "[server]\n\nlisten = '0.0.0.0:80'\ntls.mode = 'off'";
    assert!(warnings(open).contains("callbox.toml:4: server.tls.mode: without HTTPS"), "{}", warnings(open));
}

/// As a word processor of some decade saves it.
#[test]
fn a_file_is_read_in_whatever_encoding_an_editor_writes() {
    let text = "[device]\r\nid = \"door\"\r\nname = \"Haustür\"\r\n";
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let place = Place::new();
    for bytes in [
        [b"\xef\xbb\xbf", text.as_bytes()].concat(),
        [b"\xff\xfe", utf16.as_slice()].concat(),
        text.replace("\r\n", "\r").into_bytes(),
    ] {
        let loaded = Config::load_in(Some(&place.file("callbox.toml", &bytes)), &place.surroundings).unwrap();
        assert_eq!(loaded.config.device.name, "Haustür", "{bytes:?}");
        assert!(matches!(loaded.origin("device.name"), callbox::config::Origin::File { line: 3, .. }), "{bytes:?}");
    }
    let error = Config::load_in(Some(&place.file("callbox.toml", b"name = 'Haust\xfcr'")), &place.surroundings);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("callbox.toml: the configuration cannot be read: ") && error.contains("UTF-8"), "{error}");
}

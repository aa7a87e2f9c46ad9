//! Settings from the environment.

use callbox::config::{CameraSource, Origin, Tls};

use crate::place::Place;

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
        .variable("CALLBOX_BUTTON", "[{name=\"Front\"}]")
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
    assert_eq!(config.visits.buttons[0].name, "Front");
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
        ("CALLBOX_SERVER__INSECURE", "true", "CALLBOX_SERVER__INSECURE: server.insecure: this key is gone"),
        ("CALLBOX_SIGNALING__URL", "", "CALLBOX_SIGNALING__URL: signaling.url = \"\": must be an address"),
    ] {
        let errors = Place::new().variable(name, value).errors("");
        assert!(errors.starts_with(expected), "{name}={value}\n  says     {errors}\n  expected {expected}");
    }
}

//! What is said of mistakes.

use callbox::config::{Challenge, Tls};

use crate::place::{Place, errors};

/// One line each: what is written, and what the error must say. The line number is part of it.
#[test]
fn errors_name_file_line_key_and_what_is_allowed() {
    for (text, expected) in [
        (
            "[camera]\nwidht = 640",
            "callbox.toml:2: camera.widht: there is no such key; did you mean camera.width? [camera] has source, width, height, fps, format",
        ),
        (
            "\n[camrea]\nwidth = 640",
            "callbox.toml:2: camrea: there is no such key; did you mean [camera]? at the top are the sections button, rings, group, device, signaling, server, access, camera, microphone, speaker, indicator, ice, calls, visits, control, state, log",
        ),
        (
            "camera = 3",
            "callbox.toml:1: camera = 3: must be a section, [camera], with source, width, height, fps, format",
        ),
        (
            "[server.tls]\nmod = 'off'",
            "callbox.toml:2: server.tls.mod: there is no such key; did you mean server.tls.mode? [server.tls] has mode, cert_file, key_file, acme",
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
        (
            "[camera]\nformat = \"h264\"",
            "callbox.toml:2: camera.format = \"h264\": must be \"auto\", \"yuyv\", \"uyvy\", \"nv12\", \"yu12\" or \"mjpeg\"",
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
            "[server]\nlisten = '0.0.0.0:80'\ninsecure = true",
            "callbox.toml:3: server.insecure: this key is gone. Nobody comes in without an invitation now",
        ),
        (
            "access.rights = ['view', 'fly']",
            "callbox.toml:1: access.rights = [...]: must be a list of \"view\", \"talk\"",
        ),
        ("access.mode = 'closed'", "callbox.toml:1: access.mode = \"closed\": must be \"invited\" or \"open\""),
        (
            "server.http_listen = '127.0.0.1:8080'",
            "callbox.toml:1: server.http_listen = \"127.0.0.1:8080\": must be another address or port than server.listen",
        ),
        (
            "[server.tls]\nmode = 'on'",
            "callbox.toml:2: server.tls.mode = \"on\": must be \"auto\", \"acme\", \"files\" or \"off\"",
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
            "callbox.toml:4: ice.servers.urls = [...]: \"http:c\" is no such address: it does not begin with stun:, turn: or turns:; must be a list of addresses that start with stun:, turn: or turns:",
        ),
        (
            "[[ice.servers]]\nurls = [\"stun:<host>\"]",
            "callbox.toml:2: ice.servers.urls = [...]: \"stun:<host>\" is no such address: the host is no name or address",
        ),
        (
            "[[ice.servers]]\nurls = ['turn:a:70000']\nusername = 'u'\ncredential = 'c'",
            "callbox.toml:2: ice.servers.urls = [...]: \"turn:a:70000\" is no such address: the port is no number from 1 to 65535",
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
        ("\n[[button]]\nrings = 'Anna'", "callbox.toml:2: button: name is missing, such as name = \"Front door\""),
        (
            "[[button]]\nname = 'a'\n[[button]]\nname = 'A'",
            "callbox.toml:3: button.name: there are two buttons of the name \"A\"",
        ),
        (
            "[[button]]\nname = 'a'\nrings = []",
            "callbox.toml:3: button.rings = [...]: must be a name, or a list of 1 to 64 names",
        ),
        (
            "[[button]]\nname = 'a'\nring = 'b'",
            "callbox.toml:3: button.ring: there is no such key; did you mean button.rings?",
        ),
        ("button = 'a'", "callbox.toml:1: button = \"a\": must be a list of tables with name and rings"),
        ("[[rings]]\nafter_seconds = 5", "callbox.toml:1: rings: people is missing"),
        (
            "[[rings]]\npeople = 'a'\nbuttons = 'b'",
            "callbox.toml:1: rings.buttons: there is no button of the name \"b\"",
        ),
        (
            "visits.ring_seconds = 30\n[[rings]]\npeople = 'a'\nafter_seconds = 30",
            "callbox.toml:2: rings.after_seconds: by then, after 30 s, nobody is rung any more (visits.ring_seconds)",
        ),
        (
            "[[group]]\nname = 'Everyone'\npeople = 'a'",
            "callbox.toml:1: group.name: \"everyone\" is everybody, and no group",
        ),
        ("[[group]]\nname = 'a'", "callbox.toml:1: group: people is missing"),
        (
            "visits.ring_seconds = 1",
            "callbox.toml:1: visits.ring_seconds = 1: must be a number of seconds from 5 to 300",
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
fn a_user_name_that_browsers_refuse_is_refused() {
    let with = |bytes: usize| {
        format!("ice.servers = [{{urls = 'turn:a', username = '{}', credential = 'c'}}]", "u".repeat(bytes))
    };
    assert!(Place::new().load(&with(509)).is_ok());
    let errors = errors(&with(510));
    assert!(
        errors.contains("ice.servers.username") && errors.contains("it has 510 bytes, and browsers take 509"),
        "{errors}"
    );
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
fn what_a_public_authority_needs_is_said_in_words() {
    let place = Place::new();
    place.program("hook");
    place.file("text", "x");
    let name = "server.names = ['door.example.org']\n";
    let dns = "server.tls.acme.challenge = 'dns-01'\n";
    for (text, expected) in [
        ("", "callbox.toml:1: server.tls.mode = \"acme\": needs server.names"),
        ("server.names = []\n", "callbox.toml:1: server.tls.mode = \"acme\": needs server.names"),
        (
            "server.names = ['192.0.2.7']\nserver.tls.acme.challenge = 'tls-alpn-01'",
            "callbox.toml:2: server.names = [...]: 192.0.2.7 is an address, and [server.tls] mode = \"acme\" is for names only",
        ),
        (
            name,
            "callbox.toml:1: server.tls.mode = \"acme\": the challenge http-01 is answered by plain HTTP, at port 80",
        ),
        (&format!("{name}{dns}"), "callbox.toml:3: server.tls.acme.challenge = \"dns-01\": needs server.tls.acme.hook"),
        (&format!("{name}{dns}server.tls.acme.hook = 'text'"), "server.tls.acme.hook = \"text\": "),
        (&format!("{name}{dns}server.tls.acme.hook = 'text'"), "text is not executable: chmod +x"),
        (&format!("{name}{dns}server.tls.acme.hook = 'none'"), "none cannot be read: No such file"),
        (&format!("{name}{dns}server.tls.acme.hook = '.'"), "is not a file"),
        (
            &format!("{name}server.http_listen = '0.0.0.0:80'\nserver.tls.acme.hook = 'hook'"),
            "callbox.toml:4: server.tls.acme.hook = \"hook\": is for the challenge dns-01 only",
        ),
        (
            &format!("{name}{dns}server.tls.acme.hook = 'hook'\nserver.tls.acme.directory = 'http://a'"),
            "must be an address that starts with https://",
        ),
        (
            &format!("{name}{dns}server.tls.acme.hook = 'hook'\nserver.tls.acme.contact = 'anna'"),
            "must be an e-mail address",
        ),
        (
            "server.frame_ancestors = ['https://a; script-src *']",
            "server.frame_ancestors = [...]: must be a list of sites",
        ),
    ] {
        let errors = place.errors(&format!("server.tls.mode = 'acme'\n{text}"));
        assert!(errors.contains(expected), "{text}: {errors}");
    }
    let errors = place.errors("server.tls.acme.contact = 'anna@example.org'");
    assert!(errors.ends_with("is for [server.tls] mode = \"acme\" only"), "{errors}");
    let good = format!("server.tls.mode = 'acme'\n{name}{dns}server.tls.acme.hook = 'hook'");
    let Tls::Acme(acme) = place.load(&good).unwrap().config.server.tls else { panic!("another mode") };
    assert_eq!(acme.challenge, Challenge::Dns01 { hook: place.dir.path().join("hook") });
    assert!(acme.directory.contains("letsencrypt.org"));
}

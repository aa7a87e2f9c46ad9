//! Setting up by a code, by the commands alone.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::card::Board;

/// What a camera sees of a code in a picture.
pub fn clip(png: &str, clip: &str) {
    let mut reader = png::Decoder::new(std::io::BufReader::new(fs::File::open(png).unwrap())).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let side = reader.next_frame(&mut pixels).unwrap().width;
    let mut frames = format!("YUV4MPEG2 W{side} H{side} F10:1 Cmono\nFRAME\n").into_bytes();
    frames.extend(&pixels);
    fs::write(clip, frames).unwrap();
}

/// From the command that prints the code to the board that has read it, by the commands alone.
#[test]
fn a_printed_code_sets_up_a_board() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let callbox = |arguments: &[&str], input: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_callbox"));
        let pipe = std::process::Stdio::piped;
        let mut child = command.args(arguments).stdin(pipe()).stdout(pipe()).stderr(pipe()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    fs::write(path("token"), "s3cret\n").unwrap();
    let (png, token) = (path("code.png"), path("token"));
    let provision = ["provision", "--id", "hall", "--name", "Hall; upstairs", "--ssid", "Home"];
    let server = ["--server", "wss://call.example.org/ws", "--token-file", &token, "--country", "de"];
    let picture = ["--wifi-password-file", "-", "--png", &png];
    let (code, out, err) = callbox(&[&provision[..], &server, &picture].concat(), "pass:word;1\r\n");
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains('▀') && !out.contains("s3cret"), "{out}");
    assert_eq!(fs::metadata(&png).unwrap().permissions().mode() & 0o777, 0o600);

    clip(&png, &path("clip.y4m"));

    let board = Board::new();
    let root = board.places.root.to_str().unwrap();
    let camera = format!("file:{}", path("clip.y4m"));
    let found = path("found");
    let scan = ["board", "scan", "--to", &found, "--root", root, "--speaker", "none"];
    let (code, out, err) = callbox(&[&scan[..], &["--seconds", "60", "--camera", &camera]].concat(), "");
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("a code for device hall and Wi-Fi Home was shown") && !out.contains("s3cret"), "{out}");
    let (code, out, err) = callbox(&["board", "apply", &found, "--root", root], "");
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (Some(0), "device hall and Wi-Fi Home is written to the card\n", "")
    );
    let (code, out, _) = callbox(&["board", "import", "--root", root], "");
    assert!(code == Some(0) && out.contains("Device    Hall; upstairs (hall)"), "{out}");
    assert_eq!(board.config().signaling.token.unwrap().secret, "s3cret");
    assert!(board.networks().unwrap().contains("sae_password=706173733a776f72643b31"));

    let link = |out: &str| out.split_whitespace().find(|word| word.contains("#invite=")).map(str::to_owned);
    assert_eq!(link(&out), None, "its household is at the server");
    // Without a code in the picture it ends in time, with 1.
    let (code, _, err) = callbox(&[&scan[..], &["--seconds", "1", "--camera", "synthetic"]].concat(), "");
    assert_eq!((code, err.as_str()), (Some(1), "callbox: the board is not set up: no code was shown within 1 s\n"));
    // What is missing or wrong is said.
    for (arguments, input, what) in [
        (&provision[..], "", "there is no terminal to ask"),
        (&[&provision[..], &["--wifi-password-file", "-"]].concat(), "short\n", "5 characters"),
        (&[&provision[..], &["--wifi-password-file", "-"]].concat(), "\n", "wants --open"),
        (&["provision", "--id", "front door"], "", "device.id"),
        (&["provision", "--id", "door", "--server", "http://x"], "", "signaling.url"),
        (&["provision", "--id", "door", "--country", "Germany"], "", "country code"),
    ] {
        let (code, out, err) = callbox(arguments, input);
        assert!(code == Some(1) && out.is_empty() && err.contains(what), "{arguments:?}: {err}");
    }
    assert_eq!(callbox(&["provision", "--id", "a", "--token-file", &token], "").0, Some(2));
    let (code, _, err) = callbox(&["board", "scan", "--to", &found, "--camera", "usb"], "");
    assert!(code == Some(2) && err.contains("must be \"auto\", \"/dev/videoN\""), "{err}");
}

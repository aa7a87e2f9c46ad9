//! The systemd units: what systemd itself says of their security, and whether it understands them.

use std::path::PathBuf;
use std::process::Command;

const UNITS: [&str; 2] = ["callbox.service", "callbox-server.service"];
/// Exposure level in tenths; `systemd-analyze security` goes to 100.
const EXPOSED_AT_MOST: u32 = 20;
/// For systemd 254 and later. Earlier ones say so and leave them out.
const LATER_KEYS: [&str; 2] = ["RestartSteps", "RestartMaxDelaySec"];

fn unit(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name).to_str().unwrap().to_owned()
}

fn analyze(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("systemd-analyze").args(arguments).env("SYSTEMD_COLORS", "0").output();
    let output = output.expect("systemd-analyze is missing: scripts/setup test installs it");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn the_units_are_exposed_little() {
    for name in UNITS {
        let threshold = format!("--threshold={EXPOSED_AT_MOST}");
        let (fits, report) = analyze(&["security", "--offline=true", "--no-pager", &threshold, &unit(name)]);
        assert!(report.contains("Overall exposure level"), "{report}");
        assert!(fits, "{name}: more than {EXPOSED_AT_MOST} tenths\n{report}");
    }
}

#[test]
fn systemd_understands_every_line_of_the_units() {
    let folder = tempfile::tempdir().unwrap();
    for name in UNITS {
        // Its program need not be installed here.
        let text = std::fs::read_to_string(unit(name)).unwrap().replace("/usr/bin/callbox", "/bin/true");
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let (_, report) = analyze(&["verify", "--man=no", path.to_str().unwrap()]);
        let ours = |line: &&str| line.contains(name) && !LATER_KEYS.iter().any(|key| line.contains(key));
        let complaints: Vec<&str> = report.lines().filter(ours).collect();
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    }
}

#[test]
fn a_line_that_systemd_does_not_understand_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.service");
    std::fs::write(&path, "[Service]\nExecStart=/bin/true\nProtectEverything=yes\n").unwrap();
    let (_, report) = analyze(&["verify", "--man=no", path.to_str().unwrap()]);
    assert!(report.lines().any(|line| line.contains("odd.service") && line.contains("ProtectEverything")), "{report}");
}

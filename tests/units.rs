//! The systemd units: what systemd itself says of their security, and whether it understands them.

use std::path::PathBuf;
use std::process::Command;

/// Below the repository.
const UNITS: [&str; 3] = [
    "systemd/callbox.service",
    "systemd/callbox-server.service",
    "image/root/etc/systemd/system/callbox-board-scan.service",
];
/// What the units start, for systemd to find.
const OTHERS: [&str; 3] = [
    "image/root/etc/systemd/system/callbox-board-apply.service",
    "image/root/etc/systemd/system/callbox-board-owner.path",
    "image/root/etc/systemd/system/callbox-board-owner.service",
];
/// Exposure level in tenths; `systemd-analyze security` goes to 100.
const EXPOSED_AT_MOST: u32 = 20;
/// For systemd 254 and later. Earlier ones say so and leave them out.
const LATER_KEYS: [&str; 2] = ["RestartSteps", "RestartMaxDelaySec"];

fn unit(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name).to_str().unwrap().to_owned()
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
    let file = |name: &str| name.rsplit('/').next().unwrap().to_owned();
    for name in UNITS.iter().chain(&OTHERS) {
        // Its program need not be installed here.
        let text = std::fs::read_to_string(unit(name)).unwrap();
        let text = text.replace("/usr/bin/callbox", "/bin/true").replace("/usr/lib/callbox/board-apply", "/bin/true");
        let text = text.replace("/usr/lib/callbox/board-import", "/bin/true");
        std::fs::write(folder.path().join(file(name)), text).unwrap();
    }
    for name in UNITS.iter().chain(&OTHERS).map(|name| file(name)) {
        let (_, report) = analyze(&["verify", "--man=no", folder.path().join(&name).to_str().unwrap()]);
        let ours = |line: &&str| line.contains(&name) && !LATER_KEYS.iter().any(|key| line.contains(key));
        let complaints: Vec<&str> = report.lines().filter(ours).collect();
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    }
}

/// Strangers' codes and a camera's JPEG are decoded there.
#[test]
fn the_scan_has_neither_root_nor_a_network_nor_a_card() {
    let text = std::fs::read_to_string(unit(UNITS[2])).unwrap();
    for line in
        ["User=callbox", "PrivateNetwork=yes", "ProtectSystem=strict", "CapabilityBoundingSet=", "NoNewPrivileges=yes"]
    {
        assert!(text.lines().any(|written| written == line), "{line} is missing");
    }
    let commands: Vec<_> = text.lines().filter(|line| line.starts_with("Exec")).collect();
    assert_eq!(commands, ["ExecStart=/usr/bin/callbox board scan --to /run/callbox-scan/code"]);
}

#[test]
fn a_line_that_systemd_does_not_understand_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.service");
    std::fs::write(&path, "[Service]\nExecStart=/bin/true\nProtectEverything=yes\n").unwrap();
    let (_, report) = analyze(&["verify", "--man=no", path.to_str().unwrap()]);
    assert!(report.lines().any(|line| line.contains("odd.service") && line.contains("ProtectEverything")), "{report}");
}

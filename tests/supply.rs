//! What Callbox is made of: deny.toml held to by what cargo has on this machine, without a network, and the list that the
//! packages ship. Known faults are looked for by `make audit`, which needs one.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn toml(text: &str) -> toml::Value {
    toml::from_str(text).unwrap()
}

fn rules() -> toml::Value {
    toml(include_str!("../deny.toml"))
}

fn texts(values: &toml::Value) -> BTreeSet<String> {
    values.as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_owned()).collect()
}

/// This machine's target: only what it was built from is sure to be here.
fn target() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "x86_64-unknown-linux-gnu",
        "aarch64" => "aarch64-unknown-linux-gnu",
        "arm" => "armv7-unknown-linux-gnueabihf",
        other => panic!("no target is known for {other}"),
    }
}

fn run(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.env("CARGO_NET_OFFLINE", "true").env("SOURCE_DATE_EPOCH", "1764547200").output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a licence expression (SPDX, or with the old "/") can be met by what is allowed.
fn may_be_used(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (met, rest) = either(&words, allowed);
    assert!(rest.is_empty(), "{expression:?} is no licence expression");
    met
}

fn either<'a>(words: &'a [&'a str], allowed: &BTreeSet<String>) -> (bool, &'a [&'a str]) {
    let (mut met, mut rest) = both(words, allowed);
    while let ["OR", more @ ..] = rest {
        let (also, after) = both(more, allowed);
        (met, rest) = (met | also, after);
    }
    (met, rest)
}

fn both<'a>(words: &'a [&'a str], allowed: &BTreeSet<String>) -> (bool, &'a [&'a str]) {
    let (mut met, mut rest) = one(words, allowed);
    while let ["AND", more @ ..] = rest {
        let (also, after) = one(more, allowed);
        (met, rest) = (met & also, after);
    }
    (met, rest)
}

fn one<'a>(words: &'a [&'a str], allowed: &BTreeSet<String>) -> (bool, &'a [&'a str]) {
    match words {
        ["(", inner @ ..] => match either(inner, allowed) {
            (met, [")", rest @ ..]) => (met, rest),
            (_, rest) => panic!("a bracket is open before {rest:?}"),
        },
        [licence, "WITH", exception, rest @ ..] => (allowed.contains(&format!("{licence} WITH {exception}")), rest),
        [licence, rest @ ..] => (allowed.contains(*licence), rest),
        [] => panic!("a licence is missing"),
    }
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
    for good in ["MIT", "GPL-3.0/MIT", "MIT AND ISC", "(GPL-3.0 OR MIT) AND ISC", "Apache-2.0 WITH LLVM-exception OR X"]
    {
        assert!(may_be_used(good, &allowed), "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "Apache-2.0", "(MIT AND X) OR (ISC AND Y)", "MIT AND (X OR Y)"] {
        assert!(!may_be_used(bad, &allowed), "{bad}");
    }
}

#[test]
fn every_crate_has_a_licence_that_is_allowed() {
    let allowed = texts(&rules()["licenses"]["allow"]);
    let platform = ["--filter-platform", target()];
    let metadata =
        run(env!("CARGO"), &[&["metadata", "--format-version=1", "--locked", "--offline"], &platform[..]].concat());
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let crates = metadata["packages"].as_array().unwrap();
    assert!(crates.len() > 200, "only {} crates were found", crates.len());
    let mut faults = Vec::new();
    for package in crates {
        let private = package["publish"].as_array().is_some_and(Vec::is_empty);
        match package["license"].as_str() {
            _ if private => {}
            Some(licence) if may_be_used(licence, &allowed) => {}
            licence => faults.push(format!("{} {}: {licence:?}", package["name"], package["version"])),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// On every platform, whatever this one is: Cargo.lock knows all of them.
#[test]
fn every_crate_is_from_crates_io_and_none_is_banned() {
    let lock = toml(include_str!("../Cargo.lock"));
    let rules = rules();
    let banned: BTreeSet<_> = rules["bans"]["deny"]
        .as_array()
        .unwrap()
        .iter()
        .map(|ban| &ban["crate"])
        .collect::<Vec<_>>()
        .into_iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    let mut faults = Vec::new();
    let mut ours = BTreeSet::new();
    for package in lock["package"].as_array().unwrap() {
        let text = |key: &str| package.get(key).and_then(toml::Value::as_str);
        let name = text("name").unwrap();
        match (text("source"), text("checksum")) {
            (Some(CRATES_IO), Some(sum)) if sum.len() == 64 => {}
            (None, None) => drop(ours.insert(name.to_owned())),
            other => faults.push(format!("{name}: {other:?}")),
        }
        if banned.contains(name) {
            faults.push(format!("{name} is banned"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let members = ["callbox", "callbox-bench-signaling", "callbox-smoke", "callbox-test-gmp"];
    assert_eq!(ours, members.map(str::to_owned).into());
}

#[test]
fn the_packages_list_everything_that_is_linked() {
    for (name, features, c_libraries) in [
        ("callbox", &[][..], &["libjpeg-turbo", "openh264", "opus", "sqlite"][..]),
        ("callbox-server", &["--no-default-features", "--features", "server"], &["sqlite"]),
    ] {
        let text = run("deb/bill", &[&[target(), name, "1.2.3"], features].concat());
        assert_eq!(text, run("deb/bill", &[&[target(), name, "1.2.3"], features].concat()), "the same twice");
        let bill: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((bill["bomFormat"].as_str(), bill["specVersion"].as_str()), (Some("CycloneDX"), Some("1.6")));
        let root = &bill["metadata"]["component"];
        assert_eq!((root["name"].as_str(), root["version"].as_str()), (Some(name), Some("1.2.3")));

        let mut c = BTreeSet::new();
        let mut crates = BTreeSet::new();
        for component in bill["components"].as_array().unwrap() {
            let text = |key: &str| component[key].as_str().unwrap_or_else(|| panic!("no {key}: {component}"));
            assert!(text("version").starts_with(|c: char| c.is_ascii_digit()), "{component}");
            assert!(component["licenses"].as_array().is_some_and(|licences| licences.len() == 1), "{component}");
            if text("purl").starts_with("pkg:cargo/") {
                assert_eq!(component["hashes"][0]["content"].as_str().map(str::len), Some(64), "{component}");
                assert!(crates.insert((text("name").to_owned(), text("version").to_owned())), "twice: {component}");
            } else {
                c.insert(text("name").to_owned());
            }
        }
        assert_eq!(c, c_libraries.iter().map(|&library| library.to_owned()).collect());
        let normal = ["--edges", "normal,no-proc-macro", "--target", target(), "--prefix", "none", "--format", "{p}"];
        let tree = run(env!("CARGO"), &[&["tree", "--locked", "--offline"], &normal[..], features].concat());
        let words = |line: &str| {
            let mut words = line.split_whitespace();
            Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
        };
        let linked: BTreeSet<_> = tree.lines().filter_map(words).filter(|(name, _)| name != "callbox").collect();
        assert_eq!(crates, linked);
        everything_is_there_for_something(&bill);
    }
}

/// From the program along its dependencies one comes to every component, and to nothing else.
fn everything_is_there_for_something(bill: &Value) {
    let reference = |value: &Value| value.as_str().unwrap().to_owned();
    let known: BTreeSet<_> =
        bill["components"].as_array().unwrap().iter().map(|one| reference(&one["bom-ref"])).collect();
    let wants: BTreeMap<_, Vec<_>> = bill["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (reference(&entry["ref"]), entry["dependsOn"].as_array().unwrap().iter().map(reference).collect()))
        .collect();
    let mut reached = BTreeSet::new();
    let mut next = wants[&reference(&bill["metadata"]["component"]["bom-ref"])].clone();
    while let Some(one) = next.pop() {
        if reached.insert(one.clone()) {
            next.extend(wants.get(&one).into_iter().flatten().cloned());
        }
    }
    assert_eq!(reached, known);
}

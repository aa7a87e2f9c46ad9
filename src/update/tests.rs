//! Signed packages made here, a daemon that is as healthy as the test wants, and a cut after each step.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use minisign::KeyPair;
use tempfile::TempDir;

use super::*;

const ARCHITECTURE: &str = "arm64";

/// A device in a directory: its disk, and a machine around it.
struct Board {
    dir: TempDir,
    key: KeyPair,
    /// Versions that register when they run.
    healthy: RefCell<Vec<&'static str>>,
    clock: Cell<Duration>,
    /// Ends the process, so to speak, after this many changes on the disk.
    cut_after: Cell<Option<usize>>,
    disk_full: Cell<bool>,
}

impl Board {
    fn new() -> Board {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate_unencrypted_keypair().unwrap();
        let board = Board {
            dir,
            key,
            healthy: RefCell::default(),
            clock: Cell::default(),
            cut_after: Cell::default(),
            disk_full: Cell::default(),
        };
        for dir in ["keys", "factory", "run"] {
            fs::create_dir(board.path(dir)).unwrap();
        }
        fs::write(board.path("factory/callbox"), "1.0-1").unwrap();
        fs::write(board.path("slots.conf"), "").unwrap();
        fs::write(board.path("keys/ours.pub"), board.key.pk.to_box().unwrap().to_bytes()).unwrap();
        board.begin();
        board
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn updater(&self) -> Updater<&Board> {
        let paths = Paths {
            state: self.path("state"),
            run: self.path("run"),
            factory: self.path("factory"),
            keys: vec![self.path("keys"), self.path("no-such-keys")],
            drop_ins: vec![self.path("slots.conf")],
        };
        Updater::new(paths, self)
    }

    /// A package whose program's text is its version, signed.
    fn package(&self, version: &str) -> PathBuf {
        self.package_of("callbox", version, ARCHITECTURE, slot::PROGRAM)
    }

    fn package_of(&self, name: &str, version: &str, architecture: &str, program: &str) -> PathBuf {
        let tree = tempfile::tempdir().unwrap();
        let program = tree.path().join(program);
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::write(&program, version).unwrap();
        Command::new("chmod").arg("755").arg(&program).status().unwrap();
        fs::create_dir(tree.path().join("DEBIAN")).unwrap();
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: A <a@example.org>\n\
             Description: test\n"
        );
        fs::write(tree.path().join("DEBIAN/control"), control).unwrap();
        let deb = self.path(&format!("{name}_{version}_{architecture}.deb"));
        let mut build = Command::new("dpkg-deb");
        let built =
            build.args(["--root-owner-group", "-Zgzip", "--build"]).arg(tree.path()).arg(&deb).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        sign(&deb, &self.key);
        deb
    }

    /// What the service would run: the text of the chosen program.
    fn begin(&self) -> String {
        self.updater().begin().unwrap();
        self.current()
    }

    fn current(&self) -> String {
        fs::read_to_string(self.path("run/current/callbox")).unwrap()
    }

    fn install(&self, version: &'static str) -> Result<String, UpdateError> {
        self.updater().install(&self.package(version))
    }

    fn refusal(&self, package: &Path) -> String {
        self.updater().install(package).unwrap_err().to_string()
    }

    /// After a cut: what is on the disk is all there is.
    fn power_up(&self) -> String {
        self.cut_after.set(None);
        let _ = fs::remove_dir_all(self.path("run"));
        self.begin();
        self.updater().settle().unwrap();
        self.current()
    }

    fn rest(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path("state"))
            .unwrap()
            .chain(fs::read_dir(self.path("state/slots")).into_iter().flatten())
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.ends_with(".lock") && name != "slots")
            .collect();
        names.sort();
        names
    }
}

impl System for &Board {
    fn restart(&self) -> Result<(), UpdateError> {
        self.begin();
        Ok(())
    }

    fn settle(&self) -> Result<(), UpdateError> {
        self.updater().settle().map(drop)
    }

    fn running(&self) -> Option<Running> {
        let program = FileId::of(&self.path("run/current/callbox"))?;
        Some(Running { program, registered: self.healthy.borrow().contains(&self.current().as_str()) })
    }

    fn architecture(&self) -> Result<String, UpdateError> {
        Ok(ARCHITECTURE.to_owned())
    }

    fn factory_version(&self) -> Result<String, UpdateError> {
        Ok("1.0-1".to_owned())
    }

    fn extract(&self, deb: &Path, to: &Path) -> Result<(), UpdateError> {
        if self.disk_full.get() {
            fs::write(to.join("half"), "half").unwrap();
            return Err(UpdateError::file("write", to)(io::ErrorKind::StorageFull.into()));
        }
        package::extract(deb, to)
    }

    fn now(&self) -> Duration {
        self.clock.get()
    }

    fn sleep(&self, time: Duration) {
        self.clock.set(self.clock.get() + time);
    }

    fn reached(&self, step: &'static str) {
        match self.cut_after.get() {
            Some(0) => std::panic::panic_any(step),
            Some(left) => self.cut_after.set(Some(left - 1)),
            None => {}
        }
    }
}

fn sign(file: &Path, key: &KeyPair) {
    let data = Cursor::new(fs::read(file).unwrap());
    let signature = minisign::sign(None, &key.sk, data, None, None).unwrap();
    fs::write(format!("{}.minisig", file.display()), signature.to_bytes()).unwrap();
}

#[test]
fn a_healthy_update_is_kept_and_can_be_taken_back() {
    let board = Board::new();
    board.healthy.borrow_mut().extend(["1.0-1", "1.1-1", "1.2-1", "1.3-1"]);
    assert_eq!(board.install("1.1-1").unwrap(), "1.1-1");
    assert_eq!(board.power_up(), "1.1-1");
    assert_eq!(board.rest(), ["a", "state.toml"]);
    assert_eq!(board.install("1.2-1").unwrap(), "1.2-1");
    assert_eq!(board.install("1.3-1").unwrap(), "1.3-1");
    assert_eq!(board.rest(), ["a", "b", "state.toml"]);
    let status = board.updater().status().unwrap().to_string();
    let expected = "in use    1.3-1 (a)\nbefore    1.2-1 (b)\nlast      1.3-1 was healthy and is in use\n";
    assert_eq!(status, expected);

    assert_eq!(board.updater().rollback().unwrap(), (Slot::B, "1.2-1".to_owned()));
    assert_eq!((board.current().as_str(), board.power_up().as_str()), ("1.2-1", "1.2-1"));
    assert_eq!(board.updater().rollback().unwrap(), (Slot::Factory, "1.0-1".to_owned()));
    assert_eq!(board.power_up(), "1.0-1");
    assert!(matches!(board.updater().rollback(), Err(UpdateError::NothingBefore)));
    // Gone back from, so newer again.
    assert_eq!(board.install("1.3-1").unwrap(), "1.3-1");
}

#[test]
fn an_update_that_does_not_register_is_given_up_after_three_minutes() {
    let board = Board::new();
    board.healthy.borrow_mut().push("1.1-1");
    board.install("1.1-1").unwrap();
    let start = board.clock.get();
    let error = board.install("1.2-1").unwrap_err().to_string();
    assert!(error.contains("1.2-1 was not healthy within 3 minutes, back to 1.1-1"), "{error}");
    assert_eq!(board.clock.get() - start, PATIENCE);
    assert_eq!((board.current().as_str(), board.power_up().as_str()), ("1.1-1", "1.1-1"));
    // It may have been the network: the same package may try again.
    board.healthy.borrow_mut().push("1.2-1");
    assert_eq!(board.install("1.2-1").unwrap(), "1.2-1");
}

#[test]
fn an_update_that_crashes_has_three_starts() {
    let board = Board::new();
    assert_eq!(board.updater().prepare(&board.package("1.1-1")).unwrap(), "1.1-1");
    let starts: Vec<String> = (0..5).map(|_| board.begin()).collect();
    assert_eq!(starts, ["1.1-1", "1.1-1", "1.1-1", "1.0-1", "1.0-1"]);
    let status = board.updater().status().unwrap();
    assert!(status.trial.is_none() && status.last.unwrap().contains("started often"));
    assert_eq!(board.updater().settle().unwrap(), Settled::Nothing);
}

#[test]
fn registered_is_not_enough_when_it_is_the_old_program() {
    let board = Board::new();
    board.healthy.borrow_mut().extend(["1.0-1", "1.1-1"]);
    // On trial, and the service was not started anew: what answers is the factory's program.
    board.updater().prepare(&board.package("1.1-1")).unwrap();
    assert_eq!(board.updater().settle().unwrap(), Settled::GivenUp("1.1-1".to_owned()));
}

#[test]
fn an_update_on_trial_can_be_given_up_by_hand() {
    let board = Board::new();
    board.healthy.borrow_mut().push("1.1-1");
    board.install("1.1-1").unwrap();
    board.updater().prepare(&board.package("1.2-1")).unwrap();
    assert!(board.refusal(&board.package("1.3-1")).starts_with("1.2-1 is on trial"));
    let status = board.updater().status().unwrap().to_string();
    assert!(status.contains("on trial  1.2-1 (b), starts left: 3"), "{status}");
    assert_eq!(board.updater().rollback().unwrap(), (Slot::A, "1.1-1".to_owned()));
    assert_eq!(board.current(), "1.1-1");
}

#[test]
fn what_is_not_signed_by_a_known_key_is_refused_before_it_is_looked_into() {
    let board = Board::new();
    // No package at all: looked into, it would be called broken.
    let package = board.path("p.deb");
    assert!(board.refusal(&package).starts_with("cannot read "));
    fs::write(&package, "not a package").unwrap();
    assert!(board.refusal(&package).contains("is not signed: there is no "));
    fs::write(board.path("p.deb.minisig"), "untrusted comment: x\nRUQf6LRCGA9i").unwrap();
    assert!(board.refusal(&package).contains("p.deb.minisig is no signature of minisign, or damaged"));
    sign(&package, &KeyPair::generate_unencrypted_keypair().unwrap());
    assert!(board.refusal(&package).contains("signed with a key that this device does not know (known: ours.pub)"));
    sign(&package, &board.key);
    assert!(board.refusal(&package).starts_with("dpkg-deb failed: "));
    fs::remove_file(board.path("keys/ours.pub")).unwrap();
    assert!(board.refusal(&package).starts_with("no public key in "));
    fs::write(board.path("keys/odd.pub"), "odd").unwrap();
    assert!(board.refusal(&package).starts_with("no public key in "));
    assert_eq!(board.rest(), [""; 0]);
}

#[test]
fn a_package_cut_short_or_changed_anywhere_is_refused() {
    let board = Board::new();
    let package = board.package("1.1-1");
    let whole = fs::read(&package).unwrap();
    for length in [0, 1, whole.len() / 2, whole.len() - 1] {
        fs::write(&package, &whole[..length]).unwrap();
        assert!(board.refusal(&package).contains("is not what was signed"), "{length} bytes");
    }
    for at in [8, whole.len() / 2, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&package, changed).unwrap();
        assert!(board.refusal(&package).contains("is not what was signed"), "byte {at}");
    }
    fs::File::create(&package).unwrap().set_len((64 << 20) + 1).unwrap();
    assert!(board.refusal(&package).contains("has more than 64 MB"));
    assert_eq!((board.rest().len(), board.begin().as_str()), (0, "1.0-1"));
}

#[test]
fn what_is_older_or_not_for_this_device_is_refused() {
    let board = Board::new();
    board.healthy.borrow_mut().push("1.10-1");
    let refusal =
        |name, version, architecture, program| board.refusal(&board.package_of(name, version, architecture, program));
    assert!(refusal("callbox", "1.0-1", "arm64", slot::PROGRAM).contains("has 1.0-1, which is not newer than 1.0-1"));
    assert!(refusal("callbox", "1.0~rc1-1", "arm64", slot::PROGRAM).contains("not newer"));
    assert!(refusal("callbox", "1.1-1", "armhf", slot::PROGRAM).ends_with("is for armhf, this system is arm64"));
    assert!(refusal("hello", "1.1-1", "arm64", slot::PROGRAM).contains("no package of Callbox: its name is \"hello\""));
    assert!(refusal("callbox", "1.1-1", "arm64", "usr/bin/other").contains("it has no program usr/bin/callbox"));
    assert_eq!(board.rest(), [""; 0]);
    board.install("1.10-1").unwrap();
    assert!(refusal("callbox", "1.9-1", "arm64", slot::PROGRAM).contains("has 1.9-1, which is not newer than 1.10-1"));
}

#[test]
fn a_full_disk_keeps_nothing_of_the_update() {
    let board = Board::new();
    board.disk_full.set(true);
    assert!(board.refusal(&board.package("1.1-1")).starts_with("the state partition is full, nothing was changed"));
    assert_eq!((board.rest().len(), board.power_up().as_str()), (0, "1.0-1"));
    board.disk_full.set(false);
    board.healthy.borrow_mut().push("1.1-1");
    assert_eq!(board.install("1.1-1").unwrap(), "1.1-1");
}

#[test]
fn other_systems_are_told_to_use_apt() {
    let board = Board::new();
    fs::remove_file(board.path("slots.conf")).unwrap();
    assert!(board.refusal(&board.package("1.1-1")).contains("apt install"));
    assert!(matches!(board.updater().status(), Err(UpdateError::NoSlots)));
}

#[test]
fn two_at_once_do_not_collide() {
    let board = Board::new();
    let updater = board.updater();
    let held = updater.lock().unwrap().unwrap();
    assert!(matches!(board.install("1.1-1"), Err(UpdateError::Busy)));
    assert!(matches!(updater.rollback(), Err(UpdateError::Busy)));
    assert_eq!(updater.settle().unwrap(), Settled::Elsewhere);
    // The service starts all the same.
    assert_eq!(board.begin(), "1.0-1");
    drop(held);
    board.healthy.borrow_mut().push("1.1-1");
    board.install("1.1-1").unwrap();
}

#[test]
fn there_is_a_program_whatever_became_of_the_state() {
    for damage in ["", "good = \"c\"", "good = ", "\u{0}\u{0}\u{0}", "[trial]\nslot = \"a\"\n"] {
        let board = Board::new();
        board.healthy.borrow_mut().push("1.1-1");
        board.install("1.1-1").unwrap();
        fs::write(board.path("state/state.toml"), damage).unwrap();
        assert_eq!(board.begin(), "1.0-1", "{damage:?}");
        assert_eq!(fs::read_to_string(board.path("state/state.toml.broken")).unwrap(), damage);
        // And it can be updated again.
        assert_eq!(board.install("1.1-1").unwrap(), "1.1-1");
    }
    let board = Board::new();
    let _ = fs::remove_dir_all(board.path("state"));
    fs::write(board.path("state"), "a file in its place").unwrap();
    assert_eq!(board.begin(), "1.0-1");
}

#[test]
fn the_daemon_reaches_its_program_though_its_unit_makes_private_files() {
    let board = Board::new();
    fs::set_permissions(board.path("run"), Permissions::from_mode(0o700)).unwrap();
    board.begin();
    assert_eq!(fs::metadata(board.path("run")).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn a_slot_that_the_card_has_eaten_into_is_not_started() {
    let board = Board::new();
    board.healthy.borrow_mut().extend(["1.1-1", "1.2-1"]);
    board.install("1.1-1").unwrap();
    board.install("1.2-1").unwrap();
    let eat = |slot| fs::write(board.path("state/slots").join(slot).join(slot::PROGRAM), "1.?").unwrap();
    eat("b");
    assert_eq!(board.begin(), "1.1-1");
    eat("a");
    assert_eq!(board.begin(), "1.0-1");
    fs::remove_dir_all(board.path("state/slots/b")).unwrap();
    assert_eq!(board.begin(), "1.0-1");

    // One on trial is given up.
    let board = Board::new();
    board.updater().prepare(&board.package("1.1-1")).unwrap();
    fs::write(board.path("state/slots/a/slot.toml"), "").unwrap();
    assert_eq!(board.begin(), "1.0-1");
    assert!(board.updater().status().unwrap().last.unwrap().contains("1.1-1") || board.rest().contains(&"a".into()));
    assert!(board.updater().status().unwrap().trial.is_none());
}

/// Cuts the power after each change on the disk, of each of several updates in a row, and of rollbacks; and again while
/// it recovers. What runs afterwards is the old program or the new one, and the next update goes through.
#[test]
fn a_cut_after_any_step_leaves_the_old_program_or_the_new_one() {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.payload().is::<&'static str>() || info.location().is_none_or(|at| !at.file().ends_with("tests.rs")) {
            quiet(info);
        }
    }));
    let versions = ["1.0-1", "1.1-1", "1.2-1", "1.3-1"];
    let (mut old, mut new) = (0, 0);
    for works in [true, false] {
        for round in 1..versions.len() {
            for cut in 0.. {
                let board = Board::new();
                for version in &versions[1..round] {
                    board.healthy.borrow_mut().push(version);
                    board.install(version).unwrap();
                }
                if works {
                    board.healthy.borrow_mut().push(versions[round]);
                }
                let package = board.package(versions[round]);
                board.cut_after.set(Some(cut));
                let result = catch_unwind(AssertUnwindSafe(|| board.updater().install(&package)));
                let was_cut = result.is_err();
                // A second cut in the middle of the recovery.
                let _ = fs::remove_dir_all(board.path("run"));
                board.cut_after.set(was_cut.then_some(0));
                let _ = catch_unwind(AssertUnwindSafe(|| {
                    board.begin();
                    board.updater().settle().map(drop)
                }));
                let after = board.power_up();
                match after.as_str() {
                    v if v == versions[round - 1] => old += 1,
                    v if v == versions[round] && works => new += 1,
                    torn => panic!("{torn} after a cut at step {cut} from {}", versions[round - 1]),
                }
                assert!(board.updater().status().unwrap().trial.is_none());
                board.healthy.borrow_mut().push("9-1");
                assert_eq!(board.install("9-1").unwrap(), "9-1", "after a cut at step {cut}");
                assert_eq!(board.updater().rollback().unwrap().1, after);
                if !was_cut {
                    assert!(cut >= 8, "{cut} steps");
                    break;
                }
            }
        }
    }
    let _ = std::panic::take_hook();
    assert!(old >= 18 && new >= 6, "old {old}, new {new}");
}

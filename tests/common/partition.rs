//! A file system in a file, to be used by programs and then read as it lies on the disk, free space included.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

const SIZE: u64 = 48 << 20;
/// Of the file system.
const BLOCK: usize = 1024;

pub struct Partition {
    dir: TempDir,
    /// Holds the namespace in which the file system is mounted, which therefore ends with the test.
    holder: Child,
}

impl Partition {
    /// `None` where this user may not mount anything; then nothing can be shown. Root and the CI can, and have to.
    pub fn new() -> Option<Partition> {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        fs::File::create(&image).unwrap().set_len(SIZE).unwrap();
        fs::create_dir(dir.path().join("mounted")).unwrap();
        let made = Command::new("/usr/sbin/mke2fs")
            .args(["-q", "-F", "-b", "1024", "-t", "ext4"])
            .arg(&image)
            .status()
            .unwrap();
        assert!(made.success());
        // As the image mounts its state. "cat" ends with its input, and the mount with the last process.
        let script = "mount -o loop,noatime,commit=5 \"$0/image\" \"$0/mounted\" && echo mounted && exec cat";
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", script])
            .arg(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        if line != "mounted\n" {
            let why = holder.wait_with_output().unwrap().stderr;
            let why =
                format!("a file system in a file cannot be mounted here: {}", String::from_utf8_lossy(&why).trim());
            let is_root = fs::metadata(dir.path()).unwrap().uid() == 0;
            assert!(!is_root && std::env::var_os("CI").is_none(), "{why}");
            eprintln!("not tested: {why}");
            return None;
        }
        Some(Partition { dir, holder })
    }

    /// Where it is mounted, for those who are run in it.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("mounted")
    }

    /// A program that sees what is mounted.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target", &self.holder.id().to_string(), "--", program]);
        command
    }

    pub fn callbox(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_callbox"));
        command.args(arguments).env_clear().env("HOME", "/nonexistent").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    /// Runs it to its good end, and returns its output.
    pub fn run(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.callbox(arguments).output().unwrap();
        assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    /// Runs a line of shell in it.
    pub fn sh(&self, line: &str) -> String {
        let output = self.command("sh").args(["-euc", line]).current_dir("/").env("AT", self.path()).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What lies on the disk now, without the blocks that hold nothing.
    pub fn raw(&self) -> Vec<u8> {
        self.sh("sync -f \"$AT\"");
        let image = fs::read(self.dir.path().join("image")).unwrap();
        let empty = [0; BLOCK];
        image.chunks(BLOCK).filter(|block| **block != empty).flatten().copied().collect()
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// Whether these bytes hold that text; letters of either case are one.
pub fn holds(raw: &[u8], what: &[u8]) -> bool {
    let first = what[0].to_ascii_lowercase();
    raw.windows(what.len()).any(|part| part[0].to_ascii_lowercase() == first && part.eq_ignore_ascii_case(what))
}

//! The program that sets and clears records in the DNS (dns-01, RFC 8555, section 8.4): ours knows no provider, and a
//! person's script knows theirs.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A hook returns when the record can be seen, which takes minutes with some providers. One that takes longer is killed,
/// with whatever it has started.
const LONGEST: Duration = Duration::from_secs(300);
/// What is kept of what it writes; the rest is read and forgotten.
const MAX_WORDS: usize = 2000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Set,
    Clear,
}

impl Act {
    fn word(self) -> &'static str {
        match self {
            Act::Set => "set",
            Act::Clear => "clear",
        }
    }
}

/// `HOOK set|clear NAME VALUE`, without a shell. `Err` says how it failed, with what it wrote last on standard error.
pub async fn run(hook: &Path, act: Act, name: &str, value: &str) -> Result<(), String> {
    run_within(hook, act, name, value, LONGEST).await
}

async fn run_within(hook: &Path, act: Act, name: &str, value: &str, longest: Duration) -> Result<(), String> {
    let told = |how: String| format!("the hook {} {} {name} {how}", hook.display(), act.word());
    let spawned = Command::new(hook)
        .args([act.word(), name, value])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = spawned.map_err(|error| told(format!("cannot be started: {error}")))?;
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let mut words = Words::default();
    let result = match timeout(longest, words.until_end(&mut child)).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(told(format!("{}{}", describe(status), words.quoted()))),
        Ok(Err(error)) => Err(told(format!("cannot be waited for: {error}"))),
        Err(_) => Err(told(format!("took longer than {} s{}", longest.as_secs(), words.quoted()))),
    };
    if let (Err(_), Some(group)) = (&result, group) {
        // Fails where nothing is left of it.
        let _ = kill_process_group(group, Signal::KILL);
    }
    result
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("failed with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "failed".to_owned(),
    }
}

/// The last of what a hook wrote.
#[derive(Default)]
struct Words(Vec<u8>);

impl Words {
    /// Listens until the hook ends; what it leaves running may write on.
    async fn until_end(&mut self, child: &mut Child) -> io::Result<ExitStatus> {
        let mut stderr = child.stderr.take();
        let mut buffer = [0; 1024];
        loop {
            let read = async {
                match &mut stderr {
                    Some(stderr) => stderr.read(&mut buffer).await.unwrap_or(0),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                read = read => match read {
                    0 => stderr = None,
                    read => self.keep(&buffer[..read]),
                },
                status = child.wait() => return status,
            }
        }
    }

    fn keep(&mut self, words: &[u8]) {
        self.0.extend_from_slice(words);
        let surplus = self.0.len().saturating_sub(MAX_WORDS);
        self.0.drain(..surplus);
    }

    fn quoted(&self) -> String {
        let text = String::from_utf8_lossy(&self.0);
        match text.split_whitespace().collect::<Vec<_>>().join(" ") {
            words if words.is_empty() => words,
            words => format!(": {words}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    /// Written by another process: one that another test starts while this one has the file open for writing would keep
    /// it from being run.
    fn script(dir: &Path, text: &str) -> PathBuf {
        let (draft, path) = (dir.join("draft"), dir.join("hook"));
        fs::write(&draft, format!("#!/bin/sh\n{text}\n")).unwrap();
        let installed = std::process::Command::new("install").args(["-m", "755"]).args([&draft, &path]).status();
        assert!(installed.unwrap().success());
        path
    }

    #[tokio::test]
    async fn a_hook_is_given_what_to_do_as_it_stands() {
        let dir = tempfile::tempdir().unwrap();
        let said = dir.path().join("said");
        let hook = script(dir.path(), &format!("printf '%s|' \"$@\" >> {}", said.display()));
        run(&hook, Act::Set, "_acme-challenge.door.example", "$(reboot)").await.unwrap();
        run(&hook, Act::Clear, "_acme-challenge.door.example", "a b").await.unwrap();
        let expected = "set|_acme-challenge.door.example|$(reboot)|clear|_acme-challenge.door.example|a b|";
        assert_eq!(fs::read_to_string(said).unwrap(), expected);
    }

    #[tokio::test]
    async fn a_hook_that_fails_has_the_last_word() {
        let dir = tempfile::tempdir().unwrap();
        let run = async |text: &str| run(&script(dir.path(), text), Act::Set, "name", "value").await.unwrap_err();
        let error = run("echo first >&2; echo 'no such\nzone' >&2; exit 3").await;
        assert!(error.ends_with("set name failed with exit code 3: first no such zone"), "{error}");
        assert!(run("kill -9 $$").await.ends_with("was ended by signal 9"));
        let error = run("head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 1").await;
        assert!(error.len() < MAX_WORDS + 200, "{}", error.len());
        // What it leaves running is not waited for.
        assert!(run("sleep 1000 & exit 2").await.ends_with("failed with exit code 2"));
        let missing = super::run(Path::new("/nowhere/hook"), Act::Set, "name", "value").await.unwrap_err();
        assert!(missing.contains("/nowhere/hook") && missing.contains("cannot be started"), "{missing}");
    }

    #[tokio::test]
    async fn a_hook_that_does_not_end_is_killed_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let child = dir.path().join("child");
        let text = format!("sleep 1000 & echo $! > {}.tmp; mv {0}.tmp {0}; wait", child.display());
        let hook = script(dir.path(), &text);
        let error = run_within(&hook, Act::Set, "name", "value", Duration::from_secs(2)).await.unwrap_err();
        assert!(error.ends_with("took longer than 2 s"), "{error}");
        let id = fs::read_to_string(child).unwrap();
        let gone = async {
            // It may still be a zombie that nobody has collected.
            while fs::read_to_string(format!("/proc/{}/stat", id.trim())).is_ok_and(|stat| !stat.contains(") Z")) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(10), gone).await.expect("it is gone");
    }
}

//! Somebody at a keyboard: runs `belay`, and `psql` through it.

use crate::Broken;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(90);

/// A person with a login of their own.
pub(crate) struct Person {
    pub(crate) name: &'static str,
    pub(crate) home: PathBuf,
    pub(crate) belay: PathBuf,
    /// Where programs are looked for: the real `psql` first.
    pub(crate) path: OsString,
}

/// What a command did.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// The first line of `err` that says what went wrong.
    pub(crate) fn error(&self) -> &str {
        let line = self.err.lines().find(|line| line.contains("ERROR:") || line.contains("error:"));
        line.or_else(|| self.err.lines().next()).unwrap_or_default().trim()
    }

    /// How often the database's side answered an error.
    pub(crate) fn errors(&self) -> usize {
        self.err.lines().filter(|line| line.starts_with("ERROR:")).count()
    }

    /// Everything, for a check that failed.
    pub(crate) fn all(&self) -> String {
        format!("exit {}\n{}\n{}", self.code, self.out.trim_end(), self.err.trim_end())
    }

    /// The first object of `-o json`.
    pub(crate) fn json(&self) -> Result<serde_json::Value, Broken> {
        serde_json::from_str(&self.out).map_err(|error| format!("{error}: {}", self.all()))
    }
}

impl Person {
    /// Runs `belay` with these words and waits for its end.
    pub(crate) async fn belay(&self, words: &[&str]) -> Result<Ran, Broken> {
        let child = self.start(words)?;
        finish(child, words).await
    }

    /// The same, where anything but success stops the walk.
    pub(crate) async fn must(&self, words: &[&str]) -> Result<Ran, Broken> {
        let ran = self.belay(words).await?;
        if ran.code == 0 { Ok(ran) } else { Err(format!("{}: belay {}: {}", self.name, words.join(" "), ran.all())) }
    }

    /// Runs these commands one after the other on one connection of `belay psql orders`.
    pub(crate) async fn psql(&self, sql: &[&str]) -> Result<Ran, Broken> {
        let mut words = vec!["psql", "orders", "--no-wait", "--", "-X", "-A", "-t", "-v", "VERBOSITY=verbose"];
        words.extend(sql.iter().flat_map(|sql| ["-c", sql]));
        self.belay(&words).await
    }

    /// Starts `belay` with these words.
    pub(crate) fn start(&self, words: &[&str]) -> Result<Child, Broken> {
        let mut command = Command::new(&self.belay);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("PG") || text.starts_with("BELAY") {
                command.env_remove(&name);
            }
        }
        command.args(words).env("BELAY_HOME", &self.home).env("PATH", &self.path).env("LC_ALL", "C.UTF-8");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.spawn().map_err(|error| format!("{}: {error}", self.belay.display()))
    }
}

/// Waits for a command's end.
pub(crate) async fn finish(child: Child, words: &[&str]) -> Result<Ran, Broken> {
    let output = timeout(PATIENCE, child.wait_with_output()).await;
    let output = output.map_err(|_| format!("`belay {}` did not end in {PATIENCE:?}", words.join(" ")))?;
    let output = output.map_err(|error| format!("belay {}: {error}", words.join(" ")))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Ran { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) })
}

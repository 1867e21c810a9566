//! The folder and the process of one gateway.

use crate::{free_port, until};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_mins(1);
const STOP: Duration = Duration::from_secs(20);
/// Another process may take a port between the look and the start.
const ATTEMPTS: usize = 5;

/// Runs the gateway ("$@") with a file system of its own for the ledger ($0): so many megabytes ($1).
const ON_A_DISK: &str = r#"
umask 077; mkdir -p "$0" && mount -t tmpfs -o "size=$1m,mode=700" belay-ledger "$0" || exit 1
shift; trap '' XFSZ; exec "$@"
"#;

/// Waits until standard input is closed, by Drop or by the kernel when the process that started it is gone. Then it
/// ends the gateway whose id the file holds, if any, and removes the folder ($0).
const WATCHDOG: &str = r#"
read -r _
pid=$(cat "$0/pid" 2>/dev/null)
if [ -n "$pid" ]; then
    kill -TERM "$pid" 2>/dev/null
    for _ in 1 2 3 4 5 6 7 8; do kill -0 "$pid" 2>/dev/null || break; sleep 1; done
    kill -KILL "$pid" 2>/dev/null
fi
rm -rf -- "$0"
"#;

pub(super) struct Process {
    binary: PathBuf,
    folder: TempDir,
    /// The megabytes of the ledger's own file system, where it has one.
    disk: Option<u32>,
    pub(super) ports: [u16; 3],
    child: Mutex<Option<Child>>,
    watchdog: Child,
}

impl Process {
    /// Makes the folder, starts the gateway and waits until it takes connections.
    pub(super) fn start(binary: &Path, configuration: &str, disk: Option<u32>) -> Process {
        let folder = TempDir::with_prefix("belay-").expect("a temporary folder");
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("sh");
        let mut process =
            Process { binary: binary.to_owned(), folder, disk, ports: [0; 3], child: Mutex::default(), watchdog };
        for _ in 0..ATTEMPTS {
            process.ports = [free_port(), free_port(), free_port()];
            let [postgres, api, admin] = process.ports;
            let text = format!(
                "data_dir = \"data\"\n[listen]\npostgres = \"127.0.0.1:{postgres}\"\napi = \"127.0.0.1:{api}\"\n\
                 admin = \"127.0.0.1:{admin}\"\n{configuration}\n"
            );
            fs::write(process.config_file(), text).expect("write");
            if process.try_launch() {
                return process;
            }
            let log = process.log();
            assert!(log.contains("cannot listen"), "the gateway did not start:\n{log}");
        }
        panic!("no ports for the gateway after {ATTEMPTS} attempts");
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.folder().join("data")
    }

    pub(super) fn config_file(&self) -> PathBuf {
        self.folder().join("belay.toml")
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    pub(super) fn pid(&self) -> u32 {
        self.child().as_ref().expect("the gateway runs").id()
    }

    /// Starts it again.
    pub(super) fn launch(&self) {
        assert!(self.child().is_none(), "the gateway runs already");
        assert!(self.try_launch(), "the gateway did not start again:\n{}", self.log());
    }

    /// Starts it and kills it after so long, wherever it is by then.
    pub(super) fn launch_and_kill(&self, after: Duration) {
        assert!(self.child().is_none(), "the gateway runs already");
        *self.child() = Some(self.spawn());
        std::thread::sleep(after);
        self.kill();
    }

    fn try_launch(&self) -> bool {
        let mut child = self.spawn();
        let mut gone = None;
        until(START, || {
            gone = child.try_wait().expect("wait");
            gone.is_some() || self.log().contains("belay 0") && self.log().contains("API on https")
        });
        if gone.is_some() {
            return false;
        }
        *self.child() = Some(child);
        true
    }

    fn spawn(&self) -> Child {
        let log = fs::File::create(self.folder().join("log")).expect("log");
        // A write past a limit on file sizes must be an error, as on a full disk, not a signal.
        let mut command = match self.disk {
            None => Command::new("sh"),
            Some(_) => Command::new("unshare"),
        };
        match self.disk {
            None => command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]),
            Some(megabytes) => command
                .args(["--user", "--map-root-user", "--mount", "sh", "-c", ON_A_DISK])
                .arg(self.data_dir().join("ledger"))
                .arg(megabytes.to_string()),
        };
        let child = command
            .arg(&self.binary)
            .args(["server", "--config"])
            .arg(self.config_file())
            .env("BELAY_LOG", "info")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log"))
            .stderr(log)
            // A ^C in the terminal ends the test; the watchdog then ends the gateway in good order.
            .process_group(0)
            .spawn()
            .expect("sh");
        fs::write(self.folder().join("pid"), child.id().to_string()).expect("pid");
        child
    }

    /// SIGKILL.
    pub(super) fn kill(&self) {
        self.end(Signal::KILL);
    }

    /// SIGTERM, and SIGKILL where that does not suffice.
    pub(super) fn stop(&self) -> i32 {
        let status = self.end(Signal::TERM);
        status.code().unwrap_or_else(|| -status.signal().unwrap_or(0))
    }

    fn end(&self, signal: Signal) -> ExitStatus {
        let mut child = self.child().take().expect("the gateway runs");
        let pid = Pid::from_child(&child);
        let _ = kill_process(pid, signal);
        let mut status = None;
        until(STOP, || {
            status = child.try_wait().expect("wait");
            status.is_some()
        });
        let status = status.unwrap_or_else(|| {
            let _ = child.kill();
            child.wait().expect("wait")
        });
        let _ = fs::remove_file(self.folder().join("pid"));
        status
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child().is_some() {
            self.stop();
        }
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

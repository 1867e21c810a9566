//! `belay server` as a process, on free ports, in a folder of its own.

use crate::Broken;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use testkit::free_port;

const START: Duration = Duration::from_mins(1);
const STOP: Duration = Duration::from_secs(30);
/// Another process may take a port between the look and the start.
const ATTEMPTS: usize = 3;

/// Runs the server ("$@") with its output in $0, tells its process id, and ends it once standard input is closed: by
/// Drop, or by the kernel when the walk is gone.
const WATCHDOG: &str = r#"
"$@" </dev/null >>"$0" 2>&1 & server=$!
echo "$server"
exec >/dev/null
read -r _
kill "$server" 2>/dev/null
(sleep 20; kill -KILL "$server" 2>/dev/null) & last=$!
wait "$server"
code=$?
kill "$last" 2>/dev/null
exit "$code"
"#;

/// A gateway that may be running.
pub(crate) struct Gateway {
    belay: PathBuf,
    folder: PathBuf,
    running: Option<Running>,
}

struct Running {
    watchdog: Child,
    pid: Pid,
}

impl Gateway {
    /// Starts a gateway for the first time, with everything in `folder`.
    pub(crate) fn start(belay: &Path, folder: &Path) -> Result<Gateway, Broken> {
        let mut gateway = Gateway { belay: belay.to_owned(), folder: folder.to_owned(), running: None };
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            gateway.write_config()?;
            match gateway.start_again() {
                Ok(()) => return Ok(gateway),
                Err(broken) => last = broken,
            }
        }
        Err(last)
    }

    /// Starts it on what it left behind.
    pub(crate) fn start_again(&mut self) -> Result<(), Broken> {
        let log = self.folder.join("server.log");
        let before = fs::metadata(&log).map_or(0, |file| usize::try_from(file.len()).unwrap_or(0));
        let mut watchdog = Command::new("sh")
            .args(["-c", WATCHDOG])
            .arg(&log)
            .arg(&self.belay)
            .args(["server", "--config"])
            .arg(self.folder.join("belay.toml"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // A ^C in the terminal ends the walk; the watchdog then ends the server in good order.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("sh: {error}"))?;
        let pid = read_pid(&mut watchdog)?;
        self.running = Some(Running { watchdog, pid });
        self.await_ready(&log, before)
    }

    /// The data directory.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// What the server wrote.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
    }

    /// Ends it as a crash would: SIGKILL.
    pub(crate) fn kill(&mut self) -> Result<(), Broken> {
        let Some(mut running) = self.running.take() else { return Err("the gateway does not run".to_owned()) };
        kill_process(running.pid, Signal::KILL).map_err(|error| format!("kill: {error}"))?;
        drop(running.watchdog.stdin.take());
        running.watchdog.wait().map_err(|error| format!("wait: {error}"))?;
        Ok(())
    }

    /// Asks it to stop, and returns its exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        let mut running = self.running.take()?;
        drop(running.watchdog.stdin.take());
        let mut code = None;
        testkit::until(STOP, || match running.watchdog.try_wait() {
            Ok(Some(status)) => {
                code = status.code();
                true
            }
            Ok(None) => false,
            Err(_) => true,
        });
        code
    }

    fn write_config(&self) -> Result<(), Broken> {
        let data = self.data_dir();
        let text = format!(
            "data_dir = {:?}\n[listen]\npostgres = \"127.0.0.1:{}\"\napi = \"127.0.0.1:{}\"\nadmin = \"127.0.0.1:{}\"\n",
            data.display().to_string(),
            free_port(),
            free_port(),
            free_port(),
        );
        fs::write(self.folder.join("belay.toml"), text).map_err(|error| format!("belay.toml: {error}"))
    }

    /// The server says where it listens once it does.
    fn await_ready(&mut self, log: &Path, before: usize) -> Result<(), Broken> {
        let deadline = Instant::now() + START;
        loop {
            let text = fs::read(log).unwrap_or_default();
            let text = String::from_utf8_lossy(text.get(before..).unwrap_or_default()).into_owned();
            if text.contains("clients trust ") {
                return Ok(());
            }
            if text.contains("not started") || Instant::now() > deadline {
                self.stop();
                return Err(format!("belay server did not start: {}", text.trim()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop();
    }
}

fn read_pid(watchdog: &mut Child) -> Result<Pid, Broken> {
    let mut line = String::new();
    let stdout = watchdog.stdout.take().ok_or("the watchdog has no output")?;
    BufReader::new(stdout).read_line(&mut line).map_err(|error| format!("watchdog: {error}"))?;
    line.trim().parse().ok().and_then(Pid::from_raw).ok_or_else(|| format!("watchdog: `{}` is no process", line.trim()))
}

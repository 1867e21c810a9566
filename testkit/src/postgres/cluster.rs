//! The files and the processes of one server.

use super::Builder;
use crate::{Certificates, free_port, until};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_mins(1);
const STOP: Duration = Duration::from_secs(20);
/// Another process may take the port between the look and the start.
const ATTEMPTS: usize = 5;
const DEBIAN: &str = "/usr/lib/postgresql";

/// Runs the server ("$@") and ends it, and its folder ($0), once standard input is closed: by Drop, or by the
/// kernel when the process that started it is gone. The server is killed where ten seconds do not suffice.
const WATCHDOG: &str = r#"
"$@" </dev/null & server=$!
read -r _
kill -QUIT "$server" 2>/dev/null
(sleep 10; kill -KILL "$server" 2>/dev/null) & last=$!
wait "$server"
kill "$last" 2>/dev/null
rm -rf -- "$0"
"#;

/// A server's folder and its watchdog.
pub(super) struct Cluster {
    pub(super) folder: TempDir,
    pub(super) port: u16,
    pub(super) password: String,
    pub(super) bin: PathBuf,
    pub(super) major: u32,
    watchdog: Child,
}

impl Cluster {
    /// Makes the folder, starts the server and waits for it.
    pub(super) fn start(how: &Builder, certificates: &Certificates) -> Cluster {
        let bin = how.bin.clone().unwrap_or_else(find_bin);
        let owner = Owner::find();
        let folder = tempfile::Builder::new().prefix("belay-pg-").tempdir().expect("temporary folder");
        owner.give(folder.path());
        let password = random_hex();
        initialize(&bin, &owner, folder.path(), &password);
        write_certificates(&owner, folder.path(), certificates);
        write_hba(&owner, folder.path(), how);
        for _ in 0..ATTEMPTS {
            let port = free_port();
            write_settings(&owner, folder.path(), how, port);
            let mut watchdog = spawn(&bin, &owner, folder.path());
            if await_ready(folder.path()) {
                let major = major(folder.path());
                return Cluster { folder, port, password, bin, major, watchdog };
            }
            let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            assert!(log.contains("Address already in use"), "PostgreSQL did not start:\n{log}");
            // The watchdog would remove the folder, which the next attempt needs.
            let _ = watchdog.kill();
            let _ = watchdog.wait();
        }
        panic!("no port for PostgreSQL after {ATTEMPTS} attempts");
    }

    /// Puts a line before all others of `pg_hba.conf`; the server reads it when it is told to.
    pub(super) fn put_first(&self, line: &str) {
        let path = self.folder.path().join("data/pg_hba.conf");
        let rest = fs::read_to_string(&path).expect("pg_hba.conf");
        // Written in place: owner and mode stay.
        fs::write(&path, format!("{line}\n{rest}")).expect("pg_hba.conf");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        if !until(STOP, || !matches!(self.watchdog.try_wait(), Ok(None))) {
            let _ = self.watchdog.kill();
            let _ = self.watchdog.wait();
        }
    }
}

/// Who the server runs as: PostgreSQL refuses to run as root.
struct Owner {
    ids: Option<(u32, u32)>,
}

impl Owner {
    fn find() -> Owner {
        if !rustix::process::geteuid().is_root() {
            return Owner { ids: None };
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let entry = passwd.lines().find(|line| line.starts_with("postgres:"));
        let ids = entry.and_then(|line| {
            let mut fields = line.split(':').skip(2).map(str::parse);
            Some((fields.next()?.ok()?, fields.next()?.ok()?))
        });
        Owner { ids: Some(ids.expect("user postgres is missing; install it: apt-get install postgresql-15")) }
    }

    fn give(&self, path: &Path) {
        if let Some((user, group)) = self.ids {
            chown(path, Some(user), Some(group)).expect("chown");
        }
    }

    fn write(&self, path: &Path, text: &str, mode: u32) {
        fs::write(path, text).expect("write");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
        self.give(path);
    }

    /// The program and the arguments that run `program` as the owner, in the same process.
    fn words(&self, program: &Path) -> Vec<String> {
        let program = program.display().to_string();
        match self.ids {
            None => vec![program],
            Some((user, group)) => vec![
                "setpriv".to_owned(),
                format!("--reuid={user}"),
                format!("--regid={group}"),
                "--clear-groups".to_owned(),
                program,
            ],
        }
    }
}

fn find_bin() -> PathBuf {
    if let Some(bin) = std::env::var_os("BELAY_PG_BIN") {
        return PathBuf::from(bin);
    }
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|version| Path::new(DEBIAN).join(version.to_string()).join("bin/postgres").exists())
        .max();
    let newest = newest.unwrap_or_else(|| panic!("PostgreSQL is missing; install it: apt-get install postgresql-15"));
    Path::new(DEBIAN).join(newest.to_string()).join("bin")
}

fn initialize(bin: &Path, owner: &Owner, folder: &Path, password: &str) {
    let secret = folder.join("password");
    owner.write(&secret, password, 0o600);
    let words = owner.words(&bin.join("initdb"));
    let output = Command::new(&words[0])
        .args(&words[1..])
        .args(["--auth=scram-sha-256", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"])
        .args([OsStr::new("--pgdata"), folder.join("data").as_os_str()])
        .args([OsStr::new("--pwfile"), secret.as_os_str()])
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; install it: apt-get install postgresql-15", words[0]));
    assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
    fs::remove_file(secret).expect("remove");
}

fn write_certificates(owner: &Owner, folder: &Path, certificates: &Certificates) {
    owner.write(&folder.join("ca.pem"), &certificates.ca, 0o644);
    owner.write(&folder.join("server.pem"), &certificates.certificate, 0o644);
    owner.write(&folder.join("server.key"), &certificates.key, 0o600);
    // Clients of other users read `ca.pem` and reach the socket; `data` and the key stay closed.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("chmod");
}

fn write_hba(owner: &Owner, folder: &Path, how: &Builder) {
    let mut lines = how.hba.clone();
    lines.push("local all all scram-sha-256".to_owned());
    lines.push("host all all 127.0.0.1/32 scram-sha-256".to_owned());
    lines.push("local replication all scram-sha-256".to_owned());
    lines.push("host replication all 127.0.0.1/32 scram-sha-256".to_owned());
    owner.write(&folder.join("data/pg_hba.conf"), &(lines.join("\n") + "\n"), 0o600);
}

fn write_settings(owner: &Owner, folder: &Path, how: &Builder, port: u16) {
    let path = folder.display();
    let tls = if how.plain { "off" } else { "on" };
    let port = port.to_string();
    let files = [format!("{path}"), format!("{path}/server.pem"), format!("{path}/server.key")];
    let fixed = [
        ("listen_addresses", "127.0.0.1"),
        ("port", &port),
        ("unix_socket_directories", &files[0]),
        ("ssl", tls),
        ("ssl_cert_file", &files[1]),
        ("ssl_key_file", &files[2]),
        ("password_encryption", "scram-sha-256"),
        ("fsync", "off"),
        ("synchronous_commit", "off"),
        ("full_page_writes", "off"),
        // Every database made copies a whole one into the log, and many servers share one disk.
        ("max_wal_size", "64MB"),
        ("min_wal_size", "32MB"),
        ("checkpoint_warning", "0"),
        ("log_min_messages", "warning"),
        ("timezone", "UTC"),
    ];
    let mut text = String::new();
    let own = how.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in fixed.into_iter().chain(own) {
        let _ = writeln!(text, "{name} = '{}'", value.replace('\'', "''"));
    }
    owner.write(&folder.join("data/postgresql.conf"), &text, 0o600);
}

fn spawn(bin: &Path, owner: &Owner, folder: &Path) -> Child {
    let log = fs::File::create(folder.join("log")).expect("log");
    Command::new("sh")
        .args(["-c", WATCHDOG])
        .arg(folder)
        .args(owner.words(&bin.join("postgres")))
        .arg("-D")
        .arg(folder.join("data"))
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(log.try_clone().expect("log"))
        .stderr(log)
        // A ^C in the terminal ends the test; the watchdog then ends the server in good order.
        .process_group(0)
        .spawn()
        .expect("sh")
}

/// True once the server says that it takes connections; false when it has given up.
fn await_ready(folder: &Path) -> bool {
    let status = || {
        let mut text = String::new();
        let _ = fs::File::open(folder.join("data/postmaster.pid")).and_then(|mut file| file.read_to_string(&mut text));
        text.lines().nth(7).is_some_and(|line| matches!(line.trim(), "ready" | "standby"))
    };
    let gave_up = || {
        let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
        log.contains("FATAL:") || log.contains("not found") || log.contains("No such file")
    };
    let mut ready = false;
    until(START, || {
        ready = status();
        ready || gave_up()
    });
    ready
}

fn major(folder: &Path) -> u32 {
    let text = fs::read_to_string(folder.join("data/PG_VERSION")).expect("PG_VERSION");
    text.trim().parse().expect("a number")
}

fn random_hex() -> String {
    let mut bytes = [0_u8; 16];
    fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).expect("randomness");
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

//! The binary as people and scripts meet it, against a real server of its own.
#![allow(clippy::unwrap_used, reason = "the helpers of a test fail the test")]

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

fn belay(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_belay"));
    command
        .env("BELAY_HOME", home)
        .env("HOME", home)
        .env_remove("BELAY_CONFIG")
        .env_remove("XDG_DATA_HOME")
        .stdin(Stdio::null());
    command
}

fn texts(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn run(home: &Path, args: &[&str]) -> (i32, String, String) {
    texts(&belay(home).args(args).output().unwrap())
}

struct Server {
    dir: tempfile::TempDir,
    child: Child,
    url: String,
}

impl Server {
    fn start() -> Server {
        let dir = tempfile::tempdir().unwrap();
        let [postgres, api, admin] = ports();
        let config = format!(
            "data_dir = \"data\"\n[listen]\npostgres = \"127.0.0.1:{postgres}\"\napi = \"127.0.0.1:{api}\"\nadmin = \"127.0.0.1:{admin}\"\n"
        );
        std::fs::write(dir.path().join("belay.toml"), config).unwrap();
        let child = Server::spawn(dir.path());
        let server = Server { url: format!("https://localhost:{api}"), dir, child };
        server.await_start();
        server
    }

    fn spawn(dir: &Path) -> Child {
        let config = dir.join("belay.toml");
        belay(dir).arg("server").arg("--config").arg(config).stderr(Stdio::null()).spawn().unwrap()
    }

    fn await_start(&self) {
        let until = Instant::now() + Duration::from_secs(30);
        while !self.data().join("api.url").exists() {
            assert!(Instant::now() < until, "the server did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn start_again(&mut self) {
        std::fs::remove_file(self.data().join("api.url")).unwrap();
        self.child = Server::spawn(self.dir.path());
        self.await_start();
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn home(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn admin(&self) -> PathBuf {
        let home = self.home("admin");
        let (code, _, stderr) = run(&home, &["login", "--local", self.data().to_str().unwrap()]);
        assert_eq!(code, 0, "{stderr}");
        home
    }

    /// A target that is really there: a request asks it whether it can keep what is wanted.
    fn target(&self, admin: &Path, name: &str, postgres: &testkit::Postgres) {
        let url = format!("postgres://{}@{}:{}/postgres", postgres.superuser(), postgres.host(), postgres.port());
        let password = self.home("target.password");
        std::fs::write(&password, postgres.password()).unwrap();
        std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
        let add = ["target", "add", name, &url, "--no-check", "--password-file", password.to_str().unwrap()];
        let (code, _, stderr) = run(admin, &add);
        assert_eq!(code, 0, "{stderr}");
    }

    fn person(&self, admin: &Path, name: &str, role: &str) -> PathBuf {
        let (home, file) = (self.home(name), self.home(&format!("{name}.token")));
        let (code, _, stderr) =
            run(admin, &["user", "add", name, "--role", role, "--token-file", file.to_str().unwrap()]);
        assert_eq!(code, 0, "{stderr}");
        let ca = self.data().join("ca.pem");
        let args = ["login", &self.url, "--ca", ca.to_str().unwrap(), "--token-file", file.to_str().unwrap()];
        let (code, _, stderr) = run(&home, &args);
        assert_eq!(code, 0, "{stderr}");
        home
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Three free ports below the range that outgoing connections use, and no test's twice.
fn ports() -> [u16; 3] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Tests that run beside each other are processes with neighbouring ids: each has ten ports of its own.
    let start = 15_000 + u16::try_from(std::process::id() % 1_700 * 10).unwrap();
    let free = || loop {
        let port = start + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    };
    [free(), free(), free()]
}

#[test]
fn a_person_asks_another_approves_and_each_step_says_what_comes_next() {
    let server = Server::start();
    let admin = server.admin();
    let postgres = testkit::Postgres::start();
    server.target(&admin, "orders", &postgres);
    let (ann, bob) = (server.person(&admin, "ann", "requester"), server.person(&admin, "bob", "approver"));

    let (code, stdout, stderr) = run(&ann, &["request", "orders", "--for", "30m", "-m", "INC-1", "-o", "json"]);
    assert_eq!(code, 0, "{stderr}");
    let request: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&request["kind"], &request["state"]), (&"request".into(), &"pending".into()));
    assert!(stderr.contains("next: belay psql orders"), "{stderr}");

    assert_eq!(run(&ann, &["approve", "r_1"]).0, 3, "nobody approves their own request");
    assert_eq!(
        run(&ann, &["psql", "ordesr", "-m", "x", "--no-wait"]).2,
        "error: no target `ordesr`\nhint: did you mean `orders`?\n"
    );
    assert_eq!(run(&ann, &["psql", "orders", "-m", "x", "--no-wait"]).0, 5, "still pending");
    let (code, stdout, stderr) = run(&bob, &["deny", "r_2", "-m", "use the replica", "-o", "jsonl"]);
    assert_eq!((code, stdout.lines().count()), (0, 1), "{stderr}");
    assert_eq!(run(&bob, &["approve", "r_2"]).0, 9, "decided already");
    let (code, _, stderr) = run(&bob, &["approve", "r_1"]);
    assert!(code == 0 && stderr.contains("next: belay revoke g_1"), "{stderr}");

    let (_, csv, _) = run(&ann, &["grants", "-o", "csv"]);
    assert!(csv.starts_with("id,state,principal,target") && csv.contains("g_1,ready,ann,orders"), "{csv}");
    let (code, stdout, stderr) = run(&ann, &["connect", "orders"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(!format!("{stdout}{stderr}").contains("bly_"), "the token is not shown unless asked for");
    let file = ann.join("services/orders.conf");
    assert!(stdout.contains(&format!("PGSERVICEFILE='{}'", file.display())), "{stdout}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let service = std::fs::read_to_string(&file).unwrap();
    let keys: Vec<&str> = service.lines().filter_map(|line| line.split_once('=').map(|pair| pair.0)).collect();
    assert_eq!(keys, ["host", "port", "user", "dbname", "password", "sslmode", "sslrootcert"]);
    assert!(service.contains("\nuser=ann+g_1\n"), "a reconnect must not meet another grant: {service}");

    assert_eq!(run(&ann, &["connect", "orders"]).0, 0);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), service, "a second client shares the first one's token");
    let kept = ann.join("grants/g_1");
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    let (code, token, stderr) = run(&ann, &["grants", "token", "g_1"]);
    assert!(code == 0 && !service.contains(token.trim()), "{stderr}");
    assert_eq!(run(&ann, &["connect", "orders"]).0, 0);
    assert!(std::fs::read_to_string(&file).unwrap().contains(token.trim()), "the one that was claimed last is used");
    std::fs::remove_file(&kept).unwrap();
    assert_eq!(run(&ann, &["connect", "orders"]).0, 0);
    let (_, claims, _) = run(&admin, &["audit", "search", "kind:token_claimed", "-o", "jsonl"]);
    assert_eq!(claims.lines().count(), 3, "{claims}");

    assert_eq!(run(&bob, &["revoke", "g_1"]).0, 0);
    assert_eq!(run(&ann, &["grants", "--all"]).0, 0);
    assert!(!kept.exists(), "the token of an ended grant is forgotten");
    let (code, stdout, stderr) = run(&admin, &["audit", "verify"]);
    assert!(code == 0 && stdout.starts_with("intact       yes"), "{stdout}{stderr}");
    let (_, stdout, _) = run(&admin, &["audit", "search", "who:bob", "-o", "jsonl"]);
    assert!(stdout.contains("\"event\":\"request_denied\""), "{stdout}");
}

#[test]
fn a_request_to_write_at_once_is_denied_with_exit_3_where_no_rule_speaks_of_it() {
    let server = Server::start();
    let admin = server.admin();
    let url = "postgres://adm@127.0.0.1:1/orders";
    assert_eq!(run(&admin, &["target", "add", "orders", url, "--no-check"]).0, 0);
    for args in [
        ["request", "orders", "--effect", "direct", "-m", "x"],
        ["psql", "orders", "--effect", "direct", "-m", "x"],
        ["connect", "orders", "--effect", "direct", "-m", "x"],
    ] {
        let (code, _, stderr) = run(&admin, &args);
        assert_eq!(code, 3, "{stderr}");
        let text = "error: no rule lets you ask for `direct` on orders\n\
                    hint: an administrator: belay rule add --target orders --effect direct --max 1h --approvals 1\n";
        assert_eq!(stderr, text);
    }
}

/// What a shell is offered behind these words.
fn completed(home: &Path, words: &[&str]) -> Vec<String> {
    let output = belay(home)
        .env("BELAY_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string())
        .env("_CLAP_IFS", "\n")
        .arg("--")
        .args(words)
        .output()
        .unwrap();
    let (code, stdout, stderr) = texts(&output);
    assert_eq!((code, stderr.as_str()), (0, ""), "a completion is silent");
    stdout.lines().map(str::to_owned).filter(|word| !word.starts_with('-')).collect()
}

#[test]
fn shells_complete_targets_and_ids_and_nothing_where_nobody_is_logged_in() {
    let server = Server::start();
    let admin = server.admin();
    let postgres = testkit::Postgres::start();
    for name in ["orders", "orders_eu", "billing"] {
        server.target(&admin, name, &postgres);
    }
    let ann = server.person(&admin, "ann", "requester");
    for target in ["orders", "billing"] {
        assert_eq!(run(&ann, &["request", target, "-m", "x"]).0, 0);
    }
    assert_eq!(completed(&ann, &["belay", "psql", "or"]), ["orders", "orders_eu"]);
    assert_eq!(completed(&ann, &["belay", "target", "check", "b"]), ["billing"]);
    assert_eq!(completed(&admin, &["belay", "approve", ""]), ["r_2", "r_1"]);
    assert_eq!(completed(&ann, &["belay", "approve", ""]), [""; 0], "nobody decides on their own");
    assert_eq!(completed(&ann, &["belay", "withdraw", "r_1"]), ["r_1"]);
    assert_eq!(run(&admin, &["approve", "r_1"]).0, 0);
    assert_eq!(completed(&ann, &["belay", "grants", "narrow", "g"]), ["g_1"]);
    assert_eq!(completed(&ann, &["belay", "revoke", ""]), ["g_1"]);
    assert_eq!(completed(&ann, &["belay", "revo"]), ["revoke"]);
    assert_eq!(completed(&server.home("nobody"), &["belay", "psql", ""]), [""; 0]);
}

#[test]
fn bash_completes_a_target_with_the_script_that_belay_prints() {
    let server = Server::start();
    let admin = server.admin();
    let url = "postgres://adm@127.0.0.1:1/orders";
    assert_eq!(run(&admin, &["target", "add", "orders", url, "--no-check"]).0, 0);
    let script = "source <(belay completion bash)
        COMP_WORDS=(belay psql or) COMP_CWORD=2 COMP_TYPE=9 COMP_LINE='belay psql or' COMP_POINT=13
        function_of=$(complete -p belay | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        $function_of belay or psql
        echo \"${COMPREPLY[*]}\"";
    let bin = Path::new(env!("CARGO_BIN_EXE_belay")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", script]).env("PATH", path).env("BELAY_HOME", &admin);
    let (_, stdout, stderr) = texts(&bash.output().unwrap());
    assert_eq!(stdout.trim(), "orders", "{stderr}");
}

#[test]
fn a_person_sets_their_own_password_with_the_old_one() {
    let server = Server::start();
    let admin = server.admin();
    let file = |name: &str, text: &str| {
        let path = server.home(name);
        std::fs::write(&path, format!("{text}\n")).unwrap();
        path.display().to_string()
    };
    let (first, second) = (file("first", "first password"), file("second", "second password"));
    assert_eq!(run(&admin, &["user", "add", "ann", "--role", "requester", "--password-file", &first]).0, 0);
    let (home, ca) = (server.home("ann"), server.data().join("ca.pem").display().to_string());
    let log_in =
        |password: &str| run(&home, &["login", &server.url, "--ca", &ca, "--user", "ann", "--password-file", password]);
    assert_eq!(log_in(&first).0, 0);

    let change = ["user", "change", "ann", "--password-file", &second];
    let (code, _, stderr) = run(&home, &change);
    assert_eq!(code, 2);
    assert!(stderr.contains("old password is needed") && stderr.contains("--old-password-file"), "{stderr}");
    let (code, _, stderr) = run(&home, &[&change[..], &["--old-password-file", &second]].concat());
    assert!(code == 2 && stderr.contains("the old password is wrong"), "{code} {stderr}");
    assert_eq!(run(&home, &[&change[..], &["--old-password-file", &first]].concat()).0, 0);
    assert_eq!((log_in(&first).0, log_in(&second).0), (7, 0));
}

#[test]
fn a_local_login_trusts_who_vouches_for_the_server_now() {
    let mut server = Server::start();
    let _ = server.admin();
    let authority = server.data().join("api.pem");
    assert_eq!(std::fs::read(&authority).unwrap(), std::fs::read(server.data().join("ca.pem")).unwrap());
    // Another server's certificate and authority serve as one's own here.
    let other = Server::start();
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let (config, other) = (server.dir.path().join("belay.toml"), other.data());
    let listen = std::fs::read_to_string(&config).unwrap();
    let tls = |ca: &str| {
        format!("{listen}[tls]\ncert = \"{0}/tls/server.pem\"\nkey = \"{0}/tls/server.key\"\n{ca}", other.display())
    };
    for (ca, vouched) in [(format!("ca = \"{}/ca.pem\"\n", other.display()), true), (String::new(), false)] {
        std::fs::write(&config, tls(&ca)).unwrap();
        server.start_again();
        assert_eq!(authority.exists(), vouched);
        let (code, _, stderr) = run(&server.home("later"), &["login", "--local", server.data().to_str().unwrap()]);
        assert_eq!(code, if vouched { 0 } else { 8 }, "{stderr}");
        server.child.kill().unwrap();
        server.child.wait().unwrap();
    }
}

#[test]
fn a_damaged_ledger_is_told_with_exit_10_and_without_a_server() {
    let mut server = Server::start();
    let _ = server.admin();
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let data = server.data();
    let verify = ["audit", "verify", "--dir", data.to_str().unwrap()];
    assert_eq!(run(&server.home("auditor"), &verify).0, 0);
    let mut segment = std::fs::read_dir(data.join("ledger")).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.find(|path| path.extension().is_some_and(|extension| extension == "ledger")).unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let (code, _, stderr) = run(&server.home("auditor"), &verify);
    assert!(code == 10 && stderr.contains("the ledger is not intact"), "{code} {stderr}");
}

#[test]
fn a_wrong_configuration_is_exit_2_with_file_line_and_hint() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("belay.toml");
    std::fs::write(&path, "[limits]\nconection = 5\n").unwrap();
    let (code, stdout, stderr) = run(dir.path(), &["server", "--check", "--config", path.to_str().unwrap()]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    let expected = format!("error: {}:2: unknown key `conection`\nhint: did you mean `connections`?\n", path.display());
    assert_eq!(stderr, expected);
    let (code, _, stderr) = run(dir.path(), &["server", "--check", "--config", "/nowhere/belay.toml"]);
    assert_eq!(code, 2, "{stderr}");
    let (code, stdout, _) = run(dir.path(), &["server", "--print-schema"]);
    assert!(
        code == 0 && serde_json::from_str::<serde_json::Value>(&stdout).unwrap()["properties"]["listen"].is_object()
    );
}

#[test]
fn who_is_not_logged_in_or_cannot_reach_the_server_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, stderr) = run(dir.path(), &["grants"]);
    assert_eq!(code, 7);
    assert_eq!(stderr, "error: not logged in\nhint: belay login https://HOST:7443 --ca ca.pem --user NAME\n");
    let mut child = belay(dir.path())
        .args(["login", "https://localhost:1", "--user", "ann", "--password-file", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"secret\n").unwrap();
    let (code, _, stderr) = texts(&child.wait_with_output().unwrap());
    assert!(code == 8 && stderr.starts_with("error: https://localhost:1 cannot be reached"), "{code} {stderr}");
    assert_eq!(run(dir.path(), &["login", "http://localhost:1", "--user", "ann"]).0, 2);
}

#[test]
fn a_server_with_another_authority_is_not_trusted() {
    let (ours, theirs) = (Server::start(), Server::start());
    let token = ours.data().join("admin.token");
    let ca = theirs.data().join("ca.pem");
    let args = ["login", &ours.url, "--ca", ca.to_str().unwrap(), "--token-file", token.to_str().unwrap()];
    let (code, _, stderr) = run(&ours.home("x"), &args);
    assert!(code == 8 && stderr.contains("not signed by the authority you gave"), "{code} {stderr}");
}

#[test]
fn codes_are_explained_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let (code, stdout, _) = run(dir.path(), &["explain", "BLY-1001"]);
    assert!(code == 0 && stdout.starts_with("BLY-1001: write in a read-only session (SQLSTATE 25006)\n"), "{stdout}");
    let (code, _, stderr) = run(dir.path(), &["explain", "BLY-1"]);
    assert!(code == 2 && stderr.contains("is not a code of Belay"), "{stderr}");
    let (code, stdout, _) = run(dir.path(), &["completion", "bash"]);
    assert!(code == 0 && stdout.contains("_belay"));
}

#[test]
fn a_server_that_is_told_to_stop_stops_cleanly_and_starts_again() {
    let mut server = Server::start();
    let pid = server.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let until = Instant::now() + Duration::from_secs(15);
    let status = loop {
        if let Some(status) = server.child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < until, "the server did not stop");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(0));
    let data = server.data();
    assert_eq!(run(server.dir.path(), &["audit", "verify", "--dir", data.to_str().unwrap()]).0, 0);
}

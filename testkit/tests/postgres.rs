//! The test bed itself.

use std::process::{Command, Stdio};
use std::time::Duration;
use testkit::{Postgres, sample, until};

#[tokio::test]
async fn a_server_starts_takes_tls_and_scram_and_is_gone_after_drop() {
    let postgres = Postgres::start();
    let client = postgres.client().await;
    let row = client.query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).await.unwrap();
    assert!(row.get::<_, bool>(0));
    assert!(postgres.login("postgres", "wrong", "postgres").await.is_err());
    let (folder, port) = (postgres.socket_dir().to_owned(), postgres.port());
    assert!(port < 32_768);
    drop(postgres);
    assert!(!folder.exists());
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[tokio::test]
async fn the_sample_holds_what_it_says() {
    let postgres = Postgres::start();
    sample(&postgres).await;
    assert_eq!(postgres.scalar("orders", "SELECT count(*) FROM public.items").await, "5000");
    assert_eq!(postgres.scalar("orders", "SELECT count(*) FROM hr.salaries").await, "50");
}

#[tokio::test]
async fn settings_and_the_socket_without_tls_work() {
    let postgres = Postgres::builder().without_tls().setting("max_connections", "17").start();
    assert_eq!(postgres.scalar("postgres", "SHOW max_connections").await, "17");
    assert_eq!(postgres.scalar("postgres", "SHOW ssl").await, "off");
}

/// This test starts itself once more, as the process that will be killed.
#[test]
fn a_server_does_not_survive_a_killed_test() {
    if let Ok(note) = std::env::var("TESTKIT_NOTE") {
        let postgres = Postgres::start();
        std::fs::write(note, postgres.socket_dir().display().to_string()).unwrap();
        std::thread::sleep(Duration::from_mins(1));
        return;
    }
    let note = tempfile::NamedTempFile::new().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_server_does_not_survive_a_killed_test"])
        .env("TESTKIT_NOTE", note.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let folder = || std::fs::read_to_string(note.path()).unwrap_or_default();
    assert!(until(Duration::from_mins(1), || !folder().is_empty()), "the server did not start");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(until(Duration::from_secs(15), || !std::path::Path::new(&folder()).exists()), "the server is still there");
}

//! The ledger's files in S3 storage, and what is too old.

use e2e::{Raw, World};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use testkit::{Belay, Moto, Outcome, SAMPLE_DATABASE, binary, until};

const BUCKET: &str = "belay-archive";
const PATIENCE: Duration = Duration::from_secs(30);

/// The configuration, with the keys in files.
fn archived(moto: &Moto, keys: &Path, secret: &str) -> String {
    std::fs::write(keys.join("id"), moto.key()).unwrap();
    std::fs::write(keys.join("key"), secret).unwrap();
    format!(
        "[ledger]\nsegment_age = \"1s\"\ncheckpoint_seconds = 1\n\
         [archive]\nto = \"s3://{BUCKET}/here\"\nendpoint = \"{}\"\nregion = \"{}\"\n\
         access_key_id = \"file:{keys}/id\"\nsecret_access_key = \"file:{keys}/key\"\n",
        moto.endpoint(),
        moto.region(),
        keys = keys.display()
    )
}

/// Lays the archive into this directory, as its document says.
fn fetch(moto: &Moto, copy: &Path) {
    for name in moto.names(BUCKET) {
        let file = copy.join(name.strip_prefix("here/").unwrap());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, moto.get(BUCKET, &name)).unwrap();
    }
}

/// Closed segments, and those of them that are in the archive.
fn segments(belay: &Belay, moto: &Moto) -> (usize, usize) {
    let files = std::fs::read_dir(belay.data_dir().join("ledger")).unwrap().map(|entry| entry.unwrap().path());
    let there = files.filter(|path| path.extension().is_some_and(|end| end == "ledger")).count() - 1;
    (there, moto.names(BUCKET).iter().filter(|name| name.ends_with(".ledger")).count())
}

fn verify(dir: &Path, key: &Path) -> Outcome {
    let words = ["audit", "verify", "-o", "json", "--dir"];
    Outcome::of(Command::new(binary()).args(words).arg(dir).arg("--key").arg(key))
}

#[test]
fn a_gateway_that_is_killed_while_it_archives_goes_on_and_what_it_archived_is_a_ledger() {
    let (moto, keys) = (Moto::start(), tempfile::tempdir().unwrap());
    moto.bucket(BUCKET, Some(1));
    let belay = Belay::start_empty(&archived(&moto, keys.path(), moto.secret()));
    for number in 0..8 {
        belay.add_person(&format!("person{number}"), &["--role", "requester"]);
        std::thread::sleep(Duration::from_millis(600));
        if number % 2 == 1 {
            // Wherever it is with what it sends.
            belay.kill();
            belay.restart();
        }
    }
    let all = || {
        let (closed, there) = segments(&belay, &moto);
        closed > 2 && closed == there
    };
    assert!(until(PATIENCE, all), "{:?}: {}", segments(&belay, &moto), belay.log());
    let doctor = belay.run("admin", &["doctor"]).out;
    assert!(doctor.contains("ok       archive: s3://belay-archive/here, nothing is behind"), "{doctor}");
    assert!(doctor.contains("versions on, object lock on"), "{doctor}");
    let copy = tempfile::tempdir().unwrap();
    fetch(&moto, copy.path());
    let found = verify(copy.path(), &belay.data_dir().join("ledger.pub")).ok().json();
    assert_eq!((&found["intact"], &found["signed"]), (&true.into(), &found["records"]));
    assert!(found["records"].as_u64() > Some(10), "{found}");
}

#[test]
fn a_doctor_tells_of_an_archive_that_takes_nothing_and_never_shows_the_key() {
    let (moto, keys) = (Moto::start(), tempfile::tempdir().unwrap());
    moto.bucket(BUCKET, None);
    let belay = Belay::start_empty(&archived(&moto, keys.path(), "another-secret"));
    let says = || belay.run("admin", &["doctor"]);
    assert!(until(PATIENCE, || says().out.contains("the service answered SignatureDoesNotMatch")), "{}", says().out);
    let doctor = says();
    assert_ne!(doctor.code, 0);
    assert!(doctor.out.contains("missing  archive: s3://belay-archive/here: "), "{}", doctor.out);
    assert!(!format!("{doctor:?}{}", belay.log()).contains("another-secret"));
}

#[test]
fn records_that_are_too_old_go_and_verifying_says_which() {
    let configuration = "[ledger]\nsegment_age = \"1s\"\nretention = \"1s\"\ncheckpoint_seconds = 1";
    let world = World::start_with(configuration);
    let belay = &world.belay;
    let ticket = belay.grant(&["public.*"], "30m");
    let mut raw = Raw::log_in(belay, &ticket, SAMPLE_DATABASE);
    for _ in 0..300 {
        assert_eq!(raw.tags("SELECT 1"), "TDCZ");
    }
    drop(raw);
    for number in 0..4 {
        std::thread::sleep(Duration::from_millis(1_200));
        belay.add_person(&format!("person{number}"), &["--role", "requester"]);
    }
    // It looks for what is too old when it starts.
    assert_eq!(belay.stop(), 0);
    belay.restart();
    let first = belay.data_dir().join("ledger/00000000000000000000.ledger");
    assert!(until(PATIENCE, || !first.exists()), "{}", belay.log());
    let verified = || belay.run("admin", &["audit", "verify"]);
    assert!(until(PATIENCE, || verified().err.contains("were deleted by retention")), "{}", verified().err);
    let verified = verified().ok();
    assert!(verified.err.contains("records 0 to "), "{}", verified.err);
    assert!(verified.err.contains("; the tree over all of them is whole"), "{}", verified.err);
    let key = belay.data_dir().join("ledger.pub");
    assert_eq!(verify(&belay.data_dir(), &key).ok().json()["intact"], true);
    let gone = belay.run("admin", &["audit", "prove", "3"]);
    assert!(gone.code != 0 && gone.err.contains("record 3 was deleted because it was too old"), "{}", gone.err);
    // What is left is found, and the gateway goes on.
    let found = belay.json("admin", &["audit", "search", "kind:segment_deleted"]);
    assert!(!found["items"].as_array().unwrap().is_empty(), "{found}");
    // One more that goes, without a word.
    let mut left: Vec<_> =
        std::fs::read_dir(belay.data_dir().join("ledger")).unwrap().map(|file| file.unwrap().path()).collect();
    left.retain(|path| path.extension().is_some_and(|end| end == "ledger"));
    left.sort();
    std::fs::remove_file(&left[0]).unwrap();
    let damaged = verify(&belay.data_dir(), &key);
    assert_eq!(damaged.code, 10, "{}", damaged.err);
    assert!(damaged.err.contains("no record says that they were deleted"), "{}", damaged.err);
}

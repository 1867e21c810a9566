//! The archive on a real S3 server: what is closed arrives, nothing is written over, and what was archived is a ledger.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy sees only functions marked as tests as tests")]

mod ledger_bed;

use belay_model::Span;
use belay_server::config::{Config, S3Place, Witness, WitnessPlace};
use belay_server::desk::{Clock, SystemClock};
use belay_server::ledger::archive::{Archive, ArchiveStatus, Archiving};
use belay_server::ledger::checkpoint::Signed;
use belay_server::ledger::read::{self, Against};
use belay_server::ledger::retention::Retaining;
use belay_server::ledger::{Ledger, Settings, witness};
use ledger_bed::{Bed, HOUR, Held, SECOND, at_hour, names, pass, retaining, statement, written};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use testkit::Moto;

const BUCKET: &str = "belay-archive";

/// A ledger that is signed, and a bucket.
struct Stand {
    moto: Moto,
    bed: Bed,
    held: Held,
}

impl Stand {
    fn start(locked_days: Option<u32>) -> Stand {
        belay_server::tls::install_provider();
        let moto = Moto::start();
        moto.bucket(BUCKET, locked_days);
        Stand { moto, bed: Bed::start(), held: Held::default() }
    }

    /// With a ledger of six hundred hours.
    async fn written(locked_days: Option<u32>) -> Stand {
        Stand { bed: written().await, ..Stand::start(locked_days) }
    }

    fn archive(&self) -> Archive {
        self.archive_with(self.moto.secret(), Duration::from_hours(1))
    }

    fn archive_with(&self, secret: &str, compare: Duration) -> Archive {
        let how = &Archiving { place: place(&self.moto, secret), every: Duration::from_millis(50), compare };
        Archive::start(how, &self.bed.dir(), self.bed.sealer.latest(), Arc::new(self.held.clone())).unwrap()
    }

    /// Compares all the time.
    fn busy_archive(&self) -> Archive {
        self.archive_with(self.moto.secret(), SECOND / 2)
    }

    /// Writes on, so that the records of deletions are in closed segments.
    async fn write_on(&self) {
        for hour in 600..700 {
            self.bed.ledger.record_durable(at_hour(hour, 9)).await.unwrap();
        }
        self.bed.sealer.now().await.unwrap();
    }

    /// Objects that are there, without their prefix.
    fn there(&self, end: &str) -> Vec<String> {
        let names = self.moto.names(BUCKET).into_iter().filter(|name| name.ends_with(end));
        names.map(|name| name.strip_prefix("belay/").unwrap().to_owned()).collect()
    }

    /// Puts another object in its place.
    fn change(&self, name: &str) {
        self.moto.put(BUCKET, &format!("belay/{name}"), b"something else");
    }

    /// Lays the archive into a directory of its own, as an auditor would.
    fn fetch(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        for name in self.moto.names(BUCKET) {
            let file = copy.path().join(name.strip_prefix("belay/").unwrap());
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, self.moto.get(BUCKET, &name)).unwrap();
        }
        copy
    }
}

fn place(moto: &Moto, secret: &str) -> S3Place {
    let text = format!(
        "[archive]\nto = \"s3://{BUCKET}/belay\"\nendpoint = \"{}\"\nregion = \"{}\"\n\
         access_key_id = \"${{ID}}\"\nsecret_access_key = \"${{KEY}}\"\n",
        moto.endpoint(),
        moto.region()
    );
    let env = |name: &str| match name {
        "HOME" => Some("/home/ann".to_owned()),
        "ID" => Some(moto.key().to_owned()),
        "KEY" => Some(secret.to_owned()),
        _ => None,
    };
    Config::parse(&text, Path::new("belay.toml"), &env).unwrap().archive.unwrap()
}

async fn until(archive: &Archive, what: &str, is_so: impl Fn(&ArchiveStatus) -> bool) -> ArchiveStatus {
    for _ in 0..400 {
        let status = archive.status();
        if is_so(&status) {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}: {:?}", archive.status());
}

/// Waits until something is so.
async fn soon(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..200 {
        if is_so() {
            return;
        }
        tokio::time::sleep(SECOND / 10).await;
    }
    panic!("{what}");
}

async fn caught_up(archive: &Archive) -> ArchiveStatus {
    until(archive, "not everything is archived", |status| status.sent > 0 && status.segments == 0).await
}

#[tokio::test]
async fn what_is_closed_arrives_and_laid_into_a_directory_it_is_a_ledger() {
    let stand = Stand::start(None);
    let archive = stand.archive();
    stand.bed.write(600).await;
    caught_up(&archive).await;
    // Once more, so that what came with the last segment is there too.
    tokio::time::sleep(SECOND).await;
    let there = stand.moto.names(BUCKET);
    let closed = stand.bed.closed();
    assert!(closed.len() > 20, "{closed:?}");
    assert!(closed.iter().all(|name| there.contains(&format!("belay/{name}"))), "{there:?}");
    assert!(there.contains(&"belay/tile/0/001".to_owned()), "{there:?}");

    let copy = stand.fetch();
    let report = read::verify(copy.path(), &stand.bed.trust().await).unwrap();
    assert!(report.is_intact(), "{report:?}");
    // All of it is signed: a checkpoint is kept at the end of each file.
    assert_eq!(report.signed, Some(report.records));
    let open = names(&stand.bed.dir(), "ledger").pop().unwrap();
    assert_eq!(format!("{:020}.ledger", report.records), open);
    // And what was changed in the copy is found.
    let file = copy.path().join(&closed[3]);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    assert!(!read::verify(copy.path(), &stand.bed.trust().await).unwrap().is_intact());
}

#[tokio::test]
async fn a_wrong_secret_is_told_by_the_services_word_and_never_shown() {
    let stand = Stand::start(None);
    stand.bed.write(60).await;
    let archive = stand.archive_with("not-the-secret", SECOND);
    let status = until(&archive, "no error", |status| status.error.is_some()).await;
    assert_eq!(status.error.as_deref(), Some("the service answered SignatureDoesNotMatch"));
    assert!(status.segments > 0 && status.bytes > 0);
    assert!(!format!("{status:?} {:?}", place(&stand.moto, "not-the-secret")).contains("not-the-secret"));
}

#[tokio::test]
async fn an_archive_that_was_away_catches_up() {
    let stand = Stand::start(None);
    let archive = stand.archive();
    stand.bed.write(60).await;
    caught_up(&archive).await;
    stand.moto.pause();
    stand.bed.write(120).await;
    let status = until(&archive, "no error", |status| status.error.is_some() && status.segments > 5).await;
    assert_eq!(status.error.as_deref(), Some("it cannot be reached"));
    stand.moto.go_on();
    let status = until(&archive, "behind", |status| status.segments == 0 && status.error.is_none()).await;
    assert_eq!(status.odd_count, 0);
    let there = stand.moto.names(BUCKET);
    assert!(stand.bed.closed().iter().all(|name| there.contains(&format!("belay/{name}"))));
}

#[tokio::test]
async fn after_a_restart_nothing_is_sent_twice_and_what_is_there_is_recognized() {
    let stand = Stand::start(None);
    stand.bed.write(200).await;
    // As if it had been killed between two objects: some are there, and not all of them are noted.
    let first = &stand.bed.closed()[0];
    stand.moto.put(BUCKET, &format!("belay/{first}"), &std::fs::read(stand.bed.dir().join(first)).unwrap());
    let archive = stand.archive();
    caught_up(&archive).await;
    tokio::time::sleep(SECOND).await;
    let there = stand.moto.names(BUCKET);
    let sent = archive.status().sent;
    assert_eq!(sent, there.len() as u64 - 1);
    drop(archive);
    let again = stand.archive();
    tokio::time::sleep(2 * SECOND).await;
    let status = again.status();
    assert_eq!((status.sent, status.odd_count, &status.error), (0, 0, &None));
    drop(again);
    // Nor where the note of what was sent is lost.
    std::fs::remove_file(stand.bed.dir().join("archived")).unwrap();
    let again = stand.archive();
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(again.status(), ArchiveStatus { sent: 0, ..status });
    assert_eq!(stand.moto.names(BUCKET), there);
}

#[tokio::test]
async fn an_object_with_another_content_is_told_of_and_left_as_it_is() {
    let stand = Stand::start(None);
    stand.bed.write(60).await;
    // One that was there before, and one that is changed after it was sent.
    let closed = stand.bed.closed();
    let (before, after) = (format!("belay/{}", closed[0]), format!("belay/{}", closed[1]));
    stand.moto.put(BUCKET, &before, b"something else");
    let archive = stand.archive_with(stand.moto.secret(), SECOND);
    let status = until(&archive, "it was not noticed", |status| status.odd_count == 1 && status.segments == 1).await;
    assert_eq!(status.odd, [closed[0].clone()]);
    let mut bytes = stand.moto.get(BUCKET, &after);
    bytes[300] ^= 1;
    stand.moto.put(BUCKET, &after, &bytes);
    let status = until(&archive, "it was not noticed", |status| status.odd_count == 2).await;
    assert_eq!(status.odd, closed[..2]);
    assert_eq!(stand.moto.get(BUCKET, &before), b"something else");
    assert_eq!(stand.moto.get(BUCKET, &after), bytes);
}

#[tokio::test]
async fn a_bucket_says_whether_it_keeps_versions_and_locks() {
    for (days, versions, lock) in [(None, false, false), (Some(1), true, true)] {
        let stand = Stand::start(days);
        stand.bed.write(60).await;
        let archive = stand.archive();
        let status = caught_up(&archive).await;
        assert_eq!((status.protection.versions, status.protection.lock), (Some(versions), Some(lock)));
    }
}

#[tokio::test]
async fn what_retention_deletes_goes_from_the_archive_too_and_the_rest_is_a_ledger() {
    let stand = Stand::written(None).await;
    let archive = stand.archive();
    caught_up(&archive).await;
    let passed = pass(&stand.bed, 320, &[]).await;
    assert!(passed.deleted > 5);
    let first = format!("belay/{}", names(&stand.bed.dir(), "ledger")[0]);
    // Each goes once the archive has the segment with the record that says so; the last of these is still open.
    tokio::time::sleep(2 * SECOND).await;
    assert!(!stand.moto.names(BUCKET).contains(&"belay/00000000000000000000.ledger".to_owned()));
    assert!(read::verify(stand.fetch().path(), &stand.bed.trust().await).unwrap().is_intact());
    stand.write_on().await;
    let segments = || stand.moto.names(BUCKET).into_iter().filter(|name| name.ends_with(".ledger")).collect::<Vec<_>>();
    for _ in 0..200 {
        if segments()[0] == first {
            break;
        }
        tokio::time::sleep(SECOND / 10).await;
    }
    assert_eq!(segments()[0], first);
    caught_up(&archive).await;
    let copy = stand.fetch();
    let report = read::verify(copy.path(), &stand.bed.trust().await).unwrap();
    assert!(report.is_intact(), "{report:?}");
    assert_eq!((report.deleted.len(), report.deleted[0].first, report.deleted[0].at.0), (1, 0, 320 * HOUR));
}

#[tokio::test]
async fn a_bucket_with_object_lock_keeps_what_retention_deletes_and_says_so() {
    let stand = Stand::written(Some(1)).await;
    let archive = stand.archive();
    caught_up(&archive).await;
    let passed = pass(&stand.bed, 320, &[]).await;
    stand.write_on().await;
    let status = until(&archive, "nothing is locked", |status| status.locked == passed.deleted).await;
    assert_eq!(status.error, None);
    assert!(stand.moto.names(BUCKET).contains(&"belay/00000000000000000000.ledger".to_owned()));
}

#[tokio::test]
async fn what_is_gone_from_the_archive_is_sent_again() {
    let stand = Stand::start(None);
    stand.bed.write(600).await;
    let archive = stand.busy_archive();
    caught_up(&archive).await;
    let gone = ["tile/0/000".to_owned(), stand.there("checkpoint")[0].clone(), stand.bed.closed()[0].clone()];
    for name in &gone {
        stand.moto.call("delete_object", &json!({ "Bucket": BUCKET, "Key": format!("belay/{name}") }));
    }
    soon("it was not sent again", || gone.iter().all(|name| stand.there("").contains(name))).await;
}

#[tokio::test]
async fn one_object_that_cannot_be_sent_holds_nobody_up() {
    let stand = Stand::start(None);
    let denied = "belay/00000000000000000000.ledger";
    stand.moto.deny("s3:PutObject", &[&format!("{BUCKET}/{denied}")]);
    stand.bed.write(200).await;
    let archive = stand.archive();
    let status = until(&archive, "others wait", |status| status.segments == 1 && status.error.is_some()).await;
    assert_eq!(status.error.as_deref(), Some("the service answered AccessDenied"));
    stand.moto.deny("s3:PutObject", &[]);
    until(&archive, "it was not tried again", |status| status.segments == 0 && status.error.is_none()).await;
}

#[tokio::test]
async fn an_archive_that_cannot_be_compared_is_still_written_to_and_what_was_odd_is_still_told() {
    let stand = Stand::start(None);
    stand.bed.write(60).await;
    let archive = stand.busy_archive();
    caught_up(&archive).await;
    stand.change(&stand.bed.closed()[0]);
    until(&archive, "it was not noticed", |status| status.odd_count == 1).await;
    stand.moto.deny("s3:ListBucket", &[BUCKET]);
    until(&archive, "it was compared", |status| status.error.is_some()).await;
    let sent = archive.status().sent;
    stand.bed.write(60).await;
    let status = until(&archive, "nothing is sent", |status| status.sent > sent && status.segments == 0).await;
    assert_eq!((status.odd_count, status.error.as_deref()), (1, Some("the service answered AccessDenied")));
}

#[tokio::test]
async fn what_is_no_record_is_not_put_into_the_archive() {
    let stand = Stand::start(None);
    stand.bed.write(200).await;
    std::fs::write(stand.bed.dir().join("00000000000000000005.kept"), b"{}").unwrap();
    let archive = stand.archive();
    caught_up(&archive).await;
    tokio::time::sleep(SECOND).await;
    assert!(stand.there("kept").is_empty());
    assert_eq!(archive.status().error, None);
}

#[tokio::test]
async fn nothing_goes_here_before_the_archive_has_it_as_it_was() {
    let stand = Stand::written(None).await;
    stand.moto.pause();
    let archive = stand.busy_archive();
    let pass_at = async |now| {
        let retaining = Retaining { archived: Some(archive.archived()), ..retaining(&stand.bed, now, &[]) };
        retaining.pass().await.unwrap()
    };
    until(&archive, "it can be reached", |status| status.error.is_some()).await;
    let passed = pass_at(320).await;
    assert!(passed.deleted == 0 && passed.unarchived > 5, "{passed:?}");
    // One is there and is something else.
    stand.moto.go_on();
    let closed = stand.bed.closed();
    stand.change(&closed[2]);
    until(&archive, "not all of it is there", |status| status.segments == 1 && status.error.is_none()).await;
    tokio::time::sleep(SECOND).await;
    let gone = pass_at(320).await;
    assert_eq!((gone.deleted, gone.unarchived), (passed.unarchived - 1, 1));
    assert_eq!(stand.bed.closed()[0], closed[2]);
    // What they were about is noted until they are gone from the archive as well.
    assert!(!names(&stand.bed.dir(), "about").is_empty());
    stand.write_on().await;
    soon("it stays there", || names(&stand.bed.dir(), "about").is_empty()).await;
    let there = stand.there("ledger");
    assert_eq!(there[0], closed[2]);
    assert!(!there.contains(&closed[0]) && !there.contains(&closed[1]) && !there.contains(&closed[3]), "{there:?}");
    // While it cannot be compared, nothing goes either.
    stand.moto.pause();
    until(&archive, "it can be reached", |status| status.error.is_some()).await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(pass_at(420).await.deleted, 0);
}

#[tokio::test]
async fn what_is_put_on_hold_after_it_was_deleted_here_stays_in_the_archive() {
    let stand = Stand::written(None).await;
    let archive = stand.busy_archive();
    caught_up(&archive).await;
    // Session 0 has the hours 0 to 99.
    let held: Vec<String> = stand.bed.closed().into_iter().take_while(|name| first(name) < 100).collect();
    stand.held.hold(&[0]);
    // As retention did that saw no hold yet.
    let passed = pass(&stand.bed, 320, &[]).await;
    stand.write_on().await;
    let count = held.len() as u64;
    until(&archive, "none is kept", |status| status.locked == count).await;
    soon("others stay", || stand.there("ledger").iter().filter(|name| first(name) < 200).count() == held.len()).await;
    assert!(passed.deleted > count);
    assert_eq!(stand.there("ledger")[..held.len()], held);
    // What it is about stays noted over a restart.
    soon("it is not noted", || names(&stand.bed.dir(), "about").len() == held.len()).await;
    drop(archive);
    let archive = stand.busy_archive();
    until(&archive, "none is kept", |status| status.locked == count).await;
    stand.held.hold(&[]);
    soon("it stays", || stand.there("ledger").iter().all(|name| first(name) >= 200)).await;
    assert_eq!(archive.status().error, None);
}

fn first(name: &str) -> u64 {
    name.trim_end_matches(".ledger").parse().unwrap()
}

#[tokio::test]
async fn an_odd_object_keeps_no_other_from_being_deleted() {
    let stand = Stand::written(None).await;
    let odd = stand.bed.closed().pop().unwrap();
    stand.change(&odd);
    let archive = stand.archive();
    until(&archive, "it was not noticed", |status| status.odd_count == 1 && status.segments == 1).await;
    pass(&stand.bed, 320, &[]).await;
    stand.write_on().await;
    soon("it stays", || stand.there("ledger").iter().all(|name| first(name) >= 200)).await;
    assert_eq!(archive.status().odd, [odd]);
}

#[tokio::test]
async fn a_deleted_segment_goes_with_all_its_versions_and_a_refusal_is_no_lock() {
    let stand = Stand::written(None).await;
    let versions = json!({ "Bucket": BUCKET, "VersioningConfiguration": { "Status": "Enabled" } });
    stand.moto.call("put_bucket_versioning", &versions);
    let archive = stand.busy_archive();
    caught_up(&archive).await;
    // Somebody puts a marker over one, so that it is sent once more.
    let marked = format!("belay/{}", stand.bed.closed()[0]);
    stand.moto.call("delete_object", &json!({ "Bucket": BUCKET, "Key": marked }));
    soon("it was not sent again", || stand.moto.names(BUCKET).contains(&marked)).await;
    tokio::time::sleep(SECOND).await;
    stand.moto.deny("s3:DeleteObjectVersion", &[&format!("{BUCKET}/*")]);
    pass(&stand.bed, 320, &[]).await;
    stand.write_on().await;
    let status = until(&archive, "it is not refused", |status| status.error.is_some()).await;
    let why = status.error.unwrap();
    assert!(why.ends_with(".ledger` cannot be deleted: the service answered AccessDenied"), "{why}");
    assert_eq!(status.locked, 0);
    stand.moto.deny("s3:DeleteObjectVersion", &[]);
    soon("it stays", || stand.there("ledger").iter().all(|name| first(name) >= 200)).await;
    let left = stand.moto.call("list_object_versions", &json!({ "Bucket": BUCKET, "Prefix": marked }));
    assert!(left.get("Versions").is_none() && left.get("DeleteMarkers").is_none(), "{left}");
}

#[tokio::test]
async fn a_bucket_is_a_witness_that_gets_each_checkpoint_by_itself() {
    let stand = Stand::start(Some(1));
    let to = WitnessPlace::Bucket(Box::new(place(&stand.moto, stand.moto.secret())));
    let witness = Witness { to, every: Span::from_seconds(1) };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    witness::start(&[witness], &stand.bed.sealer.latest(), &clock);
    for size in [3, 6] {
        stand.bed.write(3).await;
        let name = format!("belay/{size:020}.checkpoint");
        for _ in 0..100 {
            if stand.moto.names(BUCKET).contains(&name) {
                break;
            }
            tokio::time::sleep(SECOND / 10).await;
        }
        let note = String::from_utf8(stand.moto.get(BUCKET, &name)).unwrap();
        assert_eq!(Signed::read(&note).unwrap().checkpoint.size, size);
    }
}

#[tokio::test]
async fn a_segment_is_closed_when_it_is_old_although_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { segment_age: 2 * SECOND, ..Settings::new(dir.path()) };
    let (ledger, _) = Ledger::open_with(&settings).unwrap();
    ledger.record_durable(statement(0)).await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(names(dir.path(), "ledger").len(), 1);
    tokio::time::sleep(3 * SECOND).await;
    // The new one has no record, so it does not become old.
    assert_eq!(names(dir.path(), "ledger"), ["00000000000000000000.ledger", "00000000000000000001.ledger"]);
    ledger.record_durable(statement(1)).await.unwrap();
    ledger.close().unwrap();
    let report = read::verify(dir.path(), &Against::default()).unwrap();
    assert_eq!((report.is_intact(), report.records, report.segments), (true, 2, 2));
}

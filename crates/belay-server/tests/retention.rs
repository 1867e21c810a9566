//! What is too old is deleted, and everybody can see that it was, and that nothing else is missing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy sees only functions marked as tests as tests")]

mod ledger_bed;

use belay_engine::BoxFuture;
use belay_ledger::{ConsistencyProof, Hash};
use belay_model::{Event, EventKind, Timestamp};
use belay_server::ledger::checkpoint;
use belay_server::ledger::proof::{self, ProofError};
use belay_server::ledger::read::{self, Filter, Report};
use belay_server::ledger::retention::{Holds, Passed, Retaining, RetentionError, Steady, Unheld};
use belay_server::ledger::seal::{Sealer, Sealing};
use belay_server::ledger::search::{self, Index, Page};
use belay_server::ledger::tiles::Tiles;
use belay_server::ledger::{Ledger, Mentioned, Settings};
use ledger_bed::{Bed, HOUR, SECOND, at_hour, names, open, pass, retaining, statement, written};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use testkit::Dice;

async fn verified(bed: &Bed, dir: &Path) -> Report {
    read::verify(dir, &bed.trust().await).unwrap()
}

fn first_left(dir: &Path) -> u64 {
    names(dir, "ledger")[0].trim_end_matches(".ledger").parse().unwrap()
}

#[tokio::test]
async fn what_is_too_old_goes_and_the_tree_over_all_of_it_stays_whole() {
    let bed = written().await;
    let (dir, before) = (bed.dir(), checkpoint::latest(&bed.dir()).unwrap().unwrap());
    assert_eq!(pass(&bed, 90, &[]).await.deleted, 0);
    let passed = pass(&bed, 320, &[]).await;
    assert!(passed.deleted > 5, "{passed:?}");
    let first = first_left(&dir);
    // Older than a hundred hours at hour 320, and no newer one.
    assert!((200..=220).contains(&first), "{first}");
    let report = verified(&bed, &dir).await;
    assert!(report.is_intact(), "{report:?}");
    let [gone] = &*report.deleted else { panic!("{report:?}") };
    assert_eq!((gone.first, gone.last, gone.at), (0, first - 1, Timestamp(320 * HOUR)));
    assert_eq!((gone.record, gone.last_record), (600, 599 + passed.deleted));
    assert_eq!(report.records, 600 + passed.deleted - first);

    // What was signed before is still gone through, and the tree goes on from it.
    let after = checkpoint::latest(&dir).unwrap().unwrap();
    let proof: ConsistencyProof =
        Tiles::open(&dir).consistency(before.checkpoint.size, after.checkpoint.size).unwrap().unwrap();
    assert!(proof.verify(before.checkpoint.root, after.checkpoint.root));
    // A record that is left is proven, one that is gone is told to be gone.
    let (shown, proof) = proof::prove(&dir, first).unwrap();
    assert!(proof.verify(&shown.payload, &[bed.sealer.key().await.unwrap()]));
    let error = proof::prove(&dir, 7).unwrap_err();
    assert!(matches!(error, ProofError::Deleted(7, 600..620)), "{error}");

    // More goes later; the records that say so go with it, and are kept.
    for hour in 600..1_400 {
        bed.ledger.record_durable(at_hour(hour, 9)).await.unwrap();
    }
    bed.sealer.now().await.unwrap();
    pass(&bed, 1_200, &[]).await;
    assert!(first_left(&dir) > 700, "{}", first_left(&dir));
    let report = verified(&bed, &dir).await;
    assert!(report.is_intact(), "{report:?}");
    assert_eq!((report.deleted.len(), report.deleted[0].first), (1, 0));
    // Nothing goes twice.
    assert_eq!(pass(&bed, 1_200, &[]).await.deleted, 0);
}

#[tokio::test]
async fn what_a_gateway_has_left_is_opened_searched_and_followed() {
    let bed = written().await;
    let dir = bed.dir();
    let mut index = Index::open(&dir, &search::index_file(&dir), SECOND).await.unwrap();
    let all = Filter::default();
    let found = index.search(&all, Page::From(0), 10, 10 * SECOND).await.unwrap();
    assert_eq!(found.records[0].seq, 0);
    drop(index);
    pass(&bed, 320, &[]).await;
    let first = first_left(&dir);
    let mut index = Index::open(&dir, &search::index_file(&dir), SECOND).await.unwrap();
    let found = index.search(&all, Page::From(0), 10, 10 * SECOND).await.unwrap();
    assert_eq!(found.records[0].seq, first);
    drop(index);
    let scanned = search::scan(&dir, &all, Page::From(3), 10).await.unwrap();
    assert_eq!(scanned.records, found.records);
    assert_eq!(read::events(&dir, 0).unwrap().next().unwrap().unwrap().seq, first);
    assert_eq!(read::tail(&dir, &all, 1_000, None).unwrap().last().unwrap().seq, first);

    let before = checkpoint::latest(&dir).unwrap().unwrap();
    let home = bed.stop();
    // The tree is made anew out of the hashes of what is gone, where its upper tiles are lost.
    std::fs::remove_dir_all(dir.join("tile/1")).unwrap();
    let (ledger, sealer) = open(home.path());
    ledger.record_durable(statement(1_000)).await.unwrap();
    sealer.now().await.unwrap();
    let after = checkpoint::latest(&dir).unwrap().unwrap();
    assert!(after.checkpoint.size > before.checkpoint.size);
    let report = read::verify(&dir, &ledger_bed::trust_in(&sealer).await).unwrap();
    assert!(report.is_intact(), "{report:?}");
}

#[tokio::test]
async fn a_segment_with_a_session_on_hold_stays() {
    let bed = written().await;
    // Session 1 has the hours 100 to 199.
    let passed = pass(&bed, 420, &[1]).await;
    assert!(passed.held > 3 && passed.deleted > 5, "{passed:?}");
    let report = verified(&bed, &bed.dir()).await;
    assert!(report.is_intact(), "{report:?}");
    let [before, after] = &*report.deleted else { panic!("{report:?}") };
    assert!(before.first == 0 && before.last < 100 && after.first >= 200, "{report:?}");
    let kept: Vec<u64> = read::events(&bed.dir(), 0).unwrap().map(|record| record.unwrap().seq).collect();
    assert!((100..200).all(|seq| kept.contains(&seq)));
    // It goes when the hold does.
    assert_eq!(pass(&bed, 420, &[]).await.held, 0);
    let report = verified(&bed, &bed.dir()).await;
    assert!(report.is_intact() && report.deleted.len() == 1, "{report:?}");
}

#[tokio::test]
async fn a_segment_that_is_gone_without_a_record_that_says_so_is_damage() {
    let bed = written().await;
    pass(&bed, 320, &[]).await;
    let dir = bed.dir();
    let first = first_left(&dir);
    let left = names(&dir, "ledger");
    let damage = async |change: &dyn Fn(&Path)| {
        let copy = bed.copy();
        change(copy.path());
        verified(&bed, copy.path()).await.damage
    };
    assert_eq!(damage(&|_| {}).await, None);
    // The next one goes too.
    let found = damage(&|dir| std::fs::remove_file(dir.join(&left[0])).unwrap()).await.unwrap();
    assert_eq!(found.seq, first);
    assert!(found.what.ends_with("are missing, and no record says that they were deleted"), "{found:?}");
    // What says so is lost.
    let kept = names(&dir, "kept");
    let found = damage(&|dir| std::fs::remove_file(dir.join(&kept[2])).unwrap()).await.unwrap();
    assert!(found.what.contains("no record says that they were deleted"), "{found:?}");
    // Somebody writes what would say so.
    let change = |dir: &Path| {
        let (file, text) = (dir.join(&kept[2]), std::fs::read_to_string(dir.join(&kept[2])).unwrap());
        std::fs::write(file, text.replace("\"older_than\":\"", "\"older_than\":\"9")).unwrap();
    };
    assert!(damage(&change).await.unwrap().what.starts_with("it is not record "));
    // Or puts such a record where none was.
    let change = |dir: &Path| {
        let text = std::fs::read_to_string(dir.join(&kept[0])).unwrap();
        let payload = forged(&text, dir, &left[0]);
        std::fs::write(dir.join("00000000000000000590.kept"), payload).unwrap();
        std::fs::remove_file(dir.join(&left[0])).unwrap();
    };
    assert!(damage(&change).await.is_some());
    // The hashes of what is gone are changed, or gone as well.
    let change = |dir: &Path| {
        let tile = dir.join("tile/0/000");
        let mut bytes = std::fs::read(&tile).unwrap();
        bytes[40] ^= 1;
        std::fs::write(tile, bytes).unwrap();
    };
    assert!(damage(&change).await.is_some());
    assert!(damage(&|dir| std::fs::remove_file(dir.join("tile/0/000")).unwrap()).await.is_some());
}

/// A payload that says that the segment of this name was deleted.
fn forged(text: &str, dir: &Path, segment: &str) -> String {
    let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
    let bytes = std::fs::read(dir.join(segment)).unwrap();
    let first: u64 = segment.trim_end_matches(".ledger").parse().unwrap();
    let last = read::events(dir, first).unwrap().map(|record| record.unwrap().seq).take_while(|seq| *seq < first + 12);
    let last = last.last().unwrap();
    let digits = |bytes: &[u8]| Hash(bytes.try_into().unwrap()).to_string();
    value["seq"] = 590.into();
    value["first"] = first.into();
    value["last"] = last.into();
    value["chain_before"] = digits(&bytes[20..52]).into();
    value["chain_after"] = digits(&bytes[bytes.len() - 32..]).into();
    // The number stands first in a payload.
    let rest = value.to_string().replacen("\"seq\":590,", "", 1).replacen(",\"seq\":590", "", 1);
    rest.replacen('{', "{\"seq\":590,", 1)
}

#[tokio::test]
async fn what_is_no_record_deletes_nothing_whatever_it_says() {
    let bed = written().await;
    let copy = bed.copy();
    pass(&bed, 320, &[]).await;
    // Of one that is too young, and of one that goes; it is to be older than it says.
    let (dir, left) = (bed.dir(), names(&bed.dir(), "ledger"));
    let text = std::fs::read_to_string(dir.join(&names(&dir, "kept")[0])).unwrap();
    std::fs::write(dir.join("00000000000000000590.kept"), forged(&text, &dir, &left[3])).unwrap();
    assert_eq!(pass(&bed, 320, &[]).await.deleted, 0);
    assert!(dir.join(&left[3]).exists());
    // Something else in the place of what was deleted is not what a record says may go.
    std::fs::remove_file(dir.join("00000000000000000590.kept")).unwrap();
    let gone = &names(copy.path(), "ledger")[2];
    let mut bytes = std::fs::read(copy.path().join(gone)).unwrap();
    bytes[200] ^= 1;
    std::fs::write(dir.join(gone), bytes).unwrap();
    assert!(retaining(&bed, 320, &[]).pass().await.is_err());
    assert!(dir.join(gone).exists());
}

#[tokio::test]
async fn what_comes_after_a_newer_record_stays_whatever_it_says_of_its_time() {
    let bed = Bed::start();
    for hour in (0..100).chain(400..420).chain(100..500) {
        bed.ledger.record_durable(at_hour(hour, 1)).await.unwrap();
    }
    bed.sealer.now().await.unwrap();
    assert!(pass(&bed, 320, &[]).await.deleted > 5);
    let first = first_left(&bed.dir());
    assert!((80..=100).contains(&first), "{first}");
    let report = verified(&bed, &bed.dir()).await;
    assert!(report.is_intact() && report.deleted.len() == 1, "{report:?}");
}

#[tokio::test]
async fn nothing_goes_by_a_clock_that_was_moved_nor_soon_after_a_start() {
    let bed = written().await;
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    let mut steady = Steady::at_start(Timestamp(318 * HOUR));
    let soon = retaining(&bed, 318, &[]).turn(&mut steady, Duration::from_mins(59)).await.unwrap();
    assert_eq!(soon, Passed::default());
    // An hour later it says that four have passed, or that it is yesterday, and again when nobody put it right.
    for now in [322, 290, 323] {
        let error = retaining(&bed, now, &[]).turn(&mut steady, hours(1)).await.unwrap_err();
        assert!(matches!(error, RetentionError::Clock(_)), "{error}");
    }
    assert_eq!(first_left(&bed.dir()), 0);
    // It is put right.
    assert!(retaining(&bed, 320, &[]).turn(&mut steady, hours(2)).await.unwrap().deleted > 5);
    assert!(retaining(&bed, 350, &[]).turn(&mut steady, hours(3)).await.is_err());
}

/// Lets nothing be signed as soon as it is asked, which it is before a deletion is recorded.
struct NoSigner(PathBuf);

impl Holds for NoSigner {
    fn nothing_held<'a>(&'a self, _: &'a Mentioned) -> BoxFuture<'a, Result<Option<Unheld>, String>> {
        Box::pin(async {
            std::fs::create_dir(&self.0).map(|()| Some(Box::new(()) as Unheld)).map_err(|e| e.to_string())
        })
    }
}

#[tokio::test]
async fn a_deletion_is_recorded_once_however_often_it_cannot_be_signed() {
    let bed = written().await;
    let dir = bed.dir();
    let told = || {
        let filter = Filter::parse("kind:segment_deleted", Timestamp(0)).unwrap();
        read::tail(&dir, &filter, 1_000, None).unwrap().len()
    };
    // What a checkpoint is written to before it is put in its place.
    let blocked = dir.join("checkpoint.new");
    let breaking = Retaining { holds: Arc::new(NoSigner(blocked.clone())), ..retaining(&bed, 320, &[]) };
    assert!(breaking.pass().await.is_err());
    assert_eq!(told(), 1);
    for _ in 0..3 {
        assert!(retaining(&bed, 320, &[]).pass().await.is_err());
    }
    assert_eq!((told(), first_left(&dir)), (1, 0));
    std::fs::remove_dir(blocked).unwrap();
    let passed = pass(&bed, 320, &[]).await;
    assert_eq!(told() as u64, passed.deleted);
    assert!(verified(&bed, &dir).await.is_intact());
}

#[tokio::test]
async fn words_of_what_was_deleted_go_from_the_index_also_after_a_kill() {
    let bed = written().await;
    let (dir, file) = (bed.dir(), search::index_file(&bed.dir()));
    let search = async || {
        let mut index = Index::open(&dir, &file, SECOND).await.unwrap();
        index.search(&Filter::default(), Page::From(0), 1, 10 * SECOND).await.unwrap();
    };
    search().await;
    let knows = || std::fs::read(&file).unwrap().windows(40).any(|part| part == [b'x'; 40]);
    assert!(knows());
    // As if it had been killed before it came to its index: one in the middle goes, the oldest is held.
    let elsewhere = Retaining { index: dir.join("no-index"), ..retaining(&bed, 420, &[0]) };
    assert!(elsewhere.pass().await.unwrap().deleted > 5);
    assert!(knows());
    pass(&bed, 420, &[0]).await;
    assert!(!knows());
    // What is there now stays known.
    search().await;
    pass(&bed, 420, &[0]).await;
    assert!(knows());
}

#[tokio::test]
async fn verifying_finds_nothing_amiss_while_segments_are_deleted() {
    let bed = written().await;
    let (dir, trust) = (bed.dir(), bed.trust().await);
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let verifying = std::thread::spawn(move || {
        let mut reports = Vec::new();
        while is_done.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
            reports.push(read::verify(&dir, &trust));
        }
        reports
    });
    let passed = pass(&bed, 560, &[]).await;
    drop(done);
    assert!(passed.deleted > 20, "{passed:?}");
    let reports = verifying.join().unwrap();
    assert!(reports.len() > 3);
    for report in reports {
        assert!(report.as_ref().is_ok_and(Report::is_intact), "{report:?}");
    }
}

#[tokio::test]
async fn the_end_of_each_file_is_signed_also_after_the_disk_was_full() {
    let bed = Bed::start();
    bed.write(10).await;
    // A folder in the place of the file: nothing can be kept.
    let (file, aside) = (bed.dir().join("checkpoints"), bed.dir().join("aside"));
    std::fs::rename(&file, &aside).unwrap();
    std::fs::create_dir(&file).unwrap();
    for number in 0..100 {
        bed.ledger.record_durable(statement(number)).await.unwrap();
        if number % 20 == 0 {
            drop(bed.sealer.now().await);
        }
    }
    assert!(bed.sealer.now().await.is_err());
    std::fs::remove_dir(&file).unwrap();
    std::fs::rename(&aside, &file).unwrap();
    bed.sealer.now().await.unwrap();
    let signed: Vec<u64> =
        checkpoint::history(&bed.dir()).unwrap().iter().map(|signed| signed.checkpoint.size).collect();
    for name in names(&bed.dir(), "ledger").iter().skip(1) {
        let end: u64 = name.trim_end_matches(".ledger").parse().unwrap();
        assert!(signed.contains(&end), "{end}: {signed:?}");
    }
}

#[tokio::test]
async fn the_end_of_a_file_is_signed_although_nothing_follows() {
    let (dir, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let settings = Settings { segment_age: SECOND, ..Settings::new(dir.path()) };
    let (ledger, _) = Ledger::open_with(&settings).unwrap();
    let sealing = Sealing { data_dir: home.path().to_owned(), interval: SECOND / 20 };
    let sealer = Sealer::start(&ledger, &sealing).unwrap();
    for number in 0..2 {
        ledger.record_durable(statement(number)).await.unwrap();
        sealer.now().await.unwrap();
    }
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!(names(dir.path(), "ledger").len(), 2);
    let last = checkpoint::history(dir.path()).unwrap().pop().unwrap();
    assert_eq!(last.checkpoint.size, 2);
}

#[tokio::test]
async fn a_key_that_was_signed_in_by_a_deleted_record_is_still_trusted() {
    let bed = Bed::start();
    let first_key = bed.sealer.key().await.unwrap();
    let (old, new) = bed.sealer.prepare_key().await.unwrap();
    let kind = EventKind::LedgerKeyAdded { key: new.to_string(), replaces: Some(old.to_string()) };
    bed.ledger.record_durable(Event::new(Timestamp(0), kind)).await.unwrap();
    bed.sealer.change_key().await.unwrap();
    for hour in 0..600 {
        bed.ledger.record_durable(at_hour(hour, 1)).await.unwrap();
    }
    bed.sealer.now().await.unwrap();
    assert!(pass(&bed, 320, &[]).await.deleted > 0);
    let trust = ledger_bed::trust(vec![first_key]);
    let report = read::verify(&bed.dir(), &trust).unwrap();
    assert!(report.is_intact() && report.signed > Some(600), "{report:?}");
}

#[tokio::test]
async fn a_pass_that_was_cut_short_is_finished_by_the_next() {
    let bed = written().await;
    let copy = bed.copy();
    let passed = pass(&bed, 320, &[]).await;
    // Killed after the record was kept and before the file went.
    let name = &names(copy.path(), "ledger")[2];
    std::fs::copy(copy.path().join(name), bed.dir().join(name)).unwrap();
    assert!(verified(&bed, &bed.dir()).await.is_intact());
    // Not while it is held.
    assert_eq!(pass(&bed, 320, &[0]).await, Passed { held: 1, ..Passed::default() });
    assert!(bed.dir().join(name).exists());
    assert_eq!(pass(&bed, 320, &[]).await, Passed { deleted: 1, ..Passed::default() });
    let report = verified(&bed, &bed.dir()).await;
    assert!(report.is_intact(), "{report:?}");
    assert_eq!(report.deleted[0].last_record, 599 + passed.deleted);
}

/// The verifier of the document, which has none of this code.
fn with_python(dir: &Path) -> (bool, String) {
    let document = include_str!("../../../docs/ledger.md");
    let (_, script) = document.split_once("```python\n").unwrap();
    let (script, _) = script.split_once("```").unwrap();
    let output = std::process::Command::new("python3").args(["-c", script]).arg(dir).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[tokio::test]
async fn the_verifier_of_the_document_finds_the_same() {
    let bed = written().await;
    let (intact, text) = with_python(&bed.dir());
    assert!(intact && text.starts_with("intact, 600:"), "{text}");
    pass(&bed, 320, &[]).await;
    let report = verified(&bed, &bed.dir()).await;
    assert_eq!(with_python(&bed.dir()), (true, format!("intact, {}\n", report.position)));
    let copy = bed.copy();
    std::fs::remove_file(copy.path().join(&names(copy.path(), "ledger")[1])).unwrap();
    let (intact, text) = with_python(copy.path());
    assert!(!intact && text.contains("is missing, and no record says that it was deleted"), "{text}");
}

/// Every file that proves something.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let counts = |end: &std::ffi::OsStr| end == "ledger" || end == "kept";
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.parent() != Some(dir) || !dir.join("checkpoint").exists() || path.extension().is_some_and(counts)
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn whatever_is_changed_removed_or_cut_short_beside_deleted_records_is_found() {
    let bed = written().await;
    pass(&bed, 320, &[2]).await;
    let trust = bed.trust().await;
    assert!(read::verify(&bed.dir(), &trust).unwrap().is_intact());
    for case in 0..100 {
        let mut dice = Dice::of(7, case);
        let copy = bed.copy();
        let file = dice.pick(&files(copy.path())).clone();
        let mut bytes = std::fs::read(&file).unwrap();
        let what = match dice.below(4) {
            0 => {
                std::fs::remove_file(&file).unwrap();
                "removed"
            }
            1 => {
                bytes.truncate(dice.below(bytes.len()));
                std::fs::write(&file, bytes).unwrap();
                "cut short"
            }
            _ => {
                let byte = dice.below(bytes.len());
                bytes[byte] ^= 1 << dice.below(8);
                std::fs::write(&file, bytes).unwrap();
                "changed"
            }
        };
        let is_found = read::verify(copy.path(), &trust).map_or(true, |report| !report.is_intact());
        assert!(is_found, "case {case}: {} was {what}", file.display());
    }
}

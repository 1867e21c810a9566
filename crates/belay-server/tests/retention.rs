//! What is too old is deleted, and everybody can see that it was, and that nothing else is missing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy sees only functions marked as tests as tests")]

mod ledger_bed;

use belay_ledger::{ConsistencyProof, Hash};
use belay_model::{Event, EventKind, Timestamp};
use belay_server::ledger::checkpoint;
use belay_server::ledger::proof::{self, ProofError};
use belay_server::ledger::read::{self, Filter, Report};
use belay_server::ledger::retention::Passed;
use belay_server::ledger::search::{self, Index, Page};
use belay_server::ledger::tiles::Tiles;
use ledger_bed::{Bed, HOUR, SECOND, at_hour, names, open, pass, statement, written};
use std::path::{Path, PathBuf};
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
    assert_eq!(pass(&bed, 320, &[]).await, Passed { deleted: 1, held: 0 });
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

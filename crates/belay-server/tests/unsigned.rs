//! What nobody has signed is told, and is a fault where it should have been.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy sees only functions marked as tests as tests")]

mod ledger_bed;

use belay_server::ledger::read;
use ledger_bed::{Bed, at_hour, statement};
use std::fs;
use tempfile::TempDir;

/// The ledger with the signatures that it had before.
fn with_signatures_of(later: &TempDir, earlier: &TempDir) {
    for file in ["checkpoint", "checkpoints"] {
        fs::copy(earlier.path().join(file), later.path().join(file)).unwrap();
    }
}

#[tokio::test]
async fn a_closed_segment_that_was_not_signed_for_long_is_a_fault() {
    let bed = Bed::start();
    bed.write(30).await;
    let earlier = bed.copy();
    for hour in 1..60 {
        bed.ledger.record_durable(at_hour(hour, 7)).await.unwrap();
    }
    bed.sealer.now().await.unwrap();
    let later = bed.copy();
    let trust = bed.trust().await;
    assert!(read::verify(later.path(), &trust).unwrap().is_intact());
    with_signatures_of(&later, &earlier);
    let report = read::verify(later.path(), &trust).unwrap();
    let fault = report.damage.unwrap();
    assert_eq!((report.signed, fault.seq), (Some(30), 30));
    assert!(fault.what.contains("should have been signed long ago, and nobody has"), "{}", fault.what);
    bed.stop();
}

#[tokio::test]
async fn what_a_live_gateway_has_not_signed_yet_is_counted_and_no_fault() {
    let bed = Bed::start();
    bed.write(30).await;
    let earlier = bed.copy();
    for number in 30..90 {
        bed.ledger.record_durable(statement(number)).await.unwrap();
    }
    bed.sealer.now().await.unwrap();
    let later = bed.copy();
    with_signatures_of(&later, &earlier);
    fs::write(later.path().join("truncated"), "took 9 bytes off\n").unwrap();
    let report = read::verify(later.path(), &bed.trust().await).unwrap();
    assert!(report.is_intact(), "{report:?}");
    assert_eq!((report.signed, report.records), (Some(30), 90));
    assert!(report.unproven.contains(&"truncated".to_owned()), "{report:?}");
    assert!(report.unproven.iter().all(|name| !name.ends_with(".ledger") && !name.starts_with("checkpoint")));
    bed.stop();
}

//! The proof that a ledger is whole, for people who do not trust the gateway.

use super::ReadError;
use super::gone::{Deleted, Gone};
use super::signed::{Signatures, Trust};
use super::unsigned::Unsigned;
use crate::ledger::checkpoint::CheckpointsError;
use crate::ledger::key_state;
use crate::ledger::recover::feed;
use crate::ledger::segment::{self, Segment};
use belay_ledger::{Damage, DamageKind, Frame, Position, Verifier};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// How often an unfinished append is looked at again before it is called one: a live gateway finishes it.
const LOOKS: u32 = 5;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// Files beside the records that are named one by one.
const NAMED_MOST: usize = 20;

/// What verifying a ledger found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Segments looked at.
    pub segments: u64,
    /// Proven records.
    pub records: u64,
    /// Bytes of proven records and headers.
    pub bytes: u64,
    /// Where the ledger stands after the last proven record: note it elsewhere, and compare it next time.
    pub position: String,
    /// The first thing that is wrong. Nothing after it is proven.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub damage: Option<Fault>,
    /// Bytes of an unfinished append at the very end. A crash leaves them, and so does who changes the last record.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub torn: Option<Fault>,
    /// Whether the position that was to be compared is one that this ledger went through.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub known: Option<bool>,
    /// Records that retention deleted.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub deleted: Vec<Gone>,
    /// Checkpoints that the records came to.
    #[serde(default)]
    pub checkpoints: u64,
    /// How many records a trusted key has signed; absent where no key was given.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signed: Option<u64>,
    /// Lines of the file of keys that are no keys: what they were to open reads as erased. No proof depends on them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub damaged_keys: Vec<String>,
    /// Files beside the records that are no part of the ledger: nothing proves what is in them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub unproven: Vec<String>,
}

/// Where something is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The segment's file name.
    pub file: String,
    /// The record.
    pub seq: u64,
    /// The byte of the file.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

impl Report {
    /// Whether everything that was looked at is as it was written.
    pub fn is_intact(&self) -> bool {
        self.damage.is_none() && self.torn.is_none() && self.known != Some(false)
    }
}

/// What a ledger is compared with.
#[derive(Debug, Clone, Default)]
pub struct Against {
    /// A position that it has to have gone through.
    pub position: Option<Position>,
    /// Who has to have signed it.
    pub trust: Option<Trust>,
}

/// Proves the ledger in `dir` from its first record to its last, and that it is what it was: see [`Against`].
pub fn verify(dir: &Path, against: &Against) -> Result<Report, ReadError> {
    let mut report = prove_settled(dir, against)?;
    for _ in 1..LOOKS {
        if report.torn.is_none() {
            break;
        }
        std::thread::sleep(BETWEEN_LOOKS);
        let again = prove_settled(dir, against)?;
        if again.torn == report.torn {
            break;
        }
        report = again;
    }
    Ok(report)
}

/// What is found while retention deletes nothing: what it deletes meanwhile seems to be missing.
fn prove_settled(dir: &Path, against: &Against) -> Result<Report, ReadError> {
    let list = || segment::list(dir).map_err(|source| ReadError::Io { path: dir.to_owned(), source });
    let mut before = list()?;
    // Each turn but the last has seen a segment go.
    loop {
        let proven = prove(dir, against);
        if proven.as_ref().is_ok_and(|report| report.damage.is_none()) {
            return proven;
        }
        let now = list()?;
        if before.iter().all(|segment| now.contains(segment)) {
            return proven;
        }
        // Newer ones do not count, so that this ends.
        before.retain(|segment| now.contains(segment));
    }
}

fn prove(dir: &Path, against: &Against) -> Result<Report, ReadError> {
    let known = against.position;
    // Before the records: there may be more of them by now.
    let mut signatures = Signatures::new(dir, against.trust.as_ref()).map_err(|error| match error {
        CheckpointsError::Io { path, source } => ReadError::Io { path, source },
        damaged @ CheckpointsError::Damaged { .. } => {
            ReadError::Io { path: dir.to_owned(), source: std::io::Error::other(damaged) }
        }
    })?;
    let failed = |source| ReadError::Io { path: dir.to_owned(), source };
    let segments = segment::list(dir).map_err(failed)?;
    let mut report = Report {
        segments: segments.len() as u64,
        records: 0,
        bytes: 0,
        position: String::new(),
        damage: None,
        torn: None,
        known: known.map(|known| known == Position::START),
        deleted: Vec::new(),
        checkpoints: 0,
        signed: None,
        damaged_keys: damaged_keys(dir),
        unproven: unproven(dir).map_err(failed)?,
    };
    let mut deleted = Deleted::of(dir).map_err(failed)?;
    let mut unsigned = Unsigned::default();
    let mut position = Position::START;
    for (index, segment) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        if position.size < segment.first {
            let mut seen = |passed| report.known = report.known.map(|known_yet| known_yet || known == Some(passed));
            match deleted.pass_over(position, segment.first, &mut seen, &mut signatures) {
                Ok(after) => position = after,
                Err(fault) => {
                    report.damage = Some(fault);
                    break;
                }
            }
        }
        let mut see = |frame: &Frame<'_>| {
            unsigned.see(frame, signatures.signed.unwrap_or(0));
            signatures.see(frame);
        };
        match prove_segment(segment, position, last, known, &mut report, &mut see)? {
            Some(after) => position = after,
            None => break,
        }
    }
    report.deleted = deleted.gone;
    report.position = position.to_string();
    if report.damage.is_none() {
        signatures.finish();
        report.damage = signatures.fault.or_else(|| unsigned.fault(&segments, signatures.signed?));
    }
    (report.checkpoints, report.signed) = (signatures.checkpoints, signatures.signed);
    Ok(report)
}

fn damaged_keys(dir: &Path) -> Vec<String> {
    match key_state(dir) {
        Ok(None) => Vec::new(),
        Ok(Some(state)) => state.lines(),
        Err(error) => vec![format!("all of it: {error}")],
    }
}

fn unproven(dir: &Path) -> std::io::Result<Vec<String>> {
    const PROVEN: [&str; 3] = ["checkpoint", "checkpoints", "tile"];
    const ENDS: [&str; 3] = [".ledger", ".kept", ".checkpoint"];
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !PROVEN.contains(&name.as_str()) && !ENDS.iter().any(|end| name.ends_with(end)) {
            found.push(name);
        }
    }
    found.sort_unstable();
    let more = found.len().saturating_sub(NAMED_MOST);
    found.truncate(NAMED_MOST);
    found.extend((more > 0).then(|| format!("{more} more")));
    Ok(found)
}

/// Returns where the ledger stands after the segment; `None` when it goes no further.
fn prove_segment(
    segment: &Segment,
    before: Position,
    last: bool,
    known: Option<Position>,
    report: &mut Report,
    see: &mut dyn FnMut(&Frame<'_>),
) -> Result<Option<Position>, ReadError> {
    let failed = |source| ReadError::Io { path: segment.path.clone(), source };
    let file_name = segment.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let fault = |damage: Damage| {
        let Damage { seq, offset, kind } = damage;
        Some(Fault { file: file_name.clone(), seq, offset, what: kind.to_string() })
    };
    if segment.first != before.size {
        let kind = DamageKind::Disconnected { found: segment.first };
        report.damage = fault(Damage { seq: before.size, offset: 0, kind });
        return Ok(None);
    }
    let mut file = File::open(&segment.path).map_err(failed)?;
    let mut verifier = Verifier::new(Some(before));
    let mut after = before;
    feed(&mut file, &mut verifier, &mut |frame| {
        after = frame.after;
        see(&frame);
        report.records += 1;
        if known == Some(after) {
            report.known = Some(true);
        }
    })
    .map_err(failed)?;
    match verifier.finish() {
        Err(damage) => report.damage = fault(damage),
        Ok(end) => {
            report.bytes += end.valid_len;
            let Some(torn) = end.torn else { return Ok(Some(after)) };
            let cut = Damage { seq: after.size, offset: torn.offset, kind: DamageKind::Truncated };
            if last {
                let what = format!("{} bytes of an unfinished append", torn.bytes);
                report.torn = fault(cut).map(|fault| Fault { what, ..fault });
                return Ok(Some(after));
            }
            report.damage = fault(cut);
        }
    }
    Ok(None)
}

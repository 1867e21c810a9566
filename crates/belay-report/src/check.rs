//! Whether a report is what the ledger's records make it.

use crate::document::{API_VERSION, KIND, verify_command};
use crate::hash::read;
use crate::strict::Strict;
use crate::{Document, Selection, Subject, gather, html, signed_text};
use belay_ledger::{Checkpoint, Hash, InclusionProof, Note, Record, VerifierKey, leaf};
use std::collections::HashSet;

/// What was proven.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The document.
    pub document: Document,
    /// The checkpoint that everything leads to.
    pub checkpoint: Checkpoint,
    /// The names of the keys that signed it.
    pub signed_by: Vec<String>,
    /// Whether the server signed the report itself, and with it that no record was left out.
    pub is_signed: bool,
}

/// What of a report is not right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not a report of a known kind.
    #[error("it is not a session report of version v1: {0}")]
    Format(String),
    /// It has no proof.
    #[error("it has no proof: the ledger it was made of had no signed checkpoint")]
    Unproven,
    /// The checkpoint is none, or no known key has signed it.
    #[error("the checkpoint: {0}")]
    Checkpoint(String),
    /// A record is not the one that is in the ledger.
    #[error("record {record}: {what}")]
    Record {
        /// Its number.
        record: u64,
        /// What is wrong.
        what: String,
    },
    /// It says something else than its records.
    #[error("its text is not what its records say: `{0}` differs")]
    Text(String),
    /// What the server has signed is not what is there.
    #[error("the server's signature: {0}")]
    Signature(String),
    /// The page shows something else than the data in it.
    #[error("the page does not show what its data say: line {0} differs")]
    Page(usize),
}

/// Checks a report in JSON with the public keys of its ledger.
pub fn check(json: &str, keys: &[VerifierKey]) -> Result<Checked, Fault> {
    let document = parse(json)?;
    let subject: Subject = document.subject.parse().map_err(|_| Fault::Format("its subject".to_owned()))?;
    let proof = document.proof.as_ref().ok_or(Fault::Unproven)?;
    let (checkpoint, signed_by) = signed(&proof.checkpoint, keys)?;
    if proof.verify != verify_command(subject) {
        return Err(Fault::Text("proof.verify".to_owned()));
    }
    let records = records(&document, &checkpoint, &proof.hashes)?;
    selected(subject, &records)?;
    let report = gather(&records);
    if report != document.report {
        return Err(Fault::Text(difference(&report, &document.report)));
    }
    let is_signed = signature(&document, &checkpoint, keys)?;
    Ok(Checked { document, checkpoint, signed_by, is_signed })
}

/// Checks a report as a page: its data, and that it shows them and nothing else.
pub fn check_page(page: &str, keys: &[VerifierKey]) -> Result<Checked, Fault> {
    let data = html::embedded(page).ok_or_else(|| Fault::Format("there are no data in the page".to_owned()))?;
    let checked = check(&data, keys)?;
    let again = html::page(&checked.document);
    if again != page {
        let same = again.lines().zip(page.lines()).take_while(|(one, other)| one == other).count();
        return Err(Fault::Page(same + 1));
    }
    Ok(checked)
}

/// Reads it strictly: what would be read in more than one way is nothing that anybody wrote.
fn parse(json: &str) -> Result<Document, Fault> {
    let format = |error: serde_json::Error| Fault::Format(error.to_string());
    let _: Strict = serde_json::from_str(json).map_err(format)?;
    let document: Document = serde_json::from_str(json).map_err(format)?;
    let written = serde_json::to_value(&document).map_err(format)?;
    let found: serde_json::Value = serde_json::from_str(json).map_err(format)?;
    if written != found {
        return Err(Fault::Format(format!("`{}` is not as it is written", difference(&written, &found))));
    }
    if document.kind != KIND || document.api_version != API_VERSION {
        return Err(Fault::Format(format!("it is a {} of version {}", document.kind, document.api_version)));
    }
    Ok(document)
}

fn signed(note: &str, keys: &[VerifierKey]) -> Result<(Checkpoint, Vec<String>), Fault> {
    let wrong = |what: &str| Fault::Checkpoint(what.to_owned());
    let parsed: Note = note.parse().map_err(|_| wrong("it is not a signed note"))?;
    if parsed.to_string() != note {
        return Err(wrong("it is not written as signed notes are"));
    }
    let signed_by = parsed.verify(keys);
    if signed_by.is_empty() {
        return Err(wrong("none of these keys has signed it as it is"));
    }
    let checkpoint = Checkpoint::of(&parsed).map_err(|error| Fault::Checkpoint(error.to_string()))?;
    Ok((checkpoint, signed_by.iter().map(|key| key.name().to_owned()).collect()))
}

/// The records, each of them proven.
fn records(document: &Document, checkpoint: &Checkpoint, hashes: &[String]) -> Result<Vec<Record>, Fault> {
    let wrong = |what: &str| Fault::Checkpoint(what.to_owned());
    let hashes: Option<Vec<Hash>> = hashes.iter().map(|text| read(text)).collect();
    let hashes = hashes.ok_or_else(|| wrong("a hash of the proof is none"))?;
    let mut used = HashSet::new();
    let mut records = Vec::with_capacity(document.records.len());
    let mut before = None;
    for proven in &document.records {
        let fault = |what: &str| Fault::Record { record: proven.record, what: what.to_owned() };
        if before.is_some_and(|before| proven.record <= before) {
            return Err(fault("it is not in its place"));
        }
        before = Some(proven.record);
        let path = |place: &u32| {
            let place = usize::try_from(*place).ok()?;
            used.insert(place);
            hashes.get(place).copied()
        };
        let path: Option<Vec<Hash>> = proven.path.iter().map(path).collect();
        let hashes = path.ok_or_else(|| fault("its proof names a hash that is not there"))?;
        let proof = InclusionProof { index: proven.record, size: checkpoint.size, hashes };
        if !proof.verify(leaf(proven.payload.as_bytes()), checkpoint.root) {
            return Err(fault("it is not the record that is in the ledger"));
        }
        let record = Record::with_content(proven.payload.as_bytes(), proven.content.as_deref());
        let record = record.map_err(|error| fault(&error.to_string()))?;
        if record.seq != proven.record {
            return Err(fault("it bears another number"));
        }
        records.push(record);
    }
    if used.len() != hashes.len() {
        return Err(wrong("the proof has hashes that nothing leads to"));
    }
    Ok(records)
}

/// Nothing may be there that does not belong to it.
fn selected(subject: Subject, records: &[Record]) -> Result<(), Fault> {
    let none = || Fault::Text("records".to_owned());
    let mut selection = Selection::within(subject, records.iter().map(|record| &record.event)).ok_or_else(none)?;
    for record in records {
        if !selection.take(&record.event) {
            let what = format!("it has nothing to do with {subject}, or what links it is left out");
            return Err(Fault::Record { record: record.seq, what });
        }
    }
    if selection.is_known() { Ok(()) } else { Err(none()) }
}

fn signature(document: &Document, checkpoint: &Checkpoint, keys: &[VerifierKey]) -> Result<bool, Fault> {
    let wrong = |what: &str| Fault::Signature(what.to_owned());
    let Some(signature) = &document.signature else {
        let proven = document.values.is_empty();
        return if proven { Ok(false) } else { Err(wrong("rows before and after are there, and no signature")) };
    };
    let note: Note = signature.parse().map_err(|_| wrong("it is not a signed note"))?;
    if note.to_string() != *signature || note.text() != signed_text(&checkpoint.origin, document) {
        return Err(wrong("it is not of this report"));
    }
    if note.verify(keys).is_empty() { Err(wrong("none of these keys has made it")) } else { Ok(true) }
}

/// The way to the first place where two values differ.
fn difference(one: &impl serde::Serialize, other: &impl serde::Serialize) -> String {
    let (one, other) = (serde_json::to_value(one).unwrap_or_default(), serde_json::to_value(other).unwrap_or_default());
    let mut way = Vec::new();
    descend(&one, &other, &mut way);
    way.join(".")
}

fn descend(one: &serde_json::Value, other: &serde_json::Value, way: &mut Vec<String>) {
    use serde_json::Value::{Array, Object};
    let next = match (one, other) {
        (Object(one), Object(other)) => {
            let keys = one.keys().chain(other.keys());
            let mut differing = keys.filter(|key| one.get(*key) != other.get(*key));
            differing.next().map(|key| (key.clone(), one.get(key), other.get(key)))
        }
        (Array(one), Array(other)) => {
            let at = (0..one.len().max(other.len())).find(|at| one.get(*at) != other.get(*at));
            at.map(|at| (at.to_string(), one.get(at), other.get(at)))
        }
        _ => None,
    };
    let Some((key, one, other)) = next else { return };
    way.push(key);
    // Ends because values end; they were read with a bound on their depth.
    if let (Some(one), Some(other)) = (one, other) {
        descend(one, other, way);
    }
}

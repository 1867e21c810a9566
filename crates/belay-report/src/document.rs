//! A report with what proves it.

use crate::{Hashes, Report, Subject, gather};
use belay_ledger::{InclusionProof, Record};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What the object is.
pub const KIND: &str = "session_report";
/// The version of its shape.
pub const API_VERSION: &str = "v1";

/// A report, the records it is made of, and proofs that they are in the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// `session_report`.
    pub kind: String,
    /// `v1`.
    pub api_version: String,
    /// The session or the request.
    pub subject: String,
    /// What it says.
    pub report: Report,
    /// Rows before and after, where the server made the report: they are no part of the ledger.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub values: Vec<Values>,
    /// The records, in their order.
    pub records: Vec<Proven>,
    /// What the proofs lead to; absent where the ledger has no signed checkpoint.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub proof: Option<Proof>,
    /// The server's signature of all the rest, where it made the report: a signed note over its SHA-256.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signature: Option<String>,
}

/// A record, and the way from it to the root of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proven {
    /// Its number.
    pub record: u64,
    /// Its bytes in the ledger.
    pub payload: String,
    /// What is sealed in them, as far as there was a key to it; its SHA-256 is in the payload.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content: Option<String>,
    /// The hashes beside the way, by their places in the proof's list.
    pub path: Vec<u32>,
}

/// A record for a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// As it was read.
    pub record: Record,
    /// Its bytes in the ledger.
    pub payload: String,
    /// What is sealed in them, if there is a key to it.
    pub content: Option<String>,
}

/// What the proofs lead to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The checkpoint: a signed note.
    pub checkpoint: String,
    /// Hashes of the tree, in base64, each once.
    pub hashes: Vec<String>,
    /// How to verify it.
    pub verify: String,
}

/// The rows of a change as they were and as they are after. Masked values are masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Values {
    /// The change.
    pub change: String,
    /// By table.
    pub tables: Vec<ValuesOfTable>,
}

/// The rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValuesOfTable {
    /// The table, with its schema.
    pub table: String,
    /// Its columns; values stand in this order.
    pub columns: Vec<String>,
    /// The rows, or the first and the last ones.
    pub rows: Vec<RowsBefore>,
    /// How many are not here.
    pub left_out: u64,
}

/// A row before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowsBefore {
    /// As it was; absent where it was not there.
    pub before: Option<Vec<Option<String>>>,
    /// As it is after; absent where it is not there.
    pub after: Option<Vec<Option<String>>>,
    /// How often, where no key tells equal rows apart.
    pub times: u64,
}

impl Document {
    /// The document of these records. `proven` is the checkpoint and a proof for each of them.
    pub fn of(subject: Subject, records: &[Taken], proven: Option<(String, Vec<InclusionProof>)>) -> Document {
        let mut hashes = Hashes::default();
        let (checkpoint, proofs) = proven.unzip();
        let mut proofs = proofs.unwrap_or_default().into_iter();
        let taken = records.iter().map(|taken| Proven {
            record: taken.record.seq,
            payload: taken.payload.clone(),
            content: taken.content.clone(),
            path: proofs.next().map(|proof| hashes.places(&proof.hashes)).unwrap_or_default(),
        });
        let taken = taken.collect();
        let read: Vec<Record> = records.iter().map(|taken| taken.record.clone()).collect();
        Document {
            kind: KIND.to_owned(),
            api_version: API_VERSION.to_owned(),
            subject: subject.to_string(),
            report: gather(&read),
            values: Vec::new(),
            records: taken,
            proof: checkpoint.map(|checkpoint| Proof {
                checkpoint,
                hashes: hashes.written(),
                verify: verify_command(subject),
            }),
            signature: None,
        }
    }

    /// What a server signs of it: everything but the signature.
    pub fn digest(&self) -> String {
        let bare = Document { signature: None, ..self.clone() };
        let text = serde_json::to_vec(&bare).unwrap_or_default();
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, Sha256::digest(text))
    }
}

/// The text of the note with which a server signs a report. It is no checkpoint, nor could one be taken for it.
pub fn signed_text(origin: &str, document: &Document) -> String {
    format!("{origin}\nsession report {}\n{}\n", document.subject, document.digest())
}

pub(crate) fn verify_command(subject: Subject) -> String {
    format!("belay audit check {subject}.html --key KEY")
}

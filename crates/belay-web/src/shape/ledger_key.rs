//! What is signed over the ledger.

use super::Head;
use belay_server::ledger::proof::{Proof, Shown};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A signed state of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LedgerCheckpoint {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// How many records it has.
    pub records: u64,
    /// The signed note; its text is a C2SP checkpoint.
    pub note: String,
}

/// The public key of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LedgerKey {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// The key, as signed notes have it: `NAME+ID+BASE64`.
    pub key: String,
    /// The one whose place it took just now.
    pub replaced: Option<String>,
}

/// A record, and the proof that it is in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecordProof {
    /// What it is.
    #[serde(flatten)]
    pub head: Head,
    /// Its number.
    pub seq: u64,
    /// The record as it was written, byte for byte.
    pub record: String,
    /// What is sealed in the record, if there is a key to it: its SHA-256 is the record's `content`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content: Option<String>,
    /// The proof, in the form of C2SP tlog-proof.
    pub proof: String,
}

impl RecordProof {
    /// Of a record, which is JSON.
    pub fn new(seq: u64, shown: Shown, proof: &Proof) -> RecordProof {
        let record =
            String::from_utf8(shown.payload).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into());
        let (content, proof) = (shown.content, proof.to_string());
        RecordProof { head: Head::of("record_proof"), seq, record, content, proof }
    }
}

//! Checkpoints: how far a ledger has come, and the root of its tree there, as in C2SP tlog-checkpoint.

use crate::{Hash, Note, Signer};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::str::FromStr;

/// A state of a ledger. Signed, it is a [`Note`] whose text is this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which ledger.
    pub origin: String,
    /// How many records it has.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
}

/// A text that is no checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a checkpoint of a ledger")]
pub struct CheckpointError;

impl Checkpoint {
    /// Signs it.
    pub fn sign(&self, signers: &[&Signer]) -> Note {
        Note::sign(self.to_string(), signers)
    }

    /// What a note is about.
    pub fn of(note: &Note) -> Result<Checkpoint, CheckpointError> {
        note.text().parse()
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, STANDARD.encode(self.root.0))
    }
}

impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Checkpoint, CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError)?.split('\n');
        // Further lines are extensions that say nothing of the tree.
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError);
        };
        let root = STANDARD.decode(root).ok().and_then(|root| root.try_into().ok()).ok_or(CheckpointError)?;
        let number: u64 = size.parse().map_err(|_| CheckpointError)?;
        if origin.is_empty() || number.to_string() != size {
            return Err(CheckpointError);
        }
        Ok(Checkpoint { origin: origin.to_owned(), size: number, root: Hash(root) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_reads_back_and_nonsense_does_not() {
        let checkpoint = Checkpoint { origin: "ledger.example/belay".to_owned(), size: 42, root: crate::leaf(b"x") };
        let text = checkpoint.to_string();
        assert_eq!(text.parse(), Ok(checkpoint));
        for wrong in
            [text.replace("42", "042"), text.replace("42", "-2"), text[1..].replace("edger", ""), String::new()]
        {
            let parsed = wrong.parse::<Checkpoint>();
            assert!(parsed.as_ref().is_err() || parsed.unwrap().to_string() != text, "{wrong}");
        }
        assert!(format!("{text}extension\n").parse::<Checkpoint>().is_ok());
    }
}

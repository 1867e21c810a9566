//! Hashes of proofs, each written once: neighbours share most of theirs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use belay_ledger::Hash;
use std::collections::HashMap;

/// Collects the hashes of many proofs.
#[derive(Debug, Default)]
pub struct Hashes {
    written: Vec<String>,
    places: HashMap<[u8; 32], u32>,
}

impl Hashes {
    /// The places of these hashes, which are added where they are new.
    pub fn places(&mut self, hashes: &[Hash]) -> Vec<u32> {
        let place = |hash: &Hash| {
            let next = u32::try_from(self.written.len()).unwrap_or(u32::MAX);
            *self.places.entry(hash.0).or_insert_with(|| {
                self.written.push(STANDARD.encode(hash.0));
                next
            })
        };
        hashes.iter().map(place).collect()
    }

    /// All of them, in base64.
    pub fn written(self) -> Vec<String> {
        self.written
    }
}

pub(crate) fn read(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok().map(Hash)
}

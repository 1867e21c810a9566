//! Proofs against the root of the tree, as in RFC 6962, section 2.1, and how to check them, as in RFC 9162.

use crate::Hash;
use crate::merkle::{Nodes, empty_root, left_of, node, range};

/// Proves that a record is the one at its place in a ledger of a certain size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// The number of the record.
    pub index: u64,
    /// How many records the tree has.
    pub size: u64,
    /// The hashes beside the way from the leaf to the root.
    pub hashes: Vec<Hash>,
}

/// Proves that a ledger of one size goes on as a larger one: nothing before was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// How many records the smaller tree has.
    pub old: u64,
    /// How many the larger one has.
    pub new: u64,
    /// The hashes that make up both roots.
    pub hashes: Vec<Hash>,
}

impl InclusionProof {
    /// Makes the proof for record `index` in a tree of `size`; nothing where there is no such record.
    pub fn make<N: Nodes>(nodes: &mut N, index: u64, size: u64) -> Result<Option<InclusionProof>, N::Error> {
        if index >= size {
            return Ok(None);
        }
        let mut hashes = Vec::new();
        let (mut from, mut to) = (0, size);
        // From the root down; each turn halves what is left.
        while to - from > 1 {
            let middle = from + left_of(to - from);
            if index < middle {
                hashes.push(range(nodes, middle, to)?);
                to = middle;
            } else {
                hashes.push(range(nodes, from, middle)?);
                from = middle;
            }
        }
        hashes.reverse();
        Ok(Some(InclusionProof { index, size, hashes }))
    }

    /// Whether a record with this leaf is at that place of the tree with this root.
    pub fn verify(&self, leaf: Hash, root: Hash) -> bool {
        if self.index >= self.size {
            return false;
        }
        let (mut place, mut last, mut hash) = (self.index, self.size - 1, leaf);
        for beside in &self.hashes {
            if last == 0 {
                return false;
            }
            if place & 1 == 1 || place == last {
                hash = node(*beside, hash);
                while place & 1 == 0 && place != 0 {
                    (place, last) = (place >> 1, last >> 1);
                }
            } else {
                hash = node(hash, *beside);
            }
            (place, last) = (place >> 1, last >> 1);
        }
        last == 0 && hash == root
    }
}

impl ConsistencyProof {
    /// Makes the proof from a tree of `old` to one of `new`; nothing where the second is smaller.
    pub fn make<N: Nodes>(nodes: &mut N, old: u64, new: u64) -> Result<Option<ConsistencyProof>, N::Error> {
        if old > new {
            return Ok(None);
        }
        let mut hashes = Vec::new();
        if old > 0 {
            let (mut from, mut to, mut is_root) = (0, new, true);
            while old != to {
                let middle = from + left_of(to - from);
                if old <= middle {
                    hashes.push(range(nodes, middle, to)?);
                    to = middle;
                } else {
                    hashes.push(range(nodes, from, middle)?);
                    (from, is_root) = (middle, false);
                }
            }
            if !is_root {
                hashes.push(range(nodes, from, to)?);
            }
            hashes.reverse();
        }
        Ok(Some(ConsistencyProof { old, new, hashes }))
    }

    /// Whether the tree with the root `before` goes on as the one with the root `after`.
    pub fn verify(&self, before: Hash, after: Hash) -> bool {
        if self.old > self.new {
            return false;
        }
        if self.old == self.new {
            return self.hashes.is_empty() && before == after;
        }
        if self.old == 0 {
            return self.hashes.is_empty() && before == empty_root();
        }
        let mut hashes = self.hashes.iter().copied();
        let first = if self.old.is_power_of_two() { Some(before) } else { hashes.next() };
        let Some(first) = first else { return false };
        let (mut place, mut last) = (self.old - 1, self.new - 1);
        while place & 1 == 1 {
            (place, last) = (place >> 1, last >> 1);
        }
        let (mut small, mut large) = (first, first);
        for beside in hashes {
            if last == 0 {
                return false;
            }
            if place & 1 == 1 || place == last {
                (small, large) = (node(beside, small), node(beside, large));
                while place & 1 == 0 && place != 0 {
                    (place, last) = (place >> 1, last >> 1);
                }
            } else {
                large = node(large, beside);
            }
            (place, last) = (place >> 1, last >> 1);
        }
        last == 0 && small == before && large == after
    }
}

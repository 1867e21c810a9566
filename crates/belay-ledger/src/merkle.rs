//! The Merkle tree over the leaves of a ledger, as in RFC 6962, section 2.1.

use crate::Hash;
use sha2::{Digest as _, Sha256};

/// The hash of a node over the two below it.
pub fn node(left: Hash, right: Hash) -> Hash {
    Hash(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// The root of a tree without leaves.
pub fn empty_root() -> Hash {
    Hash(Sha256::digest([]).into())
}

/// Hashes of whole subtrees: of the 2^`level` leaves from `index` * 2^`level` on. Level 0 are the leaves.
pub trait Nodes {
    /// Why one cannot be had.
    type Error;

    /// One hash. It is asked only for subtrees that are whole.
    fn node(&mut self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The root over the hashes of neighbours on one level, of which only the last may be incomplete.
pub(crate) fn root_of(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => empty_root(),
        [one] => *one,
        _ => {
            let (left, right) = hashes.split_at(1 << (hashes.len() - 1).ilog2());
            node(root_of(left), root_of(right))
        }
    }
}

/// The root over the leaves from `from` to before `to`, where `from` is a place at which a subtree of that size begins.
pub(crate) fn range<N: Nodes>(nodes: &mut N, from: u64, to: u64) -> Result<Hash, N::Error> {
    let count = to - from;
    if count.is_power_of_two() {
        let level = count.trailing_zeros();
        return nodes.node(level, from >> level);
    }
    let middle = from + left_of(count);
    Ok(node(range(nodes, from, middle)?, range(nodes, middle, to)?))
}

/// How many of so many leaves, at least two, are on the left: the largest power of two that is smaller.
pub(crate) fn left_of(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_left_side_is_the_largest_smaller_power_of_two() {
        for (count, left) in [(2, 1), (3, 2), (4, 2), (5, 4), (8, 4), (9, 8), (256, 128), (257, 256)] {
            assert_eq!(left_of(count), left);
        }
    }
}

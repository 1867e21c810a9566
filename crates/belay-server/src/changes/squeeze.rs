//! Compression of blocks: the block format of LZ4.
//!
//! Rows of a table repeat each other within a few kilobytes, which is all that this needs to see. A block that does
//! not get smaller is kept as it is.

use super::format::BLOCK;
use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};

/// How a block is kept.
const AS_IT_IS: u8 = 0;
const SQUEEZED: u8 = 1;

/// Puts the squeezed block, and how it is kept, into `out`. The block is at most [`BLOCK`] bytes long.
pub(super) fn squeeze(block: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.resize(1 + get_maximum_output_size(block.len()), SQUEEZED);
    let length = out.get_mut(1..).and_then(|out| compress_into(block, out).ok());
    if let Some(length) = length.filter(|length| *length < block.len()) {
        out.truncate(1 + length);
    } else {
        out.clear();
        out.push(AS_IT_IS);
        out.extend_from_slice(block);
    }
}

/// The block; `None` where this is not one.
pub(super) fn expand(squeezed: &[u8], out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    match squeezed.split_first()? {
        (&AS_IT_IS, block) if block.len() <= BLOCK => {
            out.extend_from_slice(block);
            Some(())
        }
        (&SQUEEZED, rest) => {
            // No more than this is ever written, whatever the bytes ask for.
            out.resize(BLOCK, 0);
            let length = decompress_into(rest, out).ok();
            out.truncate(length.unwrap_or(0));
            length.map(drop)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(block: &[u8]) -> usize {
        let (mut squeezed, mut back) = (Vec::new(), Vec::new());
        squeeze(block, &mut squeezed);
        expand(&squeezed, &mut back).unwrap();
        assert!(back == block, "a block of {} bytes does not come back", block.len());
        squeezed.len()
    }

    /// The same bytes at each run.
    fn noise(length: usize, mut seed: u64, letters: u8) -> Vec<u8> {
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u8::try_from(seed >> 56).unwrap() % letters
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn blocks_of_every_length_and_kind_come_back() {
        for length in (0..300).chain([65_000, BLOCK - 1, BLOCK]) {
            for letters in [1, 2, 5, 255] {
                round_trip(&noise(length, length as u64, letters));
            }
        }
    }

    #[test]
    fn rows_get_small_and_noise_does_not_grow() {
        let rows: Vec<u8> =
            (0..1000).flat_map(|row| format!("({row},open,\"2026-11-30 10:00\")").into_bytes()).collect();
        assert!(round_trip(&rows) * 2 < rows.len());
        assert_eq!(round_trip(&noise(BLOCK, 7, 255)), BLOCK + 1);
    }

    #[test]
    fn what_is_no_block_is_refused_within_bounds() {
        let mut out = Vec::new();
        for bytes in
            [&[][..], &[2], &[1], &[1, 0x0f, 1, 0], &[1, 0x10, 7, 0, 0], &[1, 0xf0, 255, 255], &[1, 0x10, 7, 9, 0]]
        {
            assert!(expand(bytes, &mut out).is_none(), "{bytes:?}");
        }
        let bomb = [&[1, 0x1f, 7, 1, 0][..], &[255; 1000], &[0, 0]].concat();
        assert!(expand(&bomb, &mut out).is_none());
        assert!(out.len() <= BLOCK);
    }
}

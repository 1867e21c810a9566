//! Compression of blocks: the block format of LZ4.
//!
//! Rows of a table repeat each other within a few kilobytes, which is all that this needs to see. A block that does
//! not get smaller is kept as it is.

use super::format::BLOCK;

/// How a block is kept.
const AS_IT_IS: u8 = 0;
const SQUEEZED: u8 = 1;

/// Matches are looked for by the hash of this many bytes.
const SHORTEST: usize = 4;
/// The format wants no match to begin in the last 12 bytes of a block, or to reach into the last 5.
const NO_START: usize = 12;
const NO_MATCH: usize = 5;
const SLOTS: usize = 1 << 12;
/// A length in a token; more is told in bytes that follow.
const LONG: usize = 15;

/// Puts the squeezed block, and how it is kept, into `out`. The block is at most [`BLOCK`] bytes long.
pub(super) fn squeeze(block: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.push(SQUEEZED);
    compress(block, out);
    if out.len() > block.len() {
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
        (&SQUEEZED, rest) => decompress(rest, out),
        _ => None,
    }
}

fn compress(block: &[u8], out: &mut Vec<u8>) {
    // Where each hash was seen last, plus one; the block is short enough for all offsets to fit.
    let mut seen = [0_u32; SLOTS];
    let (mut at, mut literals) = (0, 0);
    let last_start = block.len().saturating_sub(NO_START);
    while at < last_start {
        let Some(word) = word_at(block, at) else { break };
        let slot = usize::try_from(word.wrapping_mul(2_654_435_761) >> 20).unwrap_or(0) % SLOTS;
        let before = seen.get(slot).and_then(|at| at.checked_sub(1)).and_then(|at| usize::try_from(at).ok());
        if let (Some(seen), Ok(next)) = (seen.get_mut(slot), u32::try_from(at + 1)) {
            *seen = next;
        }
        let matched =
            before.filter(|before| u16::try_from(at - before).is_ok() && word_at(block, *before) == Some(word));
        let Some(before) = matched else {
            // The longer nothing repeats, the faster it is passed over.
            at += 1 + ((at - literals) >> 6);
            continue;
        };
        let length = SHORTEST + same(block, before + SHORTEST, at + SHORTEST);
        sequence(out, block.get(literals..at).unwrap_or_default(), Some((at - before, length)));
        at += length;
        literals = at;
    }
    sequence(out, block.get(literals..).unwrap_or_default(), None);
}

fn word_at(block: &[u8], at: usize) -> Option<u32> {
    block.get(at..)?.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes))
}

/// As many bytes are the same at both places, up to the end that may not match.
fn same(block: &[u8], one: usize, other: usize) -> usize {
    let end = block.len() - NO_MATCH;
    let rest = block.get(other..end).unwrap_or_default();
    rest.iter().zip(block.get(one..).unwrap_or_default()).take_while(|(one, other)| one == other).count()
}

/// Literals, and then a match by its offset and length.
fn sequence(out: &mut Vec<u8>, literals: &[u8], matched: Option<(usize, usize)>) {
    let beyond = matched.map_or(0, |(_, length)| length - SHORTEST);
    let nibble = |length: usize| u8::try_from(length.min(LONG)).unwrap_or(0);
    out.push(nibble(literals.len()) << 4 | nibble(beyond));
    push_length(out, literals.len());
    out.extend_from_slice(literals);
    if let Some((offset, _)) = matched {
        out.extend_from_slice(&u16::try_from(offset).unwrap_or(0).to_le_bytes());
        push_length(out, beyond);
    }
}

fn push_length(out: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(LONG) else { return };
    while rest >= 255 {
        out.push(255);
        rest -= 255;
    }
    out.push(u8::try_from(rest).unwrap_or(0));
}

fn decompress(mut rest: &[u8], out: &mut Vec<u8>) -> Option<()> {
    while let Some((token, after)) = rest.split_first() {
        rest = after;
        let count = take_length(&mut rest, usize::from(token >> 4))?;
        let (literals, after) = rest.split_at_checked(count)?;
        out.extend_from_slice(literals);
        rest = after;
        if rest.is_empty() {
            return (out.len() <= BLOCK).then_some(());
        }
        let (offset, after) = rest.split_first_chunk::<2>()?;
        rest = after;
        let length = SHORTEST + take_length(&mut rest, usize::from(token & 15))?;
        let from = out.len().checked_sub(usize::from(u16::from_le_bytes(*offset)))?;
        if from == out.len() || out.len() + length > BLOCK {
            return None;
        }
        // What is copied may reach into what the copy itself makes.
        for at in from..from + length {
            out.push(*out.get(at)?);
        }
    }
    None
}

fn take_length(rest: &mut &[u8], nibble: usize) -> Option<usize> {
    let mut length = nibble;
    let mut more = nibble == LONG;
    while more {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        length += usize::from(*byte);
        more = *byte == 255;
    }
    (length <= BLOCK).then_some(length)
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

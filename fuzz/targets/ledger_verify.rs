//! The ledger's verifier: never panics, gives the same answer however the bytes are cut, and finds what was done to a
//! segment that was right.

#![no_main]

use belay_ledger::{Damage, Encoder, End, Frame, HEADER_LEN, Header, Position, Record, Verifier};
use belay_model::{Event, EventKind, Timestamp};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((mode, rest)) = data.split_first() else { return };
    match mode % 3 {
        0 => same_in_pieces(rest),
        1 => {
            let mut segment = Header { start: Position::START }.encode().to_vec();
            segment.extend_from_slice(rest);
            same_in_pieces(&segment);
        }
        _ => changes_are_found(rest),
    }
});

fn verify(bytes: &[u8], piece: usize) -> (Vec<Vec<u8>>, Result<End, Damage>) {
    let mut verifier = Verifier::new(Some(Position::START));
    let mut payloads = Vec::new();
    for chunk in bytes.chunks(piece.max(1)) {
        verifier.feed(chunk, &mut |frame: Frame<'_>| payloads.push(frame.payload.to_vec()));
    }
    (payloads, verifier.finish())
}

fn same_in_pieces(bytes: &[u8]) {
    let whole = verify(bytes, bytes.len());
    for piece in [1, 7, 64] {
        assert_eq!(verify(bytes, piece), whole);
    }
    // A payload that nobody wrote may not read, but must not panic.
    drop(Record::decode(bytes));
}

/// The first byte says how many records, then come changes of three bytes: what, where, how.
fn changes_are_found(data: &[u8]) {
    let Some((count, changes)) = data.split_first() else { return };
    let mut segment = Header { start: Position::START }.encode().to_vec();
    let mut encoder = Encoder::new(Position::START);
    let mut last = HEADER_LEN;
    for number in 0..u64::from(count % 16) + 1 {
        last = segment.len();
        let what = "x".repeat(usize::try_from(number).unwrap_or(0) * 5);
        encoder.append(&Event::new(Timestamp(0), EventKind::Recovered { what }), &mut segment).unwrap();
    }
    let whole = segment.clone();
    for change in changes.chunks_exact(3).take(8) {
        let at = usize::from(change[1]) * segment.len() / 256;
        match change[0] % 4 {
            0 if at < segment.len() => segment[at] ^= change[2],
            1 if at < segment.len() => drop(segment.remove(at)),
            2 => segment.insert(at, change[2]),
            _ => segment.extend_from_within(at..),
        }
    }
    let (payloads, verdict) = verify(&segment, 64);
    assert!(payloads.len() <= usize::from(count % 16) + 1, "more records than were written");
    if let Ok(end) = verdict {
        // Right, shorter by whole records, or torn: but every byte that counts is one that was written.
        let valid = usize::try_from(end.valid_len).unwrap();
        assert_eq!(segment[..valid], whole[..valid.min(whole.len())], "a change passed");
        // What is thrown away as torn is an append's rest, never a record with others behind it, unless it was cut off.
        assert!(valid >= last || end.torn.is_some() || valid < whole.len());
    }
}

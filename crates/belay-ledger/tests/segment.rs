//! What is written is read back, and whatever is done to it is found.

#![allow(clippy::unwrap_used, reason = "clippy sees only functions marked as tests as tests")]

use belay_ledger::{
    Damage, DamageKind, Encoder, End, HEADER_LEN, Header, MAX_PAYLOAD, Position, Record, Torn, Verifier, leaf, link,
};
use belay_model::{BindValue, Effect, Event, EventKind, GrantId, Named, Timestamp};
use proptest::prelude::*;
use std::ops::Range;

fn statement(text: &str) -> Event {
    let kind = EventKind::Statement {
        statement: 1,
        text: text.into(),
        values: None,
        effect: Effect::Read,
        denied: None,
        because: None,
        relations: Named::default(),
    };
    Event::new(Timestamp(5), kind).by("alice").on("orders").under(GrantId(3))
}

/// A segment of these texts, and where each frame lies.
fn segment(texts: &[String]) -> (Vec<u8>, Vec<Range<usize>>, Position) {
    let mut bytes = Header { start: Position::START }.encode().to_vec();
    let mut encoder = Encoder::new(Position::START);
    let mut frames = Vec::new();
    for text in texts {
        let start = bytes.len();
        encoder.append(&statement(text), &mut bytes).unwrap();
        frames.push(start..bytes.len());
    }
    (bytes, frames, encoder.position())
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("SELECT {number}")).collect()
}

fn verify_in_pieces(bytes: &[u8], pieces: &[usize]) -> (Vec<Vec<u8>>, Result<End, Damage>) {
    let mut verifier = Verifier::new(Some(Position::START));
    let (mut payloads, mut rest) = (Vec::new(), bytes);
    let mut each = |frame: belay_ledger::Frame<'_>| payloads.push(frame.payload.to_vec());
    for piece in pieces {
        let (now, later) = rest.split_at((*piece).min(rest.len()));
        verifier.feed(now, &mut each);
        rest = later;
    }
    verifier.feed(rest, &mut each);
    (payloads, verifier.finish())
}

fn verify(bytes: &[u8]) -> Result<End, Damage> {
    verify_in_pieces(bytes, &[]).1
}

fn kind_of(bytes: &[u8]) -> DamageKind {
    verify(bytes).unwrap_err().kind
}

fn without(bytes: &[u8], range: &Range<usize>) -> Vec<u8> {
    [&bytes[..range.start], &bytes[range.end..]].concat()
}

fn with(bytes: &[u8], at: usize, more: &[u8]) -> Vec<u8> {
    [&bytes[..at], more, &bytes[at..]].concat()
}

#[test]
fn a_segment_reads_back_record_by_record() {
    let (bytes, _, position) = segment(&numbered(3));
    let (payloads, end) = verify_in_pieces(&bytes, &[]);
    assert_eq!(end, Ok(End { position: Some(position), valid_len: bytes.len() as u64, torn: None }));
    let records: Vec<Record> = payloads.iter().map(|payload| Record::decode(payload).unwrap()).collect();
    assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(records[2].event, statement("SELECT 2"));
    assert!(
        payloads[0].starts_with(br#"{"seq":0,"at":5,"who":"alice","target":"orders","grant":"g_3","kind":"statement""#)
    );
}

#[test]
fn a_segment_goes_on_where_the_one_before_ended() {
    let (_, _, first) = segment(&numbered(3));
    let mut bytes = Header { start: first }.encode().to_vec();
    let mut encoder = Encoder::new(first);
    assert_eq!(encoder.append(&statement("x"), &mut bytes), Ok(3));
    let check = |expected| {
        let mut verifier = Verifier::new(expected);
        verifier.feed(&bytes, &mut |_| {});
        verifier.finish()
    };
    assert_eq!(check(Some(first)).unwrap().position, Some(encoder.position()));
    assert!(check(None).is_ok());
    let elsewhere = Position { size: 3, chain: leaf(b"other") };
    assert_eq!(check(Some(elsewhere)).unwrap_err().kind, DamageKind::Disconnected { found: 3 });
}

#[test]
fn each_kind_of_damage_is_named_with_its_record_and_byte() {
    let (bytes, frames, _) = segment(&numbered(6));
    let at = |damage: Damage| (damage.seq, damage.offset);
    let third = (2, frames[2].start as u64);

    let mut changed = bytes.clone();
    changed[frames[2].start + 20] ^= 1;
    assert_eq!((kind_of(&changed), at(verify(&changed).unwrap_err())), (DamageKind::Changed, third));

    let removed = without(&bytes, &(frames[2].start..frames[3].end));
    assert_eq!((kind_of(&removed), at(verify(&removed).unwrap_err())), (DamageKind::Removed { next: 4 }, third));

    let swapped = with(&without(&bytes, &frames[2]), frames[3].start, &bytes[frames[2].clone()]);
    let swapped_kind = kind_of(&swapped);
    assert_eq!((swapped_kind, at(verify(&swapped).unwrap_err())), (DamageKind::Reordered { found: 3 }, third));

    let doubled = with(&bytes, frames[1].end, &bytes[frames[0].clone()]);
    assert_eq!((kind_of(&doubled), at(verify(&doubled).unwrap_err())), (DamageKind::Inserted, third));

    let mut forged = Vec::new();
    Encoder::new(Position { size: 2, chain: leaf(b"guess") }).append(&statement("forged"), &mut forged).unwrap();
    assert_eq!(kind_of(&with(&bytes, frames[1].end, &forged)), DamageKind::Inserted);
    assert_eq!(
        verify(&removed).unwrap_err().to_string(),
        format!("records were removed: the next one is record 4 (record 2, byte {})", third.1)
    );
}

#[test]
fn a_record_moved_to_the_very_end_is_not_taken_for_a_torn_tail() {
    let (bytes, frames, _) = segment(&numbered(4));
    assert_eq!(kind_of(&without(&bytes, &frames[2])), DamageKind::Removed { next: 3 });
    let doubled = with(&bytes, bytes.len(), &bytes[frames[3].clone()]);
    assert_eq!(kind_of(&doubled), DamageKind::Reordered { found: 3 });
}

#[test]
fn a_changed_length_in_the_middle_is_damage_and_not_a_torn_tail() {
    let (bytes, frames, _) = segment(&numbered(4));
    let mut changed = bytes.clone();
    changed[frames[1].start + 2] ^= 1;
    assert_eq!(verify(&changed), Err(Damage { seq: 1, offset: frames[1].start as u64, kind: DamageKind::Changed }));
}

#[test]
fn a_length_beyond_the_bound_is_refused_even_with_a_right_check() {
    let (mut bytes, _, _) = segment(&numbered(1));
    let length = u32::try_from(MAX_PAYLOAD + 1).unwrap().to_le_bytes();
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(&crc32fast::hash(&length).to_le_bytes());
    assert_eq!(kind_of(&bytes), DamageKind::Changed);
}

#[test]
fn a_frame_with_a_right_chain_and_a_wrong_number_is_damage() {
    let mut bytes = Header { start: Position::START }.encode().to_vec();
    let payload = br#"{"seq":7,"at":0,"kind":"server_stopped"}"#;
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(&crc32fast::hash(&length).to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes.extend_from_slice(&link(Position::START.chain, leaf(payload)).0);
    assert_eq!(kind_of(&bytes), DamageKind::Removed { next: 7 });
}

#[test]
fn a_tail_cut_anywhere_is_torn_and_keeps_every_whole_record() {
    let (bytes, frames, _) = segment(&numbered(3));
    for length in 0..bytes.len() {
        let end = verify(&bytes[..length]).unwrap();
        let whole = frames.iter().rfind(|frame| frame.end <= length).map_or(HEADER_LEN, |frame| frame.end);
        if length < HEADER_LEN {
            assert_eq!((end.position, end.valid_len), (None, 0));
            assert_eq!(end.torn, Some(Torn { offset: 0, bytes: length as u64 }));
        } else {
            assert_eq!(end.valid_len, whole as u64, "{length}");
            assert_eq!(end.torn.map_or(0, |torn| torn.bytes), (length - whole) as u64, "{length}");
        }
    }
}

#[test]
fn zeros_that_a_crash_left_behind_the_last_record_are_a_torn_tail() {
    let (bytes, frames, _) = segment(&numbered(3));
    let valid = bytes.len() as u64;
    for zeros in [1, 7, 8, 9, 4096] {
        let end = verify(&with(&bytes, bytes.len(), &vec![0; zeros])).unwrap();
        assert_eq!((end.valid_len, end.torn), (valid, Some(Torn { offset: valid, bytes: zeros as u64 })));
    }
    let mut half = bytes.clone();
    half[frames[2].start + 30..].fill(0);
    half.extend_from_slice(&[0; 100]);
    assert_eq!(verify(&half).unwrap().valid_len, frames[2].start as u64);
    assert_eq!(verify(&[0; 300]).unwrap().valid_len, 0);
}

#[test]
fn zeros_in_the_middle_are_damage() {
    let (mut bytes, frames, _) = segment(&numbered(4));
    bytes[frames[1].clone()].fill(0);
    assert_eq!(kind_of(&bytes), DamageKind::Changed);
}

#[test]
fn a_statement_that_is_too_long_is_cut_and_the_record_says_what_was_there() {
    let text = "é".repeat(MAX_PAYLOAD);
    let mut event = statement(&text);
    if let EventKind::Statement { values, .. } = &mut event.kind {
        *values = Some(vec![BindValue::Text("v".repeat(5000)), BindValue::Binary("ab".repeat(5000)), BindValue::Null]);
    }
    let mut bytes = Vec::new();
    Encoder::new(Position::START).append(&event, &mut bytes).unwrap();
    assert!(bytes.len() < MAX_PAYLOAD);
    let record = Record::decode(&bytes[8..bytes.len() - 32]).unwrap();
    let cut = record.cut.unwrap();
    assert_eq!((cut.bytes, cut.values), (2 * MAX_PAYLOAD as u64, Some(3)));
    let EventKind::Statement { text: kept, values, .. } = record.event.kind else { panic!("another kind") };
    assert!(kept.ends_with(&format!("... [cut here: {} bytes in full, sha256 {}]", text.len(), cut.sha256)));
    assert_eq!(values.unwrap(), [BindValue::Long(5000), BindValue::Long(5000), BindValue::Null]);
}

#[test]
fn sixty_five_thousand_values_and_an_unbounded_event_still_fit() {
    let mut event = statement("INSERT");
    if let EventKind::Statement { values, relations, .. } = &mut event.kind {
        *relations = (0..100_000).map(|n| format!("{n:\u{1}>63}.{n:\u{1}>63}")).collect();
        *values = Some(vec![BindValue::Text("\u{1}".repeat(200)); 65_535]);
    }
    let long = Event::new(Timestamp(1), EventKind::Recovered { what: "\u{1}".repeat(MAX_PAYLOAD) }).by("bob");
    let (mut bytes, mut encoder) = (Header { start: Position::START }.encode().to_vec(), Encoder::new(Position::START));
    encoder.append(&event, &mut bytes).unwrap();
    encoder.append(&long, &mut bytes).unwrap();
    let (payloads, end) = verify_in_pieces(&bytes, &[]);
    assert_eq!(end.unwrap().position, Some(encoder.position()));
    assert_eq!(Record::decode(&payloads[0]).unwrap().cut.unwrap().values, Some(65_535));
    let replaced = Record::decode(&payloads[1]).unwrap();
    assert_eq!(replaced.event.who.as_deref(), Some("bob"));
    assert_eq!(replaced.cut.unwrap().kind.as_deref(), Some("recovered"));
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(".{0,40}", 2..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_changed_byte_is_found(texts in texts(), at in any::<prop::sample::Index>(), flip in 1..=255u8) {
        let (mut bytes, frames, _) = segment(&texts);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let last = frames.last().unwrap();
        match verify(&bytes) {
            Err(damage) => {
                let frame = frames.iter().position(|frame| frame.contains(&at));
                prop_assert_eq!(damage.seq, frame.unwrap_or(0) as u64);
                prop_assert_eq!(damage.offset, frame.map_or(0, |frame| frames[frame].start) as u64);
            }
            Ok(end) => {
                prop_assert!(last.contains(&at), "byte {} was changed unseen", at);
                prop_assert_eq!(end.torn.map(|torn| torn.offset), Some(last.start as u64));
            }
        }
    }

    #[test]
    fn any_removed_doubled_or_moved_record_is_found(
        texts in texts(),
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        act in 0..3u8,
    ) {
        let (bytes, frames, _) = segment(&texts);
        let (from, to) = (from.index(frames.len()), to.index(frames.len()));
        let taken = bytes[frames[from].clone()].to_vec();
        let (touched, first) = match act {
            // Removal of the last record leaves a shorter ledger that is right in itself: only a noted position shows it.
            0 if from + 1 == frames.len() => return Ok(()),
            0 => (without(&bytes, &frames[from]), from),
            // A copy put right before the original is the original; the original is then the one too many.
            1 => (with(&bytes, frames[to].end, &taken), if to + 1 == from { from + 1 } else { to + 1 }),
            _ if from == to => return Ok(()),
            _ => {
                let mut order: Vec<usize> = (0..frames.len()).collect();
                order.swap(from, to);
                let body: Vec<u8> = order.iter().flat_map(|frame| bytes[frames[*frame].clone()].to_vec()).collect();
                (with(&bytes[..HEADER_LEN], HEADER_LEN, &body), from.min(to))
            }
        };
        let damage = verify(&touched).unwrap_err();
        prop_assert_eq!(damage.seq, first as u64);
    }

    #[test]
    fn pieces_of_any_size_give_the_same_answer(texts in texts(), change in any::<Option<prop::sample::Index>>()) {
        let (mut bytes, _, _) = segment(&texts);
        if let Some(at) = change {
            let at = at.index(bytes.len());
            bytes[at] ^= 0x55;
        }
        let whole = verify_in_pieces(&bytes, &[]);
        for at in 0..bytes.len() {
            prop_assert_eq!(&verify_in_pieces(&bytes, &[at]), &whole);
        }
        prop_assert_eq!(&verify_in_pieces(&bytes, &vec![1; bytes.len()]), &whole);
    }

    #[test]
    fn arbitrary_bytes_never_verify_as_records(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut body = Header { start: Position::START }.encode().to_vec();
        body.extend_from_slice(&bytes);
        let (payloads, _) = verify_in_pieces(&body, &[]);
        prop_assert!(payloads.is_empty());
    }
}

//! Frames back from bytes, and the proof that they are the ones that were written.

use crate::record::claimed_seq;
use crate::{FRAME_HEAD, FRAME_TAIL, HEADER_LEN, Hash, Header, HeaderError, MAX_PAYLOAD, Position, leaf, link};

/// One proven record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its number.
    pub seq: u64,
    /// Where its frame begins in the segment.
    pub offset: u64,
    /// The record as JSON; [`crate::Record::decode`] reads it.
    pub payload: &'a [u8],
    /// Where the ledger stands after it.
    pub after: Position,
}

impl Frame<'_> {
    /// Where its frame ends in the segment.
    pub fn end(&self) -> u64 {
        self.offset + (FRAME_HEAD + self.payload.len() + FRAME_TAIL) as u64
    }
}

/// How a segment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Where the ledger stands after the last whole record; absent when not even the header is whole.
    pub position: Option<Position>,
    /// The bytes that hold the header and whole records.
    pub valid_len: u64,
    /// What is behind them.
    pub torn: Option<Torn>,
}

/// An append that was cut short: no record, because nobody was told that it was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Torn {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
}

/// What is wrong with a segment, at the first place where something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind} (record {seq}, byte {offset})")]
pub struct Damage {
    /// The record that should stand there.
    pub seq: u64,
    /// The byte of the segment where its frame should begin.
    pub offset: u64,
    /// What happened to it, as far as can be told.
    pub kind: DamageKind,
}

/// The ways in which a segment can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DamageKind {
    /// The record is not the one that was written.
    #[error("the record was changed")]
    Changed,
    /// Records are missing from here to before the given one.
    #[error("records were removed: the next one is record {next}")]
    Removed {
        /// The record that follows.
        next: u64,
    },
    /// Another record stands here, and this one comes later.
    #[error("records were reordered: record {found} stands in its place")]
    Reordered {
        /// The record that stands here.
        found: u64,
    },
    /// A record that does not belong stands before this one.
    #[error("a record was inserted before it")]
    Inserted,
    /// The segment ends here, and a later one goes on.
    #[error("the segment was truncated")]
    Truncated,
    /// There is a key to what is sealed in the record, and it does not open it.
    #[error("the content of the record is not the one that was sealed")]
    Content,
    /// The header cannot be read.
    #[error("{0}")]
    Header(HeaderError),
    /// The segment does not go on where the one before it ended.
    #[error("the segment begins at record {found} and does not continue the one before it")]
    Disconnected {
        /// The record it begins with.
        found: u64,
    },
}

/// Checks one segment, fed in pieces of any size. Holds at most one frame and one piece in memory.
#[derive(Debug, Clone)]
pub struct Verifier {
    /// Where the segment before ended; absent when that isn't known.
    expected: Option<Position>,
    /// Where the chain stands; absent before the header.
    position: Option<Position>,
    /// The byte of the segment that `pending` begins with.
    offset: u64,
    pending: Vec<u8>,
    suspect: Option<Suspect>,
}

/// The first thing that is wrong. What follows decides between damage and a torn tail, and names the damage.
#[derive(Debug, Clone)]
struct Suspect {
    damage: Damage,
    /// A crash can have left this, if nothing follows.
    may_be_torn: bool,
    /// Something other than zeros follows.
    followed: bool,
    /// No frame can be found from here on.
    lost: bool,
    /// The chain before the suspect frame, to see whether a later frame belongs in its place.
    before: Hash,
    /// How many frames after it were looked at.
    seen: u64,
}

/// What stands at the beginning of some bytes.
enum Head {
    Incomplete,
    Broken,
    Frame { length: usize },
}

impl Verifier {
    /// For a segment that must go on from `expected`, where that is known.
    pub fn new(expected: Option<Position>) -> Verifier {
        Verifier { expected, position: None, offset: 0, pending: Vec::new(), suspect: None }
    }

    /// For the rest of a segment from byte `offset` on, where a frame begins and the ledger stood at `position`.
    pub fn resume(position: Position, offset: u64) -> Verifier {
        Verifier { position: Some(position), offset, ..Verifier::new(None) }
    }

    /// Takes the next bytes of the segment and hands each proven record to `each`. After the first thing that is
    /// wrong nothing is handed out.
    pub fn feed(&mut self, bytes: &[u8], each: &mut dyn FnMut(Frame<'_>)) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(bytes);
        let used = self.consume(&pending, each);
        pending.drain(..used);
        self.offset += used as u64;
        self.pending = pending;
    }

    /// Whether something is wrong so far. It may still turn out to be a torn tail.
    pub fn is_suspect(&self) -> bool {
        self.suspect.is_some()
    }

    /// The verdict, if the segment ends here.
    pub fn finish(&self) -> Result<End, Damage> {
        let end = self.offset + self.pending.len() as u64;
        let Some(suspect) = &self.suspect else {
            let torn = (end > self.offset || self.position.is_none())
                .then_some(Torn { offset: self.offset, bytes: end - self.offset });
            return Ok(End { position: self.position, valid_len: self.offset, torn });
        };
        let followed = suspect.followed || (!suspect.lost && self.pending.iter().any(|byte| *byte != 0));
        if followed || !suspect.may_be_torn {
            return Err(suspect.damage);
        }
        let offset = suspect.damage.offset;
        Ok(End { position: self.position, valid_len: offset, torn: Some(Torn { offset, bytes: end - offset }) })
    }

    /// Returns how many of `bytes` were used up.
    fn consume(&mut self, bytes: &[u8], each: &mut dyn FnMut(Frame<'_>)) -> usize {
        let mut used = 0;
        if self.position.is_none() && self.suspect.is_none() {
            match bytes.first_chunk::<HEADER_LEN>() {
                None => return 0,
                Some(header) => used = self.take_header(header),
            }
        }
        // Ends because each turn uses up at least one byte or returns.
        loop {
            let rest = &bytes[used..];
            if let Some(suspect) = &mut self.suspect
                && suspect.lost
            {
                suspect.followed |= rest.iter().any(|byte| *byte != 0);
                return bytes.len();
            }
            match head(rest) {
                Head::Incomplete => return used,
                Head::Broken => self.doubt_head(self.offset + used as u64),
                Head::Frame { length } => {
                    let whole = FRAME_HEAD + length + FRAME_TAIL;
                    let Some(frame) = rest.get(..whole) else { return used };
                    self.take_frame(frame, self.offset + used as u64, each);
                    used += whole;
                }
            }
        }
    }

    /// Returns how many bytes were used up: none of a header that cannot be read.
    fn take_header(&mut self, bytes: &[u8; HEADER_LEN]) -> usize {
        let seq = self.expected.map_or(0, |expected| expected.size);
        match Header::decode(bytes) {
            Err(error) => {
                let damage = Damage { seq, offset: 0, kind: DamageKind::Header(error) };
                self.suspect = Some(Suspect { may_be_torn: true, ..Suspect::lost(damage) });
                0
            }
            Ok(header) => {
                if self.expected.is_some_and(|expected| expected != header.start) {
                    let kind = DamageKind::Disconnected { found: header.start.size };
                    self.suspect = Some(Suspect::lost(Damage { seq, offset: 0, kind }));
                } else {
                    self.position = Some(header.start);
                }
                HEADER_LEN
            }
        }
    }

    /// No frame begins at `offset`.
    fn doubt_head(&mut self, offset: u64) {
        if let Some(suspect) = &mut self.suspect {
            suspect.lost = true;
            return;
        }
        let seq = self.position.map_or(0, |position| position.size);
        let damage = Damage { seq, offset, kind: DamageKind::Changed };
        self.suspect = Some(Suspect { may_be_torn: true, ..Suspect::lost(damage) });
    }

    fn take_frame(&mut self, frame: &[u8], offset: u64, each: &mut dyn FnMut(Frame<'_>)) {
        let (payload, stored) = frame[FRAME_HEAD..].split_at(frame.len() - FRAME_HEAD - FRAME_TAIL);
        let (claimed, own) = (claimed_seq(payload), leaf(payload));
        if let Some(suspect) = &mut self.suspect {
            return suspect.followed_by(claimed, link(suspect.before, own).0 == *stored);
        }
        let Some(position) = self.position else { return };
        let chain = link(position.chain, own);
        let seq = position.size;
        if chain.0 == *stored && claimed == Some(seq) {
            let after = Position { size: seq + 1, chain };
            self.position = Some(after);
            return each(Frame { seq, offset, payload, after });
        }
        let kind = match claimed {
            Some(next) if next > seq => DamageKind::Removed { next },
            Some(found) if found < seq => DamageKind::Reordered { found },
            _ => DamageKind::Changed,
        };
        // A crash leaves zeros or nothing where bytes were to come; it does not write another record's number.
        let may_be_torn = kind == DamageKind::Changed && chain.0 != *stored;
        let damage = Damage { seq, offset, kind };
        self.suspect = Some(Suspect { may_be_torn, lost: false, before: position.chain, ..Suspect::lost(damage) });
    }
}

impl Suspect {
    fn lost(damage: Damage) -> Suspect {
        Suspect { damage, may_be_torn: false, followed: false, lost: true, before: Hash::ZERO, seen: 0 }
    }

    /// Another frame follows the suspect one: with this number, and fitting into the suspect one's place or not.
    fn followed_by(&mut self, claimed: Option<u64>, fits: bool) {
        self.followed = true;
        self.seen += 1;
        if claimed != Some(self.damage.seq) {
            return;
        }
        self.damage.kind = match self.damage.kind {
            DamageKind::Changed | DamageKind::Reordered { .. } if fits && self.seen == 1 => DamageKind::Inserted,
            DamageKind::Removed { next } => DamageKind::Reordered { found: next },
            kind => kind,
        };
    }
}

fn head(bytes: &[u8]) -> Head {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Head::Incomplete };
    let Some(check) = rest.first_chunk::<4>() else { return Head::Incomplete };
    let size = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if crc32fast::hash(length).to_le_bytes() == *check && size <= MAX_PAYLOAD {
        Head::Frame { length: size }
    } else {
        Head::Broken
    }
}

//! Walks the target's bytes message by message, without copying or holding back what is only forwarded.

use belay_model::Budgets;

/// The longest body that is opened. Longer ones of these kinds do not come from a PostgreSQL server.
const OPENED_LIMIT: usize = 1024 * 1024;
/// The longest row that is opened, to be masked.
pub(super) const ROW_LIMIT: usize = 16 * 1024 * 1024;
/// How much of a longer error is looked at.
const GLANCE: usize = 4096;

/// What is done with messages of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// They pass unopened.
    Pass,
    /// Each is looked at whole.
    Open,
    /// The client does not get them.
    Drop,
}

/// What is done with results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watch {
    /// With rows.
    pub(super) rows: Way,
    /// With COPY data.
    pub(super) copy: Way,
    /// With the messages around them that are not opened. Never [`Way::Open`].
    pub(super) frame: Way,
}

impl Watch {
    /// Everything passes.
    pub(super) const NOTHING: Watch = Watch { rows: Way::Pass, copy: Way::Pass, frame: Way::Pass };
    /// Nothing of a result passes.
    pub(super) const WITHHELD: Watch = Watch { rows: Way::Drop, copy: Way::Drop, frame: Way::Drop };
}

/// Counts what one statement returns, up to its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meter {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) most_rows: u64,
    pub(super) most_bytes: u64,
}

impl Meter {
    /// Up to these bounds, so much having been returned before.
    pub(super) fn new(budgets: &Budgets, (rows, bytes): (u64, u64)) -> Meter {
        let most = |bound: Option<u64>| bound.unwrap_or(u64::MAX);
        Meter { rows, bytes, most_rows: most(budgets.rows), most_bytes: most(budgets.bytes) }
    }

    /// Counts a row of so many bytes, or leaves it where it is too much.
    fn take(&mut self, length: usize) -> bool {
        let bytes = self.bytes.saturating_add(length as u64);
        let fits = self.rows < self.most_rows && bytes <= self.most_bytes;
        if fits {
            self.rows += 1;
            self.bytes = bytes;
        }
        fits
    }
}

/// What is at the head of the target's bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// So many bytes to forward unopened; they may end inside a message.
    Pass(usize),
    /// A whole message of this type and length to look at.
    Open(u8, usize),
    /// An error of this length that is too long to hold: what is there of it says enough, the rest only passes.
    Glance(usize),
    /// The beginning of a message that must be whole before anything is done with it.
    Hold,
    /// So many bytes to leave out.
    Drop(usize),
    /// A row that is more than the statement may return; it has not been counted.
    Spent,
    /// A row of this length, which is too long to be opened.
    TooLong(usize),
}

/// Why the walk cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ScanError {
    #[error("the target sent a message with an invalid length")]
    Length,
    #[error("the target sent a message of unknown type {0}")]
    Type(u8),
}

/// Where the walk is.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Bytes of the current message that are still to pass.
    passing: usize,
    /// They are left out instead.
    dropping: bool,
}

/// The kinds of messages, as the walk tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Says something that is needed here.
    Opened,
    Row,
    Copy,
    /// Belongs to a result.
    Frame,
    /// Belongs to no statement.
    Note,
}

impl Scan {
    /// Lets the message at the head pass.
    pub(super) fn pass(&mut self, length: usize) {
        self.passing = length;
    }

    /// Whether everything forwarded so far ends at the end of a message.
    pub(super) fn is_between_messages(&self) -> bool {
        self.passing == 0 || self.dropping
    }

    /// What to do with the head of `bytes`, which is not empty.
    pub(super) fn step(&mut self, bytes: &[u8], watch: Watch, meter: &mut Meter) -> Result<Step, ScanError> {
        let mut run = self.passing.min(bytes.len());
        self.passing -= run;
        if self.dropping && run > 0 {
            self.dropping = self.passing > 0;
            return Ok(Step::Drop(run));
        }
        while self.passing == 0 {
            let Some((tag, length)) = header(bytes.get(run..).unwrap_or_default())? else { break };
            let kind = kind_of(tag)?;
            let way = match kind {
                Kind::Row => watch.rows,
                Kind::Copy => watch.copy,
                Kind::Frame => watch.frame,
                Kind::Note => Way::Pass,
                Kind::Opened => Way::Open,
            };
            let spent = way == Way::Pass && matches!(kind, Kind::Row | Kind::Copy) && !meter.take(length);
            if way == Way::Pass && !spent {
                let here = length.min(bytes.len() - run);
                self.passing = length - here;
                run += here;
                continue;
            }
            if run > 0 {
                break;
            }
            return match way {
                Way::Pass => Ok(Step::Spent),
                Way::Drop => Ok(self.left_out(length, bytes.len())),
                Way::Open if kind == Kind::Opened => opened(tag, length, bytes.len()),
                Way::Open => Ok(row(tag, length, bytes.len(), meter)),
            };
        }
        Ok(if run > 0 { Step::Pass(run) } else { Step::Hold })
    }

    fn left_out(&mut self, length: usize, available: usize) -> Step {
        let here = length.min(available);
        self.passing = length - here;
        self.dropping = self.passing > 0;
        Step::Drop(here)
    }
}

/// A row that is to be looked at; it is counted when it is whole.
fn row(tag: u8, length: usize, available: usize, meter: &mut Meter) -> Step {
    match length {
        length if length > ROW_LIMIT => Step::TooLong(length),
        length if length > available => Step::Hold,
        length if !meter.take(length) => Step::Spent,
        length => Step::Open(tag, length),
    }
}

fn opened(tag: u8, length: usize, available: usize) -> Result<Step, ScanError> {
    match length {
        // PostgreSQL quotes the whole of a value that it cannot read. Severity and SQLSTATE come first.
        length if length > OPENED_LIMIT && tag == b'E' && available >= GLANCE => Ok(Step::Glance(length)),
        length if length > OPENED_LIMIT && tag != b'E' => Err(ScanError::Length),
        length if length > available => Ok(Step::Hold),
        length => Ok(Step::Open(tag, length)),
    }
}

/// Type and whole length of the message at the head of `bytes`.
fn header(bytes: &[u8]) -> Result<Option<(u8, usize)>, ScanError> {
    let [tag, a, b, c, d, ..] = bytes else { return Ok(None) };
    match usize::try_from(i32::from_be_bytes([*a, *b, *c, *d])) {
        Ok(length) if length >= 4 => Ok(Some((*tag, length + 1))),
        _ => Err(ScanError::Length),
    }
}

/// Unknown types are errors: nothing passes unseen.
fn kind_of(tag: u8) -> Result<Kind, ScanError> {
    match tag {
        b'D' => Ok(Kind::Row),
        b'd' => Ok(Kind::Copy),
        // CommandComplete, ErrorResponse, ReadyForQuery, ParameterStatus, EmptyQueryResponse, PortalSuspended,
        // the acknowledgements, RowDescription and NoData (they answer Describe), and the COPY modes not allowed.
        b'C' | b'E' | b'Z' | b'S' | b'I' | b's' | b'1' | b'2' | b'3' | b'T' | b'n' | b'G' | b'W' => Ok(Kind::Opened),
        // CopyDone, CopyOutResponse, ParameterDescription.
        b'c' | b'H' | b't' => Ok(Kind::Frame),
        // NoticeResponse, NotificationResponse.
        b'N' | b'A' => Ok(Kind::Note),
        other => Err(ScanError::Type(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter() -> Meter {
        Meter::new(&Budgets::default(), (0, 0))
    }

    fn step(scan: &mut Scan, bytes: &[u8]) -> Result<Step, ScanError> {
        scan.step(bytes, Watch::NOTHING, &mut meter())
    }

    fn row(size: usize) -> Vec<u8> {
        let mut bytes = vec![b'D'];
        bytes.extend_from_slice(&u32::try_from(size + 4).unwrap().to_be_bytes());
        bytes.resize(size + 5, b'x');
        bytes
    }

    #[test]
    fn rows_pass_as_one_run_up_to_the_next_opened_message() {
        let bytes = [row(10), row(20), b"C\0\0\0\x0dSELECT 2\0".to_vec()].concat();
        let mut scan = Scan::default();
        assert_eq!(step(&mut scan, &bytes), Ok(Step::Pass(40)));
        assert_eq!(step(&mut scan, &bytes[40..]), Ok(Step::Open(b'C', 14)));
    }

    #[test]
    fn a_row_may_be_cut_anywhere() {
        let bytes = [row(10), b"Z\0\0\0\x05I".to_vec()].concat();
        for cut in 1..bytes.len() {
            let (mut scan, mut seen, mut start) = (Scan::default(), Vec::new(), 0);
            for end in [cut, bytes.len()] {
                while start < end {
                    match step(&mut scan, &bytes[start..end]).unwrap() {
                        Step::Pass(length) | Step::Glance(length) => start += length,
                        Step::Open(tag, length) => {
                            seen.push(tag);
                            start += length;
                        }
                        Step::Hold => break,
                        other => panic!("{other:?}"),
                    }
                }
            }
            assert_eq!((seen.as_slice(), start), (&b"Z"[..], bytes.len()), "cut at {cut}");
            assert!(scan.is_between_messages());
        }
    }

    #[test]
    fn unknown_types_and_bad_lengths_stop_the_walk() {
        assert_eq!(step(&mut Scan::default(), b"?\0\0\0\x04"), Err(ScanError::Type(b'?')));
        assert_eq!(step(&mut Scan::default(), b"D\0\0\0\x03"), Err(ScanError::Length));
        assert_eq!(step(&mut Scan::default(), b"D\xff\0\0\0"), Err(ScanError::Length));
        assert_eq!(step(&mut Scan::default(), b"C\0\xff\0\0"), Err(ScanError::Length));
    }

    #[test]
    fn an_error_that_quotes_megabytes_is_looked_at_and_passes() {
        let mut bytes = b"E\0\x20\0\0SERROR\0VERROR\0C22P02\0M".to_vec();
        assert_eq!(step(&mut Scan::default(), &bytes), Ok(Step::Hold));
        bytes.resize(5000, b'x');
        let mut scan = Scan::default();
        assert_eq!(step(&mut scan, &bytes), Ok(Step::Glance(0x20_0001)));
        scan.pass(0x20_0001);
        assert_eq!(step(&mut scan, &bytes), Ok(Step::Pass(5000)));
    }

    #[test]
    fn rows_are_counted_and_the_one_that_is_too_much_stays() {
        let bytes = [row(10), row(10), row(10)].concat();
        let mut meter = Meter { most_rows: 2, ..meter() };
        let mut scan = Scan::default();
        assert_eq!(scan.step(&bytes, Watch::NOTHING, &mut meter), Ok(Step::Pass(30)));
        assert_eq!((meter.rows, meter.bytes), (2, 30));
        assert_eq!(scan.step(&bytes[30..], Watch::NOTHING, &mut meter), Ok(Step::Spent));
        assert_eq!(scan.step(&bytes[30..], Watch::WITHHELD, &mut meter), Ok(Step::Drop(15)));
        let mut meter = Meter { most_bytes: 29, ..self::meter() };
        assert_eq!(Scan::default().step(&bytes, Watch::NOTHING, &mut meter), Ok(Step::Pass(15)));
        assert_eq!(Scan::default().step(&bytes[15..], Watch::NOTHING, &mut meter), Ok(Step::Spent));
    }

    #[test]
    fn what_is_left_out_is_left_out_wherever_it_is_cut_and_notes_pass() {
        let bytes = [row(10), b"N\0\0\0\x04".to_vec(), row(20), b"c\0\0\0\x04Z\0\0\0\x05I".to_vec()].concat();
        for cut in 1..bytes.len() {
            let (mut scan, mut passed, mut start) = (Scan::default(), Vec::new(), 0);
            for end in [cut, bytes.len()] {
                while start < end {
                    match scan.step(&bytes[start..end], Watch::WITHHELD, &mut meter()).unwrap() {
                        Step::Pass(length) | Step::Open(_, length) => {
                            passed.extend_from_slice(&bytes[start..start + length]);
                            start += length;
                        }
                        Step::Drop(length) => start += length,
                        Step::Hold => break,
                        other => panic!("{other:?}"),
                    }
                }
                assert!(scan.is_between_messages(), "the client got whole messages only");
            }
            assert_eq!(passed, b"N\0\0\0\x04Z\0\0\0\x05I", "cut at {cut}");
        }
    }

    #[test]
    fn a_row_that_is_opened_is_whole_and_bounded() {
        let watch = Watch { rows: Way::Open, ..Watch::NOTHING };
        let (bytes, mut meter) = (row(10), meter());
        assert_eq!(Scan::default().step(&bytes[..14], watch, &mut meter), Ok(Step::Hold));
        assert_eq!(meter.rows, 0);
        assert_eq!(Scan::default().step(&bytes, watch, &mut meter), Ok(Step::Open(b'D', 15)));
        assert_eq!(Scan::default().step(b"D\x01\0\0\x01", watch, &mut meter), Ok(Step::TooLong(0x0100_0002)));
        assert_eq!(meter.rows, 1);
    }
}

//! Walks the target's bytes message by message, without copying or holding back what is only forwarded.

/// The longest body that is opened. Longer ones of these kinds do not come from a PostgreSQL server.
const OPENED_LIMIT: usize = 1024 * 1024;
/// How much of a longer error is looked at.
const GLANCE: usize = 4096;

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
}

impl Scan {
    /// Lets the message at the head pass.
    pub(super) fn pass(&mut self, length: usize) {
        self.passing = length;
    }

    /// Whether everything forwarded so far ends at the end of a message.
    pub(super) fn is_between_messages(&self) -> bool {
        self.passing == 0
    }

    /// What to do with the head of `bytes`, which is not empty.
    pub(super) fn step(&mut self, bytes: &[u8]) -> Result<Step, ScanError> {
        let mut run = self.passing.min(bytes.len());
        self.passing -= run;
        while self.passing == 0 {
            let Some((tag, length)) = header(bytes.get(run..).unwrap_or_default())? else { break };
            if is_opened(tag)? {
                if run > 0 {
                    break;
                }
                return opened(tag, length, bytes.len());
            }
            let here = length.min(bytes.len() - run);
            self.passing = length - here;
            run += here;
        }
        Ok(if run > 0 { Step::Pass(run) } else { Step::Hold })
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

/// Whether the message says something that is needed here. Unknown types are errors: nothing passes unseen.
fn is_opened(tag: u8) -> Result<bool, ScanError> {
    match tag {
        // CommandComplete, ErrorResponse, ReadyForQuery, ParameterStatus, EmptyQueryResponse, PortalSuspended,
        // the acknowledgements, RowDescription and NoData (they answer Describe), and the COPY modes not allowed.
        b'C' | b'E' | b'Z' | b'S' | b'I' | b's' | b'1' | b'2' | b'3' | b'T' | b'n' | b'G' | b'W' => Ok(true),
        // DataRow, CopyData, CopyDone, CopyOutResponse, NoticeResponse, NotificationResponse, ParameterDescription.
        b'D' | b'd' | b'c' | b'H' | b'N' | b'A' | b't' => Ok(false),
        other => Err(ScanError::Type(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(scan.step(&bytes), Ok(Step::Pass(40)));
        assert_eq!(scan.step(&bytes[40..]), Ok(Step::Open(b'C', 14)));
    }

    #[test]
    fn a_row_may_be_cut_anywhere() {
        let bytes = [row(10), b"Z\0\0\0\x05I".to_vec()].concat();
        for cut in 1..bytes.len() {
            let (mut scan, mut seen, mut start) = (Scan::default(), Vec::new(), 0);
            for end in [cut, bytes.len()] {
                while start < end {
                    match scan.step(&bytes[start..end]).unwrap() {
                        Step::Pass(length) | Step::Glance(length) => start += length,
                        Step::Open(tag, length) => {
                            seen.push(tag);
                            start += length;
                        }
                        Step::Hold => break,
                    }
                }
            }
            assert_eq!((seen.as_slice(), start), (&b"Z"[..], bytes.len()), "cut at {cut}");
            assert!(scan.is_between_messages());
        }
    }

    #[test]
    fn unknown_types_and_bad_lengths_stop_the_walk() {
        assert_eq!(Scan::default().step(b"?\0\0\0\x04"), Err(ScanError::Type(b'?')));
        assert_eq!(Scan::default().step(b"D\0\0\0\x03"), Err(ScanError::Length));
        assert_eq!(Scan::default().step(b"D\xff\0\0\0"), Err(ScanError::Length));
        assert_eq!(Scan::default().step(b"C\0\xff\0\0"), Err(ScanError::Length));
    }

    #[test]
    fn an_error_that_quotes_megabytes_is_looked_at_and_passes() {
        let mut bytes = b"E\0\x20\0\0SERROR\0VERROR\0C22P02\0M".to_vec();
        assert_eq!(Scan::default().step(&bytes), Ok(Step::Hold));
        bytes.resize(5000, b'x');
        let mut scan = Scan::default();
        assert_eq!(scan.step(&bytes), Ok(Step::Glance(0x20_0001)));
        scan.pass(0x20_0001);
        assert_eq!(scan.step(&bytes), Ok(Step::Pass(5000)));
    }
}

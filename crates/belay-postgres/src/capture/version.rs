//! Where a row version lies, and which transaction made it.

use super::CaptureError;

const UNEXPECTED: CaptureError = CaptureError::Unexpected("where row versions lie");

/// One row version: its place, and the transaction that made it. Places are used again, the two together are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Version {
    pub(super) page: u32,
    pub(super) item: u16,
    pub(super) made_by: u32,
}

impl Version {
    /// Reads `ctid` and `xmin`.
    pub(super) fn read(ctid: Option<&String>, xmin: Option<&String>) -> Result<Version, CaptureError> {
        let place = ctid.and_then(|text| text.strip_prefix('(')?.strip_suffix(')')).ok_or(UNEXPECTED)?;
        let (page, item) = place.split_once(',').ok_or(UNEXPECTED)?;
        Ok(Version {
            page: page.parse().map_err(|_| UNEXPECTED)?,
            item: item.parse().map_err(|_| UNEXPECTED)?,
            made_by: xmin.and_then(|text| text.parse().ok()).ok_or(UNEXPECTED)?,
        })
    }
}

/// The places as an array of `tid`. It stands in a query of its own, because of the elements of a constant the target
/// would estimate each one.
pub(super) fn places(versions: &[Version]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(versions.len() * 20 + 60);
    text.push_str("(SELECT '{");
    for (at, version) in versions.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        // Writing into a string does not fail.
        let _ = write!(text, "{comma}\"({},{})\"", version.page, version.item);
    }
    text.push_str("}'::pg_catalog.tid[])::pg_catalog.tid[]");
    text
}

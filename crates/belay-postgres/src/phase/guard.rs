//! What is masked in the results of one message.

use super::scan::{ROW_LIMIT, Watch, Way};
use crate::mask::{Field, MaskError, MaskKey, MaskedColumns, RowMask};
use belay_model::{MaskKind, Statement};
use belay_policy::Masked;
use bytes::BytesMut;
use std::sync::Arc;

/// The masks of a connection.
#[derive(Debug)]
pub(super) struct Masking {
    /// Whether the grant has any.
    pub(super) on: bool,
    pub(super) columns: MaskedColumns,
    pub(super) key: Option<MaskKey>,
}

/// Why a result is not passed on. Says nothing of its values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum GuardError {
    #[error(transparent)]
    Mask(#[from] MaskError),
    #[error("a result of masked columns came without its description")]
    Undescribed,
    #[error("a result came that no statement of the message accounts for")]
    Unaccounted,
    #[error("which columns are masked is not known by their numbers in the target")]
    Unknown,
    #[error("there is no key to mask with")]
    Keyless,
    #[error("masked columns came as COPY data")]
    Copy,
    #[error("a masked row of {0} bytes is longer than the bound of {ROW_LIMIT}")]
    TooLong(usize),
}

/// Guards the results of one message on a connection that has masks.
#[derive(Debug)]
pub(super) struct Guard {
    /// What the permit masks.
    masks: Box<[Masked]>,
    statements: Arc<[Statement]>,
    /// Which statement of the message is being answered.
    current: usize,
    /// How its rows are masked, once they are described.
    rows: Option<RowMask>,
}

/// The statements whose results the text does not tell: they show what another statement made.
pub(super) fn shows_another(statement: &Statement) -> bool {
    matches!(statement.verb.as_str(), "FETCH" | "EXECUTE")
}

impl Guard {
    pub(super) fn new(masks: Box<[Masked]>, statements: Arc<[Statement]>) -> Guard {
        Guard { masks, statements, current: 0, rows: None }
    }

    /// The mask of the rows that these fields describe.
    pub(super) fn mask(&self, fields: &[Field], columns: &MaskedColumns) -> Result<RowMask, GuardError> {
        let statement = self.statements.get(self.current).ok_or(GuardError::Unaccounted)?;
        let of_this = self.masks.iter().filter(|masked| masked.statement == self.current);
        let positions: Vec<(u16, MaskKind)> = of_this.map(|masked| (masked.position, masked.kind.clone())).collect();
        if positions.is_empty() && shows_another(statement) && !columns.are_known() {
            return Err(GuardError::Unknown);
        }
        Ok(RowMask::of(fields, &positions, columns)?)
    }

    /// The rows that come are masked so.
    pub(super) fn describe(&mut self, rows: RowMask) {
        self.rows = Some(rows);
    }

    /// The current statement's result is complete.
    pub(super) fn next(&mut self) {
        self.current += 1;
        self.rows = None;
    }

    /// What is to be looked at.
    pub(super) fn watch(&self) -> Watch {
        let untouched = self.rows.as_ref().is_some_and(RowMask::is_empty);
        Watch {
            rows: if untouched { Way::Pass } else { Way::Open },
            copy: if self.masks.is_empty() { Way::Pass } else { Way::Open },
            frame: Way::Pass,
        }
    }

    /// Appends the row to `out`, masked.
    pub(super) fn rewrite(&self, body: &[u8], key: Option<&MaskKey>, out: &mut BytesMut) -> Result<(), GuardError> {
        let key = key.ok_or(GuardError::Keyless)?;
        let rows = self.rows.as_ref().ok_or(GuardError::Undescribed)?;
        Ok(rows.rewrite(body, key, out)?)
    }
}

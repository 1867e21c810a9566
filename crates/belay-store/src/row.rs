//! From columns to the vocabulary and back.

use crate::StoreError;
use belay_model::{Effects, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use std::fmt::Display;
use std::str::FromStr;

/// A row, with the name of its table for the error text.
pub(crate) struct Columns<'r> {
    pub(crate) table: &'static str,
    pub(crate) row: &'r SqliteRow,
}

impl Columns<'_> {
    pub(crate) fn wrong(&self, detail: impl Display) -> StoreError {
        StoreError::Row { table: self.table, detail: detail.to_string() }
    }

    pub(crate) fn integer(&self, column: &str) -> Result<i64, StoreError> {
        self.row.try_get(column).map_err(|error| self.wrong(error))
    }

    pub(crate) fn integer_or_null(&self, column: &str) -> Result<Option<i64>, StoreError> {
        self.row.try_get(column).map_err(|error| self.wrong(error))
    }

    pub(crate) fn small<T: TryFrom<i64>>(&self, column: &str) -> Result<T, StoreError> {
        T::try_from(self.integer(column)?).map_err(|_| self.wrong(format!("`{column}` is out of range")))
    }

    pub(crate) fn flag(&self, column: &str) -> Result<bool, StoreError> {
        Ok(self.integer(column)? != 0)
    }

    pub(crate) fn time(&self, column: &str) -> Result<Timestamp, StoreError> {
        Ok(Timestamp(self.integer(column)?))
    }

    pub(crate) fn time_or_null(&self, column: &str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.integer_or_null(column)?.map(Timestamp))
    }

    pub(crate) fn text(&self, column: &str) -> Result<String, StoreError> {
        self.row.try_get(column).map_err(|error| self.wrong(error))
    }

    pub(crate) fn text_or_null(&self, column: &str) -> Result<Option<String>, StoreError> {
        self.row.try_get(column).map_err(|error| self.wrong(error))
    }

    pub(crate) fn bytes(&self, column: &str) -> Result<Vec<u8>, StoreError> {
        self.row.try_get(column).map_err(|error| self.wrong(error))
    }

    pub(crate) fn fixed<const N: usize>(&self, column: &str) -> Result<[u8; N], StoreError> {
        self.bytes(column)?.try_into().map_err(|_| self.wrong(format!("`{column}` has the wrong length")))
    }

    pub(crate) fn fixed_or_null<const N: usize>(&self, column: &str) -> Result<Option<[u8; N]>, StoreError> {
        let bytes: Option<Vec<u8>> = self.row.try_get(column).map_err(|error| self.wrong(error))?;
        let fixed =
            |bytes: Vec<u8>| bytes.try_into().map_err(|_| self.wrong(format!("`{column}` has the wrong length")));
        bytes.map(fixed).transpose()
    }

    pub(crate) fn parsed<T: FromStr<Err: Display>>(&self, column: &str) -> Result<T, StoreError> {
        self.text(column)?.parse().map_err(|error| self.wrong(error))
    }

    pub(crate) fn parsed_or_null<T: FromStr<Err: Display>>(&self, column: &str) -> Result<Option<T>, StoreError> {
        self.text_or_null(column)?.map(|text| text.parse()).transpose().map_err(|error| self.wrong(error))
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(column)?).map_err(|error| self.wrong(error))
    }

    /// A value of the vocabulary that is one word: a state.
    pub(crate) fn word<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        serde_json::from_value(serde_json::Value::String(self.text(column)?)).map_err(|error| self.wrong(error))
    }

    pub(crate) fn effects(&self) -> Result<Effects, StoreError> {
        Ok(Effects {
            read: self.flag("can_read")?,
            write: self.flag("can_write")?,
            direct: self.flag("can_direct")?,
            all: self.flag("can_all")?,
        })
    }
}

/// A count as the store has it.
pub(crate) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn json<T: Serialize>(table: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Row { table, detail: error.to_string() })
}

/// The one word that a state is stored as.
pub(crate) fn word<T: Serialize>(table: &'static str, value: &T) -> Result<String, StoreError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        _ => Err(StoreError::Row { table, detail: "a state that is no word".to_owned() }),
    }
}

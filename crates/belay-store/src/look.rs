//! Two ways to the rows: looking at what is committed, and the one transaction that writes.

use crate::StoreError;
use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqliteConnection, Transaction};

/// A connection that only reads.
#[derive(Debug)]
pub struct Reader(pub(crate) PoolConnection<Sqlite>);

impl Reader {
    /// Looks at what is committed.
    pub fn look(&mut self) -> Look<'_> {
        Look(&mut self.0)
    }
}

/// The transaction that writes. Undone unless committed.
#[derive(Debug)]
pub struct Writing(pub(crate) Transaction<'static, Sqlite>);

impl Writing {
    /// Looks at what this transaction would leave behind.
    pub fn look(&mut self) -> Look<'_> {
        Look(&mut self.0)
    }

    /// Makes it durable.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.0.commit().await?)
    }

    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.0
    }
}

/// Reads rows, committed ones or those of a transaction.
#[derive(Debug)]
pub struct Look<'c>(pub(crate) &'c mut SqliteConnection);

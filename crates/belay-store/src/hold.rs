//! Legal holds: sessions of which nothing may be deleted.

use crate::{Look, StoreError, Writing, row};
use belay_model::{Name, SessionId, Timestamp};
use sqlx::sqlite::SqliteRow;

/// A hold on a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldRecord {
    /// The session.
    pub session: SessionId,
    /// Who holds it.
    pub by: Name,
    /// Since when.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

impl Look<'_> {
    /// Every hold, in the order of sessions.
    pub async fn holds(&mut self) -> Result<Vec<HoldRecord>, StoreError> {
        let rows = sqlx::query("SELECT * FROM holds ORDER BY session").fetch_all(&mut *self.0).await?;
        rows.iter().map(record).collect()
    }

    /// The hold on this session.
    pub async fn hold(&mut self, session: SessionId) -> Result<Option<HoldRecord>, StoreError> {
        let row = sqlx::query("SELECT * FROM holds WHERE session = ?1").bind(session.0).fetch_optional(&mut *self.0);
        row.await?.as_ref().map(record).transpose()
    }
}

impl Writing {
    /// Adds a hold on a session that has none.
    pub async fn add_hold(&mut self, hold: &HoldRecord) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO holds (session, held_by, held_at, reason) VALUES (?1, ?2, ?3, ?4)")
            .bind(hold.session.0)
            .bind(hold.by.as_str())
            .bind(hold.at.0)
            .bind(&hold.reason)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Takes a hold off.
    pub async fn remove_hold(&mut self, session: SessionId) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM holds WHERE session = ?1").bind(session.0).execute(self.connection()).await?;
        Ok(())
    }
}

fn record(row: &SqliteRow) -> Result<HoldRecord, StoreError> {
    let columns = row::Columns { table: "holds", row };
    Ok(HoldRecord {
        session: SessionId(columns.integer("session")?),
        by: columns.parsed("held_by")?,
        at: columns.time("held_at")?,
        reason: columns.text("reason")?,
    })
}

//! Events that the ledger could not take, kept until it can.

use crate::{Look, StoreError, Writing, row};
use belay_model::Event;
use sqlx::Row;

/// How many are read at a time.
const BATCH: i64 = 100;

impl Look<'_> {
    /// The oldest events owed, with their numbers; at most 100.
    pub async fn owed_events(&mut self) -> Result<Vec<(i64, Event)>, StoreError> {
        let rows = sqlx::query("SELECT id, event FROM owed_events ORDER BY id LIMIT ?1")
            .bind(BATCH)
            .fetch_all(&mut *self.0)
            .await?;
        rows.iter()
            .map(|row| {
                let columns = row::Columns { table: "owed_events", row };
                Ok((row.try_get("id")?, columns.json("event")?))
            })
            .collect()
    }
}

impl Writing {
    /// Keeps an event for later.
    pub async fn owe_event(&mut self, event: &Event) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO owed_events (event) VALUES (?1)")
            .bind(row::json("owed_events", event)?)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Forgets an event that has been recorded.
    pub async fn forget_owed_event(&mut self, number: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM owed_events WHERE id = ?1").bind(number).execute(self.connection()).await?;
        Ok(())
    }
}

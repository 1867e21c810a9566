//! Facts about the store itself.

use crate::{Look, Store, StoreError, Writing};
use belay_model::ConnectionId;

/// Connection numbers are set aside in blocks, so that a login costs no write to the disk.
const BLOCK: i64 = 1_000;

impl Look<'_> {
    /// A fact by its key.
    pub async fn meta(&mut self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar("SELECT value FROM meta WHERE key = ?1").bind(key).fetch_optional(&mut *self.0).await?)
    }
}

impl Writing {
    /// Sets a fact.
    pub async fn set_meta(&mut self, key: &str, value: &str) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )
        .bind(key)
        .bind(value)
        .execute(self.connection())
        .await?;
        Ok(())
    }
}

impl Store {
    /// Eight hex digits, made once, that tell this store from every other.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    pub(crate) async fn settle_instance(&self, fresh: &str) -> Result<String, StoreError> {
        let mut writing = self.write().await?;
        if let Some(instance) = writing.look().meta("instance").await? {
            return Ok(instance);
        }
        writing.set_meta("instance", fresh).await?;
        writing.commit().await?;
        Ok(fresh.to_owned())
    }

    /// A number that no connection ever had, not even before a crash.
    pub async fn next_connection_id(&self) -> Result<ConnectionId, StoreError> {
        let mut block = self.connection_ids.lock().await;
        if let Some(number) = block.next() {
            return Ok(ConnectionId(number));
        }
        let mut writing = self.write().await?;
        let reserved = writing.look().meta("connections_reserved").await?;
        let from: i64 = reserved
            .map_or(Ok(0), |text| text.parse())
            .map_err(|_| StoreError::Row { table: "meta", detail: "`connections_reserved` is no number".to_owned() })?;
        let to = from.saturating_add(BLOCK);
        writing.set_meta("connections_reserved", &to.to_string()).await?;
        writing.commit().await?;
        // Numbers start at 1, like every other id.
        *block = from + 2..to + 1;
        Ok(ConnectionId(from + 1))
    }
}

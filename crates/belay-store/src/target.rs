//! Targets and the sealed passwords of their control users.

use crate::{Look, StoreError, Writing, row};
use belay_model::{Name, Target, Timestamp};
use sqlx::sqlite::SqliteRow;

/// A secret that only the key file opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// Which key.
    pub key_id: String,
    /// The nonce.
    pub nonce: [u8; 12],
    /// Ciphertext and tag.
    pub sealed: Vec<u8>,
}

impl Look<'_> {
    /// Every target with its sealed password, by name.
    pub async fn targets(&mut self) -> Result<Vec<(Target, SealedSecret)>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM targets WHERE removed_at IS NULL ORDER BY name").fetch_all(&mut *self.0).await?;
        rows.iter().map(target).collect()
    }

    /// One target with its sealed password.
    pub async fn target(&mut self, name: &Name) -> Result<Option<(Target, SealedSecret)>, StoreError> {
        let row = sqlx::query("SELECT * FROM targets WHERE name = ?1 AND removed_at IS NULL")
            .bind(name.as_str())
            .fetch_optional(&mut *self.0)
            .await?;
        row.as_ref().map(target).transpose()
    }

    /// Targets that were removed and not yet forgotten, the last one first.
    pub async fn removed_targets(&mut self) -> Result<Vec<(Target, SealedSecret)>, StoreError> {
        let rows = sqlx::query("SELECT * FROM targets WHERE removed_at IS NOT NULL ORDER BY removed_at DESC, id DESC")
            .fetch_all(&mut *self.0)
            .await?;
        rows.iter().map(target).collect()
    }
}

impl Writing {
    /// Adds a target.
    pub async fn add_target(
        &mut self,
        target: &Target,
        secret: &SealedSecret,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO targets
             (name, protocol, host, port, database, user, tls, ca_pem, key_id, nonce, sealed, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )
        .bind(target.name.as_str())
        .bind(&target.protocol)
        .bind(&target.host)
        .bind(i64::from(target.port))
        .bind(&target.database)
        .bind(&target.user)
        .bind(&target.tls)
        .bind(&target.ca_pem)
        .bind(&secret.key_id)
        .bind(secret.nonce.as_slice())
        .bind(&secret.sealed)
        .bind(now.0)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Takes a target out of use. Its sealed secret stays until [`Writing::forget_targets`].
    pub async fn remove_target(&mut self, name: &Name, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE targets SET removed_at = ?2 WHERE name = ?1 AND removed_at IS NULL")
            .bind(name.as_str())
            .bind(now.0)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Forgets targets that were removed before `until`, and their secrets.
    pub async fn forget_targets(&mut self, until: Timestamp) -> Result<u64, StoreError> {
        let done =
            sqlx::query("DELETE FROM targets WHERE removed_at <= ?1").bind(until.0).execute(self.connection()).await?;
        Ok(done.rows_affected())
    }
}

fn target(row: &SqliteRow) -> Result<(Target, SealedSecret), StoreError> {
    let columns = row::Columns { table: "targets", row };
    let target = Target {
        name: columns.parsed("name")?,
        protocol: columns.text("protocol")?,
        host: columns.text("host")?,
        port: columns.small("port")?,
        database: columns.text("database")?,
        user: columns.text("user")?,
        tls: columns.text("tls")?,
        ca_pem: columns.text_or_null("ca_pem")?,
    };
    let secret = SealedSecret {
        key_id: columns.text("key_id")?,
        nonce: columns.fixed("nonce")?,
        sealed: columns.bytes("sealed")?,
    };
    Ok((target, secret))
}

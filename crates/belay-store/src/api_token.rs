//! Tokens of the API.

use crate::{Look, StoreError, User, Writing, row};
use belay_model::{ApiTokenId, Name, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;

/// A token of the API, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// Its id.
    pub id: ApiTokenId,
    /// Whose it is.
    pub user: Name,
    /// What its owner calls it.
    pub label: String,
    /// Its first characters, to be recognised by.
    pub shown: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When somebody revoked it.
    pub revoked_at: Option<Timestamp>,
}

/// A token with its owner and the hash it was found by.
#[derive(Debug, Clone)]
pub struct TokenOwner {
    /// The token.
    pub token: ApiToken,
    /// Whose it is.
    pub user: User,
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
}

impl Look<'_> {
    /// The token with this hash, whatever its state.
    pub async fn api_token_by_hash(&mut self, hash: &[u8; 32]) -> Result<Option<TokenOwner>, StoreError> {
        let row = sqlx::query("SELECT * FROM api_tokens WHERE hash = ?1")
            .bind(hash.as_slice())
            .fetch_optional(&mut *self.0)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let hash = row::Columns { table: "api_tokens", row: &row }.fixed("hash")?;
        let token = api_token(&row)?;
        let owner = self.user(&token.user).await?;
        Ok(owner.map(|user| TokenOwner { token, user, hash }))
    }

    /// One token.
    pub async fn api_token(&mut self, id: ApiTokenId) -> Result<Option<ApiToken>, StoreError> {
        let row = sqlx::query("SELECT * FROM api_tokens WHERE id = ?1").bind(id.0).fetch_optional(&mut *self.0).await?;
        row.as_ref().map(api_token).transpose()
    }

    /// The tokens of a person, newest first.
    pub async fn api_tokens(&mut self, user: &Name) -> Result<Vec<ApiToken>, StoreError> {
        let rows = sqlx::query("SELECT * FROM api_tokens WHERE user = ?1 ORDER BY id DESC LIMIT ?2")
            .bind(user.as_str())
            .bind(crate::LIST_MOST)
            .fetch_all(&mut *self.0)
            .await?;
        rows.iter().map(api_token).collect()
    }

    /// How many tokens of a person still work.
    pub async fn live_api_tokens(&mut self, user: &Name, now: Timestamp) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT count(*) FROM api_tokens WHERE user = ?1 AND revoked_at IS NULL AND expires_at > ?2",
        )
        .bind(user.as_str())
        .bind(now.0)
        .fetch_one(&mut *self.0)
        .await?)
    }
}

impl Writing {
    /// Adds a token and returns it with its id.
    pub async fn add_api_token(&mut self, token: ApiToken, hash: &[u8; 32]) -> Result<ApiToken, StoreError> {
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO api_tokens (user, hash, label, shown, created_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING id",
        )
        .bind(token.user.as_str())
        .bind(hash.as_slice())
        .bind(&token.label)
        .bind(&token.shown)
        .bind(token.created_at.0)
        .bind(token.expires_at.0)
        .fetch_one(self.connection())
        .await?;
        Ok(ApiToken { id: ApiTokenId(id), ..token })
    }

    /// Revokes a token.
    pub async fn revoke_api_token(&mut self, id: ApiTokenId, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE api_tokens SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL")
            .bind(id.0)
            .bind(now.0)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Revokes every token of a person.
    pub async fn revoke_api_tokens_of(&mut self, user: &Name, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE api_tokens SET revoked_at = ?2 WHERE user = ?1 AND revoked_at IS NULL")
            .bind(user.as_str())
            .bind(now.0)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Remembers when a token was last used.
    pub async fn touch_api_token(&mut self, id: ApiTokenId, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE api_tokens SET last_used_at = ?2 WHERE id = ?1")
            .bind(id.0)
            .bind(now.0)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

fn api_token(row: &SqliteRow) -> Result<ApiToken, StoreError> {
    let columns = row::Columns { table: "api_tokens", row };
    Ok(ApiToken {
        id: ApiTokenId(columns.integer("id")?),
        user: columns.parsed("user")?,
        label: columns.text("label")?,
        shown: columns.text("shown")?,
        created_at: columns.time("created_at")?,
        expires_at: columns.time("expires_at")?,
        last_used_at: columns.time_or_null("last_used_at")?,
        revoked_at: columns.time_or_null("revoked_at")?,
    })
}

//! Sessions.

use crate::{Look, StoreError, Writing, row};
use belay_model::{Grant, GrantId, Name, Session, SessionId, SessionState, Timestamp};
use sqlx::sqlite::SqliteRow;

impl Look<'_> {
    /// One session.
    pub async fn session(&mut self, id: SessionId) -> Result<Option<Session>, StoreError> {
        let row = sqlx::query("SELECT * FROM sessions WHERE id = ?1").bind(id.0).fetch_optional(&mut *self.0).await?;
        row.as_ref().map(session).transpose()
    }

    /// Sessions, newest first: open ones or all, of one person or of everybody.
    pub async fn sessions(&mut self, of: Option<&Name>, all: bool) -> Result<Vec<Session>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM sessions WHERE (?1 IS NULL OR principal = ?1) AND (?2 OR state = 'open')
             ORDER BY id DESC LIMIT ?3",
        )
        .bind(of.map(Name::as_str))
        .bind(all)
        .bind(crate::LIST_MOST)
        .fetch_all(&mut *self.0)
        .await?;
        rows.iter().map(session).collect()
    }

    /// Every open session.
    pub async fn open_sessions(&mut self) -> Result<Vec<Session>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM sessions WHERE state = 'open' ORDER BY id").fetch_all(&mut *self.0).await?;
        rows.iter().map(session).collect()
    }

    /// The open session of a grant.
    pub async fn open_session_of(&mut self, grant: GrantId) -> Result<Option<Session>, StoreError> {
        let row = sqlx::query("SELECT * FROM sessions WHERE grant_id = ?1 AND state = 'open'")
            .bind(grant.0)
            .fetch_optional(&mut *self.0)
            .await?;
        row.as_ref().map(session).transpose()
    }

    /// Ids that begin with these digits, smallest first; at most two, enough to see whether there are several.
    pub async fn session_ids(&mut self, digits: &str) -> Result<Vec<SessionId>, StoreError> {
        let ids: Vec<i64> =
            sqlx::query_scalar("SELECT id FROM sessions WHERE CAST(id AS TEXT) LIKE ?1 || '%' ORDER BY id LIMIT 2")
                .bind(digits)
                .fetch_all(&mut *self.0)
                .await?;
        Ok(ids.into_iter().map(SessionId).collect())
    }
}

impl Writing {
    /// Opens a session of a grant that has none open. Whether an earlier one was cut inside a
    /// transaction carries over.
    pub async fn add_session(&mut self, grant: &Grant, now: Timestamp) -> Result<Session, StoreError> {
        let row = sqlx::query(
            "INSERT INTO sessions (grant_id, principal, target, state, started_at, cut_in_transaction)
             VALUES (?1, ?2, ?3, 'open', ?4,
                     coalesce((SELECT cut_in_transaction FROM sessions WHERE grant_id = ?1 ORDER BY id DESC LIMIT 1), 0))
             RETURNING *",
        )
        .bind(grant.id.0)
        .bind(grant.principal.as_str())
        .bind(grant.target.as_str())
        .bind(now.0)
        .fetch_one(self.connection())
        .await?;
        session(&row)
    }

    /// Writes whether a connection of the session was cut inside a transaction.
    pub async fn save_cut(&mut self, id: SessionId, cut: bool) -> Result<(), StoreError> {
        sqlx::query("UPDATE sessions SET cut_in_transaction = ?2 WHERE id = ?1")
            .bind(id.0)
            .bind(cut)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Closes a session; false if it was closed already.
    pub async fn close_session(&mut self, id: SessionId, now: Timestamp) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE sessions SET state = 'closed', ended_at = ?2 WHERE id = ?1 AND state = 'open'")
            .bind(id.0)
            .bind(now.0)
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() > 0)
    }
}

fn session(row: &SqliteRow) -> Result<Session, StoreError> {
    let columns = row::Columns { table: "sessions", row };
    let state: SessionState = columns.word("state")?;
    Ok(Session {
        id: SessionId(columns.integer("id")?),
        grant: GrantId(columns.integer("grant_id")?),
        principal: columns.parsed("principal")?,
        target: columns.parsed("target")?,
        state,
        started_at: columns.time("started_at")?,
        ended_at: columns.time_or_null("ended_at")?,
        cut_in_transaction: columns.flag("cut_in_transaction")?,
    })
}

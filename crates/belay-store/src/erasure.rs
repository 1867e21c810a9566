//! Sessions whose content is erased. An order is kept until nothing is left, so that a crash leaves none half done.

use crate::change::TRASH;
use crate::{Look, StoreError, Writing, row};
use belay_model::{Name, SessionId, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;

/// How far an erasure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErasureState {
    /// Nothing is erased yet.
    Ordered,
    /// The ledger knows.
    Recorded,
    /// Nothing of the content is left.
    Done,
}

/// The erasure of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureRecord {
    /// The session.
    pub session: SessionId,
    /// Who wants it.
    pub by: Name,
    /// When it was ordered.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// How far it is.
    pub state: ErasureState,
}

/// Changes that belong to the session that is bound first.
const OF_SESSION: &str = "id IN (SELECT change FROM change_sessions WHERE session = ?1)";

impl Look<'_> {
    /// Those that are not done, in the order of sessions; at most a list's worth.
    pub async fn open_erasures(&mut self) -> Result<Vec<ErasureRecord>, StoreError> {
        let rows = sqlx::query("SELECT * FROM erasures WHERE state <> 'done' ORDER BY session LIMIT ?1")
            .bind(crate::LIST_MOST)
            .fetch_all(&mut *self.0)
            .await?;
        rows.iter().map(record).collect()
    }

    /// The erasure of this session, however far it is.
    pub async fn erasure(&mut self, session: SessionId) -> Result<Option<ErasureRecord>, StoreError> {
        let sql = "SELECT * FROM erasures WHERE session = ?1";
        let row = sqlx::query(sql).bind(session.0).fetch_optional(&mut *self.0).await?;
        row.as_ref().map(record).transpose()
    }

    /// Plans and changes of the session that stand in the way: they are open, or it is not known how they ended, and there
    /// is somebody to ask.
    pub async fn unsettled_in(&mut self, session: SessionId) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT 'p_' || id FROM plans WHERE state IN ('pending', 'approved')
                       AND id IN (SELECT plan FROM plan_sessions WHERE session = ?1)
                   UNION ALL SELECT 'c_' || id FROM changes WHERE state IN ('kept', 'unknown')
                       AND id IN (SELECT change FROM change_sessions WHERE session = ?1)
                       AND EXISTS (SELECT 1 FROM targets WHERE targets.name = changes.target) LIMIT 10";
        Ok(sqlx::query_scalar(sql).bind(session.0).fetch_all(&mut *self.0).await?)
    }

    /// The files of the session's plans and changes, but for those of tables that wait in a target's trash.
    pub async fn session_files(&mut self, session: SessionId) -> Result<Vec<String>, StoreError> {
        let named = format!(
            "SELECT file FROM plans WHERE file IS NOT NULL AND id IN (SELECT plan FROM plan_sessions WHERE session = ?1) UNION
             SELECT file FROM changes WHERE file IS NOT NULL AND {OF_SESSION}
             AND NOT (state = 'committed' AND summary LIKE '{TRASH}')"
        );
        Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(named)).bind(session.0).fetch_all(&mut *self.0).await?)
    }

    /// Whether rows of the session are still named: those that wait in a target's trash.
    pub async fn has_files(&mut self, session: SessionId) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM changes c JOIN change_sessions m ON m.change = c.id
                                  WHERE m.session = ?1 AND c.file IS NOT NULL)
                   OR EXISTS (SELECT 1 FROM plans p JOIN plan_sessions m ON m.plan = p.id
                              WHERE m.session = ?1 AND p.file IS NOT NULL)";
        Ok(sqlx::query_scalar(sql).bind(session.0).fetch_one(&mut *self.0).await?)
    }
}

impl Writing {
    /// Orders an erasure, or orders it again.
    pub async fn order_erasure(&mut self, erasure: &ErasureRecord) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO erasures (session, erased_by, erased_at, reason, state) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (session) DO UPDATE SET erased_by = excluded.erased_by, erased_at = excluded.erased_at,
             reason = excluded.reason, state = excluded.state",
        )
        .bind(erasure.session.0)
        .bind(erasure.by.as_str())
        .bind(erasure.at.0)
        .bind(&erasure.reason)
        .bind(row::word("erasures", &erasure.state)?)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Says how far it is.
    pub async fn save_erasure(&mut self, session: SessionId, state: ErasureState) -> Result<(), StoreError> {
        sqlx::query("UPDATE erasures SET state = ?2 WHERE session = ?1")
            .bind(session.0)
            .bind(row::word("erasures", &state)?)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Takes an order back of which nothing was done.
    pub async fn drop_erasure(&mut self, session: SessionId) -> Result<(), StoreError> {
        let sql = "DELETE FROM erasures WHERE session = ?1 AND state = 'ordered'";
        sqlx::query(sql).bind(session.0).execute(self.connection()).await?;
        Ok(())
    }

    /// Forgets the files of the session's plans and changes, and what its plans say of rows. What waits in a target's trash is
    /// due from now on.
    pub async fn forget_session_files(&mut self, session: SessionId, now: Timestamp) -> Result<(), StoreError> {
        let due = format!(
            "UPDATE changes SET expires_at = min(expires_at, ?2) WHERE {OF_SESSION} AND file IS NOT NULL
             AND state = 'committed' AND summary LIKE '{TRASH}'"
        );
        sqlx::query(sqlx::AssertSqlSafe(due)).bind(session.0).bind(now.0).execute(self.connection()).await?;
        let of_changes = format!(
            "UPDATE changes SET file = NULL WHERE {OF_SESSION} AND NOT (state = 'committed' AND summary LIKE '{TRASH}')"
        );
        sqlx::query(sqlx::AssertSqlSafe(of_changes)).bind(session.0).execute(self.connection()).await?;
        let of_plans = "UPDATE plans SET file = NULL, revert = NULL
                        WHERE id IN (SELECT plan FROM plan_sessions WHERE session = ?1)";
        sqlx::query(of_plans).bind(session.0).execute(self.connection()).await?;
        Ok(())
    }
}

fn record(row: &SqliteRow) -> Result<ErasureRecord, StoreError> {
    let columns = row::Columns { table: "erasures", row };
    Ok(ErasureRecord {
        session: SessionId(columns.integer("session")?),
        by: columns.parsed("erased_by")?,
        at: columns.time("erased_at")?,
        reason: columns.text("reason")?,
        state: columns.word("state")?,
    })
}

//! Grants, with what checks the token of a native login.

use crate::mask::OF_GRANT;
use crate::{Look, StoreError, Writing, row};
use belay_model::{Grant, GrantId, Name, RequestId, Timestamp};
use sqlx::sqlite::SqliteRow;

/// A grant with what is known beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRecord {
    /// The grant.
    pub grant: Grant,
    /// Why it was asked for.
    pub reason: String,
    /// The SHA-256 of the token, once one was claimed.
    pub token_hash: Option<[u8; 32]>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Who ended it, if a person did.
    pub ended_by: Option<Name>,
}

/// What checks a grant's token in SCRAM-SHA-256, without holding it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredVerifier {
    /// PBKDF2 iterations.
    pub iterations: u32,
    /// Salt.
    pub salt: Vec<u8>,
    /// H(ClientKey).
    pub stored_key: [u8; 32],
    /// HMAC(SaltedPassword, "Server Key").
    pub server_key: [u8; 32],
}

impl std::fmt::Debug for StoredVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredVerifier").finish_non_exhaustive()
    }
}

/// A grant that a native login could open.
#[derive(Debug, Clone)]
pub struct LoginRecord {
    /// The grant.
    pub grant: Grant,
    /// What checks its token.
    pub verifier: StoredVerifier,
}

const LIVE: &str = "g.state IN ('ready', 'active')";

/// With the reason, for records.
fn select() -> String {
    format!("SELECT g.*, {OF_GRANT}, r.reason FROM grants g JOIN requests r ON r.id = g.request")
}

impl Look<'_> {
    /// One grant.
    pub async fn grant(&mut self, id: GrantId) -> Result<Option<GrantRecord>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{} WHERE g.id = ?1", select())))
            .bind(id.0)
            .fetch_optional(&mut *self.0)
            .await?;
        row.as_ref().map(record).transpose()
    }

    /// The grant a request has become.
    pub async fn grant_of_request(&mut self, id: RequestId) -> Result<Option<Grant>, StoreError> {
        let sql = format!("SELECT g.*, {OF_GRANT} FROM grants g WHERE g.request = ?1");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id.0).fetch_optional(&mut *self.0).await?;
        row.as_ref().map(grant).transpose()
    }

    /// Grants, newest first: live ones or all, of one person or of everybody.
    pub async fn grants(&mut self, of: Option<&Name>, all: bool) -> Result<Vec<GrantRecord>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{} WHERE (?1 IS NULL OR g.principal = ?1) AND (?2 OR {LIVE}) ORDER BY g.id DESC LIMIT ?3",
            select()
        )))
        .bind(of.map(Name::as_str))
        .bind(all)
        .bind(crate::LIST_MOST)
        .fetch_all(&mut *self.0)
        .await?;
        rows.iter().map(record).collect()
    }

    /// Every live grant, of one person, on one target, or of everybody everywhere.
    pub async fn live_grants(&mut self, of: Option<&Name>, on: Option<&Name>) -> Result<Vec<Grant>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT g.*, {OF_GRANT} FROM grants g
             WHERE {LIVE} AND (?1 IS NULL OR g.principal = ?1) AND (?2 IS NULL OR g.target = ?2) ORDER BY g.id"
        )))
        .bind(of.map(Name::as_str))
        .bind(on.map(Name::as_str))
        .fetch_all(&mut *self.0)
        .await?;
        rows.iter().map(grant).collect()
    }

    /// Ids that begin with these digits, smallest first; at most two, enough to see whether there are several.
    pub async fn grant_ids(&mut self, digits: &str) -> Result<Vec<GrantId>, StoreError> {
        let ids: Vec<i64> =
            sqlx::query_scalar("SELECT id FROM grants WHERE CAST(id AS TEXT) LIKE ?1 || '%' ORDER BY id LIMIT 2")
                .bind(digits)
                .fetch_all(&mut *self.0)
                .await?;
        Ok(ids.into_iter().map(GrantId).collect())
    }

    /// Live grants past their use-by or end; at most a list's worth.
    pub async fn grants_due(&mut self, now: Timestamp) -> Result<Vec<GrantId>, StoreError> {
        let ids: Vec<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "SELECT g.id FROM grants g
             WHERE {LIVE} AND (g.ends_at <= ?1 OR (g.state = 'ready' AND g.use_by <= ?1)) ORDER BY g.ends_at LIMIT ?2"
        )))
        .bind(now.0)
        .bind(crate::LIST_MOST)
        .fetch_all(&mut *self.0)
        .await?;
        Ok(ids.into_iter().map(GrantId).collect())
    }

    /// The earliest time at which a request, a grant or a plan will be due.
    pub async fn next_due(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let at: Option<i64> = sqlx::query_scalar(
            "SELECT min(at) FROM (
                SELECT min(decide_by) AS at FROM requests WHERE state = 'pending'
                UNION ALL SELECT min(ends_at) FROM grants WHERE state IN ('ready', 'active')
                UNION ALL SELECT min(use_by) FROM grants WHERE state = 'ready'
                UNION ALL SELECT min(expires_at) FROM plans WHERE state IN ('pending', 'approved'))",
        )
        .fetch_one(&mut *self.0)
        .await?;
        Ok(at.map(Timestamp))
    }

    /// Grants of a person with a claimed token, newest first: live ones, and those that ended after `since`.
    pub async fn logins_of(&mut self, principal: &Name, since: Timestamp) -> Result<Vec<LoginRecord>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT g.*, {OF_GRANT} FROM grants g WHERE g.principal = ?1 AND g.stored_key IS NOT NULL
             AND ({LIVE} OR g.ended_at > ?2) ORDER BY g.id DESC LIMIT ?3"
        )))
        .bind(principal.as_str())
        .bind(since.0)
        .bind(crate::LIST_MOST)
        .fetch_all(&mut *self.0)
        .await?;
        rows.iter().map(login).collect()
    }
}

impl Writing {
    /// Adds a grant and returns it with its id.
    pub async fn add_grant(&mut self, grant: Grant) -> Result<Grant, StoreError> {
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO grants (request, principal, target, resources, can_read, can_write, can_direct, can_all, bounds, state,
                                 granted_at, use_by, ends_at, extendable, record_values, break_glass)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16) RETURNING id",
        )
        .bind(grant.request.0)
        .bind(grant.principal.as_str())
        .bind(grant.target.as_str())
        .bind(row::json("grants", &grant.resources)?)
        .bind(grant.effects.read)
        .bind(grant.effects.write)
        .bind(grant.effects.direct)
        .bind(grant.effects.all)
        .bind(row::json("grants", &grant.bounds)?)
        .bind(row::word("grants", &grant.state)?)
        .bind(grant.granted_at.0)
        .bind(grant.use_by.0)
        .bind(grant.ends_at.0)
        .bind(grant.extendable)
        .bind(grant.record_values)
        .bind(grant.break_glass)
        .fetch_one(self.connection())
        .await?;
        Ok(Grant { id: GrantId(id), ..grant })
    }

    /// Writes what can change of a grant: state, end, resources, effects, extension, review.
    pub async fn save_grant(&mut self, grant: &Grant) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE grants SET state = ?2, ends_at = ?3, resources = ?4, can_read = ?5, can_write = ?6,
                    extendable = ?7, reviewed_by = ?8, can_all = ?9, can_direct = ?10 WHERE id = ?1",
        )
        .bind(grant.id.0)
        .bind(row::word("grants", &grant.state)?)
        .bind(grant.ends_at.0)
        .bind(row::json("grants", &grant.resources)?)
        .bind(grant.effects.read)
        .bind(grant.effects.write)
        .bind(grant.extendable)
        .bind(grant.reviewed_by.as_ref().map(Name::as_str))
        .bind(grant.effects.all)
        .bind(grant.effects.direct)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Writes when a grant ended, and who ended it if a person did.
    pub async fn mark_ended(&mut self, id: GrantId, by: Option<&Name>, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE grants SET ended_at = ?2, ended_by = ?3 WHERE id = ?1")
            .bind(id.0)
            .bind(now.0)
            .bind(by.map(Name::as_str))
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Writes what the reviewer said.
    pub async fn save_review_note(&mut self, id: GrantId, note: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE grants SET review_note = ?2 WHERE id = ?1")
            .bind(id.0)
            .bind(note)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Writes what checks the grant's token; the former token stops working.
    pub async fn save_verifier(
        &mut self,
        id: GrantId,
        token_hash: &[u8; 32],
        verifier: &StoredVerifier,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE grants SET token_hash = ?2, scram_iterations = ?3, scram_salt = ?4, stored_key = ?5, server_key = ?6
             WHERE id = ?1",
        )
        .bind(id.0)
        .bind(token_hash.as_slice())
        .bind(i64::from(verifier.iterations))
        .bind(&verifier.salt)
        .bind(verifier.stored_key.as_slice())
        .bind(verifier.server_key.as_slice())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Forgets the verifiers of grants that ended before `until`.
    pub async fn forget_verifiers(&mut self, until: Timestamp) -> Result<u64, StoreError> {
        let done = sqlx::query(
            "UPDATE grants SET token_hash = NULL, scram_iterations = NULL, scram_salt = NULL, stored_key = NULL,
                    server_key = NULL WHERE ended_at <= ?1 AND stored_key IS NOT NULL",
        )
        .bind(until.0)
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected())
    }
}

fn record(row: &SqliteRow) -> Result<GrantRecord, StoreError> {
    let columns = row::Columns { table: "grants", row };
    Ok(GrantRecord {
        grant: grant(row)?,
        reason: columns.text("reason")?,
        token_hash: columns.fixed_or_null("token_hash")?,
        ended_at: columns.time_or_null("ended_at")?,
        ended_by: columns.parsed_or_null("ended_by")?,
    })
}

fn login(row: &SqliteRow) -> Result<LoginRecord, StoreError> {
    let columns = row::Columns { table: "grants", row };
    let verifier = StoredVerifier {
        iterations: columns.small("scram_iterations")?,
        salt: columns.bytes("scram_salt")?,
        stored_key: columns.fixed("stored_key")?,
        server_key: columns.fixed("server_key")?,
    };
    Ok(LoginRecord { grant: grant(row)?, verifier })
}

fn grant(row: &SqliteRow) -> Result<Grant, StoreError> {
    let columns = row::Columns { table: "grants", row };
    Ok(Grant {
        id: GrantId(columns.integer("id")?),
        request: RequestId(columns.integer("request")?),
        principal: columns.parsed("principal")?,
        target: columns.parsed("target")?,
        resources: columns.json("resources")?,
        effects: columns.effects()?,
        bounds: columns.json("bounds")?,
        masks: columns.json("masks")?,
        state: columns.word("state")?,
        granted_at: columns.time("granted_at")?,
        use_by: columns.time("use_by")?,
        ends_at: columns.time("ends_at")?,
        extendable: columns.flag("extendable")?,
        record_values: columns.flag("record_values")?,
        break_glass: columns.flag("break_glass")?,
        reviewed_by: columns.parsed_or_null("reviewed_by")?,
    })
}

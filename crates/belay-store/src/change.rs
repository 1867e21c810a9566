//! Change sets, and how their transactions ended. Their rows are in sealed files; here is where.

use crate::belongs::{CHANGE_NOT_HELD, PLAN_NOT_HELD};
use crate::{Look, StoreError, Writing, row};
use belay_model::{ChangeId, GrantId, KeptChange, Name, PlanId, SessionId, Timestamp};
use sqlx::sqlite::SqliteRow;

/// A change with what is known beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRecord {
    /// The change.
    pub change: KeptChange,
    /// Committed changes that give it back, oldest first; they may do so in part.
    pub reverted_by: Vec<ChangeId>,
    /// What changed, table by table, as JSON of whoever keeps it.
    pub summary: String,
    /// The name of the sealed file; absent once it has been removed.
    pub file: Option<String>,
}

const SELECT: &str = "SELECT c.*,
    (SELECT json_group_array('c_' || r.reverts) FROM (
        SELECT reverts FROM change_reverts WHERE change = c.id ORDER BY reverts) r) AS reverts,
    (SELECT json_group_array('c_' || r.change) FROM (
        SELECT r.change FROM change_reverts r JOIN changes by_it ON by_it.id = r.change
        WHERE r.reverts = c.id AND by_it.state = 'committed' ORDER BY r.change) r) AS reverted_by
    FROM changes c ";

/// A summary of tables that were moved away instead of being dropped.
pub(crate) const TRASH: &str = "%\"means\":\"trash\"%";

/// Which changes are looked for; all of them where nothing is said.
#[derive(Debug, Clone, Copy, Default)]
pub struct WhichChanges<'a> {
    /// Of this person.
    pub of: Option<&'a Name>,
    /// That belong to this session.
    pub session: Option<SessionId>,
    /// Those that were rolled back, too.
    pub all: bool,
}

impl Look<'_> {
    /// One change.
    pub async fn change(&mut self, id: ChangeId) -> Result<Option<ChangeRecord>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} WHERE c.id = ?1")))
            .bind(id.0)
            .fetch_optional(&mut *self.0)
            .await?;
        row.as_ref().map(record).transpose()
    }

    /// Changes, newest first.
    pub async fn changes(&mut self, which: WhichChanges<'_>) -> Result<Vec<ChangeRecord>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{SELECT} WHERE (?1 IS NULL OR c.principal = ?1)
             AND (?2 IS NULL OR c.id IN (SELECT change FROM change_sessions WHERE session = ?2))
             AND (?3 OR c.state <> 'rolled_back') ORDER BY c.id DESC LIMIT ?4"
        )))
        .bind(which.of.map(Name::as_str))
        .bind(which.session.map(|session| session.0))
        .bind(which.all)
        .bind(crate::LIST_MOST)
        .fetch_all(&mut *self.0)
        .await?;
        rows.iter().map(record).collect()
    }

    /// Ids that begin with these digits, smallest first; at most two, enough to see whether there are several.
    pub async fn change_ids(&mut self, digits: &str) -> Result<Vec<ChangeId>, StoreError> {
        let sql = "SELECT id FROM changes WHERE CAST(id AS TEXT) LIKE ?1 || '%' ORDER BY id LIMIT 2";
        let ids: Vec<i64> = sqlx::query_scalar(sql).bind(digits).fetch_all(&mut *self.0).await?;
        Ok(ids.into_iter().map(ChangeId).collect())
    }

    /// Changes of which nobody knows how they ended, oldest first; at most a list's worth.
    pub async fn unsettled_changes(&mut self) -> Result<Vec<ChangeRecord>, StoreError> {
        let sql = format!("{SELECT} WHERE c.state IN ('kept', 'unknown') ORDER BY c.id LIMIT ?1");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(crate::LIST_MOST).fetch_all(&mut *self.0).await?;
        rows.iter().map(record).collect()
    }

    /// Changes that dropped tables and whose time is over, oldest first: the tables wait in the target's trash.
    pub async fn due_trash(&mut self, now: Timestamp) -> Result<Vec<ChangeRecord>, StoreError> {
        let sql = format!(
            "{SELECT} WHERE c.file IS NOT NULL AND c.state = 'committed' AND c.expires_at <= ?1 AND c.summary LIKE '{TRASH}'
             AND {CHANGE_NOT_HELD} ORDER BY c.id LIMIT ?2"
        );
        let found = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(now.0).bind(crate::LIST_MOST).fetch_all(&mut *self.0);
        found.await?.iter().map(record).collect()
    }

    /// The change that a plan has become, or is becoming.
    pub async fn change_of_plan(&mut self, plan: PlanId) -> Result<Option<ChangeId>, StoreError> {
        let sql = "SELECT id FROM changes WHERE plan = ?1 AND state <> 'rolled_back' ORDER BY id LIMIT 1";
        let id: Option<i64> = sqlx::query_scalar(sql).bind(plan.0).fetch_optional(&mut *self.0).await?;
        Ok(id.map(ChangeId))
    }

    /// Every sealed file that a plan or a change names.
    pub async fn change_files(&mut self) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT file FROM plans WHERE file IS NOT NULL UNION SELECT file FROM changes WHERE file IS NOT NULL";
        Ok(sqlx::query_scalar(sql).fetch_all(&mut *self.0).await?)
    }
}

impl Writing {
    /// Adds a change and returns it with its id.
    pub async fn add_change(&mut self, record: ChangeRecord) -> Result<ChangeRecord, StoreError> {
        let change = &record.change;
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO changes (plan, grant_id, session, principal, target, database, state, transaction_id, made_at,
                                  expires_at, fingerprint, row_count, summary, file)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) RETURNING id",
        )
        .bind(change.plan.map(|plan| plan.0))
        .bind(change.grant.0)
        .bind(change.session.map(|session| session.0))
        .bind(change.principal.as_str())
        .bind(change.target.as_str())
        .bind(&change.database)
        .bind(row::word("changes", &change.state)?)
        .bind(&change.transaction)
        .bind(change.made_at.0)
        .bind(change.expires_at.0)
        .bind(&change.fingerprint)
        .bind(row::count(change.rows))
        .bind(&record.summary)
        .bind(&record.file)
        .fetch_one(self.connection())
        .await?;
        for reverted in &change.reverts {
            sqlx::query("INSERT INTO change_reverts (change, reverts) VALUES (?1, ?2)")
                .bind(id)
                .bind(reverted.0)
                .execute(self.connection())
                .await?;
        }
        Ok(ChangeRecord { change: KeptChange { id: ChangeId(id), ..record.change }, ..record })
    }

    /// Writes how a change's transaction ended. What it changed never does.
    pub async fn save_change(&mut self, change: &KeptChange) -> Result<(), StoreError> {
        sqlx::query("UPDATE changes SET state = ?2 WHERE id = ?1")
            .bind(change.id.0)
            .bind(row::word("changes", &change.state)?)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Forgets the files of plans and changes whose time is over, and returns their names; at most a list's worth.
    /// What is not settled keeps its file, and so does what is still in a target's trash or belongs to a session on hold.
    pub async fn forget_change_files(&mut self, now: Timestamp, plans: Timestamp) -> Result<Vec<String>, StoreError> {
        let of_changes = format!(
            "SELECT file FROM changes c WHERE file IS NOT NULL AND expires_at <= ?1 AND (state = 'rolled_back'
             OR state = 'committed' AND summary NOT LIKE '{TRASH}') AND {CHANGE_NOT_HELD} LIMIT ?2"
        );
        let mut files: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(of_changes))
            .bind(now.0)
            .bind(crate::LIST_MOST)
            .fetch_all(self.connection())
            .await?;
        let of_plans = format!(
            "SELECT file FROM plans p WHERE file IS NOT NULL AND state NOT IN ('pending', 'approved')
             AND expires_at <= ?1 AND {PLAN_NOT_HELD} LIMIT ?2"
        );
        let found: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(of_plans))
            .bind(plans.0)
            .bind(crate::LIST_MOST)
            .fetch_all(self.connection())
            .await?;
        files.extend(found);
        for file in &files {
            for sql in
                ["UPDATE changes SET file = NULL WHERE file = ?1", "UPDATE plans SET file = NULL WHERE file = ?1"]
            {
                sqlx::query(sql).bind(file).execute(self.connection()).await?;
            }
        }
        Ok(files)
    }

    /// Forgets the file of one change.
    pub async fn forget_change_file(&mut self, change: ChangeId) -> Result<(), StoreError> {
        sqlx::query("UPDATE changes SET file = NULL WHERE id = ?1").bind(change.0).execute(self.connection()).await?;
        Ok(())
    }
}

fn record(row: &SqliteRow) -> Result<ChangeRecord, StoreError> {
    let columns = row::Columns { table: "changes", row };
    let change = KeptChange {
        id: ChangeId(columns.integer("id")?),
        plan: columns.integer_or_null("plan")?.map(PlanId),
        reverts: columns.json("reverts")?,
        grant: GrantId(columns.integer("grant_id")?),
        session: columns.integer_or_null("session")?.map(SessionId),
        principal: columns.parsed("principal")?,
        target: columns.parsed("target")?,
        database: columns.text("database")?,
        state: columns.word("state")?,
        transaction: columns.text_or_null("transaction_id")?,
        made_at: columns.time("made_at")?,
        expires_at: columns.time("expires_at")?,
        fingerprint: columns.text("fingerprint")?,
        rows: columns.small("row_count")?,
    };
    Ok(ChangeRecord {
        change,
        reverted_by: columns.json("reverted_by")?,
        summary: columns.text("summary")?,
        file: columns.text_or_null("file")?,
    })
}

//! Plans with their approvals. Their rows and texts are in sealed files; here is where.

use crate::{Look, StoreError, Writing, row};
use belay_model::{ChangeId, GrantId, Name, Plan, PlanId, SessionId, Timestamp};
use sqlx::sqlite::SqliteRow;

/// A plan with what is known beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRecord {
    /// The plan.
    pub plan: Plan,
    /// What would change, table by table, as JSON of whoever keeps it.
    pub summary: String,
    /// What a plan to give rows back says beyond that, as JSON of whoever keeps it.
    pub revert: Option<String>,
    /// The name of the sealed file; absent once it has been removed.
    pub file: Option<String>,
}

const SELECT: &str = "SELECT p.*, (
    SELECT json_group_array(json_object('approver', a.approver, 'at', a.at, 'fingerprint', a.fingerprint))
    FROM (SELECT * FROM plan_approvals WHERE plan = p.id ORDER BY at, approver) a
) AS approvals FROM plans p ";

impl Look<'_> {
    /// One plan.
    pub async fn plan(&mut self, id: PlanId) -> Result<Option<PlanRecord>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} WHERE p.id = ?1")))
            .bind(id.0)
            .fetch_optional(&mut *self.0)
            .await?;
        row.as_ref().map(record).transpose()
    }

    /// Plans, newest first: open ones or all, of one person or of everybody.
    pub async fn plans(&mut self, of: Option<&Name>, all: bool) -> Result<Vec<PlanRecord>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{SELECT} WHERE (?1 IS NULL OR p.principal = ?1) AND (?2 OR p.state IN ('pending', 'approved'))
             ORDER BY p.id DESC LIMIT ?3"
        )))
        .bind(of.map(Name::as_str))
        .bind(all)
        .bind(crate::LIST_MOST)
        .fetch_all(&mut *self.0)
        .await?;
        rows.iter().map(record).collect()
    }

    /// Ids that begin with these digits, smallest first; at most two, enough to see whether there are several.
    pub async fn plan_ids(&mut self, digits: &str) -> Result<Vec<PlanId>, StoreError> {
        let sql = "SELECT id FROM plans WHERE CAST(id AS TEXT) LIKE ?1 || '%' ORDER BY id LIMIT 2";
        let ids: Vec<i64> = sqlx::query_scalar(sql).bind(digits).fetch_all(&mut *self.0).await?;
        Ok(ids.into_iter().map(PlanId).collect())
    }

    /// Open plans whose time is over; at most a list's worth.
    pub async fn plans_due(&mut self, now: Timestamp) -> Result<Vec<PlanId>, StoreError> {
        let sql = "SELECT id FROM plans WHERE state IN ('pending', 'approved') AND expires_at <= ?1
                   ORDER BY expires_at LIMIT ?2";
        let ids: Vec<i64> = sqlx::query_scalar(sql).bind(now.0).bind(crate::LIST_MOST).fetch_all(&mut *self.0).await?;
        Ok(ids.into_iter().map(PlanId).collect())
    }

    /// How many plans of a person are open.
    pub async fn open_plans(&mut self, principal: &Name) -> Result<i64, StoreError> {
        let sql = "SELECT count(*) FROM plans WHERE principal = ?1 AND state IN ('pending', 'approved')";
        Ok(sqlx::query_scalar(sql).bind(principal.as_str()).fetch_one(&mut *self.0).await?)
    }
}

impl Writing {
    /// Adds a plan and returns it with its id.
    pub async fn add_plan(&mut self, record: PlanRecord) -> Result<PlanRecord, StoreError> {
        let plan = &record.plan;
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO plans (kind, grant_id, session, principal, target, database, state, made_at, expires_at,
                                approvals_needed, fingerprint, row_count, unrepeatable, revert, summary, file)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16) RETURNING id",
        )
        .bind(row::word("plans", &plan.kind)?)
        .bind(plan.grant.0)
        .bind(plan.session.map(|session| session.0))
        .bind(plan.principal.as_str())
        .bind(plan.target.as_str())
        .bind(&plan.database)
        .bind(row::word("plans", &plan.state)?)
        .bind(plan.made_at.0)
        .bind(plan.expires_at.0)
        .bind(i64::from(plan.approvals_needed))
        .bind(&plan.fingerprint)
        .bind(row::count(plan.rows))
        .bind(&plan.unrepeatable)
        .bind(&record.revert)
        .bind(&record.summary)
        .bind(&record.file)
        .fetch_one(self.connection())
        .await?;
        Ok(PlanRecord { plan: Plan { id: PlanId(id), ..record.plan }, ..record })
    }

    /// Writes where a plan stands, what came of it, and its approvals. What it would do never changes.
    pub async fn save_plan(&mut self, plan: &Plan) -> Result<(), StoreError> {
        sqlx::query("UPDATE plans SET state = ?2, denial = ?3, applied = ?4, replaced_by = ?5 WHERE id = ?1")
            .bind(plan.id.0)
            .bind(row::word("plans", &plan.state)?)
            .bind(&plan.denial)
            .bind(plan.applied.map(|change| change.0))
            .bind(plan.replaced_by.map(|plan| plan.0))
            .execute(self.connection())
            .await?;
        for approval in &plan.approvals {
            let sql = "INSERT INTO plan_approvals (plan, approver, at, fingerprint) VALUES (?1, ?2, ?3, ?4)
                       ON CONFLICT DO NOTHING";
            sqlx::query(sql)
                .bind(plan.id.0)
                .bind(approval.approver.as_str())
                .bind(approval.at.0)
                .bind(&approval.fingerprint)
                .execute(self.connection())
                .await?;
        }
        Ok(())
    }

    /// Takes back a person's approvals of plans that are not decided yet.
    pub async fn forget_plan_approvals(&mut self, approver: &Name) -> Result<(), StoreError> {
        let sql = "DELETE FROM plan_approvals WHERE approver = ?1
                   AND plan IN (SELECT id FROM plans WHERE state = 'pending')";
        sqlx::query(sql).bind(approver.as_str()).execute(self.connection()).await?;
        Ok(())
    }
}

fn record(row: &SqliteRow) -> Result<PlanRecord, StoreError> {
    let columns = row::Columns { table: "plans", row };
    let plan = Plan {
        id: PlanId(columns.integer("id")?),
        kind: columns.word("kind")?,
        grant: GrantId(columns.integer("grant_id")?),
        session: columns.integer_or_null("session")?.map(SessionId),
        principal: columns.parsed("principal")?,
        target: columns.parsed("target")?,
        database: columns.text("database")?,
        state: columns.word("state")?,
        made_at: columns.time("made_at")?,
        expires_at: columns.time("expires_at")?,
        fingerprint: columns.text("fingerprint")?,
        rows: columns.small("row_count")?,
        approvals_needed: columns.small("approvals_needed")?,
        approvals: columns.json("approvals")?,
        unrepeatable: columns.text_or_null("unrepeatable")?,
        denial: columns.text_or_null("denial")?,
        applied: columns.integer_or_null("applied")?.map(ChangeId),
        replaced_by: columns.integer_or_null("replaced_by")?.map(PlanId),
    };
    Ok(PlanRecord {
        plan,
        summary: columns.text("summary")?,
        revert: columns.text_or_null("revert")?,
        file: columns.text_or_null("file")?,
    })
}

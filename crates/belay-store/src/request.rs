//! Access requests with their approvals.

use crate::{Look, StoreError, Writing, row};
use belay_model::{AccessRequest, Name, RequestId, RuleId, Span, Timestamp};
use sqlx::sqlite::SqliteRow;

const SELECT: &str = "SELECT r.*, (
    SELECT json_group_array(json_object('approver', a.approver, 'at', a.at))
    FROM (SELECT approver, at FROM approvals WHERE request = r.id ORDER BY at, approver) a
) AS approvals FROM requests r ";

impl Look<'_> {
    /// One request.
    pub async fn request(&mut self, id: RequestId) -> Result<Option<AccessRequest>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} WHERE r.id = ?1")))
            .bind(id.0)
            .fetch_optional(&mut *self.0)
            .await?;
        row.as_ref().map(request).transpose()
    }

    /// Requests, newest first: pending ones or all, of one person or of everybody.
    pub async fn requests(&mut self, of: Option<&Name>, all: bool) -> Result<Vec<AccessRequest>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{SELECT} WHERE (?1 IS NULL OR r.requester = ?1) AND (?2 OR r.state = 'pending')
             ORDER BY r.id DESC LIMIT ?3"
        )))
        .bind(of.map(Name::as_str))
        .bind(all)
        .bind(crate::LIST_MOST)
        .fetch_all(&mut *self.0)
        .await?;
        rows.iter().map(request).collect()
    }

    /// Every pending request on a target.
    pub async fn pending_on(&mut self, target: &Name) -> Result<Vec<AccessRequest>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{SELECT} WHERE r.target = ?1 AND r.state = 'pending' ORDER BY r.id"
        )))
        .bind(target.as_str())
        .fetch_all(&mut *self.0)
        .await?;
        rows.iter().map(request).collect()
    }

    /// Ids that begin with these digits, smallest first; at most two, enough to see whether there are several.
    pub async fn request_ids(&mut self, digits: &str) -> Result<Vec<RequestId>, StoreError> {
        let ids: Vec<i64> =
            sqlx::query_scalar("SELECT id FROM requests WHERE CAST(id AS TEXT) LIKE ?1 || '%' ORDER BY id LIMIT 2")
                .bind(digits)
                .fetch_all(&mut *self.0)
                .await?;
        Ok(ids.into_iter().map(RequestId).collect())
    }

    /// Pending requests whose time to be decided is over; at most a list's worth.
    pub async fn requests_due(&mut self, now: Timestamp) -> Result<Vec<RequestId>, StoreError> {
        let ids: Vec<i64> = sqlx::query_scalar(
            "SELECT id FROM requests WHERE state = 'pending' AND decide_by <= ?1 ORDER BY decide_by LIMIT ?2",
        )
        .bind(now.0)
        .bind(crate::LIST_MOST)
        .fetch_all(&mut *self.0)
        .await?;
        Ok(ids.into_iter().map(RequestId).collect())
    }

    /// How many requests of a person are pending.
    pub async fn pending_count(&mut self, requester: &Name) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM requests WHERE requester = ?1 AND state = 'pending'")
            .bind(requester.as_str())
            .fetch_one(&mut *self.0)
            .await?)
    }
}

impl Writing {
    /// Adds a request and returns it with its id.
    pub async fn add_request(&mut self, request: AccessRequest) -> Result<AccessRequest, StoreError> {
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO requests (requester, target, resources, can_read, can_write, can_direct, can_all, bounds, seconds, reason,
                                   break_glass, rule, approvals_needed, extendable, record_values, state, created_at, decide_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18) RETURNING id",
        )
        .bind(request.requester.as_str())
        .bind(request.target.as_str())
        .bind(row::json("requests", &request.resources)?)
        .bind(request.effects.read)
        .bind(request.effects.write)
        .bind(request.effects.direct)
        .bind(request.effects.all)
        .bind(row::json("requests", &request.bounds)?)
        .bind(i64::from(request.duration.seconds()))
        .bind(&request.reason)
        .bind(request.break_glass)
        .bind(request.rule.map(|rule| rule.0))
        .bind(i64::from(request.approvals_needed))
        .bind(request.extendable)
        .bind(request.record_values)
        .bind(row::word("requests", &request.state)?)
        .bind(request.created_at.0)
        .bind(request.decide_by.0)
        .fetch_one(self.connection())
        .await?;
        Ok(AccessRequest { id: RequestId(id), ..request })
    }

    /// Writes where a request stands, its denial and its approvals. What was asked for never changes.
    pub async fn save_request(&mut self, request: &AccessRequest) -> Result<(), StoreError> {
        sqlx::query("UPDATE requests SET state = ?2, denial = ?3 WHERE id = ?1")
            .bind(request.id.0)
            .bind(row::word("requests", &request.state)?)
            .bind(&request.denial)
            .execute(self.connection())
            .await?;
        for approval in &request.approvals {
            sqlx::query("INSERT INTO approvals (request, approver, at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")
                .bind(request.id.0)
                .bind(approval.approver.as_str())
                .bind(approval.at.0)
                .execute(self.connection())
                .await?;
        }
        Ok(())
    }

    /// Takes back a person's approvals of requests that are still pending.
    pub async fn forget_pending_approvals(&mut self, approver: &Name) -> Result<(), StoreError> {
        sqlx::query(
            "DELETE FROM approvals WHERE approver = ?1
             AND request IN (SELECT id FROM requests WHERE state = 'pending')",
        )
        .bind(approver.as_str())
        .execute(self.connection())
        .await?;
        Ok(())
    }
}

fn request(row: &SqliteRow) -> Result<AccessRequest, StoreError> {
    let columns = row::Columns { table: "requests", row };
    Ok(AccessRequest {
        id: RequestId(columns.integer("id")?),
        requester: columns.parsed("requester")?,
        target: columns.parsed("target")?,
        resources: columns.json("resources")?,
        effects: columns.effects()?,
        bounds: columns.json("bounds")?,
        duration: Span::from_seconds(columns.small("seconds")?),
        reason: columns.text("reason")?,
        break_glass: columns.flag("break_glass")?,
        rule: columns.integer_or_null("rule")?.map(RuleId),
        approvals_needed: columns.small("approvals_needed")?,
        extendable: columns.flag("extendable")?,
        record_values: columns.flag("record_values")?,
        state: columns.word("state")?,
        created_at: columns.time("created_at")?,
        decide_by: columns.time("decide_by")?,
        approvals: columns.json("approvals")?,
        denial: columns.text_or_null("denial")?,
    })
}

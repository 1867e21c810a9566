//! Which plans and changes belong to which sessions: to their own, and to those whose changes they give back. What is held
//! or erased with a session is found by that.

use crate::{Look, StoreError, Writing};
use belay_model::{ChangeId, GrantId, PlanId, RequestId, SessionId, Timestamp};
use std::collections::HashSet;

/// Everything by which records name what is on hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    /// The sessions.
    pub sessions: HashSet<SessionId>,
    /// The grants that they were under.
    pub grants: HashSet<GrantId>,
    /// The requests that these came of.
    pub requests: HashSet<RequestId>,
    /// Plans that belong to them.
    pub plans: HashSet<PlanId>,
    /// Changes that belong to them.
    pub changes: HashSet<ChangeId>,
}

/// The condition that no session of the change `c` is on hold.
pub(crate) const CHANGE_NOT_HELD: &str = "NOT EXISTS (
    SELECT 1 FROM change_sessions m JOIN holds h ON h.session = m.session WHERE m.change = c.id)";
/// The same of the plan `p`.
pub(crate) const PLAN_NOT_HELD: &str = "NOT EXISTS (
    SELECT 1 FROM plan_sessions m JOIN holds h ON h.session = m.session WHERE m.plan = p.id)";

impl Look<'_> {
    /// The sessions to which these changes belong, in order.
    pub async fn sessions_of(&mut self, changes: &[ChangeId]) -> Result<Vec<SessionId>, StoreError> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let sql = "SELECT DISTINCT session FROM change_sessions
                   WHERE change IN (SELECT value FROM json_each(?1)) ORDER BY session";
        let changes = list(changes.iter().map(|change| change.0));
        Ok(typed(sqlx::query_scalar(sql).bind(changes).fetch_all(&mut *self.0).await?, SessionId))
    }

    /// The session, and every other to which a plan or a change of it belongs as well.
    pub async fn bound_to(&mut self, session: SessionId) -> Result<Vec<SessionId>, StoreError> {
        let sql = "SELECT ?1 UNION
                   SELECT other.session FROM change_sessions m JOIN change_sessions other ON other.change = m.change
                   WHERE m.session = ?1 UNION
                   SELECT other.session FROM plan_sessions m JOIN plan_sessions other ON other.plan = m.plan
                   WHERE m.session = ?1";
        Ok(typed(sqlx::query_scalar(sql).bind(session.0).fetch_all(&mut *self.0).await?, SessionId))
    }

    /// Plans and changes of the session that have none of their own, because they belong to others as well.
    pub async fn shared_by(&mut self, session: SessionId) -> Result<(Vec<PlanId>, Vec<ChangeId>), StoreError> {
        let plans = "SELECT p.id FROM plan_sessions m JOIN plans p ON p.id = m.plan
                     WHERE m.session = ?1 AND p.session IS NULL";
        let plans = sqlx::query_scalar(plans).bind(session.0).fetch_all(&mut *self.0).await?;
        let changes = "SELECT c.id FROM change_sessions m JOIN changes c ON c.id = m.change
                       WHERE m.session = ?1 AND c.session IS NULL";
        let changes = sqlx::query_scalar(changes).bind(session.0).fetch_all(&mut *self.0).await?;
        Ok((typed(plans, PlanId), typed(changes, ChangeId)))
    }

    /// What is on hold, and all that belongs to it.
    pub async fn held(&mut self) -> Result<Held, StoreError> {
        let sessions = sqlx::query_scalar("SELECT session FROM holds").fetch_all(&mut *self.0).await?;
        let grants = "SELECT grant_id FROM sessions WHERE id IN (SELECT session FROM holds)";
        let grants = sqlx::query_scalar(grants).fetch_all(&mut *self.0).await?;
        let requests = "SELECT g.request FROM sessions s JOIN grants g ON g.id = s.grant_id
                        WHERE s.id IN (SELECT session FROM holds)";
        let requests = sqlx::query_scalar(requests).fetch_all(&mut *self.0).await?;
        let plans = "SELECT plan FROM plan_sessions WHERE session IN (SELECT session FROM holds)";
        let plans = sqlx::query_scalar(plans).fetch_all(&mut *self.0).await?;
        let changes = "SELECT change FROM change_sessions WHERE session IN (SELECT session FROM holds)";
        let changes = sqlx::query_scalar(changes).fetch_all(&mut *self.0).await?;
        Ok(Held {
            sessions: typed(sessions, SessionId),
            grants: typed(grants, GrantId),
            requests: typed(requests, RequestId),
            plans: typed(plans, PlanId),
            changes: typed(changes, ChangeId),
        })
    }

    /// Those of these sessions that are over and on no hold, that made nothing since `before`, and none of whose rows are
    /// kept.
    pub async fn outlived_sessions(
        &mut self,
        of: &[SessionId],
        before: Timestamp,
    ) -> Result<Vec<SessionId>, StoreError> {
        let sql = "SELECT s.id FROM sessions s WHERE s.id IN (SELECT value FROM json_each(?1))
                   AND s.state = 'closed' AND s.ended_at < ?2 AND s.id NOT IN (SELECT session FROM holds)
                   AND NOT EXISTS (SELECT 1 FROM change_sessions m JOIN changes c ON c.id = m.change WHERE m.session = s.id
                       AND (c.made_at >= ?2 OR c.file IS NOT NULL OR c.state IN ('kept', 'unknown')))
                   AND NOT EXISTS (SELECT 1 FROM plan_sessions m JOIN plans p ON p.id = m.plan WHERE m.session = s.id
                       AND (p.made_at >= ?2 OR p.file IS NOT NULL OR p.state IN ('pending', 'approved')))";
        let of = list(of.iter().map(|session| session.0));
        Ok(typed(sqlx::query_scalar(sql).bind(of).bind(before.0).fetch_all(&mut *self.0).await?, SessionId))
    }

    /// Those of these changes that were made before, are settled and on no hold, and whose rows are not kept.
    pub async fn outlived_changes(&mut self, of: &[ChangeId], before: Timestamp) -> Result<Vec<ChangeId>, StoreError> {
        let sql = format!(
            "SELECT c.id FROM changes c WHERE c.id IN (SELECT value FROM json_each(?1)) AND c.made_at < ?2
             AND c.file IS NULL AND c.state NOT IN ('kept', 'unknown') AND {CHANGE_NOT_HELD}"
        );
        let found = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(list(of.iter().map(|change| change.0)));
        Ok(typed(found.bind(before.0).fetch_all(&mut *self.0).await?, ChangeId))
    }

    /// The same of plans, that are decided.
    pub async fn outlived_plans(&mut self, of: &[PlanId], before: Timestamp) -> Result<Vec<PlanId>, StoreError> {
        let sql = format!(
            "SELECT p.id FROM plans p WHERE p.id IN (SELECT value FROM json_each(?1)) AND p.made_at < ?2
             AND p.file IS NULL AND p.state NOT IN ('pending', 'approved') AND {PLAN_NOT_HELD}"
        );
        let found = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(list(of.iter().map(|plan| plan.0)));
        Ok(typed(found.bind(before.0).fetch_all(&mut *self.0).await?, PlanId))
    }
}

impl Writing {
    /// Says to which sessions a new plan belongs.
    pub async fn plan_belongs(&mut self, plan: PlanId, sessions: &[SessionId]) -> Result<(), StoreError> {
        let sql = "INSERT INTO plan_sessions (plan, session) SELECT ?1, value FROM json_each(?2)";
        let sessions = list(sessions.iter().map(|session| session.0));
        sqlx::query(sql).bind(plan.0).bind(sessions).execute(self.connection()).await?;
        Ok(())
    }

    /// Says to which sessions a new change belongs.
    pub async fn change_belongs(&mut self, change: ChangeId, sessions: &[SessionId]) -> Result<(), StoreError> {
        let sql = "INSERT INTO change_sessions (change, session) SELECT ?1, value FROM json_each(?2)";
        let sessions = list(sessions.iter().map(|session| session.0));
        sqlx::query(sql).bind(change.0).bind(sessions).execute(self.connection()).await?;
        Ok(())
    }
}

/// Numbers as a list in JSON.
fn list(ids: impl Iterator<Item = i64>) -> String {
    let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
    format!("[{}]", ids.join(","))
}

fn typed<T, C: FromIterator<T>>(ids: Vec<i64>, id: fn(i64) -> T) -> C {
    ids.into_iter().map(id).collect()
}

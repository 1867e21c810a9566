//! Whether the target can keep what somebody asks for.
//!
//! What the layers cannot enforce together is refused here, when it is asked for, and not discovered by somebody who
//! waits for it.

use super::{Desk, DeskError, Wish};
use belay_engine::{BoxFuture, ControlError, ControlFailure, Feasibility, RoleSpec, TargetAccess};
use belay_model::{Bounds, Effects, Mask, Name, Resource, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The most of each kind of bound in one request.
const FUNCTIONS_MOST: usize = 100;
const FILTERS_MOST: usize = 20;
/// The most databases that one request may name.
const DATABASES_MOST: usize = 8;

/// The desk's door to the targets.
pub trait Surveyor: Send + Sync {
    /// Whether the target can keep what the spec says.
    fn feasible<'a>(
        &'a self,
        access: &'a TargetAccess,
        spec: &'a RoleSpec,
    ) -> BoxFuture<'a, Result<Feasibility, ControlError>>;
}

impl Desk {
    /// Gives the desk its door to the targets; without one, nothing can be asked for.
    pub fn meet(&self, surveyor: Arc<dyn Surveyor>) {
        // The first one stays: there is one gateway in a process.
        let _ = self.surveyor.set(surveyor);
    }

    /// Asks the target about a wish. The answer holds nothing against it, or this is an error.
    pub(super) async fn survey(&self, wish: &Wish, masks: &[Mask]) -> Result<Feasibility, DeskError> {
        check_bounds(wish)?;
        let access = self.target_access(&wish.target).await?;
        let home = access.target.database.clone();
        let mut answer = Feasibility::default();
        for database in databases(wish, &home)? {
            let mut bounds = wish.bounds.clone();
            if database != home {
                // A function's name says no database; it is the target's own.
                bounds.functions.clear();
            }
            let spec = RoleSpec {
                name: String::new(),
                comment: String::new(),
                valid_until: Timestamp(0),
                connection_limit: 0,
                effects: wish.effects,
                resources: wish.resources.clone(),
                bounds,
                masks: masks.to_vec(),
                database,
            };
            let found = self.feasible(&access, &spec).await?;
            answer.against.extend(found.against);
            answer.notes.extend(found.notes);
            answer.existing.extend(found.existing);
        }
        if answer.against.is_empty() {
            return Ok(answer);
        }
        Err(DeskError::Infeasible {
            message: format!("{} cannot keep this: {}", wish.target, answer.against.join("; ")),
            hint: format!(
                "nothing was asked for; change the request, or see what the target keeps: belay target check {}",
                wish.target
            ),
        })
    }

    async fn feasible(&self, access: &TargetAccess, spec: &RoleSpec) -> Result<Feasibility, DeskError> {
        let name = &access.target.name;
        let Some(surveyor) = self.surveyor.get() else { return Err(unknowable(name, None, "the gateway is starting")) };
        let asked = surveyor.feasible(access, spec).await;
        asked.map_err(|error| unknowable(name, Some(error.failure), &error.message))
    }
}

fn unknowable(target: &Name, failure: Option<ControlFailure>, why: &str) -> DeskError {
    DeskError::Target {
        failure: failure.unwrap_or(ControlFailure::Unreachable),
        message: format!("{target} could not be asked whether it can keep this: {why}"),
        hint: format!("nothing was asked for; belay target check {target}"),
    }
}

/// The databases that the wish names, the target's own first.
fn databases(wish: &Wish, home: &str) -> Result<Vec<String>, DeskError> {
    let named = wish.resources.iter().chain(wish.bounds.rows.iter().map(|filter| &filter.table));
    let others: BTreeSet<&str> =
        named.clone().filter_map(|resource| resource.database.as_deref()).filter(|name| *name != home).collect();
    if others.len() > DATABASES_MOST {
        return invalid("resources", format!("more than {DATABASES_MOST} databases are named"));
    }
    let at_home = named.into_iter().any(|resource| resource.database.as_deref().is_none_or(|name| name == home));
    let at_home = at_home || !wish.bounds.functions.is_empty();
    Ok(at_home.then_some(home).into_iter().chain(others).map(str::to_owned).collect())
}

fn check_bounds(wish: &Wish) -> Result<(), DeskError> {
    let Bounds { functions, rows, budgets } = &wish.bounds;
    if functions.len() > FUNCTIONS_MOST {
        return invalid("functions", format!("more than {FUNCTIONS_MOST} functions are named"));
    }
    if rows.len() > FILTERS_MOST {
        return invalid("rows", format!("more than {FILTERS_MOST} tables are filtered"));
    }
    let zero = [budgets.rows, budgets.bytes, budgets.temporary_bytes, budgets.changed_rows].contains(&Some(0))
        || [budgets.connections, budgets.statements_per_minute].contains(&Some(0))
        || [budgets.statement_time, budgets.lock_wait].iter().flatten().any(|span| span.seconds() == 0);
    if zero {
        return invalid("budgets", "a budget of nothing lets nothing through; leave it out for none".to_owned());
    }
    if budgets.changed_rows.is_some() && (!wish.effects.direct || wish.effects.all) {
        return invalid("budgets", "only a grant of `direct` changes rows at once; leave changed rows out".to_owned());
    }
    if !wish.effects.all {
        return Ok(());
    }
    if wish.effects != Effects::ALL || wish.resources != [Resource::everything()] {
        return invalid("resources", "a grant of `all` is not bound to tables: name none".to_owned());
    }
    if !functions.is_empty() || !rows.is_empty() {
        return invalid("effects", "a grant of `all` is not judged: name no functions and filter no rows".to_owned());
    }
    Ok(())
}

fn invalid<T>(field: &'static str, message: String) -> Result<T, DeskError> {
    Err(DeskError::Invalid { field, message })
}

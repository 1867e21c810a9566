//! Changes: what was committed, and giving it back.

use super::Limited;
use crate::body::{Body, Query};
use crate::caller::Signed;
use crate::shape::{self, KeptChange, List, Revert, Rows, WriteOutcome};
use crate::{Doors, Problem};
use axum::Json;
use axum::extract::{Path, State};
use belay_server::desk::{Listing, RevertPart};
use belay_server::vault::RevertWish;
use serde::Deserialize;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Doors>> {
    OpenApiRouter::new().routes(routes!(changes)).routes(routes!(change)).routes(routes!(rows)).routes(routes!(revert))
}

/// The most parts of one revert.
const PARTS_MOST: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    all: bool,
    #[serde(default)]
    mine: bool,
    session: Option<String>,
}

/// Changes the caller may see, newest first; with `all` those that were rolled back, too.
#[utoipa::path(get, path = "/v1/changes", tag = "changes", security(("bearer" = [])), params(("all" = Option<bool>, Query), ("mine" = Option<bool>, Query), ("session" = Option<String>, Query)),
    responses((status = OK, body = List<KeptChange>), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn changes(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Query(wanted): Query<Wanted>,
) -> Result<Json<List<KeptChange>>, Problem> {
    let listing = Listing { all: wanted.all, mine: wanted.mine };
    let changes = doors.desk.kept_changes(&who, listing, wanted.session.as_deref()).await?;
    Ok(Json(List::of("change", changes.into_iter().map(KeptChange::from))))
}

/// One change, by id or unique prefix.
#[utoipa::path(get, path = "/v1/changes/{change}", tag = "changes", security(("bearer" = [])), params(("change" = String, Path)),
    responses((status = OK, body = KeptChange), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn change(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(id): Path<String>,
) -> Result<Json<KeptChange>, Problem> {
    Ok(Json(doors.desk.kept_change(&who, &id).await?.into()))
}

/// The rows of a change before and after, and what was run.
#[utoipa::path(get, path = "/v1/changes/{change}/rows", tag = "changes", security(("bearer" = [])), params(("change" = String, Path), ("limit" = Option<usize>, Query)),
    responses((status = OK, body = Rows), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn rows(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(id): Path<String>,
    Query(sized): Query<Limited>,
) -> Result<Json<Rows>, Problem> {
    let gateway = doors.gateway()?;
    Ok(Json(Rows::of_change(gateway.vault().rows_of_change(&who, &id, sized.rows()).await?)))
}

/// Gives back what a change, a plan that was applied, or all of a session has done: at once under a live grant that
/// writes at once, else as a plan that somebody else approves.
#[utoipa::path(post, path = "/v1/changes/{change}/revert", tag = "changes", security(("bearer" = [])), request_body = Revert, params(("change" = String, Path)),
    responses((status = OK, body = WriteOutcome), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn revert(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(id): Path<String>,
    Body(wanted): Body<Revert>,
) -> Result<Json<WriteOutcome>, Problem> {
    let keys: usize = wanted.only.iter().map(|part| part.keys.len().max(1)).sum();
    if keys > PARTS_MOST {
        return Err(Problem::invalid("only", format!("more than {PARTS_MOST} rows are named")));
    }
    let part = |part: shape::RevertPart| RevertPart { table: part.table, keys: part.keys };
    let wish = RevertWish {
        what: id,
        since: wanted.since.map(shape::Time::timestamp),
        dry_run: wanted.dry_run,
        keep_conflicts: wanted.keep_conflicts,
        only: wanted.only.into_iter().map(part).collect(),
    };
    let gateway = doors.gateway()?;
    let reverted = gateway.vault().revert(&who, wish).await?;
    Ok(Json(WriteOutcome::of_reverting(reverted)?))
}

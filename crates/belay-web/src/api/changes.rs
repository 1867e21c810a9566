//! Changes: what was committed, and giving it back.

use super::{Limited, Part};
use crate::body::{Body, Query};
use crate::caller::Signed;
use crate::shape::{self, KeptChange, List, PageOfRows, Revert, RevertOwn, Rows, WriteOutcome};
use crate::{Doors, Problem};
use axum::Json;
use axum::extract::{Path, State};
use belay_model::Name;
use belay_server::desk::{Caller, Listing, RevertOf, RevertPart};
use belay_server::vault::RevertWish;
use serde::Deserialize;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Doors>> {
    OpenApiRouter::new()
        .routes(routes!(changes))
        .routes(routes!(change))
        .routes(routes!(rows))
        .routes(routes!(every_row))
        .routes(routes!(revert))
        .routes(routes!(revert_own))
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

/// Every row of a change, from the row with the number `from` on: ask for `next` until there is none.
#[utoipa::path(get, path = "/v1/changes/{change}/rows/all", tag = "changes", security(("bearer" = [])), params(("change" = String, Path), ("from" = Option<u64>, Query), ("limit" = Option<usize>, Query)),
    responses((status = OK, body = PageOfRows), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn every_row(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(id): Path<String>,
    Query(part): Query<Part>,
) -> Result<Json<PageOfRows>, Problem> {
    let gateway = doors.gateway()?;
    Ok(Json(gateway.vault().page_of_change(&who, &id, part.from, part.most()).await?.into()))
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
    let of = RevertOf::Named(id);
    let since = wanted.since.map(shape::Time::timestamp);
    let (dry_run, keep_conflicts, only) = (wanted.dry_run, wanted.keep_conflicts, parts(wanted.only)?);
    give_back(&doors, &who, RevertWish { of, since, dry_run, keep_conflicts, only }).await
}

/// Gives back what the caller has changed since a moment, as one, like a single change.
#[utoipa::path(post, path = "/v1/changes/revert", tag = "changes", security(("bearer" = [])), request_body = RevertOwn,
    responses((status = OK, body = WriteOutcome), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn revert_own(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Body(wanted): Body<RevertOwn>,
) -> Result<Json<WriteOutcome>, Problem> {
    let target = wanted.target.map(|target| target.parse::<Name>());
    let target = target.transpose().map_err(|error| Problem::invalid("target", error.to_string()))?;
    let (of, since) = (RevertOf::Own(target), Some(wanted.since.timestamp()));
    let (dry_run, keep_conflicts, only) = (wanted.dry_run, wanted.keep_conflicts, parts(wanted.only)?);
    give_back(&doors, &who, RevertWish { of, since, dry_run, keep_conflicts, only }).await
}

async fn give_back(doors: &Doors, who: &Caller, wish: RevertWish) -> Result<Json<WriteOutcome>, Problem> {
    let gateway = doors.gateway()?;
    let reverted = gateway.vault().revert(who, wish).await?;
    Ok(Json(WriteOutcome::of_reverting(reverted)?))
}

fn parts(only: Vec<shape::RevertPart>) -> Result<Vec<RevertPart>, Problem> {
    let keys: usize = only.iter().map(|part| part.keys.len().max(1)).sum();
    if keys > PARTS_MOST {
        return Err(Problem::invalid("only", format!("more than {PARTS_MOST} rows are named")));
    }
    Ok(only.into_iter().map(|part| RevertPart { table: part.table, keys: part.keys }).collect())
}

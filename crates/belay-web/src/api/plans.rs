//! Plans: writes that were tried, kept and rolled back.

use super::{Limited, Part, Shown};
use crate::body::{Body, Query};
use crate::caller::Signed;
use crate::shape::{ApprovePlan, Deny, List, PageOfRows, Plan, Rows, WriteOutcome};
use crate::{Doors, Problem};
use axum::Json;
use axum::extract::{Path, State};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Doors>> {
    OpenApiRouter::new()
        .routes(routes!(plans))
        .routes(routes!(plan))
        .routes(routes!(rows))
        .routes(routes!(every_row))
        .routes(routes!(approve))
        .routes(routes!(deny))
        .routes(routes!(apply))
}

/// Plans the caller may see, newest first: open ones, or all.
#[utoipa::path(get, path = "/v1/plans", tag = "plans", security(("bearer" = [])), params(("all" = Option<bool>, Query), ("mine" = Option<bool>, Query)),
    responses((status = OK, body = List<Plan>), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn plans(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Query(shown): Query<Shown>,
) -> Result<Json<List<Plan>>, Problem> {
    let plans = doors.desk.plans(&who, shown.into()).await?;
    Ok(Json(List::of("plan", plans.into_iter().map(Plan::from))))
}

/// One plan, by id or unique prefix.
#[utoipa::path(get, path = "/v1/plans/{plan}", tag = "plans", security(("bearer" = [])), params(("plan" = String, Path)),
    responses((status = OK, body = Plan), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn plan(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(id): Path<String>,
) -> Result<Json<Plan>, Problem> {
    Ok(Json(doors.desk.plan(&who, &id).await?.into()))
}

/// The rows of a plan before and after, and what is run: all rows of a table with at most `limit`, else the first and
/// the last ones.
#[utoipa::path(get, path = "/v1/plans/{plan}/rows", tag = "plans", security(("bearer" = [])), params(("plan" = String, Path), ("limit" = Option<usize>, Query)),
    responses((status = OK, body = Rows), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn rows(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(id): Path<String>,
    Query(sized): Query<Limited>,
) -> Result<Json<Rows>, Problem> {
    let gateway = doors.gateway()?;
    Ok(Json(Rows::of_plan(gateway.vault().rows_of_plan(&who, &id, sized.rows()).await?)))
}

/// Every row of a plan, from the row with the number `from` on: ask for `next` until there is none.
#[utoipa::path(get, path = "/v1/plans/{plan}/rows/all", tag = "plans", security(("bearer" = [])), params(("plan" = String, Path), ("from" = Option<u64>, Query), ("limit" = Option<usize>, Query)),
    responses((status = OK, body = PageOfRows), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn every_row(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(id): Path<String>,
    Query(part): Query<Part>,
) -> Result<Json<PageOfRows>, Problem> {
    let gateway = doors.gateway()?;
    Ok(Json(gateway.vault().page_of_plan(&who, &id, part.from, part.most()).await?.into()))
}

/// Says yes to the rows of somebody else's plan.
#[utoipa::path(post, path = "/v1/plans/{plan}/approve", tag = "plans", security(("bearer" = [])), request_body = ApprovePlan, params(("plan" = String, Path)),
    responses((status = OK, body = Plan), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn approve(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(id): Path<String>,
    Body(yes): Body<ApprovePlan>,
) -> Result<Json<Plan>, Problem> {
    Ok(Json(doors.desk.approve_plan(&who, &id, yes.fingerprint.as_deref()).await?.into()))
}

/// Says no, with a reason; also to a plan that is approved and not applied yet.
#[utoipa::path(post, path = "/v1/plans/{plan}/deny", tag = "plans", security(("bearer" = [])), request_body = Deny, params(("plan" = String, Path)),
    responses((status = OK, body = Plan), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn deny(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(id): Path<String>,
    Body(no): Body<Deny>,
) -> Result<Json<Plan>, Problem> {
    Ok(Json(doors.desk.deny_plan(&who, &id, &no.reason).await?.into()))
}

/// Runs an approved plan again, and commits if exactly its rows change.
#[utoipa::path(post, path = "/v1/plans/{plan}/apply", tag = "plans", security(("bearer" = [])), params(("plan" = String, Path)),
    responses((status = OK, body = WriteOutcome), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn apply(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(id): Path<String>,
) -> Result<Json<WriteOutcome>, Problem> {
    let gateway = doors.gateway()?;
    let applied = gateway.vault().apply(&who, &id).await?;
    Ok(Json(WriteOutcome::of_applying(applied)?))
}

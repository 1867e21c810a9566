//! Grants.

use super::Shown;
use crate::body::{Body, Query};
use crate::caller::Signed;
use crate::shape::{self, Extend, Grant, GrantToken, List, Narrow, Review};
use crate::{Doors, Problem};
use axum::Json;
use axum::extract::{Path, State};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Doors>> {
    OpenApiRouter::new()
        .routes(routes!(grants))
        .routes(routes!(grant))
        .routes(routes!(claim_token))
        .routes(routes!(extend))
        .routes(routes!(narrow))
        .routes(routes!(revoke))
        .routes(routes!(review))
}

/// Grants the caller may see, newest first: live ones, or all.
#[utoipa::path(get, path = "/v1/grants", tag = "grants", security(("bearer" = [])), params(("all" = Option<bool>, Query), ("mine" = Option<bool>, Query)),
    responses((status = OK, body = List<Grant>), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn grants(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Query(shown): Query<Shown>,
) -> Result<Json<List<Grant>>, Problem> {
    let grants = doors.desk.grants(&who, shown.into()).await?;
    Ok(Json(List::of("grant", grants.into_iter().map(Grant::from))))
}

/// One grant, by id or unique prefix.
#[utoipa::path(get, path = "/v1/grants/{grant}", tag = "grants", security(("bearer" = [])), params(("grant" = String, Path)),
    responses((status = OK, body = Grant), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn grant(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(id): Path<String>,
) -> Result<Json<Grant>, Problem> {
    Ok(Json(doors.desk.grant_of(&who, &id).await?.into()))
}

/// Makes the token of the caller's own live grant for native clients; the former one stops working.
#[utoipa::path(post, path = "/v1/grants/{grant}/token", tag = "grants", security(("bearer" = [])), params(("grant" = String, Path)),
    responses((status = OK, body = GrantToken), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn claim_token(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(id): Path<String>,
) -> Result<Json<GrantToken>, Problem> {
    Ok(Json(doors.desk.claim_token(&who, &id).await?.into()))
}

/// Moves the end of one's own grant, once, where the rule allows it.
#[utoipa::path(post, path = "/v1/grants/{grant}/extend", tag = "grants", security(("bearer" = [])), request_body = Extend, params(("grant" = String, Path)),
    responses((status = OK, body = Grant), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn extend(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(id): Path<String>,
    Body(extend): Body<Extend>,
) -> Result<Json<Grant>, Problem> {
    Ok(Json(doors.desk.extend(&who, &id, extend.by).await?.into()))
}

/// Takes resources or effects away from a live grant.
#[utoipa::path(post, path = "/v1/grants/{grant}/narrow", tag = "grants", security(("bearer" = [])), request_body = Narrow, params(("grant" = String, Path)),
    responses((status = OK, body = Grant), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn narrow(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(id): Path<String>,
    Body(keep): Body<Narrow>,
) -> Result<Json<Grant>, Problem> {
    let effects = shape::effects(&keep.effects)?;
    Ok(Json(doors.desk.narrow(&who, &id, keep.resources, effects).await?.into()))
}

/// Ends a live grant now.
#[utoipa::path(post, path = "/v1/grants/{grant}/revoke", tag = "grants", security(("bearer" = [])), params(("grant" = String, Path)),
    responses((status = OK, body = Grant), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn revoke(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(id): Path<String>,
) -> Result<Json<Grant>, Problem> {
    Ok(Json(doors.desk.revoke(&who, &id).await?.into()))
}

/// Reviews somebody else's access that was taken in an emergency.
#[utoipa::path(post, path = "/v1/grants/{grant}/review", tag = "grants", security(("bearer" = [])), request_body = Review, params(("grant" = String, Path)),
    responses((status = OK, body = Grant), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn review(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(id): Path<String>,
    Body(review): Body<Review>,
) -> Result<Json<Grant>, Problem> {
    Ok(Json(doors.desk.review(&who, &id, &review.note).await?.into()))
}

//! Access requests.

use super::Shown;
use crate::body::{Body, Query};
use crate::caller::Signed;
use crate::shape::{self, Deny, List, NewRequest, Request};
use crate::{Doors, Problem};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use belay_model::Effects;
use belay_server::desk::Wish;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Doors>> {
    OpenApiRouter::new()
        .routes(routes!(requests, make))
        .routes(routes!(request))
        .routes(routes!(approve))
        .routes(routes!(deny))
        .routes(routes!(withdraw))
}

/// Requests the caller may see, newest first: pending ones, or all.
#[utoipa::path(get, path = "/v1/requests", tag = "requests", security(("bearer" = [])), params(("all" = Option<bool>, Query), ("mine" = Option<bool>, Query)),
    responses((status = OK, body = List<Request>), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn requests(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Query(shown): Query<Shown>,
) -> Result<Json<List<Request>>, Problem> {
    let requests = doors.desk.requests(&who, shown.into()).await?;
    Ok(Json(List::of("request", requests.into_iter().map(Request::from))))
}

/// Asks for access; granted at once where a rule says so.
#[utoipa::path(post, path = "/v1/requests", tag = "requests", security(("bearer" = [])), request_body = NewRequest,
    responses((status = CREATED, body = Request), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn make(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Body(new): Body<NewRequest>,
) -> Result<(StatusCode, Json<Request>), Problem> {
    let wish = Wish {
        target: new.target,
        resources: new.resources,
        effects: shape::effects(&new.effects)?.unwrap_or(Effects::READ),
        bounds: new.bounds.into(),
        existing_only: new.existing_only,
        duration: new.duration,
        reason: new.reason,
    };
    let view = if new.break_glass {
        doors.desk.break_glass(&who, wish).await?
    } else {
        doors.desk.request(&who, wish).await?
    };
    Ok((StatusCode::CREATED, Json(view.into())))
}

/// One request, by id or unique prefix.
#[utoipa::path(get, path = "/v1/requests/{request}", tag = "requests", security(("bearer" = [])), params(("request" = String, Path)),
    responses((status = OK, body = Request), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn request(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(id): Path<String>,
) -> Result<Json<Request>, Problem> {
    Ok(Json(doors.desk.request_of(&who, &id).await?.into()))
}

/// Says yes to somebody else's request; the last yes needed makes the grant.
#[utoipa::path(post, path = "/v1/requests/{request}/approve", tag = "requests", security(("bearer" = [])), params(("request" = String, Path)),
    responses((status = OK, body = Request), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn approve(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(id): Path<String>,
) -> Result<Json<Request>, Problem> {
    Ok(Json(doors.desk.approve(&who, &id).await?.into()))
}

/// Says no, with a reason.
#[utoipa::path(post, path = "/v1/requests/{request}/deny", tag = "requests", security(("bearer" = [])), request_body = Deny, params(("request" = String, Path)),
    responses((status = OK, body = Request), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn deny(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(id): Path<String>,
    Body(no): Body<Deny>,
) -> Result<Json<Request>, Problem> {
    Ok(Json(doors.desk.deny(&who, &id, &no.reason).await?.into()))
}

/// Takes one's own request back.
#[utoipa::path(post, path = "/v1/requests/{request}/withdraw", tag = "requests", security(("bearer" = [])), params(("request" = String, Path)),
    responses((status = OK, body = Request), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn withdraw(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(id): Path<String>,
) -> Result<Json<Request>, Problem> {
    Ok(Json(doors.desk.withdraw(&who, &id).await?.into()))
}

//! Targets.

use crate::body::Body;
use crate::caller::Signed;
use crate::shape::{List, NewTarget, Target, TargetReport};
use crate::{Doors, Problem};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use belay_engine::{ControlError, ControlFailure};
use belay_server::desk;
use secrecy::SecretString;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Doors>> {
    OpenApiRouter::new().routes(routes!(targets, add)).routes(routes!(target, remove)).routes(routes!(check))
}

/// Every target.
#[utoipa::path(get, path = "/v1/targets", tag = "targets", security(("bearer" = [])),
    responses((status = OK, body = List<Target>), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn targets(State(doors): State<Arc<Doors>>, Signed(who): Signed) -> Result<Json<List<Target>>, Problem> {
    let targets = doors.desk.targets(&who).await?;
    Ok(Json(List::of("target", targets.into_iter().map(Target::from))))
}

/// Adds a target. Its password is sealed.
#[utoipa::path(post, path = "/v1/targets", tag = "targets", security(("bearer" = [])), request_body = NewTarget,
    responses((status = CREATED, body = Target), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn add(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Body(new): Body<NewTarget>,
) -> Result<(StatusCode, Json<Target>), Problem> {
    let target = belay_model::Target {
        name: new.name,
        protocol: new.protocol,
        host: new.host,
        port: new.port,
        database: new.database,
        user: new.user,
        tls: new.tls,
        ca_pem: new.ca_pem,
    };
    let new = desk::NewTarget { target, password: SecretString::from(new.password) };
    Ok((StatusCode::CREATED, Json(doors.desk.add_target(&who, new).await?.into())))
}

/// One target.
#[utoipa::path(get, path = "/v1/targets/{name}", tag = "targets", security(("bearer" = [])), params(("name" = String, Path)),
    responses((status = OK, body = Target), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn target(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(name): Path<String>,
) -> Result<Json<Target>, Problem> {
    Ok(Json(doors.desk.target(&who, &name).await?.into()))
}

/// Removes a target: its pending requests are denied, its grants revoked.
#[utoipa::path(delete, path = "/v1/targets/{name}", tag = "targets", security(("bearer" = [])), params(("name" = String, Path)),
    responses((status = NO_CONTENT), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn remove(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    doors.desk.remove_target(&who, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which protection layers are active in a target.
#[utoipa::path(post, path = "/v1/targets/{name}/check", tag = "targets", security(("bearer" = [])), params(("name" = String, Path)),
    responses((status = OK, body = TargetReport), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn check(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(name): Path<String>,
) -> Result<Json<TargetReport>, Problem> {
    let access = doors.desk.target_to_check(&who, &name).await?;
    let report = doors.gateway()?.targets().control(&access).check().await.map_err(|error| failed(&name, &error))?;
    Ok(Json(TargetReport::new(&name, report)))
}

pub(super) fn failed(target: &str, error: &ControlError) -> Problem {
    let (status, code) = match error.failure {
        ControlFailure::Unreachable => (StatusCode::BAD_GATEWAY, "target_unreachable"),
        ControlFailure::Forbidden => (StatusCode::BAD_GATEWAY, "target_forbids"),
        ControlFailure::Other => (StatusCode::BAD_GATEWAY, "target_failed"),
    };
    Problem::new(status, code, format!("target `{target}`: {error}"))
        .hint(format!("belay target show {target} says where and as whom Belay connects"))
}

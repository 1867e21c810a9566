//! Targets.

use crate::body::Body;
use crate::caller::Signed;
use crate::shape::{ArmTable, ArmedTable, List, NewTarget, Target, TargetReport};
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
    OpenApiRouter::new()
        .routes(routes!(targets, add))
        .routes(routes!(target, remove))
        .routes(routes!(check))
        .routes(routes!(armed, arm))
        .routes(routes!(disarm))
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

/// The tables of a target that are armed.
#[utoipa::path(get, path = "/v1/targets/{name}/armed", tag = "targets", security(("bearer" = [])), params(("name" = String, Path)),
    responses((status = OK, body = List<ArmedTable>), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn armed(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(name): Path<String>,
) -> Result<Json<List<ArmedTable>>, Problem> {
    let access = doors.desk.target_access(&doors.desk.target(&who, &name).await?.name).await?;
    let armed = doors.gateway()?.targets().control(&access).armed().await.map_err(|error| failed(&name, &error))?;
    Ok(Json(List::of("armed_table", armed.into_iter().map(|armed| ArmedTable::new(&name, armed)))))
}

/// Arms a table: a trigger in the target writes down what sessions of Belay's change in it.
#[utoipa::path(post, path = "/v1/targets/{name}/armed", tag = "targets", security(("bearer" = [])), params(("name" = String, Path)),
    request_body = ArmTable,
    responses((status = NO_CONTENT), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn arm(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(name): Path<String>,
    Body(new): Body<ArmTable>,
) -> Result<StatusCode, Problem> {
    let access = doors.desk.target_to_check(&who, &name).await?;
    let control = doors.gateway()?.targets().control(&access);
    // Goes on where the caller does not wait for it: what is done in the target is put on the record.
    let done = tokio::spawn(async move { doors.desk.arm(&who, &name, &new.table, &*control).await });
    done.await.map_err(|_| interrupted())??;
    Ok(StatusCode::NO_CONTENT)
}

/// Disarms a table.
#[utoipa::path(delete, path = "/v1/targets/{name}/armed/{table}", tag = "targets", security(("bearer" = [])),
    params(("name" = String, Path), ("table" = String, Path)),
    responses((status = NO_CONTENT), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn disarm(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path((name, table)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let table: belay_model::Resource =
        table.parse().map_err(|error: belay_model::ResourceError| Problem::invalid("table", error.to_string()))?;
    let access = doors.desk.target_to_check(&who, &name).await?;
    let control = doors.gateway()?.targets().control(&access);
    let done = tokio::spawn(async move { doors.desk.disarm(&who, &name, &table, &*control).await });
    done.await.map_err(|_| interrupted())??;
    Ok(StatusCode::NO_CONTENT)
}

fn interrupted() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the gateway is stopping").hint("try again in a moment")
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

//! The server, and who is calling.

use crate::caller::Signed;
use crate::shape::{Gateway, Head, Me};
use crate::{Doors, Problem};
use axum::Json;
use axum::extract::State;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Doors>> {
    OpenApiRouter::new().routes(routes!(gateway)).routes(routes!(me))
}

/// What clients must know of this server.
#[utoipa::path(get, path = "/v1/gateway", tag = "gateway", security(("bearer" = [])),
    responses((status = OK, body = Gateway), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn gateway(State(doors): State<Arc<Doors>>, _signed: Signed) -> Result<Json<Gateway>, Problem> {
    let postgres_port = doors.gateway()?.address().port();
    Ok(Json(Gateway { head: Head::of("gateway"), version: doors.version.clone(), postgres_port }))
}

/// Who is calling.
#[utoipa::path(get, path = "/v1/me", tag = "gateway", security(("bearer" = [])),
    responses((status = OK, body = Me), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn me(State(doors): State<Arc<Doors>>, Signed(who): Signed) -> Result<Json<Me>, Problem> {
    Ok(Json(Me::new(&who.principal, doors.desk.has_password(&who).await?)))
}

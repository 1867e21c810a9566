//! Legal holds on sessions.

use crate::body::Body;
use crate::caller::Signed;
use crate::shape::{Hold, List, NewHold};
use crate::{Doors, Problem};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Doors>> {
    OpenApiRouter::new().routes(routes!(holds, hold)).routes(routes!(release))
}

/// Sessions on hold.
#[utoipa::path(get, path = "/v1/audit/holds", tag = "audit", security(("bearer" = [])),
    responses((status = OK, body = List<Hold>), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn holds(State(doors): State<Arc<Doors>>, Signed(who): Signed) -> Result<Json<List<Hold>>, Problem> {
    let holds = doors.desk.holds(&who).await?;
    Ok(Json(List::of("hold", holds.iter().map(Hold::from))))
}

/// Holds a session: nothing of it is erased or deleted until it is released.
#[utoipa::path(post, path = "/v1/audit/holds", tag = "audit", security(("bearer" = [])), request_body = NewHold,
    responses((status = CREATED, body = Hold), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn hold(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Body(new): Body<NewHold>,
) -> Result<(StatusCode, Json<Hold>), Problem> {
    let hold = doors.desk.hold(&who, &new.session, &new.reason).await?;
    Ok((StatusCode::CREATED, Json(Hold::from(&hold))))
}

/// Takes the hold off a session.
#[utoipa::path(delete, path = "/v1/audit/holds/{session}", tag = "audit", security(("bearer" = [])), params(("session" = String, Path)),
    responses((status = NO_CONTENT), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn release(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(session): Path<String>,
) -> Result<StatusCode, Problem> {
    doors.desk.release(&who, &session).await?;
    Ok(StatusCode::NO_CONTENT)
}

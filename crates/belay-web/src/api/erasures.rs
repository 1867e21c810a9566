//! Erasing what sessions hold.

use crate::body::Body;
use crate::caller::Signed;
use crate::shape::{Erasure, NewErasure};
use crate::{Doors, Problem};
use axum::Json;
use axum::extract::State;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Doors>> {
    OpenApiRouter::new().routes(routes!(erase))
}

/// Erases what a session typed and the rows of its changes, for good: they cannot be given back any more. Its records stay.
#[utoipa::path(post, path = "/v1/audit/erasures", tag = "audit", security(("bearer" = [])), request_body = NewErasure,
    responses((status = OK, body = Erasure), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn erase(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Body(new): Body<NewErasure>,
) -> Result<Json<Erasure>, Problem> {
    let gateway = doors.gateway()?;
    Ok(Json(Erasure::from(gateway.eraser().erase(&who, &new.session, &new.reason).await?)))
}

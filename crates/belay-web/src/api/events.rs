//! Whom the ledger's events go to, and how far each has come.

use crate::caller::Signed;
use crate::shape::{EventOutput, List};
use crate::{Doors, Problem};
use axum::Json;
use axum::extract::State;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Doors>> {
    OpenApiRouter::new().routes(routes!(outputs))
}

/// The outputs of events, for those who may read the ledger.
#[utoipa::path(get, path = "/v1/events", tag = "audit", security(("bearer" = [])),
    responses((status = OK, body = List<EventOutput>), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn outputs(State(doors): State<Arc<Doors>>, Signed(who): Signed) -> Result<Json<List<EventOutput>>, Problem> {
    doors.desk.may_read_ledger(&who)?;
    Ok(Json(List::of("event_output", doors.feeds.statuses().into_iter().map(EventOutput::from))))
}

//! The archive of the ledger, and how far behind it is.

use crate::caller::Signed;
use crate::shape::{LedgerArchive, List};
use crate::{Doors, Problem};
use axum::Json;
use axum::extract::State;
use belay_server::ledger::archive::Archive;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Doors>> {
    OpenApiRouter::new().routes(routes!(archives))
}

/// The archive of the ledger, if there is one, for those who may read the ledger.
#[utoipa::path(get, path = "/v1/audit/archive", tag = "audit", security(("bearer" = [])),
    responses((status = OK, body = List<LedgerArchive>), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn archives(State(doors): State<Arc<Doors>>, Signed(who): Signed) -> Result<Json<List<LedgerArchive>>, Problem> {
    doors.desk.may_read_ledger(&who)?;
    let status = doors.archive.as_ref().map(Archive::status);
    Ok(Json(List::of("ledger_archive", status.into_iter().map(LedgerArchive::from))))
}

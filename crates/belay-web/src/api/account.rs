//! The session report.

use crate::body::Query;
use crate::caller::Signed;
use crate::{Doors, Problem};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use belay_change::{RowChange, TableSummary};
use belay_report::{Document, RowsBefore, Subject, Values, ValuesOfTable, signed_text};
use belay_server::desk::Caller;
use belay_server::ledger::account::{self, AccountError};
use belay_server::ledger::seal::SealError;
use serde::Deserialize;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Doors>> {
    OpenApiRouter::new().routes(routes!(report))
}

/// Rows of a table that are shown before and after.
const ROWS_MOST: usize = 100;
/// Changes whose rows are shown.
const CHANGES_MOST: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    of: String,
}

/// Everything that was recorded of a session, `s_7`, or of an access request, `r_3`: with the rows before and after that
/// the caller may see, proofs of every record, and the server's signature.
#[utoipa::path(get, path = "/v1/audit/report", tag = "audit", security(("bearer" = [])), params(("of" = String, Query)),
    responses((status = OK, body = Object), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn report(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Document>, Problem> {
    doors.desk.may_read_ledger(&who)?;
    let subject: Subject =
        wanted.of.parse().map_err(|error: belay_report::SubjectError| Problem::invalid("of", error.to_string()))?;
    // What is recorded by now is signed first, so that nothing is left out for want of a proof.
    doors.sealer.now().await.map_err(|error| unsigned(&error))?;
    let dir = doors.ledger.dir().to_owned();
    let made = tokio::task::spawn_blocking(move || account::account(&dir, subject)).await;
    let mut document = made.map_err(|_| Problem::internal())?.map_err(|error| unmade(&error))?;
    document.values = values(&doors, &who, &document).await?;
    let latest = doors.sealer.latest().borrow().clone().ok_or_else(|| unsigned(&SealError::Stopped))?;
    let text = signed_text(&latest.checkpoint.origin, &document);
    document.signature = Some(doors.sealer.sign(text).await.map_err(|error| unsigned(&error))?.to_string());
    Ok(Json(document))
}

/// The rows of its changes, as far as they are still kept and the caller may see them.
async fn values(doors: &Doors, who: &Caller, document: &Document) -> Result<Vec<Values>, Problem> {
    let gateway = doors.gateway()?;
    let mut found = Vec::new();
    for change in document.report.changes.iter().take(CHANGES_MOST) {
        let Ok(shown) = gateway.vault().rows_of_change(who, &change.id, ROWS_MOST).await else { continue };
        let tables = shown.rows.tables.into_iter().map(of_table).collect();
        found.push(Values { change: change.id.clone(), tables });
    }
    Ok(found)
}

fn of_table(summary: TableSummary) -> ValuesOfTable {
    let row = |change: RowChange| RowsBefore {
        before: change.before().cloned(),
        after: change.after().cloned(),
        times: change.times(),
    };
    ValuesOfTable {
        table: format!("{}.{}", summary.table.schema, summary.table.name),
        columns: summary.table.columns.into_iter().map(|column| column.name).collect(),
        rows: summary.first.into_iter().chain(summary.last).map(row).collect(),
        left_out: summary.left_out,
    }
}

fn unmade(error: &AccountError) -> Problem {
    match error {
        AccountError::Unknown(subject) => {
            Problem::new(StatusCode::NOT_FOUND, "not_found", format!("nothing is recorded of {subject}"))
                .hint("belay sessions --all; belay requests --all")
        }
        AccountError::Deleted(..) => Problem::new(StatusCode::NOT_FOUND, "not_found", error.to_string())
            .hint("belay audit search kind:segment_deleted"),
        AccountError::TooMany(_) => Problem::new(StatusCode::CONFLICT, "too_long", error.to_string())
            .hint("belay audit search finds its records page by page"),
        cause => {
            tracing::error!(%cause, "a session report cannot be made");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "ledger_unreadable", "the ledger cannot be read")
                .hint("belay audit verify; the server's log says more")
        }
    }
}

fn unsigned(cause: &SealError) -> Problem {
    tracing::error!(%cause, "the ledger is not signed");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "ledger_unsigned", "the ledger cannot be signed now")
        .hint("the server's log says more")
}

//! The ledger.

use crate::body::Query;
use crate::caller::Signed;
use crate::shape::{AuditEntry, List, Verification};
use crate::{Doors, Problem};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use belay_ledger::{Position, Record};
use belay_server::ledger::read::{self, Filter, ReadError};
use serde::Deserialize;
use std::path::Path;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Doors>> {
    OpenApiRouter::new().routes(routes!(search)).routes(routes!(verify))
}

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;

/// Records looked at for one page, so that a rare match in a long ledger does not hold a thread for ever.
const MAX_LOOKED_AT: usize = 1_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    query: String,
    after: Option<u64>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Against {
    position: Option<String>,
}

/// Records that match a query, oldest first; the newest ones unless `after` says from where.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", security(("bearer" = [])),
    params(("query" = Option<String>, Query), ("after" = Option<u64>, Query), ("limit" = Option<usize>, Query)),
    responses((status = OK, body = List<AuditEntry>), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn search(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Query(wanted): Query<Wanted>,
) -> Result<Json<List<AuditEntry>>, Problem> {
    doors.desk.may_read_ledger(&who)?;
    let filter = Filter::parse(&wanted.query, doors.clock.now())
        .map_err(|error| Problem::invalid("query", error.to_string()))?;
    let limit = wanted.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    let dir = doors.ledger.dir().to_owned();
    let records = blocking(move || match wanted.after {
        Some(after) => following(&dir, after, &filter, limit),
        None => read::tail(&dir, &filter, limit, None).map(|mut newest| {
            newest.reverse();
            newest
        }),
    })
    .await?;
    Ok(Json(List::of("audit_entry", records.iter().filter_map(AuditEntry::new))))
}

/// Reads the whole ledger and proves it; with `position` also that it went through that position.
#[utoipa::path(post, path = "/v1/audit/verify", tag = "audit", security(("bearer" = [])),
    params(("position" = Option<String>, Query)),
    responses((status = OK, body = Verification), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn verify(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Query(against): Query<Against>,
) -> Result<Json<Verification>, Problem> {
    doors.desk.may_read_ledger(&who)?;
    let known: Option<Position> = against
        .position
        .map(|text| {
            text.parse().map_err(|error: belay_ledger::PositionError| Problem::invalid("position", error.to_string()))
        })
        .transpose()?;
    let dir = doors.ledger.dir().to_owned();
    let report = blocking(move || match known {
        Some(known) => read::verify_against(&dir, known),
        None => read::verify(&dir),
    });
    Ok(Json(report.await?.into()))
}

fn following(dir: &Path, after: u64, filter: &Filter, limit: usize) -> Result<Vec<Record>, ReadError> {
    let mut found = Vec::new();
    for record in read::events(dir, after.saturating_add(1))?.take(MAX_LOOKED_AT) {
        match record {
            Ok(record) if filter.matches(&record.event) => found.push(record),
            Ok(_) | Err(ReadError::Unreadable { .. }) => {}
            Err(error) => return Err(error),
        }
        if found.len() == limit {
            break;
        }
    }
    Ok(found)
}

/// Reading is work for the disk, not for the threads that answer.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, Problem> {
    let result = tokio::task::spawn_blocking(work).await.map_err(|_| Problem::internal())?;
    result.map_err(|cause| {
        tracing::error!(%cause, "the ledger cannot be read");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "ledger_unreadable", "the ledger cannot be read")
            .hint("belay audit verify; the server's log says more")
    })
}

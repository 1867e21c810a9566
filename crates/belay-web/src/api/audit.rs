//! The ledger.

use crate::body::Query;
use crate::caller::Signed;
use crate::shape::{AuditPage, List, SessionKeys, Verification};
use crate::{Doors, Problem};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use belay_ledger::Position;
use belay_server::ledger;
use belay_server::ledger::read::{self, Filter, ReadError, Trust};
use belay_server::ledger::search::{self, Found, Index, Page, SearchError};
use serde::Deserialize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Doors>> {
    OpenApiRouter::new().routes(routes!(search)).routes(routes!(verify)).routes(routes!(session_keys))
}

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;

/// How long a search waits for the index, and for it to reach the end of the ledger.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    query: String,
    before: Option<u64>,
    after: Option<u64>,
    from: Option<u64>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Against {
    position: Option<String>,
}

/// Records that match a query, in the order of time: the newest ones, or those before a record, or the oldest ones after
/// or from a record. `next` is where the next page begins: the `before` of the one, or the `after` of the other.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", security(("bearer" = [])),
    params(("query" = Option<String>, Query), ("before" = Option<u64>, Query), ("after" = Option<u64>, Query),
        ("from" = Option<u64>, Query), ("limit" = Option<usize>, Query)),
    responses((status = OK, body = AuditPage), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn search(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Query(wanted): Query<Wanted>,
) -> Result<Json<AuditPage>, Problem> {
    doors.desk.may_read_ledger(&who)?;
    let filter = Filter::parse(&wanted.query, doors.clock.now())
        .map_err(|error| Problem::invalid("query", error.to_string()))?;
    let page = page(&wanted)?;
    let limit = wanted.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    let ledger = doors.ledger.dir();
    let found = match search_index(ledger, &filter, page, limit).await {
        // The record must be readable while the disk is full.
        Err(SearchError::Unusable(why)) => {
            tracing::warn!("the index of the ledger cannot be used, so its files are read: {why}");
            search::scan(ledger, &filter, page, limit).await
        }
        other => other,
    };
    Ok(Json(AuditPage::new(found.map_err(not_found)?, page)))
}

fn page(wanted: &Wanted) -> Result<Page, Problem> {
    match (wanted.before, wanted.after, wanted.from) {
        (None, None, None) => Ok(Page::Newest),
        (Some(seq), None, None) => Ok(Page::Before(seq)),
        (None, Some(seq), None) => Ok(Page::From(seq.saturating_add(1))),
        (None, None, Some(seq)) => Ok(Page::From(seq)),
        _ => Err(Problem::invalid("before", "only one of `before`, `after` and `from` can be given")),
    }
}

async fn search_index(ledger: &Path, filter: &Filter, page: Page, limit: usize) -> Result<Found, SearchError> {
    let mut index = Index::open(ledger, &search::index_file(ledger), PATIENCE).await?;
    index.search(filter, page, limit, PATIENCE).await
}

fn not_found(error: SearchError) -> Problem {
    match error {
        SearchError::Behind { .. } | SearchError::Busy(_) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "index_behind", error.to_string())
                .hint("ask again in a moment")
        }
        SearchError::Ledger(cause) => unreadable(&cause),
        SearchError::Unusable(_) => Problem::internal(),
    }
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
    let key = doors.sealer.key().await;
    let key = key.map_err(|error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "ledger", error.to_string()))?;
    let trust = Some(Trust { keys: vec![key], noted: Vec::new() });
    let report = blocking(move || read::verify(&dir, &read::Against { position: known, trust }));
    Ok(Json(report.await?.into()))
}

/// The file of keys to what sessions typed: how full it is, and what of it is damaged.
#[utoipa::path(get, path = "/v1/audit/session-keys", tag = "audit", security(("bearer" = [])),
    responses((status = OK, body = List<SessionKeys>), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn session_keys(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
) -> Result<Json<List<SessionKeys>>, Problem> {
    doors.desk.may_read_ledger(&who)?;
    let dir = doors.ledger.dir().to_owned();
    let state = blocking(move || ledger::key_state(&dir).map_err(|source| ReadError::Io { path: dir, source }));
    Ok(Json(List::of("session_keys", state.await?.map(SessionKeys::from))))
}

/// Reading is work for the disk, not for the threads that answer.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, Problem> {
    let result = tokio::task::spawn_blocking(work).await.map_err(|_| Problem::internal())?;
    result.map_err(|cause| unreadable(&cause))
}

fn unreadable(cause: &ReadError) -> Problem {
    tracing::error!(%cause, "the ledger cannot be read");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "ledger_unreadable", "the ledger cannot be read")
        .hint("belay audit verify; the server's log says more")
}

//! What is signed over the ledger, and with which key.

use crate::caller::Signed as Caller;
use crate::shape::{Head, LedgerCheckpoint, LedgerKey, RecordProof};
use crate::{Doors, Problem};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use belay_server::ledger::proof::{self, ProofError};
use belay_server::ledger::seal::SealError;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Doors>> {
    OpenApiRouter::new().routes(routes!(checkpoint)).routes(routes!(key)).routes(routes!(change)).routes(routes!(prove))
}

/// Signs what is in the ledger now.
#[utoipa::path(post, path = "/v1/audit/checkpoint", tag = "audit", security(("bearer" = [])),
    responses((status = OK, body = LedgerCheckpoint), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn checkpoint(State(doors): State<Arc<Doors>>, Caller(who): Caller) -> Result<Json<LedgerCheckpoint>, Problem> {
    doors.desk.may_read_ledger(&who)?;
    doors.sealer.now().await.map_err(|error| unsealed(&error))?;
    let signed = doors.sealer.latest().borrow().clone().ok_or_else(|| unsealed(&SealError::Stopped))?;
    let note = signed.note.to_string();
    Ok(Json(LedgerCheckpoint { head: Head::of("checkpoint"), records: signed.checkpoint.size, note }))
}

/// The public key.
#[utoipa::path(get, path = "/v1/audit/key", tag = "audit", security(("bearer" = [])),
    responses((status = OK, body = LedgerKey), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn key(State(doors): State<Arc<Doors>>, Caller(who): Caller) -> Result<Json<LedgerKey>, Problem> {
    doors.desk.may_read_ledger(&who)?;
    let key = doors.sealer.key().await.map_err(|error| unsealed(&error))?.to_string();
    Ok(Json(LedgerKey { head: Head::of("ledger_key"), key, replaced: None }))
}

/// Signs with a new key from now on. The one before signs that.
#[utoipa::path(post, path = "/v1/audit/key", tag = "audit", security(("bearer" = [])),
    responses((status = OK, body = LedgerKey), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn change(State(doors): State<Arc<Doors>>, Caller(who): Caller) -> Result<Json<LedgerKey>, Problem> {
    doors.desk.may_change_ledger_key(&who)?;
    let (old, next) = doors.sealer.prepare_key().await.map_err(|error| unsealed(&error))?;
    doors.desk.ledger_key_added(&who, &next, &old).await?;
    doors.sealer.change_key().await.map_err(|error| unsealed(&error))?;
    let (key, replaced) = (next.to_string(), Some(old.to_string()));
    Ok(Json(LedgerKey { head: Head::of("ledger_key"), key, replaced }))
}

/// A record with the proof that it is in the ledger.
#[utoipa::path(get, path = "/v1/audit/proof/{seq}", tag = "audit", security(("bearer" = [])), params(("seq" = u64, Path)),
    responses((status = OK, body = RecordProof), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn prove(
    State(doors): State<Arc<Doors>>,
    Caller(who): Caller,
    Path(seq): Path<u64>,
) -> Result<Json<RecordProof>, Problem> {
    doors.desk.may_read_ledger(&who)?;
    doors.sealer.now().await.map_err(|error| unsealed(&error))?;
    let dir = doors.ledger.dir().to_owned();
    let proven = tokio::task::spawn_blocking(move || proof::prove(&dir, seq)).await;
    let proven = proven.map_err(|_| unsealed(&SealError::Stopped))?;
    let (shown, proof) = proven.map_err(|error| match error {
        ProofError::Unsigned(..) | ProofError::Deleted(..) => {
            Problem::new(StatusCode::NOT_FOUND, "not_found", error.to_string())
        }
        error => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "ledger", error.to_string()),
    })?;
    Ok(Json(RecordProof::new(seq, shown, &proof)))
}

fn unsealed(error: &SealError) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "ledger", format!("the ledger is not signed: {error}"))
        .hint("belay audit verify")
}

//! Sessions.

use super::Shown;
use crate::body::Query;
use crate::caller::Signed;
use crate::shape::{Ended, List, Session};
use crate::{Doors, Problem};
use axum::Json;
use axum::extract::{Path, State};
use belay_model::{EndReason, Event, EventKind};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Doors>> {
    OpenApiRouter::new().routes(routes!(sessions)).routes(routes!(end))
}

/// Sessions the caller may see, newest first: open ones, or all.
#[utoipa::path(get, path = "/v1/sessions", tag = "sessions", security(("bearer" = [])), params(("all" = Option<bool>, Query), ("mine" = Option<bool>, Query)),
    responses((status = OK, body = List<Session>), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn sessions(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Query(shown): Query<Shown>,
) -> Result<Json<List<Session>>, Problem> {
    let sessions = doors.desk.sessions(&who, shown.into()).await?;
    let live = doors.gateway()?.sessions().connections();
    Ok(Json(List::of("session", sessions.iter().map(|session| Session::new(session, &live)))))
}

/// Ends every connection of a session. Its grant stays.
#[utoipa::path(post, path = "/v1/sessions/{session}/end", tag = "sessions", security(("bearer" = [])), params(("session" = String, Path)),
    responses((status = OK, body = Ended), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn end(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(id): Path<String>,
) -> Result<Json<Ended>, Problem> {
    let session = doors.desk.session_to_end(&who, &id).await?;
    let live = doors.gateway()?.sessions().connections();
    let connections = live.iter().filter(|connection| connection.session == Some(session.id)).count();
    let grant = doors.desk.grant(session.grant).await?;
    let kind = EventKind::SessionEnded { reason: EndReason::Ended };
    let mut event = Event::new(doors.clock.now(), kind).by(who.principal.name.as_str()).under(session.grant);
    (event.session, event.target) = (Some(session.id), Some(session.target.as_str().into()));
    // Ending takes a right away, so it is done even if it cannot be recorded now.
    if doors.ledger.record_durable(event.clone()).await.is_err() && doors.ledger.record_late(event).is_err() {
        tracing::error!(session = %session.id, "its end was not recorded: the ledger's queue is full");
    }
    doors.gateway()?.end_session(&grant.ok_or_else(Problem::internal)?);
    Ok(Json(Ended::new(session.id, connections)))
}

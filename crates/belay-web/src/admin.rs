//! The operator's listener: is it alive, is it ready, what has it counted.
//!
//! A target that is down is a gauge and does not make the gateway unready: the others go on.

use crate::Doors;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use belay_server::metrics::Metrics;
use belay_server::shutdown::Stopping;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// A store that does not answer in this time is not ready.
const STORE_TIME: Duration = Duration::from_secs(2);

#[derive(Clone)]
struct Operator {
    doors: Arc<Doors>,
    metrics: Metrics,
    stopping: Stopping,
}

/// `/livez`, `/readyz` and `/metrics`.
pub fn router(doors: Arc<Doors>, metrics: Metrics, stopping: Stopping) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(counted))
        .with_state(Operator { doors, metrics, stopping })
}

async fn ready(State(operator): State<Operator>) -> Response {
    let store = match timeout(STORE_TIME, operator.doors.desk.check_store()).await {
        Ok(Ok(())) => None,
        Ok(Err(_)) => Some("the store cannot be written"),
        Err(_) => Some("the store does not answer"),
    };
    let ledger = (!operator.doors.ledger.is_up()).then_some("the ledger cannot be written");
    let stopping = operator.stopping.is_stopping().then_some("the gateway is stopping");
    let wrong: Vec<&str> = [store, ledger, stopping].into_iter().flatten().collect();
    if wrong.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", wrong.join("\n"))).into_response()
}

async fn counted(State(operator): State<Operator>) -> Response {
    let text = operator.metrics.render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

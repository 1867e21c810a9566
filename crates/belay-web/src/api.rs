//! The API under `/v1`: one file per resource, one line here to register it.
//!
//! A handler parses, calls the desk once, and shapes the answer. It decides nothing.

mod access;
mod account;
mod archive;
mod audit;
mod changes;
mod erasures;
mod events;
mod gateway;
mod grants;
mod holds;
mod ledger_key;
mod login;
mod masks;
mod plans;
mod requests;
mod rules;
mod sessions;
mod targets;
mod tokens;
mod users;

use crate::body::MAX_BODY_BYTES;
use crate::{Doors, Problem};
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use belay_server::desk::Listing;
use belay_server::listen::Gateway;
use serde::Deserialize;
use std::any::Any;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;

/// A request that takes longer is answered with an error.
const REQUEST_TIME: Duration = Duration::from_mins(1);

/// The whole API.
pub fn router(doors: Arc<Doors>) -> Router {
    let (router, described) = parts();
    let document = Json(described);
    let gateway = doors.gateway.clone();
    router
        .route("/v1/openapi.json", get(async move || document))
        .with_state(doors)
        .fallback(async || {
            Problem::new(StatusCode::NOT_FOUND, "unknown_path", "nothing is here").hint("see /v1/openapi.json")
        })
        .method_not_allowed_fallback(async || {
            let detail = "this path takes other methods";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail).hint("see /v1/openapi.json")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(move |request, next| settled(gateway.clone(), request, next)))
        .layer(middleware::from_fn(in_time))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(never_stored))
}

/// The OpenAPI 3.1 description of the whole API.
pub fn description() -> OpenApi {
    parts().1
}

fn parts() -> (Router<Arc<Doors>>, OpenApi) {
    let (router, mut described) = OpenApiRouter::with_openapi(preface())
        .merge(login::routes())
        .merge(gateway::routes())
        .merge(users::routes())
        .merge(tokens::routes())
        .merge(targets::routes())
        .merge(masks::routes())
        .merge(rules::routes())
        .merge(access::routes())
        .merge(requests::routes())
        .merge(grants::routes())
        .merge(holds::routes())
        .merge(erasures::routes())
        .merge(plans::routes())
        .merge(changes::routes())
        .merge(sessions::routes())
        .merge(archive::routes())
        .merge(events::routes())
        .merge(audit::routes())
        .merge(account::routes())
        .merge(ledger_key::routes())
        .split_for_parts();
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    described.components.get_or_insert_default().add_security_scheme("bearer", bearer);
    (router, described)
}

fn preface() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Belay")
        .version("1")
        .description(Some("Temporary production access. Errors are application/problem+json (RFC 9457)."));
    OpenApiBuilder::new().info(info).build()
}

/// What a list shows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown {
    #[serde(default)]
    all: bool,
    #[serde(default)]
    mine: bool,
}

impl From<Shown> for Listing {
    fn from(shown: Shown) -> Listing {
        Listing { all: shown.all, mine: shown.mine }
    }
}

/// How many rows are shown.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limited {
    limit: Option<usize>,
}

impl Limited {
    /// Rows of a table that are shown where nothing is said, and the most that are.
    const USUAL: usize = 50;
    const MOST: usize = 10_000;

    fn rows(&self) -> usize {
        self.limit.unwrap_or(Self::USUAL).clamp(1, Self::MOST)
    }
}

/// Which part of all rows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    #[serde(default)]
    from: u64,
    limit: Option<usize>,
}

impl Part {
    /// Rows of one page where nothing else is said, and the most. A page costs the reading of the whole file, so large
    /// ones are cheap.
    const MOST: usize = 50_000;

    fn most(&self) -> usize {
        self.limit.unwrap_or(Self::MOST).clamp(1, Self::MOST)
    }
}

/// Shows what clients have heard already.
async fn settled(gateway: Weak<Gateway>, request: Request, next: Next) -> Response {
    if let Some(vault) = gateway.upgrade().map(|gateway| Arc::clone(gateway.vault())) {
        vault.settled().await;
    }
    next.run(request).await
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", "the server took too long")
            .hint("look whether it was done before trying again")
            .into_response(),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the signature is tower-http's")]
fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    let text = cause.downcast_ref::<String>().map(String::as_str).or_else(|| cause.downcast_ref::<&str>().copied());
    tracing::error!(cause = text.unwrap_or("unknown"), "a handler panicked");
    Problem::internal().into_response()
}

/// Answers hold secrets and rights: no cache may keep them.
async fn never_stored(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::CACHE_CONTROL, axum::http::HeaderValue::from_static("no-store"));
    response
}

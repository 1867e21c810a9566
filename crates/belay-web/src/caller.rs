//! Who is calling: the bearer token of a request, shown to the desk.

use crate::{Doors, Problem};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use belay_server::desk::Caller;
use std::sync::Arc;

/// The person behind a request. A handler that takes it runs for nobody else.
pub(crate) struct Signed(pub(crate) Caller);

impl FromRequestParts<Arc<Doors>> for Signed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, doors: &Arc<Doors>) -> Result<Signed, Problem> {
        let token = bearer(parts).ok_or_else(|| {
            let detail = "no token: send `Authorization: Bearer` and an API token";
            Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail).hint("belay login")
        })?;
        Ok(Signed(doors.desk.authenticate(token).await?))
    }
}

fn bearer(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

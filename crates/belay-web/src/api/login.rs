//! Getting in and out.

use crate::body::Body;
use crate::caller::Signed;
use crate::shape::{LoggedIn, Login};
use crate::{Doors, Problem};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::SecretString;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Doors>> {
    OpenApiRouter::new().routes(routes!(login)).routes(routes!(logout))
}

/// Trades a name and a password for an API token.
#[utoipa::path(post, path = "/v1/login", tag = "login", request_body = Login,
    responses((status = OK, body = LoggedIn), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn login(State(doors): State<Arc<Doors>>, Body(login): Body<Login>) -> Result<Json<LoggedIn>, Problem> {
    let password = SecretString::from(login.password);
    let minted = doors.desk.login(&login.name, &password, &login.label).await?;
    Ok(Json(minted.into()))
}

/// Revokes the token that this request came with.
#[utoipa::path(post, path = "/v1/logout", tag = "login", security(("bearer" = [])),
    responses((status = NO_CONTENT), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn logout(State(doors): State<Arc<Doors>>, Signed(who): Signed) -> Result<StatusCode, Problem> {
    if let Some(token) = who.token {
        doors.desk.revoke_api_token(&who, token).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

//! API tokens.

use crate::body::{Body, Query};
use crate::caller::Signed;
use crate::shape::{ApiToken, List, LoggedIn, NewApiToken};
use crate::{Doors, Problem};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use belay_model::ApiTokenId;
use serde::Deserialize;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Doors>> {
    OpenApiRouter::new().routes(routes!(tokens, mint)).routes(routes!(revoke))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whose {
    user: Option<String>,
}

/// The caller's own tokens, or those of `user` for an administrator.
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens", security(("bearer" = [])), params(("user" = Option<String>, Query)),
    responses((status = OK, body = List<ApiToken>), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn tokens(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Query(whose): Query<Whose>,
) -> Result<Json<List<ApiToken>>, Problem> {
    let tokens = doors.desk.api_tokens(&who, whose.user.as_deref()).await?;
    Ok(Json(List::of("api_token", tokens.into_iter().map(ApiToken::from))))
}

/// Makes a further token for the caller.
#[utoipa::path(post, path = "/v1/tokens", tag = "tokens", security(("bearer" = [])), request_body = NewApiToken,
    responses((status = CREATED, body = LoggedIn), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn mint(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Body(new): Body<NewApiToken>,
) -> Result<(StatusCode, Json<LoggedIn>), Problem> {
    let minted = doors.desk.mint_api_token(&who, &new.label, new.lasts).await?;
    Ok((StatusCode::CREATED, Json(minted.into())))
}

/// Revokes a token.
#[utoipa::path(delete, path = "/v1/tokens/{token}", tag = "tokens", security(("bearer" = [])), params(("token" = String, Path)),
    responses((status = NO_CONTENT), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn revoke(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(token): Path<String>,
) -> Result<StatusCode, Problem> {
    let token: ApiTokenId =
        token.parse().map_err(|error: belay_model::IdError| Problem::invalid("token", error.to_string()))?;
    doors.desk.revoke_api_token(&who, token).await?;
    Ok(StatusCode::NO_CONTENT)
}

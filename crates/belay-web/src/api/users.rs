//! People.

use crate::body::Body;
use crate::caller::Signed;
use crate::shape::{List, NewUser, Password, User, UserChange, UserWithToken};
use crate::{Doors, Problem};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use belay_model::Role;
use belay_server::desk;
use secrecy::SecretString;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Doors>> {
    OpenApiRouter::new().routes(routes!(users, add)).routes(routes!(user, change)).routes(routes!(set_password))
}

/// Everybody.
#[utoipa::path(get, path = "/v1/users", tag = "users", security(("bearer" = [])),
    responses((status = OK, body = List<User>), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn users(State(doors): State<Arc<Doors>>, Signed(who): Signed) -> Result<Json<List<User>>, Problem> {
    let users = doors.desk.users(&who).await?;
    Ok(Json(List::of("user", users.into_iter().map(User::from))))
}

/// Adds a person.
#[utoipa::path(post, path = "/v1/users", tag = "users", security(("bearer" = [])), request_body = NewUser,
    responses((status = CREATED, body = UserWithToken), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn add(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Body(new): Body<NewUser>,
) -> Result<(StatusCode, Json<UserWithToken>), Problem> {
    let new = desk::NewUser {
        name: new.name,
        password: new.password.map(SecretString::from),
        roles: roles(&new.roles)?,
        groups: new.groups,
    };
    let (user, minted) = doors.desk.add_user(&who, new).await?;
    let token = minted.map(|minted| minted.secret.reveal().to_owned());
    Ok((StatusCode::CREATED, Json(UserWithToken { user: user.into(), token })))
}

/// One person.
#[utoipa::path(get, path = "/v1/users/{name}", tag = "users", security(("bearer" = [])), params(("name" = String, Path)),
    responses((status = OK, body = User), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn user(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(name): Path<String>,
) -> Result<Json<User>, Problem> {
    let users = doors.desk.users(&who).await?;
    let user = users.into_iter().find(|user| user.name.as_str() == name);
    let user = user.ok_or(desk::DeskError::NotFound { kind: "user", name })?;
    Ok(Json(user.into()))
}

/// Changes roles or groups, disables or enables.
#[utoipa::path(patch, path = "/v1/users/{name}", tag = "users", security(("bearer" = [])), request_body = UserChange, params(("name" = String, Path)),
    responses((status = OK, body = User), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn change(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(name): Path<String>,
    Body(change): Body<UserChange>,
) -> Result<Json<User>, Problem> {
    let change = desk::UserChange {
        roles: change.roles.as_deref().map(roles).transpose()?,
        groups: change.groups,
        disabled: change.disabled,
    };
    Ok(Json(doors.desk.change_user(&who, &name, change).await?.into()))
}

/// Sets a password.
#[utoipa::path(put, path = "/v1/users/{name}/password", tag = "users", security(("bearer" = [])), request_body = Password, params(("name" = String, Path)),
    responses((status = NO_CONTENT), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn set_password(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(name): Path<String>,
    Body(password): Body<Password>,
) -> Result<StatusCode, Problem> {
    let old = password.old.map(SecretString::from);
    doors.desk.set_password(&who, &name, old.as_ref(), &SecretString::from(password.new)).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn roles(words: &[String]) -> Result<Vec<Role>, Problem> {
    let role = |word: &String| {
        word.parse().map_err(|error: belay_model::UnknownRole| Problem::invalid("roles", error.to_string()))
    };
    words.iter().map(role).collect()
}

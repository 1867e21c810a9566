//! Policies, and what would come of a request.

use crate::body::Body;
use crate::caller::Signed;
use crate::shape::{self, Can, CanAnswer, List, Policy};
use crate::{Doors, Problem};
use axum::Json;
use axum::extract::State;
use belay_model::Effects;
use belay_server::desk::Question;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Doors>> {
    OpenApiRouter::new().routes(routes!(can)).routes(routes!(policies)).routes(routes!(reload))
}

/// What would come of a request, which rule or policy decides, and the nearest change that gives another answer.
#[utoipa::path(post, path = "/v1/can", tag = "policies", security(("bearer" = [])), request_body = Can,
    responses((status = OK, body = CanAnswer), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn can(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Body(can): Body<Can>,
) -> Result<Json<CanAnswer>, Problem> {
    let question = Question {
        about: can.who,
        target: can.target,
        resources: can.resources,
        effects: shape::effects(&can.effects)?.unwrap_or(Effects::READ),
        duration: can.duration,
        reason: can.reason,
        break_glass: can.break_glass,
        groups: can.groups,
        at: can.at.map(shape::Time::timestamp),
    };
    Ok(Json(doors.desk.can(&who, question).await?.into()))
}

/// Every policy in force, in the order of files and lines.
#[utoipa::path(get, path = "/v1/policies", tag = "policies", security(("bearer" = [])),
    responses((status = OK, body = List<Policy>), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn policies(State(doors): State<Arc<Doors>>, Signed(who): Signed) -> Result<Json<List<Policy>>, Problem> {
    let policies = doors.desk.policies(&who)?;
    Ok(Json(List::of("policy", policies.into_iter().map(Policy::from))))
}

/// Reads the policy files again. Where something is wrong in them, the policies in force stay.
#[utoipa::path(post, path = "/v1/policies/reload", tag = "policies", security(("bearer" = [])),
    responses((status = OK, body = List<Policy>), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn reload(State(doors): State<Arc<Doors>>, Signed(who): Signed) -> Result<Json<List<Policy>>, Problem> {
    let policies = doors.desk.reload_policies(&who).await?;
    Ok(Json(List::of("policy", policies.into_iter().map(Policy::from))))
}

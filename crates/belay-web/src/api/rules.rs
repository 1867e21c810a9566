//! Rules.

use crate::body::Body;
use crate::caller::Signed;
use crate::shape::{self, List, NewRule, Rule};
use crate::{Doors, Problem};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use belay_model::Effects;
use belay_server::desk;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Doors>> {
    OpenApiRouter::new().routes(routes!(rules, add)).routes(routes!(remove))
}

/// Every rule in force, in the order they are tried.
#[utoipa::path(get, path = "/v1/rules", tag = "rules", security(("bearer" = [])),
    responses((status = OK, body = List<Rule>), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn rules(State(doors): State<Arc<Doors>>, Signed(who): Signed) -> Result<Json<List<Rule>>, Problem> {
    let rules = doors.desk.rules(&who).await?;
    Ok(Json(List::of("rule", rules.into_iter().map(Rule::from))))
}

/// Adds a rule behind the others.
#[utoipa::path(post, path = "/v1/rules", tag = "rules", security(("bearer" = [])), request_body = NewRule,
    responses((status = CREATED, body = Rule), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn add(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Body(new): Body<NewRule>,
) -> Result<(StatusCode, Json<Rule>), Problem> {
    let hours = new.hours.as_deref().map(|text| {
        let detail = || format!("`{text}` are no hours; write for example `08:00-18:00`, in UTC");
        shape::hours(text).ok_or_else(|| Problem::invalid("hours", detail()))
    });
    let new = desk::NewRule {
        target: new.target,
        group: new.group,
        hours: hours.transpose()?,
        effects: shape::effects(&new.effects)?.unwrap_or(Effects::READ),
        max_duration: new.max_duration,
        max_changed_rows: new.max_changed_rows,
        approvals: new.approvals,
        extendable: new.extendable,
        record_values: new.record_values,
    };
    Ok((StatusCode::CREATED, Json(doors.desk.add_rule(&who, new).await?.into())))
}

/// Removes a rule. Requests and grants made under it stay as they are.
#[utoipa::path(delete, path = "/v1/rules/{rule}", tag = "rules", security(("bearer" = [])), params(("rule" = String, Path)),
    responses((status = NO_CONTENT), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn remove(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(rule): Path<String>,
) -> Result<StatusCode, Problem> {
    doors.desk.remove_rule(&who, &rule).await?;
    Ok(StatusCode::NO_CONTENT)
}

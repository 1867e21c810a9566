//! Masks.

use super::targets::failed;
use crate::body::{Body, Query};
use crate::caller::Signed;
use crate::shape::{List, Mask, MaskSuggestion, NewMask};
use crate::{Doors, Problem};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use belay_server::desk;
use serde::Deserialize;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Doors>> {
    OpenApiRouter::new().routes(routes!(masks, add)).routes(routes!(remove)).routes(routes!(suggest))
}

/// Which masks are listed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Of {
    #[serde(default)]
    target: Option<String>,
}

/// The masks in force, of one target or of all.
#[utoipa::path(get, path = "/v1/masks", tag = "masks", security(("bearer" = [])), params(("target" = Option<String>, Query)),
    responses((status = OK, body = List<Mask>), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn masks(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Query(of): Query<Of>,
) -> Result<Json<List<Mask>>, Problem> {
    let masks = doors.desk.masks(&who, of.target.as_deref()).await?;
    Ok(Json(List::of("mask", masks.iter().map(|record| Mask::new(record, Vec::new())))))
}

/// Masks a column from here on. Live sessions on the target start anew.
#[utoipa::path(post, path = "/v1/masks", tag = "masks", security(("bearer" = [])), request_body = NewMask,
    responses((status = CREATED, body = Mask), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn add(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Body(new): Body<NewMask>,
) -> Result<(StatusCode, Json<Mask>), Problem> {
    let kind =
        new.shows.parse().map_err(|error: belay_model::MaskKindError| Problem::invalid("shows", error.to_string()))?;
    let mask = belay_model::Mask { column: new.column, kind };
    let (record, notes) = doors.desk.add_mask(&who, desk::NewMask { target: new.target, mask }).await?;
    Ok((StatusCode::CREATED, Json(Mask::new(&record, notes))))
}

/// Takes a mask out of force. Live sessions on the target start anew.
#[utoipa::path(delete, path = "/v1/masks/{mask}", tag = "masks", security(("bearer" = [])), params(("mask" = String, Path)),
    responses((status = NO_CONTENT), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn remove(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(mask): Path<String>,
) -> Result<StatusCode, Problem> {
    doors.desk.remove_mask(&who, &mask).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Columns of a target that look as if they should be masked, by their names and types. Changes nothing.
#[utoipa::path(post, path = "/v1/targets/{name}/mask-suggestions", tag = "masks", security(("bearer" = [])), params(("name" = String, Path)),
    responses((status = OK, body = List<MaskSuggestion>), (status = "default", body = Problem, content_type = "application/problem+json")))]
async fn suggest(
    State(doors): State<Arc<Doors>>,
    Signed(who): Signed,
    Path(name): Path<String>,
) -> Result<Json<List<MaskSuggestion>>, Problem> {
    let access = doors.desk.target_to_check(&who, &name).await?;
    let masks = doors.desk.masks(&who, Some(&name)).await?;
    let control = doors.gateway()?.targets().control(&access);
    let suspects = control.sensitive_columns().await.map_err(|error| failed(&name, &error))?;
    let open = suspects.into_iter().filter(|suspect| !masks.iter().any(|record| record.mask.column == suspect.column));
    Ok(Json(List::of("mask_suggestion", open.map(MaskSuggestion::from))))
}

//! Errors as `application/problem+json` (RFC 9457), with a code for programs and a hint for people.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use belay_engine::ControlFailure;
use belay_model::{Code, Denial};
use belay_server::desk::DeskError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What every error answer holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Where the kind of problem is described; `about:blank` says that the title is all there is.
    #[serde(rename = "type", default = "blank")]
    pub kind: String,
    /// The HTTP status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong, for the person who asked.
    pub detail: String,
    /// What went wrong, for programs: `not_found`, `denied`, `conflict`, `invalid`, `unauthenticated`, ...
    pub code: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
    /// The field of the request that is wrong.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub field: Option<String>,
    /// Seconds to wait before trying again; also in `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_after: Option<u32>,
}

fn blank() -> String {
    "about:blank".to_owned()
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Problem {
        Problem {
            kind: blank(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            code: code.to_owned(),
            hint: None,
            field: None,
            retry_after: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn invalid(field: &str, detail: impl Into<String>) -> Problem {
        let mut problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail);
        problem.field = Some(field.to_owned());
        problem
    }

    pub(crate) fn internal() -> Problem {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the server failed; nothing is said to have happened",
        )
        .hint("the server's log says more")
    }
}

impl From<DeskError> for Problem {
    fn from(error: DeskError) -> Problem {
        let (status, code) = match &error {
            DeskError::NotFound { .. } => (StatusCode::NOT_FOUND, "not_found"),
            DeskError::Denied { .. } => (StatusCode::FORBIDDEN, "denied"),
            DeskError::Over { .. } => (StatusCode::FORBIDDEN, "over"),
            DeskError::Conflict { .. } => (StatusCode::CONFLICT, "conflict"),
            DeskError::Invalid { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            DeskError::Infeasible { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "infeasible"),
            DeskError::Target { failure: ControlFailure::Unreachable, .. } => {
                (StatusCode::BAD_GATEWAY, "target_unreachable")
            }
            DeskError::Target { failure: ControlFailure::Forbidden, .. } => (StatusCode::BAD_GATEWAY, "target_forbids"),
            DeskError::Target { failure: ControlFailure::Other, .. } => (StatusCode::BAD_GATEWAY, "target_failed"),
            DeskError::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
            DeskError::Throttled { .. } => (StatusCode::TOO_MANY_REQUESTS, "throttled"),
            DeskError::LedgerDown => (StatusCode::SERVICE_UNAVAILABLE, "ledger_down"),
            DeskError::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "store_failed"),
        };
        let mut problem = Problem::new(status, code, error.to_string());
        problem.hint = error.hint();
        match error {
            DeskError::Invalid { field, .. } => problem.field = Some(field.to_owned()),
            DeskError::Throttled { retry_after } => problem.retry_after = Some(retry_after.seconds()),
            DeskError::Store(cause) => {
                tracing::error!(%cause, "the store failed");
                "the store failed".clone_into(&mut problem.detail);
            }
            _ => {}
        }
        problem
    }
}

impl From<Denial> for Problem {
    fn from(denial: Denial) -> Problem {
        let code = if denial.code == Code::Conflict { "rows_differ" } else { "refused" };
        let detail = format!("{} [{}]: {}", denial.message, denial.code, denial.detail);
        Problem::new(StatusCode::CONFLICT, code, detail).hint(denial.hint)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

//! Bodies: read within limits, written as JSON.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;
use supd_api::{Fault, FaultCode};

/// The largest body of a request, in bytes: a thousand apps with their environments fit.
const BODY_MAX: usize = 16 << 20;
/// How long a client may take to send it.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A fault as a reply.
pub(super) struct Refusal(pub(super) Fault);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.0)).into_response()
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

/// What a handler returns.
pub(super) type Answer<T> = Result<Json<T>, Refusal>;

/// Reads a request's body.
///
/// # Errors
/// `Limit` when it is too large or too slow, `Invalid` when it is not what was expected.
pub(super) async fn read<T: DeserializeOwned>(body: Body) -> Result<T, Fault> {
    let whole = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_MAX).collect()).await;
    let bytes = match whole {
        Err(_) => {
            return Err(Fault::new(
                FaultCode::Limit,
                format!("the request's body took longer than {BODY_TIMEOUT:?}"),
            ));
        }
        Ok(Err(_)) => {
            let text = format!("the request's body is incomplete or larger than {} MiB", BODY_MAX >> 20);
            return Err(Fault::new(FaultCode::Limit, text));
        }
        Ok(Ok(whole)) => whole.to_bytes(),
    };
    serde_json::from_slice(&bytes).map_err(|error| {
        Fault::new(FaultCode::Invalid, format!("the request's body: {error}"))
            .hint("GET /v1/openapi.json describes it")
    })
}

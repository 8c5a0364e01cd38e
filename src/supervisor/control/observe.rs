//! What whoever watches may ask: figures, and whether all is well. It changes nothing.

use axum::Json;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use supd_api::HealthView;
use tokio::sync::mpsc;

use super::body::Refusal;
use super::routes::{ask, values_of};
use crate::metrics::{self, Form};
use crate::supervisor::call::Call;
use crate::supervisor::report::health::Question;
use crate::supervisor::report::scene::complete;
use crate::supervisor::requests::internal;

type Calls = State<mpsc::Sender<Call>>;

/// Its paths.
pub(super) fn router() -> Router<mpsc::Sender<Call>> {
    Router::new()
        .route("/metrics", get(figures))
        .route("/healthz", get(|calls, query| health(Question::Healthy, calls, query)))
        .route("/readyz", get(|calls, query| health(Question::Ready, calls, query)))
}

async fn figures(State(calls): Calls, headers: HeaderMap) -> Result<Response, Refusal> {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let form = Form::accepted(accept);
    let mut scene = ask(&calls, Call::Scene).await?;
    let page = tokio::task::spawn_blocking(move || {
        complete(&mut scene);
        metrics::page(&scene, form)
    });
    let page = page.await.map_err(|_| internal("figures could not be written"))?;
    Ok(([(header::CONTENT_TYPE, form.media_type())], page).into_response())
}

async fn health(
    question: Question,
    State(calls): Calls,
    RawQuery(query): RawQuery,
) -> Result<(StatusCode, Json<HealthView>), Refusal> {
    let targets = values_of("app", query.as_deref())?;
    let view = ask(&calls, |reply| Call::Health(question, targets, reply)).await?;
    let status = if view.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(view)))
}

//! What the page asks for. Fields, channels and layers are numbers in the lists of `/api/list`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State as FromState};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use stainfree_image::Plane;

use super::answers;
use super::state::State;
use crate::ViewError;
use crate::again::Again;
use crate::edit::Request;
use crate::opened::{LayerKind, Shown};
use crate::tiles::{BORDER, PlaneAddress, TILE, TileAt};

/// Runs what reads and computes on threads of their own, so that the server goes on listening.
async fn work(
    state: Arc<State>,
    job: impl FnOnce(&State) -> Result<Response, ViewError> + Send + 'static,
) -> Response {
    answer(move || state.on_pool(|| job(&state))).await
}

/// The same for what begins with a tile of a plane, or its coarsest one.
async fn work_in_turn(
    state: Arc<State>,
    plane: PlaneAddress,
    at: Option<TileAt>,
    job: impl FnOnce(&State) -> Result<Response, ViewError> + Send + 'static,
) -> Response {
    answer(move || state.in_turn(plane, at, || job(&state))).await
}

async fn answer(job: impl FnOnce() -> Result<Response, ViewError> + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(job).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => error.into_response(),
        // The hook for panics has said what happened.
        Err(_) => answers::refusal(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the program met a fault of its own, which it printed where it was started",
        ),
    }
}

type Shared = FromState<Arc<State>>;

/// Everything that is open.
pub(super) async fn list(FromState(state): Shared) -> Response {
    work(state, |state| {
        let opened = state.opened();
        let channel = |c: &crate::opened::Channel| json!({"name": c.name, "role": c.role.word()});
        let list = |l: &crate::work::WorkList| json!({"title": l.title, "layer": l.layer});
        let layer = |l: &crate::opened::Layer| {
            let of = match l.kind {
                LayerKind::Difference(first, second) => Some([first, second]),
                _ => None,
            };
            json!({"name": l.name, "kind": l.kind.word(), "of": of})
        };
        let fields: Vec<Value> = opened.fields.iter().map(field).collect();
        Ok(answers::json(&json!({
            "program": env!("CARGO_PKG_VERSION"),
            "what": opened.what.word(),
            "name": opened.path.file_name().map(|name| name.to_string_lossy()),
            "who": state.who,
            "model": opened.model,
            "read_only": state.read_only || state.store.is_none(),
            "tile": TILE,
            "border": BORDER,
            "notes": opened.notes,
            "channels": opened.channels.iter().map(channel).collect::<Vec<_>>(),
            "layers": opened.layers.iter().map(layer).collect::<Vec<_>>(),
            "columns": opened.columns,
            "lists": opened.lists.iter().map(list).collect::<Vec<_>>(),
            "trains": state.again.is_some(),
            "fields": fields,
        })))
    })
    .await
}

fn field(shown: &Shown) -> Value {
    let position = shown.image.as_ref().map(|image| &image.position);
    let depth = shown.image.as_ref().map(|image| {
        let planes = image.planes.iter();
        planes.map(Vec::len).collect::<Vec<_>>()
    });
    json!({
        "name": shown.name,
        "place": position.map(|p| &p.name),
        "plate": position.and_then(|p| p.plate.as_deref()),
        "well": position.and_then(|p| p.well.as_deref()),
        "site": position.and_then(|p| p.site),
        "time": shown.image.as_ref().and_then(|image| image.time),
        "size": [shown.size.0, shown.size.1],
        "pixel_um": shown.pixel_um,
        "depth": depth.unwrap_or_default(),
        "layers": shown.labels.iter().map(Option::is_some).collect::<Vec<_>>(),
        "sure": shown.sure.iter().map(Option::is_some).collect::<Vec<_>>(),
        "cells": shown.cells,
    })
}

/// A tile of an image.
pub(super) async fn image(
    FromState(state): Shared,
    Path((field, channel, z, level, y, x)): Path<(usize, usize, usize, u32, usize, usize)>,
) -> Response {
    let plane = PlaneAddress { field, channel, z };
    let at = TileAt { level, y, x };
    work_in_turn(state, plane, Some(at), move |state| {
        Ok(answers::plane(&*state.image(plane, at)?))
    })
    .await
}

/// What automatic contrast spans.
pub(super) async fn range(
    FromState(state): Shared,
    Path((field, channel, z)): Path<(usize, usize, usize)>,
) -> Response {
    work(state, move |state| {
        let plane = PlaneAddress { field, channel, z };
        Ok(answers::json(&state.range(plane)?))
    })
    .await
}

/// A small picture of an image.
pub(super) async fn thumb(
    FromState(state): Shared,
    Path((field, channel, z)): Path<(usize, usize, usize)>,
) -> Response {
    let plane = PlaneAddress { field, channel, z };
    work_in_turn(state, plane, None, move |state| {
        Ok(answers::plane(&Plane::U8(state.thumb(plane)?)))
    })
    .await
}

/// The outline of the object at a pixel, not farther from it than `reach` pixels.
pub(super) async fn outline(
    FromState(state): Shared,
    Path((field, channel, z, y, x, reach)): Path<(usize, usize, usize, usize, usize, usize)>,
) -> Response {
    work(state, move |state| {
        let plane = PlaneAddress { field, channel, z };
        let runs = state.outline(plane, (y, x), reach)?;
        Ok(answers::json(&json!({"runs": runs})))
    })
    .await
}

/// The pixels of the object at a pixel of a layer.
pub(super) async fn shape(
    FromState(state): Shared,
    Path((field, layer, y, x)): Path<(usize, usize, usize, usize)>,
) -> Response {
    work(state, move |state| {
        let runs = state.shape(field, layer, (y, x))?;
        Ok(answers::json(&json!({"runs": runs})))
    })
    .await
}

/// A tile of labels with its border.
pub(super) async fn labels(
    FromState(state): Shared,
    Path((field, layer, level, y, x)): Path<(usize, usize, u32, usize, usize)>,
) -> Response {
    work(state, move |state| {
        let (labels, version) = state.labels(field, layer)?;
        let tile = crate::tiles::label_tile(&labels, TileAt { level, y, x })?;
        Ok(answers::labels(&tile, version))
    })
    .await
}

/// The objects of a layer, with their agreement with the layer `other`, or `-`.
pub(super) async fn objects(
    FromState(state): Shared,
    Path((field, layer, other)): Path<(usize, usize, String)>,
) -> Response {
    work(state, move |state| {
        let other =
            match other.as_str() {
                "-" => None,
                number => Some(number.parse().map_err(|_| {
                    ViewError::Absent("the other layer is a number or `-`".to_owned())
                })?),
            };
        let (objects, version) = state.objects(field, layer, other)?;
        Ok(answers::json(
            &json!({"version": version, "objects": objects}),
        ))
    })
    .await
}

/// Values and numbers at a pixel.
pub(super) async fn pixel(
    FromState(state): Shared,
    Path((field, z, y, x)): Path<(usize, usize, usize, usize)>,
) -> Response {
    work(state, move |state| {
        let (values, labels) = state.pixel(field, z, y, x)?;
        Ok(answers::json(&json!({"values": values, "labels": labels})))
    })
    .await
}

fn no_study() -> ViewError {
    ViewError::ReadOnly(
        "only nuclei of a study are corrected; open one with `stainfree view STUDY`".to_owned(),
    )
}

/// What changed after a version.
pub(super) async fn edits(
    FromState(state): Shared,
    Path((field, known)): Path<(usize, u64)>,
) -> Response {
    work(state, move |state| {
        let store = state.store.as_ref().ok_or_else(no_study)?;
        let opened = state.opened();
        let shown = opened.field(field)?;
        Ok(answers::json(&store.since(field, shown, known)?))
    })
    .await
}

/// Makes an edit; where it meets another's, what changed is told with the refusal.
pub(super) async fn edit(
    FromState(state): Shared,
    Path(field): Path<usize>,
    body: Bytes,
) -> Response {
    work(state, move |state| {
        let store = state.store.as_ref().ok_or_else(no_study)?;
        let opened = state.opened();
        let shown = opened.field(field)?;
        let request: Request = serde_json::from_slice(&body)
            .map_err(|error| ViewError::Misuse(format!("this is no edit: {error}")))?;
        let known = request.version;
        match store.edit(field, shown, request) {
            Ok(applied) => Ok(answers::json(&applied)),
            Err(error @ ViewError::Conflict(_)) => {
                let since = store.since(field, shown, known)?;
                let said = json!({"error": error.to_string(), "since": since});
                let mut response = answers::json(&said);
                *response.status_mut() = StatusCode::CONFLICT;
                Ok(response)
            }
            Err(error) => Err(error),
        }
    })
    .await
}

/// The entries of a work list over all fields; `tests` is 1 for those of test fields too.
pub(super) async fn work_list(
    FromState(state): Shared,
    Path((list, tests)): Path<(usize, u8)>,
) -> Response {
    work(state, move |state| {
        Ok(answers::json(&state.work(list, tests == 1)?))
    })
    .await
}

/// Opens what is open anew, after which the page asks for the list again.
pub(super) async fn reload(FromState(state): Shared) -> Response {
    work(state, |state| {
        state.reload()?;
        Ok(answers::json(&json!({})))
    })
    .await
}

fn of_study(state: &State) -> Result<&Again, ViewError> {
    state.again.as_ref().ok_or_else(no_study)
}

/// The trainings from the page, and the curves of the first.
pub(super) async fn again(FromState(state): Shared) -> Response {
    work(state, |state| {
        Ok(answers::json(&of_study(state)?.standing()))
    })
    .await
}

/// What can be trained again.
pub(super) async fn choices(FromState(state): Shared) -> Response {
    work(state, |state| {
        Ok(answers::json(&of_study(state)?.choices()?))
    })
    .await
}

/// What a finished training changed.
pub(super) async fn changes(FromState(state): Shared, Path(run): Path<usize>) -> Response {
    work(state, move |state| {
        Ok(answers::json(&of_study(state)?.changes(run)?))
    })
    .await
}

/// Starts a training, goes on with one, or stops it.
pub(super) async fn train(FromState(state): Shared, body: Bytes) -> Response {
    work(state, move |state| {
        let again = of_study(state)?;
        let request = serde_json::from_slice(&body)
            .map_err(|error| ViewError::Misuse(format!("this asks for no training: {error}")))?;
        again.ask(&request)?;
        Ok(answers::json(&again.standing()))
    })
    .await
}

//! How results and errors become answers.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use stainfree_image::{Image, Plane};

use crate::ViewError;

/// An error as JSON: `{"error": SENTENCE}`.
pub(super) fn refusal(status: StatusCode, sentence: &str) -> Response {
    let mut response = json(&serde_json::json!({ "error": sentence }));
    *response.status_mut() = status;
    response
}

impl IntoResponse for ViewError {
    fn into_response(self) -> Response {
        let status = match &self {
            ViewError::Absent(_) => StatusCode::NOT_FOUND,
            ViewError::Misuse(_) => StatusCode::BAD_REQUEST,
            ViewError::ReadOnly(_) => StatusCode::FORBIDDEN,
            ViewError::Conflict(_) => StatusCode::CONFLICT,
            // A missing channel or plane.
            ViewError::Image(stainfree_image::ImageError::Misuse { .. }) => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        refusal(status, &self.to_string())
    }
}

/// A result as JSON.
pub(super) fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(text) => {
            let kind = (header::CONTENT_TYPE, "application/json");
            ([kind], text).into_response()
        }
        Err(error) => {
            let sentence = format!("cannot say it: {error}");
            (StatusCode::INTERNAL_SERVER_ERROR, sentence).into_response()
        }
    }
}

/// Pixels as they are, little-endian, row by row; headers say their type and size.
fn pixels(kind: &'static str, (height, width): (usize, usize), bytes: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    let number = |n: usize| HeaderValue::from(n as u64);
    headers.insert("x-pixels", HeaderValue::from_static(kind));
    headers.insert("x-height", number(height));
    headers.insert("x-width", number(width));
    let kind = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    response
}

/// A tile of an image.
pub(super) fn plane(plane: &Plane) -> Response {
    match plane {
        Plane::U8(image) => pixels("u8", image.size(), image.data().to_vec()),
        Plane::U16(image) => {
            let bytes = image.data().iter().flat_map(|v| v.to_le_bytes());
            pixels("u16", image.size(), bytes.collect())
        }
        Plane::F32(image) => {
            let bytes = image.data().iter().flat_map(|v| v.to_le_bytes());
            pixels("f32", image.size(), bytes.collect())
        }
    }
}

/// A tile of labels, of the version that a header says.
pub(super) fn labels(image: &Image<u32>, version: u64) -> Response {
    let bytes = image.data().iter().flat_map(|v| v.to_le_bytes());
    let mut response = pixels("u32", image.size(), bytes.collect());
    let version = HeaderValue::from(version);
    response.headers_mut().insert("x-version", version);
    response
}

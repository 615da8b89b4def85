//! The page, as it was built from `page/` (docs/viewer.md has the command).

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

fn file(kind: &'static str, text: &'static str) -> Response {
    let mut response = text.into_response();
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

pub(super) async fn page() -> Response {
    let text = include_str!("../../page/dist/index.html");
    file("text/html; charset=utf-8", text)
}

pub(super) async fn script() -> Response {
    let text = include_str!("../../page/dist/app.js");
    file("text/javascript; charset=utf-8", text)
}

pub(super) async fn style() -> Response {
    let text = include_str!("../../page/dist/app.css");
    file("text/css; charset=utf-8", text)
}

pub(super) async fn icon() -> Response {
    file("image/svg+xml", include_str!("../../page/dist/icon.svg"))
}

//! Who may ask: this machine's own names, the page's own origin, and who has the token.
//!
//! Any page of the web can make a browser send requests to 127.0.0.1, and can give a name of its
//! own that address. So the names in `Host` are checked, the origin must be the page's own, and
//! everything that tells or changes anything wants the token in a header, which no other origin
//! can set without being asked about first.

use std::sync::Arc;

use axum::extract::{Request, State as FromState};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::answers::refusal;
use super::state::State;

/// The header of the token.
const TOKEN: &str = "x-stainfree-token";

/// What the page may do: load its own files and talk to its own server, nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// Lets through what comes from this machine under its own name and from the page itself; adds the
/// headers that every answer has.
pub(super) async fn origin(request: Request, next: Next) -> Response {
    let mut response = match is_ours(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(what) => refusal(StatusCode::FORBIDDEN, what),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn is_ours(headers: &HeaderMap) -> Result<(), &'static str> {
    let one = |name: HeaderName| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => Ok(value.to_str().ok()),
            _ => Err("a header is there twice"),
        }
    };
    let host = one(header::HOST)?.ok_or("no host is named")?;
    // Any port: over SSH the page may have another one than the server.
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) => (name, port),
        None => (host, "80"),
    };
    if !["127.0.0.1", "localhost"].contains(&name) || port.parse::<u16>().is_err() {
        return Err("this server answers as 127.0.0.1 and localhost only");
    }
    if let Some(origin) = one(header::ORIGIN)?
        && origin.strip_prefix("http://") != Some(host)
    {
        return Err("requests of other pages are not answered");
    }
    let site = one(HeaderName::from_static("sec-fetch-site"))?;
    match site {
        None | Some("same-origin" | "none") => Ok(()),
        Some(_) => Err("requests of other pages are not answered"),
    }
}

/// Lets through who has the token.
pub(super) async fn token(
    FromState(state): FromState<Arc<State>>,
    request: Request,
    next: Next,
) -> Response {
    let given = request.headers().get(TOKEN);
    if given.is_some_and(|given| state.token.is(given.as_bytes())) {
        return next.run(request).await;
    }
    refusal(
        StatusCode::UNAUTHORIZED,
        "open the address that the program printed; each start has a new one",
    )
}

/// What does not exist.
pub(super) async fn nothing() -> Response {
    refusal(StatusCode::NOT_FOUND, "there is nothing here")
}

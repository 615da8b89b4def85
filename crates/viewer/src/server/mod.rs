//! The server on 127.0.0.1: who may ask (`guard`), what is answered (`api`), the page (`assets`).

mod answers;
mod api;
mod assets;
mod guard;
mod state;
mod token;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};

use self::state::State;
use self::token::Token;
use crate::{Opened, ViewError};

/// Largest request: a stroke of 20,000 points is half of it.
const BODY_BYTES: usize = 1 << 20;
/// Requests that may wait for others' tiles beside those that are worked on.
const WAITING: usize = 16;
/// How often the flag that ends the server is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long answers that are being made may take after that.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// How a server runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port; 0 takes a free one.
    pub port: u16,
    /// Nothing may be changed.
    pub read_only: bool,
    /// Who corrects.
    pub who: String,
    /// Threads that read and compute.
    pub threads: usize,
    /// Bytes of tiles that are kept.
    pub cache_bytes: usize,
    /// This program, by which a training is started from the page; `None`: none can be.
    pub program: Option<PathBuf>,
}

/// A server that listens and answers nobody yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    state: Arc<State>,
    threads: usize,
}

impl Server {
    /// Listens on 127.0.0.1.
    ///
    /// # Errors
    /// The port is taken, or the system gives no random numbers.
    pub fn bind(opened: Opened, options: &Options) -> Result<Self, ViewError> {
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
        let listen = || -> io::Result<(TcpListener, SocketAddr)> {
            let listener = TcpListener::bind(wanted)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let (listener, address) = listen().map_err(|error| {
            ViewError::Server(format!(
                "cannot listen on {wanted} ({error}); give another `--port`, or none for a free \
                 one"
            ))
        })?;
        Ok(Self {
            listener,
            address,
            state: Arc::new(State::new(opened, options, Token::random()?)?),
            threads: options.threads,
        })
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The secret that every request has to bring.
    pub fn token(&self) -> &str {
        self.state.token.text()
    }

    /// What to open in a browser. The token is behind `#`, which browsers keep to themselves.
    pub fn url(&self) -> String {
        format!("http://{}/#{}", self.address, self.token())
    }

    /// Asks for the name of a model that is being trained from the study's page; it goes on when
    /// the server ends. None where nothing is.
    pub fn training(&self) -> impl Fn() -> Option<String> + use<> {
        let state = Arc::clone(&self.state);
        move || state.again.as_ref()?.running()
    }

    /// Answers until `ended` says so; what was begun is finished.
    ///
    /// # Errors
    /// The system gives no threads or events.
    pub fn run(self, ended: impl Fn() -> bool) -> Result<(), ViewError> {
        let failed = |error: io::Error| ViewError::Server(format!("cannot serve: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(2 * self.threads + WAITING)
            .build()
            .map_err(failed)?;
        let routes = routes(self.state);
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(self.listener).map_err(failed)?;
            // The one task of the server; connections are tasks of their own that end with the
            // runtime, pages that stay open among them.
            let serving = tokio::spawn(async move { axum::serve(listener, routes).await });
            while !ended() && !serving.is_finished() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            serving.abort();
            Ok::<(), ViewError>(())
        })?;
        runtime.shutdown_timeout(LAST_ANSWERS);
        Ok(())
    }
}

fn routes(state: Arc<State>) -> Router {
    let api = Router::new()
        .route("/list", get(api::list))
        .route(
            "/image/{field}/{channel}/{z}/{level}/{y}/{x}",
            get(api::image),
        )
        .route("/range/{field}/{channel}/{z}", get(api::range))
        .route("/labels/{field}/{layer}/{level}/{y}/{x}", get(api::labels))
        .route("/objects/{field}/{layer}/{other}", get(api::objects))
        .route("/pixel/{field}/{z}/{y}/{x}", get(api::pixel))
        .route("/thumb/{field}/{channel}/{z}", get(api::thumb))
        .route(
            "/outline/{field}/{channel}/{z}/{y}/{x}/{reach}",
            get(api::outline),
        )
        .route("/shape/{field}/{layer}/{y}/{x}", get(api::shape))
        .route("/work/{list}/{tests}", get(api::work_list))
        .route("/reload", post(api::reload))
        .route("/again", get(api::again).post(api::train))
        .route("/again/choices", get(api::choices))
        .route("/again/changes/{run}", get(api::changes))
        .route("/edits/{field}/{known}", get(api::edits))
        .route("/edits/{field}", post(api::edit))
        .route_layer(middleware::from_fn_with_state(
            Arc::clone(&state),
            guard::token,
        ));
    Router::new()
        .nest("/api", api)
        .route("/", get(assets::page))
        .route("/app.js", get(assets::script))
        .route("/app.css", get(assets::style))
        .route("/icon.svg", get(assets::icon))
        .fallback(guard::nothing)
        .layer(middleware::from_fn(guard::origin))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(state)
}

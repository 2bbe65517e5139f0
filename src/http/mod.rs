//! HTTP on loopback: health, metrics, look-ups in this node's copies, the registry, and the log for other commands.
//!
//! | path | who | what is logged |
//! |---|---|---|
//! | `/health/live`, `/health/ready` | anybody on this machine | nothing |
//! | `/metrics` | the node's token | nothing |
//! | `/v1/views/…` | the node's token | method, path, status |
//! | `/v1/status`, `/v1/log`, `/v1/catalog` | the node's token | method, path, status |
//! | the registry: `/subjects`, `/schemas`, `/compatibility`, `/config`, `/mode` | the node's token | method, path, status |
//!
//! The token is taken as `Authorization: Bearer …`, or as the password of `Authorization: Basic …` (which is what
//! registry clients offer). Record keys and filters travel in bodies only (invariant 7).

mod ask;
mod auth;
mod catalog;
mod health;
mod refusal;
mod registry;
mod views;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use kenh_domain::log::Log;
use tokio::sync::oneshot;

use ask::Sent;
use refusal::{Code, refuse};

use crate::node::remote;
use crate::node::run::{Copies, InForce, Roles};
use crate::node::{Announced, Node, NodeError, client};

/// Largest body taken: a call on the log carries up to one batch of records in base64.
const MAX_BODY_BYTES: usize = 64 << 20;

/// What the handlers work on.
pub struct App {
    /// The node's log.
    pub log: Arc<dyn Log>,
    /// What a caller must show.
    pub token: String,
    /// The control set in force.
    pub control: InForce,
    /// The copies this node keeps.
    pub copies: Arc<Copies>,
    /// What the router counts; none where it runs elsewhere.
    pub router: Option<Arc<kenh_router::Stats>>,
    /// Cursors of pages that were answered.
    pub tickets: views::Tickets,
}

/// All routes.
pub fn routes(app: Arc<App>) -> Router {
    let guarded = Router::new()
        .route("/metrics", get(health::metrics))
        .route("/v1/status", get(health::status))
        .route("/v1/log", post(log_call))
        .route("/v1/catalog", get(catalog::list))
        .route("/v1/views/{agency}/{dataset}", get(views::list))
        .route("/v1/views/{agency}/{dataset}/lookup", post(views::lookup))
        .route("/v1/views/{agency}/{dataset}/search", post(views::search))
        .route("/v1/views/{agency}/{dataset}/digest", get(views::digest))
        .route("/v1/views/{agency}/{dataset}/export", get(views::export))
        .fallback(registry::handle)
        .layer(middleware::from_fn_with_state(app.clone(), auth::check));
    Router::new()
        .route("/health/live", get(|| async { "live\n" }))
        .route("/health/ready", get(health::ready))
        .merge(guarded)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(app)
}

async fn log_call(State(app): State<Arc<App>>, Sent(call): Sent<remote::Call>) -> Response {
    blocking(move || axum::Json(remote::serve(&*app.log, call)).into_response()).await
}

/// Runs what may wait for a disk away from the threads that serve.
pub async fn blocking(work: impl FnOnce() -> Response + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(work).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, "a request handler failed");
            refuse(Code::Internal, "this request failed inside; the node's log says more")
        }
    }
}

/// A response with its own content type.
pub fn typed(status: u16, content_type: &'static str, body: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, content_type)], body).into_response()
}

/// Why HTTP cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}: choose another with `listen` in kenh.yaml or KENH_LISTEN")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The process cannot have the threads it needs.
    #[error("HTTP cannot be started")]
    Start(#[source] std::io::Error),
    /// The address file cannot be left in the data directory.
    #[error(transparent)]
    Announce(#[from] NodeError),
}

/// HTTP while it is served; `node.json` lies in the data directory as long.
pub struct Server {
    app: Arc<App>,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
    _announced: Announced,
}

impl Server {
    /// Serves the roles of a node.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn start(node: &Node, roles: &Roles, listen: SocketAddr) -> Result<Self, ServeError> {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let app = Arc::new(App {
            log: node.log.clone(),
            token: token.clone(),
            control: roles.control.clone(),
            copies: roles.copies.clone(),
            router: roles.router.clone(),
            tickets: views::Tickets::default(),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(ServeError::Start)?;
        let bind = |source| ServeError::Bind { address: listen, source };
        let listener = runtime.block_on(tokio::net::TcpListener::bind(listen)).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let served = app.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("http".into()).spawn(move || {
            let ended = runtime.block_on(async {
                let stop = async {
                    // A sender that is gone stops it as well.
                    let _ = stopped.await;
                };
                axum::serve(listener, routes(served)).with_graceful_shutdown(stop).await
            });
            if let Err(error) = ended {
                tracing::error!(%error, "HTTP ended");
            }
        });
        let thread = thread.map_err(ServeError::Start)?;
        let running = client::Running { pid: std::process::id(), address: address.to_string(), token };
        let announced = Announced::new(&node.dir, &running)?;
        Ok(Self { app, address, stop, thread, _announced: announced })
    }

    /// A way to ask for the node's status.
    #[must_use]
    pub fn status(&self) -> Arc<dyn Fn() -> crate::status::Status + Send + Sync> {
        let app = self.app.clone();
        Arc::new(move || app.status())
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers what is under way and stops.
    pub fn stop(self) {
        let _ = self.stop.send(());
        if self.thread.join().is_err() {
            tracing::error!("HTTP panicked");
        }
    }
}

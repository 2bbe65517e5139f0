//! HTTP: health, metrics, look-ups in this node's copies, the registry, and the log for other commands.
//!
//! Three listeners, each with its own routes and authentication; `docs/http.md` has the table of what is where and who may
//! call it, and a test holds it to [`local`], [`operators`] and [`agencies`].
//!
//! | listener | where | who |
//! |---|---|---|
//! | local | loopback, in clear | whoever shows the node's token |
//! | operators | anywhere, TLS | the control role, by its certificate |
//! | agencies | anywhere, TLS | systems of agencies, by their certificates |
//!
//! Record keys and filters travel in bodies only (invariant 7).

mod ask;
mod auth;
mod caller;
mod catalog;
mod health;
mod listen;
mod rates;
mod refusal;
mod registry;
mod tls;
mod views;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use kenh_domain::control::Trust;
use kenh_domain::log::Log;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use ask::Sent;
use refusal::{Code, refuse};

use crate::config::Config;
use crate::node::remote;
use crate::node::run::{Copies, InForce, Roles};
use crate::node::{Announced, Node, NodeError, client};

/// Tickets that are remembered for operators.
const TICKETS: usize = 10_000;

/// What the handlers work on.
pub struct App {
    /// The node's log.
    pub log: Arc<dyn Log>,
    /// What a caller on loopback must show.
    pub token: String,
    /// The control set in force.
    pub control: InForce,
    /// The copies this node keeps.
    pub copies: Arc<Copies>,
    /// What the router counts; none where it runs elsewhere.
    pub router: Option<Arc<kenh_router::Stats>>,
    /// Cursors of pages that operators were answered.
    pub tickets: views::Tickets,
    /// What is kept of systems.
    pub systems: rates::Systems,
    /// What is kept of addresses.
    pub addresses: rates::Addresses,
    /// One for each export that may be under way.
    pub exports: Arc<Semaphore>,
}

type Routes = Router<Arc<App>>;

/// What everybody who is let in may call, each about what is his.
fn common() -> Routes {
    Router::new()
        .route("/v1/catalog", get(catalog::list))
        .route("/v1/views/{agency}/{dataset}", get(views::list))
        .route("/v1/views/{agency}/{dataset}/lookup", post(views::lookup))
        .route("/v1/views/{agency}/{dataset}/search", post(views::search))
        .route("/v1/views/{agency}/{dataset}/digest", get(views::digest))
        .route("/v1/views/{agency}/{dataset}/export", get(views::export))
        .fallback(registry::handle)
}

fn administration() -> Routes {
    common().route("/metrics", get(health::metrics)).route("/v1/status", get(health::status))
}

/// Routes of a listener: health, which is open, and what is behind authentication.
fn listener(ready: MethodRouter<Arc<App>>, guarded: Routes, app: &Arc<App>) -> Router {
    let open = Router::new()
        .route("/health/live", get(health::live))
        .route("/health/ready", ready)
        .layer(middleware::from_fn_with_state(app.clone(), auth::open));
    // Bodies are bounded where their senders are authenticated.
    open.merge(guarded).layer(DefaultBodyLimit::disable()).with_state(app.clone())
}

/// The routes on loopback.
fn local(app: &Arc<App>) -> Router {
    let guarded = administration().route("/v1/log", post(log_call));
    listener(get(health::ready), guarded.layer(middleware::from_fn_with_state(app.clone(), auth::token)), app)
}

/// The routes for operators elsewhere. Not the log: it belongs to the commands of this machine.
fn operators(app: &Arc<App>) -> Router {
    let guarded = administration().layer(middleware::from_fn_with_state(app.clone(), auth::operator));
    listener(get(health::ready), guarded, app)
}

/// The routes for agencies.
fn agencies(app: &Arc<App>) -> Router {
    let guarded = common().layer(middleware::from_fn_with_state(app.clone(), auth::system));
    listener(get(health::ready_or_not), guarded, app)
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
    #[error("cannot listen on {address}: choose another with `{key}` in kenh.yaml")]
    Bind {
        /// By which key of the configuration.
        key: &'static str,
        /// Which.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// An address beyond loopback, on a bus where nothing is signed.
    #[error(
        "{key}: {address} is not a loopback address, and this bus is unsigned: whoever holds its directory can grant himself \
         anything. Beyond this machine only a signed bus serves (docs/signatures.md)"
    )]
    Unsigned {
        /// By which key of the configuration.
        key: &'static str,
        /// Which.
        address: SocketAddr,
    },
    /// What TLS needs cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
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
    addresses: Vec<(&'static str, SocketAddr)>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
    _announced: Announced,
}

/// A listener that is to be served.
struct Listener {
    key: &'static str,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    routes: Router,
}

impl Server {
    /// Serves the roles of a node, where the configuration says.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn start(node: &Node, roles: &Roles, config: &Config) -> Result<Self, ServeError> {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let app = Arc::new(App {
            log: node.log.clone(),
            token: token.clone(),
            control: roles.control.clone(),
            copies: roles.copies.clone(),
            router: roles.router.clone(),
            tickets: views::Tickets::new(TICKETS),
            systems: rates::Systems::default(),
            addresses: rates::Addresses::default(),
            exports: Arc::new(Semaphore::new(views::MAX_EXPORTS)),
        });
        let mut wanted = vec![Listener { key: "listen", address: config.listen, tls: None, routes: local(&app) }];
        if let Some(http) = &config.http {
            let signed = matches!(roles.control.get().trust, Some(Trust::Root(_)));
            let tls = tls::acceptor(&http.tls)?;
            let elsewhere =
                [("http.operators", http.operators, operators(&app)), ("http.agencies", http.agencies, agencies(&app))];
            for (key, address, routes) in elsewhere {
                let Some(address) = address else { continue };
                if !signed && !address.ip().is_loopback() {
                    return Err(ServeError::Unsigned { key, address });
                }
                wanted.push(Listener { key, address, tls: Some(tls.clone()), routes });
            }
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(ServeError::Start)?;
        let (stop, stopped) = watch::channel(false);
        let mut serving = Vec::new();
        let mut addresses = Vec::new();
        for Listener { key, address, tls, routes } in wanted {
            let bind = |source| ServeError::Bind { key, address, source };
            let listener = runtime.block_on(tokio::net::TcpListener::bind(address)).map_err(bind)?;
            addresses.push((key, listener.local_addr().map_err(bind)?));
            serving.push(listen::serve(listener, tls, routes, app.clone(), stopped.clone()));
        }
        let thread = std::thread::Builder::new().name("http".into()).spawn(move || {
            runtime.block_on(async {
                let mut all = JoinSet::new();
                for listener in serving {
                    all.spawn(listener);
                }
                while let Some(ended) = all.join_next().await {
                    if let Err(error) = ended {
                        tracing::error!(%error, "HTTP ended");
                    }
                }
            });
        });
        let thread = thread.map_err(ServeError::Start)?;
        let running = client::Running { pid: std::process::id(), address: addresses[0].1.to_string(), token };
        let announced = Announced::new(&node.dir, &running)?;
        Ok(Self { app, addresses, stop, thread, _announced: announced })
    }

    /// A way to ask for the node's status.
    #[must_use]
    pub fn status(&self) -> Arc<dyn Fn() -> crate::status::Status + Send + Sync> {
        let app = self.app.clone();
        Arc::new(move || app.status())
    }

    /// Where it listens on loopback.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.addresses[0].1
    }

    /// Where it listens for whom beside: the key of the configuration, and the address.
    #[must_use]
    pub fn elsewhere(&self) -> &[(&'static str, SocketAddr)] {
        &self.addresses[1..]
    }

    /// Answers what is under way and stops.
    pub fn stop(self) {
        let _ = self.stop.send(true);
        if self.thread.join().is_err() {
            tracing::error!("HTTP panicked");
        }
    }
}

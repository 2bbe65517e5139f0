//! Where connections come in, and how long each may take: for a handshake, for a head, for all of it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kenh_broker::certificate::Certificate;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::App;
use super::rates::place_of;

/// Connections of one listener; more wait at the operating system.
const MAX_CONNECTIONS: usize = 512;
/// Connections of one address.
const MAX_OF_ADDRESS: usize = 128;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a connection may say nothing, or take for the head of a request. Longer than clients keep one for later.
const HEAD: Duration = Duration::from_secs(20);
/// Bytes of a head: path, query and headers.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// Headers of a request.
const MAX_HEADERS: usize = 64;
/// How old a connection becomes.
const AGE: Duration = Duration::from_secs(10 * 60);
/// How much longer what is under way then may take: a large answer over a slow line.
const LAST_ANSWER: Duration = Duration::from_secs(5 * 60);
/// How long what is under way may take when the node stops.
const STOP: Duration = Duration::from_secs(30);
/// After an error of the operating system that concerns no single connection, such as no more files.
const BACKOFF: Duration = Duration::from_millis(100);

/// Who is at the other end of a connection, as far as the connection tells.
#[derive(Clone)]
pub struct Peer {
    /// From where.
    pub address: IpAddr,
    /// What was shown, vouched for by the bus's CA; none without TLS.
    pub certificate: Option<Arc<Certificate>>,
}

/// Serves `routes` until `stop` says true, and waits for what is under way then.
pub async fn serve(
    tcp: TcpListener,
    tls: Option<TlsAcceptor>,
    routes: Router,
    app: Arc<App>,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let addresses = Arc::new(Mutex::new(HashMap::new()));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let next = async {
            let place = places.clone().acquire_owned().await;
            (tcp.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            next = next => next,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                sleep(BACKOFF).await;
                continue;
            }
        };
        // Neither of them can be told why: nobody has shown who he is.
        if app.addresses.take(from.ip(), Instant::now()).is_err() {
            continue;
        }
        let Some(counted) = Counted::new(&addresses, from) else { continue };
        let (tls, routes, stop) = (tls.clone(), routes.clone(), stop.clone());
        connections.spawn(async move {
            take(stream, from.ip(), tls, routes, stop).await;
            drop((place, counted));
        });
    }
    drop(tcp);
    while connections.join_next().await.is_some() {}
}

/// A connection that counts for its address while it lives.
struct Counted {
    all: Arc<Mutex<HashMap<IpAddr, usize>>>,
    of: IpAddr,
}

impl Counted {
    fn new(all: &Arc<Mutex<HashMap<IpAddr, usize>>>, from: SocketAddr) -> Option<Self> {
        let of = place_of(from.ip());
        let mut counts = all.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(of).or_default();
        if *count >= MAX_OF_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Self { all: all.clone(), of })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.of);
            }
        }
    }
}

async fn take(
    stream: TcpStream,
    address: IpAddr,
    tls: Option<TlsAcceptor>,
    routes: Router,
    stop: watch::Receiver<bool>,
) {
    // An answer is written at once.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return converse(stream, Peer { address, certificate: None }, routes, stop).await;
    };
    let stream = match timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%address, %error, "no TLS"),
        Err(_) => return tracing::debug!(%address, "no TLS in time"),
    };
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(|c| Certificate::read(c));
    match shown {
        Some(Ok(certificate)) => {
            let certificate = Some(Arc::new(certificate));
            converse(stream, Peer { address, certificate }, routes, stop).await;
        }
        Some(Err(error)) => tracing::warn!(%address, %error, "a certificate of the bus's CA is of nobody"),
        None => tracing::error!(%address, "TLS without a certificate"),
    }
}

async fn converse<S>(stream: S, peer: Peer, routes: Router, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let address = peer.address;
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(peer.clone());
        let routes = routes.clone();
        async move { Ok::<_, Infallible>(routes.oneshot(request).await.unwrap_or_else(|never| match never {})) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_header_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let left = tokio::select! {
        ended = connection.as_mut() => return told(address, ended),
        () = sleep(AGE) => LAST_ANSWER,
        _ = stop.wait_for(|stop| *stop) => STOP,
    };
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        ended = timeout(left, connection.as_mut()) => match ended {
            Ok(ended) => told(address, ended),
            Err(_) => tracing::debug!(%address, "a connection was cut off"),
        },
        // The node stops meanwhile.
        () = async { let _ = stop.wait_for(|stop| *stop).await; sleep(STOP).await } => {}
    }
}

fn told(address: IpAddr, ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%address, %error, "a connection ended");
    }
}

//! The HTTP and WebSocket server.

use std::{future::poll_fn, net::SocketAddr, sync::Arc, task::Poll};

use axum::{
    Router,
    body::Bytes,
    extract::{
        DefaultBodyLimit, State, WebSocketUpgrade,
        ws::{Message, WebSocket, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::{JoinHandle, JoinSet},
};
use tower_http::cors::{Any, CorsLayer};

use super::{Connection, Service};

/// How many messages to a client may pile up before it counts as gone.
const OUTBOX: usize = 8192;

/// So many requests of one WebSocket connection are worked on at the same time.
const AT_ONCE: usize = 64;

/// A server that answers on a socket.
pub struct Server {
    address: SocketAddr,
    task: JoinHandle<std::io::Result<()>>,
    stop: tokio::sync::watch::Sender<bool>,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[error("listening on {address}: {error}")]
pub struct ServeError {
    /// Where it was to listen.
    pub address: SocketAddr,
    /// What the system says.
    pub error: std::io::Error,
}

struct Shared<D> {
    service: Service<D>,
    connections: Arc<Semaphore>,
    /// What `/metrics` says, and `/health`.
    metrics: fn() -> String,
}

impl Server {
    /// Serves requests until it is stopped. `metrics` is what `/metrics` shows.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start<D: Send + Sync + 'static>(
        address: SocketAddr,
        service: Service<D>,
        metrics: fn() -> String,
    ) -> Result<Self, ServeError> {
        let failed = |error| ServeError { address, error };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let limits = *service.limits();
        let connections = Arc::new(Semaphore::new(limits.connections));
        let shared = Arc::new(Shared { service, connections, metrics });
        let cors = CorsLayer::new().allow_origin(Any).allow_methods(Any).allow_headers(Any);
        let router = Router::new()
            .route("/", get(socket::<D>).post(http::<D>))
            .route("/health", get(|| async { "ok" }))
            .route("/metrics", get(metrics_page::<D>))
            .fallback(|| async { StatusCode::NOT_FOUND })
            .layer(DefaultBodyLimit::max(limits.body))
            .layer(cors)
            .with_state(shared);
        let (stop, mut stopped) = tokio::sync::watch::channel(false);
        let task = tokio::spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(async move {
                    let _ = stopped.wait_for(|stopped| *stopped).await;
                })
                .await
        });
        Ok(Self { address: bound, task, stop })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening. Requests that are under way get a moment.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let abort = self.task.abort_handle();
        if tokio::time::timeout(std::time::Duration::from_secs(2), self.task).await.is_err() {
            abort.abort();
        }
    }
}

async fn http<D: Send + Sync + 'static>(
    State(shared): State<Arc<Shared<D>>>,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => {
            let most = shared.service.limits().body;
            let text = format!("{}; a request has at most {most} bytes\n", rejection.body_text());
            return (rejection.status(), text).into_response();
        }
    };
    let Ok(_permit) = shared.connections.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many connections\n").into_response();
    };
    match shared.service.answer(&body, None).await {
        Some(answer) => {
            let json = HeaderValue::from_static("application/json");
            ([(header::CONTENT_TYPE, json)], answer).into_response()
        }
        None => StatusCode::OK.into_response(),
    }
}

async fn metrics_page<D: Send + Sync + 'static>(
    State(shared): State<Arc<Shared<D>>>,
) -> impl IntoResponse {
    let text = HeaderValue::from_static("text/plain; version=0.0.4");
    ([(header::CONTENT_TYPE, text)], (shared.metrics)())
}

async fn socket<D: Send + Sync + 'static>(
    State(shared): State<Arc<Shared<D>>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        let text = "JSON-RPC is served to POST requests and to WebSocket connections\n";
        return (StatusCode::METHOD_NOT_ALLOWED, text).into_response();
    };
    let Ok(permit) = shared.connections.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many connections\n").into_response();
    };
    let most = shared.service.limits().body;
    upgrade
        .max_message_size(most)
        .max_frame_size(most)
        .on_upgrade(move |socket| talk(socket, shared, permit))
}

/// Serves a WebSocket connection. What can be answered at once is, so that a
/// subscription is known before it speaks; the rest is answered when it is done,
/// with notifications and other answers in between.
async fn talk<D: Send + Sync + 'static>(
    mut socket: WebSocket,
    shared: Arc<Shared<D>>,
    _permit: OwnedSemaphorePermit,
) {
    let (outbox, mut messages) = mpsc::channel(OUTBOX);
    let most = shared.service.limits().subscriptions;
    let connection = Arc::new(Connection::new(outbox.clone(), most));
    let mut answering = JoinSet::new();
    loop {
        let received = tokio::select! {
            received = socket.recv(), if answering.len() < AT_ONCE => received,
            Some(message) = messages.recv() => {
                if socket.send(Message::Text(message.into())).await.is_err() {
                    return;
                }
                continue;
            }
            Some(_) = answering.join_next() => continue,
            () = connection.overflow() => return,
        };
        let body = match received {
            Some(Ok(Message::Text(text))) => Bytes::from(text),
            Some(Ok(Message::Binary(bytes))) => bytes,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            Some(Ok(Message::Close(_)) | Err(_)) | None => return,
        };
        let (of_answer, to) = (shared.clone(), connection.clone());
        let mut answer = Box::pin(async move { of_answer.service.answer(&body, Some(&to)).await });
        let at_once = poll_fn(|context| Poll::Ready(answer.as_mut().poll(context))).await;
        match at_once {
            Poll::Ready(None) => {}
            Poll::Ready(Some(answer)) => {
                if socket.send(Message::Text(answer.into())).await.is_err() {
                    return;
                }
            }
            Poll::Pending => {
                let outbox = outbox.clone();
                answering.spawn(async move {
                    if let Some(answer) = answer.await {
                        // The client may be gone by now.
                        let _ = outbox.send(answer).await;
                    }
                });
            }
        }
    }
}

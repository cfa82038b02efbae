//! JSON-RPC 2.0, over HTTP and WebSocket, for any front door.

mod connection;
mod door;
mod error;
mod methods;
mod params;
mod server;

use std::{borrow::Cow, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

pub use connection::{Connection, Gone, Sink};
pub use door::{Door, WeakDoor};
pub use error::{Reply, RpcError, reply};
pub use methods::{Elsewhere, Gathered, Later, Method, Methods};
pub use params::Params;
pub use server::{ServeError, Server};

use crate::config::Limits;

/// What answers requests: the methods of a front door, within limits.
pub struct Service<D> {
    door: Door<D>,
    methods: Methods<D>,
    limits: Limits,
    computing: Arc<Semaphore>,
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Response<'a> {
    jsonrpc: &'static str,
    #[serde(serialize_with = "id_or_null")]
    id: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a RpcError>,
}

fn id_or_null<S: serde::Serializer>(
    id: &Option<&RawValue>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match id {
        Some(id) => id.serialize(serializer),
        None => serializer.serialize_unit(),
    }
}

/// What is computed for a request.
struct Heavy<D> {
    door: Arc<D>,
    name: &'static str,
    method: fn(&D, &mut Params<'_>) -> Reply,
    /// Where another node may answer it.
    elsewhere: Option<Elsewhere<D>>,
}

/// A request on its way to its answer.
enum Work<D> {
    Done(Reply),
    Heavy(Heavy<D>),
    Later(Later),
    Together(Together<D>),
}

type Together<D> = fn(&Arc<D>, Gathered<'_>) -> Later<Vec<Reply>>;

impl<D: Send + Sync + 'static> Service<D> {
    /// A service of these methods.
    pub fn new(door: impl Into<Door<D>>, methods: Methods<D>, limits: Limits) -> Self {
        let computing = Arc::new(Semaphore::new(limits.computing));
        Self { door: door.into(), methods, limits, computing }
    }

    /// The limits.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Answers what a client sent: a request, or a batch of them. `None` where
    /// there is nothing to answer.
    pub async fn answer(
        &self,
        body: &[u8],
        connection: Option<&Arc<Connection>>,
    ) -> Option<String> {
        let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
        if first != Some(&b'[') {
            let request = serde_json::from_slice(body).map_err(|error| refusal(body, &error));
            return self.answer_all(vec![request], connection).await.pop();
        }
        let requests: Vec<&RawValue> = match serde_json::from_slice(body) {
            Ok(requests) => requests,
            Err(error) => return Some(self.failure(parse_error(&error))),
        };
        if requests.is_empty() {
            return Some(self.failure(RpcError::new(RpcError::INVALID_REQUEST, "empty batch")));
        }
        if requests.len() > self.limits.batch {
            let text = format!("batch too large: {}, limit {}", requests.len(), self.limits.batch);
            return Some(self.failure(RpcError::limit(text)));
        }
        let answers = self.answer_all(parse_all(&requests), connection).await;
        if answers.is_empty() {
            return None;
        }
        Some(format!("[{}]", answers.join(",")))
    }

    /// Answers requests in their order.
    async fn answer_all(
        &self,
        requests: Vec<Result<Request<'_>, RpcError>>,
        connection: Option<&Arc<Connection>>,
    ) -> Vec<String> {
        let mut answers = Vec::with_capacity(requests.len());
        let mut rest = requests.into_iter().peekable();
        while let Some(request) = rest.next() {
            let request = match request {
                Ok(request) => request,
                Err(error) => {
                    answers.push(self.failure(error));
                    continue;
                }
            };
            let reply = match self.begin(&request, connection) {
                Work::Done(reply) => reply,
                Work::Later(later) => self.wait(later).await,
                Work::Heavy(heavy) => self.compute(heavy, request.params).await,
                Work::Together(method) => {
                    let mut together = vec![request];
                    while let Some(next) = rest.next_if(|next| follows(&together, next)) {
                        together.extend(next);
                    }
                    let together: Vec<&Request<'_>> = together.iter().collect();
                    let replies = self.gather(method, &together).await;
                    let pairs = together.iter().zip(replies);
                    let respond =
                        |(request, reply): (&&Request<'_>, _)| self.respond(request, reply);
                    answers.extend(pairs.filter_map(respond));
                    continue;
                }
            };
            answers.extend(self.respond(&request, reply));
        }
        answers
    }

    fn respond(&self, request: &Request<'_>, reply: Reply) -> Option<String> {
        // Who gives no id wants no answer; but to an error everyone is entitled.
        if request.id.is_none() && request.method.is_some() {
            return None;
        }
        let reply = reply.map_err(|error| self.methods.phrased(error));
        let (result, error) = match &reply {
            Ok(result) => (Some(&**result), None),
            Err(error) => (None, Some(error)),
        };
        Some(write(&Response { jsonrpc: "2.0", id: request.id, result, error }))
    }

    fn failure(&self, error: RpcError) -> String {
        let error = self.methods.phrased(error);
        write(&Response { jsonrpc: "2.0", id: None, result: None, error: Some(&error) })
    }

    /// Answers requests of one method together.
    async fn gather(&self, method: Together<D>, requests: &[&Request<'_>]) -> Vec<Reply> {
        let params = requests.iter().map(|request| Params::parse(request.params)).collect();
        let limit = Duration::from_secs(self.limits.seconds);
        let replies = tokio::time::timeout(limit, method(&self.door.get(), params)).await;
        replies.unwrap_or_else(|_| requests.iter().map(|_| Err(too_long())).collect())
    }

    fn begin(&self, request: &Request<'_>, connection: Option<&Arc<Connection>>) -> Work<D> {
        let Some(name) = request.method.as_deref() else {
            return Work::Done(Err(RpcError::new(RpcError::INVALID_REQUEST, "invalid request")));
        };
        let Some((name, method)) = self.methods.get(name) else {
            metrics::counter!("polity_rpc_requests_total", "method" => "unknown").increment(1);
            return Work::Done(Err(RpcError::no_method(name)));
        };
        metrics::counter!("polity_rpc_requests_total", "method" => name).increment(1);
        let mut params = match Params::parse(request.params) {
            Ok(params) => params,
            Err(error) => return Work::Done(Err(error)),
        };
        let door = self.door.get();
        let elsewhere = self.methods.asked_elsewhere(&door);
        match (method, connection) {
            (Method::Quick(method), _) if elsewhere.is_none() => {
                Work::Done(method(&door, &mut params))
            }
            (Method::Quick(method) | Method::Heavy(method), _) => {
                Work::Heavy(Heavy { door, name, method, elsewhere })
            }
            (Method::Waiting(method), _) => match method(&door, &mut params) {
                Ok(later) => Work::Later(later),
                Err(error) => Work::Done(Err(error)),
            },
            (Method::Together(method), _) => Work::Together(method),
            (Method::Connected(method), Some(connection)) => {
                Work::Done(method(&door, &mut params, connection))
            }
            (Method::Connected(_), None) => {
                let text = "notifications not supported";
                Work::Done(Err(RpcError::new(RpcError::NO_METHOD, text)))
            }
        }
    }

    async fn wait(&self, later: impl Future<Output = Reply>) -> Reply {
        let limit = Duration::from_secs(self.limits.seconds);
        tokio::time::timeout(limit, later).await.unwrap_or_else(|_| Err(too_long()))
    }

    /// Computes an answer away from the threads that serve connections.
    async fn compute(&self, heavy: Heavy<D>, params: Option<&RawValue>) -> Reply {
        let params = params.map(ToOwned::to_owned);
        let computing = self.computing.clone();
        self.wait(async move {
            let permit =
                computing.acquire_owned().await.map_err(|error| RpcError::internal(&error))?;
            let computed = tokio::task::spawn_blocking(move || {
                let Heavy { door, name, method, elsewhere } = heavy;
                let params = params.as_deref();
                let elsewhere =
                    elsewhere.and_then(|elsewhere| (elsewhere.answer)(&door, name, params));
                let reply = elsewhere.unwrap_or_else(|| {
                    Params::parse(params).and_then(|mut params| method(&door, &mut params))
                });
                drop(permit);
                reply
            });
            computed.await.unwrap_or_else(|error| Err(RpcError::internal(&error)))
        })
        .await
    }
}

fn parse_all<'a>(requests: &[&'a RawValue]) -> Vec<Result<Request<'a>, RpcError>> {
    let parse = |raw: &&'a RawValue| {
        let refused = |error| refusal(raw.get().as_bytes(), &error);
        serde_json::from_str(raw.get()).map_err(refused)
    };
    requests.iter().map(parse).collect()
}

/// Whether a request is one of the same method.
fn follows(requests: &[Request<'_>], next: &Result<Request<'_>, RpcError>) -> bool {
    let method = requests.first().and_then(|first| first.method.as_deref());
    next.as_ref().is_ok_and(|next| next.method.as_deref() == method)
}

fn write(response: &Response<'_>) -> String {
    serde_json::to_string(response).unwrap_or_default()
}

/// Why a body is no request: not JSON at all, or JSON of another shape.
fn refusal(body: &[u8], error: &serde_json::Error) -> RpcError {
    match serde_json::from_slice::<&RawValue>(body) {
        Ok(_) => RpcError::new(RpcError::INVALID_REQUEST, format!("invalid request: {error}")),
        Err(error) => parse_error(&error),
    }
}

fn parse_error(error: &serde_json::Error) -> RpcError {
    RpcError::new(RpcError::PARSE, format!("parse error: {error}"))
}

fn too_long() -> RpcError {
    RpcError::limit("request timed out")
}

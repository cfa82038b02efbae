//! A small blocking JSON-RPC client: timeouts, bounded retries, batches.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};
use ureq::{
    Agent,
    http::Uri,
    tls::{RootCerts, TlsConfig},
};

use crate::{
    error::{BlockFault, RemoteError},
    json,
};

/// How the client behaves towards the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcOptions {
    /// The longest time for one request, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// The longest time for a request that makes the node trace a whole block.
    pub trace_timeout: Duration,
    /// How often a request is repeated after a failure that may pass: a broken connection, a
    /// timeout, HTTP status 429 and 502 to 504, a rate limit.
    pub retries: u32,
    /// The pause before the first repetition; it doubles with each, up to 10 seconds.
    pub backoff: Duration,
    /// How many calls are sent in one request; at least 1.
    pub batch: usize,
    /// Most bytes of one answer.
    pub answer_limit: u64,
}

impl Default for RpcOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            trace_timeout: Duration::from_secs(300),
            retries: 4,
            backoff: Duration::from_millis(250),
            batch: 100,
            answer_limit: 1 << 30,
        }
    }
}

/// A connection to one node. It can be shared by threads.
#[derive(Debug)]
pub struct RpcClient {
    agent: Agent,
    url: String,
    host: String,
    options: RpcOptions,
    next_id: AtomicU64,
    /// Set when the node refused a batch: calls are then sent one by one.
    no_batches: AtomicBool,
}

/// One call of a batch.
pub struct Call {
    /// The method.
    pub method: &'static str,
    /// Its parameters, a JSON array.
    pub params: Value,
}

#[derive(Serialize)]
struct Request<'a> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: &'a Value,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    result: Option<Box<RawValue>>,
    #[serde(default)]
    error: Option<ErrorObject>,
}

#[derive(Deserialize)]
struct ErrorObject {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Option<Value>,
}

/// The codes by which nodes say that a limit was exceeded.
const LIMIT_CODES: [i64; 3] = [-32005, -32097, 429];

const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The JSON `null`.
fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

impl RpcClient {
    /// A client for a node at `http://` or `https://`. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// The URL is not such a one.
    pub fn new(url: &str, options: RpcOptions) -> Result<Self, RemoteError> {
        let bad = |reason: &str| RemoteError::Url { reason: reason.into() };
        let uri: Uri = url
            .parse()
            .map_err(|error| RemoteError::Url { reason: format!("not a URL: {error}") })?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(bad("only http:// and https:// are supported"));
        }
        // Without user and password, which the authority may hold.
        let host = uri.host().ok_or_else(|| bad("has no host"))?;
        let host = match uri.port_u16() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        // The roots of the system, so that the certificates of an organisation's own nodes count.
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(options.timeout))
            .http_status_as_error(false)
            .user_agent("polity")
            .build()
            .into();
        Ok(Self {
            agent,
            url: url.into(),
            host,
            options,
            next_id: AtomicU64::new(1),
            no_batches: AtomicBool::new(false),
        })
    }

    /// The node, without the path and query of its URL, which may hold a key.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Calls one method; `params` is a JSON array.
    ///
    /// # Errors
    ///
    /// The node is not reached, answers with an error, or with something else than a `T`.
    pub fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &Value,
    ) -> Result<T, RemoteError> {
        self.decode(method, &self.call_raw(method, params)?)
    }

    /// Calls one method and gives the result as it stands in the answer.
    ///
    /// # Errors
    ///
    /// The node is not reached, or answers with an error.
    pub fn call_raw(
        &self,
        method: &'static str,
        params: &Value,
    ) -> Result<Box<RawValue>, RemoteError> {
        self.call_within(method, params, self.options.timeout)
    }

    /// Calls a method that makes the node trace.
    ///
    /// # Errors
    ///
    /// As [`RpcClient::call_raw`].
    pub fn trace(
        &self,
        method: &'static str,
        params: &Value,
    ) -> Result<Box<RawValue>, RemoteError> {
        self.call_within(method, params, self.options.trace_timeout)
    }

    fn call_within(
        &self,
        method: &'static str,
        params: &Value,
        timeout: Duration,
    ) -> Result<Box<RawValue>, RemoteError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let request = Request { jsonrpc: "2.0", id, method, params };
        let body = self.encode(method, &request)?;
        self.repeat(|attempt| {
            let text = self.post(method, &body, timeout, attempt)?;
            let answer: Answer = self.parse(method, &text)?;
            if answer.id != id && answer.error.is_none() {
                return Err(self
                    .fault(method, BlockFault::invalid("id", "the answer is to another request")));
            }
            self.result(method, answer)
        })
    }

    /// Calls several methods, as many in one request as the options say. Gives the results in
    /// the order of the calls; the first error ends it.
    ///
    /// # Errors
    ///
    /// As [`RpcClient::call_raw`].
    pub fn batch(
        &self,
        calls: &[Call],
        mut done: impl FnMut(usize),
    ) -> Result<Vec<Box<RawValue>>, RemoteError> {
        let mut results = Vec::with_capacity(calls.len());
        for chunk in calls.chunks(self.options.batch.max(1)) {
            results.extend(self.chunk(chunk)?);
            done(results.len());
        }
        Ok(results)
    }

    fn chunk(&self, calls: &[Call]) -> Result<Vec<Box<RawValue>>, RemoteError> {
        let one_by_one =
            || calls.iter().map(|call| self.call_raw(call.method, &call.params)).collect();
        let [first, _, ..] = calls else { return one_by_one() };
        if self.no_batches.load(Ordering::Relaxed) {
            return one_by_one();
        }
        let method = first.method;
        let start = self.next_id.fetch_add(calls.len() as u64, Ordering::Relaxed);
        let requests: Vec<_> = (start..)
            .zip(calls)
            .map(|(id, call)| Request {
                jsonrpc: "2.0",
                id,
                method: call.method,
                params: &call.params,
            })
            .collect();
        let body = self.encode(method, &requests)?;
        let answers = self.repeat(|attempt| {
            let text = self.post(method, &body, self.options.timeout, attempt)?;
            // A node that takes no batches answers with one error object.
            if text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') {
                let answer: Answer = self.parse(method, &text)?;
                self.result(method, answer)?;
                return Err(self.fault(
                    method,
                    BlockFault::invalid(".", "a single answer to a batch of calls"),
                ));
            }
            let answers: Vec<Answer> = self.parse(method, &text)?;
            // A limit that hits one call of the batch is a reason to repeat the batch.
            let limited = answers.iter().find_map(|answer| {
                answer.error.as_ref().filter(|error| LIMIT_CODES.contains(&error.code))
            });
            match limited {
                Some(error) => Err(self.rpc_error(method, error)),
                None => Ok(answers),
            }
        });
        let answers = match answers {
            Ok(answers) => answers,
            Err(error @ (RemoteError::Rpc { .. } | RemoteError::Status { .. }))
                if !may_pass(&error) =>
            {
                self.no_batches.store(true, Ordering::Relaxed);
                return one_by_one();
            }
            Err(error) => return Err(error),
        };
        let mut by_id: BTreeMap<u64, Answer> = answers
            .into_iter()
            .filter_map(|answer| answer.id.as_u64().map(|id| (id, answer)))
            .collect();
        (start..)
            .zip(calls)
            .map(|(id, call)| match by_id.remove(&id) {
                Some(answer) => self.result(call.method, answer),
                None => Err(self.fault(
                    call.method,
                    BlockFault::invalid("id", "the batch was answered without this call"),
                )),
            })
            .collect()
    }

    /// Parses a result.
    ///
    /// # Errors
    ///
    /// It is something else than a `T`.
    pub fn decode<T: DeserializeOwned>(
        &self,
        method: &'static str,
        result: &RawValue,
    ) -> Result<T, RemoteError> {
        self.parse(method, result.get().as_bytes())
    }

    /// The error of an answer that is not what the method promises.
    pub fn fault(&self, method: &'static str, fault: BlockFault) -> RemoteError {
        RemoteError::Answer { host: self.host.clone(), method, fault: Box::new(fault) }
    }

    fn parse<T: DeserializeOwned>(
        &self,
        method: &'static str,
        text: &[u8],
    ) -> Result<T, RemoteError> {
        json::parse(text).map_err(|fault| self.fault(method, fault))
    }

    fn encode(
        &self,
        method: &'static str,
        request: &impl Serialize,
    ) -> Result<Vec<u8>, RemoteError> {
        serde_json::to_vec(request).map_err(|source| {
            self.fault(method, BlockFault::Json { field: "params".into(), source })
        })
    }

    fn rpc_error(&self, method: &'static str, error: &ErrorObject) -> RemoteError {
        let message = error.message.chars().take(500).collect();
        let (host, code, data) = (self.host.clone(), error.code, error.data.clone());
        RemoteError::Rpc { host, method, code, message, data }
    }

    fn result(&self, method: &'static str, answer: Answer) -> Result<Box<RawValue>, RemoteError> {
        match answer.error {
            Some(error) => Err(self.rpc_error(method, &error)),
            // A result that is null is read as an absent one.
            None => Ok(answer.result.unwrap_or_else(null)),
        }
    }

    /// Sends one request and reads the whole answer.
    fn post(
        &self,
        method: &'static str,
        body: &[u8],
        timeout: Duration,
        attempt: u32,
    ) -> Result<Vec<u8>, RemoteError> {
        let failed = |source: ureq::Error| RemoteError::Transport {
            host: self.host.clone(),
            method,
            attempts: attempt,
            source: Box::new(source),
        };
        let mut response = self
            .agent
            .post(&self.url)
            .config()
            .timeout_global(Some(timeout))
            .build()
            .content_type("application/json")
            .send(body)
            .map_err(failed)?;
        let text = response
            .body_mut()
            .with_config()
            .limit(self.options.answer_limit)
            .read_to_vec()
            .map_err(failed)?;
        let status = response.status();
        // Some nodes put JSON-RPC errors into answers with an error status.
        let is_answer =
            || matches!(json::parse::<Answer>(&text), Ok(answer) if answer.error.is_some());
        if !status.is_success() && (status.as_u16() == 429 || !is_answer()) {
            let body: String = String::from_utf8_lossy(&text).chars().take(200).collect();
            return Err(RemoteError::Status {
                host: self.host.clone(),
                method,
                status: status.as_u16(),
                body,
            });
        }
        Ok(text)
    }

    /// Repeats what fails for a reason that may pass.
    fn repeat<T>(
        &self,
        mut work: impl FnMut(u32) -> Result<T, RemoteError>,
    ) -> Result<T, RemoteError> {
        let mut pause = self.options.backoff;
        let mut attempt = 1;
        loop {
            match work(attempt) {
                Err(error) if attempt <= self.options.retries && may_pass(&error) => {
                    thread::sleep(pause.min(LONGEST_PAUSE));
                    pause = pause.saturating_mul(2);
                    attempt = attempt.saturating_add(1);
                }
                result => return result,
            }
        }
    }
}

fn may_pass(error: &RemoteError) -> bool {
    match error {
        RemoteError::Transport { source, .. } => matches!(
            **source,
            ureq::Error::Io(_)
                | ureq::Error::Timeout(_)
                | ureq::Error::ConnectionFailed
                | ureq::Error::Protocol(_)
        ),
        RemoteError::Status { status, .. } => matches!(status, 408 | 429 | 502 | 503 | 504),
        RemoteError::Rpc { code, .. } => LIMIT_CODES.contains(code),
        _ => false,
    }
}

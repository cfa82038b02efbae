//! A connection that speaks just enough HTTP for JSON-RPC, so that a bench measures the node rather
//! than its client.

use super::NodeError;
use serde_json::{Value, json};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A request as it goes over the wire.
#[derive(Clone, Debug)]
pub struct Request {
    bytes: Vec<u8>,
    calls: usize,
}

impl Request {
    /// A request with this JSON as its body.
    pub fn new(body: &str) -> Self {
        let length = body.len();
        let bytes = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        Self { bytes: bytes.into_bytes(), calls: 1 }
    }

    /// How many calls it holds.
    pub fn calls(&self) -> usize {
        self.calls
    }

    /// A call of a method.
    pub fn call(method: &str, params: &Value) -> Self {
        Self::new(
            &json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string(),
        )
    }

    /// Transactions to be sent: one as it is, more in a batch.
    pub fn send<T: AsRef<[u8]>>(transactions: &[T]) -> Self {
        let calls: Vec<String> = (1..)
            .zip(transactions)
            .map(|(id, raw): (u32, _)| {
                let raw = alloy_primitives::hex::encode_prefixed(raw);
                format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"method":"eth_sendRawTransaction","params":["{raw}"]}}"#
                )
            })
            .collect();
        match calls.as_slice() {
            [one] => Self::new(one),
            all => Self { calls: all.len(), ..Self::new(&format!("[{}]", all.join(","))) },
        }
    }
}

/// A connection that stays open.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Opens a connection.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn open(address: SocketAddr) -> Result<Self, NodeError> {
        let open = || {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(120)))?;
            Ok(Self { stream: BufReader::new(stream) })
        };
        open().map_err(NodeError::io(format!("no connection to {address}")))
    }

    /// Sends a request and gives the body of the answer.
    ///
    /// # Errors
    /// The connection is lost, or the answer is no HTTP.
    pub fn post(&mut self, request: &Request) -> Result<Vec<u8>, NodeError> {
        self.exchange(request).map_err(NodeError::io("no answer"))
    }

    /// Calls a method and gives its result.
    ///
    /// # Errors
    /// The connection is lost, or the answer is an error.
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value, NodeError> {
        let body = self.post(&Request::call(method, &params))?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        answer.get("result").cloned().ok_or_else(|| NodeError::Answer {
            method: method.into(),
            answer: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    fn exchange(&mut self, request: &Request) -> io::Result<Vec<u8>> {
        self.stream.get_mut().write_all(&request.bytes)?;
        let mut length = None;
        let mut chunked = false;
        let _status = self.line()?;
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            match name {
                "content-length" => length = value.trim().parse().ok(),
                "transfer-encoding" => chunked = value.trim() == "chunked",
                _ => {}
            }
        }
        if !chunked {
            let missing = || io::Error::new(io::ErrorKind::InvalidData, "no content-length");
            return self.bytes(length.ok_or_else(missing)?);
        }
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = usize::from_str_radix(line.trim(), 16)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            body.extend(self.bytes(size)?);
            self.line()?;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    /// A line without its end.
    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end_matches(['\r', '\n']).len());
        Ok(line)
    }

    fn bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

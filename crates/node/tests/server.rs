//! The server: HTTP as clients, browsers and operators use it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests stop at a failure")]

mod world;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use polity_node::{
    Node,
    config::{Config, Limits},
    eth::Ethereum,
    metrics,
    rpc::{Server, Service},
};

/// Serves a chain, and gives its address to `client`, which may block.
fn serve(limits: Limits, client: impl FnOnce(SocketAddr) + Send + 'static) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let config = Config { limits, ..world::manual() };
        let node = Arc::new(Node::start(&config).unwrap());
        metrics::install();
        let door = Ethereum::door(node.clone());
        tokio::spawn(metrics::watch(door.clone()));
        let service = Service::new(door, Ethereum::methods(node.powers), limits);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::start(any, service, metrics::render).await.unwrap();
        let address = server.address();
        tokio::task::spawn_blocking(move || client(address)).await.unwrap();
        server.stop().await;
        assert!(TcpStream::connect(address).is_err(), "it listens no more");
    });
}

fn ask(address: SocketAddr, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let length = body.len();
    let head = format!(
        "{head}\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    // A server that refuses a body need not read it.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).to_lowercase()
}

const CHAIN_ID: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#;

#[test]
fn requests_are_answered_and_bodies_are_limited() {
    let limits = Limits { body: 1000, ..Limits::default() };
    serve(limits, |address| {
        let answer = ask(address, "POST / HTTP/1.1", CHAIN_ID);
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        assert!(answer.ends_with(r#"{"jsonrpc":"2.0","id":1,"result":"0x7a69"}"#), "{answer}");
        let answer = ask(address, "POST / HTTP/1.1", &[b' '; 1001]);
        assert!(answer.starts_with("http/1.1 413"), "{answer}");
        assert!(ask(address, "GET / HTTP/1.1", b"").starts_with("http/1.1 405"));
        assert!(ask(address, "GET /nothing HTTP/1.1", b"").starts_with("http/1.1 404"));
    });
}

#[test]
fn health_and_metrics_are_there_and_pages_may_ask() {
    serve(Limits::default(), |address| {
        assert!(ask(address, "GET /health HTTP/1.1", b"").ends_with("\r\n\r\nok"));
        ask(address, "POST / HTTP/1.1", CHAIN_ID);
        let metrics = ask(address, "GET /metrics HTTP/1.1", b"");
        assert!(metrics.contains(r#"polity_rpc_requests_total{method="eth_chainid"}"#));
        assert!(metrics.contains("polity_block_number"));
        let preflight = "OPTIONS / HTTP/1.1\r\norigin: http://page\r\n\
                         access-control-request-method: POST\r\n\
                         access-control-request-headers: content-type";
        let answer = ask(address, preflight, b"");
        assert!(answer.contains("access-control-allow-origin: *"), "{answer}");
    });
}

#[test]
fn who_sends_half_a_request_keeps_nobody_waiting() {
    serve(Limits::default(), |address| {
        let slow: Vec<TcpStream> = (0..50)
            .map(|_| {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(b"POST / HTTP/1.1\r\ncontent-length: 100\r\n\r\n{").unwrap();
                stream
            })
            .collect();
        assert!(ask(address, "POST / HTTP/1.1", CHAIN_ID).starts_with("http/1.1 200"));
        drop(slow);
    });
}

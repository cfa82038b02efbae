//! Solana's front door on sockets: what a connection is told by itself.
#![cfg(feature = "svm")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests stop at a failure"
)]

mod cluster;

use std::{net::SocketAddr, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use cluster::{Cluster, block_on, manual};
use futures_util::{SinkExt, StreamExt};
use polity_node::{
    config::Config,
    metrics,
    rpc::{Server, Service},
    solana::Solana,
};
use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

const SOL: u64 = 1_000_000_000;
const SYSTEM: &str = "11111111111111111111111111111111";

/// A connection to a node.
struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    notifications: Vec<Value>,
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let (socket, _) = connect_async(format!("ws://{address}/")).await.unwrap();
        Self { socket, notifications: Vec::new() }
    }

    async fn receive(&mut self) -> Option<Value> {
        loop {
            let message = self.socket.next();
            let message = tokio::time::timeout(Duration::from_secs(10), message).await.ok()??;
            if let Message::Text(text) = message.unwrap() {
                return Some(serde_json::from_str(&text).unwrap());
            }
        }
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        self.socket.send(Message::text(body.to_string())).await.unwrap();
        loop {
            let answer = self.receive().await.expect("an answer");
            if answer["id"] == 7 {
                return answer;
            }
            self.notifications.push(answer);
        }
    }

    async fn subscribe(&mut self, method: &str, params: Value) -> u64 {
        let answer = self.call(method, params).await;
        let id = answer["result"].as_u64();
        let id = id.unwrap_or_else(|| panic!("{method}: {answer}"));
        assert!(id < 1 << 53, "JavaScript cannot hold {id}");
        id
    }

    /// The next notification of a subscription.
    async fn told(&mut self, method: &str, id: u64) -> Value {
        let is_it = |told: &Value| told["params"]["subscription"] == id;
        loop {
            if let Some(place) = self.notifications.iter().position(is_it) {
                let told = self.notifications.remove(place);
                assert_eq!(told["method"], method);
                return told["params"]["result"].clone();
            }
            let told = self.receive().await.unwrap_or_else(|| panic!("no {method}"));
            self.notifications.push(told);
        }
    }
}

async fn serve(cluster: &Cluster) -> Server {
    let methods = Solana::methods(cluster.node.powers);
    let service = Service::new(cluster.door.clone(), methods, cluster.node.config.limits);
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Server::start(any, service, metrics::render).await.unwrap()
}

#[test]
fn what_happens_is_told() {
    let cluster = Cluster::with(&manual());
    let payer = cluster.key(0);
    let to = Pubkey::new_unique();
    let transfer = cluster.transfer(&payer, &to, SOL);
    let signature = transfer.signatures[0].to_string();
    let text = BASE64_STANDARD.encode(wincode::serialize(&transfer).unwrap());
    let address = to.to_string();
    block_on(async {
        let server = serve(&cluster).await;
        let mut client = Client::connect(server.address()).await;
        let base64 = json!({ "encoding": "base64" });
        let received = json!({ "enableReceivedNotification": true });
        let by_signature =
            client.subscribe("signatureSubscribe", json!([signature, received])).await;
        let by_account = client.subscribe("accountSubscribe", json!([address, base64])).await;
        let filters = json!({ "encoding": "base64", "filters": [{ "dataSize": 0 }] });
        let by_program = client.subscribe("programSubscribe", json!([SYSTEM, filters])).await;
        let mentions = json!([{ "mentions": [address] }]);
        let by_mention = client.subscribe("logsSubscribe", mentions).await;
        let others = json!([{ "mentions": [Pubkey::new_unique().to_string()] }]);
        client.subscribe("logsSubscribe", others).await;
        let all_logs = client.subscribe("logsSubscribe", json!(["all"])).await;
        let slots = client.subscribe("slotSubscribe", json!([])).await;
        let roots = client.subscribe("rootSubscribe", json!([])).await;
        let updates = client.subscribe("slotsUpdatesSubscribe", json!([])).await;
        let of_account = json!([{ "mentionsAccountOrProgram": address }, {
            "encoding": "json", "transactionDetails": "signatures",
        }]);
        let blocks = client.subscribe("blockSubscribe", of_account).await;
        let whole = client.subscribe("blockSubscribe", json!(["all"])).await;

        let sent = client.call("sendTransaction", json!([text, base64])).await;
        assert_eq!(sent["result"], signature);
        cluster.mine();
        assert_eq!(
            client.told("signatureNotification", by_signature).await["value"],
            "receivedSignature"
        );
        let done = client.told("signatureNotification", by_signature).await;
        assert_eq!(done["value"], json!({ "err": null }));
        assert_eq!(done["context"], json!({ "slot": 1, "apiVersion": "4.2.2" }));
        let account = client.told("accountNotification", by_account).await;
        assert_eq!(account["value"]["lamports"], SOL);
        let mut written = Vec::new();
        for _ in 0..2 {
            let told = client.told("programNotification", by_program).await;
            written.push(told["value"]["pubkey"].clone());
        }
        assert!(written.contains(&json!(address)));
        assert!(written.contains(&json!(payer.pubkey().to_string())));
        for id in [by_mention, all_logs] {
            let logs = client.told("logsNotification", id).await;
            assert_eq!(logs["value"]["signature"], signature);
            assert_eq!(logs["value"]["logs"].as_array().unwrap().len(), 2);
        }
        let slot = client.told("slotNotification", slots).await;
        assert_eq!(slot, json!({ "slot": 1, "parent": 0, "root": 1 }));
        assert_eq!(client.told("rootNotification", roots).await, 1);
        let update = client.told("slotsUpdatesNotification", updates).await;
        assert_eq!(update["type"], "createdBank");
        let block = client.told("blockNotification", blocks).await;
        assert_eq!(block["value"]["block"]["signatures"], json!([signature]));
        client.told("blockNotification", whole).await;

        // Who comes late is told at once.
        let late = client.subscribe("signatureSubscribe", json!([signature])).await;
        assert_eq!(client.told("signatureNotification", late).await["value"]["err"], Value::Null);

        let ended = client.call("accountUnsubscribe", json!([by_account])).await;
        assert_eq!(ended["result"], true);
        let again = client.call("accountUnsubscribe", json!([by_account])).await;
        assert_eq!(again["error"]["code"], -32602);
        // An empty block is nothing to who asks for mentions, and one to who asks for all.
        cluster.mine();
        let block = client.told("blockNotification", whole).await;
        assert_eq!(block["value"]["slot"], 2);
        assert_eq!(client.told("slotNotification", slots).await["slot"], 2);
        let is_of_blocks = |told: &Value| told["params"]["subscription"] == blocks;
        assert!(!client.notifications.iter().any(is_of_blocks));
        for (method, params) in [
            ("voteSubscribe", json!([])),
            ("logsSubscribe", json!([{ "mentions": [] }])),
            ("accountSubscribe", json!(["x"])),
            ("blockSubscribe", json!([])),
        ] {
            let refused = client.call(method, params).await;
            assert!(refused["error"]["code"].is_i64(), "{method}: {refused}");
        }
        server.stop().await;
    });
}

#[test]
fn slots_go_by_for_who_listens() {
    let cluster = Cluster::open();
    block_on(async {
        let server = serve(&cluster).await;
        let mut client = Client::connect(server.address()).await;
        let slots = client.subscribe("slotSubscribe", json!([])).await;
        assert_eq!(client.told("slotNotification", slots).await["slot"], 1);
        assert_eq!(client.told("slotNotification", slots).await["slot"], 2);
        client.call("slotUnsubscribe", json!([slots])).await;
        let height = cluster.node.chain.head().number();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(cluster.node.chain.head().number(), height, "nobody listens any more");
        server.stop().await;
    });
}

#[test]
fn http_is_served_as_solana_does() {
    let cluster = Cluster::with(&Config::default());
    block_on(async {
        let server = serve(&cluster).await;
        let ask = async |request: String| {
            let mut stream = TcpStream::connect(server.address()).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let health = ask("GET /health HTTP/1.0\r\n\r\n".into()).await;
        assert!(health.ends_with("\r\n\r\nok"), "{health}");
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"getSlot"}"#;
        let len = body.len();
        let post = format!(
            "POST / HTTP/1.0\r\norigin: http://page\r\ncontent-length: {len}\r\n\r\n{body}"
        );
        let answer = ask(post).await;
        assert!(answer.ends_with(r#"{"jsonrpc":"2.0","id":1,"result":0}"#), "{answer}");
        assert!(answer.contains("access-control-allow-origin: *"), "{answer}");
        server.stop().await;
    });
}

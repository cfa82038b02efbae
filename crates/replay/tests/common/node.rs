//! A node on loopback that answers what a test tells it to.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use polity_replay::{BlockFolder, FolderBlock, RpcOptions};
use serde_json::{Value, json};

type Respond = dyn Fn(&[u8]) -> Option<(u16, Vec<u8>)> + Send + Sync;

/// A server that runs until the test process ends.
pub(crate) struct Node {
    pub(crate) url: String,
    requests: Arc<AtomicUsize>,
}

impl Node {
    /// `respond` gives status and body for the body of a request; `None` leaves it unanswered.
    pub(crate) fn start(
        respond: impl Fn(&[u8]) -> Option<(u16, Vec<u8>)> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v3/secret-key", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let respond: Arc<Respond> = Arc::new(respond);
        let count = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (respond, count) = (Arc::clone(&respond), Arc::clone(&count));
                thread::spawn(move || serve(stream.unwrap(), &respond, &count));
            }
        });
        Self { url, requests }
    }

    /// A node that answers JSON-RPC calls one by one or in batches.
    pub(crate) fn rpc(
        answer: impl Fn(&str, &Value) -> Result<Value, (i64, String)> + Send + Sync + 'static,
    ) -> Self {
        Self::start(move |body| {
            let request: Value = serde_json::from_slice(body).unwrap();
            let one = |call: &Value| match answer(call["method"].as_str().unwrap(), &call["params"])
            {
                Ok(result) => json!({"jsonrpc": "2.0", "id": call["id"], "result": result}),
                Err((code, message)) => json!({
                    "jsonrpc": "2.0", "id": call["id"],
                    "error": {"code": code, "message": message},
                }),
            };
            let response = match &request {
                // The order of answers in a batch is free.
                Value::Array(calls) => calls.iter().rev().map(one).collect(),
                call => one(call),
            };
            Some((200, response.to_string().into_bytes()))
        })
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn serve(stream: TcpStream, respond: &Arc<Respond>, count: &AtomicUsize) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        count.fetch_add(1, Ordering::SeqCst);
        let Some((status, body)) = respond(&body) else {
            thread::sleep(Duration::from_secs(30));
            return;
        };
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
        if writer.write_all(&[head.as_bytes(), &body].concat()).is_err() {
            return;
        }
    }
}

/// Options that fail fast.
pub(crate) fn quick() -> RpcOptions {
    RpcOptions {
        timeout: Duration::from_secs(5),
        trace_timeout: Duration::from_secs(5),
        retries: 2,
        backoff: Duration::from_millis(1),
        batch: 7,
        ..RpcOptions::default()
    }
}

/// What a node that has one block answers. `methods` are calls that were answered.
pub(crate) fn answers_of(
    folder: &BlockFolder,
    block_json: Value,
    traced: Result<Value, (i64, String)>,
    methods: Arc<Mutex<Vec<String>>>,
) -> impl Fn(&str, &Value) -> Result<Value, (i64, String)> + Send + Sync + 'static {
    let folder = folder.clone();
    move |method, params| {
        methods.lock().unwrap().push(method.to_owned());
        let FolderBlock::Full(block) = &folder.block else { panic!("flat") };
        let account = || {
            let address: alloy_primitives::Address = params[0].as_str().unwrap().parse().unwrap();
            folder.pre_state.get(&address).cloned().unwrap_or_default()
        };
        let parent = format!("{:#x}", folder.number() - 1);
        if method.starts_with("eth_get") && !method.contains("Block") {
            assert_eq!(params.as_array().unwrap().last().unwrap(), &parent, "{method}");
        }
        Ok(match method {
            "eth_chainId" => json!(format!("{:#x}", folder.chain_id())),
            "eth_getBlockByNumber" => {
                let number = params[0].as_str().unwrap();
                if number == "latest" || number == format!("{:#x}", folder.number()) {
                    return Ok(block_json.clone());
                }
                let number = u64::from_str_radix(number.strip_prefix("0x").unwrap(), 16).unwrap();
                let hash = |number: u64| {
                    if number == folder.number() - 1 {
                        block.header.parent_hash
                    } else {
                        alloy_primitives::U256::from(number).into()
                    }
                };
                json!({
                    "number": format!("{number:#x}"),
                    "hash": hash(number),
                    "parentHash": hash(number - 1),
                })
            }
            "eth_getBlockByHash" => block_json.clone(),
            "eth_getUncleByBlockHashAndIndex" => {
                serde_json::to_value(&block.ommers.as_ref().unwrap()[0]).unwrap()
            }
            "eth_getBalance" => json!(format!("{:#x}", account().balance)),
            "eth_getTransactionCount" => json!(format!("{:#x}", account().nonce)),
            "eth_getCode" => match account().code_hash {
                Some(hash) => json!(folder.codes[&hash]),
                None => json!("0x"),
            },
            "eth_getStorageAt" => {
                let slot: alloy_primitives::B256 = params[1].as_str().unwrap().parse().unwrap();
                let slot = alloy_primitives::U256::from_be_bytes(slot.0);
                let value = account().storage.get(&slot).copied().unwrap_or_default();
                json!(alloy_primitives::B256::from(value))
            }
            "debug_traceBlockByNumber" => return traced.clone(),
            other => return Err((-32601, format!("the method {other} does not exist"))),
        })
    }
}

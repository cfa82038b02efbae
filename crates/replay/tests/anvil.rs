//! Fetching from a real node: anvil, whose path `POLITY_ANVIL` names.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails, in its helpers as well"
)]

use std::{
    env,
    net::TcpListener,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use alloy_consensus::Transaction as _;
use alloy_eips::eip2935::HISTORY_STORAGE_ADDRESS;
use alloy_primitives::{Address, B256, Bytes, U256, address, bytes, keccak256};
use polity_replay::{
    BlockChoice, BlockFolder, FetchOptions, Fetched, FolderBlock, PreStateFrom, RpcClient,
    RpcOptions, Source, WriteMode, discover, fetch, open, write,
};
use serde_json::{Value, json};

/// `slot 0 += 1; slot 1 = blockhash(number - 1)`
const RUNTIME: Bytes = bytes!("5f546001015f55600143034060015500");
/// Returns the 16 bytes after it.
const INIT: Bytes = bytes!("6010600a5f3960105ff3");

const FRESH: Address = address!("00000000000000000000000000000000f5e54000");

struct Anvil {
    process: Child,
    url: String,
    client: RpcClient,
}

impl Anvil {
    fn start(binary: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new(binary)
            .args(["--silent", "--host", "127.0.0.1", "--port", &port.to_string()])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let client = RpcClient::new(&url, RpcOptions::default()).unwrap();
        let anvil = Self { process, url, client };
        for _ in 0..100 {
            if anvil.client.call::<Value>("eth_chainId", &json!([])).is_ok() {
                return anvil;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("anvil does not answer");
    }

    fn call(&self, method: &'static str, params: Value) -> Value {
        self.client.call(method, &params).unwrap()
    }

    fn fetch(&self, number: u64, from: PreStateFrom) -> Fetched {
        let options = FetchOptions { pre_state: from, ..FetchOptions::default() };
        fetch(&self.url, BlockChoice::Number(number), &options, &mut |_| {}).unwrap()
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn complete(fetched: Fetched) -> BlockFolder {
    match fetched {
        Fetched::Complete(folder) => *folder,
        Fetched::NeedsExecution(_) => panic!("anvil traces blocks"),
    }
}

#[test]
fn blocks_of_anvil_are_fetched_both_ways_and_read_back() {
    let Some(binary) = env::var("POLITY_ANVIL").ok().filter(|path| !path.is_empty()) else {
        println!("skipped: POLITY_ANVIL unset");
        return;
    };
    let anvil = Anvil::start(&binary);
    let accounts: Vec<Address> =
        serde_json::from_value(anvil.call("eth_accounts", json!([]))).unwrap();
    let sender = accounts[0];
    for _ in 0..3 {
        anvil.call("evm_mine", json!([]));
    }
    anvil.call("evm_setAutomine", json!([false]));

    // Block 4: a transfer, a deployment, and a call of what was deployed by another account.
    let contract = sender.create(1);
    let init = Bytes::from([INIT.as_ref(), RUNTIME.as_ref()].concat());
    let gas = "0x30d40";
    let send = |from: Address, to: Option<Address>, value: u64, data: &Bytes, nonce: u64| {
        let mut transaction = json!({
            "from": from, "value": U256::from(value), "gas": gas,
            "nonce": format!("{nonce:#x}"), "maxFeePerGas": "0x174876e800",
            // The order in the block is that of the tips.
            "maxPriorityFeePerGas": format!("{:#x}", 1_000_000_000 - nonce * 1000),
        });
        if let Some(to) = to {
            transaction["to"] = json!(to);
        }
        if !data.is_empty() {
            transaction["input"] = json!(data);
        }
        anvil.call("eth_sendTransaction", json!([transaction]));
    };
    send(sender, Some(FRESH), 7, &Bytes::new(), 0);
    send(sender, None, 0, &init, 1);
    send(sender, Some(contract), 0, &bytes!("00"), 2);
    anvil.call("evm_mine", json!([]));
    // Block 5: the contract exists, and FRESH has something.
    send(sender, Some(contract), 0, &bytes!("00"), 3);
    send(sender, Some(FRESH), 1, &Bytes::new(), 4);
    anvil.call("evm_mine", json!([]));

    let deploying = complete(anvil.fetch(4, PreStateFrom::Tracer));
    let FolderBlock::Full(block) = &deploying.block else { panic!("flat") };
    assert_eq!(block.transactions.len(), 3);
    assert!(block.transactions[1].envelope.to().is_none());
    assert_eq!(deploying.chain_id(), 31337);
    assert!(!deploying.pre_state.contains_key(&contract), "it did not exist before the block");
    assert!(!deploying.pre_state.contains_key(&FRESH));
    let balance: U256 =
        serde_json::from_value(anvil.call("eth_getBalance", json!([sender, "0x3"]))).unwrap();
    assert_eq!(deploying.pre_state[&sender].balance, balance);
    assert_eq!(deploying.pre_state[&sender].nonce, 0);
    assert!(deploying.pre_state.contains_key(&HISTORY_STORAGE_ADDRESS));

    let calling = complete(anvil.fetch(5, PreStateFrom::Auto));
    let account = &calling.pre_state[&contract];
    assert_eq!(account.code_hash, Some(keccak256(&RUNTIME)));
    assert_eq!(account.storage[&U256::ZERO], U256::from(1));
    assert_eq!(B256::from(account.storage[&U256::from(1)]), deploying.block_hashes[&3]);
    assert_eq!(calling.pre_state[&FRESH].balance, U256::from(7));
    assert_eq!(calling.block_hashes.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);

    // On demand, reading what an execution would, gives the same.
    for folder in [&deploying, &calling] {
        let fetched = anvil.fetch(folder.number(), PreStateFrom::Execution);
        let Fetched::NeedsExecution(remote) = fetched else { panic!("complete") };
        for (address, account) in &folder.pre_state {
            let found = remote.state.account(*address).unwrap().unwrap();
            assert_eq!((found.balance, found.nonce), (account.balance, account.nonce));
            if let Some(hash) = account.code_hash {
                assert_eq!(remote.state.code(hash).unwrap(), folder.codes[&hash]);
            }
            for (slot, value) in &account.storage {
                assert_eq!(remote.state.storage(*address, *slot).unwrap(), *value);
            }
        }
        for (number, hash) in &folder.block_hashes {
            assert_eq!(remote.state.block_hash(*number).unwrap(), *hash);
        }
        assert_eq!(remote.into_folder(), *folder);
    }

    let root = tempfile::tempdir().unwrap();
    for folder in [&calling, &deploying] {
        let path = root.path().join("blocks").join(folder.number().to_string());
        write(folder, &path, WriteMode::New).unwrap();
    }
    let found = discover([root.path()]).unwrap();
    assert_eq!(found.iter().map(|path| path.number).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(open(&found[0]).unwrap(), deploying);
    assert_eq!(open(&found[1]).unwrap(), calling);
}

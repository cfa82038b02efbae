//! Powers over the past: to keep a moment and to go back to it.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use polity_evm::{KIND, account, address};
use polity_state::Changes;
use polity_types::{AccountRecord, LocalKey, Name, Space, Value};
use polity_verify::{Cell, Key};
use serde::{Deserialize, Serialize};

use super::{Ethereum, edit::put_code, net::CLIENT_VERSION, state::code};
use crate::{
    chain::Tip,
    miner::Settings,
    rpc::{Methods, Params, Reply, RpcError, reply},
};

/// A state that is loaded has at most so many bytes.
const MOST_BYTES: u64 = 1 << 30;

/// The moments that are kept.
#[derive(Default)]
pub(super) struct Snapshots {
    moments: Mutex<BTreeMap<u64, Moment>>,
}

/// A moment of the chain.
#[derive(Clone)]
struct Moment {
    tip: Arc<Tip>,
    settings: Settings,
}

impl Snapshots {
    fn moments(&self) -> MutexGuard<'_, BTreeMap<u64, Moment>> {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn register(methods: &mut Methods<Ethereum>) {
    methods.quick("evm_snapshot", snapshot);
    methods.alias("anvil_snapshot", "evm_snapshot");
    methods.heavy("evm_revert", revert);
    methods.alias("anvil_revert", "evm_revert");
    methods.heavy("anvil_rollback", rollback);
    methods.heavy("anvil_dumpState", dump);
    methods.alias("hardhat_dumpState", "anvil_dumpState");
    methods.heavy("anvil_loadState", load);
    methods.alias("hardhat_loadState", "anvil_loadState");
    methods.quick("anvil_nodeInfo", node_info);
    methods.quick("anvil_metadata", metadata);
    methods.alias("hardhat_metadata", "anvil_metadata");
    // The log is chosen when the node is started.
    methods.quick("anvil_setLoggingEnabled", |_, _| reply(&()));
    methods.alias("hardhat_setLoggingEnabled", "anvil_setLoggingEnabled");
    methods.quick("anvil_enableTraces", |_, _| reply(&()));
    methods.quick("anvil_getGenesisTime", |door, _| {
        let first = door.node.chain.block(door.node.chain.first())?;
        reply(&first.map(|first| first.header.timestamp))
    });
    methods.quick("anvil_setChainId", |door, params| {
        let id: U64 = params.required()?;
        if id.to::<u64>() == door.node.chain.spec().chain_id {
            return reply(&());
        }
        let text = "the chain id is part of the first block: start a chain with another --chain-id";
        Err(RpcError::server(text))
    });
}

fn snapshot(door: &Ethereum, _: &mut Params<'_>) -> Reply {
    let mut moments = door.snapshots.moments();
    let id = moments.last_key_value().map_or(0, |(last, _)| last.saturating_add(1));
    let (tip, settings) = (door.node.chain.tip(), door.node.miner.settings());
    moments.insert(id, Moment { tip, settings });
    reply(&U64::from(id))
}

/// Goes back to a moment. It is used up by that, and so are those after it.
fn revert(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let id: U64 = params.required()?;
    let moment = {
        let mut moments = door.snapshots.moments();
        let mut used = moments.split_off(&id.to::<u64>());
        let moment = used.remove(&id.to::<u64>());
        if moment.is_none() {
            moments.append(&mut used);
        }
        moment
    };
    let Some(Moment { tip, settings }) = moment else { return reply(&false) };
    door.go_back(&tip)?;
    // Time goes back as well; how blocks are made is not the chain's.
    door.node.miner.set(|now| {
        now.offset = settings.offset;
        now.next_timestamp = settings.next_timestamp;
        now.next_base_fee = settings.next_base_fee;
        now.next_randomness = settings.next_randomness;
    });
    reply(&true)
}

impl Ethereum {
    fn go_back(&self, tip: &Tip) -> Result<(), RpcError> {
        let node = &self.node;
        node.miner.pause(|| node.chain.go_back(self.powers()?, tip).map_err(RpcError::from))?;
        self.renew_pools()
    }

    /// Makes the pools fit a chain that went back.
    pub(super) fn renew_pools(&self) -> Result<(), RpcError> {
        let node = &self.node;
        node.pool.renew(&node.chain.latest()?);
        node.guests.renew(node.chain.head().number());
        Ok(())
    }

    /// Forgets what is kept.
    pub(super) fn forget_moments(&self) {
        self.snapshots.moments().clear();
    }

    /// Goes back to the end of a block.
    pub(super) fn go_back_to(&self, number: u64) -> Result<(), RpcError> {
        let block = self.node.chain.block(number)?;
        let block = block.ok_or_else(|| RpcError::server(format!("there is no block {number}")))?;
        self.go_back(&Tip { block, edits: Arc::default() })
    }
}

fn rollback(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let depth: Option<U64> = params.optional()?;
    let depth = depth.map_or(1, |depth| depth.to::<u64>());
    let head = door.node.chain.head().number();
    let Some(number) = head.checked_sub(depth) else {
        return Err(RpcError::params(format!("the chain has {head} blocks, not {depth}")));
    };
    door.go_back_to(number)?;
    reply(&())
}

/// A state as anvil writes it; what is not read back is left out.
#[derive(Serialize, Deserialize)]
struct Dump {
    #[serde(default)]
    best_block_number: Option<U64>,
    accounts: BTreeMap<Address, DumpedAccount>,
}

#[derive(Default, Serialize, Deserialize)]
struct DumpedAccount {
    nonce: u64,
    balance: U256,
    code: Bytes,
    storage: BTreeMap<B256, B256>,
}

fn dump(door: &Ethereum, _: &mut Params<'_>) -> Reply {
    let tip = door.node.chain.tip();
    let view = door.node.chain.view_of(&tip)?;
    let mut accounts: BTreeMap<Address, DumpedAccount> = BTreeMap::new();
    for (key, cell) in view.cells(&[])? {
        match (key, cell) {
            (Key::Account(id), Cell::Account(record)) if id.machine == KIND => {
                let dumped = accounts.entry(address(&id)).or_default();
                dumped.nonce = record.sequence;
                dumped.balance = record.balance;
                dumped.code = code(&view, &record)?;
            }
            (Key::Slot(id, key), Cell::Slot(Value::Word(value))) if id.machine == KIND => {
                let LocalKey { space: Space::STORAGE, name: Name::Word(slot) } = key else {
                    continue;
                };
                let dumped = accounts.entry(address(&id)).or_default();
                dumped.storage.insert(slot.into(), value.into());
            }
            _ => {}
        }
    }
    let dump = Dump { best_block_number: Some(U64::from(tip.block.number())), accounts };
    let failed = |error: std::io::Error| RpcError::new(RpcError::INTERNAL, error.to_string());
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    let text = serde_json::to_vec(&dump).map_err(|error| failed(error.into()))?;
    packed.write_all(&text).map_err(failed)?;
    reply(&Bytes::from(packed.finish().map_err(failed)?))
}

/// Puts a dumped state's accounts over the latest state.
fn load(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let packed: Bytes = params.required()?;
    let invalid = |error: &dyn std::fmt::Display| {
        RpcError::params(format!("invalid argument 0: not a dumped state: {error}"))
    };
    let mut text = Vec::new();
    if packed.starts_with(&[0x1f, 0x8b]) {
        let unpacked = GzDecoder::new(&packed[..]).take(MOST_BYTES).read_to_end(&mut text);
        unpacked.map_err(|error| invalid(&error))?;
    } else {
        text.extend_from_slice(&packed);
    }
    let dump: Dump = serde_json::from_slice(&text).map_err(|error| invalid(&error))?;
    door.edit(|changes, view| {
        dump.accounts.into_iter().try_for_each(|(of, dumped)| put(changes, view, of, dumped))
    })?;
    reply(&true)
}

fn put(
    changes: &mut Changes,
    view: &dyn polity_kernel::View,
    of: Address,
    dumped: DumpedAccount,
) -> Result<(), RpcError> {
    let id = account(of);
    let DumpedAccount { nonce, balance, code, storage } = dumped;
    let record = AccountRecord { balance, sequence: nonce, code: None };
    changes.set_account(id, Some(record));
    put_code(changes, view, id, code)?;
    changes.reset(id);
    for (slot, value) in storage {
        let key = LocalKey::storage(slot.into());
        changes.set_slot(id, key, Value::word(value.into()))?;
    }
    Ok(())
}

fn node_info(door: &Ethereum, _: &mut Params<'_>) -> Reply {
    let node = &door.node;
    let head = node.chain.head();
    let settings = node.miner.settings();
    let forking = node.config.forking.as_ref();
    let backoff = forking.map(|forking| forking.rpc.backoff.as_millis());
    reply(&serde_json::json!({
        "currentBlockNumber": U64::from(head.number()),
        "currentBlockTimestamp": head.header.timestamp,
        "currentBlockHash": head.hash,
        "hardFork": node.chain.fork(&head.header).to_string(),
        "transactionOrder": match settings.order {
            crate::pool::Order::Fees => "fees",
            crate::pool::Order::Arrival => "fifo",
        },
        "environment": {
            "baseFee": door.next_base_fee()?.map(U256::from),
            "chainId": node.chain.spec().chain_id,
            "gasLimit": U64::from(settings.gas_limit.unwrap_or(head.header.gas_limit)),
            "gasPrice": U256::from(door.suggested_fees()?.0),
        },
        "forkConfig": {
            "forkUrl": node.chain.remote().map(|remote| remote.url()),
            "forkBlockNumber": node.chain.remote().map(|remote| remote.number()),
            "forkRetryBackoff": node.chain.remote().and(backoff),
        },
    }))
}

fn metadata(door: &Ethereum, _: &mut Params<'_>) -> Reply {
    let chain = &door.node.chain;
    let head = chain.head();
    let first = chain.block(chain.first())?.map(|block| block.hash);
    reply(&serde_json::json!({
        "clientVersion": CLIENT_VERSION,
        "chainId": chain.spec().chain_id,
        // One and the same for as long as the chain is.
        "instanceId": first,
        "latestBlockNumber": head.number(),
        "latestBlockHash": head.hash,
        "forkedNetwork": chain.remote().map(|remote| serde_json::json!({
            "chainId": remote.origin().chain_id,
            "forkBlockNumber": remote.number(),
            "forkBlockHash": remote.origin().header.hash,
        })),
        "snapshots": door.snapshots.moments().iter().map(|(id, moment)| {
            (U64::from(*id).to_string(), (moment.tip.block.number(), moment.tip.block.hash))
        }).collect::<BTreeMap<_, _>>(),
    }))
}

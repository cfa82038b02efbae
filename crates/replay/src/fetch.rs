//! Fetching a block and the state it touches from an Ethereum node.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use alloy_consensus::{Header, Transaction as _, transaction::SignerRecoverable as _};
use alloy_eips::{
    eip2935::HISTORY_STORAGE_ADDRESS, eip4788::BEACON_ROOTS_ADDRESS,
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
};
use alloy_genesis::Genesis;
use alloy_primitives::{Address, B256, U256};
use polity_remote::{RemoteError, RpcClient, RpcOptions, ancestors};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::json;

use crate::{
    block::FullBlock,
    chain::{Chain, DevFork, MAINNET_CHAIN_ID, dev_genesis},
    error::{BlockFault, FetchError},
    folder::{BlockFolder, reachable_ancestors},
    json::{self, Quantity},
    library::chain_of,
    remote::{RemoteBlock, RemoteState, Source as _, StateKeys},
};

/// Which block to fetch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BlockChoice {
    /// The newest block of the node.
    #[default]
    Latest,
    /// The block with this number.
    Number(u64),
    /// The block with this hash.
    Hash(B256),
}

/// Which hashes of ancestors to fetch for BLOCKHASH. That of the parent is always there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AncestorHashes {
    /// All 256 if a code that the block touches has the opcode BLOCKHASH, else none.
    #[default]
    WhenUsed,
    /// All 256.
    All,
    /// None.
    None,
}

/// How to find out which state the block touches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PreStateFrom {
    /// By the node's tracer; where the node has none, by executing the block.
    #[default]
    Auto,
    /// By the node's tracer (`debug_traceBlockByNumber`), or not at all.
    Tracer,
    /// By executing the block over a [`RemoteState`]; for nodes without the `debug` namespace.
    Execution,
}

/// Options of [`fetch`].
#[derive(Clone, Debug, Default)]
pub struct FetchOptions {
    /// How to talk to the node.
    pub rpc: RpcOptions,
    /// Which hashes of ancestors to fetch.
    pub ancestor_hashes: AncestorHashes,
    /// How to find the pre-state.
    pub pre_state: PreStateFrom,
    /// The genesis of the node's chain, in geth's format; needed for a chain that is neither
    /// mainnet nor a development chain.
    pub genesis: Option<Genesis>,
    /// Take the chain, whatever its id, for a development chain with every fork active from block
    /// 0. The chain ids 31337 and 1337 are taken so without this.
    pub dev_chain: bool,
}

/// What [`fetch`] is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// The block is there and checked.
    Block {
        /// Its number.
        number: u64,
        /// How many transactions it has.
        transactions: usize,
    },
    /// The node traces the block.
    Tracing,
    /// The node does not trace; the block has to be executed to find its pre-state.
    NoTracer {
        /// What the node says.
        reason: String,
    },
    /// Accounts and slots are read.
    State {
        /// Calls answered.
        done: usize,
        /// Calls to make.
        total: usize,
    },
    /// Hashes of ancestors are read.
    BlockHashes {
        /// Blocks read.
        done: usize,
        /// Blocks to read.
        total: usize,
    },
}

/// What [`fetch`] gives.
#[derive(Debug)]
pub enum Fetched {
    /// The whole block folder.
    Complete(Box<BlockFolder>),
    /// The block, and the state to execute it on; [`RemoteBlock::into_folder`] then gives the
    /// folder.
    NeedsExecution(Box<RemoteBlock>),
}

/// The chain ids that development nodes use: anvil and hardhat, geth.
const DEV_CHAIN_IDS: [u64; 2] = [31337, 1337];

/// Fetches a block and the state before it from the node at `url`.
///
/// The node's tracer only names the accounts and slots; their values are all read at the parent
/// block, so what transactions, system calls and withdrawals do to each other inside the block
/// cannot reach the pre-state. Accounts that the tracer does not name are added: the beneficiary,
/// ommers, recipients of withdrawals, authorities, precompiles, and the system contracts with the
/// slots that their system calls touch.
///
/// # Errors
///
/// The node is not reached, has not the block or its state, or gives something that does not
/// match the hashes of the block; or the rules of its chain are not known.
pub fn fetch(
    url: &str,
    choice: BlockChoice,
    options: &FetchOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Fetched, FetchError> {
    let client = Arc::new(RpcClient::new(url, options.rpc.clone())?);
    let chain = chain_at(&client, options)?;
    let mut block = block_at(&client, choice, chain)?;
    let number = block.header.number;
    progress(Progress::Block { number, transactions: block.transactions.len() });
    if number == 0 {
        return Err(FetchError::Genesis);
    }
    fetch_ommers(&client, &mut block)?;

    let state = RemoteState::new(Arc::clone(&client), &block);
    let mut keys = declared_keys(&block);
    let mut report = |done, total| progress(Progress::State { done, total });
    if options.pre_state == PreStateFrom::Execution {
        state.warm(&keys, &mut report)?;
        return Ok(needs_execution(block, state));
    }
    progress(Progress::Tracing);
    match traced_keys(&client, &block) {
        Ok(traced) => merge(&mut keys, traced),
        Err(error @ FetchError::Remote(RemoteError::Rpc { .. } | RemoteError::Status { .. }))
            if options.pre_state == PreStateFrom::Auto =>
        {
            progress(Progress::NoTracer { reason: error.to_string() });
            state.warm(&keys, |done, total| progress(Progress::State { done, total }))?;
            return Ok(needs_execution(block, state));
        }
        Err(error) => return Err(error),
    }
    state.load(&keys, |done, total| progress(Progress::State { done, total }))?;
    let queued = queued_requests(&block, &state)?;
    state.load(&queued, |_, _| {})?;

    let ancestors = reachable_ancestors(number);
    let wanted = match options.ancestor_hashes {
        AncestorHashes::All => true,
        AncestorHashes::None => false,
        AncestorHashes::WhenUsed => {
            state.any_code(uses_blockhash)
                || block
                    .transactions
                    .iter()
                    .map(|signed| &signed.envelope)
                    .any(|tx| tx.to().is_none() && uses_blockhash(tx.input()))
        }
    };
    if wanted {
        let hashes = fetch_hashes(&client, &block, ancestors, progress)?;
        state.add_block_hashes(hashes);
    } else {
        // The state was read by number, so the parent must still be the one with that number.
        fetch_hashes(&client, &block, ancestors.end.saturating_sub(1)..ancestors.end, &mut |_| {})?;
    }
    let folder = RemoteBlock { block, state }.into_folder();
    Ok(Fetched::Complete(Box::new(folder)))
}

fn needs_execution(block: FullBlock, state: RemoteState) -> Fetched {
    Fetched::NeedsExecution(Box::new(RemoteBlock { block, state }))
}

/// The chain of the node.
fn chain_at(client: &RpcClient, options: &FetchOptions) -> Result<Chain, FetchError> {
    let Quantity(chain_id) = client.call::<Quantity<u64>>("eth_chainId", &json!([]))?;
    if let Some(genesis) = &options.genesis {
        if genesis.config.chain_id != chain_id {
            return Err(FetchError::WrongGenesis {
                genesis: genesis.config.chain_id,
                node: chain_id,
            });
        }
        return Ok(chain_of(genesis.clone()));
    }
    if chain_id == MAINNET_CHAIN_ID {
        return Ok(Chain::Mainnet);
    }
    if options.dev_chain || DEV_CHAIN_IDS.contains(&chain_id) {
        let genesis = dev_genesis(chain_id, dev_fork(client));
        return Ok(Chain::Custom(Box::new(genesis)));
    }
    Err(FetchError::UnknownChain { chain_id })
}

/// The newest fork of a development node: anvil tells it, for others it is the default.
fn dev_fork(client: &RpcClient) -> DevFork {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct NodeInfo {
        hard_fork: String,
    }
    client
        .call::<NodeInfo>("anvil_nodeInfo", &json!([]))
        .ok()
        .and_then(|info| DevFork::from_name(&info.hard_fork))
        .unwrap_or_default()
}

fn block_at(
    client: &RpcClient,
    choice: BlockChoice,
    chain: Chain,
) -> Result<FullBlock, FetchError> {
    let (method, params, name) = match choice {
        BlockChoice::Latest => ("eth_getBlockByNumber", json!(["latest", true]), "latest".into()),
        BlockChoice::Number(number) => {
            ("eth_getBlockByNumber", json!([Quantity(number), true]), number.to_string())
        }
        BlockChoice::Hash(hash) => ("eth_getBlockByHash", json!([hash, true]), hash.to_string()),
    };
    let result = client.call_raw(method, &params)?;
    if result.get() == "null" {
        return Err(RemoteError::NoSuchBlock { host: client.host().into(), block: name }.into());
    }
    let block = FullBlock::parse(result.get().as_bytes(), chain)
        .map_err(|fault| client.fault(method, fault))?;
    let other = match choice {
        BlockChoice::Number(number) => block.header.number != number,
        BlockChoice::Hash(hash) => block.hash != hash,
        BlockChoice::Latest => false,
    };
    if other {
        let reason = format!("block {} instead of {name}", block.hash);
        return Err(client.fault(method, BlockFault::invalid("number", reason)).into());
    }
    Ok(block)
}

fn fetch_ommers(client: &RpcClient, block: &mut FullBlock) -> Result<(), FetchError> {
    const METHOD: &str = "eth_getUncleByBlockHashAndIndex";
    if block.ommer_hashes.is_empty() {
        return Ok(());
    }
    let mut ommers: Vec<Header> = Vec::new();
    for (index, _) in (0_u64..).zip(&block.ommer_hashes) {
        ommers.push(client.call(METHOD, &json!([block.hash, Quantity(index)]))?);
    }
    Ok(block.set_ommers(ommers).map_err(|fault| client.fault(METHOD, fault))?)
}

fn merge(keys: &mut StateKeys, more: StateKeys) {
    for (address, slots) in more {
        keys.entry(address).or_default().extend(slots);
    }
}

/// What the block touches as far as its own text tells.
fn declared_keys(block: &FullBlock) -> StateKeys {
    let mut keys = StateKeys::new();
    let mut touch = |address: Address| {
        keys.entry(address).or_default();
    };
    touch(block.header.beneficiary);
    block.ommers.iter().flatten().for_each(|ommer| touch(ommer.beneficiary));
    block.withdrawals.iter().flatten().for_each(|withdrawal| touch(withdrawal.address));
    // Precompiles: 0x01 to 0x11 and P256VERIFY at 0x100.
    (1..=0x11).chain([0x100]).for_each(|n: u64| touch(Address::from_word(U256::from(n).into())));
    for signed in &block.transactions {
        let sender = signed.envelope.recover_signer().unwrap_or(signed.claimed_sender);
        touch(sender);
        match signed.envelope.to() {
            Some(to) => touch(to),
            None => touch(sender.create(signed.envelope.nonce())),
        }
        for authorization in signed.envelope.authorization_list().into_iter().flatten() {
            authorization.recover_authority().into_iter().for_each(&mut touch);
            touch(authorization.address);
        }
    }
    for item in block
        .transactions
        .iter()
        .filter_map(|signed| signed.envelope.access_list())
        .flat_map(|list| list.iter())
    {
        let slots = item.storage_keys.iter().map(|slot| U256::from_be_bytes(slot.0));
        keys.entry(item.address).or_default().extend(slots);
    }
    system_keys(&block.header, &mut keys);
    keys
}

/// How many slots the rings of the beacon roots and of the block hashes have.
const RING: u64 = 8191;

/// The slots that system calls touch, except for the queues of requests.
fn system_keys(header: &Header, keys: &mut StateKeys) {
    if header.parent_beacon_block_root.is_some() {
        let timestamp = header.timestamp % RING;
        keys.entry(BEACON_ROOTS_ADDRESS)
            .or_default()
            .extend([U256::from(timestamp), U256::from(timestamp + RING)]);
    }
    if header.requests_hash.is_some() {
        keys.entry(HISTORY_STORAGE_ADDRESS)
            .or_default()
            .insert(U256::from(header.number.saturating_sub(1) % RING));
        for (address, ..) in QUEUES {
            keys.entry(address).or_default().extend((0..QUEUE_START).map(U256::from));
        }
    }
}

/// The contracts that queue requests, how many slots one request takes, and how many leave the
/// queue at the end of a block.
const QUEUES: [(Address, u64, u64); 2] = [
    (WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, 3, 16),
    (CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, 4, 2),
];

/// The first slots of a queue are: excess, count, head, tail.
const QUEUE_START: u64 = 4;
const QUEUE_HEAD: u64 = 2;
const QUEUE_TAIL: u64 = 3;

/// The slots of the requests that wait before the block and may leave the queue at its end. Those
/// that the block itself adds are named by the tracer.
fn queued_requests(block: &FullBlock, state: &RemoteState) -> Result<StateKeys, FetchError> {
    let mut keys = StateKeys::new();
    if block.header.requests_hash.is_none() {
        return Ok(keys);
    }
    for (address, slots_per_request, most) in QUEUES {
        let head = state.storage(address, U256::from(QUEUE_HEAD))?;
        let tail = state.storage(address, U256::from(QUEUE_TAIL))?;
        let waiting: u64 = tail.saturating_sub(head).saturating_to();
        let slots = waiting.min(most).saturating_mul(slots_per_request);
        let start =
            head.wrapping_mul(U256::from(slots_per_request)).wrapping_add(U256::from(QUEUE_START));
        keys.entry(address)
            .or_default()
            .extend((0..slots).map(|slot| start.wrapping_add(U256::from(slot))));
    }
    Ok(keys)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TracedTransaction {
    #[serde(default)]
    tx_hash: Option<B256>,
    #[serde(default)]
    result: Option<BTreeMap<Address, TracedAccount>>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
struct TracedAccount {
    #[serde(default)]
    storage: Option<BTreeMap<Quantity<U256>, IgnoredAny>>,
}

/// The accounts and slots that the node's tracer names.
fn traced_keys(client: &RpcClient, block: &FullBlock) -> Result<StateKeys, FetchError> {
    const METHOD: &str = "debug_traceBlockByNumber";
    let mut keys = StateKeys::new();
    if block.transactions.is_empty() {
        return Ok(keys);
    }
    let tracer = json!({
        "tracer": "prestateTracer",
        "tracerConfig": { "diffMode": false, "disableCode": true },
        "timeout": "300s",
    });
    let result = client.trace(METHOD, &json!([Quantity(block.header.number), tracer]))?;
    let traces: Vec<TracedTransaction> =
        json::parse(result.get().as_bytes()).map_err(|fault| client.fault(METHOD, fault))?;
    if traces.len() != block.transactions.len() {
        let (found, expected) = (traces.len(), block.transactions.len());
        let reason = format!("{found} transactions, but the block has {expected}");
        return Err(client.fault(METHOD, BlockFault::invalid(".", reason)).into());
    }
    for (index, (trace, signed)) in traces.into_iter().zip(&block.transactions).enumerate() {
        if let Some(found) = trace.tx_hash
            && found != *signed.envelope.tx_hash()
        {
            return Err(FetchError::Reorganised {
                number: block.header.number,
                expected: *signed.envelope.tx_hash(),
                found,
            });
        }
        let Some(accounts) = trace.result else {
            return Err(RemoteError::Rpc {
                host: client.host().into(),
                method: METHOD,
                code: 0,
                message: format!(
                    "transaction {index}: {}",
                    trace.error.as_deref().unwrap_or("no result and no error")
                ),
                data: None,
            }
            .into());
        };
        for (address, account) in accounts {
            let slots = account.storage.into_iter().flatten().map(|(slot, _)| slot.0);
            keys.entry(address).or_default().extend(slots);
        }
    }
    Ok(keys)
}

/// The hashes of ancestors, each checked to be what its child names as its parent.
fn fetch_hashes(
    client: &RpcClient,
    block: &FullBlock,
    numbers: Range<u64>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<(u64, B256)>, FetchError> {
    let total = numbers.clone().count();
    let found = ancestors(client, numbers, |done| {
        progress(Progress::BlockHashes { done, total });
    })?;
    let mut expected = block.header.parent_hash;
    let mut hashes = Vec::with_capacity(total);
    for (number, ancestor) in found.into_iter().rev() {
        if ancestor.hash != expected {
            return Err(FetchError::Reorganised { number, expected, found: ancestor.hash });
        }
        hashes.push((number, ancestor.hash));
        expected = ancestor.parent_hash;
    }
    Ok(hashes)
}

/// Whether a code has the opcode BLOCKHASH outside of the data of PUSH instructions.
fn uses_blockhash(code: &[u8]) -> bool {
    const BLOCKHASH: u8 = 0x40;
    const PUSH1: u8 = 0x60;
    const PUSH32: u8 = 0x7f;
    let mut bytes = code.iter();
    while let Some(&opcode) = bytes.next() {
        match opcode {
            BLOCKHASH => return true,
            PUSH1..=PUSH32 => {
                let data = usize::from(opcode - PUSH1);
                bytes.nth(data);
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blockhash_is_found_only_as_an_instruction() {
        assert!(uses_blockhash(&[0x40]));
        assert!(uses_blockhash(&[0x60, 0x40, 0x40]));
        assert!(!uses_blockhash(&[0x60, 0x40]));
        assert!(!uses_blockhash(&[0x61, 0x40, 0x40, 0x00]));
        assert!(!uses_blockhash(&[0x7f, 0x40]));
    }

    #[test]
    fn system_slots_follow_the_header() {
        let mut keys = StateKeys::new();
        system_keys(&Header::default(), &mut keys);
        assert!(keys.is_empty());
        let header = Header {
            number: 8192,
            timestamp: 8191 * 2 + 5,
            parent_beacon_block_root: Some(B256::ZERO),
            requests_hash: Some(B256::ZERO),
            ..Header::default()
        };
        system_keys(&header, &mut keys);
        let slots = |address| keys[&address].iter().copied().collect::<Vec<U256>>();
        assert_eq!(slots(BEACON_ROOTS_ADDRESS), [U256::from(5), U256::from(8196)]);
        assert_eq!(slots(HISTORY_STORAGE_ADDRESS), [U256::ZERO]);
        assert_eq!(slots(CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS).len(), 4);
    }
}

//! What a node says of itself and of the network that it alone is.

use std::collections::HashMap;

use polity_svm::KIND;
use serde_json::json;
use solana_epoch_schedule::EpochSchedule;
use solana_pubkey::Pubkey;
use solana_rpc_client_types::{
    config::{RpcEpochConfig, RpcGetVoteAccountsConfig, RpcLeaderScheduleConfigWrapper},
    response::{RpcContactInfo, RpcIdentity, RpcPerfSample, RpcVersionInfo},
};

use super::{Solana, decode, error, moment::Wish};
use crate::{
    Node,
    rpc::{Methods, Params, Reply, RpcError, reply},
};

/// The version of Agave whose runtime and answers these are.
const VERSION: &str = "4.2.2";
/// So many leaders can be asked for at once.
const MOST_LEADERS: u64 = 5000;
/// So many samples of the performance.
const MOST_SAMPLES: usize = 720;
/// So many blocks are looked at for them.
const MOST_BLOCKS: usize = 10_000;
/// Seconds of a sample.
const SAMPLE: u64 = 60;

pub(super) fn register(methods: &mut Methods<Solana>) {
    methods.quick("getHealth", |_, _| reply(&"ok"));
    methods.quick("getVersion", |_, _| reply(&version()));
    methods.quick("getIdentity", |_, _| reply(&RpcIdentity { identity: identity().to_string() }));
    methods.quick("getGenesisHash", genesis_hash);
    methods.quick("getClusterNodes", |_, _| reply(&[contact()]));
    methods.quick("getVoteAccounts", |_, params| {
        let _: Option<RpcGetVoteAccountsConfig> = params.optional()?;
        reply(&json!({ "current": [], "delinquent": [] }))
    });
    methods.quick("getSlotLeader", |door, params| {
        door.head(params)?;
        reply(&identity().to_string())
    });
    methods.quick("getSlotLeaders", leaders);
    methods.heavy("getLeaderSchedule", leader_schedule);
    methods.heavy("getEpochInfo", |door, params| {
        let head = door.clock(params)?.number();
        reply(&epoch_info(&door.node(), head)?)
    });
    methods.quick("getEpochSchedule", |_, _| reply(&schedule()));
    methods.quick("getInflationGovernor", |_, params| {
        let _: Option<Wish> = params.optional()?;
        reply(&json!({
            "initial": 0.0, "terminal": 0.0, "taper": 0.0, "foundation": 0.0, "foundationTerm": 0.0,
        }))
    });
    methods.quick("getInflationRate", |door, _| {
        let epoch = schedule().get_epoch(door.node().chain.head().number());
        reply(&json!({ "total": 0.0, "validator": 0.0, "foundation": 0.0, "epoch": epoch }))
    });
    methods.quick("getInflationReward", |_, params| {
        let accounts: Vec<String> = params.required()?;
        let _: Option<RpcEpochConfig> = params.optional()?;
        accounts.iter().try_for_each(|text| decode::parse(text).map(drop))?;
        // Nobody has a stake, and so nobody is paid for one.
        reply(&vec![(); accounts.len()])
    });
    methods.quick("getHighestSnapshotSlot", |_, _| Err(error::no_snapshot()));
    methods.heavy("getRecentPerformanceSamples", samples);
}

/// How blocks make up epochs.
pub(super) fn schedule() -> EpochSchedule {
    EpochSchedule::without_warmup()
}

/// Who makes all blocks: an address that nobody has the key of.
pub(super) const fn identity() -> Pubkey {
    Pubkey::new_from_array(*b"polity: a validator of its own..")
}

fn version() -> RpcVersionInfo {
    let feature_set = solana_version::Version::default().feature_set();
    RpcVersionInfo { solana_core: VERSION.into(), feature_set: Some(feature_set) }
}

fn genesis_hash(door: &Solana, _: &mut Params<'_>) -> Reply {
    let chain = &door.node().chain;
    let first = chain.block(chain.first())?;
    let first = first.ok_or_else(|| RpcError::internal(&"the chain has no first block"))?;
    reply(&polity_svm::blockhash(&first.hash).to_string())
}

fn contact() -> RpcContactInfo {
    // Nothing but the JSON-RPC is served, and that the client has found.
    RpcContactInfo {
        pubkey: identity().to_string(),
        gossip: None,
        tvu: None,
        tpu: None,
        tpu_quic: None,
        tpu_forwards: None,
        tpu_forwards_quic: None,
        tpu_vote: None,
        serve_repair: None,
        rpc: None,
        pubsub: None,
        version: Some(VERSION.into()),
        client_id: Some("Polity".into()),
        feature_set: version().feature_set,
        shred_version: None,
    }
}

/// Where in its epoch a height is.
pub(super) fn epoch_info(node: &Node, slot: u64) -> Result<serde_json::Value, RpcError> {
    let (epoch, index) = schedule().get_epoch_and_slot_index(slot);
    Ok(json!({
        "absoluteSlot": slot,
        "blockHeight": slot,
        "epoch": epoch,
        "slotIndex": index,
        "slotsInEpoch": schedule().get_slots_in_epoch(epoch),
        "transactionCount": node.chain.store().guest_count()?,
    }))
}

fn leaders(_: &Solana, params: &mut Params<'_>) -> Reply {
    let _first: u64 = params.required()?;
    let limit: u64 = params.required()?;
    if limit > MOST_LEADERS {
        return Err(RpcError::params(format!("Invalid limit; max {MOST_LEADERS}")));
    }
    let leader = identity().to_string();
    reply(&(0..limit).map(|_| leader.clone()).collect::<Vec<String>>())
}

fn leader_schedule(door: &Solana, params: &mut Params<'_>) -> Reply {
    let wrapper: Option<RpcLeaderScheduleConfigWrapper> = params.optional()?;
    let (slot, first) = wrapper.map(|wrapper| wrapper.unzip()).unwrap_or_default();
    let second = if first.is_none() { params.optional()? } else { None };
    let config: solana_rpc_client_types::config::RpcLeaderScheduleConfig =
        first.or(second).unwrap_or_default();
    let head = door.node().chain.head().number();
    let epoch = schedule().get_epoch(slot.unwrap_or(head));
    // The leaders of the epoch after the next are not known yet.
    if epoch > schedule().get_epoch(head).saturating_add(1) {
        return reply(&());
    }
    let slots = schedule().get_slots_in_epoch(epoch);
    let wanted = config.identity.as_deref().map(decode::parse).transpose()?;
    let mut leaders = HashMap::new();
    if wanted.is_none_or(|wanted| wanted == identity()) {
        leaders.insert(identity().to_string(), (0..slots).collect::<Vec<u64>>());
    }
    reply(&leaders)
}

/// How many blocks and transactions there were by minutes of the chain's clock, the
/// last first.
fn samples(door: &Solana, params: &mut Params<'_>) -> Reply {
    let limit = params.optional()?.unwrap_or(MOST_SAMPLES);
    if limit > MOST_SAMPLES {
        return Err(RpcError::params(format!("Invalid limit; max {MOST_SAMPLES}")));
    }
    let chain = &door.node().chain;
    let head = chain.head().number();
    let mut samples: Vec<RpcPerfSample> = Vec::new();
    let mut minute = None;
    for number in (chain.first()..=head).rev().take(MOST_BLOCKS) {
        let Some(block) = chain.block(number)? else { break };
        let at = block.header.timestamp / SAMPLE;
        if minute != Some(at) {
            if samples.len() == limit {
                break;
            }
            minute = Some(at);
            samples.push(RpcPerfSample {
                slot: number,
                num_transactions: 0,
                num_non_vote_transactions: Some(0),
                num_slots: 0,
                sample_period_secs: SAMPLE as u16,
            });
        }
        if let Some(sample) = samples.last_mut() {
            let count = block.of(KIND).count() as u64;
            sample.num_slots = sample.num_slots.saturating_add(1);
            sample.num_transactions = sample.num_transactions.saturating_add(count);
            sample.num_non_vote_transactions = Some(sample.num_transactions);
        }
    }
    reply(&samples)
}

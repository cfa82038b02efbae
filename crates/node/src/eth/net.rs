//! `net_`, `web3_`, and what a node says of itself.

use alloy_primitives::{Bytes, U64, U256, keccak256};

use super::Ethereum;
use crate::rpc::{Methods, Params, Reply, reply};

/// The name and version of this program, as clients identify nodes.
pub const CLIENT_VERSION: &str = concat!("polity/v", env!("CARGO_PKG_VERSION"));

pub(super) fn register(methods: &mut Methods<Ethereum>) {
    methods.quick("web3_clientVersion", |_, _| reply(&CLIENT_VERSION));
    methods.quick("web3_sha3", sha3);
    methods.quick("net_version", |door, _| reply(&door.node.chain.spec().chain_id.to_string()));
    methods.quick("net_listening", |_, _| reply(&true));
    methods.quick("net_peerCount", |_, _| reply(&U64::ZERO));
    methods.quick("eth_protocolVersion", |_, _| reply(&U64::from(68)));
    methods.quick("eth_chainId", |door, _| reply(&U64::from(door.node.chain.spec().chain_id)));
    methods.quick("eth_networkId", |door, _| reply(&door.node.chain.spec().chain_id));
    methods.quick("eth_syncing", |_, _| reply(&false));
    methods.quick("eth_mining", |_, _| reply(&false));
    methods.quick("eth_hashrate", |_, _| reply(&U256::ZERO));
    methods.quick("eth_coinbase", |door, _| reply(&door.node.miner.settings().beneficiary));
    methods.quick("rpc_modules", modules);
}

fn sha3(_: &Ethereum, params: &mut Params<'_>) -> Reply {
    let data: Bytes = params.required()?;
    reply(&keccak256(data))
}

fn modules(door: &Ethereum, _: &mut Params<'_>) -> Reply {
    let mut names = vec!["debug", "eth", "net", "polity", "rpc", "trace", "txpool", "web3"];
    if door.node.powers.is_some() {
        names.extend(["anvil", "evm", "hardhat"]);
    }
    let versions = names.into_iter().map(|name| (name, "1.0"));
    reply(&versions.collect::<std::collections::BTreeMap<_, _>>())
}

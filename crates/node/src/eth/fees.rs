//! What gas costs.

use alloy_eips::{BlockNumberOrTag, eip4844::DATA_GAS_PER_BLOB};
use alloy_primitives::{U64, U256};
use alloy_rpc_types_eth::FeeHistory;
use serde_json::value::RawValue;

use super::{Ethereum, convert, transactions::number_of};
use crate::{
    chain::Block,
    rpc::{Methods, Params, Reply, RpcError, reply},
};

/// The tip that is suggested where nothing is known, in wei.
const SUGGESTED_TIP: u128 = 1_000_000_000;

/// So many blocks a fee history covers at most, as geth has it.
const MOST_BLOCKS: u64 = 1024;

pub(super) fn register(methods: &mut Methods<Ethereum>) {
    methods.quick("eth_gasPrice", |door, _| {
        let base_fee = door.next_base_fee()?.unwrap_or_default();
        reply(&U256::from(u128::from(base_fee).saturating_add(SUGGESTED_TIP)))
    });
    methods.quick("eth_maxPriorityFeePerGas", |_, _| reply(&U256::from(SUGGESTED_TIP)));
    methods.quick("eth_baseFee", |door, _| reply(&door.next_base_fee()?.map(U256::from)));
    methods.quick("eth_blobBaseFee", |door, _| {
        let head = door.node.chain.head();
        reply(&door.next_blob_price(&head)?.map(U256::from))
    });
    methods.quick("eth_feeHistory", history);
}

impl Ethereum {
    /// The base fee of the next block, in wei.
    pub(super) fn next_base_fee(&self) -> Result<Option<u64>, RpcError> {
        let head = self.node.chain.head();
        let draft = self.node.miner.draft(&head);
        Ok(draft.header(self.node.chain.spec(), &head)?.base_fee_per_gas)
    }

    /// What blob gas costs in the block after this one.
    pub(super) fn next_blob_price(&self, parent: &Block) -> Result<Option<u128>, RpcError> {
        let spec = self.node.chain.spec();
        let header = self.node.miner.draft(parent).header(spec, parent)?;
        let params = spec.blob_params_at(header.number, header.timestamp);
        Ok(params.zip(header.excess_blob_gas).map(|(params, excess)| params.calc_blob_fee(excess)))
    }

    /// The fees that the sender of a transaction without any is advised to pay:
    /// the most per gas, and the tip.
    pub(super) fn suggested_fees(&self) -> Result<(u128, u128), RpcError> {
        let base_fee = u128::from(self.next_base_fee()?.unwrap_or_default());
        let most = base_fee.saturating_mul(2).saturating_add(SUGGESTED_TIP);
        Ok((most, SUGGESTED_TIP))
    }
}

#[expect(clippy::float_arithmetic, reason = "the format wants ratios; nothing depends on them")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn history(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let count = block_count(params)?;
    let newest: BlockNumberOrTag = params.required()?;
    let percentiles: Vec<f64> = params.optional()?.unwrap_or_default();
    check(&percentiles)?;
    let chain = &door.node.chain;
    let head = chain.head().number();
    let last = number_of(door, newest)?;
    if last > head.saturating_add(u64::from(newest.is_pending())) {
        let text = format!("request beyond head block: requested {last}, head {head}");
        return Err(RpcError::server(text));
    }
    let last = last.min(head);
    // What the transactions of a fork's first block paid only the other chain knows.
    let own = u64::from(chain.remote().is_none());
    let most = last.saturating_sub(chain.first()).saturating_add(own);
    let count = count.min(MOST_BLOCKS).min(most);
    let mut history = FeeHistory::default();
    if count == 0 {
        return reply(&history);
    }
    history.oldest_block = last.saturating_add(1).saturating_sub(count);
    let mut rewards = Vec::new();
    let mut newest = None;
    for number in history.oldest_block..=last {
        let block = chain.block(number)?;
        let block = block.ok_or_else(|| RpcError::server(format!("block {number} is missing")))?;
        let header = &block.header;
        history.base_fee_per_gas.push(block.base_fee().into());
        history.gas_used_ratio.push(ratio(header.gas_used, header.gas_limit));
        history
            .base_fee_per_blob_gas
            .push(convert::blob_price(chain.spec(), &block).unwrap_or_default());
        let params = chain.spec().blob_params_at(number, header.timestamp);
        let most =
            params.map_or(0, |params| params.max_blob_count).saturating_mul(DATA_GAS_PER_BLOB);
        history.blob_gas_used_ratio.push(ratio(header.blob_gas_used.unwrap_or_default(), most));
        rewards.push(rewards_of(&block, &percentiles));
        newest = Some(block);
    }
    if let Some(newest) = newest {
        let draft = door.node.miner.draft(&newest);
        let next = draft.header(chain.spec(), &newest)?;
        history.base_fee_per_gas.push(next.base_fee_per_gas.unwrap_or_default().into());
        let price = door.next_blob_price(&newest)?.unwrap_or_default();
        history.base_fee_per_blob_gas.push(price);
    }
    history.reward = (!percentiles.is_empty()).then_some(rewards);
    reply(&history)
}

/// A number, or one in hexadecimal.
fn block_count(params: &mut Params<'_>) -> Result<u64, RpcError> {
    let raw: Box<RawValue> = params.required()?;
    let parsed = serde_json::from_str::<u64>(raw.get())
        .or_else(|_| serde_json::from_str::<U64>(raw.get()).map(|count| count.to::<u64>()));
    parsed.map_err(|error| RpcError::params(format!("invalid argument 0: {error}")))
}

fn check(percentiles: &[f64]) -> Result<(), RpcError> {
    let invalid =
        |text: String| Err(RpcError::server(format!("invalid reward percentile: {text}")));
    if percentiles.len() > 100 {
        return invalid("over the query limit 100".into());
    }
    let mut before = 0.0;
    for (index, percentile) in percentiles.iter().enumerate() {
        if !(0.0..=100.0).contains(percentile) {
            return invalid(percentile.to_string());
        }
        if *percentile < before {
            return invalid(format!("#{index}:{percentile} is below the one before, {before}"));
        }
        before = *percentile;
    }
    Ok(())
}

/// The tips at these percentiles of the block's gas.
#[expect(clippy::float_arithmetic, reason = "the percentiles are given as floats")]
fn rewards_of(block: &Block, percentiles: &[f64]) -> Vec<u128> {
    let mut tips: Vec<(u128, u64)> = block
        .transactions
        .iter()
        .map(|included| {
            let tip = included.transaction.tip(block.base_fee()).unwrap_or_default();
            (tip, included.receipt.gas_used)
        })
        .collect();
    tips.sort_unstable();
    let at = |percentile: &f64| {
        let threshold = block.header.gas_used as f64 * percentile / 100.0;
        let mut sum = 0_u64;
        let reached = tips.iter().find(|(_, gas)| {
            sum = sum.saturating_add(*gas);
            sum as f64 >= threshold
        });
        reached.or(tips.last()).map_or(0, |(tip, _)| *tip)
    };
    percentiles.iter().map(at).collect()
}

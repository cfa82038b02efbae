//! `polity_`: what only this node can tell.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use alloy_eips::BlockId;
use alloy_primitives::{B256, U64};
use polity_engine::{Observer, Parallel, Statistics};
use polity_types::{MachineKind, Receipt, Resources, Status};
use serde::Serialize;

use super::{Ethereum, resolve::no_block};
use crate::{
    chain::{Block, Chain, ChainError},
    rpc::{Methods, Params, Reply, RpcError, reply},
};

/// More threads than this tell nothing more of a block.
const MOST_THREADS: usize = 64;

pub(super) fn register(methods: &mut Methods<Ethereum>) {
    methods.quick("polity_getBlock", whole);
    methods.quick("polity_getTransactionResources", resources);
    methods.heavy("polity_getBlockSchedule", schedule);
}

/// What a transaction used, by the kernel's meters.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Used {
    transaction_hash: B256,
    block_number: U64,
    #[serde(flatten)]
    outcome: Outcome,
    #[serde(flatten)]
    meters: Meters,
}

/// How a transaction ended.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    /// The machine that executed it.
    machine: &'static str,
    /// How it ended: `success`, `reverted`, or the machine's name for the failure.
    status: String,
    /// In the machine's own gas, as paid for.
    gas_used: U64,
}

impl Outcome {
    fn of(chain: &Chain, receipt: &Receipt) -> Self {
        let machine = chain.machines().get(receipt.machine);
        Self {
            machine: machine.map_or("unknown", |machine| machine.name()),
            status: match &receipt.status {
                Status::Success => "success".into(),
                Status::Reverted => "reverted".into(),
                Status::Failed(reason) => reason.clone(),
            },
            gas_used: U64::from(receipt.gas_used),
        }
    }
}

/// What the kernel metered.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meters {
    /// The machine's gas before refunds.
    compute: U64,
    /// Accounts, slots and codes that were fetched.
    reads: U64,
    /// Cells that differ afterwards.
    writes: U64,
    /// Bytes of new code and values.
    growth: U64,
    /// Gas of data published beside the block.
    availability: U64,
    /// Frames of the kernel's call stack.
    frames: U64,
}

impl From<Resources> for Meters {
    fn from(used: Resources) -> Self {
        let Resources { compute, reads, writes, growth, availability, frames } = used;
        Self {
            compute: U64::from(compute),
            reads: U64::from(reads),
            writes: U64::from(writes),
            growth: U64::from(growth),
            availability: U64::from(availability),
            frames: U64::from(frames),
        }
    }
}

fn resources(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let hash: B256 = params.required()?;
    let chain = &door.node.chain;
    let used = |block: &Block, receipt: &Receipt| Used {
        transaction_hash: hash,
        block_number: U64::from(block.number()),
        outcome: Outcome::of(chain, receipt),
        meters: receipt.used.into(),
    };
    if let Some((block, index)) = chain.transaction(&hash)? {
        let included = block.transactions.get(index);
        return reply(&included.map(|included| used(&block, &included.receipt)));
    }
    for guest in chain.guests().iter() {
        if let Some((block, index)) = chain.guest_transaction(guest.kind(), &hash)? {
            let included = block.guest(index);
            return reply(&included.map(|included| used(&block, &included.receipt)));
        }
    }
    reply(&None::<Used>)
}

/// A block with the transactions of all machines.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Whole {
    number: U64,
    /// `null` for a block that is not made yet.
    hash: Option<B256>,
    parent_hash: B256,
    timestamp: U64,
    transactions: Vec<Listed>,
}

/// A transaction in a block.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    /// Its index in the block.
    index: U64,
    /// Its index among its machine's transactions.
    machine_index: U64,
    /// The hash by which the chain knows it.
    hash: B256,
    #[serde(flatten)]
    outcome: Outcome,
    resources: Meters,
}

/// A block as it is, with the transactions of all machines in their order.
fn whole(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let block = door.find(params.required()?)?;
    let chain = &door.node.chain;
    let whole = block.map(|block| {
        let mut counts: BTreeMap<MachineKind, u64> = BTreeMap::new();
        let listed = block.all().map(|entry| {
            let count = counts.entry(entry.decoded().machine).or_default();
            let machine_index = U64::from(*count);
            *count = count.saturating_add(1);
            Listed {
                index: U64::from(entry.index()),
                machine_index,
                hash: entry.decoded().hash,
                outcome: Outcome::of(chain, entry.receipt()),
                resources: entry.receipt().used.into(),
            }
        });
        Whole {
            number: U64::from(block.number()),
            hash: (block.hash != B256::ZERO).then_some(block.hash),
            parent_hash: block.header.parent_hash,
            timestamp: U64::from(block.header.timestamp),
            transactions: listed.collect(),
        }
    });
    reply(&whole)
}

/// How a block is executed in parallel.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Schedule {
    block_number: U64,
    threads: usize,
    transactions: usize,
    /// Executions, those in vain among them.
    executions: usize,
    /// How many pieces the block was cut into.
    chunks: usize,
    attempts: Vec<Attempt>,
}

/// A run of a transaction. Times are microseconds since the block's begin.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Attempt {
    worker: usize,
    transaction: usize,
    /// Whether it ran in its turn or ahead of it.
    in_turn: bool,
    begin: u64,
    end: u64,
    /// The earlier transaction whose result was missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<usize>,
}

/// Writes down who runs what when.
struct Recorder {
    start: Instant,
    attempts: Mutex<Vec<Attempt>>,
}

impl Recorder {
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn with(&self, act: impl FnOnce(&mut Vec<Attempt>)) {
        act(&mut self.attempts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Observer for Recorder {
    fn started(&self, worker: usize, transaction: usize, in_turn: bool) {
        let begin = self.now();
        self.with(|attempts| {
            let waits_for = None;
            attempts.push(Attempt { worker, transaction, in_turn, begin, end: begin, waits_for });
        });
    }

    fn finished(&self, worker: usize, transaction: usize, waits_for: Option<usize>) {
        let end = self.now();
        self.with(|attempts| {
            let is_it = |run: &&mut Attempt| run.worker == worker && run.transaction == transaction;
            if let Some(run) = attempts.iter_mut().rev().find(is_it) {
                run.end = end;
                run.waits_for = waits_for;
            }
        });
    }
}

/// Executes a block again, in parallel on so many threads, and tells who did what
/// when. Nothing comes of it.
fn schedule(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let id: BlockId = params.required()?;
    let threads = params.optional()?.unwrap_or(door.node.config.threads.get());
    let threads = NonZeroUsize::new(threads)
        .filter(|threads| threads.get() <= MOST_THREADS)
        .ok_or_else(|| RpcError::params(format!("invalid argument 1: 1 to {MOST_THREADS}")))?;
    let block = door.find(id)?.ok_or_else(|| no_block(id))?;
    let (statistics, attempts) = door.execute_again(&block, threads)?;
    reply(&Schedule {
        block_number: U64::from(block.number()),
        threads: threads.get(),
        transactions: statistics.transactions,
        executions: statistics.executions,
        chunks: statistics.chunks,
        attempts,
    })
}

impl Ethereum {
    fn execute_again(
        &self,
        block: &Block,
        threads: NonZeroUsize,
    ) -> Result<(Statistics, Vec<Attempt>), RpcError> {
        let chain = &self.node.chain;
        if block.number() <= chain.first() {
            return Err(RpcError::server("the first block is not executed"));
        }
        let view = chain.state_before(block.number())?;
        let again = polity_engine::Block {
            context: chain.context(&block.header, block.withdrawals.clone())?,
            transactions: block.all().map(|entry| entry.decoded().clone()).collect(),
            transaction_limit: Resources::UNLIMITED,
        };
        let mut engine = Parallel::new(threads).map_err(ChainError::from)?.with_least_gas(0);
        let recorder = Recorder { start: Instant::now(), attempts: Mutex::default() };
        let (_, statistics) = engine
            .execute_with(chain.machines(), &view, &again, &recorder)
            .map_err(ChainError::from)?;
        let attempts = recorder.attempts.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok((statistics, attempts))
    }
}

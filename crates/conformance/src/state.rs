//! Runs state tests.

use alloy_consensus::Header;
use alloy_primitives::{B256, Log, LogData, U256, keccak256};
use polity_engine::Block;
use polity_evm::{
    BlockInput, Evm, KIND, Transaction, Unsigned, account,
    header::{expected_base_fee, expected_excess_blob_gas},
    spec::{ChainSpec, Fork},
};
use polity_kernel::{
    BlockContext, Decoded, Executed, Inputs, Kernel, Machine, Machines, Scratch, Totals,
    TransactionOutput, View,
};
use polity_types::{Effects, Resources};
use revm::context::TxEnv;

use crate::{
    Difference, Execute,
    exception::{self, Refusal},
    format::{Env, Post, Quantity, StateTest},
    template,
    world::{Snapshot, World},
};

/// The base fee of a London block whose test names none.
const DEFAULT_BASE_FEE: u64 = 10;

/// Runs one variant at one fork; with an engine, in blocks as well.
pub(crate) fn run(
    test: &StateTest,
    fork: &str,
    post: &Post,
    scratch: &mut Scratch,
    engine: Option<&mut dyn Execute>,
) -> Result<(), Difference> {
    let broken = |error: String| Difference::new("test", "one that can be run", error);
    let spec = test.config.spec(fork).map_err(|error| broken(error.to_string()))?;
    let number = test.env.current_number.0;
    let fork = spec.fork_at(number, test.env.current_timestamp.0);
    let block = context(&spec, fork, &test.env).map_err(broken)?;
    let evm = Evm::new(spec);
    let transaction = match &post.txbytes {
        Some(raw) => evm.decode(raw, &block).map_err(|error| Refusal::decode(&error, raw)),
        None => template::build(&test.transaction, post.indexes, block.chain_id).map_err(broken)?,
    };

    let mut world = World::new(&test.pre);
    let result = match transaction {
        Ok(transaction) => execute(evm, &transaction, &block, &test.env, &world, scratch, engine)?,
        Err(refusal) => Err(vec![refusal]),
    };
    let logs = match (result, post.expect_exception.as_deref()) {
        (Ok(output), None) => {
            world
                .apply(&output.effects)
                .map_err(|error| Difference::new("effects", "ones that fit", error))?;
            logs(&output.effects)
        }
        (Ok(_), Some(expected)) => {
            return Err(Difference::new("transaction", expected, "included"));
        }
        (Err(refusals), Some(expected)) => {
            if !exception::matches(expected, &refusals) {
                return Err(Difference::new("exception", expected, describe(&refusals)));
            }
            Vec::new()
        }
        // The oldest tests do not say that a transaction is invalid: their
        // expected state is the one before it, and that is compared.
        (Err(refusals), None) if post.txbytes.is_some() => {
            return Err(Difference::new("transaction", "included", describe(&refusals)));
        }
        (Err(_), None) => Vec::new(),
    };
    // The test's block has a reward of zero, which touches the beneficiary.
    world.touch(test.env.current_coinbase, fork >= Fork::SpuriousDragon);
    compare(&world, logs, post)
}

fn compare(world: &World, logs: Vec<Log>, post: &Post) -> Result<(), Difference> {
    let found = keccak256(alloy_rlp::encode(logs));
    if found != post.logs {
        return Err(Difference::new("hash of the logs", post.logs, found));
    }
    if let Some(difference) = post.state.as_ref().and_then(|state| world.difference(state)) {
        return Err(difference);
    }
    let root = world.root();
    if root != post.hash {
        return Err(Difference::new("state root", post.hash, root));
    }
    Ok(())
}

pub(crate) fn describe(refusals: &[Refusal]) -> String {
    let refusals: Vec<String> = refusals
        .iter()
        .map(|refusal| format!("{} ({})", refusal.names.join("|"), refusal.reason))
        .collect();
    refusals.join("; ")
}

/// The logs of a transaction in Ethereum's form.
pub(crate) fn logs(effects: &Effects) -> Vec<Log> {
    let log = |event: &polity_types::Event| Log {
        address: polity_evm::address(&event.emitter),
        data: LogData::new_unchecked(event.topics.clone(), event.data.clone()),
    };
    effects.events.iter().map(log).collect()
}

/// Executes the transaction. All rules are looked at that it breaks: a test
/// names one of them.
fn execute(
    evm: Evm,
    transaction: &Decoded,
    block: &BlockContext,
    env: &Env,
    world: &World,
    scratch: &mut Scratch,
    engine: Option<&mut dyn Execute>,
) -> Result<Result<TransactionOutput, Vec<Refusal>>, Difference> {
    let fault = |error: String| Difference::new("execution", "an end", error);
    let admitted = evm.admit(transaction, &Totals::default(), block);
    let machines = Machines::default().with(evm).map_err(|error| fault(error.to_string()))?;
    let view = Snapshot {
        world,
        block_hash: |number| {
            let given = env.block_hashes.get(&Quantity(number)).copied();
            Some(given.unwrap_or_else(|| keccak256(number.to_string())))
        },
    };
    let executed = Kernel::new(&machines, block, &view, scratch)
        .transact(transaction, Resources::UNLIMITED)
        .map_err(|halt| fault(halt.to_string()))?;
    if let Some(engine) = engine {
        let alone = match &executed {
            Executed::Included(output) if admitted.is_ok() => Some(output),
            _ => None,
        };
        execute_in_blocks(engine, &machines, &view, block, transaction, alone)?;
    }
    let refused: Vec<Refusal> = admitted.err().iter().map(Refusal::from).collect();
    Ok(match executed {
        Executed::Included(output) if refused.is_empty() => Ok(output),
        Executed::Included(_) => Err(refused),
        Executed::Invalid { invalid, .. } => {
            Err(refused.into_iter().chain([Refusal::from(&invalid)]).collect())
        }
    })
}

/// How often a transaction is repeated in a block.
const REPEATED: u64 = 3;

/// Executes the transaction in a block of its own, which has to give what it gave without one
/// (`None`: it is refused), and several times in a row, by consecutive nonces: what that gives is
/// the engine's to compare.
fn execute_in_blocks(
    engine: &mut dyn Execute,
    machines: &Machines,
    view: &dyn View,
    context: &BlockContext,
    transaction: &Decoded,
    alone: Option<&TransactionOutput>,
) -> Result<(), Difference> {
    let input = context.inputs.get::<BlockInput>(KIND).cloned().unwrap_or_default();
    let input = BlockInput { transactions_only: true, ..input };
    let context = BlockContext { inputs: Inputs::default().with(KIND, input), ..context.clone() };
    let block = |transactions| Block {
        context: context.clone(),
        transactions,
        transaction_limit: Resources::UNLIMITED,
    };
    let in_block = engine.block(machines, view, &block(vec![transaction.clone()])).ok();
    let found = in_block.as_ref().and_then(|output| output.transactions.first());
    if found != alone {
        let text = |output: Option<&TransactionOutput>| format!("{output:?}");
        return Err(Difference::new("in a block of its own", text(alone), text(found)));
    }
    if let Some(Transaction { env, .. }) = transaction.payload() {
        let power = Unsigned::for_simulation();
        let again = (0..REPEATED).map(|count| {
            let nonce = env.nonce.saturating_add(count);
            power.transaction(TxEnv { nonce, ..env.clone() }, B256::from(U256::from(count)))
        });
        // That the later ones are not possible is no failure of the test's.
        let _ = engine.block(machines, view, &block(again.collect()));
    }
    Ok(())
}

/// The block that a state test describes.
fn context(spec: &ChainSpec, fork: Fork, env: &Env) -> Result<BlockContext, String> {
    let number = env.current_number.0;
    let saturated = |limit: U256| u64::try_from(limit).unwrap_or(u64::MAX);
    let parent = Header {
        number: number.saturating_sub(1),
        gas_limit: env.parent_gas_limit.map_or(0, |limit| saturated(limit.0)),
        gas_used: env.parent_gas_used.unwrap_or_default().0,
        base_fee_per_gas: env.parent_base_fee.or(env.current_base_fee).map(|fee| fee.0),
        excess_blob_gas: env.parent_excess_blob_gas.map(|gas| gas.0),
        blob_gas_used: env.parent_blob_gas_used.map(|gas| gas.0),
        ..Header::default()
    };
    let base_fee = match (env.current_base_fee, env.parent_base_fee) {
        _ if fork < Fork::London => None,
        (Some(fee), _) => Some(fee.0),
        (None, Some(_)) => {
            expected_base_fee(spec, fork, &parent).map_err(|error| error.to_string())?
        }
        (None, None) => Some(DEFAULT_BASE_FEE),
    };
    let excess_blob_gas = match (env.current_excess_blob_gas, env.parent_excess_blob_gas) {
        _ if fork < Fork::Cancun => None,
        (Some(gas), _) => Some(gas.0),
        (None, Some(_)) => {
            expected_excess_blob_gas(spec, fork, &parent).map_err(|error| error.to_string())?
        }
        (None, None) => Some(0),
    };
    let difficulty = env.current_difficulty.unwrap_or_default().0;
    let input = BlockInput {
        // Some old tests give their block more gas than a block can have.
        gas_limit: saturated(env.current_gas_limit.0),
        base_fee: base_fee.unwrap_or_default(),
        difficulty: if fork < Fork::Paris { difficulty } else { U256::ZERO },
        excess_blob_gas,
        ..BlockInput::default()
    };
    Ok(BlockContext {
        chain_id: spec.chain_id,
        number,
        timestamp: env.current_timestamp.0,
        beneficiary: account(env.current_coinbase),
        randomness: B256::from(env.current_random.map_or(difficulty, |random| random.0)),
        inputs: Inputs::default().with(KIND, input),
    })
}

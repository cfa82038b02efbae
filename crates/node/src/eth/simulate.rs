//! Blocks that are made up on top of a real one (`eth_simulateV1`).

use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, EthereumTxEnvelope, Header, Transaction as _, TxEip4844, Typed2718,
    constants::EMPTY_WITHDRAWALS,
    proofs::calculate_transaction_root,
    transaction::{Recovered, TransactionInfo},
};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{B256, Bytes, Log as EthLog, U256};
use alloy_rpc_types_eth::{
    Block, BlockOverrides, BlockTransactions, Header as RpcHeader, Log, Transaction,
    TransactionRequest,
    simulate::{
        MAX_SIMULATE_BLOCKS, SimBlock, SimCallResult, SimulateError, SimulatePayload,
        SimulatedBlock,
    },
};
use polity_engine::Overlay;
use polity_evm::{
    Simulated, Waiver,
    header::{expected_base_fee, expected_excess_blob_gas},
    receipt::{self, ReceiptParts},
    spec::Fork,
};
use polity_kernel::TransactionOutput;
use revm::{
    context::TxEnv,
    context_interface::result::{ExecutionResult, InvalidTransaction},
};
use revm_inspectors::transfer::TransferInspector;

use super::{CallError, Scene, Stage, scene};

/// Seconds from one block to the next where a request does not say.
const SLOT: u64 = 12;

/// The last gas of a block, and of all calls together, is gone.
const GAS_LIMIT_REACHED: i32 = -38015;
const NUMBERS_OUT_OF_ORDER: i32 = -38020;
const TIMES_OUT_OF_ORDER: i32 = -38021;
const TOO_MANY_BLOCKS: i32 = -38026;

/// A transaction in a simulated block.
pub type SimulatedTransaction = Transaction<EthereumTxEnvelope<TxEip4844>>;

type Envelope = EthereumTxEnvelope<TxEip4844>;

/// Executes the calls of made-up blocks, each on what those before it did, on
/// top of the block of the scene, whose header is a whole one.
///
/// The blocks' state roots are zero: nothing is committed.
///
/// # Errors
/// The blocks are out of order or too many, or one of the calls may not be in
/// its block. A call that reverts says so in its place.
pub fn simulate(
    scene: &Scene<'_>,
    payload: &SimulatePayload,
) -> Result<Vec<SimulatedBlock<Block<SimulatedTransaction>>>, CallError> {
    if payload.block_state_calls.is_empty() {
        return Err(CallError::Params("empty input".into()));
    }
    let blocks = complete(&scene.header, &payload.block_state_calls)?;
    let mut state = Overlay::over(scene.view);
    let mut parent = scene.header.clone();
    let mut hash = parent.hash_slow();
    let mut gas_left = scene.gas_cap;
    let mut simulated = Vec::with_capacity(blocks.len());
    for (block, time) in blocks {
        state.insert_block_hash(parent.number, hash);
        let header = next_header(scene, payload.validation, &parent, hash, &block, time)?;
        let scene = Scene { header, gas_cap: gas_left, ..scene.clone() };
        let overrides = block.block_overrides.as_ref();
        let mut stage = scene.stage_over(state, block.state_overrides.as_ref(), overrides)?;
        stage.begin()?;
        let made = run_block(&mut stage, payload, &block.calls)?;
        gas_left = stage.gas_cap;
        parent = made.inner.header.inner.clone();
        hash = made.inner.header.hash;
        state = stage.state;
        simulated.push(made);
    }
    Ok(simulated)
}

/// The blocks with their times, and with those that lie in between.
fn complete(base: &Header, given: &[SimBlock]) -> Result<Vec<(SimBlock, u64)>, CallError> {
    let coded = |code, message: String| CallError::Coded { code, message };
    let (mut number, mut time) = (base.number, base.timestamp);
    let mut blocks = Vec::with_capacity(given.len());
    for block in given {
        let overrides = block.block_overrides.clone().unwrap_or_default();
        let wanted =
            overrides.number.unwrap_or_else(|| U256::from(number).saturating_add(U256::ONE));
        if wanted <= U256::from(number) {
            let text = format!("block numbers must be in order: {wanted} <= {number}");
            return Err(coded(NUMBERS_OUT_OF_ORDER, text));
        }
        let most = base.number.saturating_add(MAX_SIMULATE_BLOCKS);
        let wanted = u64::try_from(wanted).ok().filter(|wanted| *wanted <= most);
        let Some(wanted) = wanted else {
            return Err(coded(TOO_MANY_BLOCKS, "too many blocks".into()));
        };
        for between in number.saturating_add(1)..wanted {
            time = time.saturating_add(SLOT);
            let overrides =
                BlockOverrides { number: Some(U256::from(between)), ..BlockOverrides::default() };
            let empty = SimBlock { block_overrides: Some(overrides), ..SimBlock::default() };
            blocks.push((empty, time));
        }
        let next = overrides.time.unwrap_or_else(|| time.saturating_add(SLOT));
        if next <= time {
            let text = format!("block timestamps must be in order: {next} <= {time}");
            return Err(coded(TIMES_OUT_OF_ORDER, text));
        }
        number = wanted;
        time = next;
        blocks.push((block.clone(), time));
    }
    Ok(blocks)
}

/// The header of the next block, as far as it is known before its calls.
fn next_header(
    scene: &Scene<'_>,
    validation: bool,
    parent: &Header,
    parent_hash: B256,
    block: &SimBlock,
    timestamp: u64,
) -> Result<Header, CallError> {
    let number = parent.number.saturating_add(1);
    let fork = scene.spec.fork_at(number, timestamp);
    let from = |first: Fork| fork >= first;
    let broken = |error: polity_evm::header::HeaderError| CallError::Internal(error.to_string());
    let base_fee = if validation {
        expected_base_fee(scene.spec, fork, parent).map_err(broken)?
    } else {
        from(Fork::London).then_some(0)
    };
    let given = block.block_overrides.as_ref();
    let beacon_root = given.and_then(|given| given.beacon_root).unwrap_or_default();
    Ok(Header {
        parent_hash,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        state_root: B256::ZERO,
        beneficiary: parent.beneficiary,
        difficulty: if from(Fork::Paris) { U256::ZERO } else { parent.difficulty },
        number,
        gas_limit: parent.gas_limit,
        timestamp,
        base_fee_per_gas: base_fee,
        withdrawals_root: from(Fork::Shanghai).then_some(EMPTY_WITHDRAWALS),
        blob_gas_used: from(Fork::Cancun).then_some(0),
        excess_blob_gas: expected_excess_blob_gas(scene.spec, fork, parent).map_err(broken)?,
        parent_beacon_block_root: from(Fork::Cancun).then_some(beacon_root),
        requests_hash: from(Fork::Prague).then_some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    })
}

/// What a block's calls did.
#[derive(Default)]
struct Ran {
    envelopes: Vec<Recovered<Envelope>>,
    results: Vec<SimCallResult>,
    receipts: Vec<ReceiptParts>,
    outputs: Vec<TransactionOutput>,
    gas_used: u64,
    blob_gas_used: u64,
}

fn run_block(
    stage: &mut Stage<'_>,
    payload: &SimulatePayload,
    calls: &[TransactionRequest],
) -> Result<SimulatedBlock<Block<SimulatedTransaction>>, CallError> {
    let mut ran = Ran::default();
    for request in calls {
        run_call(stage, payload, request, &mut ran)?;
    }
    let requests = stage.end(&ran.outputs)?;
    let mut header = stage.header.clone();
    if header.requests_hash.is_some() {
        header.requests_hash = Some(receipt::requests_hash(&requests));
    }
    header.gas_used = ran.gas_used;
    if header.blob_gas_used.is_some() {
        header.blob_gas_used = Some(ran.blob_gas_used);
    }
    let envelopes: Vec<&Envelope> = ran.envelopes.iter().map(Recovered::inner).collect();
    header.transactions_root = calculate_transaction_root(&envelopes);
    let receipts =
        receipt::receipts(ran.receipts).map_err(|error| CallError::Internal(error.to_string()))?;
    header.receipts_root = receipt::receipts_root(&receipts);
    header.logs_bloom = receipt::logs_bloom(&receipts);
    let header = RpcHeader::new(header);
    let (mut calls, hash) = (ran.results, header.hash);
    for log in calls.iter_mut().flat_map(|call| &mut call.logs) {
        log.block_hash = Some(hash);
    }
    let transactions = transactions(&header, ran.envelopes, payload.return_full_transactions);
    let withdrawals = header.withdrawals_root.map(|_| Default::default());
    let inner = Block { withdrawals, ..Block::new(header, transactions) };
    Ok(SimulatedBlock { inner, calls })
}

fn transactions(
    header: &RpcHeader,
    envelopes: Vec<Recovered<Envelope>>,
    full: bool,
) -> BlockTransactions<SimulatedTransaction> {
    if !full {
        let hashes = envelopes.iter().map(|tx| *tx.inner().tx_hash());
        return BlockTransactions::Hashes(hashes.collect());
    }
    let transactions = (0_u64..).zip(envelopes).map(|(index, tx)| {
        let info = TransactionInfo {
            hash: Some(*tx.inner().tx_hash()),
            index: Some(index),
            block_hash: Some(header.hash),
            block_number: Some(header.inner.number),
            base_fee: header.inner.base_fee_per_gas,
            block_timestamp: Some(header.inner.timestamp),
        };
        Transaction::from_transaction(tx, info)
    });
    BlockTransactions::Full(transactions.collect())
}

fn run_call(
    stage: &mut Stage<'_>,
    payload: &SimulatePayload,
    request: &TransactionRequest,
    ran: &mut Ran,
) -> Result<(), CallError> {
    let limit = stage.header.gas_limit;
    let left = limit.saturating_sub(ran.gas_used);
    if request.gas.is_some_and(|gas| gas > left) {
        let wanted = request.gas.unwrap_or_default().saturating_add(ran.gas_used);
        let message = format!("block gas limit reached: {wanted} >= {limit}");
        return Err(CallError::Coded { code: GAS_LIMIT_REACHED, message });
    }
    let request = TransactionRequest { gas: request.gas.or(Some(left)), ..request.clone() };
    let tx = stage.envelope(&request)?;
    let envelope = envelope(&request, &tx)?;
    let waiver = if payload.validation {
        Waiver { sender_code: true, gas_limits: true, ..Waiver::NONE }
    } else {
        Waiver::CALL
    };
    let hash = *envelope.tx_hash();
    let sender = tx.caller;
    let decoded = scene::unsigned(tx, waiver);
    let simulated = if payload.trace_transfers {
        let inspector = TransferInspector::new(false).with_logs(true);
        stage.inspect(&decoded, inspector).map(|(simulated, _)| simulated)
    } else {
        stage.run_decoded(&decoded)
    };
    let simulated = simulated.map_err(coded)?;
    stage.keep(&simulated)?;
    let result = &simulated.outcome.result;
    let used = result.tx_gas_used();
    let logs = if result.is_success() { result.logs().to_vec() } else { Vec::new() };
    let before: usize = ran.results.iter().map(|call| call.logs.len()).sum();
    let place = (ran.results.len() as u64, before as u64, hash);
    ran.results.push(call_result(stage, &simulated, logs.clone(), place));
    ran.receipts.push(ReceiptParts {
        tx_type: envelope.ty(),
        success: result.is_success(),
        gas_used: used,
        logs,
        post_state: None,
    });
    ran.outputs.push(simulated.output);
    ran.gas_used = ran.gas_used.saturating_add(used);
    let blobs = envelope.blob_gas_used().unwrap_or_default();
    ran.blob_gas_used = ran.blob_gas_used.saturating_add(blobs);
    ran.envelopes.push(Recovered::new_unchecked(envelope, sender));
    stage.gas_cap = stage.gas_cap.saturating_sub(used);
    Ok(())
}

/// A transaction that nobody signed, as it would stand in a block.
fn envelope(request: &TransactionRequest, tx: &TxEnv) -> Result<Envelope, CallError> {
    let priced = request.gas_price.is_some();
    let request = TransactionRequest {
        nonce: Some(tx.nonce),
        gas: Some(tx.gas_limit),
        chain_id: tx.chain_id,
        value: Some(tx.value),
        to: Some(tx.kind),
        max_fee_per_gas: (!priced).then_some(tx.gas_price),
        max_priority_fee_per_gas: (!priced).then(|| tx.gas_priority_fee.unwrap_or_default()),
        ..request.clone()
    };
    request
        .build_typed_simulate_transaction()
        .map_err(|error| CallError::Params(format!("the call is no transaction: {error}")))
}

fn call_result(
    stage: &Stage<'_>,
    simulated: &Simulated,
    logs: Vec<EthLog>,
    (index, first_log, hash): (u64, u64, B256),
) -> SimCallResult {
    let result = &simulated.outcome.result;
    let error = CallError::output(result).err().map(|error| SimulateError {
        code: match &error {
            CallError::Reverted(_) => SimulateError::EXECUTION_REVERTED_CODE,
            _ => SimulateError::VM_EXECUTION_ERROR_CODE,
        },
        message: error.to_string(),
        data: error.data().cloned(),
    });
    let logs = (first_log..).zip(logs).map(|(log_index, inner)| Log {
        inner,
        block_hash: None,
        block_number: Some(stage.header.number),
        block_timestamp: Some(stage.header.timestamp),
        transaction_hash: Some(hash),
        transaction_index: Some(index),
        log_index: Some(log_index),
        removed: false,
    });
    SimCallResult {
        return_data: match result {
            ExecutionResult::Halt { .. } => Bytes::new(),
            _ => result.output().cloned().unwrap_or_default(),
        },
        logs: logs.collect(),
        gas_used: result.tx_gas_used(),
        max_used_gas: Some(result.gas().total_gas_spent()),
        status: result.is_success(),
        error,
    }
}

/// The codes that the method's specification has for calls that may not be in
/// their block.
fn coded(error: CallError) -> CallError {
    use InvalidTransaction as I;
    let CallError::Invalid { reason, text: message } = error else { return error };
    let code = match &reason {
        I::NonceTooLow { .. } => -38010,
        I::NonceTooHigh { .. } => -38011,
        I::GasPriceLessThanBasefee => -38012,
        I::CallGasCostMoreThanGasLimit { .. } | I::GasFloorMoreThanGasLimit { .. } => -38013,
        I::LackOfFundForMaxFee { .. } => -38014,
        I::RejectCallerWithCode => -38024,
        I::CreateInitCodeSizeLimit => -38025,
        I::PriorityFeeGreaterThanMaxFee => SimulateError::INVALID_PARAMS_ERROR_CODE,
        _ => return CallError::Invalid { reason, text: message },
    };
    CallError::Coded { code, message }
}

use std::sync::Arc;

use alloy_consensus::{
    Header,
    constants::EMPTY_OMMER_ROOT_HASH,
    proofs::{calculate_withdrawals_root, ordered_trie_root_with_encoder},
};
use alloy_eips::{
    eip2718::Encodable2718,
    eip2935::{HISTORY_SERVE_WINDOW, HISTORY_STORAGE_ADDRESS},
    eip4788::BEACON_ROOTS_ADDRESS,
    eip4895::Withdrawal,
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
    eip7685::Requests,
};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use polity_engine::{BlockOutput, Parallel, Refusal};
use polity_evm::{
    BlockInput, KIND, header,
    receipt::{self, logs_bloom},
    spec::{ChainSpec, Fork},
};
use polity_kernel::{BlockContext, ViewError};
use polity_state::Changes;
use polity_types::Resources;

use super::{
    Block, Built, Chain, ChainError, ChainView, Event, Included, Tip, Transaction, edits, marks,
};

/// The roots of so many transactions are worth a second thread.
const MANY: usize = 64;

/// What the producer of a block decides.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// Seconds since the Unix epoch.
    pub timestamp: u64,
    /// Who receives the fees.
    pub beneficiary: Address,
    /// The gas limit; the parent's where it is not given.
    pub gas_limit: Option<u64>,
    /// The base fee in wei; EIP-1559's where it is not given.
    pub base_fee: Option<u64>,
    /// What contracts read as PREVRANDAO; derived from the parent where it is
    /// not given, so that a development chain comes out the same again.
    pub randomness: Option<B256>,
    /// The root of the parent beacon block (EIP-4788).
    pub parent_beacon_root: B256,
    /// Withdrawals (EIP-4895).
    pub withdrawals: Vec<Withdrawal>,
}

impl Draft {
    /// The header of the block after `parent`, as far as it is known before the
    /// block is executed.
    ///
    /// # Errors
    /// The parent's header is not of the chain.
    pub fn header(&self, spec: &ChainSpec, parent: &Block) -> Result<Header, ChainError> {
        let number = parent.number().saturating_add(1);
        let fork = spec.fork_at(number, self.timestamp);
        let base_fee = match self.base_fee {
            Some(fee) => (fork >= Fork::London).then_some(fee),
            None => header::expected_base_fee(spec, fork, &parent.header)?,
        };
        let randomness = self
            .randomness
            .unwrap_or_else(|| keccak256([parent.hash.as_slice(), &number.to_be_bytes()].concat()));
        let difficulty =
            header::expected_difficulty(spec, fork, number, self.timestamp, &parent.header);
        let from = |first: Fork| fork >= first;
        Ok(Header {
            parent_hash: parent.hash,
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: self.beneficiary,
            difficulty,
            number,
            gas_limit: self.gas_limit.unwrap_or(parent.header.gas_limit),
            timestamp: self.timestamp,
            mix_hash: if from(Fork::Paris) { randomness } else { B256::ZERO },
            base_fee_per_gas: base_fee,
            withdrawals_root: from(Fork::Shanghai)
                .then(|| calculate_withdrawals_root(&self.withdrawals)),
            blob_gas_used: from(Fork::Cancun).then_some(0),
            excess_blob_gas: header::expected_excess_blob_gas(spec, fork, &parent.header)?,
            parent_beacon_block_root: from(Fork::Cancun).then_some(self.parent_beacon_root),
            ..Header::default()
        })
    }

    /// The context in which the block with this header is executed.
    pub fn context(&self, spec: &ChainSpec, header: &Header) -> BlockContext {
        BlockInput::context(spec.chain_id, header, self.withdrawals.clone(), Vec::new())
    }
}

impl Chain {
    /// Adds a block. `choose` is given its header, as far as it is known, and
    /// gives the transactions that it may hold, in order; those that may not be
    /// in it are left out. When this returns, the block survives a crash where
    /// the chain is kept in a folder.
    ///
    /// # Errors
    /// The state or the store failed. The chain is as it was then.
    pub fn add(
        &self,
        draft: &Draft,
        choose: impl FnOnce(&Header) -> Vec<Arc<Transaction>>,
    ) -> Result<Built, ChainError> {
        let mut engine = self.engine();
        let tip = self.tip();
        let Executed { mut header, candidates, mut built, changes } =
            self.execute(&mut engine, &tip, draft, choose)?;
        let commit = self.state.commit(header.number, changes)?;

        // Where sealing fails, the state has a block too many.
        let undo = Undo { chain: self, to: tip.block.number() };
        let (transactions, left_out) = part(&candidates, &mut built);
        let fork = self.fork(&header);
        finish(&mut header, fork, &transactions, &built.output)?;
        header.state_root = commit.root()?;
        let hash = header.hash_slow();
        self.state.set_block_hash(header.number, hash)?;
        let withdrawals = draft.withdrawals.clone();
        let block = Arc::new(Block { header, hash, transactions, withdrawals });
        let mut edits = Changes::clone(&tip.edits);
        self.mark(&mut edits, &self.view_of(&tip)?)?;
        let edits = edits::encode(&edits, &self.state.view_at(tip.block.number())?)?;
        self.store.put(block.clone(), edits.as_deref())?;
        if self.durable {
            commit.durable()?;
        }
        undo.forget();
        self.set_tip(Tip { block: block.clone(), edits: Arc::default() });
        // Nobody may be listening.
        let _ = self.events.send(Event::Added(block.clone()));
        Ok(Built { block, left_out })
    }

    /// The block that [`Chain::add`] would add now, and the state after it. Its
    /// header lacks the state's root.
    ///
    /// # Errors
    /// The state failed.
    pub fn preview(
        &self,
        draft: &Draft,
        choose: impl FnOnce(&Header) -> Vec<Arc<Transaction>>,
    ) -> Result<(Block, ChainView), ChainError> {
        let mut engine = self.engine();
        let tip = self.tip();
        let Executed { mut header, candidates, mut built, changes } =
            self.execute(&mut engine, &tip, draft, choose)?;
        drop(engine);
        let (transactions, _) = part(&candidates, &mut built);
        let fork = self.fork(&header);
        finish(&mut header, fork, &transactions, &built.output)?;
        let withdrawals = draft.withdrawals.clone();
        let block = Block { header, hash: B256::ZERO, transactions, withdrawals };
        let state = self.state.view_at(tip.block.number())?;
        Ok((block, ChainView::new(state, Arc::new(changes), self.remote.clone())))
    }

    fn execute(
        &self,
        engine: &mut Parallel,
        tip: &Tip,
        draft: &Draft,
        choose: impl FnOnce(&Header) -> Vec<Arc<Transaction>>,
    ) -> Result<Executed, ChainError> {
        let header = draft.header(&self.spec, &tip.block)?;
        let candidates = choose(&header);
        let view = self.view_of(tip)?;
        if self.remote.is_some() {
            warm(&view, self.fork(&header), &header, &candidates)?;
        }
        let block = polity_engine::Block {
            context: draft.context(&self.spec, &header),
            transactions: candidates.iter().map(|tx| tx.decoded.clone()).collect(),
            transaction_limit: Resources::UNLIMITED,
        };
        let built = engine.build(&self.machines, &view, &block)?;
        let mut changes = Changes::clone(&tip.edits);
        built.output.effects().try_for_each(|effects| changes.apply(&view, effects))?;
        self.mark(&mut changes, &view)?;
        Ok(Executed { header, candidates, built, changes })
    }
}

impl Chain {
    /// On a fork, makes changes say all of what the other chain is not to be asked
    /// for any more: what they leave with nothing, and the codes that they name.
    fn mark(&self, changes: &mut Changes, before: &ChainView) -> Result<(), ChainError> {
        let Some(remote) = &self.remote else { return Ok(()) };
        marks::add(changes, |account| before.is_marked(account, &marks::removed()))?;
        let named: Vec<B256> = changes.named_codes().collect();
        for hash in named {
            if let Some(code) = remote.code(&hash) {
                changes.set_code(hash, code.bytes().clone());
            }
        }
        Ok(())
    }
}

/// How many roots of beacon blocks are kept (EIP-4788).
const BEACON_ROOTS: u64 = 8191;

/// Asks the other chain in one go for what a block is known to need.
fn warm(
    view: &ChainView,
    fork: Fork,
    header: &Header,
    candidates: &[Arc<Transaction>],
) -> Result<(), ViewError> {
    let mut accounts = vec![header.beneficiary];
    let mut slots = Vec::new();
    let mut system = |contract: Address, read: &[u64]| {
        accounts.push(contract);
        slots.extend(read.iter().map(|slot| (contract, U256::from(*slot))));
    };
    if fork >= Fork::Cancun {
        let slot = header.timestamp % BEACON_ROOTS;
        system(BEACON_ROOTS_ADDRESS, &[slot, slot.saturating_add(BEACON_ROOTS)]);
    }
    if fork >= Fork::Prague {
        let parent = header.number.saturating_sub(1);
        system(HISTORY_STORAGE_ADDRESS, &[parent % HISTORY_SERVE_WINDOW as u64]);
        // Excess, count, head and tail of the queues.
        system(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, &[0, 1, 2, 3]);
        system(CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, &[0, 1, 2, 3]);
    }
    for tx in candidates {
        accounts.push(tx.sender());
        accounts.extend(alloy_consensus::Transaction::to(&tx.envelope));
        let list = alloy_consensus::Transaction::access_list(&tx.envelope);
        for item in list.into_iter().flat_map(|list| list.iter()) {
            accounts.push(item.address);
            let key = |slot: &B256| (item.address, U256::from_be_bytes(slot.0));
            slots.extend(item.storage_keys.iter().map(key));
        }
    }
    view.warm(&accounts, &slots)
}

/// A block that was executed and nothing else.
struct Executed {
    header: Header,
    candidates: Vec<Arc<Transaction>>,
    built: polity_engine::Built,
    /// Of the state after the parent, edits included.
    changes: Changes,
}

/// The state's way back to the block before, unless it is forgotten.
struct Undo<'a> {
    chain: &'a Chain,
    to: u64,
}

impl Undo<'_> {
    fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        let undone = self
            .chain
            .store
            .truncate(self.to)
            .map_err(ChainError::from)
            .and_then(|()| Ok(self.chain.state.roll_back(self.to)?));
        if let Err(error) = undone {
            tracing::error!(%error, block = self.to, "going back after a failed block");
        }
    }
}

type LeftOut = Vec<(Arc<Transaction>, Option<polity_kernel::Invalid>)>;

/// Parts the candidates into those in the block, with their outputs, and the
/// others.
fn part(
    candidates: &[Arc<Transaction>],
    built: &mut polity_engine::Built,
) -> (Vec<Included>, LeftOut) {
    let mut refused = std::mem::take(&mut built.left_out).into_iter().peekable();
    let mut outputs = std::mem::take(&mut built.output.transactions).into_iter();
    let mut included = Vec::with_capacity(outputs.len());
    let mut others = Vec::new();
    for (index, tx) in candidates.iter().enumerate() {
        match refused.next_if(|left_out| left_out.candidate == index) {
            None => included.extend(outputs.next().map(|out| Included::new(tx.clone(), out))),
            Some(left_out) => others.push((tx.clone(), reason(left_out.why))),
        }
    }
    (included, others)
}

fn reason(why: Refusal) -> Option<polity_kernel::Invalid> {
    match why {
        Refusal::NoRoom(_) => None,
        Refusal::Invalid(invalid) => Some(invalid),
        Refusal::Fault(reason) => Some(polity_kernel::Invalid { code: "FAULT", reason }),
    }
}

/// Fills in what only execution tells, but for the state's root.
fn finish(
    header: &mut Header,
    fork: Fork,
    transactions: &[Included],
    output: &BlockOutput,
) -> Result<(), ChainError> {
    let totals = output.totals_of(KIND);
    header.gas_used = totals.gas_used;
    if fork >= Fork::Cancun {
        header.blob_gas_used = Some(totals.used.availability);
    }
    let receipts = receipt::receipts(transactions.iter().map(Included::parts))?;
    let encode = |included: &Included, out: &mut Vec<u8>| {
        included.transaction.envelope.encode_2718(out);
    };
    let transactions_root = || ordered_trie_root_with_encoder(transactions, encode);
    let receipts_root = || receipt::receipts_root(&receipts);
    let (transactions_root, receipts_root) = if transactions.len() < MANY {
        (transactions_root(), receipts_root())
    } else {
        rayon::join(transactions_root, receipts_root)
    };
    header.transactions_root = transactions_root;
    header.receipts_root = receipts_root;
    header.logs_bloom = logs_bloom(&receipts);
    if fork >= Fork::Prague {
        let requests = output.end.iter().flat_map(|end| end.end.requests.iter().cloned());
        let requests = Requests::new(requests.collect::<Vec<Bytes>>());
        header.requests_hash = Some(receipt::requests_hash(&requests));
    }
    Ok(())
}

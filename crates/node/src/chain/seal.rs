use std::sync::{Arc, PoisonError};

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
    BlockInput, KIND, header, receipt,
    spec::{ChainSpec, Fork},
};
use polity_kernel::ViewError;
use polity_state::Changes;
use polity_types::Resources;

use super::{
    ANCESTORS, Block, Built, Candidate, Chain, ChainError, ChainView, Event, Included,
    IncludedGuest, Tip, edits, marks, receipts, view::Layer,
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
        choose: impl FnOnce(&Header) -> Vec<Candidate>,
    ) -> Result<Built, ChainError> {
        let mut engine = self.engine();
        let tip = self.tip();
        let (executed, changes) = self.execute(&mut engine, &tip, draft, choose)?;
        let ancestors = executed.ancestors.clone();
        let number = executed.header.number;
        let commit = self.state.commit(number, changes)?;

        // Where sealing fails, the state has a block too many.
        let undo = Undo { chain: self, to: tip.block.number() };
        let (mut block, left_out) = executed.block(&self.spec, draft)?;
        block.header.state_root = commit.root()?;
        block.hash = block.header.hash_slow();
        self.state.set_block_hash(number, block.hash)?;
        let block = Arc::new(block);
        let mut edits = Changes::clone(&tip.edits);
        self.mark(&mut edits, &self.view_of(&tip)?)?;
        let edits = edits::encode(&edits, &self.state.view_at(tip.block.number())?)?;
        self.store.put(block.clone(), edits.as_deref())?;
        if self.durable {
            commit.durable()?;
        }
        undo.forget();
        self.remember(block.hash, &ancestors);
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
        choose: impl FnOnce(&Header) -> Vec<Candidate>,
    ) -> Result<(Block, ChainView), ChainError> {
        let mut engine = self.engine();
        let tip = self.tip();
        let (executed, changes) = self.execute(&mut engine, &tip, draft, choose)?;
        drop(engine);
        let (block, _) = executed.block(&self.spec, draft)?;
        let state = self.state.view_at(tip.block.number())?;
        Ok((block, ChainView::new(state, Arc::new(changes), self.remote.clone())))
    }

    fn execute(
        &self,
        engine: &mut Parallel,
        tip: &Tip,
        draft: &Draft,
        choose: impl FnOnce(&Header) -> Vec<Candidate>,
    ) -> Result<(Executed, Changes), ChainError> {
        let header = draft.header(&self.spec, &tip.block)?;
        let candidates = choose(&header);
        let view = self.view_of(tip)?;
        if self.remote.is_some() {
            warm(&view, self.fork(&header), &header, &candidates)?;
        }
        let company = self.company(&header)?;
        let withdrawals = draft.withdrawals.clone();
        let context = BlockInput::context(self.spec.chain_id, &header, withdrawals, Vec::new());
        let block = polity_engine::Block {
            context: company.join(context, &header),
            transactions: candidates.iter().map(|tx| tx.decoded().clone()).collect(),
            transaction_limit: Resources::UNLIMITED,
        };
        let built = engine.build(&self.machines, &view, &block)?;
        let mut changes = Changes::clone(&tip.edits);
        let supplements = self.apply(&mut changes, &view, &candidates, &built)?;
        self.mark(&mut changes, &view)?;
        let ancestors = company.ancestors;
        Ok((Executed { header, ancestors, candidates, built, supplements }, changes))
    }

    /// Adds what a block does to the changes on which it was executed, and gives
    /// what the guests want to keep of their transactions, in order.
    fn apply(
        &self,
        changes: &mut Changes,
        view: &ChainView,
        candidates: &[Candidate],
        built: &polity_engine::Built,
    ) -> Result<Vec<Bytes>, ChainError> {
        let output = &built.output;
        let mut supplements = Vec::new();
        output.begin.iter().try_for_each(|begin| changes.apply(view, &begin.effects))?;
        for (index, output) in built.included(candidates.len()).zip(&output.transactions) {
            if let Some(Candidate::Guest(transaction)) = candidates.get(index) {
                let mut own = Changes::new();
                let before = Layer { under: view, changes: &*changes };
                own.apply(&before, &output.effects)?;
                let after = Layer { under: &before, changes: &own };
                let guest = self.guests().get(transaction.kind());
                let kept = guest
                    .map(|guest| guest.supplement(&transaction.decoded, output, &before, &after));
                supplements.push(kept.transpose()?.unwrap_or_default().into());
            }
            changes.apply(view, &output.effects)?;
        }
        output.end.iter().try_for_each(|end| changes.apply(view, &end.effects))?;
        Ok(supplements)
    }

    /// Keeps the hashes that the guests are told of the next block.
    fn remember(&self, newest: B256, before: &[B256]) {
        if self.guests().is_empty() {
            return;
        }
        let ancestors = [newest].into_iter().chain(before.iter().copied());
        let ancestors = ancestors.take(ANCESTORS).collect();
        *self.ancestors.lock().unwrap_or_else(PoisonError::into_inner) = ancestors;
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
    candidates: &[Candidate],
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
    for candidate in candidates {
        // The other chain knows nothing of other machines.
        let Candidate::Ethereum(tx) = candidate else { continue };
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
    /// What the guests were told of the blocks before.
    ancestors: Arc<[B256]>,
    candidates: Vec<Candidate>,
    built: polity_engine::Built,
    /// What the guests keep of their transactions, in order.
    supplements: Vec<Bytes>,
}

impl Executed {
    /// The block, but for the state's root and its hash, and who is not in it.
    fn block(self, spec: &ChainSpec, draft: &Draft) -> Result<(Block, LeftOut), ChainError> {
        let Self { header, candidates, mut built, supplements, .. } = self;
        let fork = spec.fork_at(header.number, header.timestamp);
        let mut block = Block::empty(header, B256::ZERO);
        block.withdrawals = draft.withdrawals.clone();
        let left_out = part(&candidates, &mut built, supplements, &mut block);
        finish(&mut block, fork, &built.output)?;
        Ok((block, left_out))
    }
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

type LeftOut = Vec<(Candidate, Option<polity_kernel::Invalid>)>;

/// Puts those of the candidates that are in the block into it, with their outputs,
/// and gives the others.
fn part(
    candidates: &[Candidate],
    built: &mut polity_engine::Built,
    supplements: Vec<Bytes>,
    block: &mut Block,
) -> LeftOut {
    let mut refused = std::mem::take(&mut built.left_out).into_iter().peekable();
    let mut outputs = (0_u32..).zip(std::mem::take(&mut built.output.transactions));
    let mut supplements = supplements.into_iter();
    let mut others = Vec::new();
    let own = candidates.iter().filter(|candidate| matches!(candidate, Candidate::Ethereum(_)));
    block.transactions.reserve_exact(own.count());
    for (place, candidate) in candidates.iter().enumerate() {
        if let Some(left_out) = refused.next_if(|left_out| left_out.candidate == place) {
            others.push((candidate.clone(), reason(left_out.why)));
            continue;
        }
        let Some((index, output)) = outputs.next() else { continue };
        match candidate.clone() {
            Candidate::Ethereum(transaction) => {
                block.transactions.push(Included::new(transaction, index, output));
            }
            Candidate::Guest(transaction) => block.guests.push(IncludedGuest {
                transaction,
                index,
                receipt: output.receipt,
                events: output.effects.events,
                supplement: supplements.next().unwrap_or_default(),
            }),
        }
    }
    others
}

fn reason(why: Refusal) -> Option<polity_kernel::Invalid> {
    match why {
        Refusal::NoRoom(_) => None,
        Refusal::Invalid(invalid) => Some(invalid),
        Refusal::Fault(reason) => Some(polity_kernel::Invalid { code: "FAULT", reason }),
    }
}

/// Fills in what only execution tells, but for the state's root.
fn finish(block: &mut Block, fork: Fork, output: &BlockOutput) -> Result<(), ChainError> {
    if let Some(commitment) = block.commitment() {
        block.header.extra_data = commitment.into();
    }
    let Block { header, transactions, .. } = block;
    let totals = output.totals_of(KIND);
    header.gas_used = totals.gas_used;
    if fork >= Fork::Cancun {
        header.blob_gas_used = Some(totals.used.availability);
    }
    let encode = |included: &Included, out: &mut Vec<u8>| {
        included.transaction.envelope.encode_2718(out);
    };
    let transactions_root = || ordered_trie_root_with_encoder(transactions, encode);
    let summary = || receipts::summary(transactions);
    let (transactions_root, summary) = if transactions.len() < MANY {
        (transactions_root(), summary())
    } else {
        rayon::join(transactions_root, summary)
    };
    header.transactions_root = transactions_root;
    (header.receipts_root, header.logs_bloom) = summary?;
    if fork >= Fork::Prague {
        // What other machines hand out is nothing that Ethereum asks for.
        let end = output.end.iter().filter(|end| end.machine == KIND);
        let requests = end.flat_map(|end| end.end.requests.iter().cloned());
        let requests = Requests::new(requests.collect::<Vec<Bytes>>());
        header.requests_hash = Some(receipt::requests_hash(&requests));
    }
    Ok(())
}

//! Random blocks.

use super::{
    CHAIN_ID, Kind, Shrink,
    draft::{Draft, Envelope, Now},
    generator::Generator,
    setup::{Account, Setup},
};
use crate::Rng;
use alloy_consensus::{Header, proofs::calculate_transaction_root};
use alloy_eips::{eip4844::DATA_GAS_PER_BLOB, eip4895::Withdrawal, eip7685::Requests};
use alloy_primitives::{Address, U256};
use polity_engine::{Block, BlockError, BlockOutput, Overlay, OverlayError, Sequential};
use polity_evm::{
    BlockInput, Evm, KIND, account, decode_envelope,
    receipt::{self, ReceiptError, ReceiptParts},
    spec::{ChainSpec, Fork},
};
use polity_kernel::{
    BlockContext, DecodeError, Decoded, Executed, Halt, Kernel, Machines, RegistrationError,
    Scratch, Totals, View,
};
use polity_types::{AccountRecord, Resources};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

/// A block of Ethereum transactions on a state of its own, a function of its seed.
pub struct RandomBlock {
    /// The number that it was made from.
    pub seed: u64,
    /// The rules that it follows, from genesis on.
    pub fork: Fork,
    /// The header, as far as execution and [`RandomBlock::transactions`] give it: the state root
    /// stands for nothing. Of a block that is invalid it names no results.
    pub header: Header,
    /// The transactions.
    pub transactions: Vec<Transaction>,
    /// The withdrawals (EIP-4895); none before Shanghai.
    pub withdrawals: Vec<Withdrawal>,
    /// The accounts before the block.
    pub accounts: BTreeMap<Address, Account>,
    /// The machines: Ethereum's.
    pub machines: Machines,
    /// The state before the block: [`RandomBlock::accounts`] and the hash of the parent.
    pub state: Overlay<'static>,
    /// The block, ready to execute on [`RandomBlock::state`].
    pub block: Block,
    /// What sequential execution gives.
    pub expected: Result<BlockOutput, BlockError>,
    setup: Setup,
    drafts: Vec<Draft>,
}

/// A transaction of a random block.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// What it is there for.
    pub kind: Kind,
    /// Whether it may not be in the block.
    pub faulty: bool,
    /// Who signed it.
    pub sender: Address,
    /// The signed transaction.
    pub envelope: Envelope,
}

/// A random block cannot be made. Every cause is a mistake in this module or in a machine.
#[derive(Debug, thiserror::Error)]
pub enum RandomBlockError {
    /// A key does not sign.
    #[error("signing: {0}")]
    Signature(#[from] k256::ecdsa::Error),
    /// What was signed cannot be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The Ethereum machine cannot be registered.
    #[error(transparent)]
    Machines(#[from] RegistrationError),
    /// A transaction, or the begin of the block, is not executed to its end.
    #[error(transparent)]
    Halt(#[from] Halt),
    /// Effects do not fit the state.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// The receipts cannot be made.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
}

impl RandomBlock {
    /// The block with this seed and at most this many transactions. The same arguments always give
    /// the same block.
    ///
    /// # Errors
    /// See [`RandomBlockError`].
    pub fn new(seed: u64, most: usize) -> Result<Self, RandomBlockError> {
        Self::draw(seed, most, |rng, count| {
            rng.once_in(10).then(|| rng.below(count)).into_iter().collect()
        })
    }

    /// Like [`RandomBlock::new`], but about one in eight transactions may not be in the block:
    /// candidates to build one from.
    ///
    /// # Errors
    /// See [`RandomBlockError`].
    pub fn candidates(seed: u64, most: usize) -> Result<Self, RandomBlockError> {
        Self::draw(seed, most, |rng, count| (0..count).filter(|_| rng.once_in(8)).collect())
    }

    /// `faulty` draws which of so many transactions may not be in the block.
    fn draw(
        seed: u64,
        most: usize,
        faulty: impl FnOnce(&mut Rng, usize) -> BTreeSet<usize>,
    ) -> Result<Self, RandomBlockError> {
        let mut rng = Rng::new(seed);
        let setup = Setup::new(&mut rng, most);
        let count = rng.below(most).saturating_add(1).min(most);
        let faulty = faulty(&mut rng, count);
        let mut generator = Generator::new(rng, setup.fork);
        let mut builder = Builder::new(seed, setup)?;
        // What was drawn may have no occasion, or not fit: that is no reason to go on for ever.
        for _ in 0..count.saturating_mul(4) {
            if builder.drafts.len() >= count {
                break;
            }
            let faulty = faulty.contains(&builder.drafts.len());
            let draft =
                if faulty { generator.draw_faulty(&builder) } else { generator.draw(&builder) };
            if let Some(draft) = draft {
                builder.push(draft)?;
            }
        }
        builder.finish()
    }

    /// The rules of the chain that the block is on.
    pub fn spec(&self) -> ChainSpec {
        self.setup.spec()
    }

    /// The state before the block, once more.
    pub fn state_before(&self) -> Overlay<'static> {
        self.setup.state()
    }

    /// The block without some of its transactions, and without those that are then not possible.
    ///
    /// # Errors
    /// See [`RandomBlockError`].
    pub fn without(&self, dropped: Range<usize>) -> Result<Self, RandomBlockError> {
        let mut builder = Builder::new(self.seed, self.setup.clone())?;
        for (index, draft) in self.drafts.iter().enumerate() {
            if !dropped.contains(&index) {
                builder.push(draft.clone())?;
            }
        }
        builder.finish()
    }
}

impl Shrink for RandomBlock {
    type Error = RandomBlockError;

    fn count(&self) -> usize {
        self.transactions.len()
    }

    fn without(&self, dropped: Range<usize>) -> Result<Self, Self::Error> {
        RandomBlock::without(self, dropped)
    }
}

/// A block under construction, and the state after what it holds so far.
pub(super) struct Builder {
    seed: u64,
    setup: Setup,
    machines: Machines,
    context: BlockContext,
    state: Overlay<'static>,
    scratch: Scratch,
    used: Totals,
    drafts: Vec<Draft>,
    transactions: Vec<Transaction>,
    decoded: Vec<Decoded>,
}

impl Builder {
    fn new(seed: u64, setup: Setup) -> Result<Self, RandomBlockError> {
        let machines = Machines::default().with(Evm::new(setup.spec()))?;
        let context =
            BlockInput::context(CHAIN_ID, &setup.header, setup.withdrawals.clone(), Vec::new());
        let mut state = setup.state();
        let mut scratch = Scratch::default();
        let begin = Kernel::new(&machines, &context, &state, &mut scratch).begin_block(KIND)?;
        state.apply(&begin)?;
        Ok(Self {
            seed,
            setup,
            machines,
            context,
            state,
            scratch,
            used: Totals::default(),
            drafts: Vec::new(),
            transactions: Vec::new(),
            decoded: Vec::new(),
        })
    }

    pub(super) fn fork(&self) -> Fork {
        self.setup.fork
    }

    pub(super) fn number(&self) -> u64 {
        self.setup.header.number
    }

    pub(super) fn timestamp(&self) -> u64 {
        self.setup.header.timestamp
    }

    pub(super) fn beneficiary(&self) -> Address {
        self.setup.header.beneficiary
    }

    fn record(&self, address: Address) -> AccountRecord {
        // A state in memory always answers.
        self.state.account(&account(address)).ok().flatten().unwrap_or_default()
    }

    pub(super) fn balance(&self, address: Address) -> U256 {
        self.record(address).balance
    }

    pub(super) fn has_code(&self, address: Address) -> bool {
        self.record(address).code.is_some()
    }

    /// Adds a transaction; one that may not be here is left out, unless it is faulty on purpose.
    fn push(&mut self, draft: Draft) -> Result<(), RandomBlockError> {
        let sender = draft.sender();
        let envelope = draft.sign(&Now {
            base_fee: self.setup.header.base_fee_per_gas.unwrap_or_default(),
            block_gas_limit: self.setup.header.gas_limit,
            balance: self.balance(sender),
            nonce: &|address| self.record(address).sequence,
        })?;
        let decoded = decode_envelope(&envelope, CHAIN_ID, self.setup.fork)?;
        let faulty = draft.fault.is_some();
        if !faulty && !self.execute(&decoded)? {
            return Ok(());
        }
        self.transactions.push(Transaction { kind: draft.kind, faulty, sender, envelope });
        self.drafts.push(draft);
        self.decoded.push(decoded);
        Ok(())
    }

    /// Whether the transaction is possible, which then has taken place.
    fn execute(&mut self, tx: &Decoded) -> Result<bool, RandomBlockError> {
        let machine = self.machines.get(KIND);
        if machine.is_none_or(|machine| machine.admit(tx, &self.used, &self.context).is_err()) {
            return Ok(false);
        }
        let kernel = Kernel::new(&self.machines, &self.context, &self.state, &mut self.scratch);
        let Executed::Included(output) = kernel.transact(tx, Resources::UNLIMITED)? else {
            return Ok(false);
        };
        self.state.apply(&output.effects)?;
        self.used.add(&output.receipt);
        Ok(true)
    }

    fn finish(self) -> Result<RandomBlock, RandomBlockError> {
        let Self { seed, setup, machines, context, drafts, transactions, decoded, .. } = self;
        let block =
            Block { context, transactions: decoded, transaction_limit: Resources::UNLIMITED };
        let state = setup.state();
        let expected = Sequential::new().execute(&machines, &state, &block);
        Ok(RandomBlock {
            seed,
            fork: setup.fork,
            header: header(&setup, &transactions, expected.as_ref().ok())?,
            withdrawals: setup.withdrawals.clone(),
            accounts: setup.accounts.clone(),
            transactions,
            machines,
            state,
            block,
            expected,
            setup,
            drafts,
        })
    }
}

/// The header with what the transactions and their execution give.
fn header(
    setup: &Setup,
    transactions: &[Transaction],
    output: Option<&BlockOutput>,
) -> Result<Header, RandomBlockError> {
    let envelopes: Vec<&Envelope> = transactions.iter().map(|tx| &tx.envelope).collect();
    let blobs = envelopes.iter().filter_map(|tx| tx.as_eip4844());
    let blobs: usize = blobs.map(|tx| tx.tx().blob_versioned_hashes.len()).sum();
    let mut header = Header {
        transactions_root: calculate_transaction_root(&envelopes),
        blob_gas_used: (setup.fork >= Fork::Cancun)
            .then_some(DATA_GAS_PER_BLOB.saturating_mul(blobs as u64)),
        requests_hash: (setup.fork >= Fork::Prague)
            .then(|| receipt::requests_hash(&Requests::default())),
        ..setup.header.clone()
    };
    let Some(output) = output else { return Ok(header) };
    let parts = envelopes.iter().zip(&output.transactions).map(|(envelope, output)| ReceiptParts {
        tx_type: envelope.tx_type() as u8,
        success: output.receipt.status.is_success(),
        gas_used: output.receipt.gas_used,
        logs: polity_evm::logs(&output.effects.events),
        post_state: None,
    });
    let receipts = receipt::receipts(parts)?;
    header.receipts_root = receipt::receipts_root(&receipts);
    header.logs_bloom = receipt::logs_bloom(&receipts);
    header.gas_used = output.totals_of(KIND).gas_used;
    if let Some(hash) = &mut header.requests_hash {
        let requests = output.end.iter().flat_map(|end| end.end.requests.clone()).collect();
        *hash = receipt::requests_hash(&Requests::new(requests));
    }
    Ok(header)
}

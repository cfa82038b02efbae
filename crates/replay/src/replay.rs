//! Executing a block folder and comparing with its header.

use alloy_consensus::Header;
use alloy_primitives::{B256, Bloom, KECCAK256_EMPTY, U256};
use polity_engine::{Block, BlockError, BlockOutput, Overlay, Place, Sequential};
use polity_evm::{
    BlockInput, Evm, KIND, Unsigned, account, code_ref, decode_envelope,
    genesis::{self, GenesisError},
    receipt::{self, ReceiptError, ReceiptParts},
    spec::{ChainSpec, Fork, Network, SpecError},
};
use polity_kernel::{
    BlockContext, Code, DecodeError, Decoded, Halt, Inputs, Machines, RegistrationError, View,
    ViewError,
};
use polity_types::{AccountRecord, LocalKey, Resources, Value};
use revm::context::{TxEnv, either::Either};
use std::sync::Arc;

use crate::{
    block::FullBlock,
    chain::Chain,
    flat::{FlatBlock, FlatTransaction},
    folder::{BlockFolder, FolderBlock},
};

/// A block folder, ready to execute: transactions decoded and authenticated,
/// the pre-state in memory.
pub struct Replay {
    /// The block's height.
    pub number: u64,
    /// The rules of the block.
    pub fork: Fork,
    /// The machines: Ethereum's, by the rules of the folder's chain.
    pub machines: Machines,
    /// The state before the block, as far as the block touches it.
    pub state: Overlay<'static>,
    /// The block.
    pub block: Block,
    /// The header to compare with; a flat folder has none.
    pub header: Option<Header>,
    /// How many ommers the block has whose headers the folder lacks. Their
    /// rewards are not paid.
    pub missing_ommers: usize,
    /// The transactions' types (EIP-2718), for their receipts.
    transaction_types: Vec<u8>,
}

/// Why a block folder cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The chain's rules do not fit together.
    #[error("genesis.json: {0}")]
    Genesis(#[from] GenesisError),
    /// The rules of the block are not known.
    #[error("{0}")]
    Spec(#[from] SpecError),
    /// The environment names another fork than the chain's rules do.
    #[error("env.json: spec_id is {found}, but at this number and time the chain is at {expected}")]
    Fork {
        /// The fork in the file.
        found: String,
        /// The chain's fork at the block's number and time.
        expected: Fork,
    },
    /// A transaction is not authentic.
    #[error("block.json: transactions[{index}] ({hash}): {error}")]
    Transaction {
        /// Its place in the block.
        index: usize,
        /// Its hash.
        hash: B256,
        /// Why.
        error: DecodeError,
    },
    /// The set of machines is wrong.
    #[error(transparent)]
    Machines(#[from] RegistrationError),
}

/// Why a block folder cannot be executed.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The folder lacks the hash of an ancestor.
    #[error(
        "block_hashes.json: no entry {number}, the hash of a block that is asked for ({place})"
    )]
    BlockHash {
        /// The ancestor.
        number: u64,
        /// What asks for it.
        place: Place,
    },
    /// The folder lacks a code.
    #[error("bytecodes.json: no entry {hash}, a code that is run ({place})")]
    Code {
        /// Its keccak256.
        hash: B256,
        /// What runs it.
        place: Place,
    },
    /// The block is invalid, or cannot be executed for another reason.
    #[error(transparent)]
    Block(BlockError),
}

impl From<BlockError> for ExecuteError {
    fn from(error: BlockError) -> Self {
        match error {
            BlockError::Halt { place, halt: Halt::View(ViewError::MissingBlockHash(number)) } => {
                Self::BlockHash { number, place }
            }
            BlockError::Halt { place, halt: Halt::View(ViewError::MissingCode(hash)) } => {
                Self::Code { hash, place }
            }
            other => Self::Block(other),
        }
    }
}

impl Replay {
    /// Makes a block folder ready.
    ///
    /// # Errors
    /// Rules that do not fit together, or a transaction that is not authentic.
    pub fn new(folder: &BlockFolder) -> Result<Self, ReplayError> {
        let state = state_of(folder);
        match &folder.block {
            FolderBlock::Full(full) => Self::full(full, state),
            FolderBlock::Flat(flat) => Self::flat(flat, state),
        }
    }

    /// Makes a block ready whose state comes from elsewhere.
    ///
    /// # Errors
    /// As [`Replay::new`].
    pub fn full(full: &FullBlock, state: Overlay<'static>) -> Result<Self, ReplayError> {
        let spec = match &full.chain {
            Chain::Mainnet => ChainSpec::mainnet(),
            Chain::Custom(genesis) => {
                let number = genesis.number.unwrap_or_default();
                let mut spec = genesis::chain_spec(&genesis.config, genesis.difficulty, number)?;
                // A folder does not tell whether the chain has them; its header
                // tells whether there were requests.
                spec.request_contracts_optional = true;
                spec
            }
        };
        let header = &full.header;
        let fork = spec.fork_at(header.number, header.timestamp);
        let transactions = full
            .transactions
            .iter()
            .enumerate()
            .map(|(index, tx)| {
                decode_envelope(&tx.envelope, spec.chain_id, fork).map_err(|error| {
                    ReplayError::Transaction { index, hash: *tx.envelope.tx_hash(), error }
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let ommers = full.ommers.clone().unwrap_or_default();
        let missing_ommers = full.ommer_hashes.len().saturating_sub(ommers.len());
        let withdrawals = full.withdrawals.clone().unwrap_or_default();
        let context = BlockInput::context(spec.chain_id, header, withdrawals, ommers);
        let types = full.transactions.iter().map(|tx| tx.envelope.tx_type() as u8).collect();
        Self::with(spec, fork, context, transactions, types, state).map(|replay| Self {
            header: Some(header.clone()),
            missing_ommers,
            ..replay
        })
    }

    fn flat(flat: &FlatBlock, state: Overlay<'static>) -> Result<Self, ReplayError> {
        let env = &flat.env;
        let spec = match env.chain_id {
            crate::MAINNET_CHAIN_ID => ChainSpec::mainnet(),
            chain_id => {
                let mut spec = Network::parse(&env.spec_id)?;
                spec.chain_id = chain_id;
                spec
            }
        };
        let fork = spec.fork_at(env.number, env.timestamp);
        let named = Network::parse(&env.spec_id)?.fork_at(env.number, env.timestamp);
        if named.spec_id()? != fork.spec_id()? {
            return Err(ReplayError::Fork { found: env.spec_id.clone(), expected: fork });
        }
        let input = BlockInput {
            gas_limit: env.gas_limit,
            base_fee: env.base_fee,
            difficulty: env.difficulty,
            excess_blob_gas: env.excess_blob_gas,
            transactions_only: true,
            ..BlockInput::default()
        };
        let context = BlockContext {
            chain_id: spec.chain_id,
            number: env.number,
            timestamp: env.timestamp,
            beneficiary: account(env.beneficiary),
            randomness: env.prevrandao.unwrap_or_default(),
            inputs: Inputs::default().with(KIND, input),
        };
        let power = Unsigned::for_simulation();
        let transactions = (0_u64..)
            .zip(&flat.transactions)
            .map(|(index, tx)| power.transaction(environment(tx), B256::from(U256::from(index))))
            .collect();
        let types = flat.transactions.iter().map(|tx| tx.tx_type).collect();
        Self::with(spec, fork, context, transactions, types, state)
    }

    fn with(
        spec: ChainSpec,
        fork: Fork,
        context: BlockContext,
        transactions: Vec<Decoded>,
        transaction_types: Vec<u8>,
        state: Overlay<'static>,
    ) -> Result<Self, ReplayError> {
        // A fork that revm does not have is refused before anything runs.
        fork.spec_id()?;
        Ok(Self {
            number: context.number,
            fork,
            machines: Machines::default().with(Evm::new(spec))?,
            state,
            block: Block { context, transactions, transaction_limit: Resources::UNLIMITED },
            header: None,
            missing_ommers: 0,
            transaction_types,
        })
    }

    /// Executes the block on the state of the folder.
    ///
    /// # Errors
    /// The folder lacks something, or the block is invalid.
    pub fn execute(&self, engine: &mut Sequential) -> Result<BlockOutput, ExecuteError> {
        Ok(self.execute_on(engine, &self.state)?)
    }

    /// Executes the block on another state.
    ///
    /// # Errors
    /// As [`Sequential::execute`].
    pub fn execute_on(
        &self,
        engine: &mut Sequential,
        view: &dyn View,
    ) -> Result<BlockOutput, BlockError> {
        engine.execute(&self.machines, view, &self.block)
    }

    /// The receipts of the executed block in Ethereum's form. Before Byzantium
    /// they hold a state root, which a part of the state does not give: it is
    /// left out, and their root means nothing.
    ///
    /// # Errors
    /// A type of transaction that has no receipt.
    pub fn receipts(
        &self,
        output: &BlockOutput,
    ) -> Result<Vec<alloy_consensus::ReceiptEnvelope>, ReceiptError> {
        let parts =
            self.transaction_types.iter().zip(&output.transactions).map(|(tx_type, output)| {
                ReceiptParts {
                    tx_type: *tx_type,
                    success: output.receipt.status.is_success(),
                    gas_used: output.receipt.gas_used,
                    logs: polity_evm::logs(&output.effects.events),
                    post_state: None,
                }
            });
        receipt::receipts(parts)
    }

    /// Compares what the block gave with its header.
    ///
    /// # Errors
    /// As [`Replay::receipts`].
    pub fn verdict(&self, output: &BlockOutput) -> Result<Verdict, ReceiptError> {
        let receipts = self.receipts(output)?;
        let header = self.header.as_ref();
        let gas_used = output.totals_of(KIND).gas_used;
        let with_root = header.filter(|_| self.fork >= Fork::Byzantium);
        let requests = output.end.iter().find(|end| end.machine == KIND).map(|end| {
            let requests = end.end.requests.clone();
            receipt::requests_hash(&alloy_eips::eip7685::Requests::new(requests))
        });
        Ok(Verdict {
            gas_used,
            gas_used_expected: header.map(|header| header.gas_used),
            receipts_root: with_root.map(|header| {
                Compared::new(header.receipts_root, receipt::receipts_root(&receipts))
            }),
            logs_bloom: header
                .map(|header| Compared::new(header.logs_bloom, receipt::logs_bloom(&receipts))),
            requests_hash: header
                .and_then(|header| header.requests_hash)
                .zip(requests)
                .map(|(expected, found)| Compared::new(expected, found)),
        })
    }
}

/// What a header says and what execution gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared<T> {
    /// By the header.
    pub expected: T,
    /// By execution.
    pub found: T,
}

impl<T: PartialEq> Compared<T> {
    fn new(expected: T, found: T) -> Self {
        Self { expected, found }
    }

    /// Whether both are the same.
    pub fn is_equal(&self) -> bool {
        self.expected == self.found
    }
}

/// The comparison of an executed block with its header. What cannot be compared
/// is `None`: a flat folder has no header, receipts before Byzantium hold state
/// roots, and requests came with Prague.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Gas used by execution.
    pub gas_used: u64,
    /// Gas used by the header.
    pub gas_used_expected: Option<u64>,
    /// The root of the receipts.
    pub receipts_root: Option<Compared<B256>>,
    /// The bloom of the logs.
    pub logs_bloom: Option<Compared<Bloom>>,
    /// The hash of the requests (EIP-7685).
    pub requests_hash: Option<Compared<B256>>,
}

impl Verdict {
    /// Whether everything that could be compared is equal.
    pub fn is_equal(&self) -> bool {
        self.gas_used_expected.is_none_or(|expected| expected == self.gas_used)
            && self.receipts_root.is_none_or(|root| root.is_equal())
            && self.logs_bloom.is_none_or(|bloom| bloom.is_equal())
            && self.requests_hash.is_none_or(|hash| hash.is_equal())
    }
}

/// The folder's pre-state, codes and block hashes as a state in memory.
fn state_of(folder: &BlockFolder) -> Overlay<'static> {
    let mut state = Overlay::empty();
    for (address, pre) in &folder.pre_state {
        let id = account(*address);
        let record = AccountRecord {
            balance: pre.balance,
            sequence: pre.nonce,
            code: code_ref(pre.code_hash.unwrap_or(KECCAK256_EMPTY)),
        };
        state.insert_account(id, Some(record));
        for (slot, value) in &pre.storage {
            state.insert_slot(id, LocalKey::storage(*slot), Value::word(*value));
        }
    }
    for (hash, code) in &folder.codes {
        state.insert_code(*hash, Arc::new(Code::new(code.clone())));
    }
    for (number, hash) in &folder.block_hashes {
        state.insert_block_hash(*number, *hash);
    }
    state
}

fn environment(tx: &FlatTransaction) -> TxEnv {
    TxEnv {
        tx_type: tx.tx_type,
        caller: tx.caller,
        gas_limit: tx.gas_limit,
        gas_price: tx.gas_price,
        kind: tx.to,
        value: tx.value,
        data: tx.data.clone(),
        nonce: tx.nonce,
        chain_id: tx.chain_id,
        access_list: tx.access_list.clone(),
        gas_priority_fee: tx.gas_priority_fee,
        blob_hashes: tx.blob_hashes.clone(),
        max_fee_per_blob_gas: tx.max_fee_per_blob_gas,
        authorization_list: tx.authorization_list.iter().cloned().map(Either::Left).collect(),
    }
}

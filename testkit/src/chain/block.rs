//! Building blocks with revm alone.

use std::collections::{BTreeMap, BTreeSet};

use alloy_consensus::{
    Block, BlockBody, EthereumTxEnvelope, Header, SignableTransaction, TxEip1559, TxEip2930,
    TxEip4844, TxEip7702, TxLegacy,
    constants::EMPTY_OMMER_ROOT_HASH,
    proofs::{calculate_transaction_root, calculate_withdrawals_root},
};
use alloy_eips::{
    eip2930::AccessList,
    eip2935::HISTORY_STORAGE_ADDRESS,
    eip4788::BEACON_ROOTS_ADDRESS,
    eip4844::DATA_GAS_PER_BLOB,
    eip4895::Withdrawal,
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_genesis::Genesis;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, TxKind, U256, keccak256};
use alloy_trie::{
    TrieAccount,
    root::{state_root_unhashed, storage_root_unhashed},
};
use polity_evm::{
    genesis::GenesisBlock,
    header::{self, Ancestor},
    receipt::{self, ReceiptParts},
    spec::{ChainSpec, Fork},
};
use polity_replay::{BlockFolder, Chain, FolderBlock, FullBlock, PreAccount, SignedTransaction};
use revm::{
    Context, Database as _, DatabaseCommit, ExecuteEvm, MainBuilder, MainContext, SystemCallEvm,
    bytecode::Bytecode,
    context::{BlockEnv, CfgEnv, ContextTr, JournalTr, TxEnv, either::Either},
    context_interface::block::BlobExcessGasAndPrice,
    database::{AccountState, CacheDB, EmptyDB},
    primitives::hardfork::SpecId,
    state::{AccountInfo, EvmState},
};

use super::{CHAIN_ID, ChainError, Key};

type Database = CacheDB<EmptyDB>;

/// What the priority fees are, in wei.
const TIP: u128 = 1_000_000_000;

/// What a transaction says beside where it goes, by its type.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// Type 0.
    Legacy,
    /// Type 1 (EIP-2930).
    AccessList(AccessList),
    /// Type 2 (EIP-1559).
    Dynamic,
    /// Type 3 (EIP-4844).
    Blobs(Vec<B256>),
    /// Type 4 (EIP-7702).
    Delegation(Vec<SignedAuthorization>),
}

/// How a transaction is expected to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Success,
    Revert,
    Halt,
}

/// A transaction to be signed.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) form: Form,
    pub(super) from: Key,
    pub(super) to: TxKind,
    pub(super) value: U256,
    pub(super) data: Bytes,
    pub(super) gas_limit: u64,
    pub(super) end: End,
}

/// The chain so far.
pub(super) struct Builder {
    /// The block folders.
    pub(super) folders: Vec<BlockFolder>,
    spec: ChainSpec,
    chain: Chain,
    state: Database,
    parent: Header,
    hashes: BTreeMap<u64, B256>,
}

/// The accounts that a block looked at, and their slots.
#[derive(Default)]
struct Touched(BTreeMap<Address, BTreeSet<U256>>);

impl Touched {
    fn add(&mut self, state: &EvmState) {
        #[expect(clippy::iter_over_hash_type, reason = "sorted by the map")]
        for (address, account) in state {
            self.0.entry(*address).or_default().extend(account.storage.keys());
        }
    }
}

impl Builder {
    pub(super) fn new(genesis: &Genesis) -> Result<Self, ChainError> {
        let GenesisBlock { spec, header, alloc } = GenesisBlock::new(genesis)?;
        let mut state = Database::new(EmptyDB::default());
        for account in alloc {
            let code = (!account.code.is_empty()).then(|| Bytecode::new_raw(account.code));
            let info = AccountInfo {
                balance: account.balance,
                nonce: account.nonce,
                code_hash: code.as_ref().map_or(KECCAK256_EMPTY, Bytecode::hash_slow),
                code,
                account_id: None,
            };
            state.insert_account_info(account.address, info);
        }
        let hashes = BTreeMap::from([(0, header.hash_slow())]);
        let chain = Chain::Custom(Box::new(genesis.clone()));
        Ok(Self { folders: Vec::new(), spec, chain, state, parent: header, hashes })
    }

    /// The nonce of an account after the last block.
    pub(super) fn nonce(&self, address: Address) -> u64 {
        let account = self.state.cache.accounts.get(&address);
        account.map_or(0, |account| account.info.nonce)
    }

    /// A signed authorization (EIP-7702).
    pub(super) fn authorize(
        &self,
        key: Key,
        to: Address,
        nonce: u64,
    ) -> Result<SignedAuthorization, ChainError> {
        let inner = Authorization { chain_id: U256::from(CHAIN_ID), address: to, nonce };
        let signature = key.sign(inner.signature_hash())?;
        Ok(inner.into_signed(signature))
    }

    /// Adds a block with these transactions and withdrawals.
    pub(super) fn block(
        &mut self,
        drafts: Vec<Draft>,
        withdrawals: Vec<Withdrawal>,
    ) -> Result<(), ChainError> {
        let number = self.parent.number.saturating_add(1);
        let failed = |reason: String| ChainError::Execution { number, reason };
        let invalid = |error| ChainError::Header { number, error };
        let mut header = Header {
            parent_hash: self.hashes.get(&self.parent.number).copied().unwrap_or_default(),
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: Address::repeat_byte(0xfe),
            number,
            gas_limit: self.parent.gas_limit,
            timestamp: self.parent.timestamp.saturating_add(12),
            mix_hash: keccak256([b"randomness ".as_slice(), &number.to_be_bytes()].concat()),
            base_fee_per_gas: header::expected_base_fee(&self.spec, Fork::Osaka, &self.parent)
                .map_err(invalid)?,
            withdrawals_root: Some(calculate_withdrawals_root(&withdrawals)),
            excess_blob_gas: header::expected_excess_blob_gas(
                &self.spec,
                Fork::Osaka,
                &self.parent,
            )
            .map_err(invalid)?,
            parent_beacon_block_root: Some(keccak256(
                [b"beacon block ".as_slice(), &number.to_be_bytes()].concat(),
            )),
            ..Header::default()
        };
        let before = self.state.clone();
        let mut touched = Touched::default();
        let mut execution = Execution::new(&self.spec, &header, &mut self.state, &mut touched);
        let root = header.parent_beacon_block_root.unwrap_or_default();
        execution.system_call(BEACON_ROOTS_ADDRESS, root.into()).map_err(failed)?;
        execution
            .system_call(HISTORY_STORAGE_ADDRESS, header.parent_hash.into())
            .map_err(failed)?;

        let mut transactions = Vec::with_capacity(drafts.len());
        let mut parts = Vec::with_capacity(drafts.len());
        for (index, draft) in drafts.into_iter().enumerate() {
            let sender = draft.from.address();
            let nonce = execution.nonce(sender).map_err(failed)?;
            let base_fee = header.base_fee_per_gas.unwrap_or_default();
            let envelope = draft.sign(nonce, base_fee)?;
            let part = execution
                .transact(&draft, nonce, base_fee)
                .map_err(|reason| failed(format!("transaction {index}: {reason}")))?;
            header.gas_used = header.gas_used.saturating_add(part.gas_used);
            parts.push(part);
            transactions.push(SignedTransaction { envelope, claimed_sender: sender });
        }
        let exits = execution
            .system_call(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, Bytes::new())
            .map_err(failed)?;
        let consolidations = execution
            .system_call(CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, Bytes::new())
            .map_err(failed)?;
        drop(execution);
        for withdrawal in &withdrawals {
            touched.0.entry(withdrawal.address).or_default();
            self.pay(withdrawal);
        }

        let receipts = receipt::receipts(parts)?;
        header.receipts_root = receipt::receipts_root(&receipts);
        header.logs_bloom = receipt::logs_bloom(&receipts);
        let requests = receipt::requests(Vec::new(), exits, consolidations);
        header.requests_hash = Some(receipt::requests_hash(&requests));
        let envelopes: Vec<_> = transactions.iter().map(|tx| tx.envelope.clone()).collect();
        header.transactions_root = calculate_transaction_root(&envelopes);
        let blobs = envelopes.iter().filter_map(|tx| tx.as_eip4844());
        let blobs: u64 = blobs.map(|tx| tx.tx().blob_versioned_hashes.len() as u64).sum();
        header.blob_gas_used = Some(blobs.saturating_mul(DATA_GAS_PER_BLOB));
        header.state_root = state_root(&self.state);

        let parent = Ancestor {
            header: &self.parent,
            hash: header.parent_hash,
            total_difficulty: U256::ZERO,
            ommers: &[],
        };
        let fork = header::check_header(&self.spec, &header, &parent).map_err(invalid)?;
        let body = BlockBody {
            transactions: envelopes,
            ommers: Vec::new(),
            withdrawals: Some(withdrawals.clone().into()),
        };
        header::check_body(fork, &header, &body).map_err(invalid)?;
        let Block { header, .. } = Block { header, body };

        let hash = header.hash_slow();
        let (pre_state, codes) = pre_state(&before, &touched);
        self.folders.push(BlockFolder {
            block: FolderBlock::Full(Box::new(FullBlock {
                chain: self.chain.clone(),
                header: header.clone(),
                hash,
                transactions,
                ommer_hashes: Vec::new(),
                ommers: Some(Vec::new()),
                withdrawals: Some(withdrawals),
            })),
            pre_state,
            codes,
            block_hashes: self.hashes.clone(),
        });
        self.hashes.insert(number, hash);
        self.state.cache.block_hashes.insert(U256::from(number), hash);
        self.parent = header;
        Ok(())
    }

    fn pay(&mut self, withdrawal: &Withdrawal) {
        let Ok(account) = self.state.load_account(withdrawal.address);
        account.info.balance = account.info.balance.saturating_add(withdrawal.amount_wei());
        account.account_state = AccountState::Touched;
    }
}

/// revm's parts for the transactions of one block.
struct Execution<'a> {
    cfg: CfgEnv,
    env: BlockEnv,
    state: &'a mut Database,
    touched: &'a mut Touched,
}

impl<'a> Execution<'a> {
    fn new(
        spec: &ChainSpec,
        header: &Header,
        state: &'a mut Database,
        touched: &'a mut Touched,
    ) -> Self {
        let mut cfg = CfgEnv::new_with_spec(SpecId::OSAKA);
        cfg.chain_id = CHAIN_ID;
        let blobs = spec.blob_params(Fork::Osaka);
        cfg.max_blobs_per_tx = blobs.map(|blobs| blobs.max_blobs_per_tx);
        let fraction = blobs.map_or(0, |blobs| blobs.update_fraction as u64);
        cfg.blob_base_fee_update_fraction = Some(fraction);
        let excess = header.excess_blob_gas.unwrap_or_default();
        let env = BlockEnv {
            number: U256::from(header.number),
            beneficiary: header.beneficiary,
            timestamp: U256::from(header.timestamp),
            gas_limit: header.gas_limit,
            basefee: header.base_fee_per_gas.unwrap_or_default(),
            difficulty: U256::ZERO,
            prevrandao: Some(header.mix_hash),
            blob_excess_gas_and_price: Some(BlobExcessGasAndPrice::new(excess, fraction)),
            slot_num: 0,
        };
        touched.0.entry(header.beneficiary).or_default();
        Self { cfg, env, state, touched }
    }

    fn nonce(&mut self, address: Address) -> Result<u64, String> {
        let info = self.state.basic(address).map_err(|error| error.to_string())?;
        Ok(info.map_or(0, |info| info.nonce))
    }

    fn system_call(&mut self, target: Address, data: Bytes) -> Result<Bytes, String> {
        let mut evm = Context::mainnet()
            .with_db(&mut *self.state)
            .with_block(self.env.clone())
            .with_cfg(self.cfg.clone())
            .build_mainnet();
        let executed = evm.system_call(target, data).map_err(|error| error.to_string())?;
        self.touched.add(&executed.state);
        evm.ctx.journal_mut().db_mut().commit(executed.state);
        if !executed.result.is_success() {
            return Err(format!("the system contract {target} failed: {:?}", executed.result));
        }
        Ok(executed.result.into_output().unwrap_or_default())
    }

    fn transact(
        &mut self,
        draft: &Draft,
        nonce: u64,
        base_fee: u64,
    ) -> Result<ReceiptParts, String> {
        let env = draft.environment(nonce, base_fee);
        let tx_type = env.tx_type;
        let mut evm = Context::mainnet()
            .with_db(&mut *self.state)
            .with_block(self.env.clone())
            .with_cfg(self.cfg.clone())
            .build_mainnet();
        let executed = evm.transact(env).map_err(|error| error.to_string())?;
        self.touched.add(&executed.state);
        evm.ctx.journal_mut().db_mut().commit(executed.state);
        let result = executed.result;
        let end = match (result.is_success(), result.is_halt()) {
            (true, _) => End::Success,
            (false, true) => End::Halt,
            (false, false) => End::Revert,
        };
        if end != draft.end {
            return Err(format!("ends in {end:?}, the story says {:?}: {result:?}", draft.end));
        }
        Ok(ReceiptParts {
            tx_type,
            success: result.is_success(),
            gas_used: result.tx_gas_used(),
            logs: result.into_logs(),
            post_state: None,
        })
    }
}

impl Draft {
    fn fees(&self, base_fee: u64) -> (u128, u128) {
        let base_fee = u128::from(base_fee);
        match self.form {
            Form::Legacy | Form::AccessList(_) => (base_fee.saturating_add(TIP), TIP),
            _ => (base_fee.saturating_mul(2).saturating_add(TIP), TIP),
        }
    }

    /// The most that a unit of blob gas may cost, in wei.
    const BLOB_FEE: u128 = 10_000_000_000;

    /// revm's form, made without Polity's decoder.
    fn environment(&self, nonce: u64, base_fee: u64) -> TxEnv {
        let (fee, tip) = self.fees(base_fee);
        let tx = TxEnv {
            caller: self.from.address(),
            gas_limit: self.gas_limit,
            gas_price: fee,
            kind: self.to,
            value: self.value,
            data: self.data.clone(),
            nonce,
            chain_id: Some(CHAIN_ID),
            ..TxEnv::default()
        };
        let dynamic = |tx_type, tx| TxEnv { tx_type, gas_priority_fee: Some(tip), ..tx };
        match &self.form {
            Form::Legacy => tx,
            Form::AccessList(list) => TxEnv { tx_type: 1, access_list: list.clone(), ..tx },
            Form::Dynamic => dynamic(2, tx),
            Form::Blobs(hashes) => TxEnv {
                blob_hashes: hashes.clone(),
                max_fee_per_blob_gas: Self::BLOB_FEE,
                ..dynamic(3, tx)
            },
            Form::Delegation(list) => TxEnv {
                authorization_list: list.iter().cloned().map(Either::Left).collect(),
                ..dynamic(4, tx)
            },
        }
    }

    fn sign(&self, nonce: u64, base_fee: u64) -> Result<EthereumTxEnvelope<TxEip4844>, ChainError> {
        let (max_fee_per_gas, max_priority_fee_per_gas) = self.fees(base_fee);
        let chain_id = CHAIN_ID;
        let Self { gas_limit, value, to: kind, .. } = *self;
        let input = self.data.clone();
        let to = kind.to().copied().unwrap_or_default();
        let access_list = AccessList::default();
        Ok(match &self.form {
            Form::Legacy => self.signed(TxLegacy {
                chain_id: Some(chain_id),
                nonce,
                gas_price: max_fee_per_gas,
                gas_limit,
                to: kind,
                value,
                input,
            })?,
            Form::AccessList(list) => self.signed(TxEip2930 {
                chain_id,
                nonce,
                gas_price: max_fee_per_gas,
                gas_limit,
                to: kind,
                value,
                access_list: list.clone(),
                input,
            })?,
            Form::Dynamic => self.signed(TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to: kind,
                value,
                access_list,
                input,
            })?,
            Form::Blobs(hashes) => self.signed(TxEip4844 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list,
                blob_versioned_hashes: hashes.clone(),
                max_fee_per_blob_gas: Self::BLOB_FEE,
                input,
            })?,
            Form::Delegation(list) => self.signed(TxEip7702 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list,
                authorization_list: list.clone(),
                input,
            })?,
        })
    }

    fn signed<T>(&self, tx: T) -> Result<EthereumTxEnvelope<TxEip4844>, ChainError>
    where
        T: SignableTransaction<alloy_primitives::Signature>,
        EthereumTxEnvelope<TxEip4844>: From<alloy_consensus::Signed<T>>,
    {
        let signature = self.from.sign(tx.signature_hash())?;
        Ok(tx.into_signed(signature).into())
    }
}

/// What a block needs of the state before it.
fn pre_state(
    before: &Database,
    touched: &Touched,
) -> (BTreeMap<Address, PreAccount>, BTreeMap<B256, Bytes>) {
    let mut accounts = BTreeMap::new();
    let mut codes = BTreeMap::new();
    for (address, slots) in &touched.0 {
        let Some(account) = before.cache.accounts.get(address) else { continue };
        let Some(info) = account.info().filter(|info| !info.is_empty()) else { continue };
        let code = before.cache.contracts.get(&info.code_hash);
        let code_hash = (info.code_hash != KECCAK256_EMPTY).then_some(info.code_hash);
        if let Some((hash, code)) = code_hash.zip(code) {
            codes.insert(hash, code.original_bytes());
        }
        let storage = slots
            .iter()
            .filter_map(|slot| Some((*slot, *account.storage.get(slot)?)))
            .filter(|(_, value)| !value.is_zero())
            .collect();
        let account = PreAccount { balance: info.balance, nonce: info.nonce, code_hash, storage };
        accounts.insert(*address, account);
    }
    (accounts, codes)
}

/// Ethereum's root of the whole state.
fn state_root(state: &Database) -> B256 {
    let accounts = state.cache.accounts.iter().filter_map(|(address, account)| {
        let info = account.info().filter(|info| !info.is_empty())?;
        let slots = account.storage.iter().filter(|(_, value)| !value.is_zero());
        let slots = slots.map(|(slot, value)| (B256::from(*slot), *value));
        let account = TrieAccount {
            nonce: info.nonce,
            balance: info.balance,
            storage_root: storage_root_unhashed(slots),
            code_hash: info.code_hash,
        };
        Some((*address, account))
    });
    state_root_unhashed(accounts)
}

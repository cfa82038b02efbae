//! A chain with Solana's machine, and agave's own processor beside it: every transaction is executed
//! by both, and everything that they say and leave is compared.

pub(crate) mod agave;
mod lite;

use agave::{Agave, Done, MACHINE};
use lite::Lite;
use polity_analysis::solana::{
    draw::{Draft, Now},
    world::{self, World},
};
use polity_engine::Overlay;
use polity_kernel::{
    BlockContext, DecodeError, Executed, Invalid, Kernel, Machine, Machines, Scratch,
    TransactionOutput, View,
};
use polity_svm::{BlockInput, Record};
use polity_types::{AccountId, B256, Resources, U256};
use solana_account::{AccountSharedData, ReadableAccount};
use solana_hash::Hash;
use solana_nonce::{state::State, versions::Versions};
use solana_pubkey::Pubkey;
use solana_transaction::versioned::VersionedTransaction;

/// Both chains.
pub(crate) struct Bank {
    pub(crate) state: Overlay<'static>,
    pub(crate) theirs: Agave,
    machines: Machines,
    scratch: Scratch,
    pub(crate) slot: u64,
    ancestors: Vec<B256>,
    lite: Option<Lite>,
}

/// How a transaction ended, on both alike.
#[derive(Debug)]
pub(crate) enum Ended {
    /// In the block.
    Included(Record),
    /// Not in the block.
    Invalid(Invalid),
    /// It was no transaction.
    Refused(#[allow(dead_code, reason = "shown where a test fails")] DecodeError),
}

impl Ended {
    /// The record of one that was included.
    pub(crate) fn record(self) -> Record {
        match self {
            Self::Included(record) => record,
            other => panic!("{other:?}"),
        }
    }

    /// Whether it was included, and succeeded.
    pub(crate) fn is_success(&self) -> bool {
        matches!(self, Self::Included(record) if record.error().is_none())
    }
}

fn hash(slot: u64) -> B256 {
    let mut hash = [0x11; 32];
    hash[..8].copy_from_slice(&slot.to_be_bytes());
    B256::new(hash)
}

pub(crate) const BENEFICIARY: AccountId = AccountId::new(polity_svm::KIND, B256::repeat_byte(0xbe));

impl Bank {
    /// Chains with what is in a world.
    pub(crate) fn new(world: &World) -> Self {
        let slot = 1000;
        let ancestors: Vec<_> = (0..slot).rev().take(512).map(hash).collect();
        let mut state = Overlay::empty();
        world.lay_over(&mut state);
        let mut theirs = Agave::new(&block(slot, &ancestors));
        for (address, account) in &world.accounts {
            theirs.set(*address, Some(account.clone()));
        }
        theirs
            .enter(&block(slot, &ancestors), ancestors.iter().map(polity_svm::blockhash).collect());
        Self {
            state,
            theirs,
            machines: Machines::default().with(MACHINE).unwrap(),
            scratch: Scratch::default(),
            slot,
            ancestors,
            lite: None,
        }
    }

    /// Compares with litesvm too, from now on.
    pub(crate) fn with_litesvm(mut self) -> Self {
        let mut lite = Lite::new();
        lite.follow(self.theirs.accounts());
        lite.enter(&block(self.slot, &self.ancestors));
        self.lite = Some(lite);
        self
    }

    /// Sets an account on both chains.
    pub(crate) fn set(&mut self, address: Pubkey, account: AccountSharedData) {
        let world = World { accounts: [(address, account.clone())].into(), ..World::default() };
        world.lay_over(&mut self.state);
        self.theirs.set(address, Some(account));
    }

    /// Gives base units to an account on our chain, and what shows of them on theirs.
    pub(crate) fn give(&mut self, address: Pubkey, amount: U256) {
        let id = polity_svm::account(&address);
        let mut record = self.state.account(&id).unwrap().unwrap_or_default();
        record.balance += amount;
        self.state.insert_account(id, Some(record));
        self.theirs.set(address, self.account(&address));
        if let Some(lite) = &mut self.lite {
            lite.follow([(address, self.theirs.account(&address))].into_iter());
        }
    }

    /// The hash that transactions may name, so many blocks old.
    pub(crate) fn blockhash(&self, age: usize) -> Hash {
        polity_svm::blockhash(&self.ancestors[age])
    }

    /// Signs what was drawn.
    pub(crate) fn sign(&self, draft: &Draft) -> Option<VersionedTransaction> {
        draft.sign(&Now {
            blockhash: &|age| self.blockhash(age),
            nonce: &|index| self.nonce(&world::nonce(index)).unwrap_or_default(),
            table: &|index| match self.account(&world::table(index)) {
                Some(table) => {
                    let entries = table.data().get(56..).unwrap_or_default().as_chunks::<32>().0;
                    entries.iter().copied().map(Pubkey::new_from_array).collect()
                }
                None => Vec::new(),
            },
        })
    }

    /// The value of a durable nonce.
    pub(crate) fn nonce(&self, address: &Pubkey) -> Option<Hash> {
        let account = self.account(address)?;
        let versions: Versions = wincode::deserialize(account.data()).ok()?;
        match versions.state() {
            State::Initialized(data) => Some(data.blockhash()),
            State::Uninitialized => None,
        }
    }

    /// Executes on both and compares.
    pub(crate) fn send(&mut self, transaction: VersionedTransaction) -> Ended {
        self.send_raw(&wincode::serialize(&transaction).unwrap())
    }

    /// Executes the transaction with these bytes on both and compares.
    pub(crate) fn send_raw(&mut self, raw: &[u8]) -> Ended {
        let transaction: Option<VersionedTransaction> = wincode::deserialize_exact(raw).ok();
        let keys = transaction.as_ref().map(|tx| tx.message.static_account_keys().to_vec());
        let before = self.balances(&keys.clone().unwrap_or_default());
        let ours = self.execute(raw);
        let theirs = self.theirs.execute(raw);
        match (&ours, &theirs) {
            (Ended::Included(record), Ok(theirs)) => {
                let (ours, tx) = (done(record, theirs), transaction.unwrap());
                assert_eq!(&ours, theirs, "{tx:#?}");
                self.is_conserved(before, record, &tx, &theirs.accounts);
                for key in &theirs.accounts {
                    self.compare(key);
                }
                if let Some(lite) = &mut self.lite {
                    lite.compare(&tx, theirs);
                    let made = &self.theirs;
                    lite.follow(theirs.accounts.iter().map(|key| (*key, made.account(key))));
                }
            }
            (Ended::Invalid(invalid), Err(error)) => {
                assert_eq!(invalid.reason, error.to_string(), "{transaction:#?}");
            }
            (Ended::Refused(_), Err(_)) => {}
            (ours, theirs) => panic!("{ours:#?}\n{theirs:#?}\n{transaction:#?}"),
        }
        ours
    }

    fn balances(&self, keys: &[Pubkey]) -> U256 {
        let balance = |id: &AccountId| self.state.account(id).unwrap().unwrap_or_default().balance;
        let all = keys.iter().map(polity_svm::account).map(|id| balance(&id));
        all.fold(balance(&BENEFICIARY), |sum, balance| sum + balance)
    }

    /// To the base unit, but for what is burnt. Look-ups bring accounts that are not counted.
    fn is_conserved(
        &self,
        before: U256,
        record: &Record,
        transaction: &VersionedTransaction,
        all: &[Pubkey],
    ) {
        let keys = transaction.message.static_account_keys();
        if all.len() != keys.len() {
            return;
        }
        let base = 5_000 * transaction.signatures.len() as u64;
        let after = self.balances(keys);
        assert_eq!(after + polity_svm::base_units(base), before, "{record:?}");
    }

    /// Executes on our chain alone.
    pub(crate) fn execute(&mut self, raw: &[u8]) -> Ended {
        let block = block(self.slot, &self.ancestors);
        let decoded = match MACHINE.decode(raw, &block) {
            Ok(decoded) => decoded,
            Err(error) => return Ended::Refused(error),
        };
        let kernel = Kernel::new(&self.machines, &block, &self.state, &mut self.scratch);
        match kernel.transact(&decoded, Resources::UNLIMITED).unwrap() {
            Executed::Included(TransactionOutput { effects, receipt }) => {
                self.state.apply(&effects).unwrap();
                Ended::Included(Record::of(&receipt).unwrap())
            }
            Executed::Invalid { invalid, .. } => Ended::Invalid(invalid),
        }
    }

    /// Goes to the next slot on both chains.
    pub(crate) fn next_slot(&mut self) {
        self.ancestors.insert(0, hash(self.slot));
        self.ancestors.truncate(512);
        self.slot += 1;
        let recent = self.ancestors.iter().map(polity_svm::blockhash).collect();
        let block = block(self.slot, &self.ancestors);
        self.theirs.enter(&block, recent);
        if let Some(lite) = &mut self.lite {
            lite.enter(&block);
        }
    }

    /// The account on our chain.
    pub(crate) fn account(&self, address: &Pubkey) -> Option<AccountSharedData> {
        polity_svm::read_account(&self.state, address).unwrap()
    }

    /// Compares an account of both chains.
    pub(crate) fn compare(&self, address: &Pubkey) {
        let made = [solana_sdk_ids::sysvar::ID, solana_sdk_ids::native_loader::ID];
        let theirs = self.theirs.account(address);
        if theirs.is_some_and(|theirs| made.contains(theirs.owner())) {
            return;
        }
        assert_eq!(self.account(address).as_ref(), theirs, "{address}");
    }
}

fn block(slot: u64, ancestors: &[B256]) -> BlockContext {
    let context = BlockContext {
        chain_id: 31337,
        number: slot,
        timestamp: 1_700_000_000,
        beneficiary: BENEFICIARY,
        randomness: B256::ZERO,
        inputs: Default::default(),
    };
    BlockInput { ancestors: ancestors.into() }.in_context(context)
}

fn done(record: &Record, theirs: &Done) -> Done {
    let inner = record.inner.iter().map(|all| {
        let parts = |i: &polity_svm::InnerInstruction| {
            (i.program, i.accounts.clone(), i.data.clone(), i.stack_height)
        };
        all.iter().map(parts).collect()
    });
    Done {
        error: record.error(),
        fee: record.fee,
        units: record.compute_units,
        logs: record.logs.clone(),
        inner: inner.collect(),
        returned: record.return_data.clone(),
        loaded_bytes: record.loaded_bytes,
        fee_only: theirs.fee_only,
        accounts: theirs.accounts.clone(),
    }
}

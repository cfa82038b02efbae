//! A chain with Solana's machine, and litesvm beside it: every transaction is executed by both, and
//! what they say is compared.

use litesvm::LiteSVM;
use polity_engine::Overlay;
use polity_kernel::{
    BlockContext, Code, DecodeError, Executed, Invalid, Kernel, Machine, Machines, Scratch,
    TransactionOutput,
};
use polity_svm::{BlockInput, Record, Stored, Svm, genesis::PROGRAMS};
use polity_types::{AccountId, B256, Resources};
use solana_account::{Account, AccountSharedData, ReadableAccount};
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_message::{Message, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;
use std::sync::Arc;

/// Both chains.
pub(crate) struct Ledger {
    pub(crate) state: Overlay<'static>,
    pub(crate) theirs: LiteSVM,
    machines: Machines,
    scratch: Scratch,
    pub(crate) slot: u64,
    ancestors: Vec<B256>,
}

/// How a transaction ended on both.
#[derive(Debug)]
pub(crate) enum Ended {
    /// In the block.
    Included(Record),
    /// Not in the block.
    Invalid(Invalid),
    /// It was no transaction.
    Refused(#[allow(dead_code, reason = "shown where a test fails")] DecodeError),
}

fn hash(slot: u64) -> B256 {
    let mut hash = [0x11; 32];
    hash[..8].copy_from_slice(&slot.to_be_bytes());
    B256::new(hash)
}

impl Ledger {
    /// Chains with the published programs.
    pub(crate) fn new() -> Self {
        let slot = 1000;
        let mut theirs = LiteSVM::default()
            .with_mainnet_features()
            .with_builtins()
            .with_lamports(u64::MAX / 2)
            .with_sysvars()
            .with_sigverify(true)
            .with_blockhash_check(false);
        theirs.warp_to_slot(slot);
        let mut ledger = Self {
            state: Overlay::empty(),
            theirs,
            machines: Machines::default().with(Svm::new()).unwrap(),
            scratch: Scratch::default(),
            slot,
            ancestors: (0..slot).rev().take(512).map(hash).collect(),
        };
        for program in PROGRAMS {
            // What is executed is there before what refers to it.
            for (address, account) in program.accounts().into_iter().rev() {
                ledger.set(address, account);
            }
        }
        ledger
    }

    /// Sets an account on both chains.
    pub(crate) fn set(&mut self, address: Pubkey, account: AccountSharedData) {
        let id = polity_svm::account(&address);
        let Stored { slots, code } = Stored::new(&account);
        let reference = code.as_ref().map(|(reference, _)| *reference);
        self.state.insert_account(id, Some(polity_svm::record(account.lamports(), reference)));
        if let Some((reference, bytes)) = code {
            self.state.insert_code(reference.hash, Arc::new(Code::new(bytes)));
        }
        for (key, value) in slots {
            self.state.insert_slot(id, key, value);
        }
        self.theirs.set_account(address, Account::from(account)).unwrap();
    }

    /// An account of the system program with so many lamports.
    pub(crate) fn fund(&mut self, address: Pubkey, lamports: u64) {
        let account = AccountSharedData::new(lamports, 0, &solana_sdk_ids::system_program::ID);
        let mut account = Account::from(account);
        account.rent_epoch = u64::MAX;
        self.set(address, account.into());
    }

    /// The hash that transactions may name.
    pub(crate) fn blockhash(&self) -> Hash {
        polity_svm::blockhash(&self.ancestors[0])
    }

    fn block(&self) -> BlockContext {
        let context = BlockContext {
            chain_id: 31337,
            number: self.slot,
            timestamp: 0,
            beneficiary: AccountId::new(polity_svm::KIND, B256::repeat_byte(0xbe)),
            randomness: B256::ZERO,
            inputs: Default::default(),
        };
        BlockInput { ancestors: self.ancestors.clone().into() }.in_context(context)
    }

    /// A transaction of these instructions.
    pub(crate) fn transaction(
        &self,
        instructions: &[Instruction],
        payer: &Keypair,
        signers: &[&Keypair],
    ) -> VersionedTransaction {
        let message =
            Message::new_with_blockhash(instructions, Some(&payer.pubkey()), &self.blockhash());
        let mut all: Vec<&Keypair> = vec![payer];
        for signer in signers {
            if all.iter().all(|known| known.pubkey() != signer.pubkey()) {
                all.push(signer);
            }
        }
        let wanted = &message.account_keys[..usize::from(message.header.num_required_signatures)];
        all.retain(|signer| wanted.contains(&signer.pubkey()));
        VersionedTransaction::try_new(VersionedMessage::Legacy(message), &all).unwrap()
    }

    /// Executes on both, each transaction in a block of its own, and compares.
    pub(crate) fn send(&mut self, transaction: VersionedTransaction) -> Ended {
        let keys = transaction.message.static_account_keys().to_vec();
        let raw = wincode::serialize(&transaction).unwrap();
        let theirs = self.theirs.send_transaction(transaction);
        let ours = self.execute(&raw);
        match (&ours, &theirs) {
            (Ended::Included(record), Ok(meta)) => {
                assert_eq!(record.error(), None, "{:#?}\n{:#?}", record.logs, meta.logs);
                same_meta(record, meta);
            }
            (Ended::Included(record), Err(failed)) => {
                assert_eq!(
                    record.error().as_ref(),
                    Some(&failed.err),
                    "{:#?}\n{:#?}",
                    record.logs,
                    failed.meta.logs
                );
                // Where nothing ran, litesvm says nothing.
                if !failed.meta.logs.is_empty() {
                    same_meta(record, &failed.meta);
                }
            }
            (Ended::Invalid(invalid), Err(failed)) => {
                assert_eq!(invalid.reason, failed.err.to_string());
            }
            (Ended::Refused(_), Err(_)) => {}
            (ours, theirs) => panic!("{ours:#?}\n{theirs:#?}"),
        }
        for key in keys {
            self.compare(&key);
        }
        self.next_slot();
        ours
    }

    /// Executes on our chain alone.
    fn execute(&mut self, raw: &[u8]) -> Ended {
        let block = self.block();
        let decoded = match Svm::new().decode(raw, &block) {
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
        self.theirs.warp_to_slot(self.slot);
    }

    /// The account on our chain.
    pub(crate) fn account(&self, address: &Pubkey) -> Option<AccountSharedData> {
        polity_svm::read_account(&self.state, address).unwrap()
    }

    /// Compares an account of both chains.
    pub(crate) fn compare(&self, address: &Pubkey) {
        let theirs = self.theirs.get_account(address);
        if let Some(theirs) = &theirs
            && (theirs.owner == solana_sdk_ids::sysvar::ID
                || theirs.owner == solana_sdk_ids::native_loader::ID)
        {
            return;
        }
        let ours = self.account(address).map(Account::from);
        match (ours, theirs) {
            (Some(ours), Some(mut theirs)) => {
                // It says since when rent is due, which it never is.
                theirs.rent_epoch = ours.rent_epoch;
                assert!(ours == theirs, "{address}\n{ours:?}\n{theirs:?}");
            }
            (None, Some(theirs)) if theirs.lamports == 0 => {}
            (ours, theirs) => assert_eq!(ours, theirs, "{address}"),
        }
    }
}

fn same_meta(record: &Record, meta: &litesvm::types::TransactionMetadata) {
    assert_eq!(record.logs, meta.logs);
    assert_eq!(record.compute_units, meta.compute_units_consumed, "{:#?}", meta.logs);
    assert_eq!(record.fee, meta.fee);
    let returned = record.return_data.clone().unwrap_or_default();
    if !returned.1.is_empty() || !meta.return_data.data.is_empty() {
        let theirs = (meta.return_data.program_id.to_bytes(), meta.return_data.data.clone());
        assert_eq!(returned, theirs);
    }
    let ours: Vec<Vec<_>> = record
        .inner
        .iter()
        .map(|all| {
            let inner = all.iter();
            inner
                .map(|inner| (inner.program, &inner.accounts, &inner.data, inner.stack_height))
                .collect()
        })
        .collect();
    let theirs: Vec<Vec<_>> = meta
        .inner_instructions
        .iter()
        .map(|all| {
            let inner = all.iter();
            inner
                .map(|inner| {
                    let i = &inner.instruction;
                    (i.program_id_index, &i.accounts, &i.data, inner.stack_height)
                })
                .collect()
        })
        .collect();
    assert_eq!(ours, theirs);
}

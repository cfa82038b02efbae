//! A chain with Solana's machine and a toy machine.

use crate::{
    banker::Banker,
    reliance::{changes, misleading},
};
use polity_kernel::{
    BlockContext, Decoded, Executed, Kernel, Machines, Scratch, Trace, TransactionOutput, View,
};
use polity_svm::{
    BlockInput, Record, Stored, Svm, Unsigned, Waiver, account, alias, base_units, genesis,
    lamports, read_account,
};
use polity_testkit::{
    solana::{self, Meta, elf},
    state::State,
    told,
    toy::{self, Op, Seen, Toy, ToyTransaction},
};
use polity_types::{
    AccountId, B256, Effects, Event, MachineKind, Receipt, Resources, Status, U256,
};
use solana_account::{Account, AccountSharedData, ReadableAccount};
use solana_hash::Hash;
use solana_instruction::{AccountMeta, Instruction};
use solana_message::{Message, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_sdk_ids::bpf_loader;
use solana_transaction::versioned::VersionedTransaction;

pub(crate) const TOY: MachineKind = MachineKind::new(0x70);
pub(crate) const SLOT: u64 = 1000;
pub(crate) const BENEFICIARY: AccountId = AccountId::new(TOY, B256::repeat_byte(0xbe));
pub(crate) const SOL: u64 = 1_000_000_000;

/// An account of the toy machine.
pub(crate) fn toy(number: u8) -> AccountId {
    toy::account(TOY, number)
}

/// An address whose bytes are all the same.
pub(crate) fn key(byte: u8) -> Pubkey {
    Pubkey::new_from_array([byte; 32])
}

/// A program that is deployed in every world, by its file.
pub(crate) const CALLER: Pubkey = Pubkey::new_from_array([0xc1; 32]);
pub(crate) const PURSE: Pubkey = Pubkey::new_from_array([0xc2; 32]);
pub(crate) const RELAY: Pubkey = Pubkey::new_from_array([0xc3; 32]);
pub(crate) const PROBE: Pubkey = Pubkey::new_from_array([0xc4; 32]);

/// Who pays for Solana's transactions.
pub(crate) const PAYER: Pubkey = Pubkey::new_from_array([0xa1; 32]);

pub(crate) struct World {
    pub(crate) state: State,
    machines: Machines,
    scratch: Scratch,
    sequence: u64,
    /// The call tree of the last transaction.
    pub(crate) trace: Trace,
    /// What the vault is left with after each transaction.
    pub(crate) expected_in_vault: U256,
}

/// What a transaction of Solana's gave.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) record: Record,
    pub(crate) events: Vec<Event>,
    pub(crate) used: Resources,
}

impl Done {
    /// The bytes that the last program returned.
    pub(crate) fn returned(&self) -> &[u8] {
        self.record.return_data.as_ref().map_or(&[], |(_, data)| data)
    }

    pub(crate) fn succeeds(self) -> Self {
        assert_eq!(self.record.error(), None, "{:#?}", self.record.logs);
        self
    }

    /// The error as text.
    pub(crate) fn error(&self) -> String {
        self.record.error().map(|error| error.to_string()).unwrap_or_default()
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let mut world = Self {
            state: State::default(),
            machines: Machines::default()
                .with(Svm::new())
                .and_then(|machines| machines.with(Toy::new(TOY)))
                .and_then(|machines| machines.with(Banker))
                .unwrap(),
            scratch: Scratch::default(),
            sequence: 0,
            trace: Trace::new(),
            expected_in_vault: U256::ZERO,
        };
        for program in genesis::PROGRAMS {
            world.put_all(program.accounts());
        }
        let programs =
            [(CALLER, elf::CALLER), (PURSE, elf::PURSE), (RELAY, elf::RELAY), (PROBE, elf::PROBE)];
        for (address, elf) in programs {
            world.put_all(genesis::deployed(&address, &bpf_loader::ID, elf, 0, None));
        }
        world.fund(&PAYER, 1000 * SOL);
        for number in 0..8 {
            world.give(toy(number), base_units(100 * SOL));
        }
        world
    }

    fn put_all(&mut self, accounts: Vec<(Pubkey, AccountSharedData)>) {
        for (address, account) in accounts {
            self.put(&address, &account);
        }
    }

    /// Sets an account of Solana's.
    pub(crate) fn put(&mut self, address: &Pubkey, stored: &AccountSharedData) {
        let Stored { record, slots, code } = Stored::new(stored);
        self.state.put(account(address), record, slots, code);
    }

    /// An account with data of a program.
    pub(crate) fn put_data(&mut self, address: &Pubkey, owner: &Pubkey, data: Vec<u8>) {
        let lamports = 10 * SOL;
        let account = Account { lamports, data, owner: *owner, ..Account::default() };
        self.put(address, &account.into());
    }

    pub(crate) fn fund(&mut self, address: &Pubkey, lamports: u64) {
        self.give(account(address), base_units(lamports));
    }

    pub(crate) fn give(&mut self, id: AccountId, amount: U256) {
        let record = self.state.accounts.entry(id).or_default();
        record.balance += amount;
    }

    pub(crate) fn balance(&self, id: &AccountId) -> U256 {
        self.state.account(id).unwrap().unwrap_or_default().balance
    }

    /// The lamports in the ledger of an account of Solana's.
    pub(crate) fn lamports(&self, address: &Pubkey) -> u64 {
        lamports(self.balance(&account(address)))
    }

    /// An account as the front door shows it.
    pub(crate) fn shown(&self, address: &Pubkey) -> Option<AccountSharedData> {
        read_account(&self.state, address).unwrap()
    }

    pub(crate) fn data(&self, address: &Pubkey) -> Vec<u8> {
        self.shown(address).map(|account| account.data().to_vec()).unwrap_or_default()
    }

    /// All of the native asset.
    pub(crate) fn total(&self) -> U256 {
        self.state.accounts.values().fold(U256::ZERO, |sum, record| sum + record.balance)
    }

    /// Executes it once more where somebody looks on, which changes nothing, and checks that
    /// what is told adds up.
    fn look_on(&mut self, tx: &Decoded, output: &TransactionOutput) {
        let (block, mut trace) = (block(), Trace::new());
        let kernel = Kernel::new(&self.machines, &block, &self.state, &mut self.scratch);
        let again = kernel.traced(&mut trace).transact(tx, Resources::UNLIMITED).unwrap();
        assert_eq!(again, Executed::Included(output.clone()), "looking on changes nothing");
        let mut told = self.state.clone();
        told::apply(&trace, &mut told);
        let after = self.state.apply(&output.effects).unwrap();
        assert_eq!(told::cells(&told), told::cells(&after), "{trace:#?}");
        told::check_tree(&trace);
        let stand = trace.events().iter().filter(|told| !told.undone).map(|told| &told.event);
        assert!(stand.eq(&output.effects.events), "{trace:#?}");
        self.trace = trace;
    }

    fn execute(&mut self, tx: &Decoded) -> (Receipt, Effects) {
        let block = block();
        let kernel = Kernel::new(&self.machines, &block, &self.state, &mut self.scratch);
        match kernel.transact(tx, Resources::UNLIMITED).unwrap() {
            Executed::Included(output) => {
                for high in [false, true] {
                    let other = misleading(&self.state, &output.effects, high);
                    let kernel = Kernel::new(&self.machines, &block, &other, &mut self.scratch);
                    let again = kernel.transact(tx, Resources::UNLIMITED).unwrap();
                    let Executed::Included(again) = again else { panic!("{again:?}") };
                    assert_eq!(again.receipt, output.receipt, "relied on more than it said");
                    assert_eq!(changes(&again.effects), changes(&output.effects));
                }
                self.look_on(tx, &output);
                let before = self.total();
                self.state = self.state.apply(&output.effects).expect("effects that fit");
                assert_eq!(self.total(), before - output.effects.burned, "lost or made");
                let vault = account(&polity_svm::gateway::vault());
                assert_eq!(self.balance(&vault), self.expected_in_vault);
                (output.receipt, output.effects)
            }
            Executed::Invalid { invalid, .. } => panic!("{invalid:?}"),
        }
    }

    /// Executes a transaction of Solana's that nobody has signed, as if all had.
    pub(crate) fn solana(&mut self, instructions: &[Instruction]) -> Done {
        self.sequence += 1;
        let hash = Hash::new_from_array(U256::from(self.sequence).to_be_bytes());
        self.execute_solana(instructions, hash, Waiver { age: true })
    }

    /// The same, by a durable nonce.
    pub(crate) fn solana_with_nonce(&mut self, instructions: &[Instruction], nonce: Hash) -> Done {
        self.execute_solana(instructions, nonce, Waiver::default())
    }

    fn execute_solana(&mut self, instructions: &[Instruction], hash: Hash, waiver: Waiver) -> Done {
        let message = Message::new_with_blockhash(instructions, Some(&PAYER), &hash);
        let signatures = usize::from(message.header.num_required_signatures);
        let versioned = VersionedTransaction {
            signatures: vec![Default::default(); signatures],
            message: VersionedMessage::Legacy(message),
        };
        let tx = Unsigned::for_simulation().transaction(versioned, waiver).unwrap();
        let (receipt, effects) = self.execute(&tx);
        Done {
            record: Record::of(&receipt).unwrap(),
            events: effects.events.clone(),
            used: receipt.used,
        }
    }

    /// Executes operations in the name of a toy account.
    pub(crate) fn toy(&mut self, sender: AccountId, ops: &[Op]) -> (Status, Vec<Seen>) {
        let (status, seen, _) = self.toy_with_events(sender, ops);
        (status, seen)
    }

    pub(crate) fn toy_with_events(
        &mut self,
        sender: AccountId,
        ops: &[Op],
    ) -> (Status, Vec<Seen>, Vec<Event>) {
        let sequence = self.state.account(&sender).unwrap().unwrap_or_default().sequence;
        let tx = ToyTransaction::new(sender, sequence, ops).decoded();
        let (receipt, effects) = self.execute(&tx);
        (receipt.status, Seen::list(&receipt.output).unwrap(), effects.events)
    }
}

fn block() -> BlockContext {
    let context = BlockContext {
        chain_id: 31337,
        number: SLOT,
        timestamp: 1_700_000_000,
        beneficiary: BENEFICIARY,
        randomness: B256::ZERO,
        inputs: Default::default(),
    };
    let ancestors: Vec<_> = (1..=150).map(B256::with_last_byte).collect();
    BlockInput { ancestors: ancestors.into() }.in_context(context)
}

/// An instruction of the test kit in the runtime's form.
pub(crate) fn instruction(plain: &solana::Instruction) -> Instruction {
    Instruction {
        program_id: Pubkey::new_from_array(plain.program),
        accounts: plain.accounts.iter().map(meta).collect(),
        data: plain.data.clone(),
    }
}

fn meta(plain: &Meta) -> AccountMeta {
    AccountMeta {
        pubkey: Pubkey::new_from_array(plain.key),
        is_signer: plain.signer,
        is_writable: plain.writable,
    }
}

/// An instruction in the test kit's form.
pub(crate) fn plain(instruction: &Instruction) -> solana::Instruction {
    let accounts: Vec<_> = instruction
        .accounts
        .iter()
        .map(|meta| Meta {
            key: meta.pubkey.to_bytes(),
            signer: meta.is_signer,
            writable: meta.is_writable,
        })
        .collect();
    solana::Instruction::new(instruction.program_id.to_bytes(), &accounts, &[&instruction.data])
}

/// The call that has an instruction executed.
pub(crate) fn invocation(instruction: &Instruction) -> toy::Invocation {
    let input = polity_svm::gateway::input(&instruction.accounts, &instruction.data);
    toy::Invocation::new(account(&instruction.program_id), toy::Program(input.into()))
}

/// The outcome that a program saw last.
pub(crate) fn outcome(seen: &[Seen]) -> (Status, Vec<u8>) {
    match seen.last() {
        Some(Seen::Called { status, output }) => (status.clone(), output.to_vec()),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn failed(reason: &str) -> Status {
    Status::Failed(reason.into())
}

/// What the gateway returned: a status, the whole length, and the output.
pub(crate) fn answer(returned: &[u8]) -> (u8, u32, &[u8]) {
    let len = u32::from_le_bytes(returned[1..5].try_into().unwrap());
    (returned[0], len, &returned[5..])
}

/// The alias of a toy account.
pub(crate) fn alias_of(number: u8) -> Pubkey {
    alias(&toy(number))
}

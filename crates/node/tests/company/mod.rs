//! A toy machine as the guest of a node.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests stop at a failure")]

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{B256, U256};
use polity_kernel::{
    DecodeError, Decoded, Inputs, Machine, Machines, RegistrationError, TransactionOutput, View,
    ViewError,
};
use polity_node::{
    Node,
    chain::{Guest, GuestTransaction, Guests, IncludedGuest},
    config::Config,
    pool::GuestError,
};
use polity_state::{Changes, StateError};
use polity_testkit::toy::{Op, Program, Toy, ToyBlock, ToyTransaction, account};
use polity_types::{AccountId, AccountRecord, MachineKind, Value};

/// The byte of the toy machine.
pub(crate) const TOY: MachineKind = MachineKind::new(0x70);

/// What each of its accounts 1 to 9 has at first.
pub(crate) const FUNDS: u64 = 1_000_000;

/// In which slots of its system account a block's begin writes what it was told.
pub(crate) const HEIGHT: u64 = 0;
pub(crate) const ANCESTORS: u64 = 1;
pub(crate) const PARENT: u64 = 2;

/// A fee that nobody signs for.
pub(crate) const UNSIGNED: u64 = 13;

/// A toy machine whose transactions wait for three blocks, of which each takes gas of 100.
pub(crate) struct Toys;

impl Guest for Toys {
    fn kind(&self) -> MachineKind {
        TOY
    }

    fn register(&self, machines: Machines) -> Result<Machines, RegistrationError> {
        machines.with(Toy::new(TOY))
    }

    fn decode(&self, raw: &[u8]) -> Result<Decoded, DecodeError> {
        let decoded = self.restore(raw)?;
        let tx = decoded.payload::<ToyTransaction>().expect("a toy's");
        if tx.fee == U256::from(UNSIGNED) {
            return Err(DecodeError::Signature("nobody signed it".into()));
        }
        Ok(decoded)
    }

    fn restore(&self, raw: &[u8]) -> Result<Decoded, DecodeError> {
        let nowhere = polity_evm::BlockInput::context(0, &Header::default(), vec![], vec![]);
        Toy::new(TOY).decode(raw, &nowhere)
    }

    fn input(&self, inputs: Inputs, header: &Header, ancestors: &Arc<[B256]>) -> Inputs {
        let system = Toy::new(TOY).system();
        let parent = ancestors.first().copied().unwrap_or_default();
        let value = Value::word(parent.into());
        let begin = Program::new(&[
            Op::write(system, HEIGHT, header.number),
            Op::write(system, ANCESTORS, ancestors.len() as u64),
            Op::WriteSlot { account: system, key: PARENT, value },
        ]);
        // Its output is a request, which is none of Ethereum's.
        let end = Program::new(&[Op::ReadBalance(system)]);
        inputs.with(TOY, ToyBlock { gas_limit: 100, begin, end })
    }

    fn genesis(&self, _: &Header, changes: &mut Changes) -> Result<(), StateError> {
        for number in 1..10 {
            let balance = U256::from(FUNDS);
            let record = AccountRecord { balance, ..AccountRecord::default() };
            changes.set_account(account(TOY, number), Some(record));
        }
        Ok(())
    }

    fn addresses(&self, included: &IncludedGuest) -> Vec<AccountId> {
        let decoded = &included.transaction.decoded;
        let hints = decoded.hints.iter().map(|hint| hint.account);
        hints.filter(|account| account.machine == TOY).chain([decoded.sender]).collect()
    }

    fn supplement(
        &self,
        transaction: &Decoded,
        _: &TransactionOutput,
        before: &dyn View,
        after: &dyn View,
    ) -> Result<Vec<u8>, ViewError> {
        let mut both = Vec::new();
        for view in [before, after] {
            let record = view.account(&transaction.sender)?.unwrap_or_default();
            both.extend(record.balance.to::<u64>().to_be_bytes());
        }
        Ok(both)
    }

    fn expires(&self) -> u64 {
        3
    }
}

/// What the supplement of a transaction says its sender had before and after it.
pub(crate) fn balances(included: &IncludedGuest) -> (u64, u64) {
    let (before, after) = included.supplement.split_at(8);
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
    (number(before), number(after))
}

/// A node's settings with the toy machine.
pub(crate) fn with_toys(config: Config) -> Config {
    Config { guests: Guests::default().with(Toys), ..config }
}

/// A toy transaction of account `from`.
pub(crate) fn toy(from: u8, sequence: u64, ops: &[Op]) -> ToyTransaction {
    ToyTransaction::new(account(TOY, from), sequence, ops)
}

/// A payment of one unit.
pub(crate) fn pay(from: u8, sequence: u64, to: AccountId) -> ToyTransaction {
    toy(from, sequence, &[Op::transfer(account(TOY, from), to, 1)])
}

/// A transaction as a block takes it.
pub(crate) fn guest(tx: ToyTransaction) -> Arc<GuestTransaction> {
    let raw = tx.encode().into();
    Arc::new(GuestTransaction { decoded: tx.decoded(), raw })
}

/// Sends a transaction as a client does.
pub(crate) fn send(node: &Node, tx: &ToyTransaction) -> Result<B256, GuestError> {
    node.submit_guest(node.decode_guest(TOY, tx.encode().into())?)
}

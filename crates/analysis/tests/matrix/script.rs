//! What contracts of any machine are told to do in the matrix, and what they tell of it.

use polity_kernel::Decoded;
use polity_testkit::state::State;
use polity_types::{AccountId, AssetId, B256, Bytes, Receipt, U256};

/// The native asset that goes along where some does: a number of lamports.
pub(crate) const LAMPORT: u64 = 1_000_000_000;

/// A contract of a machine: the place of the machine in the list of those that take part, and which
/// of its contracts. Contract 0 is who the transaction starts at, 1 and 2 are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contract {
    pub(crate) machine: usize,
    pub(crate) number: u8,
}

/// One thing that a contract does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Sets one of its words.
    Write(u8, u64),
    /// Adds to one of its words, and sees the sum.
    Add(u8, u64),
    /// Sees a word of the first contract of its own machine.
    ReadFirst(u8),
    /// Tells the world.
    Emit(&'static str),
    /// Ends the frame and undoes it.
    Fail,
    /// Uses all that it may use.
    Exhaust,
    /// Sends the ledger's asset to a contract of any machine.
    Send(Contract, u64),
    /// Calls a contract of another machine, and sees how that ended.
    Call(Call),
}

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) to: Contract,
    pub(crate) acts: Vec<Act>,
    /// In lamports.
    pub(crate) value: u64,
    pub(crate) read_only: bool,
    /// How much of the state may be read, where the caller's machine has a word for it: what
    /// stops a callee midway.
    pub(crate) reads: Option<u64>,
}

impl Act {
    pub(crate) fn call(to: Contract, acts: &[Self]) -> Self {
        Self::Call(Call { to, acts: acts.to_vec(), value: 0, read_only: false, reads: None })
    }

    pub(crate) fn pay(to: Contract, lamports: u64, acts: &[Self]) -> Self {
        Self::Call(Call { to, acts: acts.to_vec(), value: lamports, read_only: false, reads: None })
    }

    pub(crate) fn query(to: Contract, acts: &[Self]) -> Self {
        Self::Call(Call { to, acts: acts.to_vec(), value: 0, read_only: true, reads: None })
    }
}

/// What a contract saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Word(u64),
    /// A callee came to its end, and saw this.
    Called(Vec<Seen>),
    /// A callee did not.
    Failed,
}

impl Seen {
    /// All words that were seen, by whomever.
    pub(crate) fn words(seen: &[Self]) -> Vec<u64> {
        let words = seen.iter().flat_map(|seen| match seen {
            Self::Word(word) => vec![*word],
            Self::Called(inner) => Self::words(inner),
            Self::Failed => Vec::new(),
        });
        words.collect()
    }
}

/// How a machine takes part.
pub(crate) trait Member: Sync {
    fn name(&self) -> &'static str;

    /// Puts its contracts and the senders of its transactions into a state.
    fn prepare(&self, state: &mut State);

    /// The account that is called where a contract is.
    fn account(&self, number: u8) -> AccountId;

    /// Whose balance shows what a contract gets.
    fn purse(&self, number: u8) -> AccountId;

    /// Whose balance shows what a contract pays, and who holds its assets.
    fn payer(&self, number: u8) -> AccountId;

    /// A call's input that makes a contract do this.
    fn input(&self, number: u8, acts: &[Act], members: &[&dyn Member]) -> Bytes;

    /// A transaction of one of its senders that makes contract 0 do this.
    fn transaction(&self, sender: u8, acts: &[Act], members: &[&dyn Member]) -> Decoded;

    /// What a contract that was told to do this saw, by what it returned.
    fn seen(&self, acts: &[Act], output: &[u8], members: &[&dyn Member]) -> Vec<Seen>;

    /// What contract 0 saw in a transaction.
    fn outcome(&self, acts: &[Act], receipt: &Receipt, members: &[&dyn Member]) -> Vec<Seen>;

    /// A word of a contract.
    fn word(&self, state: &State, number: u8, place: u8) -> u64;

    /// The text in an event of one of its contracts.
    fn text(&self, data: &[u8]) -> String;
}

/// An amount of lamports in base units.
pub(crate) fn lamports(lamports: u64) -> U256 {
    U256::from(lamports) * U256::from(LAMPORT)
}

/// How many frames these acts open, one above the other.
pub(crate) fn height(acts: &[Act]) -> u32 {
    let above = acts.iter().map(|act| match act {
        Act::Call(call) => 1 + height(&call.acts),
        _ => 0,
    });
    above.max().unwrap_or(0)
}

/// Whether one of these frames uses all that it may.
pub(crate) fn exhausts(acts: &[Act]) -> bool {
    acts.iter().any(|act| match act {
        Act::Exhaust => true,
        Act::Call(call) => exhausts(&call.acts),
        _ => false,
    })
}

/// The asset of the ledger that contracts send.
pub(crate) fn asset() -> AssetId {
    AssetId(B256::repeat_byte(0xa5))
}

use super::{
    Gift, Giver, Kind,
    draw::{Age, Draft, Now, draw},
    world::{self, CROWD, NONCES, PURSES, RICH, World},
};
use crate::{
    Rng,
    fuzz::{CHAIN_ID, RandomBlock, RandomBlockError, Shrink},
};
use polity_engine::{Block, BlockError, BlockOutput, Overlay, OverlayError, Sequential};
use polity_evm::Evm;
use polity_kernel::{
    BlockContext, DecodeError, Decoded, Executed, Halt, Kernel, Machine, Machines,
    RegistrationError, Scratch, Totals,
};
use polity_svm::{BlockInput, MAX_ANCESTORS, Svm};
use polity_types::{AccountRecord, B256, Resources, U256};
use solana_account::ReadableAccount;
use solana_hash::Hash;
use solana_nonce::{state::State, versions::Versions};
use std::{ops::Range, sync::Arc};

/// A block of Solana's transactions, of gifts from outside, and, where it is mixed, of
/// Ethereum's: a function of its seed.
pub struct SolanaBlock {
    /// The number that it was made from.
    pub seed: u64,
    /// What the transactions are there for.
    pub transactions: Vec<SolanaTransaction>,
    /// The machines: Solana's, the one that gives, and Ethereum's where it is mixed.
    pub machines: Machines,
    /// The state before the block.
    pub state: Overlay<'static>,
    /// The block, ready to execute on [`SolanaBlock::state`].
    pub block: Block,
    /// What sequential execution gives.
    pub expected: Result<BlockOutput, BlockError>,
    setup: Setup,
}

/// A transaction of a random block.
#[derive(Clone, Debug)]
pub struct SolanaTransaction {
    /// What it is there for.
    pub name: String,
    /// Whether it may not be in the block.
    pub faulty: bool,
    decoded: Decoded,
}

/// A random block cannot be made. Every cause is a mistake in this module or in a machine.
#[derive(Debug, thiserror::Error)]
pub enum SolanaBlockError {
    /// A machine cannot be registered.
    #[error(transparent)]
    Machines(#[from] RegistrationError),
    /// What was signed cannot be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A transaction is not executed to its end.
    #[error("{0}: {1}")]
    Halt(String, Halt),
    /// Effects do not fit the state.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// The part of Ethereum cannot be made.
    #[error(transparent)]
    Ethereum(#[from] RandomBlockError),
}

/// What the block is made on. It is drawn again where another state is needed.
#[derive(Clone)]
struct Setup {
    seed: u64,
    ethereum: Option<Arc<RandomBlock>>,
    context: BlockContext,
    world: World,
}

impl Setup {
    fn machines(&self) -> Result<Machines, SolanaBlockError> {
        let mut machines = Machines::default().with(Svm::new())?.with(Giver)?;
        if let Some(ethereum) = &self.ethereum {
            machines = machines.with(Evm::new(ethereum.spec()))?;
        }
        Ok(machines)
    }

    fn state(&self) -> Overlay<'static> {
        let before = self.ethereum.as_ref().map(|ethereum| ethereum.state_before());
        let mut state = before.unwrap_or_else(Overlay::empty);
        self.world.lay_over(&mut state);
        let balance = U256::from(1_u64) << 200;
        let record = AccountRecord { balance, sequence: 0, code: None };
        state.insert_account(Gift::source(), Some(record));
        state
    }
}

/// The hash of the block at this height.
fn ancestor(number: u64) -> B256 {
    let mut hash = [0x11; 32];
    for (place, byte) in hash.iter_mut().zip(number.to_be_bytes()) {
        *place = byte;
    }
    B256::new(hash)
}

impl SolanaBlock {
    /// The block with this seed and at most this many transactions, `mixed` with Ethereum's or
    /// not. The same arguments always give the same block. One in ten may not be.
    ///
    /// # Errors
    /// See [`SolanaBlockError`].
    pub fn new(seed: u64, most: usize, mixed: bool) -> Result<Self, SolanaBlockError> {
        Self::draw(seed, most, mixed, false)
    }

    /// Like [`SolanaBlock::new`], but many of the transactions may not be in the block: candidates
    /// to build one from.
    ///
    /// # Errors
    /// See [`SolanaBlockError`].
    pub fn candidates(seed: u64, most: usize, mixed: bool) -> Result<Self, SolanaBlockError> {
        Self::draw(seed, most, mixed, true)
    }

    fn draw(
        seed: u64,
        most: usize,
        mixed: bool,
        candidates: bool,
    ) -> Result<Self, SolanaBlockError> {
        let mut rng = Rng::new(seed ^ 0x501a_4a00);
        let world = World::new(&mut rng);
        let number = 1_000;
        let ancestors = (0..number).rev().take(MAX_ANCESTORS).map(ancestor).collect();
        let input = BlockInput { ancestors };
        let ethereum = mixed.then(|| RandomBlock::candidates(seed, most.div_ceil(2)));
        let ethereum = ethereum.transpose()?.map(Arc::new);
        let foreign = ethereum.as_ref().map(|all| ethereum_transactions(all, candidates));
        let context = match &ethereum {
            Some(ethereum) => ethereum.block.context.clone(),
            None => BlockContext {
                chain_id: CHAIN_ID,
                number,
                timestamp: 1_700_000_000,
                beneficiary: polity_svm::account(&world::beneficiary()),
                randomness: B256::ZERO,
                inputs: Default::default(),
            },
        };
        let setup = Setup { seed, ethereum, context: input.in_context(context), world };
        let count = rng.below(most).saturating_add(1).min(most);
        let favoured: Vec<Kind> = (0..4).filter_map(|_| rng.pick(Kind::ALL).copied()).collect();
        let mut faulty = if rng.once_in(10) { Some(rng.below(count)) } else { None };
        let mut builder = Builder::new(setup)?;
        let mut foreign = foreign.into_iter().flatten();
        for _ in 0..count.saturating_mul(4) {
            if builder.transactions.len() >= count {
                break;
            }
            if mixed && rng.once_in(2) {
                if let Some(transaction) = foreign.next() {
                    builder.push(transaction, candidates)?;
                }
                continue;
            }
            if rng.once_in(12) {
                builder.push(gift(&mut rng), candidates)?;
                continue;
            }
            let kind = match rng.once_in(2) {
                true => rng.pick(&favoured),
                false => rng.pick(Kind::ALL),
            };
            let mut draft = draw(kind.copied().unwrap_or(Kind::Transfer), &mut rng, number);
            let at = builder.transactions.len();
            let keep = candidates || faulty.is_some_and(|place| place <= at);
            let due = !candidates && keep;
            if due || rng.once_in(if candidates { 15 } else { 40 }) {
                draft.age = Age::Unknown;
            }
            let again = rng.once_in(20).then(|| rng.pick(&builder.transactions).cloned()).flatten();
            let transaction = match again {
                Some(again) => again,
                None => match builder.sign(&draft)? {
                    Some(transaction) => transaction,
                    None => continue,
                },
            };
            if builder.push(transaction, keep)? {
                faulty = None;
            }
        }
        builder.finish()
    }

    /// The block without some of its transactions, and without those that are then not possible.
    ///
    /// # Errors
    /// See [`SolanaBlockError`].
    pub fn without(&self, dropped: Range<usize>) -> Result<Self, SolanaBlockError> {
        let mut builder = Builder::new(self.setup.clone())?;
        for (index, transaction) in self.transactions.iter().enumerate() {
            if !dropped.contains(&index) {
                builder.push(transaction.clone(), transaction.faulty)?;
            }
        }
        builder.finish()
    }

    /// What there is before the block.
    pub fn world(&self) -> &World {
        &self.setup.world
    }
}

impl Shrink for SolanaBlock {
    type Error = SolanaBlockError;

    fn count(&self) -> usize {
        self.transactions.len()
    }

    fn without(&self, dropped: Range<usize>) -> Result<Self, Self::Error> {
        SolanaBlock::without(self, dropped)
    }
}

fn ethereum_transactions(block: &RandomBlock, candidates: bool) -> Vec<SolanaTransaction> {
    let all = block.transactions.iter().zip(&block.block.transactions);
    all.filter(|(transaction, _)| candidates || !transaction.faulty)
        .map(|(transaction, decoded)| SolanaTransaction {
            name: format!("Ethereum {:?}", transaction.kind),
            faulty: transaction.faulty,
            decoded: decoded.clone(),
        })
        .collect()
}

/// Something for an account, mostly less than a lamport.
fn gift(rng: &mut Rng) -> SolanaTransaction {
    let to = match rng.below(5) {
        0 => world::nonce(rng.below(NONCES)),
        1 => world::purse_account(rng.below(PURSES)),
        2 => world::person(RICH + rng.below(CROWD - RICH)),
        3 => world::wrapped(rng.below(3)),
        _ => world::person(rng.below(CROWD)),
    };
    let amount = match rng.below(3) {
        0 => polity_svm::base_units(1 + rng.below(2_000_000) as u64) + world::dust(rng),
        _ => world::dust(rng),
    };
    let gift = Gift { number: rng.next(), to: polity_svm::account(&to), amount };
    let name = format!("Gift of {amount} to {to}");
    SolanaTransaction { name, faulty: false, decoded: gift.decoded() }
}

struct Builder {
    setup: Setup,
    machines: Machines,
    state: Overlay<'static>,
    scratch: Scratch,
    used: Vec<(polity_types::MachineKind, Totals)>,
    transactions: Vec<SolanaTransaction>,
}

impl Builder {
    fn new(setup: Setup) -> Result<Self, SolanaBlockError> {
        let machines = setup.machines()?;
        let mut state = setup.state();
        let mut scratch = Scratch::default();
        for machine in machines.iter() {
            let kind = machine.kind();
            let begin = Kernel::new(&machines, &setup.context, &state, &mut scratch)
                .begin_block(kind)
                .map_err(|halt| SolanaBlockError::Halt("begin".into(), halt))?;
            state.apply(&begin)?;
        }
        let used = Vec::new();
        Ok(Self { setup, machines, state, scratch, used, transactions: Vec::new() })
    }

    fn sign(&self, draft: &Draft) -> Result<Option<SolanaTransaction>, SolanaBlockError> {
        let read = |address| polity_svm::read_account(&self.state, &address).ok().flatten();
        let number = self.setup.context.number;
        let now = Now {
            blockhash: &|age| {
                polity_svm::blockhash(&ancestor(number.saturating_sub(1 + age as u64)))
            },
            nonce: &|index| {
                read(world::nonce(index)).and_then(|a| nonce_in(a.data())).unwrap_or_default()
            },
            table: &|index| {
                let data = read(world::table(index)).map(|account| account.data().to_vec());
                entries(&data.unwrap_or_default())
            },
        };
        let Some(signed) = draft.sign(&now) else { return Ok(None) };
        let Ok(raw) = wincode::serialize(&signed) else { return Ok(None) };
        // Some are too long.
        let Ok(decoded) = Svm::new().decode(&raw, &self.setup.context) else { return Ok(None) };
        Ok(Some(SolanaTransaction { name: format!("{:?}", draft.kind), faulty: false, decoded }))
    }

    /// Adds a transaction; one that may not be here is left out, unless it is kept on purpose.
    /// Gives whether one was kept.
    fn push(
        &mut self,
        mut transaction: SolanaTransaction,
        keep: bool,
    ) -> Result<bool, SolanaBlockError> {
        let tx = &transaction.decoded;
        let kind = tx.machine;
        let used = self.used.iter().find(|(known, _)| *known == kind);
        let used = used.map(|(_, totals)| *totals).unwrap_or_default();
        let machine = self.machines.get(kind);
        let fits = machine.is_some_and(|m| m.admit(tx, &used, &self.setup.context).is_ok());
        let executed = if fits {
            let kernel =
                Kernel::new(&self.machines, &self.setup.context, &self.state, &mut self.scratch);
            let executed = kernel
                .transact(tx, Resources::UNLIMITED)
                .map_err(|halt| SolanaBlockError::Halt(transaction.name.clone(), halt))?;
            match executed {
                Executed::Included(output) => Some(output),
                Executed::Invalid { .. } => None,
            }
        } else {
            None
        };
        transaction.faulty = executed.is_none();
        match executed {
            Some(output) => {
                self.state.apply(&output.effects)?;
                match self.used.iter_mut().find(|(known, _)| *known == kind) {
                    Some((_, totals)) => totals.add(&output.receipt),
                    None => {
                        let mut totals = Totals::default();
                        totals.add(&output.receipt);
                        self.used.push((kind, totals));
                    }
                }
            }
            None if !keep => return Ok(false),
            None => {}
        }
        let kept = transaction.faulty;
        self.transactions.push(transaction);
        Ok(kept)
    }

    fn finish(self) -> Result<SolanaBlock, SolanaBlockError> {
        let Self { setup, machines, transactions, .. } = self;
        let block = Block {
            context: setup.context.clone(),
            transactions: transactions.iter().map(|tx| tx.decoded.clone()).collect(),
            transaction_limit: Resources::UNLIMITED,
        };
        let state = setup.state();
        let expected = Sequential::new().execute(&machines, &state, &block);
        let seed = setup.seed;
        Ok(SolanaBlock { seed, transactions, machines, state, block, expected, setup })
    }
}

/// The value of a durable nonce in the data of its account.
pub(super) fn nonce_in(data: &[u8]) -> Option<Hash> {
    let versions: Versions = wincode::deserialize(data).ok()?;
    match versions.state() {
        State::Initialized(data) => Some(data.blockhash()),
        State::Uninitialized => None,
    }
}

/// The addresses in the data of a look-up table.
pub(super) fn entries(data: &[u8]) -> Vec<solana_pubkey::Pubkey> {
    let all = data.get(56..).unwrap_or_default().as_chunks::<32>().0;
    all.iter().map(|bytes| solana_pubkey::Pubkey::new_from_array(*bytes)).collect()
}

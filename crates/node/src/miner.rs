//! When blocks are made, and with what time.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, keccak256};
use tokio::sync::watch;

use crate::{
    chain::{Block, Built, Candidate, Chain, ChainError, Draft, Tip},
    dev::Powers,
    pool::{GuestPool, Order, Pool},
};

/// When blocks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mining {
    /// As soon as there is a transaction.
    Instant,
    /// Every so often, transactions or not.
    Interval(Duration),
    /// At once for a transaction, and every so often besides.
    Mixed(Duration),
    /// When somebody asks for it.
    Manual,
}

impl Mining {
    /// Whether a transaction gets a block at once.
    pub const fn is_instant(self) -> bool {
        matches!(self, Self::Instant | Self::Mixed(_))
    }

    /// How much time lies between two blocks.
    pub const fn interval(self) -> Option<Duration> {
        match self {
            Self::Interval(interval) | Self::Mixed(interval) => Some(interval),
            Self::Instant | Self::Manual => None,
        }
    }
}

/// What the next blocks are made with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// When they are made.
    pub mining: Mining,
    /// The order of their transactions.
    pub order: Order,
    /// Who receives the fees.
    pub beneficiary: Address,
    /// The gas limit, where it is not the parent's.
    pub gas_limit: Option<u64>,
    /// The base fee of the next block alone, in wei.
    pub next_base_fee: Option<u64>,
    /// The base fee of every block, in wei.
    pub base_fee: Option<u64>,
    /// The randomness of the next block alone.
    pub next_randomness: Option<B256>,
    /// The timestamp of the next block alone, in seconds.
    pub next_timestamp: Option<u64>,
    /// How far the chain's clock is ahead of the system's, in seconds.
    pub offset: i128,
    /// How many seconds lie between two blocks, whatever the clock says.
    pub block_interval: Option<u64>,
}

/// Makes the blocks of a chain.
pub struct Miner {
    chain: Arc<Chain>,
    pool: Arc<Pool>,
    guests: Arc<GuestPool>,
    settings: Mutex<Settings>,
    /// Held while a block is made.
    making: Mutex<()>,
    requests: Mutex<Requests>,
    requested: Condvar,
    /// The last request that was served.
    served: watch::Sender<u64>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

#[derive(Default)]
struct Requests {
    last: u64,
    /// The settings of the mining changed, or the node stops.
    woken: bool,
    stopped: bool,
}

impl Miner {
    /// A miner, and the thread that it works on. The thread ends with the miner.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start(
        chain: Arc<Chain>,
        pool: Arc<Pool>,
        guests: Arc<GuestPool>,
        settings: Settings,
    ) -> Result<Arc<Self>, std::io::Error> {
        let miner = Arc::new(Self {
            chain,
            pool,
            guests,
            settings: Mutex::new(settings),
            making: Mutex::default(),
            requests: Mutex::default(),
            requested: Condvar::new(),
            served: watch::channel(0).0,
            thread: Mutex::default(),
        });
        let weak = Arc::downgrade(&miner);
        let work = thread::Builder::new().name("polity-miner".into()).spawn(move || work(&weak))?;
        *miner.thread() = Some(work);
        Ok(miner)
    }

    /// The settings.
    pub fn settings(&self) -> Settings {
        self.settings_mut().clone()
    }

    /// Changes the settings.
    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings_mut());
        self.requests().woken = true;
        self.requested.notify_all();
    }

    fn settings_mut(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that there is a transaction. Where it gets a block at once, the
    /// future ends when that is made, or known not to be.
    pub fn announce(&self) -> impl Future<Output = ()> + Send + 'static {
        let ticket = self.settings_mut().mining.is_instant().then(|| {
            let mut requests = self.requests();
            requests.last = requests.last.saturating_add(1);
            self.requested.notify_all();
            requests.last
        });
        let mut served = self.served.subscribe();
        async move {
            if let Some(ticket) = ticket {
                // Where the miner is gone, so is what was waited for.
                let _ = served.wait_for(|served| *served >= ticket).await;
            }
        }
    }

    /// Stops making blocks by itself, after the one that is being made.
    pub fn stop(&self) {
        self.requests().stopped = true;
        self.requested.notify_all();
        let thread = self.thread().take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the miner's thread had panicked");
        }
    }

    fn thread(&self) -> MutexGuard<'_, Option<thread::JoinHandle<()>>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something while no block is made.
    pub fn pause<T>(&self, act: impl FnOnce() -> T) -> T {
        let _making = self.making();
        act()
    }

    fn making(&self) -> MutexGuard<'_, ()> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds since the Unix epoch, by the chain's clock.
    pub fn now(&self) -> u64 {
        now(self.settings_mut().offset)
    }

    /// The timestamp that a block after `parent` would have now.
    pub fn next_timestamp(&self, parent: &Block) -> u64 {
        next_timestamp(&self.settings_mut(), parent)
    }

    /// What the next block would be made with, as things are.
    pub fn draft(&self, parent: &Block) -> Draft {
        draft(&self.settings_mut(), parent)
    }

    /// What the next block with this header may take, in order: Ethereum's
    /// transactions, then those of other machines as they arrived.
    pub fn candidates(&self, header: &Header) -> Vec<Candidate> {
        let order = self.settings_mut().order;
        let base_fee = header.base_fee_per_gas.unwrap_or_default();
        let own = self.pool.best(order, base_fee, header.gas_limit);
        let guests = self.guests.first().into_iter().map(Candidate::Guest);
        own.into_iter().map(Candidate::Ethereum).chain(guests).collect()
    }

    /// Makes a block of what is pending.
    ///
    /// # Errors
    /// The state or the store failed; no block was made then.
    pub fn mine(&self) -> Result<Arc<Block>, ChainError> {
        let _making = self.making();
        let settings = self.settings();
        let parent = self.chain.head();
        let draft = draft(&settings, &parent);
        let built = self.chain.add(&draft, |header| self.candidates(header))?;
        {
            let mut now = self.settings_mut();
            // What was for this block alone, unless it was set anew meanwhile.
            take_if(&mut now.next_base_fee, settings.next_base_fee);
            take_if(&mut now.next_randomness, settings.next_randomness);
            if let Some(timestamp) = settings.next_timestamp
                && take_if(&mut now.next_timestamp, settings.next_timestamp)
            {
                // The clock goes on from there.
                now.offset = i128::from(timestamp) - i128::from(self::now(0));
            }
        }
        self.settle(built)
    }

    /// Goes back to an earlier end of the chain, and makes blocks of these transactions there
    /// instead of those that were.
    ///
    /// # Errors
    /// It is no earlier end of this chain, or the state or the store failed; the chain has less
    /// blocks than before then.
    pub fn reorganize(
        &self,
        powers: &Powers,
        to: &Tip,
        blocks: Vec<Vec<Candidate>>,
    ) -> Result<(), ChainError> {
        let _making = self.making();
        let mut replaced = Vec::new();
        for number in (to.block.number().saturating_add(1)..).take(blocks.len()) {
            replaced.push(self.chain.block(number)?);
        }
        self.chain.go_back(powers, to)?;
        for (candidates, replaced) in blocks.into_iter().zip(replaced) {
            let parent = self.chain.head();
            let settings = self.settings();
            // What is for the next block alone is for the one after these.
            let base_fee = settings.base_fee;
            let mut draft = Draft { base_fee, randomness: None, ..draft(&settings, &parent) };
            if let Some(replaced) = replaced {
                draft.timestamp = replaced.header.timestamp.max(after(&parent));
                // Even with the same transactions it is another block.
                draft.randomness = Some(keccak256(replaced.hash));
            }
            let built = self.chain.add(&draft, |_| candidates)?;
            self.settle(built)?;
        }
        Ok(())
    }

    /// Makes the pools fit a block that was made.
    fn settle(&self, built: Built) -> Result<Arc<Block>, ChainError> {
        for (candidate, reason) in built.left_out {
            // What had no room waits for the next block.
            let Some(invalid) = reason else { continue };
            tracing::warn!(hash = %candidate.decoded().hash, %invalid, "transaction dropped");
            match candidate {
                Candidate::Ethereum(tx) => drop(self.pool.remove(&tx.hash())),
                Candidate::Guest(tx) => self.guests.refuse(&tx, invalid),
            }
        }
        let view = self.chain.latest()?;
        self.pool.advance(&built.block, &view);
        self.guests.advance(&built.block);
        Ok(built.block)
    }

    /// Makes blocks until nothing that is pending fits any more.
    fn mine_all(&self) -> Result<(), ChainError> {
        loop {
            let parent = self.chain.head();
            let header = self.draft(&parent).header(self.chain.spec(), &parent)?;
            let ready = self.pool.has_ready(header.base_fee_per_gas.unwrap_or_default());
            let waits = ready || !self.guests.is_empty();
            if !waits || self.mine()?.is_empty() {
                return Ok(());
            }
        }
    }
}

/// Empties an option that still is what it was.
fn take_if<T: PartialEq>(option: &mut Option<T>, was: Option<T>) -> bool {
    let taken = *option == was;
    if taken {
        *option = None;
    }
    taken
}

/// Seconds since the Unix epoch, by a clock that is so many ahead of the system's.
pub(crate) fn now(offset: i128) -> u64 {
    let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    u64::try_from(i128::from(system).saturating_add(offset).max(0)).unwrap_or(u64::MAX)
}

fn next_timestamp(settings: &Settings, parent: &Block) -> u64 {
    let chosen = match (settings.next_timestamp, settings.block_interval) {
        (Some(timestamp), _) => timestamp,
        (None, Some(interval)) => parent.header.timestamp.saturating_add(interval),
        (None, None) => now(settings.offset),
    };
    chosen.max(after(parent))
}

/// The earliest time of a block after `parent`.
fn after(parent: &Block) -> u64 {
    parent.header.timestamp.saturating_add(1)
}

fn draft(settings: &Settings, parent: &Block) -> Draft {
    Draft {
        timestamp: next_timestamp(settings, parent),
        beneficiary: settings.beneficiary,
        gas_limit: settings.gas_limit,
        base_fee: settings.next_base_fee.or(settings.base_fee),
        randomness: settings.next_randomness,
        ..Draft::default()
    }
}

/// The miner's thread.
fn work(miner: &Weak<Miner>) {
    let mut last = Instant::now();
    while let Some(miner) = miner.upgrade() {
        let mining = miner.settings_mut().mining;
        let due = mining.interval().map(|interval| last + interval);
        let request = {
            let requests = miner.requests();
            let idle = |requests: &mut Requests| {
                !requests.stopped && !requests.woken && *miner.served.borrow() >= requests.last
            };
            // From time to time it is looked whether the miner still exists.
            let left = due.map_or(Duration::from_millis(500), |due| {
                due.saturating_duration_since(Instant::now()).min(Duration::from_millis(500))
            });
            let (mut requests, _) = miner
                .requested
                .wait_timeout_while(requests, left, idle)
                .unwrap_or_else(PoisonError::into_inner);
            requests.woken = false;
            if requests.stopped {
                return;
            }
            requests.last
        };
        let mut made = Ok(());
        if request > *miner.served.borrow() {
            made = miner.mine_all();
            miner.served.send_replace(request);
        }
        if due.is_some_and(|due| due <= Instant::now()) {
            last = Instant::now();
            made = made.and_then(|()| miner.mine().map(drop));
        }
        if let Err(error) = made {
            tracing::error!(%error, "no block could be made");
        }
    }
}

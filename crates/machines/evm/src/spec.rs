//! Which rules hold at which block: Ethereum's forks, their activation, and what hangs on them.
//!
//! A [`ChainSpec`] is an ordered list of forks, each with the point at which it begins. Up to
//! Gray Glacier a fork begins at a block number, the Merge (Paris) at a block number or at a total
//! difficulty, everything later at a timestamp. All rules of the earlier forks stay in force, so
//! one [`Fork`] says everything about a block, except for the DAO fork (one irregular state change
//! and ten marked headers, see [`DaoFork`]) and the difficulty bomb's delays, which some chains
//! skipped (see [`ChainSpec::bomb_delay_at`]).

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::{fmt, str::FromStr};

use alloy_eips::{
    eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS,
    eip7594::MAX_BLOBS_PER_TX_FUSAKA,
    eip7840::{BLOB_BASE_COST, BlobParams},
};
use alloy_primitives::{Address, U256};
use revm::primitives::hardfork::SpecId;

/// A set of rules of Ethereum's execution layer, in the order of their activation.
///
/// `a <= b` reads "the rules of `a` are part of `b`". Source: `ethereum/execution-specs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Fork {
    /// The launch rules (Yellow Paper, first version).
    Frontier,
    /// EIP-606: EIP-2, EIP-7, EIP-8.
    Homestead,
    /// Tangerine Whistle, EIP-608: EIP-150.
    Tangerine,
    /// EIP-607: EIP-155, EIP-160, EIP-161, EIP-170.
    SpuriousDragon,
    /// EIP-609.
    Byzantium,
    /// EIP-1013. On mainnet it began together with [`Fork::Petersburg`], which removes EIP-1283.
    Constantinople,
    /// EIP-1716, "ConstantinopleFix".
    Petersburg,
    /// EIP-1679.
    Istanbul,
    /// EIP-2387: delays the difficulty bomb, nothing else.
    MuirGlacier,
    /// EIP-2070.
    Berlin,
    /// EIP-1559, EIP-3198, EIP-3529, EIP-3541, EIP-3554.
    London,
    /// EIP-4345: delays the difficulty bomb, nothing else.
    ArrowGlacier,
    /// EIP-5133: delays the difficulty bomb, nothing else.
    GrayGlacier,
    /// The Merge: EIP-3675, EIP-4399.
    Paris,
    /// EIP-3651, EIP-3855, EIP-3860, EIP-4895.
    Shanghai,
    /// EIP-7569.
    Cancun,
    /// EIP-7600.
    Prague,
    /// EIP-7607.
    Osaka,
    /// First change of the blob parameters alone (EIP-7892).
    Bpo1,
    /// Second change of the blob parameters alone (EIP-7892).
    Bpo2,
    /// Third change of the blob parameters alone (EIP-7892). Not scheduled on mainnet.
    Bpo3,
    /// Fourth change of the blob parameters alone (EIP-7892). Not scheduled on mainnet.
    Bpo4,
    /// Fifth change of the blob parameters alone (EIP-7892). Not scheduled on mainnet.
    Bpo5,
}

impl Fork {
    /// Every fork, oldest first.
    pub const ALL: [Self; 23] = [
        Self::Frontier,
        Self::Homestead,
        Self::Tangerine,
        Self::SpuriousDragon,
        Self::Byzantium,
        Self::Constantinople,
        Self::Petersburg,
        Self::Istanbul,
        Self::MuirGlacier,
        Self::Berlin,
        Self::London,
        Self::ArrowGlacier,
        Self::GrayGlacier,
        Self::Paris,
        Self::Shanghai,
        Self::Cancun,
        Self::Prague,
        Self::Osaka,
        Self::Bpo1,
        Self::Bpo2,
        Self::Bpo3,
        Self::Bpo4,
        Self::Bpo5,
    ];

    /// The name that Ethereum's tests use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frontier => "Frontier",
            Self::Homestead => "Homestead",
            Self::Tangerine => "EIP150",
            Self::SpuriousDragon => "EIP158",
            Self::Byzantium => "Byzantium",
            Self::Constantinople => "Constantinople",
            Self::Petersburg => "ConstantinopleFix",
            Self::Istanbul => "Istanbul",
            Self::MuirGlacier => "MuirGlacier",
            Self::Berlin => "Berlin",
            Self::London => "London",
            Self::ArrowGlacier => "ArrowGlacier",
            Self::GrayGlacier => "GrayGlacier",
            Self::Paris => "Paris",
            Self::Shanghai => "Shanghai",
            Self::Cancun => "Cancun",
            Self::Prague => "Prague",
            Self::Osaka => "Osaka",
            Self::Bpo1 => "BPO1",
            Self::Bpo2 => "BPO2",
            Self::Bpo3 => "BPO3",
            Self::Bpo4 => "BPO4",
            Self::Bpo5 => "BPO5",
        }
    }

    /// The interpreter's rule set for this fork.
    ///
    /// # Errors
    /// [`SpecError::NoInterpreter`] for Constantinople: revm 43 has no gas schedule with EIP-1283,
    /// and running it as Petersburg would give other gas for `SSTORE`. A chain that activates
    /// Petersburg at the same block never is at Constantinople, so it is not concerned.
    pub const fn spec_id(self) -> Result<SpecId, SpecError> {
        Ok(match self {
            Self::Frontier => SpecId::FRONTIER,
            Self::Homestead => SpecId::HOMESTEAD,
            Self::Tangerine => SpecId::TANGERINE,
            Self::SpuriousDragon => SpecId::SPURIOUS_DRAGON,
            Self::Byzantium => SpecId::BYZANTIUM,
            Self::Constantinople => return Err(SpecError::NoInterpreter { fork: self }),
            Self::Petersburg => SpecId::PETERSBURG,
            Self::Istanbul | Self::MuirGlacier => SpecId::ISTANBUL,
            Self::Berlin => SpecId::BERLIN,
            Self::London | Self::ArrowGlacier | Self::GrayGlacier => SpecId::LONDON,
            Self::Paris => SpecId::MERGE,
            Self::Shanghai => SpecId::SHANGHAI,
            Self::Cancun => SpecId::CANCUN,
            Self::Prague => SpecId::PRAGUE,
            Self::Osaka | Self::Bpo1 | Self::Bpo2 | Self::Bpo3 | Self::Bpo4 | Self::Bpo5 => {
                SpecId::OSAKA
            }
        })
    }

    /// Whether the fork begins at a timestamp (Shanghai and later).
    pub fn is_timed(self) -> bool {
        self >= Self::Shanghai
    }

    /// Whether a chain may leave the fork out: those that only delay the difficulty bomb or change
    /// the blob parameters.
    pub fn is_optional(self) -> bool {
        self.is_glacier() || self >= Self::Bpo1
    }

    const fn is_glacier(self) -> bool {
        matches!(self, Self::MuirGlacier | Self::ArrowGlacier | Self::GrayGlacier)
    }

    /// The static block reward in wei: 5 ether, 3 from Byzantium (EIP-649), 2 from Constantinople
    /// (EIP-1234), none from Paris (EIP-3675).
    pub fn block_reward(self) -> u128 {
        const ETHER: u128 = 1_000_000_000_000_000_000;
        if self >= Self::Paris {
            0
        } else if self >= Self::Constantinople {
            2 * ETHER
        } else if self >= Self::Byzantium {
            3 * ETHER
        } else {
            5 * ETHER
        }
    }

    /// By how many blocks this fork's own rules set the difficulty bomb back: EIP-649, EIP-1234,
    /// EIP-2384, EIP-3554, EIP-4345, EIP-5133. `None` if the fork leaves the delay alone.
    const fn bomb_delay(self) -> Option<u64> {
        match self {
            Self::Byzantium => Some(3_000_000),
            Self::Constantinople => Some(5_000_000),
            Self::MuirGlacier => Some(9_000_000),
            Self::London => Some(9_700_000),
            Self::ArrowGlacier => Some(10_700_000),
            Self::GrayGlacier => Some(11_400_000),
            _ => None,
        }
    }

    /// The blob parameters that Ethereum defined for this fork (EIP-4844, EIP-7691, EIP-7892; for
    /// BPO3 to BPO5, which mainnet has not scheduled, those of the execution spec tests). `None` if
    /// the fork defines none.
    pub const fn standard_blob_params(self) -> Option<BlobParams> {
        match self {
            Self::Cancun => Some(BlobParams::cancun()),
            Self::Prague => Some(BlobParams::prague()),
            Self::Osaka => Some(BlobParams::osaka()),
            Self::Bpo1 => Some(BlobParams::bpo1()),
            Self::Bpo2 => Some(BlobParams::bpo2()),
            Self::Bpo3 => Some(BlobParams {
                target_blob_count: 21,
                max_blob_count: 32,
                update_fraction: 20_609_697,
                ..BlobParams::osaka()
            }),
            Self::Bpo4 | Self::Bpo5 => Some(BlobParams {
                target_blob_count: 14,
                max_blob_count: 21,
                update_fraction: 13_739_630,
                ..BlobParams::osaka()
            }),
            _ => None,
        }
    }
}

impl fmt::Display for Fork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fork {
    type Err = SpecError;

    /// Reads a fork by the name that Ethereum's tests use, or by the name of its upgrade
    /// (`TangerineWhistle`, `SpuriousDragon`, `Petersburg`, `Merge`).
    ///
    /// # Errors
    /// [`SpecError::UnknownNetwork`] with the name.
    fn from_str(name: &str) -> Result<Self, SpecError> {
        match name {
            "TangerineWhistle" => Ok(Self::Tangerine),
            "SpuriousDragon" => Ok(Self::SpuriousDragon),
            "Petersburg" => Ok(Self::Petersburg),
            "Merge" => Ok(Self::Paris),
            _ => Self::ALL
                .into_iter()
                .find(|fork| fork.name() == name)
                .ok_or_else(|| SpecError::UnknownNetwork { name: name.to_string() }),
        }
    }
}

/// The point at which a fork begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// From this block number on.
    Block(u64),
    /// Paris only: from the first block whose parent's total difficulty has reached `total`
    /// (EIP-3675).
    TotalDifficulty {
        /// The terminal total difficulty.
        total: U256,
        /// A block number at which the chain is known to have merged, if any. It need not be the
        /// first one (geth's `mergeNetsplitBlock`).
        known_by: Option<u64>,
    },
    /// From this time on, in seconds since 1970. Shanghai and later.
    Timestamp(u64),
}

impl Activation {
    /// Whether a block with this number and timestamp is at or after the point, as far as these two
    /// can tell: a total difficulty counts as reached if it is zero or by its `known_by`.
    fn reached(&self, number: u64, timestamp: u64) -> bool {
        match self {
            Self::Block(block) => number >= *block,
            Self::Timestamp(time) => timestamp >= *time,
            Self::TotalDifficulty { total, known_by } => {
                total.is_zero() || known_by.is_some_and(|block| number >= block)
            }
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(block) => write!(f, "block {block}"),
            Self::Timestamp(time) => write!(f, "time {time}"),
            Self::TotalDifficulty { total, .. } => write!(f, "total difficulty {total}"),
        }
    }
}

/// The DAO fork (EIP-779): from `block` on for ten blocks the headers carry a mark, and at `block`
/// itself the accounts of [`crate::dao`] are drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DaoFork {
    /// The first block of the fork.
    pub block: u64,
    /// `true`: the chain takes part. `false`: it refuses, and the ten headers must not carry the
    /// mark.
    pub support: bool,
}

/// Why a chain specification can't be built or asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The name of a test network is not known.
    #[error("unknown network or fork `{name}`")]
    UnknownNetwork {
        /// The name as given.
        name: String,
    },
    /// A fork begins by a measure that is not its own, e.g. Shanghai at a block number.
    #[error("fork {fork} cannot begin at {at}")]
    WrongActivation {
        /// The fork.
        fork: Fork,
        /// The activation as given.
        at: Activation,
    },
    /// A fork begins before one that it builds on.
    #[error("fork {fork} begins at {at}, before {earlier} at {earlier_at}")]
    OutOfOrder {
        /// The fork that begins too early.
        fork: Fork,
        /// Where it begins.
        at: Activation,
        /// The fork it builds on.
        earlier: Fork,
        /// Where that one begins.
        earlier_at: Activation,
    },
    /// A fork is given without one that it builds on.
    #[error("fork {fork} is configured without {missing}")]
    MissingFork {
        /// The fork that is given.
        fork: Fork,
        /// The one that is not.
        missing: Fork,
    },
    /// A fork is listed twice, or a transition's end is not after its start.
    #[error("fork {fork} cannot follow {previous}")]
    NotLater {
        /// The later entry.
        fork: Fork,
        /// The entry before it.
        previous: Fork,
    },
    /// Blob parameters that can't be computed with.
    #[error("blob parameters of {fork}: {problem}")]
    BlobParams {
        /// The fork whose parameters they are.
        fork: Fork,
        /// What is wrong.
        problem: &'static str,
    },
    /// No interpreter runs this fork's rules.
    #[error("no interpreter for the rules of {fork}")]
    NoInterpreter {
        /// The fork.
        fork: Fork,
    },
}

/// Mainnet's forks: EIP-606 and its successors, EIP-7607 for Osaka, EIP-8134 and EIP-8135 for the
/// BPO forks. The Merge is given by the first block after it.
const MAINNET: [(Fork, Activation); 19] = [
    (Fork::Homestead, Activation::Block(1_150_000)),
    (Fork::Tangerine, Activation::Block(2_463_000)),
    (Fork::SpuriousDragon, Activation::Block(2_675_000)),
    (Fork::Byzantium, Activation::Block(4_370_000)),
    (Fork::Constantinople, Activation::Block(7_280_000)),
    (Fork::Petersburg, Activation::Block(7_280_000)),
    (Fork::Istanbul, Activation::Block(9_069_000)),
    (Fork::MuirGlacier, Activation::Block(9_200_000)),
    (Fork::Berlin, Activation::Block(12_244_000)),
    (Fork::London, Activation::Block(12_965_000)),
    (Fork::ArrowGlacier, Activation::Block(13_773_000)),
    (Fork::GrayGlacier, Activation::Block(15_050_000)),
    (Fork::Paris, Activation::Block(15_537_394)),
    (Fork::Shanghai, Activation::Timestamp(1_681_338_455)),
    (Fork::Cancun, Activation::Timestamp(1_710_338_135)),
    (Fork::Prague, Activation::Timestamp(1_746_612_311)),
    (Fork::Osaka, Activation::Timestamp(1_764_798_551)),
    (Fork::Bpo1, Activation::Timestamp(1_765_290_071)),
    (Fork::Bpo2, Activation::Timestamp(1_767_747_671)),
];

/// The rules of one chain over its whole life.
///
/// ```
/// use polity_evm::spec::{ChainSpec, Fork};
///
/// let mainnet = ChainSpec::mainnet();
/// assert_eq!(mainnet.fork_at(17_034_870, 1_681_338_455), Fork::Shanghai);
/// assert_eq!(mainnet.fork_at(17_034_869, 1_681_338_443), Fork::Paris);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainSpec {
    /// The chain id (EIP-155).
    pub chain_id: u64,
    /// The contract whose logs are deposit requests from Prague on (EIP-6110).
    pub deposit_contract: Address,
    /// The DAO fork, if the chain has a stand on it.
    pub dao: Option<DaoFork>,
    /// Whether a block without the contracts of EIP-7002 and EIP-7251 is valid and has no requests
    /// of theirs. It is not on a live chain; development chains often come without them.
    pub request_contracts_optional: bool,
    /// Whether contracts can call those of other machines, by the gateway and by aliases
    /// ([`crate::gateway`]). Not so on a chain that is Ethereum's alone.
    pub gateway: bool,
    /// Strictly ascending by fork, and valid (see [`ChainSpec::new`]). Frontier is implied.
    activations: Vec<(Fork, Activation)>,
    /// Strictly ascending by fork; each holds until the next.
    blobs: Vec<(Fork, BlobParams)>,
}

impl ChainSpec {
    /// A chain with these forks (Frontier is implied from block 0), the standard blob parameters,
    /// mainnet's deposit contract and no DAO fork.
    ///
    /// # Errors
    /// A [`SpecError`] if the list is not strictly ascending by fork, leaves out a fork that a later
    /// one builds on, has a fork begin before an earlier one, or by a measure that is not its own.
    pub fn new(
        chain_id: u64,
        activations: impl IntoIterator<Item = (Fork, Activation)>,
    ) -> Result<Self, SpecError> {
        let activations: Vec<_> =
            activations.into_iter().filter(|(fork, _)| *fork != Fork::Frontier).collect();
        check_order(&activations)?;
        Ok(Self::unchecked(chain_id, activations))
    }

    fn unchecked(chain_id: u64, activations: Vec<(Fork, Activation)>) -> Self {
        let blobs = activations
            .iter()
            .filter_map(|(fork, _)| Some((*fork, fork.standard_blob_params()?)))
            .collect();
        Self {
            chain_id,
            deposit_contract: MAINNET_DEPOSIT_CONTRACT_ADDRESS,
            dao: None,
            request_contracts_optional: false,
            gateway: false,
            activations,
            blobs,
        }
    }

    /// Ethereum's mainnet, through BPO2. Its merge is given by block number (15 537 394), so no
    /// total difficulty is needed.
    pub fn mainnet() -> Self {
        let mut spec = Self::unchecked(1, MAINNET.to_vec());
        spec.dao = Some(DaoFork { block: 1_920_000, support: true });
        spec
    }

    /// A test network (chain id 1) where `fork` and all before it are active from genesis.
    pub fn single(fork: Fork) -> Self {
        let activations = Fork::ALL
            .into_iter()
            .filter(|f| *f != Fork::Frontier && *f <= fork)
            .map(|f| {
                (f, if f.is_timed() { Activation::Timestamp(0) } else { Activation::Block(0) })
            })
            .collect();
        Self::unchecked(1, activations)
    }

    /// A test network (chain id 1) that is at `from` from genesis and at `to` from `at` on. The
    /// forks between the two begin at `at` as well, except glaciers that can't.
    ///
    /// # Errors
    /// [`SpecError::NotLater`] if `to` is not after `from`, [`SpecError::WrongActivation`] if `at`
    /// is not how `to`, or a fork between the two, begins.
    pub fn transition(from: Fork, to: Fork, at: Activation) -> Result<Self, SpecError> {
        if to <= from {
            return Err(SpecError::NotLater { fork: to, previous: from });
        }
        let mut activations = Self::single(from).activations;
        let between = Fork::ALL.into_iter().filter(|f| *f > from && *f <= to);
        activations.extend(
            between
                .filter(|f| !f.is_glacier() || matches!(at, Activation::Block(_)))
                .map(|f| (f, at)),
        );
        Self::new(1, activations)
    }

    /// The fork of a block, by its number and timestamp (seconds). A timed fork is never active
    /// before the Merge.
    ///
    /// On a chain that merges by total difficulty these two don't tell whether the block is before
    /// or after the Merge: then the answer is "before", until a timed fork or the `known_by` of
    /// [`Activation::TotalDifficulty`] is reached. Use [`ChainSpec::fork_after`] there.
    pub fn fork_at(&self, number: u64, timestamp: u64) -> Fork {
        let merged = match self.activation(Fork::Paris) {
            Some(at @ Activation::Block(_)) => at.reached(number, timestamp),
            _ => true,
        };
        self.last(|at| {
            at.reached(number, timestamp) && (merged || !matches!(at, Activation::Timestamp(_)))
        })
    }

    /// The fork of a block, by its number, its timestamp (seconds), and the total difficulty up to
    /// and including its parent (EIP-3675). On a chain that does not merge by total difficulty this
    /// is [`ChainSpec::fork_at`].
    pub fn fork_after(&self, number: u64, timestamp: u64, parent_total: U256) -> Fork {
        let Some(Activation::TotalDifficulty { total, .. }) = self.activation(Fork::Paris) else {
            return self.fork_at(number, timestamp);
        };
        let merged = parent_total >= total;
        self.last(|at| match at {
            Activation::Block(_) => at.reached(number, timestamp),
            Activation::TotalDifficulty { .. } => merged,
            Activation::Timestamp(_) => merged && at.reached(number, timestamp),
        })
    }

    fn last(&self, reached: impl Fn(&Activation) -> bool) -> Fork {
        let last = self.activations.iter().rev().find(|(_, at)| reached(at));
        last.map_or(Fork::Frontier, |(fork, _)| *fork)
    }

    /// Where `fork` begins; `None` if the chain does not have it. Frontier begins at block 0.
    pub fn activation(&self, fork: Fork) -> Option<Activation> {
        if fork == Fork::Frontier {
            return Some(Activation::Block(0));
        }
        self.activations.iter().find(|(f, _)| *f == fork).map(|(_, at)| *at)
    }

    /// Every fork of the chain with the point where it begins, oldest first, without Frontier.
    pub fn activations(&self) -> &[(Fork, Activation)] {
        &self.activations
    }

    /// By how many blocks the difficulty bomb is set back at block `number`. It goes by the
    /// glaciers that this chain has, not by the fork alone.
    pub fn bomb_delay_at(&self, number: u64) -> u64 {
        self.activations
            .iter()
            .rev()
            .filter(|(_, at)| matches!(at, Activation::Block(block) if number >= *block))
            .find_map(|(fork, _)| fork.bomb_delay())
            .unwrap_or(0)
    }

    /// The static block reward at a block, in wei. See [`Fork::block_reward`], and
    /// [`ChainSpec::fork_at`] for the Merge.
    pub fn block_reward_at(&self, number: u64, timestamp: u64) -> u128 {
        self.fork_at(number, timestamp).block_reward()
    }

    /// The blob parameters while `fork` is the active one; `None` before Cancun.
    ///
    /// From Osaka on they carry the reserve price of EIP-7918 (`blob_base_cost`) and at most six
    /// blobs per transaction (EIP-7594).
    pub fn blob_params(&self, fork: Fork) -> Option<BlobParams> {
        let (_, params) = self.blobs.iter().rev().find(|(f, _)| *f <= fork)?;
        let osaka = fork >= Fork::Osaka;
        let per_tx = if osaka { MAX_BLOBS_PER_TX_FUSAKA } else { u64::MAX };
        Some(BlobParams {
            max_blobs_per_tx: params.max_blob_count.min(per_tx),
            blob_base_cost: if osaka { BLOB_BASE_COST } else { 0 },
            ..*params
        })
    }

    /// The blob parameters of a block; `None` before Cancun.
    pub fn blob_params_at(&self, number: u64, timestamp: u64) -> Option<BlobParams> {
        self.blob_params(self.fork_at(number, timestamp))
    }

    /// Replaces the blob counts, update fraction and minimum fee of `fork` (EIP-7840, EIP-7892).
    /// They hold until the next fork that has its own. `max_blobs_per_tx` and `blob_base_cost` are
    /// not taken: they follow from the fork.
    ///
    /// # Errors
    /// [`SpecError::BlobParams`] if the fork is before Cancun, the maximum is below the target or
    /// above 2^32, or the update fraction is zero or above 2^64.
    pub fn set_blob_params(&mut self, fork: Fork, params: BlobParams) -> Result<(), SpecError> {
        let problem = if fork < Fork::Cancun {
            Some("there are no blobs before Cancun")
        } else if params.update_fraction == 0 || params.update_fraction > u128::from(u64::MAX) {
            Some("the update fraction is zero or above 2^64")
        } else if params.max_blob_count < params.target_blob_count {
            Some("the maximum is below the target")
        } else if params.max_blob_count > u64::from(u32::MAX) {
            Some("the maximum is above 2^32")
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(SpecError::BlobParams { fork, problem });
        }
        self.blobs.retain(|(f, _)| *f != fork);
        self.blobs.push((fork, params));
        self.blobs.sort_unstable_by_key(|(f, _)| *f);
        Ok(())
    }

    /// Whether `number` is the block at which the DAO's accounts are drained (EIP-779).
    pub fn drains_dao_at(&self, number: u64) -> bool {
        self.dao.is_some_and(|dao| dao.support && dao.block == number)
    }
}

/// See [`ChainSpec::new`].
fn check_order(activations: &[(Fork, Activation)]) -> Result<(), SpecError> {
    let mut previous = (Fork::Frontier, Activation::Block(0));
    // The latest block number and time at which a fork was seen to begin.
    let mut block = previous;
    let mut time = previous;
    for &(fork, at) in activations {
        if fork <= previous.0 {
            return Err(SpecError::NotLater { fork, previous: previous.0 });
        }
        let missing =
            Fork::ALL.into_iter().find(|f| *f > previous.0 && *f < fork && !f.is_optional());
        if let Some(missing) = missing {
            return Err(SpecError::MissingFork { fork, missing });
        }
        let (fits, latest, begins) = match at {
            Activation::Block(number) => (!fork.is_timed(), &mut block, Some(number)),
            Activation::TotalDifficulty { known_by, .. } => {
                (fork == Fork::Paris, &mut block, known_by)
            }
            Activation::Timestamp(seconds) => (fork.is_timed(), &mut time, Some(seconds)),
        };
        if !fits {
            return Err(SpecError::WrongActivation { fork, at });
        }
        if let Some(begins) = begins {
            let earliest = match latest.1 {
                Activation::Block(point) | Activation::Timestamp(point) => point,
                Activation::TotalDifficulty { known_by, .. } => known_by.unwrap_or(0),
            };
            if begins < earliest {
                let (earlier, earlier_at) = *latest;
                return Err(SpecError::OutOfOrder { fork, at, earlier, earlier_at });
            }
            *latest = (fork, at);
        }
        previous = (fork, at);
    }
    Ok(())
}

/// The network names of Ethereum's state and blockchain tests.
#[derive(Clone, Copy, Debug)]
pub struct Network;

impl Network {
    /// The chain (id 1) that a test's network name stands for: a fork's name (`Cancun`), or
    /// `XToYAt5` (block number), `XToYAtTime15k` (timestamp), `XToYAtDiffC0000` (terminal total
    /// difficulty, hexadecimal), and `HomesteadToDaoAt5`.
    ///
    /// A test that names its own blob schedule sets it with [`ChainSpec::set_blob_params`].
    ///
    /// # Errors
    /// [`SpecError::UnknownNetwork`] with the name; the errors of [`ChainSpec::transition`].
    pub fn parse(name: &str) -> Result<ChainSpec, SpecError> {
        let unknown = || SpecError::UnknownNetwork { name: name.to_string() };
        if let Ok(fork) = name.parse() {
            return Ok(ChainSpec::single(fork));
        }
        let (from, rest) = name.split_once("To").ok_or_else(unknown)?;
        let (to, at) = rest.split_once("At").ok_or_else(unknown)?;
        let from: Fork = from.parse().map_err(|_| unknown())?;
        let at = parse_point(at).ok_or_else(unknown)?;
        if to == "Dao" {
            let Activation::Block(block) = at else { return Err(unknown()) };
            let mut spec = ChainSpec::single(from);
            spec.dao = Some(DaoFork { block, support: true });
            return Ok(spec);
        }
        ChainSpec::transition(from, to.parse().map_err(|_| unknown())?, at)
    }
}

/// The part after `At` of a network name.
fn parse_point(text: &str) -> Option<Activation> {
    if let Some(hex) = text.strip_prefix("Diff") {
        if hex.is_empty() || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let total = U256::from_str_radix(hex, 16).ok()?;
        return Some(Activation::TotalDifficulty { total, known_by: None });
    }
    let (text, timed) = match text.strip_prefix("Time") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let (digits, unit) = match text.strip_suffix('k') {
        Some(digits) => (digits, 1_000),
        None => (text, 1),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let point = digits.parse::<u64>().ok()?.checked_mul(unit)?;
    Some(if timed { Activation::Timestamp(point) } else { Activation::Block(point) })
}

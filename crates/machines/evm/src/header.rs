//! Ethereum's consensus rules for a block that need no state: its header against its parent, its
//! ommers against its ancestors, its body against its header.
//!
//! The seal is not looked at: neither Ethash's (`nonce`, `mix_hash` of a proof-of-work header) nor
//! a beacon block's. Nor is what only execution tells: `state_root`, `receipts_root`, `logs_bloom`,
//! the value of `gas_used` and of `requests_hash`.
//!
//! [`check_header`] gives the block's [`Fork`], which the other checks and execution go by. The
//! functions named `expected_…` are those with which a block is built.

use alloy_consensus::{
    Block, BlockBody, EMPTY_OMMER_ROOT_HASH, Header, Transaction,
    constants::MAXIMUM_EXTRA_DATA_SIZE,
    proofs::{calculate_ommers_root, calculate_transaction_root, calculate_withdrawals_root},
};
use alloy_eips::{
    eip1559::{
        DEFAULT_BASE_FEE_MAX_CHANGE_DENOMINATOR, DEFAULT_ELASTICITY_MULTIPLIER,
        GAS_LIMIT_BOUND_DIVISOR, INITIAL_BASE_FEE,
    },
    eip2718::Encodable2718,
    eip4844::DATA_GAS_PER_BLOB,
};
use alloy_primitives::{B64, B256, U256};
use alloy_rlp::Encodable;

use crate::{
    dao,
    spec::{ChainSpec, Fork},
};

/// The lowest gas limit of a block (Yellow Paper §4.4.4).
pub const MIN_GAS_LIMIT: u64 = 5_000;
/// The highest gas limit of a block (EIP-1985).
pub const MAX_GAS_LIMIT: u64 = i64::MAX as u64;
/// The lowest difficulty that adjustment goes down to (Yellow Paper §4.4.4, `D_0`).
pub const MIN_DIFFICULTY: u64 = 131_072;
/// How many ommers a block may have (Yellow Paper §11.1).
pub const MAX_OMMERS: usize = 2;
/// How many blocks an ommer may lie back (Yellow Paper §11.1).
pub const MAX_OMMER_DEPTH: u64 = 6;
/// The longest RLP encoding of a block from Osaka on, in bytes: 10 MiB less 2 MiB (EIP-7934).
pub const MAX_BLOCK_SIZE: usize = 10_485_760 - 2_097_152;

/// A block that came before, as far as the checks of its descendants need it.
#[derive(Clone, Copy, Debug)]
pub struct Ancestor<'a> {
    /// Its header.
    pub header: &'a Header,
    /// Its hash.
    pub hash: B256,
    /// The sum of the difficulties of the chain up to and including it. It matters only on a chain
    /// that merges by total difficulty (EIP-3675).
    pub total_difficulty: U256,
    /// The hashes of the ommers in it. Only [`check_ommers`] needs them.
    pub ommers: &'a [B256],
}

/// Why a block is not valid on its parent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// `parent_hash` is not the parent's hash.
    #[error("parent hash is {found}, expected {expected}")]
    ParentHash {
        /// The header's.
        found: B256,
        /// The parent's.
        expected: B256,
    },
    /// `number` is not the parent's plus one.
    #[error("number is {found}, expected one more than {parent}")]
    Number {
        /// The header's.
        found: u64,
        /// The parent's.
        parent: u64,
    },
    /// `timestamp` is not after the parent's.
    #[error("timestamp is {found}, expected more than {parent}")]
    Timestamp {
        /// The header's, in seconds.
        found: u64,
        /// The parent's, in seconds.
        parent: u64,
    },
    /// `gas_limit` is outside the bounds for any block.
    #[error("gas limit is {found}, expected {MIN_GAS_LIMIT} to {MAX_GAS_LIMIT}")]
    GasLimitRange {
        /// The header's.
        found: u64,
    },
    /// `gas_limit` moves by 1/1024 of the parent's or more.
    #[error("gas limit is {found}, expected less than {bound} away from {parent}")]
    GasLimitStep {
        /// The header's.
        found: u64,
        /// The parent's, doubled at London's first block (EIP-1559).
        parent: u64,
        /// The first distance that is too much.
        bound: u64,
    },
    /// `gas_used` exceeds `gas_limit`.
    #[error("gas used is {found}, expected at most the gas limit {limit}")]
    GasUsed {
        /// The header's gas used.
        found: u64,
        /// The header's gas limit.
        limit: u64,
    },
    /// `extra_data` is too long.
    #[error("extra data is {found} bytes, expected at most {MAXIMUM_EXTRA_DATA_SIZE}")]
    ExtraData {
        /// Its length in bytes.
        found: usize,
    },
    /// `extra_data` lacks, or has, the mark of the DAO fork (EIP-779).
    #[error("extra data at block {number}: DAO fork mark found: {found}, expected: {expected}")]
    DaoMark {
        /// The block.
        number: u64,
        /// Whether it is marked.
        found: bool,
        /// Whether it has to be.
        expected: bool,
    },
    /// `base_fee_per_gas` is not what the parent gives.
    #[error("base fee is {found}, expected {expected}")]
    BaseFee {
        /// The header's, in wei.
        found: u64,
        /// By EIP-1559, in wei.
        expected: u64,
    },
    /// `difficulty` is not what the parent gives.
    #[error("difficulty is {found}, expected {expected}")]
    Difficulty {
        /// The header's.
        found: U256,
        /// By the fork's formula; zero from Paris on (EIP-3675).
        expected: U256,
    },
    /// `nonce` is not zero after the Merge (EIP-3675).
    #[error("nonce is {found}, expected {}", B64::ZERO)]
    Nonce {
        /// The header's.
        found: B64,
    },
    /// A field that the fork requires is absent.
    #[error("{field} is absent, expected from {fork} on")]
    Absent {
        /// The field.
        field: &'static str,
        /// The fork that requires it.
        fork: Fork,
    },
    /// A field is present before the fork that introduces it.
    #[error("{field} is present, expected from {fork} on only")]
    Present {
        /// The field.
        field: &'static str,
        /// The fork that introduces it.
        fork: Fork,
    },
    /// A field is present that no supported fork has.
    #[error("{field} is present, expected in no supported fork")]
    Unsupported {
        /// The field.
        field: &'static str,
    },
    /// `blob_gas_used` exceeds the block's maximum.
    #[error("blob gas used is {found}, expected at most {max}")]
    BlobGasLimit {
        /// The header's.
        found: u64,
        /// The maximum by the blob parameters.
        max: u64,
    },
    /// `blob_gas_used` is not a multiple of a blob's gas.
    #[error("blob gas used is {found}, expected a multiple of {DATA_GAS_PER_BLOB}")]
    BlobGasMultiple {
        /// The header's.
        found: u64,
    },
    /// `excess_blob_gas` is not what the parent gives.
    #[error("excess blob gas is {found}, expected {expected}")]
    ExcessBlobGas {
        /// The header's.
        found: u64,
        /// By EIP-4844 and EIP-7918.
        expected: u64,
    },
    /// A value derived from the parent exceeds 64 bits.
    #[error("{field} of the block after {parent} exceeds 64 bits")]
    Overflow {
        /// The field.
        field: &'static str,
        /// The parent's number.
        parent: u64,
    },
    /// `blob_gas_used` is not what the body's transactions use.
    #[error("blob gas used is {found}, expected {expected}")]
    BlobGasUsed {
        /// The header's.
        found: u64,
        /// The sum over the body's transactions.
        expected: u64,
    },
    /// A root or hash of the header is not the body's.
    #[error("{field} is {found}, expected {expected}")]
    Root {
        /// The field.
        field: &'static str,
        /// The header's.
        found: B256,
        /// The body's.
        expected: B256,
    },
    /// The block's RLP encoding is too long (EIP-7934).
    #[error("block is {found} bytes, expected at most {MAX_BLOCK_SIZE}")]
    BlockSize {
        /// Its length in bytes.
        found: usize,
    },
    /// The block has too many ommers.
    #[error("{found} ommers, expected at most {MAX_OMMERS}")]
    TooManyOmmers {
        /// How many.
        found: usize,
    },
    /// An ommer is in the block twice, or was in an ancestor.
    #[error("ommer {ommer} is included already")]
    OmmerIncluded {
        /// Its hash.
        ommer: B256,
    },
    /// An ommer is an ancestor of the block.
    #[error("ommer {ommer} is an ancestor")]
    OmmerIsAncestor {
        /// Its hash.
        ommer: B256,
    },
    /// An ommer's parent is not among the ancestors within reach, the block's own parent excepted.
    #[error("ommer {ommer}: parent {parent} is no ancestor at depth 2 to 7")]
    OmmerParent {
        /// The ommer's hash.
        ommer: B256,
        /// Its parent's hash.
        parent: B256,
    },
    /// An ommer's header is not valid on its own parent.
    #[error("ommer {ommer}: {error}")]
    Ommer {
        /// The ommer's hash.
        ommer: B256,
        /// What is wrong with it.
        error: alloc::boxed::Box<HeaderError>,
    },
}

/// Checks a header against its parent, and gives the fork it belongs to (Yellow Paper §4.4.4 and
/// the EIPs named at [`HeaderError`]).
///
/// # Errors
/// The first [`HeaderError`] found.
pub fn check_header(
    spec: &ChainSpec,
    header: &Header,
    parent: &Ancestor<'_>,
) -> Result<Fork, HeaderError> {
    let fork = spec.fork_after(header.number, header.timestamp, parent.total_difficulty);
    check_header_at(spec, fork, header, parent)?;
    Ok(fork)
}

fn check_header_at(
    spec: &ChainSpec,
    fork: Fork,
    header: &Header,
    parent: &Ancestor<'_>,
) -> Result<(), HeaderError> {
    let (hash, parent) = (parent.hash, parent.header);
    if header.parent_hash != hash {
        return Err(HeaderError::ParentHash { found: header.parent_hash, expected: hash });
    }
    if parent.number.checked_add(1) != Some(header.number) {
        return Err(HeaderError::Number { found: header.number, parent: parent.number });
    }
    if header.timestamp <= parent.timestamp {
        return Err(HeaderError::Timestamp { found: header.timestamp, parent: parent.timestamp });
    }
    check_gas(spec, fork, header, parent)?;
    check_extra_data(spec, header)?;
    check_seal_fields(spec, fork, header, parent)?;
    check_fork_fields(fork, header)?;
    check_blob_gas(spec, fork, header, parent)
}

/// Gas limit and gas used (Yellow Paper §4.4.4), and the base fee (EIP-1559).
fn check_gas(
    spec: &ChainSpec,
    fork: Fork,
    header: &Header,
    parent: &Header,
) -> Result<(), HeaderError> {
    let limit = header.gas_limit;
    if !(MIN_GAS_LIMIT..=MAX_GAS_LIMIT).contains(&limit) {
        return Err(HeaderError::GasLimitRange { found: limit });
    }
    let previous = if begins_london(spec, fork, parent) {
        parent.gas_limit.saturating_mul(DEFAULT_ELASTICITY_MULTIPLIER)
    } else {
        parent.gas_limit
    };
    let bound = previous / GAS_LIMIT_BOUND_DIVISOR;
    if limit.abs_diff(previous) >= bound {
        return Err(HeaderError::GasLimitStep { found: limit, parent: previous, bound });
    }
    if header.gas_used > limit {
        return Err(HeaderError::GasUsed { found: header.gas_used, limit });
    }
    let found = field("base_fee_per_gas", header.base_fee_per_gas, fork, Fork::London)?;
    let expected = expected_base_fee(spec, fork, parent)?;
    match (found, expected) {
        (Some(found), Some(expected)) if found != expected => {
            Err(HeaderError::BaseFee { found, expected })
        }
        _ => Ok(()),
    }
}

/// The length of the extra data, and the marks of the DAO fork (EIP-779).
fn check_extra_data(spec: &ChainSpec, header: &Header) -> Result<(), HeaderError> {
    let size = header.extra_data.len();
    if size > MAXIMUM_EXTRA_DATA_SIZE {
        return Err(HeaderError::ExtraData { found: size });
    }
    let Some(fork) = spec.dao else { return Ok(()) };
    let number = header.number;
    let found = header.extra_data.as_ref() == dao::MARK;
    match number.checked_sub(fork.block) {
        Some(since) if since < dao::MARKED_BLOCKS && found != fork.support => {
            Err(HeaderError::DaoMark { number, found, expected: fork.support })
        }
        _ => Ok(()),
    }
}

/// The difficulty, and what EIP-3675 makes constant.
fn check_seal_fields(
    spec: &ChainSpec,
    fork: Fork,
    header: &Header,
    parent: &Header,
) -> Result<(), HeaderError> {
    let expected = expected_difficulty(spec, fork, header.number, header.timestamp, parent);
    if header.difficulty != expected {
        return Err(HeaderError::Difficulty { found: header.difficulty, expected });
    }
    if fork < Fork::Paris {
        return Ok(());
    }
    if !header.nonce.is_zero() {
        return Err(HeaderError::Nonce { found: header.nonce });
    }
    same_root("ommers_hash", header.ommers_hash, EMPTY_OMMER_ROOT_HASH)
}

/// Presence of the fields that forks added. Their values are checked elsewhere.
fn check_fork_fields(fork: Fork, header: &Header) -> Result<(), HeaderError> {
    field("withdrawals_root", header.withdrawals_root, fork, Fork::Shanghai)?;
    field("parent_beacon_block_root", header.parent_beacon_block_root, fork, Fork::Cancun)?;
    field("requests_hash", header.requests_hash, fork, Fork::Prague)?;
    for (name, present) in [
        ("block_access_list_hash", header.block_access_list_hash.is_some()),
        ("slot_number", header.slot_number.is_some()),
    ] {
        if present {
            return Err(HeaderError::Unsupported { field: name });
        }
    }
    Ok(())
}

/// Blob gas used and excess blob gas (EIP-4844, EIP-7691, EIP-7892, EIP-7918).
fn check_blob_gas(
    spec: &ChainSpec,
    fork: Fork,
    header: &Header,
    parent: &Header,
) -> Result<(), HeaderError> {
    let used = field("blob_gas_used", header.blob_gas_used, fork, Fork::Cancun)?;
    let excess = field("excess_blob_gas", header.excess_blob_gas, fork, Fork::Cancun)?;
    let expected = expected_excess_blob_gas(spec, fork, parent)?;
    let (Some(used), Some(found), Some(expected)) = (used, excess, expected) else {
        return Ok(());
    };
    let blobs = spec.blob_params(fork).map_or(0, |params| params.max_blob_count);
    let max = blobs.saturating_mul(DATA_GAS_PER_BLOB);
    if used > max {
        return Err(HeaderError::BlobGasLimit { found: used, max });
    }
    if !used.is_multiple_of(DATA_GAS_PER_BLOB) {
        return Err(HeaderError::BlobGasMultiple { found: used });
    }
    if found != expected {
        return Err(HeaderError::ExcessBlobGas { found, expected });
    }
    Ok(())
}

/// `value`, if it is there exactly when `fork` has reached `first`.
fn field<T>(
    field: &'static str,
    value: Option<T>,
    fork: Fork,
    first: Fork,
) -> Result<Option<T>, HeaderError> {
    match (value.is_some(), fork >= first) {
        (false, true) => Err(HeaderError::Absent { field, fork: first }),
        (true, false) => Err(HeaderError::Present { field, fork: first }),
        _ => Ok(value),
    }
}

fn same_root(field: &'static str, found: B256, expected: B256) -> Result<(), HeaderError> {
    if found == expected { Ok(()) } else { Err(HeaderError::Root { field, found, expected }) }
}

/// Whether the block after `parent`, at `fork`, is London's first.
fn begins_london(spec: &ChainSpec, fork: Fork, parent: &Header) -> bool {
    fork >= Fork::London && spec.fork_at(parent.number, parent.timestamp) < Fork::London
}

/// The base fee of the block after `parent`, in wei (EIP-1559); `None` before London.
///
/// # Errors
/// [`HeaderError::Absent`] if the parent has no base fee and should, [`HeaderError::Overflow`].
pub fn expected_base_fee(
    spec: &ChainSpec,
    fork: Fork,
    parent: &Header,
) -> Result<Option<u64>, HeaderError> {
    if fork < Fork::London {
        return Ok(None);
    }
    if begins_london(spec, fork, parent) {
        return Ok(Some(INITIAL_BASE_FEE));
    }
    let fee = parent.base_fee_per_gas.ok_or(HeaderError::Absent {
        field: "base_fee_per_gas of the parent",
        fork: Fork::London,
    })?;
    let target = parent.gas_limit / DEFAULT_ELASTICITY_MULTIPLIER;
    let distance = U256::from(parent.gas_used.abs_diff(target));
    // The target is zero only under a genesis block with a gas limit below 2.
    let scaled = (U256::from(fee) * distance).checked_div(U256::from(target)).unwrap_or_default();
    let change = scaled / U256::from(DEFAULT_BASE_FEE_MAX_CHANGE_DENOMINATOR);
    let next = match parent.gas_used.cmp(&target) {
        core::cmp::Ordering::Equal => U256::from(fee),
        core::cmp::Ordering::Greater => U256::from(fee) + change.max(U256::from(1)),
        core::cmp::Ordering::Less => U256::from(fee).saturating_sub(change),
    };
    let next = u64::try_from(next)
        .map_err(|_| HeaderError::Overflow { field: "base fee", parent: parent.number })?;
    Ok(Some(next))
}

/// The difficulty of the block after `parent`, at `number` and `timestamp` (seconds); zero from
/// Paris on (EIP-3675).
///
/// Frontier: 1/2048 up if the block came within 13 seconds, else down. Homestead (EIP-2): down by
/// one step for every 10 seconds, at most 99. Byzantium (EIP-100): steps of 9 seconds, one later if
/// the parent has ommers. Then the bomb: a power of two for every 100 000 blocks, counted from
/// [`ChainSpec::bomb_delay_at`].
pub fn expected_difficulty(
    spec: &ChainSpec,
    fork: Fork,
    number: u64,
    timestamp: u64,
    parent: &Header,
) -> U256 {
    if fork >= Fork::Paris {
        return U256::ZERO;
    }
    let elapsed = timestamp.saturating_sub(parent.timestamp);
    // Steps up, and steps down.
    let (up, down) = if fork < Fork::Homestead {
        if elapsed < 13 { (1, 0) } else { (0, 1) }
    } else if fork < Fork::Byzantium {
        (1, elapsed / 10)
    } else {
        let up = if parent.ommers_hash == EMPTY_OMMER_ROOT_HASH { 1 } else { 2 };
        (up, elapsed / 9)
    };
    let step: U256 = parent.difficulty >> 11;
    let adjusted = if up >= down {
        parent.difficulty.saturating_add(step.saturating_mul(U256::from(up - down)))
    } else {
        parent.difficulty.saturating_sub(step.saturating_mul(U256::from((down - up).min(99))))
    };
    let adjusted = adjusted.max(U256::from(MIN_DIFFICULTY));
    adjusted.saturating_add(bomb(number.saturating_sub(spec.bomb_delay_at(number))))
}

/// The bomb's part of the difficulty, at a block number with the delay taken off.
fn bomb(number: u64) -> U256 {
    match (number / 100_000).checked_sub(2) {
        Some(exponent @ 0..=255) => U256::from(1) << exponent,
        Some(_) => U256::MAX,
        None => U256::ZERO,
    }
}

/// The excess blob gas of the block after `parent`, at `fork` (EIP-4844 with the counts of that
/// fork, EIP-7918 from Osaka on); `None` before Cancun. A parent without blob fields counts as one
/// with zeros, as at Cancun's first block.
///
/// # Errors
/// [`HeaderError::Absent`] if the parent has no base fee, [`HeaderError::Overflow`].
pub fn expected_excess_blob_gas(
    spec: &ChainSpec,
    fork: Fork,
    parent: &Header,
) -> Result<Option<u64>, HeaderError> {
    let Some(params) = spec.blob_params(fork) else { return Ok(None) };
    let excess = parent.excess_blob_gas.unwrap_or(0);
    let used = parent.blob_gas_used.unwrap_or(0);
    let target = u128::from(params.target_blob_count) * u128::from(DATA_GAS_PER_BLOB);
    let sum = u128::from(excess) + u128::from(used);
    if sum < target {
        return Ok(Some(0));
    }
    let mut next = sum.saturating_sub(target);
    if params.blob_base_cost > 0 {
        let base_fee = parent.base_fee_per_gas.ok_or(HeaderError::Absent {
            field: "base_fee_per_gas of the parent",
            fork: Fork::London,
        })?;
        let reserve = U256::from(params.blob_base_cost) * U256::from(base_fee);
        let price = U256::from(DATA_GAS_PER_BLOB) * U256::from(params.calc_blob_fee(excess));
        if reserve > price {
            let above = u128::from(params.max_blob_count.saturating_sub(params.target_blob_count));
            let scaled = (u128::from(used) * above).checked_div(params.max_blob_count.into());
            next = u128::from(excess) + scaled.unwrap_or(0);
        }
    }
    u64::try_from(next)
        .map(Some)
        .map_err(|_| HeaderError::Overflow { field: "excess blob gas", parent: parent.number })
}

/// Checks a block's ommers (Yellow Paper §11.1): at most two, each a valid header on an ancestor
/// two to seven blocks back, itself no ancestor and not included before. The header's own check
/// comes first; from Paris on it has made sure that there are none.
///
/// `ancestors` begins with the parent and goes back; seven are enough, and all must be given unless
/// the chain is shorter.
///
/// # Errors
/// The first [`HeaderError`] found.
pub fn check_ommers(
    spec: &ChainSpec,
    header: &Header,
    ommers: &[Header],
    ancestors: &[Ancestor<'_>],
) -> Result<(), HeaderError> {
    same_root("ommers_hash", header.ommers_hash, calculate_ommers_root(ommers))?;
    if ommers.len() > MAX_OMMERS {
        return Err(HeaderError::TooManyOmmers { found: ommers.len() });
    }
    let reach = MAX_OMMER_DEPTH as usize + 1;
    let ancestors = ancestors.get(..reach).unwrap_or(ancestors);
    let mut seen = None;
    for header in ommers {
        let ommer = header.hash_slow();
        let included = ancestors.iter().any(|ancestor| ancestor.ommers.contains(&ommer));
        if seen == Some(ommer) || included {
            return Err(HeaderError::OmmerIncluded { ommer });
        }
        if ancestors.iter().any(|ancestor| ancestor.hash == ommer) {
            return Err(HeaderError::OmmerIsAncestor { ommer });
        }
        let parent = ancestors.iter().skip(1).find(|ancestor| ancestor.hash == header.parent_hash);
        let Some(parent) = parent else {
            return Err(HeaderError::OmmerParent { ommer, parent: header.parent_hash });
        };
        // An ommer of a block before the Merge is itself before it, whatever its timestamp says.
        let fork = spec.fork_after(header.number, header.timestamp, parent.total_difficulty);
        check_header_at(spec, fork, header, parent)
            .map_err(|error| HeaderError::Ommer { ommer, error: error.into() })?;
        seen = Some(ommer);
    }
    Ok(())
}

/// Checks that a header commits to its body: the roots of the transactions and the withdrawals
/// (EIP-4895), the hash of the ommers, the blob gas of the transactions (EIP-4844), and from Osaka
/// on the block's size (EIP-7934). `fork` is the block's, from [`check_header`].
///
/// # Errors
/// The first [`HeaderError`] found.
pub fn check_body<T>(fork: Fork, header: &Header, body: &BlockBody<T>) -> Result<(), HeaderError>
where
    T: Transaction + Encodable2718 + Encodable,
{
    let transactions = calculate_transaction_root(&body.transactions);
    same_root("transactions_root", header.transactions_root, transactions)?;
    same_root("ommers_hash", header.ommers_hash, calculate_ommers_root(&body.ommers))?;
    let withdrawals = body.withdrawals.as_ref().map(|list| calculate_withdrawals_root(list));
    let found = field("withdrawals_root", header.withdrawals_root, fork, Fork::Shanghai)?;
    let expected = field("withdrawals of the body", withdrawals, fork, Fork::Shanghai)?;
    if let (Some(found), Some(expected)) = (found, expected) {
        same_root("withdrawals_root", found, expected)?;
    }
    let blobs = body.transactions.iter().filter_map(|tx| tx.blob_versioned_hashes());
    let expected = blobs.fold(0_u64, |gas, hashes| {
        gas.saturating_add(DATA_GAS_PER_BLOB.saturating_mul(hashes.len() as u64))
    });
    let found = header.blob_gas_used.unwrap_or(0);
    if found != expected {
        return Err(HeaderError::BlobGasUsed { found, expected });
    }
    if fork >= Fork::Osaka {
        let size = Block::rlp_length_for(header, body);
        if size > MAX_BLOCK_SIZE {
            return Err(HeaderError::BlockSize { found: size });
        }
    }
    Ok(())
}

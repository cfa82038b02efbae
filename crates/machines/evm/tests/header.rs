//! The rules for headers, ommers and bodies: real blocks, test fixtures, and one break of each rule.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

use std::{collections::BTreeMap, fs};

use alloy_consensus::{Block, BlockBody, EMPTY_OMMER_ROOT_HASH, Header, TxEnvelope, proofs};
use alloy_eips::{eip4844::DATA_GAS_PER_BLOB, eip4895::Withdrawals, eip7685::EMPTY_REQUESTS_HASH};
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256, hex};
use alloy_rlp::Decodable;
use polity_evm::{
    dao,
    header::{
        Ancestor, HeaderError, MAX_BLOCK_SIZE, check_body, check_header, check_ommers,
        expected_base_fee, expected_difficulty, expected_excess_blob_gas,
    },
    spec::{ChainSpec, Fork, Network},
};
use polity_testkit::data;
use serde_json::Value;

fn ancestor(header: &Header) -> Ancestor<'_> {
    let total_difficulty = U256::ZERO;
    Ancestor { header, hash: header.hash_slow(), total_difficulty, ommers: &[] }
}

/// A block from which a chain can go on at `fork`.
fn root(fork: Fork) -> Header {
    let from = |first: Fork| fork >= first;
    Header {
        number: 100,
        timestamp: 1_000,
        gas_limit: 30_000_000,
        gas_used: 20_000_000,
        difficulty: if from(Fork::Paris) { U256::ZERO } else { U256::from(10_000_000) },
        base_fee_per_gas: from(Fork::London).then_some(1_000),
        withdrawals_root: from(Fork::Shanghai).then_some(proofs::calculate_withdrawals_root(&[])),
        blob_gas_used: from(Fork::Cancun).then_some(2 * DATA_GAS_PER_BLOB),
        excess_blob_gas: from(Fork::Cancun).then_some(50 * DATA_GAS_PER_BLOB),
        parent_beacon_block_root: from(Fork::Cancun).then_some(B256::ZERO),
        requests_hash: from(Fork::Prague).then_some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    }
}

/// An empty block on `parent`, `seconds` later.
fn child(spec: &ChainSpec, parent: &Header, seconds: u64) -> Header {
    let (number, timestamp) = (parent.number + 1, parent.timestamp + seconds);
    let fork = spec.fork_at(number, timestamp);
    let doubled = expected_base_fee(spec, fork, parent).unwrap().is_some()
        && parent.base_fee_per_gas.is_none();
    Header {
        parent_hash: parent.hash_slow(),
        number,
        timestamp,
        gas_limit: if doubled { parent.gas_limit * 2 } else { parent.gas_limit },
        gas_used: 0,
        difficulty: expected_difficulty(spec, fork, number, timestamp, parent),
        base_fee_per_gas: expected_base_fee(spec, fork, parent).unwrap(),
        blob_gas_used: (fork >= Fork::Cancun).then_some(0),
        excess_blob_gas: expected_excess_blob_gas(spec, fork, parent).unwrap(),
        ..root(fork)
    }
}

#[test]
fn an_empty_child_is_valid_at_every_fork() {
    for fork in Fork::ALL {
        let spec = ChainSpec::single(fork);
        let parent = root(fork);
        let header = child(&spec, &parent, 12);
        assert_eq!(check_header(&spec, &header, &ancestor(&parent)), Ok(fork));
        assert_eq!(check_body::<TxEnvelope>(fork, &header, &empty(fork)), Ok(()));
    }
}

fn empty(fork: Fork) -> BlockBody<TxEnvelope> {
    let withdrawals = (fork >= Fork::Shanghai).then(Withdrawals::default);
    BlockBody { withdrawals, ..BlockBody::default() }
}

#[test]
fn every_broken_rule_is_named() {
    use HeaderError as E;
    // What `edit` makes of a valid header at `fork`.
    let broken = |fork, edit: fn(&mut Header)| {
        let spec = ChainSpec::single(fork);
        let parent = root(fork);
        let mut header = child(&spec, &parent, 12);
        edit(&mut header);
        check_header(&spec, &header, &ancestor(&parent)).unwrap_err()
    };
    let hash = root(Fork::Berlin).hash_slow();
    assert_eq!(
        broken(Fork::Berlin, |h| h.parent_hash = B256::ZERO),
        E::ParentHash { found: B256::ZERO, expected: hash }
    );
    assert_eq!(broken(Fork::Berlin, |h| h.number = 102), E::Number { found: 102, parent: 100 });
    assert_eq!(
        broken(Fork::Berlin, |h| h.timestamp = 1_000),
        E::Timestamp { found: 1_000, parent: 1_000 }
    );
    assert_eq!(broken(Fork::Berlin, |h| h.gas_limit = 4_999), E::GasLimitRange { found: 4_999 });
    assert_eq!(
        broken(Fork::Berlin, |h| h.gas_limit = 1 << 63),
        E::GasLimitRange { found: 1 << 63 }
    );
    // 30 000 000 / 1024 = 29 296: one step less is allowed.
    let step = |found| E::GasLimitStep { found, parent: 30_000_000, bound: 29_296 };
    assert_eq!(broken(Fork::Berlin, |h| h.gas_limit += 29_296), step(30_029_296));
    assert_eq!(broken(Fork::Osaka, |h| h.gas_limit -= 29_296), step(29_970_704));
    assert_eq!(
        broken(Fork::Berlin, |h| h.gas_used = h.gas_limit + 1),
        E::GasUsed { found: 30_000_001, limit: 30_000_000 }
    );
    let long = |h: &mut Header| h.extra_data = Bytes::from_static(&[0; 33]);
    assert_eq!(broken(Fork::Frontier, long), E::ExtraData { found: 33 });
    assert_eq!(broken(Fork::Osaka, long), E::ExtraData { found: 33 });
    assert_eq!(
        broken(Fork::London, |h| h.base_fee_per_gas = Some(1)),
        E::BaseFee { found: 1, expected: 1_041 }
    );
    assert!(matches!(
        broken(Fork::Frontier, |h| h.difficulty += U256::from(1)),
        E::Difficulty { .. }
    ));
    assert_eq!(
        broken(Fork::Paris, |h| h.difficulty = U256::from(1)),
        E::Difficulty { found: U256::from(1), expected: U256::ZERO }
    );
    let nonce = B64::with_last_byte(1);
    assert_eq!(
        broken(Fork::Paris, |h| h.nonce = B64::with_last_byte(1)),
        E::Nonce { found: nonce }
    );
    assert_eq!(
        broken(Fork::Paris, |h| h.ommers_hash = B256::ZERO),
        E::Root { field: "ommers_hash", found: B256::ZERO, expected: EMPTY_OMMER_ROOT_HASH }
    );
    for (field, first, before, clear, set) in FIELDS {
        assert_eq!(broken(first, clear), E::Absent { field, fork: first }, "{field}");
        assert_eq!(broken(before, set), E::Present { field, fork: first }, "{field}");
    }
    assert_eq!(
        broken(Fork::Osaka, |h| h.slot_number = Some(1)),
        E::Unsupported { field: "slot_number" }
    );
    assert_eq!(
        broken(Fork::Osaka, |h| h.block_access_list_hash = Some(B256::ZERO)),
        E::Unsupported { field: "block_access_list_hash" }
    );
    assert_eq!(
        broken(Fork::Prague, |h| h.blob_gas_used = Some(10 * DATA_GAS_PER_BLOB)),
        E::BlobGasLimit { found: 10 * DATA_GAS_PER_BLOB, max: 9 * DATA_GAS_PER_BLOB }
    );
    assert_eq!(
        broken(Fork::Cancun, |h| h.blob_gas_used = Some(1)),
        E::BlobGasMultiple { found: 1 }
    );
    assert_eq!(
        broken(Fork::Cancun, |h| h.excess_blob_gas = Some(0)),
        E::ExcessBlobGas { found: 0, expected: 49 * DATA_GAS_PER_BLOB }
    );
}

type Edit = fn(&mut Header);

/// Each field that a fork added: its first fork, the one before, its removal and its addition.
const FIELDS: [(&str, Fork, Fork, Edit, Edit); 6] = [
    (
        "base_fee_per_gas",
        Fork::London,
        Fork::Berlin,
        |h| h.base_fee_per_gas = None,
        |h| h.base_fee_per_gas = Some(7),
    ),
    (
        "withdrawals_root",
        Fork::Shanghai,
        Fork::Paris,
        |h| h.withdrawals_root = None,
        |h| h.withdrawals_root = Some(B256::ZERO),
    ),
    (
        "parent_beacon_block_root",
        Fork::Cancun,
        Fork::Shanghai,
        |h| h.parent_beacon_block_root = None,
        |h| h.parent_beacon_block_root = Some(B256::ZERO),
    ),
    (
        "blob_gas_used",
        Fork::Cancun,
        Fork::Shanghai,
        |h| h.blob_gas_used = None,
        |h| h.blob_gas_used = Some(0),
    ),
    (
        "excess_blob_gas",
        Fork::Cancun,
        Fork::Shanghai,
        |h| h.excess_blob_gas = None,
        |h| h.excess_blob_gas = Some(0),
    ),
    (
        "requests_hash",
        Fork::Prague,
        Fork::Cancun,
        |h| h.requests_hash = None,
        |h| h.requests_hash = Some(EMPTY_REQUESTS_HASH),
    ),
];

#[test]
fn difficulty_as_on_mainnet() {
    let mainnet = ChainSpec::mainnet();
    // Parent's number, difficulty and time; the block's time and difficulty.
    for (number, difficulty, time, next_time, next) in [
        // Block 1: longer than 13 seconds after 1970.
        (0, 17_179_869_184_u64, 0, 1_438_269_988, 17_171_480_576_u64),
        // Byzantium's first block: no ommers in the parent, 28 seconds, a new bomb.
        (4_369_999, 2_997_274_096_101_735, 1_508_131_303, 1_508_131_331, 2_994_347_070_619_309),
        // Petersburg's first block.
        (7_279_999, 2_958_546_502_099_724, 1_551_383_501, 1_551_383_524, 2_957_101_900_364_072),
    ] {
        let parent = Header {
            number,
            difficulty: U256::from(difficulty),
            timestamp: time,
            ..Header::default()
        };
        let fork = mainnet.fork_at(number + 1, next_time);
        let found = expected_difficulty(&mainnet, fork, number + 1, next_time, &parent);
        assert_eq!(found, U256::from(next), "after block {number}");
    }
}

#[test]
fn difficulty_by_its_formulas() {
    let parent = |ommers| Header {
        number: 1,
        difficulty: U256::from(2_048_000_u64),
        timestamp: 1_000,
        ommers_hash: if ommers { B256::ZERO } else { EMPTY_OMMER_ROOT_HASH },
        ..Header::default()
    };
    // Steps of a 1/2048 (here 1000) that the difficulty moves by.
    for (fork, ommers, elapsed, steps) in [
        (Fork::Frontier, false, 12, 1),
        (Fork::Frontier, false, 13, -1),
        (Fork::Frontier, true, 9_999, -1),
        (Fork::Homestead, false, 9, 1),
        (Fork::Homestead, false, 10, 0),
        (Fork::SpuriousDragon, true, 20, -1),
        (Fork::Homestead, false, 1_000, -99),
        (Fork::Homestead, false, u64::MAX, -99),
        (Fork::Byzantium, false, 8, 1),
        (Fork::Byzantium, false, 9, 0),
        (Fork::Byzantium, true, 8, 2),
        (Fork::Byzantium, true, 18, 0),
        (Fork::GrayGlacier, true, 27, -1),
        (Fork::Byzantium, false, 899, -98),
        (Fork::Byzantium, false, 9_000, -99),
        (Fork::Byzantium, true, 9_000, -99),
    ] {
        let spec = ChainSpec::single(fork);
        let time = 1_000_u64.saturating_add(elapsed);
        let found = expected_difficulty(&spec, fork, 2, time, &parent(ommers));
        let expected = 2_048_000 + 1_000 * steps;
        assert_eq!(found, U256::from(expected as u64), "{fork} after {elapsed} seconds");
    }
    // The floor, and the bomb above it.
    let low = Header { difficulty: U256::from(131_072), timestamp: 0, ..Header::default() };
    let spec = ChainSpec::single(Fork::Frontier);
    let at = |number| expected_difficulty(&spec, Fork::Frontier, number, 100, &low);
    assert_eq!(at(199_999), U256::from(131_072));
    assert_eq!(at(200_000), U256::from(131_073));
    assert_eq!(at(1_200_000), U256::from(131_072 + 1_024));
    assert_eq!(at(u64::MAX), U256::MAX);
    let spec = ChainSpec::single(Fork::GrayGlacier);
    let at = |number| expected_difficulty(&spec, Fork::GrayGlacier, number, 100, &low);
    assert_eq!(at(11_599_999), U256::from(131_072));
    assert_eq!(at(11_600_000), U256::from(131_073));
}

#[test]
fn base_fee_by_its_formula() {
    let spec = ChainSpec::single(Fork::London);
    let next = |fee, used, limit| {
        let parent = Header {
            base_fee_per_gas: Some(fee),
            gas_used: used,
            gas_limit: limit,
            ..Header::default()
        };
        expected_base_fee(&spec, Fork::London, &parent)
    };
    assert_eq!(next(1_000_000_000, 10_000_000, 20_000_000), Ok(Some(1_000_000_000)));
    assert_eq!(next(1_000_000_000, 9_000_000, 20_000_000), Ok(Some(987_500_000)));
    assert_eq!(next(1_000_000_000, 20_000_000, 20_000_000), Ok(Some(1_125_000_000)));
    assert_eq!(next(0, 20_000_000, 20_000_000), Ok(Some(1)));
    assert_eq!(next(7, 0, 20_000_000), Ok(Some(7)));
    assert_eq!(next(8, 0, 20_000_000), Ok(Some(7)));
    assert_eq!(next(9, 9, 0), Ok(Some(10)));
    assert_eq!(
        next(u64::MAX, u64::MAX, u64::MAX),
        Err(HeaderError::Overflow { field: "base fee", parent: 0 })
    );
    let without = Header { number: 9, ..Header::default() };
    assert!(matches!(
        expected_base_fee(&spec, Fork::London, &without),
        Err(HeaderError::Absent { .. })
    ));
}

#[test]
fn london_doubles_the_gas_limit_and_sets_the_first_base_fee() {
    let spec = Network::parse("BerlinToLondonAt5").unwrap();
    let parent = Header { number: 4, ..root(Fork::Berlin) };
    let header = child(&spec, &parent, 10);
    assert_eq!(header.gas_limit, 60_000_000);
    assert_eq!(header.base_fee_per_gas, Some(1_000_000_000));
    assert_eq!(check_header(&spec, &header, &ancestor(&parent)), Ok(Fork::London));
    let same = Header { gas_limit: 30_000_000, ..header };
    assert_eq!(
        check_header(&spec, &same, &ancestor(&parent)),
        Err(HeaderError::GasLimitStep { found: 30_000_000, parent: 60_000_000, bound: 58_593 })
    );
}

#[test]
fn excess_blob_gas_follows_the_schedule_and_the_reserve_price() {
    let blobs = |n: u64| Some(n * DATA_GAS_PER_BLOB);
    let next = |fork, excess, used, fee| {
        let parent = Header {
            base_fee_per_gas: Some(fee),
            excess_blob_gas: blobs(excess),
            blob_gas_used: blobs(used),
            ..Header::default()
        };
        expected_excess_blob_gas(&ChainSpec::single(fork), fork, &parent).unwrap()
    };
    assert_eq!(next(Fork::Shanghai, 9, 9, 1), None);
    assert_eq!(next(Fork::Cancun, 0, 3, 1), blobs(0));
    assert_eq!(next(Fork::Cancun, 0, 2, 1), blobs(0));
    assert_eq!(next(Fork::Cancun, 10, 6, 1), blobs(13));
    assert_eq!(next(Fork::Prague, 10, 6, u64::MAX), blobs(10));
    // From Osaka: with a base fee of 16 wei, blobs at 1 wei are worth exactly the reserve.
    assert_eq!(next(Fork::Osaka, 6, 6, 16), blobs(6));
    assert_eq!(next(Fork::Osaka, 6, 6, 17), blobs(8));
    assert_eq!(next(Fork::Osaka, 0, 5, 17), blobs(0));
    assert_eq!(next(Fork::Bpo1, 10, 15, 17), blobs(15));
    assert_eq!(next(Fork::Bpo2, 10, 21, 17), blobs(17));

    let parent = Header {
        excess_blob_gas: Some(u64::MAX),
        blob_gas_used: Some(u64::MAX),
        base_fee_per_gas: Some(u64::MAX),
        ..Header::default()
    };
    for fork in [Fork::Cancun, Fork::Bpo5] {
        assert_eq!(
            expected_excess_blob_gas(&ChainSpec::single(fork), fork, &parent),
            Err(HeaderError::Overflow { field: "excess blob gas", parent: 0 })
        );
    }
}

#[test]
fn the_first_block_of_each_timed_fork_follows_the_last_of_the_one_before() {
    let timed = [Fork::Paris, Fork::Shanghai, Fork::Cancun, Fork::Prague, Fork::Osaka, Fork::Bpo1];
    for pair in timed.windows(2) {
        let at = polity_evm::spec::Activation::Timestamp(1_005);
        let spec = ChainSpec::transition(pair[0], pair[1], at).unwrap();
        let parent = root(pair[0]);
        let before = child(&spec, &parent, 4);
        let first = child(&spec, &parent, 5);
        assert_eq!(check_header(&spec, &before, &ancestor(&parent)), Ok(pair[0]));
        assert_eq!(check_header(&spec, &first, &ancestor(&parent)), Ok(pair[1]));
    }
}

#[test]
fn the_merge_comes_with_the_total_difficulty() {
    let spec = Network::parse("ArrowGlacierToParisAtDiffC0000").unwrap();
    let parent = root(Fork::London);
    let work = child(&spec, &parent, 12);
    let stake = Header { difficulty: U256::ZERO, ..work.clone() };
    let with = |total: u64| Ancestor { total_difficulty: U256::from(total), ..ancestor(&parent) };
    assert_eq!(check_header(&spec, &work, &with(0xbffff)), Ok(Fork::ArrowGlacier));
    assert_eq!(check_header(&spec, &stake, &with(0xc0000)), Ok(Fork::Paris));
    let refused = |header, total| {
        matches!(check_header(&spec, header, &with(total)), Err(HeaderError::Difficulty { .. }))
    };
    assert!(refused(&work, 0xc0000));
    assert!(refused(&stake, 0xbffff));
}

#[test]
fn the_dao_fork_marks_ten_headers() {
    let mut spec = Network::parse("HomesteadToDaoAt5").unwrap();
    for support in [true, false] {
        spec.dao = spec.dao.map(|dao| polity_evm::spec::DaoFork { support, ..dao });
        for number in 3..20_u64 {
            let parent = Header { number: number - 1, ..root(Fork::Homestead) };
            let plain = child(&spec, &parent, 12);
            let marked = Header { extra_data: Bytes::from_static(dao::MARK), ..plain.clone() };
            let within = (5..15).contains(&number);
            let check = |header| check_header(&spec, header, &ancestor(&parent)).map(|_| ());
            let error = |found| Err(HeaderError::DaoMark { number, found, expected: support });
            let expected_plain = if within && support { error(false) } else { Ok(()) };
            let expected_marked = if within && !support { error(true) } else { Ok(()) };
            assert_eq!(check(&plain), expected_plain, "plain {number}");
            assert_eq!(check(&marked), expected_marked, "marked {number}");
        }
    }
}

/// A chain of `length` blocks at Istanbul, oldest first.
fn chain(spec: &ChainSpec, length: usize) -> Vec<Header> {
    let mut headers = vec![root(Fork::Istanbul)];
    while headers.len() < length {
        let next = child(spec, headers.last().unwrap(), 13);
        headers.push(next);
    }
    headers
}

#[test]
fn ommers_are_recent_new_and_valid() {
    use HeaderError as E;
    let spec = ChainSpec::single(Fork::Istanbul);
    let headers = chain(&spec, 10);
    let ancestors: Vec<_> = headers.iter().rev().map(ancestor).collect();
    // A sibling of the ancestor at `depth` (the parent's depth is 1), told from others by `tag`.
    let sibling = |depth: usize, tag: u8| {
        let beneficiary = Address::repeat_byte(tag);
        Header { beneficiary, ..child(&spec, ancestors[depth].header, 13) }
    };
    let check = |ommers: &[Header]| {
        let ommers_hash = proofs::calculate_ommers_root(ommers);
        let block = Header { ommers_hash, ..child(&spec, ancestors[0].header, 13) };
        check_ommers(&spec, &block, ommers, &ancestors)
    };
    assert_eq!(check(&[]), Ok(()));
    for depth in 1..=6 {
        assert_eq!(check(&[sibling(depth, 1)]), Ok(()), "depth {depth}");
    }
    assert_eq!(check(&[sibling(1, 1), sibling(6, 2)]), Ok(()));
    let orphan =
        |ommer: Header| E::OmmerParent { ommer: ommer.hash_slow(), parent: ommer.parent_hash };
    // The block's own sibling, and one too far back.
    assert_eq!(check(&[sibling(0, 1)]), Err(orphan(sibling(0, 1))));
    assert_eq!(check(&[sibling(7, 1)]), Err(orphan(sibling(7, 1))));
    assert_eq!(
        check(&[sibling(1, 1), sibling(1, 2), sibling(1, 3)]),
        Err(E::TooManyOmmers { found: 3 })
    );
    let twice = sibling(2, 1);
    let ommer = twice.hash_slow();
    assert_eq!(check(&[twice.clone(), twice.clone()]), Err(E::OmmerIncluded { ommer }));
    let own = ancestors[1].header;
    assert_eq!(
        check(core::slice::from_ref(own)),
        Err(E::OmmerIsAncestor { ommer: own.hash_slow() })
    );
    let wrong = Header { difficulty: U256::from(1), ..sibling(1, 1) };
    assert!(matches!(
        check(core::slice::from_ref(&wrong)),
        Err(E::Ommer { ommer, error }) if ommer == wrong.hash_slow()
            && matches!(*error, E::Difficulty { .. })
    ));

    // Included by an ancestor, and a header that commits to other ommers.
    let mut known = ancestors.clone();
    let included = [ommer];
    known[0].ommers = &included;
    let ommers = [twice];
    let block = Header {
        ommers_hash: proofs::calculate_ommers_root(&ommers),
        ..child(&spec, ancestors[0].header, 13)
    };
    assert_eq!(check_ommers(&spec, &block, &ommers, &known), Err(E::OmmerIncluded { ommer }));
    assert!(matches!(
        check_ommers(&spec, &block, &[], &known),
        Err(E::Root { field: "ommers_hash", .. })
    ));
    // Early in a chain there are fewer ancestors.
    let block = child(&spec, &headers[0], 13);
    assert_eq!(check_ommers(&spec, &block, &[], &ancestors[9..]), Ok(()));
    assert_eq!(check_ommers(&spec, &block, &[], &[]), Ok(()));
}

#[test]
fn a_body_that_is_not_the_headers_is_refused() {
    use HeaderError as E;
    let fork = Fork::Osaka;
    let spec = ChainSpec::single(fork);
    let header = child(&spec, &root(fork), 12);
    let check = |header: &Header| check_body(fork, header, &empty(fork));
    let root_of = |result| match result {
        Err(E::Root { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    for (field, edit) in [
        ("transactions_root", (|h| h.transactions_root = B256::ZERO) as Edit),
        ("ommers_hash", |h| h.ommers_hash = B256::ZERO),
        ("withdrawals_root", |h| h.withdrawals_root = Some(B256::ZERO)),
    ] {
        let mut header = header.clone();
        edit(&mut header);
        assert_eq!(root_of(check(&header)), field);
    }
    let missing = check_body::<TxEnvelope>(fork, &header, &BlockBody::default());
    let field = "withdrawals of the body";
    assert_eq!(missing, Err(E::Absent { field, fork: Fork::Shanghai }));
    let before = child(&ChainSpec::single(Fork::Paris), &root(Fork::Paris), 12);
    assert_eq!(
        check_body(Fork::Paris, &before, &empty(fork)),
        Err(E::Present { field, fork: Fork::Shanghai })
    );
    let blobs = Header { blob_gas_used: Some(DATA_GAS_PER_BLOB), ..header.clone() };
    assert_eq!(check(&blobs), Err(E::BlobGasUsed { found: DATA_GAS_PER_BLOB, expected: 0 }));
}

#[test]
fn a_block_is_at_most_eight_mebibytes_from_osaka_on() {
    assert_eq!(MAX_BLOCK_SIZE, 8_388_608);
    // The size counts the whole block; extra data is checked elsewhere, so it can fill one up.
    let block = |fork, size| {
        let header = child(&ChainSpec::single(fork), &root(fork), 12);
        let body = empty(fork);
        let fill = |extra| Header { extra_data: Bytes::from(vec![1; extra]), ..header.clone() };
        let extra = size - (Block::rlp_length_for(&fill(1 << 20), &body) - (1 << 20));
        let header = fill(extra);
        // Two length prefixes may have grown by a byte.
        let over = Block::rlp_length_for(&header, &body) - size;
        check_body(fork, &fill(extra - over), &body)
    };
    assert_eq!(block(Fork::Prague, MAX_BLOCK_SIZE + 1), Ok(()));
    assert_eq!(block(Fork::Osaka, MAX_BLOCK_SIZE), Ok(()));
    assert_eq!(
        block(Fork::Osaka, MAX_BLOCK_SIZE + 1),
        Err(HeaderError::BlockSize { found: MAX_BLOCK_SIZE + 1 })
    );
}

#[test]
fn no_header_makes_the_checks_panic() {
    // Extremes in every field that is computed with, on every fork.
    let numbers = [0, 1, 2, 4_999, 1 << 17, i64::MAX as u64, u64::MAX - 1, u64::MAX];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut pick = |count: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % count as u64) as usize
    };
    for round in 0..4_000 {
        let mut any = || {
            let difficulties = [U256::ZERO, U256::from(1), U256::MAX, U256::MAX >> 1];
            let mut field = || match pick(numbers.len() + 1) {
                at if at < numbers.len() => Some(numbers[at]),
                _ => None,
            };
            Header {
                number: field().unwrap_or(100),
                timestamp: field().unwrap_or(100),
                gas_limit: field().unwrap_or(100),
                gas_used: field().unwrap_or(100),
                base_fee_per_gas: field(),
                blob_gas_used: field(),
                excess_blob_gas: field(),
                difficulty: difficulties[pick(difficulties.len())],
                ..Header::default()
            }
        };
        let (parent, mut header) = (any(), any());
        header.parent_hash = parent.hash_slow();
        if round % 2 == 0 {
            header.number = parent.number.wrapping_add(1);
        }
        let fork = Fork::ALL[pick(Fork::ALL.len())];
        let spec = ChainSpec::single(fork);
        let before = ancestor(&parent);
        let _ = check_header(&spec, &header, &before);
        let _ = check_ommers(&spec, &header, core::slice::from_ref(&parent), &[before, before]);
        let _ = check_body(fork, &header, &empty(fork));
        let _ = expected_base_fee(&spec, fork, &parent);
        let _ = expected_excess_blob_gas(&spec, fork, &parent);
        let _ = expected_difficulty(&spec, fork, header.number, header.timestamp, &parent);
    }
}

/// The header of a block in the form of Ethereum's JSON-RPC.
fn rpc_header(block: &Value) -> Header {
    let text = |key: &str| block[key].as_str().unwrap_or_else(|| panic!("{key}"));
    let digits = |text: &str| U256::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
    let number = |key: &str| digits(text(key)).to::<u64>();
    let maybe = |key: &str| block[key].as_str().map(|text| digits(text).to::<u64>());
    let hash = |key: &str| text(key).parse::<B256>().unwrap();
    let maybe_hash = |key: &str| block[key].as_str().map(|text| text.parse().unwrap());
    Header {
        parent_hash: hash("parentHash"),
        ommers_hash: hash("sha3Uncles"),
        beneficiary: text("miner").parse().unwrap(),
        state_root: hash("stateRoot"),
        transactions_root: hash("transactionsRoot"),
        receipts_root: hash("receiptsRoot"),
        logs_bloom: Bloom::from_slice(&hex::decode(text("logsBloom")).unwrap()),
        difficulty: digits(text("difficulty")),
        number: number("number"),
        gas_limit: number("gasLimit"),
        gas_used: number("gasUsed"),
        timestamp: number("timestamp"),
        extra_data: text("extraData").parse().unwrap(),
        mix_hash: hash("mixHash"),
        nonce: text("nonce").parse().unwrap(),
        base_fee_per_gas: maybe("baseFeePerGas"),
        withdrawals_root: maybe_hash("withdrawalsRoot"),
        blob_gas_used: maybe("blobGasUsed"),
        excess_blob_gas: maybe("excessBlobGas"),
        parent_beacon_block_root: maybe_hash("parentBeaconBlockRoot"),
        ..Header::default()
    }
}

#[test]
fn mainnet_headers_hash_and_follow_each_other() {
    let Some(root) = data::root() else { return };
    let mut headers = BTreeMap::new();
    for entry in fs::read_dir(root.join("mainnet/dev/blocks")).unwrap() {
        let file = fs::read(entry.unwrap().path().join("block.json")).unwrap();
        let block: Value = serde_json::from_slice(&file).unwrap();
        let header = rpc_header(&block);
        assert_eq!(header.hash_slow().to_string(), block["hash"].as_str().unwrap());
        headers.insert(header.number, header);
    }
    assert!(headers.len() > 40, "{} blocks", headers.len());
    let mainnet = ChainSpec::mainnet();
    let mut pairs = 0;
    for (number, header) in &headers {
        if let Some(parent) = number.checked_sub(1).and_then(|before| headers.get(&before)) {
            let fork = mainnet.fork_at(*number, header.timestamp);
            assert_eq!(check_header(&mainnet, header, &ancestor(parent)), Ok(fork), "{number}");
            pairs += 1;
        }
    }
    assert!(pairs >= 2, "{pairs} pairs");
}

#[test]
fn the_blocks_of_the_test_fixtures_are_valid() {
    let Some(root) = data::root() else { return };
    let mut checked = 0;
    for folder in fs::read_dir(root.join("blockchain/dev")).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            let tests: BTreeMap<String, Value> =
                serde_json::from_slice(&fs::read(file.unwrap().path()).unwrap()).unwrap();
            for (name, test) in tests.iter().filter(|(_, test)| test["blocks"].is_array()) {
                let spec = Network::parse(test["network"].as_str().unwrap()).unwrap();
                let decode = |rlp: &Value| {
                    let bytes = hex::decode(rlp.as_str().unwrap()).unwrap();
                    Block::<TxEnvelope>::decode(&mut bytes.as_slice()).unwrap()
                };
                let genesis = decode(&test["genesisRLP"]).header;
                let mut known = BTreeMap::from([(genesis.hash_slow(), genesis)]);
                for entry in test["blocks"].as_array().unwrap() {
                    let Block { header, body } = decode(&entry["rlp"]);
                    let hash = header.hash_slow();
                    assert_eq!(hash.to_string(), entry["blockHeader"]["hash"].as_str().unwrap());
                    let parent = &known[&header.parent_hash];
                    let fork = check_header(&spec, &header, &ancestor(parent));
                    let fork = fork.unwrap_or_else(|error| panic!("{name}: {error}"));
                    assert_eq!(check_body(fork, &header, &body), Ok(()), "{name}");
                    let ommers = check_ommers(&spec, &header, &body.ommers, &[ancestor(parent)]);
                    assert_eq!(ommers, Ok(()), "{name}");
                    known.insert(hash, header);
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 500, "{checked} blocks");
}

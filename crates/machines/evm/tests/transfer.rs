//! Plain transfers, which do not enter revm, come to what revm makes of them: in every fork, whoever
//! meets whom, and at every edge of what the sender can pay.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a panic is how a test fails"
)]

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, address};
use polity_evm::{
    BlockInput, Evm, KIND, Unsigned, account, code_ref,
    spec::{ChainSpec, Fork},
};
use polity_kernel::{BlockContext, Executed, Inputs, Kernel, Machines, Scratch};
use polity_testkit::state::State;
use polity_types::{AccountRecord, Resources};
use proptest::{prelude::*, sample::select};
use revm::{
    Context, ExecuteCommitEvm, MainBuilder, MainContext,
    bytecode::Bytecode,
    context::{BlockEnv, CfgEnv, TxEnv},
    context_interface::block::BlobExcessGasAndPrice,
    database::{CacheDB, EmptyDB},
    primitives::{KECCAK_EMPTY, eip4844::BLOB_BASE_FEE_UPDATE_FRACTION_PRAGUE},
    state::AccountInfo,
};
use std::collections::BTreeMap;

/// Those that meet: people, a contract, a delegated account, a precompile, and one that is absent.
const A: Address = address!("0x00000000000000000000000000000000000aaaaa");
const B: Address = address!("0x00000000000000000000000000000000000bbbbb");
const CONTRACT: Address = address!("0x00000000000000000000000000000000000ccccc");
const DELEGATED: Address = address!("0x00000000000000000000000000000000000ddddd");
const PRECOMPILE: Address = address!("0x0000000000000000000000000000000000000004");
const NOBODY: Address = address!("0x0000000000000000000000000000000000099999");
const ALL: [Address; 6] = [A, B, CONTRACT, DELEGATED, PRECOMPILE, NOBODY];

const FORKS: [Fork; 11] = [
    Fork::Frontier,
    Fork::Homestead,
    Fork::Tangerine,
    Fork::SpuriousDragon,
    Fork::Istanbul,
    Fork::Berlin,
    Fork::London,
    Fork::Shanghai,
    Fork::Cancun,
    Fork::Prague,
    Fork::Osaka,
];

#[derive(Clone, Debug)]
struct Case {
    fork: Fork,
    base_fee: u64,
    block_gas: u64,
    beneficiary: Address,
    balances: Vec<U256>,
    nonces: Vec<u64>,
    tx: TxEnv,
}

/// What an account comes to; an empty one is as good as none.
type Accounts = BTreeMap<Address, (U256, u64)>;

impl Case {
    fn records(&self) -> impl Iterator<Item = (Address, U256, u64, Bytes)> {
        let cells = self.balances.iter().zip(&self.nonces);
        ALL.into_iter().zip(cells).map(|(address, (balance, nonce))| {
            let code: Bytes = match address {
                // Says whether it was sent anything: SSTORE(0, CALLVALUE).
                CONTRACT => Bytes::from_static(&[0x34, 0x5f, 0x55, 0x00]),
                DELEGATED => Bytes::from([&[0xef, 0x01, 0x00][..], CONTRACT.as_slice()].concat()),
                _ => Bytes::new(),
            };
            (address, *balance, *nonce, code)
        })
    }

    fn has_blobs(&self) -> bool {
        self.fork >= Fork::Cancun
    }

    fn polity(&self) -> Option<(bool, u64, Accounts)> {
        let machines = Machines::default().with(Evm::new(ChainSpec::single(self.fork))).unwrap();
        let input = BlockInput {
            gas_limit: self.block_gas,
            base_fee: self.base_fee,
            excess_blob_gas: self.has_blobs().then_some(0),
            ..BlockInput::default()
        };
        let block = BlockContext {
            chain_id: 1,
            number: 100,
            timestamp: 1_000,
            beneficiary: account(self.beneficiary),
            randomness: B256::ZERO,
            inputs: Inputs::default().with(KIND, input),
        };
        let mut state = State::default();
        for (address, balance, sequence, code) in self.records() {
            let hash = Bytecode::new_raw(code.clone()).hash_slow();
            let record = AccountRecord { balance, sequence, code: code_ref(hash) };
            if !record.is_empty() {
                state.accounts.insert(account(address), record);
                state.codes.insert(hash, code);
            }
        }
        let tx = Unsigned::for_simulation().transaction(self.tx.clone(), B256::ZERO);
        let mut scratch = Scratch::default();
        let kernel = Kernel::new(&machines, &block, &state, &mut scratch);
        let Executed::Included(output) = kernel.transact(&tx, Resources::UNLIMITED).unwrap() else {
            return None;
        };
        let after = state.apply(&output.effects).unwrap();
        let accounts = after.accounts.iter().filter(|(_, record)| !record.is_empty());
        let cells = |record: &AccountRecord| (record.balance, record.sequence);
        let accounts = accounts.map(|(id, record)| (id.short_address(), cells(record))).collect();
        Some((output.receipt.status.is_success(), output.receipt.gas_used, accounts))
    }

    fn revm(&self) -> Option<(bool, u64, Accounts)> {
        let mut database = CacheDB::new(EmptyDB::default());
        for (address, balance, nonce, code) in self.records() {
            let code = Bytecode::new_raw(code);
            let code_hash = if code.is_empty() { KECCAK_EMPTY } else { code.hash_slow() };
            let info =
                AccountInfo { balance, nonce, code_hash, code: Some(code), account_id: None };
            if !info.is_empty() {
                database.insert_account_info(address, info);
            }
        }
        let mut cfg = CfgEnv::new_with_spec(self.fork.spec_id().unwrap());
        cfg.chain_id = 1;
        let price = BlobExcessGasAndPrice::new(0, BLOB_BASE_FEE_UPDATE_FRACTION_PRAGUE);
        let block = BlockEnv {
            number: U256::from(100),
            beneficiary: self.beneficiary,
            timestamp: U256::from(1_000),
            gas_limit: self.block_gas,
            basefee: self.base_fee,
            prevrandao: (self.fork >= Fork::Paris).then_some(B256::ZERO),
            blob_excess_gas_and_price: self.has_blobs().then_some(price),
            ..BlockEnv::default()
        };
        let context = Context::mainnet().with_db(&mut database).with_block(block).with_cfg(cfg);
        let result = context.build_mainnet().transact_commit(self.tx.clone()).ok()?;
        let accounts = database.cache.accounts.into_iter().filter_map(|(address, account)| {
            let info = account.info()?;
            (!info.is_empty()).then_some((address, (info.balance, info.nonce)))
        });
        Some((result.is_success(), result.tx_gas_used(), accounts.collect()))
    }
}

fn any_case() -> impl Strategy<Value = Case> {
    let balance = prop_oneof![
        3 => Just(U256::from(10).pow(U256::from(18))),
        1 => Just(U256::ZERO),
        // All balances together fit one: there is less ether than would overflow it.
        1 => Just(U256::from(u128::MAX)),
        4 => (0_u64..5_000_000).prop_map(U256::from),
    ];
    let nonce = prop_oneof![8 => Just(1_u64), 1 => Just(0), 1 => Just(u64::MAX)];
    let fees = (0_u64..12, 0_u128..12, proptest::option::of(0_u128..6));
    let value = prop_oneof![
        6 => (0_u64..1_000_000).prop_map(U256::from),
        1 => Just(U256::ZERO),
        1 => Just(U256::MAX),
    ];
    let gas = prop_oneof![
        4 => Just(21_000_u64), 2 => 20_990_u64..21_010, 2 => 21_000_u64..200_000, 1 => Just(17_000_000),
    ];
    let people =
        (select(vec![A, B, A, B, DELEGATED, CONTRACT]), select(ALL.to_vec()), select(ALL.to_vec()));
    let state = (proptest::collection::vec(balance, 6), proptest::collection::vec(nonce, 6));
    let kinds = (select(vec![0_u8, 0, 2, 2, 1]), select(vec![Some(1_u64), Some(1), None, Some(2)]));
    let rest = (
        prop_oneof![9 => Just(0_usize), 1 => Just(3)],
        any::<bool>(),
        select(vec![30_000_000, 25_000]),
    );
    (select(FORKS.to_vec()), fees, people, state, value, (gas, nonce_of_tx()), kinds, rest)
        .prop_map(
            |(
                fork,
                (base_fee, gas_price, gas_priority_fee),
                (caller, to, beneficiary),
                (balances, nonces),
                value,
                (gas_limit, nonce),
                (tx_type, chain_id),
                (data, exact, block_gas),
            )| {
                let mut balances = balances;
                // There is less ether than would overflow a balance; fees are not tried with more.
                let paid = ALL.iter().position(|address| *address == beneficiary).unwrap();
                balances[paid] = balances[paid].min(U256::from(u128::MAX));
                let base_fee = if fork >= Fork::London { base_fee } else { 0 };
                let gas_priority_fee = gas_priority_fee.filter(|_| tx_type == 2);
                let tx = TxEnv {
                    tx_type,
                    caller,
                    gas_limit,
                    gas_price,
                    kind: TxKind::Call(to),
                    value,
                    data: vec![1; data].into(),
                    nonce,
                    chain_id,
                    gas_priority_fee,
                    ..TxEnv::default()
                };
                let mut case =
                    Case { fork, base_fee, block_gas, beneficiary, balances, nonces, tx };
                if exact && case.tx.value != U256::MAX {
                    // Just enough, or one too few.
                    let most = U256::from(case.tx.gas_limit) * U256::from(gas_price) + value;
                    let at = ALL.iter().position(|address| *address == caller).unwrap();
                    case.balances[at] = most.saturating_sub(U256::from(gas_price % 2));
                }
                case
            },
        )
}

fn nonce_of_tx() -> impl Strategy<Value = u64> {
    prop_oneof![12 => Just(1_u64), 1 => 0_u64..3, 1 => Just(u64::MAX)]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_transfer_is_what_revm_makes_of_it(case in any_case()) {
        prop_assert_eq!(case.polity(), case.revm());
    }
}

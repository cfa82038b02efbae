//! A small world: a few contracts on Osaka, and block 100.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, address, hex, keccak256};
use polity_evm::{
    Evm, Unsigned, account, code_ref,
    spec::{ChainSpec, Fork},
};
use polity_kernel::{Decoded, Machines};
use polity_node::chain::Company;
use polity_node::eth::{Past, Scene};
use polity_testkit::state::State;
use polity_types::AccountRecord;
use revm::context::TxEnv;

pub(crate) const BASE_FEE: u64 = 7;
pub(crate) const CHAIN: u64 = 31_337;

pub(crate) const RICH: Address = Address::repeat_byte(0x22);
pub(crate) const POOR: Address = Address::repeat_byte(0x11);
/// Has 3,000,000 wei.
pub(crate) const SENDER_PAYS: Address = Address::repeat_byte(0x33);

pub(crate) const COUNTER: Address = address!("00000000000000000000000000000000000000c1");
pub(crate) const FAILING: Address = address!("00000000000000000000000000000000000000c2");
pub(crate) const PANICKING: Address = address!("00000000000000000000000000000000000000c3");
pub(crate) const SPINNER: Address = address!("00000000000000000000000000000000000000c4");
pub(crate) const ENVIRONMENT: Address = address!("00000000000000000000000000000000000000c5");
pub(crate) const HASHES: Address = address!("00000000000000000000000000000000000000c6");
pub(crate) const REFUNDED: Address = address!("00000000000000000000000000000000000000c7");
pub(crate) const HUNGRY: Address = address!("00000000000000000000000000000000000000c8");
pub(crate) const CREATOR: Address = address!("00000000000000000000000000000000000000c9");
pub(crate) const CALLER: Address = address!("00000000000000000000000000000000000000ca");
pub(crate) const DESTROYED: Address = address!("00000000000000000000000000000000000000cb");

const CODES: [(Address, &str); 11] = [
    // Counts its calls in slot 0, logs and returns the number.
    (COUNTER, "5f54600101805f55805f52600160205fa160205ff3"),
    // Reverts with Error("nope").
    (
        FAILING,
        "6308c379a060e01b5f52602060045260046024527f6e6f70650000000000000000000000000000000000\
         00000000000000000000006044526064 5ffd",
    ),
    // Reverts with Panic(0x11).
    (PANICKING, "634e487b7160e01b5f5260116004526024 5ffd"),
    // Loops.
    (SPINNER, "5b5f56"),
    // Returns GASPRICE, BASEFEE, NUMBER, TIMESTAMP, COINBASE, PREVRANDAO, GASLIMIT, CALLVALUE.
    (ENVIRONMENT, "3a5f5248602052436040524260605241608052446 0a0524560c0523460e0526101005ff3"),
    // Returns the hashes of the blocks 99 and 200.
    (HASHES, "6063405f5260c84060205260405ff3"),
    // Empties slots 1 to 4.
    (REFUNDED, "5f6001555f6002555f6003555f60045500"),
    // Reverts unless it has 500,000 gas left.
    (HUNGRY, "6207a1205a11600c575f5ffd5b00"),
    // Creates a contract from its input as init code, and returns its address.
    (CREATOR, "365f5f37365f5ff05f5260205ff3"),
    // Calls the counter with selector 0xd09de08a, FAILING, and the identity precompile.
    (
        CALLER,
        "63d09de08a60e01b5f525f5f60045f5f60c15af1505f5f5f5f5f60c25af1505f5f60045f5f60045af15000",
    ),
    // Gives all that it has to RICH.
    (DESTROYED, "732222222222222222222222222222222222222222ff"),
];

pub(crate) struct World {
    pub(crate) machines: Machines,
    pub(crate) spec: ChainSpec,
    pub(crate) state: State,
    pub(crate) header: Header,
}

impl Default for World {
    fn default() -> Self {
        let mut spec = ChainSpec::single(Fork::Osaka);
        spec.chain_id = CHAIN;
        spec.request_contracts_optional = true;
        let mut state = State::default();
        for (address, code) in CODES {
            let code: String = code.split_whitespace().collect();
            let code: Bytes = hex::decode(code).unwrap().into();
            let hash = keccak256(&code);
            let record =
                AccountRecord { balance: U256::from(5), sequence: 1, code: code_ref(hash) };
            state.accounts.insert(account(address), record);
            state.codes.insert(hash, code);
        }
        for slot in 1..5u64 {
            let key = polity_types::LocalKey::storage(U256::from(slot));
            state.set_slot(account(REFUNDED), key, polity_types::Value::word(U256::from(1)));
        }
        let with = |balance: u64, sequence: u64| AccountRecord {
            balance: U256::from(balance),
            sequence,
            code: None,
        };
        state.accounts.insert(account(RICH), with(1_000_000_000, 3));
        state.accounts.insert(account(SENDER_PAYS), with(3_000_000, 0));
        for number in 0..100u64 {
            state.block_hashes.insert(number, B256::from(U256::from(number)));
        }
        let header = Header {
            number: 100,
            timestamp: 1_000,
            gas_limit: 30_000_000,
            base_fee_per_gas: Some(BASE_FEE),
            beneficiary: Address::with_last_byte(0xbe),
            mix_hash: B256::with_last_byte(9),
            excess_blob_gas: Some(0),
            blob_gas_used: Some(0),
            parent_beacon_block_root: Some(B256::ZERO),
            ..Header::default()
        };
        let machines = Machines::default().with(Evm::new(spec.clone())).unwrap();
        Self { machines, spec, state, header }
    }
}

impl World {
    pub(crate) fn scene(&self) -> Scene<'_> {
        Scene::new(&self.machines, &self.spec, &self.state, self.header.clone())
    }

    /// Block 100 with these transactions.
    pub(crate) fn past<'a>(&'a self, transactions: &'a [Decoded]) -> Past<'a> {
        Past {
            machines: &self.machines,
            spec: &self.spec,
            before: &self.state,
            header: &self.header,
            hash: B256::repeat_byte(0xb1),
            transactions: transactions.iter().collect(),
            withdrawals: &[],
            company: Company::default(),
        }
    }
}

/// A transaction of `RICH`'s.
pub(crate) fn transaction(nonce: u64, kind: TxKind, data: Bytes, value: u64) -> Decoded {
    let env = TxEnv {
        caller: RICH,
        nonce: nonce + 3,
        kind,
        data,
        value: U256::from(value),
        gas_limit: 200_000,
        gas_price: 10,
        chain_id: Some(CHAIN),
        ..TxEnv::default()
    };
    Unsigned::for_simulation().transaction(env, B256::repeat_byte(0xa0 + nonce as u8))
}

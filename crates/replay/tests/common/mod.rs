//! Blocks made up for the tests: every transaction type, ommers, withdrawals.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod bare;

use std::{collections::BTreeMap, fs, path::Path};

use alloy_consensus::{
    EthereumTxEnvelope, Header, SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip7702,
    TxLegacy,
    proofs::{calculate_ommers_root, calculate_transaction_root, calculate_withdrawals_root},
};
use alloy_eips::{
    eip2930::{AccessList, AccessListItem},
    eip4895::Withdrawal,
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_primitives::{
    Address, B256, Bytes, Signature, TxKind, U256, address, b256, bytes, keccak256,
};
use polity_replay::{
    BlockFolder, Chain, DevFork, FolderBlock, FolderKind, FolderPath, FullBlock, PreAccount,
    SignedTransaction, dev_genesis,
};

/// The code of the contract: returns the hash of the parent.
pub(crate) const CODE: Bytes = bytes!("600143034060005260206000f3");

pub(crate) const CONTRACT: Address = address!("00000000000000000000000000000000c0ffee00");

pub(crate) const SENDER: Address = address!("00000000000000000000000000000000000a11ce");

fn signature(parity: bool) -> Signature {
    Signature::new(U256::from(0x1234), U256::from(0x5678), parity)
}

fn access_list() -> AccessList {
    vec![AccessListItem {
        address: CONTRACT,
        storage_keys: vec![B256::ZERO, B256::with_last_byte(1)],
    }]
    .into()
}

/// One transaction of each type, and an unprotected and a creating legacy one.
pub(crate) fn envelopes(chain_id: u64) -> Vec<EthereumTxEnvelope<TxEip4844>> {
    let legacy = TxLegacy {
        chain_id: Some(chain_id),
        nonce: 0,
        gas_price: 2_000_000_000,
        gas_limit: 100_000,
        to: TxKind::Call(CONTRACT),
        value: U256::from(1),
        input: bytes!("01020304"),
    };
    let unprotected = TxLegacy { chain_id: None, nonce: 1, ..legacy.clone() };
    let create = TxLegacy { to: TxKind::Create, nonce: 2, input: CODE, ..legacy.clone() };
    let listed = TxEip2930 {
        chain_id,
        nonce: 3,
        gas_price: 2_000_000_000,
        gas_limit: 100_000,
        to: TxKind::Call(CONTRACT),
        value: U256::ZERO,
        access_list: access_list(),
        input: Bytes::new(),
    };
    let capped = TxEip1559 {
        chain_id,
        nonce: 4,
        gas_limit: 100_000,
        max_fee_per_gas: 3_000_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Create,
        value: U256::ZERO,
        access_list: AccessList::default(),
        input: CODE,
    };
    let blob = TxEip4844 {
        chain_id,
        nonce: 5,
        gas_limit: 100_000,
        max_fee_per_gas: 3_000_000_000,
        max_priority_fee_per_gas: 1,
        to: CONTRACT,
        value: U256::ZERO,
        access_list: AccessList::default(),
        blob_versioned_hashes: vec![b256!(
            "0100000000000000000000000000000000000000000000000000000000000001"
        )],
        max_fee_per_blob_gas: 7,
        input: Bytes::new(),
    };
    let authorization =
        Authorization { chain_id: U256::from(chain_id), address: CONTRACT, nonce: 9 };
    let delegating = TxEip7702 {
        chain_id,
        nonce: 6,
        gas_limit: 100_000,
        max_fee_per_gas: 3_000_000_000,
        max_priority_fee_per_gas: 1,
        to: CONTRACT,
        value: U256::ZERO,
        access_list: access_list(),
        authorization_list: vec![SignedAuthorization::new_unchecked(
            authorization,
            1,
            U256::from(11),
            U256::from(12),
        )],
        input: Bytes::new(),
    };
    vec![
        legacy.into_signed(signature(true)).into(),
        unprotected.into_signed(signature(false)).into(),
        create.into_signed(signature(false)).into(),
        listed.into_signed(signature(true)).into(),
        capped.into_signed(signature(false)).into(),
        blob.into_signed(signature(true)).into(),
        delegating.into_signed(signature(false)).into(),
    ]
}

/// A block with one of everything.
pub(crate) fn full_folder(number: u64, chain: Chain) -> BlockFolder {
    let chain_id = chain.id();
    let envelopes = envelopes(chain_id);
    let ommers = vec![Header { number: number - 1, beneficiary: SENDER, ..Header::default() }];
    let withdrawals =
        vec![Withdrawal { index: 1, validator_index: 2, address: SENDER, amount: 1_000_000_000 }];
    let header = Header {
        number,
        parent_hash: B256::repeat_byte(7),
        beneficiary: SENDER,
        ommers_hash: calculate_ommers_root(&ommers),
        transactions_root: calculate_transaction_root(&envelopes),
        withdrawals_root: Some(calculate_withdrawals_root(&withdrawals)),
        base_fee_per_gas: Some(1_000_000_000),
        blob_gas_used: Some(131_072),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::repeat_byte(8)),
        requests_hash: Some(B256::repeat_byte(9)),
        gas_limit: 30_000_000,
        timestamp: 1_700_000_000,
        ..Header::default()
    };
    let transactions = envelopes
        .into_iter()
        .map(|envelope| SignedTransaction { envelope, claimed_sender: SENDER })
        .collect();
    let block = FullBlock {
        chain,
        hash: header.hash_slow(),
        header,
        transactions,
        ommer_hashes: ommers.iter().map(Header::hash_slow).collect(),
        ommers: Some(ommers),
        withdrawals: Some(withdrawals),
    };
    let code_hash = keccak256(&CODE);
    let contract = PreAccount {
        balance: U256::ZERO,
        nonce: 1,
        code_hash: Some(code_hash),
        storage: BTreeMap::from([(U256::ZERO, U256::from(5)), (U256::MAX, U256::MAX)]),
    };
    let sender =
        PreAccount { balance: U256::from(10).pow(U256::from(20)), ..PreAccount::default() };
    BlockFolder {
        block_hashes: BTreeMap::from([
            (number - 2, B256::repeat_byte(6)),
            (number - 1, block.header.parent_hash),
        ]),
        block: FolderBlock::Full(Box::new(block)),
        pre_state: BTreeMap::from([(CONTRACT, contract), (SENDER, sender)]),
        codes: BTreeMap::from([(code_hash, CODE)]),
    }
}

pub(crate) fn dev_chain() -> Chain {
    Chain::Custom(Box::new(dev_genesis(31337, DevFork::Osaka)))
}

/// The files of a flat block with a transaction of each type.
pub(crate) fn flat_files(number: u64) -> Vec<(&'static str, String)> {
    let env = serde_json::json!({
        "number": number,
        "coinbase": SENDER,
        "timestamp": 1_700_000_000,
        "gas_limit": 30_000_000,
        "basefee": 7,
        "difficulty": "0x0",
        "prevrandao": B256::repeat_byte(3),
        "excess_blob_gas": 0,
        "chain_id": 1,
        "spec_id": "Prague",
        "block_hashes": { (number - 1).to_string(): B256::repeat_byte(7) },
    });
    let transaction = |tx_type: u8| {
        serde_json::json!({
            "tx_type": tx_type,
            "caller": SENDER,
            "to": CONTRACT,
            "nonce": tx_type,
            "value": "0x1",
            "data": "0x0102",
            "gas_limit": 100_000,
            "gas_price": 1_000_000_000,
            "gas_priority_fee": (tx_type >= 2).then_some(1),
            "chain_id": 1,
            "access_list": if tx_type > 0 {
                serde_json::json!([{"address": CONTRACT, "storage_keys": [B256::ZERO]}])
            } else {
                serde_json::json!([])
            },
            "blob_hashes": if tx_type == 3 { vec![B256::repeat_byte(1)] } else { vec![] },
            "max_fee_per_blob_gas": 0,
            "authorization_list": if tx_type == 4 {
                serde_json::json!([{
                    "chain_id": "0x1", "address": CONTRACT, "nonce": 1, "y_parity": 0,
                    "r": "0x1", "s": "0x2",
                }])
            } else {
                serde_json::json!([])
            },
        })
    };
    let transactions: Vec<_> = (0..=4).map(transaction).collect();
    let code_hash = keccak256(&CODE);
    let pre_state = serde_json::json!({
        SENDER.to_string(): { "balance": "0xde0b6b3a7640000", "nonce": 0, "storage": {} },
        CONTRACT.to_string(): {
            "balance": "0x0", "nonce": 1, "code_hash": code_hash, "storage": {"0x0": "0x05"},
        },
    });
    let codes = serde_json::json!({ code_hash.to_string(): CODE });
    vec![
        ("env.json", env.to_string()),
        ("txs.json", serde_json::Value::from(transactions).to_string()),
        ("pre_state.json", pre_state.to_string()),
        ("bytecodes.json", codes.to_string()),
    ]
}

pub(crate) fn write_files(folder: &Path, files: &[(&str, String)]) {
    fs::create_dir_all(folder).unwrap();
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
}

pub(crate) fn path_of(path: &Path, number: u64, kind: FolderKind) -> FolderPath {
    FolderPath { number, kind, path: path.into() }
}

//! Writes valid inputs of every target to `corpus/`, for the fuzzer to begin with.

use std::{collections::BTreeMap, error::Error, fs, path::Path};

use alloy_consensus::{
    Block, BlockBody, EthereumTxEnvelope, Header, SignableTransaction, TxEip1559, TxEip2930,
    TxEip4844, TxEip7702, TxLegacy,
    proofs::{calculate_ommers_root, calculate_transaction_root, calculate_withdrawals_root},
};
use alloy_eips::{
    eip2718::Encodable2718,
    eip2930::{AccessList, AccessListItem},
    eip4895::Withdrawal,
    eip7685::EMPTY_REQUESTS_HASH,
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256, uint};
use alloy_rlp::Encodable;
use polity_evm::{KIND, account, code_ref, spec::Fork};
use polity_node::{dev::Powers, eth::Ethereum};
use polity_replay::{
    BlockFolder, Chain, DevFork, FolderBlock, FullBlock, PreAccount, SignedTransaction, WriteMode,
    dev_genesis, write,
};
use polity_state::{Changes, State, Witness, snapshot};
use polity_types::{AccountRecord, LocalKey, Value};
use polity_verify::{Key, Owner};
use serde_json::json;

type Envelope = EthereumTxEnvelope<TxEip4844>;

/// A point of the curve, so that the signature recovers to somebody.
const R: U256 = uint!(0x79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798_U256);

fn signed<T: SignableTransaction<Signature>>(tx: T) -> Envelope
where
    Envelope: From<alloy_consensus::Signed<T>>,
{
    tx.into_signed(Signature::new(R, U256::ONE, false)).into()
}

fn transactions(chain_id: u64) -> Vec<Envelope> {
    let to = Address::repeat_byte(0x11);
    let input = Bytes::from_static(&[1, 2, 3]);
    let access_list =
        AccessList(vec![AccessListItem { address: to, storage_keys: vec![B256::ZERO] }]);
    let legacy = TxLegacy {
        chain_id: Some(chain_id),
        nonce: 1,
        gas_price: 10,
        gas_limit: 100_000,
        to: TxKind::Call(to),
        value: U256::from(1_000),
        input: input.clone(),
    };
    let authorization = Authorization { chain_id: U256::from(chain_id), address: to, nonce: 1 };
    let authorization = SignedAuthorization::new_unchecked(authorization, 0, R, U256::ONE);
    vec![
        signed(TxLegacy { chain_id: None, ..legacy.clone() }),
        signed(legacy),
        signed(TxEip2930 { chain_id, access_list: access_list.clone(), ..Default::default() }),
        signed(TxEip1559 { chain_id, input, max_fee_per_gas: 9, ..Default::default() }),
        signed(TxEip4844 {
            chain_id,
            blob_versioned_hashes: vec![B256::with_last_byte(1)],
            ..Default::default()
        }),
        signed(TxEip7702 {
            chain_id,
            access_list,
            authorization_list: vec![authorization],
            ..Default::default()
        }),
    ]
}

/// A block with one of everything, on `parent`.
fn block(parent: &Header, chain_id: u64) -> Block<Envelope> {
    let withdrawals = vec![Withdrawal { index: 1, ..Withdrawal::default() }];
    let body = BlockBody {
        transactions: transactions(chain_id),
        ommers: Vec::new(),
        withdrawals: Some(withdrawals.into()),
    };
    let header = Header {
        parent_hash: parent.hash_slow(),
        number: parent.number + 1,
        timestamp: parent.timestamp + 12,
        gas_limit: parent.gas_limit,
        ommers_hash: calculate_ommers_root(&body.ommers),
        transactions_root: calculate_transaction_root(&body.transactions),
        withdrawals_root: body.withdrawals.as_deref().map(|list| calculate_withdrawals_root(list)),
        base_fee_per_gas: Some(7),
        blob_gas_used: Some(131_072),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    };
    Block { header, body }
}

fn parent() -> Header {
    Header {
        number: 100,
        timestamp: 1_000,
        gas_limit: 30_000_000,
        base_fee_per_gas: Some(7),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        ..Header::default()
    }
}

/// The files of a folder in the order and form that the target reads.
fn folder(kind: u8, files: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut data = vec![kind];
    for file in files {
        data.extend(file);
        data.push(0xff);
    }
    data
}

fn full_folder(chain: Chain) -> BlockFolder {
    let parent = parent();
    let Block { header, body } = block(&parent, chain.id());
    let sender = Address::repeat_byte(0x22);
    let envelopes = body.transactions.into_iter();
    let code = Bytes::from_static(&[0x5f, 0x5f, 0xf3]);
    let account = PreAccount {
        balance: U256::from(1_u64 << 60),
        nonce: 1,
        code_hash: Some(keccak256(&code)),
        storage: BTreeMap::from([(U256::ONE, U256::from(2))]),
    };
    BlockFolder {
        block_hashes: BTreeMap::from([(parent.number, header.parent_hash)]),
        block: FolderBlock::Full(Box::new(FullBlock {
            chain,
            hash: header.hash_slow(),
            header,
            transactions: envelopes
                .map(|envelope| SignedTransaction { envelope, claimed_sender: sender })
                .collect(),
            ommer_hashes: Vec::new(),
            ommers: Some(Vec::new()),
            withdrawals: body.withdrawals.map(|list| list.to_vec()),
        })),
        pre_state: BTreeMap::from([(sender, account)]),
        codes: BTreeMap::from([(keccak256(&code), code)]),
    }
}

fn flat_folder() -> Vec<u8> {
    let address = Address::repeat_byte(0x22);
    let env = json!({
        "number": 1, "coinbase": address, "timestamp": 1_700_000_000, "gas_limit": 30_000_000,
        "basefee": 7, "difficulty": "0x0", "prevrandao": B256::ZERO, "excess_blob_gas": 0,
        "chain_id": 1, "spec_id": "Prague", "block_hashes": { "0": B256::ZERO },
    });
    let transaction = json!({
        "tx_type": 4, "caller": address, "to": address, "nonce": 0, "value": "0x1",
        "data": "0x0102", "gas_limit": 100_000, "gas_price": 1_000_000_000,
        "gas_priority_fee": 1, "chain_id": 1,
        "access_list": [{ "address": address, "storage_keys": [B256::ZERO] }],
        "blob_hashes": [], "max_fee_per_blob_gas": 0,
        "authorization_list": [{
            "chain_id": "0x1", "address": address, "nonce": 1, "y_parity": 0, "r": "0x1", "s": "0x2",
        }],
    });
    let state = json!({ address.to_string(): { "balance": "0x1", "nonce": 0, "storage": {} } });
    let files = [env, json!([transaction]), state, json!({}), json!({})];
    folder(0, files.map(|file| file.to_string().into_bytes()))
}

/// A proof, a witness and a snapshot of a small state.
fn state() -> Result<[Vec<u8>; 3], Box<dyn Error>> {
    let state = State::in_memory()?;
    let mut changes = Changes::new();
    let code = Bytes::from_static(&[0x5f, 0x5f, 0xf3]);
    let id = |byte| account(Address::repeat_byte(byte));
    for byte in 1..20 {
        let code = (byte % 4 == 0).then(|| code_ref(keccak256(&code))).flatten();
        let record = AccountRecord { balance: U256::from(byte), sequence: 1, code };
        changes.set_account(id(byte), Some(record));
        changes.set_slot(id(byte), LocalKey::storage(U256::ONE), Value::word(U256::from(byte)))?;
    }
    changes.set_code(keccak256(&code), code.clone());
    state.genesis(7, changes)?.durable()?;
    state.set_block_hash(7, B256::repeat_byte(7))?;
    let slot = Key::Slot(id(3), LocalKey::storage(U256::ONE));
    let (_, proof) = state.prove(&[Key::Account(id(1)), Key::Account(id(99)), slot])?;
    let cells = state.view().cells(&Owner::of(&id(4)).row())?;
    let mut paths: Vec<_> = cells.iter().map(|(key, _)| key.path()).collect();
    paths.sort_unstable();
    let trie = state.still(|backend, _| backend.prove(&paths))?;
    let hashes = BTreeMap::from([(7, B256::repeat_byte(7))]);
    let witness = Witness::new(trie, cells, vec![(KIND, code)], hashes);
    let mut bytes = Vec::new();
    snapshot::export(&state, B256::with_last_byte(1), &mut bytes)?;
    Ok([proof.to_bytes(), witness.to_bytes(), bytes])
}

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let put = |target: &str, name: &str, data: &[u8]| -> std::io::Result<()> {
        fs::create_dir_all(corpus.join(target))?;
        fs::write(corpus.join(target).join(name), data)
    };
    let newest = Fork::ALL.len() as u8 - 1;
    for (index, transaction) in transactions(1).into_iter().enumerate() {
        let data = [vec![newest], transaction.encoded_2718()].concat();
        put("transaction", &format!("seed-{index}"), &data)?;
    }
    let parent = parent();
    for fork in 0..=newest {
        let mut data = vec![fork, 1];
        parent.encode(&mut data);
        block(&parent, 1).encode(&mut data);
        put("block", &format!("seed-{fork}"), &data)?;
    }
    put("folder", "seed-flat", &flat_folder())?;
    let place = tempfile::tempdir()?;
    let chains = [Chain::Mainnet, Chain::Custom(Box::new(dev_genesis(31337, DevFork::Osaka)))];
    for (index, chain) in chains.into_iter().enumerate() {
        let path = place.path().join(index.to_string());
        write(&full_folder(chain), &path, WriteMode::New)?;
        let names = ["block", "pre_state", "bytecodes", "block_hashes", "ommers", "genesis"];
        let files = names.map(|name| fs::read(path.join(name).with_extension("json")));
        let files = files.map(Result::unwrap_or_default);
        put("folder", &format!("seed-full-{index}"), &folder(1, files))?;
    }
    let [proof, witness, snapshot] = state()?;
    put("proof", "seed", &proof)?;
    put("witness", "seed", &witness)?;
    put("snapshot", "seed", &snapshot)?;
    // Every method, with parameters that suit many.
    for name in Ethereum::methods(Some(Powers::of_a_development_chain())).names() {
        let params = json!(["0x00000000000000000000000000000000000000aa", "latest", {"to": null}]);
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": name, "params": params});
        put("rpc", name, request.to_string().as_bytes())?;
    }
    Ok(())
}

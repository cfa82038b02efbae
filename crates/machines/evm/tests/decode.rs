//! Transactions from bytes: signed ones of every type decode to who signed them, everything else is
//! an error that says why, and nothing panics.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a panic is how a test fails"
)]

use alloy_consensus::{
    EthereumTxEnvelope, SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy,
};
use alloy_eips::{
    eip2718::Encodable2718,
    eip2930::{AccessList, AccessListItem},
    eip7702::Authorization,
};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256, uint};
use k256::ecdsa::SigningKey;
use polity_evm::{
    BlockInput, Evm, KIND, Transaction, account,
    spec::{ChainSpec, Fork},
};
use polity_kernel::{BlockContext, DecodeError, Decoded, Inputs, Machine};
use polity_types::LocalKey;
use proptest::{collection::vec, option, prelude::*, sample::Index};

const CHAIN: u64 = 1;

/// The order of secp256k1.
const ORDER: U256 = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);

type Envelope = EthereumTxEnvelope<TxEip4844>;

fn block(chain_id: u64) -> BlockContext {
    BlockContext {
        chain_id,
        number: 100,
        timestamp: 1_000,
        beneficiary: account(Address::ZERO),
        randomness: B256::ZERO,
        inputs: Inputs::default().with(KIND, BlockInput::default()),
    }
}

fn decode_at(fork: Fork, chain_id: u64, raw: &[u8]) -> Result<Decoded, DecodeError> {
    Evm::new(ChainSpec::single(fork)).decode(raw, &block(chain_id))
}

fn decode(raw: &[u8]) -> Result<Decoded, DecodeError> {
    decode_at(Fork::Osaka, CHAIN, raw)
}

fn address_of(key: &SigningKey) -> Address {
    let point = key.verifying_key().to_encoded_point(false);
    Address::from_raw_public_key(&point.as_bytes()[1..])
}

/// Signs as Ethereum does, with the smaller of the two possible values of `s`.
fn sign(key: &SigningKey, hash: B256) -> Signature {
    let (signature, id) = key.sign_prehash_recoverable(hash.as_slice()).unwrap();
    let (r, s) = signature.split_bytes();
    Signature::new(U256::from_be_slice(&r), U256::from_be_slice(&s), id.is_y_odd())
}

/// The other signature of the same message by the same key.
fn malleated(signature: Signature) -> Signature {
    Signature::new(signature.r(), ORDER - signature.s(), !signature.v())
}

fn any_key() -> impl Strategy<Value = SigningKey> {
    (1_u64..)
        .prop_map(|secret| SigningKey::from_slice(&U256::from(secret).to_be_bytes::<32>()).unwrap())
}

fn any_address() -> impl Strategy<Value = Address> {
    any::<[u8; 20]>().prop_map(Address::from)
}

fn any_word() -> impl Strategy<Value = B256> {
    any::<[u8; 32]>().prop_map(B256::from)
}

fn any_amount() -> impl Strategy<Value = U256> {
    (any::<[u8; 32]>(), 0_usize..256).prop_map(|(bytes, bits)| U256::from_be_bytes(bytes) >> bits)
}

fn any_access_list() -> impl Strategy<Value = AccessList> {
    let item = (any_address(), vec(any_word(), 0..3))
        .prop_map(|(address, storage_keys)| AccessListItem { address, storage_keys });
    vec(item, 0..3).prop_map(AccessList)
}

/// What all transactions have: nonce, gas limit, target, value, input.
fn any_basics() -> impl Strategy<Value = (u64, u64, Option<Address>, U256, Bytes)> {
    let input = vec(any::<u8>(), 0..80).prop_map(Bytes::from);
    (any::<u64>(), any::<u64>(), option::of(any_address()), any_amount(), input)
}

/// A signed transaction of any type, who signed it, and the same with the other signature.
#[derive(Clone, Debug)]
struct Signed {
    envelope: Envelope,
    malleated: Envelope,
    sender: Address,
}

impl Signed {
    fn new<T>(tx: T, key: &SigningKey) -> Self
    where
        T: SignableTransaction<Signature> + Clone,
        Envelope: From<alloy_consensus::Signed<T>>,
    {
        let signature = sign(key, tx.signature_hash());
        Self {
            envelope: tx.clone().into_signed(signature).into(),
            malleated: tx.into_signed(malleated(signature)).into(),
            sender: address_of(key),
        }
    }

    fn raw(&self) -> Vec<u8> {
        self.envelope.encoded_2718()
    }
}

fn kind(to: Option<Address>) -> TxKind {
    to.map_or(TxKind::Create, TxKind::Call)
}

fn any_legacy(chain: impl Strategy<Value = Option<u64>>) -> impl Strategy<Value = Signed> {
    (any_basics(), chain, any::<u128>(), any_key()).prop_map(
        |((nonce, gas_limit, to, value, input), chain_id, gas_price, key)| {
            let to = kind(to);
            let tx = TxLegacy { chain_id, nonce, gas_price, gas_limit, to, value, input };
            Signed::new(tx, &key)
        },
    )
}

/// Transactions of the types that always name a chain.
fn any_typed() -> impl Strategy<Value = Signed> {
    let fees = (any::<u128>(), any::<u128>(), any::<u128>());
    let authorization =
        (any_address(), any::<u64>(), any_key()).prop_map(|(address, nonce, key)| {
            let authorization = Authorization { chain_id: U256::from(CHAIN), address, nonce };
            let signature = sign(&key, authorization.signature_hash());
            authorization.into_signed(signature)
        });
    let parts = (any_access_list(), vec(any_word(), 0..3), vec(authorization, 0..3));
    (0..4_u8, any_basics(), fees, parts, any_key()).prop_map(|(ty, basics, fees, parts, key)| {
        let (nonce, gas_limit, to, value, input) = basics;
        let (max_fee_per_gas, max_priority_fee_per_gas, max_fee_per_blob_gas) = fees;
        let (access_list, blob_versioned_hashes, authorization_list) = parts;
        let chain_id = CHAIN;
        match ty {
            0 => {
                let (gas_price, to) = (max_fee_per_gas, kind(to));
                Signed::new(
                    TxEip2930 {
                        chain_id,
                        nonce,
                        gas_price,
                        gas_limit,
                        to,
                        value,
                        access_list,
                        input,
                    },
                    &key,
                )
            }
            1 => Signed::new(
                TxEip1559 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas,
                    to: kind(to),
                    value,
                    access_list,
                    input,
                },
                &key,
            ),
            2 => Signed::new(
                TxEip4844 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas,
                    to: to.unwrap_or_default(),
                    value,
                    access_list,
                    blob_versioned_hashes,
                    max_fee_per_blob_gas,
                    input,
                },
                &key,
            ),
            _ => Signed::new(
                TxEip7702 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas,
                    to: to.unwrap_or_default(),
                    value,
                    access_list,
                    authorization_list,
                    input,
                },
                &key,
            ),
        }
    })
}

fn any_signed() -> impl Strategy<Value = Signed> {
    let chain = option::of(Just(CHAIN));
    prop_oneof![1 => any_legacy(chain), 4 => any_typed()]
}

/// One change of some bytes.
#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Truncate(Index),
    /// Copies a part to another place.
    Copy(Index, Index, usize),
}

fn any_change() -> impl Strategy<Value = Change> {
    let at = || any::<Index>();
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (at(), 0_u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        at().prop_map(Change::Remove),
        at().prop_map(Change::Truncate),
        (at(), at(), 1_usize..40).prop_map(|(from, to, len)| Change::Copy(from, to, len)),
    ]
}

fn change(bytes: &mut Vec<u8>, change: &Change) {
    if bytes.is_empty() {
        return;
    }
    let len = bytes.len();
    match change {
        Change::Set(at, byte) => bytes[at.index(len)] = *byte,
        Change::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
        Change::Insert(at, byte) => bytes.insert(at.index(len), *byte),
        Change::Remove(at) => drop(bytes.remove(at.index(len))),
        Change::Truncate(at) => bytes.truncate(at.index(len)),
        Change::Copy(from, to, count) => {
            let (from, to) = (from.index(len), to.index(len));
            let part = bytes[from..len.min(from + count)].to_vec();
            for (offset, byte) in part.into_iter().enumerate() {
                if let Some(place) = bytes.get_mut(to + offset) {
                    *place = byte;
                }
            }
        }
    }
}

/// Decodes bytes from anywhere; what decodes has only this encoding.
fn decode_anything(raw: &[u8]) -> Result<(), TestCaseError> {
    for fork in [Fork::Frontier, Fork::Homestead, Fork::SpuriousDragon, Fork::Osaka] {
        if let Ok(decoded) = decode_at(fork, CHAIN, raw) {
            prop_assert_eq!(decoded.hash, keccak256(raw));
            prop_assert_eq!(decoded.machine, KIND);
        }
    }
    Ok(())
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn signed_transactions_decode_to_their_sender(signed in any_signed()) {
        use alloy_consensus::Transaction as _;
        let raw = signed.raw();
        let decoded = decode(&raw).unwrap();
        let envelope = &signed.envelope;
        prop_assert_eq!(decoded.hash, keccak256(&raw));
        prop_assert_eq!(decoded.sender, account(signed.sender));
        prop_assert_eq!(decoded.sequence, envelope.nonce());
        prop_assert_eq!(decoded.gas_limit, envelope.gas_limit());
        let tx: &Transaction = decoded.payload().unwrap();
        prop_assert_eq!(tx.env.caller, signed.sender);
        prop_assert_eq!(tx.env.kind, envelope.kind());
        prop_assert_eq!(tx.env.value, envelope.value());
        prop_assert_eq!(&tx.env.data, envelope.input());
        // Every declared access is a hint.
        for item in &envelope.access_list().cloned().unwrap_or_default().0 {
            for key in &item.storage_keys {
                let key = Some(LocalKey::storage(U256::from_be_bytes(key.0)));
                let hinted = |hint: &polity_kernel::Hint| {
                    hint.account == account(item.address) && hint.key == key
                };
                prop_assert!(decoded.hints.iter().any(hinted));
            }
        }
    }

    #[test]
    fn bytes_too_many_are_refused(signed in any_signed(), more in vec(any::<u8>(), 1..40)) {
        let raw = [signed.raw(), more].concat();
        prop_assert!(matches!(decode(&raw), Err(DecodeError::Malformed(_))));
    }

    #[test]
    fn bytes_too_few_are_refused(signed in any_signed(), at in any::<Index>()) {
        let raw = signed.raw();
        prop_assert!(matches!(decode(&raw[..at.index(raw.len())]), Err(DecodeError::Malformed(_))));
    }

    #[test]
    fn another_chain_is_refused(signed in any_typed(), chain in 2_u64..) {
        let refused = DecodeError::ChainId { found: CHAIN, expected: chain };
        prop_assert_eq!(decode_at(Fork::Osaka, chain, &signed.raw()).unwrap_err(), refused);
    }

    #[test]
    fn another_chain_is_refused_in_legacy(signed in any_legacy(Just(Some(7)))) {
        let refused = DecodeError::ChainId { found: 7, expected: CHAIN };
        prop_assert_eq!(decode(&signed.raw()).unwrap_err(), refused);
    }

    /// EIP-2: of the two signatures that anyone can make from one, only one counts.
    #[test]
    fn the_other_signature_is_refused(signed in any_signed()) {
        let raw = signed.malleated.encoded_2718();
        prop_assert!(matches!(decode(&raw), Err(DecodeError::Signature(_))));
    }

    #[test]
    fn the_other_signature_counted_before_homestead(signed in any_legacy(Just(None))) {
        let raw = signed.malleated.encoded_2718();
        let decoded = decode_at(Fork::Frontier, CHAIN, &raw).unwrap();
        prop_assert_eq!(decoded.sender, account(signed.sender));
        prop_assert!(decode_at(Fork::Homestead, CHAIN, &raw).is_err());
    }

    #[test]
    fn no_chain_is_named_before_eip_155(signed in any_legacy(Just(Some(CHAIN)))) {
        let raw = signed.raw();
        let early = decode_at(Fork::Tangerine, CHAIN, &raw);
        prop_assert!(matches!(early, Err(DecodeError::Signature(_))));
        prop_assert!(decode_at(Fork::SpuriousDragon, CHAIN, &raw).is_ok());
    }
}

proptest! {
    #![proptest_config(config(3_000))]

    #[test]
    fn changed_transactions_do_not_panic(
        signed in any_signed(),
        changes in vec(any_change(), 1..5),
    ) {
        let mut raw = signed.raw();
        for step in &changes {
            change(&mut raw, step);
        }
        decode_anything(&raw)?;
    }

    #[test]
    fn random_bytes_do_not_panic(ty in 0_u8..8, raw in vec(any::<u8>(), 0..300)) {
        decode_anything(&raw)?;
        decode_anything(&[&[ty][..], &raw].concat())?;
    }
}

proptest! {
    #![proptest_config(config(500_000))]

    #[test]
    #[ignore = "long: 500000 changed transactions"]
    fn changed_transactions_do_not_panic_for_long(
        signed in any_signed(),
        changes in vec(any_change(), 1..5),
    ) {
        let mut raw = signed.raw();
        for step in &changes {
            change(&mut raw, step);
        }
        decode_anything(&raw)?;
    }
}

/// A signature of values that no curve point has, and of the largest there are.
#[test]
fn impossible_signatures_are_refused() {
    let key = SigningKey::from_slice(&[1; 32]).unwrap();
    let tx = TxLegacy { chain_id: Some(CHAIN), ..TxLegacy::default() };
    let good = sign(&key, tx.signature_hash());
    let values = [U256::ZERO, ORDER, ORDER + U256::ONE, U256::MAX];
    for bad in values.into_iter().flat_map(|v| [(v, good.s()), (good.r(), v), (v, v)]) {
        let signature = Signature::new(bad.0, bad.1, good.v());
        let raw = Envelope::from(tx.clone().into_signed(signature)).encoded_2718();
        assert!(matches!(decode(&raw), Err(DecodeError::Signature(_))), "{bad:?}");
    }
}

/// A blob transaction with its blobs, as it is sent but not as it stands in a block.
#[test]
fn blobs_do_not_stand_in_a_block() {
    let key = SigningKey::from_slice(&[1; 32]).unwrap();
    let tx = TxEip4844 { chain_id: CHAIN, ..TxEip4844::default() };
    let raw = Signed::new(tx, &key).raw();
    assert!(decode(&raw).is_ok());
    // [transaction, [], [], []] instead of the transaction alone.
    let body = &raw[1..];
    let mut network = vec![3, 0xf8, u8::try_from(body.len() + 3).unwrap()];
    network.extend(body);
    network.extend([0xc0, 0xc0, 0xc0]);
    assert!(matches!(decode(&network), Err(DecodeError::Malformed(_))));
}

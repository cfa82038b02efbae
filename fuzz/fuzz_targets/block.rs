//! A block and its parent's header in RLP: decoding, and the checks of the header, the body, the
//! ommers and the transactions. The first byte chooses the fork; an odd second byte makes the block
//! name its parent, so that the checks behind that are reached.

#![no_main]

use alloy_consensus::{Block, EthereumTxEnvelope, Header, TxEip4844};
use alloy_primitives::U256;
use alloy_rlp::{Decodable, Encodable};
use libfuzzer_sys::fuzz_target;
use polity_evm::{
    decode_envelope,
    header::{Ancestor, check_body, check_header, check_ommers},
    spec::{ChainSpec, Fork},
};

fuzz_target!(|data: &[u8]| {
    let [fork, fit, rest @ ..] = data else { return };
    let mut rest = rest;
    let fork = Fork::ALL[usize::from(*fork) % Fork::ALL.len()];
    let Ok(parent) = Header::decode(&mut rest) else { return };
    let before = rest;
    let Ok(mut block) = Block::<EthereumTxEnvelope<TxEip4844>>::decode(&mut rest) else { return };
    let mut again = Vec::new();
    block.encode(&mut again);
    let read = &before[..before.len() - rest.len()];
    assert_eq!(again, read);

    let hash = parent.hash_slow();
    if fit & 1 == 1 {
        block.header.parent_hash = hash;
        block.header.number = parent.number.wrapping_add(1);
    }
    let spec = ChainSpec::single(fork);
    let total_difficulty = U256::ZERO;
    let ancestor = Ancestor { header: &parent, hash, total_difficulty, ommers: &[] };
    let _ = check_header(&spec, &block.header, &ancestor);
    let _ = check_body(fork, &block.header, &block.body);
    let _ = check_ommers(&spec, &block.header, &block.body.ommers, &[ancestor]);
    for transaction in &block.body.transactions {
        let _ = decode_envelope(transaction, 1, fork);
    }
});

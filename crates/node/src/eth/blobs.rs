//! The blobs of transactions, for as long as they are kept.

use alloy_primitives::{B256, Bytes};

use super::Ethereum;
use crate::rpc::{Methods, Params, Reply, reply};

pub(super) fn register(methods: &mut Methods<Ethereum>) {
    methods.quick("anvil_getBlobsByTransactionHash", |door, params| {
        let sidecar = door.node.pool.blobs(&params.required()?);
        reply(&sidecar.as_deref().map(|sidecar| sidecar.blobs()))
    });
    methods.quick("anvil_getBlobByHash", by_hash);
}

fn by_hash(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let hash: B256 = params.required()?;
    let found = door.node.pool.find_blobs(|sidecar| {
        let index = sidecar.versioned_hashes().position(|versioned| versioned == hash)?;
        sidecar.blobs().get(index).map(|blob| Bytes::copy_from_slice(blob.as_slice()))
    });
    reply(&found)
}

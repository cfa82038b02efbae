//! Who gives lamports away.

use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicU32, Ordering},
};

use polity_svm::KIND;
use sha2::{Digest, Sha256};
use solana_account::{ReadableAccount, WritableAccount};
use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_hash::Hash;
use solana_keypair::Keypair;
use solana_message::{Message, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_rpc_client_types::config::RpcRequestAirdropConfig;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;

use super::{Solana, decode, error::invalid, guest, moment::Moment, send};
use crate::{
    Node,
    chain::GuestTransaction,
    rpc::{Later, Methods, Params, RpcError, reply},
};

/// What the faucet has at first.
pub const FAUCET_LAMPORTS: u64 = 1_000_000 * 1_000_000_000;

/// What the faucet pays for a transaction of its own, and more.
const RESERVE: u64 = 1_000_000_000;
/// What two of its transfers differ by that would be the same otherwise.
const LIMITS: std::ops::Range<u32> = 10_000..200_000;

/// Everybody has the key: it signs on development chains only.
static KEY: LazyLock<Keypair> =
    LazyLock::new(|| Keypair::new_from_array(Sha256::digest(b"polity: faucet").into()));

/// Where the faucet is.
pub(super) fn address() -> Pubkey {
    KEY.pubkey()
}

pub(super) fn register(methods: &mut Methods<Solana>) {
    methods.waiting("requestAirdrop", airdrop);
}

/// Signs transfers that are all different.
pub(super) struct Faucet(AtomicU32);

impl Faucet {
    pub(super) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }
}

fn airdrop(door: &Arc<Solana>, params: &mut Params<'_>) -> Result<Later, RpcError> {
    let to = decode::address(params)?;
    let lamports: u64 = params.required()?;
    let config: RpcRequestAirdropConfig = params.optional()?.unwrap_or_default();
    let hash = config
        .recent_blockhash
        .as_deref()
        .map(|text| text.parse::<Hash>().map_err(|error| invalid(format!("{error:?}"))));
    let (door, hash) = (door.clone(), hash.transpose()?);
    Ok(Box::pin(async move {
        let given = door.computed(move |door| door.give(&to, lamports, hash)).await;
        let (node, signature) = given?;
        node.miner.announce().await;
        reply(&signature)
    }))
}

impl Solana {
    /// Sends lamports from the faucet.
    fn give(
        &self,
        to: &Pubkey,
        lamports: u64,
        hash: Option<Hash>,
    ) -> Result<(Arc<Node>, String), RpcError> {
        let moment = self.moment(None)?;
        fill(&moment, lamports)?;
        let hash = hash.unwrap_or_else(|| polity_svm::blockhash(&moment.block().hash));
        let transfer = solana_system_interface::instruction::transfer(&address(), to, lamports);
        // A signature names one transaction, and a transaction is its bytes: whoever asks twice
        // within a block is to get two.
        let count = self.faucet.0.fetch_add(1, Ordering::Relaxed);
        let limit = LIMITS.start.saturating_add(count % (LIMITS.end - LIMITS.start));
        let limit = ComputeBudgetInstruction::set_compute_unit_limit(limit);
        let message = Message::new_with_blockhash(&[transfer, limit], Some(&address()), &hash);
        let transaction =
            VersionedTransaction::try_new(VersionedMessage::Legacy(message), &[&*KEY])
                .map_err(|error| RpcError::internal(&error))?;
        let signature = transaction.signatures.first().copied().unwrap_or_default();
        let raw = wincode::serialize(&transaction).map_err(|error| RpcError::internal(&error))?;
        let GuestTransaction { decoded, raw } = moment
            .node
            .decode_guest(KIND, raw.into())
            .map_err(|error| RpcError::server(error.to_string()))?;
        send::submit(&moment.node, GuestTransaction { decoded, raw })?;
        Ok((moment.node, signature.to_string()))
    }
}

/// Makes sure that the faucet has so many lamports to give.
fn fill(moment: &Moment, lamports: u64) -> Result<(), RpcError> {
    let powers = Solana::powers(&moment.node)?;
    let held = |account: Option<solana_account::AccountSharedData>| {
        account.map_or(0, |account| account.lamports())
    };
    let now = held(polity_svm::read_account(moment.view(), &address())?);
    let needed = lamports.checked_add(RESERVE).ok_or_else(|| invalid("too many lamports"))?;
    if now >= needed {
        return Ok(());
    }
    moment.node.chain.edit::<RpcError>(powers, |changes, _| {
        let mut account = solana_account::AccountSharedData::default();
        account.set_lamports(needed.max(FAUCET_LAMPORTS));
        Ok(guest::set_account(changes, &address(), &account)?)
    })
}

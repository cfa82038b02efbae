//! A whole block as JSON-RPC gives it, checked against its own hashes.

use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, EthereumTxEnvelope, Header, TxEip4844,
    crypto::RecoveryError,
    proofs::{calculate_ommers_root, calculate_transaction_root, calculate_withdrawals_root},
    transaction::SignerRecoverable,
};
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::{chain::Chain, error::BlockFault, json, transaction::RawTransaction};

/// A signed transaction of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTransaction {
    /// The transaction with its signature; its hash was recomputed.
    pub envelope: EthereumTxEnvelope<TxEip4844>,
    /// The sender as the file or node names it. The signature decides, not this: see
    /// [`SignedTransaction::recover_sender`].
    pub claimed_sender: Address,
}

impl SignedTransaction {
    /// The sender that signed the transaction.
    ///
    /// # Errors
    ///
    /// The signature is of no key, or not of the form that EIP-2 and later demand.
    pub fn recover_sender(&self) -> Result<Address, RecoveryError> {
        self.envelope.recover_signer()
    }
}

/// A block with its header, whose hash, transactions root and withdrawals root were recomputed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullBlock {
    /// The chain whose rules the block follows.
    pub chain: Chain,
    /// The header.
    pub header: Header,
    /// keccak256 of the header.
    pub hash: B256,
    /// The transactions in order.
    pub transactions: Vec<SignedTransaction>,
    /// The hashes of the ommers in order.
    pub ommer_hashes: Vec<B256>,
    /// The headers of the ommers in order. `None`: the block has some, but the folder does not
    /// hold them, so their rewards cannot be paid.
    pub ommers: Option<Vec<Header>>,
    /// The withdrawals in order; `None` before Shanghai.
    pub withdrawals: Option<Vec<Withdrawal>>,
}

#[derive(Deserialize)]
struct RawBody {
    hash: B256,
    transactions: Vec<RawTransaction>,
    #[serde(default)]
    uncles: Vec<B256>,
    #[serde(default)]
    withdrawals: Option<Vec<Withdrawal>>,
}

fn mismatch(field: &str, computed_from: &'static str, computed: B256, found: B256) -> BlockFault {
    BlockFault::Mismatch {
        field: field.into(),
        computed_from,
        computed: computed.to_string(),
        found: found.to_string(),
    }
}

fn check(
    field: &str,
    computed_from: &'static str,
    computed: B256,
    found: B256,
) -> Result<(), BlockFault> {
    if computed == found { Ok(()) } else { Err(mismatch(field, computed_from, computed, found)) }
}

impl FullBlock {
    /// Parses a JSON-RPC block with full transactions and checks it against its own hashes.
    /// `ommers` is not filled unless there are none.
    pub(crate) fn parse(text: &[u8], chain: Chain) -> Result<Self, BlockFault> {
        let header: Header = json::parse(text)?;
        let body: RawBody = json::parse(text)?;
        let hash = header.hash_slow();
        check("hash", "the header", hash, body.hash)?;

        let mut transactions = Vec::with_capacity(body.transactions.len());
        for (index, raw) in body.transactions.iter().enumerate() {
            let field = format!("transactions[{index}]");
            let envelope = raw.to_envelope(&field)?;
            if *envelope.tx_hash() != raw.hash {
                let field = format!("{field}.hash");
                return Err(mismatch(&field, "the transaction", *envelope.tx_hash(), raw.hash));
            }
            let chain_id = alloy_consensus::Transaction::chain_id(&envelope);
            if let Some(chain_id) = chain_id
                && chain_id != chain.id()
            {
                return Err(BlockFault::invalid(
                    format!("{field}.chainId"),
                    format!(
                        "signed for chain {chain_id}, but the block is taken to be of chain {}; put the geth genesis of the chain beside it as genesis.json (none means mainnet)",
                        chain.id()
                    ),
                ));
            }
            transactions.push(SignedTransaction { envelope, claimed_sender: raw.from });
        }
        let envelopes: Vec<_> = transactions.iter().map(|signed| &signed.envelope).collect();
        check(
            "transactionsRoot",
            "the transactions",
            calculate_transaction_root(&envelopes),
            header.transactions_root,
        )?;

        match (&body.withdrawals, header.withdrawals_root) {
            (Some(withdrawals), Some(root)) => {
                check(
                    "withdrawalsRoot",
                    "the withdrawals",
                    calculate_withdrawals_root(withdrawals),
                    root,
                )?;
            }
            (None, None) => {}
            (None, Some(_)) => {
                return Err(BlockFault::Missing {
                    field: "withdrawals".into(),
                    reason: "the header has a withdrawalsRoot",
                });
            }
            (Some(list), None) if list.is_empty() => {}
            (Some(_), None) => {
                return Err(BlockFault::Missing {
                    field: "withdrawalsRoot".into(),
                    reason: "the block has withdrawals",
                });
            }
        }
        if body.uncles.is_empty() {
            check("sha3Uncles", "an empty `uncles`", EMPTY_OMMER_ROOT_HASH, header.ommers_hash)?;
        }
        let withdrawals = header.withdrawals_root.and(body.withdrawals);
        let ommers = body.uncles.is_empty().then(Vec::new);
        Ok(Self {
            chain,
            header,
            hash,
            transactions,
            ommer_hashes: body.uncles,
            ommers,
            withdrawals,
        })
    }

    /// Adds the headers of the ommers after checking them against `sha3Uncles` and `uncles`.
    pub(crate) fn set_ommers(&mut self, ommers: Vec<Header>) -> Result<(), BlockFault> {
        check(
            ".",
            "the ommers hash of the header and these ommers",
            calculate_ommers_root(&ommers),
            self.header.ommers_hash,
        )?;
        if ommers.len() != self.ommer_hashes.len() {
            return Err(BlockFault::invalid(
                ".",
                format!("{} ommers, but the block names {}", ommers.len(), self.ommer_hashes.len()),
            ));
        }
        for (index, (ommer, hash)) in ommers.iter().zip(&self.ommer_hashes).enumerate() {
            check(&format!("[{index}]"), "the ommer's header", ommer.hash_slow(), *hash)?;
        }
        self.ommers = Some(ommers);
        Ok(())
    }

    /// The block as JSON-RPC gives it, with full transactions. The same block always gives the
    /// same bytes.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        #[derive(Serialize)]
        struct Out<'a> {
            hash: B256,
            #[serde(flatten)]
            header: &'a Header,
            uncles: &'a [B256],
            transactions: Vec<RawTransaction>,
            #[serde(skip_serializing_if = "Option::is_none")]
            withdrawals: Option<&'a [Withdrawal]>,
        }

        let transactions = (0..)
            .zip(&self.transactions)
            .map(|(index, signed)| {
                RawTransaction::from_envelope(
                    &signed.envelope,
                    signed.claimed_sender,
                    self.hash,
                    self.header.number,
                    index,
                    self.header.base_fee_per_gas,
                )
            })
            .collect();
        serde_json::to_vec(&Out {
            hash: self.hash,
            header: &self.header,
            uncles: &self.ommer_hashes,
            transactions,
            withdrawals: self.withdrawals.as_deref(),
        })
    }
}

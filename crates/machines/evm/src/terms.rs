use alloy_primitives::{Address, U256};
use revm::{
    context::{BlockEnv, CfgEnv, TransactionType, TxEnv},
    context_interface::{Cfg, Transaction as _},
    primitives::hardfork::SpecId,
};

/// What an ordinary call offers, apart from the state: one of no more than data, value and an
/// access list, which pays its gas as everybody does.
pub(crate) struct Terms {
    pub(crate) to: Address,
    /// What the sender must have, in wei.
    pub(crate) most: U256,
    /// What a unit of gas costs the sender, in wei.
    pub(crate) price: u128,
    /// What of it is the beneficiary's.
    pub(crate) tip: u128,
}

impl Terms {
    /// `None` where the transaction is of another kind, or where revm has to say what is wrong
    /// with it.
    #[inline]
    pub(crate) fn of(cfg: &CfgEnv, block: &BlockEnv, tx: &TxEnv) -> Option<Self> {
        let spec = cfg.spec;
        let is_legacy = tx.tx_type == TransactionType::Legacy as u8;
        let is_2930 = tx.tx_type == TransactionType::Eip2930 as u8 && spec >= SpecId::BERLIN;
        let is_1559 = tx.tx_type == TransactionType::Eip1559 as u8 && spec >= SpecId::LONDON;
        let to = *tx.kind.to()?;
        let is_ordinary = (is_legacy || is_2930 || is_1559)
            && tx.blob_hashes.is_empty()
            && tx.authorization_list.is_empty();
        let is_possible = spec < SpecId::AMSTERDAM
            && (spec < SpecId::MERGE || block.prevrandao.is_some())
            && (spec < SpecId::CANCUN || block.blob_excess_gas_and_price.is_some())
            && (tx.chain_id == Some(cfg.chain_id) || (is_legacy && tx.chain_id.is_none()))
            && tx.gas_limit <= cfg.tx_gas_limit_cap().min(block.gas_limit)
            && tx.nonce < u64::MAX;
        let base_fee = u128::from(block.basefee);
        let priority = tx.gas_priority_fee.unwrap_or_default();
        if !is_ordinary || !is_possible || priority > tx.gas_price || base_fee > tx.gas_price {
            return None;
        }
        let price = tx.effective_gas_price(base_fee);
        let tip = if spec >= SpecId::LONDON { price.checked_sub(base_fee)? } else { price };
        let most = u128::from(tx.gas_limit).checked_mul(tx.gas_price)?;
        let most = U256::from(most).checked_add(tx.value)?;
        (price <= tx.gas_price).then_some(Self { to, most, price, tip })
    }
}

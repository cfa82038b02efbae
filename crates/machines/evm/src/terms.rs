//! What ordinary calls offer, and how they buy their gas.

use crate::{account, account::address};
use alloy_primitives::{Address, U256};
use polity_kernel::{Account, Halt, Host};
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

/// The sender, if it may send the transaction as far as its own account goes.
#[inline]
pub(crate) fn sender(
    tx: &TxEnv,
    terms: &Terms,
    host: &mut dyn Host,
) -> Result<Option<Account>, Halt> {
    let from = host.account(&account(tx.caller))?;
    // Who is not there may send what costs nothing.
    let sender = host.peek(from)?.unwrap_or_default();
    let may = sender.code.is_none() && sender.sequence == tx.nonce && sender.balance >= terms.most;
    Ok(may.then_some(from))
}

/// Takes `amount` from the [`sender`], for gas above all, counts its nonce up, and relies on what
/// allows it. Where the beneficiary, who is touched, does not, nothing is done.
#[inline]
pub(crate) fn buy(
    from: Account,
    tx: &TxEnv,
    terms: &Terms,
    amount: U256,
    host: &mut dyn Host,
) -> Result<bool, Halt> {
    if terms.tip == 0 {
        // The order in which accounts are met is that of the effects, with or without a tip.
        host.account(&account(terms.to))?;
        let beneficiary = account(address(&host.block().beneficiary));
        let beneficiary = host.account(&beneficiary)?;
        if !touch(beneficiary, host)? {
            return Ok(false);
        }
    }
    host.rely_sequence(from)?;
    host.rely_code(from)?;
    host.rely_balance(from, terms.most, U256::MAX)?;
    host.set_sequence(from, tx.nonce.saturating_add(1))?;
    if !host.debit(from, amount)? {
        return Err(Halt::Fault("a balance that was there is not".into()));
    }
    Ok(true)
}

/// Touches an account without a change; tells whether this leaves it as it is, and relies on
/// that whichever way: what is empty goes (EIP-161) or, in earlier forks, comes to be.
fn touch(account: Account, host: &mut dyn Host) -> Result<bool, Halt> {
    host.rely_emptiness(account)?;
    Ok(host.peek(account)?.is_some_and(|record| !record.is_empty()))
}

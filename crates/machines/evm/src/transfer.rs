//! Plain transfers of ether: the most frequent transactions, which run no code.
//!
//! What Ethereum says about them fits a page, so they need no interpreter and no
//! journal of its own; the kernel does all of it. Only what is certain to succeed
//! is done here. Everything else goes to revm, which knows all cases and has the
//! words for what is wrong, and which then relies on what was looked at here.

use crate::{KIND, account, account::address, block::Environment, gateway};
use alloy_primitives::{Address, Bytes, U256};
use polity_kernel::{Halt, Host};
use polity_types::{Meter, Receipt, Resources, Status};
use revm::{
    context::{TransactionType, TxEnv},
    context_interface::{Cfg, Transaction as _},
    primitives::hardfork::SpecId,
};

/// The gas of a transaction without data.
const GAS: u64 = 21_000;

/// What executing one takes, counted in gas of other transactions.
pub(crate) const WORK: u64 = 7_000;

/// Executes a transfer of ether from an account without code to another. `None` where the
/// transaction is anything else or might not succeed; it has then left no trace.
pub(crate) fn transfer(
    environment: &Environment,
    tx: &TxEnv,
    host: &mut dyn Host,
) -> Result<Option<Receipt>, Halt> {
    let Some(Terms { to, most, fee, tip }) = Terms::of(environment, tx) else { return Ok(None) };
    let from = host.account(&account(tx.caller))?;
    let Some(sender) = host.peek(from)? else { return Ok(None) };
    if sender.code.is_some() || sender.sequence != tx.nonce || sender.balance < most {
        return Ok(None);
    }
    let to = host.account(&account(to))?;
    let recipient = host.peek(to)?.unwrap_or_default();
    if recipient.code.is_some() || recipient.balance.checked_add(tx.value).is_none() {
        return Ok(None);
    }
    host.rely_sequence(from)?;
    host.rely_code(from)?;
    host.rely_balance(from, most, U256::MAX)?;
    host.rely_code(to)?;
    host.set_sequence(from, tx.nonce.saturating_add(1))?;
    // Not more than `most`, so that it is there and does not overflow.
    if !host.debit(from, tx.value.saturating_add(U256::from(fee)))? {
        return Err(Halt::Fault("a balance that was there is not".into()));
    }
    host.credit(to, tx.value)?;
    let beneficiary = host.block().beneficiary;
    let beneficiary = host.account(&account(address(&beneficiary)))?;
    host.credit(beneficiary, U256::from(tip))?;
    let burnt = fee.saturating_sub(tip);
    if burnt > 0 {
        host.burn(U256::from(burnt))?;
    }
    host.charge(Meter::Compute, GAS)?;
    Ok(Some(Receipt {
        machine: KIND,
        status: Status::Success,
        gas_used: GAS,
        used: Resources::default(),
        output: Bytes::new(),
        created: None,
    }))
}

/// What a plain transfer is about, apart from the state.
struct Terms {
    to: Address,
    /// What the sender must have.
    most: U256,
    /// What the sender pays for gas.
    fee: u128,
    /// What of it is the beneficiary's.
    tip: u128,
}

impl Terms {
    fn of(environment: &Environment, tx: &TxEnv) -> Option<Self> {
        let Environment { cfg, block, .. } = environment;
        let spec = cfg.spec;
        let is_legacy = tx.tx_type == TransactionType::Legacy as u8;
        let is_1559 = tx.tx_type == TransactionType::Eip1559 as u8 && spec >= SpecId::LONDON;
        let to = *tx.kind.to()?;
        let is_plain = (is_legacy || is_1559)
            && tx.data.is_empty()
            && tx.access_list.0.is_empty()
            && tx.blob_hashes.is_empty()
            && tx.authorization_list.is_empty()
            // Nothing is left that somebody touched and that is empty: the forks before
            // EIP-161 and those after it agree.
            && !tx.value.is_zero()
            // No precompile, and no door of the gateway's.
            && to.first_chunk::<18>() != Some(&[0; 18])
            && !(environment.gateway && gateway::known(to).is_some());
        let is_possible = spec < SpecId::AMSTERDAM
            && (spec < SpecId::MERGE || block.prevrandao.is_some())
            && (spec < SpecId::CANCUN || block.blob_excess_gas_and_price.is_some())
            && (tx.chain_id == Some(cfg.chain_id) || (is_legacy && tx.chain_id.is_none()))
            && (GAS..=cfg.tx_gas_limit_cap().min(block.gas_limit)).contains(&tx.gas_limit)
            && tx.nonce < u64::MAX;
        let base_fee = u128::from(block.basefee);
        let priority = tx.gas_priority_fee.unwrap_or_default();
        if !is_plain || !is_possible || priority > tx.gas_price || base_fee > tx.gas_price {
            return None;
        }
        let price = tx.effective_gas_price(base_fee);
        let tip = if spec >= SpecId::LONDON { price.checked_sub(base_fee)? } else { price };
        let most = u128::from(tx.gas_limit).checked_mul(tx.gas_price)?;
        let most = U256::from(most).checked_add(tx.value)?;
        let (fee, tip) = (price.checked_mul(GAS.into())?, tip.checked_mul(GAS.into())?);
        // The beneficiary is touched too.
        (tip > 0 && price <= tx.gas_price).then_some(Self { to, most, fee, tip })
    }
}

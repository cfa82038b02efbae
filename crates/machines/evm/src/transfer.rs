//! Plain transfers of ether: the most frequent transactions, which run no code.
//!
//! What Ethereum says about them fits a page, so they need no interpreter and no
//! journal of its own; the kernel does all of it. Only what is certain to succeed
//! is done here.

use crate::{
    KIND, account,
    account::address,
    block::Environment,
    gateway,
    terms::{Terms, buy, sender},
};
use alloy_primitives::{Bytes, U256};
use polity_kernel::{Halt, Host};
use polity_types::{Meter, Receipt, Resources, Status};
use revm::context::TxEnv;

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
    if !is_plain(environment, tx) {
        return Ok(None);
    }
    let Some(terms) = Terms::of(&environment.cfg, &environment.block, tx) else { return Ok(None) };
    let Some(from) = sender(tx, &terms, host)? else { return Ok(None) };
    let to = host.account(&account(terms.to))?;
    let recipient = host.peek(to)?.unwrap_or_default();
    if recipient.code.is_some() || recipient.balance.checked_add(tx.value).is_none() {
        return Ok(None);
    }
    let gas = U256::from(GAS);
    // Not more than it must have, so that it does not overflow.
    let spent = tx.value.saturating_add(U256::from(terms.price).saturating_mul(gas));
    if !buy(from, tx, &terms, spent, host)? {
        return Ok(None);
    }
    host.rely_code(to)?;
    host.credit(to, tx.value)?;
    let beneficiary = host.block().beneficiary;
    let beneficiary = host.account(&account(address(&beneficiary)))?;
    host.credit(beneficiary, U256::from(terms.tip).saturating_mul(gas))?;
    let burnt = terms.price.saturating_sub(terms.tip);
    if burnt > 0 {
        host.burn(U256::from(burnt).saturating_mul(gas))?;
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

/// Whether the transaction may be a plain transfer, by what it says.
fn is_plain(environment: &Environment, tx: &TxEnv) -> bool {
    tx.data.is_empty()
        && tx.access_list.0.is_empty()
        // Nobody is left that was touched and is empty: the forks before EIP-161 and those
        // after it agree.
        && !tx.value.is_zero()
        && tx.gas_limit >= GAS
        // No precompile, and no door of the gateway's.
        && tx.kind.to().is_some_and(|to| {
            to.first_chunk::<18>() != Some(&[0; 18])
                && !(environment.gateway && gateway::known(*to).is_some())
        })
}

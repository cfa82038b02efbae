//! How contracts call those of other machines, and what they see of the ledger.
//!
//! | address | what answers there |
//! | --- | --- |
//! | [`GATEWAY`] | [`IPolity`]: calls to other machines, aliases, assets |
//! | the alias of an account | [`IForeign`]: calls to that account |
//! | the alias of an asset | [`IERC20`]: the asset as a token; the native one at [`NATIVE`] |
//!
//! An alias is an account whose code names another ([`polity_kernel::alias`]). It has the
//! balance of that account: `BALANCE` shows it, and ether that is sent there arrives
//! there. Aliases are recorded when they are first used or asked for.
//!
//! Who calls is who executes `CALL`. The doors answer to `CALL` and `STATICCALL` only:
//! by `DELEGATECALL`, a contract would come in the name of who called it.

mod call;
mod token;

pub use call::{IForeign, IPolity, Refused, Stopped};
pub use token::IERC20;

use crate::{database::DatabaseError, executor::Executor};
use alloc::{string::String, vec::Vec};
use alloy_primitives::{Address, B256, Bytes, address as hex_address, b256};
use alloy_sol_types::{SolError, SolInterface};
use polity_kernel::{Halt, Host, LedgerError, alias};
use polity_types::{AccountId, AssetId, MachineKind};
use revm::{
    context_interface::{JournalTr, context::ContextError},
    interpreter::{CallInputs, CallOutcome, CallScheme, Gas, InstructionResult, InterpreterResult},
    primitives::constants::CALL_STACK_LIMIT,
};

/// The gateway's address: "polity".
pub const GATEWAY: Address = hex_address!("0x0000000000000000000000000000706f6c697479");

/// The address of the native asset as a token: the alias of its account in the ledger.
pub const NATIVE: Address = hex_address!("0x88a6b289caf2049435d8e68c5c5e6d05e44913f3");

/// The hashes of the codes of both: contracts' codes are compared to them.
const GATEWAY_CODE: B256 =
    b256!("0x12a8863365fcd4d5b469dc15a6f00ddb60f2c00b81b7b10ddb0a72450c2d1c1e");
const NATIVE_CODE: B256 =
    b256!("0xa7e8d672e352a2ccb5feb260724b109af1cea71f1980d2e02b467e736d118a7d");

/// What the gateway stands for: the kernel itself.
const KERNEL: AccountId = AccountId::new(MachineKind::KERNEL, B256::with_last_byte(1));

/// What an address stands for that is an alias in every state.
pub(crate) fn known(address: Address) -> Option<AccountId> {
    match address {
        GATEWAY => Some(KERNEL),
        NATIVE => Some(AssetId::NATIVE.account()),
        _ => None,
    }
}

/// The code with this hash, if it is that of an address that is an alias in every state.
pub(crate) fn known_code(hash: &B256) -> Option<Bytes> {
    match *hash {
        GATEWAY_CODE => code_at(GATEWAY),
        NATIVE_CODE => code_at(NATIVE),
        _ => None,
    }
}

/// The code that contracts see at an address that is an alias in every state.
pub fn code_at(address: Address) -> Option<Bytes> {
    known(address).map(|account| alias::code(&account).1)
}

/// How a door is asked.
struct Visit<'a> {
    /// Who asks, in Ethereum's words.
    caller: Address,
    /// The address that was called.
    door: Address,
    input: &'a [u8],
    value: alloy_primitives::U256,
    read_only: bool,
    gas: Gas,
}

impl Visit<'_> {
    /// Uses gas, or ends the visit.
    fn spend(&mut self, gas: u64) -> Result<(), Answer> {
        if self.gas.record_regular_cost(gas) { Ok(()) } else { Err(Answer::OutOfGas) }
    }

    /// Ends the visit where nothing may change.
    fn changes(&self) -> Result<(), Answer> {
        if self.read_only { Err(refused("ReadOnly")) } else { Ok(()) }
    }

    /// Ends the visit of who brings ether to where it would be lost.
    fn no_value(&self) -> Result<(), Answer> {
        if self.value.is_zero() { Ok(()) } else { Err(refused("NotPayable")) }
    }
}

/// How a visit ends that does not come to its end.
enum Answer {
    /// It reverts, with this output.
    Revert(Bytes),
    OutOfGas,
    Halt(Halt),
}

impl From<Halt> for Answer {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

impl From<LedgerError> for Answer {
    fn from(error: LedgerError) -> Self {
        refused(match error {
            LedgerError::UnknownAsset => "UnknownAsset",
            LedgerError::AlreadyIssued => "AlreadyIssued",
            LedgerError::UnknownAccount => "UnknownAccount",
            LedgerError::NameTooLong => "NameTooLong",
            LedgerError::InsufficientBalance => "InsufficientBalance",
            LedgerError::InsufficientAllowance => "InsufficientAllowance",
            LedgerError::NotMintable => "NotMintable",
        })
    }
}

/// Reverts with [`Refused`].
fn refused(reason: &str) -> Answer {
    Answer::Revert(Refused { reason: String::from(reason) }.abi_encode().into())
}

/// Decodes what a door is asked.
fn decode<I: SolInterface>(input: &[u8]) -> Result<I, Answer> {
    I::abi_decode(input).map_err(|_| refused("UnknownFunction"))
}

/// Answers a call to a door; `None` where the callee is none.
pub(crate) fn intercept(
    executor: &mut Executor<'_>,
    inputs: &CallInputs,
    depth: usize,
) -> Result<Option<CallOutcome>, ContextError<DatabaseError>> {
    let journal = &mut executor.context().journaled_state;
    // revm knows the frames of this entry alone.
    if journal.session.is_nested() {
        let target = crate::account(inputs.target_address);
        if journal.database.host.is_locked(&target) {
            return Ok(Some(outcome(
                inputs,
                Gas::new(inputs.gas_limit),
                Err(refused("Reentrant")),
            )?));
        }
    }
    let Some(target) = alias::target(inputs.known_bytecode.1.original_byte_slice()) else {
        return Ok(None);
    };
    let gas = Gas::new(inputs.gas_limit);
    let is_call = matches!(inputs.scheme, CallScheme::Call | CallScheme::StaticCall);
    if depth > CALL_STACK_LIMIT as usize {
        return Ok(Some(outcome(inputs, gas, Err(refused("CallDepth")))?));
    }
    // An account may have delegated to a door's code (EIP-7702), and is no door.
    let door = if target == KERNEL { GATEWAY } else { crate::address(&target) };
    if !is_call || inputs.target_address != door {
        return Ok(Some(outcome(inputs, gas, Err(refused("DelegateCall")))?));
    }
    let input = inputs.input.bytes(executor.context());
    let mut visit = Visit {
        caller: inputs.caller,
        door: inputs.target_address,
        input: &input,
        value: inputs.value.get(),
        read_only: inputs.is_static,
        gas,
    };
    let checkpoint = executor.context().journaled_state.checkpoint();
    let answer = match AssetId::of(&target) {
        None => call::foreign(executor, &mut visit, target),
        Some(_) if target == KERNEL => call::gateway(executor, &mut visit),
        Some(asset) => token::token(executor, &mut visit, asset),
    };
    let journal = &mut executor.context().journaled_state;
    match &answer {
        Ok(_) => journal.checkpoint_commit(),
        Err(_) => journal.checkpoint_revert(checkpoint),
    }
    Ok(Some(outcome(inputs, visit.gas, answer)?))
}

fn outcome(
    inputs: &CallInputs,
    mut gas: Gas,
    answer: Result<Vec<u8>, Answer>,
) -> Result<CallOutcome, ContextError<DatabaseError>> {
    let (result, output) = match answer {
        Ok(output) => (InstructionResult::Return, output.into()),
        Err(Answer::Revert(output)) => (InstructionResult::Revert, output),
        Err(Answer::OutOfGas) => {
            gas.spend_all();
            (InstructionResult::PrecompileOOG, Bytes::new())
        }
        Err(Answer::Halt(halt)) => return Err(ContextError::Db(DatabaseError(halt))),
    };
    Ok(CallOutcome {
        result: InterpreterResult { result, output, gas },
        memory_offset: inputs.return_memory_offset.clone(),
        was_precompile_called: true,
        precompile_call_logs: Vec::new(),
        charged_new_account_state_gas: inputs.charged_new_account_state_gas,
    })
}

/// Which account an address stands for: another machine's where it is an alias.
fn account_of(host: &mut dyn Host, address: Address) -> Result<AccountId, Halt> {
    let account = crate::account(address);
    let handle = host.account(&account)?;
    Ok(host.aliased(handle)?.unwrap_or(account))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_native_asset_is_where_its_alias_is() {
        assert_eq!(crate::address(&AssetId::NATIVE.account()), NATIVE);
        for (known, hash) in [(GATEWAY, GATEWAY_CODE), (NATIVE, NATIVE_CODE)] {
            let code = code_at(known).unwrap();
            assert_eq!(alias::hash(&code), hash);
            assert_eq!(known_code(&alias::hash(&code)), Some(code));
        }
    }
}

//! Calls to contracts of other machines.

use super::{Answer, Visit, account_of, decode, refused};
use crate::{executor::Executor, session::EvmSession};
use alloc::{string::String, vec::Vec};
use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::{SolCall, SolError, SolValue, sol};
use polity_kernel::{Call, Outcome};
use polity_types::{AccountId, AssetId, AssetInfo, MachineKind, Resources, Status};

sol! {
    /// A door refuses what it is asked.
    #[derive(Debug, PartialEq, Eq)]
    error Refused(string reason);

    /// The callee was stopped by its machine. A callee that reverts by itself says why in
    /// its own words, which are passed on as they are.
    #[derive(Debug, PartialEq, Eq)]
    error Stopped(string reason);

    /// What the gateway is asked. An account is a machine's byte and 32 bytes of address.
    interface IPolity {
        /// Calls an account of another machine in the name of the contract that asks.
        /// What comes along as ether goes to the account.
        function call(uint8 machine, bytes32 account, bytes input) external payable returns (bytes output);
        /// The same, and the callee may act in the name of the contract that asks: sign for
        /// it, and spend what it has.
        function delegate(uint8 machine, bytes32 account, bytes input) external payable returns (bytes output);
        /// The same as `call`, and nothing may change.
        function query(uint8 machine, bytes32 account, bytes input) external view returns (bytes output);
        /// What an account of another machine is called here; recorded, so that it resolves.
        function aliasOf(uint8 machine, bytes32 account) external returns (address);
        /// What an address stands for.
        function accountOf(address name) external view returns (uint8 machine, bytes32 account);
        /// Forbids, until `unlock` or until the call from another machine or the transaction
        /// ends in which it was asked, that other machines call the contract that asks.
        function lock() external;
        function unlock() external;

        /// Issues an asset in the ledger, which the contract that asks may mint.
        function issue(bytes32 salt, uint8 decimals, string symbol, string name) external returns (bytes32 asset, address token);
        /// Mints an asset that the contract that asks issued.
        function mint(bytes32 asset, uint8 machine, bytes32 to, uint256 amount) external;
        /// Destroys what the contract that asks holds.
        function burn(bytes32 asset, uint256 amount) external;
        /// Sends what the contract that asks holds to an account of any machine.
        function send(bytes32 asset, uint8 machine, bytes32 to, uint256 amount) external;
        /// The address of an asset as an ERC-20 token.
        function tokenOf(bytes32 asset) external returns (address);
        /// Gives an account what was sent to its alias before that was recorded.
        function collect(bytes32 asset, address name) external;
    }

    /// What the alias of another machine's account is asked.
    interface IForeign {
        function invoke(bytes input) external payable returns (bytes output);
        function invokeDelegated(bytes input) external payable returns (bytes output);
        function query(bytes input) external view returns (bytes output);
    }
}

/// Gas of a word that is handed over, there or back.
const WORD: u64 = 3;
/// Gas of a call beside what the callee's machine asks for: as much as for an account that is cold.
const CALL: u64 = 2_600;
/// Gas of recording an alias: as much as for a new contract with its code.
const ALIAS: u64 = 32_000;
/// Gas of a cell of the ledger that is looked at, and of one that is changed.
pub(super) const LOOK: u64 = 2_100;
pub(super) const CHANGE: u64 = 5_000;

/// How another machine is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Plain,
    Delegated,
    ReadOnly,
}

/// The gateway answers.
pub(super) fn gateway(
    executor: &mut Executor<'_>,
    visit: &mut Visit<'_>,
) -> Result<Vec<u8>, Answer> {
    use IPolity::IPolityCalls as Asked;
    let asked: Asked = decode(visit.input)?;
    if !matches!(asked, Asked::call(_) | Asked::delegate(_)) {
        visit.no_value()?;
    }
    let id = |machine: u8, address: B256| AccountId::new(MachineKind::new(machine), address);
    match asked {
        Asked::call(IPolity::callCall { machine, account, input }) => {
            let output = cross(executor, visit, id(machine, account), input, Manner::Plain)?;
            Ok(IPolity::callCall::abi_encode_returns(&output))
        }
        Asked::delegate(IPolity::delegateCall { machine, account, input }) => {
            let output = cross(executor, visit, id(machine, account), input, Manner::Delegated)?;
            Ok(IPolity::delegateCall::abi_encode_returns(&output))
        }
        Asked::query(IPolity::queryCall { machine, account, input }) => {
            let output = cross(executor, visit, id(machine, account), input, Manner::ReadOnly)?;
            Ok(IPolity::queryCall::abi_encode_returns(&output))
        }
        Asked::aliasOf(IPolity::aliasOfCall { machine, account }) => {
            let name = alias(executor, visit, id(machine, account))?;
            Ok(name.abi_encode())
        }
        Asked::accountOf(IPolity::accountOfCall { name }) => {
            visit.spend(LOOK)?;
            let host = executor.host();
            let account = account_of(host, name)?;
            let AccountId { machine, address } = account;
            let account = IPolity::accountOfReturn { machine: machine.byte(), account: address };
            Ok(IPolity::accountOfCall::abi_encode_returns(&account))
        }
        Asked::lock(_) | Asked::unlock(_) => {
            visit.changes()?;
            visit.spend(LOOK)?;
            let caller = crate::account(visit.caller);
            executor.host().lock(&caller, matches!(asked, Asked::lock(_)));
            Ok(Vec::new())
        }
        Asked::issue(issue) => {
            let IPolity::issueCall { salt, decimals, symbol, name } = issue;
            visit.changes()?;
            visit.spend(CHANGE.saturating_mul(4))?;
            let issuer = crate::account(visit.caller);
            let info = AssetInfo { issuer, decimals, symbol, name };
            let asset = executor.leave(|host| host.issue(&info, &salt))??;
            let token = alias(executor, visit, asset.account())?;
            let issued = IPolity::issueReturn { asset: asset.0, token };
            Ok(IPolity::issueCall::abi_encode_returns(&issued))
        }
        Asked::mint(IPolity::mintCall { asset, machine, to, amount }) => {
            visit.changes()?;
            visit.spend(LOOK.saturating_add(CHANGE.saturating_mul(2)))?;
            let (asset, to) = (AssetId(asset), id(machine, to));
            let caller = crate::account(visit.caller);
            let info = executor.host().asset(asset)?;
            if info.is_none_or(|info| info.issuer != caller) {
                return Err(refused("NotIssuer"));
            }
            executor.leave(|host| host.mint_asset(asset, &to, amount))??;
            Ok(Vec::new())
        }
        Asked::burn(IPolity::burnCall { asset, amount }) => {
            visit.changes()?;
            visit.spend(CHANGE.saturating_mul(2))?;
            let holder = holder(executor, visit)?;
            executor.leave(|host| host.burn_asset(AssetId(asset), &holder, amount))??;
            Ok(Vec::new())
        }
        Asked::send(IPolity::sendCall { asset, machine, to, amount }) => {
            visit.changes()?;
            visit.spend(CHANGE.saturating_mul(2))?;
            let (holder, to) = (holder(executor, visit)?, id(machine, to));
            executor.leave(|host| host.transfer(AssetId(asset), &holder, &to, amount))??;
            Ok(Vec::new())
        }
        Asked::tokenOf(IPolity::tokenOfCall { asset }) => {
            visit.spend(LOOK)?;
            let asset = AssetId(asset);
            if asset != AssetId::NATIVE && executor.host().asset(asset)?.is_none() {
                return Err(refused("UnknownAsset"));
            }
            let token = alias(executor, visit, asset.account())?;
            Ok(token.abi_encode())
        }
        Asked::collect(IPolity::collectCall { asset, name }) => {
            visit.changes()?;
            visit.spend(CHANGE.saturating_mul(2))?;
            let (asset, from) = (AssetId(asset), crate::account(name));
            let host = executor.host();
            let to = account_of(host, name)?;
            if to != from {
                let amount = host.holding(asset, &from)?;
                executor.leave(|host| host.transfer(asset, &from, &to, amount))??;
            }
            Ok(Vec::new())
        }
    }
}

/// Whose holdings who asks may spend: its own, or, where it is the alias of another
/// machine's account, those of that account if it allows it.
pub(super) fn holder(executor: &mut Executor<'_>, visit: &Visit<'_>) -> Result<AccountId, Answer> {
    let host = executor.host();
    let holder = account_of(host, visit.caller)?;
    if host.may_spend(&holder) { Ok(holder) } else { Err(refused("NotDelegated")) }
}

/// The alias of another machine's account answers.
pub(super) fn foreign(
    executor: &mut Executor<'_>,
    visit: &mut Visit<'_>,
    target: AccountId,
) -> Result<Vec<u8>, Answer> {
    use IForeign::IForeignCalls as Asked;
    // Ether alone is for who it is sent to, and where there is no code, nobody is asked: that
    // costs no more than between Ethereum's own accounts.
    if visit.input.is_empty() {
        let host = executor.host();
        let account = host.account(&target)?;
        if host.code(account)?.is_some() {
            return cross(executor, visit, target, Bytes::new(), Manner::Plain).map(|_| Vec::new());
        }
        if !visit.value.is_zero() {
            visit.changes()?;
            let (from, value) = (crate::account(visit.caller), visit.value);
            executor.leave(|host| host.transfer(AssetId::NATIVE, &from, &target, value))??;
        }
        return Ok(Vec::new());
    }
    let (input, manner) = match decode(visit.input)? {
        Asked::invoke(IForeign::invokeCall { input }) => (input, Manner::Plain),
        Asked::invokeDelegated(IForeign::invokeDelegatedCall { input }) => {
            (input, Manner::Delegated)
        }
        Asked::query(IForeign::queryCall { input }) => {
            visit.no_value()?;
            (input, Manner::ReadOnly)
        }
    };
    let output = cross(executor, visit, target, input, manner)?;
    Ok(IForeign::invokeCall::abi_encode_returns(&output))
}

/// What another machine's account or an asset is called here. Recording it is paid for.
fn alias(
    executor: &mut Executor<'_>,
    visit: &mut Visit<'_>,
    target: AccountId,
) -> Result<Address, Answer> {
    let name = crate::address(&target);
    visit.spend(LOOK)?;
    if target.machine != MachineKind::KERNEL && !executor.host().is_account(&target) {
        return Err(refused("UnknownAccount"));
    }
    if target.machine == crate::KIND || account_of(executor.host(), name)? == target {
        return Ok(name);
    }
    visit.changes()?;
    visit.spend(ALIAS)?;
    executor.leave(|host| {
        let mut session = EvmSession::take(host);
        let named = session.name(host, &target);
        session.put_back(host);
        named
    })?;
    Ok(name)
}

/// Calls an account of another machine.
fn cross(
    executor: &mut Executor<'_>,
    visit: &mut Visit<'_>,
    target: AccountId,
    input: Bytes,
    manner: Manner,
) -> Result<Bytes, Answer> {
    if target.machine == crate::KIND || target.machine == MachineKind::KERNEL {
        return Err(refused("NotForeign"));
    }
    if !visit.value.is_zero() {
        visit.changes()?;
    }
    visit.spend(CALL.saturating_add(words(&input)))?;
    let caller = crate::account(visit.caller);
    let call = Call {
        caller,
        target,
        value: visit.value,
        payer: caller,
        input,
        limit: Resources { compute: visit.gas.remaining(), ..Resources::UNLIMITED },
        read_only: visit.read_only || manner == Manner::ReadOnly,
        delegate: manner == Manner::Delegated,
    };
    let before = executor.abroad();
    let (Outcome { status, output }, spent) = executor.leave(|host| {
        let left = host.left();
        let outcome = host.call(call)?;
        Ok((outcome, left.left(&host.left()).compute))
    })?;
    executor.set_abroad(before.saturating_add(spent));
    visit.spend(spent)?;
    match status {
        Status::Success => {
            visit.spend(words(&output))?;
            Ok(output)
        }
        Status::Reverted => Err(Answer::Revert(output)),
        Status::Failed(reason) => Err(stopped(reason)),
    }
}

fn stopped(reason: String) -> Answer {
    Answer::Revert(Stopped { reason }.abi_encode().into())
}

fn words(bytes: &[u8]) -> u64 {
    WORD.saturating_mul(bytes.len().div_ceil(32) as u64)
}

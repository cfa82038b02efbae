//! The ledger's assets as ERC-20 tokens.
//!
//! A token's balance is what an account holds in the ledger, on whatever machine it
//! is; that of an alias is that of the account it stands for. Transfers that other
//! machines make are in the ledger, and not in the token's logs.

use super::{
    Answer, Visit, account_of,
    call::{CHANGE, LOOK, holder},
    decode, refused,
};
use crate::executor::Executor;
use alloc::{string::String, vec::Vec};
use alloy_primitives::{Address, Log, U256};
use alloy_sol_types::{SolCall, SolEvent, SolValue, sol};
use polity_kernel::Host;
use polity_types::{AssetId, AssetInfo};
use revm::context_interface::JournalTr;

sol! {
    /// A token ([ERC-20](https://eips.ethereum.org/EIPS/eip-20)).
    interface IERC20 {
        event Transfer(address indexed from, address indexed to, uint256 value);
        event Approval(address indexed owner, address indexed spender, uint256 value);

        function name() external view returns (string);
        function symbol() external view returns (string);
        function decimals() external view returns (uint8);
        function totalSupply() external view returns (uint256);
        function balanceOf(address owner) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function transfer(address to, uint256 value) external returns (bool);
        function approve(address spender, uint256 value) external returns (bool);
        function transferFrom(address from, address to, uint256 value) external returns (bool);
    }
}

/// An asset answers as a token.
pub(super) fn token(
    executor: &mut Executor<'_>,
    visit: &mut Visit<'_>,
    asset: AssetId,
) -> Result<Vec<u8>, Answer> {
    use IERC20::IERC20Calls as Asked;
    visit.no_value()?;
    let asked: Asked = decode(visit.input)?;
    visit.spend(LOOK)?;
    match asked {
        Asked::name(_) => Ok(about(executor.host(), asset)?.name.abi_encode()),
        Asked::symbol(_) => Ok(about(executor.host(), asset)?.symbol.abi_encode()),
        Asked::decimals(_) => {
            let decimals = about(executor.host(), asset)?.decimals;
            Ok(IERC20::decimalsCall::abi_encode_returns(&decimals))
        }
        Asked::totalSupply(_) => Ok(executor.host().supply(asset)?.abi_encode()),
        Asked::balanceOf(IERC20::balanceOfCall { owner }) => {
            let held = held(executor, visit, asset, owner)?;
            Ok(held.abi_encode())
        }
        Asked::allowance(IERC20::allowanceCall { owner, spender }) => {
            visit.spend(LOOK.saturating_mul(2))?;
            let host = executor.host();
            let (owner, spender) = (account_of(host, owner)?, account_of(host, spender)?);
            Ok(host.allowance(asset, &owner, &spender)?.abi_encode())
        }
        Asked::transfer(IERC20::transferCall { to, value }) => {
            visit.changes()?;
            visit.spend(LOOK.saturating_add(CHANGE.saturating_mul(2)))?;
            let from = holder(executor, visit)?;
            let receiver = account_of(executor.host(), to)?;
            executor.leave(|host| host.transfer(asset, &from, &receiver, value))??;
            log(executor, visit, &IERC20::Transfer { from: visit.caller, to, value });
            Ok(true.abi_encode())
        }
        Asked::approve(IERC20::approveCall { spender, value }) => {
            visit.changes()?;
            visit.spend(LOOK.saturating_add(CHANGE))?;
            let owner = holder(executor, visit)?;
            let other = account_of(executor.host(), spender)?;
            executor.leave(|host| host.approve(asset, &owner, &other, value))??;
            log(executor, visit, &IERC20::Approval { owner: visit.caller, spender, value });
            Ok(true.abi_encode())
        }
        Asked::transferFrom(IERC20::transferFromCall { from, to, value }) => {
            visit.changes()?;
            visit.spend(LOOK.saturating_mul(2).saturating_add(CHANGE.saturating_mul(3)))?;
            let spender = holder(executor, visit)?;
            let host = executor.host();
            let (owner, receiver) = (account_of(host, from)?, account_of(host, to)?);
            executor
                .leave(|host| host.transfer_from(asset, &spender, &owner, &receiver, value))??;
            log(executor, visit, &IERC20::Transfer { from, to, value });
            Ok(true.abi_encode())
        }
    }
}

/// What an address holds. What is native is known to the session, where it may have
/// changed since the kernel was told.
fn held(
    executor: &mut Executor<'_>,
    visit: &mut Visit<'_>,
    asset: AssetId,
    owner: Address,
) -> Result<U256, Answer> {
    visit.spend(LOOK)?;
    let holder = account_of(executor.host(), owner)?;
    if asset != AssetId::NATIVE {
        return Ok(executor.host().holding(asset, &holder)?);
    }
    if visit.read_only {
        return Ok(executor.balance(owner)?);
    }
    Ok(executor.leave(|host| host.holding(asset, &holder))?)
}

fn about(host: &mut dyn Host, asset: AssetId) -> Result<AssetInfo, Answer> {
    if asset == AssetId::NATIVE {
        return Ok(AssetInfo {
            issuer: asset.account(),
            decimals: 18,
            symbol: String::from("NATIVE"),
            name: String::from("Native asset"),
        });
    }
    host.asset(asset)?.ok_or_else(|| refused("UnknownAsset"))
}

fn log(executor: &mut Executor<'_>, visit: &Visit<'_>, event: &impl SolEvent) {
    let data = event.encode_log_data();
    executor.context().journaled_state.log(Log { address: visit.door, data });
}

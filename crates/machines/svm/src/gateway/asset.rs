//! Names for foreign accounts and assets, and leave for foreign accounts to spend.

use super::{Door, GatewayError, Passed, Stop, entries::settled, take};
use crate::{KIND, alias::alias, load::Nature};
use polity_types::{AccountId, AssetId, B256, MachineKind, U256};
use solana_instruction::error::InstructionError;
use solana_program_runtime::invoke_context::InvokeContext;
use solana_pubkey::Pubkey;

/// Compute units of such an instruction.
const UNITS: u64 = 1_000;

impl Door<'_> {
    /// Writes down what an alias stands for: `machine ‖ address (32)`. Accounts: the alias,
    /// writable. Programs see it from the next transaction or call on.
    pub(super) fn register(
        &mut self,
        mut data: &[u8],
        accounts: &[Passed],
        invoke: &mut InvokeContext<'_, '_>,
    ) -> Result<(), Stop> {
        consume(invoke, UNITS)?;
        let target = account(&mut data)?;
        let address = *accounts.first().ok_or(InstructionError::MissingAccount)?;
        if target.machine == KIND || address.key != alias(&target) || !address.writable {
            return Err(GatewayError::BadAlias.into());
        }
        if let Some(asset) = AssetId::of(&target) {
            let info = self.host.asset(asset)?.ok_or(GatewayError::UnknownAsset)?;
            // What was issued by a mint is shown by that mint.
            if info.issuer.machine == KIND && info.issuer != crate::account(&super::ID) {
                return Err(GatewayError::BadAlias.into());
            }
        }
        // What it holds by now is written down before it is the other's.
        self.flush(invoke)?;
        let handle = self.host.account(&crate::account(&address.key))?;
        if self.host.aliased(handle)?.is_some() {
            return Ok(());
        }
        self.change()?.alias(handle, &target)?;
        if let Some(loaded) = self.setting.loaded.get(usize::from(address.index)) {
            let nature = match target.machine {
                MachineKind::KERNEL => Nature::Shown(handle),
                _ => Nature::Alias(self.host.account(&target)?, target),
            };
            loaded.becomes(nature);
        }
        Ok(())
    }

    /// Lets a foreign account spend of what the signer holds: `asset (32) ‖ machine ‖
    /// spender (32) ‖ amount (16)`, the largest amount for any. Accounts: who signs.
    pub(super) fn allow(
        &mut self,
        mut data: &[u8],
        accounts: &[Passed],
        invoke: &mut InvokeContext<'_, '_>,
    ) -> Result<(), Stop> {
        consume(invoke, UNITS)?;
        let asset = AssetId(B256::new(take(&mut data)?));
        let spender = account(&mut data)?;
        let amount = match u128::from_le_bytes(take(&mut data)?) {
            u128::MAX => U256::MAX,
            amount => U256::from(amount),
        };
        let owner = self.signer(accounts, 0)?;
        let host = self.change()?;
        settled(host.approve(asset, &owner, &spender, amount)?)
    }

    /// Sends what the signer holds to an account of any machine: `asset (32) ‖ machine ‖
    /// recipient (32) ‖ amount (16)`. Accounts: who signs, then token accounts in which that
    /// shows (writable). Lamports are sent by the system program.
    pub(super) fn send(
        &mut self,
        mut data: &[u8],
        accounts: &[Passed],
        invoke: &mut InvokeContext<'_, '_>,
    ) -> Result<(), Stop> {
        consume(invoke, UNITS)?;
        let asset = AssetId(B256::new(take(&mut data)?));
        let recipient = account(&mut data)?;
        let recipient = self.canonical(&recipient)?;
        let amount = U256::from(u128::from_le_bytes(take(&mut data)?));
        if asset == AssetId::NATIVE {
            return Err(GatewayError::UnknownAsset.into());
        }
        let holder = self.signer(accounts, 0)?;
        let host = self.change()?;
        settled(host.transfer(asset, &holder, &recipient, amount)?)?;
        self.settle(accounts, invoke)
    }

    /// The account that holds what is meant for this one.
    pub(super) fn canonical(&mut self, account: &AccountId) -> Result<AccountId, Stop> {
        match is_own(account) {
            Some(address) => Ok(self.wallet(&address)?.holder),
            None => Ok(*account),
        }
    }

    /// The account of who signs, which the run may spend from.
    pub(super) fn signer(&mut self, accounts: &[Passed], place: usize) -> Result<AccountId, Stop> {
        let signer = accounts.get(place).ok_or(InstructionError::MissingAccount)?;
        if !signer.signer {
            return Err(InstructionError::MissingRequiredSignature.into());
        }
        let holder = self.wallet(&signer.key)?.holder;
        self.may_spend(&holder)?;
        Ok(holder)
    }
}

/// Takes an account from the front: its machine, and its address.
pub(super) fn account(data: &mut &[u8]) -> Result<AccountId, InstructionError> {
    let [machine] = take(data)?;
    Ok(AccountId::new(MachineKind::new(machine), B256::new(take(data)?)))
}

/// Uses compute units.
pub(super) fn consume(invoke: &InvokeContext<'_, '_>, units: u64) -> Result<(), InstructionError> {
    let consumed = invoke.compute_meter.consume_checked(units);
    consumed.map_err(|_| InstructionError::ComputationalBudgetExceeded)
}

/// The account of a wallet's own name, or what it is an alias of.
pub(super) fn is_own(address: &AccountId) -> Option<Pubkey> {
    (address.machine == KIND).then(|| crate::address(address))
}

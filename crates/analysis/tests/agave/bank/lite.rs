//! litesvm as a third opinion. It is made to follow agave's accounts after each transaction, so that
//! only what it says is compared.

use super::agave::Done;
use litesvm::{LiteSVM, types::TransactionMetadata};
use polity_kernel::BlockContext;
use polity_svm::{SYSVARS, sysvar_account};
use solana_account::{Account, AccountSharedData};
use solana_pubkey::Pubkey;
use solana_sdk_ids::{
    bpf_loader, bpf_loader_deprecated, bpf_loader_upgradeable, loader_v4, native_loader, sysvar,
};
use solana_transaction::versioned::VersionedTransaction;

pub(crate) struct Lite {
    theirs: LiteSVM,
    pub(crate) compared: usize,
}

impl Lite {
    pub(crate) fn new() -> Self {
        let theirs = LiteSVM::default()
            .with_mainnet_features()
            .with_builtins()
            .with_lamports(1_000_000_000)
            .with_sysvars()
            .with_sigverify(true)
            .with_transaction_history(0)
            .with_blockhash_check(false);
        Self { theirs, compared: 0 }
    }

    /// Goes to a block.
    pub(crate) fn enter(&mut self, block: &BlockContext) {
        for id in SYSVARS {
            let account = sysvar_account(block, &id).unwrap().unwrap();
            self.theirs.set_account(id, account.into()).unwrap();
        }
    }

    /// Takes accounts over.
    pub(crate) fn follow<'a>(
        &mut self,
        accounts: impl Iterator<Item = (Pubkey, Option<&'a AccountSharedData>)>,
    ) {
        for (key, account) in accounts {
            let account = account.map(|account| Account::from(account.clone())).unwrap_or_default();
            let now = self.theirs.get_account(&key).unwrap_or_default();
            let made = [sysvar::ID, native_loader::ID].contains(&account.owner);
            if now != account && !made {
                // Of programs that cannot be verified it wants to know nothing.
                let _ = self.theirs.set_account(key, account);
            }
        }
    }

    /// Compares, but for what it is known to do in another way than agave:
    ///
    /// - it says nothing of transactions that only pay a fee;
    /// - it takes every blockhash, and so never rolls a durable nonce forward;
    /// - a program that was deployed, upgraded or closed in a slot is there at once;
    /// - it asks programs to be marked executable, and knows nothing of the last loader: the call of
    ///   a buffer, or of what belongs to that loader, ends before anything is executed.
    pub(crate) fn compare(&mut self, transaction: &VersionedTransaction, expected: &Done) {
        let keys = transaction.message.static_account_keys();
        let loads = |key: &Pubkey| {
            if bpf_loader_upgradeable::check_id(key) {
                return true;
            }
            let Some(account) = self.theirs.get_account(key) else { return false };
            let loaders = [
                bpf_loader::ID,
                bpf_loader_deprecated::ID,
                bpf_loader_upgradeable::ID,
                loader_v4::ID,
            ];
            let changed = account.owner == bpf_loader_upgradeable::ID && self.changed(key);
            loaders.contains(&account.owner) && (!account.executable || changed)
        };
        let nonces = keys.contains(&sysvar::recent_blockhashes::ID);
        if expected.fee_only || nonces || expected.accounts.iter().any(loads) {
            return;
        }
        let (error, meta) = match self.theirs.send_transaction(transaction.clone()) {
            Ok(meta) => (None, meta),
            Err(failed) => (Some(failed.err), failed.meta),
        };
        assert_eq!(error, expected.error, "{:#?}", meta.logs);
        same(&meta, expected);
        self.compared += 1;
    }

    /// Whether a program is not the one of the first slot any more.
    fn changed(&self, program: &Pubkey) -> bool {
        let (programdata, _) =
            Pubkey::find_program_address(&[program.as_ref()], &bpf_loader_upgradeable::ID);
        let account = self.theirs.get_account(&programdata).unwrap_or_default();
        account.data.get(4..12).is_none_or(|slot| slot > 100_u64.to_le_bytes().as_slice())
            || account.data.get(5..12).is_some_and(|rest| rest.iter().any(|byte| *byte != 0))
    }
}

fn same(meta: &TransactionMetadata, expected: &Done) {
    assert_eq!(meta.logs, expected.logs);
    assert_eq!(meta.compute_units_consumed, expected.units, "{:#?}", meta.logs);
    assert_eq!(meta.fee, expected.fee);
    let returned = expected.returned.clone().unwrap_or_default();
    if !returned.1.is_empty() || !meta.return_data.data.is_empty() {
        let theirs = (meta.return_data.program_id.to_bytes(), meta.return_data.data.clone());
        assert_eq!(theirs, returned);
    }
    let theirs: Vec<Vec<_>> = meta
        .inner_instructions
        .iter()
        .map(|all| {
            let parts = |inner: &solana_message::inner_instruction::InnerInstruction| {
                let i = &inner.instruction;
                (i.program_id_index, i.accounts.clone(), i.data.clone(), inner.stack_height)
            };
            all.iter().map(parts).collect()
        })
        .collect();
    assert_eq!(theirs, expected.inner);
}

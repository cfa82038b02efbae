use crate::block::{Environment, LAMPORTS_PER_SIGNATURE};
use solana_account::AccountSharedData;
use solana_message::SanitizedMessage;
use solana_nonce::{state::State, versions::Versions};
use solana_nonce_account::{SystemAccountKind, get_system_account_kind, verify_nonce_account};

/// The account of a durable nonce as the transaction that uses it leaves it, even
/// where it fails; `None` where it is of no use to this transaction.
pub(crate) fn advanced(
    account: &AccountSharedData,
    message: &SanitizedMessage,
    environment: &Environment,
) -> Option<AccountSharedData> {
    if get_system_account_kind(account) != Some(SystemAccountKind::Nonce) {
        return None;
    }
    let data = verify_nonce_account(account, message.recent_blockhash())?;
    let is_signed = message.get_ix_signers(0).any(|signer| signer == &data.authority);
    if !is_signed || data.durable_nonce == environment.next_nonce {
        return None;
    }
    let next =
        State::new_initialized(&data.authority, environment.next_nonce, LAMPORTS_PER_SIGNATURE);
    let mut account = account.clone();
    account.set_data_from_slice(&wincode::serialize(&Versions::new(next)).ok()?);
    Some(account)
}

//! The crate for authors of programs writes the instructions that the gateway reads.
#![allow(clippy::unwrap_used, missing_docs, reason = "a panic is how a test fails")]

#[allow(
    unused_attributes,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    reason = "a crate of its own"
)]
#[path = "../../../../examples/interop/solana/src/lib.rs"]
mod polity_gateway;

use polity_gateway::{Account, Call, error};
use polity_svm::gateway::{self, GatewayError, Invocation, Tokens, custody, vault};
use polity_types::{AccountId, AssetId, B256, MachineKind};
use sha2::{Digest, Sha256};
use solana_pubkey::Pubkey;

fn id(account: Account) -> AccountId {
    AccountId::new(MachineKind::new(account.machine), B256::new(account.address))
}

const KEY: Pubkey = Pubkey::new_from_array([7; 32]);
const CONTRACT: Account = Account::ethereum(&[9; 20]);

#[test]
fn addresses_are_the_same() {
    assert_eq!(polity_gateway::GATEWAY, gateway::ID.to_bytes());
    let derived = |seed: &[u8]| Pubkey::find_program_address(&[seed], &gateway::ID).0;
    assert_eq!(derived(polity_gateway::VAULT_SEED), vault());
    assert_eq!(derived(polity_gateway::CUSTODY_SEED), custody());
    let asset = AssetId::issued(&id(CONTRACT), &B256::repeat_byte(3));
    assert_eq!(id(Account::asset(asset.0.0)), asset.account());
    assert_eq!(id(Account::solana(KEY.to_bytes())), polity_svm::account(&KEY));
    for account in [CONTRACT, Account::asset([4; 32])] {
        let (address, machine, marker) = account.alias_pieces();
        let hash = Sha256::new().chain_update(address).chain_update(machine).chain_update(marker);
        assert_eq!(polity_svm::alias(&id(account)).to_bytes(), <[u8; 32]>::from(hash.finalize()));
    }
}

#[test]
fn calls_are_the_same() {
    for flags in 0..8_u8 {
        let (read_only, abort, lock) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0);
        let (value, units) = (5 << 40, 77);
        let ours = Call { target: CONTRACT, value, units, read_only, abort, lock };
        let payload = vec![1, 2, 3];
        let mut room = [0; 100];
        let written = ours.write(&payload, &mut room).unwrap();
        let target = id(CONTRACT);
        let theirs = Invocation { target, value, units, read_only, abort, lock, payload };
        assert_eq!(written, theirs.instruction(&KEY, &[]).data);
    }
}

#[test]
fn the_other_instructions_are_the_same() {
    let target = id(CONTRACT);
    assert_eq!(polity_gateway::register(&CONTRACT)[..], gateway::register(&target).data);
    let asset = AssetId(B256::repeat_byte(6));
    let approve = gateway::approve(&KEY, asset, &target, 1 << 70).data;
    assert_eq!(polity_gateway::approve(&asset.0.0, &CONTRACT, 1 << 70)[..], approve);
    let send = gateway::send(&KEY, asset, &target, 1 << 70, &[]).data;
    assert_eq!(polity_gateway::send(&asset.0.0, &CONTRACT, 1 << 70)[..], send);
    let tokens = Tokens { mint: KEY, program: KEY };
    let deposit = tokens.deposit(&KEY, &KEY, &target, 1 << 50).data;
    assert_eq!(polity_gateway::deposit(1 << 50, &CONTRACT)[..], deposit);
    assert_eq!(polity_gateway::withdraw(1 << 50)[..], tokens.withdraw(&KEY, &KEY, 1 << 50).data);
}

#[test]
fn errors_are_the_same() {
    let all = [
        (error::CALL_FAILED, GatewayError::CallFailed),
        (error::ALIAS_CALLER, GatewayError::AliasCaller),
        (error::SAME_MACHINE, GatewayError::SameMachine),
        (error::NO_VAULT, GatewayError::NoVault),
        (error::ALIAS_CHANGED, GatewayError::AliasChanged),
        (error::READ_ONLY, GatewayError::ReadOnly),
        (error::ACCOUNT_IN_USE, GatewayError::AccountInUse),
        (error::NOT_DELEGATED, GatewayError::NotDelegated),
        (error::UNKNOWN_ASSET, GatewayError::UnknownAsset),
        (error::NOT_ASSOCIATED, GatewayError::NotAssociated),
        (error::WRONG_CUSTODY, GatewayError::WrongCustody),
        (error::BAD_ALIAS, GatewayError::BadAlias),
        (error::UNKNOWN_ACCOUNT, GatewayError::UnknownAccount),
    ];
    for (ours, theirs) in all {
        assert_eq!(ours, theirs as u32);
    }
}

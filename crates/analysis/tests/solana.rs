//! Solana's machine and litesvm execute the same transactions alike.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a panic is how a test fails"
)]

mod ledger;

use ledger::{Ended, Ledger};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use solana_system_interface::instruction as system;

const SOL: u64 = 1_000_000_000;

#[test]
fn lamports_are_sent() {
    let mut ledger = Ledger::new();
    let payer = Keypair::new();
    ledger.fund(payer.pubkey(), 10 * SOL);
    let to = Pubkey::new_unique();
    let send = |ledger: &mut Ledger, lamports| {
        let instruction = system::transfer(&payer.pubkey(), &to, lamports);
        let transaction = ledger.transaction(&[instruction], &payer, &[]);
        ledger.send(transaction)
    };
    assert!(matches!(send(&mut ledger, SOL), Ended::Included(record) if record.error().is_none()));
    assert!(
        matches!(send(&mut ledger, 20 * SOL), Ended::Included(record) if record.error().is_some())
    );
    // Too little to be left with.
    let rest = ledger.theirs.get_balance(&payer.pubkey()).unwrap();
    send(&mut ledger, rest - 5000 - 1);
    send(&mut ledger, rest - 5000 - 5000);
    let poor = Keypair::new();
    let instruction = system::transfer(&poor.pubkey(), &to, 1);
    let transaction = ledger.transaction(&[instruction], &poor, &[]);
    assert!(matches!(ledger.send(transaction), Ended::Invalid(_)));
}

//! What was executed is remembered as long as it could be executed again, and no longer.

#![cfg(feature = "svm")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a panic is how a test fails"
)]

use polity_analysis::{
    Rng,
    solana::{
        draw::sign,
        world::{PEOPLE, World},
    },
};
use polity_engine::{Block, Overlay, Refusal, Sequential};
use polity_kernel::{BlockContext, Decoded, Machine, Machines};
use polity_svm::{BlockInput, KIND, MAX_AGE, Svm};
use polity_types::{AccountId, B256, Resources, Space, U256, Value};
use solana_message::{Message, VersionedMessage};
use solana_signer::Signer;
use solana_system_interface::instruction as system;

fn hash(number: u64) -> B256 {
    B256::from(U256::from(number + 1))
}

fn context(number: u64) -> BlockContext {
    let ancestors = (0..number).rev().take(512).map(hash).collect();
    let context = BlockContext {
        chain_id: 31337,
        number,
        timestamp: number,
        beneficiary: AccountId::new(KIND, B256::repeat_byte(0xbe)),
        randomness: B256::ZERO,
        inputs: Default::default(),
    };
    BlockInput { ancestors }.in_context(context)
}

/// A transfer that names the hash of the block before the one at this height.
fn transfer(number: u64, lamports: u64) -> Decoded {
    let (from, to) = (PEOPLE[0].pubkey(), PEOPLE[1].pubkey());
    let instruction = system::transfer(&from, &to, lamports);
    let recent = polity_svm::blockhash(&hash(number - 1));
    let message = Message::new_with_blockhash(&[instruction], Some(&from), &recent);
    let signed = sign(VersionedMessage::Legacy(message)).unwrap();
    Svm::new().decode(&wincode::serialize(&signed).unwrap(), &context(number)).unwrap()
}

/// How many transactions are remembered, and in how many lists.
fn remembered(state: &Overlay<'_>) -> (usize, usize) {
    let holder = AccountId::new(KIND, B256::new(*b"polity: transactions of the past"));
    let of = |space| {
        let slots = state.slots(&holder);
        slots.filter(|(key, value)| key.space == Space(space) && **value != Value::Empty).count()
    };
    (of(19), of(20))
}

#[test]
fn transactions_are_remembered_as_long_as_their_hash() {
    let machines = Machines::default().with(Svm::new()).unwrap();
    let mut sequential = Sequential::new();
    let mut state = Overlay::empty();
    World::new(&mut Rng::new(1)).lay_over(&mut state);
    let first = 1_000;
    let mut sent: Vec<(u64, Decoded)> = Vec::new();
    for number in first..first + 2 * MAX_AGE as u64 + 20 {
        // Two new ones, now and then none, and all that were there before.
        let new = match number % 7 {
            3 => Vec::new(),
            _ => vec![transfer(number, 1), transfer(number, 2)],
        };
        let old = sent.iter().map(|(_, tx)| tx.clone());
        let block = Block {
            context: context(number),
            transactions: new.iter().cloned().chain(old).collect(),
            transaction_limit: Resources::UNLIMITED,
        };
        let built = sequential.build(&machines, &state, &block).unwrap();
        assert_eq!(built.output.transactions.len(), new.len(), "{number}");
        for (left_out, (then, _)) in built.left_out.iter().zip(&sent) {
            let Refusal::Invalid(invalid) = &left_out.why else { panic!("{left_out:?}") };
            // The hash that it names was the newest one then.
            let expected = match number - then < MAX_AGE as u64 {
                true => "AlreadyProcessed",
                false => "BlockhashNotFound",
            };
            assert_eq!(invalid.code, expected, "sent at {then}, again at {number}");
        }
        for system in &built.output.begin {
            state.apply(&system.effects).unwrap();
        }
        for output in &built.output.transactions {
            state.apply(&output.effects).unwrap();
        }
        for system in &built.output.end {
            state.apply(&system.effects).unwrap();
        }
        sent.extend(new.into_iter().map(|tx| (number, tx)));
        let oldest = number - MAX_AGE as u64 - 1;
        let known = sent.iter().filter(|(then, _)| *then > oldest).count();
        assert_eq!(remembered(&state), (known, known / 2), "{number}");
        sent.retain(|(then, _)| *then + 10 > oldest);
    }
}

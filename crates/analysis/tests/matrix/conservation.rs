//! Blocks of random programs of contracts of all machines that send each other the native asset and one
//! of the ledger's, fail, run out of resources and come back: there is as much of each as before,
//! and parallel execution gives what sequential execution gives.

use crate::{
    MEMBERS, execute,
    script::{Act, Call, Contract, asset},
};
use polity_kernel::holding_key;
use polity_testkit::state::State;
use polity_types::{AccountId, LocalKey, Name, Space, U256, Value};
use proptest::{collection::vec, prelude::*};

/// What each contract holds at first.
pub(crate) const HELD: u64 = 1_000;

/// Lets all contracts hold the asset.
pub(crate) fn prepare(state: &mut State) {
    let contracts = MEMBERS.iter().flat_map(|member| (0..3).map(|number| member.payer(number)));
    let mut supply = U256::ZERO;
    for holder in contracts {
        let key = (asset().account(), holding_key(&holder));
        state.slots.insert(key, Value::word(U256::from(HELD)));
        supply += U256::from(HELD);
    }
    let key = LocalKey { space: Space(1), name: Name::Word(U256::ONE) };
    state.set_slot(asset().account(), key, Value::word(supply));
}

/// What a contract holds of the asset.
pub(crate) fn holding(state: &State, holder: &AccountId) -> u64 {
    let key = (asset().account(), holding_key(holder));
    state.slots.get(&key).map_or(0, |value| value.as_word().unwrap().to())
}

/// What all accounts hold of the asset, and how much there is.
pub(crate) fn held(state: &State) -> (U256, U256) {
    let (mut sum, mut supply) = (U256::ZERO, U256::ZERO);
    for ((account, key), value) in &state.slots {
        if *account == asset().account() {
            match key.space {
                Space(1) => supply = value.as_word().unwrap(),
                Space(2) => sum += value.as_word().unwrap(),
                _ => panic!("{key:?}"),
            }
        }
    }
    (sum, supply)
}

fn contract() -> impl Strategy<Value = Contract> {
    (0..MEMBERS.len(), 0..3_u8).prop_map(|(machine, number)| Contract { machine, number })
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let leaf = prop_oneof![
        4 => (0..3_u8, 0..9_u64).prop_map(|(place, word)| Act::Add(place, word)),
        4 => (contract(), 0..700_u64).prop_map(|(to, amount)| Act::Send(to, amount)),
        1 => Just(Act::Emit("x")),
        1 => Just(Act::Fail),
        1 => Just(Act::Exhaust),
    ];
    let acts = vec(leaf, 0..4).boxed();
    acts.prop_recursive(3, 16, 4, |inner| {
        let reads = prop::option::weighted(0.3, 0..30_u64);
        let call = (contract(), inner.clone(), 0..400_000_000_u64, 0..8_u8, reads).prop_map(
            |(to, acts, value, dice, reads)| {
                let read_only = dice == 0;
                let value = if read_only || dice % 2 == 0 { 0 } else { value };
                Act::Call(Call { to, acts, value, read_only, reads })
            },
        );
        (inner.clone(), vec(call, 1..4), inner).prop_map(|(mut acts, calls, after)| {
            acts.extend(calls);
            acts.extend(after);
            acts
        })
    })
}

/// A block of these programs, each told to a contract of its machine by one of three senders.
fn check(programs: &[(usize, Vec<Act>)]) {
    let before = crate::state();
    assert_eq!(held(&before).0, held(&before).1);
    let mut senders = [0; MEMBERS.len()];
    let transactions = programs.iter().filter_map(|(member, acts)| {
        let sender = senders[*member];
        senders[*member] += 1;
        // A machine's own contracts are called by its own means, which are not what is tried here.
        let acts = foreign(*member, acts);
        (sender < 3).then(|| MEMBERS[*member].transaction(sender, &acts, &MEMBERS))
    });
    // The native asset is compared where it is executed.
    let (_, after) = execute(&before, transactions.collect());
    assert_eq!(held(&after), held(&before));
}

fn programs() -> impl Strategy<Value = Vec<(usize, Vec<Act>)>> {
    vec((0..MEMBERS.len(), acts()), 1..8)
}

/// The same without calls of the machine's own contracts.
fn foreign(member: usize, acts: &[Act]) -> Vec<Act> {
    let kept = acts.iter().filter_map(|act| match act {
        Act::Call(call) if call.to.machine == member => None,
        Act::Call(call) => {
            let acts = foreign(call.to.machine, &call.acts);
            Some(Act::Call(Call { acts, ..call.clone() }))
        }
        other => Some(other.clone()),
    });
    kept.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_made_or_lost(programs in programs()) {
        check(&programs);
    }
}

/// The same for as long as `POLITY_CASES` says.
#[test]
#[ignore = "takes minutes: POLITY_CASES is the number of blocks"]
fn nothing_is_made_or_lost_for_long() {
    let cases = std::env::var("POLITY_CASES").ok().and_then(|cases| cases.parse().ok());
    let config = ProptestConfig { cases: cases.unwrap_or(5_000), ..ProptestConfig::default() };
    proptest!(config, |(programs in programs())| check(&programs));
}

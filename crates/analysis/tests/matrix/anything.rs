//! Any bytes, sent to every door between the machines: an answer or a refusal, never a panic, never the
//! end of the block, and nothing made or lost.

use crate::{MEMBERS, TOY, at, conservation, conserved, context, machines, script::asset, state};
use alloy_primitives::{Address, B256, TxKind, U256};
use alloy_sol_types::SolCall;
use polity_engine::{Block, Sequential};
use polity_evm::{
    Unsigned,
    gateway::{GATEWAY, IERC20, IForeign, IPolity, NATIVE},
};
use polity_kernel::Decoded;
use polity_svm::gateway as solana;
use polity_testkit::{
    script::{self, Step},
    toy::{self, Invocation, Op, Program, ToyTransaction},
};
use polity_types::{AccountId, Bytes, Resources};
use proptest::{collection::vec, prelude::*};
use revm::context::TxEnv;
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..200)
}

/// Calls that doors understand, and what becomes of such where bytes are changed, added or lost.
fn almost(calls: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let call = prop::sample::select(calls);
    let changed = (call, vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), 0..40_usize)
        .prop_map(|(mut call, changes, cut)| {
            for (at, byte) in changes {
                if !call.is_empty() {
                    let at = at.index(call.len());
                    call[at] = byte;
                }
            }
            if cut % 4 == 0 {
                call.truncate(call.len().saturating_sub(cut));
            }
            call
        });
    prop_oneof![3 => changed, 1 => bytes()]
}

fn target() -> AccountId {
    MEMBERS[3].account(1)
}

/// What the doors of Ethereum are asked.
fn asked() -> Vec<Vec<u8>> {
    let AccountId { machine, address: account } = target();
    let machine = machine.byte();
    let input: Bytes = solana::input(&[], &[255]).into();
    let (to, one) = (account, U256::ONE);
    let name = polity_evm::address(&target());
    let asset = asset().0;
    let (salt, symbol) = (B256::ZERO, String::from("S"));
    vec![
        IPolity::callCall { machine, account, input: input.clone() }.abi_encode(),
        IPolity::delegateCall { machine, account, input: input.clone() }.abi_encode(),
        IPolity::queryCall { machine, account, input: input.clone() }.abi_encode(),
        IPolity::aliasOfCall { machine, account }.abi_encode(),
        IPolity::accountOfCall { name }.abi_encode(),
        IPolity::issueCall { salt, decimals: 6, symbol: symbol.clone(), name: symbol }.abi_encode(),
        IPolity::mintCall { asset, machine, to, amount: one }.abi_encode(),
        IPolity::burnCall { asset, amount: one }.abi_encode(),
        IPolity::sendCall { asset, machine, to, amount: one }.abi_encode(),
        IPolity::tokenOfCall { asset }.abi_encode(),
        IPolity::collectCall { asset, name }.abi_encode(),
        IForeign::invokeCall { input: input.clone() }.abi_encode(),
        IForeign::invokeDelegatedCall { input }.abi_encode(),
        IERC20::balanceOfCall { owner: name }.abi_encode(),
        IERC20::transferCall { to: name, value: one }.abi_encode(),
        IERC20::transferFromCall { from: name, to: name, value: one }.abi_encode(),
        IERC20::approveCall { spender: name, value: one }.abi_encode(),
    ]
}

/// What the gateway of Solana is asked.
fn instructions() -> Vec<Vec<u8>> {
    let wallet = Pubkey::new_from_array([0x60; 32]);
    let evm = MEMBERS[2].account(1);
    let tokens = solana::Tokens { mint: wallet, program: wallet };
    let mut all = vec![
        solana::Invocation::new(evm, vec![1, 2, 3]).instruction(&wallet, &[]).data,
        solana::register(&evm).data,
        solana::approve(&wallet, asset(), &evm, 5).data,
        solana::send(&wallet, asset(), &evm, 5, &[]).data,
        tokens.deposit(&wallet, &wallet, &evm, 5).data,
        tokens.withdraw(&wallet, &wallet, 5).data,
    ];
    // SPL Token's.
    all.extend((0..25).map(|tag| [&[tag][..], &[1; 40]].concat()));
    all
}

fn ethereum(to: Address, data: Vec<u8>, value: u64) -> Decoded {
    let env = TxEnv {
        caller: Address::left_padding_from(&[0xa1, 0x1c, 0]),
        kind: TxKind::Call(to),
        value: U256::from(value),
        data: data.into(),
        gas_limit: 3_000_000,
        chain_id: Some(1),
        ..TxEnv::default()
    };
    Unsigned::for_simulation().transaction(env, B256::ZERO)
}

fn toys(target: AccountId, input: Vec<u8>) -> Decoded {
    let limit = Resources { compute: 3_000_000, ..Resources::UNLIMITED };
    let call = Invocation::new(target, Program(input.into())).limit(limit).value(1_000_000_000);
    ToyTransaction::new(toy::account(TOY, 4), 0, &[Op::Call(call)]).decoded()
}

/// Executes a block of this transaction.
fn execute(tx: Decoded) {
    let (machines, before) = (machines(), state());
    let block = Block {
        context: context(),
        transactions: vec![tx],
        transaction_limit: Resources::UNLIMITED,
    };
    let output = Sequential::new().execute(&machines, &before, &block).unwrap();
    let after =
        output.effects().try_fold(before.clone(), |state, effects| state.apply(effects)).unwrap();
    conserved(&before, &after, output.effects());
    let (held, supply) = conservation::held(&after);
    assert_eq!(held, supply);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn ethereums_doors_take_any_bytes(
        door in 0..4_usize,
        data in almost(asked()),
        value in 0..3_u64,
        inside in any::<bool>(),
    ) {
        let token = polity_evm::address(&asset().account());
        let door = [GATEWAY, NATIVE, token, polity_evm::address(&target())][door];
        let register = |account: AccountId| {
            let (machine, account) = (account.machine.byte(), account.address);
            Step::attempt(GATEWAY, 0, IPolity::aliasOfCall { machine, account }.abi_encode())
        };
        if inside {
            let call = Step::attempt(door, value, data);
            let steps = [register(target()), register(asset().account()), call];
            let contract = polity_evm::address(&MEMBERS[at(2, 0).machine].account(0));
            execute(ethereum(contract, script::run(&steps).to_vec(), 0));
        } else {
            execute(ethereum(door, data, value));
        }
    }

    #[test]
    fn other_machines_send_any_bytes(door in 0..3_usize, data in almost(asked())) {
        let target = [polity_evm::account(GATEWAY), polity_evm::account(NATIVE), target()][door];
        execute(toys(target, data));
    }

    #[test]
    fn solanas_programs_take_any_bytes(
        accounts in vec((0..6_usize, 0..4_u8), 0..7),
        data in almost(instructions()),
        gateway in any::<bool>(),
    ) {
        let metas = crate::svm::metas(1);
        let meta = |(index, flags): (usize, u8)| {
            let AccountMeta { pubkey, .. } = metas[index];
            AccountMeta { pubkey, is_signer: flags & 1 != 0, is_writable: flags & 2 != 0 }
        };
        let accounts: Vec<_> = accounts.into_iter().map(meta).collect();
        let input = solana::input(&accounts, &data);
        let program = if gateway { polity_svm::account(&solana::ID) } else { target() };
        execute(toys(program, input));
    }

    #[test]
    fn the_gateway_takes_any_instruction(
        accounts in vec((0..6_usize, any::<bool>()), 0..8),
        data in almost(instructions()),
    ) {
        let wallet = crate::svm::sender(0);
        let mut metas = crate::svm::metas(1);
        metas[0] = AccountMeta::new(wallet, true);
        let meta = |(index, writable): (usize, bool)| {
            let AccountMeta { pubkey, is_signer, .. } = metas[index];
            AccountMeta { pubkey, is_signer, is_writable: writable }
        };
        let accounts = accounts.into_iter().map(meta).collect();
        let instruction = Instruction { program_id: solana::ID, accounts, data };
        execute(crate::svm::transaction(0, &[instruction]));
    }
}

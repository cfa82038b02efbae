//! The Ethereum machine in the matrix.

use crate::script::{Act, Member, Seen, asset, exhausts, lamports};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_sol_types::{SolCall, SolValue};
use polity_evm::{
    KIND, Unsigned, account, code_ref,
    gateway::{GATEWAY, IPolity},
};
use polity_kernel::Decoded;
use polity_testkit::{
    script::{self, Step},
    state::State,
};
use polity_types::{AccountId, AccountRecord, LocalKey, Receipt};
use revm::context::TxEnv;

pub(crate) struct EvmMember;

fn contract(number: u8) -> Address {
    Address::left_padding_from(&[0xc0, number])
}

fn sender(number: u8) -> Address {
    Address::left_padding_from(&[0xa1, 0x1c, number])
}

impl EvmMember {
    fn steps(acts: &[Act], members: &[&dyn Member]) -> Vec<Step> {
        let step = |act: &Act| match act {
            Act::Write(place, word) => Step::write((*place).into(), *word),
            Act::Add(place, word) => Step::add((*place).into(), *word),
            Act::ReadFirst(place) => {
                Step::attempt_static(contract(0), script::run(&[Step::read((*place).into())]))
            }
            Act::Emit(text) => Step::emit(text.as_bytes().to_vec()),
            Act::Fail => Step::revert("so"),
            Act::Exhaust => Step::spin(),
            Act::Send(to, amount) => {
                let AccountId { machine, address } = members[to.machine].payer(to.number);
                let send = IPolity::sendCall {
                    asset: asset().0,
                    machine: machine.byte(),
                    to: address,
                    amount: U256::from(*amount),
                };
                Step::attempt(GATEWAY, 0, send.abi_encode())
            }
            Act::Call(call) => {
                let member = members[call.to.machine];
                let AccountId { machine, address } = member.account(call.to.number);
                let input = member.input(call.to.number, &call.acts, members);
                let machine = machine.byte();
                let asked = match call.read_only {
                    true => IPolity::queryCall { machine, account: address, input }.abi_encode(),
                    false => IPolity::callCall { machine, account: address, input }.abi_encode(),
                };
                let mut step = match exhausts(&call.acts) {
                    true => Step::attempt_half(GATEWAY, 0, asked),
                    false => Step::attempt(GATEWAY, 0, asked),
                };
                step.value = lamports(call.value);
                step
            }
        };
        acts.iter().map(step).collect()
    }
}

impl Member for EvmMember {
    fn name(&self) -> &'static str {
        "evm"
    }

    fn prepare(&self, state: &mut State) {
        let code = script::code();
        let hash = keccak256(&code);
        state.codes.insert(hash, code);
        let rich = lamports(1_000_000_000);
        for number in 0..3 {
            let record = AccountRecord { sequence: 1, code: code_ref(hash), balance: rich };
            state.accounts.insert(account(contract(number)), record);
            let record = AccountRecord { balance: rich, ..AccountRecord::default() };
            state.accounts.insert(account(sender(number)), record);
        }
    }

    fn account(&self, number: u8) -> AccountId {
        account(contract(number))
    }

    fn purse(&self, number: u8) -> AccountId {
        self.account(number)
    }

    fn payer(&self, number: u8) -> AccountId {
        self.account(number)
    }

    fn input(&self, _: u8, acts: &[Act], members: &[&dyn Member]) -> Bytes {
        script::run(&Self::steps(acts, members))
    }

    fn transaction(&self, from: u8, acts: &[Act], members: &[&dyn Member]) -> Decoded {
        let env = TxEnv {
            caller: sender(from),
            kind: TxKind::Call(contract(0)),
            data: self.input(0, acts, members),
            gas_limit: 12_000_000,
            chain_id: Some(1),
            ..TxEnv::default()
        };
        Unsigned::for_simulation().transaction(env, B256::with_last_byte(from))
    }

    fn seen(&self, acts: &[Act], output: &[u8], members: &[&dyn Member]) -> Vec<Seen> {
        let steps = script::seen(output).unwrap();
        let seen = acts.iter().zip(&steps).filter_map(|(act, step)| match act {
            Act::Add(..) => Some(Seen::Word(script::word(step)?.to())),
            Act::ReadFirst(_) => {
                let (_, output) = script::tried(step)?;
                Some(Seen::Word(script::word(script::seen(&output)?.first()?)?.to()))
            }
            Act::Call(call) => {
                let (ok, output) = script::tried(step)?;
                if !ok {
                    return Some(Seen::Failed);
                }
                let output = Bytes::abi_decode(&output).unwrap();
                let member = members[call.to.machine];
                Some(Seen::Called(member.seen(&call.acts, &output, members)))
            }
            _ => None,
        });
        seen.collect()
    }

    fn outcome(&self, acts: &[Act], receipt: &Receipt, members: &[&dyn Member]) -> Vec<Seen> {
        match receipt.status.is_success() {
            true => self.seen(acts, &receipt.output, members),
            false => Vec::new(),
        }
    }

    fn word(&self, state: &State, number: u8, place: u8) -> u64 {
        let key = (self.account(number), LocalKey::storage(U256::from(place)));
        let value = state.slots.get(&key).cloned().unwrap_or_default();
        value.as_word().unwrap().to()
    }

    fn text(&self, data: &[u8]) -> String {
        String::from_utf8(Bytes::abi_decode(data).unwrap().to_vec()).unwrap()
    }
}

/// What the machine has to know of a block.
pub(crate) fn block(context: polity_kernel::BlockContext) -> polity_kernel::BlockContext {
    let input = polity_evm::BlockInput {
        gas_limit: 1_000_000_000,
        base_fee: 0,
        excess_blob_gas: Some(0),
        ..polity_evm::BlockInput::default()
    };
    polity_kernel::BlockContext { inputs: context.inputs.with(KIND, input), ..context }
}

//! The toy machine in the matrix.

use crate::script::{Act, Member, Seen, asset, height, lamports};
use polity_kernel::Decoded;
use polity_testkit::{
    state::State,
    toy::{self, Invocation, Op, Program, Seen as ToySeen, ToyTransaction, slot_key},
};
use polity_types::{
    AccountId, AccountRecord, Bytes, MachineKind, Meter, Receipt, Resources, Status, U256,
};

/// What a callee may use that calls nobody: enough, and little enough that all of it is soon used.
const LIMIT: u64 = 250_000;

pub(crate) struct ToyMember(pub(crate) MachineKind, pub(crate) &'static str);

impl ToyMember {
    fn ops(&self, number: u8, acts: &[Act], members: &[&dyn Member]) -> Vec<Op> {
        let own = self.account(number);
        let mut ops = Vec::new();
        for act in acts {
            match act {
                Act::Write(place, word) => ops.push(Op::write(own, (*place).into(), *word)),
                Act::Add(place, word) => {
                    ops.push(Op::AddSlot { account: own, key: (*place).into(), word: *word })
                }
                Act::ReadFirst(place) => ops.push(Op::read(self.account(0), (*place).into())),
                Act::Emit(text) => ops.push(Op::Emit(Bytes::from_static(text.as_bytes()))),
                Act::Fail => ops.push(Op::Revert),
                Act::Exhaust => {
                    ops.push(Op::Drain { meter: Meter::Compute as u8 });
                    ops.push(Op::charge(Meter::Compute, 1));
                }
                Act::Send(to, amount) => ops.push(Op::SendAsset {
                    asset: asset().0,
                    from: own,
                    to: members[to.machine].payer(to.number),
                    amount: U256::from(*amount),
                }),
                Act::Call(call) => {
                    let Some(member) = members.get(call.to.machine) else { continue };
                    let input = member.input(call.to.number, &call.acts, members);
                    let mut limit = limit(height(&call.acts));
                    limit.reads = call.reads.unwrap_or(limit.reads);
                    let target = member.account(call.to.number);
                    let mut invocation = Invocation::new(target, Program(input)).limit(limit);
                    invocation.value = lamports(call.value);
                    invocation.read_only = call.read_only;
                    ops.push(Op::Call(invocation));
                }
            }
        }
        ops
    }
}

/// What a callee may use with so many frames above it.
fn limit(height: u32) -> Resources {
    Resources { compute: LIMIT * 4_u64.pow(height.min(4)), ..Resources::UNLIMITED }
}

impl Member for ToyMember {
    fn name(&self) -> &'static str {
        self.1
    }

    fn prepare(&self, state: &mut State) {
        for number in 0..8 {
            let record =
                AccountRecord { balance: lamports(1_000_000_000), ..AccountRecord::default() };
            state.accounts.insert(toy::account(self.0, number), record);
        }
    }

    fn account(&self, number: u8) -> AccountId {
        toy::account(self.0, number)
    }

    fn purse(&self, number: u8) -> AccountId {
        self.account(number)
    }

    fn payer(&self, number: u8) -> AccountId {
        self.account(number)
    }

    fn input(&self, number: u8, acts: &[Act], members: &[&dyn Member]) -> Bytes {
        Program::new(&self.ops(number, acts, members)).0
    }

    fn transaction(&self, sender: u8, acts: &[Act], members: &[&dyn Member]) -> Decoded {
        let call = Invocation::program(self.account(0), &self.ops(0, acts, members));
        let call = call.limit(limit(height(acts)));
        ToyTransaction::new(toy::account(self.0, 4 + sender), 0, &[Op::Call(call)]).decoded()
    }

    fn seen(&self, acts: &[Act], output: &[u8], members: &[&dyn Member]) -> Vec<Seen> {
        let mut calls = acts.iter().filter_map(|act| match act {
            Act::Call(call) => Some(call),
            _ => None,
        });
        let seen = ToySeen::list(output).unwrap().into_iter().filter_map(|seen| match seen {
            ToySeen::Value(value) => Some(Seen::Word(value.as_word().unwrap().to())),
            ToySeen::Called { status: Status::Success, output } => {
                let call = calls.next().unwrap();
                let member = members[call.to.machine];
                Some(Seen::Called(member.seen(&call.acts, &output, members)))
            }
            ToySeen::Called { .. } => {
                calls.next();
                Some(Seen::Failed)
            }
            _ => None,
        });
        seen.collect()
    }

    fn outcome(&self, acts: &[Act], receipt: &Receipt, members: &[&dyn Member]) -> Vec<Seen> {
        let seen = ToySeen::list(&receipt.output).unwrap();
        match &seen[..] {
            [ToySeen::Called { status: Status::Success, output }] => {
                self.seen(acts, output, members)
            }
            _ => Vec::new(),
        }
    }

    fn word(&self, state: &State, number: u8, place: u8) -> u64 {
        let key = (self.account(number), slot_key(place.into()));
        let value = state.slots.get(&key).cloned().unwrap_or_default();
        value.as_word().unwrap().to()
    }

    fn text(&self, data: &[u8]) -> String {
        String::from_utf8(data.to_vec()).unwrap()
    }
}

//! The Solana machine in the matrix.

use crate::script::{Act, Member, Seen, asset, height};
use polity_kernel::{BlockContext, Decoded};
use polity_svm::{
    BlockInput, Record, Stored, Unsigned, Waiver, account,
    gateway::{self, Invocation, vault},
};
use polity_testkit::{solana::elf::SCRIPT, state::State};
use polity_types::{AccountId, B256, Bytes, Receipt};
use solana_account::{Account, AccountSharedData, ReadableAccount};
use solana_instruction::{AccountMeta, Instruction};
use solana_message::{Message, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_sdk_ids::{bpf_loader, system_program};
use solana_transaction::versioned::VersionedTransaction;

/// Compute units that a callee may use that calls nobody: enough, and little enough that the
/// caller keeps some.
const UNITS: u64 = 300_000;
/// What a transaction asks for.
const MOST_UNITS: u32 = 1_400_000;
const PROGRAM: Pubkey = Pubkey::from_str_const("Script1111111111111111111111111111111111111");

pub(crate) struct SvmMember;

fn words(number: u8) -> Pubkey {
    Pubkey::new_from_array([0x50 + number; 32])
}

pub(crate) fn sender(number: u8) -> Pubkey {
    Pubkey::new_from_array([0x60 + number; 32])
}

/// An address of the program's own for each contract, with its bump.
fn own(number: u8) -> (Pubkey, u8) {
    let at = |bump: u8| {
        let address = Pubkey::create_program_address(&[b"script", &[bump]], &PROGRAM).ok()?;
        Some((address, bump))
    };
    (0..=u8::MAX).rev().filter_map(at).nth(number.into()).unwrap()
}

/// The accounts of the program's instruction: its words, the gateway, and what calls are given.
pub(crate) fn metas(number: u8) -> Vec<AccountMeta> {
    vec![
        AccountMeta::new(words(number), false),
        AccountMeta::new_readonly(gateway::ID, false),
        AccountMeta::new(own(number).0, false),
        AccountMeta::new(vault(), false),
        AccountMeta::new_readonly(system_program::ID, false),
        AccountMeta::new_readonly(words(0), false),
    ]
}

/// The place of the first contract's words among them.
const FIRST: u8 = 5;

fn data(number: u8, acts: &[Act], members: &[&dyn Member]) -> Vec<u8> {
    let mut data = vec![own(number).1];
    for act in acts {
        match act {
            Act::Write(place, word) | Act::Add(place, word) => {
                data.extend([u8::from(matches!(act, Act::Add(..))), *place]);
                data.extend(word.to_le_bytes());
            }
            Act::ReadFirst(place) => data.extend([2, FIRST, *place]),
            Act::Emit(text) => {
                data.extend([3, text.len() as u8]);
                data.extend(text.as_bytes());
            }
            Act::Fail => data.extend([4, 7, 0, 0, 0]),
            Act::Exhaust => data.push(5),
            Act::Send(to, amount) => {
                let to = members[to.machine].payer(to.number);
                let send = gateway::send(&own(number).0, asset(), &to, (*amount).into(), &[]).data;
                data.push(6);
                data.extend((send.len() as u16).to_le_bytes());
                data.extend(send);
            }
            Act::Call(call) => {
                let member = members[call.to.machine];
                let payload = member.input(call.to.number, &call.acts, members).to_vec();
                let invocation = Invocation {
                    value: call.value,
                    units: UNITS * u64::from(1 + height(&call.acts).min(2)),
                    read_only: call.read_only,
                    abort: false,
                    ..Invocation::new(member.account(call.to.number), payload)
                };
                let call = invocation.instruction(&own(number).0, &[]).data;
                data.push(6);
                data.extend((call.len() as u16).to_le_bytes());
                data.extend(call);
            }
        }
    }
    data
}

/// A transaction of a sender with these instructions, and all compute units that it may have.
pub(crate) fn transaction(from: u8, instructions: &[Instruction]) -> Decoded {
    let mut limit = vec![2];
    limit.extend(MOST_UNITS.to_le_bytes());
    let budget = Pubkey::from_str_const("ComputeBudget111111111111111111111111111111");
    let limit = Instruction { program_id: budget, accounts: Vec::new(), data: limit };
    let instructions = [&[limit], instructions].concat();
    let message = Message::new(&instructions, Some(&sender(from)));
    let versioned = VersionedTransaction {
        signatures: vec![Default::default(); message.header.num_required_signatures.into()],
        message: VersionedMessage::Legacy(message),
    };
    let waiver = Waiver { age: true };
    Unsigned::for_simulation().transaction(versioned, waiver).unwrap()
}

fn put(state: &mut State, key: Pubkey, stored: &AccountSharedData) {
    let Stored { record, slots, code } = Stored::new(stored);
    state.put(account(&key), record, slots, code);
}

impl Member for SvmMember {
    fn name(&self) -> &'static str {
        "svm"
    }

    fn prepare(&self, state: &mut State) {
        let wallet = |lamports| AccountSharedData::new(lamports, 0, &system_program::ID);
        for number in 0..3 {
            put(state, sender(number), &wallet(1_000_000_000_000));
            put(state, own(number).0, &wallet(1_000_000_000));
            put(state, words(number), &AccountSharedData::new(10_000_000, 64, &PROGRAM));
        }
        let program = Account {
            lamports: 1_000_000_000,
            data: SCRIPT.to_vec(),
            owner: bpf_loader::ID,
            executable: true,
            rent_epoch: u64::MAX,
        };
        put(state, PROGRAM, &program.into());
    }

    fn account(&self, _: u8) -> AccountId {
        account(&PROGRAM)
    }

    fn purse(&self, number: u8) -> AccountId {
        account(&words(number))
    }

    fn payer(&self, number: u8) -> AccountId {
        account(&own(number).0)
    }

    fn input(&self, number: u8, acts: &[Act], members: &[&dyn Member]) -> Bytes {
        gateway::input(&metas(number), &data(number, acts, members)).into()
    }

    fn transaction(&self, from: u8, acts: &[Act], members: &[&dyn Member]) -> Decoded {
        let data = data(0, acts, members);
        transaction(from, &[Instruction { program_id: PROGRAM, accounts: metas(0), data }])
    }

    fn seen(&self, acts: &[Act], output: &[u8], members: &[&dyn Member]) -> Vec<Seen> {
        let mut rest = output;
        let mut take = |len: usize| {
            let (taken, left) = rest.split_at(len);
            rest = left;
            taken
        };
        let mut seen = Vec::new();
        for act in acts {
            match act {
                Act::Add(..) | Act::ReadFirst(_) => {
                    let word = take(8).try_into().unwrap();
                    seen.push(Seen::Word(u64::from_le_bytes(word)));
                }
                Act::Call(call) => {
                    let len = u16::from_le_bytes(take(2).try_into().unwrap());
                    let returned = take(len.into());
                    // The status, the length of what the callee returned, and that.
                    let (status, output) = (returned[0], &returned[5..]);
                    seen.push(match status {
                        0 => {
                            let member = members[call.to.machine];
                            Seen::Called(member.seen(&call.acts, output, members))
                        }
                        _ => Seen::Failed,
                    });
                }
                // Nothing is returned.
                Act::Send(..) => assert_eq!(take(2), [0, 0]),
                _ => {}
            }
        }
        seen
    }

    fn outcome(&self, acts: &[Act], receipt: &Receipt, members: &[&dyn Member]) -> Vec<Seen> {
        let record = Record::of(receipt).unwrap();
        assert_eq!(record.error(), None, "{:?}", record.logs);
        let output = record.return_data.map(|(_, data)| data).unwrap_or_default();
        self.seen(acts, &output, members)
    }

    fn word(&self, state: &State, number: u8, place: u8) -> u64 {
        let account = polity_svm::read_account(state, &words(number)).unwrap().unwrap();
        let at = usize::from(place) * 8;
        u64::from_le_bytes(account.data()[at..at + 8].try_into().unwrap())
    }

    fn text(&self, data: &[u8]) -> String {
        let line = String::from_utf8(data.to_vec()).unwrap();
        line.strip_prefix("Program log: ").unwrap().to_string()
    }
}

/// What the machine has to know of a block.
pub(crate) fn block(context: BlockContext) -> BlockContext {
    BlockInput { ancestors: [B256::repeat_byte(9)].into() }.in_context(context)
}

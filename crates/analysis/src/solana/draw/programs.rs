//! What is asked of programs that were deployed, and of their loader.

use super::{Draft, least, memo, new, pick};
use crate::{
    Rng,
    solana::{
        Kind,
        instructions::{TOKEN, Token, instruction, read, signs, write},
        random::{few, number},
        world::{
            BUFFERS, CALLER, CROWD, PROBE, PURSE, PURSES, RICH, VERSIONS, buffer, person, program,
            purse_account, tokens, version,
        },
    },
};
use polity_svm::SYSVARS;
use solana_instruction::{AccountMeta, Instruction};
use solana_loader_v3_interface::{instruction as loader, state::UpgradeableLoaderState};
use solana_pubkey::Pubkey;
use solana_sdk_ids::{bpf_loader_upgradeable, system_program, sysvar};
use solana_system_interface::instruction as system;

const SOL: u64 = 1_000_000_000;

/// Hands an instruction on through the caller.
fn through(inner: &Instruction, head: &[u8]) -> Instruction {
    let accounts = [&[read(inner.program_id)][..], &inner.accounts].concat();
    instruction(program(CALLER), &accounts, &[head, &inner.data])
}

pub(super) fn calls(rng: &mut Rng, rich: usize) -> Draft {
    let (from, to) = (person(rich), person(rng.below(CROWD)));
    let send = system::transfer(&from, &to, least(0) + number(rng, 1_000));
    let accounts = [write(tokens(rich, 0)), write(tokens(few(rng, RICH), 0)), signs(from)];
    let token = Token::Transfer(number(rng, 1_000)).of(TOKEN, &accounts);
    let version = instruction(version(rng.below(VERSIONS)), &[], &[&[1, 2]]);
    let inner = [send, token, version];
    let inner = rng.pick(&inner).cloned().unwrap_or_else(|| memo(rng, from));
    let id = program(CALLER);
    let instruction = match rng.below(12) {
        0 => instruction(id, &[read(id)], &[&[0, rng.below(6) as u8]]),
        1 => through(&through(&inner, &[1]), &[1]),
        2 => through(&inner, &[3]),
        3 => through(&inner, &[4]),
        4 => instruction(id, &[], &[&[5], &vec![9; rng.below(1_100)]]),
        5 => through(&inner, &[6]),
        6 => instruction(id, &[], &[&[7], &(rng.below(9_999) as u32).to_le_bytes()]),
        7 => through(&inner, &[8, rng.below(5) as u8]),
        8 => through(&inner, &[9]),
        // Into itself.
        9 => through(&through(&instruction(id, &[read(id)], &[&[0, 1]]), &[1]), &[1]),
        _ => through(&inner, &[1]),
    };
    Draft::new(Kind::Calls, rich, vec![instruction])
}

pub(super) fn probe_of(tag: &[u8], data: &[u8]) -> Instruction {
    instruction(program(PROBE), &[], &[tag, data])
}

pub(super) fn probe(kind: Kind, rng: &mut Rng, rich: usize) -> Draft {
    let rounds = (rng.below(200) as u32).to_le_bytes();
    let heap = 0x3_0000_0000_u64.to_le_bytes();
    let all = match kind {
        Kind::Probe => vec![
            probe_of(&[0], &rounds),
            probe_of(&[1], &rounds),
            probe_of(&[2], &rounds),
            probe_of(&[4], b"a text"),
            probe_of(&[5], &[2, 1, 2, 1, 3, 0]),
            probe_of(&[6], &[]),
            probe_of(&[7], &(rng.below(32) as u32).to_le_bytes()),
            probe_of(&[8], &(rng.below(12) as u32).to_le_bytes()),
            probe_of(&[11], &heap),
            probe_of(&[12], &[heap, heap].concat()),
            probe_of(&[15], &[]),
            instruction(program(PROBE), &[read(sysvar::instructions::ID)], &[&[16]]),
            probe_of(&[18], &(rng.below(5) as u32).to_le_bytes()),
            probe_of(&[19], &[]),
            probe_of(&[20], &7_u64.to_le_bytes()),
            sysvar_of(rng),
        ],
        _ => vec![
            probe_of(&[3], &rounds),
            probe_of(&[7], &300_u32.to_le_bytes()),
            probe_of(&[8], &(60 + rng.below(20) as u32).to_le_bytes()),
            probe_of(&[9], &[]),
            probe_of(&[10], &[]),
            probe_of(&[11], &(rng.next() >> rng.below(64)).to_le_bytes()),
            probe_of(&[12], &[(rng.next() >> rng.below(64)).to_le_bytes(), heap].concat()),
            probe_of(&[13], &[]),
            probe_of(&[14], &[]),
            probe_of(&[17], &[]),
            probe_of(&[20], &0_u64.to_le_bytes()),
            probe_of(&[21], &[]),
            probe_of(&[23], &[]),
            probe_of(&[99], &[]),
            probe_of(&[], &[]),
        ],
    };
    let first = rng.pick(&all).cloned().into_iter().collect();
    Draft::new(kind, rich, first)
}

fn sysvar_of(rng: &mut Rng) -> Instruction {
    let mut all = SYSVARS.to_vec();
    all.push(sysvar::slot_history::ID);
    let id = rng.pick(&all).copied().unwrap_or_default();
    let offset = (rng.below(64) as u64).to_le_bytes();
    let data = [id.as_ref(), &offset, &[rng.below(64) as u8]].concat();
    probe_of(&[22], &data)
}

pub(super) fn purse(kind: Kind, rng: &mut Rng, rich: usize) -> Draft {
    let (a, b) = (purse_account(rng.below(PURSES)), purse_account(rng.below(PURSES)));
    let wallet = person(rng.below(CROWD));
    let lamports = number(rng, SOL / 10).to_le_bytes();
    let offset = (rng.below(100) as u32).to_le_bytes();
    let len = (pick(rng, [0, 1, 65, 4_096, 4_097, 9_000, 15_000]) as u32).to_le_bytes();
    let own =
        |accounts: &[AccountMeta], data: &[&[u8]]| instruction(program(PURSE), accounts, data);
    let (x, y) = (write(a), write(b));
    let all = match kind {
        Kind::Purse => vec![
            own(&[x.clone(), write(wallet)], &[&[0], &lamports]),
            own(&[x.clone(), y.clone()], &[&[0], &lamports]),
            own(std::slice::from_ref(&x), &[&[3], &offset, &[1, 2, 3]]),
            own(std::slice::from_ref(&x), &[&[4], &len]),
            own(&[write(wallet), x.clone(), y.clone()], &[&[7]]),
            own(&[x.clone(), y.clone(), read(wallet)], &[&[8]]),
            own(std::slice::from_ref(&x), &[&[6], system_program::ID.as_ref()]),
            // In pieces, far apart.
            own(&[write(purse_account(4))], &[&[3], &4_090_u32.to_le_bytes(), &[9; 12]]),
        ],
        _ => vec![
            own(&[write(person(rich)), x.clone()], &[&[0], &lamports]),
            own(std::slice::from_ref(&x), &[&[1], &lamports]),
            own(std::slice::from_ref(&x), &[&[2], &lamports]),
            own(&[read(a)], &[&[3], &offset, &[1]]),
            own(&[write(wallet)], &[&[3], &offset, &[1]]),
            own(std::slice::from_ref(&x), &[&[4], &11_000_000_u32.to_le_bytes()]),
            own(std::slice::from_ref(&x), &[&[5], &u32::MAX.to_le_bytes()]),
            own(&[write(wallet)], &[&[6], &program(PURSE).to_bytes()]),
            own(&[x, read(b)], &[&[7]]),
            own(&[write(sysvar::clock::ID)], &[&[1], &lamports]),
        ],
    };
    let first = rng.pick(&all).cloned().into_iter().collect();
    Draft::new(kind, rich, first)
}

pub(super) fn programs(kind: Kind, rng: &mut Rng, rich: usize) -> Draft {
    let index = rng.below(VERSIONS);
    let (target, authority) = (version(index), person(1 + index));
    // Mostly one of the same authority.
    let buffer_index = match rng.once_in(4) {
        true => rng.below(BUFFERS),
        false => index + VERSIONS * rng.below(BUFFERS / VERSIONS),
    };
    let source = buffer(buffer_index);
    let call = |id| instruction(id, &[], &[&[rng_byte(index)]]);
    let deployed = new(6 + rng.below(2));
    let instructions = match kind {
        Kind::Deploy => {
            let owner = person(1 + buffer_index % VERSIONS);
            let lamports = least(UpgradeableLoaderState::size_of_program());
            let len = pick(rng, [1_000, 20_000, 20_000]);
            let deploy = loader::deploy_with_max_program_len(
                &person(rich),
                &deployed,
                &source,
                &owner,
                lamports,
                len,
                rng.once_in(2),
            );
            let mut all = deploy.unwrap_or_default();
            if rng.once_in(3) {
                all.push(call(deployed));
            }
            all
        }
        Kind::Upgrade => {
            let upgrade = loader::upgrade(&target, &source, &authority, &person(rich), false);
            match rng.once_in(3) {
                true => vec![upgrade, call(target)],
                false => vec![upgrade],
            }
        }
        Kind::CloseProgram => {
            let (programdata, _) =
                Pubkey::find_program_address(&[target.as_ref()], &bpf_loader_upgradeable::ID);
            let to = person(rng.below(CROWD));
            match rng.once_in(2) {
                true => vec![loader::close_any(
                    &programdata,
                    &to,
                    Some(&authority),
                    Some(&target),
                    false,
                )],
                false => {
                    let owner = person(1 + buffer_index % VERSIONS);
                    vec![loader::close_any(&source, &to, Some(&owner), None, false)]
                }
            }
        }
        Kind::ChangeProgram => match rng.below(3) {
            0 => {
                let bytes = pick(rng, [10_240, 20_000, 1]);
                vec![loader::extend_program(&target, Some(&person(rich)), bytes)]
            }
            1 => {
                let next = person(rng.below(4));
                vec![loader::set_upgrade_authority_checked(&target, &authority, &next)]
            }
            _ => vec![loader::set_upgrade_authority(&target, &authority, None)],
        },
        Kind::Buffer => {
            let offset = rng.below(3_000) as u32;
            let owner = person(1 + buffer_index % VERSIONS);
            vec![loader::write(&source, &owner, offset, vec![3; rng.below(300)])]
        }
        _ => {
            let id = if rng.once_in(4) { deployed } else { target };
            let call = call(id);
            match rng.once_in(3) {
                true => vec![through(&call, &[1])],
                false => vec![call],
            }
        }
    };
    Draft::new(kind, rich, instructions)
}

fn rng_byte(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(u8::MAX)
}

//! Blocks of Solana transactions that are all of one kind.

use polity_svm::{
    MAX_BLOCK_UNITS,
    genesis::{PROGRAMS, deployed},
};
use polity_testkit::solana::{Instruction as Plain, elf, probe};
use solana_account::{Account, AccountSharedData};
use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_hash::Hash;
use solana_instruction::{AccountMeta, Instruction};
use solana_keypair::Keypair;
use solana_message::{Message, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_rent::Rent;
use solana_sdk_ids::{bpf_loader_upgradeable, system_program};
use solana_signer::Signer;
use solana_system_interface::instruction as system;
use solana_transaction::versioned::VersionedTransaction;

/// A state and the transactions of one block.
pub(super) struct Workload {
    pub(super) name: &'static str,
    pub(super) accounts: Vec<(Pubkey, AccountSharedData)>,
    pub(super) transactions: Vec<VersionedTransaction>,
}

const TOKEN: Pubkey = Pubkey::from_str_const("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
const PROBE: Pubkey = Pubkey::new_from_array([0x77; 32]);
const SOL: u64 = 1_000_000_000;

/// All workloads with so many transactions each.
pub(super) fn all(count: usize, blockhash: Hash) -> eyre::Result<Vec<Workload>> {
    let sender = |index: usize| keypair(1, index);
    let other = |index: usize| keypair(2, index).pubkey();
    let transfers = |name, to: &dyn Fn(usize) -> Pubkey, from: &dyn Fn(usize) -> Keypair| {
        make(name, count, blockhash, from, |index, payer| {
            vec![system::transfer(&payer.pubkey(), &to(index), SOL / 1000)]
        })
    };
    let tokens = |name, to: &dyn Fn(usize) -> Pubkey| {
        let mut workload = make(name, count, blockhash, &sender, |index, payer| {
            vec![token_transfer(&token_account(index), &to(index), &payer.pubkey())]
        })?;
        let mint = Pubkey::new_from_array([0x33; 32]);
        workload.accounts.push((mint, mint_account(u64::MAX / 2)));
        for index in 0..count {
            let owner = sender(index).pubkey();
            workload.accounts.push((token_account(index), holding(&mint, &owner, 1 << 40)));
            workload.accounts.push((to(index), holding(&mint, &other(index), 1)));
        }
        eyre::Ok(workload)
    };
    // Half of the transactions pay the owners of the other half's tokens.
    let paid = |name, from: &dyn Fn(usize) -> Keypair| {
        let pair = |index: usize| index / 2;
        let payer = |index: usize| match index % 2 {
            0 => from(pair(index)),
            _ => sender(pair(index)),
        };
        let mut workload = make(name, count, blockhash, &payer, |index, payer| {
            let owner = sender(pair(index)).pubkey();
            vec![match index % 2 {
                0 => system::transfer(&payer.pubkey(), &owner, SOL / 1000),
                _ => token_transfer(&token_account(pair(index)), &recipient(pair(index)), &owner),
            }]
        })?;
        let mint = Pubkey::new_from_array([0x33; 32]);
        workload.accounts.push((mint, mint_account(u64::MAX / 2)));
        for index in 0..count.div_ceil(2) {
            let owner = sender(index).pubkey();
            workload.accounts.push((token_account(index), holding(&mint, &owner, 1 << 40)));
            workload.accounts.push((recipient(index), holding(&mint, &other(index), 1)));
        }
        eyre::Ok(workload)
    };
    let probes = |name, ask: probe::Ask<'static>| {
        let mut workload = make(name, count / 10, blockhash, &sender, |index, _| {
            let mut asked = plain(&probe::ask(PROBE.to_bytes(), ask));
            // No two are the same.
            asked.data.extend_from_slice(&(index as u32).to_le_bytes());
            vec![asked]
        })?;
        workload.accounts.extend(deployed(
            &PROBE,
            &bpf_loader_upgradeable::ID,
            elf::PROBE,
            0,
            None,
        ));
        eyre::Ok(workload)
    };
    Ok(vec![
        transfers("SOL, independent", &|index| other(index), &sender)?,
        transfers("SOL, one recipient", &|_| other(0), &sender)?,
        transfers("SOL, one sender", &|index| other(index), &|_| keypair(1, 0))?,
        tokens("SPL token, independent", &|index| recipient(index))?,
        tokens("SPL token, 8 recipients", &|index| recipient(index % 8))?,
        tokens("SPL token, one recipient", &|_| recipient(0))?,
        paid("SPL token, owners are paid meanwhile", &|index| keypair(5, index))?,
        paid("SPL token, all owners are paid by one", &|_| keypair(5, 0))?,
        probes("arithmetic, 100,000 units", probe::Ask::Arithmetic(10_000))?,
        probes("SHA-256, 500 rounds", probe::Ask::Sha256(500))?,
    ])
}

fn make(
    name: &'static str,
    count: usize,
    blockhash: Hash,
    payer: &dyn Fn(usize) -> Keypair,
    instructions: impl Fn(usize, &Keypair) -> Vec<Instruction>,
) -> eyre::Result<Workload> {
    let mut accounts: Vec<_> = PROGRAMS.iter().flat_map(|program| program.accounts()).collect();
    let mut transactions = Vec::with_capacity(count);
    for index in 0..count {
        let payer = payer(index);
        accounts.push((payer.pubkey(), account(1000 * SOL, Vec::new(), system_program::ID)));
        // The price makes transactions differ that would be the same.
        let mut all = vec![
            ComputeBudgetInstruction::set_compute_unit_limit(units(count)),
            ComputeBudgetInstruction::set_compute_unit_price(1 + index as u64),
        ];
        all.extend(instructions(index, &payer));
        let message = Message::new_with_blockhash(&all, Some(&payer.pubkey()), &blockhash);
        transactions
            .push(VersionedTransaction::try_new(VersionedMessage::Legacy(message), &[&payer])?);
    }
    Ok(Workload { name, accounts, transactions })
}

/// The compute units that each of so many transactions of a block may ask for.
fn units(count: usize) -> u32 {
    let fair = MAX_BLOCK_UNITS / count.max(1) as u64;
    u32::try_from(fair).unwrap_or(u32::MAX).min(300_000)
}

fn keypair(space: u8, index: usize) -> Keypair {
    let mut seed = [space; 32];
    for (byte, of) in seed.iter_mut().zip(index.to_le_bytes()) {
        *byte = of;
    }
    Keypair::new_from_array(seed)
}

fn token_account(index: usize) -> Pubkey {
    keypair(3, index).pubkey()
}

fn recipient(index: usize) -> Pubkey {
    keypair(4, index).pubkey()
}

fn token_transfer(from: &Pubkey, to: &Pubkey, owner: &Pubkey) -> Instruction {
    let accounts = vec![
        AccountMeta::new(*from, false),
        AccountMeta::new(*to, false),
        AccountMeta::new_readonly(*owner, true),
    ];
    Instruction { program_id: TOKEN, accounts, data: [&[3][..], &7_u64.to_le_bytes()].concat() }
}

fn plain(instruction: &Plain) -> Instruction {
    let accounts = instruction.accounts.iter().map(|meta| AccountMeta {
        pubkey: Pubkey::new_from_array(meta.key),
        is_signer: meta.signer,
        is_writable: meta.writable,
    });
    Instruction {
        program_id: Pubkey::new_from_array(instruction.program),
        accounts: accounts.collect(),
        data: instruction.data.clone(),
    }
}

fn account(lamports: u64, data: Vec<u8>, owner: Pubkey) -> AccountSharedData {
    Account { lamports, data, owner, executable: false, rent_epoch: u64::MAX }.into()
}

fn token_owned(data: Vec<u8>) -> AccountSharedData {
    account(Rent::default().minimum_balance(data.len()), data, TOKEN)
}

/// The 82 bytes of a mint: no authorities, the supply, 9 decimals, initialised.
fn mint_account(supply: u64) -> AccountSharedData {
    let mut data = vec![0; 36];
    data.extend_from_slice(&supply.to_le_bytes());
    data.extend_from_slice(&[9, 1]);
    data.resize(82, 0);
    token_owned(data)
}

/// The 165 bytes of a token account: mint, owner, amount, initialised.
fn holding(mint: &Pubkey, owner: &Pubkey, amount: u64) -> AccountSharedData {
    let mut data = [mint.as_ref(), owner.as_ref(), &amount.to_le_bytes(), &[0; 36], &[1]].concat();
    data.resize(165, 0);
    token_owned(data)
}

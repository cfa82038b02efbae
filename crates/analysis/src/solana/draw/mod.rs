//! Random transactions.

mod programs;

use self::programs::{calls, probe, probe_of, programs, purse};
use super::{
    Kind,
    instructions::{
        Budget, MEMO, NATIVE_MINT, TOKEN, TOKEN_2022, Token, associated, create_associated,
        instruction, pays, read, signs, write,
    },
    random::{few, number, place},
    world::{
        ABSENT, AMM, BUFFERS, COUNTER, CROESUS, CROWD, DUSTY, EXACT, FRUGAL, MINTS, NEW, NONCES,
        PEOPLE, POOR, PURSE, RICH, TABLES, beneficiary, buffer, mint, nonce, person, pool, program,
        table, tokens, wrapped,
    },
};
use crate::Rng;
use solana_address_lookup_table_interface::instruction as lookup;
use solana_hash::Hash;
use solana_instruction::{AccountMeta, Instruction};
use solana_keypair::Keypair;
use solana_message::{AddressLookupTableAccount, Message, VersionedMessage, v0};
use solana_pubkey::Pubkey;
use solana_rent::Rent;
use solana_sdk_ids::{
    bpf_loader, bpf_loader_upgradeable, incinerator, loader_v4, system_program, sysvar,
};
use solana_signer::Signer;
use solana_system_interface::instruction as system;
use solana_transaction::versioned::VersionedTransaction;

const SOL: u64 = 1_000_000_000;

/// By what a transaction shows that it is of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// A recent blockhash: so many blocks old.
    Recent(usize),
    /// A durable nonce, by its number.
    Nonce(usize),
    /// Nothing that is known.
    Unknown,
}

/// A transaction before it is signed.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What it is there for.
    pub kind: Kind,
    /// Who pays; mostly a person.
    pub payer: Pubkey,
    /// What it does.
    pub instructions: Vec<Instruction>,
    /// By what it shows that it is of now.
    pub age: Age,
    /// The tables in which it looks accounts up.
    pub tables: Vec<usize>,
}

/// What has to be known to sign a transaction.
pub struct Now<'a> {
    /// A block's hash, by how many blocks it is old.
    pub blockhash: &'a dyn Fn(usize) -> Hash,
    /// The value of a durable nonce.
    pub nonce: &'a dyn Fn(usize) -> Hash,
    /// What is in a look-up table.
    pub table: &'a dyn Fn(usize) -> Vec<Pubkey>,
}

impl Draft {
    fn new(kind: Kind, payer: usize, instructions: Vec<Instruction>) -> Self {
        let payer = person(payer);
        Self { kind, payer, instructions, age: Age::Recent(0), tables: Vec::new() }
    }

    /// The signed transaction; `None` where somebody has to sign who has no key, or it is too
    /// long.
    pub fn sign(&self, now: &Now<'_>) -> Option<VersionedTransaction> {
        let hash = match self.age {
            Age::Recent(age) => (now.blockhash)(age),
            Age::Nonce(index) => (now.nonce)(index),
            Age::Unknown => Hash::new_from_array([0xee; 32]),
        };
        let message = if self.tables.is_empty() {
            let message = Message::new_with_blockhash(&self.instructions, Some(&self.payer), &hash);
            VersionedMessage::Legacy(message)
        } else {
            let tables: Vec<_> = self
                .tables
                .iter()
                .map(|index| AddressLookupTableAccount {
                    key: table(*index),
                    addresses: (now.table)(*index),
                })
                .collect();
            let message =
                v0::Message::try_compile(&self.payer, &self.instructions, &tables, hash).ok()?;
            VersionedMessage::V0(message)
        };
        sign(message)
    }
}

/// Signs with the keys of those who have to.
pub fn sign(message: VersionedMessage) -> Option<VersionedTransaction> {
    let signers = usize::from(message.header().num_required_signatures);
    let signers = message.static_account_keys().get(..signers)?;
    let keys = signers.iter().map(key).collect::<Option<Vec<_>>>()?;
    VersionedTransaction::try_new(message, &keys).ok()
}

fn key(address: &Pubkey) -> Option<&'static Keypair> {
    PEOPLE.iter().chain(NEW.iter()).find(|key| key.pubkey() == *address)
}

fn new(index: usize) -> Pubkey {
    NEW.get(index % NEW.len()).map(Signer::pubkey).unwrap_or_default()
}

fn pick<T: Copy + Default, const N: usize>(rng: &mut Rng, all: [T; N]) -> T {
    rng.pick(&all).copied().unwrap_or_default()
}

fn least(len: usize) -> u64 {
    Rent::default().minimum_balance(len)
}

/// A transaction of this kind in a block with this number.
pub fn draw(kind: Kind, rng: &mut Rng, slot: u64) -> Draft {
    let rich = few(rng, RICH);
    let mut draft = of_kind(kind, rng, rich, slot);
    if rng.once_in(6) {
        let price = Budget::Price(number(rng, 2_000_000));
        draft.instructions.push(price.instruction());
    }
    // So that the same is not drawn twice.
    if rng.once_in(2) && !matches!(kind, Kind::Budget | Kind::TooLittle) {
        let units = Budget::Units(300_000 + rng.below(1_000_000) as u32);
        draft.instructions.push(units.instruction());
    }
    if rng.once_in(12) {
        draft.age = match draft.age {
            Age::Recent(_) => Age::Recent(rng.below(149)),
            other => other,
        };
    }
    if rng.once_in(10) && draft.tables.is_empty() && !matches!(kind, Kind::Deploy | Kind::Buffer) {
        draft.tables = (0..=rng.below(TABLES)).collect();
    }
    draft
}

fn of_kind(kind: Kind, rng: &mut Rng, rich: usize, slot: u64) -> Draft {
    let (from, any) = (person(rich), rng.below(CROWD));
    let one = |instruction| Draft::new(kind, rich, vec![instruction]);
    let send = |to: Pubkey, lamports| system::transfer(&from, &to, lamports);
    match kind {
        Kind::Transfer => one(send(person(any), number(rng, SOL))),
        Kind::TransferHot => {
            let to = [person(0), beneficiary(), nonce(0), incinerator::ID];
            let from = rng.below(RICH);
            let to = rng.pick(&to).copied().unwrap_or_default();
            let send = system::transfer(&person(from), &to, least(0) + number(rng, SOL / 100));
            Draft::new(kind, from, vec![send])
        }
        Kind::TransferOfOne => {
            let to = person(rng.below(RICH));
            Draft::new(kind, 1, vec![system::transfer(&person(1), &to, number(rng, SOL / 10))])
        }
        Kind::Leave => leave(rng),
        Kind::Fund => {
            let all = [person(FRUGAL), person(POOR), person(DUSTY), person(ABSENT), new(0), new(1)];
            let to = rng.pick(&all).copied().unwrap_or_default();
            let lamports = match rng.below(4) {
                0 => number(rng, least(0)),
                1 => least(0),
                2 => least(0) - 1,
                _ => least(0) + number(rng, SOL / 10),
            };
            one(send(to, lamports))
        }
        Kind::PoorSends => {
            let payer = pick(rng, [FRUGAL, POOR, DUSTY, ABSENT, EXACT]);
            let to = person(rng.below(RICH));
            let lamports = number(rng, 30_000);
            Draft::new(kind, payer, vec![system::transfer(&person(payer), &to, lamports)])
        }
        Kind::Croesus => match rng.once_in(2) {
            true => one(send(person(CROESUS), number(rng, SOL))),
            false => {
                let lamports = pick(rng, [1, SOL, u64::MAX / 2, u64::MAX - 5_000]);
                let to = pick(rng, [person(rich), person(ABSENT)]);
                let send = system::transfer(&person(CROESUS), &to, lamports);
                Draft::new(kind, CROESUS, vec![send])
            }
        },
        Kind::Overdraw => one(send(person(any), 2_000_000 * SOL)),
        Kind::OnlyPays => {
            let payer = pick(rng, [rich, FRUGAL, EXACT, CROESUS]);
            let from = rng.below(RICH);
            let to = rng.below(RICH);
            let send = match rng.below(3) {
                0 => system::transfer(&person(from), &person(to), number(rng, SOL / 10)),
                1 => memo(rng, person(from)),
                _ => Token::Transfer(number(rng, 1_000)).of(
                    TOKEN,
                    &[write(tokens(from, 0)), write(tokens(to, 0)), signs(person(from))],
                ),
            };
            Draft::new(kind, payer, vec![send])
        }
        Kind::Create => create(rng, rich),
        Kind::WithSeed => with_seed(rng, rich),
        Kind::Allocate => {
            let account = new(2 + rng.below(3));
            let space = number(rng, 20_000);
            let mut instructions =
                vec![send(account, least(space as usize)), system::allocate(&account, space)];
            if rng.once_in(2) {
                instructions.push(system::assign(&account, &program(PURSE)));
            }
            Draft::new(kind, rich, instructions)
        }
        Kind::AssignToLoader => {
            let owner =
                pick(rng, [bpf_loader::ID, bpf_loader_upgradeable::ID, loader_v4::ID, TOKEN]);
            let account = new(5);
            let mut instructions =
                vec![send(account, least(0) + number(rng, 9)), system::assign(&account, &owner)];
            if rng.once_in(2) {
                instructions.push(instruction(account, &[read(from)], &[&[1]]));
            }
            Draft::new(kind, rich, instructions)
        }
        Kind::Nonce | Kind::NonceFails | Kind::NonceChanges | Kind::NoncePays => {
            nonces(kind, rng, rich)
        }
        Kind::Tokens
        | Kind::TokensHot
        | Kind::TokensOverdraw
        | Kind::Delegate
        | Kind::Supply
        | Kind::Freeze
        | Kind::CloseTokens
        | Kind::Wrap
        | Kind::TokensWithFee
        | Kind::Harvest
        | Kind::Associated => tokens_of(kind, rng, rich),
        Kind::Memo => one(memo(rng, from)),
        Kind::Swap => {
            let (pool, [vault_a, vault_b]) = pool();
            let a_to_b = rng.once_in(2);
            let trader = rng.below(RICH);
            let [own_a, own_b] = [tokens(trader, 0), tokens(trader, 1)];
            let all = match a_to_b {
                true => [own_a, own_b, vault_a, vault_b],
                false => [own_b, own_a, vault_b, vault_a],
            };
            let least = if rng.once_in(5) { 1 << 40 } else { 0 };
            let [own, gets, takes, gives] = all.map(write);
            let accounts =
                [write(pool), signs(person(trader)), own, gets, takes, gives, read(TOKEN)];
            let amount = number(rng, 1_000_000).to_le_bytes();
            let data: [&[u8]; 3] = [&[1], &amount, &u64::to_le_bytes(least)];
            Draft::new(kind, trader, vec![instruction(program(AMM), &accounts, &data)])
        }
        Kind::Counter => counter(rng, rich),
        Kind::Calls => calls(rng, rich),
        Kind::Probe | Kind::ProbeFails => probe(kind, rng, rich),
        Kind::Purse | Kind::PurseFails => purse(kind, rng, rich),
        Kind::Deploy
        | Kind::Upgrade
        | Kind::CallVersion
        | Kind::CloseProgram
        | Kind::ChangeProgram
        | Kind::Buffer => programs(kind, rng, rich),
        Kind::LookUp => {
            let sends = (0..1 + rng.below(6)).map(|_| {
                let (from, to) = (person(rich), person(rng.below(CROWD)));
                system::transfer(&from, &to, least(0) + number(rng, 1_000))
            });
            let mut draft = Draft::new(kind, rich, sends.collect());
            draft.tables = vec![rng.below(TABLES)];
            draft
        }
        Kind::ChangeTable => {
            let (table, authority) = (table(rng.below(TABLES)), person(0));
            let instruction = match rng.below(8) {
                0 => lookup::deactivate_lookup_table(table, authority),
                1 => lookup::close_lookup_table(table, authority, person(any)),
                2 => lookup::freeze_lookup_table(table, person(rich)),
                3 => lookup::create_lookup_table(from, from, slot.saturating_sub(1)).0,
                _ => {
                    let entries = (0..1 + rng.below(3)).map(|_| place("entry", rng.below(99)));
                    let payer = Some(authority);
                    lookup::extend_lookup_table(table, authority, payer, entries.collect())
                }
            };
            let payer = if rng.once_in(2) { 0 } else { rich };
            Draft::new(kind, payer, vec![instruction])
        }
        Kind::Budget => {
            let all = [
                Budget::Units(400_000 + rng.below(1_200_000) as u32),
                Budget::Price(number(rng, 10_000_000)),
                Budget::Heap(32 * 1024 * (1 + rng.below(8) as u32)),
                Budget::Loaded(2_000_000 + rng.below(60_000_000) as u32),
            ];
            let chosen = all.into_iter().filter(|_| rng.once_in(2));
            let mut instructions: Vec<_> = chosen.map(Budget::instruction).collect();
            instructions.push(probe_of(&[7], &(rng.below(250) as u32).to_le_bytes()));
            Draft::new(kind, rich, instructions)
        }
        Kind::TooLittle => {
            let limit = match rng.below(5) {
                0 => Budget::Units(rng.below(3_000) as u32),
                1 => Budget::Loaded(1 + rng.below(300_000) as u32),
                // These are not allowed at all.
                2 => Budget::Loaded(0),
                3 => Budget::Heap(32 * 1024 + 1),
                _ => Budget::Units(rng.below(700) as u32),
            };
            let mut instructions = vec![limit.instruction()];
            if rng.once_in(5) {
                instructions.push(limit.instruction());
            }
            instructions.push(send(person(rng.below(RICH)), number(rng, 1_000)));
            instructions.push(probe_of(&[1], &20_u32.to_le_bytes()));
            Draft::new(kind, rich, instructions)
        }
        Kind::NoProgram => {
            let all = [
                person(rng.below(CROWD)),
                sysvar::clock::ID,
                tokens(0, 0),
                place("nothing", rng.below(3)),
                buffer(rng.below(BUFFERS)),
                NATIVE_MINT,
                new(5),
                solana_sdk_ids::vote::ID,
            ];
            let program = rng.pick(&all).copied().unwrap_or_default();
            one(instruction(program, &[read(from)], &[&[rng.below(256) as u8]]))
        }
    }
}

fn memo(rng: &mut Rng, who: Pubkey) -> Instruction {
    // Now and then it is no text.
    let text: Vec<u8> = (0..rng.below(40)).map(|_| b'a' + rng.below(26) as u8).collect();
    let end = if rng.once_in(5) { &[0xff][..] } else { &[] };
    instruction(MEMO, &[signs(who)], &[&text, end])
}

/// A transaction after which an account has nothing, or only what does not show.
fn leave(rng: &mut Rng) -> Draft {
    let to = person(rng.below(RICH));
    let (payer, from) = match rng.below(4) {
        0 => (EXACT, EXACT),
        1 => (rng.below(RICH), EXACT),
        2 => (rng.below(RICH), FRUGAL),
        _ => (rng.below(RICH), POOR),
    };
    // Exactly what there is, where it was not touched yet, or something near it.
    let lamports = match (payer, from) {
        (EXACT, _) => least(0),
        (_, EXACT) => least(0) + 5_000,
        _ => number(rng, least(0) + 40_000),
    };
    let lamports = if rng.once_in(4) { lamports.saturating_sub(1) } else { lamports };
    Draft::new(Kind::Leave, payer, vec![system::transfer(&person(from), &to, lamports)])
}

fn create(rng: &mut Rng, rich: usize) -> Draft {
    let owner = pick(rng, [program(PURSE), TOKEN, system_program::ID]);
    let space = if owner == TOKEN { 165 } else { number(rng, 9_000) };
    let lamports = match rng.below(5) {
        0 => least(space as usize) - 1,
        _ => least(space as usize) + number(rng, 5),
    };
    let account = new(rng.below(5));
    let mut instructions =
        vec![system::create_account(&person(rich), &account, lamports, space, &owner)];
    if owner == TOKEN {
        let init = Token::InitializeAccount(person(rich));
        instructions.push(init.of(TOKEN, &[write(account), read(mint(0))]));
    }
    if rng.once_in(3) {
        // All of it fails, and nothing is left of it.
        instructions.push(probe_of(&[9], &[]));
    }
    Draft::new(Kind::Create, rich, instructions)
}

fn with_seed(rng: &mut Rng, rich: usize) -> Draft {
    let base = person(rich);
    let owner = if rng.once_in(2) { system_program::ID } else { program(PURSE) };
    let seed = pick(rng, ["a", "b", "a seed"]);
    let Ok(address) = Pubkey::create_with_seed(&base, seed, &owner) else {
        return Draft::new(Kind::WithSeed, rich, Vec::new());
    };
    let space = number(rng, 300);
    let lamports = least(space as usize);
    let instruction = match rng.below(4) {
        0 => {
            system::create_account_with_seed(&base, &address, &base, seed, lamports, space, &owner)
        }
        1 => system::allocate_with_seed(&address, &base, seed, space, &owner),
        2 => system::assign_with_seed(&address, &base, seed, &owner),
        _ => {
            let to = person(rng.below(RICH));
            system::transfer_with_seed(
                &address,
                &base,
                seed.into(),
                &owner,
                &to,
                number(rng, lamports),
            )
        }
    };
    let mut instructions = Vec::new();
    if rng.once_in(2) {
        instructions.push(system::transfer(&base, &address, lamports));
    }
    instructions.push(instruction);
    Draft::new(Kind::WithSeed, rich, instructions)
}

fn nonces(kind: Kind, rng: &mut Rng, rich: usize) -> Draft {
    let index = rng.below(NONCES);
    let (nonce, authority) = (nonce(index), person(index));
    let advance = system::advance_nonce_account(&nonce, &authority);
    let to = person(rng.below(RICH));
    let payer = pick(rng, [rich, index, POOR]);
    match kind {
        Kind::NonceChanges => {
            let change = match rng.below(5) {
                0 => system::authorize_nonce_account(&nonce, &authority, &person(rich)),
                1 => {
                    let lamports = pick(rng, [1, 7_000, least(80), least(80) + 7_000]);
                    system::withdraw_nonce_account(&nonce, &authority, &to, lamports)
                }
                2 => system::transfer(&person(rich), &nonce, number(rng, 9_000)),
                3 => system::upgrade_nonce_account(nonce),
                _ => advance,
            };
            Draft::new(kind, rich, vec![change])
        }
        Kind::NoncePays => {
            // Its address signs for nobody: only where it is given a key it could pay. What is
            // tried instead is a nonce that withdraws from itself.
            let lamports = pick(rng, [7_000, least(80) + 7_000]);
            let withdraw = system::withdraw_nonce_account(&nonce, &authority, &to, lamports);
            let mut draft = Draft::new(kind, payer, vec![advance, withdraw]);
            draft.age = Age::Nonce(index);
            draft
        }
        Kind::NonceFails => {
            let fails = match rng.below(4) {
                0 => system::transfer(&person(rich), &to, 3_000_000 * SOL),
                1 => probe_of(&[9], &[]),
                // This fails before anything is executed.
                2 => instruction(place("nothing", 0), &[], &[&[1]]),
                _ => Budget::Loaded(1 + rng.below(100) as u32).instruction(),
            };
            let mut draft = Draft::new(kind, payer, vec![advance, fails]);
            draft.age = Age::Nonce(index);
            draft
        }
        _ => {
            let send = system::transfer(&person(rich), &to, number(rng, 9_000));
            let mut draft = Draft::new(kind, payer, vec![advance, send]);
            draft.age = Age::Nonce(index);
            draft
        }
    }
}

fn tokens_of(kind: Kind, rng: &mut Rng, rich: usize) -> Draft {
    let (owner, which) = (person(rich), rng.below(MINTS));
    let (own, other) = (tokens(rich, which), few(rng, RICH));
    let amount = number(rng, 1_000_000);
    let one = |token: Token, accounts: &[AccountMeta]| {
        Draft::new(kind, rich, vec![token.of(TOKEN, accounts)])
    };
    match kind {
        Kind::TokensHot => {
            let from = rng.below(RICH);
            let accounts = [write(tokens(from, 0)), write(tokens(0, 0)), signs(person(from))];
            Draft::new(kind, from, vec![Token::Transfer(amount).of(TOKEN, &accounts)])
        }
        Kind::TokensOverdraw => {
            let accounts = [write(own), write(tokens(other, which)), signs(owner)];
            one(Token::Transfer(1 << 60), &accounts)
        }
        Kind::Delegate => match rng.below(3) {
            0 => one(Token::Approve(amount), &[write(own), read(person(other)), signs(owner)]),
            1 => one(Token::Revoke, &[write(own), signs(owner)]),
            _ => {
                let accounts = [write(tokens(other, which)), write(own), signs(owner)];
                one(Token::Transfer(amount / 10), &accounts)
            }
        },
        Kind::Supply => match rng.once_in(2) {
            true => {
                let accounts = [write(mint(which)), write(own), signs(person(0))];
                one(Token::MintTo(amount), &accounts)
            }
            false => one(Token::Burn(amount), &[write(own), write(mint(which)), signs(owner)]),
        },
        Kind::Freeze => {
            let token = if rng.once_in(2) { Token::Freeze } else { Token::Thaw };
            one(token, &[write(tokens(other, which)), read(mint(which)), signs(person(0))])
        }
        Kind::CloseTokens => {
            let accounts = [write(own), write(mint(which)), signs(owner)];
            let burn = Token::Burn(number(rng, 1_000)).of(TOKEN, &accounts);
            let close = Token::Close.of(TOKEN, &[write(own), write(owner), signs(owner)]);
            let give = Token::SetOwner(person(other)).of(TOKEN, &[write(own), signs(owner)]);
            let all = [vec![burn, close.clone()], vec![close], vec![give]];
            Draft::new(kind, rich, rng.pick(&all).cloned().unwrap_or_default())
        }
        Kind::Wrap => {
            let own = wrapped(rich);
            let instructions = match rng.below(4) {
                0 => vec![
                    system::transfer(&owner, &own, amount),
                    Token::SyncNative.of(TOKEN, &[write(own)]),
                ],
                1 => {
                    let to = pick(rng, [person(other), person(ABSENT), person(DUSTY)]);
                    vec![Token::Close.of(TOKEN, &[write(own), write(to), signs(owner)])]
                }
                2 => vec![system::transfer(&owner, &own, amount)],
                _ => {
                    let accounts = [write(own), write(wrapped(other)), signs(owner)];
                    vec![Token::Transfer(amount).of(TOKEN, &accounts)]
                }
            };
            Draft::new(kind, rich, instructions)
        }
        Kind::TokensWithFee => {
            let mint = mint(MINTS);
            let (from, to) = (write(tokens(rich, MINTS)), write(tokens(other, MINTS)));
            let accounts = [from, read(mint), to, signs(owner)];
            // The fee is two percent, rounded up.
            let fee = amount.saturating_mul(2).div_ceil(100).min(5_000);
            let token = match rng.below(4) {
                0 => Token::TransferWithFee(amount, 6, fee),
                1 => Token::TransferWithFee(amount, 6, fee + 1),
                2 => Token::TransferChecked(amount, 7),
                _ => Token::TransferChecked(amount, 6),
            };
            Draft::new(kind, rich, vec![token.of(TOKEN_2022, &accounts)])
        }
        Kind::Harvest => {
            let all = [0, 1, 2].map(|index| write(tokens(index, MINTS)));
            let accounts = [&[write(mint(MINTS))][..], &all].concat();
            Draft::new(kind, rich, vec![Token::Harvest.of(TOKEN_2022, &accounts)])
        }
        Kind::Associated => {
            let (token, mint) = match rng.once_in(2) {
                true => (TOKEN, mint(which)),
                false => (TOKEN_2022, mint(MINTS)),
            };
            let wallet = person(other);
            let mut instructions =
                vec![create_associated(owner, wallet, mint, token, !rng.once_in(3))];
            if rng.once_in(2) && token == TOKEN {
                let to = associated(&wallet, &mint, &token);
                let accounts = [write(own), write(to), signs(owner)];
                instructions.push(Token::Transfer(amount).of(TOKEN, &accounts));
            }
            Draft::new(kind, rich, instructions)
        }
        _ => {
            let accounts = [write(own), write(tokens(other, which)), signs(owner)];
            let checked =
                [write(own), read(mint(which)), write(tokens(other, which)), signs(owner)];
            match rng.below(5) {
                0 => one(Token::TransferChecked(amount, 6), &checked),
                1 => one(Token::TransferChecked(amount, 5), &checked),
                _ => one(Token::Transfer(amount), &accounts),
            }
        }
    }
}

fn counter(rng: &mut Rng, rich: usize) -> Draft {
    let authority = person(rich);
    let id = program(COUNTER);
    let of = |index| {
        let seeds = [b"counter".as_slice(), &person(index).to_bytes()];
        Pubkey::find_program_address(&seeds, &id).0
    };
    // Now and then that of somebody else.
    let own = if rng.once_in(8) { of(few(rng, RICH)) } else { of(rich) };
    let owner = if rng.once_in(2) { pays(authority) } else { signs(authority) };
    let system = read(system_program::ID);
    let instruction = match rng.below(10) {
        0..=4 => {
            let start = if rng.once_in(4) { u64::MAX - 2 } else { number(rng, 99) };
            let data: [&[u8]; 2] = [&[175, 175, 109, 31, 13, 152, 155, 237], &start.to_le_bytes()];
            instruction(id, &[write(own), pays(authority), system], &data)
        }
        5 | 6 => {
            let by = number(rng, 5);
            let data: [&[u8]; 2] = [&[11, 18, 104, 9, 104, 174, 59, 33], &by.to_le_bytes()];
            instruction(id, &[write(own), owner], &data)
        }
        7 | 8 => {
            let note = vec![7; rng.below(600)];
            let len = (note.len() as u32).to_le_bytes();
            let data: [&[u8]; 3] = [&[14, 21, 145, 112, 180, 89, 37, 76], &len, &note];
            instruction(id, &[write(own), pays(authority), system], &data)
        }
        _ => {
            let to = write(person(rng.below(CROWD)));
            instruction(id, &[write(own), owner, to], &[&[98, 165, 201, 177, 108, 65, 206, 96]])
        }
    };
    Draft::new(Kind::Counter, rich, vec![instruction])
}

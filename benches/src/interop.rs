//! What a call from machine to machine costs beside a call within one.

use crate::{clock, table};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex, keccak256};
use clap::Args;
use eyre::{bail, eyre};
use polity_analysis::solana::world;
use polity_engine::Overlay;
use polity_evm::{
    BlockInput, Evm, Unsigned,
    gateway::{GATEWAY, IPolity},
    spec::{ChainSpec, Fork},
};
use polity_kernel::{BlockContext, Code, Decoded, Executed, Inputs, Kernel, Machines, Scratch};
use polity_svm::{
    Stored, Svm, Waiver,
    gateway::{self, Invocation},
};
use polity_testkit::solana::{self, caller, elf, probe};
use polity_types::{AccountId, AccountRecord, Resources};
use revm::context::TxEnv;
use solana_account::{Account, AccountSharedData};
use solana_instruction::{AccountMeta, Instruction};
use solana_message::{Message, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_sdk_ids::{bpf_loader, system_program};
use solana_transaction::versioned::VersionedTransaction;
use std::{sync::Arc, time::Duration};

/// Measures calls: within each machine, from one to the other, and there and back.
#[derive(Args)]
pub(crate) struct Interop {
    /// How often each transaction is executed; the least time counts.
    #[arg(long, default_value_t = 400)]
    runs: usize,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Calls in the longer of the two transactions whose difference is measured. A transaction of
/// Solana's has no more than 64 instructions, those of programs counted.
const CALLS: u8 = 50;

const CALLER: Pubkey = Pubkey::from_str_const("Ca11er1111111111111111111111111111111111111");
const SCRIPT: Pubkey = Pubkey::from_str_const("Script1111111111111111111111111111111111111");
const PROBE: Pubkey = Pubkey::from_str_const("Probe11111111111111111111111111111111111111");
const WALLET: Pubkey = Pubkey::new_from_array([7; 32]);

/// Calls the address in word 1 of its input as often as word 0 says, with the rest as input.
const REPEATER: &str =
    "365f5f375f515b5f5f60403603604 05f6020515af115602257600190038060065700 5b5f5ffd";
/// Counts down from word 0 of its input.
const SPINNER: &str = "5f355b60019003806002 5700";
/// Calls the gateway once, with its input.
const FORWARDER: &str =
    "365f5f375f5f365f5f73 0000000000000000000000000000706f6c697479 5af115602557005b5f5ffd";

const USER: Address = Address::repeat_byte(0x11);
const REPEATER_AT: Address = Address::repeat_byte(0x21);
const SPINNER_AT: Address = Address::repeat_byte(0x22);
const NOTHING_AT: Address = Address::repeat_byte(0x23);
const FORWARDER_AT: Address = Address::repeat_byte(0x24);

/// What is called, how often at most, and the transaction that calls it so often.
type Case<'a> = (&'static str, u8, &'a dyn Fn(u8) -> eyre::Result<Decoded>);

#[derive(serde::Serialize)]
struct Row {
    what: &'static str,
    nanoseconds: f64,
    /// In the gas of the machine that calls.
    gas: f64,
}

impl Interop {
    pub(crate) fn run(self) -> eyre::Result<()> {
        // The runtime's memory is the thread's.
        let rows = std::thread::scope(|scope| {
            let rows = scope.spawn(|| self.rows());
            rows.join().map_err(|_| eyre!("the bench panicked"))?
        })?;
        if self.json {
            return table::result(&serde_json::to_string_pretty(&rows)?);
        }
        let of = |what: &str| {
            rows.iter().find(|row| row.what == what).map_or(f64::NAN, |row| row.nanoseconds)
        };
        let dearer = of("call, evm").max(of("call, svm"));
        let lines = rows.iter().map(|row| {
            let relative = match row.what.starts_with("hop") {
                true => format!("{:.2}", row.nanoseconds / dearer),
                false => String::new(),
            };
            vec![
                row.what.into(),
                format!("{:.0}", row.nanoseconds),
                format!("{:.0}", row.gas),
                relative,
            ]
        });
        let head = ["", "ns", "gas of the caller", "to a call within the dearer machine"];
        table::result(&table::markdown(&head, lines.collect()))
    }

    fn rows(&self) -> eyre::Result<Vec<Row>> {
        let machines = machines()?;
        let block = block();
        let state = state()?;
        let mut rows = Vec::new();
        let nothing_svm = gateway::input(&[], &[255]);
        let to_svm = call(&polity_svm::account(&SCRIPT), nothing_svm)?;
        let evm = polity_evm::account(NOTHING_AT);
        let nothing_evm = Invocation::new(evm, Vec::new()).instruction(&WALLET, &[]);
        let forward = polity_evm::account(FORWARDER_AT);
        let there_and_back = Invocation::new(forward, to_svm.clone()).instruction(&WALLET, &[]);
        let inner = Instruction { program_id: SCRIPT, accounts: Vec::new(), data: vec![255] };
        let cases: [Case<'_>; 5] = [
            ("call, evm", CALLS, &|n| Ok(repeat_evm(n, NOTHING_AT, &[]))),
            ("call, svm", CALLS, &|n| repeat_svm(n, &inner)),
            ("hop, evm to svm", CALLS, &|n| Ok(repeat_evm(n, GATEWAY, &to_svm))),
            ("hop, svm to evm", CALLS, &|n| repeat_svm(n, &nothing_evm)),
            // As often as the compute units of a transaction suffice for.
            ("hop, svm to evm to svm", 10, &|n| repeat_svm(n, &there_and_back)),
        ];
        for (what, most, make) in cases {
            let (few, many) = (make(1)?, make(most)?);
            let (one, gas_of_one) = self.measure(&machines, &block, &state, &few)?;
            let (all, gas_of_all) = self.measure(&machines, &block, &state, &many)?;
            let more = f64::from(most) - 1.0;
            let nanoseconds = (all.as_nanos() as f64 - one.as_nanos() as f64) / more;
            let gas = (gas_of_all as f64 - gas_of_one as f64) / more;
            rows.push(Row { what, nanoseconds, gas });
        }
        let spin = |n: u64| ethereum(SPINNER_AT, B256::from(U256::from(n)).to_vec());
        let burn = |n: u32| {
            let solana::Instruction { data, .. } =
                probe::ask(PROBE.to_bytes(), probe::Ask::Arithmetic(n));
            solana_transaction(&Instruction { program_id: PROBE, accounts: Vec::new(), data })
        };
        for (what, few, many) in [
            ("arithmetic, per 1000 gas, evm", spin(10), spin(50_000)),
            ("arithmetic, per 1000 units, svm", burn(10)?, burn(50_000)?),
        ] {
            let (one, gas_of_one) = self.measure(&machines, &block, &state, &few)?;
            let (all, gas_of_all) = self.measure(&machines, &block, &state, &many)?;
            let gas = gas_of_all as f64 - gas_of_one as f64;
            let nanoseconds = (all.as_nanos() as f64 - one.as_nanos() as f64) * 1000.0 / gas;
            rows.push(Row { what, nanoseconds, gas: 1000.0 });
        }
        Ok(rows)
    }

    /// The least time of a transaction, and the gas that it used.
    fn measure(
        &self,
        machines: &Machines,
        block: &BlockContext,
        state: &Overlay<'_>,
        tx: &Decoded,
    ) -> eyre::Result<(Duration, u64)> {
        let mut scratch = Scratch::default();
        let mut least = Duration::MAX;
        let mut gas = 0;
        for _ in 0..self.runs.max(1) {
            let kernel = Kernel::new(machines, block, state, &mut scratch);
            let (executed, time) = clock::time(|| kernel.transact(tx, Resources::UNLIMITED));
            match executed? {
                Executed::Included(output) if output.receipt.status.is_success() => {
                    gas = output.receipt.used.compute;
                }
                Executed::Included(output) => {
                    bail!(
                        "{:?}: {:?}",
                        output.receipt.status,
                        polity_svm::Record::of(&output.receipt)
                    )
                }
                Executed::Invalid { invalid, .. } => bail!("{invalid}"),
            }
            least = least.min(time);
        }
        Ok((least, gas))
    }
}

fn call(target: &AccountId, input: Vec<u8>) -> eyre::Result<Vec<u8>> {
    use alloy_sol_types::SolCall;
    let (machine, account) = (target.machine.byte(), target.address);
    Ok(IPolity::callCall { machine, account, input: input.into() }.abi_encode())
}

fn machines() -> eyre::Result<Machines> {
    let mut spec = ChainSpec::single(Fork::Osaka);
    spec.gateway = true;
    Ok(Machines::default().with(Evm::new(spec))?.with(Svm::new())?)
}

fn block() -> BlockContext {
    let input =
        BlockInput { gas_limit: 1_000_000_000, excess_blob_gas: Some(0), ..BlockInput::default() };
    let context = BlockContext {
        chain_id: 1,
        number: 100,
        timestamp: 1_000,
        beneficiary: polity_evm::account(Address::with_last_byte(0xbe)),
        randomness: B256::ZERO,
        inputs: Inputs::default().with(polity_evm::KIND, input),
    };
    polity_svm::BlockInput { ancestors: [B256::repeat_byte(9)].into() }.in_context(context)
}

fn state() -> eyre::Result<Overlay<'static>> {
    let mut state = Overlay::empty();
    let rich = AccountRecord {
        balance: U256::from(10_u64).pow(U256::from(24)),
        ..AccountRecord::default()
    };
    state.insert_account(polity_evm::account(USER), Some(rich));
    for (at, code) in [
        (REPEATER_AT, REPEATER),
        (SPINNER_AT, SPINNER),
        (NOTHING_AT, "00"),
        (FORWARDER_AT, FORWARDER),
    ] {
        let code: Bytes = hex::decode(code.replace(' ', ""))?.into();
        let hash = keccak256(&code);
        let record = AccountRecord {
            sequence: 1,
            code: polity_evm::code_ref(hash),
            ..AccountRecord::default()
        };
        state.insert_account(polity_evm::account(at), Some(record));
        state.insert_code(hash, Arc::new(Code::new(code)));
    }
    let mut put = |key: &Pubkey, account: AccountSharedData| {
        world::put(&mut state, key, Stored::new(&account));
    };
    put(&WALLET, AccountSharedData::new(1_000_000_000_000, 0, &system_program::ID));
    for (at, elf) in [(CALLER, elf::CALLER), (SCRIPT, elf::SCRIPT), (PROBE, elf::PROBE)] {
        let program = Account {
            lamports: 1_000_000_000,
            data: elf.to_vec(),
            owner: bpf_loader::ID,
            executable: true,
            rent_epoch: u64::MAX,
        };
        put(&at, program.into());
    }
    Ok(state)
}

fn ethereum(to: Address, data: Vec<u8>) -> Decoded {
    let env = TxEnv {
        caller: USER,
        kind: TxKind::Call(to),
        data: data.into(),
        gas_limit: 16_000_000,
        chain_id: Some(1),
        ..TxEnv::default()
    };
    Unsigned::for_simulation().transaction(env, B256::ZERO)
}

fn repeat_evm(times: u8, to: Address, input: &[u8]) -> Decoded {
    let times = B256::from(U256::from(times));
    let data = [times.as_slice(), to.into_word().as_slice(), input].concat();
    ethereum(REPEATER_AT, data)
}

fn repeat_svm(times: u8, inner: &Instruction) -> eyre::Result<Decoded> {
    let meta = |meta: &AccountMeta| solana::Meta {
        key: meta.pubkey.to_bytes(),
        signer: meta.is_signer,
        writable: meta.is_writable,
    };
    let inner = solana::Instruction {
        program: inner.program_id.to_bytes(),
        accounts: inner.accounts.iter().map(meta).collect(),
        data: inner.data.clone(),
    };
    let outer = caller::repeat(CALLER.to_bytes(), &inner, times);
    let meta = |meta: &solana::Meta| AccountMeta {
        pubkey: Pubkey::new_from_array(meta.key),
        is_signer: meta.signer,
        is_writable: meta.writable,
    };
    solana_transaction(&Instruction {
        program_id: CALLER,
        accounts: outer.accounts.iter().map(meta).collect(),
        data: outer.data,
    })
}

fn solana_transaction(instruction: &Instruction) -> eyre::Result<Decoded> {
    let budget = Pubkey::from_str_const("ComputeBudget111111111111111111111111111111");
    let limit = [&[2], 1_400_000_u32.to_le_bytes().as_slice()].concat();
    let limit = Instruction { program_id: budget, accounts: Vec::new(), data: limit };
    let message = Message::new(&[limit, instruction.clone()], Some(&WALLET));
    let versioned = VersionedTransaction {
        signatures: vec![Default::default()],
        message: VersionedMessage::Legacy(message),
    };
    let waiver = Waiver { age: true };
    Ok(polity_svm::Unsigned::for_simulation().transaction(versioned, waiver)?)
}

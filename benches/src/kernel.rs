//! The sequential engine beside bare revm.

use crate::{
    bare::{self, BareBlock},
    clock, table, workloads,
};
use alloy_eips::{Decodable2718, Encodable2718};
use clap::Args;
use eyre::{Context, OptionExt, bail, ensure};
use polity_engine::{Block, BlockOutput, Overlay, Sequential};
use polity_evm::{
    KIND, account, code_ref,
    spec::{ChainSpec, Fork},
};
use polity_kernel::{Machines, View};
use polity_replay::{FolderBlock, Library, Replay, data_root, discover};
use polity_types::LocalKey;
use serde::Serialize;
use std::time::Duration;

/// The sequential engine beside bare revm, in CPU time.
///
/// Both sides execute the same block in the same process, in turns; the least time of all turns
/// counts. Before the timing, receipts and states of both are compared.
#[derive(Args)]
pub(crate) struct Kernel {
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,

    /// Workloads of a twentieth of the size, and three turns: for a look, not for publication.
    #[arg(long)]
    quick: bool,

    /// How many turns.
    #[arg(long, value_name = "TIMES", value_parser = clap::value_parser!(u32).range(1..))]
    repeat: Option<u32>,

    /// Only the workloads whose names contain this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,

    /// Take the time of Polity alone: for a profiler.
    #[arg(long)]
    alone: bool,
}

/// A block for both sides.
struct Case {
    name: String,
    spec: ChainSpec,
    fork: Fork,
    machines: Machines,
    state: Overlay<'static>,
    block: Block,
    /// Whether no transaction may fail: one that does is none of the kind that is measured.
    all_succeed: bool,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    workload: String,
    transactions: usize,
    gas: u64,
    bare: Duration,
    polity: Duration,
}

impl Kernel {
    pub(crate) fn run(self) -> eyre::Result<()> {
        let mut rows = Vec::new();
        for workload in workloads::all(&self.only, self.quick)? {
            let case = Case {
                name: workload.name,
                spec: ChainSpec::single(Fork::Osaka),
                fork: Fork::Osaka,
                machines: workload.machines,
                state: workload.state,
                block: workload.block,
                all_succeed: true,
            };
            rows.push(self.row(&case)?);
        }
        if let Some(mut blocks) = self.mainnet()? {
            rows.append(&mut blocks);
        }
        if self.json {
            return table::result(&serde_json::to_string_pretty(&rows)?);
        }
        table::result(&text(&rows))
    }

    /// The recorded mainnet blocks with a header, each and together, and the decoding of their
    /// transactions.
    fn mainnet(&self) -> eyre::Result<Option<Vec<Row>>> {
        let Some(root) = data_root()? else {
            table::story("mainnet blocks skipped: POLITY_DATA is not set");
            return Ok(None);
        };
        let library = Library::new();
        let mut rows = Vec::new();
        let mut decoding = Vec::new();
        for folder in discover([root.join("mainnet")])? {
            let folder = library.open(&folder)?;
            let FolderBlock::Full(full) = &folder.block else { continue };
            let name = format!("mainnet {}", full.header.number);
            if !name.contains(&self.only) {
                continue;
            }
            let replay = Replay::new(&folder)?;
            let raw: Vec<Vec<u8>> =
                full.transactions.iter().map(|tx| tx.envelope.encoded_2718()).collect();
            decoding.push(self.decoding(&name, &replay, &raw)?);
            let spec = ChainSpec::mainnet();
            let Replay { fork, machines, state, block, .. } = replay;
            rows.push(self.row(&Case {
                name,
                spec,
                fork,
                machines,
                state,
                block,
                all_succeed: false,
            })?);
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let all = sum(&format!("mainnet, {} blocks", rows.len()), &rows);
        let decoded = sum("decoding of these (signatures)", &decoding);
        rows.extend([all, decoded]);
        Ok(Some(rows))
    }

    /// Executes the case on both sides, compares, and then takes the time in turns.
    fn row(&self, case: &Case) -> eyre::Result<Row> {
        let number = case.block.context.number;
        let bare_block = BareBlock::new(&case.spec, case.fork, &case.block)?;
        let pre_state = bare::database(&case.state, number)?;
        let mut engine = Sequential::new();
        let gas = case.compare(&bare_block, &pre_state, &mut engine)?;
        let mut row = Row {
            workload: case.name.clone(),
            transactions: case.block.transactions.len(),
            gas,
            bare: if self.alone { Duration::ZERO } else { Duration::MAX },
            polity: Duration::MAX,
        };
        for _ in 0..self.turns() {
            if !self.alone {
                let mut database = pre_state.clone();
                let transactions = bare_block.transactions();
                let (receipts, bare) =
                    clock::time(|| bare_block.execute(transactions, &mut database));
                drop((receipts?, database));
                row.bare = row.bare.min(bare);
            }
            let (output, polity) =
                clock::time(|| engine.execute(&case.machines, &case.state, &case.block));
            drop(output?);
            row.polity = row.polity.min(polity);
        }
        table::story(&line(&row).join("  "));
        Ok(row)
    }

    /// Takes the time of decoding raw transactions and recovering their senders.
    fn decoding(&self, name: &str, replay: &Replay, raw: &[Vec<u8>]) -> eyre::Result<Row> {
        let machine = replay.machines.get(KIND).ok_or_eyre("no Ethereum machine")?;
        let mut row = Row {
            workload: name.into(),
            transactions: raw.len(),
            gas: 0,
            bare: Duration::MAX,
            polity: Duration::MAX,
        };
        // Signatures take much longer than what varies from turn to turn.
        for _ in 0..self.turns().min(3) {
            let (bare, time) = clock::time(|| {
                raw.iter().map(|tx| bare_sender(tx)).collect::<eyre::Result<Vec<_>>>()
            });
            drop(bare?);
            row.bare = row.bare.min(time);
            let (decoded, time) = clock::time(|| {
                let decoded = raw.iter().map(|tx| machine.decode(tx, &replay.block.context));
                decoded.collect::<Result<Vec<_>, _>>()
            });
            drop(decoded?);
            row.polity = row.polity.min(time);
        }
        Ok(row)
    }

    fn turns(&self) -> u32 {
        self.repeat.unwrap_or(if self.quick { 3 } else { 10 })
    }
}

impl Case {
    /// Checks that both sides come to the same receipts and the same state; gives the gas used.
    fn compare(
        &self,
        bare_block: &BareBlock,
        pre_state: &bare::Database,
        engine: &mut Sequential,
    ) -> eyre::Result<u64> {
        let mut database = pre_state.clone();
        let receipts = bare_block
            .execute(bare_block.transactions(), &mut database)
            .wrap_err_with(|| format!("{}: bare revm", self.name))?;
        let output: BlockOutput = engine
            .execute(&self.machines, &self.state, &self.block)
            .wrap_err_with(|| format!("{}: polity", self.name))?;
        ensure!(receipts.len() == output.transactions.len(), "{}: receipts", self.name);
        for (index, (bare, ours)) in receipts.iter().zip(&output.transactions).enumerate() {
            let same = bare.gas_used == ours.receipt.gas_used
                && bare.success == ours.receipt.status.is_success()
                && bare.logs == polity_evm::logs(&ours.effects.events);
            ensure!(same, "{}: transaction {index} has another receipt", self.name);
            ensure!(bare.success || !self.all_succeed, "{}: {index} fails", self.name);
        }
        let mut state = Overlay::over(&self.state);
        for effects in output.effects() {
            state.apply(effects)?;
        }
        #[expect(clippy::iter_over_hash_type, reason = "every account and slot is compared")]
        for (address, theirs) in &database.cache.accounts {
            let id = account(*address);
            let ours = state.account(&id)?.unwrap_or_default();
            let info = theirs.info().unwrap_or_default();
            let same = ours.balance == info.balance
                && ours.sequence == info.nonce
                && ours.code == code_ref(info.code_hash);
            ensure!(same, "{}: {address} differs: {ours:?}, {info:?}", self.name);
            for (slot, value) in &theirs.storage {
                let ours = state.slot(&id, &LocalKey::storage(*slot))?;
                if ours.as_word() != Some(*value) {
                    bail!("{}: slot {slot} of {address} differs", self.name);
                }
            }
        }
        Ok(output.totals_of(KIND).gas_used)
    }
}

/// Decodes a raw transaction and recovers its sender, without Polity.
fn bare_sender(
    raw: &[u8],
) -> eyre::Result<(alloy_consensus::TxEnvelope, alloy_primitives::Address)> {
    use alloy_consensus::transaction::SignerRecoverable;
    let envelope = alloy_consensus::TxEnvelope::decode_2718(&mut &*raw)?;
    let sender = envelope.recover_signer_unchecked()?;
    Ok((envelope, sender))
}

fn sum(name: &str, rows: &[Row]) -> Row {
    Row {
        workload: name.into(),
        transactions: rows.iter().map(|row| row.transactions).sum(),
        gas: rows.iter().map(|row| row.gas).sum(),
        bare: rows.iter().map(|row| row.bare).sum(),
        polity: rows.iter().map(|row| row.polity).sum(),
    }
}

fn line(row: &Row) -> Vec<String> {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / row.transactions.max(1) as f64;
    vec![
        row.workload.clone(),
        row.transactions.to_string(),
        if row.gas == 0 { "–".into() } else { row.gas.to_string() },
        format!("{:.3}", milliseconds(row.bare)),
        format!("{:.3}", milliseconds(row.polity)),
        format!("{:.2}", row.polity.as_secs_f64() / row.bare.as_secs_f64()),
        format!("{:.2}", each(row.bare)),
        format!("{:.2}", each(row.polity)),
    ]
}

fn text(rows: &[Row]) -> String {
    let head =
        ["workload", "txs", "gas", "revm ms", "polity ms", "ratio", "revm µs/tx", "polity µs/tx"];
    table::markdown(&head, rows.iter().map(line).collect())
}

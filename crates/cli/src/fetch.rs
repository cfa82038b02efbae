//! `polity fetch`.

use crate::output;
use clap::{Args, ValueEnum};
use eyre::{Context, bail};
use indicatif::ProgressBar;
use polity_engine::{Overlay, Sequential};
use polity_replay::{
    AncestorHashes, BlockChoice, BlockFolder, FetchOptions, Fetched, PreStateFrom, Progress,
    RemoteBlock, Replay, RpcOptions, SourceView, WriteMode, fetch, read_genesis, write,
};
use serde::Serialize;
use std::{path::PathBuf, str::FromStr, time::Duration};

const EXAMPLES: &str = "\
Examples:
  polity fetch --rpc-url http://localhost:8545 --block latest
  polity fetch --rpc-url https://… --block 19426587 --out blocks/19426587
  polity fetch --rpc-url http://localhost:8545 --block 7 --genesis genesis.json

The folder is written whole or not at all. `polity run FOLDER` then executes it.";

/// Write a block folder from any Ethereum node.
///
/// The state before the block is found by the node's prestate tracer, or,
/// where the node has no debug namespace, by executing the block here and
/// asking for what it reads. The node must still have the state of the parent
/// block.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Fetch {
    /// The node's JSON-RPC address.
    #[arg(long, env = "POLITY_RPC_URL", value_name = "U", hide_env_values = true)]
    rpc_url: String,

    /// The block: a number, a hash, or `latest`.
    #[arg(long, env = "POLITY_BLOCK", value_name = "N", default_value = "latest")]
    block: Choice,

    /// The folder to write [default: the block's number].
    #[arg(long, env = "POLITY_OUT", value_name = "FOLDER")]
    out: Option<PathBuf>,

    /// Replace the folder if it exists.
    #[arg(long, env = "POLITY_FORCE")]
    force: bool,

    /// The genesis file, in geth's format, of a chain that is not mainnet.
    #[arg(long, env = "POLITY_GENESIS", value_name = "FILE")]
    genesis: Option<PathBuf>,

    /// Take the chain for a development chain with every fork from block 0.
    #[arg(long, env = "POLITY_DEV_CHAIN", conflicts_with = "genesis")]
    dev_chain: bool,

    /// How to find the state before the block.
    #[arg(long, env = "POLITY_PRE_STATE", value_enum, default_value_t = PreState::Auto)]
    pre_state: PreState,

    /// The longest time for one request, in seconds.
    #[arg(long, env = "POLITY_TIMEOUT", value_name = "SECONDS", default_value_t = 30)]
    timeout: u64,

    /// Print JSON.
    #[arg(long, env = "POLITY_JSON")]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum PreState {
    /// By the tracer, else by execution.
    Auto,
    /// By the node's tracer only.
    Tracer,
    /// By execution only.
    Execution,
}

#[derive(Clone, Copy)]
struct Choice(BlockChoice);

impl FromStr for Choice {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "latest" {
            return Ok(Self(BlockChoice::Latest));
        }
        if let Some(digits) = text.strip_prefix("0x") {
            if digits.len() == 64
                && let Ok(hash) = text.parse()
            {
                return Ok(Self(BlockChoice::Hash(hash)));
            }
            if let Ok(number) = u64::from_str_radix(digits, 16) {
                return Ok(Self(BlockChoice::Number(number)));
            }
        }
        let number =
            text.parse().map_err(|_| "neither a number, nor a block hash, nor `latest`")?;
        Ok(Self(BlockChoice::Number(number)))
    }
}

#[derive(Serialize)]
struct Written {
    folder: PathBuf,
    block: u64,
    transactions: usize,
    accounts: usize,
    slots: usize,
    codes: usize,
}

impl Fetch {
    pub(crate) fn run(self) -> eyre::Result<bool> {
        let options = FetchOptions {
            rpc: RpcOptions {
                timeout: Duration::from_secs(self.timeout.max(1)),
                ..RpcOptions::default()
            },
            ancestor_hashes: AncestorHashes::WhenUsed,
            pre_state: match self.pre_state {
                PreState::Auto => PreStateFrom::Auto,
                PreState::Tracer => PreStateFrom::Tracer,
                PreState::Execution => PreStateFrom::Execution,
            },
            genesis: self.genesis.as_deref().map(read_genesis).transpose()?,
            dev_chain: self.dev_chain,
        };
        let bar = output::progress(0, "fetch");
        let fetched = fetch(&self.rpc_url, self.block.0, &options, &mut |step| show(&bar, &step))?;
        let folder = match fetched {
            Fetched::Complete(folder) => *folder,
            Fetched::NeedsExecution(block) => executed(*block)?,
        };
        bar.finish_and_clear();
        let target = self.out.unwrap_or_else(|| PathBuf::from(folder.number().to_string()));
        let mode = if self.force { WriteMode::Replace } else { WriteMode::New };
        write(&folder, &target, mode).wrap_err_with(|| match mode {
            WriteMode::New if target.exists() => {
                format!("{} exists: name another with --out, or use --force", target.display())
            }
            _ => format!("writing {}", target.display()),
        })?;
        let written = Written {
            block: folder.number(),
            transactions: folder.transaction_count(),
            accounts: folder.pre_state.len(),
            slots: folder.pre_state.values().map(|account| account.storage.len()).sum(),
            codes: folder.codes.len(),
            folder: target,
        };
        if self.json {
            output::json(&written)?;
        } else {
            let Written { folder, block, transactions, accounts, slots, codes } = &written;
            output::result(&folder.display().to_string())?;
            output::story(&format!(
                "block {block}: {transactions} transactions, {accounts} accounts, {slots} slots, \
                 {codes} codes"
            ));
        }
        Ok(true)
    }
}

/// Executes the block over the node's state, so that the folder holds what the
/// execution read.
fn executed(remote: RemoteBlock) -> eyre::Result<BlockFolder> {
    let replay = Replay::full(&remote.block, Overlay::empty())?;
    let output = replay
        .execute_on(&mut Sequential::new(), &SourceView(&remote.state))
        .wrap_err("executing the block to find out what it reads")?;
    let verdict = replay.verdict(&output)?;
    if !verdict.is_equal() {
        bail!(
            "executing the block gives other results than its header says ({verdict:?}): the \
             node's state is not that of the parent block, or the chain has other rules; see \
             --genesis"
        );
    }
    Ok(remote.into_folder())
}

fn show(bar: &ProgressBar, step: &Progress) {
    let (done, total, what) = match step {
        Progress::Block { number, transactions } => {
            bar.set_message(format!("block {number}, {transactions} transactions"));
            return;
        }
        Progress::Tracing => {
            bar.set_message("the node traces the block");
            return;
        }
        Progress::NoTracer { reason } => {
            bar.suspend(|| {
                output::story(&format!("the node does not trace ({reason}): executing the block"));
            });
            return;
        }
        Progress::State { done, total } => (*done, *total, "accounts and slots"),
        Progress::BlockHashes { done, total } => (*done, *total, "block hashes"),
        _ => return,
    };
    bar.set_length(total as u64);
    bar.set_position(done as u64);
    bar.set_message(what);
}

//! `polity trace`.

mod picture;
mod tree;

use crate::output;
use clap::Args;
use eyre::{Context, bail};
use polity_remote::{RpcClient, RpcOptions};
use serde_json::json;
use std::{fs, path::PathBuf, time::Duration};

const EXAMPLES: &str = "\
Examples:
  polity trace 0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060
  polity trace 5VERv8NMvzbJMEkV8xnrLkEaWRtSz9CosKDYjCJjBRnbJLgp8uirBgmQpjKhoR4tjF3ZpRzrFmBV6UjKdiSZkQUW
  polity trace latest/0 --svg trace.svg
  polity trace 17/2 --rpc-url http://localhost:8545 --json

A line per frame: the machine, the kind of call, who calls whom, value, gas in the machine's own
unit, and how it ended. The node must still have the state before the block.";

/// Show the call tree of a transaction over all machines.
///
/// Asks a Polity node, which executes the transaction again. What a frame did
/// that failed, and what frames inside it did, is marked as undone.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Trace {
    /// The transaction: a hash, a Solana signature, or BLOCK/INDEX.
    #[arg(value_name = "TX")]
    transaction: String,

    /// The node's JSON-RPC address.
    #[arg(
        long,
        env = "POLITY_RPC_URL",
        value_name = "U",
        default_value = "http://127.0.0.1:8545",
        hide_env_values = true
    )]
    rpc_url: String,

    /// Draw the tree as an SVG picture: a row per depth, as wide as the gas that was used.
    #[arg(long, env = "POLITY_SVG", value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Write accounts in full.
    #[arg(long, env = "POLITY_FULL")]
    full: bool,

    /// The longest time for the request, in seconds.
    #[arg(long, env = "POLITY_TIMEOUT", value_name = "SECONDS", default_value_t = 120)]
    timeout: u64,

    /// Print JSON: the node's answer.
    #[arg(long, env = "POLITY_JSON")]
    json: bool,
}

impl Trace {
    pub(crate) fn run(self) -> eyre::Result<bool> {
        let asked = asked(&self.transaction)?;
        let timeout = Duration::from_secs(self.timeout.max(1));
        let options = RpcOptions { trace_timeout: timeout, ..RpcOptions::default() };
        let client = RpcClient::new(&self.rpc_url, options)?;
        let answer = client.trace("polity_traceTransaction", &json!([asked]))?;
        let traced = tree::Traced::parse(answer.get()).wrap_err("the node's answer is no trace")?;
        if let Some(file) = &self.svg {
            fs::write(file, picture::svg(&traced))
                .wrap_err_with(|| format!("cannot write {}", file.display()))?;
            output::story(&format!("drew {}", file.display()));
        }
        if self.json {
            output::result(answer.get())?;
        } else {
            output::result(traced.text(self.full).trim_end())?;
        }
        Ok(true)
    }
}

/// The transaction as the node is asked for it.
fn asked(text: &str) -> eyre::Result<serde_json::Value> {
    let Some((block, index)) = text.split_once('/') else { return Ok(json!(text)) };
    let Ok(index) = index.parse::<u64>() else {
        bail!("{text}: what follows the / is the transaction's index in the block, a number");
    };
    let block = match block.parse::<u64>() {
        Ok(number) => format!("{number:#x}"),
        Err(_) => block.to_owned(),
    };
    Ok(json!({ "block": block, "index": format!("{index:#x}") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_named_by_its_hash_or_place() {
        assert_eq!(asked("0xab").unwrap(), json!("0xab"));
        assert_eq!(asked("17/2").unwrap(), json!({ "block": "0x11", "index": "0x2" }));
        assert_eq!(asked("latest/0").unwrap(), json!({ "block": "latest", "index": "0x0" }));
        assert!(asked("17/x").is_err());
    }
}

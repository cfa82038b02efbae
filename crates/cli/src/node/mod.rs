//! `polity node`.

mod options;
#[cfg(feature = "svm")]
mod solana;

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use alloy_primitives::{Address, B256};
use eyre::{Context, bail};
use polity_node::{
    Node,
    chain::Event,
    eth::{CLIENT_VERSION, Ethereum, forget_filters},
    metrics,
    rpc::{Door, Server, Service},
};
use serde::Serialize;

pub(crate) use options::{NodeOptions, with_config_file};

/// What a node says of itself when it is ready, and writes to `--config-out`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ready {
    version: &'static str,
    chain_id: u64,
    /// The rules.
    fork: String,
    block_number: u64,
    block_hash: B256,
    gas_limit: u64,
    base_fee: Option<u64>,
    /// The chain that this one goes on from.
    #[serde(skip_serializing_if = "Option::is_none")]
    forked: Option<Forked>,
    /// Where Ethereum's tools connect to, by HTTP.
    ethereum_http: String,
    /// Likewise, by WebSocket.
    ethereum_ws: String,
    /// Where Solana's tools connect to, and with which keys.
    #[cfg(feature = "svm")]
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    solana: Option<solana::Ready>,
    mnemonic: Option<String>,
    derivation_path: Option<String>,
    accounts: Vec<Account>,
    /// Where the chain is kept; in memory where it is absent.
    data_dir: Option<PathBuf>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Forked {
    chain_id: u64,
    block_number: u64,
    block_hash: B256,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    address: Address,
    private_key: B256,
}

impl NodeOptions {
    /// Runs a node until it is told to stop.
    pub(crate) fn run(self) -> eyre::Result<bool> {
        self.start_log();
        let addresses = self.addresses()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(self.serve(addresses)).map(|()| true)
    }

    async fn serve(self, addresses: Vec<SocketAddr>) -> eyre::Result<()> {
        let config = self.config()?;
        // A fork begins with questions to another node, for which threads that serve do not wait.
        let started = tokio::task::spawn_blocking(move || Node::start(&config)).await?;
        let node = Arc::new(started.wrap_err("starting the node")?);
        let door = Ethereum::door(node.clone());
        metrics::install();
        tokio::spawn(metrics::watch(door.clone()));
        tokio::spawn(forget_filters(door.clone()));
        let mut servers = Vec::new();
        for address in addresses {
            let methods = Ethereum::methods(node.powers);
            let service = Service::new(door.clone(), methods, node.config.limits);
            servers.push(Server::start(address, service, metrics::render).await?);
        }
        #[cfg_attr(not(feature = "svm"), expect(unused_mut, reason = "nothing is added"))]
        let mut ready = self.ready(&node, &servers)?;
        #[cfg(feature = "svm")]
        if !self.no_solana {
            let (ready_solana, more) = self.serve_solana(&door).await?;
            ready.solana = Some(ready_solana);
            servers.extend(more);
        }
        if let Some(path) = &self.config_out {
            write(path, &serde_json::to_string_pretty(&ready)?)?;
        }
        if self.json {
            crate::output::json(&ready)?;
        } else if !self.quiet {
            crate::output::result(&banner(&ready))?;
        }
        // From now on it is the one behind the door, which can be another.
        drop(node);
        let story = (!self.quiet).then(|| tokio::spawn(tell(door.clone())));
        stopped().await?;
        crate::output::story("stopping");
        for server in servers {
            server.stop().await;
        }
        if let Some(story) = story {
            story.abort();
        }
        tokio::task::spawn_blocking(move || door.get().node.stop()).await??;
        Ok(())
    }

    /// Where to listen. Powers of development are for loopback, unless it is
    /// said otherwise.
    fn addresses(&self) -> eyre::Result<Vec<SocketAddr>> {
        let foreign = self.host.iter().find(|host| !host.is_loopback());
        if let Some(host) = foreign.filter(|_| !self.no_development && !self.public_development) {
            bail!(
                "on {host} others could edit this chain: its development methods are open to \
                 whoever connects. Give --no-development to serve it without them, or \
                 --public-development if that is what you want"
            );
        }
        Ok(self.host.iter().map(|host: &IpAddr| SocketAddr::new(*host, self.port)).collect())
    }

    fn ready(&self, node: &Node, servers: &[Server]) -> eyre::Result<Ready> {
        let head = node.chain.head();
        let Some(address) = servers.first().map(Server::address) else {
            bail!("no address to listen on: give --host");
        };
        let keys = node.accounts.keys();
        let accounts = keys.map(|(address, private_key)| Account { address, private_key });
        let has_accounts = !node.accounts.addresses().is_empty();
        Ok(Ready {
            version: CLIENT_VERSION,
            chain_id: node.chain.spec().chain_id,
            fork: node.chain.fork(&head.header).to_string(),
            block_number: head.number(),
            block_hash: head.hash,
            gas_limit: head.header.gas_limit,
            base_fee: head.header.base_fee_per_gas,
            forked: node.chain.remote().map(|remote| Forked {
                chain_id: remote.origin().chain_id,
                block_number: remote.number(),
                block_hash: remote.origin().header.hash,
            }),
            ethereum_http: format!("http://{address}"),
            ethereum_ws: format!("ws://{address}"),
            #[cfg(feature = "svm")]
            solana: None,
            mnemonic: has_accounts.then(|| self.mnemonic.clone()),
            derivation_path: has_accounts.then(|| self.derivation_path.clone()),
            accounts: accounts.collect(),
            data_dir: self.data_dir.clone(),
        })
    }

    fn start_log(&self) {
        let filter = tracing_subscriber::EnvFilter::try_new(&self.log)
            .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
        // In a process that logs already, that goes on.
        let _ = tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_env_filter(filter)
            .try_init();
    }
}

fn write(path: &Path, text: &str) -> eyre::Result<()> {
    fs::write(path, text).wrap_err_with(|| format!("writing {}", path.display()))
}

/// What people want to see first.
fn banner(ready: &Ready) -> String {
    let mut lines = vec![format!("{} · chain {} · {}", ready.version, ready.chain_id, ready.fork)];
    if !ready.accounts.is_empty() {
        lines.push(String::new());
        lines.push("accounts".into());
        for (index, account) in ready.accounts.iter().enumerate() {
            lines.push(format!("  ({index}) {}", account.address));
        }
        lines.push(String::new());
        lines.push("private keys (known to everyone: for development only)".into());
        for (index, account) in ready.accounts.iter().enumerate() {
            lines.push(format!("  ({index}) {}", account.private_key));
        }
        lines.push(String::new());
        #[cfg(feature = "svm")]
        if let Some(solana) = &ready.solana {
            lines.extend(solana.banner());
            lines.push(String::new());
        }
        if let (Some(mnemonic), Some(path)) = (&ready.mnemonic, &ready.derivation_path) {
            lines.push(format!("mnemonic   {mnemonic}"));
            lines.push(format!("path       {path}"));
        }
    }
    lines.push(match &ready.data_dir {
        Some(folder) => format!("data       {}", folder.display()),
        None => "data       in memory; --data-dir keeps it".into(),
    });
    if let Some(forked) = &ready.forked {
        let Forked { chain_id, block_number, .. } = forked;
        lines.push(format!("fork       of chain {chain_id} at block {block_number}"));
    }
    lines.push(format!("block      {} {}", ready.block_number, ready.block_hash));
    lines.push(format!("Ethereum   {} and {}", ready.ethereum_http, ready.ethereum_ws));
    #[cfg(feature = "svm")]
    if let Some(solana) = &ready.solana {
        lines.push(format!("Solana     {} and {}", solana.solana_http, solana.solana_ws));
    }
    lines.join("\n")
}

/// Tells of every block.
async fn tell(door: Door<Ethereum>) {
    use tokio::sync::broadcast::error::RecvError;
    let mut events = door.get().node.chain.subscribe();
    loop {
        let text = match events.recv().await {
            Ok(Event::Added(block)) => format!(
                "block {} {} · {} transactions · {} gas",
                block.number(),
                block.hash,
                block.len(),
                block.header.gas_used
            ),
            Ok(Event::Removed(blocks)) => format!("{} blocks taken back", blocks.len()),
            Err(RecvError::Lagged(missed)) => format!("{missed} more blocks"),
            // Another chain has taken its place.
            Err(RecvError::Closed) => {
                let chain = door.get().node.chain.clone();
                events = chain.subscribe();
                format!("began anew at block {}", chain.head().number())
            }
        };
        crate::output::story(&text);
    }
}

/// Waits for the signal to stop.
async fn stopped() -> eyre::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        _ = terminate.recv() => Ok(()),
    }
}

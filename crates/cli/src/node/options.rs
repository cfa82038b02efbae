use std::{
    ffi::OsString,
    fs::{self, File},
    io::BufReader,
    net::IpAddr,
    num::NonZeroUsize,
    path::PathBuf,
    time::Duration,
};

use alloy_primitives::{Address, U256};
use clap::{Args, CommandFactory, ValueEnum};
use eyre::{Context, bail};
use polity_evm::spec::Fork;
#[cfg(feature = "svm")]
use polity_node::solana::SolanaGuest;
use polity_node::{
    accounts::{DERIVATION_PATH, MNEMONIC},
    config::{Config, Limits},
    fork::Forking,
    miner::Mining,
    pool::Order,
};
use polity_state::History;

const EXAMPLES: &str = "\
Examples:
  polity node                                     a chain in memory, ten funded accounts, port 8545
  polity node --data-dir data                     the same, and it goes on where it stopped
  polity node --block-time 12 --port 8546
  polity node --no-mining --config-out node.json
  polity node --genesis genesis.json --accounts 0
  polity node --fork-url https://HOST/KEY --fork-block 20000000
  polity node --config node.toml                  flags from a file: port = 8546

Exit status: 0 if it was stopped, 2 if it could not run.";

/// Run a development chain that the tools of Ethereum and Solana take for their own.
#[derive(Args)]
#[command(after_help = EXAMPLES, args_override_self = true)]
pub(crate) struct NodeOptions {
    /// A TOML file with flags: `block-time = 12`. Flags and environment variables win over it.
    #[arg(long, env = "POLITY_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// The addresses to listen on.
    #[arg(
        long,
        env = "POLITY_HOST",
        value_name = "IP,…",
        value_delimiter = ',',
        default_value = "127.0.0.1"
    )]
    pub(super) host: Vec<IpAddr>,

    /// The port of the Ethereum JSON-RPC, for HTTP and WebSocket; 0 takes any that is free.
    #[arg(long, short, env = "POLITY_PORT", value_name = "PORT", default_value_t = 8545)]
    pub(super) port: u16,

    /// The port of the Solana JSON-RPC; its subscriptions are on the one after it. 0 takes any two
    /// that are free [default: 8899, or 0 with --port 0].
    #[cfg(feature = "svm")]
    #[arg(long, env = "POLITY_SOLANA_PORT", value_name = "PORT")]
    pub(super) solana_port: Option<u16>,

    /// Make a chain without Solana's machine, and serve no JSON-RPC of it.
    #[cfg(feature = "svm")]
    #[arg(long, env = "POLITY_NO_SOLANA")]
    pub(super) no_solana: bool,

    /// Keep the chain in this folder and go on with the one that is there.
    #[arg(long, env = "POLITY_DATA_DIR", value_name = "FOLDER")]
    pub(super) data_dir: Option<PathBuf>,

    /// The first block, in geth's format, instead of a development chain's.
    #[arg(long, env = "POLITY_GENESIS", value_name = "FILE")]
    genesis: Option<PathBuf>,

    /// Go on from a block of another chain, asking this node for what is not known here.
    #[arg(long, short, env = "POLITY_FORK_URL", value_name = "URL", conflicts_with = "genesis")]
    fork_url: Option<String>,

    /// With --fork-url: the block to go on from [default: the latest].
    #[arg(long, env = "POLITY_FORK_BLOCK", value_name = "N", requires = "fork_url")]
    fork_block: Option<u64>,

    /// With --fork-url: keep the node's answers in this folder [default: beside the chain, where it
    /// is kept].
    #[arg(long, env = "POLITY_FORK_CACHE", value_name = "FOLDER", requires = "fork_url")]
    fork_cache: Option<PathBuf>,

    /// With --fork-url: the most seconds that the node may take for an answer.
    #[arg(long, env = "POLITY_FORK_TIMEOUT", value_name = "SECONDS", default_value_t = 15)]
    fork_timeout: u64,

    /// With --fork-url: how often the node is asked again where it does not answer.
    #[arg(long, env = "POLITY_FORK_RETRIES", value_name = "N", default_value_t = 2)]
    fork_retries: u32,

    /// The chain id [default: 31337, or that of the chain that is forked].
    #[arg(long, env = "POLITY_CHAIN_ID", value_name = "ID")]
    chain_id: Option<u64>,

    /// The rules, by the name of the fork [default: osaka, or those of the chain that is forked where
    /// they are known].
    #[arg(long, env = "POLITY_HARDFORK", value_name = "FORK", value_parser = fork)]
    hardfork: Option<Fork>,

    /// How many accounts have keys and funds.
    #[arg(long, short, env = "POLITY_ACCOUNTS", value_name = "N", default_value_t = 10)]
    accounts: u32,

    /// What each of them has at first, in ether; in SOL those of Solana.
    #[arg(long, env = "POLITY_BALANCE", value_name = "ETHER", default_value_t = 10_000)]
    balance: u64,

    /// What they are derived from (BIP-39).
    #[arg(long, short, env = "POLITY_MNEMONIC", value_name = "WORDS", default_value = MNEMONIC)]
    pub(super) mnemonic: String,

    /// The path under which they are derived; the index follows.
    #[arg(long, env = "POLITY_DERIVATION_PATH", value_name = "PATH", default_value = DERIVATION_PATH)]
    pub(super) derivation_path: String,

    /// Make a block every so many seconds, instead of one for every transaction.
    #[arg(long, short, env = "POLITY_BLOCK_TIME", value_name = "SECONDS", value_parser = seconds)]
    block_time: Option<Duration>,

    /// With --block-time: make a block for every transaction as well.
    #[arg(long, env = "POLITY_MIXED_MINING", requires = "block_time")]
    mixed_mining: bool,

    /// Make blocks only on request (`evm_mine`).
    #[arg(long, env = "POLITY_NO_MINING", conflicts_with = "block_time")]
    no_mining: bool,

    /// The order of transactions in a block.
    #[arg(long, env = "POLITY_ORDER", value_name = "ORDER", default_value = "fees")]
    order: OrderOption,

    /// The gas limit of a block.
    #[arg(long, env = "POLITY_GAS_LIMIT", value_name = "GAS", default_value_t = 30_000_000)]
    gas_limit: u64,

    /// The base fee of the first block, in wei.
    #[arg(long, env = "POLITY_BASE_FEE", value_name = "WEI", default_value_t = 1_000_000_000)]
    base_fee: u64,

    /// Who receives the fees.
    #[arg(long, env = "POLITY_BENEFICIARY", value_name = "ADDRESS", default_value_t = Address::ZERO)]
    beneficiary: Address,

    /// The time of the first block, in seconds since 1970; the chain's clock goes on from there.
    #[arg(long, env = "POLITY_TIMESTAMP", value_name = "SECONDS")]
    timestamp: Option<u64>,

    /// The height of the first block.
    #[arg(long, env = "POLITY_NUMBER", value_name = "N", default_value_t = 0)]
    number: u64,

    /// Keep the state of so many last blocks instead of all.
    #[arg(long, env = "POLITY_HISTORY", value_name = "BLOCKS")]
    history: Option<u64>,

    /// How many threads execute a block [default: one for each processor].
    #[arg(long, env = "POLITY_THREADS", value_name = "N")]
    threads: Option<NonZeroUsize>,

    /// How many transactions may wait for a block.
    #[arg(long, env = "POLITY_POOL_LIMIT", value_name = "N", default_value_t = 500_000)]
    pool_limit: usize,

    /// Serve the chain without the methods that edit it, and make accounts without keys here
    /// unable to send.
    #[arg(long, env = "POLITY_NO_DEVELOPMENT")]
    pub(super) no_development: bool,

    /// Serve the methods that edit the chain on addresses that others can reach, too.
    #[arg(long, env = "POLITY_PUBLIC_DEVELOPMENT")]
    pub(super) public_development: bool,

    /// The most bytes of a request.
    #[arg(long, env = "POLITY_MAX_BODY", value_name = "BYTES", default_value_t = Limits::default().body)]
    max_body: usize,

    /// The most requests in a batch.
    #[arg(long, env = "POLITY_MAX_BATCH", value_name = "N", default_value_t = Limits::default().batch)]
    max_batch: usize,

    /// The most connections at the same time.
    #[arg(long, env = "POLITY_MAX_CONNECTIONS", value_name = "N", default_value_t = Limits::default().connections)]
    max_connections: usize,

    /// The most blocks that a search for logs looks at.
    #[arg(long, env = "POLITY_MAX_LOG_BLOCKS", value_name = "N", default_value_t = Limits::default().log_blocks)]
    max_log_blocks: u64,

    /// The most gas of a simulated call.
    #[arg(long, env = "POLITY_CALL_GAS", value_name = "GAS", default_value_t = Limits::default().call_gas)]
    call_gas: u64,

    /// The most seconds that a request may take.
    #[arg(long, env = "POLITY_MAX_SECONDS", value_name = "SECONDS", default_value_t = Limits::default().seconds)]
    max_seconds: u64,

    /// Write where it listens and its accounts to this file, as JSON.
    #[arg(long, env = "POLITY_CONFIG_OUT", value_name = "FILE")]
    pub(super) config_out: Option<PathBuf>,

    /// Print where it listens and its accounts as JSON.
    #[arg(long, env = "POLITY_JSON")]
    pub(super) json: bool,

    /// Print nothing but errors.
    #[arg(long, short, env = "POLITY_QUIET")]
    pub(super) quiet: bool,

    /// What is logged to the standard error, as tracing's filters say it.
    #[arg(long, env = "POLITY_LOG", value_name = "FILTER", default_value = "warn")]
    pub(super) log: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum OrderOption {
    /// Those that pay the most first.
    Fees,
    /// As they arrived.
    Fifo,
}

impl NodeOptions {
    pub(super) fn config(&self) -> eyre::Result<Config> {
        let mining = match (self.block_time, self.no_mining) {
            (_, true) => Mining::Manual,
            (Some(time), _) if self.mixed_mining => Mining::Mixed(time),
            (Some(time), _) => Mining::Interval(time),
            (None, _) => Mining::Instant,
        };
        let genesis = self.genesis.as_ref().map(|path| {
            let file = File::open(path)
                .wrap_err_with(|| format!("opening the genesis file {}", path.display()))?;
            serde_json::from_reader(BufReader::new(file))
                .wrap_err_with(|| format!("the genesis file {}", path.display()))
        });
        let defaults = Config::default();
        let config = Config {
            genesis: genesis.transpose()?,
            forking: self.fork_url.as_ref().map(|url| self.forking(url)),
            guests: defaults.guests,
            chain_id: self.chain_id.unwrap_or(defaults.chain_id),
            fork: self.hardfork.unwrap_or(defaults.fork),
            first_block: self.number,
            timestamp: self.timestamp,
            accounts: self.accounts,
            balance: U256::from(self.balance) * U256::from(10).pow(U256::from(18)),
            mnemonic: self.mnemonic.clone(),
            derivation_path: self.derivation_path.clone(),
            gas_limit: self.gas_limit,
            base_fee: self.base_fee,
            beneficiary: self.beneficiary,
            mining,
            order: match self.order {
                OrderOption::Fees => Order::Fees,
                OrderOption::Fifo => Order::Arrival,
            },
            data_dir: self.data_dir.clone(),
            history: self.history.map_or(History::Archive, History::Blocks),
            threads: self.threads.unwrap_or(defaults.threads),
            pool_limit: self.pool_limit,
            development: !self.no_development,
            limits: Limits {
                body: self.max_body,
                batch: self.max_batch,
                connections: self.max_connections,
                log_blocks: self.max_log_blocks,
                call_gas: self.call_gas,
                seconds: self.max_seconds,
                ..defaults.limits
            },
        };
        self.with_guests(config)
    }

    /// The configuration with the machines beside Ethereum's.
    #[cfg(feature = "svm")]
    fn with_guests(&self, mut config: Config) -> eyre::Result<Config> {
        if !self.no_solana {
            config.guests = config.guests.clone().with(SolanaGuest::of(&config)?);
        }
        Ok(config)
    }

    /// The configuration: there are no machines beside Ethereum's.
    #[cfg(not(feature = "svm"))]
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "with others it can fail")]
    fn with_guests(&self, config: Config) -> eyre::Result<Config> {
        Ok(config)
    }

    fn forking(&self, url: &str) -> Forking {
        let mut forking = Forking {
            block: self.fork_block,
            cache: self.fork_cache.clone(),
            chain_id: self.chain_id,
            hardfork: self.hardfork,
            ..Forking::of(url)
        };
        forking.rpc.timeout = Duration::from_secs(self.fork_timeout);
        forking.rpc.retries = self.fork_retries;
        forking
    }
}

fn fork(name: &str) -> Result<Fork, String> {
    let named = |fork: &Fork| fork.name().eq_ignore_ascii_case(name);
    Fork::ALL.into_iter().find(named).ok_or_else(|| {
        let names: Vec<&str> = Fork::ALL.into_iter().map(Fork::name).collect();
        format!("no such fork; there are {}", names.join(", "))
    })
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "not a time to wait".to_owned())
}

/// The arguments with the flags of `--config FILE` among them, those left out that are given
/// otherwise.
pub(crate) fn with_config_file<C: CommandFactory>(
    arguments: Vec<OsString>,
) -> eyre::Result<Vec<OsString>> {
    let Some(path) = config_file(&arguments) else { return Ok(arguments) };
    let text = fs::read_to_string(&path)
        .wrap_err_with(|| format!("reading the configuration {}", path.display()))?;
    let table: toml::Table =
        text.parse().wrap_err_with(|| format!("the configuration {}", path.display()))?;
    let command = C::command();
    let Some(node) = command.find_subcommand("node") else { return Ok(arguments) };
    let mut given = Vec::new();
    for (key, value) in &table {
        let Some(argument) = node.get_arguments().find(|arg| arg.get_long() == Some(key)) else {
            bail!("{}: there is no flag --{key}; polity node --help lists them", path.display());
        };
        if argument.get_env().is_some_and(|name| std::env::var_os(name).is_some()) {
            continue;
        }
        match value {
            toml::Value::Boolean(true) => given.push(format!("--{key}").into()),
            toml::Value::Boolean(false) => {}
            toml::Value::String(text) => given.push(format!("--{key}={text}").into()),
            other => given.push(format!("--{key}={other}").into()),
        }
    }
    // After the subcommand, before the flags, which so win over them.
    let mut arguments = arguments;
    let at = arguments.iter().position(|argument| argument == "node").map_or(0, |at| at + 1);
    arguments.splice(at..at, given);
    Ok(arguments)
}

/// The file that `polity node --config` names, if it is that command.
fn config_file(arguments: &[OsString]) -> Option<PathBuf> {
    if arguments.get(1)? != "node" {
        return None;
    }
    let mut rest = arguments.iter().skip(2);
    while let Some(argument) = rest.next() {
        let Some(text) = argument.to_str() else { continue };
        if text == "--config" {
            return rest.next().map(PathBuf::from);
        }
        if let Some(path) = text.strip_prefix("--config=") {
            return Some(path.into());
        }
    }
    std::env::var_os("POLITY_CONFIG").map(PathBuf::from)
}

//! Development chains as processes of their own: `polity node`, and anvil beside it.

mod http;
pub mod tools;
mod wallet;

pub use http::{Connection, Request};
pub use wallet::{Transaction, Wallet};

use serde_json::{Value, json};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The chain id of development chains.
pub const CHAIN: u64 = 31_337;

/// How long a node may take until it answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// A node that runs until this is dropped.
#[derive(Debug)]
pub struct Node {
    process: Child,
    address: SocketAddr,
}

/// Why a node, or a tool, could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The operating system refuses.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The process ended or does not answer.
    #[error("{program} {what}")]
    Silent {
        /// The program.
        program: String,
        /// What it did instead.
        what: String,
    },
    /// The answer is none, or is an error.
    #[error("{method}: {answer}")]
    Answer {
        /// What was asked.
        method: String,
        /// What was answered.
        answer: String,
    },
}

impl NodeError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

impl Node {
    /// Starts `polity node`, given the path of `polity`, on a free port.
    ///
    /// # Errors
    /// It does not start, or does not answer.
    pub fn polity(binary: &Path, arguments: &[&str]) -> Result<Self, NodeError> {
        let mut command = Command::new(binary);
        // What the caller's environment sets must not reach the node.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("POLITY_")) {
            command.env_remove(name);
        }
        Self::start(command.args(["node", "--solana-port", "0"]).args(arguments))
    }

    /// Starts anvil on a free port.
    ///
    /// # Errors
    /// It does not start, or does not answer.
    pub fn anvil(binary: &Path, arguments: &[&str]) -> Result<Self, NodeError> {
        Self::start(Command::new(binary).arg("--silent").args(arguments))
    }

    fn start(command: &mut Command) -> Result<Self, NodeError> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr());
        let address = free.map_err(NodeError::io("no port is free"))?;
        let program = command.get_program().to_string_lossy().into_owned();
        let process = command
            .args(["--host", "127.0.0.1", "--port", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(NodeError::io(format!("{program} does not start")))?;
        let mut node = Self { process, address };
        let start = Instant::now();
        loop {
            if node.call("eth_chainId", json!([])).is_ok() {
                return Ok(node);
            }
            let ended = node.process.try_wait().map_err(NodeError::io("the node is lost"))?;
            if let Some(status) = ended {
                return Err(NodeError::Silent { program, what: format!("ended with {status}") });
            }
            if start.elapsed() > PATIENCE {
                let what = format!("did not answer for {PATIENCE:?}");
                return Err(NodeError::Silent { program, what });
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// A connection to it.
    ///
    /// # Errors
    /// It does not listen.
    pub fn connect(&self) -> Result<Connection, NodeError> {
        Connection::open(self.address)
    }

    /// One request over a connection of its own.
    ///
    /// # Errors
    /// It does not answer, or answers with an error.
    pub fn call(&self, method: &str, params: Value) -> Result<Value, NodeError> {
        self.connect()?.call(method, params)
    }

    /// Ends the process at once, as a loss of power would.
    pub fn kill(&mut self) {
        // Where it has ended already, there is nothing to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

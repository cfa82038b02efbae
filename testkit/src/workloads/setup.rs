//! Setting contracts up by executing what their users would send.

use std::collections::HashMap;

use alloy_primitives::{Address, Bytes, TxKind, U256};
use polity_analysis::abi;
use polity_engine::{Overlay, Sequential};
use polity_kernel::Machines;
use polity_types::Receipt;
use revm::context::TxEnv;

use super::{WorkloadError, block, funded, machines, transaction};

/// More than any transaction that sets something up needs, below the cap of EIP-7825.
const GAS_LIMIT: u64 = 16_000_000;

/// A state under construction.
pub(super) struct Setup {
    machines: Machines,
    engine: Sequential,
    state: Overlay<'static>,
    nonces: HashMap<Address, u64>,
}

/// What somebody sends: to a contract, or the code of a new one.
pub(super) struct Message {
    pub(super) from: Address,
    pub(super) to: TxKind,
    pub(super) data: Bytes,
}

impl Message {
    pub(super) fn call(from: Address, to: Address, data: Bytes) -> Self {
        Self { from, to: TxKind::Call(to), data }
    }

    pub(super) fn create(from: Address, code: &Bytes, arguments: &[U256]) -> Self {
        let data = [code.as_ref(), &abi::words(arguments)].concat().into();
        Self { from, to: TxKind::Create, data }
    }
}

impl Setup {
    /// A state in which these have funds.
    pub(super) fn new(people: impl IntoIterator<Item = Address>) -> Self {
        Self {
            machines: machines(),
            engine: Sequential::new(),
            state: funded(people),
            nonces: HashMap::new(),
        }
    }

    /// Executes the messages as one block; all have to succeed.
    pub(super) fn send(
        &mut self,
        what: &str,
        messages: impl IntoIterator<Item = Message>,
    ) -> Result<Vec<Receipt>, WorkloadError> {
        let failed = |reason: String| WorkloadError::Setup { what: what.into(), reason };
        let transactions =
            messages.into_iter().map(|message| self.transaction(message, GAS_LIMIT)).collect();
        let block = block(0, transactions);
        let output = self
            .engine
            .execute(&self.machines, &self.state, &block)
            .map_err(|error| failed(error.to_string()))?;
        let mut receipts = Vec::with_capacity(output.transactions.len());
        for output in output.transactions {
            let receipt = output.receipt;
            if !receipt.status.is_success() {
                return Err(failed(format!("{:?}, {}", receipt.status, receipt.output)));
            }
            self.state.apply(&output.effects).map_err(|error| failed(error.to_string()))?;
            receipts.push(receipt);
        }
        Ok(receipts)
    }

    /// Executes creations as one block and gives the new contracts' addresses.
    pub(super) fn create(
        &mut self,
        what: &str,
        messages: impl IntoIterator<Item = Message>,
    ) -> Result<Vec<Address>, WorkloadError> {
        let receipts = self.send(what, messages)?;
        let created = receipts.iter().map(|receipt| receipt.created.map(|id| id.short_address()));
        created.collect::<Option<_>>().ok_or_else(|| WorkloadError::Setup {
            what: what.into(),
            reason: "created nothing".into(),
        })
    }

    /// The message as its sender's next transaction.
    pub(super) fn transaction(&mut self, message: Message, gas_limit: u64) -> TxEnv {
        let nonce = self.nonces.entry(message.from).or_default();
        let tx = transaction(message.from, *nonce, message.to, gas_limit);
        *nonce = nonce.saturating_add(1);
        TxEnv { data: message.data, ..tx }
    }

    /// The state.
    pub(super) fn finish(self) -> Overlay<'static> {
        self.state
    }
}

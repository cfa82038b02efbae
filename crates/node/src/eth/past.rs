use alloy_consensus::Header;
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::B256;
use polity_evm::{BlockInput, Inspect, KIND, Simulated, spec::ChainSpec};
use polity_kernel::{BlockContext, Decoded, Machines, View};

use super::{CallError, GAS_CAP, Scene, Stage};
use crate::chain::Company;

/// A block of the chain that is looked at again.
pub struct Past<'a> {
    /// The machines of the chain.
    pub machines: &'a Machines,
    /// Ethereum's rules on it.
    pub spec: &'a ChainSpec,
    /// The state before the block.
    pub before: &'a dyn View,
    /// Its header.
    pub header: &'a Header,
    /// Its hash.
    pub hash: B256,
    /// Its transactions, of all machines.
    pub transactions: Vec<&'a Decoded>,
    /// Its withdrawals.
    pub withdrawals: &'a [Withdrawal],
    /// What the other machines were told of it.
    pub company: Company,
}

impl<'a> Past<'a> {
    /// The stage on which the transaction with this index was executed: what
    /// the block's begin and the transactions before did is done.
    ///
    /// # Errors
    /// The state is not the one before the block, or failed.
    pub fn until(&self, index: usize) -> Result<Stage<'a>, CallError> {
        let mut stage = self.scene(GAS_CAP).stage(None, None)?;
        stage.context = self.context();
        stage.begin()?;
        self.transactions.iter().take(index).try_for_each(|tx| stage.repeat(tx))?;
        Ok(stage)
    }

    /// The same, where call trees are written down if they may lead to other machines.
    fn watched(&self, index: usize) -> Result<Stage<'a>, CallError> {
        let mut stage = self.until(index)?;
        if self.spec.gateway {
            stage.watch();
        }
        Ok(stage)
    }

    /// Executes every transaction of Ethereum's again while an inspector looks
    /// on. `look` is given the stage before the transaction, its index, what it
    /// did and the inspector.
    ///
    /// # Errors
    /// Those of `look`; the state is not the one before the block, or failed.
    pub fn each<I: Inspect, T>(
        &self,
        mut inspector: impl FnMut() -> Result<I, CallError>,
        mut look: impl FnMut(&Stage<'a>, usize, &Decoded, Simulated, I) -> Result<T, CallError>,
    ) -> Result<Vec<T>, CallError> {
        let mut stage = self.watched(0)?;
        let mut seen = Vec::with_capacity(self.transactions.len());
        for (index, tx) in self.transactions.iter().enumerate() {
            if tx.machine != KIND {
                stage.repeat(tx)?;
                continue;
            }
            let (simulated, inspector) = stage.inspect(tx, inspector()?)?;
            let effects = simulated.output.effects.clone();
            seen.push(look(&stage, index, tx, simulated, inspector)?);
            stage.state.apply(&effects)?;
        }
        Ok(seen)
    }

    /// Executes one transaction again while an inspector looks on: the stage
    /// before it, what it did, and the inspector.
    ///
    /// # Errors
    /// There is no such transaction of Ethereum's, the state is not the one
    /// before the block, or failed.
    pub fn one<I: Inspect>(
        &self,
        index: usize,
        inspector: I,
    ) -> Result<(Stage<'a>, Simulated, I), CallError> {
        let tx = self.transactions.get(index);
        let tx = tx.ok_or_else(|| CallError::Params("transaction not found".into()))?;
        let mut stage = self.watched(index)?;
        let (simulated, inspector) = stage.inspect(tx, inspector)?;
        Ok((stage, simulated, inspector))
    }

    /// The block as the scene of calls, before its first transaction.
    pub fn scene(&self, gas_cap: u64) -> Scene<'a> {
        let (header, company) = (self.header.clone(), self.company.clone());
        Scene { gas_cap, company, ..Scene::new(self.machines, self.spec, self.before, header) }
    }

    /// The index of the transaction with this hash.
    pub fn index_of(&self, hash: &B256) -> Option<usize> {
        self.transactions.iter().position(|tx| tx.hash == *hash)
    }

    /// Which of Ethereum's transactions the one with this index is: those of
    /// other machines are none to Ethereum's tools.
    pub fn position(&self, index: usize) -> usize {
        self.transactions.iter().take(index).filter(|tx| tx.machine == KIND).count()
    }

    /// How many transactions come before that of Ethereum's with this index among
    /// Ethereum's, or, where it is as many as there are, all; `None` beyond.
    pub fn before(&self, position: usize) -> Option<usize> {
        let all = 0..self.transactions.len();
        let own = all.zip(&self.transactions).filter(|(_, tx)| tx.machine == KIND);
        let places = own.map(|(place, _)| place).chain([self.transactions.len()]);
        places.into_iter().nth(position)
    }

    fn context(&self) -> BlockContext {
        let withdrawals = self.withdrawals.to_vec();
        let context = BlockInput::context(self.spec.chain_id, self.header, withdrawals, Vec::new());
        self.company.join(context, self.header)
    }
}

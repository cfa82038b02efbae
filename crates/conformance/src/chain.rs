//! Runs blockchain tests: a chain as a node keeps it, with side chains.

use std::{collections::BTreeMap, sync::Arc};

use alloy_consensus::Header;
use alloy_eips::eip7685::Requests;
use alloy_primitives::{B256, U256};
use polity_engine::{Block, BlockError, BlockOutput};
use polity_evm::{
    BlockInput, Evm, KIND, account,
    header::{Ancestor, HeaderError, check_body, check_header, check_ommers},
    receipt::{ReceiptParts, logs_bloom, receipts, receipts_root, requests_hash},
    spec::{ChainSpec, Fork},
};
use polity_kernel::{BlockContext, Inputs, Machines};
use polity_types::Resources;

use crate::{
    Difference, Execute,
    block::{self, ReadBlock},
    exception::{self, Refusal},
    format::ChainTest,
    state::{describe, logs},
    world::{Snapshot, World},
};

/// How many ancestors' hashes contracts can ask for.
const HASHES: u64 = 256;
/// How many ancestors an ommer's check looks at.
const OMMER_REACH: usize = 7;

/// Runs a test.
pub(crate) fn run(test: &ChainTest, engine: &mut dyn Execute) -> Result<(), Difference> {
    let mut chain = Chain::new(test)?;
    for (index, entry) in test.blocks.iter().enumerate() {
        let what = format!("block {}", index.saturating_add(1));
        let imported = chain.import(&entry.rlp, engine).map_err(|rejected| match rejected {
            Rejected::Broken(error) => Err(Difference::new(&what, "an end", error)),
            Rejected::Refused(refusals) => Ok(refusals),
        });
        match (imported, entry.exception(&test.network)) {
            (Ok(hash), None) => {
                if let Some(expected) = entry.hash().filter(|expected| *expected != hash) {
                    return Err(Difference::new(format!("hash of {what}"), expected, hash));
                }
            }
            (Ok(_), Some(expected)) => {
                let expected = if expected.is_empty() { "refused" } else { expected };
                return Err(Difference::new(what, expected, "accepted"));
            }
            (Err(Ok(refusals)), Some(expected)) => {
                if !exception::matches(expected, &refusals) {
                    let what = format!("exception of {what}");
                    return Err(Difference::new(what, expected, describe(&refusals)));
                }
            }
            (Err(Ok(refusals)), None) => {
                return Err(Difference::new(what, "accepted", describe(&refusals)));
            }
            (Err(Err(broken)), _) => return Err(broken),
        }
    }
    chain.compare(test)
}

/// A block that was accepted, and the state after it.
struct Node {
    header: Header,
    hash: B256,
    /// The sum of the difficulties up to and including it.
    total: U256,
    ommers: Vec<B256>,
    world: World,
}

struct Chain {
    spec: ChainSpec,
    machines: Machines,
    nodes: BTreeMap<B256, Arc<Node>>,
    head: Arc<Node>,
}

enum Rejected {
    /// The rules that the block breaks.
    Refused(Vec<Refusal>),
    /// The execution did not come to an end that says anything of the block.
    Broken(String),
}

impl From<Refusal> for Rejected {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(vec![refusal])
    }
}

impl Chain {
    fn new(test: &ChainTest) -> Result<Self, Difference> {
        let broken = |error: String| Difference::new("test", "one that can be run", error);
        let spec = test.config.spec(&test.network).map_err(|error| broken(error.to_string()))?;
        let machines = Machines::default()
            .with(Evm::new(spec.clone()))
            .map_err(|error| broken(error.to_string()))?;
        let header = match (&test.genesis_rlp, &test.genesis_block_header) {
            (Some(rlp), _) => {
                block::read(rlp)
                    .map_err(|error| broken(format!("genesisRLP: {}", error.reason)))?
                    .header
            }
            (None, Some(header)) => header.into(),
            (None, None) => return Err(broken("no genesis".into())),
        };
        let hash = header.hash_slow();
        let given = test.genesis_block_header.as_ref().and_then(|header| header.hash);
        if let Some(expected) = given.filter(|expected| *expected != hash) {
            return Err(Difference::new("hash of the genesis block", expected, hash));
        }
        let world = World::new(&test.pre);
        let root = world.root();
        if root != header.state_root {
            return Err(Difference::new("state root of genesis", header.state_root, root));
        }
        let total = header.difficulty;
        let head = Arc::new(Node { header, hash, total, ommers: Vec::new(), world });
        Ok(Self { spec, machines, nodes: BTreeMap::from([(hash, head.clone())]), head })
    }

    /// Adds a block. If it is refused nothing changes.
    fn import(&mut self, rlp: &[u8], engine: &mut dyn Execute) -> Result<B256, Rejected> {
        let read = block::read(rlp)?;
        let parent_hash = read.header.parent_hash;
        let Some(parent) = self.nodes.get(&parent_hash).cloned() else {
            let names: &[_] = if parent_hash.is_zero() {
                &["UNKNOWN_PARENT_ZERO", "UNKNOWN_PARENT"]
            } else {
                &["UNKNOWN_PARENT"]
            };
            return Err(Refusal::new(names, format!("no block {parent_hash}")).into());
        };
        let fork = self.spec.fork_after(read.header.number, read.header.timestamp, parent.total);
        let mut refusals = self.check(&read, fork, &parent);
        let world = match self.execute(&read, fork, &parent, engine) {
            Ok((world, differences)) => {
                refusals.extend(differences);
                world
            }
            // A block that breaks a rule may well not be executable.
            Err(Rejected::Broken(_)) if !refusals.is_empty() => {
                return Err(Rejected::Refused(refusals));
            }
            Err(Rejected::Broken(error)) => return Err(Rejected::Broken(error)),
            Err(Rejected::Refused(more)) => {
                refusals.extend(more);
                return Err(Rejected::Refused(refusals));
            }
        };
        if !refusals.is_empty() {
            return Err(Rejected::Refused(refusals));
        }
        let node = Arc::new(Node {
            total: parent.total.saturating_add(read.header.difficulty),
            ommers: read.body.ommers.iter().map(Header::hash_slow).collect(),
            header: read.header,
            hash: read.hash,
            world,
        });
        self.nodes.insert(node.hash, node.clone());
        // Under proof of work the heaviest chain is canonical, the first of
        // equals. After the Merge the consensus layer says which, and the
        // tests' is the one that they add to.
        let merged = |node: &Node| node.header.difficulty.is_zero();
        if merged(&node) || (!merged(&self.head) && node.total > self.head.total) {
            self.head = node.clone();
        }
        Ok(node.hash)
    }

    /// The ancestors from `node` back.
    fn ancestors<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a Node> {
        core::iter::successors(Some(node), |node| {
            self.nodes.get(&node.header.parent_hash).map(|node| &**node)
        })
    }

    /// Every rule for header and body that the block breaks, as far as each
    /// can be looked at by itself.
    fn check(&self, read: &ReadBlock, fork: Fork, parent: &Node) -> Vec<Refusal> {
        let ancestors: Vec<Ancestor<'_>> = self
            .ancestors(parent)
            .take(OMMER_REACH)
            .map(|node| Ancestor {
                header: &node.header,
                hash: node.hash,
                total_difficulty: node.total,
                ommers: &node.ommers,
            })
            .collect();
        let ReadBlock { header, body, .. } = read;
        let header_checked = match ancestors.first() {
            Some(parent) => check_header(&self.spec, header, parent).map(drop),
            None => Ok(()),
        };
        let ommers_checked = check_ommers(&self.spec, header, &body.ommers, &ancestors);
        let body_checked = check_body(fork, header, body);
        // The header's check ends at the first error; this rule needs no other
        // block, and the tests break it together with others.
        let gas_checked = if header.gas_used > header.gas_limit {
            Err(HeaderError::GasUsed { found: header.gas_used, limit: header.gas_limit })
        } else {
            Ok(())
        };
        [header_checked, gas_checked, ommers_checked, body_checked]
            .into_iter()
            .filter_map(Result::err)
            .map(|error| Refusal::header(&error, fork))
            .collect()
    }

    /// The state after the block, and where the header says otherwise.
    fn execute(
        &self,
        read: &ReadBlock,
        fork: Fork,
        parent: &Node,
        engine: &mut dyn Execute,
    ) -> Result<(World, Vec<Refusal>), Rejected> {
        let context = self.context(read, parent);
        let machine = self
            .machines
            .get(KIND)
            .ok_or_else(|| Rejected::Broken("the Ethereum machine is gone".into()))?;
        let transactions = read
            .raw
            .iter()
            .map(|raw| machine.decode(raw, &context).map_err(|error| Refusal::decode(&error, raw)))
            .collect::<Result<_, _>>()?;
        let block = Block { context, transactions, transaction_limit: Resources::UNLIMITED };
        let lowest = read.header.number.saturating_sub(HASHES);
        let view = Snapshot {
            world: &parent.world,
            block_hash: |number| {
                self.ancestors(parent)
                    .take_while(|node| node.header.number >= lowest.max(number))
                    .find(|node| node.header.number == number)
                    .map(|node| node.hash)
            },
        };
        let output = engine.block(&self.machines, &view, &block).map_err(rejected)?;
        let mut world = parent.world.clone();
        let roots = apply(&mut world, &output, fork < Fork::Byzantium)
            .map_err(|error| Rejected::Broken(error.to_string()))?;
        let differences = differences(read, fork, &output, &roots, &world)?;
        Ok((world, differences))
    }

    fn context(&self, read: &ReadBlock, parent: &Node) -> BlockContext {
        let header = &read.header;
        let input = BlockInput {
            gas_limit: header.gas_limit,
            base_fee: header.base_fee_per_gas.unwrap_or_default(),
            difficulty: header.difficulty,
            parent_total_difficulty: Some(parent.total),
            excess_blob_gas: header.excess_blob_gas,
            parent_hash: header.parent_hash,
            parent_beacon_root: header.parent_beacon_block_root,
            withdrawals: read.body.withdrawals.clone().unwrap_or_default().into_inner(),
            ommers: read.body.ommers.clone(),
            ..BlockInput::default()
        };
        BlockContext {
            chain_id: self.spec.chain_id,
            number: header.number,
            timestamp: header.timestamp,
            beneficiary: account(header.beneficiary),
            randomness: header.mix_hash,
            inputs: Inputs::default().with(KIND, input),
        }
    }

    fn compare(&self, test: &ChainTest) -> Result<(), Difference> {
        let head = &self.head;
        if head.hash != test.last_block_hash {
            return Err(Difference::new("last block", test.last_block_hash, head.hash));
        }
        let state = test.post_state.as_ref();
        if let Some(difference) = state.and_then(|state| head.world.difference(state)) {
            return Err(difference);
        }
        match test.post_state_hash {
            Some(expected) if expected != head.world.root() => {
                Err(Difference::new("state root", expected, head.world.root()))
            }
            _ => Ok(()),
        }
    }
}

/// Applies what a block did. Gives the state root after each transaction if
/// they are wanted.
fn apply(
    world: &mut World,
    output: &BlockOutput,
    roots_wanted: bool,
) -> Result<Vec<B256>, crate::world::WorldError> {
    let mut roots = Vec::new();
    for begin in &output.begin {
        world.apply(&begin.effects)?;
    }
    for transaction in &output.transactions {
        world.apply(&transaction.effects)?;
        if roots_wanted {
            roots.push(world.root());
        }
    }
    for end in &output.end {
        world.apply(&end.effects)?;
    }
    Ok(roots)
}

/// Where the header is not what the execution gave.
fn differences(
    read: &ReadBlock,
    fork: Fork,
    output: &BlockOutput,
    roots: &[B256],
    world: &World,
) -> Result<Vec<Refusal>, Rejected> {
    let header = &read.header;
    let transactions = read.body.transactions.iter().zip(&output.transactions);
    let parts = transactions.enumerate().map(|(index, (transaction, output))| ReceiptParts {
        tx_type: transaction.tx_type().into(),
        success: output.receipt.status.is_success(),
        gas_used: output.receipt.gas_used,
        logs: logs(&output.effects),
        post_state: roots.get(index).copied(),
    });
    let receipts = receipts(parts).map_err(|error| Rejected::Broken(error.to_string()))?;
    let mut differences = Vec::new();
    let mut compare = |name, what: &str, expected: String, found: String| {
        if expected != found {
            let reason = format!("{what} is {expected}, execution gives {found}");
            differences.push(Refusal::new(&[name], reason));
        }
    };
    let gas_used = output.totals_of(KIND).gas_used;
    compare("INVALID_GAS_USED", "gas used", header.gas_used.to_string(), gas_used.to_string());
    let root = receipts_root(&receipts);
    compare(
        "INVALID_RECEIPTS_ROOT",
        "receipts root",
        header.receipts_root.to_string(),
        root.to_string(),
    );
    let bloom = logs_bloom(&receipts);
    compare("INVALID_LOG_BLOOM", "bloom", header.logs_bloom.to_string(), bloom.to_string());
    let root = world.root();
    compare("INVALID_STATE_ROOT", "state root", header.state_root.to_string(), root.to_string());
    if fork >= Fork::Prague {
        let requests = output.end.iter().flat_map(|end| end.end.requests.clone()).collect();
        let found = requests_hash(&Requests::new(requests));
        let expected = header.requests_hash.unwrap_or_default();
        compare("INVALID_REQUESTS", "requests hash", expected.to_string(), found.to_string());
    }
    Ok(differences)
}

fn rejected(error: BlockError) -> Rejected {
    match &error {
        BlockError::Invalid { place, invalid } => {
            let mut refusal = Refusal::from(invalid);
            refusal.reason = format!("{place}: {}", refusal.reason);
            refusal.into()
        }
        BlockError::Halt { .. } | BlockError::Overlay { .. } => Rejected::Broken(error.to_string()),
    }
}

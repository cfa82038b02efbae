//! Where a new state comes from: a genesis file, or block folders.

use eyre::{Context, bail, ensure};
use polity_engine::Sequential;
use polity_evm::{Evm, account, code_ref, genesis::GenesisBlock};
use polity_kernel::Machine;
use polity_replay::{BlockFolder, Library, Replay, discover, read_genesis};
use polity_state::{Changes, State};
use polity_types::{AccountRecord, B256, LocalKey, Value};
use std::path::{Path, PathBuf};

use crate::output;

/// What a state begins with, and the blocks that follow.
pub(super) struct Source {
    chain_id: u64,
    height: u64,
    genesis: Changes,
    /// Hashes of blocks up to the genesis.
    hashes: Vec<(u64, B256)>,
    blocks: Vec<(PathBuf, BlockFolder)>,
}

impl Source {
    pub(super) fn read(path: &Path) -> eyre::Result<Self> {
        if path.is_file() {
            return Self::of_genesis(path);
        }
        let library = Library::new();
        let mut blocks = Vec::new();
        for folder in discover([path])? {
            let block = library.open(&folder)?;
            blocks.push((folder.path, block));
        }
        let genesis = path.join("genesis.json");
        if genesis.is_file() {
            let source = Self::of_genesis(&genesis)?;
            return source.followed_by(blocks);
        }
        let (first, others) = match blocks.split_first() {
            Some((first, others)) => (first, others),
            None => bail!("{} has neither a genesis.json nor a block folder", path.display()),
        };
        ensure!(
            others.is_empty(),
            "{} has {} block folders and no genesis.json: each folder has only what its own block \
             touches, so name one of them",
            path.display(),
            blocks.len()
        );
        let block = &first.1;
        let Some(height) = block.number().checked_sub(1) else {
            bail!("{}: block 0 has no state before it", first.0.display())
        };
        Ok(Self {
            chain_id: block.chain_id(),
            height,
            genesis: polity_replay::state::changes(block)?,
            hashes: block.block_hashes.iter().map(|(height, hash)| (*height, *hash)).collect(),
            blocks,
        })
    }

    fn of_genesis(path: &Path) -> eyre::Result<Self> {
        let genesis = read_genesis(path)?;
        let block = GenesisBlock::new(&genesis).wrap_err_with(|| format!("{}", path.display()))?;
        let evm = Evm::new(block.spec.clone());
        let mut changes = Changes::new();
        for allocation in &block.alloc {
            let id = account(allocation.address);
            let hash = evm.code_hash(&allocation.code);
            let record = AccountRecord {
                balance: allocation.balance,
                sequence: allocation.nonce,
                code: code_ref(hash),
            };
            changes.set_account(id, Some(record));
            for (slot, value) in &allocation.storage {
                changes.set_slot(id, LocalKey::storage(*slot), Value::word(*value))?;
            }
            if record.code.is_some() {
                changes.set_code(hash, allocation.code.clone());
            }
        }
        let height = block.header.number;
        Ok(Self {
            chain_id: genesis.config.chain_id,
            height,
            genesis: changes,
            hashes: vec![(height, block.header.hash_slow())],
            blocks: Vec::new(),
        })
    }

    fn followed_by(mut self, blocks: Vec<(PathBuf, BlockFolder)>) -> eyre::Result<Self> {
        let mut expected = self.height;
        for (path, block) in &blocks {
            expected = expected.saturating_add(1);
            ensure!(
                block.number() == expected && block.chain_id() == self.chain_id,
                "{} holds block {} of chain {}; after the genesis and the blocks before, block \
                 {expected} of chain {} has to come",
                path.display(),
                block.number(),
                block.chain_id(),
                self.chain_id
            );
        }
        self.blocks = blocks;
        Ok(self)
    }

    pub(super) const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Commits the beginning and executes the blocks.
    pub(super) fn commit(&self, state: &State, engine: &mut Sequential) -> eyre::Result<()> {
        state.genesis(self.height, self.genesis.clone())?;
        for (height, hash) in &self.hashes {
            state.set_block_hash(*height, *hash)?;
        }
        let bar = output::progress(self.blocks.len() as u64, "blocks");
        for (path, folder) in &self.blocks {
            let mut execute = || -> eyre::Result<()> {
                let replay = Replay::new(folder)?;
                let view = state.view();
                let output = replay.execute_on(engine, &view)?;
                let verdict = replay.verdict(&output)?;
                ensure!(
                    verdict.is_equal(),
                    "the block does not come out as its header says; `polity run` shows how"
                );
                state.commit(replay.number, Changes::of(&view, &output)?)?;
                if let Some(header) = folder.header() {
                    state.set_block_hash(replay.number, header.hash_slow())?;
                }
                Ok(())
            };
            execute().wrap_err_with(|| format!("{}", path.display()))?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(())
    }
}

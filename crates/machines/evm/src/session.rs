//! What the Ethereum machine keeps for one transaction, and how it is written
//! back to the kernel.

use crate::{
    KIND,
    account::{account, code_ref},
    block::{BlockInput, Environment},
    database::{KernelDatabase, prepare},
    executor::{Error, Executor, Memory, Remains},
    gateway,
    hashing::Hashes,
    inspect::{Inspect, Probe},
    journal::{Burns, SessionJournal, undo_burns},
    spec::ChainSpec,
    trace::{Told, event, quietly},
    transaction::Waiver,
};
use alloc::{boxed::Box, format, sync::Arc, vec::Vec};
use alloy_primitives::{Address, Log, U256, map::AddressSet};
use core::any::Any;
use polity_kernel::{Account, Checkpoint, Code, Halt, Host, Session};
use polity_types::{AccountId, AccountRecord, LocalKey, Value};
use revm::{
    JournalEntry,
    context::{
        TxEnv,
        journal::{JournalInner, warm_addresses::WarmAddresses},
    },
    context_interface::journaled_state::{JournalCheckpoint, entry::JournalEntryTr},
    primitives::hardfork::SpecId,
    state::{Account as EvmAccount, AccountId as EvmAccountId, EvmState, TransactionId},
};

/// Above this many entries a transaction's tables are given back instead of
/// being kept for the next, which would pay for clearing them.
const KEEP_ACCOUNTS: usize = 1024;

/// The session of one worker. Its memory is reused from transaction to
/// transaction, and the environment for as long as the block is the same.
#[derive(Default)]
pub(crate) struct EvmSession {
    pub(crate) inner: JournalInner<JournalEntry>,
    pub(crate) burns: Burns,
    pub(crate) hashes: Hashes,
    /// Absent while an executor has it: an empty one would allocate.
    memory: Option<Memory>,
    environment: Option<(BlockKey, Arc<Environment>)>,
    marks: Vec<Place>,
    /// What the kernel goes back to where a frame of revm's reverts in which the
    /// kernel's own state was changed.
    pub(crate) hops: Vec<Hop>,
    /// How many hops there were when each open frame of revm's began.
    pub(crate) open: Vec<usize>,
    /// How many of the logs the kernel has been told.
    emitted: usize,
    /// A sender that is warm although revm has not loaded it (EIP-2929).
    pub(crate) sender: Option<Address>,
    /// Gas that was used in other machines.
    pub(crate) abroad: u64,
    /// How many calls of other machines are being answered.
    pub(crate) nested: usize,
    /// Whether another machine was called or called in this transaction.
    called: bool,
    /// Whether the kernel has been told everything, and may know more by now.
    told: bool,
    /// Whether the transaction has met an alias.
    pub(crate) aliased: bool,
    /// What a trace has been told, if there is one.
    pub(crate) tale: Told,
    /// What a simulation wants to know of the next transaction.
    pub(crate) probe: Option<Box<Probe>>,
    /// Whether nobody has had it since it was cleared.
    pub(crate) clear: bool,
}

/// The kernel before something was done in it in the middle of a frame of revm's.
pub(crate) struct Hop {
    kernel: Checkpoint,
    emitted: usize,
    /// What was loaded by then. What is loaded later may show what is undone.
    loaded: AddressSet,
}

/// A place in the session to which the kernel can go back.
struct Place {
    revm: JournalCheckpoint,
    emitted: usize,
    hops: usize,
    open: usize,
    depth: usize,
    told: bool,
}

/// Tells whether a block is the one that an environment was made for. Rules and
/// input are compared by identity, and kept so that the identity is not given
/// away.
struct BlockKey {
    spec: Arc<ChainSpec>,
    chain_id: u64,
    number: u64,
    timestamp: u64,
    beneficiary: AccountId,
    input: Arc<dyn Any + Send + Sync>,
}

impl BlockKey {
    fn is(
        &self,
        spec: &Arc<ChainSpec>,
        host: &dyn Host,
        input: &Arc<dyn Any + Send + Sync>,
    ) -> bool {
        let block = host.block();
        self.number == block.number
            && self.timestamp == block.timestamp
            && self.chain_id == block.chain_id
            && self.beneficiary == block.beneficiary
            && Arc::ptr_eq(&self.input, input)
            && Arc::ptr_eq(&self.spec, spec)
    }
}

impl Session for EvmSession {
    fn mark(&mut self) -> u64 {
        self.marks.push(Place {
            revm: JournalCheckpoint {
                log_i: self.inner.logs.len(),
                journal_i: self.inner.journal.len(),
                selfdestructed_i: self.inner.selfdestructed_addresses.len(),
            },
            emitted: self.emitted,
            hops: self.hops.len(),
            open: self.open.len(),
            depth: self.inner.depth,
            told: self.told,
        });
        self.marks.len() as u64 - 1
    }

    fn revert(&mut self, mark: u64) {
        let Some(&Place { revm: checkpoint, emitted, hops, open, depth, told }) =
            usize::try_from(mark).ok().and_then(|at| self.marks.get(at))
        else {
            return;
        };
        // It may be gone back to again.
        self.marks.truncate(mark as usize + 1);
        self.inner.checkpoint_revert(checkpoint);
        // The frames that were open stay open: the kernel's checkpoints are not revm's. Those
        // of a call that was stopped midway were never closed.
        self.inner.depth = depth;
        self.open.truncate(open);
        undo_burns(&mut self.burns, checkpoint);
        self.emitted = emitted;
        self.hops.truncate(hops);
        self.told = told;
        self.tell_again();
    }

    fn clear(&mut self) {
        self.inner.commit_tx();
        self.inner.transaction_id = TransactionId::ZERO;
        if self.inner.state.capacity() > KEEP_ACCOUNTS {
            self.inner.state = Default::default();
        } else {
            self.inner.state.clear();
        }
        self.burns.clear();
        self.marks.clear();
        self.hops.clear();
        self.open.clear();
        self.emitted = 0;
        self.sender = None;
        self.abroad = 0;
        self.nested = 0;
        self.called = false;
        self.told = false;
        self.aliased = false;
        self.tale = Told::default();
        self.clear = true;
    }

    fn is_clear(&self) -> bool {
        self.clear
    }
}

impl EvmSession {
    /// Takes the session out of the host, or opens one.
    pub(crate) fn take(host: &mut dyn Host) -> Box<Self> {
        let mut session = Self::known(host.session().take());
        session.clear = false;
        session
    }

    /// The session as this machine's own, or a new one.
    pub(crate) fn known(session: Option<Box<dyn Session>>) -> Box<Self> {
        let session = session.map(|session| session as Box<dyn Any>);
        session.and_then(|session| session.downcast().ok()).unwrap_or_default()
    }

    /// The accounts and slots of the transaction that was settled last, as revm
    /// hands them out.
    pub(crate) fn finalize(&mut self) -> EvmState {
        self.inner.finalize()
    }

    /// Gives the session back to the host.
    pub(crate) fn put_back(self: Box<Self>, host: &mut dyn Host) {
        *host.session() = Some(self);
    }

    /// The environment of the host's block.
    pub(crate) fn environment(
        &mut self,
        spec: &Arc<ChainSpec>,
        host: &dyn Host,
    ) -> Result<&Environment, Halt> {
        self.enter_block(spec, host)?;
        let environment = self.environment.as_ref().map(|(_, environment)| &**environment);
        environment.ok_or_else(|| Halt::Fault("the block has no environment".into()))
    }

    fn enter_block(&mut self, spec: &Arc<ChainSpec>, host: &dyn Host) -> Result<(), Halt> {
        let block = host.block();
        let shared = block
            .inputs
            .shared(KIND)
            .ok_or_else(|| Halt::Fault("the block has no input for the Ethereum machine".into()))?;
        if !self.environment.as_ref().is_some_and(|(key, _)| key.is(spec, host, shared)) {
            let input: &BlockInput = shared.downcast_ref().ok_or_else(|| {
                Halt::Fault("the Ethereum machine's input is of another type".into())
            })?;
            let environment = Environment::new(spec, block, input)
                .map_err(|error| Halt::Fault(format!("block {}: {error}", block.number)))?;
            // revm fills in the precompiles of a fork only where there are
            // none yet.
            self.inner.warm_addresses = WarmAddresses::new();
            let key = BlockKey {
                spec: spec.clone(),
                chain_id: block.chain_id,
                number: block.number,
                timestamp: block.timestamp,
                beneficiary: block.beneficiary,
                input: shared.clone(),
            };
            self.environment = Some((key, Arc::new(environment)));
        }
        Ok(())
    }

    /// Runs `run` on an EVM over this session's journal.
    pub(crate) fn execute<T>(
        &mut self,
        spec: &Arc<ChainSpec>,
        host: &mut dyn Host,
        tx: &TxEnv,
        waiver: Waiver,
        run: impl for<'h> FnOnce(&mut Executor<'h>) -> Result<T, Error>,
    ) -> Result<Result<T, Error>, Halt> {
        self.enter_block(spec, host)?;
        self.tale.is_traced = host.is_traced();
        let Some((_, environment)) = &self.environment else {
            return Err(Halt::Fault("the block has no environment".into()));
        };
        let environment = match waiver.is_none() {
            true => environment.clone(),
            false => Arc::new(environment.waive(waiver, tx)),
        };
        let memory = self.memory.take().unwrap_or_default();
        let inspector = self.probe.as_mut().and_then(|probe| probe.inspector.take());
        let database = KernelDatabase { host, gateway: spec.gateway, aliased: self.aliased };
        let journal = SessionJournal::with(database, self);
        let mut executor = Executor::new(&environment, tx, journal, memory, inspector);
        let result = run(&mut executor);
        let Remains { fault, memory, inspector, aliased } = executor.into_parts();
        self.memory = Some(memory);
        self.aliased = aliased;
        if let Some(probe) = &mut self.probe {
            probe.inspector = inspector;
        }
        match (fault, result) {
            (Some(halt), _)
            | (None, Err(Error::Database(crate::database::DatabaseError(halt)))) => Err(halt),
            (None, result) => Ok(result),
        }
    }

    /// Takes over what other machines did to the balances of loaded accounts.
    pub(crate) fn refresh(&mut self, host: &mut dyn Host) -> Result<(), Halt> {
        self.told = false;
        let mut database = self.database(host);
        for (address, account) in in_order(&mut database, &self.inner.state)? {
            let balance = database.host.peek(account)?.unwrap_or_default().balance;
            let Some(loaded) = self.inner.state.get_mut(&address) else { continue };
            if loaded.info.balance != balance {
                let before = core::mem::replace(&mut loaded.info.balance, balance);
                self.inner.journal.push(JournalEntry::balance_changed(address, before));
            }
        }
        Ok(())
    }

    /// Makes the kernel's journal say what the session says, so that other
    /// machines see it. May be repeated.
    pub(crate) fn flush(&mut self, host: &mut dyn Host) -> Result<(), Halt> {
        self.called = true;
        self.told = true;
        self.emit_logs(host)?;
        let mut database = self.database(host);
        for (address, handle) in in_order(&mut database, &self.inner.state)? {
            if let Some(account) = self.inner.state.get(&address)
                && account.is_touched()
            {
                if database.is_foreign(handle)? {
                    credit_foreign(database.host, handle, account)?;
                    continue;
                }
                write_account(database.host, handle, account)?;
                write_slots(database.host, handle, account, true)?;
            }
        }
        Ok(())
    }

    /// Runs `run` where other machines may run or the kernel itself be asked to change
    /// something: the kernel and all machines see what this one has done so far, and
    /// this one sees afterwards what came of it. Where a frame of revm's that is open
    /// now reverts, the kernel goes back as well.
    pub(crate) fn leave<T>(
        &mut self,
        host: &mut dyn Host,
        inspector: &mut Option<Box<dyn Inspect>>,
        run: impl FnOnce(&mut dyn Host) -> Result<T, Halt>,
    ) -> Result<T, Halt> {
        if self.tale.is_traced {
            self.tell(host)?;
        }
        let loaded = self.inner.state.keys().copied().collect();
        self.hops.push(Hop { kernel: host.checkpoint(), emitted: self.emitted, loaded });
        self.write_back(host)?;
        let mut session = Box::new(core::mem::take(self));
        if let Some(probe) = &mut session.probe {
            probe.inspector = inspector.take();
        }
        session.put_back(host);
        let result = run(host);
        *self = *Self::take(host);
        if let Some(probe) = &mut self.probe {
            *inspector = probe.inspector.take();
        }
        self.refresh(host)?;
        self.skip();
        result
    }

    /// [`EvmSession::flush`], of which no trace is told: it knows.
    pub(crate) fn write_back(&mut self, host: &mut dyn Host) -> Result<(), Halt> {
        match self.tale.is_traced {
            true => quietly(host, |host| self.flush(host)),
            false => self.flush(host),
        }
    }

    /// Whether another machine has called, so that there may be frames around this one's.
    pub(crate) const fn is_nested(&self) -> bool {
        self.nested > 0
    }

    /// Takes the kernel back to before all hops but the first so many.
    pub(crate) fn undo_hops(&mut self, first: usize, host: &mut dyn Host) -> Result<(), Halt> {
        let Some(hop) = self.hops.drain(first.min(self.hops.len())..).next() else {
            return Ok(());
        };
        host.revert(hop.kernel);
        self.emitted = hop.emitted;
        // revm's journal knows what was changed since an account was loaded, and not what the
        // kernel had changed by then.
        let mut database = self.database(host);
        for (address, account) in in_order(&mut database, &self.inner.state)? {
            if !hop.loaded.contains(&address)
                && let Some(loaded) = self.inner.state.get_mut(&address)
            {
                loaded.info.balance = database.host.peek(account)?.unwrap_or_default().balance;
            }
        }
        Ok(())
    }

    /// What Ethereum calls an account of another machine or an asset, which from now
    /// on resolves back. Not where nothing may change: then it is only the name.
    pub(crate) fn name(
        &mut self,
        host: &mut dyn Host,
        target: &AccountId,
    ) -> Result<Address, Halt> {
        let address = crate::address(target);
        if target.machine == KIND || host.is_read_only() || gateway::known(address).is_some() {
            return Ok(address);
        }
        let handle = host.account(&account(address))?;
        let is_new = host.aliased(handle)?.is_none();
        host.alias(handle, target)?;
        self.aliased = true;
        let foreign = host.account(target)?;
        if is_new && let Some(loaded) = self.inner.state.get_mut(&address) {
            let balance = host.peek(foreign)?.unwrap_or_default().balance;
            let before = core::mem::replace(&mut loaded.info.balance, balance);
            loaded.info.account_id = EvmAccountId::new(foreign.index() as usize);
            self.inner.journal.push(JournalEntry::balance_changed(address, before));
            let (reference, code) = polity_kernel::alias::code(target);
            self.inner.set_code_with_hash(address, prepare(&code), reference.hash);
        }
        Ok(address)
    }

    pub(crate) const fn database<'h>(&self, host: &'h mut dyn Host) -> KernelDatabase<'h> {
        // Only what was loaded is asked for.
        KernelDatabase { host, gateway: false, aliased: self.aliased }
    }

    /// Writes back at the end of a transaction: what [`EvmSession::flush`]
    /// does, and what Ethereum leaves to that moment, which is the removal of
    /// destroyed and of touched empty accounts.
    pub(crate) fn settle(&mut self, host: &mut dyn Host) -> Result<(), Halt> {
        if self.told {
            self.refresh(host)?;
        }
        self.emit_logs(host)?;
        let clears_empty = self.inner.cfg.spec.is_enabled_in(SpecId::SPURIOUS_DRAGON);
        let mut burned = self.burns.drain(..).fold(U256::ZERO, |sum, (_, wei)| sum + wei);
        let (mut created, mut foreign) = (Vec::new(), Vec::new());
        let mut database = self.database(host);
        // The order of writes to different accounts does not show in the
        // effects, but for slots that the kernel has not seen yet and for
        // codes: those of created accounts, which follow in order.
        #[allow(clippy::iter_over_hash_type, reason = "see above")]
        for (address, account) in &self.inner.state {
            if !account.is_touched() {
                continue;
            }
            let handle = database.handle(*address, &account.info)?;
            if database.is_foreign(handle)? {
                foreign.push((handle, account));
                continue;
            }
            if account.is_selfdestructed() {
                burned += account.info.balance;
                destroy(database.host, handle)?;
                continue;
            }
            if account.is_created() || !database.host.restate(handle, &record(account))? {
                created.push((handle, account));
                continue;
            }
            write_slots(database.host, handle, account, self.called)?;
            settle_existence(database.host, handle, account, clears_empty)?;
        }
        created.sort_unstable_by_key(|(handle, _)| *handle);
        for (handle, account) in created {
            if account.is_created() {
                database.host.reset_storage(handle)?;
            }
            write_account(database.host, handle, account)?;
            write_slots(database.host, handle, account, false)?;
            settle_existence(database.host, handle, account, clears_empty)?;
        }
        // Before a burn, which takes from no account: credits alone.
        foreign.sort_unstable_by_key(|(handle, _)| *handle);
        for (handle, account) in foreign {
            credit_foreign(database.host, handle, account)?;
        }
        if !burned.is_zero() {
            host.burn(burned)?;
        }
        Ok(())
    }

    /// Destroys wei when the transaction is settled.
    pub(crate) fn burn(&mut self, wei: U256) {
        self.burns.push((0, wei));
    }

    fn emit_logs(&mut self, host: &mut dyn Host) -> Result<(), Halt> {
        let new = self.inner.logs.get(self.emitted..).unwrap_or_default();
        new.iter().try_for_each(|log| emit(host, log.clone()))?;
        self.emitted = self.inner.logs.len();
        Ok(())
    }

    /// Of the logs that revm hands out at a transaction's end those that the kernel has
    /// not been told.
    pub(crate) fn untold(&mut self, logs: Vec<Log>) -> impl Iterator<Item = Log> {
        logs.into_iter().skip(core::mem::take(&mut self.emitted))
    }
}

/// Emits a log as the kernel's event.
pub(crate) fn emit(host: &mut dyn Host, log: Log) -> Result<(), Halt> {
    host.emit(event(log))
}

/// Gives another machine's account what was given to its alias.
fn credit_foreign(host: &mut dyn Host, handle: Account, account: &EvmAccount) -> Result<(), Halt> {
    let (now, held) = (account.info.balance, host.peek(handle)?.unwrap_or_default().balance);
    match now.checked_sub(held) {
        Some(more) if more.is_zero() => Ok(()),
        Some(more) => host.credit(handle, more),
        None => Err(Halt::Fault(format!("an alias of {} has paid", host.id(handle)?))),
    }
}

/// The loaded accounts with their handles, in the order of the handles: the
/// order of a hash map must not reach a result.
fn in_order(
    database: &mut KernelDatabase<'_>,
    state: &revm::state::EvmState,
) -> Result<Vec<(Address, Account)>, Halt> {
    let mut accounts = Vec::with_capacity(state.len());
    #[allow(clippy::iter_over_hash_type, reason = "sorted below")]
    for (address, account) in state {
        accounts.push((*address, database.handle(*address, &account.info)?));
    }
    accounts.sort_unstable_by_key(|(_, handle)| *handle);
    Ok(accounts)
}

/// An account's cells in the kernel's words.
fn record(account: &EvmAccount) -> AccountRecord {
    let info = &account.info;
    AccountRecord { balance: info.balance, sequence: info.nonce, code: code_ref(info.code_hash) }
}

/// Writes balance, nonce and code where they differ from the kernel's.
fn write_account(host: &mut dyn Host, handle: Account, account: &EvmAccount) -> Result<(), Halt> {
    let info = &account.info;
    let mut record = record(account);
    if !host.restate(handle, &record)? {
        record.code = host.peek(handle)?.unwrap_or_default().code;
        host.restate(handle, &record)?;
        let code = code_ref(info.code_hash).zip(info.code.as_ref()).map(|(reference, code)| {
            let shared = Code::new(code.original_bytes());
            let _ = shared.prepared(|_| code.clone());
            (reference, Arc::new(shared))
        });
        host.set_code(handle, code)?;
    }
    Ok(())
}

/// Writes slots that differ. `all` also compares those that have the value
/// that they had when the session loaded them, which the kernel may have been
/// told another of since.
fn write_slots(
    host: &mut dyn Host,
    handle: Account,
    account: &EvmAccount,
    all: bool,
) -> Result<(), Halt> {
    let mut unseen = Vec::new();
    let seen = !account.is_created();
    #[allow(clippy::iter_over_hash_type, reason = "the kernel orders by first read; else sorted")]
    for (key, slot) in &account.storage {
        if all {
            unseen.push((*key, slot.present_value));
        } else if slot.is_changed() {
            if seen {
                host.write(handle, &LocalKey::storage(*key), Value::word(slot.present_value))?;
            } else {
                unseen.push((*key, slot.present_value));
            }
        }
    }
    unseen.sort_unstable_by_key(|(key, _)| *key);
    for (key, value) in unseen {
        let key = LocalKey::storage(key);
        if !all || host.read(handle, &key)?.as_word() != Some(value) {
            host.write(handle, &key, Value::word(value))?;
        }
    }
    Ok(())
}

/// Removes a destroyed account.
fn destroy(host: &mut dyn Host, handle: Account) -> Result<(), Halt> {
    let held = host.peek(handle)?.unwrap_or_default().balance;
    if !held.is_zero() {
        host.debit(handle, held)?;
    }
    host.set_existence(handle, false)
}

/// After EIP-161 a touched account that is empty is removed; before, a touched
/// account exists even if it is empty. Relies on what decides it, whichever way.
fn settle_existence(
    host: &mut dyn Host,
    handle: Account,
    account: &EvmAccount,
    clears_empty: bool,
) -> Result<(), Halt> {
    let now = record(account);
    let original = host.original(handle)?;
    let unchanged = now == original.unwrap_or_default();
    if !unchanged && !now.is_empty() {
        return Ok(());
    }
    if !clears_empty {
        host.rely_existence(handle)?;
        if original.is_none() {
            host.set_existence(handle, true)?;
        }
        return Ok(());
    }
    // Each question is relied on before the next, which the answer leads to.
    host.rely_code(handle)?;
    if now.code.is_some() {
        return Ok(());
    }
    host.rely_emptiness(handle)?;
    if !now.is_empty() {
        return Ok(());
    }
    if unchanged {
        host.rely_existence(handle)?;
    }
    if let Some(original) = original {
        if !original.is_empty() {
            host.rely_balance(handle, original.balance, original.balance)?;
        }
        host.set_existence(handle, false)?;
    }
    Ok(())
}

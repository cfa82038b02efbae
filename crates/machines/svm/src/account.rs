//! How a Solana account lies in the kernel's cells.
//!
//! | cell | what |
//! | --- | --- |
//! | balance | lamports, in base units |
//! | slot `HEAD` | owner, flags, length of the data, and the data's first page |
//! | slots `PAGE` | the data's further pages, by number |
//! | code | the executable's bytes, where the account holds one |
//!
//! An account of the system program without data has no slots at all. Zeros at a
//! page's end are not kept, so that room which was only reserved costs nothing.

use crate::{KIND, alias::aliased, gateway, lamports::lamports};
use polity_kernel::{Code, View, ViewError};
use polity_types::{
    AccountId, AccountRecord, AssetId, B256, Bytes, CodeRef, LocalKey, Name, Space, U256, Value,
};
use sha2::{Digest, Sha256};
use solana_account::{AccountSharedData, ReadableAccount};
use solana_loader_v3_interface::state::UpgradeableLoaderState;
use solana_pubkey::Pubkey;
use solana_sdk_ids::{bpf_loader, bpf_loader_deprecated, bpf_loader_upgradeable};
use std::sync::Arc;

/// Bytes of data in one slot.
pub const PAGE: usize = 4096;

/// The region of an account's head.
const HEAD: Space = Space(17);
/// The region of the further pages.
const PAGES: Space = Space(18);

/// Owner, flags, length.
const HEADER: usize = 32 + 1 + 4;
const EXECUTABLE: u8 = 1;
const HAS_CODE: u8 = 2;

/// The epoch in which rent is due of an account that pays none, as all do.
pub(crate) const NEVER: u64 = u64::MAX;

/// The slot of an account's head.
pub fn head_key() -> LocalKey {
    LocalKey { space: HEAD, name: Name::Word(U256::ZERO) }
}

fn page_key(page: usize) -> LocalKey {
    LocalKey { space: PAGES, name: Name::Word(U256::from(page)) }
}

/// Where the cells of accounts are read.
pub(crate) trait Cells {
    type Error: From<ViewError>;

    /// What stands for an account.
    type Handle: Copy;

    fn handle(&mut self, account: &AccountId) -> Result<Self::Handle, Self::Error>;

    fn slot(&mut self, account: Self::Handle, key: &LocalKey) -> Result<Value, Self::Error>;

    fn code(&mut self, account: Self::Handle) -> Result<Option<Arc<Code>>, Self::Error>;
}

/// What an account's head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) owner: Pubkey,
    pub(crate) executable: bool,
    pub(crate) has_code: bool,
    pub(crate) len: usize,
    /// The data's first page, without zeros at its end.
    first: Bytes,
}

impl Head {
    /// Of an account that has none: the system program's, without data.
    const NONE: Self = Self {
        owner: solana_sdk_ids::system_program::ID,
        executable: false,
        has_code: false,
        len: 0,
        first: Bytes::new(),
    };

    pub(crate) fn read<C: Cells>(cells: &mut C, account: C::Handle) -> Result<Self, C::Error> {
        Ok(Self::parse(&cells.slot(account, &head_key())?).ok_or_else(damaged)?)
    }

    fn parse(value: &Value) -> Option<Self> {
        let bytes = match value {
            Value::Empty => return Some(Self::NONE),
            Value::Word(_) => return None,
            Value::Bytes(bytes) => bytes,
        };
        let (header, _) = bytes.split_first_chunk::<HEADER>()?;
        let (owner, rest) = header.split_first_chunk::<32>()?;
        let (flags, len) = rest.split_first()?;
        Some(Self {
            owner: Pubkey::new_from_array(*owner),
            executable: flags & EXECUTABLE != 0,
            has_code: flags & HAS_CODE != 0,
            len: u32::from_le_bytes(*len.first_chunk()?) as usize,
            first: bytes.slice(HEADER..),
        })
    }

    /// Whether there is no slot for it.
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// What a loader wrote at the begin of the data, if that is what it is.
    pub(crate) fn loader_state(&self) -> Option<UpgradeableLoaderState> {
        let mut start = [0; UpgradeableLoaderState::size_of_programdata_metadata()];
        for (to, byte) in start.iter_mut().zip(&self.first) {
            *to = *byte;
        }
        wincode::deserialize(start.get(..self.len.min(start.len()))?).ok()
    }

    /// The whole data.
    pub(crate) fn data<C: Cells>(
        &self,
        cells: &mut C,
        account: C::Handle,
    ) -> Result<Vec<u8>, C::Error> {
        let mut data = vec![0; self.len];
        let mut put = |at: usize, bytes: &[u8]| {
            let room = data.get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len()));
            room.map(|room| room.copy_from_slice(bytes)).ok_or_else(damaged)
        };
        put(0, &self.first)?;
        if self.has_code {
            let code = cells.code(account)?.ok_or_else(damaged)?;
            put(code_offset(&self.owner), code.bytes())?;
            return Ok(data);
        }
        for page in 1..self.len.div_ceil(PAGE) {
            match cells.slot(account, &page_key(page))? {
                Value::Empty => {}
                Value::Bytes(bytes) => put(page * PAGE, &bytes)?,
                Value::Word(_) => return Err(damaged().into()),
            }
        }
        Ok(data)
    }

    /// The account with these lamports.
    pub(crate) fn account<C: Cells>(
        &self,
        cells: &mut C,
        account: C::Handle,
        lamports: u64,
    ) -> Result<AccountSharedData, C::Error> {
        let data = self.data(cells, account)?;
        Ok(AccountSharedData::create_from_existing_shared_data(
            lamports,
            Arc::new(data),
            self.owner,
            self.executable,
            NEVER,
        ))
    }
}

fn damaged() -> ViewError {
    ViewError::Store("the cells of an account are not those of a Solana account".into())
}

/// Where in an account's data the executable begins.
fn code_offset(owner: &Pubkey) -> usize {
    match bpf_loader_upgradeable::check_id(owner) {
        true => UpgradeableLoaderState::size_of_programdata_metadata(),
        false => 0,
    }
}

/// The hash by which accounts refer to an executable: SHA-256.
pub(crate) fn code_hash(code: &[u8]) -> B256 {
    B256::new(Sha256::digest(code).into())
}

/// An account as it lies in cells.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// Its record; `None` where it is not there.
    pub record: Option<AccountRecord>,
    /// All slots that are not empty.
    pub slots: Vec<(LocalKey, Value)>,
    /// The executable, if the account holds one.
    pub code: Option<(CodeRef, Bytes)>,
}

impl Stored {
    /// How an account is stored. One without lamports is not there.
    pub fn new(account: &AccountSharedData) -> Self {
        if account.lamports() == 0 {
            return Self::default();
        }
        let Changes { slots, code } = changes(&AccountSharedData::default(), account);
        let code = code.flatten();
        let reference = code.as_ref().map(|(reference, _)| *reference);
        Self { record: Some(record(account.lamports(), reference)), slots, code }
    }
}

/// How the cells of one account differ from those of another.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) slots: Vec<(LocalKey, Value)>,
    /// The new code or none, where it is another.
    pub(crate) code: Option<Option<(CodeRef, Bytes)>>,
}

/// What makes the cells of an account those of what it is now.
pub(crate) fn changes(before: &AccountSharedData, now: &AccountSharedData) -> Changes {
    // What an account shows of the ledger is no part of it.
    let (before, now) = (&*gateway::stored(before), &*gateway::stored(now));
    let mut changes = Changes::default();
    let same_data = before.data().as_ptr() == now.data().as_ptr() || before.data() == now.data();
    let same_head = before.owner() == now.owner() && before.executable() == now.executable();
    if same_data && same_head {
        return changes;
    }
    let (code_before, code_now) = (executable(before), executable(now));
    if code_before != code_now {
        changes.code = Some(code_now.map(|code| {
            let reference = CodeRef { machine: KIND, hash: code_hash(code) };
            (reference, Bytes::copy_from_slice(code))
        }));
    }
    let (pages_before, pages_now) = (Pages::of(before, code_before), Pages::of(now, code_now));
    let same_head = same_head
        && before.data().len() == now.data().len()
        && pages_before.has_code == pages_now.has_code
        && pages_before.get(0) == pages_now.get(0);
    if !same_head {
        changes.slots.push((head_key(), head(now, &pages_now)));
    }
    for page in 1..pages_before.count().max(pages_now.count()) {
        let bytes = pages_now.get(page);
        if pages_before.get(page) != bytes {
            let value = Value::bytes(Bytes::copy_from_slice(bytes));
            changes.slots.push((page_key(page), value));
        }
    }
    changes
}

/// The data of an account that lies in slots.
struct Pages<'a> {
    data: &'a [u8],
    has_code: bool,
}

impl<'a> Pages<'a> {
    fn of(account: &'a AccountSharedData, code: Option<&[u8]>) -> Self {
        let data = account.data();
        let kept = data.len().saturating_sub(code.map_or(0, <[u8]>::len));
        Self { data: data.get(..kept).unwrap_or_default(), has_code: code.is_some() }
    }

    fn count(&self) -> usize {
        self.data.len().div_ceil(PAGE)
    }

    /// A page without the zeros at its end.
    fn get(&self, page: usize) -> &'a [u8] {
        let begin = page.saturating_mul(PAGE);
        let end = begin.saturating_add(PAGE).min(self.data.len());
        trimmed(self.data.get(begin..end).unwrap_or_default())
    }
}

/// The slot of an account's head; empty for one of the system program without data.
fn head(account: &AccountSharedData, pages: &Pages<'_>) -> Value {
    let (len, owner) = (account.data().len(), account.owner());
    if len == 0 && !account.executable() && solana_sdk_ids::system_program::check_id(owner) {
        return Value::Empty;
    }
    let first = pages.get(0);
    let mut flags = 0;
    if account.executable() {
        flags |= EXECUTABLE;
    }
    if pages.has_code {
        flags |= HAS_CODE;
    }
    let mut head = Vec::with_capacity(HEADER.saturating_add(first.len()));
    head.extend_from_slice(owner.as_ref());
    head.push(flags);
    // The runtime allows no more than 10 MiB.
    head.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
    head.extend_from_slice(first);
    Value::bytes(head.into())
}

/// The executable in an account: all data of a program of the loaders without
/// upgrades, and what follows the header in the program data of the other.
pub(crate) fn executable(account: &AccountSharedData) -> Option<&[u8]> {
    let (owner, data) = (account.owner(), account.data());
    let code = if bpf_loader_upgradeable::check_id(owner) {
        // The number of the variant `ProgramData`.
        (data.first_chunk() == Some(&3_u32.to_le_bytes()))
            .then(|| data.get(code_offset(owner)..))
            .flatten()?
    } else {
        let loader = bpf_loader::check_id(owner) || bpf_loader_deprecated::check_id(owner);
        (loader && account.executable()).then_some(data)?
    };
    (!code.is_empty()).then_some(code)
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    let len = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.get(..len).unwrap_or_default()
}

/// The cells that a view shows.
pub(crate) struct OfView<'a>(pub(crate) &'a dyn View);

impl Cells for OfView<'_> {
    type Error = ViewError;
    type Handle = AccountId;

    fn handle(&mut self, account: &AccountId) -> Result<AccountId, ViewError> {
        Ok(*account)
    }

    fn slot(&mut self, account: AccountId, key: &LocalKey) -> Result<Value, ViewError> {
        self.0.slot(&account, key)
    }

    fn code(&mut self, account: AccountId) -> Result<Option<Arc<Code>>, ViewError> {
        let code = self.0.account(&account)?.and_then(|record| record.code);
        code.map(|code| self.0.code(&code.hash)).transpose()
    }
}

/// The program that owns an account with this head; `None` where it is no head.
pub fn owner(head: &Value) -> Option<Pubkey> {
    Head::parse(head).map(|head| head.owner)
}

/// The account at an address as a view shows it; `None` where it has no lamports.
/// What Solana derives from the block is not among them: see
/// [`crate::sysvar_account`].
///
/// # Errors
/// The view failed, or the cells are not those of a Solana account.
pub fn read_account(
    view: &dyn View,
    address: &Pubkey,
) -> Result<Option<AccountSharedData>, ViewError> {
    let id = crate::account(address);
    let shown = lamports(view.account(&id)?.unwrap_or_default().balance);
    let mut cells = OfView(view);
    let head = match shown {
        0 => Head::NONE,
        _ => Head::read(&mut cells, id)?,
    };
    if !head.is_none() {
        let mut account = head.account(&mut cells, id, shown)?;
        gateway::fill(&mut cells, address, &mut account)?;
        return Ok(Some(account));
    }
    // A wallet, an alias of another machine's account or of an asset, or nothing.
    let shown = match aliased(view, &id)? {
        Some(target) => {
            if let Some(asset) = AssetId::of(&target)
                && let Some(mint) = gateway::mint(&mut cells, asset)?
            {
                return Ok(Some(mint));
            }
            lamports(view.account(&target)?.unwrap_or_default().balance)
        }
        None => shown,
    };
    match shown {
        0 => Ok(None),
        _ => head.account(&mut cells, id, shown).map(Some),
    }
}

/// The record of an account that holds so many lamports, and this code.
pub fn record(lamports: u64, code: Option<CodeRef>) -> AccountRecord {
    AccountRecord { balance: crate::base_units(lamports), sequence: 0, code }
}

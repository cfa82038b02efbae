//! Blocks on redb: in a file, or in memory by the same code.

use std::{
    ops::Bound,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy_consensus::Header;
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Bloom};
use alloy_rlp::Decodable;
use borsh::{BorshDeserialize, BorshSerialize};
use polity_evm::{KIND, Unsigned};
use polity_state::Changes;
use polity_types::{AccountId, Event, MachineKind, Receipt};
use redb::{
    Builder, Database, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition,
};

use super::{
    Block, Entry, Envelope, GuestTransaction, Guests, Identity, Included, IncludedGuest,
    Transaction, edits, recent::Recent, segments::Segments,
};

/// Height → header, transactions and withdrawals.
const BLOCKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blocks");
/// Height → receipts with their events.
const RECEIPTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("receipts");
/// Height → bloom of the block's logs: what a search for logs reads first.
const BLOOMS: TableDefinition<'_, u64, [u8; 256]> = TableDefinition::new("blooms");
/// Hash of a block → height.
const NUMBERS: TableDefinition<'_, [u8; 32], u64> = TableDefinition::new("numbers");
/// Hash of a transaction of Ethereum's → height, and index among those.
const PLACES: TableDefinition<'_, [u8; 32], Place> = TableDefinition::new("places");
/// Height → hash of the block.
const HASHES: TableDefinition<'_, u64, [u8; 32]> = TableDefinition::new("hashes");
/// Machine and hash of a guest's transaction → height and index.
const GUESTS: TableDefinition<'_, (u8, [u8; 32]), Place> = TableDefinition::new("guests");
/// Machine and address of an account, height and index of a guest's transaction
/// that is to be found by it.
const ADDRESSES: TableDefinition<'_, AddressRow, ()> = TableDefinition::new("addresses");
/// Height → what was edited before the block.
const EDITS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("edits");
/// What there is one of.
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// The layout of the tables. Another one is refused.
const FORMAT: u32 = 2;
const FORMAT_KEY: &str = "format";
const CHAIN_KEY: &str = "chain";
const GENESIS_KEY: &str = "genesis";

/// The bytes of the database that are kept in memory. Blocks that are asked for often
/// are kept decoded.
const CACHE: usize = 64 << 20;

/// Where blocks, receipts and the indexes to find them by are kept.
pub struct Store {
    database: Database,
    guests: Guests,
    durable: bool,
    recent: Mutex<Recent>,
}

/// Why blocks cannot be read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("the store of blocks failed: {0}")]
    Database(String),
    /// What is stored is not what was written.
    #[error("the store of blocks is damaged: {0}")]
    Corrupt(String),
    /// A transaction of a machine that the node was not started with.
    #[error(
        "block {block} has a transaction of the machine {kind}, which this node does not have: \
         start it with the machines that the chain was made with"
    )]
    Machine {
        /// The block.
        block: u64,
        /// The byte of the machine.
        kind: MachineKind,
    },
    /// The store was written by another version.
    #[error("the store of blocks has format {found}, this version reads format {FORMAT}")]
    Format {
        /// The format of the store.
        found: u32,
    },
    /// The store is of another chain.
    #[error("the store holds a chain with the id {found}, not {expected}; use another folder")]
    Chain {
        /// The chain in the store.
        found: u64,
        /// The chain that was asked for.
        expected: u64,
    },
    /// The store is of a chain that began otherwise.
    #[error(
        "the store holds a chain with another first block: start with the settings (accounts, \
         balances, rules, gas limit …) that it was made with, or use another folder"
    )]
    Genesis,
}

/// [`rows`] writes the fields of this and the next two in their order.
#[derive(BorshDeserialize)]
struct BlockRow {
    header: Vec<u8>,
    transactions: Vec<TransactionRow>,
    withdrawals: Vec<u8>,
}

#[derive(BorshDeserialize)]
struct TransactionRow {
    /// The byte of the machine whose transaction it is.
    machine: u8,
    /// Who sent it, if it is Ethereum's: recovering that from the signature again
    /// would cost more than all the rest, and a development chain has transactions
    /// that nobody signed.
    sender: Vec<u8>,
    raw: Vec<u8>,
}

#[derive(BorshDeserialize)]
struct ReceiptRow {
    receipt: Receipt,
    events: Vec<Event>,
    supplement: Vec<u8>,
}

/// The place of a transaction: height and index. The index of one of Ethereum's is
/// that among Ethereum's, of a guest's that among those of all machines.
pub type Place = (u64, u32);

/// Machine and address of an account, and a [`Place`].
type AddressRow = (u8, [u8; 32], u64, u32);

impl Store {
    /// A store in memory.
    ///
    /// # Errors
    /// No memory.
    pub fn in_memory(identity: &Identity, guests: Guests) -> Result<Self, StoreError> {
        let database = builder().create_with_backend(Segments::default()).map_err(failed)?;
        Self::with(database, false, identity, guests)
    }

    /// The store in a file, which is created where it is absent.
    ///
    /// # Errors
    /// The file cannot be opened or is of another format or chain.
    pub fn open(path: &Path, identity: &Identity, guests: Guests) -> Result<Self, StoreError> {
        Self::with(builder().create(path).map_err(failed)?, true, identity, guests)
    }

    fn with(
        database: Database,
        durable: bool,
        identity: &Identity,
        guests: Guests,
    ) -> Result<Self, StoreError> {
        let Identity { chain_id, genesis } = *identity;
        let write = database.begin_write().map_err(failed)?;
        {
            let mut meta = write.open_table(META).map_err(failed)?;
            let stored = |key: &str, meta: &redb::Table<'_, &str, &[u8]>| {
                let value = meta.get(key).map_err(failed)?;
                Ok::<_, StoreError>(value.map(|value| value.value().to_vec()))
            };
            match stored(FORMAT_KEY, &meta)? {
                None => {
                    meta.insert(FORMAT_KEY, &FORMAT.to_be_bytes()[..]).map_err(failed)?;
                    meta.insert(CHAIN_KEY, &chain_id.to_be_bytes()[..]).map_err(failed)?;
                    meta.insert(GENESIS_KEY, genesis.as_slice()).map_err(failed)?;
                }
                Some(format) => {
                    let found = u32::from_be_bytes(exact(&format, "format")?);
                    if found != FORMAT {
                        return Err(StoreError::Format { found });
                    }
                    let chain = stored(CHAIN_KEY, &meta)?.unwrap_or_default();
                    let found = u64::from_be_bytes(exact(&chain, "chain id")?);
                    if found != chain_id {
                        return Err(StoreError::Chain { found, expected: chain_id });
                    }
                    if stored(GENESIS_KEY, &meta)?.as_deref() != Some(genesis.as_slice()) {
                        return Err(StoreError::Genesis);
                    }
                }
            }
            write.open_table(BLOCKS).map_err(failed)?;
            write.open_table(RECEIPTS).map_err(failed)?;
            write.open_table(BLOOMS).map_err(failed)?;
            write.open_table(NUMBERS).map_err(failed)?;
            write.open_table(PLACES).map_err(failed)?;
            write.open_table(EDITS).map_err(failed)?;
            write.open_table(HASHES).map_err(failed)?;
            write.open_table(GUESTS).map_err(failed)?;
            write.open_table(ADDRESSES).map_err(failed)?;
        }
        write.commit().map_err(failed)?;
        Ok(Self { database, guests, durable, recent: Mutex::default() })
    }

    /// The guests whose transactions it can read.
    pub(super) const fn guests(&self) -> &Guests {
        &self.guests
    }

    /// Adds a block and what was edited before it; when this returns, a store on
    /// disk holds it for good.
    ///
    /// # Errors
    /// The database failed.
    pub fn put(&self, block: Arc<Block>, edits: Option<&[u8]>) -> Result<(), StoreError> {
        let number = block.number();
        let (row, receipts) = rows(&block)?;
        let bytes = row.len().saturating_add(receipts.len());
        let mut write = self.write()?;
        if !self.durable {
            write.set_durability(Durability::None).map_err(failed)?;
        }
        {
            write.open_table(BLOCKS).map_err(failed)?.insert(number, &row[..]).map_err(failed)?;
            let mut table = write.open_table(RECEIPTS).map_err(failed)?;
            table.insert(number, &receipts[..]).map_err(failed)?;
            let mut table = write.open_table(BLOOMS).map_err(failed)?;
            table.insert(number, block.header.logs_bloom.0.0).map_err(failed)?;
            let mut table = write.open_table(NUMBERS).map_err(failed)?;
            table.insert(block.hash.0, number).map_err(failed)?;
            let mut table = write.open_table(PLACES).map_err(failed)?;
            let hashes = block.transactions.iter().map(|included| included.transaction.hash());
            let mut places: Vec<_> = hashes.zip(0_u32..).collect();
            // In order they find most of their pages at hand.
            places.sort_unstable();
            for (hash, index) in places {
                table.insert(hash.0, (number, index)).map_err(failed)?;
            }
            let mut table = write.open_table(HASHES).map_err(failed)?;
            table.insert(number, block.hash.0).map_err(failed)?;
            if !block.guests.is_empty() {
                let mut places = write.open_table(GUESTS).map_err(failed)?;
                let mut addresses = write.open_table(ADDRESSES).map_err(failed)?;
                for included in &block.guests {
                    let place = (number, included.index);
                    places.insert(guest_key(included), place).map_err(failed)?;
                    for row in self.address_rows(number, included) {
                        addresses.insert(row, ()).map_err(failed)?;
                    }
                }
            }
            if let Some(edits) = edits {
                write.open_table(EDITS).map_err(failed)?.insert(number, edits).map_err(failed)?;
            }
        }
        write.commit().map_err(failed)?;
        self.recent().add(block, bytes);
        Ok(())
    }

    /// Takes back every block above `height`.
    ///
    /// # Errors
    /// The database failed.
    pub fn truncate(&self, height: u64) -> Result<(), StoreError> {
        let Some(head) = self.head()? else { return Ok(()) };
        let first = height.saturating_add(1);
        let gone =
            (first..=head).map(|number| self.block(number)).collect::<Result<Vec<_>, _>>()?;
        let write = self.write()?;
        {
            let mut blocks = write.open_table(BLOCKS).map_err(failed)?;
            let mut receipts = write.open_table(RECEIPTS).map_err(failed)?;
            let mut blooms = write.open_table(BLOOMS).map_err(failed)?;
            let mut numbers = write.open_table(NUMBERS).map_err(failed)?;
            let mut places = write.open_table(PLACES).map_err(failed)?;
            let mut edits = write.open_table(EDITS).map_err(failed)?;
            let mut hashes = write.open_table(HASHES).map_err(failed)?;
            let mut guests = write.open_table(GUESTS).map_err(failed)?;
            let mut addresses = write.open_table(ADDRESSES).map_err(failed)?;
            for block in gone.iter().flatten() {
                hashes.remove(block.number()).map_err(failed)?;
                for included in &block.guests {
                    guests.remove(guest_key(included)).map_err(failed)?;
                    for row in self.address_rows(block.number(), included) {
                        addresses.remove(row).map_err(failed)?;
                    }
                }
                blocks.remove(block.number()).map_err(failed)?;
                receipts.remove(block.number()).map_err(failed)?;
                blooms.remove(block.number()).map_err(failed)?;
                edits.remove(block.number()).map_err(failed)?;
                numbers.remove(block.hash.0).map_err(failed)?;
                for included in &block.transactions {
                    places.remove(included.transaction.hash().0).map_err(failed)?;
                }
            }
        }
        write.commit().map_err(failed)?;
        self.recent().truncate(height);
        Ok(())
    }

    /// The height of the last block.
    ///
    /// # Errors
    /// The database failed.
    pub fn head(&self) -> Result<Option<u64>, StoreError> {
        self.read(|read| {
            let table = read.open_table(BLOOMS).map_err(failed)?;
            let last = table.last().map_err(failed)?;
            Ok(last.map(|(number, _)| number.value()))
        })
    }

    /// The height of the block with this hash.
    ///
    /// # Errors
    /// The database failed.
    pub fn number(&self, hash: &B256) -> Result<Option<u64>, StoreError> {
        self.read(|read| {
            let table = read.open_table(NUMBERS).map_err(failed)?;
            let number = table.get(hash.0).map_err(failed)?;
            Ok(number.map(|number| number.value()))
        })
    }

    /// Where the transaction of Ethereum's with this hash is.
    ///
    /// # Errors
    /// The database failed.
    pub fn place(&self, hash: &B256) -> Result<Option<Place>, StoreError> {
        self.read(|read| {
            let table = read.open_table(PLACES).map_err(failed)?;
            let place = table.get(hash.0).map_err(failed)?;
            Ok(place.map(|place| place.value()))
        })
    }

    /// Where the transaction of a guest with this hash is.
    ///
    /// # Errors
    /// The database failed.
    pub fn guest_place(&self, kind: MachineKind, hash: &B256) -> Result<Option<Place>, StoreError> {
        self.read(|read| {
            let table = read.open_table(GUESTS).map_err(failed)?;
            let place = table.get((kind.byte(), hash.0)).map_err(failed)?;
            Ok(place.map(|place| place.value()))
        })
    }

    /// How many transactions of guests there are.
    ///
    /// # Errors
    /// The database failed.
    pub fn guest_count(&self) -> Result<u64, StoreError> {
        self.read(|read| read.open_table(GUESTS).map_err(failed)?.len().map_err(failed))
    }

    /// Where the guests' transactions are that an account is to be found by, the
    /// newest first: those in a range of places, so many at most.
    ///
    /// # Errors
    /// The database failed.
    pub fn guest_places_of(
        &self,
        account: &AccountId,
        range: (Bound<Place>, Bound<Place>),
        limit: usize,
    ) -> Result<Vec<Place>, StoreError> {
        let (machine, address) = (account.machine.byte(), account.address.0);
        let row = |(height, index): Place| (machine, address, height, index);
        let first = match range.0 {
            Bound::Unbounded => Bound::Included(row((0, 0))),
            bound => bound.map(row),
        };
        let last = match range.1 {
            Bound::Unbounded => Bound::Included(row((u64::MAX, u32::MAX))),
            bound => bound.map(row),
        };
        self.read(|read| {
            let table = read.open_table(ADDRESSES).map_err(failed)?;
            let rows = table.range::<AddressRow>((first, last)).map_err(failed)?;
            let place = |row: Result<(redb::AccessGuard<'_, AddressRow>, _), _>| {
                let (_, _, height, index) = row.map_err(failed)?.0.value();
                Ok((height, index))
            };
            rows.rev().take(limit).map(place).collect()
        })
    }

    /// The hashes of the blocks below a height, the highest first, so many at most.
    ///
    /// # Errors
    /// The database failed.
    pub fn hashes_before(&self, height: u64, limit: usize) -> Result<Vec<B256>, StoreError> {
        self.read(|read| {
            let table = read.open_table(HASHES).map_err(failed)?;
            let rows = table.range(..height).map_err(failed)?.rev().take(limit);
            rows.map(|row| Ok(B256::from(row.map_err(failed)?.1.value()))).collect()
        })
    }

    /// The heights from `first` to `last` whose blocks may have logs that
    /// `matches` looks for, by their bloom.
    ///
    /// # Errors
    /// The database failed.
    pub fn search(
        &self,
        first: u64,
        last: u64,
        matches: impl Fn(&Bloom) -> bool,
    ) -> Result<Vec<u64>, StoreError> {
        self.read(|read| {
            let table = read.open_table(BLOOMS).map_err(failed)?;
            let mut found = Vec::new();
            for row in table.range(first..=last).map_err(failed)? {
                let (number, bloom) = row.map_err(failed)?;
                if matches(&Bloom::from(bloom.value())) {
                    found.push(number.value());
                }
            }
            Ok(found)
        })
    }

    /// The block at a height.
    ///
    /// # Errors
    /// The database failed, or what it holds is no block.
    pub fn block(&self, number: u64) -> Result<Option<Arc<Block>>, StoreError> {
        let age = match self.recent().get(number) {
            Ok(block) => return Ok(Some(block)),
            Err(age) => age,
        };
        let rows = self.read(|read| {
            let blocks = read.open_table(BLOCKS).map_err(failed)?;
            let receipts = read.open_table(RECEIPTS).map_err(failed)?;
            let block = blocks.get(number).map_err(failed)?;
            let receipts = receipts.get(number).map_err(failed)?;
            Ok(block
                .zip(receipts)
                .map(|(block, receipts)| (block.value().to_vec(), receipts.value().to_vec())))
        })?;
        let Some((row, receipts)) = rows else { return Ok(None) };
        let block = parse(&row, &receipts, &self.guests).map_err(|error| match error {
            StoreError::Corrupt(what) => StoreError::Corrupt(format!("block {number}: {what}")),
            other => other,
        })?;
        let block = Arc::new(block);
        let bytes = row.len().saturating_add(receipts.len());
        self.recent().put_back(block.clone(), bytes, age);
        Ok(Some(block))
    }

    /// What was edited before the block at a height.
    ///
    /// # Errors
    /// The database failed, or what it holds are no edits.
    pub fn edits(&self, number: u64) -> Result<Changes, StoreError> {
        let bytes = self.read(|read| {
            let table = read.open_table(EDITS).map_err(failed)?;
            Ok(table.get(number).map_err(failed)?.map(|bytes| bytes.value().to_vec()))
        })?;
        let damaged = |what| corrupt(format!("the edits before block {number}: {what}"));
        bytes.map_or(Ok(Changes::new()), |bytes| edits::decode(&bytes).map_err(damaged))
    }

    fn address_rows(&self, height: u64, included: &IncludedGuest) -> Vec<AddressRow> {
        let guest = self.guests.get(included.transaction.kind());
        let accounts = guest.map(|guest| guest.addresses(included)).unwrap_or_default();
        let row = |account: AccountId| {
            (account.machine.byte(), account.address.0, height, included.index)
        };
        accounts.into_iter().map(row).collect()
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> Result<redb::WriteTransaction, StoreError> {
        self.database.begin_write().map_err(failed)
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&redb::ReadTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        read(&self.database.begin_read().map_err(failed)?)
    }
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
}

/// What a transaction and its receipt take about, so that a row seldom has to grow.
const TYPICAL: (usize, usize) = (256, 384);

/// The rows of a block and of its receipts.
fn rows(block: &Block) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
    let count = u32::try_from(block.len()).map_err(failed)?;
    let room = |typical: usize| Vec::with_capacity(block.len().saturating_mul(typical));
    let (mut row, mut receipts) = (room(TYPICAL.0), room(TYPICAL.1));
    alloy_rlp::encode(&block.header).serialize(&mut row).map_err(failed)?;
    count.serialize(&mut row).map_err(failed)?;
    count.serialize(&mut receipts).map_err(failed)?;
    for entry in block.all() {
        let machine = entry.decoded().machine.byte();
        match entry {
            Entry::Ethereum(Included { transaction, .. }) => {
                let length = u32::try_from(transaction.envelope.encode_2718_len());
                let sender = transaction.sender();
                let head = (machine, sender.as_slice(), length.map_err(failed)?);
                head.serialize(&mut row).map_err(failed)?;
                transaction.envelope.encode_2718(&mut row);
            }
            Entry::Guest(included) => {
                let (sender, raw): (&[u8], &[u8]) = (&[], &included.transaction.raw);
                (machine, sender, raw).serialize(&mut row).map_err(failed)?;
            }
        }
        let receipt = (entry.receipt(), entry.events(), entry.supplement());
        receipt.serialize(&mut receipts).map_err(failed)?;
    }
    alloy_rlp::encode(&block.withdrawals).serialize(&mut row).map_err(failed)?;
    Ok((row, receipts))
}

fn parse(block: &[u8], receipts: &[u8], guests: &Guests) -> Result<Block, StoreError> {
    let row: BlockRow = borsh::from_slice(block).map_err(corrupt)?;
    let receipts: Vec<ReceiptRow> = borsh::from_slice(receipts).map_err(corrupt)?;
    let header = Header::decode(&mut &row.header[..]).map_err(corrupt)?;
    if receipts.len() != row.transactions.len() {
        let (found, expected) = (receipts.len(), row.transactions.len());
        return Err(corrupt(format!("{found} receipts of {expected} transactions")));
    }
    let hash = header.hash_slow();
    let mut block = Block::empty(header, hash);
    block.withdrawals = Decodable::decode(&mut &row.withdrawals[..]).map_err(corrupt)?;
    // They were authenticated before they were stored.
    let authenticated = Unsigned::for_simulation();
    for ((index, tx), row) in (0_u32..).zip(row.transactions).zip(receipts) {
        let ReceiptRow { receipt, events, supplement } = row;
        let kind = MachineKind::new(tx.machine);
        if kind == KIND {
            let envelope = Envelope::decode_2718(&mut &tx.raw[..]).map_err(corrupt)?;
            let sender = Address::from(exact(&tx.sender, "sender")?);
            let decoded = authenticated.envelope(&envelope, sender);
            let transaction = Arc::new(Transaction { envelope, decoded, sidecar: None });
            block.transactions.push(Included { transaction, index, receipt, events });
            continue;
        }
        let unknown = || StoreError::Machine { block: block.number(), kind };
        let guest = guests.get(kind).ok_or_else(unknown)?;
        let decoded = guest.restore(&tx.raw).map_err(corrupt)?;
        let transaction = Arc::new(GuestTransaction { decoded, raw: tx.raw.into() });
        let supplement = supplement.into();
        block.guests.push(IncludedGuest { transaction, index, receipt, events, supplement });
    }
    Ok(block)
}

/// The key of [`GUESTS`].
fn guest_key(included: &IncludedGuest) -> (u8, [u8; 32]) {
    (included.transaction.kind().byte(), included.transaction.hash().0)
}

fn exact<const N: usize>(bytes: &[u8], what: &str) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| corrupt(format!("the {what} has {} bytes", bytes.len())))
}

fn failed(error: impl ToString) -> StoreError {
    StoreError::Database(error.to_string())
}

fn corrupt(error: impl ToString) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

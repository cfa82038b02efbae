//! The accounts of a transaction, in as few bytes as they take.
//!
//! Effects are kept for as long as a block is worked on, and memory that no cache
//! holds yet is what writing them costs most. An [`AccountEffects`] has room for
//! every case in nearly 300 bytes; most accounts need 30 to 70.
//!
//! The list is one piece of memory: where each account begins (four bytes each),
//! then the accounts. Of each, four bytes say what there is ([`Head`]); then
//! follow address, bounds, change, sequence numbers and codes, where there are
//! some. Equal lists are equal bytes.

use crate::{AccountEffects, AccountId, AccountRecord, CodeRef, Delta, Interval, MachineKind};
use alloc::{boxed::Box, vec::Vec};
use alloy_primitives::{B256, U256};
use borsh::{BorshDeserialize, BorshSerialize, io};
use core::fmt;

/// What a transaction relied on and changed in accounts, each once.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AccountList {
    count: u32,
    bytes: Box<[u8]>,
}

/// What an execution relied on in the cells of one account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reliance {
    /// Whether it existed.
    pub existence: bool,
    /// Whether it was empty or absent (EIP-161).
    pub emptiness: bool,
    /// The sequence number.
    pub sequence: bool,
    /// The code.
    pub code: bool,
    /// The balance before the transaction.
    pub balance: Interval,
}

/// An account that an execution looked at.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The account.
    pub account: &'a AccountId,
    /// As it was.
    pub before: Option<&'a AccountRecord>,
    /// As it is.
    pub now: &'a AccountRecord,
    /// See [`AccountEffects::existence_write`].
    pub existence: Option<bool>,
    /// Whether every slot was emptied.
    pub reset: bool,
    /// On what the execution relied.
    pub relied: &'a Reliance,
}

/// What an absent account holds.
pub(crate) static ABSENT: AccountRecord =
    AccountRecord { balance: U256::ZERO, sequence: 0, code: None };

/// What there is of an account: a bit each, or two where there are three cases or
/// four.
#[derive(Clone, Copy, Default)]
struct Head(u32);

impl Head {
    const EXISTENCE_READ: u32 = 0;
    const EMPTINESS_READ: u32 = 2;
    const EXISTENCE_WRITE: u32 = 4;
    const RESET: u32 = 6;
    /// An address of 32 bytes instead of 20.
    const LONG: u32 = 7;
    const SEQUENCE_READ: u32 = 8;
    const SEQUENCE_WRITE: u32 = 9;
    const CODE_READ: u32 = 10;
    const CODE_WRITE: u32 = 12;
    const LO: u32 = 14;
    const HI: u32 = 16;
    const DELTA: u32 = 18;
    const NEGATIVE: u32 = 20;

    const fn put(&mut self, at: u32, what: u32) {
        self.0 |= what << at;
    }

    fn put_answer(&mut self, at: u32, answer: Option<bool>) {
        self.put(at, answer.map_or(0, |answer| 1 + u32::from(answer)));
    }

    fn put_code(&mut self, at: u32, code: Option<Option<&CodeRef>>) {
        self.put(at, code.map_or(0, |code| 1 + u32::from(code.is_some())));
    }

    const fn bit(self, at: u32) -> bool {
        self.0 >> at & 1 == 1
    }

    const fn pair(self, at: u32) -> u32 {
        self.0 >> at & 3
    }

    const fn answer(self, at: u32) -> Option<bool> {
        match self.pair(at) {
            0 => None,
            answer => Some(answer == 2),
        }
    }

    const fn writes_record(self) -> bool {
        self.pair(Self::DELTA) != 0
            || self.bit(Self::SEQUENCE_WRITE)
            || self.pair(Self::CODE_WRITE) != 0
            || self.pair(Self::EXISTENCE_WRITE) != 0
    }
}

/// The upper bound that says nothing.
const HI_ANY: u32 = 0;
/// The upper bound is the lower one.
const HI_POINT: u32 = 1;

/// How many words of 64 bits an amount takes: 0, 1, 2 or, as number 3, 4.
fn width(amount: &U256) -> u32 {
    match amount.as_limbs() {
        [0, 0, 0, 0] => 0,
        [_, 0, 0, 0] => 1,
        [_, _, 0, 0] => 2,
        _ => 3,
    }
}

/// The most bytes that an account takes: all that there can be.
const MOST: usize = 4 + 1 + 32 + 3 * 32 + 2 * 8 + 2 * 33;

/// Packs accounts, in memory that it keeps from list to list.
#[derive(Clone, Debug, Default)]
pub struct Packer {
    starts: Vec<u32>,
    /// Longer than what was written, so that there is always room to write.
    bytes: Vec<u8>,
    written: usize,
}

impl Packer {
    /// Forgets what was not finished.
    pub fn clear(&mut self) {
        self.starts.clear();
        self.written = 0;
    }

    /// Adds an account; tells whether its record changes.
    pub fn push(&mut self, seen: &Seen<'_>) -> bool {
        let Seen { account, before, now, existence, reset, relied } = *seen;
        let original = before.unwrap_or(&ABSENT);
        let sequence = now.sequence;
        let code = now.code.as_ref();
        let negative = now.balance < original.balance;
        let change = match negative {
            false => now.balance.wrapping_sub(original.balance),
            true => original.balance.wrapping_sub(now.balance),
        };
        let cells = Cells {
            existence_read: relied.existence.then_some(before.is_some()),
            emptiness_read: relied.emptiness.then(|| original.is_empty()),
            existence_write: existence,
            reset,
            balance: &relied.balance,
            negative,
            change: &change,
            sequence_read: relied.sequence.then_some(original.sequence),
            sequence_write: (sequence != original.sequence).then_some(sequence),
            code_read: relied.code.then_some(original.code.as_ref()),
            code_write: (now.code != original.code).then_some(code),
        };
        self.pack(account, &cells).writes_record()
    }

    // Inlined, the parts need not be put together first.
    #[inline(always)]
    fn pack(&mut self, account: &AccountId, cells: &Cells<'_>) -> Head {
        let Interval { lo, hi } = cells.balance;
        let (zeros, short) = account.address.split_first_chunk::<12>().unwrap_or((&[1; 12], &[]));
        let short = short.first_chunk::<20>().filter(|_| *zeros == [0; 12]);
        let (lower, change) = (width(lo), width(cells.change));
        let upper = match () {
            () if *hi == U256::MAX => HI_ANY,
            () if hi == lo => HI_POINT,
            () => width(hi).max(2),
        };
        let mut head = Head::default();
        head.put_answer(Head::EXISTENCE_READ, cells.existence_read);
        head.put_answer(Head::EMPTINESS_READ, cells.emptiness_read);
        head.put_answer(Head::EXISTENCE_WRITE, cells.existence_write);
        head.put(Head::RESET, cells.reset.into());
        head.put(Head::LONG, short.is_none().into());
        head.put(Head::SEQUENCE_READ, cells.sequence_read.is_some().into());
        head.put(Head::SEQUENCE_WRITE, cells.sequence_write.is_some().into());
        head.put_code(Head::CODE_READ, cells.code_read);
        head.put_code(Head::CODE_WRITE, cells.code_write);
        head.put(Head::LO, lower);
        head.put(Head::HI, upper);
        head.put(Head::DELTA, change);
        head.put(Head::NEGATIVE, cells.negative.into());

        self.starts.push(u32::try_from(self.written).unwrap_or(u32::MAX));
        let room = self.written.saturating_add(MOST);
        if self.bytes.len() < room {
            self.bytes.resize(room.saturating_mul(2), 0);
        }
        let mut writer = Writer(self.bytes.get_mut(self.written..room).unwrap_or_default());
        writer.put(head.0.to_le_bytes());
        writer.put([account.machine.byte()]);
        match short {
            Some(short) => writer.put(*short),
            None => writer.put(account.address.0),
        }
        writer.put_amount(lo, lower);
        if upper > HI_POINT {
            writer.put_amount(hi, upper);
        }
        writer.put_amount(cells.change, change);
        if let Some(sequence) = cells.sequence_read {
            writer.put(sequence.to_le_bytes());
        }
        if let Some(sequence) = cells.sequence_write {
            writer.put(sequence.to_le_bytes());
        }
        if let Some(Some(code)) = cells.code_read {
            writer.put_code(code);
        }
        if let Some(Some(code)) = cells.code_write {
            writer.put_code(code);
        }
        self.written = room.saturating_sub(writer.0.len());
        head
    }

    /// The list of the accounts added since the last one.
    pub fn finish(&mut self) -> AccountList {
        let count = u32::try_from(self.starts.len()).unwrap_or(u32::MAX);
        let table = self.starts.len().saturating_mul(4);
        let mut list = Vec::with_capacity(table.saturating_add(self.written));
        let first = u32::try_from(table).unwrap_or(u32::MAX);
        for start in &self.starts {
            list.extend_from_slice(&start.saturating_add(first).to_le_bytes());
        }
        list.extend_from_slice(self.bytes.get(..self.written).unwrap_or_default());
        self.clear();
        AccountList { count, bytes: list.into_boxed_slice() }
    }
}

/// The room that is left.
struct Writer<'a>(&'a mut [u8]);

impl Writer<'_> {
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        if let Some((place, rest)) = core::mem::take(&mut self.0).split_first_chunk_mut() {
            *place = bytes;
            self.0 = rest;
        }
    }

    fn put_amount(&mut self, amount: &U256, width: u32) {
        let [a, b, c, d] = *amount.as_limbs();
        match width {
            0 => {}
            1 => self.put(a.to_le_bytes()),
            2 => self.put((u128::from(b) << 64 | u128::from(a)).to_le_bytes()),
            _ => {
                self.put((u128::from(b) << 64 | u128::from(a)).to_le_bytes());
                self.put((u128::from(d) << 64 | u128::from(c)).to_le_bytes());
            }
        }
    }

    fn put_code(&mut self, code: &CodeRef) {
        self.put([code.machine.byte()]);
        self.put(code.hash.0);
    }
}

/// The parts of [`AccountEffects`], by reference.
struct Cells<'a> {
    existence_read: Option<bool>,
    emptiness_read: Option<bool>,
    existence_write: Option<bool>,
    reset: bool,
    balance: &'a Interval,
    negative: bool,
    change: &'a U256,
    sequence_read: Option<u64>,
    sequence_write: Option<u64>,
    code_read: Option<Option<&'a CodeRef>>,
    code_write: Option<Option<&'a CodeRef>>,
}

/// What was packed, from some place on. Nothing but this module packs, so that
/// what it looks for is there.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk() {
            Some((taken, rest)) => {
                self.0 = rest;
                *taken
            }
            None => [0; N],
        }
    }

    fn head(&mut self) -> Head {
        Head(u32::from_le_bytes(self.take()))
    }

    fn account(&mut self, head: Head) -> AccountId {
        let [machine] = self.take();
        let machine = MachineKind::new(machine);
        if head.bit(Head::LONG) {
            return AccountId::new(machine, B256::from(self.take()));
        }
        AccountId::short(machine, self.take::<20>().into())
    }

    fn word(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn amount(&mut self, width: u32) -> U256 {
        U256::from_limbs(match width {
            0 => [0; 4],
            1 => [self.word(), 0, 0, 0],
            2 => [self.word(), self.word(), 0, 0],
            _ => [self.word(), self.word(), self.word(), self.word()],
        })
    }

    fn code(&mut self, what: u32) -> Option<Option<CodeRef>> {
        match what {
            0 => None,
            1 => Some(None),
            _ => {
                let [machine] = self.take();
                let machine = MachineKind::new(machine);
                Some(Some(CodeRef { machine, hash: B256::from(self.take()) }))
            }
        }
    }

    fn effects(mut self) -> AccountEffects {
        let head = self.head();
        let account = self.account(head);
        let lo = self.amount(head.pair(Head::LO));
        let hi = match head.pair(Head::HI) {
            HI_ANY => U256::MAX,
            HI_POINT => lo,
            width => self.amount(width),
        };
        let change = self.amount(head.pair(Head::DELTA));
        let mut sequence = |at| head.bit(at).then(|| self.word());
        let sequence_read = sequence(Head::SEQUENCE_READ);
        let sequence_write = sequence(Head::SEQUENCE_WRITE);
        AccountEffects {
            account,
            existence_read: head.answer(Head::EXISTENCE_READ),
            emptiness_read: head.answer(Head::EMPTINESS_READ),
            existence_write: head.answer(Head::EXISTENCE_WRITE),
            balance_read: Interval { lo, hi },
            balance_delta: match head.bit(Head::NEGATIVE) {
                true => Delta::minus(change),
                false => Delta::plus(change),
            },
            sequence_read,
            sequence_write,
            code_read: self.code(head.pair(Head::CODE_READ)),
            code_write: self.code(head.pair(Head::CODE_WRITE)),
            storage_reset: head.bit(Head::RESET),
        }
    }
}

/// An account in a list, not unpacked yet.
#[derive(Clone, Copy)]
pub struct PackedAccount<'a> {
    head: Head,
    reader: Reader<'a>,
}

impl PackedAccount<'_> {
    /// The account.
    pub fn account(&self) -> AccountId {
        let mut reader = self.reader;
        let head = reader.head();
        reader.account(head)
    }

    /// See [`AccountEffects::writes_record`].
    pub const fn writes_record(&self) -> bool {
        self.head.writes_record()
    }

    /// See [`AccountEffects::storage_reset`].
    pub const fn storage_reset(&self) -> bool {
        self.head.bit(Head::RESET)
    }

    /// See [`AccountEffects::writes`].
    pub const fn writes(&self) -> bool {
        self.writes_record() || self.storage_reset()
    }

    /// All of it.
    pub fn effects(&self) -> AccountEffects {
        self.reader.effects()
    }
}

impl AccountList {
    /// How many accounts there are.
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The account at this place, without unpacking it.
    pub fn packed(&self, index: usize) -> Option<PackedAccount<'_>> {
        if index >= self.len() {
            return None;
        }
        let start = self.bytes.get(index.checked_mul(4)?..)?.first_chunk()?;
        let reader = Reader(self.bytes.get(u32::from_le_bytes(*start) as usize..)?);
        let mut head = reader;
        Some(PackedAccount { head: head.head(), reader })
    }

    /// All accounts in order, without unpacking them.
    pub fn iter_packed(&self) -> impl ExactSizeIterator<Item = PackedAccount<'_>> {
        (0..self.len()).map(|index| {
            let empty = PackedAccount { head: Head::default(), reader: Reader(&[]) };
            self.packed(index).unwrap_or(empty)
        })
    }

    /// The account at this place.
    pub fn get(&self, index: usize) -> Option<AccountEffects> {
        self.packed(index).map(|packed| packed.effects())
    }

    /// Which account is at this place.
    pub fn id(&self, index: usize) -> Option<AccountId> {
        self.packed(index).map(|packed| packed.account())
    }

    /// All accounts in order.
    pub fn iter(&self) -> Iter<'_> {
        Iter { list: self, next: 0 }
    }
}

/// See [`AccountList::iter`].
#[derive(Clone)]
pub struct Iter<'a> {
    list: &'a AccountList,
    next: usize,
}

impl Iterator for Iter<'_> {
    type Item = AccountEffects;

    fn next(&mut self) -> Option<AccountEffects> {
        let effects = self.list.get(self.next)?;
        self.next += 1;
        Some(effects)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.list.len().saturating_sub(self.next);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl<'a> IntoIterator for &'a AccountList {
    type Item = AccountEffects;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl FromIterator<AccountEffects> for AccountList {
    fn from_iter<T: IntoIterator<Item = AccountEffects>>(accounts: T) -> Self {
        let mut packer = Packer::default();
        for effects in accounts {
            let magnitude = effects.balance_delta.magnitude();
            packer.pack(
                &effects.account,
                &Cells {
                    existence_read: effects.existence_read,
                    emptiness_read: effects.emptiness_read,
                    existence_write: effects.existence_write,
                    reset: effects.storage_reset,
                    balance: &effects.balance_read,
                    negative: effects.balance_delta.is_negative(),
                    change: &magnitude,
                    sequence_read: effects.sequence_read,
                    sequence_write: effects.sequence_write,
                    code_read: effects.code_read.as_ref().map(Option::as_ref),
                    code_write: effects.code_write.as_ref().map(Option::as_ref),
                },
            );
        }
        packer.finish()
    }
}

impl fmt::Debug for AccountList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

/// As a list of [`AccountEffects`].
impl BorshSerialize for AccountList {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        self.count.serialize(writer)?;
        self.iter().try_for_each(|effects| effects.serialize(writer))
    }
}

impl BorshDeserialize for AccountList {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        Ok(Vec::<AccountEffects>::deserialize_reader(reader)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, option, prelude::*};

    fn amount() -> impl Strategy<Value = U256> {
        prop_oneof![
            Just(U256::ZERO),
            Just(U256::MAX),
            any::<u64>().prop_map(U256::from),
            any::<u128>().prop_map(U256::from),
            any::<[u64; 4]>().prop_map(U256::from_limbs),
        ]
    }

    fn code() -> impl Strategy<Value = Option<CodeRef>> {
        let filled = |(machine, hash): (u8, [u8; 32])| CodeRef {
            machine: MachineKind::new(machine),
            hash: hash.into(),
        };
        option::of(any::<(u8, [u8; 32])>().prop_map(filled))
    }

    fn account() -> impl Strategy<Value = AccountId> {
        let address = prop_oneof![
            any::<[u8; 20]>().prop_map(|short| B256::left_padding_from(&short)),
            any::<[u8; 32]>().prop_map(B256::from),
        ];
        (any::<u8>(), address)
            .prop_map(|(kind, address)| AccountId::new(MachineKind::new(kind), address))
    }

    fn effects() -> impl Strategy<Value = AccountEffects> {
        let answers = any::<(Option<bool>, Option<bool>, Option<bool>, bool, bool)>();
        let balance = (amount(), prop_oneof![Just(None), amount().prop_map(Some)], amount());
        let sequences = any::<(Option<u64>, Option<u64>)>();
        let codes = (option::of(code()), option::of(code()));
        (account(), answers, balance, sequences, codes).prop_map(
            |(account, answers, (lo, hi, change), sequences, codes)| {
                let negative = answers.4;
                AccountEffects {
                    account,
                    existence_read: answers.0,
                    emptiness_read: answers.1,
                    existence_write: answers.2,
                    balance_read: Interval { lo, hi: hi.unwrap_or(lo) },
                    balance_delta: if negative {
                        Delta::minus(change)
                    } else {
                        Delta::plus(change)
                    },
                    sequence_read: sequences.0,
                    sequence_write: sequences.1,
                    code_read: codes.0,
                    code_write: codes.1,
                    storage_reset: answers.3,
                }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn what_was_packed_comes_out(accounts in vec(effects(), 0..6), other in vec(effects(), 0..3)) {
            let list: AccountList = accounts.iter().cloned().collect();
            prop_assert_eq!(list.len(), accounts.len());
            prop_assert_eq!(list.iter().collect::<Vec<_>>(), accounts.clone());
            for (index, effects) in accounts.iter().enumerate() {
                let packed = list.packed(index).unwrap();
                prop_assert_eq!(packed.account(), effects.account);
                prop_assert_eq!(packed.writes_record(), effects.writes_record());
                prop_assert_eq!(packed.writes(), effects.writes());
                prop_assert_eq!(list.get(index), Some(effects.clone()));
            }
            prop_assert!(list.get(accounts.len()).is_none());
            let others: AccountList = other.iter().cloned().collect();
            prop_assert_eq!(list == others, accounts == other);
            let bytes = borsh::to_vec(&list).unwrap();
            prop_assert_eq!(&bytes, &borsh::to_vec(&accounts).unwrap());
            prop_assert_eq!(borsh::from_slice::<AccountList>(&bytes).unwrap(), list);
        }

        #[test]
        fn what_was_seen_is_packed_as_its_effects(
            account in account(),
            before in option::of((amount(), any::<u64>(), code())),
            now in (amount(), any::<u64>(), code()),
            existence: Option<bool>,
            flags: [bool; 5],
            (lo, hi) in (amount(), amount()),
        ) {
            let record = |(balance, sequence, code)| AccountRecord { balance, sequence, code };
            let (before, now) = (before.map(record), record(now));
            let [reset, exists, empty, sequence, code] = flags;
            let relied = Reliance {
                existence: exists,
                emptiness: empty,
                sequence,
                code,
                balance: Interval { lo, hi },
            };
            let mut packer = Packer::default();
            packer.push(&Seen {
                account: &account,
                before: before.as_ref(),
                now: &now,
                existence,
                reset,
                relied: &relied,
            });
            let was = before.unwrap_or_default();
            let expected = AccountEffects {
                account,
                existence_read: exists.then_some(before.is_some()),
                emptiness_read: empty.then_some(was.is_empty()),
                existence_write: existence,
                balance_read: relied.balance,
                balance_delta: Delta::between(was.balance, now.balance),
                sequence_read: sequence.then_some(was.sequence),
                sequence_write: (now.sequence != was.sequence).then_some(now.sequence),
                code_read: code.then_some(was.code),
                code_write: (now.code != was.code).then_some(now.code),
                storage_reset: reset,
            };
            prop_assert_eq!(packer.finish().iter().collect::<Vec<_>>(), vec![expected]);
            prop_assert!(packer.finish().is_empty());
        }
    }
}

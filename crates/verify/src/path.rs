use core::fmt;
use polity_types::B256;

/// The place of a leaf: 256 turns from the root, a 0 bit to the left, a 1 bit to
/// the right, the top bit of the first byte first. Ordered as bytes, which is
/// from left to right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Path([u8; 32]);

impl Path {
    /// The number of turns.
    pub const BITS: u16 = 256;

    /// The path with these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The turn at a depth below 256: whether it goes to the right.
    pub fn bit(&self, depth: u16) -> bool {
        let byte = self.0.get(usize::from(depth / 8)).copied().unwrap_or_default();
        byte & (0x80 >> (depth % 8)) != 0
    }

    /// This path with another turn at a depth below 256.
    #[must_use]
    pub fn with_bit(mut self, depth: u16, right: bool) -> Self {
        let mask = 0x80 >> (depth % 8);
        if let Some(byte) = self.0.get_mut(usize::from(depth / 8)) {
            *byte = if right { *byte | mask } else { *byte & !mask };
        }
        self
    }

    /// Whether both paths make the same first `bits` turns.
    pub fn agrees(&self, other: &Self, bits: u16) -> bool {
        let whole = usize::from(bits / 8);
        let rest = 0xff_u8.checked_shl(u32::from(8 - bits % 8)).unwrap_or(0);
        let equal = self.0.get(..whole) == other.0.get(..whole);
        let tail = self.0.get(whole).zip(other.0.get(whole));
        equal && tail.is_none_or(|(a, b)| (a ^ b) & rest == 0)
    }
}

impl From<Path> for B256 {
    fn from(path: Path) -> Self {
        Self::new(path.0)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&B256::new(self.0), f)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&B256::new(self.0), f)
    }
}

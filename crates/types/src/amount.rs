use alloy_primitives::U256;
use borsh::{BorshDeserialize, BorshSerialize};

/// A signed change of a 256-bit amount, in base units (18 decimals for the
/// native asset). Zero is never negative, so equal changes are equal bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Delta {
    negative: bool,
    magnitude: U256,
}

impl Delta {
    /// No change.
    pub const ZERO: Self = Self { negative: false, magnitude: U256::ZERO };

    /// An increase.
    pub const fn plus(amount: U256) -> Self {
        Self { negative: false, magnitude: amount }
    }

    /// A decrease.
    pub fn minus(amount: U256) -> Self {
        Self { negative: !amount.is_zero(), magnitude: amount }
    }

    /// The change that leads from `before` to `after`.
    pub fn between(before: U256, after: U256) -> Self {
        if after >= before { Self::plus(after - before) } else { Self::minus(before - after) }
    }

    /// Whether nothing changes.
    pub fn is_zero(&self) -> bool {
        self.magnitude.is_zero()
    }

    /// Whether this is a decrease.
    pub const fn is_negative(&self) -> bool {
        self.negative
    }

    /// The size of the change, without its sign.
    pub const fn magnitude(&self) -> U256 {
        self.magnitude
    }

    /// The amount after the change, or `None` where it would leave 0..2^256.
    pub fn apply(&self, amount: U256) -> Option<U256> {
        if self.negative {
            amount.checked_sub(self.magnitude)
        } else {
            amount.checked_add(self.magnitude)
        }
    }

    /// Both changes, one after the other, or `None` where the sum's magnitude
    /// does not fit 256 bits.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        if self.negative == other.negative {
            let magnitude = self.magnitude.checked_add(other.magnitude)?;
            return Some(Self { negative: self.negative, magnitude });
        }
        let (plus, minus) = if self.negative {
            (other.magnitude, self.magnitude)
        } else {
            (self.magnitude, other.magnitude)
        };
        Some(Self::between(minus, plus))
    }

    /// The change that undoes this one.
    pub fn inverse(self) -> Self {
        Self { negative: !self.negative && !self.magnitude.is_zero(), magnitude: self.magnitude }
    }
}

/// What an execution relied on about an amount that it did not read exactly: it
/// holds for every value from `lo` to `hi`, both included.
///
/// A credit leaves the interval as it is; a debit of *x* raises `lo` to *x*; a
/// debit that failed lowers `hi`; an exact read collapses it to a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Interval {
    /// The least value that leads to the same execution.
    pub lo: U256,
    /// The greatest value that leads to the same execution.
    pub hi: U256,
}

impl Interval {
    /// Nothing was relied on.
    pub const ANY: Self = Self { lo: U256::ZERO, hi: U256::MAX };

    /// Whether the execution is also right for `value`.
    pub fn contains(&self, value: U256) -> bool {
        self.lo <= value && value <= self.hi
    }

    /// Whether nothing was relied on.
    pub fn is_any(&self) -> bool {
        *self == Self::ANY
    }

    /// Whether the exact value was relied on.
    pub fn is_point(&self) -> bool {
        self.lo == self.hi
    }

    /// Relies on "at least `value`".
    pub fn require_at_least(&mut self, value: U256) {
        self.lo = self.lo.max(value);
    }

    /// Relies on "at most `value`".
    pub fn require_at_most(&mut self, value: U256) {
        self.hi = self.hi.min(value);
    }

    /// Relies on both.
    pub fn narrow(&mut self, other: Self) {
        self.require_at_least(other.lo);
        self.require_at_most(other.hi);
    }

    /// The amounts that are in here after `change`, or `None` where there are
    /// none.
    pub fn before(self, change: Delta) -> Option<Self> {
        if change.negative {
            let lo = self.lo.checked_add(change.magnitude)?;
            Some(Self { lo, hi: self.hi.saturating_add(change.magnitude) })
        } else {
            let hi = self.hi.checked_sub(change.magnitude)?;
            Some(Self { lo: self.lo.saturating_sub(change.magnitude), hi })
        }
    }

    /// Relies on exactly `value`.
    pub fn pin(&mut self, value: U256) {
        self.require_at_least(value);
        self.require_at_most(value);
    }
}

impl Default for Interval {
    fn default() -> Self {
        Self::ANY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn delta_is_addition(base in any::<u64>(), a in any::<i64>(), b in any::<i64>()) {
            let of = |v: i64| {
                if v < 0 { Delta::minus(U256::from(v.unsigned_abs())) } else { Delta::plus(U256::from(v)) }
            };
            let sum = of(a).checked_add(of(b)).unwrap();
            let expected = i128::from(base) + i128::from(a) + i128::from(b);
            let got = sum.apply(U256::from(base));
            prop_assert_eq!(got, u128::try_from(expected).ok().map(U256::from));
            prop_assert_eq!(of(a).checked_add(of(a).inverse()), Some(Delta::ZERO));
        }
    }

    #[test]
    fn delta_at_the_edges() {
        assert_eq!(Delta::plus(U256::MAX).checked_add(Delta::plus(U256::from(1))), None);
        assert_eq!(Delta::minus(U256::ZERO), Delta::ZERO);
        assert_eq!(Delta::minus(U256::from(1)).apply(U256::ZERO), None);
        assert_eq!(Delta::plus(U256::from(1)).apply(U256::MAX), None);
    }
}

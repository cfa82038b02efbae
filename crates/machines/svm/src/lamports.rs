//! Lamports are the native asset, in steps of 10⁹ base units.
//!
//! What is below a lamport stays in the ledger and does not show; what is above
//! the largest number of lamports shows as that number and stays as well. So
//! Solana's programs move only what they see, and nothing is rounded away.

use polity_types::{Interval, U256};

/// Base units of the native asset in one lamport.
pub const BASE_UNITS_PER_LAMPORT: u64 = 1_000_000_000;

/// An amount of lamports in base units.
pub fn base_units(lamports: u64) -> U256 {
    U256::from(u128::from(lamports) * u128::from(BASE_UNITS_PER_LAMPORT))
}

/// What Solana sees of a balance in base units.
pub fn lamports(balance: U256) -> u64 {
    (balance / U256::from(BASE_UNITS_PER_LAMPORT)).saturating_to()
}

/// The balances that show as exactly so many lamports.
pub(crate) fn exactly(lamports: u64) -> Interval {
    let lo = base_units(lamports);
    let hi = match lamports {
        u64::MAX => U256::MAX,
        _ => lo + U256::from(BASE_UNITS_PER_LAMPORT - 1),
    };
    Interval { lo, hi }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dust_and_more_than_fits_do_not_show() {
        assert_eq!(lamports(U256::from(BASE_UNITS_PER_LAMPORT - 1)), 0);
        assert_eq!(lamports(U256::from(BASE_UNITS_PER_LAMPORT)), 1);
        assert_eq!(lamports(base_units(u64::MAX)), u64::MAX);
        assert_eq!(lamports(U256::MAX), u64::MAX);
    }

    #[test]
    fn an_interval_holds_what_shows_alike() {
        for shown in [0, 1, 890_880, u64::MAX - 1, u64::MAX] {
            let interval = exactly(shown);
            assert_eq!(lamports(interval.lo), shown);
            assert_eq!(lamports(interval.hi), shown);
            if shown > 0 {
                assert_eq!(lamports(interval.lo - U256::from(1)), shown - 1);
            }
            if shown < u64::MAX {
                assert_eq!(lamports(interval.hi + U256::from(1)), shown + 1);
            }
        }
    }
}

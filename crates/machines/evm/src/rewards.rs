//! What consensus pays without a transaction: block and ommer rewards, and withdrawals.
//!
//! Every function returns the credits in wei, in the order in which they are applied. They come
//! after the last transaction of the block.

use alloc::vec::Vec;

use alloy_consensus::Header;
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, U256};

use crate::spec::Fork;

/// The rewards of a block at `fork`, for the beneficiary and then for each ommer's, in wei.
///
/// The beneficiary gets the static reward and 1/32 of it for each ommer; an ommer's gets
/// (8 − depth)/8 of it, where the depth is the distance from the ommer to the block (Yellow Paper
/// §11.3, equation "block finalisation"). Nothing from Paris on (EIP-3675): the list is empty.
///
/// The ommers are taken as checked by [`crate::header::check_ommers`]; one at a depth that it
/// refuses (0, or 8 and more) is paid nothing.
///
/// ```
/// use alloy_primitives::{Address, U256};
/// use polity_evm::{rewards::block_rewards, spec::Fork};
///
/// let credits = block_rewards(Fork::Istanbul, 9_069_000, Address::ZERO, &[]);
/// assert_eq!(credits, [(Address::ZERO, U256::from(2_000_000_000_000_000_000_u64))]);
/// ```
pub fn block_rewards(
    fork: Fork,
    number: u64,
    beneficiary: Address,
    ommers: &[Header],
) -> Vec<(Address, U256)> {
    let reward = fork.block_reward();
    if reward == 0 {
        return Vec::new();
    }
    let reward = U256::from(reward);
    let for_ommers = (reward / U256::from(32)).saturating_mul(U256::from(ommers.len()));
    let mut credits = Vec::with_capacity(ommers.len().saturating_add(1));
    credits.push((beneficiary, reward.saturating_add(for_ommers)));
    for ommer in ommers {
        let eighths = match number.checked_sub(ommer.number) {
            Some(depth @ 1..=7) => 8_u64.saturating_sub(depth),
            _ => 0,
        };
        let share = reward.saturating_mul(U256::from(eighths)) / U256::from(8);
        credits.push((ommer.beneficiary, share));
    }
    credits
}

/// The credits of a block's withdrawals, in wei, in the order of the list (EIP-4895: the amounts
/// are in gwei, are created, and cost no gas).
///
/// A withdrawal of nothing gives a credit of nothing: it still touches its account, which removes
/// an empty one (EIP-161).
pub fn withdrawals(withdrawals: &[Withdrawal]) -> Vec<(Address, U256)> {
    withdrawals.iter().map(|withdrawal| (withdrawal.address, withdrawal.amount_wei())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINER: Address = Address::repeat_byte(1);
    const OMMER: Address = Address::repeat_byte(2);

    fn ommer(number: u64) -> Header {
        Header { number, beneficiary: OMMER, ..Header::default() }
    }

    fn ether(thousandths: u64) -> U256 {
        U256::from(thousandths) * U256::from(1_000_000_000_000_000_u64)
    }

    #[test]
    fn static_rewards_by_fork() {
        for (fork, thousandths) in [
            (Fork::Frontier, 5_000),
            (Fork::SpuriousDragon, 5_000),
            (Fork::Byzantium, 3_000),
            (Fork::Constantinople, 2_000),
            (Fork::GrayGlacier, 2_000),
        ] {
            let credits = block_rewards(fork, 10, MINER, &[]);
            assert_eq!(credits, [(MINER, ether(thousandths))], "{fork}");
        }
        assert!(block_rewards(Fork::Paris, 10, MINER, &[]).is_empty());
        assert!(block_rewards(Fork::Bpo5, 10, MINER, &[ommer(9)]).is_empty());
    }

    #[test]
    fn ommers_pay_by_depth() {
        let credits = block_rewards(Fork::Frontier, 10, MINER, &[ommer(9), ommer(4)]);
        // 5 + 2 × 5/32; 7/8 of 5; 2/8 of 5.
        let miner = ether(5_000) + ether(312) + ether(1) / U256::from(2);
        assert_eq!(credits, [(MINER, miner), (OMMER, ether(4_375)), (OMMER, ether(1_250))]);
    }

    #[test]
    fn an_ommer_out_of_reach_is_paid_nothing() {
        for number in [0, 1, 2, 10, 11, u64::MAX] {
            let credits = block_rewards(Fork::Frontier, 10, MINER, &[ommer(number)]);
            assert_eq!(credits.get(1), Some(&(OMMER, U256::ZERO)), "ommer at {number}");
        }
    }

    #[test]
    fn withdrawals_are_in_gwei_and_keep_their_order() {
        let entry = |address, amount| Withdrawal { index: 0, validator_index: 0, address, amount };
        let credits = withdrawals(&[entry(OMMER, u64::MAX), entry(MINER, 0), entry(OMMER, 1)]);
        let gwei = U256::from(1_000_000_000_u64);
        assert_eq!(
            credits,
            [(OMMER, U256::from(u64::MAX) * gwei), (MINER, U256::ZERO), (OMMER, gwei)]
        );
    }
}

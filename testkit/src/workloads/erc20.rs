//! Transfers of a token: OpenZeppelin's ERC-20.

use alloy_primitives::{Address, Bytes, U256};
use polity_analysis::abi::{call, word};

use super::{
    Rng, Workload, WorkloadError, address,
    artifacts::Artifact,
    setup::{Message, Setup},
};

/// How many transfers take about 1,000,000,000 gas.
pub const GIGAGAS: usize = 33_627;

/// What a transfer needs at most.
const TRANSFER_GAS: u64 = 60_000;

/// What everybody owns of the token.
const SHARE: u64 = 1_000_000_000;

/// The supply that a token is created with.
pub(super) const SUPPLY: u128 = 1 << 120;

fn person(index: usize) -> Address {
    address("holder", index)
}

/// The arguments of [`Artifact::Token`]'s constructor: name and symbol `T`.
pub(super) fn token_arguments(owner: Address) -> [U256; 8] {
    let text = U256::from(0x54) << 248;
    let [one, supply] = [U256::ONE, U256::from(SUPPLY)];
    [U256::from(128), U256::from(192), supply, word(owner), one, text, one, text]
}

/// The input of `transfer`.
pub(super) fn transfer(to: Address, amount: u64) -> Bytes {
    call("transfer(address,uint256)", &[word(to), U256::from(amount)])
}

/// Transfers between `people`, numbered, who all hold the token.
fn workload(
    name: &str,
    people: usize,
    transfers: impl IntoIterator<Item = (usize, usize)>,
) -> Result<Workload, WorkloadError> {
    let owner = address("owner", 0);
    let mut setup = Setup::new((0..people).map(person).chain([owner]));
    let code = Artifact::Token.init_code()?;
    let created =
        setup.create("a token", [Message::create(owner, &code, &token_arguments(owner))])?;
    let token = created.first().copied().unwrap_or_default();
    let shares = (0..people).map(|to| Message::call(owner, token, transfer(person(to), SHARE)));
    setup.send("the holders' shares", shares)?;
    let transactions = transfers
        .into_iter()
        .map(|(from, to)| {
            let message = Message::call(person(from), token, transfer(person(to), 1));
            setup.transaction(message, TRANSFER_GAS)
        })
        .collect();
    Ok(Workload::new(name, setup.finish(), transactions))
}

/// Each transfer from a holder of its own to a holder of its own.
///
/// # Errors
/// The token's code cannot be had.
pub fn independent(transfers: usize) -> Result<Workload, WorkloadError> {
    let pairs = (0..transfers).map(|index| (index, index.saturating_add(transfers)));
    workload("ERC-20, independent", transfers.saturating_mul(2), pairs)
}

/// One transfer from each holder, to another at random.
///
/// # Errors
/// As [`independent`].
pub fn random_recipients(transfers: usize) -> Result<Workload, WorkloadError> {
    let mut rng = Rng::new(20);
    let pairs = (0..transfers).map(|index| (index, rng.below(transfers)));
    workload("ERC-20, random recipients", transfers, pairs)
}

/// All transfers among eight holders.
///
/// # Errors
/// As [`independent`].
pub fn hot(transfers: usize) -> Result<Workload, WorkloadError> {
    const HOLDERS: usize = 8;
    let mut rng = Rng::new(8);
    let pairs = (0..transfers).map(|_| (rng.below(HOLDERS), rng.below(HOLDERS)));
    workload("ERC-20, 8 hot holders", HOLDERS, pairs)
}

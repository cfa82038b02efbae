//! Swaps on Uniswap V3, through its router.

use alloy_primitives::{Address, Bytes, U256};
use polity_analysis::abi::{call, word};

use super::{
    Workload, WorkloadError, address,
    artifacts::Artifact,
    erc20::{token_arguments, transfer},
    setup::{Message, Setup},
};

/// How many swaps pevm's published workload has.
pub const SWAPS: usize = 6_413;

/// What a swap needs at most.
const SWAP_GAS: u64 = 400_000;

/// The pools' fee, in millionths, and the outermost ticks that fit its spacing of 60.
const FEE: u64 = 3_000;
const TICK: u64 = 887_220;

/// The square root of the price 1, as Q64.96.
const SQRT_PRICE: U256 = U256::from_limbs([0, 1 << 32, 0, 0]);

/// What is put into a pool of each token, and what is swapped.
const LIQUIDITY: u128 = 1 << 100;
const AMOUNT: u64 = 1_000_000;

/// Uniswap's contracts, deployed.
struct Exchange {
    manager: Address,
    router: Address,
}

/// A pool's tokens, the lower address first.
#[derive(Clone, Copy)]
struct Pair {
    low: Address,
    high: Address,
}

fn trader(index: usize) -> Address {
    address("trader", index)
}

fn approve(owner: Address, token: Address, spender: Address) -> Message {
    Message::call(owner, token, call("approve(address,uint256)", &[word(spender), U256::MAX]))
}

impl Exchange {
    fn deploy(setup: &mut Setup, deployer: Address) -> Result<Self, WorkloadError> {
        let factory = Message::create(deployer, &Artifact::Factory.init_code()?, &[]);
        let factory = setup.create("the factory", [factory])?.first().copied().unwrap_or_default();
        // No swap here wraps ether, so that the wrapper may be any address.
        let weth = word(address("weth", 0));
        let router = Artifact::Router.init_code()?;
        let manager = Artifact::PositionManager.init_code()?;
        let created = setup.create(
            "router and manager",
            [
                Message::create(deployer, &router, &[word(factory), weth]),
                Message::create(deployer, &manager, &[word(factory), weth, U256::ZERO]),
            ],
        )?;
        let [router, manager] = created.as_slice().try_into().unwrap_or_default();
        Ok(Self { manager, router })
    }

    /// Creates two tokens and a pool with liquidity for each of the owners, who keep what is left
    /// of the tokens and can swap it.
    fn pools(&self, setup: &mut Setup, owners: &[Address]) -> Result<Vec<Pair>, WorkloadError> {
        let token = Artifact::Token.init_code()?;
        let tokens = owners.iter().flat_map(|owner| [*owner; 2]);
        let tokens = tokens.map(|owner| Message::create(owner, &token, &token_arguments(owner)));
        let tokens = setup.create("the pools' tokens", tokens)?;
        let pairs: Vec<Pair> = tokens
            .as_chunks::<2>()
            .0
            .iter()
            .map(|[one, other]| Pair { low: *one.min(other), high: *one.max(other) })
            .collect();
        let messages = owners.iter().zip(&pairs).flat_map(|(owner, pair)| {
            let create = call(
                "createAndInitializePoolIfNecessary(address,address,uint24,uint160)",
                &[word(pair.low), word(pair.high), U256::from(FEE), SQRT_PRICE],
            );
            [
                approve(*owner, pair.low, self.manager),
                approve(*owner, pair.high, self.manager),
                approve(*owner, pair.low, self.router),
                approve(*owner, pair.high, self.router),
                Message::call(*owner, self.manager, create),
                Message::call(*owner, self.manager, mint(*pair, *owner)),
            ]
        });
        setup.send("the pools", messages)?;
        Ok(pairs)
    }

    /// Swaps some of the lower token for the higher.
    fn swap(&self, trader: Address, pair: Pair) -> Message {
        let signature =
            "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))";
        let arguments = [
            word(pair.low),
            word(pair.high),
            U256::from(FEE),
            word(trader),
            U256::MAX,
            U256::from(AMOUNT),
            U256::ZERO,
            U256::ZERO,
        ];
        Message::call(trader, self.router, call(signature, &arguments))
    }
}

/// The input that adds liquidity at all prices.
fn mint(pair: Pair, owner: Address) -> Bytes {
    let tick = U256::from(TICK);
    let liquidity = U256::from(LIQUIDITY);
    call(
        "mint((address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,address,uint256))",
        &[
            word(pair.low),
            word(pair.high),
            U256::from(FEE),
            tick.wrapping_neg(),
            tick,
            liquidity,
            liquidity,
            U256::ZERO,
            U256::ZERO,
            word(owner),
            U256::MAX,
        ],
    )
}

/// Each swap by a trader of its own on a pool of its own, with tokens of its own.
///
/// # Errors
/// The contracts' code cannot be had, or does not do what it should.
pub fn many_pools(swaps: usize) -> Result<Workload, WorkloadError> {
    let traders: Vec<Address> = (0..swaps).map(trader).collect();
    let deployer = address("deployer", 0);
    let mut setup = Setup::new(traders.iter().copied().chain([deployer]));
    let exchange = Exchange::deploy(&mut setup, deployer)?;
    let pairs = exchange.pools(&mut setup, &traders)?;
    let transactions = traders
        .iter()
        .zip(pairs)
        .map(|(trader, pair)| setup.transaction(exchange.swap(*trader, pair), SWAP_GAS))
        .collect();
    Ok(Workload::new("Uniswap V3, many pools", setup.finish(), transactions))
}

/// Each swap by a trader of its own, all on the same pool.
///
/// # Errors
/// As [`many_pools`].
pub fn one_pool(swaps: usize) -> Result<Workload, WorkloadError> {
    let traders: Vec<Address> = (0..swaps).map(trader).collect();
    let deployer = address("deployer", 0);
    let mut setup = Setup::new(traders.iter().copied().chain([deployer]));
    let exchange = Exchange::deploy(&mut setup, deployer)?;
    let pairs = exchange.pools(&mut setup, &[deployer])?;
    let Some(pair) = pairs.first().copied() else {
        let reason = "there is no pool".into();
        return Err(WorkloadError::Setup { what: "the pool".into(), reason });
    };
    let shares = traders.iter().flat_map(|trader| {
        [
            Message::call(deployer, pair.low, transfer(*trader, AMOUNT)),
            approve(*trader, pair.low, exchange.router),
        ]
    });
    setup.send("the traders' shares", shares)?;
    let transactions = traders
        .iter()
        .map(|trader| setup.transaction(exchange.swap(*trader, pair), SWAP_GAS))
        .collect();
    Ok(Workload::new("Uniswap V3, one pool", setup.finish(), transactions))
}

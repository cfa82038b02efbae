//! The synthetic blocks that every table has rows of.

use crate::table;
use polity_testkit::workloads::{Workload, erc20, raw, swaps};

/// The workloads whose names contain `only`; `quick` takes a twentieth of their size.
pub(crate) fn all(only: &str, quick: bool) -> eyre::Result<Vec<Workload>> {
    let scale = |transactions: usize| if quick { transactions / 20 } else { transactions };
    let mut workloads = Vec::new();
    let mut add = |name: &str, make: &dyn Fn() -> eyre::Result<Workload>| {
        if name.contains(only) {
            table::story(&format!("preparing {name}"));
            workloads.push(make()?);
        }
        eyre::Ok(())
    };
    let transfers = scale(raw::GIGAGAS);
    add("raw, independent", &|| Ok(raw::independent(transfers)))?;
    add("raw, one recipient", &|| Ok(raw::one_recipient(transfers)))?;
    add("raw, chain", &|| Ok(raw::chain(transfers)))?;
    let transfers = scale(erc20::GIGAGAS);
    add("ERC-20, independent", &|| Ok(erc20::independent(transfers)?))?;
    add("ERC-20, random recipients", &|| Ok(erc20::random_recipients(transfers)?))?;
    add("ERC-20, 8 hot holders", &|| Ok(erc20::hot(transfers)?))?;
    let count = scale(swaps::SWAPS);
    add("Uniswap V3, many pools", &|| Ok(swaps::many_pools(count)?))?;
    add("Uniswap V3, one pool", &|| Ok(swaps::one_pool(count)?))?;
    Ok(workloads)
}

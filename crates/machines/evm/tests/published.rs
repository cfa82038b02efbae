//! The interface for contract authors is that which the gateway answers to.
#![allow(clippy::unwrap_used, missing_docs, reason = "a panic is how a test fails")]

use alloy_primitives::{Address, keccak256};
use alloy_sol_types::{SolError, SolInterface};
use polity_evm::gateway::{GATEWAY, IForeign, IPolity, Refused, Stopped};
use std::collections::BTreeSet;

const PUBLISHED: &str = include_str!("../../../../examples/interop/contracts/Polity.sol");

/// The selectors of what an interface declares with that word.
fn declared(interface: &str, word: &str) -> BTreeSet<[u8; 4]> {
    let start = PUBLISHED.find(&format!("interface {interface} {{")).unwrap();
    let body = &PUBLISHED[start..];
    let body = &body[..body.find("\n}").unwrap()];
    let lines = body.lines().map(|line| line.split("//").next().unwrap());
    let text = lines.collect::<Vec<_>>().join(" ");
    let declarations = text.split(';').filter_map(|text| {
        // What is before it is the end of what was declared last.
        let (_, declaration) = text.split_once(&format!("{word} "))?;
        let (name, rest) = declaration.split_once('(')?;
        let (parameters, _) = rest.split_once(')')?;
        let types = parameters.split(',').filter_map(|one| one.split_whitespace().next());
        let signature = format!("{}({})", name.trim(), types.collect::<Vec<_>>().join(","));
        Some(keccak256(signature).0[..4].try_into().unwrap())
    });
    declarations.collect()
}

fn answered<I: SolInterface>() -> BTreeSet<[u8; 4]> {
    I::selectors().collect()
}

#[test]
fn the_functions_and_errors_are_the_same() {
    let functions = declared("IPolity", "function");
    assert_eq!(functions, answered::<IPolity::IPolityCalls>());
    assert!(functions.len() > 10);
    assert_eq!(declared("IForeign", "function"), answered::<IForeign::IForeignCalls>());
    let errors = BTreeSet::from([Refused::SELECTOR, Stopped::SELECTOR]);
    assert_eq!(declared("IPolity", "error"), errors);
}

#[test]
fn the_address_is_the_same() {
    let (_, rest) = PUBLISHED.split_once("POLITY = IPolity(").unwrap();
    let (address, _) = rest.split_once(')').unwrap();
    assert_eq!(address.parse::<Address>().unwrap(), GATEWAY);
}

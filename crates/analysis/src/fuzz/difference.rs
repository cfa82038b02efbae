//! What differs between two executions of a block.

use core::fmt;
use polity_engine::{BlockError, BlockOutput};
use polity_types::{AccountEffects, Effects, Receipt, SlotEffects};

/// The first difference between two results of the same block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The transaction, or the part of the block.
    pub place: String,
    /// The cell or the field.
    pub what: String,
    /// What it is in the first result.
    pub expected: String,
    /// What it is in the second.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, what, expected, found } = self;
        write!(f, "{place}: {what} is {found}, not {expected}")
    }
}

impl std::error::Error for Difference {}

impl Difference {
    /// Compares two results of the same block.
    pub fn between(
        expected: Result<&BlockOutput, &BlockError>,
        found: Result<&BlockOutput, &BlockError>,
    ) -> Option<Self> {
        let difference = match (expected, found) {
            (Ok(expected), Ok(found)) => return Self::between_outputs(expected, found),
            (Err(expected), Err(found)) => what("error", expected, found),
            (Ok(_), Err(found)) => Some(told("error", "none".into(), format!("{found:?}"))),
            (Err(expected), Ok(_)) => Some(told("error", format!("{expected:?}"), "none".into())),
        };
        difference.map(|difference| difference.at("block"))
    }

    /// Compares two outputs of the same block.
    pub fn between_outputs(expected: &BlockOutput, found: &BlockOutput) -> Option<Self> {
        if expected == found {
            return None;
        }
        let mut pairs = expected.transactions.iter().zip(&found.transactions).enumerate();
        let system = |place: &str, expected: &[_], found: &[_]| {
            let both = expected.iter().zip(found);
            let mut differences = both.filter_map(
                |(a, b): (&polity_engine::SystemOutput, &polity_engine::SystemOutput)| {
                    what("machine", &a.machine, &b.machine)
                        .or_else(|| effects(&a.effects, &b.effects))
                        .or_else(|| what("requests", &a.end, &b.end))
                },
            );
            let found = differences.next();
            found.map(|difference| difference.at(place))
        };
        let (a, b) = (expected, found);
        system("begin of the block", &a.begin, &b.begin)
            .or_else(|| {
                pairs.find_map(|(index, (a, b))| {
                    receipt(&a.receipt, &b.receipt)
                        .or_else(|| effects(&a.effects, &b.effects))
                        .map(|difference| difference.at(&format!("transaction {index}")))
                })
            })
            .or_else(|| system("end of the block", &a.end, &b.end))
            .or_else(|| {
                let counts = |output: &BlockOutput| {
                    (output.begin.len(), output.transactions.len(), output.end.len())
                };
                what("number of outputs", &counts(a), &counts(b))
                    .or_else(|| what("totals", &a.totals, &b.totals))
                    .or_else(|| what("output", a, b))
                    .map(|difference| difference.at("block"))
            })
    }

    fn at(self, place: &str) -> Self {
        Self { place: place.into(), ..self }
    }
}

fn told(what: &str, expected: String, found: String) -> Difference {
    Difference { place: String::new(), what: what.into(), expected, found }
}

fn what<T: fmt::Debug + PartialEq>(what: &str, expected: &T, found: &T) -> Option<Difference> {
    (expected != found).then(|| told(what, format!("{expected:?}"), format!("{found:?}")))
}

/// The first of the named fields that differs.
macro_rules! fields {
    ($a:expr, $b:expr, $of:expr, [$($field:ident),+ $(,)?]) => {{
        let (a, b, of): (_, _, &str) = ($a, $b, $of);
        let name = |field: &str| format!("{}{of}", field.replace('_', " "));
        None$(.or_else(|| what(&name(stringify!($field)), &a.$field, &b.$field)))+
    }};
}

fn receipt(a: &Receipt, b: &Receipt) -> Option<Difference> {
    fields!(a, b, " of the receipt", [machine, status, gas_used, used, output, created])
}

fn effects(a: &Effects, b: &Effects) -> Option<Difference> {
    let accounts = || a.accounts.iter().zip(&b.accounts).find_map(|(a, b)| account(&a, &b));
    let slots = || a.slots.iter().zip(&b.slots).find_map(|(x, y)| slot(a, x, y));
    accounts()
        .or_else(slots)
        .or_else(|| what("number of accounts", &a.accounts.len(), &b.accounts.len()))
        .or_else(|| what("number of slots", &a.slots.len(), &b.slots.len()))
        .or_else(|| fields!(a, b, "", [codes, block_hashes, events, minted, burned]))
}

fn account(a: &AccountEffects, b: &AccountEffects) -> Option<Difference> {
    what("account", &a.account, &b.account).or_else(|| {
        fields!(
            a,
            b,
            &format!(" of {}", a.account),
            [
                existence_read,
                emptiness_read,
                existence_write,
                balance_read,
                balance_delta,
                sequence_read,
                sequence_write,
                code_read,
                code_write,
                storage_reset,
            ]
        )
    })
}

fn slot(effects: &Effects, a: &SlotEffects, b: &SlotEffects) -> Option<Difference> {
    let account = usize::try_from(a.account).ok().and_then(|index| effects.accounts.get(index));
    let account = account.map_or_else(String::new, |account| account.account.to_string());
    what("account of a slot", &a.account, &b.account)
        .or_else(|| what("key of a slot", &a.key, &b.key))
        .or_else(|| {
            fields!(a, b, &format!(" of slot {:?} of {account}", a.key.name), [read, write])
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::RandomBlock;
    use polity_types::{Delta, U256};

    #[test]
    fn the_first_difference_is_named() {
        let outputs = (0..).filter_map(|seed| RandomBlock::new(seed, 20).unwrap().expected.ok());
        let large = |output: &BlockOutput| output.transactions.len() >= 3;
        let expected = outputs.into_iter().find(large).unwrap();
        assert_eq!(Difference::between(Ok(&expected), Ok(&expected.clone())), None);

        let mut found = expected.clone();
        let accounts = &mut found.transactions[1].effects.accounts;
        let mut changed: Vec<_> = accounts.iter().collect();
        changed[0].balance_delta = Delta::plus(U256::ONE);
        *accounts = changed.into_iter().collect();
        let difference = Difference::between_outputs(&expected, &found).unwrap();
        assert_eq!(difference.place, "transaction 1");
        assert!(difference.what.starts_with("balance delta of 0x01:"), "{difference}");
        assert!(difference.to_string().contains("magnitude: 1"), "{difference}");

        let mut found = expected.clone();
        found.transactions[2].receipt.gas_used += 1;
        let difference = Difference::between_outputs(&expected, &found).unwrap();
        assert_eq!(difference.what, "gas used of the receipt");

        let place = polity_engine::Place::End(polity_evm::KIND);
        let error = BlockError::Halt { place, halt: polity_kernel::Halt::Fault("none".into()) };
        let difference = Difference::between(Ok(&expected), Err(&error)).unwrap();
        assert_eq!((&*difference.place, &*difference.what), ("block", "error"));

        let mut found = expected.clone();
        found.transactions.pop();
        let difference = Difference::between_outputs(&expected, &found).unwrap();
        assert_eq!(difference.what, "number of outputs");
    }
}

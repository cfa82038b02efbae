//! The tests that are not run, each with its reason.

/// A rule for tests that are not run. An empty pattern fits everything.
#[derive(Clone, Copy, Debug)]
pub struct Skip {
    /// The fork or network, in full.
    pub fork: &'static str,
    /// A part of the file's path.
    pub file: &'static str,
    /// A part of the test's name.
    pub test: &'static str,
    /// Why, for the report.
    pub reason: &'static str,
}

/// The skip list.
pub const SKIPS: &[Skip] = &[
    Skip {
        fork: "Constantinople",
        file: "",
        test: "",
        reason: "revm 43 has no Constantinople of its own (SSTORE by EIP-1283): \
                 it goes from Byzantium to Petersburg, as mainnet did",
    },
    seal("/bcUncleHeaderValidity/nonceWrong."),
    seal("/bcUncleHeaderValidity/wrongMixHash."),
    Skip {
        fork: "",
        file: "Constantinople/BlockchainTests/InvalidBlocks/bcUncleTest/\
               uncleHeaderWithGeneration0.",
        test: "",
        reason: "names InvalidUncleParentHash for an ommer whose parent is right; the newer \
                 filling of the same test names the rule that it breaks, UncleIsAncestor",
    },
    collision("/InitCollision."),
    collision("/InitCollisionParis."),
    collision("/RevertInCreateInInit"),
    collision("/create2collisionStorage"),
    collision("/dynamicAccountOverwriteEmpty"),
];

const fn collision(file: &'static str) -> Skip {
    Skip {
        fork: "",
        file,
        test: "",
        reason: "creates a contract on an account that has storage, but neither code nor nonce \
                 (EIP-7610): accounts since EIP-161 are not like that, no creation meets one of \
                 before without a collision of hashes, and revm does not look for it",
    }
}

const fn seal(file: &'static str) -> Skip {
    Skip {
        fork: "",
        file,
        test: "",
        reason: "an ommer's proof of work is wrong: the seal is not checked",
    }
}

/// Why a test is not run, if so.
pub(crate) fn reason(fork: &str, file: &str, test: &str) -> Option<&'static str> {
    SKIPS
        .iter()
        .find(|skip| {
            (skip.fork.is_empty() || skip.fork == fork)
                && file.contains(skip.file)
                && test.contains(skip.test)
        })
        .map(|skip| skip.reason)
}

#[cfg(test)]
mod tests {
    use polity_evm::spec::Fork;

    use super::*;

    #[test]
    fn the_skipped_fork_is_still_one_that_cannot_run() {
        assert!(Fork::Constantinople.spec_id().is_err());
        assert!(reason("Constantinople", "a.json", "t").is_some());
        assert!(reason("Berlin", "st/InitCollisionParis.json", "t").is_some());
        assert_eq!(reason("Berlin", "st/InitCollisionNonZeroNonce.json", "t"), None);
        for fork in Fork::ALL.into_iter().filter(|fork| *fork != Fork::Constantinople) {
            assert!(fork.spec_id().is_ok());
            assert_eq!(reason(fork.name(), "a.json", "t"), None);
        }
    }
}

//! Signature checks that are instructions.

use solana_pubkey::Pubkey;
use solana_sdk_ids::{ed25519_program, secp256k1_program, secp256r1_program};

/// The programs that are no programs.
pub(crate) const ALL: [Pubkey; 3] =
    [ed25519_program::ID, secp256k1_program::ID, secp256r1_program::ID];

/// Says to the runtime which programs they are, and runs them.
pub(crate) struct Precompiles;

impl solana_svm_callback::InvokeContextCallback for Precompiles {
    fn is_precompile(&self, program: &Pubkey) -> bool {
        ALL.contains(program)
    }
}

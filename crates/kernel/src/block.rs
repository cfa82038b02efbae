use alloc::{collections::BTreeMap, sync::Arc};
use core::{any::Any, fmt};
use polity_types::{AccountId, B256, MachineKind};

/// What every machine knows about the block that it executes in.
#[derive(Clone, Debug)]
pub struct BlockContext {
    /// The chain's number for replay protection.
    pub chain_id: u64,
    /// The block's height.
    pub number: u64,
    /// Seconds since the Unix epoch.
    pub timestamp: u64,
    /// Who receives the fees.
    pub beneficiary: AccountId,
    /// The block's randomness.
    pub randomness: B256,
    /// What single machines need besides, such as withdrawals.
    pub inputs: Inputs,
}

/// Machine-specific inputs of a block, one value per machine, each of a type
/// that only its machine knows.
#[derive(Clone, Default)]
pub struct Inputs(BTreeMap<MachineKind, Arc<dyn Any + Send + Sync>>);

impl Inputs {
    /// Sets the input of a machine.
    #[must_use]
    pub fn with<T: Any + Send + Sync>(mut self, machine: MachineKind, input: T) -> Self {
        self.0.insert(machine, Arc::new(input));
        self
    }

    /// The input of a machine, as shared: two blocks with the same value here
    /// have the same input.
    pub fn shared(&self, machine: MachineKind) -> Option<&Arc<dyn Any + Send + Sync>> {
        self.0.get(&machine)
    }

    /// The input of a machine, if there is one of this type.
    pub fn get<T: Any>(&self, machine: MachineKind) -> Option<&T> {
        self.0.get(&machine)?.downcast_ref()
    }
}

impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

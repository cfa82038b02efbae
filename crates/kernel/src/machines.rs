use crate::{Machine, alias};
use alloc::{sync::Arc, vec::Vec};
use polity_types::{AccountId, B256, MachineKind};

/// The machines of a chain, in the order of registration.
#[derive(Clone, Default)]
pub struct Machines(Vec<Arc<dyn Machine>>);

/// Two machines with the same kind byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("machine kind {kind} is taken by `{first}`; `{second}` needs another")]
pub struct RegistrationError {
    /// The byte both claim.
    pub kind: MachineKind,
    /// The machine registered before.
    pub first: &'static str,
    /// The machine refused.
    pub second: &'static str,
}

impl Machines {
    /// Adds a machine.
    pub fn with(mut self, machine: impl Machine + 'static) -> Result<Self, RegistrationError> {
        if let Some(first) = self.get(machine.kind()) {
            return Err(RegistrationError {
                kind: machine.kind(),
                first: first.name(),
                second: machine.name(),
            });
        }
        self.0.push(Arc::new(machine));
        Ok(self)
    }

    /// The machine with this kind.
    pub fn get(&self, kind: MachineKind) -> Option<&dyn Machine> {
        self.iter().find(|machine| machine.kind() == kind)
    }

    /// Whether there can be such an account of a registered machine.
    pub fn is_account(&self, account: &AccountId) -> bool {
        self.get(account.machine).is_some_and(|machine| machine.is_address(&account.address))
    }

    /// The hash by which accounts refer to a code of this kind: one of a machine, or an
    /// alias, which is the kernel's. `None` where no such machine is registered.
    pub fn code_hash(&self, kind: MachineKind, code: &[u8]) -> Option<B256> {
        if kind == MachineKind::KERNEL {
            return Some(alias::hash(code));
        }
        self.get(kind).map(|machine| machine.code_hash(code))
    }

    /// The kinds of code that there are: every machine's, and the kernel's own.
    pub fn kinds(&self) -> impl Iterator<Item = MachineKind> {
        self.iter().map(Machine::kind).chain([MachineKind::KERNEL])
    }

    /// All machines, in the order of registration.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Machine> {
        self.0.iter().map(|machine| &**machine)
    }
}

impl core::fmt::Debug for Machines {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter().map(Machine::name)).finish()
    }
}

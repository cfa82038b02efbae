//! What the machine keeps between its frames of one transaction.

use crate::block::{Environment, Environments};
use polity_kernel::{Halt, Host, Session};
use solana_pubkey::Pubkey;
use std::{any::Any, sync::Arc};

/// An account that a frame has copies of while it waits for another machine's answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) address: Pubkey,
    /// Whether the kernel's cells say what the frame's programs have made of it so far.
    /// They do not where a program has it in its memory and did not hand it on.
    pub(crate) settled: bool,
}

/// What the machine keeps from transaction to transaction.
#[derive(Default)]
struct SvmSession {
    environments: Environments,
    /// The accounts of the frames that wait, those of the innermost last.
    held: Vec<Held>,
}

impl Session for SvmSession {
    fn mark(&mut self) -> u64 {
        self.held.len() as u64
    }

    // What is held follows the frames. Those that ended early did not let go.
    fn revert(&mut self, mark: u64) {
        self.held.truncate(usize::try_from(mark).unwrap_or(usize::MAX));
    }

    fn clear(&mut self) {
        self.held.clear();
    }
}

fn with<T>(host: &mut dyn Host, ask: impl FnOnce(&mut SvmSession, &dyn Host) -> T) -> T {
    let session = host.session().take().map(|session| session as Box<dyn Any>);
    let mut session: Box<SvmSession> =
        session.and_then(|session| session.downcast().ok()).unwrap_or_default();
    let answer = ask(&mut session, host);
    *host.session() = Some(session);
    answer
}

/// What is the same for all transactions of the block.
pub(crate) fn environment(host: &mut dyn Host) -> Result<Arc<Environment>, Halt> {
    with(host, |session, host| session.environments.of(host.block()))
}

/// Adds to what is held, and gives a mark for [`release`].
pub(crate) fn hold(host: &mut dyn Host, accounts: &[Held]) -> usize {
    with(host, |session, _| {
        let mark = session.held.len();
        session.held.extend_from_slice(accounts);
        mark
    })
}

/// Forgets what was held since the mark.
pub(crate) fn release(host: &mut dyn Host, mark: usize) {
    with(host, |session, _| session.held.truncate(mark));
}

/// Whether a waiting frame has a copy of the account that must not be overtaken: of any
/// that is to be written, and of one whose cells are not up to date.
pub(crate) fn is_in_use(host: &mut dyn Host, address: &Pubkey, write: bool) -> bool {
    with(host, |session, _| {
        let mut held = session.held.iter().filter(|held| held.address == *address);
        held.any(|held| write || !held.settled)
    })
}

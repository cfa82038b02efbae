use crate::executor::SessionContext;
use alloc::boxed::Box;
use core::any::Any;
use revm::{
    Inspector,
    context_interface::result::{ExecutionResult, InvalidTransaction},
};

/// An inspector of revm's that can look on while this machine executes: every
/// one that works with any context whose journal is Ethereum's, as those of
/// `revm-inspectors` do.
pub trait Inspect: Any + for<'h> Inspector<SessionContext<'h>> {}

impl<I: Any + for<'h> Inspector<SessionContext<'h>>> Inspect for I {}

/// What a simulation leaves in the session before a transaction, and finds
/// there after it. In the session, so that an inspector is there too when
/// another machine calls back.
#[derive(Default)]
pub(crate) struct Probe {
    /// Absent while an executor has it.
    pub(crate) inspector: Option<Box<dyn Inspect>>,
    /// What revm said.
    pub(crate) verdict: Option<Result<ExecutionResult, InvalidTransaction>>,
}

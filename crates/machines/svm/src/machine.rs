use crate::{
    KIND,
    account::code_hash,
    callee,
    executor::{Executed, Failure, execute, invalid},
    session, status,
    transaction::{Transaction, decode},
};
use polity_kernel::{
    BlockContext, Call, DecodeError, Decoded, EndOfBlock, Halt, Host, Invalid, Machine, Outcome,
    Totals, Transacted, TransactionOutput,
};
use polity_types::{B256, Bytes, MachineKind, Meter, Receipt, Resources, Status};

/// The most compute units of a block.
pub const MAX_BLOCK_UNITS: u64 = 60_000_000;

/// The Solana machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Svm(());

impl Svm {
    /// A machine by the rules of Solana's mainnet.
    pub const fn new() -> Self {
        Self(())
    }
}

/// What it costs to enter the machine, in compute units, beside each account and what the
/// program does: a context and a session of the runtime are made.
const ENTRY: u64 = 7_000;

impl Machine for Svm {
    fn kind(&self) -> MachineKind {
        KIND
    }

    fn name(&self) -> &'static str {
        "svm"
    }

    fn decode(&self, raw: &[u8], _block: &BlockContext) -> Result<Decoded, DecodeError> {
        decode(raw)
    }

    fn admit(&self, tx: &Decoded, used: &Totals, _block: &BlockContext) -> Result<(), Invalid> {
        let left = MAX_BLOCK_UNITS.saturating_sub(used.gas_used);
        if tx.gas_limit <= left {
            return Ok(());
        }
        Err(Invalid {
            code: "WouldExceedMaxBlockCostLimit",
            reason: format!("asks for {} compute units of the {left} left", tx.gas_limit),
        })
    }

    fn entry(&self) -> u64 {
        ENTRY
    }

    // What arithmetic takes (`polity-benches interop`).
    fn unit(&self) -> u64 {
        1250
    }

    fn code_hash(&self, code: &[u8]) -> B256 {
        code_hash(code)
    }

    fn begin_block(&self, host: &mut dyn Host) -> Result<(), Halt> {
        status::forget(host)
    }

    fn transact(&self, tx: &Decoded, host: &mut dyn Host) -> Result<Transacted, Halt> {
        let tx: &Transaction = tx.payload().ok_or_else(|| {
            Halt::Fault("a transaction of another machine came to the Solana machine".into())
        })?;
        let environment = session::environment(host)?;
        let Executed { record, elsewhere } = match execute(tx, &environment, host) {
            Ok(executed) => executed,
            Err(Failure::Invalid(error)) => return Ok(Transacted::Invalid(invalid(&error))),
            Err(Failure::Halt(halt)) => return Err(halt),
        };
        host.charge(Meter::Compute, record.compute_units.saturating_sub(elsewhere))?;
        let status = match record.error() {
            None => Status::Success,
            Some(error) => Status::Failed(error.to_string()),
        };
        let output = borsh::to_vec(&record)
            .map_err(|error| Halt::Fault(format!("the record of a transaction: {error}")))?;
        Ok(Transacted::Included(Receipt {
            machine: KIND,
            status,
            gas_used: record.compute_units,
            used: Resources::default(),
            output: output.into(),
            created: None,
        }))
    }

    fn call(&self, call: Call, host: &mut dyn Host) -> Result<Outcome, Halt> {
        // An account takes what it is given; its program is not asked.
        if call.input.is_empty() {
            return Ok(Outcome { status: Status::Success, output: Bytes::new() });
        }
        callee::call(&call, host)
    }

    fn end_block(
        &self,
        outputs: &[TransactionOutput],
        host: &mut dyn Host,
    ) -> Result<EndOfBlock, Halt> {
        status::enlist(host, outputs)?;
        Ok(EndOfBlock::default())
    }
}

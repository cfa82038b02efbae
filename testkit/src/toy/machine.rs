use alloy_primitives::keccak256;
use polity_kernel::{
    BlockContext, Call, DecodeError, Decoded, EndOfBlock, Halt, Host, Invalid, Machine, Outcome,
    Totals, Transacted, TransactionOutput,
};
use polity_types::{AccountId, B256, Bytes, MachineKind, Receipt, Resources};

use super::{
    Program, Seen, ToyTransaction,
    frame::{Frame, ToySession},
};

/// What a toy machine needs to know of a block; it travels in [`BlockContext::inputs`]. Without it
/// the machine does nothing at a block's begin and end and knows no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToyBlock {
    /// The most gas that the machine's transactions may take together.
    pub gas_limit: u64,
    /// What runs before the first transaction.
    pub begin: Program,
    /// What runs after the last transaction; its output is the only request.
    pub end: Program,
}

/// A toy machine.
#[derive(Clone, Copy, Debug)]
pub struct Toy {
    kind: MachineKind,
    unruly: bool,
}

impl Toy {
    /// A machine that keeps to the rules: a change that a program may not make fails its frame.
    pub const fn new(kind: MachineKind) -> Self {
        Self { kind, unruly: false }
    }

    /// A machine that tries every change on the kernel.
    pub const fn unruly(kind: MachineKind) -> Self {
        Self { kind, unruly: true }
    }

    /// The account that programs at a block's begin and end call from.
    pub const fn system(&self) -> AccountId {
        AccountId::new(self.kind, B256::ZERO)
    }
}

impl Toy {
    /// Runs a program in the name of an account.
    fn run(
        &self,
        account: AccountId,
        program: &Program,
        host: &mut dyn Host,
    ) -> Result<Outcome, Halt> {
        let mut seen = Vec::new();
        let mut frame = Frame::new(self.kind, self.unruly, account, &mut seen);
        let status = frame.run(program, host)?;
        Ok(Outcome { status, output: Seen::output(&seen) })
    }

    /// Runs what the machine does at a block's begin or end.
    fn run_block(&self, program: &Program, host: &mut dyn Host) -> Result<Option<Bytes>, Halt> {
        if program.0.is_empty() {
            return Ok(None);
        }
        let outcome = self.run(self.system(), program, host)?;
        if outcome.status.is_success() {
            return Ok(Some(outcome.output));
        }
        Err(Halt::Fault(format!("the program of the block: {:?}", outcome.status)))
    }
}

fn invalid(code: &'static str, reason: String) -> Transacted {
    Transacted::Invalid(Invalid { code, reason })
}

impl Machine for Toy {
    fn kind(&self) -> MachineKind {
        self.kind
    }

    fn name(&self) -> &'static str {
        "toy"
    }

    fn decode(&self, raw: &[u8], _: &BlockContext) -> Result<Decoded, DecodeError> {
        let tx: ToyTransaction =
            borsh::from_slice(raw).map_err(|error| DecodeError::Malformed(error.to_string()))?;
        if tx.sender.machine != self.kind {
            return Err(DecodeError::Signature(format!("{} is of another machine", tx.sender)));
        }
        Ok(tx.decoded())
    }

    fn admit(&self, tx: &Decoded, used: &Totals, block: &BlockContext) -> Result<(), Invalid> {
        let Some(limits) = block.inputs.get::<ToyBlock>(self.kind) else { return Ok(()) };
        let left = limits.gas_limit.saturating_sub(used.gas_used);
        if tx.gas_limit > left {
            let reason = format!("takes {} of the {left} left in the block", tx.gas_limit);
            return Err(Invalid { code: "BLOCK_FULL", reason });
        }
        Ok(())
    }

    fn code_hash(&self, code: &[u8]) -> B256 {
        keccak256(code)
    }

    fn begin_block(&self, host: &mut dyn Host) -> Result<(), Halt> {
        let Some(block) = host.block().inputs.get::<ToyBlock>(self.kind).cloned() else {
            return Ok(());
        };
        self.run_block(&block.begin, host).map(drop)
    }

    fn transact(&self, tx: &Decoded, host: &mut dyn Host) -> Result<Transacted, Halt> {
        let tx: &ToyTransaction = tx
            .payload()
            .ok_or_else(|| Halt::Fault("a transaction of another machine came here".into()))?;
        let sender = host.account(&tx.sender)?;
        let sequence = host.sequence(sender)?;
        let next = sequence.checked_add(1);
        let Some(next) = next.filter(|_| sequence == tx.sequence) else {
            let reason = format!("has the sequence number {}, not {sequence}", tx.sequence);
            return Ok(invalid("SEQUENCE", reason));
        };
        if !tx.fee.is_zero() {
            if !host.debit(sender, tx.fee)? {
                return Ok(invalid("FUNDS", format!("{} cannot pay {}", tx.sender, tx.fee)));
            }
            let beneficiary = host.block().beneficiary;
            let beneficiary = host.account(&beneficiary)?;
            host.credit(beneficiary, tx.fee)?;
        }
        host.set_sequence(sender, next)?;
        let checkpoint = host.checkpoint();
        let before = host.left().compute;
        let outcome = self.run(tx.sender, &tx.program, host)?;
        if !outcome.status.is_success() {
            host.revert(checkpoint);
        }
        Ok(Transacted::Included(Receipt {
            machine: self.kind,
            status: outcome.status,
            gas_used: before.saturating_sub(host.left().compute),
            used: Resources::default(),
            output: outcome.output,
            created: None,
        }))
    }

    fn call(&self, call: Call, host: &mut dyn Host) -> Result<Outcome, Halt> {
        let program = if call.input.is_empty() {
            let target = host.account(&call.target)?;
            match host.code(target)? {
                Some(code) => Program(host.code_by_hash(&code.hash)?.bytes().clone()),
                None => Program::new(&[]),
            }
        } else {
            Program(call.input)
        };
        self.run(call.target, &program, host)
    }

    fn settle(&self, host: &mut dyn Host) -> Result<(), Halt> {
        for event in core::mem::take(&mut ToySession::of(host)?.later) {
            host.emit(event)?;
        }
        Ok(())
    }

    fn end_block(&self, _: &[TransactionOutput], host: &mut dyn Host) -> Result<EndOfBlock, Halt> {
        let Some(block) = host.block().inputs.get::<ToyBlock>(self.kind).cloned() else {
            return Ok(EndOfBlock::default());
        };
        let output = self.run_block(&block.end, host)?;
        Ok(EndOfBlock { requests: output.into_iter().collect() })
    }
}

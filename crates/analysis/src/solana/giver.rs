//! What other machines do to Solana's accounts: they credit them, to the last base unit.

use polity_kernel::{
    BlockContext, Call, DecodeError, Decoded, EndOfBlock, Halt, Host, Invalid, Machine, Outcome,
    Totals, Transacted, TransactionOutput,
};
use polity_types::{AccountId, B256, Bytes, MachineKind, Receipt, Resources, Status, U256};

/// The byte of the machine that only gives.
pub const GIVER: MachineKind = MachineKind::new(0x7e);

/// A machine whose transactions credit an account of any machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Giver;

/// A transaction of the [`Giver`].
#[derive(Clone, Copy, Debug)]
pub struct Gift {
    /// Tells it from others.
    pub number: u64,
    /// Who is given something.
    pub to: AccountId,
    /// How much, in base units.
    pub amount: U256,
}

impl Gift {
    /// The account that all gifts are paid from.
    pub const fn source() -> AccountId {
        AccountId::new(GIVER, B256::repeat_byte(1))
    }

    /// The form in which the kernel executes it.
    pub fn decoded(self) -> Decoded {
        let hash = B256::from(U256::from(self.number));
        Decoded::new(GIVER, hash, Self::source(), self.number, 0, self)
    }
}

impl Machine for Giver {
    fn kind(&self) -> MachineKind {
        GIVER
    }

    fn name(&self) -> &'static str {
        "giver"
    }

    fn decode(&self, _: &[u8], _: &BlockContext) -> Result<Decoded, DecodeError> {
        Err(DecodeError::Malformed("gifts have no bytes".into()))
    }

    fn admit(&self, _: &Decoded, _: &Totals, _: &BlockContext) -> Result<(), Invalid> {
        Ok(())
    }

    fn code_hash(&self, _: &[u8]) -> B256 {
        B256::ZERO
    }

    fn begin_block(&self, _: &mut dyn Host) -> Result<(), Halt> {
        Ok(())
    }

    fn transact(&self, tx: &Decoded, host: &mut dyn Host) -> Result<Transacted, Halt> {
        let Gift { to, amount, .. } =
            *tx.payload().ok_or_else(|| Halt::Fault("this is no gift".into()))?;
        let source = host.account(&Gift::source())?;
        if !host.debit(source, amount)? {
            let reason = "there is too little left".into();
            return Ok(Transacted::Invalid(Invalid { code: "NOTHING_LEFT", reason }));
        }
        let to = host.account(&to)?;
        host.credit(to, amount)?;
        Ok(Transacted::Included(Receipt {
            machine: GIVER,
            status: Status::Success,
            gas_used: 0,
            used: Resources::default(),
            output: Bytes::new(),
            created: None,
        }))
    }

    fn call(&self, _: Call, _: &mut dyn Host) -> Result<Outcome, Halt> {
        Ok(Outcome::failed("NotCallable"))
    }

    fn end_block(&self, _: &[TransactionOutput], _: &mut dyn Host) -> Result<EndOfBlock, Halt> {
        Ok(EndOfBlock::default())
    }
}

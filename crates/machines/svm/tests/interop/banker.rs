//! A machine whose accounts do one thing: move what they hold in the ledger.

use borsh::{BorshDeserialize, BorshSerialize};
use polity_kernel::{
    BlockContext, Call, DecodeError, Decoded, EndOfBlock, Halt, Host, Invalid, Machine, Outcome,
    Totals, Transacted, TransactionOutput,
};
use polity_types::{AccountId, AssetId, B256, Bytes, MachineKind, Status, U256, keccak256};

pub(crate) const BANKER: MachineKind = MachineKind::new(0x71);

/// An account of the machine.
pub(crate) fn banker(number: u8) -> AccountId {
    AccountId::new(BANKER, B256::with_last_byte(number))
}

/// What an account of the machine is asked, one after the other.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub(crate) enum Order {
    /// Moves what it holds, or what it is allowed to spend of another's.
    Pay { asset: AssetId, from: Option<AccountId>, to: AccountId, amount: u64 },
    /// Makes an asset: the salt is zero.
    Issue { decimals: u8, amount: u64, to: AccountId },
    /// Has somebody else do something.
    Call { target: AccountId, input: Vec<u8>, delegate: bool },
    /// Fails.
    Fail,
}

pub(crate) fn orders(orders: &[Order]) -> Vec<u8> {
    borsh::to_vec(orders).unwrap()
}

/// The asset that an account of the machine issues.
pub(crate) fn issued(by: AccountId) -> AssetId {
    AssetId::issued(&by, &B256::ZERO)
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Banker;

impl Machine for Banker {
    fn kind(&self) -> MachineKind {
        BANKER
    }

    fn name(&self) -> &'static str {
        "banker"
    }

    fn decode(&self, _: &[u8], _: &BlockContext) -> Result<Decoded, DecodeError> {
        Err(DecodeError::Malformed("it has no transactions".into()))
    }

    fn admit(&self, _: &Decoded, _: &Totals, _: &BlockContext) -> Result<(), Invalid> {
        Ok(())
    }

    fn code_hash(&self, code: &[u8]) -> B256 {
        keccak256(code)
    }

    fn begin_block(&self, _: &mut dyn Host) -> Result<(), Halt> {
        Ok(())
    }

    fn transact(&self, _: &Decoded, _: &mut dyn Host) -> Result<Transacted, Halt> {
        Err(Halt::Fault("it has no transactions".into()))
    }

    fn call(&self, call: Call, host: &mut dyn Host) -> Result<Outcome, Halt> {
        let me = call.target;
        for order in borsh::from_slice::<Vec<Order>>(&call.input).unwrap() {
            let done = match order {
                Order::Pay { asset, from: None, to, amount } => {
                    host.transfer(asset, &me, &to, U256::from(amount))?
                }
                Order::Pay { asset, from: Some(from), to, amount } => {
                    host.transfer_from(asset, &me, &from, &to, U256::from(amount))?
                }
                Order::Issue { decimals, amount, to } => {
                    let (symbol, name) = ("B".into(), "bank".into());
                    let info = polity_types::AssetInfo { issuer: me, decimals, symbol, name };
                    match host.issue(&info, &B256::ZERO)? {
                        Ok(asset) => host.mint_asset(asset, &to, U256::from(amount))?,
                        Err(error) => Err(error),
                    }
                }
                Order::Call { target, input, delegate } => {
                    let outcome = host.call(Call {
                        caller: me,
                        target,
                        value: U256::ZERO,
                        payer: me,
                        input: input.into(),
                        limit: host.left(),
                        read_only: false,
                        delegate,
                    })?;
                    if !outcome.status.is_success() {
                        return Ok(outcome);
                    }
                    Ok(())
                }
                Order::Fail => return Ok(Outcome::failed("Failed")),
            };
            if let Err(error) = done {
                return Ok(Outcome::failed(&error.to_string()));
            }
        }
        Ok(Outcome { status: Status::Success, output: Bytes::new() })
    }

    fn end_block(&self, _: &[TransactionOutput], _: &mut dyn Host) -> Result<EndOfBlock, Halt> {
        Ok(EndOfBlock::default())
    }
}

//! The kinds of transactions in random blocks.

use polity_evm::spec::Fork;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// What a transaction of a random block is there for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];
        }
    };
}

kinds! {
    /// Ether to a person, a contract, or whoever else there is.
    Transfer,
    /// Ether to an address that nothing is at before the block.
    TransferToFresh,
    /// Ether to the sender.
    TransferToSelf,
    /// No ether, with no data either.
    TransferOfNothing,
    /// All that the sender has but for one wei.
    LeaveOneWei,
    /// All that the sender has, to the wei.
    SpendAll,
    /// Ether to somebody who has none before the block.
    FundPoor,
    /// A transfer by somebody who has none before the block.
    PoorSpends,
    /// Ether to the beneficiary.
    PayBeneficiary,
    /// A transfer by the beneficiary.
    BeneficiaryPays,
    /// Ether and data to a precompile.
    PayPrecompile,

    /// A token's `transfer`.
    TokenTransfer,
    /// A token's `approve`.
    TokenApprove,
    /// A token's `transferFrom`, of what was approved in the block.
    TokenTransferFrom,
    /// Tokens out of nothing: the supply is one slot for all.
    TokenMint,
    /// A token's `transfer` of more than the sender has.
    TokenOverdraw,
    /// A swap on a market of two tokens.
    Swap,
    /// Tokens into a market.
    AddLiquidity,

    /// A transaction that creates a contract.
    Create,
    /// A transaction whose contract destroys itself in its constructor.
    CreateDestroyed,
    /// A transaction whose contract's constructor reverts or halts.
    CreateFails,
    /// CREATE by a factory.
    FactoryCreate,
    /// CREATE2 by a factory.
    FactoryCreate2,
    /// CREATE by a factory, with a constructor that reverts, halts or destroys.
    FactoryAttempt,
    /// CREATE2 and SELFDESTRUCT in one transaction, and CREATE2 once more, which fails.
    CreateAndDestroy,
    /// CREATE2 in a frame that reverts, and again.
    CreateTwice,
    /// CREATE2 where a contract was destroyed by an earlier transaction of the block.
    Recreate,
    /// SELFDESTRUCT in favour of another account.
    DestroyToOther,
    /// SELFDESTRUCT in favour of the contract itself.
    DestroyToSelf,
    /// A call of a contract that others destroy.
    Poke,

    /// A first delegation (EIP-7702).
    Delegate,
    /// A delegation of an account that has delegated.
    DelegateAgain,
    /// The end of a delegation.
    ClearDelegation,
    /// A delegation to an account that has delegated.
    DelegateToDelegated,
    /// An authorization with a wrong nonce, which is passed over.
    DelegateWrongNonce,
    /// A delegation of the sender.
    DelegateSender,
    /// Several authorizations, two of them of one account.
    DelegateMany,
    /// A call of an account that has delegated.
    CallDelegated,

    /// BALANCE, EXTCODEHASH, EXTCODESIZE, EXTCODECOPY of several accounts.
    Look,
    /// EXTCODEHASH and EXTCODESIZE of several accounts.
    LookAtCodes,
    /// SELFBALANCE.
    LookAtOwn,
    /// BALANCE of the beneficiary.
    LookAtBeneficiary,
    /// The block's environment and a block hash.
    LookAtBlock,
    /// A balance is kept in a slot.
    KeepBalance,
    /// A branch on a balance, near its value.
    BranchOnBalance,
    /// A slot is counted up.
    Bump,
    /// A slot is copied into another.
    Copy,
    /// A slot is deleted.
    Clear,
    /// Hashes for some gas.
    Spin,

    /// A contract pays.
    ContractPays,
    /// A contract with little pays, where what it has left is enough.
    PursePays,
    /// Ether to that contract.
    FillPurse,
    /// A contract pays in a frame that reverts, and looks at the payee.
    PayAndUndo,
    /// A transaction that reverts after a write.
    Refuse,
    /// A transaction that runs out of gas.
    OutOfGas,
    /// Several calls by a wallet, some of which fail, are undone, static or delegated.
    Batch,
    /// Transient storage (EIP-1153).
    Transient,

    /// A beacon root is asked for (EIP-4788).
    BeaconRoot,
    /// A block hash is asked for from the history contract (EIP-2935).
    History,
    /// A validator's exit is asked for (EIP-7002).
    Exit,
}

impl Kind {
    /// Kinds that meet in the same accounts and slots, each in a way of its own.
    pub const THEMES: [&'static [Self]; 4] = [
        // What is created, destroyed and created again.
        &[
            Self::FactoryCreate2,
            Self::CreateAndDestroy,
            Self::CreateTwice,
            Self::Recreate,
            Self::Recreate,
            Self::DestroyToOther,
            Self::DestroyToSelf,
            Self::Poke,
            Self::Poke,
            Self::Poke,
            Self::Look,
            Self::Batch,
        ],
        // Balances that just suffice, or do not, and accounts that come to be.
        &[
            Self::TransferToFresh,
            Self::TransferOfNothing,
            Self::LeaveOneWei,
            Self::SpendAll,
            Self::FundPoor,
            Self::PoorSpends,
            Self::ContractPays,
            Self::PursePays,
            Self::PursePays,
            Self::FillPurse,
            Self::PayAndUndo,
            Self::BranchOnBalance,
            Self::LookAtCodes,
        ],
        // Delegations, and those who meet them.
        &[
            Self::Delegate,
            Self::DelegateAgain,
            Self::ClearDelegation,
            Self::DelegateToDelegated,
            Self::DelegateWrongNonce,
            Self::DelegateSender,
            Self::DelegateMany,
            Self::CallDelegated,
            Self::CallDelegated,
            Self::LookAtCodes,
            Self::Batch,
        ],
        // Slots that many write.
        &[
            Self::Swap,
            Self::Swap,
            Self::AddLiquidity,
            Self::TokenTransfer,
            Self::TokenApprove,
            Self::TokenTransferFrom,
            Self::TokenMint,
            Self::Bump,
            Self::Copy,
            Self::Clear,
            Self::Exit,
        ],
    ];

    /// Whether the rules of `fork` have what the kind is about.
    pub fn is_in(self, fork: Fork) -> bool {
        let first = match self {
            Self::Transient | Self::BeaconRoot => Fork::Cancun,
            Self::Delegate
            | Self::DelegateAgain
            | Self::ClearDelegation
            | Self::DelegateToDelegated
            | Self::DelegateWrongNonce
            | Self::DelegateSender
            | Self::DelegateMany
            | Self::CallDelegated
            | Self::History
            | Self::Exit => Fork::Prague,
            _ => Fork::London,
        };
        fork >= first
    }

    /// Whether a transaction of the kind is meant to fail.
    pub const fn fails(self) -> bool {
        matches!(self, Self::TokenOverdraw | Self::CreateFails | Self::Refuse | Self::OutOfGas)
    }
}

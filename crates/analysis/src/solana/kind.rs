macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a transaction of a random block is there for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

kinds! {
    /// Lamports from anybody to anybody.
    Transfer,
    /// Lamports to one account that many send to.
    TransferHot,
    /// Many transfers of one payer.
    TransferOfOne,
    /// All that somebody has, so that nothing or dust is left.
    Leave,
    /// Lamports to somebody who is not there, or has too little.
    Fund,
    /// Somebody with little sends.
    PoorSends,
    /// Somebody with more than Solana can count sends or is sent to.
    Croesus,
    /// More than there is.
    Overdraw,
    /// Somebody pays for a transaction that touches others only.
    OnlyPays,
    /// An account is made.
    Create,
    /// An account is made at an address from a seed, used and assigned.
    WithSeed,
    /// Room in an account, and its owner.
    Allocate,
    /// A wallet is given to a loader or to a program that is none.
    AssignToLoader,
    /// A transaction with a durable nonce.
    Nonce,
    /// The same, and it fails: the nonce is used all the same.
    NonceFails,
    /// A durable nonce is advanced, withdrawn from or given to somebody else.
    NonceChanges,
    /// A durable nonce pays for the transaction that uses it.
    NoncePays,
    /// Tokens from one to another.
    Tokens,
    /// Tokens to an account that many send to.
    TokensHot,
    /// More tokens than there are.
    TokensOverdraw,
    /// A delegate is named, spends and is dismissed.
    Delegate,
    /// Tokens are made or burnt.
    Supply,
    /// An account is frozen or thawed.
    Freeze,
    /// A token account is emptied and closed.
    CloseTokens,
    /// Lamports become wrapped tokens, or the other way round.
    Wrap,
    /// Tokens of which the newer program takes a fee.
    TokensWithFee,
    /// The fees that were withheld are collected.
    Harvest,
    /// The account of a wallet for its tokens is made.
    Associated,
    /// A memo.
    Memo,
    /// A market swaps.
    Swap,
    /// A counter is made, counted on, written to or closed.
    Counter,
    /// Programs call programs.
    Calls,
    /// What the runtime has is used.
    Probe,
    /// What the runtime refuses is tried.
    ProbeFails,
    /// Accounts are changed by their program.
    Purse,
    /// Accounts are changed as nobody may.
    PurseFails,
    /// A program is deployed.
    Deploy,
    /// A program is made another.
    Upgrade,
    /// A program that is deployed, upgraded or closed in the same block is called.
    CallVersion,
    /// A program is closed.
    CloseProgram,
    /// A program gets more room or another authority.
    ChangeProgram,
    /// A buffer is made and written.
    Buffer,
    /// Accounts are looked up in tables.
    LookUp,
    /// A table is extended, deactivated or closed.
    ChangeTable,
    /// The limits are changed, mostly enough.
    Budget,
    /// The limits are too low.
    TooLittle,
    /// What is called is no program.
    NoProgram,
}

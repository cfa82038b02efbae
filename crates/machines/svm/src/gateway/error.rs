use solana_instruction::error::InstructionError;

/// Why the gateway refuses, as the number of a custom error. Numbers below 128 are those
/// of SPL Token, whose interface it has as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[repr(u32)]
pub enum GatewayError {
    /// The callee failed, and the call was to fail with it.
    #[error("the callee failed")]
    CallFailed = 128,
    /// An alias signs as the caller: the account that it stands for can call itself.
    #[error("an alias can not be the caller")]
    AliasCaller = 129,
    /// The target is of this machine: that is what instructions are for.
    #[error("the target is a Solana account")]
    SameMachine = 130,
    /// Lamports go along or come back, and the vault is not among the accounts, writable.
    #[error("the gateway's vault is missing")]
    NoVault = 131,
    /// An alias was given an owner or data, or spent from without its account's leave.
    #[error("an alias is no account of its own")]
    AliasChanged = 132,
    /// The frame may change nothing.
    #[error("the frame may change nothing")]
    ReadOnly = 133,
    /// An account of the transaction shows what the instruction would change, and was not
    /// given to it, writable. The log names it.
    #[error("an account shows what would change")]
    AccountInUse = 134,
    /// The tokens are another machine's account's, which did not delegate that.
    #[error("the holder did not delegate that")]
    NotDelegated = 135,
    /// Nobody issued the asset.
    #[error("the asset was not issued")]
    UnknownAsset = 136,
    /// A token account lies elsewhere than at its wallet's associated address.
    #[error("the token account is not the associated one")]
    NotAssociated = 137,
    /// The account is not that in which the mint's tokens lie in custody.
    #[error("the account in custody is another")]
    WrongCustody = 138,
    /// The account is not the alias of what is named, or that has no alias.
    #[error("the account is not that alias")]
    BadAlias = 139,
    /// There can be no account of that machine with that address.
    #[error("there is no such account on any machine")]
    UnknownAccount = 140,
}

impl From<GatewayError> for InstructionError {
    fn from(error: GatewayError) -> Self {
        Self::Custom(error as u32)
    }
}

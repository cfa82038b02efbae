//! Powers over the tokens of ERC-20: what an account has, and what it lets others take.

use alloy_primitives::{Address, B256, Bytes, U256, map::B256HashMap};
use alloy_rpc_types_eth::{
    TransactionInput, TransactionRequest,
    state::{AccountOverride, StateOverride},
};
use polity_evm::account;
use polity_types::{LocalKey, Value};

use super::{At, CallError, Ethereum, call, create_access_list};
use crate::rpc::{Methods, Params, Reply, RpcError};

/// `balanceOf(address)`.
const BALANCE_OF: [u8; 4] = [0x70, 0xa0, 0x82, 0x31];
/// `allowance(address,address)`.
const ALLOWANCE: [u8; 4] = [0xdd, 0x62, 0xed, 0x3e];

pub(super) fn register(methods: &mut Methods<Ethereum>) {
    methods.heavy("anvil_dealERC20", |door, params| {
        let (of, token): (Address, Address) = (params.required()?, params.required()?);
        door.set_word(token, BALANCE_OF, &[of], params.required()?)
    });
    methods.alias("anvil_setERC20Balance", "anvil_dealERC20");
    methods.alias("hardhat_dealERC20", "anvil_dealERC20");
    methods.heavy("anvil_setERC20Allowance", allowance);
}

fn allowance(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let (owner, spender): (Address, Address) = (params.required()?, params.required()?);
    let token: Address = params.required()?;
    door.set_word(token, ALLOWANCE, &[owner, spender], params.required()?)
}

impl Ethereum {
    /// Makes a token answer this to a question, by the slot that it looks the answer up in.
    fn set_word(
        &self,
        token: Address,
        selector: [u8; 4],
        about: &[Address],
        answer: U256,
    ) -> Reply {
        let mut input = selector.to_vec();
        about.iter().for_each(|of| input.extend_from_slice(of.into_word().as_slice()));
        let input = TransactionInput::new(Bytes::from(input));
        let question =
            TransactionRequest { to: Some(token.into()), input, ..TransactionRequest::default() };
        let at = self.at(None)?;
        let slot = self.slot_of(&at, token, &question, answer)?;
        self.edit(|changes, _| {
            let key = LocalKey::storage(U256::from_be_bytes(slot.0));
            Ok(changes.set_slot(account(token), key, Value::word(answer))?)
        })
    }

    /// The slot of a token that alone decides on an answer.
    fn slot_of(
        &self,
        at: &At,
        token: Address,
        question: &TransactionRequest,
        answer: U256,
    ) -> Result<B256, RpcError> {
        let scene = self.scene(at);
        let accessed = create_access_list(&scene, question, None, None)?.access_list;
        let answers = |slot: &B256, word: U256| -> Result<bool, CallError> {
            let slots = B256HashMap::from_iter([(*slot, B256::from(word))]);
            let account = AccountOverride::default().with_state_diff(slots);
            let state = StateOverride::from_iter([(token, account)]);
            match call(&scene, question, Some(&state), None) {
                Ok(output) => Ok(output.len() == 32 && U256::from_be_slice(&output) == word),
                Err(error @ CallError::Internal(_)) => Err(error),
                // It fails with another word in that slot.
                Err(_) => Ok(false),
            }
        };
        for item in accessed.0.iter().filter(|item| item.address == token) {
            for slot in &item.storage_keys {
                // Not one that has nothing to do with an answer which is right already.
                if answers(slot, answer)? && answers(slot, answer ^ U256::ONE)? {
                    return Ok(*slot);
                }
            }
        }
        let text = format!("no slot of {token} is found that alone holds what is to be set");
        Err(RpcError::server(text))
    }
}

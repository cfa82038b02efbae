use alloy_eips::eip2930::{AccessList, AccessListResult};
use alloy_primitives::U256;
use alloy_rpc_types_eth::{BlockOverrides, TransactionRequest, state::StateOverride};
use polity_evm::Waiver;
use revm::context::TxEnv;
use revm_inspectors::access_list::AccessListInspector;

use super::{CallError, Scene, scene};

/// Declaring an access can change the gas that a contract sees, and so what it
/// accesses. Who makes a game of it gets the list of this round.
const ROUNDS: usize = 16;

/// What a transaction accesses, and the gas that it takes when it declares that
/// (`eth_createAccessList`).
///
/// # Errors
/// The transaction may not be made at all. Where it reverts, the result says so.
pub fn create_access_list(
    scene: &Scene<'_>,
    request: &TransactionRequest,
    state: Option<&StateOverride>,
    block: Option<&BlockOverrides>,
) -> Result<AccessListResult, CallError> {
    let mut stage = scene.stage(state, block)?;
    let tx = stage.envelope(request)?;
    let mut declared = tx.access_list.clone();
    let mut round = 0;
    loop {
        let tx = TxEnv { tx_type: tx.tx_type.max(1), access_list: declared.clone(), ..tx.clone() };
        let tx = scene::unsigned(tx, Waiver::CALL);
        let inspector = AccessListInspector::new(declared.clone());
        let (simulated, inspector) = stage.inspect(&tx, inspector)?;
        let accessed = inspector.into_access_list();
        round += 1;
        if same(&accessed, &declared) || round == ROUNDS {
            let result = &simulated.outcome.result;
            return Ok(AccessListResult {
                access_list: accessed,
                gas_used: U256::from(result.tx_gas_used()),
                error: CallError::output(result).err().map(|error| error.to_string()),
            });
        }
        declared = accessed;
    }
}

/// Whether two lists declare the same, in whatever order.
fn same(a: &AccessList, b: &AccessList) -> bool {
    let sorted = |list: &AccessList| {
        let mut items = list.0.clone();
        items.iter_mut().for_each(|item| item.storage_keys.sort_unstable());
        items.sort_unstable_by_key(|item| item.address);
        items
    };
    sorted(a) == sorted(b)
}

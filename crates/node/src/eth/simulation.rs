//! The methods that execute what no block holds.

use alloy_primitives::U64;
use alloy_rpc_types_eth::{
    BlockOverrides, Bundle, StateContext, TransactionRequest, simulate::SimulatePayload,
    state::StateOverride,
};

use super::{At, CallError, Ethereum, Scene, call, call_many, create_access_list, estimate_gas};
use crate::rpc::{Methods, Params, Reply, RpcError, reply};

pub(super) fn register(methods: &mut Methods<Ethereum>) {
    methods.heavy("eth_call", |door, params| {
        let asked = Asked::parse(door, params)?;
        let scene = door.scene(&asked.at);
        reply(&call(&scene, &asked.request, asked.state.as_ref(), asked.block.as_ref())?)
    });
    methods.heavy("eth_estimateGas", |door, params| {
        let asked = Asked::parse(door, params)?;
        let scene = door.scene(&asked.at);
        let (state, block) = (asked.state.as_ref(), asked.block.as_ref());
        reply(&U64::from(estimate_gas(&scene, &asked.request, state, block)?))
    });
    methods.heavy("eth_createAccessList", |door, params| {
        let asked = Asked::parse(door, params)?;
        let scene = door.scene(&asked.at);
        let (state, block) = (asked.state.as_ref(), asked.block.as_ref());
        reply(&create_access_list(&scene, &asked.request, state, block)?)
    });
    methods.heavy("eth_callMany", many);
    methods.heavy("eth_simulateV1", |door, params| {
        let payload: SimulatePayload = params.required()?;
        let at = door.at(params.optional()?)?;
        reply(&super::simulate(&door.scene(&at), &payload)?)
    });
}

/// What calls are asked with: a transaction, a block, and what is made up.
struct Asked {
    request: TransactionRequest,
    at: At,
    state: Option<StateOverride>,
    block: Option<BlockOverrides>,
}

impl Asked {
    fn parse(door: &Ethereum, params: &mut Params<'_>) -> Result<Self, RpcError> {
        Ok(Self {
            request: params.required()?,
            at: door.at(params.optional()?)?,
            state: params.optional()?,
            block: params.optional()?,
        })
    }
}

fn many(door: &Ethereum, params: &mut Params<'_>) -> Reply {
    let bundles: Vec<Bundle> = params.required()?;
    let context: StateContext = params.optional()?.unwrap_or_default();
    let state: Option<StateOverride> = params.optional()?;
    if context.transaction_index.is_some_and(|index| index.is_index()) {
        return Err(RpcError::params("a transactionIndex is not supported here"));
    }
    let at = door.at(context.block_number)?;
    reply(&call_many(&door.scene(&at), &bundles, state.as_ref())?)
}

impl Ethereum {
    /// The scene of a call at a block.
    pub(super) fn scene<'a>(&'a self, at: &'a At) -> Scene<'a> {
        let chain = &self.node.chain;
        let (header, company) = (at.block.header.clone(), at.company.clone());
        let gas_cap = self.node.config.limits.call_gas;
        Scene { gas_cap, company, ..Scene::new(chain.machines(), chain.spec(), &at.state, header) }
    }

    /// The gas limit for a transaction that names none.
    pub(super) fn estimate_for(&self, request: &TransactionRequest) -> Result<u64, RpcError> {
        let at = self.at(Some(alloy_eips::BlockId::pending()))?;
        Ok(estimate_gas(&self.scene(&at), request, None, None)?)
    }
}

impl From<CallError> for RpcError {
    fn from(error: CallError) -> Self {
        let told = Self::new(error.code().into(), error.to_string());
        match error.data() {
            Some(data) => told.with_data(data.to_string()),
            None => told,
        }
    }
}

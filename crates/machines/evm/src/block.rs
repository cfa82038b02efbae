use crate::{
    KIND,
    account::address,
    spec::{ChainSpec, Fork, SpecError},
    transaction::Waiver,
};
use alloc::{boxed::Box, vec::Vec};
use alloy_consensus::Header;
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{B256, U256};
use polity_kernel::{BlockContext, Inputs};
use revm::{
    context::{BlockEnv, CfgEnv, TxEnv},
    context_interface::block::BlobExcessGasAndPrice,
    interpreter::{GasTable, instructions::gas_table_spec},
};

/// What the Ethereum machine needs to know of a block besides the
/// [`BlockContext`]; it travels in [`BlockContext::inputs`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockInput {
    /// The most gas that the block's transactions may use.
    pub gas_limit: u64,
    /// Wei per gas that are burnt (EIP-1559); zero before London.
    pub base_fee: u64,
    /// The proof-of-work difficulty; zero from Paris on.
    pub difficulty: U256,
    /// The difficulty of all ancestors together, on a chain that merges by it.
    pub parent_total_difficulty: Option<U256>,
    /// Excess blob gas (EIP-4844), from Cancun on.
    pub excess_blob_gas: Option<u64>,
    /// The price of blob gas, where it is not the one that the excess gives.
    pub blob_base_fee: Option<u128>,
    /// The hash of the parent block.
    pub parent_hash: B256,
    /// The root of the parent beacon block (EIP-4788), from Cancun on.
    pub parent_beacon_root: Option<B256>,
    /// Withdrawals (EIP-4895), from Shanghai on.
    pub withdrawals: Vec<Withdrawal>,
    /// Ommers, before Paris.
    pub ommers: Vec<Header>,
    /// Executes the transactions alone, without what Ethereum does at a
    /// block's begin and end: for a block of which no more is known.
    pub transactions_only: bool,
}

impl BlockInput {
    /// The context of the block with this header, for a chain on which the
    /// Ethereum machine alone has inputs.
    pub fn context(
        chain_id: u64,
        header: &Header,
        withdrawals: Vec<Withdrawal>,
        ommers: Vec<Header>,
    ) -> BlockContext {
        let input = Self {
            gas_limit: header.gas_limit,
            base_fee: header.base_fee_per_gas.unwrap_or_default(),
            difficulty: header.difficulty,
            parent_total_difficulty: None,
            excess_blob_gas: header.excess_blob_gas,
            blob_base_fee: None,
            parent_hash: header.parent_hash,
            parent_beacon_root: header.parent_beacon_block_root,
            withdrawals,
            ommers,
            transactions_only: false,
        };
        BlockContext {
            chain_id,
            number: header.number,
            timestamp: header.timestamp,
            beneficiary: crate::account(header.beneficiary),
            randomness: header.mix_hash,
            inputs: Inputs::default().with(KIND, input),
        }
    }
}

/// A block's rules and environment in revm's form.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    pub(crate) cfg: CfgEnv,
    pub(crate) block: BlockEnv,
    pub(crate) gas_table: Box<GasTable>,
    /// Whether the chain has a gateway to other machines.
    pub(crate) gateway: bool,
}

impl Environment {
    pub(crate) fn new(
        spec: &ChainSpec,
        context: &BlockContext,
        input: &BlockInput,
    ) -> Result<Self, SpecError> {
        let fork = match input.parent_total_difficulty {
            Some(total) => spec.fork_after(context.number, context.timestamp, total),
            None => spec.fork_at(context.number, context.timestamp),
        };
        let spec_id = fork.spec_id()?;
        let mut cfg = CfgEnv::new_with_spec(spec_id);
        cfg.chain_id = context.chain_id;
        let blobs = spec.blob_params(fork);
        cfg.max_blobs_per_tx = blobs.map(|blobs| blobs.max_blobs_per_tx);
        let fraction = blobs.and_then(|blobs| u64::try_from(blobs.update_fraction).ok());
        cfg.blob_base_fee_update_fraction = fraction;
        let block = BlockEnv {
            number: U256::from(context.number),
            beneficiary: address(&context.beneficiary),
            timestamp: U256::from(context.timestamp),
            gas_limit: input.gas_limit,
            basefee: input.base_fee,
            difficulty: input.difficulty,
            prevrandao: (fork >= Fork::Paris).then_some(context.randomness),
            blob_excess_gas_and_price: fraction.map(|fraction| {
                let excess = input.excess_blob_gas.unwrap_or_default();
                let blobs = BlobExcessGasAndPrice::new(excess, fraction);
                let blob_gasprice = input.blob_base_fee.unwrap_or(blobs.blob_gasprice);
                BlobExcessGasAndPrice { blob_gasprice, ..blobs }
            }),
            slot_num: 0,
        };
        let gas_table = Box::new(gas_table_spec(spec_id));
        Ok(Self { cfg, block, gas_table, gateway: spec.gateway })
    }

    /// The environment of one transaction that is spared some checks.
    pub(crate) fn waive(&self, waiver: Waiver, tx: &TxEnv) -> Self {
        let mut own = self.clone();
        own.cfg.disable_nonce_check |= waiver.nonce;
        own.cfg.disable_eip3607 |= waiver.sender_code;
        if waiver.gas_limits {
            own.cfg.disable_block_gas_limit = true;
            own.cfg.tx_gas_limit_cap = Some(u64::MAX);
        }
        if waiver.price && tx.gas_price == 0 {
            own.block.basefee = 0;
        }
        if waiver.price
            && tx.max_fee_per_blob_gas == 0
            && let Some(blobs) = &mut own.block.blob_excess_gas_and_price
        {
            blobs.blob_gasprice = 0;
        }
        own
    }
}

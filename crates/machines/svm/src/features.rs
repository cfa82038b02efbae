use agave_feature_set::FeatureSet;
use solana_svm_feature_set::SVMFeatureSet;
use std::sync::LazyLock;

/// Features of the runtime that Solana's mainnet had not activated in the third
/// quarter of 2026. All others are active.
const INACTIVE: [solana_pubkey::Pubkey; 16] = [
    agave_feature_set::account_data_direct_mapping::ID,
    agave_feature_set::blake3_syscall_enabled::ID,
    agave_feature_set::block_revenue_sharing::ID,
    agave_feature_set::direct_account_pointers_in_program_input::ID,
    agave_feature_set::disable_sbpf_v0_execution::ID,
    agave_feature_set::disable_sbpf_v0_v1_v2_deployment::ID,
    agave_feature_set::enable_big_mod_exp_syscall::ID,
    agave_feature_set::enable_loader_v4::ID,
    agave_feature_set::enable_sha512_syscall::ID,
    agave_feature_set::enable_tx_v1::ID,
    agave_feature_set::increase_tx_account_lock_limit::ID,
    agave_feature_set::raise_cpi_nesting_limit_to_8::ID,
    agave_feature_set::reenable_sbpf_v0_execution::ID,
    agave_feature_set::relax_post_exec_min_balance_check::ID,
    agave_feature_set::remaining_compute_units_syscall_enabled::ID,
    agave_feature_set::virtual_address_space_adjustments::ID,
];

static FEATURES: LazyLock<FeatureSet> = LazyLock::new(|| {
    let mut features = FeatureSet::all_enabled();
    for feature in &INACTIVE {
        features.deactivate(feature);
    }
    features
});

static RUNTIME: LazyLock<SVMFeatureSet> = LazyLock::new(|| FEATURES.runtime_features());

/// The features by whose rules the machine works.
pub fn features() -> &'static FeatureSet {
    &FEATURES
}

/// Those of them that the runtime asks for.
pub(crate) fn runtime_features() -> &'static SVMFeatureSet {
    &RUNTIME
}

//! Whatever is sent to Solana's front door, it goes on.
#![cfg(feature = "svm")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests stop at a failure")]

mod cluster;

use std::sync::LazyLock;

use base64::{Engine, prelude::BASE64_STANDARD};
use cluster::{Cluster, block_on, code, manual};
use polity_node::solana::Solana;
use proptest::prelude::*;
use serde_json::{Value, json};
use solana_pubkey::Pubkey;

static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    let cluster = Cluster::with(&manual());
    for _ in 0..3 {
        let to = Pubkey::new_unique().to_string();
        cluster.ok("requestAirdrop", json!([to, 1_000_000_000]));
        cluster.mine();
    }
    cluster
});

/// One that nobody resets while it is read.
static ACCOUNTS: LazyLock<Cluster> = LazyLock::new(|| Cluster::with(&manual()));

/// Every method that there is, to be called with anything.
static METHODS: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| Solana::methods(CLUSTER.node.powers).names());

fn text() -> impl Strategy<Value = String> {
    let known = prop_oneof![
        Just("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"),
        Just("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"),
        Just("So11111111111111111111111111111111111111112"),
        Just("11111111111111111111111111111111"),
        Just("SysvarS1otHashes111111111111111111111111111"),
        Just("SysvarRecentB1ockHashes11111111111111111111"),
        Just("oeYf6KAJkLYhBuR8CiGc6L4D4Xtfepr85fuDgA9kq96"),
        Just("base58"),
        Just("base64"),
        Just("base64+zstd"),
        Just("jsonParsed"),
        Just("json"),
        Just("accounts"),
        Just("signatures"),
        Just("none"),
        Just("all"),
        Just("null"),
    ];
    prop_oneof![
        known.prop_map(str::to_owned),
        ".{0,8}",
        "[0-9a-f]{0,300}",
        "1{0,80}",
        prop::collection::vec(any::<u8>(), 0..1300).prop_map(|raw| BASE64_STANDARD.encode(raw)),
        prop::collection::vec(any::<u8>(), 64).prop_map(|raw| bs58::encode(raw).into_string()),
        prop::collection::vec(any::<u8>(), 32).prop_map(|raw| bs58::encode(raw).into_string()),
    ]
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        2 => (0..6_i64).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        6 => text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let key = prop_oneof![
            Just("encoding"),
            Just("commitment"),
            Just("dataSlice"),
            Just("offset"),
            Just("length"),
            Just("filters"),
            Just("memcmp"),
            Just("bytes"),
            Just("dataSize"),
            Just("withContext"),
            Just("minContextSlot"),
            Just("limit"),
            Just("before"),
            Just("until"),
            Just("maxSupportedTransactionVersion"),
            Just("transactionDetails"),
            Just("rewards"),
            Just("skipPreflight"),
            Just("replaceRecentBlockhash"),
            Just("sigVerify"),
            Just("accounts"),
            Just("addresses"),
            Just("mint"),
            Just("programId"),
            Just("identity"),
            Just("range"),
            Just("firstSlot"),
            Just("lastSlot"),
            Just("lamports"),
            Just("owner"),
            Just("data"),
            Just("amount"),
            Just("state"),
            Just("delegate"),
            Just("includeOwnedAccounts"),
            Just("absoluteTimestamp"),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(key.prop_map(str::to_owned), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Law 5: whatever a client sends, it gets an answer that is JSON, and the
    /// next client gets one, too.
    #[test]
    fn no_request_breaks_the_node(
        method in prop::sample::select(&METHODS[..]),
        params in prop::collection::vec(anything(), 0..5),
    ) {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = block_on(CLUSTER.answer(body.to_string().as_bytes())).expect("an answer");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        prop_assert!(answer.get("result").is_some() || code(&answer["error"]) != 0, "{}", answer);
        let text = answer["error"]["message"].as_str().unwrap_or_default();
        prop_assert!(!text.starts_with("internal error"), "{}: {}", method, answer);
        prop_assert!(CLUSTER.call("getEpochInfo", json!([])).is_ok());
    }

    #[test]
    fn no_account_breaks_its_reader(
        owner in text(),
        data in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..400),
            (0_u8..6, prop::collection::vec(any::<u8>(), 164..400)).prop_map(|(first, mut data)| {
                data[0] = first;
                data[1..4].fill(0);
                data
            }),
        ],
        encoding in prop::sample::select(&["jsonParsed", "base64+zstd", "base64"][..]),
    ) {
        let address = "SysvarS1otHashes111111111111111111111111112";
        let data: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
        let update = json!([address, { "lamports": 1, "owner": owner, "data": data }]);
        if ACCOUNTS.call("surfnet_setAccount", update).is_ok() {
            let shown = ACCOUNTS.call("getAccountInfo", json!([address, { "encoding": encoding }]));
            prop_assert!(shown.is_ok(), "{:?}", shown);
        }
    }
}

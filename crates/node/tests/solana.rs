//! Solana's front door: what its clients rely on, and what none may break.
#![cfg(feature = "svm")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests stop at a failure")]

mod cluster;

use base64::{Engine, prelude::BASE64_STANDARD};
use cluster::{Cluster, code, manual};
use polity_node::config::Config;
use serde_json::{Value, json};
use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_instruction::{AccountMeta, Instruction};
use solana_keypair::Keypair;
use solana_message::{Message, VersionedMessage, v0};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use solana_system_interface::instruction::create_account;
use solana_transaction::versioned::VersionedTransaction;

const SOL: u64 = 1_000_000_000;
const SYSTEM: &str = "11111111111111111111111111111111";
const TOKEN: &str = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";
const WRAPPED: &str = "So11111111111111111111111111111111111111112";

fn base64(transaction: &VersionedTransaction) -> String {
    BASE64_STANDARD.encode(wincode::serialize(transaction).unwrap())
}

#[test]
fn an_airdrop_is_a_transaction_that_can_be_found() {
    let cluster = Cluster::open();
    let to = Pubkey::new_unique().to_string();
    let signature = cluster.ok("requestAirdrop", json!([to, SOL]));
    assert_eq!(cluster.ok("getBalance", json!([to]))["value"], SOL);
    let status = &cluster.ok("getSignatureStatuses", json!([[signature, "1".repeat(64)]]))["value"];
    assert_eq!(status[0]["confirmationStatus"], "finalized");
    assert_eq!(status[0]["confirmations"], Value::Null);
    assert_eq!(status[0]["slot"], 1);
    assert_eq!(status[1], Value::Null);
    let transaction = cluster.ok("getTransaction", json!([signature, "jsonParsed"]));
    assert_eq!(transaction["slot"], 1);
    let parsed = &transaction["transaction"]["message"]["instructions"][0]["parsed"];
    assert_eq!((&parsed["type"], &parsed["info"]["lamports"]), (&json!("transfer"), &json!(SOL)));
    let meta = &transaction["meta"];
    assert_eq!(meta["fee"], 5000);
    assert_eq!((&meta["preBalances"][1], &meta["postBalances"][1]), (&json!(0), &json!(SOL)));
    let found = cluster.ok("getSignaturesForAddress", json!([to]));
    assert_eq!(found[0]["signature"], signature);
    assert_eq!(cluster.ok("getTransactionCount", json!([])), 1);
}

#[test]
fn two_airdrops_in_a_block_are_two() {
    let cluster = Cluster::with(&manual());
    let to = Pubkey::new_unique().to_string();
    let one = cluster.ok("requestAirdrop", json!([to, SOL]));
    let other = cluster.ok("requestAirdrop", json!([to, SOL]));
    assert_ne!(one, other);
    assert_eq!(cluster.ok("getSignatureStatuses", json!([[one]]))["value"][0], Value::Null);
    cluster.mine();
    assert_eq!(cluster.ok("getBalance", json!([to]))["value"], 2 * SOL);
    // More than the faucet has.
    cluster.ok("requestAirdrop", json!([to, 5_000_000 * SOL]));
    cluster.mine();
    assert_eq!(cluster.ok("getBalance", json!([to]))["value"], 5_000_002 * SOL);
}

#[test]
fn a_transaction_is_taken_in_and_not_twice() {
    let cluster = Cluster::open();
    let (payer, to) = (cluster.key(0), Pubkey::new_unique());
    let transfer = cluster.transfer(&payer, &to, SOL);
    let text = base64(&transfer);
    let send = |config: Value| cluster.call("sendTransaction", json!([text, config]));
    let signature = send(json!({ "encoding": "base64" })).unwrap();
    assert_eq!(signature, transfer.signatures[0].to_string());
    let refused = send(json!({ "encoding": "base64" })).unwrap_err();
    assert_eq!(code(&refused), -32002, "{refused}");
    assert_eq!(refused["data"]["err"], "AlreadyProcessed");
    let again = send(json!({ "encoding": "base64", "skipPreflight": true })).unwrap();
    assert_eq!(again, signature);
    assert_eq!(cluster.ok("getBalance", json!([to.to_string()]))["value"], SOL);
    let text = bs58::encode(wincode::serialize(&cluster.transfer(&payer, &to, 5)).unwrap());
    cluster.ok("sendTransaction", json!([text.into_string()]));
    assert_eq!(cluster.ok("getBalance", json!([to.to_string()]))["value"], SOL + 5);
}

#[test]
fn refusals_have_the_codes_of_solana() {
    let cluster = Cluster::open();
    let (payer, to) = (cluster.key(0), Pubkey::new_unique());
    let send = |text: &str, config: Value| cluster.call("sendTransaction", json!([text, config]));
    let in_base64 = json!({ "encoding": "base64" });

    let too_much = base64(&cluster.transfer(&payer, &to, u64::MAX / 2));
    let refused = send(&too_much, in_base64.clone()).unwrap_err();
    assert_eq!(code(&refused), -32002);
    assert_eq!(refused["data"]["err"], json!({ "InstructionError": [0, { "Custom": 1 }] }));
    assert!(!refused["data"]["logs"].as_array().unwrap().is_empty());
    // It is in a block where it is not tried out before.
    let config = json!({ "encoding": "base64", "skipPreflight": true });
    let signature = send(&too_much, config).unwrap();
    let status = &cluster.ok("getSignatureStatuses", json!([[signature]]))["value"][0];
    assert_eq!(status["err"], json!({ "InstructionError": [0, { "Custom": 1 }] }));

    let mut old = cluster.message(&payer, &to, 1);
    old.recent_blockhash = solana_hash::Hash::new_from_array([7; 32]);
    let old = VersionedTransaction::try_new(VersionedMessage::Legacy(old), &[&payer]).unwrap();
    let refused = send(&base64(&old), in_base64.clone()).unwrap_err();
    assert_eq!((code(&refused), &refused["data"]["err"]), (-32002, &json!("BlockhashNotFound")));

    let poor = Keypair::new();
    let refused = send(&base64(&cluster.transfer(&poor, &to, 1)), in_base64.clone()).unwrap_err();
    assert_eq!(refused["data"]["err"], "AccountNotFound");

    let limit = ComputeBudgetInstruction::set_compute_unit_limit(1000);
    let hash = cluster.message(&payer, &to, 1).recent_blockhash;
    let twice = Message::new_with_blockhash(&[limit.clone(), limit], Some(&payer.pubkey()), &hash);
    let twice = VersionedTransaction::try_new(VersionedMessage::Legacy(twice), &[&payer]).unwrap();
    let refused = send(&base64(&twice), in_base64.clone()).unwrap_err();
    assert_eq!(refused["data"]["err"], json!({ "DuplicateInstruction": 1 }));

    let mut forged = cluster.transfer(&payer, &to, 1);
    forged.signatures[0] = solana_signature::Signature::from([7; 64]);
    assert_eq!(code(&send(&base64(&forged), in_base64.clone()).unwrap_err()), -32003);

    assert_eq!(code(&send("AAAA", in_base64).unwrap_err()), -32602);
    assert_eq!(code(&send("0OIl", json!({})).unwrap_err()), -32602);
    assert_eq!(code(&send(&"1".repeat(5000), json!({})).unwrap_err()), -32602);
    for (method, params, expected) in [
        ("getNothing", json!([]), -32601),
        ("getBalance", json!([]), -32602),
        ("getBalance", json!(["x"]), -32602),
        ("getBalance", json!([SYSTEM, { "minContextSlot": 1000 }]), -32016),
        ("getSlot", json!([{ "minContextSlot": 1000 }]), -32016),
        ("getBlock", json!([1000]), -32004),
        ("getBlockTime", json!([1000]), -32004),
        ("getHighestSnapshotSlot", json!([]), -32008),
        ("slotSubscribe", json!([]), -32601),
    ] {
        let refused = cluster.call(method, params).unwrap_err();
        assert_eq!(code(&refused), expected, "{method}: {refused}");
    }
}

#[test]
fn accounts_are_shown_in_all_encodings() {
    let cluster = Cluster::open();
    let address = Pubkey::new_unique().to_string();
    let owner = Pubkey::new_unique().to_string();
    let update = json!({ "lamports": SOL, "owner": owner, "data": "00010203" });
    cluster.ok("surfnet_setAccount", json!([address, update]));
    let show = |config: Value| cluster.call("getAccountInfo", json!([address, config]));
    let data = |config: Value| show(config).unwrap()["value"]["data"].clone();
    let account = show(json!({ "encoding": "base64" })).unwrap();
    assert_eq!(account["value"]["data"], json!(["AAECAw==", "base64"]));
    assert_eq!(
        (&account["value"]["owner"], &account["value"]["space"]),
        (&json!(owner), &json!(4))
    );
    assert_eq!(account["context"]["apiVersion"], "4.2.2");
    assert_eq!(data(json!({})), "1Ldp");
    assert_eq!(data(json!({ "encoding": "base58" })), json!(["1Ldp", "base58"]));
    assert_eq!(data(json!({ "encoding": "jsonParsed" })), json!(["AAECAw==", "base64"]));
    assert_eq!(data(json!({ "encoding": "base64+zstd" }))[1], "base64+zstd");
    let slice = json!({ "encoding": "base64", "dataSlice": { "offset": 1, "length": 2 } });
    assert_eq!(data(slice), json!(["AQI=", "base64"]));
    let slice = json!({ "encoding": "base64", "dataSlice": { "offset": 9, "length": u64::MAX } });
    assert_eq!(data(slice), json!(["", "base64"]));

    cluster.ok("surfnet_setAccount", json!([address, { "data": "ab".repeat(5000) }]));
    assert_eq!(code(&show(json!({})).unwrap_err()), -32600);
    let slice = json!({ "dataSlice": { "offset": 4990, "length": 128 } });
    assert!(data(slice).is_string());
    let whole = data(json!({ "encoding": "base64" }));
    let whole = BASE64_STANDARD.decode(whole[0].as_str().unwrap()).unwrap();
    assert_eq!(whole, [0xab; 5000]);

    let clock = "SysvarC1ock11111111111111111111111111111111";
    let others = json!([[address, clock, SYSTEM, TOKEN, Pubkey::new_unique().to_string()], {
        "encoding": "jsonParsed",
    }]);
    let others = &cluster.ok("getMultipleAccounts", others)["value"];
    assert_eq!(others[1]["data"]["parsed"]["info"]["slot"], 0);
    assert_eq!(others[2]["executable"], true);
    assert_eq!(others[3]["data"]["program"], "bpf-upgradeable-loader");
    assert_eq!(others[4], Value::Null);
    // An account without lamports is none.
    cluster.ok("surfnet_setAccount", json!([address, { "lamports": 0 }]));
    assert_eq!(show(json!({})).unwrap()["value"], Value::Null);
}

#[test]
fn accounts_of_a_program_are_filtered() {
    let cluster = Cluster::open();
    let owner = Pubkey::new_unique().to_string();
    let mut addresses: Vec<String> = (0..3).map(|_| Pubkey::new_unique().to_string()).collect();
    for (address, data) in addresses.iter().zip(["0102", "0103", "010203"]) {
        let update = json!({ "lamports": SOL, "owner": owner, "data": data });
        cluster.ok("surfnet_setAccount", json!([address, update]));
    }
    let find = |filters: Value| {
        let config = json!({ "encoding": "base64", "filters": filters });
        cluster.call("getProgramAccounts", json!([owner, config])).map(|found| {
            let found = found.as_array().unwrap().iter();
            let mut found: Vec<String> =
                found.map(|found| found["pubkey"].as_str().unwrap().to_owned()).collect();
            found.sort();
            found
        })
    };
    let of = |places: &[usize]| {
        let mut of: Vec<String> = places.iter().map(|place| addresses[*place].clone()).collect();
        of.sort();
        of
    };
    assert_eq!(find(json!([])).unwrap(), of(&[0, 1, 2]));
    assert_eq!(find(json!([{ "dataSize": 2 }])).unwrap(), of(&[0, 1]));
    let second = json!({ "memcmp": { "offset": 1, "bytes": "Ag==", "encoding": "base64" } });
    assert_eq!(find(json!([second])).unwrap(), of(&[0, 2]));
    assert_eq!(find(json!([second, { "dataSize": 2 }])).unwrap(), of(&[0]));
    assert_eq!(find(json!([{ "memcmp": { "offset": 1, "bytes": "4" } }])).unwrap(), of(&[1]));
    assert_eq!(
        find(json!([{ "memcmp": { "offset": 1_u64 << 40, "bytes": "4" } }])).unwrap(),
        of(&[])
    );
    assert_eq!(find(json!(["tokenAccountState"])).unwrap(), of(&[]));
    for refused in [
        json!([{ "memcmp": { "offset": 0, "bytes": "0" } }]),
        json!([{ "memcmp": { "offset": 0, "bytes": "1".repeat(500) } }]),
        json!([{ "dataSize": 1 }, { "dataSize": 1 }, { "dataSize": 1 }, { "dataSize": 1 },
            { "dataSize": 1 }]),
        json!([{ "nothing": 1 }]),
    ] {
        assert_eq!(code(&find(refused).unwrap_err()), -32602);
    }
    let with_context = cluster.ok("getProgramAccounts", json!([owner, { "withContext": true }]));
    assert_eq!(with_context["value"].as_array().unwrap().len(), 3);
    // What is found is what is there now.
    cluster.ok("surfnet_setAccount", json!([addresses[0], { "lamports": 0 }]));
    addresses.remove(0);
    assert_eq!(find(json!([])).unwrap().len(), 2);
}

#[test]
fn tokens_are_set_and_found() {
    let cluster = Cluster::open();
    let owner = cluster.key(0).pubkey().to_string();
    let friend = Pubkey::new_unique().to_string();
    let update = json!({ "amount": 1_500_000_000_u64, "delegate": friend, "delegatedAmount": 7 });
    cluster.ok("surfnet_setTokenAccount", json!([owner, WRAPPED, update]));
    let config = json!({ "encoding": "jsonParsed" });
    for (method, of, filter) in [
        ("getTokenAccountsByOwner", &owner, json!({ "mint": WRAPPED })),
        ("getTokenAccountsByOwner", &owner, json!({ "programId": TOKEN })),
        ("getTokenAccountsByDelegate", &friend, json!({ "mint": WRAPPED })),
    ] {
        let found = cluster.ok(method, json!([of, filter, config]));
        let info = &found["value"][0]["account"]["data"]["parsed"]["info"];
        assert_eq!(info["tokenAmount"]["uiAmountString"], "1.5", "{method}: {found}");
        assert_eq!(info["isNative"], true);
        assert_eq!(info["delegatedAmount"]["amount"], "7");
    }
    let found = cluster.ok("getTokenAccountsByOwner", json!([owner, { "mint": WRAPPED }, config]));
    let address = &found["value"][0]["pubkey"];
    let balance = cluster.ok("getTokenAccountBalance", json!([address]));
    assert_eq!(balance["value"]["amount"], "1500000000");
    assert_eq!(balance["value"]["uiAmount"], 1.5);
    let frozen = json!([owner, WRAPPED, { "state": "frozen", "delegate": "null" }]);
    cluster.ok("surfnet_setTokenAccount", frozen);
    let shown = cluster.ok("getAccountInfo", json!([address, config]));
    assert_eq!(shown["value"]["data"]["parsed"]["info"]["state"], "frozen");
    for (method, params) in [
        ("getTokenAccountBalance", json!([owner])),
        ("getTokenSupply", json!([owner])),
        ("getTokenLargestAccounts", json!([owner])),
        ("getTokenAccountsByOwner", json!([owner, { "programId": SYSTEM }])),
        ("getTokenAccountsByOwner", json!([owner, { "mint": owner }])),
        ("surfnet_setTokenAccount", json!([owner, WRAPPED, { "state": "molten" }])),
        ("surfnet_setTokenAccount", json!([owner, WRAPPED, {}, SYSTEM])),
    ] {
        assert_eq!(code(&cluster.call(method, params).unwrap_err()), -32602, "{method}");
    }
}

#[test]
fn assets_of_the_ledger_are_tokens() {
    let cluster = Cluster::open();
    let (payer, mint, gateway) = (cluster.key(0), Keypair::new(), polity_svm::gateway::ID);
    let (owner, key) = (payer.pubkey(), mint.pubkey());
    let program = Pubkey::from_str_const("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");
    let seeds = [owner.as_ref(), gateway.as_ref(), key.as_ref()];
    let account = Pubkey::find_program_address(&seeds, &program).0;
    let gateway_does =
        |data: Vec<u8>, accounts| Instruction { program_id: gateway, accounts, data };
    let instructions = [
        create_account(&owner, &key, 1_461_600, 82, &gateway),
        gateway_does(
            [&[20, 2][..], owner.as_ref(), &[0]].concat(),
            vec![AccountMeta::new(key, false)],
        ),
        gateway_does(
            Vec::new(),
            vec![
                AccountMeta::new(owner, true),
                AccountMeta::new(account, false),
                AccountMeta::new_readonly(owner, false),
                AccountMeta::new_readonly(key, false),
                AccountMeta::new_readonly(Pubkey::default(), false),
                AccountMeta::new_readonly(gateway, false),
            ],
        ),
        gateway_does(
            [&[7][..], &150_u64.to_le_bytes()].concat(),
            vec![
                AccountMeta::new(key, false),
                AccountMeta::new(account, false),
                AccountMeta::new_readonly(owner, true),
            ],
        ),
    ];
    let message = Message::new_with_blockhash(&instructions, Some(&owner), &cluster.blockhash());
    let message = VersionedMessage::Legacy(message);
    let transaction = VersionedTransaction::try_new(message, &[&payer, &mint]).unwrap();
    let encoding = json!({ "encoding": "base64" });
    let signature = cluster.ok("sendTransaction", json!([base64(&transaction), encoding]));
    let [owner, key, account, gateway] = [owner, key, account, gateway].map(|key| key.to_string());

    let config = json!({ "encoding": "jsonParsed" });
    for filter in [json!({ "mint": key }), json!({ "programId": gateway })] {
        let found = cluster.ok("getTokenAccountsByOwner", json!([owner, filter, config]));
        let found = &found["value"][0];
        assert_eq!(
            (&found["pubkey"], &found["account"]["owner"]),
            (&json!(account), &json!(gateway))
        );
        let info = &found["account"]["data"]["parsed"]["info"];
        assert_eq!(info["tokenAmount"]["uiAmountString"], "1.5");
    }
    let balance = cluster.ok("getTokenAccountBalance", json!([account]));
    assert_eq!(balance["value"]["uiAmountString"], "1.5");
    assert_eq!(cluster.ok("getTokenSupply", json!([key]))["value"]["amount"], "150");
    let largest = cluster.ok("getTokenLargestAccounts", json!([key]));
    assert_eq!(largest["value"][0]["address"], account);
    let shown = cluster.ok("getAccountInfo", json!([key, config]));
    assert_eq!(shown["value"]["owner"], gateway);
    let parsed = &shown["value"]["data"]["parsed"];
    assert_eq!((&parsed["type"], &parsed["info"]["supply"]), (&json!("mint"), &json!("150")));
    let filters = json!([gateway, { "filters": ["tokenAccountState"], "encoding": "base64" }]);
    let found = cluster.ok("getProgramAccounts", filters);
    assert_eq!(found.as_array().map(Vec::len), Some(1));
    let transaction = cluster.ok("getTransaction", json!([signature, "json"]));
    let after = &transaction["meta"]["postTokenBalances"];
    assert_eq!(after[0]["programId"], gateway);
    assert_eq!(after[0]["uiTokenAmount"]["amount"], "150");
    // Its data are the ledger's: nobody sets them.
    let update = json!([owner, key, { "amount": 1 }, gateway]);
    assert_eq!(code(&cluster.call("surfnet_setTokenAccount", update).unwrap_err()), -32602);
}

#[test]
fn blocks_are_shown_as_far_as_asked() {
    let cluster = Cluster::open();
    let (payer, to) = (cluster.key(0), Pubkey::new_unique());
    let blockhash = cluster.blockhash();
    let instructions = [cluster::transfer(&payer.pubkey(), &to, SOL)];
    let message = v0::Message::try_compile(&payer.pubkey(), &instructions, &[], blockhash).unwrap();
    let transaction =
        VersionedTransaction::try_new(VersionedMessage::V0(message), &[&payer]).unwrap();
    let config = json!({ "encoding": "base64" });
    let signature = cluster.ok("sendTransaction", json!([base64(&transaction), config]));
    let block = |config: Value| cluster.call("getBlock", json!([1, config]));
    assert_eq!(code(&block(json!({})).unwrap_err()), -32015);
    assert_eq!(code(&cluster.call("getTransaction", json!([signature])).unwrap_err()), -32015);
    let version = |details: &str| {
        block(json!({ "maxSupportedTransactionVersion": 0, "transactionDetails": details }))
            .unwrap()
    };
    let full = version("full");
    assert_eq!(full["transactions"][0]["version"], 0);
    assert_eq!(full["transactions"][0]["transaction"]["signatures"][0], signature);
    assert_eq!((&full["parentSlot"], &full["blockHeight"]), (&json!(0), &json!(1)));
    assert_eq!(full["previousBlockhash"], cluster.ok("getGenesisHash", json!([])));
    assert_eq!(version("signatures")["signatures"], json!([signature]));
    let accounts = version("accounts");
    let keys = &accounts["transactions"][0]["transaction"]["accountKeys"];
    assert_eq!(keys[0]["signer"], true);
    assert_eq!(version("none")["transactions"], Value::Null);
    let shown = json!([signature, { "encoding": "base64", "maxSupportedTransactionVersion": 0 }]);
    let shown = cluster.ok("getTransaction", shown);
    assert_eq!(shown["transaction"], json!([base64(&transaction), "base64"]));
    assert_eq!(shown["blockTime"], cluster.ok("getBlockTime", json!([1])));
    assert_eq!(cluster.ok("getBlocks", json!([0])), json!([0, 1]));
    assert_eq!(cluster.ok("getBlocks", json!([1, 1])), json!([1]));
    assert_eq!(cluster.ok("getBlocks", json!([5])), json!([]));
    assert_eq!(cluster.ok("getBlocksWithLimit", json!([0, 1])), json!([0]));
    assert_eq!(cluster.ok("getFirstAvailableBlock", json!([])), 0);
    let valid = |hash: String| cluster.ok("isBlockhashValid", json!([hash]))["value"].clone();
    assert_eq!(valid(blockhash.to_string()), true);
    assert_eq!(valid(SYSTEM.into()), false);
}

#[test]
fn signatures_of_an_address_come_in_pages() {
    let cluster = Cluster::open();
    let to = Pubkey::new_unique().to_string();
    let mut sent: Vec<Value> =
        (0..5).map(|_| cluster.ok("requestAirdrop", json!([to, SOL]))).collect();
    sent.reverse();
    let page = |config: Value| {
        let page = cluster.ok("getSignaturesForAddress", json!([to, config]));
        let page = page.as_array().unwrap().iter();
        page.map(|found| found["signature"].clone()).collect::<Vec<Value>>()
    };
    assert_eq!(page(json!({})), sent);
    assert_eq!(page(json!({ "limit": 2 })), sent[..2]);
    assert_eq!(page(json!({ "limit": 2, "before": sent[1] })), sent[2..4]);
    assert_eq!(page(json!({ "until": sent[3] })), sent[..3]);
    assert_eq!(page(json!({ "before": sent[0], "until": sent[2] })), sent[1..2]);
    assert!(page(json!({ "before": sent[2], "until": sent[0] })).is_empty());
    assert!(page(json!({ "before": "1".repeat(64) })).is_empty());
    for limit in [0, 1001] {
        let refused = cluster.call("getSignaturesForAddress", json!([to, { "limit": limit }]));
        assert_eq!(code(&refused.unwrap_err()), -32602);
    }
}

#[test]
fn a_simulation_changes_nothing() {
    let cluster = Cluster::open();
    let (payer, to) = (cluster.key(0), Pubkey::new_unique());
    let mut transaction = cluster.transfer(&payer, &to, SOL);
    transaction.message.set_recent_blockhash(solana_hash::Hash::default());
    let simulate = |config: Value| {
        let mut config = config;
        config["encoding"] = json!("base64");
        cluster.call("simulateTransaction", json!([base64(&transaction), config]))
    };
    let accounts = json!({ "encoding": "base64", "addresses": [to.to_string()] });
    let done = simulate(json!({
        "replaceRecentBlockhash": true, "accounts": accounts, "innerInstructions": true,
    }));
    let done = &done.unwrap()["value"];
    assert_eq!(done["err"], Value::Null);
    assert_eq!(done["unitsConsumed"], 150);
    assert_eq!(done["fee"], 5000);
    assert_eq!(done["accounts"][0]["lamports"], SOL);
    assert_eq!(done["innerInstructions"], json!([]));
    assert_eq!(done["replacementBlockhash"]["lastValidBlockHeight"], 150);
    assert_eq!(cluster.ok("getBalance", json!([to.to_string()]))["value"], 0);
    assert_eq!(cluster.ok("getTransactionCount", json!([])), 0);
    assert_eq!(simulate(json!({})).unwrap()["value"]["err"], "BlockhashNotFound");
    assert_eq!(code(&simulate(json!({ "sigVerify": true })).unwrap_err()), -32003);
    let both = json!({ "sigVerify": true, "replaceRecentBlockhash": true });
    assert_eq!(code(&simulate(both).unwrap_err()), -32602);
    let message = BASE64_STANDARD.encode(cluster.message(&payer, &to, 1).serialize());
    assert_eq!(cluster.ok("getFeeForMessage", json!([message]))["value"], 5000);
    let message = BASE64_STANDARD.encode(transaction.message.serialize());
    assert_eq!(cluster.ok("getFeeForMessage", json!([message]))["value"], Value::Null);
}

#[test]
fn slots_go_by_for_who_looks() {
    let cluster = Cluster::open();
    assert_eq!(cluster.ok("getSlot", json!([])), 0);
    assert_eq!(cluster.ok("getSlot", json!([])), 0);
    std::thread::sleep(std::time::Duration::from_millis(450));
    assert_eq!(cluster.ok("getBalance", json!([SYSTEM]))["context"]["slot"], 0);
    assert_eq!(cluster.ok("getSlot", json!([])), 1);
    cluster.ok("surfnet_pauseClock", json!([]));
    std::thread::sleep(std::time::Duration::from_millis(450));
    assert_eq!(cluster.ok("getSlot", json!([])), 1);
    cluster.ok("surfnet_resumeClock", json!([]));
    assert_eq!(cluster.ok("getSlot", json!([])), 2);
    let still = Cluster::with(&manual());
    still.ok("getSlot", json!([]));
    std::thread::sleep(std::time::Duration::from_millis(450));
    assert_eq!(still.ok("getSlot", json!([])), 0);
}

#[test]
fn transactions_that_were_signed_together_all_come_into_blocks() {
    let cluster = Cluster::open();
    let (payer, to) = (cluster.key(0), Pubkey::new_unique());
    let blockhash = cluster.blockhash();
    let signed: Vec<String> = (1..=200)
        .map(|lamports| {
            let mut message = cluster.message(&payer, &to, 1_000_000 + lamports);
            message.recent_blockhash = blockhash;
            let message = VersionedMessage::Legacy(message);
            base64(&VersionedTransaction::try_new(message, &[&payer]).unwrap())
        })
        .collect();
    for text in signed {
        cluster.ok("sendTransaction", json!([text, { "encoding": "base64" }]));
    }
    let begin = std::time::Instant::now();
    while cluster.ok("getTransactionCount", json!([])) != 200 {
        assert!(begin.elapsed().as_secs() < 10, "they are lost");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(cluster.node.chain.head().number() < 100);
}

#[test]
fn every_method_is_in_the_manual() {
    let cluster = Cluster::open();
    let manual = include_str!("../../../docs/node.md");
    for name in polity_node::solana::Solana::methods(cluster.node.powers).names() {
        let subscription = name.strip_suffix("Subscribe").or(name.strip_suffix("Unsubscribe"));
        let written = match subscription {
            None => format!("`{name}`"),
            Some("vote") => "`voteSubscribe`".into(),
            Some(subject) => format!("`{subject}…`"),
        };
        assert!(manual.contains(&written), "{name}");
    }
}

#[test]
fn time_travels_and_accounts_go_back() {
    let cluster = Cluster::open();
    let now = cluster.ok("getBlockTime", json!([0])).as_u64().unwrap();
    let there = cluster.ok("surfnet_timeTravel", json!([{ "absoluteSlot": 7 }]));
    assert_eq!(there["absoluteSlot"], 7);
    let later = json!([{ "absoluteTimestamp": (now + 100_000) * 1000 }]);
    let there = cluster.ok("surfnet_timeTravel", later)["absoluteSlot"].clone();
    assert_eq!(cluster.ok("getBlockTime", json!([there])), now + 100_000);
    for back in [json!({ "absoluteSlot": 3 }), json!({ "absoluteEpoch": 9 }), json!({ "a": 1 })] {
        assert_eq!(code(&cluster.call("surfnet_timeTravel", json!([back])).unwrap_err()), -32602);
    }
    let key = cluster.key(0).pubkey().to_string();
    cluster.ok("surfnet_setAccount", json!([key, { "lamports": 5 }]));
    cluster.ok("surfnet_resetAccount", json!([key]));
    assert_eq!(cluster.ok("getBalance", json!([key]))["value"], 10_000 * SOL);
    let authority = Pubkey::new_unique().to_string();
    cluster.ok("surfnet_setProgramAuthority", json!([TOKEN, authority]));
    let program = cluster.ok("getAccountInfo", json!([TOKEN, { "encoding": "jsonParsed" }]));
    let data = &program["value"]["data"]["parsed"]["info"]["programData"];
    let data = cluster.ok("getAccountInfo", json!([data, { "encoding": "jsonParsed" }]));
    assert_eq!(data["value"]["data"]["parsed"]["info"]["authority"], authority);
    cluster.ok("requestAirdrop", json!([key, SOL]));
    cluster.ok("surfnet_resetNetwork", json!([]));
    assert_eq!(cluster.ok("getBalance", json!([key]))["value"], 10_000 * SOL);
    assert_eq!(cluster.ok("getTransactionCount", json!([])), 0);
}

#[test]
fn a_chain_that_is_not_for_development_gives_nothing_away() {
    let cluster = Cluster::with(&Config { development: false, ..Config::default() });
    for (method, params) in [
        ("requestAirdrop", json!([SYSTEM, SOL])),
        ("surfnet_setAccount", json!([SYSTEM, { "lamports": 1 }])),
        ("surfnet_timeTravel", json!([{ "absoluteSlot": 7 }])),
        ("surfnet_resetNetwork", json!([])),
    ] {
        assert_eq!(code(&cluster.call(method, params).unwrap_err()), -32601, "{method}");
    }
}

#[test]
fn a_chain_that_is_kept_knows_its_transactions_again() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        data_dir: Some(folder.path().to_owned()),
        timestamp: Some(1_700_000_000),
        ..Config::default()
    };
    let to = Pubkey::new_unique().to_string();
    let (signature, shown) = {
        let cluster = Cluster::with(&config);
        let signature = cluster.ok("requestAirdrop", json!([to, SOL]));
        let shown = cluster.ok("getTransaction", json!([signature]));
        cluster.node.stop().unwrap();
        (signature, shown)
    };
    let cluster = Cluster::with(&config);
    assert_eq!(cluster.ok("getTransaction", json!([signature])), shown);
    assert_eq!(cluster.ok("getBalance", json!([to]))["value"], SOL);
    let found = cluster.ok("getSignaturesForAddress", json!([to]));
    assert_eq!(found[0]["signature"], signature);
}

#[test]
fn the_cluster_says_what_it_is() {
    let cluster = Cluster::open();
    assert_eq!(cluster.ok("getHealth", json!([])), "ok");
    let version = cluster.ok("getVersion", json!([]));
    assert_eq!(version["solana-core"], "4.2.2");
    assert!(version["feature-set"].is_u64());
    let identity = cluster.ok("getIdentity", json!([]))["identity"].clone();
    assert_eq!(cluster.ok("getSlotLeader", json!([])), identity);
    assert_eq!(cluster.ok("getSlotLeaders", json!([0, 2])), json!([identity, identity]));
    let epoch = cluster.ok("getEpochInfo", json!([]));
    assert_eq!((&epoch["slotsInEpoch"], &epoch["epoch"]), (&json!(432_000), &json!(0)));
    assert_eq!(cluster.ok("getMinimumBalanceForRentExemption", json!([0])), 890_880);
    assert_eq!(cluster.ok("getInflationReward", json!([[SYSTEM]])), json!([null]));
    let supply = cluster.ok("getSupply", json!([]))["value"].clone();
    let sum = |name: &str| supply[name].as_u64().unwrap();
    assert_eq!(sum("total"), sum("circulating") + sum("nonCirculating"));
    let largest = cluster.ok("getLargestAccounts", json!([{ "filter": "circulating" }]));
    assert_eq!(largest["value"][0]["lamports"], 10_000 * SOL);
    let schedule = cluster.ok("getLeaderSchedule", json!([null, { "identity": identity }]));
    assert_eq!(schedule[identity.as_str().unwrap()].as_array().unwrap().len(), 432_000);
    assert_eq!(cluster.ok("getLeaderSchedule", json!([0, { "identity": SYSTEM }])), json!({}));
    let fees = cluster.ok("getRecentPrioritizationFees", json!([[SYSTEM]]));
    assert_eq!(fees, json!([{ "slot": 0, "prioritizationFee": 0 }]));
}

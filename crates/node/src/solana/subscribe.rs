//! Subscriptions: what a connection is told by itself.

use std::sync::Arc;

use polity_svm::{KIND, Record};
use serde_json::json;
use solana_account::{AccountSharedData, ReadableAccount};
use solana_account_decoder::UiAccountEncoding;
use solana_pubkey::Pubkey;
use solana_rpc_client_types::{
    config::{
        RpcAccountInfoConfig, RpcBlockConfig, RpcBlockSubscribeConfig, RpcBlockSubscribeFilter,
        RpcProgramAccountsConfig, RpcSignatureSubscribeConfig, RpcTransactionLogsConfig,
        RpcTransactionLogsFilter,
    },
    response::{
        ProcessedSignatureResult, ReceivedSignatureResult, RpcBlockUpdate, RpcKeyedAccount,
        RpcLogsResponse, SlotInfo, SlotTransactionStats, SlotUpdate,
    },
};
use solana_transaction_status::UiTransactionEncoding;

use super::{
    Solana,
    blocks::Show,
    decode, encode, history, meta,
    moment::with_slot,
    notify::{Then, each_block, notify},
    program::Filters,
    slots::each_slot,
};
use crate::{
    chain::{Block, ChainView, IncludedGuest},
    rpc::{Connection, Gone, Methods, Params, Reply, RpcError, Sink, reply},
};

pub(super) fn register(methods: &mut Methods<Solana>) {
    methods.connected("signatureSubscribe", signature);
    methods.connected("accountSubscribe", account);
    methods.connected("programSubscribe", program);
    methods.connected("logsSubscribe", logs);
    methods.connected("slotSubscribe", slot);
    methods.connected("rootSubscribe", root);
    methods.connected("slotsUpdatesSubscribe", slots_updates);
    methods.connected("blockSubscribe", block);
    methods.connected("voteSubscribe", |_, _, _| {
        // There is nobody who votes; a node that does not serve votes says so.
        Err(RpcError::new(RpcError::NO_METHOD, "Method not found"))
    });
    methods.connected("signatureUnsubscribe", |_, params, connection| {
        let id: u64 = params.required()?;
        if connection.unsubscribe(id) {
            return reply(&true);
        }
        Err(RpcError::params("Invalid subscription id."))
    });
    for name in [
        "accountUnsubscribe",
        "programUnsubscribe",
        "logsUnsubscribe",
        "slotUnsubscribe",
        "rootUnsubscribe",
        "slotsUpdatesUnsubscribe",
        "blockUnsubscribe",
        "voteUnsubscribe",
    ] {
        methods.alias(name, "signatureUnsubscribe");
    }
}

/// Begins a subscription that is told of blocks.
fn with_blocks(
    door: &Arc<Solana>,
    connection: &Arc<Connection>,
    mut serve: impl FnMut(&Solana, &Sink, &Block) -> Result<Then, Gone> + Send + 'static,
) -> Reply {
    let events = door.node().chain.subscribe();
    let door = door.clone();
    let id = connection.subscribe(|sink| {
        each_block(door, events, move |door, block| serve(door, &sink, &block))
    })?;
    reply(&id)
}

/// Begins a subscription to slots.
fn with_slots(
    door: &Arc<Solana>,
    connection: &Arc<Connection>,
    mut serve: impl FnMut(&Sink, &Block) -> Result<Then, Gone> + Send + 'static,
) -> Reply {
    let events = door.node().chain.subscribe();
    let door = door.clone();
    let id =
        connection.subscribe(|sink| each_slot(door, events, move |block| serve(&sink, block)))?;
    reply(&id)
}

fn signature(door: &Arc<Solana>, params: &mut Params<'_>, connection: &Arc<Connection>) -> Reply {
    let signature = decode::signature(&params.required::<String>()?)?;
    let config: RpcSignatureSubscribeConfig = params.optional()?.unwrap_or_default();
    let mut tell_received = config.enable_received_notification.unwrap_or(false);
    let node = door.node();
    // Before it is looked for, so that it is not missed in between.
    let events = node.chain.subscribe();
    let door = door.clone();
    let id = connection.subscribe(|sink| async move {
        let hash = polity_svm::transaction_hash(&signature);
        let received = |sink: &Sink, slot: u64| {
            let value = with_slot(slot, ReceivedSignatureResult::ReceivedSignature);
            notify(sink, "signatureNotification", &value)
        };
        let waits = node.guests.get(KIND, &hash).is_some();
        let found = history::find(&node.chain, &signature).ok().flatten();
        if let Some(found) = &found
            && let Some(included) = found.included()
        {
            // The client is told or gone: in either case it is over.
            let _ = processed(&sink, &found.block, included);
            return;
        }
        if waits && tell_received {
            tell_received = false;
            if received(&sink, node.chain.head().number()).is_err() {
                return;
            }
        }
        drop(node);
        each_block(door, events, move |_, block| {
            let is_it = |included: &&IncludedGuest| included.transaction.hash() == hash;
            let Some(included) = block.of(KIND).find(is_it) else { return Ok(Then::GoOn) };
            if tell_received {
                received(&sink, block.number())?;
            }
            processed(&sink, &block, included)?;
            Ok(Then::End)
        })
        .await;
    })?;
    reply(&id)
}

fn processed(sink: &Sink, block: &Block, included: &IncludedGuest) -> Result<(), Gone> {
    let record = Record::of(&included.receipt).unwrap_or_default();
    let result = ProcessedSignatureResult { err: record.error().map(Into::into) };
    notify(sink, "signatureNotification", &with_slot(block.number(), result))
}

/// The state after a block; `None` where that is not kept any more.
fn state(door: &Solana, number: u64) -> Option<ChainView> {
    door.node().chain.state_at(number).ok()
}

fn time(block: &Block) -> i64 {
    i64::try_from(block.header.timestamp).unwrap_or(i64::MAX)
}

fn read(view: &ChainView, address: &Pubkey) -> AccountSharedData {
    polity_svm::read_account(view, address).ok().flatten().unwrap_or_default()
}

fn account(door: &Arc<Solana>, params: &mut Params<'_>, connection: &Arc<Connection>) -> Reply {
    let address = decode::address(params)?;
    let config: RpcAccountInfoConfig = params.optional()?.unwrap_or_default();
    let encoding = config.encoding.unwrap_or(UiAccountEncoding::Binary);
    let mut last = read(&door.node().chain.latest()?, &address);
    with_blocks(door, connection, move |door, sink, block| {
        let Some(view) = state(door, block.number()) else { return Ok(Then::GoOn) };
        let now = read(&view, &address);
        if now == last {
            return Ok(Then::GoOn);
        }
        last = now;
        let shown =
            encode::account(&view, time(block), &address, &last, encoding, config.data_slice);
        if let Ok(shown) = shown {
            notify(sink, "accountNotification", &with_slot(block.number(), shown))?;
        }
        Ok(Then::GoOn)
    })
}

fn program(door: &Arc<Solana>, params: &mut Params<'_>, connection: &Arc<Connection>) -> Reply {
    let program = decode::address(params)?;
    let config: RpcProgramAccountsConfig = params.optional()?.unwrap_or_default();
    let filters = Filters::new(config.filters)?;
    let encoding = config.account_config.encoding.unwrap_or(UiAccountEncoding::Binary);
    let slice = config.account_config.data_slice;
    with_blocks(door, connection, move |door, sink, block| {
        let mut written = Vec::new();
        for included in block.of(KIND) {
            let record = Record::of(&included.receipt).unwrap_or_default();
            written.extend(meta::written(&included.transaction.decoded, &record));
        }
        written.sort_unstable();
        written.dedup();
        if written.is_empty() {
            return Ok(Then::GoOn);
        }
        let Some(view) = state(door, block.number()) else { return Ok(Then::GoOn) };
        let before = state(door, block.number().saturating_sub(1));
        for address in written {
            let account = read(&view, &address);
            let was = before.as_ref().map(|before| read(before, &address));
            let is_wanted = *account.owner() == program
                && was.is_none_or(|was| was != account)
                && filters.let_through(&account);
            if !is_wanted {
                continue;
            }
            let shown = encode::account(&view, time(block), &address, &account, encoding, slice);
            if let Ok(account) = shown {
                let keyed = RpcKeyedAccount { pubkey: address.to_string(), account };
                notify(sink, "programNotification", &with_slot(block.number(), keyed))?;
            }
        }
        Ok(Then::GoOn)
    })
}

fn logs(door: &Arc<Solana>, params: &mut Params<'_>, connection: &Arc<Connection>) -> Reply {
    let filter: RpcTransactionLogsFilter = params.required()?;
    let _: Option<RpcTransactionLogsConfig> = params.optional()?;
    let mentioned = match filter {
        RpcTransactionLogsFilter::All | RpcTransactionLogsFilter::AllWithVotes => None,
        RpcTransactionLogsFilter::Mentions(addresses) => match addresses.as_slice() {
            [address] => Some(decode::parse(address)?),
            _ => {
                let text = "Invalid Request: Only 1 address supported";
                return Err(RpcError::params(text));
            }
        },
    };
    with_blocks(door, connection, move |_, sink, block| {
        for included in block.of(KIND) {
            let record = Record::of(&included.receipt).unwrap_or_default();
            let decoded = &included.transaction.decoded;
            let is_wanted = mentioned
                .is_none_or(|address| meta::addresses(decoded, &record).contains(&address));
            if is_wanted {
                let logs = RpcLogsResponse {
                    signature: history::signature(included).to_string(),
                    err: record.error().map(Into::into),
                    logs: record.logs,
                };
                notify(sink, "logsNotification", &with_slot(block.number(), logs))?;
            }
        }
        Ok(Then::GoOn)
    })
}

fn slot(door: &Arc<Solana>, _: &mut Params<'_>, connection: &Arc<Connection>) -> Reply {
    with_slots(door, connection, |sink, block| {
        let slot = block.number();
        let info = SlotInfo { slot, parent: slot.saturating_sub(1), root: slot };
        notify(sink, "slotNotification", &info).map(|()| Then::GoOn)
    })
}

fn root(door: &Arc<Solana>, _: &mut Params<'_>, connection: &Arc<Connection>) -> Reply {
    with_slots(door, connection, |sink, block| {
        notify(sink, "rootNotification", &block.number()).map(|()| Then::GoOn)
    })
}

/// What a slot goes through, which here is all at once.
fn slots_updates(door: &Arc<Solana>, _: &mut Params<'_>, connection: &Arc<Connection>) -> Reply {
    with_slots(door, connection, |sink, block| {
        let slot = block.number();
        let timestamp = block.header.timestamp.saturating_mul(1000);
        let count = |succeeded: bool| {
            let ended = |included: &&IncludedGuest| included.receipt.status.is_success();
            block.of(KIND).filter(|included| ended(included) == succeeded).count() as u64
        };
        let entries = block.of(KIND).count() as u64;
        let stats = SlotTransactionStats {
            num_transaction_entries: entries.min(1),
            num_successful_transactions: count(true),
            num_failed_transactions: count(false),
            max_transactions_per_entry: entries,
        };
        let parent = slot.saturating_sub(1);
        for update in [
            SlotUpdate::CreatedBank { slot, parent, timestamp },
            SlotUpdate::Completed { slot, timestamp },
            SlotUpdate::Frozen { slot, timestamp, stats },
            SlotUpdate::OptimisticConfirmation { slot, timestamp },
            SlotUpdate::Root { slot, timestamp },
        ] {
            notify(sink, "slotsUpdatesNotification", &update)?;
        }
        Ok(Then::GoOn)
    })
}

fn block(door: &Arc<Solana>, params: &mut Params<'_>, connection: &Arc<Connection>) -> Reply {
    let filter: RpcBlockSubscribeFilter = params.required()?;
    let config: RpcBlockSubscribeConfig = params.optional()?.unwrap_or_default();
    let mentioned = match filter {
        RpcBlockSubscribeFilter::All => None,
        RpcBlockSubscribeFilter::MentionsAccountOrProgram(address) => {
            Some(decode::parse(&address)?)
        }
    };
    let show = RpcBlockConfig {
        encoding: config.encoding,
        transaction_details: config.transaction_details,
        rewards: config.show_rewards,
        commitment: None,
        max_supported_transaction_version: config.max_supported_transaction_version,
    };
    let show = Show::new(&show, UiTransactionEncoding::Base64);
    with_blocks(door, connection, move |_, sink, block| {
        let is_wanted = |included: &IncludedGuest| {
            let record = Record::of(&included.receipt).unwrap_or_default();
            let decoded = &included.transaction.decoded;
            mentioned.is_none_or(|address| meta::addresses(decoded, &record).contains(&address))
        };
        if mentioned.is_some() && !block.of(KIND).any(is_wanted) {
            return Ok(Then::GoOn);
        }
        let slot = block.number();
        let update = match show.block(block, is_wanted) {
            Ok(block) => json!(RpcBlockUpdate { slot, block: Some(block), err: None }),
            Err(error) => json!({ "slot": slot, "block": null, "err": error.message }),
        };
        notify(sink, "blockNotification", &with_slot(slot, update)).map(|()| Then::GoOn)
    })
}

use std::{
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::{Address, B256, U256};
use alloy_rpc_types_eth::Header;
use polity_evm::{KIND, address, code_ref};
use polity_kernel::{Code, ViewError};
use polity_remote::{RemoteError, RpcClient, SourceAccount, ancestors, json::Quantity, read_state};
use polity_types::{AccountId, AccountRecord, LocalKey, Name, Space, Value};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{
    ForkError, Forking, Origin,
    cache::{Cache, Fact, Known, Wish},
};

/// The chain that another goes on from, at the block where they part. What it told is kept.
pub struct Remote {
    client: RpcClient,
    url: String,
    origin: Origin,
    known: Mutex<Known>,
    arrived: Condvar,
    cache: Option<Cache>,
}

impl Remote {
    /// The block that is to be forked. Where `stored` says what it is, the node is not asked.
    /// Answers are kept in `cache`, where no other folder was chosen.
    ///
    /// # Errors
    /// The node does not answer, or has no such block.
    pub fn open(
        forking: &Forking,
        stored: Option<Origin>,
        cache: Option<&Path>,
    ) -> Result<Self, ForkError> {
        let client = RpcClient::new(&forking.url, forking.rpc.clone())?;
        let origin = match stored {
            Some(origin) => match forking.block {
                Some(asked) if asked != origin.number() => {
                    return Err(ForkError::Other { stored: origin.number(), asked });
                }
                _ => origin,
            },
            None => origin(&client, forking.block)?,
        };
        let mut known = Known::default();
        known.hashes.insert(origin.number(), origin.header.hash);
        let cache = forking.cache.as_deref().or(cache);
        let cache = cache.map(|folder| Cache::open(folder, &origin, &mut known)).transpose()?;
        Ok(Self {
            client,
            url: forking.url.clone(),
            origin,
            known: Mutex::new(known),
            arrived: Condvar::new(),
            cache,
        })
    }

    /// Where the chains part.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The height of the last block that both chains have.
    pub const fn number(&self) -> u64 {
        self.origin.number()
    }

    /// The node that is asked.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The account after the block.
    ///
    /// # Errors
    /// The node does not tell.
    pub fn account(&self, account: &AccountId) -> Result<Option<AccountRecord>, ViewError> {
        if account.machine != KIND {
            return Ok(None);
        }
        let of = address(account);
        let find = |known: &Known| known.accounts.get(&of).copied();
        let found: Option<SourceAccount> = self.get(Wish::Account(of), find).map_err(failed)?;
        Ok(found.map(|found| AccountRecord {
            balance: found.balance,
            sequence: found.nonce,
            code: found.code_hash.and_then(code_ref),
        }))
    }

    /// The value of a slot after the block.
    ///
    /// # Errors
    /// The node does not tell.
    pub fn slot(&self, account: &AccountId, key: &LocalKey) -> Result<Value, ViewError> {
        let LocalKey { space: Space::STORAGE, name: Name::Word(slot) } = key else {
            return Ok(Value::Empty);
        };
        if account.machine != KIND {
            return Ok(Value::Empty);
        }
        let of = address(account);
        let find = |known: &Known| match known.accounts.get(&of) {
            // Where there is no account there are no slots.
            Some(None) => Some(U256::ZERO),
            _ => known.slots.get(&(of, *slot)).copied(),
        };
        self.get(Wish::Slot(of, *slot), find).map(Value::word).map_err(failed)
    }

    /// A code of an account that was read.
    pub fn code(&self, hash: &B256) -> Option<Arc<Code>> {
        self.known().codes.get(hash).cloned()
    }

    /// The hash of a block that both chains have.
    ///
    /// # Errors
    /// The node does not tell.
    pub fn block_hash(&self, number: u64) -> Result<B256, ViewError> {
        if number > self.number() {
            return Err(ViewError::MissingBlockHash(number));
        }
        let find = |known: &Known| known.hashes.get(&number).copied();
        self.get(Wish::Hash(number), find).map_err(failed)
    }

    /// Reads accounts and slots in one go, so that later reads need not wait for the node.
    ///
    /// # Errors
    /// The node does not tell.
    pub fn warm(
        &self,
        accounts: impl IntoIterator<Item = Address>,
        slots: impl IntoIterator<Item = (Address, U256)>,
    ) -> Result<(), ViewError> {
        let accounts = accounts.into_iter().map(Wish::Account);
        let slots = slots.into_iter().map(|(address, slot)| Wish::Slot(address, slot));
        let claimed: Vec<Wish> = {
            let mut known = self.known();
            accounts.chain(slots).filter(|wish| claim(&mut known, *wish)).collect()
        };
        if claimed.is_empty() { Ok(()) } else { self.ask(&claimed).map_err(failed) }
    }

    /// Answers a request as the node does.
    ///
    /// # Errors
    /// The node does not answer, or with an error.
    pub fn forward(
        &self,
        method: &'static str,
        params: &serde_json::Value,
    ) -> Result<Box<RawValue>, RemoteError> {
        self.client.call_raw(method, params)
    }

    /// Whether a block with this hash is one that both chains have.
    ///
    /// # Errors
    /// The node does not answer.
    pub fn has_block(&self, hash: &B256) -> Result<bool, RemoteError> {
        if *hash == self.origin.header.hash {
            return Ok(true);
        }
        self.has("eth_getBlockByHash", &json!([hash, false]))
    }

    /// Whether a transaction with this hash is in a block that both chains have.
    ///
    /// # Errors
    /// The node does not answer.
    pub fn has_transaction(&self, hash: &B256) -> Result<bool, RemoteError> {
        self.has("eth_getTransactionByHash", &json!([hash]))
    }

    fn has(&self, method: &'static str, params: &serde_json::Value) -> Result<bool, RemoteError> {
        /// What of a block or a transaction says where it is.
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Placed {
            #[serde(default)]
            number: Option<Quantity<u64>>,
            #[serde(default)]
            block_number: Option<Quantity<u64>>,
        }
        let placed: Option<Placed> = self.client.call(method, params)?;
        let number = placed.and_then(|placed| placed.number.or(placed.block_number));
        Ok(number.is_some_and(|Quantity(number)| number <= self.number()))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `find` finds, when the node has told what is wished. Several threads that wish the
    /// same ask once.
    fn get<T>(&self, wish: Wish, find: impl Fn(&Known) -> Option<T>) -> Result<T, RemoteError> {
        loop {
            {
                let mut known = self.known();
                loop {
                    if let Some(found) = find(&known) {
                        return Ok(found);
                    }
                    if claim(&mut known, wish) {
                        break;
                    }
                    known = self.arrived.wait(known).unwrap_or_else(PoisonError::into_inner);
                }
            }
            self.ask(&[wish])?;
        }
    }

    /// Asks for what was claimed.
    fn ask(&self, claimed: &[Wish]) -> Result<(), RemoteError> {
        let told = self.tell(claimed);
        let mut known = self.known();
        for wish in claimed {
            known.asked.remove(wish);
        }
        for fact in told.iter().flatten() {
            known.add(fact);
        }
        drop(known);
        self.arrived.notify_all();
        if let (Some(cache), Ok(facts)) = (&self.cache, &told) {
            cache.add(facts);
        }
        told.map(drop)
    }

    fn tell(&self, claimed: &[Wish]) -> Result<Vec<Fact>, RemoteError> {
        let mut accounts = Vec::new();
        let mut slots = Vec::new();
        let mut numbers = Vec::new();
        for wish in claimed {
            match wish {
                Wish::Account(address) => accounts.push(*address),
                Wish::Slot(address, slot) => slots.push((*address, *slot)),
                Wish::Hash(number) => numbers.push(*number),
            }
        }
        let mut facts = Vec::new();
        if !numbers.is_empty() {
            let found = ancestors(&self.client, numbers, |_| {})?;
            facts.extend(found.into_iter().map(|(number, found)| Fact::Hash(number, found.hash)));
        }
        if !accounts.is_empty() || !slots.is_empty() {
            let part = read_state(&self.client, self.number(), &accounts, &slots, |_, _| {})?;
            // Codes first: who knows an account knows its code.
            facts.extend(part.codes.into_values().map(Fact::Code));
            facts.extend(part.accounts.into_iter().map(|(of, found)| Fact::Account(of, found)));
            let slots = part.slots.into_iter();
            facts.extend(slots.map(|((of, slot), value)| Fact::Slot(of, slot, value)));
        }
        Ok(facts)
    }
}

/// Takes it on to ask for something, where it is not known and nobody else asks.
fn claim(known: &mut Known, wish: Wish) -> bool {
    !known.has(&wish) && known.asked.insert(wish)
}

fn failed(error: RemoteError) -> ViewError {
    ViewError::Store(format!("the chain that is forked: {error}"))
}

/// The id of a node's chain, and one of its blocks.
fn origin(client: &RpcClient, block: Option<u64>) -> Result<Origin, RemoteError> {
    const METHOD: &str = "eth_getBlockByNumber";
    let Quantity(chain_id) = client.call::<Quantity<u64>>("eth_chainId", &json!([]))?;
    let tag = block.map_or_else(|| json!("latest"), |number| json!(Quantity(number)));
    let header: Option<Header> = client.call(METHOD, &json!([tag, false]))?;
    let header = header.ok_or_else(|| RemoteError::NoSuchBlock {
        host: client.host().into(),
        block: block.map_or_else(|| "latest".into(), |number| number.to_string()),
    })?;
    if block.is_some_and(|asked| asked != header.inner.number) {
        let reason = format!("block {} was given", header.inner.number);
        return Err(client.fault(METHOD, polity_remote::BlockFault::invalid("number", reason)));
    }
    Ok(Origin { chain_id, header })
}

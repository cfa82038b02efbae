//! Solana's side of `polity node`.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use eyre::{Context, bail};
use polity_node::{
    eth::Ethereum,
    metrics,
    rpc::{Door, Server, Service},
    solana::{DERIVATION_PATH, Solana, SolanaAccounts},
};
use serde::Serialize;

use super::NodeOptions;

/// Where Solana's tools look for a node.
const PORT: u16 = 8899;

/// How often it is tried to find two free ports in a row.
const TRIES: u32 = 32;

/// What a node says of its Solana side.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ready {
    /// Where Solana's tools connect to, by HTTP.
    pub(super) solana_http: String,
    /// Likewise, by WebSocket.
    pub(super) solana_ws: String,
    solana_derivation_path: Option<String>,
    solana_accounts: Vec<Account>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    address: String,
    /// The key as wallets take it in: base58 of the secret and the public key.
    private_key: String,
}

impl NodeOptions {
    /// Opens Solana's front door to the node behind Ethereum's.
    pub(super) async fn serve_solana(
        &self,
        ethereum: &Door<Ethereum>,
    ) -> eyre::Result<(Ready, Vec<Server>)> {
        let node = ethereum.get().node.clone();
        let door = Door::from(Arc::new(Solana::new(ethereum.clone())?));
        let mut servers = Vec::new();
        let mut first = None;
        for host in &self.host {
            let service =
                || Service::new(door.clone(), Solana::methods(node.powers), node.config.limits);
            let (http, ws) = self.open(*host, service).await?;
            first.get_or_insert((http.address(), ws.address()));
            servers.extend([http, ws]);
        }
        let Some((http, ws)) = first else { bail!("no address to listen on: give --host") };
        let config = &node.config;
        let count = if config.genesis.is_some() { 0 } else { config.accounts };
        let accounts = SolanaAccounts::derive(&config.mnemonic, count)?;
        let accounts = accounts.keys().iter().zip(accounts.addresses());
        let accounts = accounts.map(|(key, address)| Account {
            address: address.to_string(),
            private_key: key.to_base58_string(),
        });
        let ready = Ready {
            solana_http: format!("http://{http}"),
            solana_ws: format!("ws://{ws}"),
            solana_derivation_path: (count > 0).then(|| format!("{DERIVATION_PATH}N'/0'")),
            solana_accounts: accounts.collect(),
        };
        Ok((ready, servers))
    }
}

impl NodeOptions {
    /// A server for requests, and one for subscriptions on the port after it, where
    /// tools look for it.
    async fn open(
        &self,
        host: IpAddr,
        service: impl Fn() -> Service<Solana>,
    ) -> eyre::Result<(Server, Server)> {
        let any = if self.port == 0 { 0 } else { PORT };
        let port = self.solana_port.unwrap_or(any);
        let mut tries = if port == 0 { TRIES } else { 1 };
        loop {
            tries -= 1;
            let address = SocketAddr::new(host, port);
            let http = Server::start(address, service(), metrics::render).await.wrap_err(
                "for Solana's JSON-RPC: --solana-port takes another port, --no-solana none",
            )?;
            let Some(next) = http.address().port().checked_add(1) else {
                bail!("there is no port after {} for Solana's subscriptions", http.address());
            };
            let address = SocketAddr::new(host, next);
            match Server::start(address, service(), metrics::render).await {
                Ok(ws) => return Ok((http, ws)),
                Err(_) if tries > 0 => http.stop().await,
                Err(error) => {
                    let why = "for Solana's subscriptions, on the port after --solana-port";
                    return Err(error).wrap_err(why);
                }
            }
        }
    }
}

impl Ready {
    /// The accounts, for people.
    pub(super) fn banner(&self) -> Vec<String> {
        let mut lines = vec!["Solana accounts".to_owned()];
        let accounts = || self.solana_accounts.iter().enumerate();
        lines.extend(accounts().map(|(index, account)| format!("  ({index}) {}", account.address)));
        lines.push(String::new());
        lines.push("their keys (known to everyone: for development only)".into());
        lines.extend(
            accounts().map(|(index, account)| format!("  ({index}) {}", account.private_key)),
        );
        lines
    }
}

use std::{collections::HashMap, pin::Pin, sync::Arc};

use serde_json::value::RawValue;

use super::{Connection, Params, Reply, RpcError};

/// Something that has to be waited for: an answer, where nothing else is said.
pub type Later<T = Reply> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The parameters of requests that are answered together, as far as they are lists.
pub type Gathered<'a> = Vec<Result<Params<'a>, RpcError>>;

/// How a method is answered, for a front door `D`.
pub enum Method<D> {
    /// At once.
    Quick(fn(&D, &mut Params<'_>) -> Reply),
    /// By computing for a while, on a thread of its own.
    Heavy(fn(&D, &mut Params<'_>) -> Reply),
    /// By waiting for something.
    Waiting(fn(&Arc<D>, &mut Params<'_>) -> Result<Later, RpcError>),
    /// Together with the requests of the same method that follow on it in a batch,
    /// in their order.
    Together(fn(&Arc<D>, Gathered<'_>) -> Later<Vec<Reply>>),
    /// By something that concerns the connection, such as a subscription.
    Connected(fn(&Arc<D>, &mut Params<'_>, &Arc<Connection>) -> Reply),
}

impl<D> Clone for Method<D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D> Copy for Method<D> {}

/// How a front door asks another node, which answers some of the requests.
pub struct Elsewhere<D> {
    /// Whether it does so. Then any method may have to wait for the other node.
    pub is_on: fn(&D) -> bool,
    /// The other node's answer to a request; `None` where it is not asked.
    pub answer: fn(&D, &'static str, Option<&RawValue>) -> Option<Reply>,
}

impl<D> Clone for Elsewhere<D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D> Copy for Elsewhere<D> {}

/// The methods of a front door, by name.
pub struct Methods<D> {
    table: HashMap<&'static str, Method<D>>,
    elsewhere: Option<Elsewhere<D>>,
    phrase: fn(RpcError) -> RpcError,
}

impl<D> Default for Methods<D> {
    fn default() -> Self {
        Self { table: HashMap::new(), elsewhere: None, phrase: std::convert::identity }
    }
}

impl<D> Methods<D> {
    /// Adds a method that is answered at once.
    pub fn quick(&mut self, name: &'static str, method: fn(&D, &mut Params<'_>) -> Reply) {
        self.table.insert(name, Method::Quick(method));
    }

    /// Adds a method that computes for a while.
    pub fn heavy(&mut self, name: &'static str, method: fn(&D, &mut Params<'_>) -> Reply) {
        self.table.insert(name, Method::Heavy(method));
    }

    /// Adds a method that waits for something.
    pub fn waiting(
        &mut self,
        name: &'static str,
        method: fn(&Arc<D>, &mut Params<'_>) -> Result<Later, RpcError>,
    ) {
        self.table.insert(name, Method::Waiting(method));
    }

    /// Adds a method whose requests are answered together.
    pub fn together(
        &mut self,
        name: &'static str,
        method: fn(&Arc<D>, Gathered<'_>) -> Later<Vec<Reply>>,
    ) {
        self.table.insert(name, Method::Together(method));
    }

    /// Adds a method that concerns the connection.
    pub fn connected(
        &mut self,
        name: &'static str,
        method: fn(&Arc<D>, &mut Params<'_>, &Arc<Connection>) -> Reply,
    ) {
        self.table.insert(name, Method::Connected(method));
    }

    /// Says how another node is asked, where one is.
    pub fn elsewhere(&mut self, elsewhere: Elsewhere<D>) {
        self.elsewhere = Some(elsewhere);
    }

    /// Says how errors are put that are Ethereum's where they come from.
    pub fn phrase(&mut self, phrase: fn(RpcError) -> RpcError) {
        self.phrase = phrase;
    }

    /// An error in the words of this front door.
    pub(super) fn phrased(&self, error: RpcError) -> RpcError {
        (self.phrase)(error)
    }

    /// How another node is asked, where this front door does so.
    pub(super) fn asked_elsewhere(&self, door: &D) -> Option<Elsewhere<D>> {
        self.elsewhere.filter(|elsewhere| (elsewhere.is_on)(door))
    }

    /// Gives a method another name as well.
    pub fn alias(&mut self, name: &'static str, of: &'static str) {
        if let Some(method) = self.table.get(of).copied() {
            self.table.insert(name, method);
        }
    }

    /// The method with this name, and the name as it lives here.
    pub(super) fn get(&self, name: &str) -> Option<(&'static str, Method<D>)> {
        self.table.get_key_value(name).map(|(name, method)| (*name, *method))
    }

    /// The names of all methods, sorted.
    pub fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.table.keys().copied().collect();
        names.sort_unstable();
        names
    }
}

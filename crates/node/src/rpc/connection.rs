use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    sync::{Notify, mpsc},
    task::AbortHandle,
};

use super::RpcError;

/// A connection over which a server can speak by itself.
pub struct Connection {
    outbox: mpsc::Sender<String>,
    overflow: Arc<Notify>,
    subscriptions: Mutex<HashMap<u64, AbortHandle>>,
    next: AtomicU64,
    most: usize,
}

/// The way to the client of a subscription.
#[derive(Clone)]
pub struct Sink {
    outbox: mpsc::Sender<String>,
    overflow: Arc<Notify>,
    /// The subscription's name.
    pub id: u64,
}

/// The client is gone, or too slow: what it was sent piles up.
#[derive(Debug)]
pub struct Gone;

impl Sink {
    /// Sends a message.
    ///
    /// # Errors
    /// The client is gone.
    pub fn send(&self, message: String) -> Result<(), Gone> {
        self.outbox.try_send(message).map_err(|_| {
            self.overflow.notify_one();
            Gone
        })
    }
}

impl Connection {
    /// A connection that sends what comes to `outbox`, with at most so many
    /// subscriptions.
    pub fn new(outbox: mpsc::Sender<String>, most: usize) -> Self {
        // Names that differ between connections make mistakes show. They have to be
        // numbers that JavaScript can hold.
        let next = AtomicU64::new(RandomState::new().build_hasher().finish() >> 16);
        let overflow = Arc::default();
        Self { outbox, overflow, subscriptions: Mutex::default(), next, most }
    }

    /// Begins a subscription: `run` serves it until it ends.
    ///
    /// # Errors
    /// The connection has too many.
    pub fn subscribe<F: Future<Output = ()> + Send + 'static>(
        &self,
        run: impl FnOnce(Sink) -> F,
    ) -> Result<u64, RpcError> {
        let mut subscriptions = self.subscriptions();
        subscriptions.retain(|_, task| !task.is_finished());
        if subscriptions.len() >= self.most {
            let most = self.most;
            return Err(RpcError::limit(format!("more than {most} subscriptions")));
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let task = tokio::spawn(run(self.sink(id)));
        subscriptions.insert(id, task.abort_handle());
        Ok(id)
    }

    fn sink(&self, id: u64) -> Sink {
        Sink { outbox: self.outbox.clone(), overflow: self.overflow.clone(), id }
    }

    /// Waits until the client counts as gone, because it does not read what it is
    /// sent.
    pub async fn overflow(&self) {
        self.overflow.notified().await;
    }

    /// Ends a subscription; whether there was one.
    pub fn unsubscribe(&self, id: u64) -> bool {
        let task = self.subscriptions().remove(&id);
        task.inspect(AbortHandle::abort).is_some()
    }

    fn subscriptions(&self) -> MutexGuard<'_, HashMap<u64, AbortHandle>> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        #[expect(clippy::iter_over_hash_type, reason = "all of them end")]
        for task in self.subscriptions().values() {
            task.abort();
        }
    }
}

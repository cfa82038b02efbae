use std::sync::{Arc, PoisonError, RwLock, Weak};

/// The place of a front door, where another can take it over.
pub struct Door<D>(Arc<RwLock<Arc<D>>>);

/// A [`Door`] that may be gone.
pub struct WeakDoor<D>(Weak<RwLock<Arc<D>>>);

impl<D> Door<D> {
    /// A place for this front door.
    pub fn new(door: Arc<D>) -> Self {
        Self(Arc::new(RwLock::new(door)))
    }

    /// The front door that is there now.
    pub fn get(&self) -> Arc<D> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another there. Who is in already stays with the one before.
    pub fn set(&self, door: Arc<D>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = door;
    }

    /// The same, where it does not keep it.
    pub fn downgrade(&self) -> WeakDoor<D> {
        WeakDoor(Arc::downgrade(&self.0))
    }
}

impl<D> WeakDoor<D> {
    /// The door, if it is still there.
    pub fn upgrade(&self) -> Option<Door<D>> {
        self.0.upgrade().map(Door)
    }
}

impl<D> Clone for Door<D> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<D> From<Arc<D>> for Door<D> {
    fn from(door: Arc<D>) -> Self {
        Self::new(door)
    }
}

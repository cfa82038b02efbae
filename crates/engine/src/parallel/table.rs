use alloc::vec::Vec;
use hashbrown::HashTable;

/// Cells in the order in which they were added, found by the hash of their key. The hash is the
/// caller's, who needs it elsewhere, too.
pub(super) struct Table<T> {
    places: HashTable<u32>,
    cells: Vec<(u64, T)>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { places: HashTable::new(), cells: Vec::new() }
    }
}

impl<T> Table<T> {
    /// Forgets everything, keeping the memory.
    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.cells.clear();
    }

    /// How many cells it has room for.
    pub(super) const fn capacity(&self) -> usize {
        self.cells.capacity()
    }

    /// The cell with this hash for which `is` holds.
    pub(super) fn find(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<&T> {
        self.get(self.place(hash, is)?).map(|(_, cell)| cell)
    }

    /// The same cell, to change.
    pub(super) fn find_mut(&mut self, hash: u64, is: impl Fn(&T) -> bool) -> Option<&mut T> {
        let place = self.place(hash, is)?;
        self.get_mut(place)
    }

    /// The place of the same cell.
    pub(super) fn place(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<u32> {
        let found = |place: &u32| {
            self.cells.get(*place as usize).is_some_and(|(other, cell)| *other == hash && is(cell))
        };
        self.places.find(hash, found).copied()
    }

    pub(super) fn get(&self, place: u32) -> Option<&(u64, T)> {
        self.cells.get(place as usize)
    }

    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.cells.get_mut(place as usize).map(|(_, cell)| cell)
    }

    /// Adds a cell whose key is not there yet, and gives its place.
    pub(super) fn push(&mut self, hash: u64, cell: T) -> u32 {
        // A chunk's effects are fewer by far.
        let place = u32::try_from(self.cells.len()).unwrap_or(u32::MAX);
        self.cells.push((hash, cell));
        let Self { places, cells } = self;
        let hash_of = |place: &u32| cells.get(*place as usize).map_or(0, |(hash, _)| *hash);
        places.insert_unique(hash, place, hash_of);
        place
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(u64, T)> {
        self.cells.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.cells.iter_mut().map(|(_, cell)| cell)
    }
}

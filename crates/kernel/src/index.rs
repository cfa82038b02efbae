use core::hash::{BuildHasher, Hash};
use hashbrown::{DefaultHashBuilder, HashTable};

/// Up to this many cells are compared one by one, which takes less time than
/// hashing a key. Most transactions touch no more.
const SCAN: usize = 8;

/// Finds cells in a list that only grows, by their keys. The keys stay in the
/// cells; the index holds their places.
#[derive(Default)]
pub(crate) struct Index {
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Index {
    /// The place of the cell with this key, for which `is` holds.
    pub(crate) fn find<T>(
        &self,
        cells: &[T],
        key: &impl Hash,
        is: impl Fn(&T) -> bool,
    ) -> Option<u32> {
        if cells.len() <= SCAN {
            return (0u32..).zip(cells).find(|(_, cell)| is(cell)).map(|(place, _)| place);
        }
        let found = |place: &u32| cells.get(*place as usize).is_some_and(&is);
        self.places.find(self.hasher.hash_one(key), found).copied()
    }

    /// Takes in the last cell of the list, whose key is not in the index yet.
    pub(crate) fn add_last<'c, T, K: Hash>(&mut self, cells: &'c [T], key: impl Fn(&'c T) -> K) {
        let from = match cells.len() {
            0..=SCAN => return,
            // All those that were compared one by one until now.
            len if len == SCAN.saturating_add(1) => 0,
            len => len.saturating_sub(1),
        };
        let Self { places, hasher } = self;
        let hash = |cell: Option<&'c T>| cell.map_or(0, |cell| hasher.hash_one(key(cell)));
        for place in from..cells.len() {
            places.insert_unique(hash(cells.get(place)), place as u32, |place| {
                hash(cells.get(*place as usize))
            });
        }
    }

    /// Forgets all cells, keeping the memory.
    pub(crate) fn clear(&mut self) {
        self.places.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn every_cell_is_found_at_its_place() {
        let mut index = Index::default();
        for _ in 0..2 {
            let mut cells: Vec<u64> = Vec::new();
            for key in 0..100u64 {
                let key = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                assert_eq!(index.find(&cells, &key, |cell| *cell == key), None);
                cells.push(key);
                index.add_last(&cells, |cell| *cell);
                for (place, key) in (0u32..).zip(&cells) {
                    assert_eq!(index.find(&cells, key, |cell| cell == key), Some(place));
                }
            }
            index.clear();
        }
    }
}

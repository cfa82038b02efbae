use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// How many marks there are; a power of two.
const MARKS: usize = 1 << 16;

/// When cells were written last, by the hashes of their keys, without the keys: cells whose hashes
/// agree in some bits share a mark. A mark says of no cell that it was written, and where there is
/// none, none was.
///
/// Marks are places in the block, counted on from block to block, so that those of earlier blocks
/// need not be wiped out.
pub(super) struct Marks {
    marks: Vec<Mark>,
    /// The mark of the block's first place.
    first: u32,
    /// How many places the block has.
    places: u32,
}

#[derive(Default)]
struct Mark {
    /// The last place from which a write was shown ahead of its commit.
    shown: AtomicU32,
    /// The last place that committed a write.
    committed: AtomicU32,
}

impl Marks {
    pub(super) fn new() -> Self {
        let marks = (0..MARKS).map(|_| Mark::default()).collect();
        Self { marks, first: 1, places: 0 }
    }

    /// Begins a block with so many places.
    pub(super) fn begin(&mut self, places: u32) {
        self.first = match self.first.checked_add(self.places) {
            Some(first) if first.checked_add(places).is_some() => first,
            _ => {
                self.marks.iter_mut().for_each(|mark| *mark = Mark::default());
                1
            }
        };
        self.places = places;
    }

    fn mark(&self, hash: u64) -> Option<&Mark> {
        // Not the bits by which the shards and their tables are chosen.
        self.marks.get((hash >> 20) as usize % MARKS)
    }

    fn at(&self, place: u32) -> u32 {
        self.first.saturating_add(place)
    }

    /// Whether the block may have written a cell with this hash.
    ///
    /// Who asks ahead of a turn may miss what is being written meanwhile, and not what had been
    /// committed before the frontier was read.
    pub(super) fn is_marked(&self, hash: u64) -> bool {
        self.mark(hash).is_none_or(|mark| {
            mark.committed.load(Relaxed) >= self.first || mark.shown.load(Relaxed) >= self.first
        })
    }

    /// Whether this place or a later one may have committed a write to a cell with this hash.
    pub(super) fn is_committed_since(&self, hash: u64, place: u32) -> bool {
        self.mark(hash).is_none_or(|mark| mark.committed.load(Relaxed) >= self.at(place))
    }

    /// A cell with this hash is shown as the place ahead of its turn wrote it.
    pub(super) fn show(&self, hash: u64, place: u32) {
        if let Some(mark) = self.mark(hash) {
            mark.shown.fetch_max(self.at(place), Relaxed);
        }
    }

    /// A cell with this hash is committed as the place wrote it, all before it being committed.
    pub(super) fn commit(&self, hash: u64, place: u32) {
        if let Some(mark) = self.mark(hash) {
            mark.committed.store(self.at(place), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASHES: [u64; 3] = [0, 1 << 20, 1 << 21];

    #[test]
    fn a_block_sees_its_own_marks_alone() {
        let mut marks = Marks::new();
        // The last ones do not fit behind the others any more.
        for places in [3, 1, u32::MAX / 2, u32::MAX / 2, 7, u32::MAX - 1, 2] {
            marks.begin(places);
            assert!(HASHES.iter().all(|hash| !marks.is_marked(*hash)));
            assert!(HASHES.iter().all(|hash| !marks.is_committed_since(*hash, 0)));
            let last = places - 1;
            marks.show(HASHES[0], last);
            marks.commit(HASHES[1], 0);
            marks.commit(HASHES[1], last);
            assert!(marks.is_marked(HASHES[0]) && !marks.is_committed_since(HASHES[0], 0));
            assert!(marks.is_marked(HASHES[1]) && marks.is_committed_since(HASHES[1], last));
            assert!(!marks.is_committed_since(HASHES[1], last + 1));
            assert!(!marks.is_marked(HASHES[2]));
        }
    }
}

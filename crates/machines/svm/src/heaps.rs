//! Heaps for programs, no larger than asked for.
//!
//! The runtime keeps heaps of the largest size for each thread and fills all of one with
//! zeros after every call. Almost no program asks for more than the least size, an eighth
//! of that, and the filling costs as much as a token transfer. So the heaps that the
//! runtime finds in its pool are small ones, until a transaction asks for more.

use solana_program_runtime::{
    execution_budget::{
        MAX_HEAP_FRAME_BYTES, MAX_INSTRUCTION_STACK_DEPTH_SIMD_0268, MIN_HEAP_FRAME_BYTES,
    },
    solana_sbpf::aligned_memory::AlignedMemory,
    vm::MEMORY_POOL,
};
use std::cell::Cell;

/// After so many transactions in a row that ask for no more than the least, the heaps of
/// a thread become small again.
const CALM: u32 = 1000;

thread_local! {
    /// How many such transactions there were, where heaps are large.
    static LARGE: Cell<Option<u32>> = const { Cell::new(Some(CALM)) };

    /// How many runs of programs are under way, one inside the other.
    static RUNS: Cell<u32> = const { Cell::new(0) };
}

/// A run of programs, until it is dropped.
pub(crate) struct Running(());

impl Running {
    /// Begins a run all of whose programs have heaps of this size. The heaps of the runs
    /// around it are left as large as they are: their programs may still ask for them.
    pub(crate) fn new(bytes: u32) -> Self {
        let runs = RUNS.get();
        if runs == 0 || bytes > MIN_HEAP_FRAME_BYTES {
            fit(bytes);
        }
        RUNS.set(runs.saturating_add(1));
        Self(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNS.set(RUNS.get().saturating_sub(1));
    }
}

/// Makes the heaps of this thread large enough for a transaction, all of whose programs
/// have heaps of this size.
fn fit(bytes: u32) {
    let small = bytes <= MIN_HEAP_FRAME_BYTES;
    match (small, LARGE.get()) {
        (true, None) => {}
        (true, Some(calm)) if calm < CALM => LARGE.set(Some(calm.saturating_add(1))),
        (true, Some(_)) => {
            refill(MIN_HEAP_FRAME_BYTES);
            LARGE.set(None);
        }
        (false, Some(_)) => LARGE.set(Some(0)),
        (false, None) => {
            refill(MAX_HEAP_FRAME_BYTES);
            LARGE.set(Some(0));
        }
    }
}

/// Replaces all heaps in the thread's pool.
fn refill(bytes: u32) {
    MEMORY_POOL.with_borrow_mut(|pool| {
        for _ in 0..MAX_INSTRUCTION_STACK_DEPTH_SIMD_0268 {
            drop(pool.get_heap(MIN_HEAP_FRAME_BYTES));
        }
        for _ in 0..MAX_INSTRUCTION_STACK_DEPTH_SIMD_0268 {
            pool.put_heap(AlignedMemory::zero_filled(bytes as usize));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size() -> usize {
        MEMORY_POOL.with_borrow_mut(|pool| {
            let heap = pool.get_heap(MIN_HEAP_FRAME_BYTES);
            let size = heap.len();
            pool.put_heap(heap);
            size
        })
    }

    #[test]
    fn heaps_are_as_large_as_asked_for() {
        assert_eq!(size(), MAX_HEAP_FRAME_BYTES as usize);
        fit(MIN_HEAP_FRAME_BYTES);
        assert_eq!(size(), MIN_HEAP_FRAME_BYTES as usize);
        fit(MIN_HEAP_FRAME_BYTES + 1024);
        assert_eq!(size(), MAX_HEAP_FRAME_BYTES as usize);
        for _ in 0..=CALM {
            assert_eq!(size(), MAX_HEAP_FRAME_BYTES as usize);
            fit(MIN_HEAP_FRAME_BYTES);
        }
        assert_eq!(size(), MIN_HEAP_FRAME_BYTES as usize);
        let outer = Running::new(MAX_HEAP_FRAME_BYTES);
        for _ in 0..=2 * CALM {
            drop(Running::new(MIN_HEAP_FRAME_BYTES));
        }
        assert_eq!(size(), MAX_HEAP_FRAME_BYTES as usize, "a run is under way");
        drop(outer);
    }
}

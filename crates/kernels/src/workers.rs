//! Threads, and memory that several of them write to at places that do not overlap.

use rayon::prelude::*;
use std::marker::PhantomData;
use std::sync::Arc;

/// A pool of threads for the kernels; clones share it.
#[derive(Clone)]
pub struct Workers {
    pool: Arc<rayon::ThreadPool>,
    threads: usize,
}

impl Workers {
    /// A pool of `threads` threads (at least one).
    ///
    /// # Panics
    /// If the system refuses to start a thread.
    pub fn new(threads: usize) -> Self {
        let threads = threads.max(1);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("kernel-{i}"))
            .build()
            .expect("threads can be started");
        Self {
            pool: Arc::new(pool),
            threads,
        }
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `work` on one of the threads, also where there is one only: parallel loops inside it
    /// would take all threads of the machine elsewhere. Everything it hands out starts at once;
    /// from outside, every call of [`Workers::for_each`] waits for a thread to wake up, tens of
    /// microseconds each time.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.pool.install(work)
    }

    /// Calls `task` with 0..count, in any order, on all threads; returns when all are done.
    pub fn for_each(&self, count: usize, task: impl Fn(usize) + Sync + Send) {
        if count == 1 {
            task(0);
        } else if self.threads == 1 {
            (0..count).for_each(task);
        } else {
            // One task a piece: tasks are made large by who cuts them, and a thread that is done
            // early takes the next.
            self.pool
                .install(|| (0..count).into_par_iter().with_max_len(1).for_each(task));
        }
    }

    /// Calls `task` with 0..count and collects the answers in order.
    pub fn map<T: Send>(&self, count: usize, task: impl Fn(usize) -> T + Sync + Send) -> Vec<T> {
        if self.threads == 1 || count == 1 {
            (0..count).map(task).collect()
        } else {
            self.pool.install(|| {
                (0..count)
                    .into_par_iter()
                    .with_max_len(1)
                    .map(task)
                    .collect()
            })
        }
    }
}

/// A mutable slice that several tasks write to, each to places of its own.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    start: *mut f32,
    len: usize,
    life: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is a `&mut [f32]` handed to several tasks; `slice` and `at` demand that they keep
// apart.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(crate) fn new(data: &'a mut [f32]) -> Self {
        Self {
            start: data.as_mut_ptr(),
            len: data.len(),
            life: PhantomData,
        }
    }

    /// The part `from..from + len`.
    ///
    /// # Safety
    /// No two tasks may hold overlapping parts at the same time.
    ///
    /// # Panics
    /// If it leaves the slice.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn slice(&self, from: usize, len: usize) -> &'a mut [f32] {
        assert!(
            from.checked_add(len).is_some_and(|end| end <= self.len),
            "part leaves the slice"
        );
        // SAFETY: inside the slice; the caller keeps parts apart.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), len) }
    }

    /// Address of value `index`, for kernels that have checked their extents.
    pub(crate) fn at(&self, index: usize) -> *mut f32 {
        debug_assert!(index <= self.len);
        self.start.wrapping_add(index)
    }
}

//! Threads, and memory that several of them write to at places that do not overlap.

use rayon::prelude::*;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

/// A pool of threads for the kernels; clones share it.
///
/// Its threads start with the first work: a program makes one pool for whatever may follow, and
/// much of that needs none.
#[derive(Clone)]
pub struct Workers {
    pool: Arc<OnceLock<rayon::ThreadPool>>,
    threads: usize,
}

impl Workers {
    /// A pool of `threads` threads (at least one).
    pub fn new(threads: usize) -> Self {
        Self {
            pool: Arc::default(),
            threads: threads.max(1),
        }
    }

    /// Starts the threads now, where the first work would otherwise.
    ///
    /// # Errors
    /// A sentence where the system gives no such number of threads. Work that comes without asking
    /// first panics with it.
    pub fn start(&self) -> Result<(), String> {
        if self.pool.get().is_some() {
            return Ok(());
        }
        let threads = self.threads;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("kernel-{i}"))
            .build()
            .map_err(|error| {
                format!("the system gives no {threads} threads ({error}); ask for fewer")
            })?;
        // Where another thread was faster, its pool is as good, and this one ends.
        let _ = self.pool.set(pool);
        Ok(())
    }

    fn pool(&self) -> &rayon::ThreadPool {
        if let Err(sentence) = self.start() {
            panic!("{sentence}");
        }
        self.pool.get().expect("it was started")
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
        self.pool().install(work)
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
            self.pool()
                .install(|| (0..count).into_par_iter().with_max_len(1).for_each(task));
        }
    }

    /// Calls `task` with 0..count and collects the answers in order.
    pub fn map<T: Send>(&self, count: usize, task: impl Fn(usize) -> T + Sync + Send) -> Vec<T> {
        if self.threads == 1 || count == 1 {
            (0..count).map(task).collect()
        } else {
            self.pool().install(|| {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_start_with_the_first_work_and_are_shared_by_clones() {
        let workers = Workers::new(3);
        let clone = workers.clone();
        assert!(workers.pool.get().is_none(), "a thread before any work");
        assert_eq!(workers.run(rayon::current_num_threads), 3);
        let pools = [&workers, &clone].map(|w| std::ptr::from_ref(w.pool()));
        assert_eq!(pools[0], pools[1]);
        // Work of one thread goes to one of them too, and not to whoever asks.
        let alone = Workers::new(0);
        assert_eq!(alone.run(rayon::current_num_threads), 1);
    }

    #[test]
    fn a_pool_that_runs_is_not_started_twice() {
        let workers = Workers::new(2);
        std::thread::scope(|scope| {
            let starts = [0; 4].map(|_| scope.spawn(|| workers.start()));
            for start in starts {
                start.join().unwrap().unwrap();
            }
        });
        let first = std::ptr::from_ref(workers.pool());
        workers.start().unwrap();
        assert_eq!(first, std::ptr::from_ref(workers.pool()));
        assert_eq!(workers.map(5, |i| i * i), [0, 1, 4, 9, 16]);
    }
}

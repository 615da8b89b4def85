//! Three stages of work at once, item after item: the next one is read while one is computed and
//! the one before is finished.

use std::sync::mpsc::{channel, sync_channel};

/// Runs every item through `read` (on a thread of its own), `compute` (on this thread) and `finish`
/// (on another thread); `deliver` takes the results here, in the items' order. At most one item
/// waits before each stage.
///
/// With one thread the stages take turns on this one.
///
/// Ends early when `compute` returns `None`, after finishing what was computed, or with the first
/// error of `deliver`.
pub(crate) fn three_stages<T, A, B, C, E>(
    items: &[T],
    threads: usize,
    read: impl Fn(&T) -> A + Send,
    mut compute: impl FnMut(&T, A) -> Option<B>,
    finish: impl Fn(&T, B) -> C + Send,
    mut deliver: impl FnMut(&T, C) -> Result<(), E>,
) -> Result<(), E>
where
    T: Sync,
    A: Send,
    B: Send,
    C: Send,
{
    if threads == 1 {
        for item in items {
            let Some(computed) = compute(item, read(item)) else {
                break;
            };
            deliver(item, finish(item, computed))?;
        }
        return Ok(());
    }
    std::thread::scope(|scope| {
        // Without room in the channels a stage holds one item ready, no more.
        let (to_compute, from_read) = sync_channel(0);
        let (to_finish, from_compute) = sync_channel::<(&T, B)>(0);
        let (to_deliver, from_finish) = channel();
        scope.spawn(move || {
            for item in items {
                if to_compute.send((item, read(item))).is_err() {
                    break;
                }
            }
        });
        scope.spawn(move || {
            for (item, computed) in from_compute {
                if to_deliver.send((item, finish(item, computed))).is_err() {
                    break;
                }
            }
        });
        for (item, found) in from_read {
            let Some(computed) = compute(item, found) else {
                break;
            };
            if to_finish.send((item, computed)).is_err() {
                // The stage has panicked; leaving the scope passes that on.
                break;
            }
            for (item, finished) in from_finish.try_iter() {
                deliver(item, finished)?;
            }
        }
        drop(to_finish);
        from_finish
            .iter()
            .try_for_each(|(item, finished)| deliver(item, finished))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is delivered, which one thread and several must agree on.
    fn run(items: &[i32], stop_at: i32, fail_at: i32) -> (Vec<i32>, Result<(), i32>) {
        let [alone, together] = [1, 2].map(|threads| run_on(threads, items, stop_at, fail_at));
        assert_eq!(alone, together);
        alone
    }

    fn run_on(
        threads: usize,
        items: &[i32],
        stop_at: i32,
        fail_at: i32,
    ) -> (Vec<i32>, Result<(), i32>) {
        let mut delivered = Vec::new();
        let result = three_stages(
            items,
            threads,
            |&i| i * 10,
            |&i, read| (i != stop_at).then_some(read + 1),
            |_, computed| computed * 2,
            |&i, finished| {
                if i == fail_at {
                    return Err(i);
                }
                delivered.push(finished);
                Ok(())
            },
        );
        (delivered, result)
    }

    #[test]
    fn every_item_passes_all_stages_in_order() {
        let items: Vec<i32> = (0..50).collect();
        let (delivered, result) = run(&items, -1, -1);
        let expected: Vec<i32> = items.iter().map(|i| (i * 10 + 1) * 2).collect();
        assert_eq!((delivered, result), (expected, Ok(())));
        assert_eq!(run(&[], -1, -1), (vec![], Ok(())));
    }

    #[test]
    fn a_stop_finishes_what_was_computed() {
        let (delivered, result) = run(&[0, 1, 2, 3, 4], 3, -1);
        assert_eq!((delivered, result), (vec![2, 22, 42], Ok(())));
    }

    #[test]
    fn an_error_ends_it() {
        let (delivered, result) = run(&[0, 1, 2, 3, 4], -1, 2);
        assert_eq!((delivered, result), (vec![2, 22], Err(2)));
    }
}

//! What was made, as long as it fits: the least lately used goes first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Values of known sizes, within a cap in bytes.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    cap: usize,
    state: Mutex<State<K, V>>,
}

#[derive(Debug)]
struct State<K, V> {
    bytes: usize,
    clock: u64,
    entries: BTreeMap<K, Entry<V>>,
    /// Keys by when they were last used.
    by_use: BTreeMap<u64, K>,
}

#[derive(Debug)]
struct Entry<V> {
    value: Arc<V>,
    bytes: usize,
    used: u64,
}

impl<K: Clone + Ord, V> Cache<K, V> {
    /// An empty cache that holds at most `cap` bytes.
    pub(crate) fn new(cap: usize) -> Self {
        let state = State {
            bytes: 0,
            clock: 0,
            entries: BTreeMap::new(),
            by_use: BTreeMap::new(),
        };
        Self {
            cap,
            state: Mutex::new(state),
        }
    }

    /// The value of `key`, used now.
    pub(crate) fn get(&self, key: &K) -> Option<Arc<V>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State {
            clock,
            entries,
            by_use,
            ..
        } = &mut *state;
        let entry = entries.get_mut(key)?;
        *clock += 1;
        by_use.remove(&entry.used);
        by_use.insert(*clock, key.clone());
        entry.used = *clock;
        Some(Arc::clone(&entry.value))
    }

    /// Keeps a value; one that is larger than the cap is given back and not kept.
    pub(crate) fn put(&self, key: K, value: V, bytes: usize) -> Arc<V> {
        let value = Arc::new(value);
        if bytes > self.cap {
            return value;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.forget(&key);
        while state.bytes + bytes > self.cap {
            let Some((_, oldest)) = state.by_use.pop_first() else {
                break;
            };
            state.forget(&oldest);
        }
        state.clock += 1;
        let used = state.clock;
        state.bytes += bytes;
        state.by_use.insert(used, key.clone());
        let entry = Entry {
            value: Arc::clone(&value),
            bytes,
            used,
        };
        state.entries.insert(key, entry);
        value
    }
}

impl<K: Ord, V> State<K, V> {
    fn forget(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.bytes;
            self.by_use.remove(&entry.used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_lately_used_goes_and_the_cap_holds() {
        let cache = Cache::new(10);
        for key in 0..3 {
            cache.put(key, key * 10, 3);
        }
        assert_eq!(cache.get(&0).as_deref(), Some(&0));
        cache.put(3, 30, 3);
        let there: Vec<bool> = (0..4).map(|key| cache.get(&key).is_some()).collect();
        assert_eq!(there, [true, false, true, true]);
        assert_eq!(*cache.put(4, 40, 11), 40);
        assert!(cache.get(&4).is_none());
        // The same key again counts once.
        for _ in 0..9 {
            cache.put(0, 1, 3);
        }
        let state = cache.state.lock().unwrap();
        assert_eq!((state.bytes, state.entries.len()), (9, 3));
        assert_eq!(state.by_use.len(), 3);
    }
}

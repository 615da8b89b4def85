//! Where arrays lie in one piece of memory when the order in which they come and go is known.

use std::ops::Range;

/// Gives out places, as low as what is held at the moment allows.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// In order of their starts.
    held: Vec<Range<usize>>,
    size: usize,
}

impl Places {
    /// A place of `len` values that does not overlap any that is held.
    pub(crate) fn take(&mut self, len: usize) -> Range<usize> {
        let (mut start, mut index) = (0, 0);
        while index < self.held.len() && self.held[index].start < start + len {
            start = self.held[index].end;
            index += 1;
        }
        let place = start..start + len;
        self.held.insert(index, place.clone());
        self.size = self.size.max(place.end);
        place
    }

    /// Gives a place back.
    pub(crate) fn free(&mut self, place: &Range<usize>) {
        self.held.retain(|held| held != place);
    }

    /// Values that all places together ever reached.
    pub(crate) fn size(&self) -> usize {
        self.size
    }
}

/// The parts of `memory` at `places`, in their order.
///
/// # Panics
/// If two of them overlap.
pub(crate) fn parts<'a>(memory: &'a mut [f32], places: &[Range<usize>]) -> Vec<&'a mut [f32]> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by_key(|&i| places[i].start);
    let mut found: Vec<(usize, &mut [f32])> = Vec::new();
    let (mut rest, mut at) = (memory, 0);
    for i in order {
        let place = &places[i];
        assert!(place.start >= at, "places overlap");
        let (part, after) = rest[place.start - at..].split_at_mut(place.len());
        found.push((i, part));
        (rest, at) = (after, place.end);
    }
    found.sort_by_key(|&(i, _)| i);
    found.into_iter().map(|(_, part)| part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_never_overlap_and_are_used_again() {
        let mut places = Places::default();
        let (a, b, c) = (places.take(10), places.take(4), places.take(6));
        assert_eq!((a.clone(), b.clone(), c.clone()), (0..10, 10..14, 14..20));
        places.free(&b);
        assert_eq!(places.take(5), 20..25, "too long for the gap");
        assert_eq!(places.take(4), 10..14);
        places.free(&a);
        assert_eq!(places.take(3), 0..3);
        assert_eq!(places.take(7), 3..10);
        assert_eq!(places.size(), 25);
    }

    #[test]
    fn parts_come_in_the_order_asked_for() {
        let mut memory: Vec<f32> = (0..10).map(|i| i as f32).collect();
        let found = parts(&mut memory, &[6..8, 0..3, 8..9]);
        assert_eq!(found, [&[6.0, 7.0][..], &[0.0, 1.0, 2.0], &[8.0]]);
    }

    #[test]
    #[should_panic = "places overlap"]
    fn overlapping_parts_are_refused() {
        parts(&mut [0.0; 10], &[3..6, 5..7]);
    }
}

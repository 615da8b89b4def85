//! Where arrays lie in one piece of memory when it is known beforehand how long each of them is
//! held.

use std::cmp::Reverse;
use std::ops::Range;

/// An array that is held for a while.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lived {
    /// Values.
    pub(crate) len: usize,
    /// From when to when, in steps of any clock, the end excluded; an empty life takes no memory.
    pub(crate) life: Range<usize>,
}

impl Lived {
    fn meets(&self, other: &Lived) -> bool {
        self.life.start < other.life.end && other.life.start < self.life.end
    }
}

/// A place for every array, such that no two overlap that are held at the same time, and how many
/// values all together need. Where an array lies is found greedily, as low as possible, in several
/// orders; the best one is kept (the best of all cannot be found in reasonable time).
pub(crate) fn lay_out(arrays: &[Lived]) -> (Vec<Range<usize>>, usize) {
    let size = |index: &usize| arrays[*index].len;
    let start = |index: &usize| arrays[*index].life.start;
    let end = |index: &usize| arrays[*index].life.end;
    let mut orders = [(); 3].map(|()| (0..arrays.len()).collect::<Vec<_>>());
    orders[0].sort_by_key(|index| (Reverse(size(index)), start(index)));
    orders[1].sort_by_key(|index| (start(index), Reverse(size(index))));
    orders[2].sort_by_key(|index| (Reverse(end(index)), Reverse(size(index))));
    orders
        .iter()
        .map(|order| lay_out_in_order(arrays, order))
        .min_by_key(|(_, size)| *size)
        .expect("there are several orders")
}

fn lay_out_in_order(arrays: &[Lived], order: &[usize]) -> (Vec<Range<usize>>, usize) {
    let mut places = vec![0..0; arrays.len()];
    // In order of their starts.
    let mut laid: Vec<usize> = Vec::new();
    let mut size = 0;
    for &index in order {
        let array = &arrays[index];
        if array.life.is_empty() || array.len == 0 {
            continue;
        }
        let mut start = 0;
        for &other in laid.iter().filter(|&&other| array.meets(&arrays[other])) {
            let place: &Range<usize> = &places[other];
            if start + array.len <= place.start {
                break;
            }
            start = start.max(place.end);
        }
        places[index] = start..start + array.len;
        size = size.max(start + array.len);
        let at = laid.partition_point(|&other| places[other].start < start);
        laid.insert(at, index);
    }
    (places, size)
}

/// The parts of `memory` at `places`, in their order.
///
/// # Panics
/// If two of them overlap.
pub(crate) fn parts<'a>(memory: &'a mut [f32], places: &[Range<usize>]) -> Vec<&'a mut [f32]> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by_key(|&i| (places[i].start, places[i].end));
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

/// [`parts`], where it is known how many there are.
pub(crate) fn parts_of<const N: usize>(
    memory: &mut [f32],
    places: [Range<usize>; N],
) -> [&mut [f32]; N] {
    let parts = parts(memory, &places);
    parts.try_into().expect("a part for every place")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Random};

    fn lived(len: usize, life: Range<usize>) -> Lived {
        Lived { len, life }
    }

    #[test]
    fn memory_is_used_again() {
        let arrays = [
            lived(10, 0..2),
            lived(4, 1..3),
            lived(6, 2..4),
            lived(3, 5..6),
        ];
        let (places, size) = lay_out(&arrays);
        assert_eq!(size, 14, "10 and 4 are held together: {places:?}");
        let (places, size) = lay_out(&[lived(5, 3..3), lived(0, 0..9), lived(2, 3..4)]);
        assert_eq!((&places[..], size), (&[0..0, 0..0, 0..2][..], 2));
        assert_eq!(lay_out(&[]), (vec![], 0));
    }

    #[test]
    fn arrays_held_together_never_overlap_and_little_is_wasted() {
        for seed in 0..50 {
            let mut random = Random::new(seed, Purpose::Fields, 0, 0);
            let mut draw = |most: usize| (random.uniform() * most as f64) as usize;
            let arrays: Vec<Lived> = (0..40)
                .map(|_| {
                    let start = draw(30);
                    lived(1 + draw(100), start..start + 1 + draw(8))
                })
                .collect();
            let (places, size) = lay_out(&arrays);
            for (i, a) in arrays.iter().enumerate() {
                assert_eq!(places[i].len(), a.len);
                assert!(places[i].end <= size);
                for (j, b) in arrays.iter().enumerate().take(i) {
                    let apart =
                        places[i].end <= places[j].start || places[j].end <= places[i].start;
                    assert!(apart || !a.meets(b), "{i} and {j} of seed {seed}");
                }
            }
            let at_once = |time| {
                let held = arrays.iter().filter(|a| a.life.contains(&time));
                held.map(|a| a.len).sum::<usize>()
            };
            let least = (0..40).map(at_once).max().unwrap();
            // No order is perfect; a third more would be a mistake.
            assert!(size * 3 <= least * 4, "{size} for {least}, seed {seed}");
        }
    }

    #[test]
    fn parts_come_in_the_order_asked_for() {
        let mut memory: Vec<f32> = (0..10).map(|i| i as f32).collect();
        let found = parts(&mut memory, &[6..8, 0..3, 0..0, 8..9]);
        assert_eq!(found, [&[6.0, 7.0][..], &[0.0, 1.0, 2.0], &[], &[8.0]]);
    }

    #[test]
    #[should_panic = "places overlap"]
    fn overlapping_parts_are_refused() {
        parts(&mut [0.0; 10], &[3..6, 5..7]);
    }
}

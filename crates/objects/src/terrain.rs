//! A surface with a rim around it: its distinct tops, and flooding from them.
//!
//! The rim and everything outside a mask lie below every value, so that a neighbour is one addition
//! away and no bounds are checked. `h_maxima`, `watershed` and the splitting methods share this.

use crate::bits::Run;
use crate::labels::Connectivity;
use stainfree_image::Image;
use stainfree_kernels::{Loops, vectorised};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What lies outside: no value is lower.
const OUTSIDE: f32 = f32::NEG_INFINITY;

/// The label of what lies outside while a terrain is flooded.
const WALL: u32 = u32::MAX;

/// A surface of `height` x `width` values, stored with a rim of one pixel.
#[derive(Clone, Debug)]
pub(crate) struct Terrain {
    height: usize,
    width: usize,
    values: Vec<f32>,
}

/// Maps f32 to u32 so that the order of numbers is kept (NaN sorts beyond infinity).
pub(crate) fn order(v: f32) -> u32 {
    // -0.0 and 0.0 are one level.
    let bits = (v + 0.0).to_bits();
    if bits >> 31 == 1 {
        !bits
    } else {
        bits | 1 << 31
    }
}

impl Terrain {
    /// A terrain on which nothing is inside yet.
    pub(crate) fn outside(height: usize, width: usize) -> Self {
        Self {
            height,
            width,
            values: vec![OUTSIDE; (height + 2) * (width + 2)],
        }
    }

    /// The values of `surface` where `inside` says so.
    pub(crate) fn new(surface: &Image<f32>, inside: impl Fn(usize) -> bool) -> Self {
        let (height, width) = surface.size();
        let mut terrain = Self::outside(height, width);
        for y in 0..height {
            let start = terrain.place(y, 0);
            let places = &mut terrain.values[start..start + width];
            for (x, (place, &v)) in places.iter_mut().zip(surface.row(y)).enumerate() {
                *place = if inside(y * width + x) { v } else { OUTSIDE };
            }
        }
        terrain
    }

    fn stride(&self) -> usize {
        self.width + 2
    }

    fn place(&self, y: usize, x: usize) -> usize {
        (y + 1) * self.stride() + x + 1
    }

    /// The values of `run` in row `y`, for writing.
    pub(crate) fn run_mut(&mut self, y: usize, run: Run) -> &mut [f32] {
        let start = self.place(y, run.from as usize);
        &mut self.values[start..start + run.len()]
    }

    /// The value at a place that [`Terrain::tops`] gave.
    pub(crate) fn at(&self, place: usize) -> f32 {
        self.values[place]
    }

    /// Distances from a pixel to its N neighbours: a number known when this is compiled.
    fn offsets<const N: usize>(&self, connectivity: Connectivity) -> [isize; N] {
        let stride = self.stride() as isize;
        let neighbours = connectivity.offsets();
        std::array::from_fn(|i| neighbours[i].0 * stride + neighbours[i].1)
    }

    /// The maxima that rise high enough: one list of places for each connected top, in raster
    /// order.
    ///
    /// A pixel is on a top where nothing higher can be reached without descending to `lower` of its
    /// value (which must not grow faster than the value). With `lower` = value - h these are the
    /// h-maxima: where the reconstruction of `f - h` under `f` stays at `f - h`.
    ///
    /// Maxima are visited from the highest down, and each explores what lies above its limit until
    /// it meets something higher, or ground explored before: from there something at least as high
    /// was reached. No pixel is explored twice, so the time is linear.
    pub(crate) fn tops(
        &self,
        lower: impl Fn(f32) -> f32,
        connectivity: Connectivity,
    ) -> Vec<Vec<usize>> {
        match connectivity {
            Connectivity::Four => self.tops_among(lower, self.offsets::<4>(connectivity)),
            Connectivity::Eight => self.tops_among(lower, self.offsets::<8>(connectivity)),
        }
    }

    fn tops_among<const N: usize>(
        &self,
        lower: impl Fn(f32) -> f32,
        offsets: [isize; N],
    ) -> Vec<Vec<usize>> {
        let f = &self.values;
        let maxima = self.maxima(&lower, offsets);
        if maxima.len() == 1 {
            return vec![maxima];
        }
        let mut by_height = maxima;
        by_height.sort_unstable_by(|&a, &b| f[b].total_cmp(&f[a]).then(a.cmp(&b)));
        // Which visit explored a pixel, from 1; what every visit found: its height, whether it
        // stays.
        let mut explored = vec![0u32; f.len()];
        let mut visits: Vec<(f32, bool)> = vec![(f32::INFINITY, false)];
        let mut stack = Vec::new();
        let mut kept: Vec<usize> = Vec::new();
        for &p in &by_height {
            let (here, limit) = (f[p], lower(f[p]));
            // What an earlier visit says about this one: it began at least as high.
            let told = |visit: u32, visits: &[(f32, bool)]| {
                let (height, stays) = visits[visit as usize];
                height <= here && stays
            };
            let stays = if explored[p] != 0 {
                told(explored[p], &visits)
            } else if !(here > limit) {
                true
            } else {
                let number = visits.len() as u32;
                explored[p] = number;
                stack.clear();
                stack.push(p);
                let mut stays = true;
                'visit: while let Some(q) = stack.pop() {
                    for &o in &offsets {
                        let r = q.wrapping_add_signed(o);
                        let v = f[r];
                        if !(v > limit) || explored[r] == number {
                            continue;
                        }
                        if v > here {
                            stays = false;
                            break 'visit;
                        }
                        if explored[r] != 0 {
                            stays = told(explored[r], &visits);
                            break 'visit;
                        }
                        explored[r] = number;
                        stack.push(r);
                    }
                }
                visits.push((here, stays));
                stays
            };
            if stays {
                kept.push(p);
            }
        }
        self.connected(kept, &offsets)
    }

    /// Pixels without a higher neighbour, or from which none can be reached above `lower`.
    fn maxima<const N: usize>(
        &self,
        lower: &impl Fn(f32) -> f32,
        offsets: [isize; N],
    ) -> Vec<usize> {
        if self.height == 0 || self.width == 0 {
            return Vec::new();
        }
        // From the first pixel to the last, the rim between rows too: long loops are fast ones.
        let start = self.place(0, 0);
        let mut flags = vec![false; self.place(self.height - 1, self.width) - start];
        vectorised(Maxima {
            values: &self.values,
            start,
            offsets,
            lower,
            flags: &mut flags,
        });
        let mut found = Vec::new();
        for (i, few) in flags.chunks(8).enumerate() {
            if few.contains(&true) {
                let places = (0..few.len()).filter(|&k| few[k]);
                found.extend(places.map(|k| start + 8 * i + k));
            }
        }
        found
    }

    /// Connected groups of `places`, in raster order of their first one.
    fn connected(&self, mut places: Vec<usize>, offsets: &[isize]) -> Vec<Vec<usize>> {
        places.sort_unstable();
        let mut grouped = vec![false; places.len()];
        let mut groups = Vec::new();
        for first in 0..places.len() {
            if std::mem::replace(&mut grouped[first], true) {
                continue;
            }
            let mut group = vec![places[first]];
            let mut at = 0;
            while at < group.len() {
                for &o in offsets {
                    let near = group[at].wrapping_add_signed(o);
                    let place = places.binary_search(&near);
                    if place.is_ok_and(|i| !std::mem::replace(&mut grouped[i], true)) {
                        group.push(near);
                    }
                }
                at += 1;
            }
            groups.push(group);
        }
        groups
    }

    /// The image of a padded array.
    pub(crate) fn unpadded<T: Copy>(&self, padded: &[T]) -> Image<T> {
        let mut values = Vec::with_capacity(self.height * self.width);
        for y in 0..self.height {
            let start = self.place(y, 0);
            values.extend_from_slice(&padded[start..start + self.width]);
        }
        Image::new(self.height, self.width, values)
    }

    /// `places` as an image that is true there.
    pub(crate) fn marked(&self, places: &[Vec<usize>]) -> Image<bool> {
        let mut flags = vec![false; self.values.len()];
        places.iter().flatten().for_each(|&p| flags[p] = true);
        self.unpadded(&flags)
    }

    /// Labels 1, 2, .. grown from `seeds` over everything inside, highest first; 0 outside.
    pub(crate) fn flooded(&self, seeds: &[Vec<usize>], connectivity: Connectivity) -> Image<u32> {
        let numbered = seeds.iter().zip(1u32..);
        let all = numbered.flat_map(|(places, l)| places.iter().map(move |&p| (p, l)));
        self.flooded_from(all.collect(), connectivity)
    }

    /// The same where a part without a seed becomes a zone of its own: every place inside gets a
    /// label.
    pub(crate) fn zones(
        &self,
        mut seeds: Vec<Vec<usize>>,
        connectivity: Connectivity,
    ) -> Image<u32> {
        let stride = self.stride() as isize;
        let neighbours = connectivity.offsets();
        let mut seen = vec![false; self.values.len()];
        let mut part = Vec::new();
        let mut explore = |first: usize| -> bool {
            if self.values[first] == OUTSIDE || std::mem::replace(&mut seen[first], true) {
                return false;
            }
            part.push(first);
            while let Some(p) = part.pop() {
                for &(dy, dx) in neighbours {
                    let q = p.wrapping_add_signed(dy * stride + dx);
                    if self.values[q] != OUTSIDE && !std::mem::replace(&mut seen[q], true) {
                        part.push(q);
                    }
                }
            }
            true
        };
        seeds.iter().flatten().for_each(|&p| {
            explore(p);
        });
        let unseeded: Vec<usize> = (0..self.values.len()).filter(|&p| explore(p)).collect();
        seeds.extend(unseeded.into_iter().map(|p| vec![p]));
        self.flooded(&seeds, connectivity)
    }

    /// The same from an image of seeds.
    pub(crate) fn flooded_from_image(
        &self,
        seeds: &Image<u32>,
        connectivity: Connectivity,
    ) -> Image<u32> {
        let labelled = seeds.data().iter().enumerate().filter(|s| *s.1 != 0);
        let place = |(i, &l): (usize, &u32)| (self.place(i / self.width, i % self.width), l);
        self.flooded_from(labelled.map(place).collect(), connectivity)
    }

    /// Pixels are flooded in the order of their height, ties in the order in which they were
    /// reached.
    fn flooded_from(&self, seeds: Vec<(usize, u32)>, connectivity: Connectivity) -> Image<u32> {
        match connectivity {
            Connectivity::Four => self.flooded_through(seeds, self.offsets::<4>(connectivity)),
            Connectivity::Eight => self.flooded_through(seeds, self.offsets::<8>(connectivity)),
        }
    }

    fn flooded_through<const N: usize>(
        &self,
        mut seeds: Vec<(usize, u32)>,
        offsets: [isize; N],
    ) -> Image<u32> {
        let f = &self.values;
        let mut labels: Vec<u32> = f
            .iter()
            .map(|&v| if v == OUTSIDE { WALL } else { 0 })
            .collect();
        seeds.sort_unstable();
        seeds.retain(|&(p, _)| labels[p] != WALL);
        for &(p, l) in &seeds {
            labels[p] = l;
        }
        // A pixel without open neighbours has nothing to hand on.
        let has_work = |labels: &[u32], p: usize| {
            // Which neighbour is open is as good as random: looking at all is faster than
            // branching.
            let open = |any: bool, &o: &isize| any | (labels[p.wrapping_add_signed(o)] == 0);
            offsets.iter().fold(false, open)
        };
        let mut queue = Queue::new(f);
        for &(p, _) in seeds.iter().filter(|s| has_work(&labels, s.0)) {
            queue.push(f[p], p);
        }
        while let Some(p) = queue.pop() {
            let label = labels[p];
            for &o in &offsets {
                let q = p.wrapping_add_signed(o);
                if labels[q] != 0 {
                    continue;
                }
                labels[q] = label;
                if has_work(&labels, q) {
                    queue.push(f[q], q);
                }
            }
        }
        for l in &mut labels {
            if *l == WALL {
                *l = 0;
            }
        }
        self.unpadded(&labels)
    }
}

/// Which places of a surface are on no slope up: those without a higher neighbour, or from which
/// none can be reached above `lower`.
struct Maxima<'a, L, const N: usize> {
    values: &'a [f32],
    /// The place that the first flag stands for.
    start: usize,
    offsets: [isize; N],
    lower: &'a L,
    flags: &'a mut [bool],
}

impl<L: Fn(f32) -> f32, const N: usize> Loops for Maxima<'_, L, N> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        const BLOCK: usize = 16;
        let n = self.flags.len();
        match n.checked_sub(BLOCK) {
            // The last block may overlap the one before: it says the same.
            Some(last) => (0..n)
                .step_by(BLOCK)
                .for_each(|i| self.block::<BLOCK>(i.min(last))),
            None => (0..n).for_each(|i| self.block::<1>(i)),
        }
    }
}

impl<L: Fn(f32) -> f32, const N: usize> Maxima<'_, L, N> {
    #[inline(always)]
    fn block<const B: usize>(&mut self, i: usize) {
        let at = self.start + i;
        let here = &self.values[at..at + B];
        let mut higher = [0u32; B];
        for o in self.offsets {
            let from = at.wrapping_add_signed(o);
            let near = &self.values[from..from + B];
            for k in 0..B {
                higher[k] |= u32::from(near[k] > here[k]);
            }
        }
        let flags = &mut self.flags[i..i + B];
        for k in 0..B {
            let v = here[k];
            flags[k] = (v != OUTSIDE) & ((higher[k] == 0) | !(v > (self.lower)(v)));
        }
    }
}

/// How many heights are inside, the lowest and the highest of them.
struct Span<'a>(&'a [f32]);

impl Loops for Span<'_> {
    type Output = (usize, f32, f32);

    #[inline(always)]
    fn run(self) -> (usize, f32, f32) {
        const LANES: usize = 16;
        let mut n = [0u32; LANES];
        let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
        let mut take = |k: usize, v: f32| {
            let inside = v != OUTSIDE;
            n[k] += u32::from(inside);
            low[k] = if inside && v < low[k] { v } else { low[k] };
            high[k] = if v > high[k] { v } else { high[k] };
        };
        let (chunks, rest) = self.0.as_chunks::<LANES>();
        for chunk in chunks {
            for k in 0..LANES {
                take(k, chunk[k]);
            }
        }
        rest.iter().for_each(|&v| take(0, v));
        (
            n.iter().map(|&n| n as usize).sum(),
            low.into_iter().fold(f32::INFINITY, f32::min),
            high.into_iter().fold(f32::NEG_INFINITY, f32::max),
        )
    }
}

/// Places waiting to be flooded: the highest first, among equals the one that came first.
///
/// Places wait unordered in buckets of height; only the highest bucket in use is kept in order. So
/// nearly every step costs the same, whatever waits, and the order is exact.
struct Queue {
    /// Height of the first bucket, and buckets per unit of height.
    top: f32,
    scale: f32,
    /// The last arrival of every bucket; arrivals of a bucket are chained by `Arrival::before`.
    buckets: Vec<u32>,
    arrivals: Vec<Arrival>,
    /// The bucket in order, by height and number of arrival.
    current: usize,
    ordered: BinaryHeap<Reverse<u64>>,
}

struct Arrival {
    height: f32,
    place: u32,
    before: u32,
}

/// No arrival.
const NONE: u32 = u32::MAX;

impl Queue {
    /// A queue for the places inside `heights`.
    fn new(heights: &[f32]) -> Self {
        let (n, low, high) = vectorised(Span(heights));
        // A few places wait in each: finer buckets would cost more to walk over than they save.
        let count = (n / 4).clamp(1, 1 << 16);
        let scale = (count - 1) as f32 / (high - low);
        Self {
            top: high,
            scale: if scale.is_finite() { scale } else { 0.0 },
            buckets: vec![NONE; count],
            arrivals: Vec::new(),
            current: 0,
            ordered: BinaryHeap::new(),
        }
    }

    fn push(&mut self, height: f32, place: usize) {
        let number = self.arrivals.len() as u32;
        // Higher values never have a later bucket, so buckets keep the order.
        let bucket = ((self.top - height) * self.scale) as usize;
        let bucket = bucket.min(self.buckets.len() - 1);
        let mut before = NONE;
        if bucket <= self.current {
            self.ordered.push(key(height, number));
        } else {
            before = std::mem::replace(&mut self.buckets[bucket], number);
        }
        self.arrivals.push(Arrival {
            height,
            place: place as u32,
            before,
        });
    }

    fn pop(&mut self) -> Option<usize> {
        loop {
            if let Some(Reverse(first)) = self.ordered.pop() {
                return Some(self.arrivals[first as u32 as usize].place as usize);
            }
            let rest = self.buckets.get(self.current + 1..)?;
            self.current += 1 + rest.iter().position(|&last| last != NONE)?;
            let mut at = self.buckets[self.current];
            let last = &self.arrivals[at as usize];
            if last.before == NONE {
                // Alone in its bucket: there is nothing to put in order.
                return Some(last.place as usize);
            }
            while at != NONE {
                let arrival = &self.arrivals[at as usize];
                self.ordered.push(key(arrival.height, at));
                at = arrival.before;
            }
        }
    }
}

/// Height and number of arrival as one number that is smaller for what comes first.
fn key(height: f32, number: u32) -> Reverse<u64> {
    Reverse(u64::from(!order(height)) << 32 | u64::from(number))
}

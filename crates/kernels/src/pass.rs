//! The engine of passes over activations: how their work is cut, and in which order they sum.
//!
//! A pass visits the rows of every *plane* (one block of channels of one image) and does little
//! with each value: statistics, scaling, sums, pooling, gates. What one row takes is a
//! [`RowKernel`]; everything about threads and order is here.
//!
//! # How work is cut
//! Each plane is cut into chunks of rows that cost about as much as [`CHUNK`] pixels ([`Cut`]). The
//! cut depends on the shape alone, not on the number of threads: a layer of 16 channels, which is
//! one plane an image, still keeps many cores busy where images are large.
//!
//! # In which order sums are made
//! A row is summed along x in f32. Rows are kept apart, one vector for each sum, and added in f64
//! when all of them are there, from top to bottom; that costs 1 / width of the pass. So a sum is
//! the one that a single loop over the plane makes, whatever [`CHUNK`] is and whichever thread took
//! a row.

use crate::blocked::{Blocked, LANES, RowsMut, slot};
use crate::isa::Isa;
use crate::simd::{Simd, SimdKernel};
use crate::workers::{Shared, Workers};
use std::ops::Range;

/// Pixels (vectors of 16 channels) a task takes at least, where there are so many: handing out a
/// task costs about as much as 100. The weight gradient of `depthwise` adds up within a chunk
/// before it adds chunks, so this number is part of what trained weights are to the last bit.
const CHUNK: usize = 2048;

/// The rows of some planes, divided into chunks.
pub(crate) struct Cut {
    planes: usize,
    rows: Range<usize>,
    /// Chunks of every plane.
    chunks: usize,
}

impl Cut {
    /// The rows `rows` of `planes` planes, where a row costs as much as `cost` pixels that are read
    /// and written.
    pub(crate) fn new(planes: usize, rows: Range<usize>, cost: usize) -> Self {
        let chunks = (rows.len() * cost / CHUNK).clamp(1, rows.len().max(1));
        Self {
            planes,
            rows,
            chunks,
        }
    }

    fn tasks(&self) -> usize {
        self.planes * self.chunks
    }

    /// The plane of a task; tasks go plane by plane.
    pub(crate) fn plane_of(&self, task: usize) -> usize {
        task / self.chunks
    }

    fn rows_of(&self, task: usize) -> Range<usize> {
        let at = |i: usize| self.rows.start + i * self.rows.len() / self.chunks;
        let chunk = task % self.chunks;
        at(chunk)..at(chunk + 1)
    }

    /// Calls `work` with the plane and the rows of every chunk; no two have a row of a plane in
    /// common.
    pub(crate) fn for_each(
        &self,
        workers: &Workers,
        work: impl Fn(usize, Range<usize>) + Sync + Send,
    ) {
        workers.for_each(self.tasks(), |task| {
            work(self.plane_of(task), self.rows_of(task));
        });
    }

    /// The same, with the answers in the order of the tasks.
    pub(crate) fn map<T: Send>(
        &self,
        workers: &Workers,
        work: impl Fn(usize, Range<usize>) -> T + Sync + Send,
    ) -> Vec<T> {
        workers.map(self.tasks(), |task| {
            work(self.plane_of(task), self.rows_of(task))
        })
    }
}

/// What a pass does with a row, and the `SUMS` vectors of sums that it makes of it.
pub(crate) trait RowKernel<const SUMS: usize>: Sync {
    /// Takes row `y` of `plane`; `out` is that row of the array that is written, and of no length
    /// where none is. Implementations are `#[inline(always)]`.
    fn row<S: Simd>(&self, s: S, plane: usize, y: usize, out: &mut [f32]) -> [S::V; SUMS];
}

/// Sums of one plane, lane by lane.
pub(crate) type PlaneSums<const SUMS: usize> = [[f64; LANES]; SUMS];

/// A pass over some rows of some planes.
pub(crate) struct Pass<'a> {
    isa: Isa,
    workers: &'a Workers,
    cut: Cut,
}

impl<'a> Pass<'a> {
    /// Arguments as in [`Cut::new`].
    pub(crate) fn new(
        isa: Isa,
        workers: &'a Workers,
        planes: usize,
        rows: Range<usize>,
        cost: usize,
    ) -> Self {
        Self {
            isa,
            workers,
            cut: Cut::new(planes, rows, cost),
        }
    }

    /// A pass over whole arrays of `shape`.
    pub(crate) fn whole(isa: Isa, workers: &'a Workers, shape: &Blocked) -> Self {
        Self::new(isa, workers, shape.planes(), 0..shape.height, shape.width)
    }

    /// Runs `kernel` on every row of `out`.
    ///
    /// # Panics
    /// If `out` does not hold whole rows of all planes.
    pub(crate) fn run(&self, out: RowsMut, kernel: &impl RowKernel<0>) {
        self.each(Some(out), kernel, &mut []);
    }

    /// Runs `kernel` on every row and adds its sums to those of the planes in `sums`.
    ///
    /// # Panics
    /// If `out` does not hold whole rows of all planes, or `sums` is not one for each plane.
    pub(crate) fn add_sums<const SUMS: usize>(
        &self,
        out: Option<RowsMut>,
        kernel: &impl RowKernel<SUMS>,
        sums: &mut [PlaneSums<SUMS>],
    ) {
        let Cut { planes, rows, .. } = &self.cut;
        assert_eq!(sums.len(), *planes, "sums have another size");
        let plane = rows.len() * SUMS * LANES;
        // Not added by the task that made them: the order would be that of the cut.
        let mut of_rows = vec![0.0; planes * plane];
        self.each(out, kernel, &mut of_rows);
        let added = self.workers.map(*planes, |at| {
            self.isa.run(AddRowSums {
                rows: &of_rows[at * plane..][..plane],
                to: sums[at],
            })
        });
        sums.copy_from_slice(&added);
    }

    /// [`Pass::add_sums`] from zero.
    pub(crate) fn sums<const SUMS: usize>(
        &self,
        out: Option<RowsMut>,
        kernel: &impl RowKernel<SUMS>,
    ) -> Vec<PlaneSums<SUMS>> {
        let mut sums = vec![[[0.0; LANES]; SUMS]; self.cut.planes];
        self.add_sums(out, kernel, &mut sums);
        sums
    }

    /// Runs `kernel` on every row; its sums go to `sums`, `[plane][row][SUMS][16]`.
    fn each<const SUMS: usize>(
        &self,
        out: Option<RowsMut>,
        kernel: &impl RowKernel<SUMS>,
        sums: &mut [f32],
    ) {
        let (planes, all) = (self.cut.planes, self.cut.rows.clone());
        let kept = out.as_ref().map_or(all.len().max(1), |out| out.kept);
        let out = out.map_or(&mut [][..], |out| out.data);
        let len = out.len() / (planes * kept).max(1);
        assert!(
            out.len() == planes * kept * len && all.len() <= kept,
            "rows that are not held"
        );
        let (out, sums) = (Shared::new(out), Shared::new(sums));
        self.cut.for_each(self.workers, |plane, rows| {
            let first = (plane * all.len() + rows.start - all.start) * SUMS * LANES;
            self.isa.run(Chunk {
                kernel,
                plane,
                out,
                kept,
                len,
                // SAFETY: every row's sums have a place of their own, and belong to one chunk.
                sums: unsafe { sums.slice(first, rows.len() * SUMS * LANES) },
                rows,
            });
        });
    }
}

/// Some rows of one plane.
struct Chunk<'a, 'b, K, const SUMS: usize> {
    kernel: &'a K,
    plane: usize,
    rows: Range<usize>,
    /// The whole array that is written, of which `kept` rows of `len` values are held.
    out: Shared<'b>,
    kept: usize,
    len: usize,
    sums: &'a mut [f32],
}

impl<K: RowKernel<SUMS>, const SUMS: usize> SimdKernel for Chunk<'_, '_, K, SUMS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (i, y) in self.rows.enumerate() {
            let place = (self.plane * self.kept + slot(y, self.kept)) * self.len;
            // SAFETY: no more rows are visited than are held, so each has a place of its own, and
            // it belongs to one chunk.
            let out = unsafe { self.out.slice(place, self.len) };
            let sums = self.kernel.row(s, self.plane, y, out);
            for (n, sum) in sums.into_iter().enumerate() {
                let to = &mut self.sums[(i * SUMS + n) * LANES..][..LANES];
                // SAFETY: 16 values.
                unsafe { s.store(to.as_mut_ptr(), sum) };
            }
        }
    }
}

/// Adds the sums of rows to those of a plane, in order.
struct AddRowSums<'a, const SUMS: usize> {
    rows: &'a [f32],
    to: PlaneSums<SUMS>,
}

impl<const SUMS: usize> SimdKernel for AddRowSums<'_, SUMS> {
    type Output = PlaneSums<SUMS>;

    #[inline(always)]
    fn run<S: Simd>(mut self, _: S) -> PlaneSums<SUMS> {
        for row in self.rows.chunks_exact(SUMS * LANES) {
            for (sums, lanes) in self.to.iter_mut().zip(row.chunks_exact(LANES)) {
                for (sum, &lane) in sums.iter_mut().zip(lanes) {
                    *sum += f64::from(lane);
                }
            }
        }
        self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocked::Rows;

    /// Doubles a row, and sums it and its squares.
    struct Double<'a> {
        x: Rows<'a>,
        row: usize,
    }

    impl RowKernel<2> for Double<'_> {
        #[inline(always)]
        fn row<S: Simd>(&self, s: S, plane: usize, y: usize, out: &mut [f32]) -> [S::V; 2] {
            let mut sums = [s.zero(); 2];
            let line = self.x.line(plane, y, self.row);
            for (x, out) in line.chunks_exact(LANES).zip(out.chunks_exact_mut(LANES)) {
                // SAFETY: 16 values each.
                unsafe {
                    let x = s.load(x.as_ptr());
                    s.store(out.as_mut_ptr(), s.add(x, x));
                    sums = [s.add(sums[0], x), s.mul_add(x, x, sums[1])];
                }
            }
            sums
        }
    }

    #[test]
    fn every_row_belongs_to_one_chunk_whatever_a_row_costs() {
        for (rows, cost) in [
            (0..0, 9),
            (3..4, 1),
            (0..7, 600),
            (5..70, 100),
            (0..3, 9999),
        ] {
            let cut = Cut::new(2, rows.clone(), cost);
            let found = cut.map(&Workers::new(1), |plane, rows| (plane, rows));
            for plane in 0..2 {
                let mine = found.iter().filter(|chunk| chunk.0 == plane);
                let visited: Vec<usize> = mine.flat_map(|chunk| chunk.1.clone()).collect();
                assert_eq!(visited, rows.clone().collect::<Vec<_>>(), "{rows:?} {cost}");
            }
        }
        assert_eq!(
            Cut::new(1, 0..256, 256).tasks(),
            32,
            "one plane of 256 x 256"
        );
    }

    /// The sums are those of one loop over the plane to the last bit: what weights were trained
    /// with, and what any other cut would give.
    #[test]
    fn sums_are_those_of_one_loop_for_any_cut_and_number_of_threads() {
        let (planes, height, row) = (3, 23, 5 * LANES);
        let x: Vec<f32> = (0..planes * height * row)
            .map(|i| ((i * 7919) % 2003) as f32 / 7.0 - 140.0)
            .collect();
        let data = &x[..];
        let kernel = Double {
            x: Rows { data, kept: height },
            row,
        };
        for isa in Isa::available() {
            let mut expected = vec![[[1.0; LANES]; 2]; planes];
            for (at, line) in x.chunks_exact(row).enumerate() {
                let mut sums = [[0.0f32; LANES]; 2];
                for pixel in line.chunks_exact(LANES) {
                    for (lane, &x) in pixel.iter().enumerate() {
                        sums[0][lane] += x;
                        // Fused but where there is no instruction for it.
                        sums[1][lane] = match isa.name() {
                            "portable" => x * x + sums[1][lane],
                            _ => x.mul_add(x, sums[1][lane]),
                        };
                    }
                }
                let plane = expected[at / height].as_flattened_mut();
                for (total, &sum) in plane.iter_mut().zip(sums.as_flattened()) {
                    *total += f64::from(sum);
                }
            }
            // One chunk a plane, several, and one a row.
            for (cost, threads) in [(1, 1), (300, 2), (700, 3), (CHUNK, 5)] {
                let workers = Workers::new(threads);
                let mut out = vec![f32::NAN; x.len()];
                let to = RowsMut {
                    data: &mut out,
                    kept: height,
                };
                let mut sums = vec![[[1.0; LANES]; 2]; planes];
                let pass = Pass::new(isa, &workers, planes, 0..height, cost);
                pass.add_sums(Some(to), &kernel, &mut sums);
                assert!(sums == expected, "{} {cost} {threads}", isa.name());
                assert!(out.iter().zip(&x).all(|(out, x)| *out == 2.0 * x));
            }
        }
    }
}

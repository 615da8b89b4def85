//! Objects of a label image as runs of pixels, so that everything after costs time by object, not
//! by image.

use stainfree_image::Image;

/// Pixels `from..to` of row `y`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) y: u32,
    pub(crate) from: u32,
    pub(crate) to: u32,
}

impl Run {
    pub(crate) fn len(self) -> usize {
        (self.to - self.from) as usize
    }

    /// The run's pixels in an image.
    pub(crate) fn of<T>(self, image: &Image<T>) -> &[T] {
        &image.row(self.y as usize)[self.from as usize..self.to as usize]
    }
}

/// Rows `top..bottom` and columns `left..right`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) top: u32,
    pub(crate) left: u32,
    pub(crate) bottom: u32,
    pub(crate) right: u32,
}

impl Bounds {
    pub(crate) fn height(self) -> usize {
        (self.bottom - self.top) as usize
    }

    pub(crate) fn width(self) -> usize {
        (self.right - self.left) as usize
    }
}

/// The objects of a label image, in ascending order of their labels; labels may have gaps.
pub(crate) struct Regions {
    /// `(height, width)` of the image.
    pub(crate) size: (usize, usize),
    labels: Vec<u32>,
    /// Object `i` has `runs[start[i]..start[i + 1]]`, in raster order.
    start: Vec<usize>,
    runs: Vec<Run>,
}

impl Regions {
    /// Every non-zero label of the image is an object, in one piece or in several.
    pub(crate) fn of(image: &Image<u32>) -> Self {
        let mut found: Vec<(u32, Run)> = Vec::new();
        for y in 0..image.height() {
            runs_of_row(image.row(y), y as u32, &mut found);
        }
        Self::sorted(image.size(), &found)
    }

    /// Sorts runs by label; the order of rows within a label stays (a counting sort).
    fn sorted(size: (usize, usize), found: &[(u32, Run)]) -> Self {
        let mut labels: Vec<u32> = found.iter().map(|&(label, _)| label).collect();
        labels.sort_unstable();
        labels.dedup();
        let index = Index::of(&labels, size.0 * size.1);
        let mut start = vec![0usize; labels.len() + 1];
        for &(label, _) in found {
            start[index.at(label) + 1] += 1;
        }
        for i in 1..start.len() {
            start[i] += start[i - 1];
        }
        let mut next = start.clone();
        let mut runs = vec![
            Run {
                y: 0,
                from: 0,
                to: 0
            };
            found.len()
        ];
        for &(label, run) in found {
            let place = &mut next[index.at(label)];
            runs[*place] = run;
            *place += 1;
        }
        Self {
            size,
            labels,
            start,
            runs,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    /// Labels, ascending.
    pub(crate) fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The object with this label.
    pub(crate) fn find(&self, label: u32) -> Option<usize> {
        self.labels.binary_search(&label).ok()
    }

    /// Runs of object `i` in raster order; never empty.
    pub(crate) fn runs(&self, i: usize) -> &[Run] {
        &self.runs[self.start[i]..self.start[i + 1]]
    }

    /// Number of pixels of object `i`.
    pub(crate) fn area(&self, i: usize) -> usize {
        self.runs(i).iter().map(|run| run.len()).sum()
    }

    /// The smallest rectangle around object `i`.
    pub(crate) fn bounds(&self, i: usize) -> Bounds {
        let runs = self.runs(i);
        let mut bounds = Bounds {
            top: runs[0].y,
            left: u32::MAX,
            bottom: runs[runs.len() - 1].y + 1,
            right: 0,
        };
        for run in runs {
            bounds.left = bounds.left.min(run.from);
            bounds.right = bounds.right.max(run.to);
        }
        bounds
    }
}

/// Appends the runs of equal non-zero labels of one row.
fn runs_of_row(row: &[u32], y: u32, found: &mut Vec<(u32, Run)>) {
    /// Background is skipped in strides of this many pixels.
    const STRIDE: usize = 16;
    let mut x = 0;
    while x < row.len() {
        if row[x] == 0 {
            while x + STRIDE <= row.len() && row[x..x + STRIDE].iter().fold(0, |a, b| a | b) == 0 {
                x += STRIDE;
            }
            while x < row.len() && row[x] == 0 {
                x += 1;
            }
            continue;
        }
        let from = x;
        while x < row.len() && row[x] == row[from] {
            x += 1;
        }
        let run = Run {
            y,
            from: from as u32,
            to: x as u32,
        };
        found.push((row[from], run));
    }
}

/// Finds a label's place among the sorted labels.
enum Index<'a> {
    /// A table by label, where labels are about as many as pixels at most.
    Table(Vec<u32>),
    /// A search, where they are anything up to 2^32.
    Search(&'a [u32]),
}

impl<'a> Index<'a> {
    fn of(labels: &'a [u32], pixels: usize) -> Self {
        let largest = labels.last().map_or(0, |&label| label as usize);
        if largest > pixels {
            return Self::Search(labels);
        }
        let mut table = vec![0; largest + 1];
        for (i, &label) in labels.iter().enumerate() {
            table[label as usize] = i as u32;
        }
        Self::Table(table)
    }

    fn at(&self, label: u32) -> usize {
        match self {
            Self::Table(table) => table[label as usize] as usize,
            // Every label that is asked for is among them.
            Self::Search(labels) => labels.partition_point(|&other| other < label),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_sorted_by_label_and_keep_their_rows() {
        let image = Image::new(
            2,
            6,
            vec![
                4_000_000_000,
                0,
                7,
                7,
                0,
                2, //
                0,
                7,
                7,
                2,
                2,
                0,
            ],
        );
        let regions = Regions::of(&image);
        assert_eq!(regions.labels(), [2, 7, 4_000_000_000]);
        let run = |y, from, to| Run { y, from, to };
        assert_eq!(regions.runs(0), [run(0, 5, 6), run(1, 3, 5)]);
        assert_eq!(regions.runs(1), [run(0, 2, 4), run(1, 1, 3)]);
        assert_eq!((regions.area(1), regions.find(7)), (4, Some(1)));
        let bounds = regions.bounds(0);
        assert_eq!((bounds.height(), bounds.width()), (2, 3));
    }
}

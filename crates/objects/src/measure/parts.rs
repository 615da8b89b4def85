//! The parts of a cell: the object itself (a nucleus), a ring around it, the whole cell, its
//! cytoplasm.

use stainfree_image::Image;

use super::regions::{Regions, Run};

/// A part of a cell on which something is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The labelled object, usually a nucleus. Its columns have no prefix.
    Object,
    /// Pixels around it, outside all objects, nearer to it than to any other.
    Ring,
    /// The cell that it lies in.
    Cell,
    /// That cell without any of the objects.
    Cytoplasm,
}

impl Part {
    /// In the order of the table's columns.
    pub(super) const ALL: [Part; 4] = [Part::Object, Part::Ring, Part::Cell, Part::Cytoplasm];

    /// What the names of its columns begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Part::Object => "",
            Part::Ring => "ring_",
            Part::Cell => "cell_",
            Part::Cytoplasm => "cytoplasm_",
        }
    }

    /// Whether its shape means something; rings and cytoplasm have holes by definition.
    pub(super) fn is_object(self) -> bool {
        matches!(self, Part::Object | Part::Cell)
    }
}

/// The regions of one part, and which of them belongs to which object.
pub(super) struct Layer {
    pub(super) regions: Regions,
    /// For each object its region, where it has one.
    region: Vec<Option<usize>>,
}

impl Layer {
    /// The objects themselves.
    pub(super) fn own(regions: Regions) -> Self {
        Self {
            region: (0..regions.len()).map(Some).collect(),
            regions,
        }
    }

    /// Regions that bear the labels `label_of` of the objects they belong to, 0 = none.
    pub(super) fn linked(regions: Regions, label_of: impl Iterator<Item = u32>) -> Self {
        Self {
            region: label_of.map(|label| regions.find(label)).collect(),
            regions,
        }
    }

    /// The region of object `i`.
    pub(super) fn region_of(&self, i: usize) -> Option<usize> {
        self.region[i]
    }

    /// The region of every object.
    pub(super) fn region_of_each(&self) -> &[Option<usize>] {
        &self.region
    }

    /// The mean of an objects' quantity over the objects of each region; NaN where it has none.
    pub(super) fn mean_by_region(&self, of_objects: &[f64]) -> Vec<f64> {
        let mut sums = vec![(0.0, 0.0); self.regions.len()];
        for (region, value) in self.region.iter().zip(of_objects) {
            if let Some(region) = *region {
                sums[region].0 += value;
                sums[region].1 += 1.0;
            }
        }
        sums.into_iter().map(|(sum, n)| sum / n).collect()
    }
}

/// For each object the label of the cell that covers more than half of it, 0 where none does.
pub(super) fn cell_of_each(objects: &Regions, cells: &Image<u32>) -> Vec<u32> {
    let mut counts: Vec<(u32, usize)> = Vec::new();
    (0..objects.len())
        .map(|i| {
            counts.clear();
            for piece in objects
                .runs(i)
                .iter()
                .flat_map(|run| run.of(cells).chunk_by(|a, b| a == b))
            {
                match counts.iter_mut().find(|(label, _)| *label == piece[0]) {
                    Some((_, count)) => *count += piece.len(),
                    None => counts.push((piece[0], piece.len())),
                }
            }
            let area = objects.area(i);
            let most = counts.iter().find(|&&(_, count)| 2 * count > area);
            most.map_or(0, |&(label, _)| label)
        })
        .collect()
}

/// Cells without the objects.
pub(super) fn cytoplasm(cells: &Image<u32>, objects: &Image<u32>) -> Image<u32> {
    let pairs = cells.data().iter().zip(objects.data());
    let data = pairs
        .map(|(&cell, &object)| if object == 0 { cell } else { 0 })
        .collect();
    Image::new(cells.height(), cells.width(), data)
}

/// Rings around objects, and everything that is near an object.
pub(super) struct Rings {
    /// Pixels of the rings, with the label of their object.
    pub(super) labels: Image<u32>,
    /// Pixels within the outer edge of the rings, objects included.
    pub(super) near: Image<bool>,
}

/// Two objects are equally near.
const TIE: u32 = u32::MAX;

/// Rings of `width` pixels that begin `gap` pixels off the objects.
///
/// A background pixel whose nearest object pixel is farther than `gap` and at most `gap + width`
/// away (Euclidean, centre to centre) belongs to that object's ring; one that is equally near to
/// two objects belongs to neither, so that the rings depend neither on the numbers of the labels
/// nor on the direction of work.
pub(super) fn rings(objects: &Regions, gap: f64, width: f64) -> Rings {
    let (height, columns) = objects.size;
    let reach = gap + width;
    let radius = reach as usize;
    let (inner, outer) = (gap * gap, reach * reach);
    let mut nearest = Nearest::in_columns(objects, radius);
    let mut labels = Image::filled(height, columns, 0u32);
    let mut near = Image::filled(height, columns, false);
    for y in 0..height {
        if !nearest.row(y) {
            continue;
        }
        let (ring, close) = (labels.row_mut(y), near.row_mut(y));
        for x in 0..columns {
            let squared = f64::from(nearest.squared[x]);
            close[x] = squared <= outer;
            let owner = nearest.owner[x];
            if squared > inner && squared <= outer && squared > 0.0 && owner != TIE {
                ring[x] = objects.labels()[owner as usize];
            }
        }
    }
    Rings { labels, near }
}

/// The nearest object of each pixel within a radius: first along columns, then along rows.
struct Nearest {
    radius: usize,
    /// Distance to the nearest object pixel of the same column, more than `radius` where there is
    /// none.
    along: Image<u16>,
    /// Its object.
    object: Image<u32>,
    /// Of the row that was computed last.
    squared: Vec<i32>,
    owner: Vec<u32>,
    squares: Vec<i32>,
}

/// Farther than any radius.
const FAR: i32 = i32::MAX / 2;

impl Nearest {
    fn in_columns(objects: &Regions, radius: usize) -> Self {
        let (height, width) = objects.size;
        let radius = radius.min(height + width).min(usize::from(u16::MAX) / 2);
        let beyond = radius as u16 + 1;
        let mut along = Image::filled(height, width, beyond);
        let mut object = Image::filled(height, width, 0u32);
        for i in 0..objects.len() {
            for run in objects.runs(i) {
                let Run { y, from, to } = *run;
                let (y, from, to) = (y as usize, from as usize, to as usize);
                along.row_mut(y)[from..to].fill(0);
                object.row_mut(y)[from..to].fill(i as u32);
            }
        }
        let spread = |along: &mut Image<u16>, object: &mut Image<u32>, from: usize, to: usize| {
            for x in 0..width {
                let (far, owner) = (along.get(from, x) + 1, object.get(from, x));
                let here = along.get_mut(to, x);
                if far < *here {
                    *here = far;
                    *object.get_mut(to, x) = owner;
                } else if far == *here && far <= radius as u16 && owner != object.get(to, x) {
                    *object.get_mut(to, x) = TIE;
                }
            }
        };
        for y in 1..height {
            spread(&mut along, &mut object, y - 1, y);
        }
        for y in (1..height).rev() {
            spread(&mut along, &mut object, y, y - 1);
        }
        Self {
            radius,
            along,
            object,
            squared: vec![FAR; width],
            owner: vec![TIE; width],
            squares: vec![FAR; width],
        }
    }

    /// Computes one row; `false` where nothing is within the radius.
    fn row(&mut self, y: usize) -> bool {
        let beyond = self.radius as u16 + 1;
        let along = self.along.row(y);
        if along.iter().all(|&d| d >= beyond) {
            return false;
        }
        for (square, &d) in self.squares.iter_mut().zip(along) {
            *square = if d < beyond { i32::from(d).pow(2) } else { FAR };
        }
        let object = self.object.row(y);
        self.squared.copy_from_slice(&self.squares);
        self.owner.copy_from_slice(object);
        let width = object.len();
        for step in 1..=self.radius.min(width.saturating_sub(1)) {
            let cost = (step as i32).pow(2);
            let rest = width - step;
            take_nearer(
                &mut self.squared[step..],
                &mut self.owner[step..],
                &self.squares[..rest],
                &object[..rest],
                cost,
            );
            take_nearer(
                &mut self.squared[..rest],
                &mut self.owner[..rest],
                &self.squares[step..],
                &object[step..],
                cost,
            );
        }
        true
    }
}

/// Lets candidates at `squares + cost` win where they are nearer, and tie where they are as near.
fn take_nearer(squared: &mut [i32], owner: &mut [u32], squares: &[i32], object: &[u32], cost: i32) {
    let best = squared.iter_mut().zip(owner.iter_mut());
    for ((best, owner), (&square, &object)) in best.zip(squares.iter().zip(object)) {
        let candidate = square + cost;
        let tied = if *owner == object { object } else { TIE };
        let chosen = if candidate == *best { tied } else { *owner };
        *owner = if candidate < *best { object } else { chosen };
        *best = candidate.min(*best);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_takes_the_nearest_object_and_leaves_ties_out() {
        let objects = Image::new(1, 8, vec![5, 0, 0, 0, 0, 0, 9, 0]);
        let found = rings(&Regions::of(&objects), 0.0, 2.0);
        assert_eq!(found.labels.data(), [0, 5, 5, 0, 9, 9, 0, 9]);
        let found = rings(&Regions::of(&objects), 1.0, 2.0);
        assert_eq!(found.labels.data(), [0, 0, 5, 0, 9, 0, 0, 0]);
        assert!(found.near.data().iter().all(|&near| near));
    }

    #[test]
    fn rings_equal_a_search_over_all_pixels() {
        let objects = Image::from_fn(23, 31, |y, x| match (y * 7 + x * 13) % 41 {
            0 => 3,
            1 if y > 8 => 8,
            _ => 0u32,
        });
        let (gap, width) = (1.2, 2.9);
        let found = rings(&Regions::of(&objects), gap, width);
        let expected = Image::from_fn(23, 31, |y, x| {
            let mut best = (usize::MAX, 0);
            for (v, u) in (0..23).flat_map(|v| (0..31).map(move |u| (v, u))) {
                let label = objects.get(v, u);
                let d = y.abs_diff(v).pow(2) + x.abs_diff(u).pow(2);
                if label == 0 || d > best.0 {
                    continue;
                }
                best = (
                    d,
                    if d == best.0 && label != best.1 {
                        TIE
                    } else {
                        label
                    },
                );
            }
            let inside = (best.0 as f64).sqrt() > gap && (best.0 as f64).sqrt() <= gap + width;
            if inside && best.1 != TIE { best.1 } else { 0 }
        });
        assert_eq!(found.labels, expected);
    }
}

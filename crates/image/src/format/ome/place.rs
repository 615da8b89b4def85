//! Which page of which file is which plane, as `TiffData` elements say.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Axes, Dimension};
use super::document::Block;

/// Planes that were placed: the number of a plane (channels fastest, then planes, then times), its
/// file, its page.
pub(crate) type Placed<F> = BTreeMap<usize, (F, usize)>;

/// The file and page of every plane that `blocks` name. `pages` says how many pages a file has;
/// where a block leaves open how many planes it means, they end with the file, or where another
/// block begins.
///
/// # Errors
/// A sentence about what cannot be obeyed.
pub(crate) fn place<F: Copy + Ord>(
    axes: &Axes,
    blocks: &[(F, &Block)],
    pages: impl Fn(F) -> usize,
) -> Result<Placed<F>, String> {
    let sizes = [axes.channels, axes.planes, axes.times];
    let total = axes.count().unwrap_or(0);
    let mut placing = Placing {
        found: Placed::new(),
        used: BTreeSet::new(),
        // Blocks that say the same over and over are damage.
        left: total.saturating_mul(4).saturating_add(blocks.len()),
    };
    let mut open = Vec::new();
    for &(file, block) in blocks {
        let [c, z, t] = block.first;
        if c >= sizes[0] || z >= sizes[1] || t >= sizes[2] {
            return Err(format!(
                "its OME metadata names the plane C {c}, Z {z}, T {t}, which its sizes do not have"
            ));
        }
        let start = rank(block.first, sizes, axes.order);
        let rest = total.saturating_sub(start);
        // The element's own rule: without a count, one plane where a page is named, else all.
        let count = block.count.unwrap_or(1);
        if block.count.is_none() && block.page.is_none() {
            open.push((file, start));
        }
        if count > rest {
            return Err(format!(
                "its OME metadata places {count} planes from C {c}, Z {z}, T {t} on, where {rest} \
                 are left"
            ));
        }
        let page = block.page.unwrap_or(0);
        for k in 0..count {
            let plane = plane_of_rank(start + k, sizes, axes.order);
            placing.put(plane, (file, page.saturating_add(k)))?;
        }
    }
    for (file, start) in open {
        for k in 1..pages(file).min(total.saturating_sub(start)) {
            let plane = plane_of_rank(start + k, sizes, axes.order);
            if placing.found.contains_key(&plane) {
                break;
            }
            placing.put(plane, (file, k))?;
        }
    }
    Ok(placing.found)
}

struct Placing<F> {
    found: Placed<F>,
    used: BTreeSet<(F, usize)>,
    left: usize,
}

impl<F: Copy + Ord> Placing<F> {
    fn put(&mut self, plane: usize, place: (F, usize)) -> Result<(), String> {
        self.left = self
            .left
            .checked_sub(1)
            .ok_or("its OME metadata names its planes over and over")?;
        match self.found.insert(plane, place) {
            Some(other) if other != place => {
                Err("its OME metadata names several pages for one plane".into())
            }
            None if !self.used.insert(place) => {
                Err("its OME metadata names one page for several planes".into())
            }
            _ => Ok(()),
        }
    }
}

fn index_of(dimension: Dimension) -> usize {
    match dimension {
        Dimension::C => 0,
        Dimension::Z => 1,
        Dimension::T => 2,
    }
}

/// The number of a plane in the order of the dimensions; within the sizes.
fn rank(at: [usize; 3], sizes: [usize; 3], order: [Dimension; 3]) -> usize {
    let (mut rank, mut stride) = (0, 1);
    for d in order.map(index_of) {
        rank += at[d] * stride;
        stride *= sizes[d];
    }
    rank
}

/// The number of a plane with channels fastest, from its number in the order of the dimensions.
fn plane_of_rank(rank: usize, sizes: [usize; 3], order: [Dimension; 3]) -> usize {
    let (mut at, mut rest) = ([0; 3], rank);
    for d in order.map(index_of) {
        at[d] = rest % sizes[d].max(1);
        rest /= sizes[d].max(1);
    }
    at[0] + sizes[0] * (at[1] + sizes[1] * at[2])
}

//! Bounding boxes of the objects of a label image.

use stainfree_image::Image;

/// A rectangle of pixels; `bottom` and `right` lie just outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) top: usize,
    pub(crate) left: usize,
    pub(crate) bottom: usize,
    pub(crate) right: usize,
}

impl Extent {
    const EMPTY: Self = Self {
        top: usize::MAX,
        left: usize::MAX,
        bottom: 0,
        right: 0,
    };

    /// `by` pixels more on every side, within an image of `height` x `width`.
    pub(crate) fn grown(&self, by: usize, height: usize, width: usize) -> Self {
        Self {
            top: self.top.saturating_sub(by),
            left: self.left.saturating_sub(by),
            bottom: (self.bottom + by).min(height),
            right: (self.right + by).min(width),
        }
    }

    /// What lies in both; empty ranges where nothing does.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        Self {
            top: self.top.max(other.top),
            left: self.left.max(other.left),
            bottom: self.bottom.min(other.bottom),
            right: self.right.min(other.right),
        }
    }
}

/// The bounding box of each of `labels` (sorted, all in the image).
pub(crate) fn extents(image: &Image<u32>, labels: &[u32]) -> Vec<Extent> {
    let mut found = vec![Extent::EMPTY; labels.len()];
    let index = Index::new(labels);
    for y in 0..image.height() {
        let row = image.row(y);
        let mut left = 0;
        while left < row.len() {
            let label = row[left];
            let right = left + row[left..].iter().take_while(|&&l| l == label).count();
            if let Some(i) = index.find(label) {
                let extent = &mut found[i];
                extent.top = extent.top.min(y);
                extent.left = extent.left.min(left);
                extent.bottom = y + 1;
                extent.right = extent.right.max(right);
            }
            left = right;
        }
    }
    found
}

/// Finds the place of a label in a sorted list: by table where labels are small, by search
/// otherwise.
pub(crate) struct Index<'a> {
    labels: &'a [u32],
    table: Vec<u32>,
}

impl<'a> Index<'a> {
    /// Labels are mostly numbered through; a table of a few entries a label costs less than
    /// searches.
    const ENTRIES_PER_LABEL: usize = 16;

    pub(crate) fn new(labels: &'a [u32]) -> Self {
        let largest = labels.last().map_or(0, |&label| label as usize);
        let mut table = Vec::new();
        if largest <= Self::ENTRIES_PER_LABEL * labels.len() {
            table.resize(largest + 1, u32::MAX);
            for (i, &label) in labels.iter().enumerate() {
                table[label as usize] = i as u32;
            }
        }
        Self { labels, table }
    }

    pub(crate) fn find(&self, label: u32) -> Option<usize> {
        if self.table.is_empty() {
            return self.labels.binary_search(&label).ok();
        }
        let place = *self.table.get(label as usize)?;
        (place != u32::MAX).then_some(place as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawing::labels;

    #[test]
    fn boxes_hold_their_objects_whatever_the_labels() {
        let small = labels(&["..2", "142", ".1."]);
        let expected =
            [(1, 0, 3, 2), (0, 2, 2, 3), (1, 1, 2, 2)].map(|(top, left, bottom, right)| Extent {
                top,
                left,
                bottom,
                right,
            });
        assert_eq!(extents(&small, &[1, 2, 4]), expected);
        let large = small.map(|&label| label * 1_000_000);
        assert_eq!(
            extents(&large, &[1_000_000, 2_000_000, 4_000_000]),
            expected
        );
    }
}

//! What a person changed in a label image: nuclei split, merged, added, removed, redrawn, reshaped.
//!
//! A nucleus before and a nucleus after belong together if more than half of one of them lies in
//! the other. The connected groups of that relation are the changes: one to one is *unchanged* (the
//! same pixels) or *reshaped*; one to several *split*; several to one *merged*; several to several
//! *redrawn* (such as a cut that was moved across the middle of a nucleus); one alone was *removed*
//! or
//! *added*. Numbers of labels mean nothing, so an editor may renumber them.

use serde::{Deserialize, Serialize};
use stainfree_image::Image;

use crate::ScoreError;
use crate::clusters::components;
use crate::extent::Index;
use crate::overlap::Overlap;

/// What happened to a group of nuclei.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// One nucleus became several.
    Split,
    /// Several nuclei became one.
    Merged,
    /// Several nuclei became several others.
    Redrawn,
    /// A nucleus that was not there.
    Added,
    /// A nucleus that is no longer there.
    Removed,
    /// The same nucleus with other pixels.
    Reshaped,
    /// The same pixels.
    Unchanged,
}

impl Change {
    /// All of them, in the order they are shown.
    pub const ALL: [Change; 7] = [
        Change::Split,
        Change::Merged,
        Change::Redrawn,
        Change::Added,
        Change::Removed,
        Change::Reshaped,
        Change::Unchanged,
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Change::Split => "split",
            Change::Merged => "merged",
            Change::Redrawn => "redrawn",
            Change::Added => "added",
            Change::Removed => "removed",
            Change::Reshaped => "reshaped",
            Change::Unchanged => "unchanged",
        }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edit {
    /// What happened.
    pub change: Change,
    /// Labels before, ascending.
    pub before: Vec<u32>,
    /// Labels after, ascending.
    pub after: Vec<u32>,
    /// Centroid `(y, x)` in pixels of all that it concerns.
    pub position: (f64, f64),
    /// Pixels before.
    pub area_before: u64,
    /// Pixels after.
    pub area_after: u64,
    /// Intersection over union of the pixels before and after.
    pub iou: f64,
}

/// Lists the changes from `before` to `after`, in the order of the smallest label before, additions
/// last.
///
/// # Errors
/// [`ScoreError::Size`] if the images differ in size.
pub fn edits(before: &Image<u32>, after: &Image<u32>) -> Result<Vec<Edit>, ScoreError> {
    let overlap = Overlap::new(before, after, None)?;
    let (old, new) = (&overlap.truth, &overlap.prediction);
    let related: Vec<(usize, usize)> = overlap
        .shared
        .iter()
        .filter(|s| 2 * s.pixels > old.area[s.truth] || 2 * s.pixels > new.area[s.prediction])
        .map(|s| (s.truth, old.len() + s.prediction))
        .collect();
    let (group_of, count) = components(old.len() + new.len(), &related);
    let mut groups = vec![Members::default(); count];
    for (node, &group) in group_of.iter().enumerate() {
        match node.checked_sub(old.len()) {
            None => groups[group].before.push(node),
            Some(node) => groups[group].after.push(node),
        }
    }
    for s in &overlap.shared {
        let group = group_of[s.truth];
        if group == group_of[old.len() + s.prediction] {
            groups[group].shared += s.pixels;
        }
    }
    let sums = [
        place_sums(before, &old.labels),
        place_sums(after, &new.labels),
    ];
    let edit = |members: &Members| {
        let area = |list: &[usize], areas: &[u64]| list.iter().map(|&i| areas[i]).sum::<u64>();
        let area_before = area(&members.before, &old.area);
        let area_after = area(&members.after, &new.area);
        let all = members.before.iter().map(|&i| sums[0][i]);
        let all = all.chain(members.after.iter().map(|&i| sums[1][i]));
        let (y, x) = all.fold((0, 0), |(y, x), place| (y + place.0, x + place.1));
        let pixels = (area_before + area_after) as f64;
        Edit {
            change: members.change(area_before, area_after),
            before: members.before.iter().map(|&i| old.labels[i]).collect(),
            after: members.after.iter().map(|&i| new.labels[i]).collect(),
            position: (y as f64 / pixels, x as f64 / pixels),
            area_before,
            area_after,
            iou: members.shared as f64 / (area_before + area_after - members.shared) as f64,
        }
    };
    Ok(groups.iter().map(edit).collect())
}

/// Nuclei that belong together, as indices, and the pixels they share.
#[derive(Clone, Debug, Default)]
struct Members {
    before: Vec<usize>,
    after: Vec<usize>,
    shared: u64,
}

impl Members {
    fn change(&self, area_before: u64, area_after: u64) -> Change {
        match (self.before.len(), self.after.len()) {
            (_, 0) => Change::Removed,
            (0, _) => Change::Added,
            (1, 1) if self.shared == area_before && self.shared == area_after => Change::Unchanged,
            (1, 1) => Change::Reshaped,
            (1, _) => Change::Split,
            (_, 1) => Change::Merged,
            _ => Change::Redrawn,
        }
    }
}

/// Sums of y and x over the pixels of each object.
fn place_sums(image: &Image<u32>, labels: &[u32]) -> Vec<(u64, u64)> {
    let index = Index::new(labels);
    let mut sums = vec![(0, 0); labels.len()];
    for y in 0..image.height() {
        for (x, &label) in image.row(y).iter().enumerate() {
            if label != 0
                && let Some(object) = index.find(label)
            {
                sums[object].0 += y as u64;
                sums[object].1 += x as u64;
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawing::labels;

    fn changes(before: &[&str], after: &[&str]) -> Vec<(Change, Vec<u32>, Vec<u32>)> {
        edits(&labels(before), &labels(after))
            .unwrap()
            .into_iter()
            .map(|edit| (edit.change, edit.before, edit.after))
            .collect()
    }

    #[test]
    fn every_kind_of_change_is_told_apart() {
        let before = ["1111..22.33..4444..5......", "1111..22.33..4444..5......"];
        let after = ["7788..22222..444..........", "7788..22222..444.......999"];
        assert_eq!(
            changes(&before, &after),
            [
                (Change::Split, vec![1], vec![7, 8]),
                (Change::Merged, vec![2, 3], vec![2]),
                (Change::Reshaped, vec![4], vec![4]),
                (Change::Removed, vec![5], vec![]),
                (Change::Added, vec![], vec![9]),
            ]
        );
    }

    #[test]
    fn numbers_of_labels_mean_nothing_and_a_moved_cut_is_no_split() {
        assert_eq!(
            changes(&["11..22"], &["70..30"])[1].0,
            Change::Reshaped,
            "one pixel less"
        );
        assert_eq!(changes(&["11.22"], &["55.44"])[0].0, Change::Unchanged);
        // The cut moves a little: two nuclei with other pixels.
        let moved = changes(&["111111222222"], &["111111122222"]);
        assert!(
            moved.iter().all(|edit| edit.0 == Change::Reshaped),
            "{moved:?}"
        );
        // It moves across the middle of a nucleus: both belong to both.
        let far = changes(&["111111222222"], &["111111111122"]);
        assert_eq!(far, [(Change::Redrawn, vec![1, 2], vec![1, 2])]);
    }

    #[test]
    fn a_change_knows_where_it_is_and_how_much() {
        let edit = &edits(
            &labels(&["....", ".11.", "...."]),
            &labels(&["....", ".111", "...."]),
        )
        .unwrap()[0];
        assert_eq!(
            (edit.area_before, edit.area_after, edit.iou),
            (2, 3, 2.0 / 3.0)
        );
        assert_eq!(edit.position, (1.0, (1.0 + 2.0 + 1.0 + 2.0 + 3.0) / 5.0));
    }
}

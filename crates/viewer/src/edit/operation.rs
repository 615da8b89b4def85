//! What a person can do to labels, and what it does to the pixels.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use stainfree_image::Image;

use super::shapes::{Point, brush, line};
use crate::ViewError;

/// Most points of a line or stroke.
const MOST_POINTS: usize = 20_000;
/// Largest radius of a brush, pixels.
const LARGEST_RADIUS: f32 = 500.0;
/// Most letters of a comment or reason.
const MOST_LETTERS: usize = 2_000;
/// Gap between two objects that a merge closes, pixels to each side.
const GAP: usize = 2;

/// One edit, as it is sent and as the log keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Operation {
    /// The object is right as it is.
    Accept { label: u32 },
    /// The object is none: its pixels become background.
    Reject { label: u32 },
    /// Cuts an object along a line; the largest part keeps the number.
    Split { label: u32, line: Vec<Point> },
    /// Makes several objects the first of them.
    Merge { labels: Vec<u32> },
    /// Adds background under a brush to an object, or to a new one without a number.
    Paint {
        label: Option<u32>,
        radius: f32,
        line: Vec<Point>,
    },
    /// Takes pixels under a brush away, of one object or of all.
    Erase {
        label: Option<u32>,
        radius: f32,
        line: Vec<Point>,
    },
    /// Makes an object these pixels, but for those of others: a new one without a number. Rows
    /// are `[y, first x, x after the last]`.
    Outline {
        label: Option<u32>,
        runs: Vec<[u32; 3]>,
    },
    /// There is no nucleus at this place, `[y, x]` in pixels, whatever a model says.
    Nothing { at: [f64; 2] },
    /// Whether the nucleus is mitotic; `None` takes back what was said.
    Mitotic { label: u32, is: Option<bool> },
    /// Whether the field is not to be used, and why.
    Unusable { is: bool, reason: String },
    /// A remark on the field or an object.
    Comment { label: Option<u32>, text: String },
    /// Takes back the last edit of the field that is in force.
    Undo,
    /// Makes the last one that was taken back again.
    Redo,
}

/// Pixels that changed: index, label before, label after; in the order of their indices.
pub(super) type Patch = Vec<(usize, u32, u32)>;

impl Operation {
    /// Refuses sizes and numbers that no person draws.
    ///
    /// # Errors
    /// [`ViewError::Misuse`].
    pub(super) fn check(&self) -> Result<(), ViewError> {
        let misuse = |what: String| Err(ViewError::Misuse(what));
        let (points, radius, text) = match self {
            Self::Split { line, .. } => (&line[..], 1.0, ""),
            Self::Paint { line, radius, .. } | Self::Erase { line, radius, .. } => {
                (&line[..], *radius, "")
            }
            Self::Unusable { reason: text, .. } | Self::Comment { text, .. } => {
                (&[][..], 1.0, &text[..])
            }
            Self::Merge { labels } if !(2..=100).contains(&labels.len()) => {
                return misuse("a merge takes two to 100 objects".to_owned());
            }
            // Beyond 2^20 pixels no image has any.
            Self::Nothing { at } if !at.iter().all(|v| (-1.0..=1_048_576.0).contains(v)) => {
                return misuse("this place is in no image".to_owned());
            }
            Self::Outline { runs, .. } if runs.is_empty() || runs.len() > MOST_POINTS => {
                return misuse(format!("an outline has one to {MOST_POINTS} rows"));
            }
            _ => (&[][..], 1.0, ""),
        };
        if points.len() > MOST_POINTS || text.chars().count() > MOST_LETTERS {
            return misuse(format!(
                "lines have at most {MOST_POINTS} points and texts {MOST_LETTERS} letters"
            ));
        }
        if !(radius > 0.0 && radius <= LARGEST_RADIUS) {
            return misuse(format!(
                "the radius of a brush is above 0 and at most {LARGEST_RADIUS} pixels"
            ));
        }
        // Beyond 2^20 pixels no image has any; the brush walks along every one of them.
        let near = |p: &Point| p.iter().all(|v| v.is_finite() && v.abs() <= 1_048_576.0);
        if !points.iter().all(near) {
            return misuse("a line leaves every image".to_owned());
        }
        let length: f32 = points
            .windows(2)
            .map(|p| (p[1][0] - p[0][0]).hypot(p[1][1] - p[0][1]))
            .sum();
        if length > 200_000.0 {
            return misuse("a line is longer than 200,000 pixels".to_owned());
        }
        Ok(())
    }

    /// Whether it changes pixels.
    pub(super) fn draws(&self) -> bool {
        matches!(
            self,
            Self::Reject { .. }
                | Self::Split { .. }
                | Self::Merge { .. }
                | Self::Paint { .. }
                | Self::Erase { .. }
                | Self::Outline { .. }
        )
    }

    /// The objects that it names.
    pub(super) fn labels(&self) -> Vec<u32> {
        match self {
            Self::Accept { label }
            | Self::Reject { label }
            | Self::Split { label, .. }
            | Self::Mitotic { label, .. } => vec![*label],
            Self::Merge { labels } => labels.clone(),
            Self::Paint { label, .. }
            | Self::Erase { label, .. }
            | Self::Outline { label, .. }
            | Self::Comment { label, .. } => label.iter().copied().collect(),
            Self::Nothing { .. } | Self::Unusable { .. } | Self::Undo | Self::Redo => Vec::new(),
        }
    }

    /// What it changes in `labels`, without changing them; `next` is the first number that was
    /// never used, and is moved on by those that are given. `bounds` has the box of every object
    /// (`[top, left, bottom, right]`, the last two beyond it).
    ///
    /// # Errors
    /// An object is not there, a line does not cut, objects do not touch.
    pub(super) fn patch(
        &self,
        labels: &Image<u32>,
        bounds: &BTreeMap<u32, [usize; 4]>,
        next: &mut u32,
    ) -> Result<Patch, ViewError> {
        for label in self.labels() {
            if !bounds.contains_key(&label) {
                return Err(ViewError::Misuse(format!("there is no object {label}")));
            }
        }
        let change = Change { labels, bounds };
        match self {
            Self::Reject { label } => Ok(change.recolour(*label, 0)),
            Self::Split { label, line } => change.split(*label, line, next),
            Self::Merge { labels } => change.merge(labels),
            Self::Outline { label, runs } => {
                let patch = change.outline(*label, label.unwrap_or(*next), runs);
                if label.is_none() && !patch.is_empty() {
                    *next += 1;
                }
                Ok(patch)
            }
            Self::Paint {
                label,
                radius,
                line,
            } => {
                let label = label.unwrap_or(*next);
                let patch = change.stroke(line, *radius, |found| (found == 0).then_some(label));
                if label == *next && !patch.is_empty() {
                    *next += 1;
                }
                Ok(patch)
            }
            Self::Erase {
                label,
                radius,
                line,
            } => Ok(change.stroke(line, *radius, |found| {
                let wanted = label.is_none_or(|label| label == found);
                (found != 0 && wanted).then_some(0)
            })),
            _ => Ok(Patch::new()),
        }
    }
}

/// What is drawn on.
struct Change<'a> {
    labels: &'a Image<u32>,
    bounds: &'a BTreeMap<u32, [usize; 4]>,
}

impl Change<'_> {
    /// The pixels of an object.
    fn pixels(&self, label: u32) -> Vec<usize> {
        let width = self.labels.width();
        let [top, left, bottom, right] = self.bounds[&label];
        let rows = top..bottom;
        let row = |y: usize| (left..right).map(move |x| y * width + x);
        let all = rows.flat_map(row);
        all.filter(|&i| self.labels.data()[i] == label).collect()
    }

    fn recolour(&self, label: u32, new: u32) -> Patch {
        let pixels = self.pixels(label).into_iter();
        pixels.map(|i| (i, label, new)).collect()
    }

    fn stroke(&self, points: &[Point], radius: f32, new: impl Fn(u32) -> Option<u32>) -> Patch {
        let width = self.labels.width();
        let mut patch = BTreeMap::new();
        brush(points, radius, self.labels.size(), |y, from, to| {
            for i in y * width + from..y * width + to {
                let found = self.labels.data()[i];
                if let Some(new) = new(found) {
                    patch.insert(i, (found, new));
                }
            }
        });
        let patch = patch.into_iter();
        patch.map(|(i, (old, new))| (i, old, new)).collect()
    }

    /// Neighbours of a pixel that share an edge with it.
    fn beside(&self, i: usize) -> impl Iterator<Item = usize> {
        let (height, width) = self.labels.size();
        let (y, x) = (i / width, i % width);
        [
            (y > 0).then(|| i - width),
            (x > 0).then(|| i - 1),
            (x + 1 < width).then_some(i + 1),
            (y + 1 < height).then_some(i + width),
        ]
        .into_iter()
        .flatten()
    }

    /// Parts of a set of pixels that hang together by edges, in the order of their first pixels.
    fn parts(&self, mut left: BTreeSet<usize>) -> Vec<Vec<usize>> {
        let mut parts = Vec::new();
        while let Some(first) = left.pop_first() {
            let mut part = vec![first];
            let mut looked = 0;
            while looked < part.len() {
                for beside in self.beside(part[looked]) {
                    if left.remove(&beside) {
                        part.push(beside);
                    }
                }
                looked += 1;
            }
            parts.push(part);
        }
        parts
    }

    fn split(&self, label: u32, points: &[Point], next: &mut u32) -> Result<Patch, ViewError> {
        let (height, width) = self.labels.size();
        let pixels: BTreeSet<usize> = self.pixels(label).into_iter().collect();
        let on_image = |&(y, x): &(i64, i64)| {
            let inside = (0..height as i64).contains(&y) && (0..width as i64).contains(&x);
            inside.then(|| y as usize * width + x as usize)
        };
        let cut: BTreeSet<usize> = line(points)
            .iter()
            .filter_map(on_image)
            .filter(|i| pixels.contains(i))
            .collect();
        // Parts that the line does not touch stay with the number.
        let touches = |part: &Vec<usize>| {
            let mut beside = part.iter().flat_map(|&i| self.beside(i));
            beside.any(|i| cut.contains(&i))
        };
        let mut parts = self.parts(pixels.difference(&cut).copied().collect());
        parts.retain(touches);
        if parts.len() < 2 {
            return Err(ViewError::Misuse(format!(
                "the line does not cut object {label} in two; draw it from one side across to \
                 the other"
            )));
        }
        // The largest first; of equal ones that whose first pixel comes first.
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        let mut new: BTreeMap<usize, u32> = BTreeMap::new();
        for part in &parts[1..] {
            new.extend(part.iter().map(|&i| (i, *next)));
            *next += 1;
        }
        // Pixels of the line go to a part beside them, round by round.
        let mut owner: BTreeMap<usize, u32> = parts[0].iter().map(|&i| (i, label)).collect();
        owner.extend(new.iter());
        let mut open = cut;
        loop {
            let taken: Vec<(usize, u32)> = open
                .iter()
                .filter_map(|&i| {
                    let owners = self.beside(i).filter_map(|j| owner.get(&j).copied());
                    Some((i, owners.min()?))
                })
                .collect();
            if taken.is_empty() {
                break;
            }
            for (i, to) in taken {
                open.remove(&i);
                owner.insert(i, to);
            }
        }
        let patch = owner.into_iter().filter(|&(_, to)| to != label);
        Ok(patch.map(|(i, to)| (i, label, to)).collect())
    }

    /// Makes the object `known`, or none, the pixels of `runs` under the number `label`.
    fn outline(&self, known: Option<u32>, label: u32, runs: &[[u32; 3]]) -> Patch {
        let (height, width) = self.labels.size();
        let mut inside: BTreeSet<usize> = BTreeSet::new();
        for &[y, from, to] in runs {
            let (y, to) = (y as usize, (to as usize).min(width));
            if y < height {
                inside.extend((from as usize..to).map(|x| y * width + x));
            }
        }
        let before = known.map_or(Vec::new(), |known| self.pixels(known));
        let gone = before.into_iter().filter(|i| !inside.contains(i));
        let mut patch: BTreeMap<usize, (u32, u32)> = gone.map(|i| (i, (label, 0))).collect();
        let free = inside.iter().filter(|&&i| self.labels.data()[i] == 0);
        patch.extend(free.map(|&i| (i, (0, label))));
        patch
            .into_iter()
            .map(|(i, (old, new))| (i, old, new))
            .collect()
    }

    fn merge(&self, labels: &[u32]) -> Result<Patch, ViewError> {
        let first = labels[0];
        let wanted: BTreeSet<u32> = labels.iter().copied().collect();
        if wanted.len() < 2 {
            return Err(ViewError::Misuse("a merge takes two objects".to_owned()));
        }
        let mut patch: BTreeMap<usize, (u32, u32)> = BTreeMap::new();
        let mut joined: BTreeSet<usize> = BTreeSet::new();
        for &label in &wanted {
            let pixels = self.pixels(label);
            if label != first {
                patch.extend(pixels.iter().map(|&i| (i, (label, first))));
            }
            joined.extend(pixels);
        }
        let before: usize = wanted.iter().map(|&l| self.parts_of(l)).sum();
        let gap = self.gap(&joined);
        patch.extend(gap.iter().map(|&i| (i, (0, first))));
        joined.extend(gap);
        // Joined, they hang together in fewer parts than apart.
        if self.parts(joined).len() > before - (wanted.len() - 1) {
            return Err(ViewError::Misuse(format!(
                "objects {} do not touch; paint what lies between them first",
                labels
                    .iter()
                    .map(u32::to_string)
                    .collect::<Vec<_>>()
                    .join(" and ")
            )));
        }
        let patch = patch.into_iter();
        Ok(patch.map(|(i, (old, new))| (i, old, new)).collect())
    }

    fn parts_of(&self, label: u32) -> usize {
        self.parts(self.pixels(label).into_iter().collect()).len()
    }

    /// Background between two of the objects: within [`GAP`] pixels to both sides, along a row, a
    /// column or a diagonal, lie pixels of different ones.
    fn gap(&self, joined: &BTreeSet<usize>) -> Vec<usize> {
        let (height, width) = self.labels.size();
        let mut near = BTreeSet::new();
        for &i in joined {
            // The inner pixels of an object are beside nothing else.
            if self.beside(i).all(|j| joined.contains(&j)) {
                continue;
            }
            let (y, x) = (i / width, i % width);
            for y in y.saturating_sub(GAP)..(y + GAP + 1).min(height) {
                let columns = x.saturating_sub(GAP)..(x + GAP + 1).min(width);
                near.extend(columns.map(|x| y * width + x));
            }
        }
        let first_along = |i: usize, dy: i64, dx: i64| {
            let (y, x) = ((i / width) as i64, (i % width) as i64);
            let pixels = (1..=GAP as i64).map(|n| (y + n * dy, x + n * dx));
            let mut inside = pixels
                .filter(|&(y, x)| (0..height as i64).contains(&y) && (0..width as i64).contains(&x))
                .map(|(y, x)| y as usize * width + x as usize);
            inside.find(|&j| self.labels.data()[j] != 0)
        };
        let is_between = |i: usize| {
            self.labels.data()[i] == 0
                && [(0, 1), (1, 0), (1, 1), (1, -1)].iter().any(|&(dy, dx)| {
                    let ends = (first_along(i, dy, dx), first_along(i, -dy, -dx));
                    let (Some(a), Some(b)) = ends else {
                        return false;
                    };
                    let differ = self.labels.data()[a] != self.labels.data()[b];
                    differ && joined.contains(&a) && joined.contains(&b)
                })
        };
        near.into_iter().filter(|&i| is_between(i)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects;
    use crate::tiles::LabelPixels;

    fn drawn(rows: &[&str]) -> Image<u32> {
        let data = rows.iter().flat_map(|row| row.chars());
        let data = data.map(|c| c.to_digit(10).unwrap_or(0)).collect();
        Image::new(rows.len(), rows[0].len(), data)
    }

    /// The picture after an operation, or the sentence of its refusal.
    fn after(rows: &[&str], operation: Operation) -> Result<Vec<String>, String> {
        let mut image = drawn(rows);
        let listed = objects::list(&LabelPixels::Whole(image.clone().into()), None).unwrap();
        let bounds = listed.iter().map(|o| (o.label, o.bounds)).collect();
        let mut next = 1 + listed.iter().map(|o| o.label).max().unwrap_or(0);
        operation.check().map_err(|error| error.to_string())?;
        let patch = operation.patch(&image, &bounds, &mut next);
        for (i, old, new) in patch.map_err(|error| error.to_string())? {
            assert_eq!(image.data()[i], old);
            image.data_mut()[i] = new;
        }
        let digit = |&v: &u32| char::from_digit(v, 10).filter(|c| *c != '0').unwrap_or('.');
        let rows = (0..image.height()).map(|y| image.row(y).iter().map(digit).collect());
        Ok(rows.collect())
    }

    #[test]
    fn a_line_across_splits_and_the_largest_part_keeps_the_number() {
        let line = vec![[-1.0, 2.0], [3.0, 2.0]];
        let split = Operation::Split { label: 1, line };
        let found = after(&["111111.2", "11111112", "11111111"], split.clone()).unwrap();
        assert_eq!(found, ["331111.2", "33111112", "33111111"]);
        // A part elsewhere stays, and a line that ends inside cuts nothing.
        let found = after(&["11111.11", "11111...", "11111..."], split).unwrap();
        assert_eq!(found, ["11122.11", "11122...", "11122..."]);
        let line = vec![[-1.0, 2.0], [1.0, 2.0]];
        let refused = after(
            &["11111", "11111", "11111"],
            Operation::Split { label: 1, line },
        );
        assert!(refused.unwrap_err().contains("does not cut object 1"));
    }

    #[test]
    fn a_diagonal_line_leaves_no_way_through() {
        let line = vec![[-1.0, -1.0], [5.0, 5.0]];
        let found = after(&["11111"; 5], Operation::Split { label: 1, line }).unwrap();
        let count = |c| {
            found
                .iter()
                .flat_map(|row| row.chars())
                .filter(|d| *d == c)
                .count()
        };
        assert_eq!(count('1') + count('2'), 25);
        assert!(count('2') >= 6, "{found:?}");
    }

    #[test]
    fn a_merge_closes_narrow_gaps_and_refuses_wide_ones() {
        let merge = Operation::Merge { labels: vec![2, 1] };
        let found = after(&["11.22", "11.22", "....3"], merge.clone()).unwrap();
        assert_eq!(found, ["22222", "22222", "....3"]);
        let refused = after(&["11......22"], merge).unwrap_err();
        assert!(
            refused.contains("objects 2 and 1 do not touch"),
            "{refused}"
        );
    }

    #[test]
    fn brushes_add_background_only_and_erase_what_was_asked_for() {
        let line = vec![[1.0, 1.0], [1.0, 4.0]];
        let paint = |label| Operation::Paint {
            label,
            radius: 0.6,
            line: line.clone(),
        };
        let rows = ["1....2", "1....2", "1....2"];
        let found = after(&rows, paint(Some(1))).unwrap();
        assert_eq!(found, ["1....2", "111112", "1....2"]);
        assert_eq!(after(&rows, paint(None)).unwrap()[1], "133332");
        let erase = |label| Operation::Erase {
            label,
            radius: 1.2,
            line: vec![[1.0, 0.0]],
        };
        assert_eq!(
            after(&["1.", "12", "1."], erase(None)).unwrap(),
            ["..", "..", ".."]
        );
        assert_eq!(
            after(&["1.", "12", "1."], erase(Some(2))).unwrap(),
            ["1.", "1.", "1."]
        );
        let reject = Operation::Reject { label: 2 };
        assert_eq!(
            after(&["1.", "12", "22"], reject).unwrap(),
            ["1.", "1.", ".."]
        );
        let absent = after(&["1"], Operation::Reject { label: 9 });
        assert_eq!(absent.unwrap_err(), "there is no object 9");
    }

    #[test]
    fn an_outline_is_a_new_object_or_takes_the_place_of_one_and_spares_others() {
        let runs = vec![[0, 1, 9], [1, 0, 2], [7, 0, 4]];
        let outline = |label| Operation::Outline {
            label,
            runs: runs.clone(),
        };
        let rows = ["1...2", "1....", "1...."];
        assert_eq!(
            after(&rows, outline(None)).unwrap(),
            ["13332", "13...", "1...."]
        );
        assert_eq!(
            after(&rows, outline(Some(1))).unwrap(),
            [".1112", "11...", "....."]
        );
        assert!(outline(None).check().is_ok());
    }

    #[test]
    fn what_nobody_draws_is_refused() {
        let line = vec![[0.0, 0.0]];
        for operation in [
            Operation::Paint {
                label: None,
                radius: f32::NAN,
                line: line.clone(),
            },
            Operation::Paint {
                label: None,
                radius: 1e9,
                line: line.clone(),
            },
            Operation::Erase {
                label: None,
                radius: 1.0,
                line: vec![[f32::INFINITY, 0.0]],
            },
            Operation::Split {
                label: 1,
                line: vec![[0.0, 0.0]; MOST_POINTS + 1],
            },
            Operation::Split {
                label: 1,
                line: vec![[0.0, 0.0], [1e6, 0.0]],
            },
            Operation::Merge { labels: vec![1] },
            Operation::Outline {
                label: None,
                runs: Vec::new(),
            },
            Operation::Comment {
                label: None,
                text: "a".repeat(MOST_LETTERS + 1),
            },
        ] {
            assert!(operation.check().is_err(), "{operation:?}");
        }
    }
}

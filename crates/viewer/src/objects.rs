//! What a layer of labels holds: every object with its place, area and box, and how well it agrees
//! with another layer.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use stainfree_image::{Image, Region};

use crate::ViewError;
use crate::tiles::LabelPixels;

/// Pixels that are looked at at once.
const AT_ONCE_PX: usize = 1 << 22;

/// Pixels to each side of a place among which its object is looked for: nothing that a person
/// judges as one is larger.
const REACH_PX: usize = 1024;

/// An object of a layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Object {
    pub(crate) label: u32,
    /// Centroid in pixels, the centre of the first pixel at 0.
    pub(crate) y: f64,
    pub(crate) x: f64,
    pub(crate) area: u64,
    /// First row and column, and the ones after the last.
    #[serde(rename = "box")]
    pub(crate) bounds: [usize; 4],
    /// Best intersection over union with an object of the other layer; `None` without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) iou: Option<f64>,
    /// That object; 0 where none overlaps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) other: Option<u32>,
    /// How sure a model is of it, or of the object that it agrees with best.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sure: Option<f64>,
}

/// Sums over the pixels of an object.
#[derive(Clone, Debug)]
struct Sums {
    area: u64,
    y: u64,
    x: u64,
    bounds: [usize; 4],
}

impl Sums {
    fn add_run(&mut self, y: usize, from: usize, to: usize) {
        let count = (to - from) as u64;
        self.area += count;
        self.y += y as u64 * count;
        // Sum of the columns from..to.
        self.x += (from + to - 1) as u64 * count / 2;
        let b = &mut self.bounds;
        *b = [b[0].min(y), b[1].min(from), b[2].max(y + 1), b[3].max(to)];
    }

    fn object(&self, label: u32) -> Object {
        Object {
            label,
            y: self.y as f64 / self.area as f64,
            x: self.x as f64 / self.area as f64,
            area: self.area,
            bounds: self.bounds,
            iou: None,
            other: None,
            sure: None,
        }
    }
}

const NOTHING: Sums = Sums {
    area: 0,
    y: 0,
    x: 0,
    bounds: [usize::MAX, usize::MAX, 0, 0],
};

/// Calls `run(y, from, to, label)` for every run of one label but 0 in the rows of `image`, which
/// begins at row `first` and column `left`.
fn runs(
    image: &Image<u32>,
    first: usize,
    left: usize,
    mut run: impl FnMut(usize, usize, usize, u32),
) {
    for y in 0..image.height() {
        let row = image.row(y);
        let mut x = 0;
        while x < row.len() {
            let label = row[x];
            let from = x;
            while x < row.len() && row[x] == label {
                x += 1;
            }
            if label != 0 {
                run(first + y, left + from, left + x, label);
            }
        }
    }
}

/// The objects of a layer, by label; with their agreement where another layer of the same size is
/// given.
///
/// # Errors
/// A layer cannot be read, or they differ in size.
pub(crate) fn list(
    labels: &LabelPixels,
    other: Option<&LabelPixels>,
) -> Result<Vec<Object>, ViewError> {
    let (height, width) = labels.size();
    if let Some(other) = other.filter(|other| other.size() != (height, width)) {
        let (h, w) = other.size();
        return Err(ViewError::Misuse(format!(
            "layers of {height} x {width} and {h} x {w} pixels cannot be compared"
        )));
    }
    let mut sums: BTreeMap<u32, Sums> = BTreeMap::new();
    let mut areas: HashMap<u32, u64> = HashMap::new();
    let mut shared: HashMap<(u32, u32), u64> = HashMap::new();
    let band = (AT_ONCE_PX / width.max(1)).max(1);
    for first in (0..height).step_by(band) {
        let region = Region {
            y: first,
            x: 0,
            height: band.min(height - first),
            width,
        };
        let part = labels.window(region)?;
        runs(&part, first, 0, |y, from, to, label| {
            sums.entry(label).or_insert(NOTHING).add_run(y, from, to);
        });
        if let Some(other) = other {
            let theirs = other.window(region)?;
            count_shared(&part, &theirs, &mut areas, &mut shared);
        }
    }
    let mut objects: Vec<Object> = sums.iter().map(|(&label, s)| s.object(label)).collect();
    if other.is_some() {
        agree(&mut objects, &areas, &shared);
    }
    Ok(objects)
}

/// Adds the areas of objects of `theirs`, and the pixels that pairs share.
fn count_shared(
    ours: &Image<u32>,
    theirs: &Image<u32>,
    areas: &mut HashMap<u32, u64>,
    shared: &mut HashMap<(u32, u32), u64>,
) {
    // Neighbours are mostly alike, which keeps the maps out of the inner loop.
    let mut last = (0, 0);
    let mut count = 0;
    let mut add = |(a, b): (u32, u32), count: u64| {
        if b != 0 && count > 0 {
            *areas.entry(b).or_default() += count;
            if a != 0 {
                *shared.entry((a, b)).or_default() += count;
            }
        }
    };
    for pair in ours
        .data()
        .iter()
        .copied()
        .zip(theirs.data().iter().copied())
    {
        if pair != last {
            add(last, count);
            (last, count) = (pair, 0);
        }
        count += 1;
    }
    add(last, count);
}

fn agree(objects: &mut [Object], areas: &HashMap<u32, u64>, shared: &HashMap<(u32, u32), u64>) {
    let ours: HashMap<u32, u64> = objects.iter().map(|o| (o.label, o.area)).collect();
    let mut best: HashMap<u32, (f64, u32)> = HashMap::new();
    for (&(a, b), &both) in shared {
        let union = ours.get(&a).unwrap_or(&0) + areas.get(&b).unwrap_or(&0) - both;
        let iou = both as f64 / union as f64;
        let entry = best.entry(a).or_insert((0.0, 0));
        // Of equally good ones the lower number, whatever order a map has.
        if iou > entry.0 || (iou == entry.0 && b < entry.1) {
            *entry = (iou, b);
        }
    }
    for object in objects {
        let (iou, other) = best.get(&object.label).copied().unwrap_or((0.0, 0));
        (object.iou, object.other) = (Some(iou), Some(other));
    }
}

/// Says how sure each object is: by its own number, or by that of the other layer's object that it
/// agrees with best.
pub(crate) fn add_confidence(
    objects: &mut [Object],
    own: &BTreeMap<u32, f64>,
    others: &BTreeMap<u32, f64>,
) {
    for object in objects {
        let other = object.other.and_then(|label| others.get(&label));
        object.sure = own.get(&object.label).or(other).copied();
    }
}

/// The pixels of the object at `(y, x)`, by rows: `[y, first x, x after the last]`; none where no
/// object is.
///
/// # Errors
/// There is no such pixel, or the layer cannot be read.
pub(crate) fn shape(
    labels: &LabelPixels,
    (y, x): (usize, usize),
) -> Result<Vec<[u32; 3]>, ViewError> {
    let (height, width) = labels.size();
    if y >= height || x >= width {
        return Err(ViewError::Absent(format!(
            "labels of {height} x {width} pixels have none at {y}, {x}"
        )));
    }
    let (top, left) = (y.saturating_sub(REACH_PX), x.saturating_sub(REACH_PX));
    let part = labels.window(Region {
        y: top,
        x: left,
        height: (y + REACH_PX).min(height) - top,
        width: (x + REACH_PX).min(width) - left,
    })?;
    let wanted = part.get(y - top, x - left);
    let mut found = Vec::new();
    runs(&part, top, left, |y, from, to, label| {
        if label == wanted {
            found.push([y as u32, from as u32, to as u32]);
        }
    });
    Ok(found)
}

/// The object `label` of `image`, of which no pixel lies outside of `bounds`; `None` where there
/// is none.
pub(crate) fn one(image: &Image<u32>, label: u32, bounds: [usize; 4]) -> Option<Object> {
    let [top, left, bottom, right] = bounds;
    if top >= bottom || left >= right {
        return None;
    }
    let part = image.crop(top, left, bottom - top, right - left);
    let mut sums = NOTHING;
    runs(&part, top, left, |y, from, to, found| {
        if found == label {
            sums.add_run(y, from, to);
        }
    });
    (sums.area > 0).then(|| sums.object(label))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn layer(rows: &[[u32; 5]]) -> LabelPixels {
        let image = Image::new(rows.len(), 5, rows.concat());
        LabelPixels::Whole(Arc::new(image))
    }

    #[test]
    fn the_shape_at_a_place_is_the_runs_of_its_object() {
        let labels = layer(&[[0, 7, 7, 0, 7], [0, 7, 3, 3, 0], [7, 0, 0, 0, 0]]);
        let at = |y, x| shape(&labels, (y, x)).unwrap();
        let seven = [[0, 1, 3], [0, 4, 5], [1, 1, 2], [2, 0, 1]];
        assert_eq!(at(0, 4), seven);
        assert_eq!(at(1, 1), seven);
        assert_eq!(at(1, 3), [[1, 2, 4]]);
        assert!(at(1, 0).is_empty());
        assert!(shape(&labels, (3, 0)).is_err());
    }

    #[test]
    fn objects_have_centroid_area_box_and_agreement() {
        let ours = layer(&[[1, 1, 0, 7, 0], [1, 1, 0, 7, 7], [0, 0, 0, 0, 3]]);
        let theirs = layer(&[[5, 5, 5, 0, 0], [5, 5, 5, 0, 2], [0, 0, 0, 0, 0]]);
        let found = list(&ours, Some(&theirs)).unwrap();
        let expected = |label, y, x, area, bounds, iou, other| Object {
            label,
            y,
            x,
            area,
            bounds,
            iou: Some(iou),
            other: Some(other),
            sure: None,
        };
        assert_eq!(
            found,
            [
                expected(1, 0.5, 0.5, 4, [0, 0, 2, 2], 4.0 / 6.0, 5),
                expected(3, 2.0, 4.0, 1, [2, 4, 3, 5], 0.0, 0),
                expected(7, 2.0 / 3.0, 10.0 / 3.0, 3, [0, 3, 2, 5], 1.0 / 3.0, 2),
            ]
        );
        let LabelPixels::Whole(image) = &ours else {
            panic!("it is whole");
        };
        let alone = one(image, 7, [0, 2, 3, 5]).unwrap();
        assert_eq!((alone.area, alone.bounds), (3, [0, 3, 2, 5]));
        assert_eq!(one(image, 9, [0, 0, 3, 5]), None);
        let mut found = found;
        add_confidence(&mut found, &[(3, 0.5)].into(), &[(5, 0.9), (0, 0.1)].into());
        let sure: Vec<_> = found.iter().map(|object| object.sure).collect();
        assert_eq!(sure, [Some(0.9), Some(0.5), None]);
    }
}

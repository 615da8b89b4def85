//! What a field looks like that does not fit into memory, beside the training.
//!
//! Some windows of it, each about as large as a field, are looked at as fields are; the middle of
//! each number over them is the field's. How uneven the light is, which goes by the size of what is
//! looked at, is left out.

use std::ops::Range;

use stainfree_image::{Field, Plane, PlaneRef, Region};
use stainfree_inference::InferenceError;

use crate::prediction::familiar::Looks;
use crate::prediction::opened::{OpenedModel, nuclei_of};
use crate::{Job, ProjectError};

/// Sides of windows that are tried, px: the first that fits into memory is taken.
const SIDES: [usize; 3] = [1024, 512, 256];
/// How many windows there are along a side of the field, at most.
const ALONG: usize = 3;
/// Windows are predicted once more, which is to be a small part of all.
const SHARE: usize = 10;

/// What the field with these planes looks like; `None` where no window fits, or none shows
/// anything.
pub(super) fn looks_of_windows(
    model: &mut OpenedModel,
    field: &Field,
    planes: &[PlaneRef],
    job: &Job,
) -> Result<Option<Looks>, ProjectError> {
    let size = [field.height, field.width];
    let fits = |side: usize| {
        let window = (side.min(size[0]), side.min(size[1]));
        let predictor = &model.predictor;
        !predictor.needs_regions(planes.len(), window, field.pixel_um)
    };
    let Some(side) = SIDES.into_iter().find(|&side| fits(side)) else {
        return Ok(None);
    };
    let mut looks = Vec::new();
    for [rows, columns] in windows(size, side) {
        job.cancel.check()?;
        let region = Region {
            y: rows.start,
            x: columns.start,
            height: rows.len(),
            width: columns.len(),
        };
        let read = planes.iter().map(|plane| plane.read_region(region));
        let read: Vec<Plane> = read.collect::<Result<_, _>>()?;
        let pixels = match model.predictor.pixels(&read, field.pixel_um) {
            Ok(pixels) => pixels,
            Err(error) => {
                model.predictor.take_remarks();
                match error {
                    InferenceError::NothingSeen => continue,
                    // A window that does not fit after all.
                    InferenceError::Memory { .. } => return Ok(None),
                    error => return Err(error.into()),
                }
            }
        };
        let nuclei = nuclei_of(field, &pixels, model.predictor.decoder())?;
        let (info, um) = (model.predictor.info(), field.pixel_um);
        let workers = model.predictor.workers();
        let seen = workers.run(|| Looks::of(&read, um, info, &pixels));
        looks.push(seen.with_nuclei(&nuclei, um, info));
    }
    Ok(Looks::middle(&looks).map(Looks::without_size))
}

/// Rows and columns of windows of that side, spread evenly over an image of that size.
fn windows([height, width]: [usize; 2], side: usize) -> Vec<[Range<usize>; 2]> {
    let most = height * width / SHARE / (side * side);
    let along = (1..=ALONG)
        .rev()
        .find(|n| n * n <= most.max(1))
        .unwrap_or(1);
    let spread = |length: usize| {
        let side = side.min(length);
        let step = move |i: usize| (length - side) * (2 * i + 1) / (2 * along);
        (0..along).map(move |i| step(i)..step(i) + side)
    };
    let rows = spread(height);
    rows.flat_map(|rows| spread(width).map(move |columns| [rows.clone(), columns]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::windows;

    #[test]
    fn windows_are_few_and_lie_within() {
        assert_eq!(windows([300, 200], 256), [[22..278, 0..200]]);
        let many = windows([40_000, 20_000], 1024);
        assert_eq!(many.len(), 9);
        assert_eq!(many[0], [6496..7520, 3162..4186]);
        assert_eq!(many[8][0].end, 32_480 + 1024);
        // A tenth of 4,000 x 3,000 px is four windows of 512 px, and one of 1,024 px.
        assert_eq!(windows([4000, 3000], 512).len(), 4);
        assert_eq!(windows([4000, 3000], 1024).len(), 1);
    }
}

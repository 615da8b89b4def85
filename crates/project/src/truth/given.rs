//! Reading what a field's truth is made of, and checking that it is what it should be.

use std::collections::BTreeMap;
use std::path::Path;

use stainfree_image::{Field, Image, Plane, PlaneAt, TruthOf};
use stainfree_objects::{
    Connectivity, NotLabels, label, move_back_nearest, not_labels, shared_numbers, smoothed_share,
    uncovered,
};

use super::files::{TruthFiles, plane_at};
use super::fixes::StainFixes;
use crate::ProjectError;
use crate::study::config::TruthConfig;
use crate::study::{Source, read_middle};

/// Why a field has no truth.
pub(crate) enum NoTruth {
    /// It was never given one; not a fault.
    Left(String),
    /// Something is wrong with what was given.
    Failed(ProjectError),
}

impl From<ProjectError> for NoTruth {
    fn from(error: ProjectError) -> Self {
        NoTruth::Failed(error)
    }
}

impl From<stainfree_image::ImageError> for NoTruth {
    fn from(error: stainfree_image::ImageError) -> Self {
        NoTruth::Failed(error.into())
    }
}

/// What the truth of one field is made from.
pub(super) struct Inputs<'a> {
    pub(super) truth: &'a TruthConfig,
    pub(super) source: &'a Source,
    pub(super) files: &'a TruthFiles,
    pub(super) fixes: &'a StainFixes,
    pub(super) field: &'a Field,
    /// The plane that the truth is of.
    pub(super) at: PlaneAt,
    /// Height and width of the brightfield.
    pub(super) size: (usize, usize),
    pub(super) given: Given,
}

impl<'a> Inputs<'a> {
    /// Of `field`, whose brightfield is of this size.
    ///
    /// # Errors
    /// The field has no brightfield.
    pub(super) fn of(
        truth: &'a TruthConfig,
        source: &'a Source,
        files: &'a TruthFiles,
        fixes: &'a StainFixes,
        field: &'a Field,
        size: (usize, usize),
    ) -> Result<Self, ProjectError> {
        Ok(Self {
            truth,
            source,
            files,
            fixes,
            field,
            at: plane_at(source, field)?,
            size,
            given: Given::of(truth, fixes),
        })
    }
}

/// What is wrong, with the name of the field.
pub(super) fn in_field(field: &Field, error: stainfree_objects::ObjectsError) -> ProjectError {
    ProjectError::Failed(format!("field `{}`: {error}", field.name))
}

/// Label images and masks that are given as truth, which may lie off the brightfield.
pub(super) struct Given {
    /// How far below and right of it, pixels.
    shift: [i32; 2],
}

impl Given {
    /// As a person has typed, else as it was found.
    pub(super) fn of(truth: &TruthConfig, fixes: &StainFixes) -> Self {
        let found = fixes.given.map_or([0; 2], |laid| {
            // Whole pixels, and far fewer than an `i32` counts.
            [laid.dy_px as i32, laid.dx_px as i32]
        });
        Self {
            shift: match truth.shift.typed_of_labels() {
                Some(_) => truth.shift.labels_px,
                None => found,
            },
        }
    }

    fn shift(&self) -> (f64, f64) {
        let [dy, dx] = self.shift.map(f64::from);
        (dy, dx)
    }

    /// The image on the brightfield.
    pub(super) fn place<T: Copy + Default>(&self, image: Image<T>) -> Image<T> {
        match self.shift {
            [0, 0] => image,
            _ => move_back_nearest(&image, self.shift()),
        }
    }

    /// Pixels of which nothing is known once it lies there.
    pub(super) fn unknown(&self, (height, width): (usize, usize)) -> Option<Image<bool>> {
        (self.shift != [0, 0]).then(|| uncovered(height, width, self.shift()))
    }
}

/// The truth file of a field, which may have none in `folder`.
pub(super) fn file_of<'a>(
    files: &'a BTreeMap<String, TruthOf>,
    field: &Field,
    folder: &Path,
) -> Result<&'a TruthOf, NoTruth> {
    files
        .get(&field.name)
        .ok_or_else(|| NoTruth::Left(format!("no truth of that name in `{}`", folder.display())))
}

/// A stain of the field, of the size of its brightfield.
pub(super) fn read_stain(
    field: &Field,
    channel: Option<usize>,
    name: &str,
    size: (usize, usize),
) -> Result<Plane, ProjectError> {
    let Some(channel) = channel else {
        return Err(ProjectError::Failed(format!(
            "field `{}` has no image of the channel `{name}`",
            field.name
        )));
    };
    if field.planes[channel].iter().all(Option::is_none) {
        return Err(ProjectError::Failed(format!(
            "field `{}` has no image of the channel `{name}` that can be used; `stainfree inspect` \
             on the images says why",
            field.name
        )));
    }
    let plane = read_middle(field, channel)?;
    check_size(
        &format!("the channel `{name}` of field `{}`", field.name),
        plane.size(),
        size,
    )?;
    Ok(plane)
}

/// A nucleus everywhere is none: labels of several objects leave pixels of value 0.
pub(super) fn refuse_without_background(
    path: &Path,
    labels: &Image<u32>,
) -> Result<(), ProjectError> {
    let values = labels.data();
    let several = values.iter().any(|value| Some(value) != values.first());
    if !several || values.contains(&0) {
        return Ok(());
    }
    Err(ProjectError::NotLabels {
        path: path.to_owned(),
        found: "no pixel of value 0: every pixel would belong to a nucleus".to_owned(),
        way_out: "save the background as 0".to_owned(),
    })
}

/// A truth file as it is, of the size of the brightfield.
pub(super) fn read_sized(
    truth: &TruthOf,
    at: PlaneAt,
    size: (usize, usize),
) -> Result<Image<u32>, ProjectError> {
    let image = truth.labels(at)?;
    check_size(&format!("`{}`", truth.path.display()), image.size(), size)?;
    Ok(image)
}

/// Nucleus instances; a mask in their place is refused.
pub(super) fn read_instances(
    truth: &TruthOf,
    at: PlaneAt,
    size: (usize, usize),
) -> Result<Image<u32>, ProjectError> {
    let labels = read_sized(truth, at, size)?;
    check_instances(
        &truth.path,
        &labels,
        "give it as `truth.masks` with `mask_values = \"binary\"` instead of `truth.labels`",
    )?;
    Ok(labels)
}

/// Whole-cell masks and instances alike: inside is anything but 0. Edges of many values would make
/// everything larger.
pub(super) fn read_cells(
    truth: &TruthOf,
    at: PlaneAt,
    size: (usize, usize),
) -> Result<Image<bool>, ProjectError> {
    let values = read_sized(truth, at, size)?;
    if smoothed_share(&values) > 0.0 {
        check_instances(&truth.path, &values, "")?;
    }
    Ok(values.map(|&value| value != 0))
}

fn check_size(
    what: &str,
    found: (usize, usize),
    expected: (usize, usize),
) -> Result<(), ProjectError> {
    if found == expected {
        return Ok(());
    }
    Err(ProjectError::Failed(format!(
        "{what} is {} x {} but the brightfield is {} x {}; both must show the same field",
        found.0, found.1, expected.0, expected.1
    )))
}

/// Refuses what is no label image: a mask of 0 and 255, an image, numbers that were interpolated,
/// classes. One object alone may bear any number.
pub(crate) fn check_instances(
    path: &Path,
    labels: &Image<u32>,
    way_out: &str,
) -> Result<(), ProjectError> {
    let binary = labels
        .data()
        .iter()
        .all(|&value| value == 0 || value == 255)
        && labels.data().contains(&255);
    if binary && label(&labels.map(|&value| value != 0), Connectivity::Eight).count > 1 {
        return Err(ProjectError::NotLabels {
            path: path.to_owned(),
            found: "0 and 255 only: a mask, not instance labels".to_owned(),
            way_out: way_out.to_owned(),
        });
    }
    let Some(found) = not_labels(labels) else {
        return Ok(());
    };
    let way_out = match found {
        NotLabels::Intensities { .. } => "give label images as labels, and this file as an image",
        NotLabels::Mixed { .. } => {
            "resize labels with `nearest` instead of interpolating, and save smoothed masks with \
             two values (such as all above 127 as 255)"
        }
        NotLabels::Mask { .. } => way_out,
    };
    Err(ProjectError::NotLabels {
        path: path.to_owned(),
        found: found.to_string(),
        way_out: way_out.to_owned(),
    })
}

/// A sentence where numbers belong to several objects that lie far apart.
pub(crate) fn shared_numbers_note(path: &Path, labels: &Image<u32>) -> Option<String> {
    let shared = shared_numbers(labels);
    let first = shared.first()?;
    let largest = labels.data().iter().max().copied().unwrap_or(0);
    let cause = if largest <= 255 {
        "; were more than 255 objects saved in 8 bits? save them in 16"
    } else {
        "; give every object a number of its own"
    };
    Some(format!(
        "`{}`: {} numbers (such as {first}) belong to pieces far apart and count as one object \
         each{cause}",
        path.display(),
        shared.len()
    ))
}

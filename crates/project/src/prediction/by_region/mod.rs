//! Fields that do not fit into memory: predicted part by part, and written row by row.
//!
//! Classes and nuclei are written as the network goes down the image; whole cells, forms for other
//! programs, stores and pictures are then made of those files (`derived`), which are read by region
//! as well. So is what fields lack that were predicted before. `windows` says what such a field
//! looks like.

mod derived;
mod windows;

use std::path::Path;
use std::sync::Arc;

use stainfree_image::write::{Note, OmeTiff, OmeTiffRows, PixelType, Shrink};
use stainfree_image::{Field, Image, Product, Store};
use stainfree_inference::{
    PROBABILITIES, PredictedOutput, RegionImage, RegionSink, RowsDone, Temperatures,
    cytoplasm_class,
};

pub(super) use self::derived::derived_by_region;
use self::derived::{
    ByLabel, cells_by_region, forms_by_region, map_by_region, put_picture, zarr_by_region,
};
use self::windows::looks_of_windows;
use crate::prediction::familiar::Looks;
use crate::prediction::opened::OpenedModel;
use crate::prediction::sure::Sure;
use crate::prediction::written::{Made, Wanted, note, remove_outputs};
use crate::prediction::zarr;
use crate::study::Brightfield;
use crate::study::provenance::Content;
use crate::{Job, ProjectError};

/// Rows whose probabilities are brought to what holds at once.
const CHANGED_ROWS: usize = 64;

/// A field that is predicted by region.
pub(super) struct Asked<'a> {
    pub(super) field: &'a Field,
    pub(super) brightfield: &'a Brightfield,
    pub(super) out: &'a Path,
    pub(super) wanted: Wanted,
    /// Hash of the model.
    pub(super) hash: &'a str,
}

/// What came of it.
pub(super) struct Found {
    pub(super) content: Content,
    /// Pixels of every class.
    pub(super) counts: Vec<usize>,
    pub(super) blank_share: f64,
    pub(super) nuclei: usize,
    pub(super) sure: Option<Sure>,
    /// None where it is not wanted, or cannot be told.
    pub(super) looks: Option<Looks>,
}

/// Predicts a field and writes all that is wanted of it; says what it looks like where that is
/// `compared` with something.
///
/// # Errors
/// Its planes cannot be read, it cannot be predicted, a file cannot be written, or
/// [`ProjectError::Cancelled`].
pub(super) fn predict_by_region(
    model: &mut OpenedModel,
    asked: &Asked,
    compared: bool,
    job: &Job,
) -> Result<Found, ProjectError> {
    let field = asked.field;
    let planes = asked.brightfield.sources(field)?;
    let size = (field.height, field.width);
    let content = Content::of_regions(&planes, size, &mut || job.cancel.check())?;
    remove_outputs(asked.out, &field.name, &asked.wanted.stale())?;
    zarr::remove(asked.out, field)?;
    let made = Made {
        model: asked.hash,
        content: &content,
    };
    let mut files = Files::create(model, asked, &made, job)?;
    let image = RegionImage {
        planes: &planes,
        size,
        pixel_um: field.pixel_um,
        scratch: asked.out,
    };
    let mut done = model.predict_regions(field, &image, &mut files, job)?;
    let counts = files.finish()?;
    let confidence = model.predictor.confidence().cloned();
    let sure = confidence.zip(done.sure.take());
    let classes = &model.predictor.info().classes;
    let cytoplasm = cytoplasm_class(classes).map(|class| counts[usize::from(class)]);
    let pixel_um = field.pixel_um.or(model.predictor.decoder().pixel_um);
    let sure = sure
        .map(|(confidence, nuclei)| Sure::of_nuclei(nuclei, &confidence, (cytoplasm, pixel_um)));
    put_derived(model, asked, sure.as_ref(), &made, job)?;
    if asked.wanted.overlay {
        let names = &model.predictor.info().classes;
        put_picture(
            &Store::at(asked.out),
            field,
            &planes[planes.len() / 2],
            names,
        )?;
    }
    let looks = match compared {
        true => looks_of_windows(model, field, &planes, job)?,
        false => None,
    };
    Ok(Found {
        content,
        counts,
        blank_share: done.blank_share,
        nuclei: done.count,
        sure,
        looks,
    })
}

/// Writes what follows from classes and nuclei, whose files are there.
fn put_derived(
    model: &OpenedModel,
    asked: &Asked,
    sure: Option<&Sure>,
    made: &Made,
    job: &Job,
) -> Result<(), ProjectError> {
    let (store, field, wanted) = (Store::at(asked.out), asked.field, asked.wanted);
    let (names, model_um) = (
        &model.predictor.info().classes,
        model.predictor.decoder().pixel_um,
    );
    let note = |what: &str| note(field, what, made);
    if wanted.cells {
        cells_by_region(&store, field, (names, model_um), note("cells"), job)?;
    }
    let by_label: ByLabel = sure.map(Sure::by_label).unwrap_or_default();
    if let Some(sure) = sure {
        sure.put(&store, &field.name, None)?;
        if wanted.confidence_map {
            map_by_region(&store, field, &by_label, note("confidence of nuclei"))?;
        }
    }
    forms_by_region(asked, wanted.forms, &by_label, note, job)?;
    match wanted.zarr {
        true => zarr_by_region(asked, names, note("results")),
        false => Ok(()),
    }
}

/// Files that are written while the network goes down the image.
struct Files<'a> {
    classes: OmeTiffRows<u8>,
    nuclei: OmeTiffRows<u32>,
    /// Probabilities of the classes, and what else the network says.
    probabilities: Option<OmeTiffRows<f32>>,
    outputs: Option<OmeTiffRows<f32>>,
    /// What makes of probabilities those that hold.
    temperatures: Option<Arc<Temperatures>>,
    counts: Vec<usize>,
    job: &'a Job<'a>,
}

impl<'a> Files<'a> {
    fn create(
        model: &OpenedModel,
        asked: &Asked,
        made: &Made,
        job: &'a Job<'a>,
    ) -> Result<Self, ProjectError> {
        let (store, field) = (Store::at(asked.out), asked.field);
        let path = |product| store.path(product, &field.name);
        let said = |what: &str, channels: Vec<String>, pixel_type| {
            described(field, note(field, what, made), channels, pixel_type)
        };
        let single = |what: &str, pixel_type| said(what, vec![String::new()], pixel_type);
        let names = model.predictor.info().classes.clone();
        let classes = names.len();
        let probabilities = asked.wanted.probabilities.then(|| {
            let called = asked.wanted.probabilities_called();
            let image = said(&called, names, PixelType::F32);
            OmeTiffRows::create(&path(Product::Probabilities), &image)
        });
        let outputs = asked.wanted.outputs.then(|| {
            let others = model.predictor.outputs().iter().skip(1);
            let channels: Vec<String> = others
                .flat_map(|output| (0..output.channels).map(|_| output.name.clone()))
                .collect();
            let what = format!("outputs ({})", channels.join(", "));
            OmeTiffRows::create(
                &path(Product::Outputs),
                &said(&what, channels, PixelType::F32),
            )
        });
        Ok(Self {
            classes: OmeTiffRows::create(
                &path(Product::Classes),
                &single("class mask", PixelType::U8),
            )?,
            nuclei: OmeTiffRows::create(&path(Product::Nuclei), &single("nuclei", PixelType::U32))?,
            probabilities: probabilities.transpose()?,
            outputs: outputs.transpose()?,
            temperatures: model.predictor.temperatures().cloned(),
            counts: vec![0; classes],
            job,
        })
    }

    /// Gives all files their names, and says how many pixels every class has.
    fn finish(self) -> Result<Vec<usize>, ProjectError> {
        self.classes.finish()?;
        self.nuclei.finish()?;
        for file in [self.probabilities, self.outputs].into_iter().flatten() {
            file.finish()?;
        }
        Ok(self.counts)
    }
}

impl RegionSink<ProjectError> for Files<'_> {
    fn go_on(&mut self) -> Result<(), ProjectError> {
        self.job.cancel.check()
    }

    fn rows(&mut self, done: &RowsDone) -> Result<(), ProjectError> {
        for &class in done.classes.data() {
            // What shows nothing is of no class.
            if let Some(count) = self.counts.get_mut(usize::from(class)) {
                *count += 1;
            }
        }
        self.classes.push(0, &done.classes)?;
        Ok(self.nuclei.push(0, &done.labels)?)
    }

    fn wants_outputs(&self) -> bool {
        self.probabilities.is_some() || self.outputs.is_some()
    }

    fn outputs(&mut self, _: usize, outputs: &[PredictedOutput]) -> Result<(), ProjectError> {
        let (of_classes, others): (Vec<_>, Vec<_>) = outputs
            .iter()
            .partition(|output| output.name == PROBABILITIES);
        if let Some(file) = &mut self.probabilities {
            let planes: Vec<&Image<f32>> = of_classes.iter().flat_map(|o| &o.planes).collect();
            let (height, width) = planes.first().map_or((0, 0), |plane| plane.size());
            // Few rows at a time: another copy of all would not be within the cap on memory.
            for top in (0..height).step_by(CHANGED_ROWS) {
                let rows = CHANGED_ROWS.min(height - top);
                let part = |plane: &&Image<f32>| plane.crop(top, 0, rows, width);
                let mut part: Vec<Image<f32>> = planes.iter().map(part).collect();
                if let Some(temperatures) = &self.temperatures {
                    temperatures.apply(&mut part);
                }
                for (channel, plane) in part.iter().enumerate() {
                    file.push(channel, plane)?;
                }
            }
        }
        if let Some(file) = &mut self.outputs {
            for (channel, plane) in others.iter().flat_map(|o| &o.planes).enumerate() {
                file.push(channel, plane)?;
            }
        }
        Ok(())
    }
}

fn described(field: &Field, note: Note, channels: Vec<String>, pixel_type: PixelType) -> OmeTiff {
    OmeTiff {
        name: field.name.clone(),
        text: note.text,
        size: (field.height, field.width),
        planes: 1,
        times: 1,
        channels,
        pixel_type,
        pixel_um: note.pixel_um,
        z_step_um: None,
        shrink: Shrink::Nearest,
    }
}

#[cfg(test)]
mod tests;

//! Fields that do not fit into memory: predicted part by part, and written row by row.
//!
//! Classes and nuclei are written as the network goes down the image; whole cells, pictures and the
//! forms that can be are then made of those files, which are read by region as well. So are the
//! cells of fields that lack nothing else.

use std::ops::Range;
use std::path::Path;

use stainfree_image::write::{Note, OmeTiff, OmeTiffRows, PixelType, Shrink};
use stainfree_image::{Field, Image, PlaneRef, Product, Region, Store, marker, read_labels_region};
use stainfree_inference::{
    CellSurvey, PROBABILITIES, PredictedOutput, RegionImage, RegionSink, RowsDone, cell_rows,
    cytoplasm_class,
};

use crate::prediction::forms::Form;
use crate::prediction::opened::OpenedModel;
use crate::prediction::written::{Made, Wanted, note, remove_outputs};
use crate::prediction::zarr;
use crate::study::Brightfield;
use crate::study::provenance::Content;
use crate::{Job, ProjectError, pictures};

/// Rows that are made at once of files that are there: as many as a row of their tiles.
const ROWS: usize = 256;
/// The longest side of a picture of classes over the brightfield.
const PICTURE: usize = 4096;

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
}

/// Refuses what cannot be made of a field by region.
///
/// # Errors
/// Some of it is wanted.
pub(super) fn refuse(field: &Field, wanted: Wanted) -> Result<(), ProjectError> {
    let others = wanted.forms.iter().filter(|form| *form != Form::OmeTiff);
    let mut others: Vec<String> = others.map(|form| format!("`{}`", form.name())).collect();
    others.extend(wanted.zarr.then(|| "`--to ome-zarr`".to_owned()));
    match others.is_empty() {
        true => Ok(()),
        false => Err(ProjectError::Usage(format!(
            "field `{}` of {} x {} pixels is computed by region, and {} cannot be made so; leave \
             them out (`ome-tiff` can)",
            field.name,
            field.height,
            field.width,
            others.join(", ")
        ))),
    }
}

/// Predicts a field and writes all that is wanted of it.
///
/// # Errors
/// Its planes cannot be read, it cannot be predicted, a file cannot be written, or
/// [`ProjectError::Cancelled`].
pub(super) fn predict_by_region(
    model: &mut OpenedModel,
    asked: &Asked,
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
    let names = model.predictor.info().classes.clone();
    let mut files = Files::create(model, asked, &made, job)?;
    let image = RegionImage {
        planes: &planes,
        size,
        pixel_um: field.pixel_um,
    };
    let done = model.predict_regions(field, &image, &mut files, job)?;
    let counts = files.finish()?;
    let store = Store::at(asked.out);
    let model_um = model.predictor.decoder().pixel_um;
    if asked.wanted.cells {
        let note = note(field, "cells", &made);
        cells_by_region(&store, field, (&names, model_um), note, job)?;
    }
    if asked.wanted.forms.iter().any(|form| form == Form::OmeTiff) {
        let note = note(field, Form::OmeTiff.name(), &made);
        ome_by_region(&store, field, asked.wanted.cells, note)?;
    }
    if asked.wanted.overlay {
        put_picture(&store, field, &planes[planes.len() / 2], &names)?;
    }
    Ok(Found {
        content,
        counts,
        blank_share: done.blank_share,
        nuclei: done.count,
    })
}

/// Files that are written while the network goes down the image.
struct Files<'a> {
    classes: OmeTiffRows<u8>,
    nuclei: OmeTiffRows<u32>,
    /// Probabilities of the classes, and what else the network says.
    probabilities: Option<OmeTiffRows<f32>>,
    outputs: Option<OmeTiffRows<f32>>,
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
            let image = said("probabilities", names, PixelType::F32);
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
        let files = [&mut self.probabilities, &mut self.outputs];
        for (file, outputs) in files.into_iter().zip([of_classes, others]) {
            let Some(file) = file else { continue };
            for (channel, plane) in outputs.iter().flat_map(|o| &o.planes).enumerate() {
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

/// Classes, or labels, of rows and columns of a field whose files are there.
fn labels_of(
    store: &Store,
    product: Product,
    field: &Field,
    [rows, columns]: &[Range<usize>; 2],
) -> Result<Image<u32>, ProjectError> {
    let at = Region {
        y: rows.start,
        x: columns.start,
        height: rows.len(),
        width: columns.len(),
    };
    Ok(read_labels_region(&store.path(product, &field.name), at)?)
}

/// Writes the whole cells of a field, made of its classes and nuclei; `names` are those of the
/// classes, with the pixel size for images that know none.
pub(super) fn cells_by_region(
    store: &Store,
    field: &Field,
    (names, model_um): (&[String], Option<f64>),
    note: Note,
    job: &Job,
) -> Result<(), ProjectError> {
    let Some(cytoplasm) = cytoplasm_class(names) else {
        return Ok(());
    };
    let size = (field.height, field.width);
    let read = |at: [Range<usize>; 2]| {
        job.cancel.check()?;
        let classes = labels_of(store, Product::Classes, field, &at)?;
        let nuclei = labels_of(store, Product::Nuclei, field, &at)?;
        Ok::<_, ProjectError>((classes.map(|&class| class as u8), nuclei))
    };
    let mut survey = CellSurvey::new(cytoplasm, size.1, field.pixel_um.or(model_um));
    for top in (0..size.0).step_by(ROWS) {
        let (classes, nuclei) = read([top..(top + ROWS).min(size.0), 0..size.1])?;
        survey.push(&classes, &nuclei);
    }
    let image = described(field, note, vec![String::new()], PixelType::U32);
    let mut file = OmeTiffRows::create(&store.path(Product::Cells, &field.name), &image)?;
    let unsure = cell_rows(
        survey,
        size,
        ROWS,
        read,
        |_, cells| Ok(file.push(0, cells)?),
    )?;
    if unsure > 0 {
        job.progress.note(&format!(
            "field `{}`: {unsure} pixels of cytoplasm lie so far from any nucleus that another \
             one may be nearer",
            field.name
        ));
    }
    Ok(file.finish()?)
}

/// Makes the cells and the form of labels that a field lacks which was predicted before, with the
/// note of its nuclei.
///
/// # Errors
/// Its files say nothing or cannot be read, or one cannot be written.
pub(super) fn derived_by_region(
    store: &Store,
    field: &Field,
    names: (&[String], Option<f64>),
    wanted: Wanted,
    job: &Job,
) -> Result<(), ProjectError> {
    let path = store.path(Product::Nuclei, &field.name);
    let Some(said) = marker::note_of(&path) else {
        return Err(ProjectError::Field(format!(
            "`{}` does not say what it was made from",
            path.display()
        )));
    };
    let note = |what: &str| Note {
        text: format!(
            "stainfree {}",
            said.replacen(": nuclei of", &format!(": {what} of"), 1)
        ),
        pixel_um: field.pixel_um,
    };
    let lacks = |product| !store.path(product, &field.name).is_file();
    if wanted.cells && lacks(Product::Cells) {
        cells_by_region(store, field, names, note("cells"), job)?;
    }
    let mut forms = wanted.forms.iter();
    if forms.any(|form| form == Form::OmeTiff) && lacks(Product::OmeLabels) {
        ome_by_region(store, field, wanted.cells, note(Form::OmeTiff.name()))?;
    }
    Ok(())
}

/// Writes nuclei and cells as channels of one file.
fn ome_by_region(
    store: &Store,
    field: &Field,
    cells: bool,
    note: Note,
) -> Result<(), ProjectError> {
    let all = [(Product::Nuclei, "nuclei"), (Product::Cells, "cells")];
    let products = &all[..if cells { 2 } else { 1 }];
    let channels = products
        .iter()
        .map(|(_, name)| (*name).to_owned())
        .collect();
    let image = described(field, note, channels, PixelType::U32);
    let mut file = OmeTiffRows::create(&store.path(Product::OmeLabels, &field.name), &image)?;
    for top in (0..field.height).step_by(ROWS) {
        let at = [top..(top + ROWS).min(field.height), 0..field.width];
        for (channel, (product, _)) in products.iter().enumerate() {
            file.push(channel, &labels_of(store, *product, field, &at)?)?;
        }
    }
    Ok(file.finish()?)
}

/// A picture of every n-th pixel.
fn put_picture(
    store: &Store,
    field: &Field,
    plane: &PlaneRef,
    names: &[String],
) -> Result<(), ProjectError> {
    let step = field.height.max(field.width).div_ceil(PICTURE);
    let (height, width) = (field.height.div_ceil(step), field.width.div_ceil(step));
    let (mut grey, mut classes) = (Vec::new(), Vec::new());
    for top in (0..field.height).step_by(step * ROWS.div_ceil(step)) {
        let rows = top..(top + step * ROWS.div_ceil(step)).min(field.height);
        let at = [rows.clone(), 0..field.width];
        let of_classes = labels_of(store, Product::Classes, field, &at)?;
        let region = Region {
            y: top,
            x: 0,
            height: rows.len(),
            width: field.width,
        };
        let light = plane.read_region(region)?.to_f32();
        for y in (0..rows.len()).step_by(step) {
            grey.extend(light.row(y).iter().step_by(step));
            classes.extend(
                of_classes
                    .row(y)
                    .iter()
                    .step_by(step)
                    .map(|&class| class as u8),
            );
        }
    }
    let grey = Image::new(height, width, grey);
    let picture = pictures::overlay(&grey, &Image::new(height, width, classes), names)?;
    Ok(store.put_picture(&field.name, &picture)?)
}

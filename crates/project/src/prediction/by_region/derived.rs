//! What is made of the classes and nuclei of a field whose files are there, row by row: whole
//! cells, forms for other programs, stores and pictures.

use std::collections::BTreeMap;
use std::ops::Range;

use stainfree_image::write::{GeoJsonRows, Note, OmeTiffRows, PixelType, RoiRows};
use stainfree_image::{Field, Image, PlaneRef, Product, Region, Store, marker, read_labels_region};
use stainfree_inference::{CellSurvey, cell_rows, cytoplasm_class};
use stainfree_objects::OutlineSurvey;

use super::{Asked, described};
use crate::prediction::forms::{Form, Forms};
use crate::prediction::{sure, zarr};
use crate::{Job, ProjectError, pictures};

/// Rows that are made at once: as many as a row of tiles of the files.
pub(super) const ROWS: usize = 256;
/// The longest side of a picture of classes over the brightfield.
const PICTURE: usize = 4096;

/// How sure nuclei are, by label.
pub(super) type ByLabel = BTreeMap<u32, f64>;

/// Whole rows of classes or labels of a field.
pub(super) fn rows_of(
    store: &Store,
    product: Product,
    field: &Field,
    rows: Range<usize>,
) -> Result<Image<u32>, ProjectError> {
    labels_of(store, product, field, &[rows, 0..field.width])
}

/// Classes, or labels, of rows and columns of a field.
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

/// Pieces of the rows of a field.
pub(super) fn pieces(field: &Field) -> impl Iterator<Item = Range<usize>> + use<> {
    let height = field.height;
    let piece = move |top: usize| top..(top + ROWS).min(height);
    (0..height).step_by(ROWS).map(piece)
}

/// Makes what a field lacks that was predicted before, with the note of its nuclei; `names` are
/// those of the classes, with the pixel size for images that know none.
///
/// # Errors
/// Its files say nothing or cannot be read, or one cannot be written.
pub(in crate::prediction) fn derived_by_region(
    asked: &Asked,
    names: (&[String], Option<f64>),
    job: &Job,
) -> Result<(), ProjectError> {
    let (store, field, wanted) = (Store::at(asked.out), asked.field, asked.wanted);
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
    if wanted.cells && !store.path(Product::Cells, &field.name).is_file() {
        cells_by_region(&store, field, names, note("cells"), job)?;
    }
    if !wanted.forms.exist(&store, &field.name, wanted.cells) {
        let kept = sure::read(&store.path(Product::Confidence, &field.name))?;
        let kept = kept.unwrap_or_default().into_iter();
        let by_label = kept.map(|(label, (_, sure))| (label, sure)).collect();
        forms_by_region(asked, wanted.forms, &by_label, note, job)?;
    }
    if wanted.zarr && !zarr::exists(asked.out, field, asked.hash, wanted.cells) {
        zarr_by_region(asked, names.0, note("results"))?;
    }
    Ok(())
}

/// Writes the whole cells of a field, made of its classes and nuclei.
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
    for rows in pieces(field) {
        let (classes, nuclei) = read([rows, 0..size.1])?;
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

/// Writes the forms of a field's labels; `note` is what a file with this content says.
pub(super) fn forms_by_region(
    asked: &Asked,
    forms: Forms,
    by_label: &ByLabel,
    note: impl Fn(&str) -> Note,
    job: &Job,
) -> Result<(), ProjectError> {
    let (store, field, cells) = (Store::at(asked.out), asked.field, asked.wanted.cells);
    let with_cells = |of_nuclei, of_cells| {
        let all = [
            (of_nuclei, Product::Nuclei, "nuclei"),
            (of_cells, Product::Cells, "cells"),
        ];
        all.into_iter().take(if cells { 2 } else { 1 })
    };
    let mut survey: Option<OutlineSurvey> = None;
    for form in forms.iter() {
        job.cancel.check()?;
        if form.has_outlines() && survey.is_none() {
            survey = Some(surveyed(&store, field, cells, job)?);
        }
        match (form, &survey) {
            (Form::GeoJson, Some(survey)) => {
                put_geojson(
                    &store,
                    field,
                    survey,
                    by_label,
                    note("nuclei").pixel_um,
                    job,
                )?;
            }
            (Form::ImagejRois, Some(survey)) => put_rois(&store, field, survey, job)?,
            (Form::Cellpose, _) => {
                for (to, from, what) in with_cells(Product::Cellpose, Product::CellposeCells) {
                    let channels = [(from, String::new())];
                    put_channels(&store, field, to, &channels, note(what))?;
                }
            }
            (Form::Napari, _) => {
                for (to, from, what) in with_cells(Product::Napari, Product::NapariCells) {
                    let channels = [(from, String::new())];
                    put_channels(&store, field, to, &channels, note(what))?;
                }
            }
            (Form::OmeTiff, _) => {
                let channels = with_cells(Product::Nuclei, Product::Cells);
                let channels: Vec<(Product, String)> = channels
                    .map(|(_, from, name)| (from, name.to_owned()))
                    .collect();
                put_channels(&store, field, Product::OmeLabels, &channels, note("labels"))?;
            }
            (Form::GeoJson | Form::ImagejRois, None) => {}
        }
    }
    Ok(())
}

/// Writes labels of these kinds as channels of one file.
fn put_channels(
    store: &Store,
    field: &Field,
    to: Product,
    channels: &[(Product, String)],
    note: Note,
) -> Result<(), ProjectError> {
    let names = channels.iter().map(|(_, name)| name.clone()).collect();
    let image = described(field, note, names, PixelType::U32);
    let mut file = OmeTiffRows::create(&store.path(to, &field.name), &image)?;
    for rows in pieces(field) {
        for (channel, (from, _)) in channels.iter().enumerate() {
            file.push(channel, &rows_of(store, *from, field, rows.clone())?)?;
        }
    }
    Ok(file.finish()?)
}

/// Where the objects of a field lie.
fn surveyed(
    store: &Store,
    field: &Field,
    cells: bool,
    job: &Job,
) -> Result<OutlineSurvey, ProjectError> {
    let mut survey = OutlineSurvey::new();
    for rows in pieces(field) {
        job.cancel.check()?;
        let nuclei = rows_of(store, Product::Nuclei, field, rows.clone())?;
        let cells = cells.then(|| rows_of(store, Product::Cells, field, rows));
        let pushed = survey.push(&nuclei, cells.transpose()?.as_ref());
        pushed.map_err(|error| ProjectError::Field(format!("field `{}`: {error}", field.name)))?;
    }
    Ok(survey)
}

/// Writes outlines for QuPath: cells with their nuclei, then nuclei that are in none.
fn put_geojson(
    store: &Store,
    field: &Field,
    survey: &OutlineSurvey,
    by_label: &ByLabel,
    pixel_um: Option<f64>,
    job: &Job,
) -> Result<(), ProjectError> {
    let path = store.path(Product::GeoJson, &field.name);
    let mut file = GeoJsonRows::create(&path, &field.name, pixel_um)?;
    survey.cells(
        ROWS,
        |rows| read_both(store, field, rows, job),
        |cell, nucleus| {
            let sure = |label| by_label.get(&label).copied();
            let nucleus = nucleus.map(|nucleus| (nucleus, sure(nucleus.label)));
            Ok(file.cell(cell, nucleus)?)
        },
    )?;
    survey.nuclei(
        ROWS,
        |rows| rows_of(store, Product::Nuclei, field, rows),
        |nucleus, in_cell| match in_cell {
            true => Ok(()),
            false => Ok(file.nucleus(nucleus, by_label.get(&nucleus.label).copied())?),
        },
    )?;
    Ok(file.finish()?)
}

/// Writes outlines for ImageJ.
fn put_rois(
    store: &Store,
    field: &Field,
    survey: &OutlineSurvey,
    job: &Job,
) -> Result<(), ProjectError> {
    let mut file = RoiRows::create(&store.path(Product::Rois, &field.name), &field.name)?;
    survey.nuclei(
        ROWS,
        |rows| rows_of(store, Product::Nuclei, field, rows),
        |nucleus, _| Ok::<_, ProjectError>(file.nucleus(nucleus)?),
    )?;
    survey.cells(
        ROWS,
        |rows| read_both(store, field, rows, job),
        |cell, _| Ok(file.cell(cell)?),
    )?;
    Ok(file.finish()?)
}

/// Nuclei and cells of some rows.
fn read_both(
    store: &Store,
    field: &Field,
    rows: Range<usize>,
    job: &Job,
) -> Result<[Image<u32>; 2], ProjectError> {
    job.cancel.check()?;
    let nuclei = rows_of(store, Product::Nuclei, field, rows.clone())?;
    Ok([nuclei, rows_of(store, Product::Cells, field, rows)?])
}

/// Writes the image of a field with its labels as OME-Zarr.
pub(super) fn zarr_by_region(
    asked: &Asked,
    names: &[String],
    note: Note,
) -> Result<(), ProjectError> {
    let store = Store::at(asked.out);
    let pixels = zarr::Source::Files {
        store: &store,
        planes: &asked.brightfield.sources(asked.field)?,
        cells: asked.wanted.cells,
    };
    let shown = zarr::Shown {
        field: asked.field,
        brightfield: asked.brightfield,
        pixels,
        names,
        note,
    };
    zarr::put(asked.out, &shown)
}

/// Writes how sure nuclei are, painted over them.
pub(super) fn map_by_region(
    store: &Store,
    field: &Field,
    by_label: &ByLabel,
    note: Note,
) -> Result<(), ProjectError> {
    let image = described(field, note, vec![String::new()], PixelType::F32);
    let path = store.path(Product::ConfidenceMap, &field.name);
    let mut file = OmeTiffRows::create(&path, &image)?;
    let sure = |label: &u32| by_label.get(label).map_or(0.0, |sure| *sure as f32);
    for rows in pieces(field) {
        let labels = rows_of(store, Product::Nuclei, field, rows)?;
        file.push(0, &labels.map(sure))?;
    }
    Ok(file.finish()?)
}

/// A picture of every n-th pixel.
pub(super) fn put_picture(
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

//! `measure`: a table with a row per object from label images and any channels, a row per well,
//! plate heat maps.
//!
//! Fields are read, measured and written some at a time, in order: memory does not grow with the
//! plate. A table appears whole or not at all.

mod cellprofiler;
mod cells;
mod csv;
mod heat;
mod inputs;
#[cfg(feature = "parquet")]
mod parquet;
mod shared;
mod sink;
mod table;
mod wells;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use stainfree_image::table::Row;
use stainfree_image::{OpenOptions, Plane};
use stainfree_objects::measure::{Background, Column, FieldImages, MeasurePlan, MeasureSettings};

use crate::prediction::results::fields_of;
use crate::study::each_field::EachField;
use crate::study::fingerprint::Fingerprint;
use crate::study::guard;
use crate::study::lease::{Lease, Thing};
use crate::study::predictions;
use crate::study::shards::Shard;
use crate::truth::given::shared_numbers_note;
use crate::{Cancel, Job, ProjectError};
use cells::ColumnType;
use heat::{HeatMap, STRANGENESS};
pub use inputs::Objects;
use inputs::{Inputs, Work};
pub(crate) use shared::{ended, holders, join};
use sink::{FieldPlace, FieldRows, Sink, TablePlan};
use table::TableFile;
use wells::FIRST as WELL_FIRST;

/// Columns before the measured ones.
const FIRST: [(&str, ColumnType); 6] = [
    ("plate", ColumnType::Text),
    ("well", ColumnType::Text),
    ("site", ColumnType::Integer),
    ("time", ColumnType::Integer),
    ("field", ColumnType::Text),
    ("label", ColumnType::Integer),
];
/// The column by which objects at the rim are told.
const TOUCHES_BORDER: &str = "touches_border";

/// How sure a prediction is of its nuclei.
const CONFIDENCE: &str = "confidence";

/// What to measure, and where it goes.
#[derive(Clone, Debug)]
pub struct MeasureOptions {
    /// Labels of the objects.
    pub objects: Objects,
    /// Plate, folder or file with the intensities.
    pub images: PathBuf,
    /// Labels of whole cells, a folder or a file.
    pub cells: Option<PathBuf>,
    /// The table, a row per object; its ending says the format.
    pub out: PathBuf,
    /// The table with a row per well.
    pub wells: Option<PathBuf>,
    /// Columns to be shown as plate heat maps.
    pub heatmaps: Vec<String>,
    /// Channels to measure; empty = all.
    pub channels: Vec<String>,
    /// z to measure, from 1; `None` = the middle one.
    pub plane: Option<usize>,
    /// What is known of the images that their files do not say.
    pub opening: OpenOptions,
    /// Leave out objects that touch the rim of the image.
    pub skip_border: bool,
    /// Whose names the columns have.
    pub names: ColumnNames,
    /// Replace tables that exist.
    pub overwrite: bool,
    /// Which share of the fields; `None` = all of them.
    pub shard: Option<Shard>,
    /// What to measure and how.
    pub settings: MeasureSettings,
}

/// Whose names the columns of the objects' table have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ColumnNames {
    /// scikit-image's, where it has them.
    #[default]
    Own,
    /// CellProfiler's for what it measures alike, and the own ones for the rest.
    CellProfiler,
}

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MeasuredPlate {
    /// Fields in the table.
    pub fields: usize,
    /// Those of them that the same shard had measured before.
    pub kept: usize,
    /// Rows of the table.
    pub objects: usize,
    /// Wells summed up.
    pub wells: usize,
    /// Names of the table's columns.
    pub columns: Vec<String>,
    /// Files that were written.
    pub files: Vec<PathBuf>,
    /// What failed, a sentence each.
    pub failed: Vec<String>,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// Measures all fields that have labels.
///
/// # Errors
/// The images or labels cannot be opened, a named channel or column does not exist, no label image
/// has the name of a field, a table exists or cannot be written, or [`ProjectError::Cancelled`]
/// (nothing is kept). Where every field failed no table is written, and the result has no fields.
/// A shard leaves its rows for `merge`, and no table.
pub fn measure(options: &MeasureOptions, job: &Job) -> Result<MeasuredPlate, ProjectError> {
    let started = Instant::now();
    check(options)?;
    if let Some(shard) = options.shard {
        return shared::measure_shard(options, shard, started, job);
    }
    match table_of(&options.out, job.cancel)? {
        Some(lease) => lease.during(job, |job| measure_ours(options, started, job)),
        // Its folder is not there, which is said when the table is begun.
        None => measure_ours(options, started, job),
    }
}

/// The folder of a table.
fn folder_of(out: &Path) -> &Path {
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// The lease of a table, by its name: others may be written beside it.
fn table_of(out: &Path, cancel: &Cancel) -> Result<Option<Lease>, ProjectError> {
    let folder = folder_of(out);
    if !folder.is_dir() {
        return Ok(None);
    }
    let mut name = Fingerprint::empty();
    name.bytes(out.file_name().unwrap_or_default().as_encoded_bytes());
    let name = name.finish_short(8);
    let thing = Thing {
        folder,
        name: &format!("table-{name}"),
        command: "measure",
    };
    let way_out = "wait until it ends, or give the table another name";
    thing.own(way_out, cancel).map(Some)
}

/// [`measure`] into a table that nobody else writes.
fn measure_ours(
    options: &MeasureOptions,
    started: Instant,
    job: &Job,
) -> Result<MeasuredPlate, ProjectError> {
    let inputs = open(options, job)?;
    let work = inputs.work(options.plane, job);
    let plan = plan_of(options, &inputs, &work, job)?;
    let table = table_plan(options, &inputs, &plan, &work)?;
    let mut sink = Sink::begin(&table, &options.out, options.wells.as_deref())?;
    let mut measured = MeasuredPlate {
        columns: sink.columns(),
        ..MeasuredPlate::default()
    };
    all_fields(
        &inputs,
        &work,
        &plan,
        options,
        job,
        &mut sink,
        &mut measured,
    )?;
    if measured.fields > 0 {
        measured.wells += sink.close_well()?;
        measured.files = sink.finish()?;
    }
    measured.seconds = started.elapsed().as_secs_f64();
    Ok(measured)
}

/// Opens what is measured, and says where that is not whole yet.
fn open(options: &MeasureOptions, job: &Job) -> Result<Inputs, ProjectError> {
    if let Objects::Prediction(folder) = &options.objects
        && let Some(holder) = fields_of(folder, "measure").holders().first()
    {
        job.progress.note(&format!(
            "`{}` is being filled by {holder}: fields that are not done yet are left out",
            folder.display()
        ));
    }
    Inputs::open(options, job)
}

/// What is measured of every object.
fn plan_of(
    options: &MeasureOptions,
    inputs: &Inputs,
    work: &[Work],
    job: &Job,
) -> Result<MeasurePlan, ProjectError> {
    let calibrated = work.iter().any(|work| work.pixel_um.is_some());
    if !calibrated && options.settings.background == Background::Ring {
        return Err(ProjectError::Usage(
            "`--background ring` needs a pixel size, and none is known; give it with `--pixel-um`"
                .into(),
        ));
    }
    if !calibrated {
        job.progress.note(
            "no pixel size is known: lengths and areas are in pixels only, and no rings are \
             measured; give it with `--pixel-um`",
        );
    }
    MeasurePlan::new(
        options.settings.clone(),
        &inputs.channel_names(),
        inputs.has_cells(),
        calibrated,
    )
    .map_err(|error| ProjectError::Usage(error.to_string()))
}

/// Measures as many fields at once as there are threads, and writes them in order.
fn all_fields(
    inputs: &Inputs,
    work: &[Work],
    plan: &MeasurePlan,
    options: &MeasureOptions,
    job: &Job,
    sink: &mut Sink,
    measured: &mut MeasuredPlate,
) -> Result<(), ProjectError> {
    // Where there are fewer fields than threads, the channels of a field are read at once instead.
    let channels_at_once = work.len() < job.machine.threads();
    EachField::new(job, work, |one| one.field.name.clone()).some_at_once(
        |one| Ok(Ok(one_field(inputs, one, plan, options, channels_at_once)?)),
        |_, error| Ok(Err(error.to_string())),
        |one, found| {
            match found {
                Ok(rows) => {
                    rows.notes.iter().for_each(|note| job.progress.note(note));
                    measured.fields += 1;
                    measured.objects += rows.labels.len();
                    measured.failed.extend(rows.missing.iter().cloned());
                    measured.wells += sink.add(&FieldPlace::of(one), rows)?;
                }
                Err(sentence) => measured.failed.push(sentence),
            }
            Ok(())
        },
    )
}

fn one_field(
    inputs: &Inputs,
    work: &Work,
    plan: &MeasurePlan,
    options: &MeasureOptions,
    channels_at_once: bool,
) -> Result<FieldRows, ProjectError> {
    let mut notes = Vec::new();
    let (objects, cells) = inputs.read_labels(work, &mut notes)?;
    let size = objects.size();
    let read = |&channel: &usize| inputs.read_channel(work, channel, options.plane, size);
    let planes: Result<Vec<Option<Plane>>, ProjectError> = if channels_at_once {
        inputs.channels.par_iter().map(read).collect()
    } else {
        inputs.channels.iter().map(read).collect()
    };
    let planes = planes?;
    let lacks = |(plane, name): (&Option<Plane>, String)| {
        let sentence = format!(
            "field `{}` has no image of the channel `{name}`; its cells are empty",
            work.field.name
        );
        plane.is_none().then_some(sentence)
    };
    let missing = planes
        .iter()
        .zip(inputs.channel_names())
        .filter_map(lacks)
        .collect();
    let images = FieldImages {
        objects: &objects,
        cells: cells.as_ref(),
        channels: &planes,
        pixel_um: work.pixel_um,
    };
    let in_field = |error: stainfree_objects::ObjectsError| {
        ProjectError::Field(format!("field `{}`: {error}", work.field.name))
    };
    let mut found = plan.measure(&images).map_err(in_field)?;
    if inputs.has_confidence() {
        found
            .columns
            .push(inputs.confidences(work, &objects, &found.labels)?);
    }
    let by_field = options.settings.background == Background::Field;
    let background =
        background_note(plan, &found.columns, &work.field.name, &planes).filter(|_| by_field);
    notes.extend(background);
    notes.extend(shared_numbers_note(&work.labels.path, &objects));
    if options.skip_border {
        let place = plan
            .columns()
            .iter()
            .position(|column| column.name == TOUCHES_BORDER);
        let inside: Vec<bool> = match place {
            Some(place) => found.columns[place]
                .iter()
                .map(|&touches| touches == 0.0)
                .collect(),
            None => vec![true; found.labels.len()],
        };
        keep(&mut found.labels, &inside);
        found
            .columns
            .iter_mut()
            .for_each(|column| keep(column, &inside));
    }
    Ok(FieldRows {
        labels: found.labels,
        columns: found.columns,
        size,
        missing,
        notes,
    })
}

/// Says where a field has no background, and what that means.
fn background_note(
    plan: &MeasurePlan,
    columns: &[Vec<f64>],
    field: &str,
    planes: &[Option<Plane>],
) -> Option<String> {
    let all_known = planes.iter().all(Option::is_some);
    let is_unknown = |(column, values): (&Column, &Vec<f64>)| {
        let whole = column.name.starts_with("background") && !values.is_empty();
        whole && values.iter().all(|value| value.is_nan())
    };
    let unknown = plan.columns().iter().zip(columns).any(is_unknown);
    (all_known && unknown).then(|| {
        format!(
            "field `{field}` has no background: nothing lies outside its objects, cells and rings, \
             so the `_net` columns are empty there; a smaller `--ring` may help"
        )
    })
}

/// Keeps the values whose flag is set.
fn keep<T>(values: &mut Vec<T>, flags: &[bool]) {
    let mut flags = flags.iter();
    values.retain(|_| flags.next().is_some_and(|&flag| flag));
}

/// The plan of the table, where nothing stands in its way.
fn table_plan(
    options: &MeasureOptions,
    inputs: &Inputs,
    plan: &MeasurePlan,
    work: &[Work],
) -> Result<TablePlan, ProjectError> {
    let by_well = options.wells.is_some() || !options.heatmaps.is_empty();
    if by_well && work.iter().all(|work| work.field.position.well.is_none()) {
        return Err(ProjectError::Usage(format!(
            "`{}` names no wells, so there is nothing to sum up; leave `--wells` and `--heatmap` \
             out",
            options.images.display()
        )));
    }
    let program = format!("stainfree {}", env!("CARGO_PKG_VERSION"));
    let facts = [
        ("program", program),
        ("images", options.images.display().to_string()),
        ("labels", options.objects.path().display().to_string()),
        ("model", inputs.models.clone()),
    ];
    let mut table = TablePlan {
        names: options.names,
        channels: inputs.channel_names(),
        measured: sink::columns(plan, inputs),
        by_well,
        heatmaps: options.heatmaps.clone(),
        strangeness: BTreeMap::new(),
        facts: facts.map(|(key, value)| (key.to_owned(), value)).into(),
    };
    let wells = table.wells();
    let heatmaps = table.maps(wells.as_ref().map_or(&[][..], |wells| &wells.heads))?;
    spare_others(&heatmaps, options, inputs, work)?;
    if options.heatmaps.iter().any(|name| name == STRANGENESS) {
        table.strangeness = strangeness(&options.objects)?;
    }
    Ok(table)
}

/// What `predict` says of how unlike the training its fields are.
///
/// # Errors
/// The objects are no predictions, or their table cannot be read or says nothing of it.
fn strangeness(objects: &Objects) -> Result<BTreeMap<String, f64>, ProjectError> {
    let nothing = |why: String| ProjectError::Usage(format!("`--heatmap {STRANGENESS}`: {why}"));
    let Objects::Prediction(folder) = objects else {
        return Err(nothing(
            "only folders that `predict` has filled know it".to_owned(),
        ));
    };
    let path = folder.join(predictions::FILE_NAME);
    let mut found = BTreeMap::new();
    if let Some(table) = predictions::read(&path)?
        && let Some((name, value)) = table.column("name").zip(table.column(STRANGENESS))
    {
        let of = |row: &Row| Some((row.cell(name).to_owned(), row.cell(value).parse().ok()?));
        found.extend(table.rows.iter().filter_map(of));
    }
    match found.is_empty() {
        false => Ok(found),
        true => Err(nothing(format!(
            "`{}` says nothing of it; `stainfree tune` lets the model know its training, and \
             `predict --overwrite` compares with it",
            path.display()
        ))),
    }
}

/// Refuses to write over what is read, and heat maps over what is none.
fn spare_others(
    heatmaps: &[HeatMap],
    options: &MeasureOptions,
    inputs: &Inputs,
    work: &[Work],
) -> Result<(), ProjectError> {
    let in_wells = work
        .iter()
        .filter(|work| work.field.position.well.is_some());
    let plates = in_wells.map(|work| (&work.field.position.plate, work.field.time));
    let plates = plates.collect();
    let maps: Vec<PathBuf> = heatmaps
        .iter()
        .flat_map(|map| map.files(&options.out, &plates))
        .collect();
    let tables = std::iter::once(&options.out).chain(&options.wells);
    let outputs: Vec<&Path> = tables.chain(&maps).map(PathBuf::as_path).collect();
    let read = inputs.files();
    for output in &outputs {
        read.spare(output, "give another name")?;
    }
    guard::check_different(&outputs)?;
    // Maps of older versions do not say whose they are; the table beside them does.
    let replaces = options.overwrite && options.out.is_file();
    for map in &maps {
        let is_ours = |path: &Path| replaces || guard::is_our_picture(path);
        guard::check_file(map, "heat map of this program", is_ours)?;
        refuse_existing(map, options)?;
    }
    Ok(())
}

/// Neither a table nor a map says what it was made from: any that is there counts.
fn refuse_existing(path: &Path, options: &MeasureOptions) -> Result<(), ProjectError> {
    // Shards leave tables to `merge`.
    match path.is_file() && !options.overwrite && options.shard.is_none() {
        true => Err(ProjectError::Exists(format!(
            "`{}` exists; give another name, or `--overwrite`",
            path.display()
        ))),
        false => Ok(()),
    }
}

/// What can be said before anything is opened.
fn check(options: &MeasureOptions) -> Result<(), ProjectError> {
    let tables: Vec<&Path> = [Some(&options.out), options.wells.as_ref()]
        .into_iter()
        .flatten()
        .map(PathBuf::as_path)
        .collect();
    if guard::check_different(&tables).is_err() {
        return Err(ProjectError::Usage(format!(
            "`--out` and `--wells` are both `{}`; give the table of wells a name of its own",
            options.out.display()
        )));
    }
    check_ours(&options.out, options.wells.as_deref())?;
    tables
        .into_iter()
        .try_for_each(|path| refuse_existing(path, options))?;
    if options.plane == Some(0) {
        return Err(ProjectError::Usage(
            "`--plane 0`: planes are counted from 1".into(),
        ));
    }
    Ok(())
}

/// Refuses to replace what is no table of ours, and names whose format nobody knows.
fn check_ours(out: &Path, wells: Option<&Path>) -> Result<(), ProjectError> {
    let names = |first: &[(&'static str, ColumnType)]| -> Vec<&'static str> {
        first.iter().map(|&(name, _)| name).collect()
    };
    let of_objects = vec![names(&FIRST), names(&cellprofiler::FIRST)];
    let heads = [of_objects, vec![names(&WELL_FIRST)]];
    for (path, heads) in std::iter::once(out).chain(wells).zip(heads) {
        TableFile::check(path)?;
        guard::check_file(path, "table of `measure`", |path| {
            heads.iter().any(|heads| table::is_ours(path, heads))
        })?;
    }
    Ok(())
}

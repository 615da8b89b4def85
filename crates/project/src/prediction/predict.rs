//! `predict`: class masks and nuclei of unstained images.
//!
//! What is already done by the same model from the same image is skipped, and what is of anything
//! else is replaced only where that is asked for; one bad file is reported and counted, the rest
//! goes on. A row of the table vouches for the files of its field: it is taken out before they are
//! rewritten, so that it never stands beside those of another model. Files without a row are told
//! by their notes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use stainfree_image::marker::{self, Kind};
use stainfree_image::{Dataset, Field, Product, Store};
use stainfree_inference::{Options, cytoplasm_class};

use crate::prediction::by_region::{Asked, derived_by_region};
use crate::prediction::desk::{Computed, Desk, Finished};
use crate::prediction::familiar::{Familiarity, Strange};
use crate::prediction::made_from::MadeFrom;
use crate::prediction::opened::OpenedModel;
pub use crate::prediction::options::PredictOptions;
use crate::prediction::pixel_size::remarks_on_pixel_sizes;
use crate::prediction::recognised::{Task, already, conditions};
use crate::prediction::results::{fields_of, my_turn, open_inputs, share_fields, unique_names};
use crate::prediction::sure::{WellCount, wells};
use crate::prediction::table::{self, COMMAND, OwnRows, Rows};
use crate::prediction::written::{
    PRODUCTS, Wanted, cells_of_files, forms_of_files, is_large, remove_outputs,
};
use crate::prediction::zarr;
use crate::study::disk::create_folder;
use crate::study::each_field::{EachField, of_this_field};
use crate::study::guard::{Inputs, ResultFolder};
pub use crate::study::predictions::FILE_NAME;
use crate::study::predictions::header;
use crate::study::provenance::Provenance;
use crate::study::shards::Share;
use crate::{Job, ProjectError};

/// What was predicted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Predicted {
    /// Fields done now.
    pub done: usize,
    /// Fields that were done already.
    pub skipped: usize,
    /// Nuclei in all fields.
    pub nuclei: usize,
    /// True nuclei that are expected in the wells of the inputs, where the model has a confidence.
    pub wells: Vec<WellCount>,
    /// Fields with pixels that show nothing: name, and their share.
    pub ignored: Vec<(String, f64)>,
    /// What is unlike the training.
    pub strange: Strange,
    /// What failed, a sentence each.
    pub failed: Vec<String>,
    /// Wall time in seconds.
    pub seconds: f64,
}

impl Predicted {
    fn add(&mut self, field: &Field, found: &Finished) {
        self.done += 1;
        self.nuclei += found.nuclei;
        if found.blank_share > 0.0 {
            self.ignored.push((field.name.clone(), found.blank_share));
        }
    }
}

/// Predicts every field of the inputs.
///
/// # Errors
/// The model cannot be loaded, no input can be opened, two inputs share a field name, the folder
/// cannot be written or holds other results of these fields that are not to be replaced, or
/// [`ProjectError::Cancelled`] (what is finished is kept).
pub fn predict(options: &PredictOptions, job: &Job) -> Result<Predicted, ProjectError> {
    let started = Instant::now();
    let predicting = Options {
        flips: options.flips,
        rule: options.rule.clone(),
        device: options.device,
    };
    let mut model = OpenedModel::open(&options.model, job.machine, &predicting)?;
    let info = model.predictor.info().clone();
    let hash = model.predictor.hash().to_owned();
    if let Some(sentence) = model.predictor.unknown_keys() {
        job.progress.note(&sentence);
    }
    let (sets, failed) = open_inputs(&options.inputs, &options.opening);
    if let (true, Some(first)) = (sets.is_empty(), failed.first()) {
        return Err(ProjectError::Failed(first.clone()));
    }
    let mut work = tasks_of(&sets, &model, options, job)?;
    let known = Familiarity::open(&options.model, &model.predictor, job);
    let header = header(&info.classes);
    let wanted = wanted_of(options, &model)?;
    // All shards together replace what is there.
    let ours: BTreeSet<String> = work.iter().map(|task| task.field.name.clone()).collect();
    let read_rows = || {
        let may_go = |name: &str| options.overwrite && ours.contains(name);
        table::all_rows(&options.out, &header, may_go)
    };
    let fields = work.iter().map(|task| task.field);
    let share = Share::of((COMMAND, ""), &options.out, fields, options.shard);
    work.retain(|task| share.has(&task.field.name));
    let rows = read_rows()?;
    let todo = |rows: &Rows, task: &Task| {
        let done = already(rows, &header, task, &hash);
        done.filter(|_| wanted.exist(task.field, &options.out, &hash))
    };
    let to_write = work.iter().filter(|task| todo(&rows, task).is_none());
    check_folder(to_write, &sets, options)?;
    refuse_others(&rows, &header, &work, &hash, options)?;
    let record = Provenance::of_model(&options.model, &info.hashes)?;
    share.wait_for_the_dead(&fields_of(&options.out, COMMAND), job)?;
    // Others may fill the same folder: what they have done until now is done.
    let turn = my_turn(&options.out, COMMAND, job.cancel)?;
    let rows = read_rows()?;
    refuse_others(&rows, &header, &work, &hash, options)?;
    let mut predicted = Predicted {
        failed,
        ..Predicted::default()
    };
    let done_before = |task: &Task| {
        let known = todo(&rows, task).map(Before::Done);
        known.or_else(|| {
            let there = wanted.but_derived();
            let there = there.exist(task.field, &options.out, &hash);
            let done = already(&rows, &header, task, &hash);
            done.filter(|_| there).map(Before::Lacking)
        })
    };
    let (mut tasks, lacking) = sorted(work, done_before, &mut predicted, job);
    let all = tasks.iter().chain(lacking.iter().map(|(task, _)| task));
    let names = all.map(|task| task.field.name.clone()).collect();
    let lease = share_fields(&options.out, &share.command(COMMAND), names, job)?;
    let is_new = !(tasks.is_empty() && lacking.is_empty());
    mark(options, &hash, record.as_ref(), (wanted, is_new))?;
    share.write(job)?;
    let ours = tasks.iter().map(|task| task.field.name.as_str());
    table::forget(&options.out, &header, ours)?;
    drop(turn);
    lease.during(job, |job| {
        let damaged = add_derived(&model, lacking, &mut predicted, (options, wanted), job)?;
        if !damaged.is_empty() {
            let _turn = my_turn(&options.out, COMMAND, job.cancel)?;
            let names = damaged.iter().map(|task| task.field.name.as_str());
            table::forget(&options.out, &header, names)?;
            tasks.extend(damaged);
        }
        let table = OwnRows::new(&options.out, share.table(), header.clone());
        predict_ours(
            &mut model,
            &tasks,
            &mut predicted,
            table,
            (options, wanted, known.as_ref()),
            job,
        )
    })?;
    if share.shard().is_none() {
        finish(
            &sets,
            (&model, known.as_ref()),
            (options, wanted, &header),
            &mut predicted,
            job,
        )?;
    }
    predicted.seconds = started.elapsed().as_secs_f64();
    Ok(predicted)
}

/// What there is of a field already, with the number of its nuclei.
enum Before {
    /// Everything.
    Done(usize),
    /// Everything but what can be made of its files.
    Lacking(usize),
}

/// The fields that are to be predicted, and those that lack only what can be made of their files;
/// the others are counted as done.
fn sorted<'a>(
    work: Vec<Task<'a>>,
    done_before: impl Fn(&Task) -> Option<Before>,
    predicted: &mut Predicted,
    job: &Job,
) -> (Vec<Task<'a>>, Vec<(Task<'a>, usize)>) {
    let total = work.len();
    let (mut tasks, mut lacking) = (Vec::new(), Vec::new());
    for task in work {
        match done_before(&task) {
            None => tasks.push(task),
            Some(Before::Lacking(nuclei)) => lacking.push((task, nuclei)),
            Some(Before::Done(nuclei)) => {
                predicted.skipped += 1;
                predicted.nuclei += nuclei;
                let message = format!("{} (done already)", task.field.name);
                job.progress.step(predicted.skipped, total, &message);
            }
        }
    }
    (tasks, lacking)
}

/// What a run of all fields says and lists of wells, which `merge` does once all shards are done.
fn finish(
    sets: &[Dataset],
    (model, known): (&OpenedModel, Option<&Familiarity>),
    (options, wanted, header): (&PredictOptions, Wanted, &[String]),
    predicted: &mut Predicted,
    job: &Job,
) -> Result<(), ProjectError> {
    let rows = table::all_rows(&options.out, header, |_| false)?;
    if let Some(known) = known {
        predicted.strange = Strange::of(sets, &rows, header, known);
        let sentences = predicted.strange.sentences();
        sentences.iter().for_each(|said| job.progress.note(said));
        let adapted = model.predictor.info().adapted.is_some();
        if let Some(said) = predicted.strange.way_on(adapted) {
            job.progress.note(&said);
        }
    }
    if let Some(confidence) = model.predictor.confidence() {
        predicted.wells = wells(sets, &rows, header, confidence);
    }
    if wanted.zarr {
        let _turn = my_turn(&options.out, COMMAND, job.cancel)?;
        let fields = sets.iter().flat_map(|set| &set.fields);
        let plates = fields.filter_map(|field| field.position.plate.as_deref());
        zarr::finish_plates(&options.out, plates.collect())?;
    }
    Ok(())
}

/// What is to be written of each field.
fn wanted_of(options: &PredictOptions, model: &OpenedModel) -> Result<Wanted, ProjectError> {
    let predictor = &model.predictor;
    let wanted = Wanted {
        cells: cytoplasm_class(&predictor.info().classes).is_some(),
        probabilities: options.probabilities,
        temperatures: predictor.temperatures().map(|found| found.number()),
        outputs: options.probabilities && predictor.outputs().len() > 1,
        overlay: options.overlay,
        confidence: predictor.confidence().is_some(),
        confidence_map: options.confidence_map,
        forms: options.forms,
        zarr: options.zarr,
    };
    match options.confidence_map && !wanted.confidence {
        true => Err(no_confidence(options)),
        false => Ok(wanted),
    }
}

/// The map of what nobody knows.
fn no_confidence(options: &PredictOptions) -> ProjectError {
    ProjectError::Usage(format!(
        "`--confidence-map`: the model `{}` does not know how sure its nuclei are; `stainfree \
         tune` in its study fits that, or leave the option out",
        options.model.display()
    ))
}

/// Makes the cells and the forms for other programs of fields that lack nothing else, from their
/// classes and nuclei; gives those whose files cannot be read.
fn add_derived<'a>(
    model: &OpenedModel,
    lacking: Vec<(Task<'a>, usize)>,
    predicted: &mut Predicted,
    (options, wanted): (&PredictOptions, Wanted),
    job: &Job,
) -> Result<Vec<Task<'a>>, ProjectError> {
    let store = Store::at(&options.out);
    let names = &model.predictor.info().classes;
    let pixel_um = model.predictor.decoder().pixel_um;
    let large = too_large(model, lacking.iter().map(|(task, _)| task));
    let fields = EachField::new(job, &lacking, |(task, _)| {
        format!("{} (from its labels)", task.field.name)
    });
    let made = fields.after(predicted.skipped).at_once(
        |(task, _)| {
            if is_large(task.field) || large.contains(&*task.field.name) {
                let asked = Asked {
                    field: task.field,
                    brightfield: &task.brightfield,
                    out: &options.out,
                    wanted,
                    hash: model.predictor.hash(),
                };
                derived_by_region(&asked, (names, pixel_um), job)?;
                return Ok(true);
            }
            let cells = store.path(Product::Cells, &task.field.name);
            if wanted.cells && !cells.is_file() {
                cells_of_files(&store, task.field, names, pixel_um)?;
            }
            if !wanted.forms.is_empty()
                && !wanted.forms.exist(&store, &task.field.name, wanted.cells)
            {
                forms_of_files(&store, task.field, wanted.forms, wanted.cells)?;
            }
            if wanted.zarr {
                let (out, cells) = (&options.out, wanted.cells);
                zarr::put_files(&store, out, task.field, &task.brightfield, names, cells)?;
            }
            Ok(true)
        },
        |_, error| {
            let sentence = format!("{error}; the field is predicted again");
            job.progress.note(&sentence);
            Ok(false)
        },
    )?;
    drop(large);
    let mut damaged = Vec::new();
    for ((task, nuclei), made) in lacking.into_iter().zip(made) {
        if made {
            predicted.skipped += 1;
            predicted.nuclei += nuclei;
        } else {
            damaged.push(task);
        }
    }
    Ok(damaged)
}

/// What is asked for of each field of the inputs.
fn tasks_of<'a>(
    sets: &'a [Dataset],
    model: &OpenedModel,
    options: &PredictOptions,
    job: &Job,
) -> Result<Vec<Task<'a>>, ProjectError> {
    let conditions = conditions(model, options.flips, job);
    let mut tasks = Vec::new();
    for set in sets {
        for problem in &set.problems {
            job.progress.note(problem);
        }
        let brightfield = model.brightfield(set, &options.brightfield, &options.planes)?;
        let task = |field| Task::new(field, &brightfield, &conditions);
        tasks.extend(set.fields.iter().map(task));
    }
    unique_names(tasks.iter().map(|task| task.field), sets)?;
    let fields: Vec<&Field> = tasks.iter().map(|task| task.field).collect();
    for sentence in remarks_on_pixel_sizes(model.predictor.info(), &fields) {
        job.progress.note(&sentence);
    }
    Ok(tasks)
}

/// Says what the folder is and whose predictions it holds, before anything lies in it.
fn mark(
    options: &PredictOptions,
    model: &str,
    record: Option<&Provenance>,
    (wanted, is_new): (Wanted, bool),
) -> Result<(), ProjectError> {
    create_folder(&options.out)?;
    let made_from = MadeFrom {
        model: Some(options.model.clone()),
        images: (options.inputs.iter())
            .map(|path| (path.clone(), options.opening.clone()))
            .collect(),
    };
    // What is given again and done already changes nothing, wherever its images lie by now.
    let is_marked =
        || marker::read(&options.out).is_some_and(|m| m.model.as_deref() == Some(model));
    if is_new || !is_marked() {
        made_from.put(&options.out, model)?;
    }
    for product in wanted.products() {
        create_folder(&Store::at(&options.out).folder(product))?;
    }
    record.map_or(Ok(()), |record| record.put_beside(&options.out, model))
}

/// Predicts fields that nobody else is at.
fn predict_ours(
    model: &mut OpenedModel,
    todo: &[Task],
    predicted: &mut Predicted,
    mut table: OwnRows,
    (options, wanted, known): (&PredictOptions, Wanted, Option<&Familiarity>),
    job: &Job,
) -> Result<(), ProjectError> {
    let desk = Desk::new(model, options, wanted, known, job);
    // The finishing stage has a thread of its own and parallel loops: those of the network do them.
    let workers = model.predictor.workers().clone();
    let large = too_large(model, todo);
    let is_large = |task: &Task| large.contains(&*task.field.name);
    let fields = EachField::new(job, todo, |task| task.field.name.clone());
    let ended = fields.after(predicted.skipped).in_stages(
        |task| (!is_large(task)).then(|| task.brightfield.read(task.field)),
        |task, planes| {
            let begun = Instant::now();
            let computed = match planes {
                Some(planes) => {
                    let computed = desk.compute(model, task.field, planes, job);
                    computed.map(Begun::InMemory)
                }
                None => desk.by_region(model, task, job).map(Begun::Finished),
            };
            (begun, computed)
        },
        |task, (begun, computed)| {
            let finished = computed.and_then(|found| match found {
                Begun::InMemory(found) => workers.run(|| desk.finish(task, found)),
                Begun::Finished(finished) => Ok(finished),
            });
            (begun.elapsed().as_secs_f64(), finished)
        },
        |task, (seconds, result)| {
            match result {
                Ok(found) => {
                    predicted.add(task.field, &found);
                    table.put(desk.row_done(task, &found, seconds));
                }
                Err(error) => {
                    let sentence = of_this_field(error)?.to_string();
                    // What another model, or an older image, has left is not this one's.
                    remove_outputs(&options.out, &task.field.name, &PRODUCTS)?;
                    zarr::remove(&options.out, task.field)?;
                    table.put(desk.row_failed(task, &sentence));
                    predicted.failed.push(sentence);
                }
            }
            table.save_now_and_then()
        },
    );
    table.save()?;
    ended?;
    remark_on_ignored(predicted, job);
    Ok(())
}

/// Names of the fields that do not fit into memory; those of one size are asked for once.
fn too_large<'a>(
    model: &OpenedModel,
    todo: impl IntoIterator<Item = &'a Task<'a>>,
) -> BTreeSet<&'a str> {
    let mut known: Option<((usize, usize), Option<f64>, bool)> = None;
    let mut large = BTreeSet::new();
    for task in todo {
        let (size, um) = ((task.field.height, task.field.width), task.field.pixel_um);
        let is_large = match known {
            Some((other, other_um, is_large)) if (other, other_um) == (size, um) => is_large,
            _ => model.needs_regions(task.field, &task.brightfield),
        };
        known = Some((size, um, is_large));
        if is_large {
            large.insert(&*task.field.name);
        }
    }
    large
}

/// What the network's stage hands on.
enum Begun {
    InMemory(Computed),
    /// A field that does not fit into memory is written while it is computed.
    Finished(Finished),
}

/// Refuses to write over an image, or over what this program did not write, or to delete it:
/// outputs that are not asked for are taken away.
fn check_folder<'a>(
    todo: impl Iterator<Item = &'a Task<'a>> + Clone,
    sets: &[Dataset],
    options: &PredictOptions,
) -> Result<(), ProjectError> {
    let store = Store::at(&options.out);
    if options.zarr {
        let mut fields = todo.clone().map(|task| task.field);
        fields.try_for_each(|field| zarr::check(&options.out, field))?;
    }
    let mut files: Vec<PathBuf> = todo
        .flat_map(|task| PRODUCTS.map(|kind| store.path(kind, &task.field.name)))
        .collect();
    files.push(options.out.join(FILE_NAME));
    let folder = ResultFolder {
        path: &options.out,
        kind: &Kind::Prediction,
        way_out: "choose a folder of its own for the results with `--out`",
    };
    Ok(folder.check(&Inputs::of(sets), files.iter().map(PathBuf::as_path))?)
}

/// Refuses to replace what the program has made of these fields from something else, unless that is
/// asked for.
fn refuse_others(
    rows: &Rows,
    header: &[String],
    work: &[Task],
    model: &str,
    options: &PredictOptions,
) -> Result<(), ProjectError> {
    let status = header.iter().position(|name| name == "status");
    let is_other = |task: &&Task| match rows.get(&task.field.name) {
        Some(row) => {
            let is_done = status.is_some_and(|i| row[i] == "done");
            is_done && already(rows, header, task, model).is_none()
        }
        None => !task.is_left_over(model, &options.out),
    };
    if options.overwrite {
        return Ok(());
    }
    let mut others = work.iter().filter(is_other);
    let Some(first) = others.next() else {
        return Ok(());
    };
    Err(ProjectError::Exists(format!(
        "`{}` holds results of {} of {} fields, such as `{}`, that are of another model, image, \
         option or version; replace them with `--overwrite`, or choose another folder with \
         `--out`",
        options.out.display(),
        1 + others.count(),
        work.len(),
        first.field.name
    )))
}

/// Says which fields were seen in part only.
fn remark_on_ignored(predicted: &Predicted, job: &Job) {
    let most = predicted.ignored.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((name, share)) = most {
        job.progress.note(&format!(
            "{} of {} fields hold pixels that show nothing, {:.1} % of `{name}`: regions of one \
             value or without numbers, such as the rim of a stitched image; they are ignored \
             (255 in `classes`), see `ignored_share` in `{FILE_NAME}`",
            predicted.ignored.len(),
            predicted.done,
            100.0 * share
        ));
    }
}

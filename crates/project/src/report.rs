//! `report`: one self-contained page about a study and one of its models; `result` has that about a
//! result of `predict`.
//!
//! Here: gathering numbers and pictures. How they look is in [`stainfree_report`].

use std::path::{Path, PathBuf};

use stainfree_image::{Field, Image, Product, Store, rounded_um};
use stainfree_network::model::Model;
use stainfree_objects::NUCLEUS;
use stainfree_report::{
    Column, Fact, FieldCard, Figure, Judgement, Picture, ReportData, Rgb, Swatch, Table,
    TruthQuality, brightfield_picture, class_color, class_colors, error_legend, error_picture,
    field_facts, outline_legend, overlay_classes, render, scale_down, side_by_side, stain_picture,
    worst_and_best,
};
use stainfree_scores::verdict::{Evidence, Verdict};
use stainfree_scores::{FieldRow as ScoredRow, Scores, Standing};

mod curves;
mod result;
mod steps;

use curves::charts;
pub use result::{ResultOptions, report_result};
use steps::{Places, next_steps};

use crate::evaluation::disagreement::{self, Disagreement, Kind};
use crate::evaluation::score_model::unit;
use crate::evaluation::wrong_objects::{self, Seen, WrongObject};
use crate::study::config::nucleus_classes;
use crate::study::fields::FieldRow;
use crate::study::guard::{self, Inputs};
use crate::study::read_middle;
use crate::study::{Brightfield, Source, Study};
use crate::training::shared::duration;
use crate::{Job, Part, ProjectError};

/// Pictures are at most this large: enough to see cells, small enough for a page.
const PICTURE_SIDE: usize = 640;
/// Fields shown in full.
const FIGURES: usize = 3;
/// Worst and best fields shown.
const CARDS: usize = 3;
/// Colour of the nuclear stain in pictures.
const STAIN: Rgb = [86, 140, 255];

/// What to report on.
#[derive(Clone, Debug, Default)]
pub struct ReportOptions {
    /// Name of the model.
    pub model: String,
    /// Title of the page; the name of the study's folder if there is none.
    pub title: Option<String>,
    /// Show these scored fields instead of the study's test fields.
    pub shown: Option<ScoredSet>,
    /// Sentences for the top of the page.
    pub summary: Vec<String>,
    /// Parts whose disagreements are shown; empty = training and validation. To correct test fields
    /// where model and truth disagree flatters the model.
    pub disagreements: Vec<Part>,
}

/// Fields that were predicted and scored, with where everything lies.
#[derive(Clone, Debug)]
pub struct ScoredSet {
    /// What they are, for the subtitle.
    pub title: String,
    /// Their scores.
    pub scores: Scores,
    /// Their objects that are wrong.
    pub wrong: Vec<WrongObject>,
    /// Their images.
    pub fields: Vec<Field>,
    /// Which planes are brightfield.
    pub brightfield: Brightfield,
    /// Channel of the nuclear stain, where there is one.
    pub nucleus: Option<usize>,
    /// What their true class masks are kept in.
    pub truth: Store,
    /// What their predicted ones are kept in.
    pub prediction: Store,
}

/// Name of the page.
const PAGE: &str = "report.html";
/// Folder of the report's first figures as files, for slides and papers.
const PICTURES: &str = "pictures";

fn make_folder(file: &Path) -> Result<(), ProjectError> {
    let folder = file.parent().unwrap_or(file);
    std::fs::create_dir_all(folder).map_err(|error| ProjectError::write(folder, &error))
}

fn folder_name(study: &Study) -> String {
    let name = study.root().file_name();
    name.map_or("study".into(), |name| name.to_string_lossy().into_owned())
}

/// A page that was written.
#[derive(Clone, Debug)]
pub struct Reported {
    /// The page.
    pub page: PathBuf,
    /// Whether the numbers on it can be used.
    pub verdict: Verdict,
}

/// What is said of numbers of a study's model, and what to do next; `shown` are scores of other
/// fields than its test.
fn judgement(study: &Study, model: &str, set: Option<&ScoredSet>) -> Judgement {
    let verdict = Verdict::of(&Evidence {
        test: set.map(|set| (&set.scores).into()),
        result: None,
    });
    let name = (study.models().len() > 1).then(|| model.to_owned());
    let places = Places {
        study: Some((study.root().to_owned(), name)),
        ..Places::default()
    };
    Judgement {
        about: format!(
            "Counts and areas that the model `{model}` measures on plates like those of its test: \
             the same microscope, cells and focus. For the numbers of one plate, give \
             `stainfree report` the folder with its results."
        ),
        next: next_steps(&verdict, &places),
        verdict,
    }
}

/// Writes `report.html` and the figures in `pictures/` into the study.
///
/// # Errors
/// No such model, a field that cannot be read, or a page that cannot be written.
pub fn report(study: &Study, options: &ReportOptions, job: &Job) -> Result<Reported, ProjectError> {
    study.truth_must_be_still("report")?;
    let folder = study.model_path(&options.model);
    let model = Model::load(&folder)?;
    let rows = study.fields()?;
    let source = study.source()?;
    let set = match &options.shown {
        Some(set) => Some(set.clone()),
        None => test_set(study, &source, &options.model, &model.hash(), job)?,
    };
    let title = options.title.clone().unwrap_or_else(|| folder_name(study));
    let judgement = judgement(study, &options.model, set.as_ref());
    let verdict = judgement.verdict.clone();
    let config_path = study.config_path();
    let mut data = ReportData {
        title,
        subtitle: match &set {
            Some(set) => format!("model `{}` on {}", options.model, set.title),
            None => format!(
                "model `{}`, not scored yet (run `stainfree evaluate`)",
                options.model
            ),
        },
        judgement: Some(judgement),
        summary: options.summary.clone(),
        facts: facts(study, &rows, &model, &unit(study, &rows)?),
        legend: legend(&model.info.classes),
        charts: charts(&folder, &model)?,
        truth: truth_quality(study, &rows),
        config: std::fs::read_to_string(&config_path)
            .map_err(|error| ProjectError::read(&config_path, &error))?,
        provenance: provenance(&model),
        ..ReportData::default()
    };
    spare_others(study, &source, set.as_ref())?;
    if let Some(set) = &set {
        data.add_scores(&set.scores);
        let draw = Draw {
            set,
            classes: &model.info.classes,
        };
        let (worst, best) = worst_and_best(&set.scores, CARDS);
        let close_ups = usize::from(!set.wrong.is_empty());
        let total = FIGURES.min(set.fields.len()) + worst.len() + best.len() + close_ups;
        let mut done = 0;
        let mut step = |name: &str| {
            done += 1;
            job.progress.step(done, total, name);
        };
        for field in set.fields.iter().take(FIGURES) {
            job.cancel.check()?;
            let pictures = draw.pictures(field)?;
            let panels: Vec<_> = pictures
                .iter()
                .map(|picture| (&picture.image, picture.caption.as_str()))
                .collect();
            let file = picture_file(study, field);
            make_folder(&file)?;
            stainfree_image::write::png_rgb(&file, &side_by_side(&panels, &error_legend()))?;
            data.figures.push(Figure {
                title: field.name.clone(),
                caption: "The model saw only the brightfield.".to_owned(),
                pictures,
            });
            step(&field.name);
        }
        for (indices, cards) in [(worst, &mut data.worst), (best, &mut data.best)] {
            for row in indices.into_iter().map(|i| &set.scores.fields[i]) {
                job.cancel.check()?;
                cards.push(draw.card(row)?);
                step(&row.name);
            }
        }
        if close_ups > 0 {
            data.errors = wrong_nuclei(set, job)?;
            step("wrong nuclei");
        }
        data.errors_legend = swatches(outline_legend());
    }
    let parts = match &options.disagreements[..] {
        [] => &[Part::Train, Part::Validation],
        given => given,
    };
    data.truth.figures = disagreements(study, &source, &options.model, &model.info.classes, parts)?;
    let lines = on_disagreements(!data.truth.figures.is_empty(), parts);
    data.truth.lines.extend(lines.map(str::to_owned));
    let page = study.root().join(PAGE);
    stainfree_image::write_atomic(&page, render(&data)?.as_bytes())?;
    Ok(Reported { page, verdict })
}

/// Refuses to write the page or its pictures over an image, or over what is not a report's.
fn spare_others(
    study: &Study,
    source: &Source,
    set: Option<&ScoredSet>,
) -> Result<(), ProjectError> {
    let page = study.root().join(PAGE);
    let was_ours = page.is_file();
    guard::check_file(&page, "report of this program", guard::is_our_page)?;
    let mut inputs = Inputs::of(std::slice::from_ref(&source.dataset));
    let fields = set.map_or(&[][..], |set| &set.fields);
    for plane in fields
        .iter()
        .flat_map(|field| field.planes.iter().flatten().flatten())
    {
        inputs.add(plane.location());
    }
    for field in fields.iter().take(FIGURES) {
        let file = picture_file(study, field);
        inputs.spare(&file, "keep images in a folder of another name")?;
        // Pictures of older versions do not say whose they are; a report beside them does.
        let is_ours = |path: &Path| was_ours || guard::is_our_png(path);
        guard::check_file(&file, "picture of a report", is_ours)?;
    }
    Ok(())
}

fn picture_file(study: &Study, field: &Field) -> PathBuf {
    let name = format!("{}.png", field.name);
    study.root().join(PICTURES).join(name)
}

/// What a reader must know of the disagreements, where some are shown.
fn on_disagreements(shown: bool, parts: &[Part]) -> impl Iterator<Item = &'static str> {
    let first = match shown {
        false => {
            "`stainfree evaluate --on train` and `--on validation` find where model and truth \
             disagree."
        }
        true => {
            "The pictures show where model and truth disagree most; look whether the truth is \
             wrong there."
        }
    };
    let of_test = (shown && parts.contains(&Part::Test)).then_some(
        "Test fields are among them. Who corrects those where the model disagrees, and only \
         there, brings the truth nearer to the model: its scores rise and mean less.",
    );
    [first].into_iter().chain(of_test)
}

/// Disagreements that are shown, and the side of what is shown around them, pixels.
const DISAGREEMENTS: usize = 10;
const AROUND: usize = 160;

/// The strongest disagreements of the parts that were evaluated, each with brightfield, stain,
/// truth and prediction.
fn disagreements(
    study: &Study,
    source: &Source,
    model: &str,
    classes: &[String],
    parts: &[Part],
) -> Result<Vec<Figure>, ProjectError> {
    let mut rows: Vec<(Part, Disagreement)> = Vec::new();
    for &part in parts {
        let found = disagreement::read(&disagreement::path(study, model, part))?;
        let objects = found.into_iter().filter(|row| row.kind != Kind::Field);
        rows.extend(objects.take(DISAGREEMENTS).map(|row| (part, row)));
    }
    rows.sort_by(|a, b| b.1.disagreement.total_cmp(&a.1.disagreement));
    let colours = class_colors(classes);
    let mut figures = Vec::new();
    for (part, row) in rows.into_iter().take(DISAGREEMENTS) {
        let Some(field) = source.dataset.fields.iter().find(|f| f.name == row.field) else {
            continue;
        };
        let (Some(y), Some(x)) = (row.y_px, row.x_px) else {
            continue;
        };
        let light = source.brightfield.read(field)?;
        let grey = brightfield_picture(&light[light.len() / 2].to_f32());
        let results = Store::at(study.run_path(model).join(part.name()));
        let predicted = results.classes(&field.name)?;
        let truth = study.truth().classes(&field.name)?;
        let window = |picture: &Image<[u8; 3]>| around(picture, y, x);
        let mut pictures = vec![Picture::new(window(&grey), "brightfield")];
        if let Some(channel) = source.nucleus {
            let stain = read_middle(field, channel)?.to_f32();
            pictures.push(Picture::new(
                window(&stain_picture(&stain, STAIN)),
                "nuclear stain",
            ));
        }
        let drawn = overlay_classes(&grey, &truth, &colours)?;
        pictures.push(Picture::new(window(&drawn), "truth"));
        let drawn = overlay_classes(&grey, &predicted, &colours)?;
        pictures.push(Picture::new(window(&drawn), "prediction"));
        figures.push(Figure {
            title: format!("{}: {}", field.name, row.kind.words()),
            caption: format!(
                "In the middle, at y {y:.0}, x {x:.0} ({part} field). The model is sure of the \
                 contrary by {:.2}.",
                row.disagreement
            ),
            pictures,
        });
    }
    Ok(figures)
}

/// The worst nuclei of each kind of error.
fn wrong_nuclei(set: &ScoredSet, job: &Job) -> Result<Vec<Figure>, ProjectError> {
    let worst = wrong_objects::close_ups(&set.wrong, &set.scores, |name| {
        job.cancel.check()?;
        let Some(field) = set.fields.iter().find(|field| field.name == name) else {
            return Ok(None);
        };
        let planes = set.brightfield.read(field)?;
        Ok(Some(Seen {
            light: planes[planes.len() / 2].to_f32(),
            truth: set.truth.labels(Product::Nuclei, name)?,
            prediction: set.prediction.labels(Product::Nuclei, name)?,
        }))
    })?;
    let figure = |worst: wrong_objects::Worst| Figure {
        title: format!(
            "{}: the worst of {}",
            capital(worst.error.words()),
            worst.of
        ),
        caption: "Thick: the outline of the nucleus in question. The lowest IoU first, then the \
            largest; no place is shown twice."
            .to_owned(),
        pictures: worst
            .pictures
            .into_iter()
            .map(|(picture, caption)| Picture::new(picture, caption))
            .collect(),
    };
    let drawn = worst.into_iter().filter(|kind| !kind.pictures.is_empty());
    Ok(drawn.map(figure).collect())
}

fn capital(words: &str) -> String {
    let (first, rest) = words.split_at(1.min(words.len()));
    first.to_uppercase() + rest
}

/// The part of a picture around `(y, x)`, moved inside where it would leave it.
fn around(picture: &Image<[u8; 3]>, y: f64, x: f64) -> Image<[u8; 3]> {
    let (h, w) = (picture.height().min(AROUND), picture.width().min(AROUND));
    let first = |at: f64, side: usize, len: usize| {
        ((at - side as f64 / 2.0).max(0.0) as usize).min(len - side)
    };
    picture.crop(
        first(y, h, picture.height()),
        first(x, w, picture.width()),
        h,
        w,
    )
}

/// The scores of its test that lie in the folder of the model `hash`; `None` before it was scored.
///
/// # Errors
/// They are damaged, or cannot be read.
fn scores_of(folder: &Path, hash: &str) -> Result<Option<Scores>, ProjectError> {
    let path = folder.join("scores.json");
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ProjectError::read(&path, &error)),
    };
    let scores: Scores = serde_json::from_slice(&text).map_err(|error| {
        ProjectError::Failed(format!(
            "`{}` is damaged ({error}); run `stainfree evaluate` again",
            path.display()
        ))
    })?;
    // Scores that an earlier model of that name left here are not this one's.
    let is_other = scores.on.as_ref().is_some_and(|on| on.model != hash);
    Ok((!is_other).then_some(scores))
}

/// The study's test fields as `evaluate` left them; `None` before it ran.
fn test_set(
    study: &Study,
    source: &Source,
    model: &str,
    hash: &str,
    job: &Job,
) -> Result<Option<ScoredSet>, ProjectError> {
    let Some(scores) = scores_of(&study.model_path(model), hash)? else {
        return Ok(None);
    };
    let table = wrong_objects::table_path(study, model, Part::Test);
    // A table beside scores that know of no fates is of another scoring.
    let known = scores.object_errors.is_some();
    let wrong = known.then(|| wrong_objects::read_table(&table));
    let wrong = wrong.unwrap_or(Ok(Vec::new())).unwrap_or_else(|error| {
        let sentence = format!("{error} (the report goes without pictures of wrong nuclei)");
        job.progress.note(&sentence);
        Vec::new()
    });
    let scored = |field: &&Field| scores.fields.iter().any(|row| row.name == field.name);
    Ok(Some(ScoredSet {
        title: title_of(&scores),
        wrong,
        fields: source
            .dataset
            .fields
            .iter()
            .filter(scored)
            .cloned()
            .collect(),
        brightfield: source.brightfield.clone(),
        nucleus: source.nucleus,
        truth: study.truth(),
        prediction: Store::at(study.run_path(model).join(Part::Test.name())),
        scores,
    }))
}

/// What scored fields of a study are called.
fn title_of(scores: &Scores) -> String {
    let n = scores.images;
    match scores.on.as_ref().map(|on| on.standing) {
        Some(Standing::Test) => format!("the test fields of its study ({n})"),
        Some(Standing::Train) => format!("training fields of its study ({n}), which is no test"),
        Some(Standing::Validation) => {
            format!("validation fields of its study ({n}), which is no test")
        }
        Some(Standing::Unknown) => {
            format!("fields of its study ({n}), some of which may have trained it")
        }
        None => format!(
            "fields of its study ({n}), some of which may have trained it: an older version scored \
             it without a look at that (run `stainfree evaluate` again)"
        ),
    }
}

/// Brightfield picture, truth and prediction of a field.
type Shown = (Image<[u8; 3]>, Image<u8>, Image<u8>);

struct Draw<'a> {
    set: &'a ScoredSet,
    classes: &'a [String],
}

impl Draw<'_> {
    fn pictures(&self, field: &Field) -> Result<Vec<Picture>, ProjectError> {
        let (grey, truth, prediction) = self.read(field)?;
        let colours = class_colors(self.classes);
        let mut pictures = vec![Picture::new(small(&grey), "brightfield")];
        if let Some(channel) = self.set.nucleus {
            let stain = read_middle(field, channel)?.to_f32();
            pictures.push(Picture::new(
                small(&stain_picture(&stain, STAIN)),
                "nuclear stain",
            ));
        }
        pictures.push(Picture::new(
            small(&overlay_classes(&grey, &truth, &colours)?),
            "truth",
        ));
        pictures.push(Picture::new(
            small(&overlay_classes(&grey, &prediction, &colours)?),
            "prediction",
        ));
        pictures.push(Picture::new(
            small(&error_picture(
                &grey,
                &as_nuclei(&truth, self.classes),
                &as_nuclei(&prediction, self.classes),
                NUCLEUS,
            )?),
            "nuclei: found, missed, false",
        ));
        Ok(pictures)
    }

    fn card(&self, row: &ScoredRow) -> Result<FieldCard, ProjectError> {
        let pictures = match self.set.fields.iter().find(|field| field.name == row.name) {
            Some(field) => {
                let (grey, truth, prediction) = self.read(field)?;
                let colours = class_colors(self.classes);
                vec![
                    Picture::new(small(&overlay_classes(&grey, &truth, &colours)?), "truth"),
                    Picture::new(
                        small(&overlay_classes(&grey, &prediction, &colours)?),
                        "prediction",
                    ),
                ]
            }
            None => Vec::new(),
        };
        Ok(FieldCard {
            name: row.name.clone(),
            facts: field_facts(row),
            pictures,
            note: String::new(),
        })
    }

    fn read(&self, field: &Field) -> Result<Shown, ProjectError> {
        let planes = self.set.brightfield.read(field)?;
        Ok((
            brightfield_picture(&planes[planes.len() / 2].to_f32()),
            self.set.truth.classes(&field.name)?,
            self.set.prediction.classes(&field.name)?,
        ))
    }
}

/// A class mask in which every class of nuclei is the nucleus.
fn as_nuclei(mask: &Image<u8>, classes: &[String]) -> Image<u8> {
    let nuclei = nucleus_classes(classes);
    mask.map(|&class| match nuclei.contains(&usize::from(class)) {
        true => NUCLEUS,
        false => class,
    })
}

fn small(picture: &Image<[u8; 3]>) -> Image<[u8; 3]> {
    scale_down(picture, PICTURE_SIDE)
}

fn legend(classes: &[String]) -> Vec<Swatch> {
    let drawn = classes.iter().enumerate().skip(1);
    drawn
        .map(|(class, name)| Swatch {
            color: class_color(class, name),
            label: name.clone(),
        })
        .chain(swatches(error_legend()))
        .collect()
}

fn swatches(legend: [(Rgb, &str); 3]) -> Vec<Swatch> {
    let swatch = |(color, label): (Rgb, &str)| Swatch {
        color,
        label: label.to_owned(),
    };
    legend.map(swatch).to_vec()
}

fn facts(study: &Study, rows: &[FieldRow], model: &Model, unit: &str) -> Vec<Fact> {
    let count = |part: Part| rows.iter().filter(|row| row.split == Some(part)).count();
    let (info, config) = (&model.info, study.config());
    let start = info
        .pretrained
        .as_deref()
        .map_or("nothing (fresh weights)".to_owned(), |name| {
            format!("`{name}`")
        });
    vec![
        Fact::new(
            "Fields",
            format!(
                "{} training, {} validation, {} test",
                count(Part::Train),
                count(Part::Validation),
                count(Part::Test)
            ),
        ),
        Fact::new("Split", format!("by {unit}, seed {}", config.split.seed)),
        Fact::new(
            "Pixel size",
            info.pixel_um
                .map_or("unknown".to_owned(), |um| format!("{} um", rounded_um(um))),
        ),
        Fact::new(
            "Brightfield",
            format!(
                "{} ({} plane{})",
                config.images.brightfield.join(", "),
                info.input.planes,
                if info.input.planes == 1 { "" } else { "s" }
            ),
        ),
        Fact::new(
            "Network",
            format!(
                "U-Net, {} encoder, width {}",
                info.network.encoder(),
                info.network.width()
            ),
        ),
        Fact::new("Recipe", &info.recipe.name),
        Fact::new("Started from", start),
        Fact::new(
            "Training",
            format!(
                "{} steps in {}; step {} was kept",
                info.training.steps,
                duration(info.training.seconds),
                info.training.chosen_step
            ),
        ),
    ]
}

fn provenance(model: &Model) -> Vec<Fact> {
    let mut facts = vec![
        Fact::new(
            "Program",
            format!("stainfree {}", env!("CARGO_PKG_VERSION")),
        ),
        Fact::new("Model made by", &model.info.program),
        Fact::new("Model hash", model.hash()),
    ];
    facts.extend(
        model
            .info
            .hashes
            .iter()
            .map(|(what, hash)| Fact::new(format!("Hash of {what}"), hash)),
    );
    facts
}

fn truth_quality(study: &Study, rows: &[FieldRow]) -> TruthQuality {
    let usable = rows.iter().filter(|row| row.is_usable()).count();
    let nuclei: usize = rows
        .iter()
        .filter(|row| row.is_usable())
        .map(|row| row.nuclei)
        .sum();
    let config = &study.config().truth;
    let made = match config.nuclei_from() {
        Some(crate::study::config::NucleiFrom::Stain(channel)) => {
            format!("The truth was made from the stain `{channel}`.")
        }
        Some(crate::study::config::NucleiFrom::Masks(_)) => {
            "The truth was given as masks.".to_owned()
        }
        Some(crate::study::config::NucleiFrom::Labels(_)) => {
            "The truth was given as nucleus instances.".to_owned()
        }
        None => String::new(),
    };
    let noted: Vec<&FieldRow> = rows
        .iter()
        .filter(|row| !row.remarks.is_empty() || !row.is_usable())
        .collect();
    let mut quality = TruthQuality {
        lines: vec![
            made,
            format!(
                "{usable} of {} fields are usable, with {nuclei} nuclei.",
                rows.len()
            ),
        ],
        ..TruthQuality::default()
    };
    if !noted.is_empty() {
        quality.tables.push(Table {
            title: "Fields with remarks".to_owned(),
            caption: "From `fields.csv`.".to_owned(),
            columns: vec![
                Column::text("field"),
                Column::text("usable"),
                Column::text("remarks"),
            ],
            rows: noted
                .iter()
                .map(|row| {
                    let usable = if row.is_usable() { "yes" } else { "no" };
                    vec![
                        row.name.clone().into(),
                        usable.into(),
                        row.remarks.clone().into(),
                    ]
                })
                .collect(),
            folded: noted.len() > 12,
        });
    }
    quality
}

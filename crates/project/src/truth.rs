//! The truth of one field: class mask and nucleus labels from stains, masks or labels.
//!
//! Here: reading the field's sources, checking that they are what they should be, putting them
//! together. Not here: which fields, what is written where ([`prepare`](mod@crate::prepare)).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use stainfree_image::{Dataset, Field, Image, Plane, PlaneAt, TruthOf, composed};
use stainfree_objects::{
    Connectivity, FlatField, IGNORED, NUCLEUS, NotLabels, QualityLimits, StainNumbers, Verdict,
    Word, apply_ignore, blank_pixels, bleed_through, cells_from_nuclei, debris_share, fill_blank,
    label, mitotic_candidates, move_back, move_back_nearest, not_labels, relabel_consecutive,
    saturated_share, scheme_a, scheme_b, segment_cytoplasm_besides, segment_nuclei_besides,
    shared_numbers, smoothed_share, uncovered,
};

pub(crate) use stainfree_objects::joined;

use crate::config::{CytoplasmFrom, MaskValues, MissingCells, NucleiFrom, Scheme, TruthConfig};
use crate::disagreement::nucleus_classes;
use crate::human::mitosis::Said;
use crate::human::{self, corrected};
use crate::illumination::Lights;
use crate::mitosis::{Decision, Review, decide};
use crate::registration::{Shifts, Stain};
use crate::study::{Source, Study};
use crate::{ProjectError, names};

/// Files that hold truth, by the name of their field.
#[derive(Clone, Debug, Default)]
pub(crate) struct TruthFiles {
    /// Nuclei corrected by hand.
    corrected: BTreeMap<String, PathBuf>,
    nuclei: BTreeMap<String, TruthOf>,
    cells: BTreeMap<String, TruthOf>,
    /// Sentences about files that belong to no field.
    unused: Vec<String>,
}

impl TruthFiles {
    pub(crate) fn find(study: &Study, dataset: &Dataset) -> Result<Self, ProjectError> {
        let truth = &study.config().truth;
        let mut unused = Vec::new();
        let mut files_of = |folder: &Path| -> Result<BTreeMap<String, TruthOf>, ProjectError> {
            let folder = study.resolve(folder);
            let found = names::truth_of(&folder, dataset)?;
            unused.extend(names::without_field(&folder, &found));
            Ok(found.files)
        };
        let nuclei = match truth.nuclei_from() {
            Some(NucleiFrom::Masks(folder) | NucleiFrom::Labels(folder)) => files_of(folder)?,
            _ => BTreeMap::new(),
        };
        let cells = match truth.cytoplasm_from() {
            CytoplasmFrom::Cells(folder) => files_of(folder)?,
            _ => BTreeMap::new(),
        };
        Ok(Self {
            corrected: corrected_of(study, dataset)?,
            nuclei,
            cells,
            unused,
        })
    }

    /// The nuclei corrected by hand, by the name of their field.
    pub(crate) fn corrected(&self) -> &BTreeMap<String, PathBuf> {
        &self.corrected
    }

    /// Files corrected by hand that belong to none of `fields`.
    pub(crate) fn strangers(&self, fields: &[Field]) -> Vec<&Path> {
        self.corrected
            .iter()
            .filter(|(name, _)| fields.iter().all(|field| field.name != **name))
            .map(|(_, path)| path.as_path())
            .collect()
    }

    /// Sentences about other truth files that belong to no field.
    pub(crate) fn unused(&self) -> &[String] {
        &self.unused
    }

    /// The truth files of a field.
    pub(crate) fn of<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Path> {
        let given = [&self.nuclei, &self.cells];
        let given = given.into_iter().filter_map(|files| files.get(name));
        let given = given.map(|truth| truth.path.as_path());
        self.corrected
            .get(name)
            .map(PathBuf::as_path)
            .into_iter()
            .chain(given)
    }
}

/// The plane of a field that its truth is of: its brightfield, the middle one of three.
fn plane_at(source: &Source, field: &Field) -> Result<PlaneAt, ProjectError> {
    let chosen = source.brightfield.planes_of(field)?;
    let (channel, z) = chosen[chosen.len() / 2];
    Ok(PlaneAt {
        z,
        depth: field.planes[channel].len(),
    })
}

/// The nuclei corrected by hand, by the name of their field as it is spelled there.
fn corrected_of(
    study: &Study,
    dataset: &Dataset,
) -> Result<BTreeMap<String, PathBuf>, ProjectError> {
    let field_of = |name: &str, path: &Path| {
        // A field may be called like truth: `a_label` is a name like any other.
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let same = |wanted: &str| {
            let mut fields = dataset.fields.iter();
            fields.find(|field| composed(&field.name) == composed(wanted))
        };
        let found = same(&stem).or_else(|| same(name));
        found.map_or(name.to_owned(), |field| field.name.clone())
    };
    let files = corrected::files(study)?.into_iter();
    Ok(files
        .map(|(name, path)| (field_of(&name, &path), path))
        .collect())
}

/// The truth of one field.
#[derive(Clone, Debug)]
pub(crate) struct FieldTruth {
    pub(crate) classes: Image<u8>,
    pub(crate) nuclei: Image<u32>,
    /// The automatic nuclei, where `nuclei` were corrected by hand.
    pub(crate) automatic: Option<Image<u32>>,
    pub(crate) count: usize,
    /// Whole cells, each with the label of its nucleus; from a cytoplasmic stain.
    pub(crate) cells: Option<Image<u32>>,
    /// What was measured in each stain; `None` where the truth does not come from it.
    pub(crate) nucleus_numbers: Option<StainNumbers>,
    pub(crate) cytoplasm_numbers: Option<StainNumbers>,
    pub(crate) debris_share: Option<f64>,
    pub(crate) bleed_through: Option<f64>,
    /// The candidates for mitosis and what the truth says of them; empty where they are not looked
    /// for.
    pub(crate) mitosis: Vec<Review>,
    /// Places of decisions on mitosis at which no nucleus is.
    pub(crate) misfits: Vec<(f64, f64)>,
    /// What the nuclear stain is recognised by, where the truth comes from it.
    pub(crate) image: Option<String>,
    pub(crate) nucleus_threshold: Option<f64>,
    pub(crate) cytoplasm_threshold: Option<f64>,
    /// Pixels at which a stain shows nothing; they are ignored.
    pub(crate) blank: Option<Image<bool>>,
    /// What is odd about the files that were given.
    pub(crate) remarks: Vec<String>,
    /// Remarks on both stains.
    pub(crate) verdicts: Vec<(&'static str, Verdict)>,
}

/// A stain's shift against the brightfield that is to be corrected.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Move {
    pub(crate) dy_px: f64,
    pub(crate) dx_px: f64,
    pub(crate) radius95_px: Option<f64>,
}

/// What is corrected in a stain before it is segmented.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Fix {
    pub(crate) light: Option<FlatField>,
    pub(crate) shift: Option<Move>,
}

/// What is corrected in the stains of a field before they are segmented.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct StainFixes {
    pub(crate) nucleus: Fix,
    pub(crate) cytoplasm: Fix,
}

impl StainFixes {
    pub(crate) fn of(lights: &Lights, shifts: &Shifts, field: &Field) -> Self {
        let of = |stain| Fix {
            light: lights.of(field, stain).cloned(),
            shift: shifts.of(field, stain).map(|shift| Move {
                dy_px: shift.dy_px,
                dx_px: shift.dx_px,
                radius95_px: shift.radius95_px,
            }),
        };
        Self {
            nucleus: of(Stain::Nucleus),
            cytoplasm: of(Stain::Cytoplasm),
        }
    }
}

/// A stain that lies on the brightfield, under even light.
struct Corrected {
    stain: Image<f32>,
    /// Pixels of which nothing is known after the move.
    unknown: Option<Image<bool>>,
    /// Pixels that show nothing; they have been filled.
    blank: Option<Image<bool>>,
    /// Pixels at the camera's ceiling; only where the light was made even, elsewhere the stain
    /// itself shows them.
    ceiling: Option<Image<bool>>,
}

impl Corrected {
    fn new(mut stain: Image<f32>, fix: &Fix) -> Self {
        let blank = blank_pixels(&stain);
        if let Some(blank) = &blank {
            stain = fill_blank(&stain, blank);
        }
        let mut ceiling = None;
        if let Some(light) = &fix.light {
            let values = stain.data().iter().copied();
            let largest = values.fold(f32::NEG_INFINITY, f32::max);
            ceiling = Some(stain.map(|&v| v == largest));
            stain = light.correct(&stain);
        }
        let Some(Move { dy_px, dx_px, .. }) = fix.shift else {
            return Self {
                stain,
                unknown: None,
                blank,
                ceiling,
            };
        };
        let shift = (dy_px, dx_px);
        Self {
            unknown: Some(uncovered(stain.height(), stain.width(), shift)),
            stain: move_back(&stain, shift),
            ceiling: ceiling.map(|ceiling| move_back_nearest(&ceiling, shift)),
            blank: blank.map(|blank| move_back_nearest(&blank, shift)),
        }
    }

    /// Counts saturated pixels of `mask` where the stain does not show them itself any more.
    fn recount_saturation(
        &self,
        mask: &Image<bool>,
        limits: &QualityLimits,
        numbers: &mut StainNumbers,
        quality: &mut Vec<Verdict>,
    ) {
        let Some(ceiling) = &self.ceiling else {
            return;
        };
        numbers.saturated_share = saturated_share(ceiling, mask);
        quality.retain(|verdict| verdict.word != Word::Saturated);
        quality.extend(Verdict::of_saturation(numbers.saturated_share, limits));
    }
}

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

/// Makes the truth of `field`, whose brightfield is `size` = (height, width).
pub(crate) fn make(
    study: &Study,
    source: &Source,
    files: &TruthFiles,
    fixes: &StainFixes,
    decided: &[Said],
    field: &Field,
    size: (usize, usize),
) -> Result<FieldTruth, NoTruth> {
    let truth = &study.config().truth;
    let at = plane_at(source, field)?;
    let Some(from) = truth.nuclei_from() else {
        return Err(NoTruth::Left("the study names no truth".to_owned()));
    };
    if let NucleiFrom::Masks(_) = from
        && truth.mask_values == MaskValues::Classes
    {
        return match files.corrected.get(&field.name) {
            None => from_class_mask(truth, files, field, at, size),
            Some(path) => Err(NoTruth::Failed(ProjectError::Failed(format!(
                "`{}` corrects nuclei, but the truth of this study is class masks; correct the \
                 mask of field `{}` itself",
                path.display(),
                field.name
            )))),
        };
    }

    let given = Given::of(truth);
    let mut verdicts = Vec::new();
    let mut ignore: Option<Image<bool>>;
    let (mut nucleus_numbers, mut cytoplasm_numbers) = (None, None);
    let (mut debris, mut bleed) = (None, None);
    let mut blank = None;
    let mut remarks = Vec::new();
    let mut mitosis = Vec::new();
    let mut nuclear = None;
    let mut nucleus_threshold = None;
    let mut image = None;
    let (mut mask, mut nuclei, mut count) = match from {
        NucleiFrom::Stain(channel) => {
            let stain = read_stain(field, source.nucleus, channel, size)?;
            image = Some(human::content(&stain));
            let corrected = Corrected::new(stain.to_f32(), &fixes.nucleus);
            let stain = &corrected.stain;
            let mut found = segment_nuclei_besides(
                stain,
                corrected.blank.as_ref(),
                field.pixel_um,
                &truth.nucleus_settings,
            )
            .map_err(|e| in_field(field, e))?;
            let limits = &truth.nucleus_settings.quality;
            let (numbers, quality) = (&mut found.numbers, &mut found.quality);
            corrected.recount_saturation(&found.mask, limits, numbers, quality);
            verdicts.extend(
                found
                    .quality
                    .into_iter()
                    .map(|verdict| ("nucleus", verdict)),
            );
            nucleus_threshold = Some(f64::from(found.threshold));
            nucleus_numbers = Some(found.numbers);
            debris = debris_share(&found.labels);
            let verdict = debris.and_then(|share| Verdict::of_debris(share, limits));
            verdicts.extend(verdict.map(|verdict| ("nucleus", verdict)));
            if truth.mitosis.find {
                let least = truth.mitosis.review_score.min(truth.mitosis.min_score);
                mitosis = mitotic_candidates(stain, &found.labels, found.um_per_pixel, least)
                    .map_err(|e| in_field(field, e))?;
            }
            ignore = joined(Some(found.ignore), corrected.unknown);
            blank = corrected.blank;
            nuclear = Some(corrected.stain);
            (found.mask, found.labels, found.count)
        }
        NucleiFrom::Masks(folder) => {
            let mask = read_cells(file_of(&files.nuclei, field, folder)?, at, size)?;
            let mask = given.place(mask);
            ignore = given.unknown(size);
            let labels = label(&mask, Connectivity::Eight);
            (mask, labels.image, labels.count)
        }
        NucleiFrom::Labels(folder) => {
            let path = file_of(&files.nuclei, field, folder)?;
            let stored = read_instances(path, at, size)?;
            refuse_without_background(&path.path, &stored)?;
            remarks.extend(shared_numbers_note(&path.path, &stored));
            let labels = relabel_consecutive(&given.place(stored));
            ignore = given.unknown(size);
            (labels.image.map(|&l| l != 0), labels.image, labels.count)
        }
    };

    let automatic = match files.corrected.get(&field.name) {
        None => None,
        Some(path) => {
            let stored = read_instances(&TruthOf::alone(path.clone()), at, size)?;
            remarks.extend(shared_numbers_note(path, &stored));
            let corrected = relabel_consecutive(&stored);
            // A person has looked: doubts about stain and threshold no longer count, and where the
            // stain shows nothing the nuclei are known all the same.
            verdicts.clear();
            (ignore, blank) = (None, None);
            (mask, count) = (corrected.image.map(|&l| l != 0), corrected.count);
            Some(std::mem::replace(&mut nuclei, corrected.image))
        }
    };

    let mut cytoplasm_threshold = None;
    let mut cells_unknown = false;
    let mut cells = None;
    let cytoplasm = match truth.cytoplasm_from() {
        CytoplasmFrom::Nothing => None,
        CytoplasmFrom::Stain(channel) => {
            let stain = read_stain(field, source.cytoplasm, channel, size)?;
            let corrected = Corrected::new(stain.to_f32(), &fixes.cytoplasm);
            let stain = &corrected.stain;
            let mut found = segment_cytoplasm_besides(
                stain,
                corrected.blank.as_ref(),
                field.pixel_um,
                &truth.cytoplasm_settings,
            )
            .map_err(|e| in_field(field, e))?;
            let limits = &truth.cytoplasm_settings.quality;
            let (numbers, quality) = (&mut found.numbers, &mut found.quality);
            corrected.recount_saturation(&found.mask, limits, numbers, quality);
            verdicts.extend(
                found
                    .quality
                    .into_iter()
                    .map(|verdict| ("cytoplasm", verdict)),
            );
            cytoplasm_threshold = Some(f64::from(found.threshold));
            cytoplasm_numbers = Some(found.numbers);
            if let Some(nuclear) = &nuclear {
                bleed = bleed_through(nuclear, stain, &nuclei).map_err(|e| in_field(field, e))?;
                let verdict = bleed.and_then(|number| Verdict::of_bleed_through(number, limits));
                verdicts.extend(verdict.map(|verdict| ("cytoplasm", verdict)));
            }
            let grown = cells_from_nuclei(&nuclei, &found.mask, &found.flat);
            cells = Some(grown.map_err(|e| in_field(field, e))?);
            ignore = joined(ignore, joined(Some(found.ignore), corrected.unknown));
            blank = joined(blank, corrected.blank);
            Some(found.mask)
        }
        CytoplasmFrom::Cells(folder) => match (files.cells.get(&field.name), truth.missing_cells) {
            (Some(path), _) => {
                ignore = joined(ignore, given.unknown(size));
                Some(given.place(read_cells(path, at, size)?))
            }
            (None, MissingCells::Skip) => {
                return Err(NoTruth::Left(format!(
                    "no cell mask in `{}`",
                    folder.display()
                )));
            }
            (None, MissingCells::Ignore) => {
                cells_unknown = true;
                None
            }
        },
    };

    let mut classes = match truth.scheme {
        Scheme::A => scheme_a(&mask, cytoplasm.as_ref()),
        Scheme::B => scheme_b(&nuclei, truth.line_placement, truth.line_px),
    };
    let (mitosis, misfits) = decide(
        &field.name,
        &mitosis,
        &nuclei,
        decided,
        truth.mitosis.min_score,
    );
    if truth.mitosis.find {
        let class = (truth.classes.len() - 1) as u8;
        paint_mitotic(&mut classes, &nuclei, &mitosis, class);
    }
    if cells_unknown {
        ignore = Some(mask.map(|&inside| !inside));
    }
    if let Some(ignore) = &ignore {
        apply_ignore(&mut classes, ignore).map_err(|e| in_field(field, e))?;
    }
    Ok(FieldTruth {
        classes,
        nuclei,
        automatic,
        count,
        cells,
        nucleus_numbers,
        cytoplasm_numbers,
        debris_share: debris,
        bleed_through: bleed,
        mitosis,
        misfits,
        image,
        nucleus_threshold,
        cytoplasm_threshold,
        blank,
        remarks,
        verdicts,
    })
}

/// Turns the nucleus pixels of the nuclei that are mitotic into `class`.
fn paint_mitotic(classes: &mut Image<u8>, nuclei: &Image<u32>, reviews: &[Review], class: u8) {
    let mitotic: BTreeSet<u32> = reviews
        .iter()
        .filter(|review| review.mitotic == Some(Decision::Yes))
        .filter_map(|review| review.label)
        .collect();
    for (value, label) in classes.data_mut().iter_mut().zip(nuclei.data()) {
        if *value == NUCLEUS && mitotic.contains(label) {
            *value = class;
        }
    }
}

fn from_class_mask(
    truth: &TruthConfig,
    files: &TruthFiles,
    field: &Field,
    at: PlaneAt,
    size: (usize, usize),
) -> Result<FieldTruth, NoTruth> {
    let folder = truth.masks.as_deref().unwrap_or(Path::new(""));
    let given_mask = file_of(&files.nuclei, field, folder)?;
    let path = &given_mask.path;
    let values = read_sized(given_mask, at, size)?;
    let count = truth.classes.len() as u32;
    if let Some(&value) = values
        .data()
        .iter()
        .find(|&&value| value >= count && value != u32::from(IGNORED))
    {
        let classes: Vec<String> = truth
            .classes
            .iter()
            .enumerate()
            .map(|(i, name)| format!("{i} {name}"))
            .collect();
        let hint = if smoothed_share(&values) > 0.0 {
            "; the edges of the mask are smoothed: save it with two values (such as all above 127 \
             as 255)"
        } else if value > 15 {
            "; if these are instance labels, set `truth.labels` instead of `truth.masks`"
        } else {
            "; correct the mask or `truth.classes`"
        };
        return Err(NoTruth::Failed(ProjectError::Failed(format!(
            "`{}` holds the value `{value}`, which is no class (classes: {}, 255 ignored){hint}",
            path.display(),
            classes.join(", ")
        ))));
    }
    if count == 2 || !values.data().contains(&1) {
        let only_ignored = values.data().contains(&255)
            && values
                .data()
                .iter()
                .all(|&value| value == 0 || value == 255);
        if only_ignored {
            return Err(NoTruth::Failed(ProjectError::Failed(format!(
                "`{}` holds 0 and 255 only, where 255 means ignored; if 255 is the nucleus, set \
                 `truth.mask_values = \"binary\"`",
                path.display()
            ))));
        }
    }
    let given = Given::of(truth);
    let mut classes = given.place(values.map(|&value| value as u8));
    if let Some(unknown) = given.unknown(size) {
        apply_ignore(&mut classes, &unknown).map_err(|e| in_field(field, e))?;
    }
    let (nuclei, nuclei_count) = nuclei_of(&classes, &truth.classes);
    Ok(FieldTruth {
        classes,
        nuclei,
        automatic: None,
        count: nuclei_count,
        cells: None,
        nucleus_numbers: None,
        cytoplasm_numbers: None,
        debris_share: None,
        bleed_through: None,
        mitosis: Vec::new(),
        misfits: Vec::new(),
        image: None,
        nucleus_threshold: None,
        cytoplasm_threshold: None,
        blank: None,
        remarks: Vec::new(),
        verdicts: Vec::new(),
    })
}

/// The nuclei of a class mask and their number: what hangs together in a class of nuclei, mitotic
/// ones included, as among predicted nuclei.
fn nuclei_of(classes: &Image<u8>, names: &[String]) -> (Image<u32>, usize) {
    let mut nuclei = Image::filled(classes.height(), classes.width(), 0u32);
    let mut count = 0;
    for number in nucleus_classes(names) {
        let of_class = classes.map(|&class| usize::from(class) == number);
        let parts = label(&of_class, Connectivity::Eight);
        for (nucleus, &part) in nuclei.data_mut().iter_mut().zip(parts.image.data()) {
            if part != 0 {
                *nucleus = count as u32 + part;
            }
        }
        count += parts.count;
    }
    (nuclei, count)
}

/// Label images and masks that are given as truth, which may lie off the brightfield.
struct Given {
    /// How far below and right of it, pixels.
    shift: [i32; 2],
}

impl Given {
    fn of(truth: &TruthConfig) -> Self {
        Self {
            shift: truth.shift.labels_px,
        }
    }

    fn shift(&self) -> (f64, f64) {
        let [dy, dx] = self.shift.map(f64::from);
        (dy, dx)
    }

    /// The image on the brightfield.
    fn place<T: Copy + Default>(&self, image: Image<T>) -> Image<T> {
        match self.shift {
            [0, 0] => image,
            _ => move_back_nearest(&image, self.shift()),
        }
    }

    /// Pixels of which nothing is known once it lies there.
    fn unknown(&self, (height, width): (usize, usize)) -> Option<Image<bool>> {
        (self.shift != [0, 0]).then(|| uncovered(height, width, self.shift()))
    }
}

fn file_of<'a>(
    files: &'a BTreeMap<String, TruthOf>,
    field: &Field,
    folder: &Path,
) -> Result<&'a TruthOf, NoTruth> {
    files
        .get(&field.name)
        .ok_or_else(|| NoTruth::Left(format!("no truth of that name in `{}`", folder.display())))
}

/// A stain of the field, of the size of its brightfield.
fn read_stain(
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

/// The plane of `channel`; the middle one of those present where there are several.
pub(crate) fn read_middle(field: &Field, channel: usize) -> Result<Plane, ProjectError> {
    let planes = field.planes.get(channel).map_or(&[][..], Vec::as_slice);
    let present: Vec<usize> = (0..planes.len()).filter(|&z| planes[z].is_some()).collect();
    if present.is_empty() {
        return Err(ProjectError::Failed(format!(
            "field `{}` has no image of channel {}",
            field.name,
            channel + 1
        )));
    }
    Ok(field.read(channel, present[(present.len() - 1) / 2])?)
}

/// A nucleus everywhere is none: labels of several objects leave pixels of value 0.
fn refuse_without_background(path: &Path, labels: &Image<u32>) -> Result<(), ProjectError> {
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

fn read_sized(
    truth: &TruthOf,
    at: PlaneAt,
    size: (usize, usize),
) -> Result<Image<u32>, ProjectError> {
    let image = truth.labels(at)?;
    check_size(&format!("`{}`", truth.path.display()), image.size(), size)?;
    Ok(image)
}

/// Nucleus instances; a mask in their place is refused.
fn read_instances(
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
fn read_cells(
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

fn in_field(field: &Field, error: stainfree_objects::ObjectsError) -> ProjectError {
    ProjectError::Failed(format!("field `{}`: {error}", field.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mitotic_nuclei_of_a_class_mask_are_nuclei() {
        let mask = Image::new(1, 9, vec![1, 1, 0, 3, 3, 1, 2, 0, 3]);
        let names = ["background", "nucleus", "cytoplasm", "mitotic"].map(str::to_owned);
        let (nuclei, count) = nuclei_of(&mask, &names);
        assert_eq!(nuclei.data(), [1, 1, 0, 3, 3, 2, 0, 0, 4]);
        assert_eq!(count, 4);
        // Without such a class, 3 is whatever its name says.
        let others = ["background", "nucleus", "cytoplasm", "dirt"].map(str::to_owned);
        assert_eq!(nuclei_of(&mask, &others).1, 2);
    }
}

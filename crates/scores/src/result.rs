//! The result of scoring a set of fields, in the words of `scores.json`.
//!
//! Undefined values are `None` (`null` in JSON), with the reason beside them; they are never 0 or 1
//! in silence.

use serde::{Deserialize, Serialize};

use crate::by_name::ByName;
use crate::calibration::ReliabilityRow;
use crate::standing::Standing;
use crate::verdict::Verdict;
use crate::{
    AgreementSummary, ClassCounts, Convention, ExpectedArea, ExpectedCount, FieldFates,
    ObjectErrors, Outline, Shift, SplittingCounts,
};

/// Which fields scores were made on, as seen from the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoredOn {
    /// What the fields are to the model; only scores on `test` say how it does on images it has not
    /// met.
    pub standing: Standing,
    /// Hash of the model; of several, with blanks between them.
    pub model: String,
    /// Fields that were to be scored.
    pub asked: usize,
    /// Those that were not, since the model had met them or others of their group.
    pub left_out: Vec<String>,
    /// Scored test fields whose truth has changed since the model was trained; none where it was
    /// not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth_changed: Option<usize>,
    /// Those among them whose nuclei are corrected by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrected: Option<usize>,
    /// All of it in words.
    pub note: String,
}

impl ScoredOn {
    /// Whether there is something that a reader must know: scores that are no test, fields that
    /// were left out, truth that has changed.
    pub fn is_remarkable(&self) -> bool {
        self.standing != Standing::Test
            || !self.left_out.is_empty()
            || self.truth_changed.is_some_and(|fields| fields > 0)
    }
}

/// One number over a set of fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistic {
    /// From the counts summed over all fields: the main value.
    pub pooled: Option<f64>,
    /// Mean of the fields' own values, over the fields that define it.
    pub mean_over_images: Option<f64>,
    /// How many fields entered `mean_over_images`.
    pub images_defined: usize,
    /// 95 % bootstrap interval of `pooled`.
    pub ci95: Option<[f64; 2]>,
    /// Why one of the above is undefined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// F1 and IoU of a class, or their mean over classes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pixelwise {
    /// F1 (Dice coefficient).
    pub f1: Statistic,
    /// Intersection over union (Jaccard index).
    pub iou: Statistic,
}

/// Object scores over a set of fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectSummary {
    /// F1 at IoU >= 0.5.
    pub f1_50: Statistic,
    /// The same with the predictions of each group moved by its best shift; none where no shift was
    /// looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub f1_50_shifted: Option<Statistic>,
    /// The shift of every group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shifts: Vec<GroupShift>,
    /// Mean over IoU 0.50 .. 0.95 of TP / (TP + FP + FN), pooled.
    pub mean_ap: Option<f64>,
    /// Panoptic quality, pooled.
    pub pq: Option<f64>,
    /// Predicted minus true objects over all fields, as a share of the true ones.
    pub count_error: Option<f64>,
    /// Why one of the plain numbers is undefined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Truth objects.
    pub truth: u64,
    /// Predicted objects.
    pub prediction: u64,
    /// Mean over the fields of the absolute difference of the object numbers.
    pub count_error_mean_absolute: Option<f64>,
    /// Every object score with its mean over images and interval.
    pub detail: ByName<Statistic>,
    /// Pooled counts and scores at each IoU threshold.
    pub by_threshold: Vec<ThresholdRow>,
}

/// The rigid shift of a group's predictions at which its score is best.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupShift {
    /// The group; the field's name where it has none.
    pub group: String,
    /// Fields of the group.
    pub fields: usize,
    /// How the predictions are moved.
    #[serde(flatten)]
    pub shift: Shift,
    /// F1 at IoU >= 0.5 of the group as it is.
    pub f1_50: Option<f64>,
    /// The same with the predictions moved.
    pub f1_50_shifted: Option<f64>,
}

/// Pooled object counts and scores at one IoU threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThresholdRow {
    /// The threshold.
    pub iou: f64,
    /// Matched pairs.
    pub tp: u64,
    /// Predictions without a partner.
    pub fp: u64,
    /// Truth objects without a partner.
    #[serde(rename = "fn")]
    pub fn_: u64,
    /// TP / (TP + FP).
    pub precision: Option<f64>,
    /// TP / (TP + FN).
    pub recall: Option<f64>,
    /// 2 TP / (2 TP + FP + FN).
    pub f1: Option<f64>,
    /// TP / (TP + FP + FN).
    pub ap: Option<f64>,
}

/// One number over all fields together, where a mean over fields would rest on too few.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pooled {
    /// From the counts summed over all fields.
    pub pooled: Option<f64>,
    /// 95 % bootstrap interval of `pooled`.
    pub ci95: Option<[f64; 2]>,
    /// Why one of the above is undefined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How many singles, or clusters of one size, are exactly resolved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResolvedRow {
    /// How many the truth has.
    pub n: u64,
    /// Share resolved with every member matched at IoU >= 0.5.
    pub resolved: Option<f64>,
    /// 95 % bootstrap interval of `resolved`.
    pub ci95: Option<[f64; 2]>,
    /// Share resolved with every member matched at IoU >= 0.7.
    pub resolved_70: Option<f64>,
    /// 95 % bootstrap interval of `resolved_70`.
    pub ci95_70: Option<[f64; 2]>,
    /// Why one of the above is undefined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of the joined pairs of the truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairNumbers {
    /// Joined pairs.
    pub n: u64,
    /// Both nuclei matched at IoU >= 0.5.
    pub found: u64,
    /// One prediction covers more than half of each.
    pub missed: u64,
    /// Neither.
    pub lost: u64,
}

/// Splitting scores over a set of fields, all pooled: a field has too few clusters for rates of its
/// own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplittingSummary {
    /// Truth nuclei.
    pub nuclei: u64,
    /// Nuclei that touch no other.
    pub singles: ResolvedRow,
    /// Clusters of `2`, `3` and `4+` nuclei.
    pub clusters: ByName<ResolvedRow>,
    /// Clusters of exactly 4 nuclei, which are part of `4+`.
    pub clusters_of_4: ResolvedRow,
    /// Clusters of any size.
    pub clusters_all: ResolvedRow,
    /// What became of the joined pairs.
    pub pairs: PairNumbers,
    /// Missed pairs per joined pair.
    pub missed_cuts: Pooled,
    /// Lost pairs per joined pair.
    pub lost_pairs: Pooled,
    /// Number of false cuts.
    pub false_cut_number: u64,
    /// False cuts per truth nucleus.
    pub false_cuts: Pooled,
    /// Found pairs per joined pair.
    pub cut_recall: Pooled,
    /// Found pairs per cut, right or false.
    pub cut_precision: Pooled,
    /// Harmonic mean of the two.
    pub cut_f1: Pooled,
    /// Found pairs with a cut line on both sides, over which the distances are averaged.
    pub cut_lines: u64,
    /// Found pairs whose predictions are too far apart for a line.
    pub pairs_without_line: u64,
    /// Mean distance between true and predicted cut lines in px.
    pub cut_line_distance_px: Pooled,
    /// The same in um, over the fields whose pixel size is known.
    pub cut_line_distance_um: Pooled,
}

/// How well one kind of outline lies, over a set of fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoundarySummary {
    /// Whether contours were compared, or all pixels of a class that is a line itself.
    pub outline: Outline,
    /// True outline pixels.
    pub truth_px: u64,
    /// Predicted outline pixels.
    pub prediction_px: u64,
    /// Scores with a tolerance of 0, 1, 2 and 3 px.
    pub tolerance: Vec<ToleranceRow>,
    /// Area over skeleton length of true and predicted lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thickness: Option<Thickness>,
    /// Distances and bands of matched nuclei.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs: Option<PairSummary>,
}

/// Scores of outlines within a tolerance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToleranceRow {
    /// Largest Euclidean distance that counts as agreement, in px.
    pub px: usize,
    /// Share of predicted pixels with a true one in reach.
    pub precision: Statistic,
    /// Share of true pixels with a predicted one in reach.
    pub recall: Statistic,
    /// Harmonic mean of the two.
    pub f1: Statistic,
    /// Normalised surface dice: both together.
    pub nsd: Statistic,
}

/// Area over skeleton length, in px.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thickness {
    /// Of the true lines.
    pub truth_px: Statistic,
    /// Of the predicted lines.
    pub prediction_px: Statistic,
}

/// Outlines of matched nuclei (IoU >= 0.5), averaged over pairs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairSummary {
    /// Matched pairs.
    pub n: u64,
    /// Pairs with a contour on both sides, over which distances are averaged.
    pub measured: u64,
    /// Boundary IoU with a band of 1 px.
    pub boundary_iou_1px: Statistic,
    /// Boundary IoU with a band of 2 px.
    pub boundary_iou_2px: Statistic,
    /// Boundary IoU with a band of 3 px.
    pub boundary_iou_3px: Statistic,
    /// Average symmetric surface distance in px.
    pub assd_px: Statistic,
    /// The larger 95th percentile of both directed surface distances, in px.
    pub hd95_px: Statistic,
    /// `assd_px` in um, over the fields whose pixel size is known.
    pub assd_um: Statistic,
    /// `hd95_px` in um, over the fields whose pixel size is known.
    pub hd95_um: Statistic,
}

/// Scores of the true nuclei of one kind. Predictions have no kind, so there is no precision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KindSummary {
    /// Truth nuclei of the kind.
    pub n: u64,
    /// Share matched at IoU >= 0.5.
    pub recall_50: Statistic,
    /// Share matched at IoU >= 0.7.
    pub recall_70: Statistic,
    /// Mean IoU of those matched at 0.5.
    pub matched_iou: Statistic,
    /// Share of singles resolved.
    pub singles_resolved: Pooled,
    /// Share of clusters with a nucleus of the kind resolved.
    pub clusters_resolved: Pooled,
    /// Joined pairs with a nucleus of the kind.
    pub pairs: PairNumbers,
    /// Found per joined pair.
    pub cut_recall: Pooled,
    /// Missed per joined pair.
    pub missed_cuts: Pooled,
    /// False cuts per nucleus.
    pub false_cuts: Pooled,
}

/// Whether probabilities mean what they say, over all kept pixels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationSummary {
    /// Equal bins of the probabilities.
    pub bins: usize,
    /// Expected calibration error of the most likely class.
    pub ece: Pooled,
    /// Largest gap of a bin.
    pub mce: Pooled,
    /// Mean over classes of the calibration error of each class's own probability.
    pub class_wise_ece: Pooled,
    /// Brier score, 0 to 2.
    pub brier: Pooled,
    /// By the largest probability.
    pub top: Vec<ReliabilityRow>,
    /// By the probability of each class.
    pub classes: ByName<Vec<ReliabilityRow>>,
}

/// Whether the confidences of all objects mean what they say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfidenceSummary {
    /// Predicted objects.
    pub objects: u64,
    /// Those that match no true one.
    pub wrong: u64,
    /// Expected calibration error: the mean over objects of the distance between the mean
    /// confidence of their bin and the share of it that is right.
    pub ece: Pooled,
    /// What that would come to by chance if every confidence were the probability itself.
    pub ece_by_chance: Option<f64>,
    /// Probability that a right object has a higher confidence than a wrong one, ties half: the
    /// area under the ROC curve.
    pub auroc: Pooled,
    /// Mean squared difference between confidence and 1 (right) or 0 (wrong).
    pub brier: Pooled,
    /// Equal bins of the confidence; empty ones are left out.
    pub bins: Vec<ConfidenceRow>,
    /// What is left where somebody looks at the least sure.
    pub looked_at: Vec<LookedAtRow>,
    /// True and expected counts of the fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<ExpectedCount>,
    /// The same of wells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wells: Vec<ExpectedCount>,
    /// True and expected areas of the fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub areas: Vec<ExpectedArea>,
}

impl ConfidenceSummary {
    /// How many of these counts have an interval, and how many of those hold the truth.
    pub fn held(counts: &[ExpectedCount]) -> [usize; 2] {
        let with = counts
            .iter()
            .filter_map(|count| Some((count.truth, count.interval?)));
        with.fold([0, 0], |[all, held], (truth, [low, high])| {
            let inside = (low..=high).contains(&(truth as f64));
            [all + 1, held + usize::from(inside)]
        })
    }
}

/// The objects of one bin.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfidenceRow {
    /// Lower end of the bin, not in it.
    pub from: f64,
    /// Upper end.
    pub to: f64,
    /// Objects.
    pub objects: u64,
    /// Their mean confidence.
    pub confidence: f64,
    /// Share of them that is right.
    pub right: f64,
}

/// What is left where somebody looks at the least sure objects and settles which are wrong.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LookedAtRow {
    /// Share of the objects that are looked at.
    pub share: f64,
    /// Share of all wrong objects that is not among them.
    pub errors_left: Option<f64>,
    /// Share of the objects not looked at that is wrong.
    pub wrong_among_rest: Option<f64>,
}

/// Scores by the paper's convention, shown beside argmax scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaperSummary {
    /// Mean over images of the mean over classes, background included.
    pub mean: PaperPair,
    /// Mean over images, class by class.
    pub classes: ByName<PaperPair>,
}

/// F1 and IoU by the paper's convention (mean over images).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaperPair {
    /// F1 with 1e-5 in numerator and denominator.
    pub f1: f64,
    /// IoU with 1e-5 in numerator and denominator.
    pub iou: f64,
}

/// How the intervals were made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IntervalNote {
    /// What was resampled: `field`, or the name of a group.
    pub unit: String,
    /// How many of them there are.
    pub units: usize,
    /// Number of resamples.
    pub resamples: usize,
    /// Key of the random numbers.
    pub seed: u64,
    /// The choice in words, with its weaknesses.
    pub note: String,
}

/// One field's own scores.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FieldRow {
    /// Name of the field.
    pub name: String,
    /// Its well or experiment.
    pub group: Option<String>,
    /// F1 and IoU class by class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<ByName<FieldPixelwise>>,
    /// Pixels class by class (argmax), from which scores of any set of fields can be pooled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixels: Option<ByName<ClassCounts>>,
    /// Mean over classes, background included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<FieldPixelwise>,
    /// Share of kept pixels whose class is right (argmax).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Pixels left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignored_pixels: Option<u64>,
    /// Object scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<FieldObjects>,
    /// Object scores of whole cells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cells: Option<FieldObjects>,
    /// What became of the objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_errors: Option<FieldFates>,
    /// Splitting counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub splitting: Option<SplittingCounts>,
    /// Why one of the above is `null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// F1 and IoU of one field.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldPixelwise {
    /// F1 (Dice coefficient).
    pub f1: Option<f64>,
    /// Intersection over union.
    pub iou: Option<f64>,
}

/// Object scores of one field.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldObjects {
    /// Truth objects.
    pub truth: u64,
    /// Predicted objects.
    pub prediction: u64,
    /// F1 at IoU >= 0.5.
    pub f1_50: Option<f64>,
    /// Mean average precision over IoU 0.50 .. 0.95.
    pub mean_ap: Option<f64>,
    /// Panoptic quality.
    pub pq: Option<f64>,
    /// Predicted minus true objects.
    pub count_error: i64,
}

/// Scores of a set of fields; its JSON is `scores.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// What the fields are to the model that made the predictions; none where no model is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<ScoredOn>,
    /// Whether numbers of this model can be used on images like these; none in files of older
    /// versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Number of fields.
    pub images: usize,
    /// Number of groups; a field without a group is its own.
    pub groups: usize,
    /// F1 and IoU per class, background included; empty without pixel scores.
    pub classes: ByName<Pixelwise>,
    /// Mean over classes, background included, as in the paper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<Pixelwise>,
    /// Mean over classes without background.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_without_background: Option<Pixelwise>,
    /// Share of kept pixels whose class is right (argmax).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<Statistic>,
    /// Object scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<ObjectSummary>,
    /// Scores of whole cells as objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cells: Option<ObjectSummary>,
    /// Why objects are wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_errors: Option<ObjectErrors>,
    /// Splitting scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub splitting: Option<SplittingSummary>,
    /// Outlines by class; `objects` for those of all nuclei.
    #[serde(default, skip_serializing_if = "ByName::is_empty")]
    pub boundaries: ByName<BoundarySummary>,
    /// Nuclei by kind, such as `mitotic` and `interphase`.
    #[serde(default, skip_serializing_if = "ByName::is_empty")]
    pub kinds: ByName<KindSummary>,
    /// Whether probabilities mean what they say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<CalibrationSummary>,
    /// The same of probabilities as they are written, where the model changes them for that;
    /// `calibration` is then what the network says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibrated: Option<CalibrationSummary>,
    /// Whether confidences of objects mean what they say; none where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<ConfidenceSummary>,
    /// Counts, areas and intensities through predicted masks against those through true ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<AgreementSummary>,
    /// The paper's convention beside argmax, where probabilities were at hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper: Option<PaperSummary>,
    /// Which pixel counts `classes` and `mean` are made of.
    pub convention: Convention,
    /// What the intervals resample.
    pub unit: String,
    /// How the intervals were made.
    pub intervals: IntervalNote,
    /// Pixels counted, over all fields (argmax).
    pub pixels_kept: u64,
    /// Pixels ignored, over all fields (argmax).
    pub pixels_ignored: u64,
    /// Every field's own scores.
    pub fields: Vec<FieldRow>,
}

//! The nuclei of a field's truth: from a stain, a mask or labels, and corrected by hand.

use std::path::Path;

use stainfree_image::{Image, PlaneAt, TruthOf};
use stainfree_objects::{
    Connectivity, MitoticCandidate, StainNumbers, Verdict, debris_share, joined, label,
    mitotic_candidates, relabel_consecutive, segment_nuclei_besides,
};

use super::fixes::Corrected;
use super::given::{
    Inputs, NoTruth, file_of, in_field, read_cells, read_instances, read_stain,
    refuse_without_background, shared_numbers_note,
};
use super::stain::Stain;
use crate::study::config::NucleiFrom;
use crate::study::human;

/// The nuclei of a field, and what is known of them.
pub(super) struct Nuclei {
    pub(super) mask: Image<bool>,
    pub(super) labels: Image<u32>,
    pub(super) count: usize,
    /// The automatic ones, where they were corrected by hand.
    pub(super) automatic: Option<Image<u32>>,
    /// Pixels of which nothing is said.
    pub(super) ignore: Option<Image<bool>>,
    /// Pixels at which the stain shows nothing.
    pub(super) blank: Option<Image<bool>>,
    /// The stain they were found in, moved back and under even light.
    pub(super) stain: Option<Image<f32>>,
    /// What the stain is recognised by.
    pub(super) image: Option<String>,
    pub(super) threshold: Option<f64>,
    pub(super) numbers: Option<StainNumbers>,
    pub(super) debris_share: Option<f64>,
    pub(super) candidates: Vec<MitoticCandidate>,
    pub(super) remarks: Vec<String>,
    pub(super) verdicts: Vec<(&'static str, Verdict)>,
}

impl Nuclei {
    /// Finds them where the study says.
    ///
    /// # Errors
    /// There is no truth of this field, or something is wrong with it.
    pub(super) fn find(inputs: &Inputs, from: NucleiFrom) -> Result<Self, NoTruth> {
        match from {
            NucleiFrom::Stain(channel) => Self::of_stain(inputs, channel),
            NucleiFrom::Masks(folder) => Self::of_mask(inputs, folder),
            NucleiFrom::Labels(folder) => Self::of_labels(inputs, folder),
        }
    }

    /// Nuclei of which nothing else is known.
    fn of(mask: Image<bool>, labels: Image<u32>, count: usize) -> Self {
        Self {
            mask,
            labels,
            count,
            automatic: None,
            ignore: None,
            blank: None,
            stain: None,
            image: None,
            threshold: None,
            numbers: None,
            debris_share: None,
            candidates: Vec::new(),
            remarks: Vec::new(),
            verdicts: Vec::new(),
        }
    }

    fn of_stain(inputs: &Inputs, channel: &str) -> Result<Self, NoTruth> {
        let (truth, field) = (inputs.truth, inputs.field);
        let plane = read_stain(field, inputs.source.nucleus, channel, inputs.size)?;
        let corrected = Corrected::new(plane.to_f32(), &inputs.fixes.nucleus);
        let stain = &corrected.stain;
        let settings = &truth.nucleus_settings;
        let blank = corrected.blank.as_ref();
        let found = segment_nuclei_besides(stain, blank, field.pixel_um, settings)
            .map_err(|e| in_field(field, e))?;
        let limits = &settings.quality;
        let (numbers, mut verdicts) = corrected.judge(
            Stain::Nucleus,
            &found.mask,
            found.numbers,
            found.quality,
            limits,
        );
        let debris_share = debris_share(&found.labels);
        let debris = debris_share.and_then(|share| Verdict::of_debris(share, limits));
        verdicts.extend(debris.map(|verdict| (Stain::Nucleus.name(), verdict)));
        let mut candidates = Vec::new();
        if truth.mitosis.find {
            let least = truth.mitosis.review_score.min(truth.mitosis.min_score);
            candidates = mitotic_candidates(stain, &found.labels, found.um_per_pixel, least)
                .map_err(|e| in_field(field, e))?;
        }
        Ok(Self {
            ignore: joined(Some(found.ignore), corrected.unknown),
            blank: corrected.blank,
            stain: Some(corrected.stain),
            image: Some(human::content(&plane)),
            threshold: Some(f64::from(found.threshold)),
            numbers: Some(numbers),
            debris_share,
            candidates,
            verdicts,
            ..Self::of(found.mask, found.labels, found.count)
        })
    }

    fn of_mask(inputs: &Inputs, folder: &Path) -> Result<Self, NoTruth> {
        let file = file_of(&inputs.files.nuclei, inputs.field, folder)?;
        let mask = inputs
            .given
            .place(read_cells(file, inputs.at, inputs.size)?);
        let labels = label(&mask, Connectivity::Eight);
        Ok(Self {
            ignore: inputs.given.unknown(inputs.size),
            ..Self::of(mask, labels.image, labels.count)
        })
    }

    fn of_labels(inputs: &Inputs, folder: &Path) -> Result<Self, NoTruth> {
        let file = file_of(&inputs.files.nuclei, inputs.field, folder)?;
        let stored = read_instances(file, inputs.at, inputs.size)?;
        refuse_without_background(&file.path, &stored)?;
        let note = shared_numbers_note(&file.path, &stored);
        let labels = relabel_consecutive(&inputs.given.place(stored));
        Ok(Self {
            ignore: inputs.given.unknown(inputs.size),
            remarks: note.into_iter().collect(),
            ..Self::of(labels.image.map(|&l| l != 0), labels.image, labels.count)
        })
    }

    /// Takes the nuclei of the file that a person corrected.
    ///
    /// # Errors
    /// It cannot be read, or is no label image of this field.
    pub(super) fn correct(
        &mut self,
        path: &Path,
        at: PlaneAt,
        size: (usize, usize),
    ) -> Result<(), NoTruth> {
        let stored = read_instances(&TruthOf::alone(path.to_owned()), at, size)?;
        self.remarks.extend(shared_numbers_note(path, &stored));
        let corrected = relabel_consecutive(&stored);
        // A person has looked: doubts about stain and threshold no longer count, and where the
        // stain shows nothing the nuclei are known all the same.
        self.verdicts.clear();
        (self.ignore, self.blank) = (None, None);
        self.mask = corrected.image.map(|&l| l != 0);
        self.count = corrected.count;
        let automatic = std::mem::replace(&mut self.labels, corrected.image);
        self.automatic = Some(automatic);
        Ok(())
    }
}

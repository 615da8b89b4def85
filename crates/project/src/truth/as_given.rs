//! Truth as it was given, before anything is moved: what is looked at to tell where it lies.

use stainfree_image::{Field, Image};
use stainfree_objects::{IGNORED, Known, TruthEvidence, truth_evidence};

use super::align::config_as_given;
use super::files::TruthFiles;
use super::fixes::StainFixes;
use super::given::NoTruth;
use super::make::make;
use crate::ProjectError;
use crate::study::config::NucleiFrom;
use crate::study::{Source, Study};

/// Truth as it was given: nothing is moved, and nothing that a person drew on the brightfield takes
/// its place.
pub(crate) struct AsGiven<'a> {
    study: Study,
    source: &'a Source,
    files: TruthFiles,
}

/// The nuclei of a field as they were given.
pub(crate) struct GivenNuclei {
    /// Labels.
    pub(crate) labels: Image<u32>,
    /// Pixels of which something is said; none = all.
    pub(crate) known: Option<Image<bool>>,
}

impl<'a> AsGiven<'a> {
    /// The truth of `study`.
    pub(crate) fn of(study: &Study, source: &'a Source, files: &TruthFiles) -> Self {
        Self {
            study: study.with_config(config_as_given(study)),
            source,
            files: files.without_corrected(),
        }
    }

    /// Whether the field was given any truth.
    pub(crate) fn has(&self, field: &Field) -> bool {
        match (self.study.config().truth.nuclei_from(), self.source.nucleus) {
            (Some(NucleiFrom::Stain(_)), Some(channel)) => {
                field.planes[channel].iter().any(Option::is_some)
            }
            (Some(NucleiFrom::Stain(_)) | None, _) => false,
            (Some(_), _) => self.files.nuclei_of(&field.name).is_some(),
        }
    }

    /// The nuclei of a field whose brightfield is of this size.
    ///
    /// # Errors
    /// It has none, or something is wrong with them.
    pub(crate) fn nuclei(
        &self,
        field: &Field,
        size: (usize, usize),
    ) -> Result<GivenNuclei, ProjectError> {
        let fixes = StainFixes::default();
        let made = make(
            &self.study,
            self.source,
            &self.files,
            &fixes,
            &[],
            field,
            size,
        );
        let truth = made.map_err(|why| match why {
            NoTruth::Left(reason) => {
                ProjectError::Field(format!("field `{}`: {reason}", field.name))
            }
            NoTruth::Failed(error) => error,
        })?;
        let known = truth.classes.map(|&class| class != IGNORED);
        Ok(GivenNuclei {
            labels: truth.nuclei,
            known: known.data().contains(&false).then_some(known),
        })
    }
}

/// What the truth of a field says against the probability of nuclei, of which `seen` are known.
///
/// # Errors
/// The two differ in size.
pub(crate) fn evidence(
    field: &Field,
    probability: &Image<f32>,
    seen: Option<&Image<bool>>,
    given: &GivenNuclei,
) -> Result<TruthEvidence, ProjectError> {
    let known = Known {
        seen,
        truth: given.known.as_ref(),
    };
    truth_evidence(probability, &given.labels, &known)
        .map_err(|error| ProjectError::Field(format!("field `{}`: {error}", field.name)))
}

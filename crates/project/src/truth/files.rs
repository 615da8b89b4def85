//! Which files hold the truth of which field.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stainfree_image::{Dataset, Field, PlaneAt, TruthOf, composed};

use crate::ProjectError;
use crate::study::config::{CytoplasmFrom, NucleiFrom};
use crate::study::human::corrected;
use crate::study::names;
use crate::study::{Source, Study};

/// Files that hold truth, by the name of their field.
#[derive(Clone, Debug, Default)]
pub(crate) struct TruthFiles {
    /// Nuclei corrected by hand.
    pub(super) corrected: BTreeMap<String, PathBuf>,
    pub(super) nuclei: BTreeMap<String, TruthOf>,
    pub(super) cells: BTreeMap<String, TruthOf>,
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

    /// The same without what a person corrected.
    pub(super) fn without_corrected(&self) -> Self {
        Self {
            corrected: BTreeMap::new(),
            ..self.clone()
        }
    }

    /// The file that was given of the nuclei of a field.
    pub(super) fn nuclei_of(&self, name: &str) -> Option<&Path> {
        self.nuclei.get(name).map(|truth| truth.path.as_path())
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
pub(super) fn plane_at(source: &Source, field: &Field) -> Result<PlaneAt, ProjectError> {
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

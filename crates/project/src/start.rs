//! Where a training starts: from nothing, from an encoder that knows photographs, or from a trained model.

use std::path::{Path, PathBuf};

use stainfree_network::inherit::inherit;
use stainfree_network::input::{InputSpec, Preprocessing};
use stainfree_network::model::Model;
use stainfree_network::recipe::Recipe;
use stainfree_network::weights::{self, Imported, Source};
use stainfree_network::{Graph, Parameters, UnetSpec};

use crate::{Job, ProjectError};

/// The numbers of a network before its first step, and what they ask of everything after.
pub(crate) struct Start {
    pub(crate) graph: Graph,
    pub(crate) parameters: Parameters,
    /// What happens to images before the network reads them.
    pub(crate) input: InputSpec,
    /// Whether batch norms must be measured before the first step.
    pub(crate) folded_norms: bool,
    /// What it started from; none = nothing.
    pub(crate) origin: Option<String>,
}

/// Builds the network and fills it as `wanted` says: `auto`, `none`, the name of a source, a weights file, or a model's
/// folder.
///
/// # Errors
/// Weights that are not there, or do not fit the network.
pub(crate) fn start(
    wanted: &str,
    path: PathBuf,
    network: &UnetSpec,
    classes: &[String],
    planes: usize,
    recipe: &Recipe,
    job: &Job,
) -> Result<Start, ProjectError> {
    let graph = Graph::unet(network).map_err(|error| ProjectError::Failed(error.to_string()))?;
    let parameters = Parameters::initialise(&graph, recipe.seed);
    let mut start = Start {
        graph,
        parameters,
        input: InputSpec {
            planes,
            normalisation: recipe.normalisation.clone(),
            preprocessing: Preprocessing::centred(),
        },
        folded_norms: false,
        origin: None,
    };
    match wanted {
        "none" => {}
        "auto" => start.best_at_hand(network, job)?,
        _ if path.is_dir() => start.take_model(&path, network, classes, job)?,
        _ if path.is_file() => start.take_file(&path, None, job)?,
        name => match Source::named(name) {
            Some(source) => start.take_source(source, job)?,
            None => {
                return Err(ProjectError::Failed(format!(
                    "`{name}` is neither a weights file, nor a model's folder, nor the name of known weights ({})",
                    Source::names()
                )));
            }
        },
    }
    if start.origin.is_none() {
        job.progress
            .note("the network starts from nothing (no encoder weights)");
    }
    Ok(start)
}

impl Start {
    /// Files in the weights folders come first, then what the program carries. Published weights are of full width.
    fn best_at_hand(&mut self, network: &UnetSpec, job: &Job) -> Result<(), ProjectError> {
        if network.width != 1.0 {
            return Ok(());
        }
        let encoder = network.encoder.name();
        if let Some((path, _)) = weights::find(encoder, &folders()) {
            return self.take_file(&path, None, job);
        }
        match weights::built_in(encoder) {
            Some(source) => self.take_source(source, job),
            None => Ok(()),
        }
    }

    /// A source's own file where there is one, else what the program carries of it.
    fn take_source(&mut self, source: &'static Source, job: &Job) -> Result<(), ProjectError> {
        let file = folders()
            .iter()
            .map(|folder| folder.join(source.file))
            .find(|path| path.is_file());
        match file {
            Some(path) => self.take_file(&path, Some(source.name), job),
            None if source.is_built_in() => {
                let imported = weights::load_built_in(&self.graph, &mut self.parameters, source)?;
                self.record(&imported, "part of the program", job);
                Ok(())
            }
            None => Err(ProjectError::Failed(format!(
                "the weights `{0}` are not on this machine; get them with `stainfree weights fetch {0}`, or give a file",
                source.name
            ))),
        }
    }

    fn take_file(
        &mut self,
        path: &Path,
        source: Option<&str>,
        job: &Job,
    ) -> Result<(), ProjectError> {
        let imported = weights::load_encoder(&self.graph, &mut self.parameters, path, source)?;
        self.record(&imported, &format!("`{}`", path.display()), job);
        Ok(())
    }

    fn record(&mut self, imported: &Imported, place: &str, job: &Job) {
        let source = imported.source;
        self.input.preprocessing = (source.preprocessing)();
        self.folded_norms = source.folded;
        self.origin = Some(source.name.to_owned());
        job.progress.note(&format!(
            "the encoder starts from `{}` ({place})",
            source.name
        ));
    }

    fn take_model(
        &mut self,
        folder: &Path,
        network: &UnetSpec,
        classes: &[String],
        job: &Job,
    ) -> Result<(), ProjectError> {
        let model = Model::load(folder)?;
        let shared = inherit(&model, network, classes, &mut self.parameters)
            .map_err(|error| ProjectError::Failed(format!("`{}`: {error}", folder.display())))?;
        let info = &model.info;
        job.progress.note(&format!(
            "the network starts from the model `{}` ({shared} of {} classes known to it)",
            folder.display(),
            classes.len()
        ));
        if info.input.normalisation != self.input.normalisation {
            job.progress.note(
                "that model was trained on images normalised in another way than this recipe does it",
            );
        }
        self.input.preprocessing = info.input.preprocessing.clone();
        let name = folder.file_name().unwrap_or(folder.as_os_str());
        let digest = info
            .hashes
            .get("weights")
            .map_or("", |hash| &hash[..hash.len().min(12)]);
        self.origin = Some(
            format!("model {} {digest}", name.to_string_lossy())
                .trim_end()
                .to_owned(),
        );
        Ok(())
    }
}

fn folders() -> Vec<PathBuf> {
    weights::search_folders(data_folder().as_deref())
}

/// The user's folder for data of this program, where the system says where that is.
pub fn data_folder() -> Option<PathBuf> {
    let variable = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    variable("XDG_DATA_HOME")
        .or_else(|| variable("LOCALAPPDATA"))
        .or_else(|| variable("HOME").map(|home| home.join(".local").join("share")))
        .map(|folder| folder.join("stainfree"))
}

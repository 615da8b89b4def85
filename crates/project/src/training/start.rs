//! Where a training starts: from nothing, from an encoder that knows photographs, or from a trained
//! model.

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

/// Builds the network and fills it as `wanted` says: `auto`, `none`, a name that [`is_name`] knows,
/// or `path`, a weights file or a model's folder.
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
        "auto" => match at_hand(recipe)? {
            AtHand::VirtualPlates => start.take_virtual_plates(network, classes, job)?,
            AtHand::File(path) => start.take_file(&path, None, job)?,
            AtHand::Carried(source) => start.take_source(source, job)?,
            AtHand::TooNarrow => job
                .progress
                .note("what the program carries to start from is of `width` 1 only"),
            AtHand::Nothing => {}
        },
        weights::VIRTUAL_PLATES => start.take_virtual_plates(network, classes, job)?,
        _ if path.is_dir() => start.take_folder(&path, network, classes, job)?,
        _ if path.is_file() => start.take_file(&path, None, job)?,
        name => match Source::named(name) {
            Some(source) => start.take_source(source, job)?,
            None => {
                return Err(ProjectError::Start(format!(
                    "`{name}` is neither a weights file, nor a model's folder, nor the name of \
                     known weights ({}, {})",
                    weights::VIRTUAL_PLATES,
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

/// What `auto` is on this machine.
pub(crate) enum AtHand {
    /// The model that has seen virtual plates.
    VirtualPlates,
    /// A file in the weights folders.
    File(PathBuf),
    /// An encoder that the program carries.
    Carried(&'static Source),
    /// Nothing for a network of this width, though there is for the full one.
    TooNarrow,
    /// Nothing for this network.
    Nothing,
}

impl AtHand {
    /// The word or path that asks for it.
    pub(crate) fn word(&self) -> String {
        match self {
            Self::VirtualPlates => weights::VIRTUAL_PLATES.to_owned(),
            Self::File(path) => path.to_string_lossy().into_owned(),
            Self::Carried(source) => source.name.to_owned(),
            Self::TooNarrow | Self::Nothing => "none".to_owned(),
        }
    }
}

/// The best start on this machine: the model that has seen virtual plates, where it is of this
/// network and reads images as the recipe does; else a file in the weights folders, else an encoder
/// that the program carries. All of them are of full width.
///
/// # Errors
/// The carried model cannot be read.
pub(crate) fn at_hand(recipe: &Recipe) -> Result<AtHand, ProjectError> {
    let encoder = recipe.encoder.name();
    let carried = weights::virtual_plates()?.info;
    let same = carried.network.encoder() == encoder;
    if recipe.width != 1.0 {
        return Ok(if same {
            AtHand::TooNarrow
        } else {
            AtHand::Nothing
        });
    }
    if same && carried.input.normalisation == recipe.normalisation {
        return Ok(AtHand::VirtualPlates);
    }
    if let Some((path, _)) = weights::find(encoder, &folders()) {
        return Ok(AtHand::File(path));
    }
    Ok(weights::built_in(encoder).map_or(AtHand::Nothing, AtHand::Carried))
}

/// How what a training started from is called where that is a model of the user's.
const A_MODEL: &str = "model ";

/// Whether a training that started from `origin` did so from a model of the user's.
pub(crate) fn is_from_model(origin: &str) -> bool {
    origin.starts_with(A_MODEL)
}

/// Whether `word` names weights, so that it is no path.
pub(crate) fn is_name(word: &str) -> bool {
    matches!(word, "auto" | "none" | weights::VIRTUAL_PLATES) || Source::named(word).is_some()
}

/// The folder of the model that `wanted`, or else `path`, asks to start from; `None` for weights
/// that have a name or lie in a file.
pub(crate) fn model_of<'a>(wanted: &str, path: &'a Path) -> Option<&'a Path> {
    (!is_name(wanted) && path.is_dir()).then_some(path)
}

impl Start {
    /// Whether it is a network that was trained for the task, and not an encoder of photographs or
    /// nothing.
    pub(crate) fn is_trained(&self) -> bool {
        let origin = self.origin.as_deref();
        origin.is_some_and(|origin| origin == weights::VIRTUAL_PLATES || is_from_model(origin))
    }

    fn take_virtual_plates(
        &mut self,
        network: &UnetSpec,
        classes: &[String],
        job: &Job,
    ) -> Result<(), ProjectError> {
        let model = weights::virtual_plates()?;
        let name = weights::VIRTUAL_PLATES;
        self.take_model(&model, name, network, classes, job)?;
        self.origin = Some(name.to_owned());
        Ok(())
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
            None => Err(ProjectError::Start(format!(
                "the weights `{0}` are not on this machine; get them with `stainfree weights fetch \
                 {0}`, or give a file",
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

    fn take_folder(
        &mut self,
        folder: &Path,
        network: &UnetSpec,
        classes: &[String],
        job: &Job,
    ) -> Result<(), ProjectError> {
        let model = Model::load(folder)?;
        self.take_model(&model, &folder.to_string_lossy(), network, classes, job)?;
        let name = folder.file_name().unwrap_or(folder.as_os_str());
        let hash = model.info.hashes.get("weights");
        let digest = hash.map_or("", |hash| &hash[..hash.len().min(12)]);
        let origin = format!("{A_MODEL}{} {digest}", name.to_string_lossy());
        self.origin = Some(origin.trim_end().to_owned());
        Ok(())
    }

    fn take_model(
        &mut self,
        model: &Model,
        label: &str,
        network: &UnetSpec,
        classes: &[String],
        job: &Job,
    ) -> Result<(), ProjectError> {
        let shared = inherit(model, network, &self.graph, classes, &mut self.parameters)
            .map_err(|error| ProjectError::Start(format!("`{label}`: {error}")))?;
        job.progress.note(&format!(
            "the network starts from the model `{label}` ({shared} of {} classes known to it)",
            classes.len()
        ));
        if model.info.input.normalisation != self.input.normalisation {
            job.progress.note(
                "that model was trained on images normalised in another way than this recipe does \
                 it",
            );
        }
        self.input.preprocessing = model.info.input.preprocessing.clone();
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
    let system = match (cfg!(windows), cfg!(target_os = "macos")) {
        (true, _) => System::Windows,
        (_, true) => System::Mac,
        _ => System::Unix,
    };
    system.data_folder(variable, Path::is_dir)
}

/// Systems that keep the data of programs in different places.
#[derive(Clone, Copy)]
enum System {
    Windows,
    Mac,
    Unix,
}

impl System {
    /// The folder for this program's data, by the variables of the environment and the folders that
    /// are there.
    fn data_folder(
        self,
        variable: impl Fn(&str) -> Option<PathBuf>,
        is_there: impl Fn(&Path) -> bool,
    ) -> Option<PathBuf> {
        if let Some(chosen) = variable("XDG_DATA_HOME") {
            return Some(chosen.join("stainfree"));
        }
        let home = |place: &str| variable("HOME").map(|home| home.join(place).join("stainfree"));
        let unix = home(".local/share");
        match self {
            System::Windows => variable("LOCALAPPDATA")
                .map(|f| f.join("stainfree"))
                .or(unix),
            // Where earlier versions put downloaded weights they are found again.
            System::Mac => unix
                .filter(|folder| is_there(folder))
                .or_else(|| home("Library/Application Support")),
            System::Unix => unix,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stainfree_inference::planes::network_input;
    use stainfree_network::{Machine, Session, TileOptions, argmax, predict_image};
    use stainfree_specimen::{PlateSpec, simulate_field};

    #[test]
    fn every_system_has_its_own_place_for_data() {
        let of = |system: System, set: &[&str], there: bool| {
            let variable = |name: &str| set.contains(&name).then(|| PathBuf::from("/").join(name));
            let folder = system.data_folder(variable, |_| there);
            folder.map(|folder| folder.to_string_lossy().replace('\\', "/"))
        };
        let all = ["XDG_DATA_HOME", "LOCALAPPDATA", "HOME"];
        let place = |text: &str| Some(text.to_owned());
        for system in [System::Windows, System::Mac, System::Unix] {
            assert_eq!(of(system, &all, false), place("/XDG_DATA_HOME/stainfree"));
            assert_eq!(of(system, &[], true), None);
        }
        let usual = &all[1..];
        let unix = place("/HOME/.local/share/stainfree");
        assert_eq!(
            of(System::Windows, usual, false),
            place("/LOCALAPPDATA/stainfree")
        );
        assert_eq!(of(System::Unix, usual, false), unix);
        let mac = place("/HOME/Library/Application Support/stainfree");
        assert_eq!(of(System::Mac, usual, false), mac);
        assert_eq!(of(System::Mac, usual, true), unix);
    }

    #[test]
    fn the_carried_model_finds_nuclei_of_a_virtual_plate_it_never_saw() {
        let model = weights::virtual_plates().unwrap();
        let spec = PlateSpec {
            side: 256,
            planes: 1,
            seed: 77,
            unstained: true,
            ..PlateSpec::default()
        };
        let field = simulate_field(&spec, 0, 0).unwrap();
        let planes = [field.brightfield[0].map(|&count| f32::from(count))];
        let input = network_input(&model.info.input, &planes, 65_535.0, None).unwrap();
        let mut session = Session::new(&Machine::new(2), &model.graph, &model.parameters);
        let logits = predict_image(
            &mut session,
            &input,
            256,
            256,
            &TileOptions::new(&model.graph),
        )
        .unwrap();
        // The classes come first of its outputs.
        let classes = argmax(&logits[..3 * 256 * 256], 3);
        let truth = field.truth.classes.data();
        let count = |of: &dyn Fn(bool, bool) -> bool| {
            let pairs = classes.iter().zip(truth);
            pairs.filter(|&(&p, &t)| of(p == 1, t == 1)).count() as f64
        };
        let f1 = 2.0 * count(&|p, t| p && t) / (count(&|p, _| p) + count(&|_, t| t));
        // Chosen at 0.82 on plates far more varied than this one; a broken factor or channel order
        // gives below 0.4.
        assert!(f1 > 0.7, "nucleus F1 {f1}");
    }
}

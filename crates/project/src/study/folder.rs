//! A study on disk: its folder, its choices, its images.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use stainfree_image::{Dataset, Field, Plane, PlaneRef, Product, Store};

use crate::ProjectError;
use crate::study::channels::find_channel;
use crate::study::config::{self, Config};
use crate::study::disk::remove;
use crate::study::fields::{self, FieldRow};
use crate::study::lease::Thing;

/// Name of a model where none is given.
pub const DEFAULT_MODEL: &str = "model";

/// An opened study.
#[derive(Clone, Debug)]
pub struct Study {
    root: PathBuf,
    config: Config,
}

impl Study {
    /// Opens the study in `root`.
    ///
    /// # Errors
    /// The folder is no study, or its `stainfree.toml` has an error.
    pub fn open(root: &Path) -> Result<Self, ProjectError> {
        let path = root.join(config::FILE_NAME);
        let text = config::read_text(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
                ProjectError::NotAStudy(root.to_owned())
            }
            _ => ProjectError::read(&path, &error),
        })?;
        Ok(Self {
            root: root.to_owned(),
            config: config::parse(&text, &path)?,
        })
    }

    /// The same study with other choices; its file stays as it is.
    pub(crate) fn with_config(&self, config: Config) -> Self {
        Self {
            root: self.root.clone(),
            config,
        }
    }

    /// The study's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The study's choices.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The study's `stainfree.toml`.
    pub fn config_path(&self) -> PathBuf {
        self.root.join(config::FILE_NAME)
    }

    /// A path of the config, made relative to the study.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.root.join(path)
    }

    /// What `prepare` keeps of each field: `truth/`.
    pub fn truth(&self) -> Store {
        Store::at(self.root.join("truth"))
    }

    /// `truth/classes/NAME.tif`.
    pub fn class_mask_path(&self, name: &str) -> PathBuf {
        self.truth().path(Product::Classes, name)
    }

    /// `truth/nuclei/NAME.tif`.
    pub fn nuclei_path(&self, name: &str) -> PathBuf {
        self.truth().path(Product::Nuclei, name)
    }

    /// `truth/automatic/NAME.tif`: what the nuclei of a field corrected by hand were before.
    pub fn automatic_path(&self, name: &str) -> PathBuf {
        self.truth().path(Product::Automatic, name)
    }

    /// `truth/cells/NAME.tif`: whole cells, where the truth has a cytoplasmic stain.
    pub fn cells_path(&self, name: &str) -> PathBuf {
        self.truth().path(Product::Cells, name)
    }

    /// `truth/overlays/NAME.png`.
    pub fn overlay_path(&self, name: &str) -> PathBuf {
        self.truth().path(Product::Overlays, name)
    }

    /// `models/NAME`.
    pub fn model_path(&self, name: &str) -> PathBuf {
        self.root.join("models").join(name)
    }

    /// `runs/NAME`: what a training needs to go on, and what came of it.
    pub fn run_path(&self, name: &str) -> PathBuf {
        self.root.join("runs").join(name)
    }

    /// `truth/unfinished`: there while `prepare` rewrites the truth, and after one that was ended
    /// early, when `fields.csv` and the files beside it do not belong together.
    fn unfinished_path(&self) -> PathBuf {
        self.root.join("truth").join("unfinished")
    }

    /// Whether a `prepare` was ended early.
    pub(crate) fn is_half_prepared(&self) -> bool {
        self.unfinished_path().exists()
    }

    /// Says that the truth is being rewritten.
    ///
    /// # Errors
    /// The study cannot be written to.
    pub(crate) fn begin_rewriting(&self) -> Result<(), ProjectError> {
        // Fields are made side by side, and one of them is enough to say it.
        static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _one = ONE
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if self.is_half_prepared() {
            return Ok(());
        }
        Ok(stainfree_image::write_atomic(&self.unfinished_path(), b"")?)
    }

    /// Says that truth and `fields.csv` belong together again.
    ///
    /// # Errors
    /// The study cannot be written to.
    pub(crate) fn end_rewriting(&self) -> Result<(), ProjectError> {
        remove(&self.unfinished_path())
    }

    /// The truth and its table, which one `prepare` makes at a time.
    pub(crate) fn truth_for<'a>(&'a self, command: &'a str) -> Thing<'a> {
        Thing {
            folder: &self.root,
            name: "truth",
            command,
        }
    }

    /// The fields of the truth that shards of `prepare` make.
    pub(crate) fn fields_for<'a>(&'a self, command: &'a str) -> Thing<'a> {
        Thing {
            folder: &self.root,
            name: "fields",
            command,
        }
    }

    /// Held by whoever makes what a plate's fields need first, or takes fields of the truth.
    pub(crate) fn turn_for<'a>(&'a self, command: &'a str) -> Thing<'a> {
        Thing {
            folder: &self.root,
            name: "turn",
            command,
        }
    }

    /// Refuses to read truth that is being made.
    pub(crate) fn truth_must_be_still(&self, command: &str) -> Result<(), ProjectError> {
        let way_out = "wait until it ends, then run this again";
        self.truth_for(command).must_be_free(way_out)?;
        self.fields_for(command).must_be_free(way_out)
    }

    /// Refuses to change truth from which a model is being trained.
    pub(crate) fn no_training_may_run(&self) -> Result<(), ProjectError> {
        let entries = std::fs::read_dir(self.root.join("runs"))
            .into_iter()
            .flatten();
        for run in entries.filter_map(Result::ok) {
            training_of(&run.path(), "prepare")
                .must_be_free("it reads the truth; wait until it ends, or stop it")?;
        }
        Ok(())
    }

    /// Names of the study's finished models, sorted.
    pub fn models(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.join("models"))
            .into_iter()
            .flatten()
            .filter_map(Result::ok);
        let mut names: Vec<String> = entries
            .filter(|entry| entry.path().join("model.toml").is_file())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// The model to use where none is named: the only one, else `model`.
    pub fn only_model(&self) -> String {
        match self.models().as_slice() {
            [only] => only.clone(),
            _ => DEFAULT_MODEL.to_owned(),
        }
    }

    /// Whether a study lies in `folder`.
    pub fn is_at(folder: &Path) -> bool {
        folder.join(crate::study::config::FILE_NAME).is_file()
    }

    /// The folder of the model that is meant by `name`, or by the study alone where it has one
    /// model, or one that is called [`DEFAULT_MODEL`].
    ///
    /// # Errors
    /// There is no such model, or several and none has that name.
    pub fn trained_model(&self, name: Option<&str>) -> Result<PathBuf, ProjectError> {
        let models = self.models();
        let name = name.map_or_else(|| self.only_model(), str::to_owned);
        if models.contains(&name) {
            return Ok(self.model_path(&name));
        }
        let study = self.root.display();
        Err(ProjectError::Usage(match models.as_slice() {
            [] => format!("`{study}` has no model yet; run `stainfree train` on it first"),
            _ => format!(
                "`{study}` has no model `{name}`; choose one of its models with `--model` ({})",
                stainfree_image::list_names(&models)
            ),
        }))
    }

    /// The rows of `fields.csv`.
    ///
    /// # Errors
    /// The study is not prepared, or only in part, or the table is damaged.
    pub fn fields(&self) -> Result<Vec<FieldRow>, ProjectError> {
        if self.is_half_prepared() {
            return Err(ProjectError::HalfPrepared(self.root.clone()));
        }
        let path = self.root.join(fields::FILE_NAME);
        if !path.exists() {
            return Err(ProjectError::NotPrepared(format!(
                "`{}` is not prepared: it has no `{}`; run `stainfree prepare {0}` first",
                self.root.display(),
                fields::FILE_NAME
            )));
        }
        fields::read(&path)
    }

    /// Opens the study's images.
    ///
    /// # Errors
    /// No images where the config says, or channels it names are not there.
    pub fn source(&self) -> Result<Source, ProjectError> {
        let images = &self.config.images;
        let path = self.resolve(&images.path);
        let mut dataset = stainfree_image::open(&path, &images.opening())?;
        keep_images_only(&mut dataset);
        let find = |key: &str, name: &str| {
            find_channel(&dataset, name).map_err(|message| ProjectError::Config {
                path: self.config_path(),
                line: None,
                message: format!("{message}; set `{key}` to one of them"),
            })
        };
        let brightfield = images
            .brightfield
            .iter()
            .map(|name| find("images.brightfield", name))
            .collect::<Result<Vec<_>, _>>()?;
        let stain = |key: &str, name: &Option<String>| {
            name.as_deref().map(|name| find(key, name)).transpose()
        };
        Ok(Source {
            brightfield: Brightfield {
                channels: brightfield,
                planes: images.planes.clone(),
            },
            nucleus: stain("truth.nucleus", &self.config.truth.nucleus)?,
            cytoplasm: stain("truth.cytoplasm", &self.config.truth.cytoplasm)?,
            dataset,
        })
    }
}

/// The training in the folder `run`.
pub(crate) fn training_of<'a>(run: &'a Path, command: &'a str) -> Thing<'a> {
    Thing {
        folder: run,
        name: "training",
        command,
    }
}

/// A study's images and where its channels lie in them.
#[derive(Clone, Debug)]
pub struct Source {
    /// The images.
    pub dataset: Dataset,
    /// Which planes are brightfield.
    pub brightfield: Brightfield,
    /// Index of the nuclear stain's channel.
    pub nucleus: Option<usize>,
    /// Index of the cytoplasmic stain's channel.
    pub cytoplasm: Option<usize>,
}

impl Source {
    /// The fields by their names.
    pub fn by_name(&self) -> BTreeMap<&str, &Field> {
        let fields = self.dataset.fields.iter();
        fields.map(|field| (field.name.as_str(), field)).collect()
    }
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

/// Which planes of a field are its brightfield.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brightfield {
    /// One channel, or three that are the planes.
    pub channels: Vec<usize>,
    /// z from 1 within the one channel; empty = all where there are three, else the middle one.
    pub planes: Vec<usize>,
}

impl Brightfield {
    /// `(channel, z)` of each plane, z from 0: one or three.
    ///
    /// # Errors
    /// The field lacks a plane that the rule asks for.
    pub fn planes_of(&self, field: &Field) -> Result<Vec<(usize, usize)>, ProjectError> {
        let depth = |channel: usize| field.planes.get(channel).map_or(0, Vec::len);
        let mut chosen = Vec::new();
        for &channel in &self.channels {
            let count = depth(channel);
            if count == 0 {
                return Err(ProjectError::Field(format!(
                    "field `{}` has no brightfield plane",
                    field.name
                )));
            }
            if self.channels.len() > 1 {
                let z = self.planes.first().map_or(count / 2, |z| z - 1);
                chosen.push((channel, z));
            } else if self.planes.is_empty() {
                if count == 3 {
                    chosen.extend((0..3).map(|z| (channel, z)))
                } else {
                    chosen.push((channel, (count - 1) / 2))
                }
            } else {
                chosen.extend(self.planes.iter().map(|z| (channel, z - 1)));
            }
        }
        for &(channel, z) in &chosen {
            if field.planes[channel].get(z).is_none_or(Option::is_none) {
                return Err(ProjectError::Field(format!(
                    "field `{}` has no brightfield plane {} (it has {}); choose others or leave \
                     the field out",
                    field.name,
                    z + 1,
                    depth(channel)
                )));
            }
        }
        Ok(chosen)
    }

    /// The brightfield planes of `field`, to be read by region: one or three.
    ///
    /// # Errors
    /// A plane is missing.
    pub(crate) fn sources(&self, field: &Field) -> Result<Vec<PlaneRef>, ProjectError> {
        let planes = self.planes_of(field)?.into_iter();
        let source = |(channel, z)| Ok(field.plane(channel, z)?.clone());
        planes.map(source).collect()
    }

    /// Reads the brightfield planes of `field`: one or three of the same size.
    ///
    /// # Errors
    /// A plane is missing, unreadable or of another size.
    pub fn read(&self, field: &Field) -> Result<Vec<Plane>, ProjectError> {
        let mut planes: Vec<Plane> = Vec::new();
        for (channel, z) in self.planes_of(field)? {
            let plane = field.read(channel, z)?;
            if let Some(first) = planes.first()
                && first.size() != plane.size()
            {
                let ((h0, w0), (h, w)) = (first.size(), plane.size());
                return Err(ProjectError::Field(format!(
                    "the brightfield planes of field `{}` differ in size ({h0} x {w0} and {h} x \
                     {w}); export them again",
                    field.name
                )));
            }
            planes.push(plane);
        }
        Ok(planes)
    }
}

/// Drops the fields that are the truth of another field of the same folder.
pub(crate) fn keep_images_only(dataset: &mut Dataset) {
    let names: std::collections::BTreeSet<String> = dataset
        .fields
        .iter()
        .map(|field| field.name.clone())
        .collect();
    dataset.fields.retain(|field| {
        !stainfree_image::truth_stem(&field.name).is_some_and(|base| names.contains(base))
    });
}

/// `target` as seen from `folder`, where both lie under one folder that is not the root.
pub(crate) fn relative_to(target: &Path, folder: &Path) -> PathBuf {
    let target_parts: Vec<Component> = target.components().collect();
    let folder_parts: Vec<Component> = folder.components().collect();
    let shared = target_parts
        .iter()
        .zip(&folder_parts)
        .take_while(|(a, b)| a == b)
        .count();
    let named = target_parts[..shared]
        .iter()
        .filter(|part| matches!(part, Component::Normal(_)))
        .count();
    if named == 0 {
        return target.to_owned();
    }
    let mut relative: PathBuf =
        std::iter::repeat_n(Component::ParentDir, folder_parts.len() - shared).collect();
    relative.extend(&target_parts[shared..]);
    if relative.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        relative
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_saved_as_utf16_or_with_other_line_ends_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let text = "[images]\npath = \"Zellkörper\"\nbrightfield = [\"BF\"]\n\
            [truth]\nnucleus = \"DAPI\"\nclasses = [\"background\", \"nucleus\"]\n";
        let save = |bytes: Vec<u8>| {
            std::fs::write(folder.path().join(config::FILE_NAME), bytes).unwrap();
            Study::open(folder.path()).map(|study| study.config)
        };
        let plain = save(text.as_bytes().to_vec()).unwrap();
        let wide = text.encode_utf16().flat_map(u16::to_le_bytes);
        let wide: Vec<u8> = [0xFF, 0xFE].into_iter().chain(wide).collect();
        assert_eq!(save(wide).unwrap(), plain);
        for end in ["\r\n", "\r"] {
            let text = format!("\u{FEFF}{}", text.replace('\n', end));
            assert_eq!(save(text.into_bytes()).unwrap(), plain, "{end:?}");
        }
    }

    #[test]
    fn a_path_is_relative_only_within_one_tree() {
        let relative =
            |target: &str, folder: &str| relative_to(Path::new(target), Path::new(folder));
        assert_eq!(
            relative("/data/plate", "/data/work/study"),
            Path::new("../../plate")
        );
        assert_eq!(
            relative("/data/study/images", "/data/study"),
            Path::new("images")
        );
        assert_eq!(relative("/data/study", "/data/study"), Path::new("."));
        assert_eq!(
            relative("/mnt/plate", "/home/study"),
            Path::new("/mnt/plate")
        );
    }
}

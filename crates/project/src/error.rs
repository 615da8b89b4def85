//! What can go wrong with a study, each in one sentence that names the file and the way out.

mod refusal;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

pub use self::refusal::Refusal;

/// Why a call on a study could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectError {
    /// `stainfree.toml` (or a recipe file) says something that cannot be.
    #[error("`{}`{}: {message}", path.display(), line.map(|n| format!(", line \
        {n}")).unwrap_or_default())]
    Config {
        /// The file.
        path: PathBuf,
        /// Line of the file, from 1, where it is known.
        line: Option<usize>,
        /// What is wrong, and the choices.
        message: String,
    },
    /// A table that people edit says something that cannot be.
    #[error("`{}`{}: {message}", path.display(), line.map(|n| format!(", line \
        {n}")).unwrap_or_default())]
    Table {
        /// The table.
        path: PathBuf,
        /// Line of the file, from 1, where it is known.
        line: Option<usize>,
        /// What is wrong, and the way out.
        message: String,
    },
    /// The folder is not a study.
    #[error("`{}` is not a study: it holds no `stainfree.toml`; make one with `stainfree \
        new`", .0.display())]
    NotAStudy(PathBuf),
    /// The call makes no sense as it was asked.
    #[error("{0}")]
    Usage(String),
    /// A file or folder could not be read.
    #[error("`{}` could not be read: {message}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        message: String,
    },
    /// A field of `fields.csv` has no image any more.
    #[error(
        "field `{0}` of `fields.csv` is no longer among the images; run `stainfree prepare` again"
    )]
    NotAmongImages(String),
    /// The record of what a model has met is missing.
    #[error(
        "`{}` is missing: without it nobody knows which fields trained the model; copy it from \
         where the model was trained, or train again", .0.display()
    )]
    NoRecord(PathBuf),
    /// A file of a model's folder belongs to another model.
    #[error(
        "`{}` is not the file that the `model.toml` beside it was written with, so model and \
         `{file}` do not belong together (the folder was copied in part, or a file was changed); \
         copy the whole folder again, or train again", folder.join(file).display()
    )]
    OtherModels {
        /// The model's folder.
        folder: PathBuf,
        /// The file's name.
        file: &'static str,
    },
    /// The record of what a model has met cannot be used.
    #[error(
        "`{}` is damaged ({why}); copy it from where the model was trained, or train again",
        path.display()
    )]
    DamagedRecord {
        /// The record.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The record of a study's split cannot be used.
    #[error(
        "`{}` is damaged ({why}); copy it from a backup, or delete it and prepare again, which may \
         give groups other parts", path.display()
    )]
    DamagedSplit {
        /// The record.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Images, truth or split have changed since a training stopped.
    #[error(
        "`{}` was trained so far on other data: {what}; undo the change and prepare again, or \
         start anew with `--overwrite`", run.display()
    )]
    OtherData {
        /// The run's folder.
        run: PathBuf,
        /// What has changed.
        what: String,
    },
    /// A model has met all fields that were to be its test.
    #[error(
        "nothing is left to test the model `{model}` on: {why}; keep other fields for the test \
         and train again, or score it on what it knows with `--on train` or `--on validation`"
    )]
    NothingUnseen {
        /// Name or hash of the model.
        model: String,
        /// How many fields it has met, and what they were to it.
        why: String,
    },
    /// A run of an experiment starts from a model that has met its test fields.
    #[error(
        "the run `{run}` would be scored on {left_out} of {asked} test fields that its start has \
         met; start it from a model that has not, or from `none`"
    )]
    MetTestFields {
        /// The run.
        run: String,
        /// Test fields that were met.
        left_out: usize,
        /// Test fields of the split.
        asked: usize,
    },
    /// A file or folder could not be written.
    #[error("`{}` could not be written: {message}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        message: String,
    },
    /// A model that cannot be trained on, since its training is gone.
    #[error(
        "the model `{}` exists, and its training cannot go on: there is no `{}`; train under \
         another name, or give the model up with `--overwrite`",
        model.display(), checkpoint.display()
    )]
    NoCheckpoint {
        /// The model's folder.
        model: PathBuf,
        /// The file that is missing.
        checkpoint: PathBuf,
    },
    /// A `prepare` was ended early, so that table and truth do not belong together.
    #[error(
        "`{}` is only half prepared, since a `stainfree prepare` was ended early; run it again",
        .0.display()
    )]
    HalfPrepared(PathBuf),
    /// A prediction was named as truth.
    #[error(
        "`{}` holds what a model predicted, which is no truth: a study on it would say how well \
         models agree with it; copy labels that a person has checked into a folder of their own",
        .0.display()
    )]
    PredictedTruth(PathBuf),
    /// The study has no table of fields yet; the whole sentence, as in those that follow.
    #[error("{0}")]
    NotPrepared(String),
    /// A field lacks what is asked of it, its images do not fit together, or it cannot be
    /// processed.
    #[error("{0}")]
    Field(String),
    /// A channel that is not there, or cannot be told among those that are.
    #[error("{0}")]
    Channel(String),
    /// Groups that cannot be formed, or cannot be split as asked.
    #[error("{0}")]
    Split(String),
    /// What a training starts from, or its recipe, cannot be had.
    #[error("{0}")]
    Start(String),
    /// No nuclei were corrected by hand, or not since the study was prepared.
    #[error("{0}")]
    NothingCorrected(String),
    /// An output is there already and is not replaced.
    #[error("{0}")]
    Exists(String),
    /// What was found cannot be put into the form in which it is kept.
    #[error("{0}")]
    NotMade(String),
    /// What was to be written would replace something that is not the command's own.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Another process owns the folder, or what is wanted of it.
    #[error("`{}` is in use by {holder}; {way_out}", folder.display())]
    Held {
        /// The folder.
        folder: PathBuf,
        /// The command and process that has it.
        holder: String,
        /// What to do about it.
        way_out: String,
    },
    /// The folder was ours until another process took it over.
    #[error(
        "`{}` was taken over by another process, since this one had not been heard of for a while; \
         let that one go on, or stop it and run the command again",
        .0.display()
    )]
    TakenOver(PathBuf),
    /// What was given as instance labels is something else.
    #[error("`{}` holds {found}; {way_out}", path.display())]
    NotLabels {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What to do.
        way_out: String,
    },
    /// No pixel of a field shows anything of the specimen.
    #[error(
        "field `{field}` shows nothing: every pixel holds one value or no number; look at the \
         image, or leave it out"
    )]
    NothingSeen {
        /// Name of the field.
        field: String,
    },
    /// A field cannot be predicted.
    #[error("field `{field}`: {error}")]
    Unpredicted {
        /// Name of the field.
        field: String,
        /// What is in the way.
        error: Box<stainfree_inference::InferenceError>,
    },
    /// Anything else that stops a call; the whole sentence.
    #[error("{0}")]
    Failed(String),
    /// A stop was asked for.
    #[error("stopped as asked; what is finished is kept")]
    Cancelled,
    /// An image could not be read or written.
    #[error(transparent)]
    Image(#[from] stainfree_image::ImageError),
    /// Scores could not be summed up.
    #[error(transparent)]
    Scores(#[from] stainfree_scores::ScoreError),
    /// The training could not go on.
    #[error(transparent)]
    Train(#[from] stainfree_network::train::TrainError),
    /// A model folder could not be read or written.
    #[error(transparent)]
    Model(#[from] stainfree_network::model::ModelError),
    /// A model could not be made ready to predict.
    #[error(transparent)]
    Inference(#[from] stainfree_inference::InferenceError),
    /// Encoder weights could not be used.
    #[error(transparent)]
    Weights(#[from] stainfree_network::weights::WeightsError),
    /// The plate could not be simulated.
    #[error(transparent)]
    Specimen(#[from] stainfree_specimen::SpecimenError),
    /// A picture or the report could not be made.
    #[error(transparent)]
    Report(#[from] stainfree_report::ReportError),
}

impl ProjectError {
    pub(crate) fn read(path: &Path, error: &io::Error) -> Self {
        ProjectError::Read {
            path: path.to_owned(),
            message: describe(error),
        }
    }

    /// A file or folder that could not be written, in words a user can act on.
    pub fn write(path: &Path, error: &io::Error) -> Self {
        ProjectError::Write {
            path: path.to_owned(),
            message: describe(error),
        }
    }
}

impl ProjectError {
    /// Whether the disk did not take a file: then it takes no other either.
    pub fn is_write(&self) -> bool {
        use stainfree_image::ImageError;
        use stainfree_network::model::ModelError;
        use stainfree_network::train::TrainError;
        match self {
            Self::Write { .. } | Self::Image(ImageError::Write { .. }) => true,
            Self::Model(error) | Self::Train(TrainError::Write(error)) => {
                matches!(error, ModelError::Write { .. })
            }
            Self::Train(TrainError::File { .. }) => true,
            _ => false,
        }
    }
}

/// A system error in words a user can act on.
pub(crate) fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "no permission; choose another folder or change its rights".to_owned()
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "the file system is read-only; choose another folder".to_owned()
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full; free some space and run the command again".to_owned()
        }
        io::ErrorKind::FileTooLarge => {
            "larger than the limit on the size of files (`ulimit -f`); raise it and run the \
             command again"
                .to_owned()
        }
        io::ErrorKind::NotADirectory => "it is not a folder".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}

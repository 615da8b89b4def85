//! `export`: a model for other programs, with an example that says whether they compute the same.
//!
//! Here: what is asked for, what is written where, and what may be replaced. The network as a file
//! is `stainfree_network::onnx`'s, the example `example`'s, the package of bioimage.io `package`'s.

mod card;
mod example;
mod npy;
mod package;
mod rdf;
#[cfg(test)]
mod tests;
mod yaml;

use std::path::{Path, PathBuf};

use stainfree_image::write_atomic;
use stainfree_network::Model;
use stainfree_network::onnx::{self, OnnxOptions};

use crate::study::guard::{self, Inputs};
use crate::{Job, ProjectError};
use example::Example;

/// What a model is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An ONNX file, and the example's arrays beside it.
    Onnx,
    /// A package of bioimage.io's format 0.5: a zip with all of it and a description.
    Bioimageio,
}

impl Format {
    /// Every format there is.
    pub const ALL: [Format; 2] = [Format::Onnx, Format::Bioimageio];

    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Onnx => "onnx",
            Format::Bioimageio => "bioimageio",
        }
    }

    /// The format called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The ending of its file.
    fn ending(self) -> &'static str {
        match self {
            Format::Onnx => "onnx",
            Format::Bioimageio => "zip",
        }
    }
}

/// What to export, and what only people know of it.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// The model's folder.
    pub model: PathBuf,
    /// What to write.
    pub format: Format,
    /// The file.
    pub out: PathBuf,
    /// Largest count of the images' format; none: that of the example's image, else 16 bits'.
    pub full_range: Option<f32>,
    /// Images for the example, one a plane; none: a field of the virtual microscope.
    pub images: Vec<PathBuf>,
    /// What the package is called.
    pub name: Option<String>,
    /// Names of its authors.
    pub authors: Vec<String>,
    /// The licence's SPDX identifier.
    pub licence: Option<String>,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The files, the one that was asked for first.
    pub files: Vec<PathBuf>,
    /// Name and channels of each output.
    pub outputs: Vec<(String, usize)>,
    /// What the model is recognised by.
    pub hash: String,
    /// Largest count that the file takes images to have.
    pub full_range: f32,
    /// What a user should know.
    pub remarks: Vec<String>,
}

/// Writes the model as another program reads it.
///
/// # Errors
/// No model, one that the format cannot hold, images that it does not read, or a file that cannot
/// be written or is somebody else's.
pub fn export(options: &ExportOptions, job: &Job) -> Result<Exported, ProjectError> {
    let out = &options.out;
    let ending = options.format.ending();
    if out
        .extension()
        .is_none_or(|end| !end.eq_ignore_ascii_case(ending))
    {
        let name = out.with_extension(ending);
        return Err(ProjectError::Usage(format!(
            "`--to {}` writes a file `.{ending}`; give `--out {}`",
            options.format.name(),
            name.display()
        )));
    }
    let model = Model::load(&options.model)?;
    let mut inputs = Inputs::default();
    options.images.iter().for_each(|image| inputs.add(image));
    let files = files_of(options, &model);
    let spare = |file: &PathBuf| inputs.spare(file, "give another name with `--out`");
    files.iter().try_for_each(spare)?;
    check_ours(options.format, &files)?;
    job.run(|| write(options, &model, files, job))?
}

/// The files that will be written.
fn files_of(options: &ExportOptions, model: &Model) -> Vec<PathBuf> {
    let mut files = vec![options.out.clone()];
    if options.format == Format::Onnx {
        let outputs = model.graph.outputs().iter();
        let outputs = outputs.map(|output| format!("test_output.{}.npy", output.name));
        let endings = ["test_input.npy".to_owned()].into_iter().chain(outputs);
        files.extend(endings.map(|ending| options.out.with_extension(ending)));
    }
    files
}

/// Refuses files that are there and not this command's. Arrays say nothing of themselves: they
/// belong to the network beside them.
fn check_ours(format: Format, files: &[PathBuf]) -> Result<(), ProjectError> {
    let Some((out, arrays)) = files.split_first() else {
        return Ok(());
    };
    let is_ours = |path: &Path| match format {
        Format::Onnx => guard::begins_with(path, onnx::BEGINNING),
        Format::Bioimageio => guard::ends_with_note(path, package::NOTE),
    };
    let expected = "model that this command has exported";
    guard::check_file(out, expected, is_ours)?;
    let beside = is_ours(out);
    for array in arrays {
        guard::check_file(array, "array of such a model", |_| beside)?;
    }
    Ok(())
}

fn write(
    options: &ExportOptions,
    model: &Model,
    files: Vec<PathBuf>,
    job: &Job,
) -> Result<Exported, ProjectError> {
    let mut remarks = Vec::new();
    let example = Example::make(options, model, job)?;
    let full_range = example.full_range;
    let network = onnx::encode(model, &OnnxOptions { full_range })
        .map_err(|error| ProjectError::Failed(error.to_string()))?;
    let normalisation = &model.info.input.normalisation;
    if onnx::depends_on_full_range(normalisation) && options.full_range.is_none() {
        remarks.push(format!(
            "the model's normalisation goes by the largest count of the images' format, which is \
             taken for {full_range}; `--full-range` sets another (255 for 8 bits, 1 for floating \
             point)"
        ));
    }
    match options.format {
        Format::Onnx => {
            let arrays = example.arrays();
            for (file, (_, bytes)) in files[1..].iter().zip(arrays) {
                write_atomic(file, &bytes)?;
            }
            // Last: where it is, its arrays are.
            write_atomic(&files[0], &network)?;
        }
        Format::Bioimageio => {
            let bytes = package::make(options, model, &example, &network, &mut remarks)?;
            write_atomic(&files[0], &bytes)?;
        }
    }
    let outputs = model.graph.outputs().iter();
    Ok(Exported {
        files,
        outputs: outputs.map(|o| (o.name.clone(), o.channels)).collect(),
        hash: model.hash(),
        full_range,
        remarks,
    })
}

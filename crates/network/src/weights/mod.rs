//! Pretrained encoder weights: where they come from, how they are read, and what they expect.
//!
//! Three layouts are read: safetensors, torchvision's `.pth`, Keras' `.h5`. Each published source
//! has its own channel order and scale of the input ([`Source::preprocessing`]), which is recorded
//! with the model: mixing them up raises no error and costs accuracy. A file is therefore only
//! taken when it is known which source it is: by probe values, by its checksum, or because the
//! caller says so.

mod built_in;
mod hdf5;
mod keras;
mod pickle;
mod pth;
mod safe;
pub mod smp;
mod source;

pub use built_in::{VIRTUAL_PLATES, built_in, load_built_in, virtual_plates};
pub use source::{Digest, SOURCES, Source};

use crate::graph::{Graph, Op, ParameterInfo};
use crate::parameters::Parameters;
use std::path::{Path, PathBuf};

/// One array of a weights file, row-major, under the name it has there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NamedArray {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<f32>,
}

/// Larger files are refused before anything is read; the largest published one has 554 MB.
const MAX_FILE: u64 = 4 << 30;

/// The layouts that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Safetensors,
    Zip,
    LegacyPickle,
    Hdf5,
}

/// What was imported.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The source, with the preprocessing to record.
    pub source: &'static Source,
    /// Number of tensors taken.
    pub tensors: usize,
    /// Number of values taken.
    pub values: usize,
}

/// Replaces the encoder's parameters by those of `path`; the rest stays as it is. Weights of some
/// sources must be recalibrated before they are trained ([`Source::folded`]).
///
/// `source` names an entry of [`SOURCES`]; without it the file itself must show which one it is.
///
/// # Errors
/// If the file cannot be read, is incomplete, does not fit the network, or is of an unknown source.
/// Then nothing was changed.
pub fn load_encoder(
    graph: &Graph,
    parameters: &mut Parameters,
    path: &Path,
    source: Option<&str>,
) -> Result<Imported, WeightsError> {
    let (source, mut found) = import(&wanted(graph), path, source)?;
    if let Some(epsilon) = source.epsilon {
        adopt_epsilon(graph, epsilon, &mut found);
    }
    Ok(take_over(parameters, source, found))
}

/// Changes the scales of batch norms that were trained with another `epsilon` than the graph's, so
/// that they do to their inputs what they did: `gamma / sqrt(var + epsilon)` stays.
fn adopt_epsilon(graph: &Graph, epsilon: f64, arrays: &mut [NamedArray]) {
    for node in graph.nodes() {
        let Op::BatchNorm {
            prefix,
            epsilon: own,
        } = &node.op
        else {
            continue;
        };
        let find = |name: &str| {
            arrays
                .iter()
                .position(|a| a.name == format!("{prefix}.{name}"))
        };
        let (Some(gamma), Some(variance)) = (find("weight"), find("running_var")) else {
            continue;
        };
        let variance = arrays[variance].data.clone();
        for (gamma, variance) in arrays[gamma].data.iter_mut().zip(variance) {
            let variance = f64::from(variance);
            *gamma = (f64::from(*gamma) * ((variance + own) / (variance + epsilon)).sqrt()) as f32;
        }
    }
}

/// Reads the arrays called `wanted` from `path` under any of the names the layouts give them.
fn import(
    wanted: &[&ParameterInfo],
    path: &Path,
    source: Option<&str>,
) -> Result<(&'static Source, Vec<NamedArray>), WeightsError> {
    let named = match source {
        None => None,
        Some(name) => Some(
            Source::named(name).ok_or_else(|| WeightsError::UnknownName {
                name: name.into(),
                known: Source::names(),
            })?,
        ),
    };
    let file = read(path, &|name| canonical(name).is_some())?;
    let found = select(wanted, path, &file)?;
    let source = match named {
        Some(source) => {
            source.check_probes(path, &found)?;
            source
        }
        None => Source::identify(path, &found)?.ok_or_else(|| WeightsError::UnknownSource {
            path: path.into(),
            known: Source::names(),
        })?,
    };
    Ok((source, found))
}

/// The encoder's parameters.
fn wanted(graph: &Graph) -> Vec<&ParameterInfo> {
    graph
        .parameters()
        .iter()
        .filter(|info| info.name.starts_with(graph.encoder_prefix()))
        .collect()
}

/// Puts arrays under the graph's names into `parameters`.
fn take_over(
    parameters: &mut Parameters,
    source: &'static Source,
    arrays: Vec<NamedArray>,
) -> Imported {
    let values = arrays.iter().map(|a| a.data.len()).sum();
    let tensors = arrays.len();
    for array in arrays {
        let tensor = parameters
            .get_mut(&array.name)
            .expect("the names are those of the graph");
        tensor.data = array.data;
    }
    Imported {
        source,
        tensors,
        values,
    }
}

/// The arrays called `wanted` out of `file` (read from `path`), whatever name its layout gives
/// them.
fn select(
    wanted: &[&ParameterInfo],
    path: &Path,
    file: &[NamedArray],
) -> Result<Vec<NamedArray>, WeightsError> {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for info in wanted {
        match file
            .iter()
            .find(|array| canonical(&array.name).as_deref() == Some(&info.name))
        {
            None => {
                let name = info
                    .name
                    .split_once('.')
                    .map_or(&info.name[..], |(_, name)| name);
                missing.push(name.to_owned());
            }
            Some(array) => {
                let array = if is_keras(&array.name) {
                    keras::to_oihw(array)
                } else {
                    array.clone()
                };
                if array.shape != info.shape {
                    return Err(WeightsError::Shape {
                        path: path.into(),
                        name: array.name,
                        expected: info.shape.clone(),
                        found: array.shape,
                    });
                }
                if array.data.iter().any(|x| !x.is_finite()) {
                    return Err(WeightsError::NotFinite {
                        path: path.into(),
                        name: array.name,
                    });
                }
                found.push(NamedArray {
                    name: info.name.clone(),
                    ..array
                });
            }
        }
    }
    if !missing.is_empty() {
        return Err(WeightsError::Incomplete {
            path: path.into(),
            found: found.len(),
            needed: wanted.len(),
            missing: shorten(&missing),
        });
    }
    Ok(found)
}

fn shorten(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let mut text = names
        .iter()
        .take(SHOWN)
        .map(|n| format!("`{n}`"))
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

/// The arrays of floats of a weights file whose names are `wanted`.
fn read(path: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<NamedArray>, WeightsError> {
    let io = |error| WeightsError::Io {
        path: path.into(),
        error,
    };
    let size = std::fs::metadata(path).map_err(io)?.len();
    if size > MAX_FILE {
        return Err(WeightsError::TooLarge {
            path: path.into(),
            size,
        });
    }
    let layout = layout(path)?;
    let broken = |what: String| WeightsError::Broken {
        path: path.into(),
        what,
    };
    match layout {
        Layout::Safetensors => {
            safe::read(&std::fs::read(path).map_err(io)?, wanted).map_err(broken)
        }
        Layout::Hdf5 => hdf5::read(&std::fs::read(path).map_err(io)?, wanted).map_err(broken),
        Layout::Zip => pth::read_zip(path, wanted).map_err(broken),
        Layout::LegacyPickle => pth::read_legacy(path, wanted).map_err(broken),
    }
}

fn layout(path: &Path) -> Result<Layout, WeightsError> {
    use std::io::Read;
    let io = |error| WeightsError::Io {
        path: path.into(),
        error,
    };
    let mut head = Vec::new();
    std::fs::File::open(path)
        .map_err(io)?
        .take(16)
        .read_to_end(&mut head)
        .map_err(io)?;
    if head.starts_with(b"\x89HDF\r\n\x1a\n") {
        Ok(Layout::Hdf5)
    } else if head.starts_with(b"PK\x03\x04") {
        Ok(Layout::Zip)
    } else if head.len() > 4 && head[0] == 0x80 && head[2] == 0x8a {
        // PROTO n, LONG1: the magic number every old torch file starts with.
        Ok(Layout::LegacyPickle)
    } else if head.get(8) == Some(&b'{') {
        Ok(Layout::Safetensors)
    } else {
        Err(WeightsError::UnknownLayout { path: path.into() })
    }
}

/// The graph's name of an array, whatever its file calls it; `None` for what is no encoder's.
///
/// `features.0.weight` (torchvision), `encoder.features.0.weight` (segmentation_models.pytorch),
/// either with a leading `module.` (data parallel), `0.weight` (the features alone), and Keras'
/// `block1_conv1/..` ([`keras`]).
fn canonical(name: &str) -> Option<String> {
    if is_keras(name) {
        return Some(format!("encoder.features.{}", keras::canonical(name)?));
    }
    let name = name.strip_prefix("module.").unwrap_or(name);
    let name = name.strip_prefix("encoder.").unwrap_or(name);
    let rest = name.strip_prefix("features.").unwrap_or(name);
    // torch counts batches beside every batch norm.
    let parameter = !rest.ends_with("num_batches_tracked");
    (parameter && rest.starts_with(|c: char| c.is_ascii_digit()))
        .then(|| format!("encoder.features.{rest}"))
}

fn is_keras(name: &str) -> bool {
    name.contains('/')
}

/// Folders in which weights are looked for: those of the environment variable `STAINFREE_WEIGHTS`
/// (a list like `PATH`), then `data_folder/weights`.
pub fn search_folders(data_folder: Option<&Path>) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::var_os("STAINFREE_WEIGHTS")
        .map(|list| std::env::split_paths(&list).collect())
        .unwrap_or_default();
    folders.extend(data_folder.map(|folder| folder.join("weights")));
    folders
}

/// The first complete-looking file of an encoder called `encoder` in `folders`, best source first.
/// A folder may also be the file itself.
pub fn find(encoder: &str, folders: &[PathBuf]) -> Option<(PathBuf, &'static Source)> {
    SOURCES
        .iter()
        .filter(|source| source.encoder == encoder)
        .find_map(|source| {
            let path = folders.iter().find_map(|folder| {
                let is_file = folder.file_name().is_some_and(|name| name == source.file);
                let path = if is_file {
                    folder.clone()
                } else {
                    folder.join(source.file)
                };
                path.is_file().then_some(path)
            })?;
            Some((path, source))
        })
}

/// Weights that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file cannot be read.
    #[error("`{path}` cannot be read: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Too large to be weights.
    #[error(
        "`{path}` has {size} bytes, more than any known weights file (4 GiB); give the encoder's \
         weights alone"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes.
        size: u64,
    },
    /// Neither safetensors nor `.pth` nor `.h5`.
    #[error("`{path}` is neither safetensors, nor a torch `.pth`, nor a Keras `.h5` file")]
    UnknownLayout {
        /// The file.
        path: PathBuf,
    },
    /// Damaged, or uses something that is not read.
    #[error("`{path}` cannot be used: {what}")]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Some of the encoder is not there.
    #[error(
        "`{path}` is incomplete: it holds {found} of the {needed} tensors of the encoder, missing \
         are {missing}"
    )]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// Tensors found.
        found: usize,
        /// Tensors needed.
        needed: usize,
        /// The first missing names.
        missing: String,
    },
    /// A tensor of another shape.
    #[error(
        "`{path}`: tensor `{name}` has shape {found:?}, the encoder needs {expected:?} (weights \
         fit `width` 1 only)"
    )]
    Shape {
        /// The file.
        path: PathBuf,
        /// Its name in the file.
        name: String,
        /// The graph's shape.
        expected: Vec<usize>,
        /// The file's.
        found: Vec<usize>,
    },
    /// NaN or infinite weights.
    #[error("`{path}`: tensor `{name}` holds values that are not finite")]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// Its name in the file.
        name: String,
    },
    /// Not the file it is said to be.
    #[error(
        "`{path}` is not `{source_name}`: tensor `{name}` has {found} where {expected} is expected"
    )]
    Probe {
        /// The file.
        path: PathBuf,
        /// The source it should be.
        source_name: &'static str,
        /// The tensor.
        name: String,
        /// The known value.
        expected: f32,
        /// The file's value.
        found: f32,
    },
    /// A file whose preprocessing is not known.
    #[error(
        "`{path}` fits, but it is not known which input its weights expect; name its source \
         (known: {known})"
    )]
    UnknownSource {
        /// The file.
        path: PathBuf,
        /// Names of sources.
        known: String,
    },
    /// A name that is not in the registry.
    #[error("there are no weights `{name}` (known: {known})")]
    UnknownName {
        /// The name.
        name: String,
        /// Names of sources.
        known: String,
    },
    /// Other bytes than published.
    #[error("`{path}` is damaged or another file: its {kind} is {found}, published is {expected}")]
    Checksum {
        /// The file.
        path: PathBuf,
        /// `md5` or `sha256`.
        kind: &'static str,
        /// The published digest, or its beginning.
        expected: &'static str,
        /// The file's digest.
        found: String,
    },
}

#[cfg(test)]
mod tests;

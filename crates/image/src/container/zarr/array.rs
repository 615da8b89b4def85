//! Arrays: what their metadata say of shape, chunks and codecs, in both versions of zarr, checked
//! before anything is read by it.
//!
//! Read from the specifications of zarr 2 and 3 with the sharding codec. A shape is cut by a
//! regular grid; each chunk is a file whose name is its place, `0.0.1` or `0/0/1`, in zarr 3 by
//! default `c/0/0/1`. Chunks at the rim are as large as all others. A chunk without a file has the
//! fill value everywhere. A shard is a file of several chunks with an index of them at its end or
//! start.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::codec::Codec;
use super::element::Element;
use super::node::{Format, Keys, Refusal, broken};

/// An array, as far as its metadata tell.
#[derive(Debug)]
pub(super) struct Array {
    pub(super) folder: PathBuf,
    /// The file that describes it.
    pub(super) metadata: PathBuf,
    pub(super) shape: Vec<usize>,
    /// The part of the array that one file holds: a chunk, or a shard of several.
    pub(super) in_file: Vec<usize>,
    /// The part that is decoded at once.
    pub(super) chunk: Vec<usize>,
    pub(super) element: Element,
    pub(super) big_endian: bool,
    /// The bytes of an element that is not stored.
    pub(super) fill: Vec<u8>,
    /// As it is written.
    pub(super) fill_said: String,
    /// The axes of a chunk in the order in which it is stored, the slowest first.
    pub(super) order: Vec<usize>,
    pub(super) codecs: Vec<Codec>,
    pub(super) shards: Option<Shards>,
    /// Whether names of chunks begin with `c`.
    prefixed: bool,
    pub(super) separator: char,
}

/// How a file holds several chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shards {
    /// Chunks of a shard along each axis.
    pub(super) chunks: Vec<usize>,
    pub(super) index_first: bool,
    pub(super) index_big_endian: bool,
    /// Whether a checksum follows the index.
    pub(super) index_checked: bool,
}

/// Most bytes of a decoded chunk: a plane of the largest size in 32 bits.
const MOST_CHUNK: usize = 1 << 31;

/// Most bytes of a decoded chunk that is larger than its array; writers choose the size of chunks
/// for the largest of the levels.
const MOST_SPARE_CHUNK: usize = 1 << 28;

/// Most chunks of a shard, whose index is read as a whole (64 MiB).
const MOST_IN_SHARD: usize = 1 << 22;

/// Most axes: those of OME-Zarr are five.
const MOST_AXES: usize = 16;

impl Array {
    pub(super) fn of(
        folder: &Path,
        format: Format,
        keys: &Keys,
        metadata: PathBuf,
    ) -> Result<Self, Refusal> {
        let shape = sizes(&keys.shape, "shape")?;
        let array = match format {
            Format::V2 => Self::of_v2(folder, keys, shape, metadata)?,
            Format::V3 => Self::of_v3(folder, keys, shape, metadata)?,
        };
        array.check()?;
        Ok(array)
    }

    fn of_v2(
        folder: &Path,
        keys: &Keys,
        shape: Vec<usize>,
        metadata: PathBuf,
    ) -> Result<Self, Refusal> {
        let chunk = sizes(&keys.chunks, "chunks")?;
        let (element, big_endian) = Element::of_v2(&keys.dtype)?;
        if keys
            .filters
            .as_array()
            .is_some_and(|filters| !filters.is_empty())
        {
            return Err(Refusal::NotSupported {
                what: format!("it has the filters `{}`", keys.filters),
                way_out: "write it again without filters",
            });
        }
        let axes = 0..shape.len();
        let order = match keys.order.as_str() {
            Some("C") => axes.collect(),
            Some("F") => axes.rev().collect(),
            _ => return broken(format!("its order `{}` is neither C nor F", keys.order)),
        };
        Ok(Self {
            folder: folder.to_path_buf(),
            metadata,
            shape,
            in_file: chunk.clone(),
            chunk,
            element,
            big_endian,
            fill: element.fill(&keys.fill_value, big_endian)?,
            fill_said: said(&keys.fill_value),
            order,
            codecs: Codec::of_v2(&keys.compressor)?,
            shards: None,
            prefixed: false,
            separator: separator(&keys.dimension_separator, '.')?,
        })
    }

    fn of_v3(
        folder: &Path,
        keys: &Keys,
        shape: Vec<usize>,
        metadata: PathBuf,
    ) -> Result<Self, Refusal> {
        let (grid, grid_said) = named(&keys.chunk_grid);
        let (key, key_said) = named(&keys.chunk_key_encoding);
        if grid != "regular" || !matches!(key, "default" | "v2") {
            return Err(Refusal::NotSupported {
                what: format!("its chunks lie in a grid `{grid}` with names `{key}`"),
                way_out: "write it again with a regular grid of chunks",
            });
        }
        if keys
            .storage_transformers
            .as_array()
            .is_some_and(|all| !all.is_empty())
        {
            return Err(Refusal::NotSupported {
                what: "it has storage transformers".into(),
                way_out: "write it again without them",
            });
        }
        let in_file = sizes(&grid_said["chunk_shape"], "chunk_shape")?;
        let element = Element::of_v3(&keys.data_type)?;
        let stored = Stored::of(&keys.codecs, &in_file)?;
        Ok(Self {
            folder: folder.to_path_buf(),
            metadata,
            shape,
            chunk: stored.chunk.unwrap_or(in_file.clone()),
            in_file,
            element,
            big_endian: stored.big_endian,
            fill: element.fill(&keys.fill_value, stored.big_endian)?,
            fill_said: said(&keys.fill_value),
            order: stored.order,
            codecs: stored.codecs,
            shards: stored.shards,
            prefixed: key == "default",
            separator: separator(&key_said["separator"], if key == "v2" { '.' } else { '/' })?,
        })
    }

    /// Checks that the numbers fit one another and the caps.
    fn check(&self) -> Result<(), Refusal> {
        let axes = self.shape.len();
        let alike = [&self.in_file, &self.chunk]
            .iter()
            .all(|sizes| sizes.len() == axes);
        if !alike || axes == 0 || axes > MOST_AXES {
            return broken(format!(
                "its shape has {axes} axes and its chunks have {}",
                self.in_file.len()
            ));
        }
        if self
            .in_file
            .iter()
            .chain(&self.chunk)
            .any(|&size| size == 0)
        {
            return broken("a size of its chunks is 0");
        }
        let bytes = |sizes: &[usize]| {
            let size = |product: usize, &size: &usize| product.checked_mul(size);
            sizes.iter().try_fold(self.element.bytes(), size)
        };
        let most = match bytes(&self.shape) {
            Some(whole) => whole.clamp(MOST_SPARE_CHUNK, MOST_CHUNK),
            None => MOST_CHUNK,
        };
        if bytes(&self.chunk).is_none_or(|bytes| bytes > most) {
            return Err(Refusal::NotSupported {
                what: format!(
                    "its chunks of {:?} elements take more than {most} bytes",
                    self.chunk
                ),
                way_out: "write it again with smaller chunks",
            });
        }
        Ok(())
    }

    /// Bytes of a decoded chunk.
    pub(super) fn chunk_bytes(&self) -> usize {
        self.chunk.iter().product::<usize>() * self.element.bytes()
    }

    /// Bytes from an element of a chunk to the next along each axis.
    pub(super) fn strides(&self) -> Vec<usize> {
        let mut strides = vec![0; self.order.len()];
        let mut stride = self.element.bytes();
        for &axis in self.order.iter().rev() {
            strides[axis] = stride;
            stride *= self.chunk[axis];
        }
        strides
    }

    /// The file of a chunk or shard.
    pub(super) fn file(&self, place: &[usize]) -> PathBuf {
        let mut parts: Vec<String> = place.iter().map(usize::to_string).collect();
        if self.prefixed {
            parts.insert(0, "c".into());
        }
        match self.separator {
            '/' => parts
                .iter()
                .fold(self.folder.clone(), |path, part| path.join(part)),
            _ => self.folder.join(parts.join(".")),
        }
    }

    /// The folder of all files whose place begins with `place`, where there is one.
    pub(super) fn folder_of(&self, place: &[usize]) -> Option<PathBuf> {
        (self.separator == '/').then(|| self.file(place))
    }
}

/// What the codecs of zarr 3 make of a file.
struct Stored {
    /// The part that is decoded at once, where it is not the whole file.
    chunk: Option<Vec<usize>>,
    order: Vec<usize>,
    big_endian: bool,
    codecs: Vec<Codec>,
    shards: Option<Shards>,
}

impl Stored {
    fn of(said: &Value, in_file: &[usize]) -> Result<Self, Refusal> {
        let Some(all) = said.as_array() else {
            return broken("it has no list of codecs");
        };
        if let [("sharding_indexed", said)] = all.iter().map(named).collect::<Vec<_>>()[..] {
            return Self::sharded(said, in_file);
        }
        let mut stored = Self {
            chunk: None,
            order: (0..in_file.len()).collect(),
            big_endian: false,
            codecs: Vec::new(),
            shards: None,
        };
        let mut in_bytes = false;
        for (name, said) in all.iter().map(named) {
            match (name, in_bytes) {
                ("transpose", false) => stored.order = transposed(&stored.order, &said["order"])?,
                ("bytes" | "endian", false) => {
                    stored.big_endian = big_endian(said)?;
                    in_bytes = true;
                }
                ("sharding_indexed", _) => {
                    return Err(Refusal::NotSupported {
                        what: "it has shards together with other codecs".into(),
                        way_out: "write it again with shards alone, or without them",
                    });
                }
                (name, true) => stored.codecs.push(Codec::named(name)?),
                (name, false) => {
                    Codec::named(name)?;
                    return broken(format!("its codec `{name}` comes before `bytes`"));
                }
            }
        }
        match in_bytes {
            true => Ok(stored),
            false => broken("its codecs do not say how numbers become bytes"),
        }
    }

    fn sharded(said: &Value, in_file: &[usize]) -> Result<Self, Refusal> {
        let chunk = sizes(&said["chunk_shape"], "chunk_shape")?;
        let fits = |(whole, part): (&usize, &usize)| *part > 0 && whole % part == 0;
        if chunk.len() != in_file.len() || !in_file.iter().zip(&chunk).all(fits) {
            return broken(format!(
                "its shards of {in_file:?} are no multiples of {chunk:?}"
            ));
        }
        let chunks: Vec<usize> = in_file.iter().zip(&chunk).map(|(a, b)| a / b).collect();
        let count = chunks
            .iter()
            .try_fold(1_usize, |n, &more| n.checked_mul(more));
        if count.is_none_or(|count| count > MOST_IN_SHARD) {
            return Err(Refusal::NotSupported {
                what: format!("its shards hold {chunks:?} chunks"),
                way_out: "write it again with fewer chunks in a shard",
            });
        }
        let inner = Self::of(&said["codecs"], &chunk)?;
        if inner.shards.is_some() {
            return Err(Refusal::NotSupported {
                what: "it has shards within shards".into(),
                way_out: "write it again with one level of shards",
            });
        }
        let no_codecs = Vec::new();
        let index: Vec<_> = said["index_codecs"]
            .as_array()
            .unwrap_or(&no_codecs)
            .iter()
            .collect();
        let index: Vec<_> = index.into_iter().map(named).collect();
        let (index_big_endian, index_checked) = match index[..] {
            [("bytes" | "endian", said)] => (big_endian(said)?, false),
            [("bytes" | "endian", said), ("crc32c", _)] => (big_endian(said)?, true),
            _ => {
                return Err(Refusal::NotSupported {
                    what: format!(
                        "the index of its shards is coded by {}",
                        said["index_codecs"]
                    ),
                    way_out: "write it again with `bytes` and `crc32c` for the index",
                });
            }
        };
        let index_first = match &said["index_location"] {
            Value::Null => false,
            Value::String(place) if place == "end" => false,
            Value::String(place) if place == "start" => true,
            other => return broken(format!("the index of its shards lies at `{other}`")),
        };
        Ok(Self {
            chunk: Some(chunk),
            shards: Some(Shards {
                chunks,
                index_first,
                index_big_endian,
                index_checked,
            }),
            ..inner
        })
    }
}

/// A list of sizes, called `name`.
fn sizes(said: &Value, name: &str) -> Result<Vec<usize>, Refusal> {
    let size = |size: &Value| usize::try_from(size.as_u64()?).ok();
    let all = said.as_array().filter(|all| all.len() <= MOST_AXES);
    let sizes = all.and_then(|all| all.iter().map(size).collect());
    match sizes {
        Some(sizes) => Ok(sizes),
        None => broken(format!("its `{name}` is `{}`", shortened(said))),
    }
}

/// A value as text that fits a sentence.
fn shortened(said: &Value) -> String {
    let text = said.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text,
    }
}

/// A fill value as it is shown.
fn said(fill: &Value) -> String {
    match fill {
        Value::Null => "0".into(),
        Value::String(text) => shortened(&Value::from(text.as_str())).replace('"', ""),
        other => shortened(other),
    }
}

/// The name and the configuration of one of zarr 3's extensions, which may be a name alone.
fn named(said: &Value) -> (&str, &Value) {
    let name = said.get("name").unwrap_or(said);
    (name.as_str().unwrap_or_default(), &said["configuration"])
}

fn separator(said: &Value, default: char) -> Result<char, Refusal> {
    match said.as_str() {
        None if said.is_null() => Ok(default),
        Some(".") => Ok('.'),
        Some("/") => Ok('/'),
        _ => broken(format!(
            "the numbers of its chunks are separated by `{}`",
            shortened(said)
        )),
    }
}

/// Whether the high bytes of numbers come first; numbers of one byte may leave it out.
fn big_endian(said: &Value) -> Result<bool, Refusal> {
    match said["endian"].as_str() {
        Some("big") => Ok(true),
        Some("little") => Ok(false),
        None if said["endian"].is_null() => Ok(false),
        _ => broken(format!("the order of its bytes is `{}`", said["endian"])),
    }
}

/// The axes in the order in which they are stored once a `transpose` has changed it.
fn transposed(order: &[usize], said: &Value) -> Result<Vec<usize>, Refusal> {
    let axes = sizes(said, "order")?;
    let mut sorted = axes.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..order.len()) {
        return broken(format!("its axes are transposed by `{said}`"));
    }
    Ok(axes.iter().map(|&axis| order[axis]).collect())
}

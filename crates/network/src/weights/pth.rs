//! Torch's `.pth`: a pickle that describes tensors, and their storages as raw bytes.
//!
//! Since torch 1.6 a zip archive (`NAME/data.pkl`, `NAME/data/KEY`); before, and in torchvision's
//! published VGG16, five pickles in a row, then for each storage its number of elements (8 bytes)
//! and its values. Source: torch/serialization.py, `_save`, `_legacy_save`.

use super::NamedArray;
use super::pickle::{self, Pickled};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// A tensor as the pickle describes it: where its elements lie in a storage.
struct View {
    name: String,
    storage: String,
    kind: Kind,
    offset: usize,
    shape: Vec<usize>,
    stride: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    F32,
    F16,
    Bf16,
    F64,
}

impl Kind {
    fn parse(global: &str) -> Option<Self> {
        match global {
            "torch.FloatStorage" => Some(Kind::F32),
            "torch.HalfStorage" => Some(Kind::F16),
            "torch.BFloat16Storage" => Some(Kind::Bf16),
            "torch.DoubleStorage" => Some(Kind::F64),
            _ => None,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Kind::F32 => 4,
            Kind::F16 | Kind::Bf16 => 2,
            Kind::F64 => 8,
        }
    }

    fn decode(self, b: &[u8]) -> f32 {
        match self {
            Kind::F32 => f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            Kind::F16 => half::f16::from_le_bytes([b[0], b[1]]).to_f32(),
            Kind::Bf16 => half::bf16::from_le_bytes([b[0], b[1]]).to_f32(),
            Kind::F64 => {
                f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32
            }
        }
    }
}

/// Elements in a tensor; the largest of VGG16's classifier has 103 million.
const MAX_ELEMENTS: usize = 1 << 28;
/// Elements in all tensors that are read, which is as much memory as four times VGG16 takes.
const MAX_TOTAL: usize = 1 << 29;

pub(super) fn read_zip(
    path: &Path,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<NamedArray>, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    let mut zip = zip::ZipArchive::new(BufReader::new(file))
        .map_err(|e| format!("not a sound zip archive ({e})"))?;
    let pickle = zip
        .file_names()
        .filter_map(|name| name.ok().map(|name| name.into_owned()))
        .find(|name| name.ends_with("/data.pkl"));
    let pickle = pickle
        .ok_or("it is a zip archive, but not one that torch wrote (`data.pkl` is missing)")?;
    let folder = pickle.trim_end_matches("data.pkl").to_string();
    let state = {
        let entry = zip.by_name(&pickle).map_err(|e| e.to_string())?;
        pickle::read(&mut BufReader::new(entry))?
    };
    let mut arrays = Vec::new();
    for view in views(&state, wanted)? {
        let entry = zip
            .by_name(&format!("{folder}data/{}", view.storage))
            .map_err(|e| format!("the values of tensor `{}` are missing ({e})", view.name))?;
        let size = entry.size();
        arrays.push(view.gather(entry, size)?);
    }
    Ok(arrays)
}

pub(super) fn read_legacy(
    path: &Path,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<NamedArray>, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    let mut input = BufReader::new(file);
    // torch/serialization.py: MAGIC_NUMBER = 0x1950a86a20f9469cfc6c
    const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
    match pickle::read(&mut input)? {
        Pickled::Big(bytes) if bytes == MAGIC => {}
        _ => return Err("it is a pickle, but not one that torch wrote".into()),
    }
    pickle::read(&mut input)?; // protocol version
    pickle::read(&mut input)?; // sizes of C types
    let state = pickle::read(&mut input)?;
    let keys = pickle::read(&mut input)?;
    let keys = keys.items().ok_or("its list of storages is missing")?;
    let kinds = storages(&state)?;
    let mut places = HashMap::new();
    for key in keys {
        let key = key.text().ok_or("its list of storages is damaged")?;
        let mut count = [0; 8];
        input
            .read_exact(&mut count)
            .map_err(|_| "it breaks off among its storages (is it truncated?)")?;
        let count = u64::from_le_bytes(count);
        let bytes = kinds
            .get(key)
            .and_then(|size| count.checked_mul(*size as u64));
        let bytes = bytes
            .filter(|&b| i64::try_from(b).is_ok())
            .ok_or("its list of storages is damaged")?;
        let start = input.stream_position().map_err(|e| e.to_string())?;
        places.insert(key.to_string(), (start, bytes));
        input
            .seek_relative(bytes as i64)
            .map_err(|e| e.to_string())?;
    }
    let mut arrays = Vec::new();
    for view in views(&state, wanted)? {
        let missing = || format!("the values of tensor `{}` are missing", view.name);
        let &(start, bytes) = places.get(&view.storage).ok_or_else(missing)?;
        input
            .seek(SeekFrom::Start(start))
            .map_err(|e| e.to_string())?;
        arrays.push(view.gather((&mut input).take(bytes), bytes)?);
    }
    Ok(arrays)
}

/// Entries of checkpoints that hold the state dict: Lightning's, that of torch's own instructions,
/// and what training scripts call it.
const STATE_DICTS: [&str; 6] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
];

/// The state dict: either the file's value itself, or one of its [`STATE_DICTS`].
fn entries(state: &Pickled) -> Result<Vec<(&str, &Pickled)>, String> {
    let Pickled::Dict(dict) = state else {
        return Err("it holds no state dict (save `model.state_dict()`, not the model)".into());
    };
    let pairs: Vec<(&str, &Pickled)> = dict
        .items
        .chunks_exact(2)
        .filter_map(|pair| Some((pair[0].text()?, &pair[1])))
        .collect();
    let of_checkpoint = |wanted: &&str| {
        let found = pairs.iter().find(|(name, _)| name == wanted)?;
        matches!(found.1, Pickled::Dict(_)).then_some(found.1)
    };
    match STATE_DICTS.iter().find_map(of_checkpoint) {
        Some(inner) => entries(inner),
        None => Ok(pairs),
    }
}

fn views(state: &Pickled, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<View>, String> {
    let wanted = entries(state)?.into_iter().filter(|(name, _)| wanted(name));
    let views: Vec<View> = wanted
        .map(|(name, value)| view(name, value))
        .collect::<Result<_, _>>()?;
    // Many names may stand for one storage: what a file asks for is not bounded by its size.
    let total = views.iter().fold(0usize, |sum, view| {
        sum.saturating_add(view.extent().map_or(usize::MAX, |(count, _)| count))
    });
    if total > MAX_TOTAL {
        return Err(format!(
            "its tensors hold {total} values, which are too many (at most {MAX_TOTAL})"
        ));
    }
    Ok(views)
}

/// Bytes per element of every storage, which the old layout needs to step over them.
fn storages(state: &Pickled) -> Result<HashMap<String, usize>, String> {
    let mut sizes = HashMap::new();
    for (name, value) in entries(state)? {
        let reference = arguments(name, value)?.0;
        let parts = storage_parts(name, reference)?;
        let size = match parts.1 {
            "torch.LongStorage" | "torch.DoubleStorage" => 8,
            "torch.FloatStorage" | "torch.IntStorage" => 4,
            "torch.HalfStorage" | "torch.BFloat16Storage" | "torch.ShortStorage" => 2,
            "torch.ByteStorage" | "torch.CharStorage" | "torch.BoolStorage" => 1,
            other => {
                return Err(format!(
                    "tensor `{name}` is of type `{other}`, which is not read"
                ));
            }
        };
        sizes.insert(parts.0.to_string(), size);
    }
    Ok(sizes)
}

/// Reference, and the rest of the arguments, of the call that rebuilds a tensor.
fn arguments<'a>(name: &str, value: &'a Pickled) -> Result<(&'a Pickled, &'a [Pickled]), String> {
    let odd = || format!("`{name}` is not a plain tensor");
    let Pickled::Call(call) = value else {
        return Err(odd());
    };
    let arguments = call.items[1].items().ok_or_else(odd)?;
    let (first, rest) = arguments.split_first().ok_or_else(odd)?;
    match call.items[0].text() {
        Some("torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2") => {
            Ok((first, rest))
        }
        // A parameter wraps a tensor; the call within is of the first kind, so this ends.
        Some("torch._utils._rebuild_parameter") => self::arguments(name, first),
        _ => Err(odd()),
    }
}

/// Key and type of a storage: `("storage", type, key, location, elements, ..)`.
fn storage_parts<'a>(name: &str, reference: &'a Pickled) -> Result<(&'a str, &'a str), String> {
    let odd = || format!("tensor `{name}` refers to no storage");
    let Pickled::Reference(reference) = reference else {
        return Err(odd());
    };
    let parts = reference.items[0].items().ok_or_else(odd)?;
    match parts {
        [word, kind, key, ..] if word.text() == Some("storage") => {
            Ok((key.text().ok_or_else(odd)?, kind.text().ok_or_else(odd)?))
        }
        _ => Err(odd()),
    }
}

fn view(name: &str, value: &Pickled) -> Result<View, String> {
    let odd = || format!("tensor `{name}` has an impossible shape");
    let (reference, rest) = arguments(name, value)?;
    let (key, kind) = storage_parts(name, reference)?;
    let kind = Kind::parse(kind)
        .ok_or_else(|| format!("tensor `{name}` is of type `{kind}`, which is not read"))?;
    let [offset, shape, stride, ..] = rest else {
        return Err(odd());
    };
    let size = |value: &Pickled| {
        value
            .int()
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| *n <= MAX_ELEMENTS)
    };
    let sizes =
        |value: &Pickled| -> Option<Vec<usize>> { value.items()?.iter().map(size).collect() };
    let (shape, stride) = (
        sizes(shape).ok_or_else(odd)?,
        sizes(stride).ok_or_else(odd)?,
    );
    let elements = shape
        .iter()
        .try_fold(1usize, |n, &side| n.checked_mul(side));
    if shape.len() != stride.len() || shape.len() > 8 || elements.is_none_or(|n| n > MAX_ELEMENTS) {
        return Err(odd());
    }
    let offset = size(offset).ok_or_else(odd)?;
    Ok(View {
        name: name.into(),
        storage: key.into(),
        kind,
        offset,
        shape,
        stride,
    })
}

impl View {
    /// Its elements, and the bytes of its storage up to the last of them; `None` where either is
    /// beyond any memory.
    fn extent(&self) -> Option<(usize, usize)> {
        let mut sides = self.shape.iter();
        let count = sides.try_fold(1usize, |product, &n| product.checked_mul(n))?;
        if count == 0 {
            return Some((0, 0));
        }
        let mut pairs = self.shape.iter().zip(&self.stride);
        let end = pairs.try_fold(self.offset, |sum, (n, stride)| {
            sum.checked_add((n - 1).checked_mul(*stride)?)
        })?;
        let needed = end.checked_add(1)?.checked_mul(self.kind.bytes())?;
        count.checked_mul(self.kind.bytes())?;
        Some((count, needed))
    }

    /// Reads the tensor's elements out of its storage of `bytes` bytes.
    fn gather(&self, storage: impl Read, bytes: u64) -> Result<NamedArray, String> {
        let short = || format!("tensor `{}` lies outside its storage", self.name);
        let (count, needed) = self.extent().ok_or_else(short)?;
        // A stride of 0 would make gigabytes of one value; parameters are saved whole.
        if needed as u64 > bytes || count * self.kind.bytes() > needed {
            return Err(short());
        }
        // Memory grows with what is there, not with what the file says is there.
        let mut raw = Vec::new();
        storage
            .take(needed as u64)
            .read_to_end(&mut raw)
            .map_err(|e| e.to_string())?;
        if raw.len() < needed {
            return Err(format!(
                "the values of tensor `{}` break off (is the file truncated?)",
                self.name
            ));
        }
        let mut data = Vec::with_capacity(count);
        let mut index = vec![0; self.shape.len()];
        for _ in 0..count {
            let element = self.offset
                + index
                    .iter()
                    .zip(&self.stride)
                    .map(|(i, s)| i * s)
                    .sum::<usize>();
            let start = element * self.kind.bytes();
            data.push(self.kind.decode(&raw[start..start + self.kind.bytes()]));
            for (i, n) in index.iter_mut().zip(&self.shape).rev() {
                *i += 1;
                if *i < *n {
                    break;
                }
                *i = 0;
            }
        }
        Ok(NamedArray {
            name: self.name.clone(),
            shape: self.shape.clone(),
            data,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, View, entries, pickle};

    fn view(offset: usize, shape: &[usize], stride: &[usize]) -> View {
        View {
            name: "weight".into(),
            storage: "0".into(),
            kind: Kind::F32,
            offset,
            shape: shape.to_vec(),
            stride: stride.to_vec(),
        }
    }

    /// Names in the state dict of what Python's `pickle.dumps(.., protocol=2)` wrote.
    fn names(pickled: &[u8]) -> Vec<String> {
        let state = pickle::read(&mut &pickled[..]).unwrap();
        let entries = entries(&state).unwrap().into_iter();
        entries.map(|(name, _)| name.to_string()).collect()
    }

    #[test]
    fn the_state_dict_of_a_checkpoint_is_found() {
        // {'epoch': 1, 'model_state_dict': {'w': 2}}
        let checkpoint = b"\x80\x02}q\x00(X\x05\x00\x00\x00epochq\x01K\x01X\x10\x00\x00\x00\
            model_state_dictq\x02}q\x03X\x01\x00\x00\x00wq\x04K\x02su.";
        assert_eq!(names(checkpoint), ["w"]);
        // {'a.weight': 1, 'model': 3}: no dict of that name.
        let plain = b"\x80\x02}q\x00(X\x08\x00\x00\x00a.weightq\x01K\x01X\x05\x00\x00\x00\
            modelq\x02K\x03u.";
        assert_eq!(names(plain), ["a.weight", "model"]);
    }

    #[test]
    fn what_a_crafted_file_claims_takes_no_memory_and_wraps_nothing_round() {
        let stored: Vec<u8> = (0..6).flat_map(|n| (n as f32).to_le_bytes()).collect();
        let gather = |view: View| view.gather(stored.as_slice(), stored.len() as u64);
        // A transposed matrix is read through its strides.
        let read = gather(view(0, &[3, 2], &[1, 3])).unwrap();
        assert_eq!(read.data, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert!(gather(view(9, &[0, 4], &[4, 1])).unwrap().data.is_empty());
        let half = 1usize << (usize::BITS / 2);
        for (offset, shape, stride) in [
            (0, vec![1 << 40], vec![0]),
            (0, vec![1 << 40], vec![1]),
            // Products and sums that wrap round to something small.
            (0, vec![half, half], vec![0, 0]),
            (0, vec![2, half, half], vec![1, 1, 1]),
            (0, vec![3], vec![usize::MAX / 2]),
            (usize::MAX, vec![2], vec![1]),
            (usize::MAX / 2, vec![2], vec![1]),
        ] {
            let error = gather(view(offset, &shape, &stride)).unwrap_err();
            assert!(error.contains("outside its storage"), "{shape:?}: {error}");
        }
    }
}

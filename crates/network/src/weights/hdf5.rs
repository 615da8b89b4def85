//! The part of HDF5 that Keras' weight files use: superblock 0, groups as symbol tables,
//! little-endian f32 data stored contiguously or compactly. Attributes are passed over.
//!
//! Source: The HDF Group, "HDF5 File Format Specification Version 1.1" (superblock 0, object
//! headers 1, B-trees 1, data layout messages 1 to 3). Offsets in comments are those of its tables.

use super::NamedArray;

/// Groups within groups; Keras nests three deep.
const MAX_DEPTH: usize = 8;
/// Objects in a file; VGG16 has about 60.
const MAX_OBJECTS: usize = 100_000;

/// All wanted arrays, under their full path without the leading slash.
pub(super) fn read(bytes: &[u8], wanted: &dyn Fn(&str) -> bool) -> Result<Vec<NamedArray>, String> {
    let file = File { bytes };
    let version = file.u8(8)?;
    if version != 0 {
        return Err(format!(
            "it has HDF5 superblock version {version}, only 0 is read; save it with h5py's \
             `libver=\"earliest\"` or as safetensors"
        ));
    }
    if (file.u8(13)?, file.u8(14)?) != (8, 8) {
        return Err("its HDF5 offsets are not 64 bit".into());
    }
    // Root symbol table entry at 56: name offset (8), object header address (8).
    let mut walk = Walk {
        file,
        wanted,
        objects: 0,
        arrays: vec![],
    };
    let root = walk.file.address(64)?;
    walk.object(root, String::new(), 0)?;
    Ok(walk.arrays)
}

struct File<'a> {
    bytes: &'a [u8],
}

impl<'a> File<'a> {
    fn slice(&self, at: usize, length: usize) -> Result<&'a [u8], String> {
        at.checked_add(length)
            .and_then(|end| self.bytes.get(at..end))
            .ok_or_else(|| {
                format!(
                    "it ends at byte {}, data are expected at {at} (is the file truncated?)",
                    self.bytes.len()
                )
            })
    }

    fn u8(&self, at: usize) -> Result<u8, String> {
        Ok(self.slice(at, 1)?[0])
    }

    fn number(&self, at: usize, length: usize) -> Result<u64, String> {
        Ok(self
            .slice(at, length)?
            .iter()
            .rev()
            .fold(0, |n, &byte| n << 8 | u64::from(byte)))
    }

    /// An address or a size; neither can exceed the file.
    fn address(&self, at: usize) -> Result<usize, String> {
        let value = self.number(at, 8)?;
        usize::try_from(value)
            .ok()
            .filter(|&value| value <= self.bytes.len())
            .ok_or_else(|| {
                format!(
                    "it has {} bytes, byte {value} is referred to (is the file truncated?)",
                    self.bytes.len()
                )
            })
    }

    fn expect(&self, at: usize, signature: &[u8; 4]) -> Result<(), String> {
        if self.slice(at, 4)? == signature {
            return Ok(());
        }
        Err(format!(
            "`{}` is missing at byte {at}",
            String::from_utf8_lossy(signature)
        ))
    }
}

/// What an object header says.
#[derive(Default)]
struct Object {
    /// B-tree and heap of a group.
    group: Option<(usize, usize)>,
    shape: Option<Vec<usize>>,
    is_f32: bool,
    /// Where the values lie, and how many bytes.
    data: Option<(usize, usize)>,
    /// Why the values cannot be read.
    unread: Option<&'static str>,
}

struct Walk<'a> {
    file: File<'a>,
    wanted: &'a dyn Fn(&str) -> bool,
    objects: usize,
    arrays: Vec<NamedArray>,
}

impl Walk<'_> {
    fn object(&mut self, at: usize, path: String, depth: usize) -> Result<(), String> {
        self.objects += 1;
        if self.objects > MAX_OBJECTS || depth > MAX_DEPTH {
            return Err("its HDF5 groups go on without end".into());
        }
        let object = self.header(at)?;
        if let Some((tree, heap)) = object.group {
            for (name, child) in self.children(tree, heap)? {
                let path = if path.is_empty() {
                    name
                } else {
                    format!("{path}/{name}")
                };
                self.object(child, path, depth + 1)?;
            }
            return Ok(());
        }
        if !(self.wanted)(&path) {
            return Ok(());
        }
        let shape = object
            .shape
            .ok_or_else(|| format!("data set `{path}` has no shape"))?;
        if let Some(why) = object.unread {
            return Err(format!(
                "data set `{path}` {why}; save it again without, or as safetensors"
            ));
        }
        if !object.is_f32 {
            return Err(format!("data set `{path}` is not little-endian f32"));
        }
        let (start, length) = object
            .data
            .ok_or_else(|| format!("data set `{path}` has no values"))?;
        let count = shape
            .iter()
            .try_fold(1usize, |n, &side| n.checked_mul(side));
        if count.and_then(|n| n.checked_mul(4)) != Some(length) {
            return Err(format!(
                "data set `{path}` of shape {shape:?} holds {length} bytes"
            ));
        }
        let data = self.file.slice(start, length)?.chunks_exact(4);
        let data = data
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        self.arrays.push(NamedArray {
            name: path,
            shape,
            data,
        });
        Ok(())
    }

    /// Object header version 1: version, reserved, messages (2), references (4), size (4), padding
    /// (4).
    fn header(&self, at: usize) -> Result<Object, String> {
        let file = &self.file;
        if file.u8(at)? != 1 {
            return Err(format!(
                "the HDF5 object header at byte {at} is not of version 1"
            ));
        }
        let mut left = file.number(at + 2, 2)?;
        let mut blocks = vec![(at + 16, file.number(at + 8, 4)? as usize)];
        let mut object = Object::default();
        let mut next = 0;
        while let Some(&(start, length)) = blocks.get(next) {
            next += 1;
            let mut position = start;
            while left > 0 && position + 8 <= start.saturating_add(length) {
                let kind = file.number(position, 2)?;
                let size = file.number(position + 2, 2)? as usize;
                let body = position + 8;
                file.slice(body, size)?;
                if kind == 0x10 {
                    blocks.push((file.address(body)?, file.address(body + 8)?));
                } else {
                    self.message(kind, body, &mut object)?;
                }
                position = body + size;
                left -= 1;
            }
        }
        Ok(object)
    }

    fn message(&self, kind: u64, at: usize, object: &mut Object) -> Result<(), String> {
        let file = &self.file;
        match kind {
            // Data space: version, rank, flags, then 5 reserved bytes (version 1) or 1 type byte
            // (version 2).
            0x01 => {
                let rank = usize::from(file.u8(at + 1)?);
                let first = at + if file.u8(at)? == 1 { 8 } else { 4 };
                let shape: Result<Vec<usize>, String> =
                    (0..rank).map(|i| file.address(first + 8 * i)).collect();
                object.shape = Some(shape?);
            }
            // Data type: class in the low four bits (1 = floating point), byte order in bit 0 of
            // the next byte, size.
            0x03 => {
                object.is_f32 = file.u8(at)? & 15 == 1
                    && file.u8(at + 1)? & 1 == 0
                    && file.number(at + 4, 4)? == 4;
            }
            0x08 => self.layout(at, object)?,
            0x0b => object.unread = Some("is compressed or filtered"),
            0x11 => object.group = Some((file.address(at)?, file.address(at + 8)?)),
            _ => {}
        }
        Ok(())
    }

    fn layout(&self, at: usize, object: &mut Object) -> Result<(), String> {
        let file = &self.file;
        match (file.u8(at)?, file.u8(at + 1)?, file.u8(at + 2)?) {
            // Version 3: class 0 = compact (size (2), values), 1 = contiguous (address, size).
            (3, 0, _) => object.data = Some((at + 4, file.number(at + 2, 2)? as usize)),
            (3, 1, _) => object.data = Some((file.address(at + 2)?, file.address(at + 10)?)),
            // Versions 1 and 2: rank, class 1 = contiguous, 5 reserved bytes, address, a 4-byte
            // size per dimension and the element's.
            (1 | 2, rank, 1) => {
                let mut bytes = 4usize;
                for i in 0..usize::from(rank) {
                    bytes = bytes.saturating_mul(file.number(at + 16 + 4 * i, 4)? as usize);
                }
                object.data = Some((file.address(at + 8)?, bytes));
            }
            _ => object.unread = Some("is stored in chunks"),
        }
        Ok(())
    }

    /// The named objects of a group: B-tree `TREE` over nodes `SNOD`, names in the local heap.
    fn children(&self, tree: usize, heap: usize) -> Result<Vec<(String, usize)>, String> {
        let file = &self.file;
        file.expect(heap, b"HEAP")?;
        let names = file.address(heap + 24)?;
        let mut found = Vec::new();
        let mut nodes = vec![tree];
        let mut visited = 0;
        while let Some(at) = nodes.pop() {
            visited += 1;
            if visited > MAX_OBJECTS || found.len() > MAX_OBJECTS {
                return Err("its HDF5 groups go on without end".into());
            }
            if file.slice(at, 4)? == b"SNOD" {
                for i in 0..file.number(at + 6, 2)? as usize {
                    let entry = at + 8 + 40 * i;
                    let start = names.saturating_add(file.address(entry)?);
                    let rest = file.bytes.get(start..).unwrap_or(&[]);
                    let end = rest
                        .iter()
                        .take(4096)
                        .position(|&b| b == 0)
                        .ok_or("an HDF5 name has no end")?;
                    let name = String::from_utf8_lossy(&rest[..end]).into_owned();
                    found.push((name, file.address(entry + 8)?));
                }
            } else {
                // Signature, type, level, entries (2), siblings (16), then key (8) and child (8) in
                // turn.
                file.expect(at, b"TREE")?;
                for i in 0..file.number(at + 6, 2)? as usize {
                    nodes.push(file.address(at + 32 + 16 * i)?);
                }
            }
        }
        Ok(found)
    }
}

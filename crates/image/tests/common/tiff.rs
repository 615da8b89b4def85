//! TIFF files drawn in the source: any tags, any bytes of pixels.

use std::path::Path;

/// One page: its tags and the bytes of its strips or tiles.
#[derive(Clone, Default)]
pub struct Page {
    tags: Vec<(u16, Value)>,
    chunks: Vec<Vec<u8>>,
    tiled: bool,
}

/// The value of a tag.
#[derive(Clone)]
pub enum Value {
    Shorts(Vec<u16>),
    Longs(Vec<u32>),
    Text(Vec<u8>),
    /// Pairs of numerator and denominator.
    Ratio(u32, u32),
    Double(f64),
    /// Values that lie at a place of the file, as numbers of four bytes.
    Pointer {
        count: u32,
        place: u32,
    },
}

impl Page {
    /// A grey page of `bits` bits a pixel in one strip.
    pub fn grey(height: u16, width: u16, bits: u16, bytes: Vec<u8>) -> Self {
        let page = Self {
            chunks: vec![bytes],
            ..Self::default()
        };
        page.short(256, width)
            .short(257, height)
            .short(258, bits)
            .short(259, 1)
            .short(262, 1)
            .short(277, 1)
            .short(278, height)
    }

    /// Sets a tag, in the place of one of this number.
    pub fn with(mut self, tag: u16, value: Value) -> Self {
        self.tags.retain(|(other, _)| *other != tag);
        self.tags.push((tag, value));
        self
    }

    pub fn short(self, tag: u16, value: u16) -> Self {
        self.with(tag, Value::Shorts(vec![value]))
    }

    pub fn text(self, text: &str) -> Self {
        self.with(270, Value::Text(text.as_bytes().to_vec()))
    }

    /// A second description beside the first.
    pub fn another_text(mut self, text: &str) -> Self {
        self.tags.push((270, Value::Text(text.as_bytes().to_vec())));
        self
    }

    pub fn chunks(mut self, chunks: Vec<Vec<u8>>) -> Self {
        self.chunks = chunks;
        self
    }

    /// Tiles in the place of strips.
    pub fn tiles(mut self, height: u16, width: u16, tiles: Vec<Vec<u8>>) -> Self {
        self.chunks = tiles;
        self.tiled = true;
        self.tags.retain(|(tag, _)| *tag != 278);
        self.short(322, width).short(323, height)
    }
}

/// Writes pages; `behind` follows the pixels of the last one.
pub fn write(path: &Path, big_endian: bool, pages: &[Page], behind: &[u8]) {
    let short = |value: u16| match big_endian {
        true => value.to_be_bytes(),
        false => value.to_le_bytes(),
    };
    let long = |value: u32| match big_endian {
        true => value.to_be_bytes(),
        false => value.to_le_bytes(),
    };
    let mut file = if big_endian {
        b"MM".to_vec()
    } else {
        b"II".to_vec()
    };
    file.extend(short(42));
    file.extend([0; 4]);
    // Where the place of the next directory is to be noted.
    let mut link = 4;
    for (number, page) in pages.iter().enumerate() {
        let mut tags = page.tags.clone();
        let counts = page.chunks.iter().map(|chunk| chunk.len() as u32).collect();
        let (offsets_tag, counts_tag) = if page.tiled { (324, 325) } else { (273, 279) };
        tags.push((counts_tag, Value::Longs(counts)));
        tags.push((offsets_tag, Value::Longs(vec![0; page.chunks.len()])));
        tags.sort_by_key(|(tag, _)| *tag);
        let start = file.len() as u32;
        file[link..link + 4].copy_from_slice(&long(start));
        let entries = file.len() + 2;
        link = entries + 12 * tags.len();
        file.extend(short(tags.len() as u16));
        file.resize(link + 4, 0);
        let mut offsets_at = 0;
        for (k, (tag, value)) in tags.iter().enumerate() {
            let (kind, count, mut bytes): (u16, usize, Vec<u8>) = match value {
                Value::Shorts(values) => (
                    3,
                    values.len(),
                    values.iter().flat_map(|&v| short(v)).collect(),
                ),
                Value::Longs(values) => (
                    4,
                    values.len(),
                    values.iter().flat_map(|&v| long(v)).collect(),
                ),
                Value::Text(text) => (2, text.len(), text.clone()),
                Value::Ratio(n, d) => (5, 1, [long(*n), long(*d)].concat()),
                Value::Double(value) => match big_endian {
                    true => (12, 1, value.to_be_bytes().to_vec()),
                    false => (12, 1, value.to_le_bytes().to_vec()),
                },
                Value::Pointer { count, place } => (4, *count as usize, long(*place).to_vec()),
            };
            let at = entries + 12 * k;
            file[at..at + 2].copy_from_slice(&short(*tag));
            file[at + 2..at + 4].copy_from_slice(&short(kind));
            file[at + 4..at + 8].copy_from_slice(&long(count as u32));
            let mut place = at + 8;
            if bytes.len() > 4 {
                place = file.len();
                let offset = long(place as u32);
                file[at + 8..at + 12].copy_from_slice(&offset);
                file.append(&mut bytes);
            } else {
                file[place..place + bytes.len()].copy_from_slice(&bytes);
            }
            if *tag == offsets_tag {
                offsets_at = place;
            }
        }
        for (k, chunk) in page.chunks.iter().enumerate() {
            let offset = long(file.len() as u32);
            file[offsets_at + 4 * k..offsets_at + 4 * k + 4].copy_from_slice(&offset);
            file.extend(chunk);
        }
        if number + 1 == pages.len() {
            file.extend(behind);
        }
    }
    std::fs::write(path, file).expect("written");
}

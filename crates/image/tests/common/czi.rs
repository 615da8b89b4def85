//! Small CZI files.

use stainfree_image::Image;

/// A block of pixels, as it stands in a file.
#[derive(Clone)]
pub struct Block {
    pub pixel: i32,
    pub compression: i32,
    pub part: i32,
    /// Start, size and stored size.
    pub x: [i32; 3],
    pub y: [i32; 3],
    /// Where it stands in the other dimensions.
    pub places: Vec<(char, i32)>,
    pub pixels: Vec<u8>,
}

impl Block {
    /// A block of `height` x `width` pixels of a type, uncompressed, at the origin.
    pub fn of(pixel: i32, (height, width): (usize, usize), pixels: Vec<u8>) -> Self {
        let (height, width) = (height as i32, width as i32);
        Self {
            pixel,
            compression: 0,
            part: 0,
            x: [0, width, width],
            y: [0, height, height],
            places: Vec::new(),
            pixels,
        }
    }

    /// A block of 16-bit pixels.
    pub fn grey(image: &Image<u16>) -> Self {
        let pixels = image.data().iter().flat_map(|value| value.to_le_bytes());
        Self::of(1, image.size(), pixels.collect())
    }

    /// A block of 16-bit pixels that are all alike.
    pub fn filled(height: usize, width: usize, value: u16) -> Self {
        Self::grey(&Image::filled(height, width, value))
    }

    /// The same at another place of the stage, down and to the right.
    pub fn at(mut self, top: i32, left: i32) -> Self {
        self.y[0] = top;
        self.x[0] = left;
        self
    }

    /// The same at another place in the other dimensions, such as `C1 S0`.
    pub fn on(mut self, places: &str) -> Self {
        let place = |place: &str| {
            let (letter, number) = place.split_at(1);
            let letter = letter.chars().next().expect("a letter");
            (letter, number.parse().expect("a number"))
        };
        self.places = places.split_whitespace().map(place).collect();
        self
    }

    /// The same, compressed with zstd; of the second kind after this header, whose last byte says
    /// whether low and high bytes stand apart.
    pub fn zstd(mut self, header: Option<&[u8]>) -> Self {
        let apart = header
            .and_then(<[u8]>::last)
            .is_some_and(|&last| header.is_some_and(|header| header.len() == 3) && last & 1 == 1);
        if apart {
            let low = self.pixels.iter().step_by(2);
            self.pixels = low
                .chain(self.pixels.iter().skip(1).step_by(2))
                .copied()
                .collect();
        }
        let packed = zstd::bulk::compress(&self.pixels, 3).expect("packed");
        self.compression = if header.is_some() { 6 } else { 5 };
        self.pixels = [header.unwrap_or_default(), &packed].concat();
        self
    }

    fn entry(&self, position: u64) -> Vec<u8> {
        let mut bytes = b"DV".to_vec();
        bytes.extend(self.pixel.to_le_bytes());
        bytes.extend(position.to_le_bytes());
        bytes.extend(self.part.to_le_bytes());
        bytes.extend(self.compression.to_le_bytes());
        bytes.extend([0; 6]);
        bytes.extend((2 + self.places.len() as i32).to_le_bytes());
        let along = [('X', self.x), ('Y', self.y)];
        let places = self
            .places
            .iter()
            .map(|&(letter, start)| (letter, [start, 1, 1]));
        for (letter, [start, size, stored]) in along.into_iter().chain(places) {
            bytes.extend([letter as u8, 0, 0, 0]);
            bytes.extend(start.to_le_bytes());
            bytes.extend(size.to_le_bytes());
            bytes.extend((start as f32).to_le_bytes());
            bytes.extend(stored.to_le_bytes());
        }
        bytes
    }

    fn segment(&self, position: u64) -> Vec<u8> {
        const DESCRIPTION: &[u8] = b"<METADATA/>";
        let mut bytes = (DESCRIPTION.len() as i32).to_le_bytes().to_vec();
        bytes.extend(0_i32.to_le_bytes());
        bytes.extend((self.pixels.len() as i64).to_le_bytes());
        bytes.extend(self.entry(position));
        bytes.resize(bytes.len().max(256), 0);
        bytes.extend(DESCRIPTION);
        bytes.extend(&self.pixels);
        bytes
    }
}

/// A segment with its head; rooms are multiples of 32 bytes.
pub fn segment(name: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    let room = content.len().next_multiple_of(32);
    bytes.extend((room as i64).to_le_bytes());
    bytes.extend((content.len() as i64).to_le_bytes());
    bytes.extend(content);
    bytes.resize(32 + room, 0);
    bytes
}

/// Byte of the header at which the part of a set of files, the place of the list of blocks, that of
/// the description, whether writing goes on, and the place of the attachments stand.
pub const PART: usize = 80;
pub const DIRECTORY: usize = 84;
pub const DESCRIPTION: usize = 92;
pub const WRITING: usize = 100;
pub const ATTACHMENTS: usize = 104;

/// Puts a number over the bytes at `at`.
pub fn patch(bytes: &mut [u8], at: usize, number: &[u8]) {
    bytes[at..at + number.len()].copy_from_slice(number);
}

/// A file with this description and these blocks, its list of blocks at the end.
pub fn file(description: &str, blocks: &[Block]) -> Vec<u8> {
    described(description.as_bytes(), blocks)
}

/// As [`file`], of which the description may be in another encoding.
pub fn described(description: &[u8], blocks: &[Block]) -> Vec<u8> {
    let mut header = vec![0; 512];
    patch(&mut header, 0, &1_i32.to_le_bytes());
    let mut bytes = segment("ZISRAWFILE", &header);
    let mut list = (blocks.len() as i32).to_le_bytes().to_vec();
    list.resize(128, 0);
    for block in blocks {
        let position = bytes.len() as u64;
        list.extend(block.entry(position));
        bytes.extend(segment("ZISRAWSUBBLOCK", &block.segment(position)));
    }
    let place = (bytes.len() as u64).to_le_bytes();
    patch(&mut bytes, DESCRIPTION, &place);
    let mut text = (description.len() as i32).to_le_bytes().to_vec();
    text.resize(256, 0);
    text.extend(description);
    bytes.extend(segment("ZISRAWMETADATA", &text));
    let place = (bytes.len() as u64).to_le_bytes();
    patch(&mut bytes, DIRECTORY, &place);
    bytes.extend(segment("ZISRAWDIRECTORY", &list));
    bytes
}

/// `bytes` with the times of images as an attachment.
pub fn with_times(mut bytes: Vec<u8>, seconds: &[f64]) -> Vec<u8> {
    let place = bytes.len() as u64;
    let mut entry = b"A1".to_vec();
    entry.resize(12, 0);
    entry.extend(place.to_le_bytes());
    entry.resize(40, 0);
    entry.extend(b"CZTIMS\0\0TimeStamps");
    entry.resize(128, 0);
    let mut times = (8 + 8 * seconds.len() as i32).to_le_bytes().to_vec();
    times.extend((seconds.len() as i32).to_le_bytes());
    times.extend(seconds.iter().flat_map(|time| time.to_le_bytes()));
    let mut attached = (times.len() as i32).to_le_bytes().to_vec();
    attached.resize(16, 0);
    attached.extend(&entry);
    attached.resize(256, 0);
    attached.extend(times);
    bytes.extend(segment("ZISRAWATTACH", &attached));
    let place = (bytes.len() as u64).to_le_bytes();
    patch(&mut bytes, ATTACHMENTS, &place);
    let mut list = 1_i32.to_le_bytes().to_vec();
    list.resize(256, 0);
    list.extend(entry);
    bytes.extend(segment("ZISRAWATTDIR", &list));
    bytes
}

/// A description: what stands in the image's dimensions, and the pixel size in metres along x, y
/// and z.
pub fn description(dimensions: &str, metres: [&str; 3]) -> String {
    let distances = ["X", "Y", "Z"].iter().zip(metres);
    let distances = distances.filter(|(_, metres)| !metres.is_empty());
    let distances = distances
        .map(|(id, metres)| format!("<Distance Id=\"{id}\"><Value>{metres}</Value></Distance>"));
    format!(
        "<ImageDocument><Metadata><Information><Image><Dimensions>{dimensions}</Dimensions>\
         </Image></Information><Scaling><Items>{}</Items></Scaling></Metadata></ImageDocument>",
        distances.collect::<String>()
    )
}

/// Channels of a description, by their names.
pub fn channels(names: &[&str]) -> String {
    let channel = |(number, name): (usize, &&str)| {
        format!("<Channel Id=\"Channel:{number}\" Name=\"{name}\"/>")
    };
    let channels: String = names.iter().enumerate().map(channel).collect();
    format!("<Channels>{channels}</Channels>")
}

/// Scenes of a description: name, and what stands in each.
pub fn scenes(scenes: &[(&str, &str)]) -> String {
    let scene = |(index, (name, inside)): (usize, &(&str, &str))| {
        format!("<Scene Index=\"{index}\" Name=\"{name}\">{inside}</Scene>")
    };
    let scenes: String = scenes.iter().enumerate().map(scene).collect();
    format!("<S><Scenes>{scenes}</Scenes></S>")
}

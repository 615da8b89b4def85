//! Writes small ND2 files: chunks, their map, and trees of values in binary or XML.

/// A named value of a description.
#[derive(Clone)]
pub enum Item {
    Bool(&'static str, bool),
    Uint(&'static str, u32),
    Double(&'static str, f64),
    Text(&'static str, String),
    Bytes(&'static str, Vec<u8>),
    Level(&'static str, Vec<Item>),
}

impl Item {
    pub fn text(name: &'static str, text: &str) -> Self {
        Self::Text(name, text.into())
    }

    /// As files from version 3 on have it.
    pub fn binary(&self) -> Vec<u8> {
        let utf16 = |text: &str| -> Vec<u8> {
            let units = text.encode_utf16().chain([0]);
            units.flat_map(u16::to_le_bytes).collect()
        };
        let (kind, name, value) = match self {
            Self::Bool(name, value) => (1, name, vec![u8::from(*value)]),
            Self::Uint(name, value) => (3, name, value.to_le_bytes().to_vec()),
            Self::Double(name, value) => (6, name, value.to_le_bytes().to_vec()),
            Self::Text(name, value) => (8, name, utf16(value)),
            Self::Bytes(name, value) => {
                let length = (value.len() as u64).to_le_bytes();
                (9, name, [&length[..], value].concat())
            }
            Self::Level(name, items) => {
                let inner: Vec<u8> = items.iter().flat_map(Self::binary).collect();
                let length = (2 + utf16(name).len() + 12 + inner.len()) as u64;
                let value = [
                    &(items.len() as u32).to_le_bytes()[..],
                    &length.to_le_bytes(),
                    &inner,
                    &vec![0; 8 * items.len()],
                ];
                (11, name, value.concat())
            }
        };
        let name = utf16(name);
        [&[kind, (name.len() / 2) as u8][..], &name, &value].concat()
    }

    /// As files of version 2 have it.
    pub fn xml(&self) -> String {
        let scalar = |name: &str, kind: &str, value: String| {
            format!("<{name} runtype=\"{kind}\" value=\"{value}\"/>")
        };
        match self {
            Self::Bool(name, value) => scalar(name, "bool", value.to_string()),
            Self::Uint(name, value) => scalar(name, "lx_uint32", value.to_string()),
            Self::Double(name, value) => scalar(name, "double", value.to_string()),
            Self::Text(name, value) => scalar(name, "CLxStringW", value.clone()),
            Self::Bytes(name, value) => {
                let flag = |value: &u8| scalar("no_name", "bool", (*value != 0).to_string());
                let flags: String = value.iter().map(flag).collect();
                format!("<{name} runtype=\"CLxListVariant\">{flags}</{name}>")
            }
            Self::Level(name, items) => {
                let name = if name.is_empty() { "no_name" } else { name };
                let inner: String = items.iter().map(Self::xml).collect();
                format!("<{name} runtype=\"CLxListVariant\">{inner}</{name}>")
            }
        }
    }
}

/// The description of frames of `height` x `width` pixels with `components` samples of `bits`.
pub fn attributes([height, width]: [u32; 2], components: u32, bits: u32, packing: u32) -> Item {
    let row = (width * components * bits / 8).next_multiple_of(4);
    Item::Level(
        "SLxImageAttributes",
        vec![
            Item::Uint("uiWidth", width),
            Item::Uint("uiWidthBytes", row),
            Item::Uint("uiHeight", height),
            Item::Uint("uiComp", components),
            Item::Uint("uiBpcInMemory", bits),
            Item::Uint("eCompression", packing),
        ],
    )
}

/// The description of channels, with a pixel size where it is one.
pub fn picture(channels: &[&str], pixel_um: Option<f64>) -> Item {
    const KEYS: [&str; 4] = ["a0", "a1", "a2", "a3"];
    let plane = |(key, name): (&&'static str, &&str)| {
        let items = vec![
            Item::Uint("uiCompCount", 1),
            Item::Uint("uiModalityMask", 257),
            Item::text("sDescription", name),
        ];
        Item::Level(key, items)
    };
    assert!(channels.len() <= KEYS.len(), "more channels than keys");
    let planes = KEYS.iter().zip(channels).map(plane).collect();
    Item::Level(
        "SLxPictureMetadata",
        vec![
            Item::Double("dXPos", -120.5),
            Item::Double("dYPos", 80.25),
            Item::Level("sPicturePlanes", vec![Item::Level("sPlaneNew", planes)]),
            Item::Double("dCalibration", pixel_um.unwrap_or(1.0)),
            Item::Bool("bCalibrated", pixel_um.is_some()),
        ],
    )
}

/// A loop of the type `kind` with its values and the loop within it.
pub fn experiment(kind: u32, values: Vec<Item>, next: Option<Item>) -> Item {
    let mut items = vec![Item::Uint("eType", kind), Item::Level("uLoopPars", values)];
    if let Some(Item::Level(_, inner)) = next {
        items.push(Item::Level("ppNextLevelEx", vec![Item::Level("", inner)]));
    }
    Item::Level("SLxExperiment", items)
}

/// Points of a stage: names and places.
pub fn points(named: &[(&str, f64, f64)]) -> Vec<Item> {
    let point = |(name, x, y): &(&str, f64, f64)| {
        let items = vec![
            Item::text("dPosName", name),
            Item::Double("dPosX", *x),
            Item::Double("dPosY", *y),
        ];
        Item::Level("", items)
    };
    let listed = named.iter().map(point).collect();
    vec![
        Item::Uint("uiCount", named.len() as u32),
        Item::Level("Points", listed),
    ]
}

/// A file in the making.
pub struct File {
    bytes: Vec<u8>,
    map: Vec<u8>,
}

impl File {
    pub fn new(version: &str) -> Self {
        let mut version = version.as_bytes().to_vec();
        version.resize(64, 0);
        let mut file = Self {
            bytes: Vec::new(),
            map: Vec::new(),
        };
        file.place("ND2 FILE SIGNATURE CHUNK NAME01!", &version);
        file
    }

    /// Of version 3: attributes, channels and loops.
    pub fn described(attributes: &Item, picture: &Item, experiment: Option<&Item>) -> Self {
        let mut file = Self::new("Ver3.0");
        file.chunk("ImageAttributesLV!", &attributes.binary());
        file.chunk("ImageMetadataSeqLV|0!", &picture.binary());
        if let Some(experiment) = experiment {
            file.chunk("ImageMetadataLV!", &experiment.binary());
        }
        file
    }

    fn place(&mut self, name: &str, data: &[u8]) -> usize {
        self.bytes
            .resize(self.bytes.len().next_multiple_of(4096), 0);
        let at = self.bytes.len();
        self.bytes.extend(0x0abe_ceda_u32.to_le_bytes());
        self.bytes.extend((name.len() as u32).to_le_bytes());
        self.bytes.extend((data.len() as u64).to_le_bytes());
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(data);
        at
    }

    pub fn chunk(&mut self, name: &str, data: &[u8]) {
        let at = self.place(name, data);
        self.list(name, at);
    }

    /// Adds an entry to the map, whose size is as wrong as in some files.
    fn list(&mut self, name: &str, at: usize) {
        self.map.extend(name.as_bytes());
        self.map.extend((at as u64).to_le_bytes());
        self.map.extend((at as u64).to_le_bytes());
    }

    /// A frame; `stored` is what follows its time.
    pub fn frame(&mut self, number: u32, stored: &[u8]) {
        let name = format!("ImageDataSeq|{number}!");
        self.chunk(&name, &[&1.5_f64.to_le_bytes()[..], stored].concat());
    }

    /// A frame that the map does not list.
    pub fn unlisted_frame(&mut self, number: u32, stored: &[u8]) {
        let name = format!("ImageDataSeq|{number}!");
        self.place(&name, &[&1.5_f64.to_le_bytes()[..], stored].concat());
    }

    /// The whole file.
    pub fn finished(mut self) -> Vec<u8> {
        let end = b"ND2 CHUNK MAP SIGNATURE 0000001!";
        let map = [&self.map[..], end, &[0; 8]].concat();
        let at = self.place("ND2 FILEMAP SIGNATURE NAME 0001!", &map);
        self.bytes.extend(end);
        self.bytes.extend((at as u64).to_le_bytes());
        self.bytes
    }

    /// The file as a crash leaves it.
    pub fn cut_off(self) -> Vec<u8> {
        self.bytes
    }
}

/// Pixels of a frame of 16 bits as they are stored: `value(y, x, component)`, rows padded.
pub fn pixels(
    [height, width]: [u32; 2],
    components: u32,
    value: impl Fn(u32, u32, u32) -> u16,
) -> Vec<u8> {
    let mut stored = Vec::new();
    for y in 0..height {
        for x in 0..width {
            stored.extend((0..components).flat_map(|c| value(y, x, c).to_le_bytes()));
        }
        stored.resize(stored.len().next_multiple_of(4), 0xee);
    }
    stored
}

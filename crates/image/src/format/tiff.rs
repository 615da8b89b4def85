//! TIFF: pages of grey pixels, in strips or tiles, and stacks that ImageJ wrote under one page.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use ::tiff::decoder::ifd::Value;
use ::tiff::decoder::{Decoder, DecodingResult, Limits};
use ::tiff::tags::{ByteOrder, CompressionMethod, Tag, Type, ValueBuffer};
use ::tiff::{ColorType, TiffError, TiffFormatError};

use super::imagej::{self, ImageJ};
use super::metaxpress::MetaXpress;
use super::ome::Ome;
use super::png::{grey, one_line};
use super::{FileInfo, MAX_PAGES, MAX_PLANE_PIXELS, Pixels, check_size, no_such_page, open};
use crate::{Image, ImageError};

/// Tag NewSubfileType: bit 0 marks a reduced copy of another page.
const REDUCED: u64 = 1;
/// ImageJ's tags for its binary metadata.
const IJ_METADATA_BYTE_COUNTS: Tag = Tag::Unknown(50838);
const IJ_METADATA: Tag = Tag::Unknown(50839);

struct Open<'a> {
    path: &'a Path,
    decoder: Decoder<BufReader<File>>,
    file_bytes: u64,
}

/// Reads all directories of the file, and what the first one says about the meaning of the pages.
pub(super) fn info(path: &Path) -> Result<FileInfo, ImageError> {
    let mut file = Open::new(path)?;
    let description = file.description();
    let big_endian = matches!(file.decoder.byte_order(), ByteOrder::BigEndian);
    let imagej = ImageJ::parse(&description);
    let pixels_per_unit = [file.ratio(Tag::XResolution), file.ratio(Tag::YResolution)];
    let labels = imagej.as_ref().map(|_| {
        let counts = file
            .decoder
            .get_tag_u32_vec(IJ_METADATA_BYTE_COUNTS)
            .unwrap_or_default();
        let bytes = file.decoder.get_tag_u8_vec(IJ_METADATA).unwrap_or_default();
        imagej::labels(&counts, &bytes, big_endian)
    });
    let by_stride = match &imagej {
        Some(stated) if stated.images() > 1 => file.stride(stated.images())?,
        _ => None,
    };

    let mut pages = Vec::new();
    loop {
        let (height, width) = file.size()?;
        let reduced = file.decoder.find_tag_unsigned::<u64>(Tag::NewSubfileType);
        // A reduced copy after full pages is a level of a pyramid and ends the planes.
        if !pages.is_empty() && matches!(reduced, Ok(Some(bits)) if bits & REDUCED != 0) {
            break;
        }
        pages.push((height, width));
        if pages.len() > MAX_PAGES {
            return Err(too_many_pages(path, pages.len()));
        }
        if !file.decoder.more_images() {
            break;
        }
        file.decoder
            .next_image()
            .map_err(|error| file.error(error))?;
    }

    let mut info = FileInfo {
        pages,
        axes: None,
        channels: Vec::new(),
        pixel_um: None,
        problems: Vec::new(),
        metaxpress: None,
    };
    if let Some(stack) = by_stride.filter(|stack| stack.images > info.pages.len()) {
        info.pages = vec![info.pages[0]; stack.images];
    }
    if let Some(imagej) = imagej {
        match imagej.axes(info.pages.len()) {
            Ok(axes) => info.axes = axes,
            Err(problem) => info.problems.push(problem),
        }
        match imagej.pixel_um(pixels_per_unit) {
            Ok(um) => info.pixel_um = um,
            Err(problem) => info.problems.push(problem),
        }
        if let (Some(axes), Some(labels)) = (info.axes, labels) {
            info.channels = imagej::channel_names(&labels, &axes);
        }
    } else if let Some(metaxpress) = MetaXpress::parse(&description) {
        info.pixel_um = metaxpress.pixel_um;
        info.problems.extend(metaxpress.problem.clone());
        info.metaxpress = Some(metaxpress);
    } else if let Some(ome) = Ome::parse(&description, info.pages.len()) {
        info.axes = ome.axes;
        info.channels = ome.channels;
        info.pixel_um = ome.pixel_um;
        info.problems = ome.problems;
    }
    Ok(info)
}

/// Reads page `page`, counted over pages or, in ImageJ's one-page stacks, over images.
pub(super) fn read(path: &Path, page: usize) -> Result<Pixels, ImageError> {
    let mut file = Open::new(path)?;
    if page == 0 {
        return file.read_page();
    }
    let stated = ImageJ::parse(&file.description()).map_or(1, |imagej| imagej.images());
    let stack = if stated > 1 {
        file.stride(stated)?
    } else {
        None
    };
    match file.decoder.seek_to_image(page) {
        Ok(()) => file.read_page(),
        Err(TiffError::FormatError(TiffFormatError::ImageFileDirectoryNotFound)) => match stack {
            Some(stack) if page < stack.images => file.read_by_stride(&stack, page),
            _ => Err(no_such_page(path, page, info(path)?.pages.len())),
        },
        Err(error) => Err(file.error(error)),
    }
}

/// Images that follow the first one at a fixed distance, without directories of their own.
struct Stack {
    images: usize,
    first: u64,
    bytes: u64,
    height: usize,
    width: usize,
    color: ColorType,
}

impl<'a> Open<'a> {
    fn new(path: &'a Path) -> Result<Self, ImageError> {
        let file = open(path)?;
        let file_bytes = file
            .metadata()
            .map_err(|error| ImageError::read(path, error))?
            .len();
        let mut limits = Limits::default();
        let cap = usize::try_from(MAX_PLANE_PIXELS * 8).unwrap_or(usize::MAX);
        limits.decoding_buffer_size = cap;
        limits.intermediate_buffer_size = cap;
        // Descriptions of large OME files and strip tables can be long, but no longer than the
        // file.
        limits.ifd_value_size = usize::try_from(file_bytes).unwrap_or(usize::MAX);
        let decoder = Decoder::new(BufReader::new(file))
            .map_err(|error| tiff_error(path, error))?
            .with_limits(limits);
        Ok(Self {
            path,
            decoder,
            file_bytes,
        })
    }

    fn error(&self, error: TiffError) -> ImageError {
        tiff_error(self.path, error)
    }

    /// The text of ImageDescription, whatever its encoding; empty where there is none.
    fn description(&mut self) -> String {
        let mut buffer = ValueBuffer::empty(Type::ASCII);
        match self
            .decoder
            .image_ifd()
            .find_tag_buf(Tag::ImageDescription, &mut buffer)
        {
            Ok(Some(_)) => {
                let text = String::from_utf8_lossy(buffer.as_bytes());
                text.trim_end_matches('\0').to_string()
            }
            _ => String::new(),
        }
    }

    /// The value of a tag that holds a fraction.
    fn ratio(&mut self, tag: Tag) -> Option<f64> {
        match self.decoder.find_tag(tag).ok()?? {
            Value::Rational(n, d) => Some(f64::from(n) / f64::from(d)),
            Value::Float(value) => Some(f64::from(value)),
            Value::Double(value) => Some(value),
            _ => None,
        }
    }

    /// `(height, width)` of the current page, within the cap.
    fn size(&mut self) -> Result<(usize, usize), ImageError> {
        let (width, height) = self
            .decoder
            .dimensions()
            .map_err(|error| self.error(error))?;
        check_size(self.path, u64::from(height), u64::from(width))?;
        Ok((height as usize, width as usize))
    }

    /// The type of the current page's pixels.
    fn color(&mut self) -> Result<ColorType, ImageError> {
        self.decoder.colortype().map_err(|error| self.error(error))
    }

    /// The value of a tag that holds a small number; `default` where it is absent or broken.
    fn number(&mut self, tag: Tag, default: u16) -> u16 {
        let value = self.decoder.find_tag_unsigned(tag);
        value.ok().flatten().unwrap_or(default)
    }

    fn compression(&mut self) -> u16 {
        self.number(Tag::Compression, CompressionMethod::None.to_u16())
    }

    /// Where ImageJ's further images lie, if the first is uncompressed and in one piece.
    fn stride(&mut self, images: usize) -> Result<Option<Stack>, ImageError> {
        if images > MAX_PAGES {
            return Err(too_many_pages(self.path, images));
        }
        let (height, width) = self.size()?;
        let color = self.color()?;
        let offsets = self
            .decoder
            .get_tag_u64_vec(Tag::StripOffsets)
            .unwrap_or_default();
        let ColorType::Gray(bits @ (8 | 16 | 32)) = color else {
            return Ok(None);
        };
        let [first] = offsets[..] else {
            return Ok(None);
        };
        if self.compression() != CompressionMethod::None.to_u16() {
            return Ok(None);
        }
        let bytes = height as u64 * width as u64 * u64::from(bits / 8);
        let end = first.saturating_add(bytes.saturating_mul(images as u64));
        if end > self.file_bytes {
            // Several directories are the other way to store a stack; then nothing is missing.
            if self.decoder.more_images() {
                return Ok(None);
            }
            return Err(ImageError::broken(
                self.path,
                format!(
                    "its description states {images} images, which end at byte {end}, but the file \
                     has {} bytes",
                    self.file_bytes
                ),
            ));
        }
        Ok(Some(Stack {
            images,
            first,
            bytes,
            height,
            width,
            color,
        }))
    }

    fn read_by_stride(&mut self, stack: &Stack, page: usize) -> Result<Pixels, ImageError> {
        let big_endian = matches!(self.decoder.byte_order(), ByteOrder::BigEndian);
        let sample_format = self.number(Tag::SampleFormat, 1);
        let mut bytes = vec![0_u8; stack.bytes as usize];
        let start = stack.first + stack.bytes * page as u64;
        let inner = self.decoder.inner();
        inner
            .seek(SeekFrom::Start(start))
            .and_then(|_| inner.read_exact(&mut bytes))
            .map_err(|error| ImageError::read(self.path, error))?;
        let (height, width) = (stack.height, stack.width);
        let words = |bytes: &[u8]| -> Vec<u32> {
            let word = if big_endian {
                u32::from_be_bytes
            } else {
                u32::from_le_bytes
            };
            bytes
                .chunks_exact(4)
                .map(|four| word([four[0], four[1], four[2], four[3]]))
                .collect()
        };
        match (stack.color.bit_depth(), sample_format) {
            (8, 1) => Ok(Pixels::U8(Image::new(height, width, bytes))),
            (16, 1) => {
                let half = if big_endian {
                    u16::from_be_bytes
                } else {
                    u16::from_le_bytes
                };
                let values = bytes
                    .chunks_exact(2)
                    .map(|two| half([two[0], two[1]]))
                    .collect();
                Ok(Pixels::U16(Image::new(height, width, values)))
            }
            (32, 1) => Ok(Pixels::U32(Image::new(height, width, words(&bytes)))),
            (32, 3) => {
                let values = words(&bytes).into_iter().map(f32::from_bits).collect();
                Ok(Pixels::F32(Image::new(height, width, values)))
            }
            (bits, format) => Err(ImageError::not_supported(
                self.path,
                format!("its stack has {bits}-bit samples of the format `{format}`"),
                "save the stack again as 8- or 16-bit or 32-bit float images",
            )),
        }
    }

    /// Decodes the current page.
    fn read_page(&mut self) -> Result<Pixels, ImageError> {
        let (height, width) = self.size()?;
        let color = self.color()?;
        let (samples, alpha) = match color {
            ColorType::Gray(_) | ColorType::Palette(_) => (1, false),
            ColorType::GrayA(_) => (2, true),
            ColorType::RGB(_) => (3, false),
            ColorType::RGBA(_) => (4, true),
            other => {
                return Err(ImageError::not_supported(
                    self.path,
                    format!("its pixels are of the type `{other:?}`"),
                    "save each channel as a grey page of its own",
                ));
            }
        };
        self.check_data(height, width, samples, color.bit_depth())?;
        let mut decoded = DecodingResult::U8(Vec::new());
        let layout = self
            .decoder
            .read_image_to_buffer(&mut decoded)
            .map_err(|error| self.error(error))?;
        let count = height * width * samples;
        if layout.planes > 1 {
            decoded = interleave(decoded, layout.planes, height * width);
        }
        let path = self.path;
        // A sub-byte image comes back packed: one bit, two or four per sample, rows on whole bytes.
        if let (DecodingResult::U8(bytes), bits @ (1 | 2 | 4)) = (&decoded, color.bit_depth()) {
            let values = unpack(bytes, height, width, bits);
            return match values {
                Some(values) if samples == 1 => Ok(Pixels::U8(Image::new(height, width, values))),
                _ => Err(unsupported_type(path, &format!("{color:?}"))),
            };
        }
        macro_rules! pixels {
            ($kind:ident, $values:expr, $opaque:expr) => {{
                let values = $values;
                if values.len() != count {
                    return Err(ImageError::broken(
                        path,
                        format!("it decodes to {} values instead of {count}", values.len()),
                    ));
                }
                let values = grey(path, values, samples, alpha, $opaque)?;
                Ok(Pixels::$kind(Image::new(height, width, values)))
            }};
        }
        match decoded {
            DecodingResult::U8(values) => pixels!(U8, values, u8::MAX),
            DecodingResult::U16(values) => pixels!(U16, values, u16::MAX),
            DecodingResult::U32(values) => pixels!(U32, values, u32::MAX),
            DecodingResult::F32(values) => pixels!(F32, values, 1.0),
            DecodingResult::F64(values) => {
                pixels!(F32, converted(values, |v| v as f32), 1.0)
            }
            DecodingResult::F16(values) => {
                pixels!(F32, converted(values, f32::from), 1.0)
            }
            DecodingResult::I8(values) => {
                pixels!(I32, converted(values, i32::from), 127)
            }
            DecodingResult::I16(values) => {
                pixels!(I32, converted(values, i32::from), 32_767)
            }
            DecodingResult::I32(values) => pixels!(I32, values, i32::MAX),
            DecodingResult::U64(values) => match narrowed::<_, u32>(&values) {
                Some(values) => pixels!(U32, values, u32::MAX),
                None => Err(too_wide(path)),
            },
            // NumPy's default integer, in which labels are often saved.
            DecodingResult::I64(values) => match narrowed::<_, u32>(&values) {
                Some(values) => pixels!(U32, values, u32::MAX),
                None => match narrowed::<_, i32>(&values) {
                    Some(values) => pixels!(I32, values, i32::MAX),
                    None => Err(too_wide(path)),
                },
            },
        }
    }

    /// Refuses a page whose file is too short for it, before memory is taken.
    ///
    /// Uncompressed pages need their bytes; the codecs read here cannot shrink an image more than
    /// the factor given, so a page that would need more is damaged.
    fn check_data(
        &mut self,
        height: usize,
        width: usize,
        samples: usize,
        bits: u8,
    ) -> Result<(), ImageError> {
        let compression = CompressionMethod::from_u16_exhaustive(self.compression());
        let most: u64 = match compression {
            CompressionMethod::None => 1,
            CompressionMethod::PackBits => 128,
            // Deflate's limit is 1032, that of LZW about 1365 with its 4096 codes.
            CompressionMethod::LZW | CompressionMethod::Deflate | CompressionMethod::OldDeflate => {
                1400
            }
            // A zstd block of 128 KiB can shrink to four bytes.
            _ => 1 << 15,
        };
        let needed = (height as u64 * width as u64)
            .saturating_mul(samples as u64)
            .saturating_mul(u64::from(bits))
            / 8;
        if needed / most > self.file_bytes {
            return Err(ImageError::broken(
                self.path,
                format!(
                    "a plane of {height} x {width} pixels cannot lie in a file of {} bytes",
                    self.file_bytes
                ),
            ));
        }
        Ok(())
    }
}

fn converted<A, B>(values: Vec<A>, to: impl Fn(A) -> B) -> Vec<B> {
    values.into_iter().map(to).collect()
}

/// 64-bit integers in 32 bits, if all of them fit.
fn narrowed<Wide: Copy, Narrow: TryFrom<Wide>>(values: &[Wide]) -> Option<Vec<Narrow>> {
    values.iter().map(|&v| Narrow::try_from(v).ok()).collect()
}

fn too_wide(path: &Path) -> ImageError {
    ImageError::not_supported(
        path,
        "it holds 64-bit integers that do not fit 32 bits".to_owned(),
        "save it with 16- or 32-bit integers",
    )
}

fn unsupported_type(path: &Path, kind: &str) -> ImageError {
    ImageError::not_supported(
        path,
        format!("its pixels are of the type `{kind}`"),
        "save it with 8- or 16-bit integers or 32-bit floats",
    )
}

fn too_many_pages(path: &Path, pages: usize) -> ImageError {
    ImageError::TooLarge {
        path: path.to_path_buf(),
        what: format!("it states {pages} planes"),
        cap: format!("{MAX_PAGES} planes"),
        way_out: "split it into several files",
    }
}

/// Samples that lie plane after plane, as one pixel after the other.
fn interleave(decoded: DecodingResult, planes: usize, pixels: usize) -> DecodingResult {
    fn mix<T: Copy>(values: Vec<T>, planes: usize, pixels: usize) -> Vec<T> {
        if values.len() != planes * pixels {
            return values;
        }
        (0..pixels)
            .flat_map(|p| (0..planes).map(move |s| (p, s)))
            .map(|(p, s)| values[s * pixels + p])
            .collect()
    }
    match decoded {
        DecodingResult::U8(values) => DecodingResult::U8(mix(values, planes, pixels)),
        DecodingResult::U16(values) => DecodingResult::U16(mix(values, planes, pixels)),
        DecodingResult::F32(values) => DecodingResult::F32(mix(values, planes, pixels)),
        other => other,
    }
}

/// Samples of `bits` bits, most significant first, rows starting on whole bytes.
fn unpack(bytes: &[u8], height: usize, width: usize, bits: u8) -> Option<Vec<u8>> {
    let per_byte = usize::from(8 / bits);
    let row_bytes = width.div_ceil(per_byte);
    if bytes.len() != row_bytes * height {
        return None;
    }
    let mask = (1_u16 << bits) as u8 - 1;
    let mut values = Vec::with_capacity(height * width);
    for row in bytes.chunks_exact(row_bytes) {
        for x in 0..width {
            let shift = 8 - bits as usize * (x % per_byte + 1);
            values.push(row[x / per_byte] >> shift & mask);
        }
    }
    Some(values)
}

fn tiff_error(path: &Path, error: TiffError) -> ImageError {
    match error {
        TiffError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            ImageError::broken(path, "the file ends too early")
        }
        // Codecs report damaged data as input errors of these kinds.
        TiffError::IoError(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::InvalidData
                    | std::io::ErrorKind::InvalidInput
                    | std::io::ErrorKind::Other
            ) =>
        {
            ImageError::broken(path, one_line(&error.to_string()))
        }
        TiffError::IoError(error) => ImageError::read(path, error),
        TiffError::UnsupportedError(error) => ImageError::not_supported(
            path,
            one_line(&error.to_string()),
            "save it as a grey TIFF, uncompressed or with Deflate, LZW or Zstandard",
        ),
        TiffError::LimitsExceeded | TiffError::IntSizeError => ImageError::TooLarge {
            path: path.to_path_buf(),
            what: "a plane or one of its tags claims more bytes than can be there".into(),
            cap: format!("{MAX_PLANE_PIXELS} pixels a plane"),
            way_out: "copy or export it again from its source",
        },
        error => ImageError::broken(path, one_line(&error.to_string())),
    }
}

//! What an ND2 file says of its frames: size and type of their pixels, channels, pixel size.

use std::path::Path;

use super::tree::Value;
use crate::container::ChannelSaid;
use crate::format::NO_SIZE_TAKEN;
use crate::{ImageError, list_names, rounded_um};

/// The chunk `ImageAttributes`: how the pixels of all frames lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) height: usize,
    pub(super) width: usize,
    /// Bytes from one row to the next.
    pub(super) row_bytes: usize,
    /// Samples of a pixel: those of all channels, next to each other.
    pub(super) components: usize,
    /// Bytes of a sample: 1 and 2 are whole numbers, 4 a float.
    pub(super) sample_bytes: usize,
    /// Whether each frame is packed with zlib.
    pub(super) is_packed: bool,
    /// Frames that were taken.
    pub(super) frames: Option<usize>,
}

impl Attributes {
    /// # Errors
    /// [`ImageError::Broken`], [`ImageError::NotSupported`].
    pub(super) fn of(
        tree: &Value,
        path: &Path,
        problems: &mut Vec<String>,
    ) -> Result<Self, ImageError> {
        let needed = |name: &str| {
            let found = tree.count(name).filter(|count| *count > 0);
            found.ok_or_else(|| {
                ImageError::broken(path, format!("its attributes have no usable `{name}`"))
            })
        };
        let (height, width) = (needed("uiHeight")?, needed("uiWidth")?);
        let (components, bits) = (needed("uiComp")?, needed("uiBpcInMemory")?);
        if components > MOST_COMPONENTS {
            let what = format!("its pixels have {components} samples");
            return Err(ImageError::broken(path, what));
        }
        let refused = |what: String| ImageError::not_supported(path, what, WAY_OUT);
        let sample_bytes = match bits {
            8 | 16 | 32 => bits / 8,
            _ => return Err(refused(format!("its samples have {bits} bits"))),
        };
        // The samples have it as `1`, of whole numbers.
        if let Some(kind) = tree.count("ePixelType").filter(|kind| *kind != 1)
            && sample_bytes != 4
        {
            problems.push(format!(
                "the type of its pixels is `{kind}`, which is not known; they are taken as whole \
                 numbers from 0 on"
            ));
        }
        let is_packed = is_packed(tree).map_err(refused)?;
        let row_bytes = row_bytes(tree, [width, components, sample_bytes])
            .map_err(|what| ImageError::broken(path, what))?;
        let used = width.saturating_mul(components * sample_bytes);
        if is_packed && row_bytes.saturating_sub(used) > MOST_PADDING {
            let what = format!("its packed rows have {row_bytes} bytes for {used} of pixels");
            return Err(ImageError::broken(path, what));
        }
        Ok(Self {
            height,
            width,
            row_bytes,
            components,
            sample_bytes,
            is_packed,
            frames: tree.count("uiSequenceCount"),
        })
    }
}

/// Spectral detectors have 32; this is far more than any.
const MOST_COMPONENTS: usize = 1024;

/// Most bytes of padding behind the pixels of a packed row, which would be unpacked in vain. Rows
/// are padded to whole words.
const MOST_PADDING: usize = 64;

/// Whether frames are packed with zlib. A text about any other compression.
fn is_packed(tree: &Value) -> Result<bool, String> {
    match tree.count("eCompression") {
        Some(0) => Ok(true),
        None | Some(2) => Ok(false),
        Some(1) => Err("it is an ND2 file whose compression has changed the intensities".into()),
        Some(other) => Err(format!("it is an ND2 file with the compression `{other}`")),
    }
}

/// Bytes from one row to the next: as stated or, where that is left open, those of the pixels. A
/// text where pixels of so many samples of so many bytes do not fit.
fn row_bytes(tree: &Value, [width, components, sample]: [usize; 3]) -> Result<usize, String> {
    let pixel = components * sample;
    let least = width.checked_mul(pixel);
    let stated = tree.count("uiWidthBytes").filter(|bytes| *bytes > 0);
    let found = least.map(|least| stated.unwrap_or(least));
    found.filter(|found| Some(*found) >= least).ok_or_else(|| {
        format!(
            "{width} pixels of {pixel} bytes do not fit into its rows of {} bytes",
            stated.unwrap_or(0)
        )
    })
}

/// How a file that is not read here can be converted.
pub(super) const WAY_OUT: &str = "save it again uncompressed or export it as TIFF in \
     NIS-Elements, or convert it with Fiji's Bio-Formats importer or `bfconvert`";

/// A channel, and which sample of a pixel is its.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Channel {
    pub(super) component: usize,
    pub(super) said: ChannelSaid,
}

/// The chunk `ImageMetadataSeq` of the first frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Picture {
    pub(super) channels: Vec<Channel>,
    pub(super) pixel_um: Option<f64>,
    /// Where the stage stood at the first frame, in its own system.
    pub(super) place_um: Option<[f64; 2]>,
}

impl Picture {
    /// # Errors
    /// [`ImageError::NotSupported`] if all channels are of colour cameras.
    pub(super) fn of(
        tree: Option<&Value>,
        components: usize,
        path: &Path,
        problems: &mut Vec<String>,
    ) -> Result<Self, ImageError> {
        let empty = Value::Level(Vec::new());
        let tree = tree.unwrap_or(&empty);
        let place = Option::zip(tree.number("dXPos"), tree.number("dYPos"));
        Ok(Self {
            channels: channels(tree, components, path, problems)?,
            pixel_um: pixel_um(tree, problems),
            // A system without a motorised stage writes zeros.
            place_um: place
                .map(|(x, y)| [x, y])
                .filter(|place| *place != [0.0; 2]),
        })
    }
}

/// The channels of pixels with so many samples.
fn channels(
    tree: &Value,
    components: usize,
    path: &Path,
    problems: &mut Vec<String>,
) -> Result<Vec<Channel>, ImageError> {
    let planes = tree.get("sPicturePlanes");
    let planes = planes.and_then(|planes| planes.get("sPlaneNew").or(planes.get("sPlane")));
    let planes = planes.map_or(&[][..], Value::items);
    let samples = planes.iter().map(|(_, plane)| samples_of(plane));
    let samples = samples.fold(0_usize, usize::saturating_add);
    if samples != components {
        problems.push(format!(
            "its pixels have {components} samples and {samples} are described, so channels have no \
             names"
        ));
        let unnamed = |component| Channel {
            component,
            said: ChannelSaid::default(),
        };
        return Ok((0..components).map(unnamed).collect());
    }
    let (found, coloured) = grey_and_coloured(planes);
    let colours = format!(
        "of a colour camera, with several samples a pixel: {}",
        list_names(&coloured)
    );
    if found.is_empty() {
        let way_out = "take the images with a grey camera, or split their colours into channels \
                       in NIS-Elements";
        let what = format!("all its channels are {colours}");
        return Err(ImageError::not_supported(path, what, way_out));
    }
    if !coloured.is_empty() {
        problems.push(format!("channels are left out that are {colours}"));
    }
    Ok(found)
}

/// Samples of a pixel that belong to one channel: 1, or more of a colour camera.
fn samples_of(plane: &Value) -> usize {
    plane.count("uiCompCount").unwrap_or(1)
}

/// Channels of one sample, and the names of those of more.
fn grey_and_coloured(planes: &[(String, Value)]) -> (Vec<Channel>, Vec<String>) {
    let (mut found, mut coloured, mut component) = (Vec::new(), Vec::new(), 0);
    for (_, plane) in planes {
        let name = plane.text("sDescription").trim().to_string();
        match samples_of(plane) {
            1 => found.push(Channel {
                component,
                said: ChannelSaid {
                    name,
                    transmitted: is_transmitted(plane).then_some(true),
                },
            }),
            _ => coloured.push(name),
        }
        component += samples_of(plane);
    }
    (found, coloured)
}

/// Whether a channel is said to be brightfield, phase contrast, differential interference contrast
/// or of a detector for transmitted light. Channels that are not may be so, too: fluorescence is
/// also written where nothing was chosen.
fn is_transmitted(plane: &Value) -> bool {
    const BRIGHTFIELD: usize = 0x2;
    const PHASE_OR_DIC: usize = 0x10 | 0x20;
    const TRANSMITTED_DETECTOR: usize = 0x0100_0000;
    match plane.count("uiModalityMask") {
        Some(mask) => mask & (BRIGHTFIELD | PHASE_OR_DIC | TRANSMITTED_DETECTOR) != 0,
        // Brightfield, phase contrast, differential interference contrast.
        None => matches!(plane.count("eModality"), Some(1 | 6 | 7)),
    }
}

fn pixel_um(tree: &Value, problems: &mut Vec<String>) -> Option<f64> {
    /// What the direction of an axis is where it is time.
    const TIME: usize = 2;
    let um = tree.number("dCalibration").filter(|um| *um > 0.0)?;
    if !tree.is_set("bCalibrated") {
        return None;
    }
    let axes = ["ePictureXAxis", "ePictureYAxis"];
    if axes.iter().any(|name| tree.count(name) == Some(TIME)) {
        problems.push(format!("one axis of its pixels is time, {NO_SIZE_TAKEN}"));
        return None;
    }
    match tree.number("dAspect").filter(|aspect| *aspect > 0.0) {
        Some(aspect) if (aspect - 1.0).abs() > 1e-3 => {
            problems.push(format!(
                "its pixels are not square (their sides are as `{}` to 1), {NO_SIZE_TAKEN}",
                rounded_um(aspect)
            ));
            None
        }
        _ => Some(um),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(items: &[(&str, Value)]) -> Value {
        let items = items
            .iter()
            .map(|(name, value)| (name.to_string(), value.clone()));
        Value::Level(items.collect())
    }

    fn n(number: f64) -> Value {
        Value::Number(number)
    }

    fn plane(name: &str, samples: f64, kind: (&str, f64)) -> (&'static str, Value) {
        let name = Value::Text(name.into());
        let items = [
            ("uiCompCount", n(samples)),
            ("sDescription", name),
            (kind.0, n(kind.1)),
        ];
        ("", level(&items))
    }

    fn of(planes: &[(&str, Value)], components: usize) -> (Result<Picture, String>, Vec<String>) {
        let tree = level(&[("sPicturePlanes", level(&[("sPlaneNew", level(planes))]))]);
        let mut problems = Vec::new();
        let found = Picture::of(Some(&tree), components, Path::new("a.nd2"), &mut problems);
        (found.map_err(|error| error.to_string()), problems)
    }

    #[test]
    fn light_is_transmitted_only_where_it_is_said() {
        let planes = [
            plane("Mono", 1.0, ("uiModalityMask", 257.0)),
            plane("BF", 1.0, ("uiModalityMask", 258.0)),
            plane("DIC", 1.0, ("uiModalityMask", f64::from(0x122))),
            plane("TD", 1.0, ("uiModalityMask", f64::from(0x0110_0201))),
            plane("Ph", 1.0, ("eModality", 6.0)),
            plane("GFP", 1.0, ("eModality", 0.0)),
        ];
        let (found, problems) = of(&planes, 6);
        let said = found.expect("channels").channels.into_iter();
        let said: Vec<_> = said.map(|channel| channel.said.transmitted).collect();
        let yes = Some(true);
        assert_eq!(said, [None, yes, yes, yes, yes, None]);
        assert!(problems.is_empty());
    }

    #[test]
    fn colours_are_left_out_and_refused_where_nothing_else_is_there() {
        let mask = ("uiModalityMask", 257.0);
        let colour = plane("RGB", 3.0, mask);
        let (found, problems) = of(&[colour.clone(), plane("DAPI", 1.0, mask)], 4);
        let found = found.expect("channels").channels;
        assert_eq!((found.len(), found[0].component), (1, 3));
        assert!(
            problems[0].ends_with("several samples a pixel: `RGB`"),
            "{problems:?}"
        );
        let said = of(&[colour], 3).0.expect_err("refused");
        assert!(said.contains("split their colours into channels"), "{said}");
    }

    #[test]
    fn a_pixel_size_is_taken_only_where_it_is_calibrated_and_square() {
        let size = |more: &[(&str, f64)]| {
            let items = more.iter().map(|(name, value)| (*name, n(*value)));
            let items: Vec<_> = items.chain([("dCalibration", n(0.25))]).collect();
            let mut problems = Vec::new();
            (pixel_um(&level(&items), &mut problems), problems.len())
        };
        let calibrated = ("bCalibrated", 1.0);
        assert_eq!(size(&[calibrated, ("dAspect", 1.0)]), (Some(0.25), 0));
        assert_eq!(size(&[]), (None, 0));
        assert_eq!(size(&[calibrated, ("dAspect", 2.0)]), (None, 1));
        assert_eq!(size(&[calibrated, ("ePictureYAxis", 2.0)]), (None, 1));
    }
}

//! ImageJ's description of a stack: `ImageJ=1.53t` and lines `key=value`, and its binary metadata.
//!
//! Keys equal to 1 are left out by the writer. Pages run channel first, then z, then time, unless
//! the key `order` says otherwise.

use std::collections::BTreeMap;

use super::resolution::Resolution;
use super::{Axes, Dimension};

/// How ImageJ's description begins.
pub(super) const START: &str = "ImageJ=";

/// What the `ImageDescription` of an ImageJ TIFF says.
pub(super) struct ImageJ {
    values: BTreeMap<String, String>,
}

impl ImageJ {
    /// `None` if `description` was not written in ImageJ's form.
    pub(super) fn parse(description: &str) -> Option<Self> {
        let body = description.strip_prefix(START)?;
        let values = body
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.trim().to_string(), value.trim().to_string()))
            .collect();
        Some(Self { values })
    }

    fn count(&self, key: &str) -> Option<usize> {
        self.values.get(key)?.parse().ok()
    }

    /// How many images follow one another, as stated.
    pub(super) fn images(&self) -> usize {
        self.count("images").unwrap_or(1)
    }

    /// Whether all that is described are `samples` channels: by their number, that of the images,
    /// or both.
    pub(super) fn is_of_channels(&self, samples: usize) -> bool {
        let stated = ["channels", "images"].map(|key| self.count(key));
        let alone = ["slices", "frames"].map(|key| self.count(key).unwrap_or(1));
        alone == [1, 1]
            && stated.iter().flatten().all(|&count| count == samples)
            && stated.iter().any(Option::is_some)
    }

    /// The dimensions from the fastest to the slowest: the key `order` (`zct`, `xyzct`), where
    /// dimensions that it leaves out are the slowest; `Err` is a sentence about another text.
    fn order(&self) -> Result<[Dimension; 3], String> {
        let Some(text) = self.values.get("order") else {
            return Ok(Dimension::ALL);
        };
        let upper = text.to_uppercase();
        // ImageJ's own menu says `xyczt(default)`.
        let letters = upper.trim_end_matches("(DEFAULT)").trim();
        let letters = letters.strip_prefix("XY").unwrap_or(letters);
        Dimension::order(letters.chars()).ok_or_else(|| unknown_order(text))
    }

    /// The dimensions, if they account for `pages` pages; `Err` is a sentence about the mismatch.
    pub(super) fn axes(&self, pages: usize) -> Result<Option<Axes>, String> {
        let size = |key| self.count(key).unwrap_or(1).max(1);
        let mut axes = Axes {
            channels: size("channels"),
            planes: size("slices"),
            times: size("frames"),
            order: Dimension::ALL,
            placed: None,
        };
        match axes.count() {
            Some(count) if count == pages => {
                let several = [axes.channels, axes.planes, axes.times];
                // With one dimension there is nothing to order.
                if several.iter().filter(|&&size| size > 1).count() > 1 {
                    axes.order = self.order()?;
                }
                Ok(Some(axes))
            }
            // A plain stack from before hyperstacks states its images only.
            Some(1) => Ok(None),
            _ => Err(format!(
                "its ImageJ description states {} channels x {} slices x {} frames, but it has \
                 {pages} pages",
                axes.channels, axes.planes, axes.times
            )),
        }
    }

    /// Pixel size in µm from the stated units and the resolution tags; `Err` is a sentence about
    /// pixels that are not square, or a unit that is not known.
    pub(super) fn pixel_um(&self, resolution: &Resolution) -> Result<Option<f64>, String> {
        match self.values.get("unit") {
            Some(unit) => resolution.in_unit(unit, self.values.get("yunit").unwrap_or(unit)),
            None => resolution.alone(),
        }
    }
}

fn unknown_order(text: &str) -> String {
    format!("its page order `{text}` is not known, so its pages are not sorted")
}

/// Slice labels from the tag IJMetadata, in page order; empty where there are none.
///
/// `counts` is the tag IJMetadataByteCounts: the first entry is the length of the header, which
/// lists the types (four characters) and how many entries of each follow. Texts are UTF-16 in the
/// byte order of the file.
pub(super) fn labels(counts: &[u32], bytes: &[u8], big_endian: bool) -> Vec<String> {
    let word = |at: usize| -> Option<u32> {
        let four: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(if big_endian {
            u32::from_be_bytes(four)
        } else {
            u32::from_le_bytes(four)
        })
    };
    const MAGIC: u32 = u32::from_be_bytes(*b"IJIJ");
    const LABELS: u32 = u32::from_be_bytes(*b"labl");
    let mut labels = Vec::new();
    if word(0) != Some(MAGIC) {
        return labels;
    }
    let header = counts.first().map_or(0, |&length| length as usize);
    let (mut entry, mut at, mut next) = (4, header, 1);
    while entry + 8 <= header {
        let (Some(kind), Some(count)) = (word(entry), word(entry + 4)) else {
            return labels;
        };
        for _ in 0..count {
            let Some(&length) = counts.get(next) else {
                return labels;
            };
            let Some(text) = bytes.get(at..at.saturating_add(length as usize)) else {
                return labels;
            };
            if kind == LABELS {
                let units: Vec<u16> = text
                    .chunks_exact(2)
                    .map(|pair| {
                        let pair = [pair[0], pair[1]];
                        if big_endian {
                            u16::from_be_bytes(pair)
                        } else {
                            u16::from_le_bytes(pair)
                        }
                    })
                    .collect();
                labels.push(String::from_utf16_lossy(&units));
            }
            at += length as usize;
            next += 1;
        }
        entry += 8;
    }
    labels
}

/// Channel names from slice labels: the words at the end of the labels that all planes and times of
/// a channel share (`z1 DAPI`, `z2 DAPI`). Empty unless every channel has some and they differ:
/// labels that are names of files or of planes say nothing about channels.
pub(super) fn channel_names(labels: &[String], axes: &Axes) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for c in 0..axes.channels {
        let mut shared: Option<Vec<&str>> = None;
        for (z, t) in (0..axes.times).flat_map(|t| (0..axes.planes).map(move |z| (z, t))) {
            let Some(label) = axes.page(c, z, t).and_then(|page| labels.get(page)) else {
                return Vec::new();
            };
            let words: Vec<&str> = label.split_whitespace().collect();
            shared = Some(match shared {
                None => words,
                Some(before) => {
                    let pairs = before.iter().rev().zip(words.iter().rev());
                    let same = pairs.take_while(|(a, b)| a == b).count();
                    before[before.len() - same..].to_vec()
                }
            });
        }
        let name = shared.unwrap_or_default().join(" ");
        let name = name.trim_start_matches(['-', ' ']);
        if name.is_empty() || names.iter().any(|other| other == name) {
            return Vec::new();
        }
        names.push(name.to_string());
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn left_out_keys_mean_one() {
        let info = ImageJ::parse("ImageJ=1.53t\nimages=6\nchannels=2\nslices=3\nunit=\\u00B5m\n");
        let info = info.expect("an ImageJ description");
        let axes = info.axes(6).expect("consistent").expect("stated");
        assert_eq!((axes.channels, axes.planes, axes.times), (2, 3, 1));
        assert_eq!(axes.page(1, 2, 0), Some(5));
        assert_eq!(info.pixel_um(&per_unit(4.0, None)), Ok(Some(0.25)));
        assert!(info.axes(5).is_err());
    }

    #[test]
    fn unit_pixel_and_zero_resolution_are_no_calibration() {
        let info = ImageJ::parse("ImageJ=1.53t\nunit=pixel\n").expect("an ImageJ description");
        assert_eq!(info.pixel_um(&per_unit(1.0, None)), Ok(None));
        let info = ImageJ::parse("ImageJ=1.53t\nunit=um\n").expect("an ImageJ description");
        assert_eq!(info.pixel_um(&per_unit(0.0, None)), Ok(None));
        let nothing = Resolution {
            pixels_per_unit: [None; 2],
            unit_um: None,
        };
        assert_eq!(info.pixel_um(&nothing), Ok(None));
    }

    #[test]
    fn the_unit_of_the_tag_counts_where_the_two_differ_and_it_can_be() {
        let info = |unit: &str| ImageJ::parse(&format!("ImageJ=1.5\nunit={unit}\n")).expect("one");
        let cm = Some(1e4);
        for (unit, per_unit_of_tag, um) in [
            // Micro-Manager: pixels per cm under `unit=um`.
            ("um", per_unit(1e4, cm), 1.0),
            // A program that left the tag at its default.
            ("um", per_unit(2.0, cm), 0.5),
            ("um", per_unit(2.0, Some(25_400.0)), 0.5),
            ("cm", per_unit(2e4, cm), 0.5),
            ("pixel", per_unit(2e4, cm), 0.5),
            ("inch", per_unit(50_800.0, None), 0.5),
        ] {
            let found = info(unit).pixel_um(&per_unit_of_tag).expect("a size");
            let found = found.expect("a size");
            assert!((found - um).abs() < 1e-9, "{unit}: {found}");
        }
        assert!(info("furlong").pixel_um(&per_unit(2.0, None)).is_err());
    }

    #[test]
    fn pages_run_in_the_stated_order() {
        let axes = |order: &str| {
            let text =
                format!("ImageJ=1.53t\nimages=24\nchannels=2\nslices=3\nframes=4\norder={order}\n");
            ImageJ::parse(&text).expect("one").axes(24)
        };
        for (order, page) in [
            // The page of channel 1, plane 2, time 3.
            ("czt", 1 + 2 * (2 + 3 * 3)),
            ("xyczt(default)", 1 + 2 * (2 + 3 * 3)),
            ("ctz", 1 + 2 * (3 + 4 * 2)),
            ("zct", 2 + 3 * (1 + 2 * 3)),
            ("XYZTC", 2 + 3 * (3 + 4)),
            ("tcz", 3 + 4 * (1 + 2 * 2)),
            ("tzc", 3 + 4 * (2 + 3)),
            ("z", 2 + 3 * (1 + 2 * 3)),
        ] {
            let axes = axes(order).expect("known").expect("stated");
            assert_eq!(axes.page(1, 2, 3), Some(page), "{order}");
        }
        for order in ["zcq", "zzc", "xy?"] {
            assert_eq!(axes(order), Err(unknown_order(order)));
        }
    }

    fn per_unit(pixels: f64, unit_um: Option<f64>) -> Resolution {
        Resolution {
            pixels_per_unit: [Some(pixels); 2],
            unit_um,
        }
    }

    #[test]
    fn labels_name_channels_by_their_common_end() {
        let axes = Axes {
            channels: 2,
            planes: 2,
            times: 1,
            order: [Dimension::C, Dimension::Z, Dimension::T],
            placed: None,
        };
        let names = |labels: [&str; 4]| channel_names(&labels.map(str::to_string), &axes);
        assert_eq!(
            names(["z1 DAPI", "z1 FITC", "z2 DAPI", "z2 FITC"]),
            ["DAPI", "FITC"]
        );
        assert_eq!(
            names([
                "c:1/2 z:1/2 - A B",
                "c:2/2 z:1/2 - C",
                "c:1/2 z:2/2 - A B",
                "c:2/2 z:2/2 - C"
            ]),
            ["A B", "C"]
        );
        assert!(names(["a1.tif", "a2.tif", "a3.tif", "a4.tif"]).is_empty());
        assert!(names(["x DAPI", "x DAPI", "y DAPI", "y DAPI"]).is_empty());
    }
}

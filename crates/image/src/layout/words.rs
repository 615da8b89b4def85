//! What names of folders and ends of names of files speak of: channels, or places and times.

use std::sync::LazyLock;

use regex::Regex;

use crate::names::{looks_like_truth, printed_well};

/// Whether the end of a file name is a common name of a channel, so that files which differ only
/// in it are channels of one field. Any other end stays part of the field's name.
pub(super) fn is_channel_word(end: &str) -> bool {
    const WORDS: [&str; 36] = [
        "bf",
        "brightfield",
        "bright",
        "trans",
        "transmitted",
        "tl",
        "tld",
        "phase",
        "ph",
        "dic",
        "fluo",
        "fluorescence",
        "dapi",
        "hoechst",
        "nuc",
        "nuclei",
        "nucleus",
        "nuclear",
        "h2b",
        "gfp",
        "egfp",
        "fitc",
        "yfp",
        "rfp",
        "tritc",
        "mcherry",
        "texasred",
        "cy3",
        "cy5",
        "cfp",
        "mito",
        "mitochondria",
        "cyto",
        "cytoplasm",
        "actin",
        "tubulin",
    ];
    let lower = end.to_lowercase();
    let numbered = ["ch", "c", "w", "channel"].iter().any(|prefix| {
        lower.strip_prefix(prefix).is_some_and(|number| {
            (1..=2).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit())
        })
    });
    numbered || WORDS.contains(&lower.as_str())
}

/// Whether a file that is called so is an image of one channel of the place that its folder is.
pub(super) fn is_channel_file(stem: &str) -> bool {
    let lower = stem.to_lowercase();
    // `img_001` and `mask_7` are numbered fields.
    let is_number = |word: &str| word.bytes().all(|b| b.is_ascii_digit());
    let is_numbered = words(&lower).any(is_number);
    is_channel_word(&lower) || !is_numbered && (says_image(&lower) || says_truth(&lower))
}

/// Whether a folder that is called so holds a channel of every field: by a channel's word among
/// its words, a dye's or a wavelength, truth's or just an image's.
pub(super) fn is_channel_folder(name: &str) -> bool {
    // Beginnings, since names go on with numbers and steps: `hoechst33342`, `brightfield_z1`.
    const BEGINNINGS: [&str; 14] = [
        "brightfield",
        "transmit",
        "phase",
        "fluo",
        "hoechst",
        "dapi",
        "nucle",
        "mito",
        "cyto",
        "membran",
        "alexa",
        "cherry",
        "mcherry",
        "draq",
    ];
    const WORDS: [&str; 16] = [
        "er", "agp", "rna", "dna", "pol", "red", "green", "blue", "cyan", "far", "syto", "sir",
        "stain", "cellmask", "lamin", "cell",
    ];
    static NUMBERED: LazyLock<Regex> = LazyLock::new(|| {
        // Channels and planes by number, dyes, and wavelengths of visible light.
        let text = concat!(
            r"^(?:ch|w|channel|wavelength|z|plane|slice|focus|defocus|depth|cy)\d+$",
            r"|^af?\d{3}$",
            r"|^(?:3[5-9]\d|[4-7]\d\d)(?:nm)?$",
        );
        Regex::new(text).expect("a valid pattern")
    });
    let lower = name.to_lowercase();
    let joined = lower.replace([' ', '-', '_'], "");
    let speaks = |word: &str| {
        let plain = word.trim_end_matches(|c: char| c.is_ascii_digit());
        is_channel_word(word)
            || is_channel_word(plain)
            || WORDS.contains(&plain)
            || BEGINNINGS.iter().any(|start| word.starts_with(start))
    };
    // Ten channels and more are wells of row C.
    static ROW_C: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^c[1-9]\d$").expect("a valid pattern"));
    if ROW_C.is_match(&joined) {
        return false;
    }
    NUMBERED.is_match(&joined)
        || says_image(&lower)
        || says_truth(&lower)
        || words(&lower).any(speaks)
        || speaks(&joined)
}

fn says_image(lower: &str) -> bool {
    const WORDS: [&str; 10] = [
        "raw",
        "image",
        "images",
        "img",
        "imgs",
        "orig",
        "original",
        "originals",
        "input",
        "inputs",
    ];
    words(lower).any(|word| WORDS.contains(&word))
}

fn says_truth(lower: &str) -> bool {
    const WORDS: [&str; 2] = ["annotated", "cells"];
    looks_like_truth(lower) || words(lower).any(|word| WORDS.contains(&word))
}

fn words(lower: &str) -> impl Iterator<Item = &str> {
    let parts = lower.split(|c: char| !c.is_alphanumeric());
    parts.filter(|part| !part.is_empty())
}

/// What a folder that is called so is, if it is a place or a time and no channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FolderOf {
    /// As printed on the plate.
    Well(String),
    Time(u32),
    Place,
}

impl FolderOf {
    /// Reads `B2`, `well B02`, `Pos0`, `site_3`, `XY1`, `t001`, `timepoint 5`, `set1`.
    pub(super) fn named(name: &str) -> Option<Self> {
        static WELL: LazyLock<Regex> = LazyLock::new(|| {
            let text = r"(?i)^(?:well[ _=-]*)?([a-z]{1,2})[ _-]?(\d{1,2})$";
            Regex::new(text).expect("a valid pattern")
        });
        static TIME: LazyLock<Regex> = LazyLock::new(|| {
            let text = r"(?i)^(?:t|time|time[ _-]?point|frame)[ _=-]*(\d{1,6})$";
            Regex::new(text).expect("a valid pattern")
        });
        static PLACE: LazyLock<Regex> = LazyLock::new(|| {
            let text = concat!(
                r"(?i)^(?:[\w-]*[ _-])?(?:pos|position|site|xy|xypos|fov|field|tile|scene|series",
                r"|set|stack|roi|region|area|sample|slide|exp|experiment|plate|day|dish|rep",
                r"|replicate|run|p|s|f)[ _=-]*\d+$",
            );
            Regex::new(text).expect("a valid pattern")
        });
        if let Some(time) = TIME.captures(name) {
            return time[1].parse().ok().map(Self::Time);
        }
        // `F01` is a field of view far more often than a well of a plate's row F, and `P1`, `S1`
        // places: those are wells only among others, which `places` sees to.
        if let Some(well) = WELL.captures(name)
            && let Some(well) = printed_well(&well[1], &well[2])
        {
            return Some(Self::Well(well));
        }
        PLACE.is_match(name).then_some(Self::Place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_channels() {
        for name in [
            "bf",
            "BF_z1",
            "Hoechst33342",
            "DAPI",
            "nuc",
            "nuc_gt",
            "masks",
            "images",
            "raw",
            "w1",
            "ch00",
            "C1",
            "channel 2",
            "405",
            "488nm",
            "Alexa 647",
            "A647",
            "Cy5",
            "Bright Field",
            "phase contrast",
            "TL",
            "GFP",
            "live_nuclei",
            "z1",
            "plane 2",
            "DNA",
            "ER",
            "cell_mask",
        ] {
            assert!(is_channel_folder(name), "{name}");
        }
        for name in [
            "Pos0", "B02", "set1", "control", "treated", "exp1", "t0", "well A1", "drug x", "A1",
            "A02", "C11",
        ] {
            assert!(!is_channel_folder(name), "{name}");
        }
    }

    #[test]
    fn folders_of_places_and_times() {
        let well = |name: &str| Some(FolderOf::Well(name.into()));
        assert_eq!(FolderOf::named("b2"), well("B02"));
        assert_eq!(FolderOf::named("well=C 11"), well("C11"));
        assert_eq!(FolderOf::named("Well_AF48"), well("AF48"));
        assert_eq!(FolderOf::named("t001"), Some(FolderOf::Time(1)));
        assert_eq!(FolderOf::named("TimePoint_12"), Some(FolderOf::Time(12)));
        for name in [
            "Pos0",
            "site 3",
            "XY01",
            "exp_2",
            "set10",
            "plate-1",
            "2024_day2",
            "fov12",
        ] {
            assert_eq!(FolderOf::named(name), Some(FolderOf::Place), "{name}");
        }
        for name in ["control", "DAPI", "raw", "001", "x", "post1op"] {
            assert_eq!(FolderOf::named(name), None, "{name}");
        }
    }

    #[test]
    fn files_of_one_channel() {
        for name in ["bf", "DAPI", "raw", "instances_ids", "ch1", "nuclei_mask"] {
            assert!(is_channel_file(name), "{name}");
        }
        for name in ["001", "a", "f02", "B02_s1", "img_001", "mask_7"] {
            assert!(!is_channel_file(name), "{name}");
        }
    }
}

//! Which channel of a data set is meant, or is likely to be.

use stainfree_image::Dataset;

use super::names::nearest;

/// Index of the channel called `name` (case does not matter where that is unambiguous), or the
/// sentence that lists the choices.
pub(crate) fn find_channel(dataset: &Dataset, name: &str) -> Result<usize, String> {
    if let Some(index) = dataset.channels.iter().position(|channel| channel == name) {
        return Ok(index);
    }
    let alike: Vec<usize> = (0..dataset.channels.len())
        .filter(|&i| dataset.channels[i].to_lowercase() == name.to_lowercase())
        .collect();
    if let [index] = alike[..] {
        return Ok(index);
    }
    let known: Vec<String> = dataset
        .channels
        .iter()
        .map(|channel| format!("`{channel}`"))
        .collect();
    let hint = nearest(name, dataset.channels.iter().map(String::as_str))
        .map_or(String::new(), |near| format!(", did you mean `{near}`?"));
    Err(format!(
        "`{}` has no channel `{name}` (channels: {}){hint}",
        dataset.root.display(),
        known.join(", ")
    ))
}

/// Channels that may be brightfield, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// One, or three that are the planes.
    pub channels: Vec<String>,
    /// Whether the files say that they were taken in transmitted light; else it is their names.
    pub said: bool,
}

/// The brightfield channels: those of which the files say so, else by their names.
pub fn recognise_brightfield(dataset: &Dataset) -> Option<Recognised> {
    let said: Vec<String> = dataset
        .said_to_be(true)
        .into_iter()
        .map(String::from)
        .collect();
    let (channels, said) = match said.len() {
        0 => (by_name(dataset)?, false),
        1 | 3 => (said, true),
        // Of several (phase contrast beside brightfield) names may tell which one is meant.
        _ => match guess_brightfield(&said) {
            Some(channels) => (channels, true),
            None => (vec![said[0].clone()], true),
        },
    };
    Some(Recognised { channels, said })
}

/// The channels whose names speak of brightfield, though the files may say another light (some
/// programs write fluorescence wherever nothing was chosen); or the only one of unknown light.
fn by_name(dataset: &Dataset) -> Option<Vec<String>> {
    let other = |name: &String| dataset.transmitted.get(name) == Some(&false);
    let found = guess_brightfield(&dataset.channels)?;
    let named = |name: &String| speaks_of(name, &BRIGHTFIELD);
    (found.iter().all(|name| named(name) || !other(name))).then_some(found)
}

/// The channels whose names speak of brightfield: one, or three that are the planes.
pub fn guess_brightfield(channels: &[String]) -> Option<Vec<String>> {
    if let [only] = channels {
        return Some(vec![only.clone()]);
    }
    let images: Vec<&String> = channels
        .iter()
        .filter(|name| !stainfree_image::looks_like_truth(name))
        .collect();
    let found: Vec<String> = images
        .iter()
        .filter(|name| speaks_of(name, &BRIGHTFIELD))
        .map(|name| (*name).clone())
        .collect();
    // What is computed, or taken with phase rings, is not meant where brightfield was taken too.
    let plain: Vec<String> = found
        .iter()
        .filter(|name| speaks_of(name, &PLAIN_BRIGHTFIELD))
        .cloned()
        .collect();
    let found = if plain.is_empty() { found } else { plain };
    match found.len() {
        0 if images.len() == 1 => Some(vec![images[0].clone()]),
        0 => None,
        3 => Some(found),
        n => Some(vec![found[(n - 1) / 2].clone()]),
    }
}

/// The channel whose name speaks of a nuclear stain, or the only one.
pub fn guess_nucleus(channels: &[String]) -> Option<usize> {
    if channels.len() == 1 {
        return Some(0);
    }
    channels
        .iter()
        .position(|name| !stainfree_image::looks_like_truth(name) && speaks_of(name, &NUCLEUS))
}

/// Beginnings of the words for brightfield alone.
const PLAIN_BRIGHTFIELD: [&str; 3] = ["brightfield", "bright", "bf"];

/// Beginnings of the words that name a transmitted-light channel.
pub(crate) const BRIGHTFIELD: [&str; 7] = [
    "brightfield",
    "bright",
    "bf",
    "tl",
    "trans",
    "transmitted",
    "phase",
];
/// Beginnings of the words that name a nuclear stain.
pub(crate) const NUCLEUS: [&str; 8] = [
    "hoechst",
    "dapi",
    "nuc",
    "live_nuclei",
    "dna",
    "draq",
    "h2b",
    "syto",
];
/// Beginnings of the words that name a cytoplasmic stain.
pub(crate) const CYTOPLASM: [&str; 6] = ["mito", "cyto", "cellmask", "cellbody", "tubulin", "map2"];

/// Whether a word of `name` begins with one of `words`, or they stand in it without a gap.
pub(crate) fn speaks_of(name: &str, words: &[&str]) -> bool {
    let lower = name.to_lowercase();
    let starts = |word: &&str| {
        lower.split(|c: char| !c.is_alphanumeric()).any(|part| {
            // Short words must be the whole part, but for a number: `bf`, `bf2`, not `bfp`.
            match part.strip_prefix(*word) {
                Some(rest) => word.len() > 2 || rest.chars().all(|c| c.is_ascii_digit()),
                None => false,
            }
        })
    };
    words.iter().any(starts)
        || lower
            .replace([' ', '_', '-'], "")
            .starts_with("brightfield")
            && words.contains(&"brightfield")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(channels: &[(&str, Option<bool>)]) -> Option<(Vec<String>, bool)> {
        let light = channels.iter().filter_map(|(name, light)| {
            let said = (name.to_string(), (*light)?);
            Some(said)
        });
        let dataset = Dataset {
            layout: "files".into(),
            root: "x".into(),
            channels: channels.iter().map(|(name, _)| name.to_string()).collect(),
            transmitted: light.collect(),
            fields: Vec::new(),
            problems: Vec::new(),
        };
        recognise_brightfield(&dataset).map(|found| (found.channels, found.said))
    }

    #[test]
    fn what_files_say_of_the_light_comes_before_names_and_numbers() {
        let found = |names: &[&str], said| {
            let names = names.iter().map(|name| name.to_string()).collect();
            Some((names, said))
        };
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(said(&[("AF488", None)]), found(&["AF488"], false));
        assert_eq!(said(&[("AF488", no)]), None);
        assert_eq!(said(&[("GFP", no), ("C2", None)]), None);
        assert_eq!(said(&[("GFP", no), ("C2", yes)]), found(&["C2"], true));
        // Fluorescence is also written where nobody chose anything.
        assert_eq!(said(&[("GFP", no), ("BF", no)]), found(&["BF"], false));
        assert_eq!(
            said(&[("BF", None), ("T-PMT", yes)]),
            found(&["T-PMT"], true)
        );
        let planes = [("TL1", yes), ("TL2", yes), ("TL3", yes), ("x", no)];
        assert_eq!(said(&planes), found(&["TL1", "TL2", "TL3"], true));
    }
}

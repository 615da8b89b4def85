//! What groups and arrays say of themselves, as JSON.

use serde_json::{Map, Value, json};

use super::super::{OmeTiff, PixelType};
use super::ZarrMore;

/// The version of OME-Zarr that is written.
pub(super) const VERSION: &str = "0.5";

/// Which axes an image has, of time, channel, z, y and x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axes {
    pub(super) time: bool,
    pub(super) channel: bool,
    pub(super) z: bool,
}

impl Axes {
    /// Those of an image; channels are named even where there is one.
    pub(super) fn of(image: &OmeTiff) -> Self {
        Self {
            time: image.times > 1,
            channel: true,
            z: image.planes > 1,
        }
    }

    /// One value for each of the axes, of those for all five.
    pub(super) fn of_five<T>(self, [time, channel, z, y, x]: [T; 5]) -> Vec<T> {
        let kept = [self.time, self.channel, self.z, true, true];
        let all = [time, channel, z, y, x].into_iter().zip(kept);
        all.filter(|(_, kept)| *kept)
            .map(|(value, _)| value)
            .collect()
    }
}

/// A group with these attributes.
pub(super) fn group(attributes: Value) -> Value {
    json!({ "zarr_format": 3, "node_type": "group", "attributes": attributes })
}

/// What OME-Zarr says of a group, below its key.
pub(super) fn ome(said: Value) -> Map<String, Value> {
    let mut ome = Map::new();
    ome.insert("version".into(), VERSION.into());
    if let Value::Object(said) = said {
        ome.extend(said);
    }
    Map::from_iter([("ome".to_string(), Value::Object(ome))])
}

/// An array of chunks that zstd compresses.
pub(super) fn array(
    axes: Axes,
    shape: [usize; 5],
    chunk: (usize, usize),
    pixel_type: PixelType,
) -> Value {
    json!({
        "zarr_format": 3,
        "node_type": "array",
        "shape": axes.of_five(shape),
        "data_type": pixel_type.name(),
        "chunk_grid": {
            "name": "regular",
            "configuration": { "chunk_shape": axes.of_five([1, 1, 1, chunk.0, chunk.1]) },
        },
        "chunk_key_encoding": { "name": "default", "configuration": { "separator": "/" } },
        "fill_value": 0,
        "codecs": [
            { "name": "bytes", "configuration": { "endian": "little" } },
            { "name": "zstd", "configuration": { "level": super::LEVEL, "checksum": false } },
        ],
        "attributes": {},
        "dimension_names": axes.of_five(["t", "c", "z", "y", "x"]),
    })
}

/// What a group says of an image with so many levels.
pub(super) fn multiscales(image: &OmeTiff, axes: Axes, more: &ZarrMore, levels: usize) -> Value {
    let um = image.pixel_um.filter(|um| um.is_finite() && *um > 0.0);
    let z_um = image.z_step_um.filter(|um| um.is_finite() && *um > 0.0);
    let seconds = more.time_step_s.filter(|s| s.is_finite() && *s > 0.0);
    let axis = |name: &str, of: &str, unit: Option<&str>| {
        let mut axis = json!({ "name": name, "type": of });
        if let Some(unit) = unit {
            axis["unit"] = unit.into();
        }
        axis
    };
    let length = |size: Option<f64>| size.map(|_| "micrometer");
    let named = axes.of_five([
        axis("t", "time", seconds.map(|_| "second")),
        axis("c", "channel", None),
        axis("z", "space", length(z_um)),
        axis("y", "space", length(um)),
        axis("x", "space", length(um)),
    ]);
    let of_level = |level: usize| {
        let factor = 2_f64.powi(i32::try_from(level).unwrap_or(0));
        let side = um.unwrap_or(1.0);
        // A pixel of a smaller level has its middle between those that it was made of.
        let moved = side * (factor - 1.0) / 2.0;
        let scale = [
            seconds.unwrap_or(1.0),
            1.0,
            z_um.unwrap_or(1.0),
            side * factor,
            side * factor,
        ];
        let mut steps = vec![json!({ "type": "scale", "scale": axes.of_five(scale) })];
        if level > 0 {
            let place = axes.of_five([0.0, 0.0, 0.0, moved, moved]);
            steps.push(json!({ "type": "translation", "translation": place }));
        }
        json!({ "path": level.to_string(), "coordinateTransformations": steps })
    };
    json!([{
        "name": image.name,
        "axes": named,
        "datasets": (0..levels).map(of_level).collect::<Vec<_>>(),
    }])
}

/// How programs show the channels: their names, colours, and the range of values that they have.
pub(super) fn omero(image: &OmeTiff, ranges: &[Option<[f64; 2]>]) -> Value {
    let channel = |(c, name): (usize, &String)| {
        let [start, end] = ranges.get(c).copied().flatten().unwrap_or([0.0, 1.0]);
        let (min, max) = match image.pixel_type {
            PixelType::U8 => (0.0, f64::from(u8::MAX)),
            PixelType::U16 => (0.0, f64::from(u16::MAX)),
            PixelType::U32 => (0.0, f64::from(u32::MAX)),
            PixelType::F32 => (start, end),
        };
        json!({
            "label": name,
            "color": colour(name, c, image.channels.len()),
            "active": true,
            "window": { "min": min, "max": max, "start": start, "end": end },
        })
    };
    let channels = image.channels.iter().enumerate().map(channel);
    json!({ "channels": channels.collect::<Vec<_>>() })
}

/// The colour in which a channel is shown: that of its light where the name says it.
fn colour(name: &str, c: usize, count: usize) -> &'static str {
    /// Words that a name has in it, and those that stand by themselves: `BF` is no part of `BFP`.
    const KNOWN: [(&[&str], &[&str], &str); 4] = [
        (&["bright", "phase", "trans"], &["bf", "dic"], "FFFFFF"),
        (&["dapi", "hoechst", "bfp", "nuc"], &["405"], "0000FF"),
        (&["fitc", "gfp"], &["488"], "00FF00"),
        (
            &["tritc", "rfp", "cy3", "mcherry"],
            &["561", "568"],
            "FF0000",
        ),
    ];
    const OTHERS: [&str; 4] = ["FF00FF", "00FFFF", "FFFF00", "FF8000"];
    let name = name.to_lowercase();
    let pieces: Vec<&str> = name
        .split(|c: char| !c.is_alphanumeric())
        .flat_map(|word| {
            word.as_bytes()
                .chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit())
        })
        .filter_map(|piece| std::str::from_utf8(piece).ok())
        .collect();
    let known = KNOWN.iter().find(|(within, alone, _)| {
        let has = |word: &&&str| pieces.iter().any(|piece| *piece == **word);
        within.iter().any(|word| name.contains(word)) || alone.iter().any(|word| has(&word))
    });
    match known {
        Some((.., colour)) => colour,
        None if count == 1 => "FFFFFF",
        None => OTHERS[c % OTHERS.len()],
    }
}

#[cfg(test)]
mod tests {
    use super::colour;

    #[test]
    fn short_words_count_by_themselves_only() {
        for (name, expected) in [
            ("BF", "FFFFFF"),
            ("BF1", "FFFFFF"),
            ("c1 bf", "FFFFFF"),
            ("Brightfield", "FFFFFF"),
            ("BFP", "0000FF"),
            ("tagBFP", "0000FF"),
            ("laser405", "0000FF"),
            ("x4051", "FF00FF"),
            ("EGFP", "00FF00"),
            ("Alexa 568", "FF0000"),
            ("\u{e9}t\u{e9}", "FF00FF"),
        ] {
            assert_eq!(colour(name, 0, 2), expected, "{name}");
        }
    }
}

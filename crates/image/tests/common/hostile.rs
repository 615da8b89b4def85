//! What a reader is given that nobody checked: by the fuzz targets in `fuzz/`, and by the test that
//! runs what they have found.

use std::path::{Path, PathBuf};

use stainfree_image::{OpenOptions, Region, open};

/// The readers, by the name of their fuzz target.
pub const READERS: [&str; 12] = [
    "tiff",
    "png",
    "nd2",
    "czi",
    "lif",
    "c01",
    "ndtiff",
    "zarr",
    "harmony",
    "cellvoyager",
    "imagexpress",
    "companion",
];

/// Between the parts of an input that is several files.
pub const SEPARATOR: &[u8] = b"\n--8<--\n";

/// Planes that are read of one input: enough to reach each kind, few enough to be fast.
const MOST_READ: usize = 4;

/// Writes `data` into `folder`, which must be empty, as what `reader` reads; says what to open.
fn laid(reader: &str, folder: &Path, data: &[u8]) -> PathBuf {
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, bytes).expect("written");
        path
    };
    let plane: &[u8] = include_bytes!("../../../../testdata/image/u16-none.tif");
    match reader {
        "harmony" => {
            put("Images/r01c02f01p01-ch1sk1fk1fl1.tiff", plane);
            put("Images/Index.idx.xml", data);
            folder.to_path_buf()
        }
        "cellvoyager" => {
            put("p_B03_T0001F001L01A01Z01C01.tif", plane);
            for (name, part) in ["MeasurementData.mlf", "MeasurementDetail.mrf", "p.mes"]
                .into_iter()
                .zip(parts(data))
            {
                put(name, part);
            }
            folder.to_path_buf()
        }
        "imagexpress" => {
            put("TimePoint_1/p_B02_s1_w1.TIF", plane);
            put("p.HTD", data);
            folder.to_path_buf()
        }
        "ndtiff" => {
            put("p_NDTiffStack.tif", plane);
            put("NDTiff.index", data);
            folder.to_path_buf()
        }
        "companion" => {
            put("a.ome.tif", plane);
            put("a.companion.ome", data)
        }
        "zarr" => {
            // Version 2 and version 3, each with its description of group and array, and a chunk.
            let names = [
                "a.zarr/.zattrs",
                "a.zarr/0/.zarray",
                "a.zarr/0/0/0",
                "a.zarr/zarr.json",
                "a.zarr/0/zarr.json",
                "a.zarr/0/c/0/0",
            ];
            for (name, part) in names.into_iter().zip(parts(data)) {
                if !part.is_empty() {
                    put(name, part);
                }
            }
            folder.join("a.zarr")
        }
        "tiff" => put("a.tif", data),
        ending => put(&format!("a.{ending}"), data),
    }
}

/// An input cut at its separators.
fn parts(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let all = rest?;
        let at = all
            .windows(SEPARATOR.len())
            .position(|part| part == SEPARATOR);
        let (part, after) = match at {
            Some(at) => (&all[..at], Some(&all[at + SEPARATOR.len()..])),
            None => (all, None),
        };
        rest = after;
        Some(part)
    })
}

/// Opens `data` as `reader` does and reads some planes, whole and in part; says whether any could
/// be read. Errors are as good as images; what must not happen is anything else.
pub fn read(reader: &str, folder: &Path, data: &[u8]) -> bool {
    let path = laid(reader, folder, data);
    let Ok(dataset) = open(&path, &OpenOptions::default()) else {
        return false;
    };
    let mut any = false;
    let planes = dataset
        .fields
        .iter()
        .flat_map(|field| field.planes.iter().flatten().flatten());
    for plane in planes.take(MOST_READ) {
        let _ = plane.stamp();
        let corner = Region {
            y: 0,
            x: 0,
            height: 1,
            width: 1,
        };
        let part = plane.read_region(corner);
        if let (Ok(part), Ok(whole)) = (&part, plane.read()) {
            let first = whole.to_f32().get(0, 0).to_bits();
            assert_eq!(
                part.to_f32().get(0, 0).to_bits(),
                first,
                "a part is the whole's"
            );
            any = true;
        }
    }
    any
}

//! `convert` writes what it reads, whole or not at all, and goes on where it was stopped.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{Place, disks, parallel_folders};
use stainfree_image::{Dataset, OpenOptions, Plane, open};

fn opened(path: &Path) -> Dataset {
    open(path, &OpenOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

type Held = BTreeMap<(String, String, usize), (Plane, Option<f64>)>;

/// The planes of all fields, by field, channel and plane, and the pixel sizes.
fn held(path: &Path) -> Held {
    let data = opened(path);
    let mut planes = BTreeMap::new();
    for field in &data.fields {
        for (c, channel) in data.channels.iter().enumerate() {
            for (z, plane) in field.planes[c].iter().enumerate() {
                let Some(plane) = plane else { continue };
                let place = (field.name.clone(), channel.clone(), z);
                planes.insert(place, (plane.read().expect("reads"), field.pixel_um));
            }
        }
    }
    planes
}

/// Both hold the same planes; told without their pixels.
#[track_caller]
fn same(found: &Path, wanted: &Path) {
    let (found, wanted) = (held(found), held(wanted));
    assert!(!wanted.is_empty());
    let said = |planes: &Held| -> Vec<String> {
        let each = planes.iter();
        each.map(|(place, (plane, um))| format!("{place:?} {:?} {um:?}", plane.size()))
            .collect()
    };
    assert_eq!(said(&found), said(&wanted));
    for (place, plane) in &wanted {
        assert!(found[place] == *plane, "{place:?} differs");
    }
}

/// Bytes of all files below a folder.
fn files(folder: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("listed") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => drop(found.insert(path.clone(), std::fs::read(&path).expect("read"))),
        }
    }
    found
}

#[test]
fn images_read_back_as_they_were() {
    let place = Place::new();
    parallel_folders(&place, 3);
    for (to, ending) in [("ome-tiff", "ome.tif"), ("ome-zarr", "ome.zarr")] {
        let convert = ["convert", "images", "--out", to, "--to", to];
        let run = place.ok(&[&convert[..], &["--json", "-"]].concat());
        let said: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
        assert_eq!((&said["images"], &said["skipped"]), (&3.into(), &0.into()));
        assert_eq!(said["files"][2], format!("f2.{ending}"));
        same(&place.path(to), &place.path("images"));

        // Again: nothing is written.
        let before = files(&place.path(to));
        let run = place.ok(&convert);
        assert!(
            run.stdout.contains("3 images, 3 of them done before"),
            "{}",
            run.stdout
        );
        assert!(files(&place.path(to)) == before, "it has written");

        // Another option is refused, and replaces them when that is asked for.
        let other = [&convert[..], &["--pixel-um", "0.7"]].concat();
        let run = place.run(&other);
        assert!(
            run.stderr.contains("holds 3 of 3 results"),
            "{}",
            run.stderr
        );
        assert_eq!(run.code, 1);
        assert!(files(&place.path(to)) == before, "it has written");
        place.ok(&[&other[..], &["--overwrite"]].concat());
        let sizes: Vec<_> = held(&place.path(to))
            .into_values()
            .map(|(_, um)| um)
            .collect();
        assert_eq!(sizes, [Some(0.7); 6]);
        place.ok(&other);
    }
}

#[test]
fn a_plate_is_one_store_and_is_gone_on_with() {
    let place = Place::new();
    let simulate = [
        "simulate", "sim", "--wells", "2", "--sites", "2", "--side", "96",
    ];
    place.ok(&simulate);
    let convert = ["convert", "sim/plate", "--out", "out", "--to", "ome-zarr"];
    place.ok(&convert);
    let stores: Vec<_> = std::fs::read_dir(place.path("out"))
        .expect("listed")
        .collect();
    let stores = stores
        .into_iter()
        .map(|entry| entry.expect("an entry").path());
    let stores: Vec<_> = stores.filter(|path| path.is_dir()).collect();
    let [store] = &stores[..] else {
        panic!("{stores:?}");
    };
    same(store, &place.path("sim/plate"));
    let whole = files(store);

    // As a run leaves it that was killed: without a name, and without one of the images.
    let name = store.file_name().expect("a name").to_string_lossy();
    let part = place.path("out").join(format!(".{name}.part"));
    std::fs::rename(store, &part).expect("renamed");
    let well = opened(&place.path("sim/plate")).fields[0]
        .position
        .well
        .clone()
        .expect("a well");
    let (row, column) = well.split_at(1);
    std::fs::remove_dir_all(part.join(row).join(column).join("1")).expect("removed");
    let run = place.ok(&convert);
    assert!(
        run.stdout.contains("4 images, 3 of them done before"),
        "{}",
        run.stdout
    );
    assert!(files(store) == whole, "it differs");

    // As TIFF, each place has a file.
    place.ok(&["convert", "sim/plate", "--out", "tiff", "--to", "ome-tiff"]);
    assert_eq!(opened(&place.path("tiff")).fields.len(), 4);
}

#[test]
fn what_is_not_ours_stays_and_what_fails_is_told() {
    let place = Place::new();
    std::fs::create_dir(place.path("images")).expect("made");
    for name in ["a", "b"] {
        disks(&place.path(&format!("images/{name}.tif")), 96, 900, 0);
    }
    // Its header is whole, its pixels are not.
    let path = place.path("images/b.tif");
    let whole = std::fs::read(&path).expect("read");
    let damaged = (1..whole.len()).rev().step_by(16).any(|end| {
        let mut bytes = whole.clone();
        bytes[end.saturating_sub(48)..end].fill(0xff);
        std::fs::write(&path, &bytes).expect("written");
        let listed = stainfree_image::read_info(&path).is_ok();
        listed && stainfree_image::read_plane(&path, 0).is_err()
    });
    let convert = ["convert", "images", "--out", "out", "--to", "ome-zarr"];
    let run = place.run(&convert);
    assert!(damaged && run.code != 0, "{}", run.stderr);
    assert!(run.stderr.contains("`b`: "), "{}", run.stderr);
    assert_eq!(opened(&place.path("out")).fields.len(), 1);
    std::fs::write(&path, &whole).expect("written");
    let run = place.ok(&[&convert[..], &["--overwrite"]].concat());
    assert!(
        run.stdout.contains("2 images, 1 of them done before"),
        "{}",
        run.stdout
    );
    std::fs::remove_dir_all(place.path("out")).expect("removed");

    std::fs::create_dir_all(place.path("out/a.ome.zarr")).expect("made");
    std::fs::write(place.path("out/a.ome.zarr/mine"), "mine").expect("written");
    let run = place.run(&[&convert[..], &["--overwrite"]].concat());
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("a.ome.zarr"), "{}", run.stderr);
    assert_eq!(place.text("out/a.ome.zarr/mine"), "mine");
    // Nor are images written among those that are read.
    let run = place.run(&["convert", "images", "--out", "images", "--to", "ome-tiff"]);
    assert_ne!(run.code, 0);
    assert_eq!(
        std::fs::read_dir(place.path("images"))
            .expect("listed")
            .count(),
        2
    );
}

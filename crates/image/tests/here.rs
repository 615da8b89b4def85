//! Paths of one name alone, and `.`, as people type them inside of a folder. A single test, since
//! all of a process stand in one folder.

mod common;

use std::path::Path;

use common::{htd, plane, put, put_plane};
use stainfree_image::{OpenOptions, Pairing, open, open_files, write};

#[test]
fn bare_names_mean_the_folder_one_stands_in() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let here = |name: &str| place.path().join(name);
    put(&here("p1"), "p.HTD", htd(1, 0, 1, &["BF"]).as_bytes());
    put_plane(&here("p1"), "p_B02_s1_w1.tif", 1, "");
    put_plane(&here("images"), "a.tif", 1, "");
    put_plane(&here("images"), "b.tif", 2, "");
    put(&here("images"), "fields.csv", b"file,pixel_um\na.tif,0.5\n");
    let default = OpenOptions::default();

    std::env::set_current_dir(here("p1")).expect("a folder");
    let plate = open(&here("p1"), &default).expect("opens");
    for path in ["p.HTD", "."] {
        let data = open(Path::new(path), &default).expect("opens");
        assert_eq!(data.fields.len(), 1, "{path}: {:#?}", data.problems);
        assert_eq!(
            data.fields[0].position.plate, plate.fields[0].position.plate,
            "{path}"
        );
        assert_eq!(data.fields[0].name, "B02_s1", "{path}");
    }

    std::env::set_current_dir(here("images")).expect("a folder");
    let alone = open(Path::new("a.tif"), &default).expect("opens");
    let both = open_files(&["a.tif".into(), "b.tif".into()], &default).expect("opens");
    for data in [&alone, &both] {
        assert_eq!(data.channels, ["images"]);
        assert_eq!(data.fields[0].pixel_um, Some(0.5));
    }
    write::plane_u16(Path::new("a_mask.tif"), &plane(3), &Default::default()).expect("written");
    // The images are known as such, whatever their folder is called.
    let pairing = Pairing::of(Path::new("."), &both).expect("matches");
    assert_eq!(pairing.files.len(), 1);
    assert!(pairing.strangers.is_empty());
}

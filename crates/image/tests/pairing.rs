//! Truth finds its field by name, and its page by plane and frame.

mod common;

use std::path::Path;

use common::{plane, put, put_plane, stack};
use stainfree_image::{
    Dataset, ImageError, OpenOptions, Pairing, PlaneAt, open, read_class_mask, read_labels,
};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn read(path: &Path) -> Dataset {
    open(path, &OpenOptions::default()).expect("opens")
}

/// `FIELD -> FILE` of all fields with truth.
fn matched(pairing: &Pairing) -> Vec<String> {
    let line = |(field, truth): (&String, &stainfree_image::TruthOf)| {
        let file = truth.path.file_name().expect("a name").to_string_lossy();
        format!("{field} -> {file}")
    };
    pairing.files.iter().map(line).collect()
}

#[test]
fn files_of_all_programs_find_their_field() {
    let place = folder();
    for name in ["W0", "W1", "Zellk\u{f6}rper"] {
        put_plane(place.path(), &format!("img/{name}.tif"), 1, "");
    }
    let data = read(&place.path().join("img"));
    for name in [
        "W1.tif",
        "W1_cp_masks.tif",
        "W1_cp_masks.png",
        "W1-labels.tif",
        "W1-mask.tif",
        "W1.labels.tif",
        "W1_label.tif",
        "W1_gt.tif",
        "W1_segmentation.TIFF",
        "W1_instances.tif",
        "Labels of W1.tif",
        "w1_MASKS.TIF",
        "W1.ome_cp_masks.tif",
        "mask_W1.tif",
        "W1_nuclei.tif",
    ] {
        let labels = place.path().join("lab");
        put(&labels, name, b"");
        let pairing = Pairing::of(&labels, &data).expect("matches");
        assert_eq!(matched(&pairing), [format!("W1 -> {name}")]);
        assert!(pairing.strangers.is_empty());
        std::fs::remove_dir_all(&labels).expect("removed");
    }
    // The letter with its dots apart.
    put(place.path(), "lab/Zellko\u{308}rper_masks.tif", b"");
    put(place.path(), "lab/W10_masks.tif", b"");
    let pairing = Pairing::of(&place.path().join("lab"), &data).expect("matches");
    assert_eq!(
        matched(&pairing),
        ["Zellk\u{f6}rper -> Zellko\u{308}rper_masks.tif"]
    );
    assert_eq!(pairing.stranger_names(), ["W10_masks.tif"]);
}

#[test]
fn truth_beside_the_images_is_told_from_them() {
    let place = folder();
    for name in ["W0", "W1", "set_bf", "set_dapi", "label_free"] {
        put_plane(place.path(), &format!("{name}.tif"), 1, "");
    }
    for name in ["W0_cp_masks", "Labels of W1", "set_dapi_gt"] {
        put_plane(place.path(), &format!("{name}.tif"), 2, "");
    }
    put_plane(place.path(), "W7_masks.tif", 2, "");
    let data = read(place.path());
    let names: Vec<_> = data.fields.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["W0", "W1", "label_free", "set"]);
    assert!(
        data.problems
            .iter()
            .any(|line| line.starts_with("`W7_masks.tif`: named as truth")),
        "{:#?}",
        data.problems
    );
    let pairing = Pairing::of(place.path(), &data).expect("matches");
    assert_eq!(
        matched(&pairing),
        [
            "W0 -> W0_cp_masks.tif",
            "W1 -> Labels of W1.tif",
            "set -> set_dapi_gt.tif"
        ]
    );
    assert_eq!(pairing.stranger_names(), ["W7_masks.tif"]);
}

#[test]
fn two_truths_of_one_field_are_both_named() {
    let place = folder();
    put_plane(place.path(), "img/a\u{308}.tif", 1, "");
    let data = read(&place.path().join("img"));
    let labels = place.path().join("lab");
    put(&labels, "\u{e4}_gt.tif", b"");
    put(&labels, "a\u{308}_gt.tif", b"");
    let error = Pairing::of(&labels, &data).expect_err("two").to_string();
    assert!(error.contains("both the truth of"), "{error}");
    assert!(error.contains("`\\u{e4}_gt`"), "{error}");
    assert!(error.contains("`a\\u{308}_gt`"), "{error}");
}

#[test]
fn names_that_fit_nothing_are_answered_with_those_that_would() {
    let place = folder();
    put_plane(place.path(), "img/a.tif", 1, "");
    put(place.path(), "lab/q_cp_masks.tif", b"");
    let data = read(&place.path().join("img"));
    let labels = place.path().join("lab");
    let pairing = Pairing::of(&labels, &data).expect("lists");
    let error = pairing.refuse_empty(&labels, &data).expect_err("none");
    let text = error.to_string();
    for part in ["`q_cp_masks.tif`", "a field: `a`", "`_cp_masks`", "rename"] {
        assert!(text.contains(part), "{text}");
    }
    // The images themselves are no truth of themselves.
    let images = place.path().join("img");
    let pairing = Pairing::of(&images, &data).expect("lists");
    assert!(pairing.refuse_empty(&images, &data).is_err());
}

#[test]
fn a_page_of_labels_belongs_to_its_plane_and_frame_or_is_refused() {
    let place = folder();
    let pages = |numbers: &[u16], text: &str| {
        let planes: Vec<_> = numbers.iter().map(|&number| plane(number)).collect();
        stack(&planes, text)
    };
    let slices = "ImageJ=1.53\nimages=3\nslices=3\n";
    let frames = "ImageJ=1.53\nimages=2\nframes=2\n";
    let channels = "ImageJ=1.53\nimages=2\nchannels=2\nmode=composite\n";
    put(place.path(), "img/stack.tif", &pages(&[1, 2, 3], slices));
    put(place.path(), "img/movie.tif", &pages(&[1, 2], frames));
    put_plane(place.path(), "img/flat.tif", 1, "");
    let data = read(&place.path().join("img"));
    let labels = place.path().join("lab");
    let first = |field: &str, at: PlaneAt| -> Result<u32, ImageError> {
        let pairing = Pairing::of(&labels, &data)?;
        Ok(pairing.files[field].labels(at)?.get(0, 0) / 100)
    };
    let z = |z| PlaneAt { z, depth: 3 };
    // Stacks: with and without a description, and with the other name of the axis.
    for text in [slices, "", "ImageJ=1.53\nimages=3\nframes=3\n"] {
        put(&labels, "stack.tif", &pages(&[4, 5, 6], text));
        assert_eq!(first("stack", z(1)).expect("a page"), 5, "{text}");
    }
    put(&labels, "movie.tif", &pages(&[7, 8], frames));
    assert_eq!(first("movie_t002", PlaneAt::ONLY).expect("a page"), 8);
    put(&labels, "movie.tif", &pages(&[7, 8], ""));
    assert_eq!(first("movie_t001", PlaneAt::ONLY).expect("a page"), 7);
    // One label image for all planes.
    put(&labels, "stack.tif", &pages(&[9], ""));
    assert_eq!(first("stack", z(2)).expect("a page"), 9);

    let refused = |field: &str, at: PlaneAt, wanted: &str| {
        let error = first(field, at).expect_err("refused").to_string();
        assert!(error.contains(wanted), "{error}");
    };
    put(&labels, "stack.tif", &pages(&[4, 5], ""));
    refused("stack", z(1), "it has 2 pages, and its image has 3 planes");
    put(&labels, "movie.tif", &pages(&[7, 8, 9], ""));
    refused("movie_t001", PlaneAt::ONLY, "its image has 2 frames");
    put(&labels, "movie.tif", &pages(&[7], ""));
    refused("movie_t001", PlaneAt::ONLY, "it has one page");
    put(&labels, "flat.tif", &pages(&[7, 8], ""));
    refused("flat", PlaneAt::ONLY, "its image has one plane");
    put(&labels, "flat.tif", &pages(&[7, 8], channels));
    refused("flat", PlaneAt::ONLY, "it has 2 channels");
    let image = |page: usize| {
        format!(
            "<Image><Pixels DimensionOrder=\"XYZCT\" SizeZ=\"1\" SizeC=\"1\" SizeT=\"1\">\
             <TiffData IFD=\"{page}\"/></Pixels></Image>"
        )
    };
    let positions = format!("<OME>{}{}</OME>", image(0), image(1));
    put(&labels, "flat.tif", &pages(&[7, 8], &positions));
    refused("flat", PlaneAt::ONLY, "it has 2 images, such as positions");
    // Without a field there is nothing that a second page could be of.
    assert!(read_labels(&labels.join("flat.tif")).is_err());
    assert!(read_class_mask(&labels.join("flat.tif")).is_err());
}

#[test]
fn a_movie_of_labels_belongs_to_frames_in_files_too() {
    let place = folder();
    for t in [3, 4] {
        put_plane(place.path(), &format!("img/a_t00{t}.tif"), t, "");
    }
    let data = read(&place.path().join("img"));
    put(
        place.path(),
        "lab/a_masks.tif",
        &stack(&[plane(7), plane(8)], ""),
    );
    let pairing = Pairing::of(&place.path().join("lab"), &data).expect("matches");
    let labels = pairing.files["a_t004"].labels(PlaneAt::ONLY);
    assert_eq!(labels.expect("a page").get(0, 0) / 100, 8);
}

#[test]
fn tables_and_folders_know_both_forms_of_a_letter() {
    let place = folder();
    put_plane(place.path(), "bf/\u{e4}.tif", 1, "");
    put_plane(place.path(), "nuc/a\u{308}.tif", 2, "");
    put_plane(place.path(), "gt/\u{e4}_cp_masks.tif", 2, "");
    let table = "name;Pixel size [\u{b5}m]\na\u{308};0,65\n";
    put(place.path(), "fields.csv", table.as_bytes());
    let data = read(place.path());
    assert_eq!(data.fields.len(), 1, "{:#?}", data.problems);
    assert_eq!(data.channels, ["bf", "gt", "nuc"]);
    assert_eq!(data.fields[0].pixel_um, Some(0.65));
    assert_eq!(data.fields[0].name, "\u{e4}");
    // Without quotes a decimal comma makes two cells of one.
    put(
        place.path(),
        "fields.csv",
        b"name,pixel_um\n\xc3\xa4,0,65\n",
    );
    let data = read(place.path());
    assert_eq!(data.fields[0].pixel_um, None);
    assert!(
        data.problems
            .iter()
            .any(|line| line.contains("cells under 2 titles"))
    );
}

#[test]
fn truth_in_folders_of_places_finds_its_field() {
    let place = folder();
    for set in ["set1", "set2", "set10"] {
        put_plane(place.path(), &format!("img/{set}/raw.tif"), 1, "");
        put_plane(place.path(), &format!("img/{set}/nuclei.tif"), 1, "");
        put_plane(place.path(), &format!("img/{set}/instances_ids.tif"), 2, "");
    }
    let data = read(&place.path().join("img"));
    let inside = |pairing: &Pairing| -> Vec<String> {
        let files = pairing.files.iter();
        let line = |(field, truth): (&String, &stainfree_image::TruthOf)| {
            let names: Vec<_> = truth
                .path
                .iter()
                .map(|name| name.to_string_lossy())
                .collect();
            format!("{field} -> {}", names[names.len() - 2..].join("/"))
        };
        files.map(line).collect()
    };
    let all = |name: &str| ["set1", "set10", "set2"].map(|set| format!("{set} -> {set}/{name}"));
    // Beside the images, by what its name says; a stain of nuclei is none.
    let pairing = Pairing::of(&place.path().join("img"), &data).expect("matches");
    assert_eq!(inside(&pairing), all("instances_ids.tif"));
    assert!(pairing.strangers.is_empty());
    // In folders of its own: alone, or among other files.
    for set in ["set1", "set2", "set10"] {
        put(place.path(), &format!("drawn/{set}/by_hand.png"), b"");
        put(place.path(), &format!("several/{set}/masks.png"), b"");
        put(place.path(), &format!("several/{set}/sketch.png"), b"");
    }
    put(place.path(), "drawn/set7/by_hand.png", b"");
    let pairing = Pairing::of(&place.path().join("drawn"), &data).expect("matches");
    assert_eq!(inside(&pairing), all("by_hand.png"));
    assert_eq!(pairing.stranger_names(), ["by_hand.png"]);
    let pairing = Pairing::of(&place.path().join("several"), &data).expect("matches");
    assert_eq!(inside(&pairing), all("masks.png"));
    assert_eq!(
        pairing.stranger_names(),
        ["set1/sketch.png", "set2/sketch.png", "set10/sketch.png"]
    );
    put(place.path(), "several/set2/labels.png", b"");
    let error = Pairing::of(&place.path().join("several"), &data).expect_err("two");
    assert!(
        error.to_string().contains("both the truth of `set2`"),
        "{error}"
    );
}

#[test]
fn truth_in_folders_as_the_images_have_them_finds_its_field() {
    let place = folder();
    for (well, site) in [("B02", "s1"), ("B02", "s2"), ("C03", "s1")] {
        put_plane(place.path(), &format!("img/{well}/{site}_bf.tif"), 1, "");
        put_plane(place.path(), &format!("img/{well}/{site}_dapi.tif"), 1, "");
        put(place.path(), &format!("lab/{well}/{site}_labels.tif"), b"");
    }
    let data = read(&place.path().join("img"));
    let pairing = Pairing::of(&place.path().join("lab"), &data).expect("matches");
    let files: Vec<_> = pairing
        .files
        .iter()
        .map(|(field, truth)| (field, &truth.path))
        .collect();
    let lab = |file: &str| place.path().join("lab").join(file);
    assert_eq!(
        files,
        [
            (&"B02_s1".to_string(), &lab("B02/s1_labels.tif")),
            (&"B02_s2".to_string(), &lab("B02/s2_labels.tif")),
            (&"C03_s1".to_string(), &lab("C03/s1_labels.tif")),
        ]
    );
    // Folders that are channels are none of places, whatever their names begin with.
    for name in ["a", "b"] {
        put_plane(place.path(), &format!("par/bf/{name}.tif"), 1, "");
        put_plane(place.path(), &format!("par/masks/{name}.tif"), 2, "");
    }
    let data = read(&place.path().join("par"));
    let error = Pairing::of(&place.path().join("par"), &data).expect_err("no images");
    assert!(matches!(error, ImageError::NoImages { .. }), "{error}");
}

//! Plates whose files say in their names what they are: Incucyte, Gen5. All are simulated.

mod common;

use std::path::Path;

use common::tiff::{Page, write};
use common::{first_pixel, plane, put_plane, stack};
use stainfree_image::{Dataset, Image, OpenOptions, open};

fn opened(path: &Path) -> Dataset {
    open(path, &OpenOptions::default()).expect("opens")
}

fn names(data: &Dataset) -> Vec<&str> {
    data.fields
        .iter()
        .map(|field| field.name.as_str())
        .collect()
}

fn first(data: &Dataset, field: usize, channel: usize) -> f32 {
    first_pixel(&data.fields[field].read(channel, 0).expect("a plane"))
}

fn made() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn incucyte_exports_have_their_channel_in_the_folder_or_before_the_well() {
    let folder = made();
    let times = ["00d00h00m", "00d23h56m", "10d00h00m"];
    for (t, time) in times.iter().enumerate() {
        for (c, channel) in ["phase", "red"].iter().enumerate() {
            let number = (10 * t + c) as u16;
            put_plane(
                folder.path(),
                &format!("{channel}/VID1630_C4_2_{time}.tif"),
                number,
                "",
            );
        }
    }
    put_plane(folder.path(), "phase/VID1630_C12_2_00d23h56m.tif", 99, "");
    put_plane(
        folder.path(),
        "phase/VID1630_C12_2_00d23h56m_labels.tif",
        99,
        "",
    );
    let data = opened(folder.path());
    assert_eq!(data.layout, "incucyte");
    assert_eq!(data.channels, ["phase", "red"]);
    let wanted = ["C04_s2_t001", "C04_s2_t002", "C04_s2_t003", "C12_s2_t002"];
    assert_eq!(names(&data), wanted);
    assert_eq!((first(&data, 1, 0), first(&data, 2, 1)), (1000.0, 2100.0));
    let position = &data.fields[0].position;
    assert_eq!(position.plate.as_deref(), Some("VID1630"));
    assert_eq!(
        (position.well.as_deref(), position.site),
        (Some("C04"), Some(2))
    );

    // Groups of wells are no channels.
    let folder = made();
    for (k, name) in [
        "DMSO r1/CA1_Phase_B9_1",
        "DMSO r1/CA1_green_B9_1",
        "drug/CA1_Phase_B10_1",
    ]
    .iter()
    .enumerate()
    {
        let path = format!("{name}_2026y10m05d_14h30m.tif");
        put_plane(folder.path(), &path, k as u16, "");
    }
    let data = opened(folder.path());
    assert_eq!(
        (data.channels.len(), names(&data)),
        (2, vec!["B09_s1", "B10_s1"])
    );
    assert_eq!(data.channels, ["Phase", "green"]);
}

#[test]
fn images_with_other_names_are_no_incucyte_export() {
    let folder = made();
    put_plane(folder.path(), "VID1630_C4_2_00d00h00m.tif", 1, "");
    put_plane(folder.path(), "crop.tif", 2, "");
    assert_eq!(opened(folder.path()).layout, "folder");
}

#[test]
fn an_incucyte_archive_is_sorted_by_vessel_and_scan_and_pyramids_are_one_page() {
    let folder = made();
    let scans = "EssenFiles/ScanData";
    // Smaller pages are copies of the first one.
    let pyramid = |number| {
        let small = Image::filled(2, 3, 7_u16);
        stack(&[plane(number), small], "")
    };
    for (k, scan) in ["2301/31/2300", "2302/01/0100"].iter().enumerate() {
        for (c, channel) in ["Ph", "C1"].iter().enumerate() {
            let number = (10 * k + c) as u16;
            let name = format!("{scans}/{scan}/700/A1-1-{channel}.tif");
            common::put(folder.path(), &name, &pyramid(number));
        }
    }
    put_plane(
        folder.path(),
        &format!("{scans}/2302/01/0100/701/A1-1-Ph.tif"),
        50,
        "",
    );
    put_plane(
        folder.path(),
        &format!("{scans}/2302/01/0100/701/notes.tif"),
        50,
        "",
    );
    for path in [
        folder.path().to_path_buf(),
        folder.path().join("EssenFiles"),
    ] {
        let data = opened(&path);
        assert_eq!(data.layout, "incucyte-archive");
        assert_eq!(
            names(&data),
            ["700_A01_s1_t001", "700_A01_s1_t002", "701_A01_s1"]
        );
        assert_eq!(data.channels, ["C1", "Ph"]);
        assert_eq!(data.said_to_be(true), ["Ph"]);
        assert_eq!((first(&data, 1, 1), first(&data, 2, 1)), (1000.0, 5000.0));
        let told = "1 images of the archive have names that are not known, and are left out";
        assert!(
            data.problems.iter().any(|line| line == told),
            "{:?}",
            data.problems
        );
        assert!(
            !data
                .problems
                .iter()
                .any(|line| line.contains("several pages"))
        );
    }
}

/// An image of 4 x 6 pixels with the description that Gen5 writes.
fn described(folder: &Path, name: &str, width_um: f64) {
    let text = format!(
        "<BTIImageMetaData><ImageAcquisition><PixelWidth>6</PixelWidth>\
         <ImageWidthMicrons>{width_um}</ImageWidthMicrons></ImageAcquisition></BTIImageMetaData>"
    );
    let page = Page::grey(4, 6, 8, vec![7; 24]).text(&text);
    write(&folder.join(name), false, &[page], &[]);
}

#[test]
fn gen5_files_are_told_by_well_step_field_channel_and_time() {
    let folder = made();
    for (k, name) in [
        "B3_02_1_1_Bright Field_001",
        "B3_02_1_2_Bright Field_001",
        "B3_02_2_2_DAPI 377,447_001",
        "B10_02_1_1_Bright_Field_002",
    ]
    .iter()
    .enumerate()
    {
        put_plane(folder.path(), &format!("{name}.tif"), k as u16, "");
    }
    let data = opened(folder.path());
    assert_eq!(data.layout, "gen5");
    assert_eq!(data.channels, ["Bright Field", "DAPI 377,447"]);
    assert_eq!(names(&data), ["B03_s1_t001", "B03_s2_t001", "B10_s1_t002"]);
    assert_eq!((first(&data, 1, 0), first(&data, 1, 1)), (100.0, 200.0));

    // Steps of a protocol show the same places in another way.
    let folder = made();
    described(folder.path(), "B3_02_1_1_Bright Field_001.tif", 12.0);
    described(folder.path(), "B3_03_1_1_Bright Field_001.tif", 3.0);
    let data = opened(folder.path());
    assert_eq!(names(&data), ["step2_B03_s1", "step3_B03_s1"]);
    let sizes: Vec<_> = data.fields.iter().map(|field| field.pixel_um).collect();
    assert_eq!(sizes, [Some(2.0), Some(0.5)]);
    assert_eq!(data.fields[0].position.name, data.fields[1].position.name);
    // The same place, channel and time twice.
    described(folder.path(), "B3_03_2_1_Bright Field_001.tif", 3.0);
    let data = opened(folder.path());
    assert_eq!(names(&data), ["step2_B03_s1"]);
    let told = "are files of one place, time and channel, so none of them is used";
    assert!(
        data.problems.iter().any(|line| line.contains(told)),
        "{:?}",
        data.problems
    );
}

#[test]
fn folders_of_other_names_are_channels_where_they_hold_the_same_places() {
    let folder = made();
    for (k, channel) in ["phase", "annexin", "cytotox"].iter().enumerate() {
        for well in ["B2", "B3"] {
            let name = format!("{channel}/VID7_{well}_1_00d00h00m.tif");
            put_plane(folder.path(), &name, k as u16, "");
        }
    }
    let data = opened(folder.path());
    assert_eq!(data.layout, "incucyte");
    assert_eq!(data.channels, ["annexin", "cytotox", "phase"]);
    assert_eq!(names(&data), ["B02_s1", "B03_s1"]);
    assert_eq!(
        (first(&data, 0, 0), first(&data, 1, 1), first(&data, 0, 2)),
        (100.0, 200.0, 0.0)
    );
    assert!(data.problems.is_empty(), "{:?}", data.problems);
}

#[test]
fn a_folder_called_as_the_archives_is_none_without_vessels() {
    let folder = made();
    for name in ["one.tif", "two.tif"] {
        put_plane(folder.path(), &format!("ScanData/{name}"), 1, "");
    }
    for path in [folder.path().to_path_buf(), folder.path().join("ScanData")] {
        let data = opened(&path);
        assert_eq!((data.fields.len(), names(&data)), (2, vec!["one", "two"]));
    }
}

#[test]
fn a_table_gives_pixel_sizes_to_plates_and_a_row_may_name_a_place() {
    let folder = made();
    let htd = common::htd(1, 0, 1, &["TL"]);
    common::put(folder.path(), "p.HTD", htd.as_bytes());
    put_plane(folder.path(), "p_B02_s1_w1.tif", 1, "");
    let table = b"name,drug,pixel_um\nB02_s1,taxol,0.5\n";
    common::put(folder.path(), "fields.csv", table);
    let data = opened(folder.path());
    assert_eq!(data.layout, "imagexpress");
    assert_eq!(data.fields[0].pixel_um, Some(0.5));
    assert_eq!(data.fields[0].metadata["drug"], "taxol");

    let folder = made();
    let image = common::harmony_image("1.tif", [2, 2, 1], "<ChannelID>1</ChannelID>");
    let index = common::harmony_index("", &[image]);
    common::put(folder.path(), "Images/Index.idx.xml", index.as_bytes());
    put_plane(folder.path(), "Images/1.tif", 1, "");
    let before = opened(folder.path());
    let um = before.fields[0].pixel_um.unwrap_or(0.5);
    let table = format!("name,drug,pixel_um\nB02_s1,taxol,{um}\n");
    common::put(folder.path(), "Images/fields.csv", table.as_bytes());
    let data = opened(folder.path());
    assert_eq!(data.layout, "harmony");
    assert_eq!(data.fields[0].pixel_um, Some(um));
    assert_eq!(data.fields[0].metadata["drug"], "taxol");

    let folder = made();
    for time in ["00d00h00m", "00d01h00m"] {
        put_plane(folder.path(), &format!("V_B2_1_{time}.tif"), 1, "");
    }
    common::put(folder.path(), "fields.csv", b"name,drug\nB02_s1,taxol\n");
    let data = opened(folder.path());
    assert_eq!(names(&data), ["B02_s1_t001", "B02_s1_t002"]);
    assert!(data.fields.iter().all(|f| f.metadata["drug"] == "taxol"));
}

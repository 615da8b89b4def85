//! Plates whose images an index lists: Harmony and CellVoyager.

mod common;

use std::path::{Path, PathBuf};

use common::{
    cellvoyager_index, first_pixel, harmony_image, harmony_index, put, put_plane, real_sets,
};
use stainfree_image::{Dataset, OpenOptions, open, summarise};

fn opened(path: &Path) -> Dataset {
    open(path, &OpenOptions::default()).expect("opens")
}

fn refused(path: &Path) -> String {
    let error = open(path, &OpenOptions::default()).expect_err("refused");
    error.to_string()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// `[plane, time, channel]` and what version 5 says of a channel, in an image.
fn v5([plane, time, channel]: [u32; 3], name: &str) -> String {
    format!(
        "<PlaneID>{plane}</PlaneID><TimepointID>{time}</TimepointID>\
         <ChannelID>{channel}</ChannelID>\
         <ChannelName>{name}</ChannelName>\
         <ImageResolutionX Unit=\"m\">6.5E-07</ImageResolutionX>\
         <ImageResolutionY Unit=\"m\">6.5E-07</ImageResolutionY>\
         <ImageSizeX>6</ImageSizeX><ImageSizeY>4</ImageSizeY>\
         <PositionX Unit=\"m\">-0.0001</PositionX><PositionY Unit=\"m\">0.0002</PositionY>"
    )
}

/// Two sites of B03: brightfield at planes 2, 4 and 6, a stain at one.
fn harmony_plate(folder: &Path) -> PathBuf {
    let mut images = Vec::new();
    for site in 1..=2 {
        for plane in [2, 4, 6] {
            let file = format!("r02c03f0{site}p0{plane}-ch2sk1fk1fl1.tiff");
            images.push(harmony_image(
                &file,
                [2, 3, site],
                &v5([plane, 0, 2], "Brightfield"),
            ));
            put_plane(
                folder,
                &format!("images/{file}"),
                (10 * site + plane) as u16,
                "",
            );
        }
        let file = format!("r02c03f0{site}p02-ch1sk1fk1fl1.tiff");
        images.push(harmony_image(
            &file,
            [2, 3, site],
            &v5([2, 0, 1], "Hoechst"),
        ));
        put_plane(folder, &format!("images/{file}"), (site * 50) as u16, "");
    }
    put(
        folder,
        "images/Index.idx.xml",
        harmony_index("", &images).as_bytes(),
    );
    folder.to_path_buf()
}

#[test]
fn planes_are_those_of_their_channel_and_places_point_down() {
    let made = folder();
    for path in [
        harmony_plate(made.path()),
        made.path().join("images"),
        made.path().join("images/Index.idx.xml"),
    ] {
        let data = opened(&path);
        assert_eq!(data.layout, "harmony");
        assert_eq!(data.channels, ["Hoechst", "Brightfield"]);
        assert!(data.problems.is_empty(), "{:?}", data.problems);
        let names: Vec<&str> = data.fields.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["B03_s1", "B03_s2"]);
        let field = &data.fields[1];
        assert_eq!(
            field.planes.iter().map(Vec::len).collect::<Vec<_>>(),
            [1, 3]
        );
        assert_eq!(field.pixel_um, Some(0.65));
        assert_eq!(
            (field.time, field.position.plate.as_deref()),
            (None, Some("plate 7"))
        );
        assert_eq!(first_pixel(&field.read(1, 2).expect("a plane")), 2600.0);
        assert_eq!(
            (
                field.metadata["x_um"].as_str(),
                field.metadata["y_um"].as_str()
            ),
            ("-100", "-200")
        );
    }
}

#[test]
fn channels_of_version_7_are_joined_from_its_maps() {
    let made = folder();
    let maps = "<Map><Entry ChannelID=\"2\"><FlatfieldProfile>{}</FlatfieldProfile></Entry>\
                </Map><Map><Entry ChannelID=\"2\"><ChannelName>B&amp;F</ChannelName>\
                <ImageSizeX>6</ImageSizeX><ImageSizeY>4</ImageSizeY></Entry><Entry ChannelID=\"1\">\
                <ChannelName>DAPI</ChannelName>\
                <ImageResolutionX Unit=\"m\">3E-07</ImageResolutionX>\
                <ImageResolutionY Unit=\"m\">3E-07</ImageResolutionY></Entry></Map>";
    let mut images = Vec::new();
    for channel in 1..=2 {
        for time in 1..=2 {
            let file = format!("r01c01f001p01-ch{channel}sk{time}fk1fl1.tiff");
            let more = format!("<TimepointID>{time}</TimepointID><ChannelID>{channel}</ChannelID>");
            images.push(harmony_image(&file, [1, 1, 1], &more));
            put_plane(made.path(), &file, (10 * channel + time) as u16, "");
        }
    }
    put(
        made.path(),
        "Index.xml",
        harmony_index(maps, &images).as_bytes(),
    );
    let data = opened(made.path());
    assert_eq!(data.channels, ["DAPI", "B&F"]);
    let names: Vec<&str> = data.fields.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["A01_s1_t001", "A01_s1_t002"]);
    assert_eq!(data.fields[0].pixel_um, Some(0.3));
    assert_eq!(
        first_pixel(&data.fields[1].read(1, 0).expect("a plane")),
        2200.0
    );
}

#[test]
fn what_is_listed_and_not_there_is_told() {
    let made = folder();
    let plate = harmony_plate(made.path());
    let gone = "images/r02c03f02p04-ch2sk1fk1fl1.tiff";
    std::fs::remove_file(plate.join(gone)).expect("removed");
    put_plane(&plate, "images/other.tiff", 1, "");
    let data = opened(&plate);
    let said = data.problems.join("\n");
    for wanted in [
        "1 of 8 images listed in `Index.idx.xml` are not there: `r02c03f02p04-ch2sk1fk1fl1.tiff`",
        "1 images are not listed in `Index.idx.xml` and left out: `other.tiff`",
        "channel `Brightfield` misses some planes in 1 of 2 fields: `B03_s2`",
    ] {
        assert!(said.contains(wanted), "no `{wanted}` in {said}");
    }
    // The plane after the gap stays where it was.
    assert_eq!(
        first_pixel(&data.fields[1].read(1, 2).expect("a plane")),
        2600.0
    );
    assert!(data.fields[1].read(1, 1).is_err());

    for entry in std::fs::read_dir(plate.join("images"))
        .expect("lists")
        .flatten()
    {
        if entry.path().extension().is_some_and(|e| e == "tiff") {
            std::fs::remove_file(entry.path()).expect("removed");
        }
    }
    let said = refused(&plate);
    assert!(
        said.contains(
            "`Index.idx.xml` lists 8 images (wells `B03`; 2 sites, 1 time, 3 planes; channels \
             `Hoechst`, `Brightfield`), and none of them is there"
        ),
        "{said}"
    );
}

#[test]
fn a_damaged_index_is_an_error_and_names_of_other_folders_are_not_followed() {
    let made = folder();
    let plate = harmony_plate(made.path());
    let index = plate.join("images/Index.idx.xml");
    let text = std::fs::read_to_string(&index).expect("reads");
    std::fs::write(&index, &text[..text.len() / 2]).expect("written");
    let said = refused(&plate);
    assert!(said.contains("Index.idx.xml` is broken"), "{said}");

    put_plane(made.path(), "secret.tiff", 1, "");
    let images: Vec<String> = ["../secret.tiff", "..\\secret.tiff", "", "a.tiff"]
        .iter()
        .map(|file| harmony_image(file, [1, 1, 1], &v5([1, 0, 1], "BF")))
        .collect();
    put_plane(&plate, "images/a.tiff", 1, "");
    std::fs::write(&index, harmony_index("", &images)).expect("written");
    let data = opened(&plate);
    let said = data.problems.join("\n");
    assert!(
        said.contains("3 images that `Index.idx.xml` lists without a usable file name"),
        "{said}"
    );
    assert_eq!(data.fields.len(), 1);
}

#[test]
fn sizes_that_the_images_contradict_are_those_of_the_images() {
    let made = folder();
    let more = v5([1, 0, 1], "BF").replace("<ImageSizeX>6<", "<ImageSizeX>2160<");
    put_plane(made.path(), "a.tiff", 1, "");
    let index = harmony_index("", &[harmony_image("a.tiff", [1, 1, 1], &more)]);
    put(made.path(), "Index.idx.xml", index.as_bytes());
    let data = opened(made.path());
    assert_eq!((data.fields[0].height, data.fields[0].width), (4, 6));
    assert!(
        data.problems[0].contains("states images of 4 x 2160"),
        "{:?}",
        data.problems
    );
    assert!(data.fields[0].read(0, 0).is_ok());
}

#[test]
fn folders_with_an_index_each_are_plates_of_one_data_set() {
    let made = folder();
    for plate in ["first", "second"] {
        harmony_plate(&made.path().join(plate));
    }
    put(
        made.path(),
        "third/Index.idx.xml",
        b"<EvaluationInputData><Images>",
    );
    put_plane(made.path(), "old exports/a.tif", 1, "");
    let data = opened(made.path());
    let names: Vec<&str> = data.fields.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "first_B03_s1",
            "first_B03_s2",
            "second_B03_s1",
            "second_B03_s2"
        ]
    );
    let said = data.problems.join("\n");
    assert!(said.contains("plate `third` is left out"), "{said}");
    assert!(
        said.contains("folders without an index, left out") && said.contains("`old exports`"),
        "{said}"
    );
}

#[test]
fn images_beside_a_plate_are_a_data_set_of_their_own() {
    let made = folder();
    harmony_plate(&made.path().join("plate"));
    for name in ["a_bf.tif", "a_dapi.tif"] {
        put_plane(made.path(), name, 1, "");
    }
    let data = opened(made.path());
    assert_eq!((data.layout.as_str(), data.channels.len()), ("folder", 2));
}

#[test]
fn files_are_found_under_other_spellings_and_in_folders_beside_the_index() {
    let made = folder();
    let listed = ["Zellk\u{f6}rper_1.TIF", "b.tif", "within\\c.tif"];
    let images: Vec<String> = listed
        .iter()
        .zip(1..)
        .map(|(file, site)| harmony_image(file, [1, 1, site], &v5([1, 0, 1], "BF")))
        .collect();
    put(
        made.path(),
        "Index.xml",
        harmony_index("", &images).as_bytes(),
    );
    put_plane(made.path(), "zellko\u{308}rper_1.tif", 1, "");
    put_plane(made.path(), "within/c.tif", 3, "");
    let grey = stainfree_image::Image::from_fn(4, 6, |_, _| 7_u8);
    stainfree_image::write::png_gray(&made.path().join("b.png"), &grey).expect("written");
    let data = opened(made.path());
    assert!(data.problems.is_empty(), "{:?}", data.problems);
    let first = |field: usize| first_pixel(&data.fields[field].read(0, 0).expect("reads"));
    assert_eq!([first(0), first(1), first(2)], [100.0, 7.0, 300.0]);
}

#[test]
fn a_plane_that_two_images_show_is_left_out_and_both_are_named() {
    let made = folder();
    let images: Vec<String> = ["a.tiff", "b.tiff"]
        .iter()
        .map(|file| harmony_image(file, [1, 1, 1], &v5([1, 0, 1], "BF")))
        .chain([harmony_image("c.tiff", [1, 1, 1], &v5([2, 0, 1], "BF"))])
        .collect();
    put(
        made.path(),
        "Index.xml",
        harmony_index("", &images).as_bytes(),
    );
    for name in ["a.tiff", "b.tiff", "c.tiff"] {
        put_plane(made.path(), name, 1, "");
    }
    let data = opened(made.path());
    let said = data.problems.join("\n");
    assert!(
        said.contains("shown by two images each, such as `a.tiff` and `b.tiff`"),
        "{said}"
    );
    assert!(data.fields[0].planes[0][0].is_none() && data.fields[0].planes[0][1].is_some());
}

#[test]
fn an_index_of_more_than_any_plate_has_is_refused_before_room_is_made() {
    let made = folder();
    let images: Vec<String> = (1..=2000)
        .map(|n| harmony_image("a.tiff", [1, 1, n], &v5([n, 0, 1], "BF")))
        .collect();
    put(
        made.path(),
        "Index.xml",
        harmony_index("", &images).as_bytes(),
    );
    put_plane(made.path(), "a.tiff", 1, "");
    let said = refused(made.path());
    assert!(
        said.contains("lists 2000 planes of a channel, and no plate has more than 1024"),
        "{said}"
    );
    let times: Vec<String> = [0, u32::MAX]
        .iter()
        .map(|&time| harmony_image("a.tiff", [1, 1, 1], &v5([1, time, 1], "BF")))
        .collect();
    put(
        made.path(),
        "Index.xml",
        harmony_index("", &times).as_bytes(),
    );
    assert_eq!(opened(made.path()).fields.len(), 2);
}

/// A record of a CellVoyager index: `[row, column, time, field, z, action, channel]`.
fn record([row, column, time, field, z, action, channel]: [u32; 7]) -> String {
    format!(
        "Type=\"IMG\" Row=\"{row}\" Column=\"{column}\" TimePoint=\"{time}\" \
         FieldIndex=\"{field}\" ZIndex=\"{z}\" ActionIndex=\"{action}\" X=\"-10.5\" Y=\"20\" \
         Ch=\"{channel}\""
    )
}

const DETAIL: &str = "\u{feff}<bts:MeasurementDetail xmlns:bts=\"x\" \
     bts:MeasurementSettingFileName=\"s.mes\"><bts:MeasurementSamplePlate bts:Name=\"P1\"/>\
     <bts:MeasurementChannel bts:Ch=\"1\" bts:HorizontalPixelDimension=\"0.325\" \
     bts:VerticalPixelDimension=\"0.325\" bts:HorizontalPixels=\"6\" bts:VerticalPixels=\"4\"/>\
     <bts:MeasurementChannel bts:Ch=\"4\" bts:HorizontalPixelDimension=\"0.325\" \
     bts:VerticalPixelDimension=\"0.325\" bts:HorizontalPixels=\"6\" bts:VerticalPixels=\"4\"/>\
     </bts:MeasurementDetail>";
const SETTINGS: &str = "\u{feff}<bts:MeasurementSetting xmlns:bts=\"x\"><bts:ChannelList>\
     <bts:Channel bts:Ch=\"1\" bts:Kind=\"ConfocalFluorescence\" bts:Fluorophore=\"\"/>\
     <bts:Channel bts:Ch=\"4\" bts:Kind=\"Brightfield\"/></bts:ChannelList>\
     </bts:MeasurementSetting>";

fn cellvoyager_plate(folder: &Path, records: &[(String, &str)]) {
    put(
        folder,
        "MeasurementData.mlf",
        cellvoyager_index(records).as_bytes(),
    );
    put(folder, "MeasurementDetail.mrf", DETAIL.as_bytes());
    put(folder, "s.mes", SETTINGS.as_bytes());
    for (number, (_, file)) in records.iter().enumerate() {
        if file.ends_with(".tif") {
            put_plane(folder, file, number as u16 + 1, "");
        }
    }
}

#[test]
fn cellvoyager_names_brightfield_reports_errors_and_passes_over_corrections() {
    let made = folder();
    let error = "Type=\"ERR\" Row=\"2\" Column=\"3\" TimePoint=\"2\" FieldIndex=\"2\"".to_string();
    cellvoyager_plate(
        made.path(),
        &[
            (record([2, 3, 2, 1, 1, 1, 1]), "a_C01.tif"),
            (record([2, 3, 2, 1, 1, 2, 4]), "a_Z01C04.tif"),
            (record([2, 3, 2, 1, 2, 2, 4]), "a_Z02C04.tif"),
            (error, "AF Error at B03 No. 2 (x)"),
        ],
    );
    for name in ["DC_DCAM#1_CAM3.tif", "SC_BP445-45_CH01.tif"] {
        put_plane(made.path(), name, 9, "");
    }
    for path in [
        made.path().to_path_buf(),
        made.path().join("MeasurementData.mlf"),
    ] {
        let data = opened(&path);
        assert_eq!(data.layout, "cellvoyager");
        assert_eq!(data.channels, ["C01", "Brightfield"]);
        assert_eq!(data.said_to_be(true), ["Brightfield"]);
        assert_eq!(data.said_to_be(false), ["C01"]);
        assert_eq!(data.problems.len(), 1, "{:?}", data.problems);
        assert!(
            data.problems[0]
                .contains("reports 1 errors, whose images were not taken: `AF Error at B03"),
            "{:?}",
            data.problems
        );
        let field = &data.fields[0];
        // The only time point is number 2: no time lapse.
        assert_eq!((field.name.as_str(), field.time), ("B03_s1", None));
        assert_eq!(field.pixel_um, Some(0.325));
        assert_eq!(field.position.plate.as_deref(), Some("P1"));
        assert_eq!(
            (
                field.metadata["x_um"].as_str(),
                field.metadata["y_um"].as_str()
            ),
            ("-10.5", "-20")
        );
        assert_eq!(first_pixel(&field.read(1, 1).expect("a plane")), 300.0);
    }
}

#[test]
fn time_lines_that_visit_one_well_each_are_no_time_lapse() {
    let made = folder();
    let second = record([4, 3, 2, 1, 1, 1, 1]) + " TimelineIndex=\"2\"";
    cellvoyager_plate(
        made.path(),
        &[(record([3, 3, 1, 1, 1, 1, 1]), "a.tif"), (second, "b.tif")],
    );
    let data = opened(made.path());
    let names: Vec<&str> = data.fields.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["C03_s1", "D03_s1"]);
    assert!(data.problems.is_empty(), "{:?}", data.problems);
}

#[test]
fn times_are_those_of_the_plate_where_a_well_failed_once() {
    let made = folder();
    let error = "Type=\"ERR\" Row=\"2\" Column=\"3\" TimePoint=\"2\" FieldIndex=\"1\"";
    let error = error.to_string();
    let records = [
        (record([2, 3, 1, 1, 1, 1, 1]), "a.tif"),
        (error, "AF Error"),
        (record([2, 3, 3, 1, 1, 1, 1]), "b.tif"),
    ];
    cellvoyager_plate(made.path(), &records);
    let data = opened(made.path());
    let names: Vec<&str> = data.fields.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["B03_s1_t001", "B03_s1_t003"]);
}

#[test]
fn a_channel_that_two_actions_took_is_two_channels() {
    let made = folder();
    let projection = record([1, 1, 1, 1, 1, 2, 1]) + " ZImageProcessing=\"Maximum\"";
    cellvoyager_plate(
        made.path(),
        &[
            (record([1, 1, 1, 1, 1, 1, 1]), "a.tif"),
            (record([1, 1, 1, 1, 2, 1, 1]), "b.tif"),
            (projection, "c.tif"),
        ],
    );
    let data = opened(made.path());
    assert_eq!(data.channels, ["C01_A01", "C01_A02_Maximum"]);
    let depths: Vec<usize> = data.fields[0].planes.iter().map(Vec::len).collect();
    assert_eq!(depths, [2, 1]);
    let said = data.problems.join("\n");
    assert!(
        said.contains("channel 1 was taken by several actions"),
        "{said}"
    );
    assert!(
        said.contains("1 images are projections that the microscope made (`Maximum`)"),
        "{said}"
    );
}

#[test]
fn without_what_lies_beside_the_index_sizes_and_names_are_not_invented() {
    let made = folder();
    cellvoyager_plate(made.path(), &[(record([1, 1, 1, 1, 1, 1, 4]), "a.tif")]);
    for name in ["MeasurementDetail.mrf", "s.mes"] {
        std::fs::remove_file(made.path().join(name)).expect("removed");
    }
    let data = opened(made.path());
    assert_eq!(
        (data.channels[0].as_str(), data.fields[0].pixel_um),
        ("C04", None)
    );
    let said = data.problems.join("\n");
    assert!(
        said.contains("`MeasurementDetail.mrf` is missing"),
        "{said}"
    );
    assert!(
        said.contains("the file with the settings (`.mes`) is missing"),
        "{said}"
    );
}

/// The real plates, each plane against what a second program read.
#[test]
#[cfg_attr(not(real_sets), ignore = "the real sets are not in ../shared/data")]
fn real_plates_open_as_described() {
    let root = real_sets().join("microscopes");
    let text = std::fs::read_to_string(root.join("expected.json")).expect("expected.json");
    let expected: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for (name, wanted) in expected["harmony-complete"].as_object().expect("entries") {
        let data = opened(&root.join("harmony-complete").join(name));
        assert_eq!(data.layout, "harmony");
        let channels: Vec<&str> = data.channels.iter().map(String::as_str).collect();
        assert_eq!(serde_json::json!(channels), wanted["channels"], "{name}");
        let found = summarise(&data);
        assert_eq!(serde_json::json!(found.fields), wanted["fields"], "{name}");
        let um = wanted["pixel_um"][0].as_f64().expect("a number");
        assert!(
            (found.pixel_um.expect("a size") - um).abs() < 1e-6 * um,
            "{name}"
        );
        for image in wanted["images"].as_array().expect("images") {
            let site = image["field"].as_u64().expect("a number") as u32;
            let field = data
                .fields
                .iter()
                .find(|field| field.position.site == Some(site));
            let channel = data
                .channel(image["name"].as_str().expect("a name"))
                .expect("known");
            let plane = field
                .expect("the field")
                .read(channel, 0)
                .expect("reads")
                .to_f32();
            let sum: f64 = plane.data().iter().map(|&value| f64::from(value)).sum();
            assert_eq!(sum, image["sum"].as_f64().expect("a sum"), "{name} {image}");
            for at in image["at"].as_array().expect("pixels") {
                let [y, x, value] = [0, 1, 2].map(|i| at[i].as_u64().expect("a number") as usize);
                assert_eq!(plane.get(y, x), value as f32, "{name} {image}");
            }
        }
    }
    for (name, wanted) in expected["cellvoyager-metadata"]
        .as_object()
        .expect("entries")
    {
        let said = refused(&root.join("cellvoyager-metadata").join(name));
        let wells = wanted["wells"].as_array().expect("wells").len();
        let listed = format!("lists {} images", wanted["img"]);
        assert!(
            said.contains(&listed) && said.contains("none of them is there"),
            "{said}"
        );
        assert!(
            said.contains(&format!("{} planes", wanted["z"])),
            "{wells} {said}"
        );
    }
    let plates = real_sets().join("plates");
    let cv8000 =
        opened(&plates.join("cellvoyager-cv8000/CV8000-Minimal-DataSet-2C-3W-4S-FP2-stack"));
    let found = summarise(&cv8000);
    assert_eq!((found.fields, found.wells, found.planes), (2, 1, 4));
    assert_eq!(
        (found.height, found.width, found.pixel_um),
        (2000, 2000, Some(0.325))
    );
    assert_eq!(cv8000.channels, ["C01", "C02"]);
    let said = cv8000.problems.join("\n");
    assert!(
        said.contains("80 of 96 images listed in `MeasurementData.mlf` are not there"),
        "{said}"
    );
    // An index alone.
    let said = refused(&plates.join("harmony/v7"));
    assert!(
        said.contains("`Index.xml` lists 7 images (wells `A01`;"),
        "{said}"
    );
    assert!(said.contains("`Brightfield`"), "{said}");
}

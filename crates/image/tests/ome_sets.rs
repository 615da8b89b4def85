//! OME-TIFF sets: opened by any of their files, with wells, places and light as the XML says; what
//! is missing, odd or damaged is told.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{first_pixel, plane, put, real_sets, samples, stack};
use serde_json::Value;
use stainfree_image::{Dataset, ImageError, OpenOptions, Plane, open, open_files};

fn opened(path: &Path) -> Dataset {
    open(path, &OpenOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(path: &Path) -> String {
    let error = open(path, &OpenOptions::default()).expect_err("refused");
    let text = error.to_string();
    assert!(!text.contains('\n') && !text.ends_with('.'), "{text}");
    text
}

fn names(data: &Dataset) -> Vec<&str> {
    data.fields.iter().map(|f| f.name.as_str()).collect()
}

/// First pixels of all planes, `[field][channel][z]`; NaN where one is missing.
fn firsts(data: &Dataset) -> Vec<Vec<Vec<f32>>> {
    let of_field = |field: &stainfree_image::Field| {
        let of_channel = |c: usize| {
            let first = |z: usize| match field.planes[c][z] {
                Some(_) => first_pixel(&field.read(c, z).expect("a plane")),
                None => f32::NAN,
            };
            (0..field.planes[c].len()).map(first).collect()
        };
        (0..field.planes.len()).map(of_channel).collect()
    };
    data.fields.iter().map(of_field).collect()
}

fn has(data: &Dataset, said: &str) {
    let problems = &data.problems;
    assert!(
        problems.iter().any(|p| p.contains(said)),
        "no `{said}` in {problems:#?}"
    );
}

/// Least, largest and sum of the values of a plane, and those at `[y, x]`.
fn check_plane(plane: &Plane, expected: &Value, what: &str) {
    let values = plane.to_f32();
    let data = values.data();
    let least = data.iter().copied().fold(f32::INFINITY, f32::min);
    let largest = data.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = data.iter().map(|&v| f64::from(v)).sum();
    let number = |key: &str| expected[key].as_f64().expect("a number");
    assert_eq!(f64::from(least), number("min"), "{what}");
    assert_eq!(f64::from(largest), number("max"), "{what}");
    assert_eq!(sum, number("sum"), "{what}");
    for at in expected["at"].as_array().expect("pixels") {
        let [y, x, value] = [0, 1, 2].map(|k| at[k].as_u64().expect("a number"));
        assert_eq!(
            values.get(y as usize, x as usize),
            value as f32,
            "{what}: {at}"
        );
    }
}

fn expected(set: &str) -> Value {
    let text = fs::read_to_string(real_sets().join("microscopes/expected.json"));
    let all: Value = serde_json::from_str(&text.expect("expected.json")).expect("JSON");
    all[set].clone()
}

fn microscopes() -> Option<PathBuf> {
    let folder = real_sets().join("microscopes");
    let found = folder.is_dir().then_some(folder);
    if found.is_none() {
        println!("skipped: the microscopes' files are not in ../shared/data");
    }
    found
}

fn companion_set() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for entry in fs::read_dir(samples().join("ome-set")).expect("the samples") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, folder.path().join(path.file_name().expect("a name"))).expect("copied");
    }
    folder
}

#[test]
fn a_set_with_a_companion_opens_by_any_of_its_files() {
    let folder = companion_set();
    let mut paths = vec![
        folder.path().to_path_buf(),
        folder.path().join("multifile.companion.ome"),
    ];
    paths.extend((1..=5).map(|z| folder.path().join(format!("multifile-Z{z}.ome.tiff"))));
    // Sums by tifffile, of the planes in their order.
    let sums = [94605.0, 16575.0, 93330.0, 17136.0, 92820.0];
    for path in paths {
        let data = opened(&path);
        assert_eq!(names(&data), ["multifile"], "{}", path.display());
        let field = &data.fields[0];
        assert_eq!((field.height, field.width, field.pixel_um), (24, 18, None));
        assert_eq!((data.channels.len(), field.planes[0].len()), (1, 5));
        for (z, sum) in sums.into_iter().enumerate() {
            let plane = field.read(0, z).expect("a plane").to_f32();
            assert_eq!(plane.data().iter().sum::<f32>(), sum, "plane {z}");
        }
        assert_eq!(data.problems, Vec::<String>::new(), "{}", path.display());
    }
    let two = [1, 4].map(|z| folder.path().join(format!("multifile-Z{z}.ome.tiff")));
    let data = open_files(&two, &OpenOptions::default()).expect("opens");
    assert_eq!(names(&data), ["multifile"]);
    // As a shell names all files of a folder.
    let all = fs::read_dir(folder.path()).expect("lists");
    let all: Vec<PathBuf> = all.map(|entry| entry.expect("an entry").path()).collect();
    let data = open_files(&all, &OpenOptions::default()).expect("opens");
    assert_eq!((names(&data), data.problems.len()), (vec!["multifile"], 0));
}

#[test]
fn missing_and_renamed_files_of_a_set_are_told_and_found() {
    let folder = companion_set();
    let file = |name: &str| folder.path().join(name);
    fs::remove_file(file("multifile-Z2.ome.tiff")).expect("removed");
    fs::rename(file("multifile-Z4.ome.tiff"), file("fourth.tif")).expect("renamed");
    for path in [folder.path().to_path_buf(), file("fourth.tif")] {
        let data = opened(&path);
        assert_eq!(names(&data), ["multifile"]);
        let there: Vec<bool> = data.fields[0].planes[0]
            .iter()
            .map(Option::is_some)
            .collect();
        assert_eq!(there, [true, false, true, true, true]);
        let sum: f32 = data.fields[0]
            .read(0, 3)
            .expect("read")
            .to_f32()
            .data()
            .iter()
            .sum();
        assert_eq!(sum, 17136.0);
        has(
            &data,
            "1 of 5 files that its OME metadata names are not there: `multifile-Z2.ome.tiff`",
        );
    }
    // A file under the name of another is told from it.
    fs::copy(file("fourth.tif"), file("multifile-Z2.ome.tiff")).expect("copied");
    has(&opened(folder.path()), "its identifier is not the one");
    for name in [
        "multifile-Z1.ome.tiff",
        "multifile-Z3.ome.tiff",
        "multifile-Z5.ome.tiff",
    ] {
        fs::remove_file(file(name)).expect("removed");
    }
    fs::remove_file(file("multifile-Z2.ome.tiff")).expect("removed");
    fs::remove_file(file("fourth.tif")).expect("removed");
    for path in [folder.path().to_path_buf(), file("multifile.companion.ome")] {
        let said = refused(&path);
        assert!(
            said.contains("describes 1 images in 5 files, and none of them is there")
                && said.contains("copy the images beside it"),
            "{said}"
        );
    }
}

#[test]
fn a_file_whose_metadata_is_not_there_is_read_by_itself() {
    let folder = companion_set();
    fs::remove_file(folder.path().join("multifile.companion.ome")).expect("removed");
    let data = opened(&folder.path().join("multifile-Z3.ome.tiff"));
    assert_eq!(names(&data), ["multifile-Z3"]);
    has(
        &data,
        "its OME metadata lies in `multifile.companion.ome`, which is not there",
    );
    let data = opened(folder.path());
    assert_eq!(data.fields.len(), 5);
    assert_eq!(data.problems.len(), 1, "{:#?}", data.problems);
}

/// OME-XML of images `(name, channel attributes, blocks)` of 4 x 6 pixels.
struct Xml {
    root: &'static str,
    before: String,
    images: String,
}

impl Xml {
    fn new() -> Self {
        Self {
            root: "",
            before: String::new(),
            images: String::new(),
        }
    }

    fn image(mut self, name: &str, sizes: [usize; 3], inside: &str) -> Self {
        let number = self.images.matches("<Image ").count();
        let [c, z, t] = sizes;
        self.images += &format!(
            "<Image ID=\"Image:{number}\" Name=\"{name}\"><Pixels DimensionOrder=\"XYZCT\" \
             SizeX=\"6\" SizeY=\"4\" SizeC=\"{c}\" SizeZ=\"{z}\" SizeT=\"{t}\" \
             PhysicalSizeX=\"0.5\" PhysicalSizeZ=\"2000\" PhysicalSizeZUnit=\"nm\" \
             TimeIncrement=\"1.5\" TimeIncrementUnit=\"min\">{inside}</Pixels></Image>"
        );
        self
    }

    fn text(&self) -> String {
        let Self {
            root,
            before,
            images,
        } = self;
        format!("<?xml version=\"1.0\"?><OME {root}>{before}{images}</OME>")
    }
}

/// A `TiffData` element for one plane.
fn block(file: &str, page: usize, [c, z, t]: [usize; 3]) -> String {
    format!(
        "<TiffData IFD=\"{page}\" FirstC=\"{c}\" FirstZ=\"{z}\" FirstT=\"{t}\" PlaneCount=\"1\">\
         <UUID FileName=\"{file}\">urn:uuid:{file}</UUID></TiffData>"
    )
}

fn tiff(folder: &Path, name: &str, numbers: &[u16], description: &str) {
    let pages: Vec<_> = numbers.iter().map(|&n| plane(n)).collect();
    put(folder, name, &stack(&pages, description));
}

#[test]
fn images_over_several_files_are_fields_with_what_the_xml_says_of_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let channels = "<Channel Name=\"BF\" IlluminationType=\"Transmitted\"/>\
                    <Channel Name=\"GFP\" IlluminationType=\"Epifluorescence\"/>";
    let at = "<Plane TheC=\"0\" PositionX=\"1.5\" PositionXUnit=\"mm\" PositionY=\"-20\" \
              PositionYUnit=\"µm\"/>";
    let inside = |file: &str, other: &str| {
        let blocks = [
            block(file, 0, [0, 0, 0]),
            block(file, 1, [0, 1, 0]),
            block(other, 0, [1, 0, 0]),
            block(other, 1, [1, 1, 0]),
        ];
        format!("{channels}{}{at}", blocks.concat())
    };
    let xml = Xml::new()
        .image(
            "left side",
            [2, 2, 1],
            &inside("a_1.ome.tif", "a_2.ome.tif"),
        )
        .image("right", [2, 2, 1], &inside("b_1.ome.tif", "b_2.ome.tif"))
        .text();
    for (name, number) in [("a_1", 1), ("a_2", 3), ("b_1", 5), ("B_2", 7)] {
        // The same metadata in each.
        let name = format!("{name}.ome.tif");
        tiff(folder.path(), &name, &[number, number + 1], &xml);
    }
    tiff(folder.path(), "other.tif", &[9], "");
    let one = opened(&folder.path().join("b_1.ome.tif"));
    assert_eq!(names(&one), ["left_side", "right"]);
    let data = opened(folder.path());
    assert_eq!(names(&data), ["left_side", "other", "right"]);
    let all = firsts(&one);
    assert_eq!(all[0], [[100.0, 200.0], [300.0, 400.0]]);
    assert_eq!(all[1], [[500.0, 600.0], [700.0, 800.0]]);
    assert_eq!(one.said_to_be(true), ["BF"]);
    assert_eq!(data.transmitted, one.transmitted);
    let field = &data.fields[2];
    assert_eq!(field.pixel_um, Some(0.5));
    let fact = |key: &str| field.metadata.get(key).map(String::as_str);
    assert_eq!([fact("x_um"), fact("y_um")], [Some("1500"), Some("-20")]);
    assert_eq!([fact("z_step_um"), fact("time_step_s")], [Some("2"), None]);
}

#[test]
fn a_folder_may_hold_several_sets_with_images_of_the_same_names() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (set, number) in [("p", 1), ("q", 3)] {
        let files = [0, 1].map(|k| format!("{set}_{k}.ome.tif"));
        let inside = |k: usize| format!("<Channel/>{}", block(&files[k], 0, [0, 0, 0]));
        let xml = Xml::new()
            .image("one", [1, 1, 1], &inside(0))
            .image("Image:1", [1, 1, 1], &inside(1))
            .text();
        tiff(folder.path(), &files[0], &[number], &xml);
        tiff(folder.path(), &files[1], &[number + 1], &xml);
    }
    let data = opened(folder.path());
    assert_eq!(names(&data), ["p_one", "p_p2", "q_one", "q_p2"]);
    let found: Vec<f32> = firsts(&data).concat().concat();
    assert_eq!(found, [100.0, 200.0, 300.0, 400.0]);
    // Channels in files of their own are one field, called as both files begin.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let blocks = block("s_C0.ome.tif", 0, [0, 0, 0]) + &block("s_C1.ome.tif", 0, [1, 0, 0]);
    let xml = Xml::new().image("", [2, 1, 1], &blocks).text();
    tiff(folder.path(), "s_C0.ome.tif", &[1], &xml);
    tiff(folder.path(), "s_C1.ome.tif", &[2], &xml);
    let data = opened(folder.path());
    assert_eq!(names(&data), ["s"]);
    assert_eq!(firsts(&data), [[[100.0], [200.0]]]);
}

#[test]
fn plates_name_fields_by_well_and_site() {
    let sample = |index: u32, image: u32| {
        format!("<WellSample Index=\"{index}\"><ImageRef ID=\"Image:{image}\"/></WellSample>")
    };
    let plate = format!(
        "<ome:Plate Name=\"my plate\" RowNamingConvention=\"letter\" \
         ColumnNamingConvention=\"number\"><Well Row=\"1\" Column=\"2\">{}{}</Well><Well Row=\"0\" \
         Column=\"11\">{}</Well></ome:Plate>",
        sample(7, 0),
        sample(3, 1),
        sample(1, 2)
    );
    let check = |data: &Dataset, values: [f32; 3]| {
        assert_eq!(names(data), ["A12_s1", "B03_s1", "B03_s2"]);
        let position = &data.fields[2].position;
        assert_eq!(position.plate.as_deref(), Some("my plate"));
        assert_eq!(
            (position.well.as_deref(), position.site),
            (Some("B03"), Some(2))
        );
        assert_eq!(firsts(data).concat().concat(), values);
    };
    let xml = |of: fn(usize) -> String| {
        let mut xml = Xml::new();
        xml.before = plate.clone();
        for k in 0..3 {
            xml = xml.image("well", [1, 1, 1], &format!("<Channel/>{}", of(k)));
        }
        xml.text()
    };
    // In one file, in a file each, and in XML over files in a folder.
    let folder = tempfile::tempdir().expect("a temporary folder");
    tiff(
        folder.path(),
        "a.ome.tif",
        &[1, 2, 3],
        &xml(|k| format!("<TiffData IFD=\"{k}\"/>")),
    );
    check(
        &opened(&folder.path().join("a.ome.tif")),
        [300.0, 200.0, 100.0],
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = xml(|k| block(&format!("f{k}.tif"), 0, [0, 0, 0]));
    for k in 0..3_u16 {
        tiff(folder.path(), &format!("f{k}.tif"), &[k + 1], &text);
    }
    check(&opened(folder.path()), [300.0, 200.0, 100.0]);
    check(
        &opened(&folder.path().join("f2.tif")),
        [300.0, 200.0, 100.0],
    );
}

#[test]
fn a_cq1_measurement_opens_by_its_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |w: usize, c: usize| format!("Image\\W{w}F1T1Z1C{c}.tif");
    let mut xml = Xml::new();
    xml.before = "<Plate Rows=\"8\" Columns=\"12\" Name=\"7\"/>".into();
    xml = xml.image("metadata", [1, 1, 1], "<Channel/>");
    for w in [14, 15] {
        let channels = "<Channel Name=\"CH1\" ContrastMethod=\"Brightfield\"/>\
                        <Channel Name=\"CH2\"/>";
        let blocks = block(&file(w, 1), 0, [0, 0, 0]) + &block(&file(w, 2), 0, [1, 0, 0]);
        let inside = format!("{channels}{blocks}");
        xml = xml.image(&format!("W{w}(Well),A1,F1"), [2, 1, 1], &inside);
        for c in [1, 2] {
            let name = file(w, c).replace('\\', "/");
            tiff(folder.path(), &name, &[(10 * w + c) as u16], "");
        }
    }
    // With a byte order mark and in UTF-16, as .NET writes text.
    let text: Vec<u8> = std::iter::once(0xfeff)
        .chain(xml.text().encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    put(folder.path(), "MeasurementResult.ome.xml", &text);
    tiff(folder.path(), "MeasurementResult.ome.tif", &[1], "");
    tiff(folder.path(), "Image/stray.tif", &[1], "");
    let xml = folder.path().join("MeasurementResult.ome.xml");
    for path in [folder.path(), xml.as_path()] {
        let data = opened(path);
        assert_eq!(data.layout, "ome-tiff");
        assert_eq!(names(&data), ["B02_s1", "B03_s1"]);
        assert_eq!(data.channels, ["CH1", "CH2"]);
        assert_eq!(data.transmitted.get("CH1"), Some(&true));
        assert_eq!(firsts(&data)[1], [[15100.0], [15200.0]]);
        has(
            &data,
            "1 of 3 images have none of their planes here: `metadata`",
        );
    }
    has(
        &opened(folder.path()),
        "does not name 1 images beside those that it names, which are left \
        out: `stray.tif`",
    );
}

#[test]
fn a_scanr_experiment_opens_by_its_metadata() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = fs::read_to_string(samples().join("scanr-metadata.ome.xml")).expect("the sample");
    let file = "B2--W00014--P00001--Z00000--T00000--405 nm #1.tif";
    // As it is, with an image that is smaller than stated.
    put(folder.path(), "run/data/metadata.ome.xml", text.as_bytes());
    put(folder.path(), "run/experiment_descriptor.xml", b"<x/>");
    tiff(folder.path(), &format!("run/data/{file}"), &[1], "");
    let run = folder.path().join("run");
    for path in [
        run.clone(),
        run.join("data"),
        run.join("data/metadata.ome.xml"),
    ] {
        let data = opened(&path);
        assert_eq!(names(&data), ["B02_s1"], "{}", path.display());
        assert_eq!(data.channels, ["405 nm #1"]);
        let field = &data.fields[0];
        assert_eq!(field.position.plate.as_deref(), Some("run"));
        assert_eq!(
            (field.height, field.width, field.pixel_um),
            (4, 6, Some(0.325))
        );
        assert_eq!(field.metadata["x_um"], "100090");
        has(
            &data,
            "1 of 1 images have another size than it states, which is believed",
        );
    }
    // Two positions with two planes and channels each, of which elements name neither page nor
    // count.
    let image = |p: usize| {
        let (start, rest) = text.split_once("<Image ").expect("an image");
        let (image, _) = rest.split_once("</Image>").expect("its end");
        assert!(!start.is_empty());
        let image = image.replace("W14P1", &format!("W14P{p}"));
        let image = image.replace("Position 1", &format!("Position {p}"));
        let (before, blocks) = image.split_once("<TiffData").expect("a block");
        let (_, after) = blocks.split_once("</TiffData>").expect("its end");
        let mut blocks = String::new();
        for (c, channel) in ["405 nm #1", "Trans"].iter().enumerate() {
            for z in 0..2 {
                let file = format!("B2--W00014--P0000{p}--Z0000{z}--T00000--{channel}.tif");
                let number = (100 * p + 10 * c + z) as u16;
                tiff(folder.path(), &format!("more/data/{file}"), &[number], "");
                blocks += &format!(
                    "<TiffData FirstC=\"{c}\" FirstT=\"0\" FirstZ=\"{z}\"><UUID \
                     FileName=\"{file}\">urn:uuid:{p}{c}{z}</UUID></TiffData>"
                );
            }
        }
        let second = "<Channel ID=\"Channel:2\" IlluminationType=\"Transmitted\" Name=\"Trans\"/>";
        let before = before.replace("SizeC=\"1\"", "SizeC=\"2\"");
        let before = before.replace("SizeZ=\"1\"", "SizeZ=\"2\"");
        let before = before.replace("SizeX=\"2048\" SizeY=\"2048\"", "SizeX=\"6\" SizeY=\"4\"");
        format!("<Image {before}{second}{blocks}{after}</Image>")
    };
    let images = image(1) + &image(2);
    let (start, _) = text.split_once("<Image ").expect("an image");
    let xml = format!("{start}{images}</OME>");
    put(folder.path(), "more/data/metadata.ome.xml", xml.as_bytes());
    let data = opened(&folder.path().join("more"));
    assert_eq!(names(&data), ["B02_s1", "B02_s2"]);
    assert_eq!(data.channels, ["405 nm #1", "Trans"]);
    assert_eq!(data.said_to_be(true), ["Trans"]);
    assert_eq!(firsts(&data)[1], [[20000.0, 20100.0], [21000.0, 21100.0]]);
    assert_eq!(data.problems, Vec::<String>::new());
}

#[test]
fn planes_beyond_sizes_and_pages_that_are_not_there_are_left_out_and_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut blocks = String::new();
    for t in 0..4 {
        blocks += &block("a.ome.tif", t, [0, 0, t]);
        blocks += &block("b.ome.tif", t, [1, 0, t]);
    }
    let channels = "<Channel Name=\"x\"/><Channel Name=\"y\"/>";
    let xml = Xml::new()
        .image("run", [2, 1, 3], &format!("{channels}{blocks}"))
        .text();
    put(folder.path(), "run.companion.ome", xml.as_bytes());
    let only = "<OME><BinaryOnly MetadataFile=\"run.companion.ome\"/></OME>";
    tiff(folder.path(), "a.ome.tif", &[1, 2, 3, 4], only);
    tiff(folder.path(), "b.ome.tif", &[5, 6], only);
    let data = opened(folder.path());
    assert_eq!(names(&data), ["run_t001", "run_t002", "run_t003"]);
    assert_eq!(data.fields[0].metadata["time_step_s"], "90");
    let found = firsts(&data);
    assert_eq!(found[1], [[200.0], [600.0]]);
    assert!(found[2][1][0].is_nan());
    has(
        &data,
        "names 2 planes that its sizes do not have, which are left out",
    );
    has(&data, "names pages that are not there in `b.ome.tif`");
}

#[test]
fn conflicting_metadata_is_told_and_the_files_are_read_by_themselves() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let blocks = block("a.ome.tif", 0, [0, 0, 0]) + &block("b.ome.tif", 0, [0, 0, 0]);
    let xml = Xml::new().image("run", [1, 1, 1], &blocks).text();
    tiff(folder.path(), "a.ome.tif", &[1], &xml);
    tiff(folder.path(), "b.ome.tif", &[2], &xml);
    let data = opened(folder.path());
    assert_eq!(names(&data), ["a", "b"]);
    has(
        &data,
        "its OME metadata names several pages for one plane (`run`)",
    );
    let said = refused(&folder.path().join("a.ome.tif"));
    assert!(said.contains("several pages for one plane"), "{said}");
}

#[test]
fn an_absurd_number_of_planes_is_refused_before_memory_is_taken() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (sizes, said) in [
        (
            [100_000, 100_000, 1],
            "its OME metadata states 10000000000 planes",
        ),
        ([2, 1 << 20, 1], "states 2097152 planes and names 2 of them"),
        ([usize::MAX, usize::MAX, 2], "planes"),
    ] {
        let blocks = block("a.tif", 0, [0, 0, 0]) + &block("b.tif", 0, [1, 0, 0]);
        let xml = Xml::new().image("x", sizes, &blocks).text();
        put(folder.path(), "x.ome.xml", xml.as_bytes());
        tiff(folder.path(), "a.tif", &[1], "");
        let text = refused(&folder.path().join("x.ome.xml"));
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn xml_alone_is_refused_with_what_is_missing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let images = Xml::new().image("a", [1, 1, 1], "<TiffData/>");
    put(folder.path(), "a.ome.xml", images.text().as_bytes());
    for path in [folder.path().to_path_buf(), folder.path().join("a.ome.xml")] {
        let said = refused(&path);
        let wanted = "is OME-XML that describes 1 images, and it names no file that holds their";
        assert!(said.contains(wanted), "{said}");
    }
    let images = Xml::new().image("a", [1, 1, 1], "<BinData Length=\"4\">AAAA</BinData>");
    put(folder.path(), "a.ome.xml", images.text().as_bytes());
    let said = refused(&folder.path().join("a.ome.xml"));
    assert!(
        said.contains("their pixels lie in the XML itself"),
        "{said}"
    );
    let Some(real) = microscopes() else { return };
    for name in expected("ome-xml").as_object().expect("samples").keys() {
        let path = folder.path().join(name);
        fs::copy(real.join("ome-xml").join(name), &path).expect("copied");
        let error = open(&path, &OpenOptions::default()).expect_err("no image");
        let kind = matches!(
            error,
            ImageError::NotSupported { .. } | ImageError::NoImages { .. }
        );
        assert!(kind, "{name}: {error}");
    }
}

/// The Micro-Manager stack of `shared/data`, unpacked.
fn mmstack(real: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for entry in fs::read_dir(real.join("micromanager-mmstack")).expect("the samples") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_owned();
        let file = fs::File::open(&path).expect("opens");
        let mut out = fs::File::create(folder.path().join(name)).expect("made");
        std::io::copy(&mut flate2::read::GzDecoder::new(file), &mut out).expect("unpacked");
    }
    folder
}

fn check_mmstack(data: &Dataset, prefix: &str) {
    assert_eq!(data.channels, ["Cy5", "DAPI"]);
    let expected = expected("micromanager-mmstack");
    let fields = expected["1.4compatTest_3"]["field_detail"]
        .as_array()
        .expect("fields");
    assert_eq!(data.fields.len(), 2 * fields.len());
    for field in fields {
        let position = field["position"].as_str().expect("a name");
        for plane in field["planes"].as_array().expect("planes") {
            let [c, z, t] = ["c", "z", "t"].map(|key| plane[key].as_u64().expect("one") as usize);
            let name = format!("{prefix}_MMStack_{position}_t{:03}", t + 1);
            let found = data.fields.iter().find(|field| field.name == name);
            let found = found.unwrap_or_else(|| panic!("no {name} in {:?}", names(data)));
            assert_eq!(found.pixel_um, Some(1.0));
            assert_eq!(found.metadata["z_step_um"], "5");
            assert_eq!(found.metadata["time_step_s"], "5");
            check_plane(&found.read(c, z).expect("a plane"), plane, &name);
        }
    }
    let at = |name: &str| {
        let name = format!("{prefix}_MMStack_{name}_t001");
        let field = data
            .fields
            .iter()
            .find(|field| field.name == name)
            .expect("a field");
        [
            field.metadata["x_um"].clone(),
            field.metadata["y_um"].clone(),
        ]
    };
    assert_eq!(at("1-Pos_000_000"), ["-32", "-32"]);
    assert_eq!(at("1-Pos_001_000"), ["32", "-32"]);
    assert_eq!(data.problems, Vec::<String>::new());
}

#[test]
fn a_micro_manager_stack_opens_by_any_of_its_files() {
    let Some(real) = microscopes() else { return };
    let folder = mmstack(&real);
    let prefix = "1.4compatTest_3";
    let file = |position: &str| {
        folder
            .path()
            .join(format!("{prefix}_MMStack_1-Pos_{position}.ome.tif"))
    };
    for path in [
        folder.path().to_path_buf(),
        file("000_000"),
        file("001_001"),
    ] {
        check_mmstack(&opened(&path), prefix);
    }
    // Without the first, which has the metadata, the others are read by what they say.
    fs::remove_file(file("000_000")).expect("removed");
    let data = opened(&file("001_001"));
    assert_eq!(data.fields.len(), 2);
    assert_eq!(data.channels, ["Cy5", "DAPI"]);
    assert_eq!(data.fields[0].pixel_um, Some(1.0));
    has(&data, "which is not there or does not name it");
    let sum: f64 = data.fields[0]
        .read(0, 1)
        .expect("read")
        .to_f32()
        .data()
        .iter()
        .map(|&v| f64::from(v))
        .sum();
    assert_eq!(sum, 22750832.0);
}

#[test]
fn folders_of_micro_manager_stacks_of_one_name_are_no_channels() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for run in ["run_1", "run_2"] {
        tiff(
            folder.path(),
            &format!("{run}/MMStack_Pos0.ome.tif"),
            &[1],
            "",
        );
    }
    let said = refused(folder.path());
    assert!(
        said.contains("each by itself (`run_1`, `run_2`); name one of the folders in it"),
        "{said}"
    );
    let set = companion_set();
    let parent = tempfile::tempdir().expect("a temporary folder");
    fs::rename(set.keep(), parent.path().join("one")).expect("moved");
    assert!(refused(parent.path()).contains("OME-TIFF sets, each by itself (`one`)"));
}

#[test]
fn a_stack_that_goes_on_in_a_second_file_is_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let files = ["x_MMStack_Pos0.ome.tif", "x_MMStack_Pos0_1.ome.tif"];
    let blocks: String = (0..5)
        .map(|t| block(files[t / 3], t % 3, [0, 0, t]))
        .collect();
    let inside = format!("<Channel Name=\"BF\"/>{blocks}");
    let xml = Xml::new()
        .image("x_MMStack_Pos0", [1, 1, 5], &inside)
        .text();
    tiff(folder.path(), files[0], &[1, 2, 3], &xml);
    let only = format!(
        "<OME><BinaryOnly MetadataFile=\"{0}\" UUID=\"urn:uuid:{0}\"/></OME>",
        files[0]
    );
    tiff(folder.path(), files[1], &[4, 5], &only);
    for path in [folder.path().to_path_buf(), folder.path().join(files[1])] {
        let data = opened(&path);
        assert_eq!(data.fields.len(), 5);
        assert_eq!(data.fields[4].name, "x_MMStack_Pos0_t005");
        let found = firsts(&data).concat().concat();
        assert_eq!(found, [100.0, 200.0, 300.0, 400.0, 500.0]);
        assert_eq!(data.problems, Vec::<String>::new());
    }
}

#[test]
fn a_micro_manager_stack_that_was_renamed_as_a_whole_is_one() {
    let Some(real) = microscopes() else { return };
    let folder = mmstack(&real);
    for entry in fs::read_dir(folder.path()).expect("lists") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let renamed = name.replace("1.4compatTest_3", "day 2");
        fs::rename(&path, folder.path().join(renamed)).expect("renamed");
    }
    let last = folder.path().join("day 2_MMStack_1-Pos_001_001.ome.tif");
    for path in [folder.path().to_path_buf(), last] {
        check_mmstack(&opened(&path), "1.4compatTest_3");
    }
}

#[test]
fn real_sets_of_ome_tiff_open_as_another_reader_reads_them() {
    let Some(real) = microscopes() else { return };
    let expected = expected("ome-tiff");
    let folder = real.join("ome-tiff");
    let file = "WP96_4Pos_B4-10_DAPI.ome.tiff";
    let data = opened(&folder.join(file));
    assert_eq!(data.fields.len(), 5);
    assert_eq!(data.fields[0].name, "WP96_4Pos_B4-10_DAPI_p1");
    assert_eq!(data.fields[4].pixel_um, Some(0.2));
    for plane in expected[file]["planes"].as_array().expect("planes") {
        let page = plane["page"].as_u64().expect("a page") as usize;
        check_plane(&data.fields[page].read(0, 0).expect("read"), plane, file);
    }
    let file = "cells-2c.ome.tif";
    let data = opened(&folder.join(file));
    assert_eq!((data.fields.len(), data.channels.len()), (1, 2));
    assert_eq!(data.fields[0].pixel_um, Some(0.25));
    for (c, plane) in expected[file]["planes"]
        .as_array()
        .expect("planes")
        .iter()
        .enumerate()
    {
        check_plane(&data.fields[0].read(c, 0).expect("read"), plane, file);
    }
    // The folder as a whole: a set, and files beside it.
    let data = opened(&folder);
    assert_eq!(data.fields.len(), 7);
    assert!(names(&data).contains(&"multifile"));

    let made = real_sets().join("plates/made-here");
    for channel in [0, 1] {
        let data = opened(&made.join(format!("multi_C{channel}.ome.tif")));
        assert_eq!(names(&data), ["B03_s1"]);
        assert_eq!(data.channels, ["DAPI", "FITC"]);
        assert_eq!(data.fields[0].pixel_um, Some(1.3672));
        assert_eq!(data.fields[0].metadata["z_step_um"], "2.5");
        let plane = data.fields[0].plane(1, 1).expect("a plane");
        assert!(plane.location().ends_with("multi_C1.ome.tif") && plane.part() == 1);
    }
}

#[test]
fn companions_of_real_sets_whose_images_were_not_at_hand() {
    let Some(_) = microscopes() else { return };
    let companions = real_sets().join("plates/ome-tiff");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let name = "20241003_experiment_488_7_640_3_1";
    let path = folder.path().join(format!("{name}.companion.ome"));
    fs::copy(companions.join(format!("{name}.companion.ome")), &path).expect("copied");
    let said = refused(&path);
    assert!(
        said.contains("describes 1 images in 2 files, and none of them is there"),
        "{said}"
    );
    // Six times are in the files, five are stated.
    let files = ["w1Channel1", "w2Channel2"]
        .map(|end| format!("20240729_experiment_488_7_640_3_1_{end}.ome.tif"));
    for (k, file) in files.iter().enumerate() {
        let numbers: Vec<u16> = (0..6).map(|t| (10 * k + t) as u16).collect();
        tiff(folder.path(), file, &numbers, "");
    }
    let data = opened(&path);
    assert_eq!(data.fields.len(), 5);
    assert_eq!(data.fields[4].name, format!("{name}_t005"));
    assert_eq!(firsts(&data)[4], [[400.0], [1400.0]]);
    assert_eq!(data.fields[0].metadata["x_um"], "-49883.5");
    has(&data, "names 2 planes that its sizes do not have");
}

/// A linear congruential generator (Knuth, MMIX): the tests must be the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        let next = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = next.wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % end as u64) as usize
    }
}

/// Opens and reads whatever can be; only that it returns matters.
fn try_all(path: &Path) {
    if let Ok(data) = open(path, &OpenOptions::default()) {
        for field in data.fields.iter().take(4) {
            for c in 0..field.planes.len().min(4) {
                for z in 0..field.planes[c].len().min(8) {
                    let _ = field.read(c, z);
                }
            }
        }
    }
}

#[test]
fn damaged_metadata_never_panics() {
    let folder = companion_set();
    let path = folder.path().join("multifile.companion.ome");
    let sound = fs::read(&path).expect("the companion");
    let mut random = Random(5);
    for end in (0..sound.len()).step_by(7) {
        fs::write(&path, &sound[..end]).expect("written");
        try_all(&path);
        try_all(folder.path());
    }
    for round in 0..300 {
        let mut bytes = sound.clone();
        for _ in 0..1 + round % 3 {
            let at = random.below(bytes.len());
            bytes[at] = match round % 2 {
                0 => bytes[at] ^ (1 << random.below(8)),
                _ => b"0987<>\"/ \x00"[random.below(10)],
            };
        }
        fs::write(&path, &bytes).expect("written");
        try_all(&path);
        try_all(&folder.path().join("multifile-Z2.ome.tiff"));
    }
    // Cut off in the middle, it gives what came before, and says so.
    let cut = sound.len() / 2 + 200;
    fs::write(&path, &sound[..cut]).expect("written");
    has(&opened(&path), "its OME metadata is damaged");
}

#[test]
fn damaged_files_of_a_set_never_panic() {
    let folder = companion_set();
    let path = folder.path().join("multifile-Z2.ome.tiff");
    let sound = fs::read(&path).expect("a file");
    let mut random = Random(6);
    for round in 0..300 {
        let mut bytes = sound.clone();
        match round % 2 {
            0 => bytes.truncate(random.below(sound.len())),
            _ => {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
        }
        fs::write(&path, &bytes).expect("written");
        try_all(&path);
        try_all(folder.path());
    }
}

#[test]
fn acquisitions_of_a_plate_show_the_same_places() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sample = |k: u32| {
        format!(
            "<WellSample ID=\"WellSample:{k}\" Index=\"{k}\"><ImageRef ID=\"Image:{k}\"/>\
             </WellSample>"
        )
    };
    let samples: String = (0..4).map(sample).collect();
    let of = |name: &str, samples: [u32; 2]| {
        let refs = samples.map(|k| format!("<WellSampleRef ID=\"WellSample:{k}\"/>"));
        format!(
            "<PlateAcquisition ID=\"PlateAcquisition:{name}\" Name=\"{name}\">{}\
             </PlateAcquisition>",
            refs.concat()
        )
    };
    let image = |k: u32| {
        format!(
            "<Image ID=\"Image:{k}\"><Pixels DimensionOrder=\"XYZCT\" SizeX=\"6\" SizeY=\"4\" \
             SizeC=\"1\" SizeZ=\"1\" SizeT=\"1\"><TiffData IFD=\"0\" PlaneCount=\"1\">\
             <UUID FileName=\"{k}.tif\">urn:uuid:{k}</UUID></TiffData></Pixels></Image>"
        )
    };
    let images: String = (0..4).map(image).collect();
    let text = format!(
        "<OME><Plate Name=\"p\"><Well Row=\"1\" Column=\"1\">{samples}</Well>{}{}</Plate>\
         {images}</OME>",
        of("day 1", [0, 1]),
        of("day 2", [2, 3])
    );
    put(folder.path(), "p.companion.ome", text.as_bytes());
    for k in 0..4 {
        common::put_plane(folder.path(), &format!("{k}.tif"), k, "");
    }
    let data = opened(folder.path());
    assert_eq!(
        names(&data),
        [
            "day_1_B02_s1",
            "day_1_B02_s2",
            "day_2_B02_s1",
            "day_2_B02_s2"
        ]
    );
    assert_eq!(data.fields[0].position, data.fields[2].position);
    assert_eq!(data.fields[1].position, data.fields[3].position);
    assert_ne!(data.fields[0].position, data.fields[1].position);
    assert_eq!(firsts(&data)[2], [[200.0]]);
}

//! `stainfree.toml`: what holds where nothing is said, and what is said of what cannot be.

use std::path::{Path, PathBuf};

use stainfree_project::study::config::{
    self, Config, CytoplasmFrom, IlluminationChoice, MaskValues, MissingCells, NucleiFrom, Scheme,
    ShiftChoice,
};
use stainfree_project::study::template::render;
use stainfree_project::{Study, study::recipe};

use crate::common::{Place, has, said};

/// The least that a study has to say.
const LEAST: &str = "[images]\npath = \"../plate\"\nbrightfield = [\"TL\"]\n\n[truth]\nnucleus = \
    \"DAPI\"\nclasses = [\"background\", \"nucleus\"]\n";

fn parse(text: &str) -> Result<Config, stainfree_project::ProjectError> {
    config::parse(text, Path::new("study/stainfree.toml"))
}

/// [`LEAST`] with `line` in `section`, in place of the one that sets the same key there; and the
/// number of that line.
fn with(section: &str, line: &str) -> (String, usize) {
    let head = format!("[{section}]");
    let key = line.split('=').next().unwrap();
    let mut lines: Vec<String> = LEAST.lines().map(str::to_owned).collect();
    if !lines.contains(&head) {
        lines.push(head.clone());
    }
    let at = lines.iter().position(|known| *known == head).unwrap() + 1;
    lines.retain(|known| !known.starts_with(key));
    lines.insert(at, line.to_owned());
    (lines.join("\n") + "\n", at + 1)
}

#[test]
fn what_is_left_out_is_what_the_documentation_says() {
    let config = parse(LEAST).unwrap();
    assert_eq!(config.images.path, PathBuf::from("../plate"));
    assert!(config.images.planes.is_empty() && config.images.pixel_um.is_none());
    let truth = &config.truth;
    assert_eq!(truth.corrected, PathBuf::from("human/corrected"));
    assert_eq!(truth.mask_values, MaskValues::Classes);
    assert_eq!(truth.missing_cells, MissingCells::Skip);
    assert_eq!((truth.scheme, truth.line_px), (Scheme::A, 3));
    assert_eq!(truth.illumination.correct, IlluminationChoice::Auto);
    assert_eq!(truth.shift.correct, ShiftChoice::Auto);
    assert_eq!(truth.shift.max_radius_px, 0.5);
    assert_eq!(truth.shift.labels_px, [0, 0]);
    assert!(!truth.mitosis.find);
    assert_eq!(
        (truth.mitosis.min_score, truth.mitosis.review_score),
        (0.5, 0.1)
    );
    assert_eq!(config.split.fractions, [0.8, 0.1, 0.1]);
    assert_eq!((config.split.seed, &config.split.group[..]), (0, "well"));
    assert!(config.split.test_groups.is_empty() && config.split.fold.is_none());
    assert_eq!(config.training.recipe, "default");
    assert_eq!(config.training.weights, "auto");
    assert!(config.training.change.is_empty());
}

/// The value that a comment calls the default, as TOML; the longest text behind the word that is a
/// value.
fn default_in(comment: &str) -> Option<toml::Value> {
    let (_, rest) = comment.rsplit_once("Default ")?;
    let ends = (1..=rest.len()).rev().filter(|&i| rest.is_char_boundary(i));
    ends.filter_map(|end| toml::from_str::<toml::Table>(&format!("v = {}", &rest[..end])).ok())
        .find_map(|table| table.get("v").cloned())
}

#[test]
fn the_written_file_calls_those_values_defaults_that_hold() {
    let mut usual = parse(LEAST).unwrap();
    usual.truth.classes = usual.truth.usual_classes();
    let text = render(&usual, &recipe::listing("default").unwrap());
    let values: toml::Table = toml::from_str(&text).unwrap();
    let (mut table, mut comment, mut checked) = (String::new(), String::new(), 0);
    for line in text.lines() {
        if let Some(said) = line.strip_prefix("# ") {
            comment.push_str(said);
            comment.push(' ');
        } else if let Some(name) = line.strip_prefix('[').filter(|l| l.ends_with(']')) {
            table = name.trim_end_matches(']').to_owned();
            comment.clear();
        } else if let Some((key, _)) = line.split_once(" = ") {
            if let Some(default) = default_in(&comment) {
                let mut found = &toml::Value::Table(values.clone());
                for part in table.split('.').chain([key]) {
                    found = &found[part];
                }
                assert_eq!(*found, default, "`{key}` of [{table}]: {comment}");
                checked += 1;
            }
            comment.clear();
        }
    }
    // All of them but the path, the brightfield, the classes and what shares a comment.
    assert!(checked > 45, "{checked} defaults were found");
}

#[test]
fn a_study_whose_every_choice_differs_is_written_and_read_again() {
    let text = "\
[images]
path = \"C:/Daten/Platte \\\"7\\\"\"
brightfield = [\"TL, low\", \"TL\", \"TL # high\"]
planes = [2]
pixel_um = 0.65
[truth]
labels = \"../lab els\"
corrected = \"drawn\"
cell_labels = \"../cells\"
missing_cells = \"ignore\"
classes = [\"background\", \"nucleus\", \"cytoplasm\"]
line_px = 5
line_placement = \"across\"
[truth.illumination]
correct = \"off\"
camera_offset = 100.5
[truth.shift]
correct = \"fixed\"
max_radius_px = 1.5
nucleus_px = [1.5, -2.0]
cytoplasm_px = [-512.0, 512.0]
labels_px = [3, -4]
[truth.mitosis]
min_score = 1.0
review_score = 0.0
[split]
fractions = [0.5, 0.0, 0.5]
seed = 18446744073709551
group = \"re:^([^_]+)_\"
test_groups = [\"a, b\", \"\\\"q\\\"\", \"ü\"]
fold = [2, 5]
[training]
recipe = \"paper\"
weights = \"none\"
[training.change]
batch = 3
note = \"none\"
";
    let config = parse(text).unwrap();
    let again = render(&config, "batch = 8\nsteps = 4");
    assert_eq!(parse(&again).unwrap(), config, "{again}");
    // A choice that is made does not stand there as a comment as well.
    assert!(!again.contains("# batch = 8") && again.contains("# steps = 4"));
    // Written twice it is the same text: nothing is rounded on the way.
    assert_eq!(
        render(&parse(&again).unwrap(), "batch = 8\nsteps = 4"),
        again
    );
}

#[test]
fn values_that_cannot_be_are_refused_with_line_key_and_way_out() {
    let cases: [(&str, &str, &[&str]); 31] = [
        (
            "images",
            "path = \"\"",
            &["`images.path` is empty", "name the plate"],
        ),
        (
            "images",
            "brightfield = []",
            &["names 0 channels", "name one, or three"],
        ),
        (
            "images",
            "brightfield = [\"a\", \"b\"]",
            &["names 2 channels"],
        ),
        (
            "images",
            "planes = [1, 2]",
            &["has 2 entries", "one or three z"],
        ),
        ("images", "planes = [0]", &["holds 0", "count from 1"]),
        (
            "images",
            "pixel_um = 0.0",
            &["`images.pixel_um`", "above 0"],
        ),
        ("images", "pixel_um = -0.5", &["`images.pixel_um`"]),
        ("images", "pixel_um = nan", &["`images.pixel_um`"]),
        ("images", "pixel_um = inf", &["`images.pixel_um`"]),
        ("truth", "line_px = 0", &["`truth.line_px` is 0", "1 to 15"]),
        ("truth", "line_px = 16", &["`truth.line_px` is 16"]),
        (
            "truth.illumination",
            "camera_offset = -1.0",
            &["camera_offset", "0 or more"],
        ),
        (
            "truth.illumination",
            "camera_offset = nan",
            &["camera_offset"],
        ),
        (
            "truth.shift",
            "max_radius_px = 0.0",
            &["max_radius_px", "above 0"],
        ),
        ("truth.shift", "max_radius_px = inf", &["max_radius_px"]),
        (
            "truth.shift",
            "nucleus_px = [0.0, 513.0]",
            &["nucleus_px", "at most 512"],
        ),
        (
            "truth.shift",
            "cytoplasm_px = [nan, 0.0]",
            &["cytoplasm_px", "at most 512"],
        ),
        (
            "truth.shift",
            "labels_px = [-513, 0]",
            &["labels_px", "at most 512"],
        ),
        (
            "truth.shift",
            "labels_px = [-2147483648, 0]",
            &["labels_px"],
        ),
        (
            "truth.mitosis",
            "min_score = 1.1",
            &["min_score` is 1.1", "0 to 1"],
        ),
        (
            "truth.mitosis",
            "review_score = -0.1",
            &["review_score` is -0.1"],
        ),
        ("truth.mitosis", "min_score = nan", &["min_score` is NaN"]),
        (
            "split",
            "fractions = [0.0, 0.5, 0.5]",
            &["split `0,0.5,0.5`", "`0.8,0.1,0.1`"],
        ),
        ("split", "fractions = [1.1, 0.1, -0.2]", &["three shares"]),
        ("split", "fractions = [nan, 0.5, 0.5]", &["three shares"]),
        (
            "split",
            "fold = [0, 3]",
            &["`fold` is [0, 3]", "such as [1, 3]"],
        ),
        ("split", "fold = [4, 3]", &["`fold` is [4, 3]"]),
        ("split", "fold = [1, 1]", &["`fold` is [1, 1]"]),
        (
            "split",
            "group = \"\"",
            &["the group rule is empty", "`key:NAME`"],
        ),
        (
            "split",
            "group = \"re:(\"",
            &["`re:(` is no regular expression"],
        ),
        (
            "truth",
            "classes = [\"background\"]",
            &["it must be [\"background\", \"nucleus\"]"],
        ),
    ];
    for (section, line, parts) in cases {
        let (text, number) = with(section, line);
        let sentence = said(parse(&text));
        let place = format!("`study/stainfree.toml`, line {number}: ");
        has(&sentence, &[&place]);
        has(&sentence, parts);
    }
}

#[test]
fn the_last_values_before_those_are_taken() {
    let cases = [
        ("images", "planes = [3]"),
        ("images", "planes = [1, 5, 9]"),
        ("images", "brightfield = [\"a\", \"b\", \"c\"]"),
        ("truth", "line_px = 1"),
        ("truth", "line_px = 15"),
        ("truth.illumination", "camera_offset = 0.0"),
        ("truth.shift", "nucleus_px = [512.0, -512.0]"),
        ("truth.shift", "labels_px = [-512, 512]"),
        ("truth.mitosis", "min_score = 0.0"),
        ("truth.mitosis", "review_score = 1.0"),
        ("split", "fractions = [1.0, 0.0, 0.0]"),
        ("split", "fractions = [0.3333333, 0.3333333, 0.3333334]"),
        ("split", "fold = [2, 2]"),
    ];
    for (section, line) in cases {
        let (text, _) = with(section, line);
        parse(&text).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn sources_that_contradict_each_other_are_named_with_a_line_that_is_there() {
    // The lines of `[truth]`, a part of the sentence, and the line it names.
    let cases: [(&str, &str, usize); 8] = [
        (
            "classes = [\"background\", \"nucleus\"]",
            "says nowhere where the nuclei are",
            4,
        ),
        (
            "masks = \"m\"\nlabels = \"l\"",
            "more than one of `nucleus`, `masks`, `labels`",
            5,
        ),
        (
            "nucleus = \"DAPI\"\nmasks = \"m\"",
            "more than one of `nucleus`, `masks`",
            5,
        ),
        (
            "labels = \"l\"\ncell_masks = \"c\"\ncell_labels = \"d\"",
            "more than one of `cytoplasm`, `cell_masks`, `cell_labels`",
            6,
        ),
        (
            "masks = \"m\"\ncytoplasm = \"Mito\"\nclasses = [\"background\", \"nucleus\"]",
            "already say what is cytoplasm",
            5,
        ),
        (
            "masks = \"m\"\nscheme = \"B\"\nclasses = [\"background\", \"nucleus\"]",
            "scheme B is made from nuclei alone",
            6,
        ),
        (
            "masks = \"m\"\nclasses = [\"background\"]",
            "names 1 classes; name 2 to 16, background first",
            6,
        ),
        (
            "labels = \"l\"\nclasses = [\"background\", \"nucleus\"]\n[truth.mitosis]\nfind = true",
            "mitotic nuclei are found in a nuclear stain",
            8,
        ),
    ];
    for (lines, part, line) in cases {
        let head = "[images]\npath = \"p\"\nbrightfield = [\"b\"]\n[truth]\n";
        let sentence = said(parse(&format!("{head}{lines}\n")));
        has(&sentence, &[part]);
        has(
            &sentence,
            &[&format!("`study/stainfree.toml`, line {line}: ")],
        );
    }
}

#[test]
fn unknown_keys_and_words_are_named_in_every_section() {
    let cases: [(&str, &str, &str); 12] = [
        (
            "images",
            "pixelum = 0.5",
            "unknown key `pixelum`; did you mean `pixel_um`?",
        ),
        (
            "truth",
            "nuclei = \"DAPI\"",
            "unknown key `nuclei`; did you mean `nucleus`?",
        ),
        (
            "truth",
            "mask_values = \"Binary\"",
            "`Binary`; did you mean `binary`?",
        ),
        (
            "truth",
            "missing_cells = \"drop\"",
            "unknown value `drop` (known: `skip`, `ignore`)",
        ),
        ("truth.illumination", "offset = 3.0", "unknown key `offset`"),
        (
            "truth.illumination",
            "correct = \"on\"",
            "unknown value `on`",
        ),
        (
            "truth.shift",
            "max_radius = 1.0",
            "did you mean `max_radius_px`?",
        ),
        ("truth.shift", "correct = \"fix\"", "did you mean `fixed`?"),
        (
            "truth.mitosis",
            "minscore = 0.4",
            "did you mean `min_score`?",
        ),
        (
            "truth.nucleus_settings",
            "closing = 1.0",
            "did you mean `closing_um`?",
        ),
        ("split", "folds = [1, 3]", "did you mean `fold`?"),
        ("training", "weight = \"none\"", "did you mean `weights`?"),
    ];
    for (section, line, part) in cases {
        let (text, number) = with(section, line);
        let sentence = said(parse(&text));
        has(&sentence, &[part, &format!("line {number}: ")]);
    }
    let (text, _) = with("trainings", "recipe = \"paper\"");
    has(
        &said(parse(&text)),
        &["unknown key `trainings`; did you mean `training`?"],
    );
}

#[test]
fn a_value_of_another_type_is_named_with_its_line() {
    for (section, line) in [
        ("images", "planes = \"1\""),
        ("images", "planes = [-1]"),
        ("images", "brightfield = \"TL\""),
        ("images", "pixel_um = \"0.5\""),
        ("truth", "line_px = 2.5"),
        ("truth.shift", "labels_px = [0.5, 0]"),
        ("truth.shift", "nucleus_px = [1.0]"),
        ("truth.mitosis", "find = \"yes\""),
        ("split", "seed = -1"),
        ("split", "fractions = [0.8, 0.2]"),
        ("split", "test_groups = \"B02\""),
        ("training", "change = 3"),
    ] {
        let (text, number) = with(section, line);
        has(&said(parse(&text)), &[&format!("line {number}: ")]);
    }
}

#[test]
fn where_nuclei_and_cytoplasm_come_from_follows_from_the_keys() {
    let config = |lines: &str| {
        let head = "[images]\npath = \"p\"\nbrightfield = [\"b\"]\n[truth]\n";
        parse(&format!("{head}{lines}\n")).unwrap().truth
    };
    let three = "classes = [\"background\", \"nucleus\", \"cytoplasm\"]";
    let stained = config(&format!(
        "nucleus = \"DAPI\"\ncytoplasm = \"Mito\"\n{three}"
    ));
    assert_eq!(stained.nuclei_from(), Some(NucleiFrom::Stain("DAPI")));
    assert_eq!(stained.cytoplasm_from(), CytoplasmFrom::Stain("Mito"));
    let folders = config(&format!("labels = \"l\"\ncell_masks = \"c\"\n{three}"));
    assert_eq!(
        folders.nuclei_from(),
        Some(NucleiFrom::Labels(Path::new("l")))
    );
    assert_eq!(
        folders.cytoplasm_from(),
        CytoplasmFrom::Cells(Path::new("c"))
    );
    let binary =
        config("masks = \"m\"\nmask_values = \"binary\"\nclasses = [\"background\", \"nucleus\"]");
    assert_eq!(
        binary.nuclei_from(),
        Some(NucleiFrom::Masks(Path::new("m")))
    );
    assert_eq!(binary.cytoplasm_from(), CytoplasmFrom::Nothing);
    // Class masks name their own classes, up to what a mask can say.
    let named = config("masks = \"m\"\nclasses = [\"empty\", \"a\", \"b\", \"c\"]");
    assert_eq!(named.classes.len(), 4);
    let lines = config(
        "labels = \"l\"\nscheme = \"B\"\nclasses = [\"background\", \"nucleus\", \"boundary\", \
         \"split\"]",
    );
    assert_eq!(lines.usual_classes(), lines.classes);
    let mitotic = config(
        "nucleus = \"DAPI\"\nclasses = [\"background\", \"nucleus\", \"mitotic\"]\n\
         [truth.mitosis]\nfind = true",
    );
    assert_eq!(mitotic.usual_classes(), mitotic.classes);
}

#[test]
fn however_an_editor_saved_the_file_it_says_the_same() {
    let place = Place::new();
    let (wrong, number) = with("split", "seed = -1");
    let utf16 = |text: &str| {
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        [0xFF, 0xFE].into_iter().chain(units).collect::<Vec<u8>>()
    };
    let forms: [fn(&str) -> Vec<u8>; 4] = [
        |text| text.replace('\n', "\r\n").into_bytes(),
        |text| text.replace('\n', "\r").into_bytes(),
        |text| format!("\u{feff}{text}").into_bytes(),
        |text| text.as_bytes().to_vec(),
    ];
    let expected = parse(LEAST).unwrap();
    let mut saved: Vec<(Vec<u8>, Vec<u8>)> = forms.map(|f| (f(LEAST), f(&wrong))).to_vec();
    saved.push((utf16(LEAST), utf16(&wrong)));
    for (good, bad) in saved {
        place.write("study/stainfree.toml", &good);
        let study = Study::open(&place.path("study")).unwrap();
        assert_eq!(*study.config(), expected);
        place.write("study/stainfree.toml", &bad);
        let sentence = said(Study::open(&place.path("study")));
        has(&sentence, &[&format!("stainfree.toml`, line {number}: ")]);
    }
}

//! How `stainfree.toml` is written out: every choice with a comment, its unit and its default.

use std::fmt::Write as _;

use stainfree_network::Encoder;
use stainfree_objects::{Splitting, StainSettings, Threshold};

use crate::study::config::{
    Config, IlluminationConfig, ImagesConfig, MaskValues, MissingCells, MitosisConfig, Scheme,
    ShiftConfig, SplitConfig, TrainingConfig, TruthConfig, toml_value,
};

/// `config` as the text of a `stainfree.toml`; reading it gives `config` again.
///
/// `recipe` lists the choices of the recipe as `name = value` lines; they are written as comments,
/// ready to be changed.
pub fn render(config: &Config, recipe: &str) -> String {
    let mut out = Writer::default();
    out.text(
        "# A study of stainfree: every choice is here, with its unit and its default.\n\
         # Relative paths are relative to this file. A key that is not known is an error.\n\
         # After a change: `stainfree prepare` remakes what depends on it.\n",
    );

    images(&mut out, &config.images);
    truth_sources(&mut out, &config.truth);
    truth_classes(&mut out, &config.truth);
    illumination(&mut out, &config.truth.illumination);
    shift(&mut out, &config.truth.shift);
    mitosis(&mut out, &config.truth.mitosis);
    out.section("truth.nucleus_settings");
    out.comment("How nuclei are found in their stain.");
    out.settings(&config.truth.nucleus_settings, &StainSettings::default());
    out.section("truth.cytoplasm_settings");
    out.comment("How the cytoplasm is found in its stain.");
    out.settings(
        &config.truth.cytoplasm_settings,
        &StainSettings::cytoplasm(),
    );
    split(&mut out, &config.split);
    training(&mut out, &config.training, recipe);
    out.0
}

fn images(out: &mut Writer, images: &ImagesConfig) {
    out.section("images");
    out.comment("The plate, folder or file with the images.");
    out.set("path", &images.path.to_string_lossy().as_ref());
    out.comment("Brightfield: one channel, or three channels that are its planes.");
    out.set("brightfield", &images.brightfield);
    out.comment(
        "z of that channel, from 1: one, or three. Default []: all where there are three, \
        else the middle one.",
    );
    out.set("planes", &images.planes);
    out.comment(
        "Pixel size in um. Default: as the images say, and without it lengths are in pixels.",
    );
    out.option("pixel_um", images.pixel_um, "0.325");
    out.comment(
        "How names of files are to be read (a regular expression; docs/files.md). Default: as they \
        are recognised.",
    );
    let example = r#"'(?<well>[A-P]\d+)_s(?<site>\d+)_(?<channel>[^_]+)'"#;
    out.option("pattern", images.pattern.as_ref(), example);
}

/// Where nuclei and cytoplasm come from.
fn truth_sources(out: &mut Writer, truth: &TruthConfig) {
    out.section("truth");
    out.comment("Where the nuclei are; exactly one of `nucleus`, `masks`, `labels`:");
    out.comment("a nuclear stain (name of the channel),");
    out.option("nucleus", truth.nucleus.as_ref(), "\"Hoechst\"");
    out.comment("or masks (a folder; files are matched by the name of the field),");
    out.option("masks", truth.masks.as_ref(), "\"../masks\"");
    out.comment(
        "or nucleus instances (a folder; 0 is background, every nucleus has its own number).",
    );
    out.option("labels", truth.labels.as_ref(), "\"../labels\"");
    out.comment(
        "A folder of nucleus instances corrected by hand (copies of truth/nuclei edited in \
        napari, Fiji ..);",
    );
    out.comment(
        "each takes the place of the automatic nuclei of its field. Default \"human/corrected\".",
    );
    out.set("corrected", &truth.corrected.to_string_lossy().as_ref());
    out.comment(
        "What the values of `masks` mean: \"classes\" (the value is the class, 255 is ignored)",
    );
    out.comment("or \"binary\" (anything but 0 is nucleus). Default \"classes\".");
    out.set(
        "mask_values",
        &match truth.mask_values {
            MaskValues::Classes => "classes",
            MaskValues::Binary => "binary",
        },
    );
    out.comment(
        "Where the cytoplasm is; at most one of `cytoplasm` (name of the channel of its stain),",
    );
    out.option("cytoplasm", truth.cytoplasm.as_ref(), "\"MitoTracker\"");
    out.comment(
        "`cell_masks` (a folder of whole-cell masks), `cell_labels` (a folder of \
        whole-cell instances).",
    );
    out.comment("The nucleus is painted over it.");
    out.option("cell_masks", truth.cell_masks.as_ref(), "\"../cells\"");
    out.option("cell_labels", truth.cell_labels.as_ref(), "\"../cells\"");
    out.comment(
        "A field without a file in that folder: \"skip\" leaves the field out, \"ignore\" \
        keeps its",
    );
    out.comment(
        "nuclei and ignores every other pixel, since background and cytoplasm cannot be \
        told apart.",
    );
    out.comment("Default \"skip\".");
    out.set(
        "missing_cells",
        &match truth.missing_cells {
            MissingCells::Skip => "skip",
            MissingCells::Ignore => "ignore",
        },
    );
}

/// What the classes are, and how lines between objects are drawn.
fn truth_classes(out: &mut Writer, truth: &TruthConfig) {
    out.comment("Names of the classes, background first.");
    out.set("classes", &truth.classes);
    out.comment(
        "\"A\": background, nucleus, cytoplasm. \"B\": background, nucleus, boundary, \
        split. Default \"A\".",
    );
    out.set(
        "scheme",
        &match truth.scheme {
            Scheme::A => "A",
            Scheme::B => "B",
        },
    );
    out.comment("Scheme B: width of outline and cut in pixels. Default 3.");
    out.set("line_px", &truth.line_px);
    out.comment(
        "Scheme B: where the outline lies: \"inside\", \"outside\" or \"across\" the edge. \
        Default \"inside\".",
    );
    out.set("line_placement", &truth.line_placement);
}

fn illumination(out: &mut Writer, light: &IlluminationConfig) {
    out.section("truth.illumination");
    out.comment(
        "Uneven light of each stain. \"auto\": estimated from at least 4 fields of a plate \
        and divided out where the",
    );
    out.comment(
        "estimate is certain (truth/illumination.png shows it); \"off\". Default \"auto\".",
    );
    out.set("correct", &light.correct);
    out.comment(
        "What a dark image of the camera shows, counts: it is not light. Where it is not \
        known, 0. Default 0.0.",
    );
    out.set("camera_offset", &light.camera_offset);
}

fn shift(out: &mut Writer, shift: &ShiftConfig) {
    out.section("truth.shift");
    out.comment(
        "Stains are often shifted against the brightfield, differently in every plate and well.",
    );
    out.comment(
        "\"auto\": estimated from the images, corrected where the estimate is \
        certain; \"off\"; \"fixed\": as below.",
    );
    out.comment("Default \"auto\". `truth/shifts.csv` has the estimates.");
    out.set("correct", &shift.correct);
    out.comment(
        "Certain: 95 % of the estimate's uncertainty lie within this distance, pixels. \
        Default 0.5.",
    );
    out.set("max_radius_px", &shift.max_radius_px);
    out.comment(
        "\"fixed\": how far the stain lies below and right of the brightfield, pixels. \
        Default [0.0, 0.0].",
    );
    out.set("nucleus_px", &shift.nucleus_px);
    out.set("cytoplasm_px", &shift.cytoplasm_px);
    out.comment(
        "The same of label images and masks given as truth, whole pixels; they are always \
        moved back by it. Default [0, 0]: as `stainfree align` has found, where it was run.",
    );
    out.set("labels_px", &shift.labels_px);
}

fn mitosis(out: &mut Writer, mitosis: &MitosisConfig) {
    out.section("truth.mitosis");
    out.comment(
        "Whether mitotic nuclei become a class of their own (`prepare --mitosis` switches \
        it on). Default false.",
    );
    out.set("find", &mitosis.find);
    out.comment(
        "A nucleus of at least this score is called mitotic, unless truth/mitosis.csv says \
        otherwise. Default 0.5.",
    );
    out.set("min_score", &mitosis.min_score);
    out.comment("Nuclei of at least this score are put on that list. Default 0.1.");
    out.set("review_score", &mitosis.review_score);
}

fn split(out: &mut Writer, split: &SplitConfig) {
    out.section("split");
    out.comment("Shares of the fields that train, validate (choose the checkpoint) and test.");
    out.comment("Default [0.8, 0.1, 0.1].");
    out.set("fractions", &split.fractions);
    out.comment("Groups keep their part when others join (split.json); a change here splits anew.");
    out.comment("Another seed gives another split. Default 0.");
    out.set("seed", &split.seed);
    out.comment(
        "Fields of one group stay together: \"well\" (all times of a place where none is known),",
    );
    out.comment(
        "\"field\", \"key:NAME\" (a key of the fields' metadata), or \"re:PATTERN\", an expression \
        whose first",
    );
    out.comment("capture in the field's name is the group. Default \"well\".");
    out.set("group", &split.group);
    out.comment("Groups that are the test set, whatever the fractions say. Default [].");
    out.set("test_groups", &split.test_groups);
    out.comment(
        "Cross-validation: [1, 3] is the first of three folds. Test groups are left out, \
        and a third of the other",
    );
    out.comment("groups takes their place. Default: none.");
    out.option("fold", split.fold, "[1, 3]");
}

fn training(out: &mut Writer, training: &TrainingConfig, recipe: &str) {
    out.section("training");
    out.comment(
        "\"default\" (robust, works best on real images), \"paper\" (as Bisaria et al. \
        2020 ran it),",
    );
    out.comment("or a file with a recipe. Default \"default\".");
    out.set("recipe", &training.recipe);
    out.comment(
        "What to start from: \"auto\" (encoder weights found here or carried by the \
        program, else none), \"none\",",
    );
    out.comment(
        "a name that `stainfree weights` lists, a file, or a model's folder. Default \"auto\".",
    );
    out.set("weights", &training.weights);
    out.section(crate::study::recipe::CHANGE);
    let encoders: Vec<&str> = Encoder::ALL.iter().map(|e| e.name()).collect();
    out.comment("Any choice of the recipe can be changed here; these are its choices");
    out.comment(&format!("(encoders there are: {}):", encoders.join(", ")));
    for line in recipe.lines().filter(|line| !line.trim().is_empty()) {
        let key = line.split('=').next().unwrap_or_default().trim();
        if !training.change.contains_key(key) {
            out.comment(line);
        }
    }
    for (key, value) in &training.change {
        out.set(key, value);
    }
}

/// What a setting of the stain segmentation means, with its unit; `None` for one that is not known.
fn meaning(setting: &str) -> Option<&'static str> {
    Some(match setting {
        "smoothing_um" => "Standard deviation of the blur before the threshold, um.",
        "haze_share" => {
            "Share of the light that is spread widely (haze) and taken away; 0 takes none."
        }
        "haze_um" => "Standard deviation of that spread, um.",
        "background_um" => {
            "Width of the windows of the background estimate, um; 0 leaves the background in."
        }
        "threshold" => "The threshold method.",
        "threshold_factor" => "The threshold is multiplied by this; above 1 means smaller masks.",
        "local_radius_um" => "Half-width of the window of the local thresholds, um.",
        "closing_um" => "Radius of the disk that closes gaps, um; 0 closes nothing.",
        "max_hole_um2" => "Holes up to this area are filled, um2.",
        "min_area_um2" => "Objects below this area are dropped, um2.",
        "object_share" => {
            "The \"object\" threshold: share of an object's brightness at which its edge lies."
        }
        "object_smoothing_um" => {
            "The \"object\" threshold: Gaussian that hides texture inside objects, um."
        }
        "typical_diameter_um" => {
            "Diameter of a typical object, um: the yardstick where no pixel size is known."
        }
        "splitting" => "How touching nuclei are separated.",
        "ignore_width_px" => {
            "Pixels at most this far from the mask's edge may be ignored, pixels; 0 ignores none."
        }
        "ignore_margin" => {
            "Of those, the ones are ignored that change sides when the threshold moves by this \
             share."
        }
        "quality" => "From which number on a field is called unusable or doubtful.",
        _ => return None,
    })
}

#[derive(Default)]
struct Writer(String);

impl Writer {
    fn text(&mut self, text: &str) {
        self.0.push_str(text);
    }

    fn section(&mut self, name: &str) {
        // Writing into a string cannot fail.
        let _ = writeln!(self.0, "\n[{name}]");
    }

    fn comment(&mut self, text: &str) {
        let _ = writeln!(self.0, "# {text}");
    }

    fn set(&mut self, key: &str, value: &(impl serde::Serialize + ?Sized)) {
        let _ = writeln!(self.0, "{key} = {}", toml_value(value));
    }

    fn option(&mut self, key: &str, value: Option<impl serde::Serialize>, example: &str) {
        match value {
            Some(value) => self.set(key, &value),
            None => {
                let _ = writeln!(self.0, "# {key} = {example}");
            }
        }
    }

    fn settings(&mut self, settings: &StainSettings, defaults: &StainSettings) {
        let (Ok(values), Ok(usual)) = (
            toml::Table::try_from(settings),
            toml::Table::try_from(defaults),
        ) else {
            return;
        };
        for (key, value) in &values {
            let default = usual.get(key).map_or("none".to_owned(), toml_value);
            self.comment(&format!(
                "{} Default {default}.",
                meaning(key).unwrap_or_default()
            ));
            if key == "threshold" {
                let names: Vec<String> = Threshold::all()
                    .map(|method| format!("\"{method}\""))
                    .collect();
                self.comment(&format!("One of {}.", names.join(", ")));
            }
            if key == "splitting" {
                let names: Vec<String> = Splitting::all()
                    .filter(|method| method.reads().is_none())
                    .map(|method| format!("\"{method}\""))
                    .collect();
                self.comment(&format!(
                    "Methods: {}; each has its own choices, which may be left out.",
                    names.join(", ")
                ));
            }
            self.set(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::study::config;

    /// A study whose every optional key is set or not.
    fn example() -> Config {
        let mut config = Config::default();
        config.images.path = "../plate".into();
        config.images.brightfield = vec!["TL \"1\"".to_owned()];
        config.truth.nucleus = Some("Hoechst".to_owned());
        config.truth.classes = config.truth.usual_classes();
        config
    }

    #[test]
    fn what_is_written_reads_back() {
        let recipe = crate::study::recipe::listing("default").unwrap();
        let mut config = example();
        assert_eq!(
            config::parse(&render(&config, &recipe), Path::new("f")).unwrap(),
            config
        );
        config.images.pixel_um = Some(0.325);
        config.truth.cytoplasm = Some("Mito".to_owned());
        config.truth.classes = config.truth.usual_classes();
        config.truth.cytoplasm_settings.closing_um = 3.5;
        config.split.test_groups = vec!["B02".to_owned(), "ü".to_owned()];
        config.training.change.insert("batch".to_owned(), 2.into());
        let text = render(&config, &recipe);
        assert_eq!(
            config::parse(&text, Path::new("f")).unwrap(),
            config,
            "{text}"
        );
    }

    #[test]
    fn every_setting_is_explained_and_every_comment_line_of_a_choice_can_be_switched_on() {
        let text = render(
            &example(),
            &crate::study::recipe::listing("default").unwrap(),
        );
        let table = toml::Table::try_from(StainSettings::default()).unwrap();
        for key in table.keys() {
            assert!(meaning(key).is_some(), "`{key}` has no comment");
        }
        // The choices of the recipe are comments that become valid when the `# ` is taken away.
        let (head, recipe) = text.split_once("[training.change]\n").unwrap();
        let recipe: Vec<&str> = recipe
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .filter(|line| line.contains(" = "))
            .collect();
        assert!(recipe.len() > 10);
        let switched = format!("{head}[training.change]\n{}", recipe.join("\n"));
        let config = config::parse(&switched, Path::new("f")).unwrap();
        let loaded = crate::study::recipe::load(
            Path::new("."),
            &config.training,
            Path::new("f"),
            crate::study::recipe::CHANGE,
        )
        .unwrap();
        assert_eq!(loaded, stainfree_network::recipe::Recipe::standard());
    }
}

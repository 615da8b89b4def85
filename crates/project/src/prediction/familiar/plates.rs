//! Fields of a plate put together, and what is said of them.

use std::collections::BTreeMap;

use serde::Serialize;
use stainfree_image::Dataset;

use super::compare::{Compared, Expected, Familiarity};
use super::difference::Difference;
use super::features::{Looks, median, middle_of};
use crate::prediction::table::Rows;
use crate::study::predictions::LOOKS;

/// Plates that are told one by one; the others are counted.
const MOST_TOLD: usize = 3;

/// How unlike the training the fields of a plate are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlateLooks {
    /// The plate, where the layout knows plates.
    pub plate: Option<String>,
    /// Its fields that were compared.
    pub fields: usize,
    /// Those that are unlike the training.
    pub strange_fields: usize,
    /// That of the median of its fields, or the median of theirs where it is larger: 1 is what 5 %
    /// of the groups and fields like the training exceed.
    pub strangeness: f64,
    /// Whether that is above 1, as it is where more than half of the fields are.
    pub strange: bool,
    /// What stands out in the middle of its fields.
    pub differences: Vec<Difference>,
    /// What scores are to be expected, where that was measured.
    pub expected: Option<Expected>,
}

/// What of the inputs is unlike the training.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Strange {
    /// Every plate whose fields were compared; none where the model does not know its training.
    pub plates: Vec<PlateLooks>,
    /// Fields that their table marks and of which it does not say what they look like: an earlier
    /// build has done them.
    pub marked_before: usize,
}

/// Fields that were compared, by plate.
#[derive(Default)]
pub(crate) struct Gathered(BTreeMap<Option<String>, Vec<(f64, Looks)>>);

impl Gathered {
    /// Adds a field that looks like this.
    pub(crate) fn add(&mut self, plate: Option<&String>, compared: Compared) {
        if let Some(strangeness) = compared.strangeness {
            let fields = self.0.entry(plate.cloned()).or_default();
            fields.push((strangeness, compared.looks));
        }
    }

    /// Plate by plate.
    pub(crate) fn plates(&self, known: &Familiarity) -> Vec<PlateLooks> {
        let plates = self.0.iter().map(|(plate, fields)| {
            let strange_fields = fields.iter().filter(|(s, _)| *s > 1.0).count();
            let middle = middle_of(fields.iter().map(|(_, looks)| &looks.0));
            let of_fields = median(fields.iter().map(|(strangeness, _)| *strangeness));
            let of_middle = known.strangeness_of_middle(&middle, fields.len());
            let strangeness = of_middle.map_or(of_fields, |middle| middle.max(of_fields));
            PlateLooks {
                plate: plate.clone(),
                fields: fields.len(),
                strange_fields,
                strangeness,
                strange: strangeness > 1.0,
                differences: known.compare(middle).differences,
                expected: known.expected(of_fields),
            }
        });
        plates.collect()
    }
}

impl Strange {
    /// Of the fields of `sets`, from their rows in `predictions.csv`, whenever they were done.
    pub(crate) fn of(
        sets: &[Dataset],
        rows: &Rows,
        header: &[String],
        known: &Familiarity,
    ) -> Self {
        let place = |column: &str| header.iter().position(|name| name == column);
        let (looks, strange) = (place(LOOKS), place("strange"));
        let mut gathered = Gathered::default();
        let mut marked_before = 0;
        for field in sets.iter().flat_map(|set| &set.fields) {
            let row = rows.get(&field.name);
            let cell = |place: Option<usize>| row.zip(place).map(|(row, i)| row[i].as_str());
            match cell(looks).and_then(Looks::of_cell) {
                Some(looks) => {
                    gathered.add(field.position.plate.as_ref(), known.compare(looks));
                }
                None => marked_before += usize::from(cell(strange) == Some("yes")),
            }
        }
        Self {
            plates: gathered.plates(known),
            marked_before,
        }
    }

    /// A sentence for each of the strangest plates, and one for fields that are strange among
    /// others.
    pub fn sentences(&self) -> Vec<String> {
        let mut strange: Vec<&PlateLooks> = self.plates.iter().filter(|p| p.strange).collect();
        strange.sort_by(|a, b| b.strangeness.total_cmp(&a.strangeness));
        let told = strange.iter().take(MOST_TOLD);
        let mut sentences: Vec<String> = told.map(|plate| plate.sentence()).collect();
        if strange.len() > MOST_TOLD {
            let more = strange.len() - MOST_TOLD;
            sentences.push(format!(
                "{more} more plates are unlike what the model was trained on"
            ));
        }
        let others = || self.plates.iter().filter(|plate| !plate.strange);
        let (marked, fields) = others().fold((0, 0), |(marked, fields), plate| {
            (marked + plate.strange_fields, fields + plate.fields)
        });
        if marked > 0 {
            sentences.push(format!(
                "{marked} of {fields} fields are unlike what the model was trained on (see \
                 `strange` and `unlike` in `predictions.csv`); one in twenty is by chance"
            ));
        }
        if self.marked_before > 0 {
            sentences.push(format!(
                "{} of the fields done before are marked as unlike what the model was trained on",
                self.marked_before
            ));
        }
        sentences
    }
}

impl Strange {
    /// What can be done where a plate is strange, in a sentence; `adapted` says that the model's
    /// batch norms are another plate's already.
    pub(crate) fn way_on(&self, adapted: bool) -> Option<String> {
        self.plates.iter().find(|plate| plate.strange)?;
        let learn = "correct some of these fields (`stainfree view`) or stain some wells, and \
                     `stainfree retrain` learns from them";
        Some(match adapted {
            true => format!("what helps: {learn}"),
            false => format!(
                "what helps: {learn}; without any truth `stainfree adapt` measures the model's \
                 batch norms anew on wells of this plate, which can help and can harm \
                 (docs/trust.md), so compare both models on a few stained wells"
            ),
        })
    }
}

impl PlateLooks {
    /// What is different, in words.
    pub fn unlike(&self) -> String {
        let words: Vec<&str> = self.differences.iter().map(|d| d.words.as_str()).collect();
        match &words[..] {
            [] => "no single number stands out, but they do not go together as there".to_owned(),
            [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
            words => words.concat(),
        }
    }

    /// What is different, and what that means.
    fn sentence(&self) -> String {
        let name = match &self.plate {
            Some(plate) => format!("plate `{plate}` is"),
            None if self.fields == 1 => "the field is".to_owned(),
            None => "the fields are".to_owned(),
        };
        let of = match self.fields {
            1 => String::new(),
            fields => format!(", {} of {fields} fields", self.strange_fields),
        };
        let what = self.unlike();
        format!(
            "{name} unlike what the model was trained on (strangeness {:.1}, 1 is the limit{of}): \
             {what}; what it scored in its study does not hold there{}",
            self.strangeness,
            self.expected
                .as_ref()
                .map_or(String::new(), Expected::words)
        )
    }
}

impl Expected {
    fn words(&self) -> String {
        let study = self.in_study;
        match self.when_as_strange {
            Some([least, most]) => {
                let range = match format!("{least:.2}") == format!("{most:.2}") {
                    true => format!("{least:.2}"),
                    false => format!("{least:.2} to {most:.2}"),
                };
                format!(
                    " (F1 of whole nuclei on its validation fields: {study:.2}, and {range} once \
                     they were blurred, noisier or darker until about as strange)"
                )
            }
            None => format!(
                " (F1 of whole nuclei on its validation fields: {study:.2}; what it is here is \
                 not known)"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_on_is_told_where_a_plate_is_strange_and_no_second_adaptation() {
        let plate = |strangeness: f64| PlateLooks {
            plate: None,
            fields: 2,
            strange_fields: 0,
            strangeness,
            strange: strangeness > 1.0,
            differences: Vec::new(),
            expected: None,
        };
        let of = |strangeness: f64| Strange {
            plates: vec![plate(0.5), plate(strangeness)],
            marked_before: 0,
        };
        assert_eq!(of(0.9).way_on(false), None);
        let said = of(2.0).way_on(false).unwrap();
        assert!(said.contains("`stainfree retrain`") && said.contains("`stainfree adapt`"));
        let said = of(2.0).way_on(true).unwrap();
        assert!(said.contains("`stainfree retrain`") && !said.contains("adapt"));
    }
}

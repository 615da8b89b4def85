//! The questions the paper left open, as tables: one choice changed at a time, splitting, tolerant
//! outlines, kinds of nuclei, leakage between fields of one group, and what freeing the channel
//! costs.

use std::collections::BTreeSet;

use stainfree_scores::{
    BlandAltman, BoundarySummary, FieldScores, KindCounts, Repeated, Terms, between_repeats,
    over_repeats,
};

use super::RunResult;
use super::conditions::{self, Condition, OfField, options_of};
use super::file::{Choice, Images, SplitRule};
use super::shown::{Shown, dash, with_interval};
use crate::ProjectError;

/// All tables that the runs can fill.
///
/// # Errors
/// Runs to be compared that were not scored on the same fields.
pub(super) fn tables(conditions: &[Condition]) -> Result<Vec<Shown>, ProjectError> {
    let tables = [
        changes(conditions)?,
        Some(splitting(conditions)?),
        outlines(conditions),
        kinds(conditions)?,
        leakage(conditions)?,
        cost(conditions),
    ];
    Ok(tables
        .into_iter()
        .flatten()
        .filter(|table| !table.rows.is_empty())
        .collect())
}

/// What two choices differ in: the key and both values; `None` unless it is exactly one other than
/// images and seed.
fn only_change(a: &Choice, b: &Choice) -> Option<(&'static str, String, String)> {
    let own = |text: &Option<String>| text.clone().unwrap_or_else(|| "as the study".to_owned());
    let values = |c: &Choice| {
        [
            ("scheme", format!("{:?}", c.scheme)),
            ("planes", own(&c.planes.as_ref().map(ToString::to_string))),
            ("mitotic", own(&c.mitotic_as())),
            ("loss", own(&c.loss)),
            ("encoder", own(&c.encoder)),
            ("weights", own(&c.weights)),
            ("steps", own(&c.steps.map(|steps| steps.to_string()))),
            ("recipe", own(&c.recipe)),
            ("variant", own(&c.variant)),
            (
                "flips",
                if c.flips { "averaged" } else { "none" }.to_owned(),
            ),
        ]
    };
    if (a.images, a.split) != (b.images, b.split) {
        return None;
    }
    let both = values(a).into_iter().zip(values(b));
    let mut changed = both.filter(|(a, b)| a.1 != b.1);
    let ((key, from), (_, to)) = changed.next()?;
    changed.next().is_none().then_some((key, from, to))
}

fn counts<'a>(condition: &'a Condition) -> Vec<&'a [FieldScores]> {
    condition.repeats.iter().map(Vec::as_slice).collect()
}

/// Conditions that differ in one choice, with the difference on the same test fields.
fn changes(conditions: &[Condition]) -> Result<Option<Shown>, ProjectError> {
    const SCORES: [(&str, OfField); 3] = [
        (NUCLEUS_F1, conditions::nucleus_f1),
        ("objects", conditions::object_f1),
        ("clusters", conditions::clusters_resolved),
    ];
    let mut rows = Vec::new();
    let mut compared: BTreeSet<String> = BTreeSet::new();
    for (i, a) in conditions.iter().enumerate() {
        for b in &conditions[i + 1..] {
            let Some((key, from, to)) = only_change(a.choice, b.choice) else {
                continue;
            };
            // Variants are compared with the first of them: each with each would bury the answer.
            if key == "variant" {
                if compared.contains(&a.label()) {
                    continue;
                }
                compared.insert(b.label());
            }
            // The same run under two names, such as three planes where there are three.
            if a.runs[0].hash == b.runs[0].hash && a.choice.flips == b.choice.flips {
                continue;
            }
            let [of_a, of_b] = [a, b].map(|c| (&c.seeds[..], &c.repeats[..]));
            let Some(pair) = Pair::of(of_a, of_b) else {
                continue;
            };
            let options = options_of(&a.runs);
            let mut row = vec![format!("{key}: {from} to {to}"), a.label()];
            for (name, score) in SCORES {
                // The nuclei of these are others: scheme B's lack their outline, and mitotic ones
                // their own class.
                if name == NUCLEUS_F1 && matches!(key, "scheme" | "mitotic") {
                    row.push(dash(None));
                    continue;
                }
                let [first, second] = pair.counts();
                row.push(points(&between_repeats(&first, &second, &options, score)?));
            }
            row.push(pair.seeds);
            row.push(pair.fields.to_string());
            rows.push(row);
        }
    }
    Ok(Some(Shown {
        title: "One choice changed at a time".to_owned(),
        caption:
            "Second minus first on the test fields of both, in points (hundredths), with 95 % \
            intervals that draw the same \
                  fields for both. Seeds that both have are compared, where there are such. Where \
                  an interval holds 0, which is \
                  better cannot be told from these runs; with one seed the scatter between \
                  trainings is not in it, with two or three it is \
                  known roughly. Pixels of nuclei are not compared where nucleus means something \
                  else: scheme B's lack their outline, and \
                  where mitotic nuclei are a class the others lack them."
                .to_owned(),
        columns: vec![
            "change",
            "of",
            NUCLEUS_F1,
            "nuclei as objects, F1 at 0.5",
            "clusters \
             resolved",
            "seeds",
            "fields",
        ],
        rows,
    }))
}

/// Heading of the pixel score of nuclei.
const NUCLEUS_F1: &str = "nucleus F1";

/// The seeds of a condition, and the scored fields of each.
type Repeats<'a> = (&'a [u64], &'a [Vec<FieldScores>]);

/// What of two conditions can be compared: the seeds and fields that both have.
struct Pair {
    /// Of the first and of the second, by seed.
    repeats: [Vec<Vec<FieldScores>>; 2],
    /// Seeds, for people.
    seeds: String,
    /// Number of fields.
    fields: usize,
}

impl Pair {
    /// `None` where they share no field. A field may be usable in one condition only, such as one
    /// whose cytoplasm could not be found, which scheme B does not need.
    fn of(a: Repeats, b: Repeats) -> Option<Self> {
        let both: BTreeSet<u64> =
            a.0.iter()
                .filter(|seed| b.0.contains(seed))
                .copied()
                .collect();
        let chosen = |(seeds, fields): Repeats| -> Vec<Vec<FieldScores>> {
            let each = seeds.iter().zip(fields);
            each.filter(|(seed, _)| both.is_empty() || both.contains(seed))
                .map(|(_, fields)| fields.clone())
                .collect()
        };
        let mut repeats = [chosen(a), chosen(b)];
        let names = |fields: &Vec<FieldScores>| -> BTreeSet<String> {
            fields.iter().map(|field| field.name.clone()).collect()
        };
        let shared = repeats.iter().flatten().map(names).reduce(|x, y| &x & &y)?;
        for fields in repeats.iter_mut().flatten() {
            fields.retain(|field| shared.contains(&field.name));
        }
        let seeds = match repeats.each_ref().map(Vec::len) {
            [first, second] if both.is_empty() => format!("{first} and {second}"),
            [first, _] => first.to_string(),
        };
        (!shared.is_empty()).then_some(Self {
            repeats,
            seeds,
            fields: shared.len(),
        })
    }

    fn counts(&self) -> [Vec<&[FieldScores]>; 2] {
        self.repeats
            .each_ref()
            .map(|of| of.iter().map(Vec::as_slice).collect())
    }
}

/// A difference in points.
fn points(found: &Repeated) -> String {
    let interval = found.ci95.map_or(String::new(), |[low, high]| {
        format!(" ({:+.1} to {:+.1})", 100.0 * low, 100.0 * high)
    });
    dash(
        found
            .mean
            .map(|mean| format!("{:+.1}{interval}", 100.0 * mean)),
    )
}

/// Scheme A with morphology against scheme B's own lines, and everything else, by the splitting
/// measure.
fn splitting(conditions: &[Condition]) -> Result<Shown, ProjectError> {
    const CUTS: [OfField; 4] = [
        |field| of_cuts(field, |c| [c.found, c.pairs]),
        |field| of_cuts(field, |c| [c.found, c.found + c.false_cuts]),
        |field| of_cuts(field, |c| [c.missed, c.pairs]),
        |field| of_cuts(field, |c| [c.false_cuts, c.nuclei]),
    ];
    let mut rows = Vec::new();
    for condition in conditions {
        let options = options_of(&condition.runs);
        let mut row = vec![condition.label(), with_interval(&condition.clusters)];
        for cuts in CUTS {
            row.push(with_interval(&over_repeats(
                &counts(condition),
                &options,
                cuts,
            )?));
        }
        rows.push(row);
    }
    Ok(Shown {
        title: "Touching nuclei told apart".to_owned(),
        caption: "Scheme A joins touching nuclei and they are parted afterwards, by shape or by \
            what else the network says; scheme B predicts the lines between \
                  them. Clusters are resolved where every member is matched at IoU 0.5 and nothing \
                  else lies in them."
            .to_owned(),
        columns: vec![
            "condition",
            "clusters resolved",
            "cut recall",
            "cut precision",
            "missed cuts",
            "false \
             cuts per nucleus",
        ],
        rows,
    })
}

fn of_cuts(
    field: &FieldScores,
    terms: fn(&stainfree_scores::SplittingCounts) -> [u64; 2],
) -> Vec<Terms> {
    let counts = field.splitting.iter();
    counts
        .map(|counts| terms(counts).map(|n| n as f64))
        .collect()
}

/// Names in the order in which they first come.
fn in_order<'a, T: 'a>(named: impl Iterator<Item = (&'a str, &'a T)>) -> Vec<&'a str> {
    let mut names = Vec::new();
    for (name, _) in named {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Mean over the runs of a number that some lack.
fn over_runs(runs: &[&RunResult], of: impl Fn(&RunResult) -> Option<f64>) -> Option<f64> {
    let values: Vec<f64> = runs.iter().filter_map(|run| of(run)).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Outlines within 0 to 3 px, and how thick lines are.
fn outlines(conditions: &[Condition]) -> Option<Shown> {
    let row = |condition: &Condition, name: &str| {
        let of = |number: &dyn Fn(&BoundarySummary) -> Option<f64>| {
            over_runs(&condition.runs, |run| {
                number(run.scores.boundaries.get(name)?)
            })
        };
        let text =
            |value: Option<f64>, decimals: usize| dash(value.map(|v| format!("{v:.decimals$}")));
        let mut row = vec![condition.label(), name.to_owned()];
        row.extend((0..4).map(|px| text(of(&|b| b.tolerance.get(px)?.f1.pooled), 3)));
        row.push(text(of(&|b| b.thickness.as_ref()?.truth_px.pooled), 2));
        row.push(text(of(&|b| b.thickness.as_ref()?.prediction_px.pooled), 2));
        row
    };
    let rows = conditions.iter().flat_map(|condition| {
        let runs = condition.runs.iter();
        let names = in_order(runs.flat_map(|run| run.scores.boundaries.iter()));
        names.into_iter().map(move |name| row(condition, name))
    });
    Some(Shown {
        title: "Outlines within 0 to 3 px".to_owned(),
        caption: "F1 of outline pixels with a partner on the other side within so many px; means \
            over runs. Boundary and split are \
                  lines, compared by their pixels, with their thickness (area over length); all \
                  others are compared by their contours. \
                  Where only the thickness is wrong, F1 rises steeply with the first pixels."
            .to_owned(),
        columns: vec![
            "condition",
            "outline",
            "F1 at 0 px",
            "1 px",
            "2 px",
            "3 px",
            "true thickness, \
             px",
            "predicted thickness, px",
        ],
        rows: rows.collect(),
    })
}

/// Mitotic and interphase nuclei apart, where the truth knows them.
fn kinds(conditions: &[Condition]) -> Result<Option<Shown>, ProjectError> {
    let mut rows = Vec::new();
    for condition in conditions {
        let first = condition.repeats.first().map_or(&[][..], Vec::as_slice);
        let names = in_order(first.iter().flat_map(|field| field.kinds.iter()));
        let options = options_of(&condition.runs);
        for name in names {
            let over = |terms: fn(&KindCounts) -> Terms| {
                let of_field =
                    |field: &FieldScores| field.kinds.get(name).map(terms).into_iter().collect();
                over_repeats(&counts(condition), &options, of_field)
            };
            let of_kind = first.iter().filter_map(|field| field.kinds.get(name));
            rows.push(vec![
                condition.label(),
                name.to_owned(),
                of_kind.map(|kind| kind.n).sum::<u64>().to_string(),
                with_interval(&over(|kind| [kind.at_50 as f64, kind.n as f64])?),
                with_interval(&over(|kind| [kind.iou_sum, kind.at_50 as f64])?),
            ]);
        }
    }
    Ok(Some(Shown {
        title: "Mitotic and interphase nuclei".to_owned(),
        caption:
            "Share of the true nuclei of a kind that are found at IoU 0.5, and how well those \
            fit; means over seeds with 95 % intervals. \
                  Kinds come from the truth's class `mitotic`, or from the table that `kinds` \
                  names."
                .to_owned(),
        columns: vec![
            "condition",
            "kind",
            "true nuclei",
            "recall",
            "IoU of those found",
        ],
        rows,
    }))
}

/// What fields of a group that was trained on hide.
///
/// A model can only be asked on fields it was not trained on. One split by field is scored here on
/// its test fields in two heaps: those with sister fields in training, and those of groups it never
/// saw. That is one model under both splits; the model split by group stands beside it, but it is
/// another, trained on other fields.
fn leakage(conditions: &[Condition]) -> Result<Option<Shown>, ProjectError> {
    let mut rows = Vec::new();
    for condition in conditions
        .iter()
        .filter(|c| c.choice.split == SplitRule::Field)
    {
        let first = condition.runs[0];
        let Some(seen) = &first.seen else {
            continue;
        };
        let seen: BTreeSet<&str> = seen.iter().map(String::as_str).collect();
        let mut row = vec![condition.label()];
        for known in [true, false] {
            let heap: Vec<FieldScores> = first
                .counts
                .iter()
                .filter(|field| seen.contains(field.name.as_str()) == known)
                .cloned()
                .collect();
            let score = over_repeats(
                &[&heap],
                &options_of(&condition.runs),
                conditions::nucleus_f1,
            )?;
            row.push(format!(
                "{} ({})",
                with_interval(&score),
                fields(heap.len())
            ));
        }
        let by_group = Choice {
            split: SplitRule::Group,
            ..condition.choice.clone()
        };
        let twin = conditions.iter().find(|c| c.label() == by_group.label());
        row.push(dash(twin.map(|twin| {
            format!(
                "{} ({})",
                with_interval(&twin.nucleus_f1),
                fields(twin.runs[0].counts.len())
            )
        })));
        rows.push(row);
    }
    Ok(Some(Shown {
        title: "Leakage: fields of groups that were trained on".to_owned(),
        caption: "Nucleus F1 of one model that was split by field (first seed), on test fields \
            whose group has other fields in its training set, \
                  and on those of groups it never saw; beside it the model split by group, which \
                  is another. Fields of one \
                  group share cells, focus and stain, so the first number flatters. With few \
                  fields in a heap the difference \
                  cannot be told; with all images usually every group was seen."
            .to_owned(),
        columns: vec![
            "condition",
            "group seen in training",
            "group never seen",
            "another model, \
            split by group",
        ],
        rows,
    }))
}

fn fields(count: usize) -> String {
    format!("{count} field{}", if count == 1 { "" } else { "s" })
}

/// Counts, areas and intensities through predicted masks against those from stains, of the first
/// seed.
fn cost(conditions: &[Condition]) -> Option<Shown> {
    // With flips averaged it is the same network once more.
    let all = conditions
        .iter()
        .filter(|c| c.choice.images == Images::All && !c.choice.flips);
    let rows = all.flat_map(|condition| {
        let agreement = condition.agreement();
        let quantities = agreement.map_or(vec![], |found| found.into_owned().quantities);
        quantities.into_iter().map(|row| {
            let limits =
                |p: &BlandAltman| format!("{:+.1} to {:+.1}", p.lower.value, p.upper.value);
            let bias = |p: &BlandAltman| {
                let [low, high] = p.bias.ci95;
                format!("{:+.1} ({low:+.1} to {high:+.1})", p.bias.value)
            };
            let signed = |value: Option<f64>| dash(value.map(|v| format!("{v:+.1}")));
            vec![
                condition.label(),
                row.quantity.clone(),
                dash(row.percent.as_ref().map(bias)),
                dash(row.percent.as_ref().map(limits)),
                dash(row.concordance.map(|c| format!("{c:.3}"))),
                format!(
                    "{} / {}",
                    signed(row.percent_sparse),
                    signed(row.percent_dense)
                ),
            ]
        })
    });
    Some(Shown {
        title: "The cost of freeing the stain's channel".to_owned(),
        caption: "What is measured through predicted masks, against the same through masks from \
            the stains: differences in per cent \
                  of the mean, a value a group (a field, where there are fewer than three groups); \
                  first seed, all images. \
                  95 % of single units lie within the limits of agreement (Bland & Altman); the \
                  last column is the bias where cells are sparser \
                  and denser than in the median unit."
            .to_owned(),
        columns: vec![
            "condition",
            "quantity",
            "bias, %",
            "limits of agreement, %",
            "concordance",
            "bias \
             sparse / dense, %",
        ],
        rows: rows.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::file::Planes;
    use super::*;
    use crate::study::config::Scheme;

    #[test]
    fn conditions_are_compared_on_the_seeds_and_fields_of_both() {
        let fields = |names: &str| -> Vec<FieldScores> {
            let field = |name: char| FieldScores {
                name: name.to_string(),
                ..FieldScores::default()
            };
            names.chars().map(field).collect()
        };
        let names = |pair: &Pair| {
            let of = |fields: &Vec<FieldScores>| fields.iter().map(|f| f.name.clone()).collect();
            let repeats = pair.repeats.iter().flatten();
            repeats.map(of).collect::<Vec<Vec<String>>>()
        };
        let a = [fields("xyz"), fields("xyz")];
        let b = [fields("zyw")];
        let pair = Pair::of((&[1, 2], &a), (&[2], &b)).unwrap();
        assert_eq!((pair.seeds.as_str(), pair.fields), ("1", 2));
        assert_eq!(names(&pair), [["y", "z"], ["z", "y"]]);
        // Seeds of their own: all are taken.
        let pair = Pair::of((&[1, 2], &a), (&[3], &b)).unwrap();
        assert_eq!((pair.seeds.as_str(), pair.repeats[0].len()), ("2 and 1", 2));
        assert!(Pair::of((&[1, 2], &a), (&[1], &[fields("vw")])).is_none());
    }

    #[test]
    fn only_conditions_that_differ_in_one_choice_are_compared() {
        let one = Choice::usual();
        let planes = Choice {
            planes: Some(Planes::Count(1)),
            seed: 2,
            ..one.clone()
        };
        let both = Choice {
            scheme: Scheme::B,
            ..planes.clone()
        };
        let smaller = Choice {
            images: Images::Count(4),
            ..planes.clone()
        };
        assert_eq!(
            only_change(&one, &planes),
            Some(("planes", "as the study".to_owned(), "1".to_owned()))
        );
        assert_eq!(only_change(&one, &both), None);
        assert_eq!(only_change(&one, &smaller), None);
        assert_eq!(only_change(&one, &one), None);
    }
}

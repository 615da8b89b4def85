//! The rules: questions, limits, and where these come from.
//!
//! A limit is a judgement wherever no source is named; docs/trust.md lists them all.

use super::evidence::{Evidence, StrangePlate};
use super::limit::{Better, Found, Limit, Number};
use super::{Light, Step};
use crate::familiar::FALSE_ALARMS;
use crate::fields::FEWEST_GROUPS;
use crate::standing::Standing;
use crate::student::{at_least, at_most};

/// A question, and from where on its answer makes the light yellow or red.
pub struct Rule {
    /// Its name in files.
    pub key: &'static str,
    /// The question.
    pub asks: &'static str,
    /// What is looked at.
    pub looks_at: &'static str,
    /// The limits of its number; none where it has states.
    pub limit: Option<Limit>,
    /// The states that make the light yellow or red, in words; empty where it has limits.
    pub states: &'static str,
    /// Where limits or states come from.
    pub because: &'static str,
    /// The light where nothing is known; none where others decide then.
    pub unknown: Option<Light>,
    /// What can be done where the light is not green.
    pub steps: &'static [Step],
    /// What is found; `None` where the question is not asked.
    pub(super) find: fn(&Evidence) -> Option<Found>,
}

impl Rule {
    /// What makes the light yellow or red: `yellow below 0.80, red below 0.60`.
    pub fn words(&self) -> String {
        self.limit.map_or(self.states.to_owned(), Limit::words)
    }
}

/// F1 of nuclei: from here on yellow, and red.
const F1: Limit = Limit {
    better: Better::More,
    yellow: Some(0.8),
    red: Some(0.6),
    is_share: false,
};
const F1_BECAUSE: &str = "a judgement: at 0.80 one nucleus in five is missed, invented or fused \
    with another, at 0.60 two in five, more than most treatments change";

/// A limit above which the light is yellow, and red.
const fn above(yellow: Option<f64>, red: Option<f64>) -> Option<Limit> {
    Some(Limit {
        better: Better::Less,
        yellow,
        red,
        is_share: true,
    })
}

/// The rule of this key.
pub fn rule(key: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.key == key)
}

/// All rules, in the order in which they are shown.
pub static RULES: [Rule; 15] = [
    Rule {
        key: "tested",
        asks: "Was the model tested on fields that it has not met?",
        looks_at: "what the scored fields were to the model",
        limit: None,
        states: "yellow where nobody knows whether it has met some of them; red where there is \
            no test, or one on fields that trained or chose it",
        because: "scores on fields that a model has learned from say how well it remembers \
            (Kapoor & Narayanan 2023, Patterns 4:100804)",
        unknown: Some(Light::Red),
        steps: &[Step::Evaluate, Step::Stain],
        find: tested,
    },
    Rule {
        key: "groups",
        asks: "Is the test large enough?",
        looks_at: "groups of the test (wells, plates, experiments)",
        limit: Some(Limit {
            better: Better::More,
            yellow: Some(FEWEST_GROUPS as f64),
            red: None,
            is_share: false,
        }),
        states: "",
        because: "intervals that rest on fewer groups are too short (Cameron, Gelbach & Miller \
            2008, Review of Economics and Statistics 90:414)",
        unknown: None,
        steps: &[Step::MoreGroups],
        find: groups,
    },
    Rule {
        key: "found",
        asks: "Does it find the nuclei?",
        looks_at: "F1 of whole nuclei at IoU 0.5 on the test",
        limit: Some(F1),
        states: "",
        because: F1_BECAUSE,
        unknown: None,
        steps: &[Step::Correct, Step::Tune],
        find: found,
    },
    Rule {
        key: "counted",
        asks: "Are counts right on average?",
        looks_at: "nuclei predicted too many or too few, as a share of the true ones, on the \
            test",
        limit: above(Some(0.15), Some(0.25)),
        states: "",
        because: "what an assay may be off the truth by: 15 %, and 25 % at the worst (ICH M10, \
            2022, Bioanalytical method validation)",
        unknown: None,
        steps: &[Step::Tune, Step::Stain],
        find: counted,
    },
    Rule {
        key: "calibrated",
        asks: "Are its nuclei as often right as it says?",
        looks_at: "calibration error of the confidences on the test, less what chance gives",
        limit: above(Some(0.05), None),
        states: "",
        because: "a judgement: a nucleus of 0.90 is then right in 85 to 95 of 100 cases",
        unknown: None,
        steps: &[Step::Tune],
        find: calibrated,
    },
    Rule {
        key: "sorted",
        asks: "Does it know which of its nuclei are wrong?",
        looks_at: "AUROC of the confidences on the test (0.5 is chance, 1 perfect)",
        limit: Some(Limit {
            better: Better::More,
            yellow: Some(0.7),
            red: None,
            is_share: false,
        }),
        states: "",
        because: "acceptable discrimination begins at 0.7 (Hosmer & Lemeshow 2000, Applied \
            logistic regression)",
        unknown: None,
        steps: &[Step::Look],
        find: sorted,
    },
    Rule {
        key: "held",
        asks: "Do the intervals of its counts hold?",
        looks_at: "probability that so few intervals of the test hold by chance",
        limit: Some(Limit {
            better: Better::More,
            yellow: Some(0.05),
            red: None,
            is_share: false,
        }),
        states: "",
        because: "one in twenty by chance; counts of one group are alike, so that it is no more \
            than a sign",
        unknown: None,
        steps: &[Step::Tune, Step::Stain],
        find: held,
    },
    Rule {
        key: "familiar",
        asks: "Are the plates like those of the training?",
        looks_at: "strangeness of the strangest plate",
        limit: Some(Limit {
            better: Better::Less,
            yellow: Some(1.0),
            red: Some(3.0),
            is_share: false,
        }),
        states: "",
        because: "1 is what one in twenty plates like the training exceeds; of nine simulated \
            shifts above 3, eight brought F1 below 0.6 (docs/trust.md)",
        unknown: Some(Light::Yellow),
        steps: &[Step::Refocus, Step::Stain, Step::Look],
        find: familiar,
    },
    Rule {
        key: "as-strange",
        asks: "What does the model score where images are as strange?",
        looks_at: "F1 of whole nuclei on validation fields that were blurred, noisier or darker \
            until about as strange, the best of them",
        limit: Some(F1),
        states: "",
        because: F1_BECAUSE,
        unknown: None,
        steps: &[Step::Refocus, Step::Stain],
        find: as_strange,
    },
    Rule {
        key: "fields",
        asks: "Are single fields unlike the training?",
        looks_at: "probability that so many fields are marked by chance, of which one in twenty \
            is",
        limit: Some(Limit {
            better: Better::More,
            yellow: Some(0.05),
            red: None,
            is_share: false,
        }),
        states: "",
        because: "one in twenty by chance",
        unknown: None,
        steps: &[Step::Look],
        find: fields,
    },
    Rule {
        key: "expected",
        asks: "How many of these nuclei are right by its own account?",
        looks_at: "F1 of whole nuclei that is expected from their confidences",
        limit: Some(F1),
        states: "",
        because: F1_BECAUSE,
        unknown: None,
        steps: &[Step::Stain, Step::Look],
        find: expected,
    },
    Rule {
        key: "well-counts",
        asks: "Does the count of a single well say much?",
        looks_at: "half the width of the interval of a well's count by the count, the median \
            well",
        limit: above(Some(0.25), None),
        states: "",
        because: "ICH M10 (2022), as above",
        unknown: None,
        steps: &[Step::SeveralWells, Step::Stain],
        find: well_counts,
    },
    Rule {
        key: "failed",
        asks: "Could all fields be read?",
        looks_at: "share of the fields that failed",
        limit: above(Some(0.0), Some(0.2)),
        states: "",
        because: "a judgement: what fails (empty wells, broken files) is no random choice of \
            wells",
        unknown: None,
        steps: &[Step::Repair],
        find: failed,
    },
    Rule {
        key: "ignored",
        asks: "Do the images show something everywhere?",
        looks_at: "share of the pixels that are ignored",
        limit: above(Some(0.05), Some(0.5)),
        states: "",
        because: "a judgement: counts of a field are too low by about this share",
        unknown: None,
        steps: &[Step::Look],
        find: ignored,
    },
    Rule {
        key: "unmet",
        asks: "Has the model met these fields before?",
        looks_at: "fields of this result that trained or chose the model",
        limit: Some(Limit {
            better: Better::Less,
            yellow: Some(0.0),
            red: None,
            is_share: false,
        }),
        states: "",
        because: "on what it has learned from a model is better than elsewhere, so that its \
            scores and corrections of counts do not hold between both (docs/trust.md)",
        unknown: None,
        steps: &[Step::LeaveOut],
        find: unmet,
    },
];

fn tested(evidence: &Evidence) -> Option<Found> {
    let Some(test) = &evidence.test else {
        return Some(Found::Unknown(
            "no test of this model is known, so nobody can say how right its numbers are"
                .to_owned(),
        ));
    };
    let (light, says) = match test.standing {
        Some(Standing::Test) => (Light::Green, "it was scored on fields that it has not met"),
        Some(Standing::Train) => (
            Light::Red,
            "it was scored on fields that it has learned from",
        ),
        Some(Standing::Validation) => (Light::Red, "it was scored on fields that have chosen it"),
        Some(Standing::Unknown) | None => (
            Light::Yellow,
            "it is not known whether it has met some of the fields that it was scored on",
        ),
    };
    Some(Found::State(light, says.to_owned()))
}

fn groups(evidence: &Evidence) -> Option<Found> {
    let groups = evidence.test.as_ref()?.groups;
    let says = match groups {
        1 => "all test fields are of one group, so nobody knows how groups differ".to_owned(),
        _ if groups < FEWEST_GROUPS => {
            format!("the test has only {groups} groups, so its intervals are too short")
        }
        _ => format!("the test has {groups} groups"),
    };
    Some(Found::number(groups as f64, says))
}

fn found(evidence: &Evidence) -> Option<Found> {
    let test = evidence.test.as_ref()?;
    let Some((value, interval)) = test.f1 else {
        return Some(Found::Unknown(
            "nuclei were not scored, pixels only".to_owned(),
        ));
    };
    Some(Found::Number(Number {
        value,
        at_worst: interval.map(|[low, _]| low),
        says: format!(
            "{} on the test (F1 {value:.2}{})",
            share_found(value),
            within(interval.map(|ends| ends.map(|end| format!("{end:.2}"))))
        ),
    }))
}

/// What an F1 means, in words.
fn share_found(f1: f64) -> &'static str {
    match f1 {
        f1 if f1 >= 0.95 => "it finds nearly all nuclei",
        f1 if f1 >= 0.8 => "it finds most nuclei",
        f1 if f1 >= 0.6 => "up to two nuclei in five are missed, invented or fused",
        _ => "more than two nuclei in five are missed, invented or fused",
    }
}

/// `, 95 % interval A to B`.
fn within(interval: Option<[String; 2]>) -> String {
    interval.map_or(String::new(), |[low, high]| {
        format!(", 95 % interval {low} to {high}")
    })
}

fn counted(evidence: &Evidence) -> Option<Found> {
    let (error, interval) = evidence.test.as_ref()?.count_error?;
    let signed = |share: f64| match format!("{:+.0} %", 100.0 * share) {
        zero if zero == "+0 %" || zero == "-0 %" => "0 %".to_owned(),
        percent => percent,
    };
    let way = match error {
        error if error.abs() < 0.005 => "about as many nuclei as there are are counted",
        error if error > 0.0 => "too many nuclei are counted",
        _ => "too few nuclei are counted",
    };
    Some(Found::Number(Number {
        value: error.abs(),
        at_worst: interval.map(|[low, high]| low.abs().max(high.abs())),
        says: format!(
            "{way} on the test ({}{})",
            signed(error),
            within(interval.map(|ends| ends.map(signed)))
        ),
    }))
}

fn calibrated(evidence: &Evidence) -> Option<Found> {
    let test = evidence.test.as_ref()?;
    let Some((ece, chance)) = test.ece else {
        return Some(no_confidence());
    };
    let says = format!(
        "confidences are off by {:.1} % on the test (chance alone gives {:.1} %)",
        100.0 * ece,
        100.0 * chance
    );
    Some(Found::number((ece - chance).max(0.0), says))
}

fn no_confidence() -> Found {
    Found::Unknown(
        "the model does not know how sure it is of its nuclei; `tune` tells it, where enough of \
         them are wrong"
            .to_owned(),
    )
}

fn sorted(evidence: &Evidence) -> Option<Found> {
    let test = evidence.test.as_ref()?;
    test.ece?;
    let Some(auroc) = test.auroc else {
        return Some(Found::Unknown(
            "whether the least sure nuclei are the wrong ones cannot be told: on the test all are \
             equally sure, all right, or all wrong"
                .to_owned(),
        ));
    };
    let says =
        format!("its least sure nuclei are the wrong ones with AUROC {auroc:.2} on the test");
    Some(Found::number(auroc, says))
}

fn held(evidence: &Evidence) -> Option<Found> {
    let (all, held, level) = evidence.test.as_ref()?.held?;
    let says = format!(
        "{held} of {all} intervals of counts hold on the test, where {:.0} % should",
        100.0 * level
    );
    Some(Found::number(at_most(held, all, level), says))
}

/// The plate that is the least like the training.
fn strangest(plates: &[StrangePlate]) -> Option<&StrangePlate> {
    let order = |a: &&StrangePlate, b: &&StrangePlate| a.strangeness.total_cmp(&b.strangeness);
    plates.iter().max_by(order)
}

fn familiar(evidence: &Evidence) -> Option<Found> {
    // Of fields that failed there is nothing to compare.
    let used = evidence
        .result
        .as_ref()
        .filter(|used| used.failed < used.fields)?;
    let Some(worst) = strangest(&used.plates) else {
        return Some(Found::Unknown(
            "the model does not know what its training looked like, so nobody knows whether these \
             images are like it; `tune` tells it"
                .to_owned(),
        ));
    };
    let strange = used.plates.iter().filter(|p| p.strangeness > 1.0).count();
    let strangeness = worst.strangeness;
    let says = match (strange, &worst.name, used.plates.len()) {
        (0, _, _) => {
            format!("images look like those of the training (strangeness {strangeness:.1})")
        }
        (_, None, _) | (_, _, 1) => {
            format!("images are unlike those of the training (strangeness {strangeness:.1})")
        }
        (n, Some(name), all) => format!(
            "{n} of {all} plates are unlike those of the training, most of all `{name}` \
             (strangeness {strangeness:.1})"
        ),
    };
    let unlike = match strange > 0 && !worst.unlike.is_empty() {
        true => format!(": {}", worst.unlike),
        false => String::new(),
    };
    Some(Found::number(strangeness, says + &unlike))
}

fn as_strange(evidence: &Evidence) -> Option<Found> {
    let used = evidence.result.as_ref()?;
    let worst = strangest(&used.plates).filter(|plate| plate.strangeness > 1.0)?;
    let [least, most] = worst.when_as_strange?;
    let range = match format!("{least:.2}") == format!("{most:.2}") {
        true => format!("{least:.2}"),
        false => format!("{least:.2} to {most:.2}"),
    };
    Some(Found::Number(Number {
        value: most,
        at_worst: Some(least),
        says: format!("validation fields made about as strange scored an F1 of {range}"),
    }))
}

fn fields(evidence: &Evidence) -> Option<Found> {
    let used = evidence.result.as_ref()?;
    // Said of the plate already.
    if used.plates.iter().any(|plate| plate.strangeness > 1.0) {
        return None;
    }
    let (all, marked) = used.compared.filter(|(all, _)| *all > 0)?;
    let says = format!(
        "{marked} of {all} fields are marked as unlike the training, where one in twenty is by \
         chance"
    );
    Some(Found::number(at_least(marked, all, FALSE_ALARMS), says))
}

fn expected(evidence: &Evidence) -> Option<Found> {
    let used = evidence
        .result
        .as_ref()
        .filter(|used| used.failed < used.fields)?;
    let Some(f1) = used.expected_f1 else {
        return Some(no_confidence());
    };
    let says = format!("from how sure it is of its nuclei, an F1 of {f1:.2} is expected here");
    Some(Found::number(f1, says))
}

fn well_counts(evidence: &Evidence) -> Option<Found> {
    let half = evidence.result.as_ref()?.well_half_width?;
    let says = format!(
        "the true count of a well is known to within {:.0} %",
        100.0 * half
    );
    Some(Found::number(half, says))
}

fn failed(evidence: &Evidence) -> Option<Found> {
    let used = evidence.result.as_ref()?;
    let says = match used.failed {
        0 => format!("all {} fields were read", used.fields),
        n => format!(
            "{n} of {} fields failed and are missing in all numbers",
            used.fields
        ),
    };
    let share = used.failed as f64 / used.fields.max(1) as f64;
    Some(Found::number(share, says))
}

fn ignored(evidence: &Evidence) -> Option<Found> {
    let of_test = || evidence.test.as_ref().and_then(|test| test.ignored);
    let share = match &evidence.result {
        Some(used) => used.ignored,
        None => of_test(),
    };
    let share = share?;
    let percent = 100.0 * share;
    let says = match share > 0.0 {
        true => format!("{percent:.1} % of the pixels show nothing or are ignored"),
        false => "no pixel is ignored".to_owned(),
    };
    Some(Found::number(share, says))
}

fn unmet(evidence: &Evidence) -> Option<Found> {
    let used = evidence.result.as_ref()?;
    let says = match used.met {
        None => {
            return Some(Found::Unknown(
                "the model does not record which fields it has learned from".to_owned(),
            ));
        }
        Some(0) => "none of these fields has trained or chosen the model".to_owned(),
        Some(n) => format!(
            "{n} of {} fields have trained or chosen the model",
            used.fields
        ),
    };
    Some(Found::number(used.met.unwrap_or(0) as f64, says))
}

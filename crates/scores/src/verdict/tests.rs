//! Every rule turns the light where its limits say so, alone, and says what to do.

use super::*;
use crate::standing::Standing;

/// A test and a result of which everything is known and good.
fn good() -> Evidence {
    Evidence {
        test: Some(Tested {
            standing: Some(Standing::Test),
            groups: 8,
            f1: Some((0.92, Some([0.9, 0.94]))),
            count_error: Some((-0.03, Some([-0.06, 0.01]))),
            ece: Some((0.03, 0.02)),
            auroc: Some(0.88),
            held: Some((10, 9, 0.9)),
            ignored: Some(0.01),
        }),
        result: Some(Used {
            fields: 40,
            failed: 0,
            ignored: Some(0.0),
            met: Some(0),
            compared: Some((40, 2)),
            plates: vec![StrangePlate {
                name: Some("P1".to_owned()),
                strangeness: 0.8,
                unlike: "noisier".to_owned(),
                when_as_strange: Some([0.5, 0.7]),
            }],
            expected_f1: Some(0.9),
            well_half_width: Some(0.1),
        }),
    }
}

/// The lights of the rules that are not green, with those of which nothing is known.
fn not_green(verdict: &Verdict) -> Vec<(&str, Option<Light>)> {
    let findings = verdict.findings.iter();
    findings
        .filter(|finding| finding.light != Some(Light::Green))
        .map(|finding| (finding.rule.as_str(), finding.light))
        .collect()
}

/// Changes what is known of the test.
fn tested(change: impl Fn(&mut Tested)) -> Evidence {
    let mut evidence = good();
    change(evidence.test.as_mut().unwrap());
    evidence
}

/// Changes what is known of the result.
fn used(change: impl Fn(&mut Used)) -> Evidence {
    let mut evidence = good();
    change(evidence.result.as_mut().unwrap());
    evidence
}

/// That `rule`, and no other, gives this light.
fn turns(rule: &str, light: Light, evidence: &Evidence) {
    let verdict = Verdict::of(evidence);
    assert_eq!(not_green(&verdict), [(rule, Some(light))]);
    assert_eq!(verdict.light, light, "{rule}");
    assert!(!verdict.steps().is_empty(), "{rule}");
    assert!(!verdict.reasons()[0].says.is_empty(), "{rule}");
}

#[test]
fn what_is_good_in_everything_is_green_and_asks_for_nothing() {
    let verdict = Verdict::of(&good());
    assert_eq!(not_green(&verdict), []);
    assert_eq!((verdict.light, verdict.steps()), (Light::Green, vec![]));
    assert_eq!(verdict.to_string(), "Yes (green)");
    // All rules but the one that asks of strange plates.
    assert_eq!(verdict.findings.len(), RULES.len() - 1);
}

#[test]
fn a_test_on_fields_that_were_met_is_none() {
    let standing = |standing| tested(|test| test.standing = standing);
    turns("tested", Light::Yellow, &standing(Some(Standing::Unknown)));
    turns("tested", Light::Yellow, &standing(None));
    turns("tested", Light::Red, &standing(Some(Standing::Validation)));
    turns("tested", Light::Red, &standing(Some(Standing::Train)));
    let mut evidence = good();
    evidence.test = None;
    turns("tested", Light::Red, &evidence);
    assert!(Verdict::of(&evidence).steps().contains(&Step::Evaluate));
}

#[test]
fn a_test_of_few_groups_is_yellow_at_best() {
    turns("groups", Light::Yellow, &tested(|test| test.groups = 7));
    turns("groups", Light::Yellow, &tested(|test| test.groups = 1));
}

#[test]
fn nuclei_that_are_not_found() {
    let f1 = |f1, low| tested(move |test| test.f1 = Some((f1, Some([low, 0.95]))));
    turns("found", Light::Yellow, &f1(0.79, 0.7));
    turns("found", Light::Red, &f1(0.59, 0.5));
    // Good, and nobody knows whether it is.
    turns("found", Light::Yellow, &f1(0.85, 0.59));
    assert_eq!(Verdict::of(&f1(0.8, 0.6)).light, Light::Green);
    // Pixels alone say nothing of nuclei, and nothing against them.
    let pixels = Verdict::of(&tested(|test| test.f1 = None));
    assert_eq!(not_green(&pixels), [("found", None)]);
    assert_eq!(pixels.light, Light::Green);
}

#[test]
fn counts_that_are_off_either_way() {
    let off = |error: f64, ends| tested(move |test| test.count_error = Some((error, ends)));
    for sign in [-1.0, 1.0] {
        turns("counted", Light::Yellow, &off(0.16 * sign, None));
        turns("counted", Light::Red, &off(0.26 * sign, None));
        assert_eq!(Verdict::of(&off(0.15 * sign, None)).light, Light::Green);
    }
    turns("counted", Light::Yellow, &off(0.0, Some([-0.3, 0.2])));
}

#[test]
fn confidences_that_are_wrong_or_sort_nothing() {
    let ece = |ece| tested(move |test| test.ece = Some((ece, 0.02)));
    turns("calibrated", Light::Yellow, &ece(0.08));
    assert_eq!(Verdict::of(&ece(0.065)).light, Light::Green);
    turns(
        "sorted",
        Light::Yellow,
        &tested(|test| test.auroc = Some(0.69)),
    );
    // One confidence for all nuclei is no order of them.
    let alike = Verdict::of(&tested(|test| test.auroc = None));
    assert_eq!(not_green(&alike), [("sorted", None)]);
    let none = Verdict::of(&tested(|test| test.ece = None));
    assert_eq!(not_green(&none), [("calibrated", None)]);
    assert_eq!((none.light, none.steps()), (Light::Green, vec![]));
}

#[test]
fn intervals_that_do_not_hold() {
    // 7 or fewer of 10 hold by chance in 7 % where 90 % should, 6 or fewer in 1 %.
    let held = |held| tested(move |test| test.held = Some((10, held, 0.9)));
    assert_eq!(Verdict::of(&held(7)).light, Light::Green);
    turns("held", Light::Yellow, &held(6));
}

#[test]
fn plates_unlike_the_training() {
    let strange = |strangeness, scores: Option<[f64; 2]>| {
        used(move |used| {
            used.plates[0].strangeness = strangeness;
            used.plates[0].when_as_strange = scores;
        })
    };
    turns("familiar", Light::Yellow, &strange(1.1, Some([0.85, 0.9])));
    turns("familiar", Light::Red, &strange(3.1, Some([0.85, 0.9])));
    turns("familiar", Light::Yellow, &strange(1.1, None));
    let verdict = Verdict::of(&strange(1.1, None));
    assert!(verdict.to_string().ends_with(": noisier"), "{verdict}");
    turns("familiar", Light::Yellow, &used(|used| used.plates.clear()));
    // Fields are marked where plates are, which is not said twice.
    let marked = used(|used| {
        used.plates[0].strangeness = 1.5;
        used.plates[0].when_as_strange = None;
        used.compared = Some((40, 40));
    });
    turns("familiar", Light::Yellow, &marked);
}

#[test]
fn scores_that_fall_where_images_are_as_strange() {
    let lights = |scores| {
        let evidence = used(move |used| {
            used.plates[0].strangeness = 1.1;
            used.plates[0].when_as_strange = Some(scores);
        });
        let verdict = Verdict::of(&evidence);
        (verdict.findings.iter())
            .find(|finding| finding.rule == "as-strange")
            .and_then(|finding| finding.light)
    };
    assert_eq!(lights([0.81, 0.9]), Some(Light::Green));
    assert_eq!(lights([0.7, 0.75]), Some(Light::Yellow));
    assert_eq!(lights([0.1, 0.9]), Some(Light::Yellow));
    assert_eq!(lights([0.1, 0.59]), Some(Light::Red));
}

#[test]
fn more_fields_are_marked_than_chance_marks() {
    // 5 or more of 40 are by chance in 4.8 %, 4 or more in 13.8 %.
    let marked = |marked| used(move |used| used.compared = Some((40, marked)));
    assert_eq!(Verdict::of(&marked(4)).light, Light::Green);
    turns("fields", Light::Yellow, &marked(5));
}

#[test]
fn nuclei_that_the_model_itself_doubts() {
    let f1 = |f1| used(move |used| used.expected_f1 = Some(f1));
    turns("expected", Light::Yellow, &f1(0.7));
    turns("expected", Light::Red, &f1(0.5));
    turns(
        "well-counts",
        Light::Yellow,
        &used(|used| used.well_half_width = Some(0.3)),
    );
}

#[test]
fn fields_that_failed_show_nothing_or_were_met() {
    turns("failed", Light::Yellow, &used(|used| used.failed = 1));
    turns("failed", Light::Red, &used(|used| used.failed = 9));
    turns(
        "ignored",
        Light::Yellow,
        &used(|used| used.ignored = Some(0.06)),
    );
    turns(
        "ignored",
        Light::Red,
        &used(|used| used.ignored = Some(0.6)),
    );
    turns("unmet", Light::Yellow, &used(|used| used.met = Some(1)));
    // Where all have failed, nothing else is asked of them.
    let failed = used(|used| {
        (used.failed, used.expected_f1) = (40, None);
        used.plates.clear();
    });
    turns("failed", Light::Red, &failed);
    // Of a study alone, the test's pixels are meant.
    let mut study = tested(|test| test.ignored = Some(0.06));
    study.result = None;
    turns("ignored", Light::Yellow, &study);
}

#[test]
fn the_worst_reason_comes_first_and_steps_come_once() {
    let mut evidence = tested(|test| {
        test.groups = 2;
        test.f1 = Some((0.4, None));
    });
    evidence.result = None;
    let verdict = Verdict::of(&evidence);
    assert_eq!(verdict.light, Light::Red);
    let rules: Vec<&str> = verdict.reasons().iter().map(|r| r.rule.as_str()).collect();
    assert_eq!(rules, ["found", "groups"]);
    assert_eq!(
        verdict.steps(),
        [Step::Correct, Step::Tune, Step::MoreGroups]
    );
    let json = serde_json::to_value(&verdict).unwrap();
    assert_eq!(json["light"], "red");
    let found = &json["findings"][2];
    assert_eq!(
        (&found["rule"], &found["red"]),
        (&"found".into(), &0.6.into())
    );
    assert_eq!(serde_json::from_value::<Verdict>(json).unwrap(), verdict);
}

#[test]
fn keys_are_different_and_all_rules_say_their_limits() {
    for (i, one) in RULES.iter().enumerate() {
        assert!(std::ptr::eq(rule(one.key).unwrap(), &RULES[i]));
        assert_ne!(one.limit.is_some(), !one.states.is_empty(), "{}", one.key);
        assert!(!one.words().is_empty() && one.asks.ends_with('?'));
    }
}

#[test]
fn the_page_on_trust_has_every_rule_with_its_limits_and_source() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/trust.md");
    let page = std::fs::read_to_string(path).expect("docs/trust.md");
    let rows: Vec<String> = RULES
        .iter()
        .map(|rule| {
            let (words, because) = (rule.words(), rule.because);
            format!(
                "| {} | {} | {words} | {because} |",
                rule.asks, rule.looks_at
            )
        })
        .collect();
    let table = rows.join("\n");
    assert!(
        page.contains(&table),
        "docs/trust.md has not this table:\n{table}"
    );
}

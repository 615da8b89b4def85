//! "Can I use these numbers?": on the page of a study and of a result, in scores and JSON.

mod common;

use common::{Place, TINY, noise, trained_study};
use serde_json::Value;

fn json(place: &Place, name: &str) -> Value {
    serde_json::from_str(&place.text(name)).unwrap()
}

/// The light of a rule in a verdict; null where nothing is known.
fn light<'a>(verdict: &'a Value, rule: &str) -> &'a Value {
    let findings = verdict["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["rule"] == rule);
    found.map_or(&Value::Null, |finding| &finding["light"])
}

/// The section of a page.
fn section(page: &str, id: &str) -> String {
    let (_, rest) = page.split_once(&format!("<section id=\"{id}\"")).unwrap();
    rest.split_once("</section>").unwrap().0.to_owned()
}

#[test]
fn a_study_says_whether_its_numbers_can_be_used_before_and_after_its_test() {
    let place = trained_study(8);
    let untested = place.ok(&["report", "study", "--json", "a.json"]);
    let verdict = &json(&place, "a.json")["verdict"];
    assert_eq!(
        (&verdict["light"], light(verdict, "tested")),
        (&"red".into(), &"red".into())
    );
    assert!(
        untested.stderr.contains("No, not as they are (red)"),
        "{}",
        untested.stderr
    );
    let page = section(&place.text("study/report.html"), "use");
    for words in [
        "stainfree evaluate study",
        "stainfree plan study PLATE --wells 24",
        "aria-label=\"red\"",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let evaluated = place.ok(&["evaluate", "study"]);
    assert!(
        evaluated.stdout.contains("can I use these numbers?"),
        "{}",
        evaluated.stdout
    );
    let scores = json(&place, "study/models/model/scores.json");
    assert_eq!(light(&scores["verdict"], "tested"), "green");
    assert_eq!(light(&scores["verdict"], "groups"), "yellow");
    place.ok(&["report", "study", "--json", "b.json"]);
    assert_eq!(json(&place, "b.json")["verdict"], scores["verdict"]);
    let page = section(&place.text("study/report.html"), "use");
    // Rule and source stand beside the light.
    for words in ["yellow below 8", "Cameron, Gelbach", "of one group"] {
        assert!(page.contains(words), "{words}: {page}");
    }
}

#[test]
fn a_result_shows_its_strangest_fields_beside_those_of_the_training() {
    let place = trained_study(8);
    noise(&place, 3);
    place.ok(&["evaluate", "study"]);
    place.ok(&["predict", "study", "noise", "--out", "result"]);
    let run = place.ok(&["report", "result", "--json", "a.json"]);
    let verdict = &json(&place, "a.json")["verdict"];
    assert_eq!(light(verdict, "tested"), "green", "{}", run.stderr);
    assert_eq!(light(verdict, "unmet"), "green");
    assert_eq!(light(verdict, "familiar"), "red");
    let page = place.text("result/report.html");
    let strange = section(&page, "strange");
    for words in [
        "n0",
        "unlike the training: ",
        "of the training: f",
        "its predicted nuclei",
    ] {
        assert!(strange.contains(words), "{words}");
    }
    assert_eq!(
        strange.matches("<img").count(),
        9,
        "three fields of three pictures"
    );
    let view = "stainfree view result --images noise";
    assert!(section(&page, "use").contains(view));
    // Fields that have trained the model are said to.
    place.ok(&["predict", "study", "images", "--out", "own"]);
    place.ok(&["report", "own", "--json", "own.json"]);
    let own = &json(&place, "own.json")["verdict"];
    assert_eq!(
        (light(own, "unmet"), light(own, "familiar")),
        (&"yellow".into(), &"green".into())
    );
    // The same result, predicted in two goes, says the same of its plate.
    std::fs::rename(place.path("noise/n2.tif"), place.path("n2.tif")).unwrap();
    place.ok(&["predict", "study", "noise", "--out", "twice"]);
    std::fs::rename(place.path("n2.tif"), place.path("noise/n2.tif")).unwrap();
    let again = place.ok(&["predict", "study", "noise", "--out", "twice"]);
    assert!(again.stderr.contains("3 of 3 fields"), "{}", again.stderr);
}

#[test]
fn what_has_moved_is_asked_for_and_what_is_not_its_own_is_refused() {
    let place = trained_study(8);
    noise(&place, 3);
    place.ok(&["predict", "study", "noise", "--out", "result"]);
    std::fs::rename(place.path("noise"), place.path("moved")).unwrap();
    std::fs::rename(place.path("study"), place.path("other")).unwrap();
    let run = place.ok(&["report", "result"]);
    for words in ["--images", "--study"] {
        assert!(run.stderr.contains(words), "{}", run.stderr);
    }
    let page = place.text("result/report.html");
    assert!(!section(&page, "strange").contains("<img"));
    assert!(section(&page, "use").contains("No test of this model is known"));
    place.ok(&["report", "result", "--images", "moved", "--study", "other"]);
    let strange = section(&place.text("result/report.html"), "strange");
    assert!(strange.contains("of the training: f"), "{strange}");
    // Other images of the same names are not shown as if they were these.
    std::fs::create_dir(place.path("false")).unwrap();
    for i in 0..3 {
        let from = place.path(&format!("moved/n{}.tif", (i + 1) % 3));
        std::fs::copy(from, place.path(&format!("false/n{i}.tif"))).unwrap();
    }
    let run = place.ok(&["report", "result", "--images", "false", "--study", "other"]);
    assert!(
        run.stderr.contains("is not the one that was predicted"),
        "{}",
        run.stderr
    );
    assert!(!section(&place.text("result/report.html"), "strange").contains("<img"));
    // The folder of the model does as well.
    place.ok(&["report", "result", "--study", "other/models/model"]);
    let model = "other/models/model";
    place.ok(&[&["train", "other", "--name", "b", "--seed", "9"], &TINY[..]].concat());
    std::fs::remove_dir_all(place.path(model)).unwrap();
    let fails = |args: &[&str], code: i32, words: &str| {
        let run = place.run(args);
        assert_eq!(run.code, code, "{args:?} {}", run.stderr);
        assert!(run.stderr.contains(words), "{args:?} {}", run.stderr);
    };
    fails(
        &["report", "result", "--study", "other"],
        1,
        "has not, the model that made",
    );
    fails(
        &["report", "moved"],
        2,
        "takes a study or a result of `predict`",
    );
    fails(&["report", "nowhere"], 2, "`nowhere` does not exist");
    fails(&["report", "result", "--model", "b"], 2, "--study");
    fails(
        &["report", "other", "--images", "moved"],
        2,
        "leave out `--images`",
    );
    fails(&["report", "result", "--images", "nowhere"], 1, "nowhere");
    std::fs::write(place.path("result/report.html"), "<p>mine</p>").unwrap();
    fails(&["report", "result"], 1, "report.html");
    assert_eq!(place.text("result/report.html"), "<p>mine</p>");
}

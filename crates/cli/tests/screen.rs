//! `plan` and `estimate` as a user types them: which wells to stain, and what they say of all.

mod common;

use common::Place;
use stainfree_image::random::Stream;

/// Doses of a simulated screen, and the mean count of their wells.
const DOSES: [(&str, f64); 3] = [("0", 300.0), ("1", 240.0), ("10", 120.0)];

/// A screen of `plates` plates of 24 wells: `wells.csv` with what a network says (it finds four
/// cells of five), `truth.csv` with what is there.
fn screen(plates: usize) -> Place {
    let place = Place::new();
    let mut stream = Stream::new(9);
    let mut uniform = || (stream.bits() >> 11) as f64 / (1u64 << 53) as f64 - 0.5;
    let (mut predicted, mut truth) = (Vec::new(), Vec::new());
    for plate in 1..=plates {
        for well in 0..24 {
            let (dose, mean) = DOSES[well % 3];
            let name = format!("{}{}", ['A', 'B'][well / 12], well % 12 + 1);
            let count = (mean * (1.0 + 0.4 * uniform())).round();
            let said = (0.8 * count + 20.0 * uniform()).round();
            predicted.push(format!("p{plate},{name},{said},{dose}"));
            truth.push(format!("p{plate},{name},{count}"));
        }
    }
    let table = |head: &str, rows: &[String]| format!("{head}\n{}\n", rows.join("\n"));
    let files = [
        ("wells.csv", table("plate,well,objects,dose", &predicted)),
        ("truth.csv", table("plate,well,objects", &truth)),
    ];
    for (name, text) in files {
        std::fs::write(place.path(name), text).unwrap();
    }
    place
}

/// Writes `stained.csv`: the planned wells with the counts of `truth.csv`.
fn stain(place: &Place) {
    let truth = place.text("truth.csv");
    let count = |plate: &str, well: &str| {
        let found = truth.lines().find_map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            (cells[0] == plate && format!("{:0>2}", &cells[1][1..]) == well[1..])
                .then(|| (cells[1].starts_with(&well[..1])).then(|| cells[2].to_owned()))?
        });
        found.unwrap_or_else(|| panic!("{plate} {well}"))
    };
    let planned = place.text("plan.csv");
    let mut rows = planned.lines();
    let mut text = format!("{},objects\n", rows.next().unwrap());
    for row in rows {
        let cells: Vec<&str> = row.split(',').collect();
        text += &format!("{row},{}\n", count(cells[0], cells[1]));
    }
    std::fs::write(place.path("stained.csv"), text).unwrap();
}

/// Mean count of the wells of a dose.
fn truth_of(place: &Place, dose: &str) -> f64 {
    let rows = place.text("wells.csv");
    let truth = place.text("truth.csv");
    let of_dose = rows
        .lines()
        .zip(truth.lines())
        .filter(|(row, _)| row.ends_with(&format!(",{dose}")));
    let counts: Vec<f64> = of_dose
        .map(|(_, truth)| truth.rsplit(',').next().unwrap().parse().unwrap())
        .collect();
    counts.iter().sum::<f64>() / counts.len() as f64
}

#[test]
fn stained_wells_are_planned_and_say_what_the_screen_holds() {
    let place = screen(20);
    let plan = [
        "plan",
        "wells.csv",
        "--wells",
        "24",
        "--by",
        "dose",
        "--column",
        "objects",
        "--out",
        "plan.csv",
    ];
    let run = place.ok(&plan);
    assert!(
        run.stdout.contains("24 of 480 wells are to be stained"),
        "{}",
        run.stdout
    );
    let planned = place.text("plan.csv");
    assert_eq!(
        planned.lines().next(),
        Some("plate,well,probability,stratum")
    );
    assert_eq!(planned.lines().count(), 25);
    assert!(
        planned.lines().skip(1).all(|row| row.contains(",0.05,p")),
        "{planned}"
    );
    // The same seed, the same wells; and no plate is left out.
    place.ok(&plan);
    assert_eq!(place.text("plan.csv"), planned);
    for plate in 1..=20 {
        assert!(
            planned.contains(&format!("\np{plate},")),
            "p{plate}\n{planned}"
        );
    }

    stain(&place);
    let run = place.ok(&[
        "estimate",
        "--predicted",
        "wells.csv",
        "--stained",
        "stained.csv",
        "--by",
        "dose",
        "--json",
        "-",
    ]);
    let found: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(found["column"], "objects");
    let groups = found["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 3);
    for (group, (dose, _)) in groups.iter().zip(DOSES) {
        assert_eq!(group["by"], dose);
        assert_eq!(group["n"], 8);
        assert_eq!(group["N"], 152);
        let truth = truth_of(&place, dose);
        let ci95 = [0, 1].map(|k| group["ci95"][k].as_f64().unwrap());
        assert!(
            ci95[0] < truth && truth < ci95[1],
            "{dose}: {truth} {ci95:?}"
        );
        // The predictions say 20 % less.
        let off = group["estimate"].as_f64().unwrap() / truth - 1.0;
        assert!(off.abs() < 0.05, "{off}");
        let worth = group["worth_wells"].as_f64().unwrap();
        assert!(worth > 20.0, "{worth}");
        assert!(group["classical"]["ci95"][1].as_f64().unwrap() > ci95[1]);
        let total = group["total"]["estimate"].as_f64().unwrap();
        assert!((total / 160.0 / truth - 1.0).abs() < 0.05, "{total}");
    }
    let last = &found["differences"][1];
    assert_eq!((&last["by"], &last["against"]), (&"10".into(), &"0".into()));
    let apart = truth_of(&place, "10") - truth_of(&place, "0");
    let ci95 = [0, 1].map(|k| last["ci95"][k].as_f64().unwrap());
    assert!(ci95[0] < apart && apart < ci95[1], "{apart} {ci95:?}");

    let run = place.ok(&[
        "estimate",
        "--predicted",
        "wells.csv",
        "--stained",
        "stained.csv",
    ]);
    assert!(
        run.stdout.contains("mean objects") && run.stdout.contains("all"),
        "{}",
        run.stdout
    );
}

#[test]
fn stained_wells_of_some_plates_only_make_plates_the_unit() {
    let place = screen(12);
    let truth = place.text("truth.csv");
    let of_four = |line: &&str| {
        ["p1,", "p4,", "p7,", "p9,"]
            .iter()
            .any(|p| line.starts_with(p))
    };
    let rows: Vec<&str> = truth.lines().skip(1).filter(of_four).collect();
    let text = format!("plate,well,objects\n{}\n", rows.join("\n"));
    std::fs::write(place.path("stained.csv"), &text).unwrap();
    let estimate = [
        "estimate",
        "--predicted",
        "wells.csv",
        "--stained",
        "stained.csv",
    ];
    let run = place.ok(&[&estimate[..], &["--json", "-"]].concat());
    let found: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let group = &found["groups"][0];
    assert_eq!(
        (&found["unit"], &group["n"], &group["N"]),
        (&"plate".into(), &4.into(), &8.into())
    );
    assert!(
        run.stderr.contains("plates count as drawn"),
        "{}",
        run.stderr
    );

    let two: Vec<&str> = rows
        .iter()
        .copied()
        .filter(|row| !row.starts_with("p7"))
        .collect();
    let two: Vec<&str> = two
        .into_iter()
        .filter(|row| !row.starts_with("p9"))
        .collect();
    let text = format!("plate,well,objects\n{}\n", two.join("\n"));
    std::fs::write(place.path("stained.csv"), &text).unwrap();
    let run = place.ok(&estimate);
    assert!(
        run.stderr.contains("lie on 2 of 12 plates"),
        "{}",
        run.stderr
    );
}

#[test]
fn what_cannot_be_estimated_is_said_in_a_sentence() {
    let place = screen(1);
    let estimate = [
        "estimate",
        "--predicted",
        "wells.csv",
        "--stained",
        "stained.csv",
    ];
    let with = |text: &str| std::fs::write(place.path("stained.csv"), text).unwrap();

    with("plate,well,nuclei\np1,A1,300\n");
    place.fails(
        2,
        &estimate,
        "error: `wells.csv` and `stained.csv` share no column of numbers; give both one of the \
         same title, and name it with `--column`",
    );
    with("plate,well,objects\nother,A1,300\n");
    let run = place.run(&estimate);
    assert!(
        run.code != 0 && run.stderr.contains("none of the 1 wells"),
        "{}",
        run.stderr
    );
    with("plate,well,objects\np1,A1,300\np1,A2,many\n");
    let run = place.run(&estimate);
    assert!(
        run.stderr.contains("line 3: column `objects` holds `many`"),
        "{}",
        run.stderr
    );
    with("plate,well,objects,probability\np1,A1,300,1.5\n");
    let run = place.run(&estimate);
    assert!(
        run.stderr.contains("has the probability `1.5`"),
        "{}",
        run.stderr
    );

    with("plate,well,objects,probability\np1,A1,300,0.1\np1,A2,200,\n");
    let run = place.run(&estimate);
    assert!(
        run.stderr.contains("well `A02` has no probability"),
        "{}",
        run.stderr
    );

    // Two wells give an estimate without an interval.
    with("plate,well,objects\np1,A1,300\np1,A2,280\n");
    let run = place.ok(&estimate);
    assert!(
        run.stderr.contains("too few for an interval"),
        "{}",
        run.stderr
    );
    assert!(run.stdout.contains("290.0"), "{}", run.stdout);

    let run = place.run(&[&estimate[..], &["--by", "dose", "--against", "7"]].concat());
    assert!(
        run.stderr.contains("there is no condition `7`"),
        "{}",
        run.stderr
    );
    let run = place.run(&["plan", "wells.csv", "--wells", "3", "--by", "drug"]);
    assert!(
        run.stderr.contains("it has no column `drug`"),
        "{}",
        run.stderr
    );
    // Counts that were typed into the plan stay.
    std::fs::write(
        place.path("typed.csv"),
        "plate,well,probability,stratum,objects\n",
    )
    .unwrap();
    let run = place.run(&["plan", "wells.csv", "--wells", "3", "--out", "typed.csv"]);
    assert!(run.code != 0, "{}", run.stderr);
    assert_eq!(
        place.text("typed.csv"),
        "plate,well,probability,stratum,objects\n"
    );
    std::fs::write(place.path("mine.csv"), "precious\n").unwrap();
    let run = place.run(&["plan", "wells.csv", "--wells", "3", "--out", "mine.csv"]);
    assert!(
        run.code != 0 && place.text("mine.csv") == "precious\n",
        "{}",
        run.stderr
    );
    let run = place.ok(&["plan", "wells.csv", "--wells", "3", "--by", "dose"]);
    assert!(
        run.stderr.contains("too few for an interval of their own"),
        "{}",
        run.stderr
    );
    assert_eq!(run.stdout.lines().count(), 4, "{}", run.stdout);
}

#[test]
fn wells_of_several_plates_are_told_apart_by_their_plate() {
    let place = screen(2);
    std::fs::write(
        place.path("stained.csv"),
        "well,objects\nA1,300\nA2,200\nA3,90\n",
    )
    .unwrap();
    let estimate = [
        "estimate",
        "--predicted",
        "wells.csv",
        "--stained",
        "stained.csv",
    ];
    let run = place.run(&estimate);
    assert!(
        run.code != 0 && run.stderr.contains("on which of the 2 plates"),
        "{}",
        run.stderr
    );
    for name in ["a.csv", "b.csv"] {
        std::fs::write(place.path(name), "well,objects\nA1,3\nA2,2\n").unwrap();
    }
    let run = place.run(&["plan", "a.csv", "b.csv", "--wells", "2"]);
    let said = "`a.csv` and `b.csv` both have the well `A01` of one plate";
    assert!(run.code != 0 && run.stderr.contains(said), "{}", run.stderr);
}

#[test]
fn wells_are_planned_from_images_and_those_that_trained_are_left_out() {
    let place = Place::new();
    place.ok(&[
        "simulate", "sim", "--wells", "6", "--sites", "1", "--side", "96", "--seed", "3",
    ]);
    let run = place.ok(&["plan", "sim/plate", "--wells", "2"]);
    assert_eq!(run.stdout.lines().count(), 3, "{}", run.stdout);
    place.ok(&["new", "study", "--images", "sim/plate"]);
    place.ok(&["prepare", "study"]);
    let run = place.ok(&["plan", "study", "sim/plate", "--wells", "6", "--json", "-"]);
    let planned: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let fields = place.text("study/fields.csv");
    let tests = fields
        .lines()
        .filter(|line| line.contains(",test,"))
        .count();
    assert!(tests > 0 && tests < 6, "{fields}");
    assert_eq!(planned["of"], tests, "{}", run.stdout);
    let said = "trained or chose the model of `study`";
    assert!(run.stderr.contains(said), "{}", run.stderr);
    let run = place.run(&["plan", "sim/plate", "--wells", "2", "--by", "dose"]);
    let said = "know neither conditions nor predictions";
    assert!(run.stderr.contains(said), "{}", run.stderr);
}

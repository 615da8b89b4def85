use super::*;

/// Side of a field, pixels.
const SIDE_PX: usize = 256;

/// Nuclei of a field: centre and radius, pixels.
type Discs = Vec<(f64, f64, f64)>;

/// A field of `count` nuclei that do not touch, its own by its number.
fn discs(number: u64, count: usize) -> Discs {
    let mut random = Stream::new(number);
    let mut place = |from: f64, to: f64| from + (to - from) * random.below(10_000) as f64 / 1e4;
    let mut found: Discs = Vec::new();
    while found.len() < count {
        let far = SIDE_PX as f64 + 10.0;
        let (y, x, r) = (place(-10.0, far), place(-10.0, far), place(5.0, 8.0));
        if found
            .iter()
            .all(|d| (d.0 - y).hypot(d.1 - x) > d.2 + r + 2.0)
        {
            found.push((y, x, r));
        }
    }
    found
}

/// Their labels, moved down and right.
fn labels(discs: &Discs, (dy, dx): (f64, f64)) -> Image<u32> {
    Image::from_fn(SIDE_PX, SIDE_PX, |y, x| {
        let is_in = |d: &(f64, f64, f64)| {
            let (y, x) = (y as f64 - d.0 - dy, x as f64 - d.1 - dx);
            y.hypot(x) <= d.2
        };
        discs.iter().position(is_in).map_or(0, |i| i as u32 + 1)
    })
}

/// What a mediocre model says of them: a fifth is missed, a fifth is found where nothing is, edges
/// are soft, and every pixel is noisy.
fn predicted(discs: &Discs, number: u64) -> Image<f32> {
    let mut seen: Discs = discs.iter().copied().skip(discs.len() / 5).collect();
    let invented = self::discs(number + 1000, discs.len() / 5);
    seen.extend(invented);
    let mut random = Stream::new(number + 2000);
    Image::from_fn(SIDE_PX, SIDE_PX, |y, x| {
        let inside = |d: &(f64, f64, f64)| d.2 - (y as f64 - d.0).hypot(x as f64 - d.1);
        let nearest = seen.iter().map(inside).fold(f64::NEG_INFINITY, f64::max);
        let noise = random.below(1000) as f64 / 1000.0 - 0.5;
        let odds = (nearest / 2.0).clamp(-2.0, 2.0) + 3.0 * noise;
        (1.0 / (1.0 + (-odds).exp())) as f32
    })
}

/// What fields of these numbers say whose truth `truth` makes of their nuclei.
fn evidence(
    numbers: std::ops::Range<u64>,
    truth: impl Fn(u64) -> Image<u32>,
) -> Vec<TruthEvidence> {
    numbers
        .map(|number| {
            let probability = predicted(&discs(number, 60), number);
            truth_evidence(&probability, &truth(number), &Known::default()).unwrap()
        })
        .collect()
}

fn at(number: u64, shift: (f64, f64)) -> Image<u32> {
    labels(&discs(number, 60), shift)
}

fn found(evidence: &[TruthEvidence]) -> TruthLaid {
    TruthLaid::find(evidence, 0.5)
}

#[test]
fn a_shift_in_any_direction_is_found_to_half_a_pixel() {
    for (i, size) in [0.0, 0.5, 1.3, 2.0, 3.7, 5.0, 6.4, 8.0]
        .into_iter()
        .enumerate()
    {
        let angle = 0.8 * i as f64;
        let shift = (size * angle.sin(), size * angle.cos());
        let laid = found(&evidence(0..3, |n| at(n, shift)));
        let there = laid.shift.unwrap();
        assert_eq!(laid.lies, Lies::Here, "{shift:?}: {laid:?}");
        let off = (there.dy_px - shift.0).hypot(there.dx_px - shift.1);
        assert!(off < 0.5, "{shift:?}: {there:?}");
        assert!(off < there.radius95_px + 0.2, "{shift:?}: {there:?}");
    }
}

#[test]
fn truth_that_is_turned_is_told_and_by_what() {
    let turned = |turn: Turn, image: &Image<u32>| {
        let last = SIDE_PX - 1;
        Image::from_fn(SIDE_PX, SIDE_PX, |y, x| {
            let (y, x) = match turn {
                Turn::LeftRight => (y, last - x),
                Turn::TopBottom => (last - y, x),
                Turn::Half => (last - y, last - x),
                Turn::Transposed => (x, y),
                Turn::QuarterRight => (last - x, y),
                Turn::QuarterLeft => (x, last - y),
                Turn::OtherDiagonal => (last - x, last - y),
            };
            image.get(y, x)
        })
    };
    for turn in Turn::ALL {
        let laid = found(&evidence(0..2, |n| turned(turn, &at(n, (2.0, -3.0)))));
        assert_eq!(laid.lies, Lies::Turned(turn), "{laid:?}");
        assert!(laid.fields.contains(&FieldFit::Turned(turn)), "{laid:?}");
    }
    // One of several is named, and the others tell where they lie.
    let laid = found(&evidence(0..4, |n| match n {
        2 => turned(Turn::Half, &at(n, (2.0, -3.0))),
        _ => at(n, (2.0, -3.0)),
    }));
    assert_eq!(laid.fields[2], FieldFit::Turned(Turn::Half));
    assert_eq!(laid.lies, Lies::Here);
}

#[test]
fn the_truth_of_another_field_is_told_and_of_which() {
    let exchanged = [1, 0, 2, 3, 4, 5];
    let laid = found(&evidence(0..6, |n| at(exchanged[n as usize], (0.0, 3.0))));
    assert_eq!(
        laid.fields[..2],
        [FieldFit::Swapped(1), FieldFit::Swapped(0)]
    );
    let others = laid.fields[2..].iter();
    assert!(others.clone().all(|fit| matches!(fit, FieldFit::Fits(_))));
    assert_eq!(laid.lies, Lies::Here);
    assert!((laid.shift.unwrap().dx_px - 3.0).abs() < 0.5);
    // Each is that of the next: nothing is left to tell.
    let laid = found(&evidence(0..4, |n| at((n + 1) % 4, (0.0, 3.0))));
    assert_eq!(laid.lies, Lies::CannotTell(Doubt::Strangers));
}

#[test]
fn what_does_not_fit_gives_no_answer() {
    // The truth of fields that are not there.
    let laid = found(&evidence(0..3, |n| at(n + 50, (0.0, 0.0))));
    assert!(
        matches!(laid.lies, Lies::CannotTell(Doubt::NoFit(_))),
        "{laid:?}"
    );
    // Some nuclei, wherever they lie.
    let few = discs(7, 4);
    let one = truth_evidence(
        &predicted(&few, 7),
        &labels(&few, (3.0, 0.0)),
        &Known::default(),
    );
    let laid = found(&[one.unwrap()]);
    assert_eq!(laid.lies, Lies::CannotTell(Doubt::FewNuclei(4)));
    // No nucleus at all, and no field.
    let nothing = Image::filled(SIDE_PX, SIDE_PX, 0);
    let empty = truth_evidence(&predicted(&few, 7), &nothing, &Known::default());
    assert_eq!(
        found(&[empty.unwrap()]).lies,
        Lies::CannotTell(Doubt::FewNuclei(0))
    );
    assert_eq!(found(&[]).lies, Lies::CannotTell(Doubt::FewNuclei(0)));
}

#[test]
fn on_a_regular_grid_nobody_can_tell() {
    let step = 16.0;
    let grid: Discs = (0..256)
        .map(|i| {
            (
                step * f64::from(i / 16) + 8.0,
                step * f64::from(i % 16) + 8.0,
                5.0,
            )
        })
        .collect();
    let evidence: Vec<TruthEvidence> = (0..3)
        .map(|n| {
            let truth = labels(&grid, (3.0, 1.0));
            truth_evidence(&predicted(&grid, n), &truth, &Known::default()).unwrap()
        })
        .collect();
    let laid = found(&evidence);
    assert!(matches!(laid.lies, Lies::CannotTell(_)), "{laid:?}");
}

#[test]
fn fields_that_differ_give_no_common_answer() {
    let laid = found(&evidence(0..6, |n| match n % 2 {
        0 => at(n, (6.0, 0.0)),
        _ => at(n, (-6.0, 0.0)),
    }));
    assert!(matches!(laid.lies, Lies::CannotTell(_)), "{laid:?}");
}

#[test]
fn a_minority_that_lies_elsewhere_is_told() {
    // 2 to 1 and 4 to 1: whoever is right, moving all would move some away.
    for (fields, every) in [(9, 3), (10, 5)] {
        let laid = found(&evidence(0..fields, |n| match n % every {
            0 => at(n, (0.0, 0.0)),
            _ => at(n, (8.0, 0.0)),
        }));
        assert!(
            matches!(laid.lies, Lies::CannotTell(Doubt::FieldsDiffer(_))),
            "{laid:?}"
        );
        let is_away = |fit: &FieldFit| matches!(fit, FieldFit::Elsewhere(_));
        let away = laid.fields.iter().map(is_away);
        let expected = (0..fields).map(|n| n % every == 0);
        assert!(away.eq(expected), "{laid:?}");
    }
    // One of ten is named, and the others tell where they lie.
    let laid = found(&evidence(0..10, |n| match n {
        4 => at(n, (0.0, 0.0)),
        _ => at(n, (8.0, 0.0)),
    }));
    assert!(matches!(laid.fields[4], FieldFit::Elsewhere(_)), "{laid:?}");
    assert_eq!(laid.lies, Lies::Here);
    assert!((laid.shift.unwrap().dy_px - 8.0).abs() < 0.5);
}

#[test]
fn fields_that_say_nothing_do_not_disagree() {
    let nothing = Image::filled(SIDE_PX, SIDE_PX, 0);
    let laid = found(&evidence(0..9, |n| match n {
        0..3 => at(n, (3.0, 0.0)),
        _ => nothing.clone(),
    }));
    assert_eq!(laid.lies, Lies::Here, "{laid:?}");
}

#[test]
fn what_is_not_known_takes_no_part() {
    let left = Image::from_fn(SIDE_PX, SIDE_PX, |_, x| x >= SIDE_PX / 2);
    let known = Known {
        seen: None,
        truth: Some(&left),
    };
    let seen = Known {
        seen: Some(&left),
        truth: None,
    };
    for (n, known) in [(0, known), (1, seen)] {
        let probability = predicted(&discs(n, 60), n);
        let (own, other) = (at(n, (4.0, 0.0)), at(n + 9, (0.0, 0.0)));
        // In the half that is not known, anything may stand.
        let changed = |image: &Image<u32>, else_: &Image<u32>| {
            Image::from_fn(SIDE_PX, SIDE_PX, |y, x| match left.get(y, x) {
                true => image.get(y, x),
                false => else_.get(y, x),
            })
        };
        let odd = probability.map(|&p| 1.0 - p);
        let evidence = |p: &Image<f32>, t: &Image<u32>| truth_evidence(p, t, &known).unwrap();
        let (a, b) = match known.seen {
            None => (
                evidence(&probability, &own),
                evidence(&probability, &changed(&own, &other)),
            ),
            Some(_) => {
                let p = Image::from_fn(SIDE_PX, SIDE_PX, |y, x| match left.get(y, x) {
                    true => probability.get(y, x),
                    false => odd.get(y, x),
                });
                (evidence(&probability, &own), evidence(&p, &own))
            }
        };
        assert_eq!(a.blocks, b.blocks);
        assert_eq!(a.coarse, b.coarse);
    }
}

#[test]
fn a_field_that_is_too_small_says_nothing() {
    let probability = Image::filled(40, 300, 0.5);
    let evidence = truth_evidence(&probability, &Image::filled(40, 300, 1), &Known::default());
    assert!(evidence.unwrap().blocks.is_empty());
    let other = truth_evidence(&probability, &Image::filled(40, 200, 1), &Known::default());
    assert!(other.is_err());
}

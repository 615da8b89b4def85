//! The loops of an ND2 experiment: in which order frames were taken, and where.
//!
//! Each loop has its type (`eType`), its own values (`uLoopPars`) and the loop within it
//! (`ppNextLevelEx`). Frames are numbered with the innermost loop fastest. A loop over channels
//! counts for nothing, since the channels of a place lie in one frame. Points and phases of a plan
//! that were switched off (`pItemValid`, `pPeriodValid`) have no frames.

use super::tree::Value;

/// What frames run through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    Time,
    Point,
    Z,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Loop {
    pub(super) axis: Axis,
    /// 0 of a time loop without an end.
    pub(super) count: usize,
}

/// A place of the stage.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Point {
    /// Empty where it has none.
    pub(super) name: String,
    /// Where the stage stood, in its own system, um.
    pub(super) place_um: Option<[f64; 2]>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Experiment {
    /// The outermost first.
    pub(super) loops: Vec<Loop>,
    pub(super) points: Vec<Point>,
    pub(super) z_step_um: Option<f64>,
    pub(super) time_step_s: Option<f64>,
}

/// Which frame of an experiment one is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct At {
    pub(super) time: usize,
    pub(super) point: usize,
    pub(super) z: usize,
}

impl Experiment {
    /// What the chunk `ImageMetadata` says.
    ///
    /// # Errors
    /// What is in it that is not understood, as the end of a sentence.
    pub(super) fn of(tree: &Value, problems: &mut Vec<String>) -> Result<Self, String> {
        /// Four kinds of loops, some of them several times.
        const MOST_LEVELS: usize = 16;
        let mut found = Self::default();
        let mut next = Some(tree);
        for _ in 0..MOST_LEVELS {
            let Some(level) = next else {
                return found.checked();
            };
            found.add(level, problems)?;
            next = inner(level, problems);
        }
        Err("nests more loops than are known".into())
    }

    fn checked(self) -> Result<Self, String> {
        for axis in [Axis::Point, Axis::Z] {
            if self.loops.iter().filter(|own| own.axis == axis).count() > 1 {
                return Err(format!(
                    "has several loops of the kind `{axis:?}` in each other"
                ));
            }
        }
        let is_endless =
            |(k, own): (usize, &Loop)| own.count == 0 && (k > 0 || own.axis != Axis::Time);
        match self.loops.iter().enumerate().any(is_endless) {
            true => Err("has a loop without steps".into()),
            false => Ok(self),
        }
    }

    /// Adds the loop of one level.
    fn add(&mut self, level: &Value, problems: &mut Vec<String>) -> Result<(), String> {
        let Some(values) = loop_values(level) else {
            return Ok(());
        };
        let count = values.count("uiCount").unwrap_or(0);
        let (axis, count) = match level.count("eType") {
            Some(1 | 9) => {
                self.time_step_s = step_s(values);
                (Axis::Time, count)
            }
            Some(8) => (Axis::Time, self.phases(values, problems)),
            Some(2) => (Axis::Point, self.add_points(level, values, count)),
            Some(4 | 10) => {
                self.z_step_um = z_step(values, count);
                (Axis::Z, count)
            }
            Some(7) if count > 1 => {
                problems.push(format!(
                    "a loop that its user defined has {count} steps, which are taken as times"
                ));
                (Axis::Time, count)
            }
            None | Some(0 | 6 | 7) => return Ok(()),
            Some(other) => return Err(format!("has a loop of the type `{other}`")),
        };
        self.loops.push(Loop { axis, count });
        Ok(())
    }

    /// Time points of all phases that were taken; with the step, if they have one in common.
    fn phases(&mut self, values: &Value, problems: &mut Vec<String>) -> usize {
        let all = values.get("pPeriod").map_or(&[][..], Value::items);
        let valid = values
            .flags("pPeriodValid")
            .unwrap_or(vec![true; all.len()]);
        let taken = all.iter().zip(valid).filter(|(_, valid)| *valid);
        let taken = taken.map(|((_, phase), _)| phase);
        let taken: Vec<_> = taken
            .filter(|phase| phase.count("uiCount") > Some(0))
            .collect();
        let steps: Vec<Option<f64>> = taken.iter().map(|phase| step_s(phase)).collect();
        if let Some(first) = steps.first() {
            if steps.iter().all(|step| step == first) {
                self.time_step_s = *first;
            } else {
                problems.push(format!(
                    "its {} phases of time have different steps, so none is given",
                    steps.len()
                ));
            }
        }
        let counts = taken.iter().filter_map(|phase| phase.count("uiCount"));
        let sum = counts.fold(0_usize, usize::saturating_add);
        match sum {
            0 => values.count("uiCount").unwrap_or(0),
            sum => sum,
        }
    }

    /// The points that were visited; how many they are.
    fn add_points(&mut self, level: &Value, values: &Value, count: usize) -> usize {
        let from = match values.is_set("bRelativeXY") {
            true => ["dReferenceX", "dReferenceY"].map(|name| values.number(name).unwrap_or(0.0)),
            false => [0.0; 2],
        };
        let moved = |mut point: Point| {
            point.place_um = point.place_um.map(|[x, y]| [x + from[0], y + from[1]]);
            point
        };
        let listed = points(values).into_iter().map(moved);
        self.points = match level.flags("pItemValid").filter(|flags| !flags.is_empty()) {
            Some(valid) => {
                let all = listed.zip(valid);
                all.filter_map(|(point, valid)| valid.then_some(point))
                    .collect()
            }
            None => listed.collect(),
        };
        match self.points.len() {
            0 => count,
            points => points,
        }
    }

    /// Frames in all; of an endless time loop, those of one time.
    pub(super) fn frames(&self) -> u64 {
        let counts = self.loops.iter().map(|own| own.count.max(1) as u64);
        counts.fold(1, u64::saturating_mul)
    }

    /// Which frame number `number` is; `None` beyond the last.
    pub(super) fn at(&self, mut number: u64) -> Option<At> {
        let mut at = At::default();
        // Of two time loops in each other, the inner one counts within a step of the outer one.
        let mut stride = 1_usize;
        for own in self.loops.iter().rev() {
            let step = match own.count as u64 {
                0 => std::mem::take(&mut number),
                count => {
                    let step = number % count;
                    number /= count;
                    step
                }
            };
            let step = usize::try_from(step).ok()?;
            match own.axis {
                Axis::Time => {
                    at.time = at.time.checked_add(step.checked_mul(stride)?)?;
                    stride = stride.checked_mul(own.count.max(1))?;
                }
                Axis::Point => at.point = step,
                Axis::Z => at.z = step,
            }
        }
        (number == 0).then_some(at)
    }

    /// Planes along z.
    pub(super) fn planes(&self) -> usize {
        let mut stacks = self.loops.iter().filter(|own| own.axis == Axis::Z);
        stacks.next().map_or(1, |own| own.count)
    }
}

/// The values of a level's loop; in files before version 3 they stand in a list of one.
fn loop_values(level: &Value) -> Option<&Value> {
    let values = level.get("uLoopPars")?;
    match values.items() {
        [] => None,
        [(name, only @ Value::Level(_))] if is_unnamed(name) => Some(only),
        _ => Some(values),
    }
}

/// Whether a name is one of an item of a list, in any of the ways in which they are written.
fn is_unnamed(name: &str) -> bool {
    name.is_empty() || name == "no_name" || name.starts_with("i0")
}

/// The loop within a level. That of an experiment which was changed while it ran can stand in the
/// first phase of its time loop alone.
fn inner<'a>(level: &'a Value, problems: &mut Vec<String>) -> Option<&'a Value> {
    let next = level.get("ppNextLevelEx").map_or(&[][..], Value::items);
    let is_loop = |value: &Value| value.count("eType").is_some_and(|kind| kind > 0);
    let loops = next.iter().filter(|(_, value)| is_loop(value)).count();
    if loops > 1 {
        problems.push(format!(
            "its experiment has {loops} loops side by side, of which the first is used"
        ));
    }
    if let Some((_, first)) = next.iter().find(|(_, value)| is_loop(value)) {
        return Some(first);
    }
    let (_, phase) = loop_values(level)?.get("pSubLoops")?.items().first()?;
    let (_, changed) = phase.get("ppNextLevelEx")?.items().first()?;
    problems.push(
        "its experiment was changed while it ran, so places may have moved on the way".into(),
    );
    Some(changed.get("SLxExperiment").unwrap_or(changed))
}

/// Points in a list of their own, or, in older files, as a list of each of their values.
fn points(values: &Value) -> Vec<Point> {
    let name = |point: &Value| match point.text("dPosName") {
        "" => point.text("pPosName").trim().to_string(),
        name => name.trim().to_string(),
    };
    if let Some(points) = values.get("Points") {
        let point = |(_, point): &(String, Value)| Point {
            name: name(point),
            place_um: Option::zip(point.number("dPosX"), point.number("dPosY"))
                .map(|(x, y)| [x, y]),
        };
        return points.items().iter().map(point).collect();
    }
    let list = |name: &str| values.get(name).map_or(&[][..], Value::items);
    let number = |list: &[(String, Value)], k: usize| match list.get(k) {
        Some((_, Value::Number(number))) if number.is_finite() => Some(*number),
        _ => None,
    };
    let (xs, ys) = (list("dPosX"), list("dPosY"));
    let names = [list("dPosName"), list("pPosName")];
    let named = |k: usize| {
        let text = names.iter().find_map(|names| match names.get(k) {
            Some((_, Value::Text(text))) => Some(text.trim().to_string()),
            _ => None,
        });
        text.unwrap_or_default()
    };
    let point = |k: usize| Point {
        name: named(k),
        place_um: Option::zip(number(xs, k), number(ys, k)).map(|(x, y)| [x, y]),
    };
    (0..xs.len()).map(point).collect()
}

/// Seconds between time points: as planned or, of a loop without pauses, as measured.
fn step_s(values: &Value) -> Option<f64> {
    let stated = ["dPeriod", "dAvgPeriodDiff"].map(|name| values.number(name));
    let ms = stated.into_iter().flatten().find(|ms| *ms > 0.0)?;
    Some(ms / 1000.0)
}

fn z_step(values: &Value, count: usize) -> Option<f64> {
    let stated = values
        .number("dZStep")
        .map(f64::abs)
        .filter(|step| *step > 0.0);
    let of_range = || {
        let range = (values.number("dZHigh")? - values.number("dZLow")?).abs();
        (range > 0.0 && count > 1).then(|| range / (count - 1) as f64)
    };
    stated.or_else(of_range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(items: &[(&str, Value)]) -> Value {
        let items = items
            .iter()
            .map(|(name, value)| (name.to_string(), value.clone()));
        Value::Level(items.collect())
    }

    fn n(number: f64) -> Value {
        Value::Number(number)
    }

    fn with(kind: f64, values: Value, next: Option<Value>) -> Value {
        let next = next.map_or(level(&[]), |next| level(&[("", next)]));
        level(&[
            ("eType", n(kind)),
            ("uLoopPars", values),
            ("ppNextLevelEx", next),
        ])
    }

    fn read(tree: &Value) -> (Result<Experiment, String>, Vec<String>) {
        let mut problems = Vec::new();
        (Experiment::of(tree, &mut problems), problems)
    }

    #[test]
    fn loops_nest_in_any_order_with_the_last_fastest() {
        let z = with(
            4.0,
            level(&[("uiCount", n(3.0)), ("dZStep", n(-0.5))]),
            None,
        );
        let channels = with(6.0, level(&[("pPlanes", level(&[]))]), Some(z));
        let point = |name: &str| level(&[("dPosName", Value::Text(name.into()))]);
        let points = level(&[("Points", level(&[("", point("a")), ("", point("b"))]))]);
        let xy = with(2.0, points, Some(channels));
        let time = level(&[("uiCount", n(4.0)), ("dPeriod", n(1500.0))]);
        let (read, problems) = read(&with(1.0, time, Some(xy)));
        let read = read.expect("loops");
        assert_eq!(read.frames(), 24);
        assert_eq!(read.at(0), Some(At::default()));
        let at = |time, point, z| Some(At { time, point, z });
        assert_eq!(read.at(5), at(0, 1, 2));
        assert_eq!(read.at(23), at(3, 1, 2));
        assert_eq!(read.at(24), None);
        assert_eq!(read.z_step_um, Some(0.5));
        assert_eq!(read.time_step_s, Some(1.5));
        assert_eq!(read.points[1].name, "b");
        assert!(problems.is_empty());
    }

    #[test]
    fn what_was_switched_off_has_no_frames() {
        let phase = |count: f64, ms: f64| level(&[("uiCount", n(count)), ("dPeriod", n(ms))]);
        let phases = [
            ("", phase(5.0, 1.0)),
            ("", phase(7.0, 1.0)),
            ("", phase(2.0, 9.0)),
        ];
        let values = |valid: [u8; 3]| {
            let valid = Value::Bytes(valid.to_vec());
            level(&[("pPeriod", level(&phases)), ("pPeriodValid", valid)])
        };
        let (first, problems) = read(&with(8.0, values([1, 1, 0]), None));
        let first = first.expect("loops");
        assert_eq!((first.frames(), first.time_step_s), (12, Some(0.001)));
        assert!(problems.is_empty());
        let (second, problems) = read(&with(8.0, values([1, 0, 1]), None));
        let second = second.expect("loops");
        assert_eq!((second.frames(), second.time_step_s), (7, None));
        assert!(problems[0].contains("different steps"), "{problems:?}");

        let list = |values: [f64; 3]| level(&values.map(|value| ("no_name", n(value))));
        let old = level(&[
            ("bRelativeXY", n(1.0)),
            ("dReferenceX", n(100.0)),
            ("dPosX", list([1.0, 2.0, 3.0])),
            ("dPosY", list([4.0, 5.0, 6.0])),
        ]);
        let valid = level(&[("_00", n(0.0)), ("_01", n(1.0)), ("_02", n(1.0))]);
        let tree = level(&[("eType", n(2.0)), ("uLoopPars", old), ("pItemValid", valid)]);
        let points = read(&tree).0.expect("loops").points;
        let places: Vec<_> = points.iter().filter_map(|point| point.place_um).collect();
        assert_eq!(places, [[102.0, 5.0], [103.0, 6.0]]);
    }

    #[test]
    fn time_loops_in_each_other_are_one_and_other_doubles_are_refused() {
        let inner = |kind| with(kind, level(&[("uiCount", n(3.0)), ("x", n(0.0))]), None);
        let outer = |kind, inner| with(kind, level(&[("uiCount", n(2.0)), ("x", n(0.0))]), inner);
        let times = read(&outer(1.0, Some(inner(1.0)))).0.expect("loops");
        let times: Vec<_> = (0..6)
            .filter_map(|k| times.at(k))
            .map(|at| at.time)
            .collect();
        assert_eq!(times, [0, 1, 2, 3, 4, 5]);
        assert!(read(&outer(4.0, Some(inner(4.0)))).0.is_err());
        let (odd, _) = read(&outer(5.0, None));
        assert_eq!(odd, Err("has a loop of the type `5`".into()));
        let endless = read(&with(
            1.0,
            level(&[("uiCount", n(0.0)), ("x", n(0.0))]),
            None,
        ));
        assert_eq!(endless.0.expect("loops").at(17).map(|at| at.time), Some(17));
    }

    #[test]
    fn what_is_odd_in_an_experiment_is_told() {
        let count = |count: f64| level(&[("uiCount", n(count)), ("x", n(0.0))]);
        let (custom, problems) = read(&with(7.0, count(4.0), None));
        assert_eq!(custom.expect("loops").at(3).map(|at| at.time), Some(3));
        assert!(
            problems[0].contains("4 steps, which are taken as times"),
            "{problems:?}"
        );

        let both = level(&[
            ("", with(4.0, count(3.0), None)),
            ("", with(2.0, count(2.0), None)),
        ]);
        let values = [
            ("eType", n(1.0)),
            ("uLoopPars", count(2.0)),
            ("ppNextLevelEx", both),
        ];
        let (found, problems) = read(&level(&values));
        assert_eq!(found.expect("loops").frames(), 6);
        assert!(problems[0].contains("2 loops side by side"), "{problems:?}");

        // Changed on the way: the inner loop is that of the first phase.
        let changed = level(&[("SLxExperiment", with(4.0, count(3.0), None))]);
        let phase = level(&[("ppNextLevelEx", level(&[("", changed)]))]);
        let values = level(&[("uiCount", n(2.0)), ("pSubLoops", level(&[("", phase)]))]);
        let (found, problems) = read(&with(8.0, values, None));
        assert_eq!(found.expect("loops").planes(), 3);
        assert!(
            problems[0].contains("was changed while it ran"),
            "{problems:?}"
        );

        let mut deep = with(6.0, count(1.0), None);
        for _ in 0..20 {
            deep = with(6.0, count(1.0), Some(deep));
        }
        assert_eq!(read(&deep).0, Err("nests more loops than are known".into()));
    }
}

//! Time in names: which fields show the same place again, where only their names say so.
//!
//! `a_t001.tif` and `a_t002.tif` are the place `a` at two times, and so are
//! `p_B02_T0001F001L01A01Z01C01.tif` and `p_B02_T0002F001L01A01Z01C01.tif`. A name counts as a time
//! only where the names show a series: the same name with another time. A lone `drug_t3.tif` stays
//! what it is, as its `t3` may be a treatment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::draft::Draft;

/// One way in which names tell the time; `before` and `after` are the place.
struct Scheme {
    pattern: Regex,
    /// What a time is on the scheme's own scale, which only orders.
    time: fn(&Captures) -> Option<u32>,
    /// Whether the scale counts frames, so that its numbers are times as they are.
    counts: bool,
}

static SCHEMES: LazyLock<Vec<Scheme>> = LazyLock::new(|| {
    let scheme = |pattern: &str, time, counts| Scheme {
        pattern: Regex::new(pattern).expect("a valid pattern"),
        time,
        counts,
    };
    vec![
        // `a_t003`, `a-T3`, `a_time=3`, `t001xy1`, `A01_T0001F001L01A01Z01C01`, `frame_12`,
        // `TimePoint_2`. A letter before or after the number would make it a part of a word. Of two
        // such ends the last one is tried first.
        scheme(&word(".*"), frame, true),
        scheme(&word(".*?"), frame, true),
        // Micro-Manager's `img_000000012_BF_000`: time, channel, plane.
        scheme(
            r"(?i)^(?<before>img_)(?<n>\d{9})(?<after>_.+_\d{3})$",
            frame,
            true,
        ),
        // Harmony's `r02c03f01p01-ch1sk12fk1fl1`: `sk` is the sequence.
        scheme(
            r"(?i)^(?<before>r\d+c\d+f\d+p\d+-ch\d+)sk(?<n>\d+)(?<after>fk\d+.*)$",
            frame,
            true,
        ),
        // Incucyte's `A7_1_00d03h00m`: the time since the start.
        scheme(
            concat!(
                r"(?i)^(?<before>|.*[_\-. ])(?<d>\d+)d(?<h>\d+)h(?:(?<m>\d+)m)?",
                r"(?<after>|[_\-. ].*)$"
            ),
            minutes,
            false,
        ),
    ]
});

fn word(before: &str) -> String {
    format!(
        "{}{}{}",
        format_args!(r"(?i)^(?<before>|{before}[\d_\-. ])"),
        r"(?:t|tp|time|time[_\-. ]?point|frame|fr)[_\-= ]?",
        r"(?<n>\d+)(?<after>|(?:[_\-. ]|[a-z]{1,2}\d).*)$"
    )
}

fn frame(found: &Captures) -> Option<u32> {
    found["n"].parse().ok().filter(|&n| n < u32::MAX)
}

fn minutes(found: &Captures) -> Option<u32> {
    let number = |part: &str| {
        found
            .name(part)
            .map_or(Some(0), |m| m.as_str().parse().ok())
    };
    let hours = u32::checked_mul(number("d")?, 24)?.checked_add(number("h")?)?;
    hours.checked_mul(60)?.checked_add(number("m")?)
}

/// A place and a time on the scheme's scale.
type Moment = (String, u32);

impl Scheme {
    fn read(&self, name: &str) -> Option<Moment> {
        let found = self.pattern.captures(name)?;
        let ends = ['_', '-', '.', ' '];
        let (before, after) = (&found["before"], &found["after"]);
        let place = match after.strip_prefix(ends) {
            _ if before.is_empty() => after.trim_start_matches(ends),
            None if after.is_empty() => before.trim_end_matches(ends),
            None => &format!("{before}{after}"),
            Some(rest) if before.ends_with(ends) => &format!("{before}{rest}"),
            Some(_) => &format!("{before}{after}"),
        };
        // All of one nameless place.
        let place = if place.is_empty() { "series" } else { place };
        Some((place.to_string(), (self.time)(&found)?))
    }
}

/// Gives position and time to the fields whose layout left both open.
pub(super) fn place(fields: &mut [Draft]) {
    for scheme in SCHEMES.iter() {
        let open = |field: &&mut Draft| field.position.is_none() && field.time.is_none();
        let mut found: Vec<(&mut Draft, Moment)> = fields
            .iter_mut()
            .filter(open)
            .filter_map(|field| scheme.read(&field.name).map(|moment| (field, moment)))
            .collect();
        let mut times: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
        for (_, (place, time)) in &found {
            times.entry(place).or_default().insert(*time);
        }
        if times.values().all(|times| times.len() < 2) {
            continue;
        }
        let all: BTreeSet<u32> = times.into_values().flatten().collect();
        // Some programs count from 0.
        let first = all.first().copied().unwrap_or(1);
        for (field, (place, time)) in &mut found {
            field.position = Some(std::mem::take(place));
            field.time = Some(match scheme.counts {
                true => *time + u32::from(first == 0),
                false => all.iter().position(|t| t == time).unwrap_or(0) as u32 + 1,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `NAME -> POSITION @ TIME` of each name that is a moment of a series.
    fn placed(names: &[&str]) -> Vec<String> {
        let mut fields: Vec<Draft> = names.iter().map(|&name| Draft::named(name)).collect();
        place(&mut fields);
        let said = |field: &Draft| {
            let time = field.time?;
            Some(format!("{} @ {time}", field.position.clone()?))
        };
        fields.iter().filter_map(said).collect()
    }

    #[test]
    fn series_are_told_from_names() {
        assert_eq!(
            placed(&["a_t001", "a_t002", "b_t002"]),
            ["a @ 1", "a @ 2", "b @ 2"]
        );
        assert_eq!(placed(&["a-T0", "a-T1"]), ["a @ 1", "a @ 2"]);
        assert_eq!(
            placed(&["p_B02_T0001F002L01A01Z01C01", "p_B02_T0003F002L01A01Z01C01"]),
            ["p_B02_F002L01A01Z01C01 @ 1", "p_B02_F002L01A01Z01C01 @ 3"]
        );
        assert_eq!(
            placed(&["d_p0011_t000023_z0001", "d_p0011_t000024_z0001"]),
            ["d_p0011_z0001 @ 23", "d_p0011_z0001 @ 24"]
        );
        assert_eq!(
            placed(&["a_t01_stack_t1", "a_t02_stack_t1"]),
            ["a_stack_t1 @ 1", "a_stack_t1 @ 2"]
        );
        assert_eq!(placed(&["t001xy1", "t002xy1"]), ["xy1 @ 1", "xy1 @ 2"]);
        assert_eq!(placed(&["xy1t1", "xy1t2"]), ["xy1 @ 1", "xy1 @ 2"]);
        assert_eq!(
            placed(&["frame_1_a", "frame_2_a", "TimePoint_1", "TimePoint_2"]),
            ["a @ 1", "a @ 2", "series @ 1", "series @ 2"]
        );
        assert_eq!(
            placed(&["A7_1_00d00h00m", "A7_1_00d03h00m", "A7_1_01d00h00m"]),
            ["A7_1 @ 1", "A7_1 @ 2", "A7_1 @ 3"]
        );
        assert_eq!(
            placed(&["img_000000000_BF_000", "img_000000001_BF_000"]),
            ["img_BF_000 @ 1", "img_BF_000 @ 2"]
        );
        assert_eq!(
            placed(&["r02c03f01p01-ch1sk1fk1fl1", "r02c03f01p01-ch1sk2fk1fl1"]),
            ["r02c03f01p01-ch1fk1fl1 @ 1", "r02c03f01p01-ch1fk1fl1 @ 2"]
        );
    }

    #[test]
    fn without_a_series_a_name_is_no_time() {
        for names in [
            &["drug_t3", "control_t1"][..],
            &["a_t1", "b_t1"],
            &["cat1", "cat2"],
            &["a_1", "a_2"],
            &["last1", "last2"],
            &["a_t99999999999", "a_t1"],
            &["B02_s1", "B02_s2"],
        ] {
            assert_eq!(placed(names), [""; 0], "{names:?}");
        }
    }
}

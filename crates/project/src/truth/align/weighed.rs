//! Groups that are too small to tell, weighed with what the others say.

use stainfree_objects::{Together, TruthShift};

use super::{GroupLaid, Verdict};

/// What a group says by itself.
#[derive(Clone, Copy)]
pub(super) struct Alone<'a> {
    pub(super) laid: &'a GroupLaid,
    /// Whether truth and prediction fit at one place, however exactly it is known.
    pub(super) fits: bool,
    /// Pixel size of its images.
    pub(super) pixel_um: Option<f64>,
}

impl Alone<'_> {
    /// The shift that may be weighed.
    fn shift(&self) -> Option<TruthShift> {
        self.laid.found().filter(|_| self.fits)
    }

    /// Whether shifts in pixels mean the same in both.
    fn is_alike(&self, other: &Alone) -> bool {
        match (self.pixel_um, other.pixel_um) {
            (Some(a), Some(b)) => (a / b - 1.0).abs() < SAME_SIZE,
            (a, b) => a.is_none() && b.is_none(),
        }
    }
}

/// Pixel sizes that differ by less than this share are one.
const SAME_SIZE: f64 = 0.01;

/// What is known of each group given all others. Those that tell by themselves stay as they are,
/// and so do those that do not fit, or without a circle.
pub(super) fn weighed(groups: &[Alone]) -> Vec<GroupLaid> {
    let with_others = |group: &Alone| {
        let own = group
            .shift()
            .filter(|_| group.laid.verdict == Verdict::CannotTell)?;
        let alike = groups.iter().filter(|other| other.is_alike(group));
        let shifts: Vec<TruthShift> = alike.filter_map(Alone::shift).collect();
        let shift = Together::of(&shifts)?.shift(&own);
        // It may as well lie on the brightfield.
        let near = shift.dy_px.hypot(shift.dx_px) <= shift.radius95_px;
        (!near).then(|| moved(group, &own, shift, shifts.len() - 1))
    };
    let of = |group: &Alone| with_others(group).unwrap_or_else(|| group.laid.clone());
    groups.iter().map(of).collect()
}

/// A group whose `own` shift became `shift` beside `others`.
fn moved(group: &Alone, own: &TruthShift, shift: TruthShift, others: usize) -> GroupLaid {
    let alone = group.laid;
    let mut laid = GroupLaid {
        verdict: Verdict::WithOthers,
        because: format!(
            "with others: alone good to {:.1} px only, so it is weighed with {others} groups",
            own.radius95_px,
        ),
        own_dy_px: alone.dy_px,
        own_dx_px: alone.dx_px,
        own_radius95_px: alone.radius95_px,
        ..alone.clone()
    };
    laid.take(shift, group.pixel_um);
    laid
}

#[cfg(test)]
mod tests {
    use super::*;

    const UM: f64 = 0.5;

    /// A group that lies `dy_px` down; `None` for a circle that is not known.
    fn group(verdict: Verdict, dy_px: f64, radius: Option<f64>) -> GroupLaid {
        GroupLaid {
            plate: String::new(),
            group: "g".to_owned(),
            fields: 2,
            nuclei: 40,
            verdict,
            dy_px: Some(dy_px),
            dx_px: Some(-1.0),
            radius95_px: radius,
            dy_um: Some(UM * dy_px),
            dx_um: Some(-UM),
            clear: 10.0,
            second_peak: Some(0.1),
            because: "alone".to_owned(),
            models: "virtual-plates".to_owned(),
            own_dy_px: None,
            own_dx_px: None,
            own_radius95_px: None,
        }
    }

    /// All of one pixel size; the second of a pair says whether it fits.
    fn together(groups: &[(GroupLaid, bool)]) -> Vec<GroupLaid> {
        let alone = |(laid, fits): &'_ (GroupLaid, bool)| (laid.clone(), *fits, UM);
        of_sizes(&groups.iter().map(alone).collect::<Vec<_>>())
    }

    fn of_sizes(groups: &[(GroupLaid, bool, f64)]) -> Vec<GroupLaid> {
        let alone: Vec<Alone> = groups
            .iter()
            .map(|(laid, fits, um)| Alone {
                laid,
                fits: *fits,
                pixel_um: Some(*um),
            })
            .collect();
        weighed(&alone)
    }

    fn sure(dy_px: f64) -> (GroupLaid, bool) {
        (group(Verdict::Certain, dy_px, Some(0.4)), true)
    }

    fn unsure(dy_px: f64, radius: f64) -> (GroupLaid, bool) {
        (group(Verdict::CannotTell, dy_px, Some(radius)), true)
    }

    #[test]
    fn a_group_too_small_to_tell_lies_nearer_to_the_others() {
        let groups = [sure(4.0), sure(5.0), sure(6.0), sure(5.0), unsure(9.0, 4.0)];
        let laid = together(&groups);
        for (found, (known, _)) in laid.iter().zip(&groups[..4]) {
            assert_eq!(found, known);
        }
        let last = &laid[4];
        assert_eq!(last.verdict, Verdict::WithOthers);
        assert!(last.shift().is_some(), "its truth is moved");
        let dy = last.dy_px.unwrap();
        assert!((5.0..7.0).contains(&dy), "{last:?}");
        assert!(last.radius95_px.unwrap() < 3.5, "{last:?}");
        assert!((last.dy_um.unwrap() - UM * dy).abs() < 1e-3, "{last:?}");
        assert_eq!(
            (last.own_dy_px, last.own_radius95_px),
            (Some(9.0), Some(4.0))
        );
        let words = "alone good to 4.0 px only, so it is weighed with 4 groups";
        assert!(last.because.contains(words), "{}", last.because);
    }

    #[test]
    fn what_does_not_fit_is_left_and_moves_nobody() {
        let mut groups = vec![sure(4.0), sure(5.0), sure(6.0)];
        groups.push((group(Verdict::CannotTell, 40.0, Some(0.3)), false));
        groups.push((group(Verdict::Turned, -40.0, Some(0.3)), false));
        groups.push((group(Verdict::CannotTell, 9.0, None), true));
        // Three fit with a circle, which is too few.
        let alone: Vec<GroupLaid> = groups.iter().map(|(laid, _)| laid.clone()).collect();
        assert_eq!(together(&groups), alone);
        groups.push(unsure(5.0, 3.0));
        let laid = together(&groups);
        assert_eq!(laid[..6], alone[..]);
        assert_eq!(laid[6].verdict, Verdict::WithOthers);
        assert!((laid[6].dy_px.unwrap() - 5.0).abs() < 0.2, "{:?}", laid[6]);
    }

    #[test]
    fn pixels_of_another_size_mean_another_shift() {
        let sized = |(laid, fits): (GroupLaid, bool), um: f64| (laid, fits, um);
        let mut groups: Vec<_> = [4.0, 5.0, 6.0].map(|dy| sized(sure(dy), UM)).to_vec();
        groups.push(sized(unsure(5.0, 3.0), 2.0 * UM));
        groups.push(sized(unsure(5.0, 3.0), UM));
        let laid = of_sizes(&groups);
        assert_eq!(laid[3], groups[3].0);
        assert_eq!(laid[4].verdict, Verdict::WithOthers);
    }

    #[test]
    fn a_group_that_may_as_well_lie_on_the_brightfield_stays() {
        let near = [0.5, -0.5, 0.2, -0.4].map(|dy| {
            let (laid, fits) = unsure(dy, 3.0);
            let laid = GroupLaid {
                dx_px: Some(0.1),
                ..laid
            };
            (laid, fits)
        });
        let alone: Vec<GroupLaid> = near.iter().map(|(laid, _)| laid.clone()).collect();
        assert_eq!(together(&near), alone);
    }
}

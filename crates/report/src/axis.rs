//! Axes of plots: scales, round tick values and their labels.

/// How values map to places along an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// Equal steps for equal differences.
    #[default]
    Linear,
    /// Equal steps for equal ratios; values of 0 and below are left out.
    Log,
}

/// An axis over a range of values, `from < to`.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    scale: Scale,
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) ticks: Vec<f64>,
    step: f64,
}

impl Axis {
    /// The axis that shows all finite `values`, with at most about `wanted` ticks.
    ///
    /// `None` where no value can be shown. A linear axis ends on ticks.
    pub(crate) fn over(
        values: impl Iterator<Item = f64>,
        scale: Scale,
        wanted: usize,
    ) -> Option<Self> {
        let shown = |v: &f64| v.is_finite() && (scale == Scale::Linear || *v > 0.0);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for v in values.filter(shown) {
            low = low.min(v);
            high = high.max(v);
        }
        if low > high {
            return None;
        }
        Some(match scale {
            Scale::Linear => Self::linear(low, high, wanted),
            Scale::Log => Self::log(low, high, wanted),
        })
    }

    fn linear(low: f64, high: f64, wanted: usize) -> Self {
        // A flat curve still needs a range; the size of its value sets it.
        let spread = if high > low {
            high - low
        } else {
            high.abs().max(1e-6) * 0.2
        };
        let (low, high) = if high > low {
            (low, high)
        } else {
            (low - spread / 2.0, high + spread / 2.0)
        };
        let step = round_step(spread / wanted.max(1) as f64);
        let (first, last) = ((low / step).floor() as i64, (high / step).ceil() as i64);
        let ticks: Vec<f64> = (first..=last).map(|i| i as f64 * step).collect();
        Self {
            scale: Scale::Linear,
            from: first as f64 * step,
            to: last as f64 * step,
            ticks,
            step,
        }
    }

    fn log(low: f64, high: f64, wanted: usize) -> Self {
        let (mut from, mut to) = (low, high);
        if to / from < 2.0 {
            let middle = (from * to).sqrt();
            (from, to) = (middle / 1.5, middle * 1.5);
        }
        let decades = (from.log10().floor() as i32)..=(to.log10().ceil() as i32);
        let every = |digits: &[f64]| -> Vec<f64> {
            decades
                .clone()
                .flat_map(|d| digits.iter().map(move |digit| digit * 10f64.powi(d)))
                .filter(|v| (from * 0.999..=to * 1.001).contains(v))
                .collect()
        };
        let mut ticks = every(&[1.0, 2.0, 5.0]);
        if ticks.len() < 3 {
            // So short that most round numbers lie outside: the finest set that fits.
            let finer = [
                every(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]),
                every(&[1.0, 2.0, 3.0, 5.0, 7.0]),
            ];
            ticks = finer
                .into_iter()
                .find(|finer| finer.len() <= wanted)
                .unwrap_or(ticks);
        }
        if ticks.len() > wanted {
            ticks = every(&[1.0]);
        }
        // Very long axes keep every k-th decade.
        let keep = ticks.len().div_ceil(wanted.max(1)).max(1);
        let ticks = ticks.into_iter().step_by(keep).collect();
        Self {
            scale: Scale::Log,
            from,
            to,
            ticks,
            step: 0.0,
        }
    }

    /// Place of a value along the axis, 0 at `from` and 1 at `to`; `None` where it cannot be shown.
    pub(crate) fn place(&self, value: f64) -> Option<f64> {
        let share = match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Log if value > 0.0 => (value / self.from).ln() / (self.to / self.from).ln(),
            Scale::Log => return None,
        };
        (share.is_finite() && (-1e-9..=1.0 + 1e-9).contains(&share)).then_some(share)
    }

    /// The label of a tick: as many decimals as the step needs, thousands as `k`.
    pub(crate) fn label(&self, tick: f64) -> String {
        let magnitude = tick.abs();
        if self.scale == Scale::Linear && self.to.abs() >= 10_000.0 && magnitude < 1e9 {
            return if tick == 0.0 {
                "0".to_owned()
            } else {
                format!("{}k", trim(tick / 1000.0, 3))
            };
        }
        if magnitude != 0.0 && !(1e-4..1e6).contains(&magnitude) {
            return format!("{tick:.0e}");
        }
        match self.scale {
            Scale::Linear => {
                let decimals = (-self.step.log10().floor()).max(0.0) as usize;
                // A step of 0.25 needs one more digit than its magnitude says.
                let rest = self.step * 10f64.powi(decimals as i32);
                let decimals = decimals + usize::from((rest - rest.round()).abs() > 1e-6);
                format!("{tick:.decimals$}")
            }
            Scale::Log => trim(tick, 6),
        }
    }
}

/// The number with at most `decimals` decimals and no trailing zeros.
fn trim(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// The round step (1, 2, 2.5 or 5 times a power of ten) at or above `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let digit = step / power;
    let round = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .find(|r| digit <= r * (1.0 + 1e-9));
    round.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[f64], scale: Scale, wanted: usize) -> Vec<String> {
        let axis = Axis::over(values.iter().copied(), scale, wanted).unwrap();
        axis.ticks.iter().map(|&t| axis.label(t)).collect()
    }

    #[test]
    fn ticks_are_round_and_cover_the_values() {
        assert_eq!(
            labels(&[0.13, 0.94], Scale::Linear, 5),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
        assert_eq!(
            labels(&[0.0, 15_000.0], Scale::Linear, 3),
            ["0", "5k", "10k", "15k"]
        );
        assert_eq!(
            labels(&[0.5, 1.4], Scale::Linear, 4),
            ["0.50", "0.75", "1.00", "1.25", "1.50"]
        );
        assert_eq!(
            labels(&[0.02, 0.6], Scale::Log, 6),
            ["0.02", "0.05", "0.1", "0.2", "0.5"]
        );
        assert_eq!(labels(&[11.0, 44.0], Scale::Log, 6), ["20", "30", "40"]);
        assert_eq!(
            labels(&[11.0, 88.0], Scale::Log, 6),
            ["20", "30", "50", "70"]
        );
        assert_eq!(labels(&[11.0, 88.0], Scale::Log, 3), ["20", "50"]);
    }

    #[test]
    fn odd_values_have_an_axis_or_none() {
        assert!(Axis::over([f64::NAN].into_iter(), Scale::Linear, 5).is_none());
        assert!(Axis::over([0.0, -1.0].into_iter(), Scale::Log, 5).is_none());
        let flat = Axis::over([0.3, 0.3].into_iter(), Scale::Linear, 5).unwrap();
        assert!(flat.from < 0.3 && flat.to > 0.3);
        let zero = Axis::over([0.0].into_iter(), Scale::Linear, 5).unwrap();
        assert!(zero.place(0.0).is_some());
        let log = Axis::over([1.0, 100.0].into_iter(), Scale::Log, 5).unwrap();
        assert!((log.place(10.0).unwrap() - 0.5).abs() < 1e-12);
        assert_eq!(log.place(0.0), None);
    }
}

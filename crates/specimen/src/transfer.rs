//! Transfer functions: what the microscope makes of each spatial frequency of the specimen.
//!
//! Brightfield. A thin specimen `t = exp(i phi - a)` (phase `phi` in rad, amplitude absorption `a`)
//! lit by a disc source (condenser) is imaged through a disc pupil (objective) with a defocus
//! phase `W(s) = 2 pi z sqrt(1 / lambda^2 - s^2)`. With the overlap integral
//! `C(f) = integral of S(s) P(s) P(s + f) exp(i (W(s + f) - W(s))) ds`, normalised by `C(0)`, the
//! first-order image is `1 - 2 Re C(f) A(f) - 2 Im C(f) Phi(f)`: the weak-object transfer functions
//! of N. Streibl (1985), "Three-dimensional imaging by a microscope", JOSA A 2, 121-127, and
//! D. K. Hamilton & C. J. R. Sheppard (1984), J. Microsc. 133, 27-39. The image formed from them is
//! exponentiated (the Rytov form), which keeps steep objects from going below zero light.
//!
//! Fluorescence. The incoherent transfer function of a disc pupil, plus a broad Gaussian for the
//! light from above and below the focal plane.

use crate::spec::Optics;

/// A function of spatial frequency `|f|` in cycles per um, tabulated and read by interpolation.
#[derive(Clone, Debug)]
pub(crate) struct Radial {
    values: Vec<f32>,
    per_unit: f32,
}

/// Steps of a table between frequency zero and its cutoff: at 3 um defocus the phase turns less
/// than a twentieth of a period between two steps.
const STEPS: usize = 768;

impl Radial {
    /// Tabulates `function` on `[0, cutoff]`; it counts as zero beyond.
    fn new(cutoff: f64, mut function: impl FnMut(f64) -> f64) -> Self {
        // Two more entries, both zero, so that interpolation needs no case at the end.
        let values = (0..STEPS + 2)
            .map(|i| {
                if i < STEPS {
                    function(cutoff * i as f64 / STEPS as f64) as f32
                } else {
                    0.0
                }
            })
            .collect();
        Radial {
            values,
            per_unit: (STEPS as f64 / cutoff) as f32,
        }
    }

    /// The value at frequency `f`.
    #[inline]
    pub(crate) fn at(&self, f: f32) -> f32 {
        let place = f * self.per_unit;
        let i = place as usize;
        if i > STEPS {
            return 0.0;
        }
        let low = self.values[i];
        low + (self.values[i + 1] - low) * (place - i as f32)
    }
}

/// The brightfield transfer functions of one focal plane.
#[derive(Clone, Debug)]
pub(crate) struct WeakObject {
    /// Relative intensity per rad of phase.
    pub(crate) phase: Radial,
    /// Relative intensity per unit of amplitude absorption (negative: absorption darkens).
    pub(crate) absorption: Radial,
}

/// Rings of equal area and directions per half ring of the source in the overlap integral.
const RINGS: usize = 24;
const DIRECTIONS: usize = 36;

impl WeakObject {
    /// Transfer functions with the focal plane `defocus_um` above the specimen, towards the lamp.
    pub(crate) fn new(optics: &Optics, defocus_um: f64) -> Self {
        let cutoff = (optics.objective_na + optics.condenser_na) / optics.wavelength_um;
        let overlap: Vec<(f64, f64)> = (0..STEPS)
            .map(|i| overlap(optics, defocus_um, cutoff * i as f64 / STEPS as f64))
            .collect();
        let mut re = overlap.iter().map(|c| -2.0 * c.0);
        let mut im = overlap.iter().map(|c| -2.0 * c.1);
        // Each closure is called once per step, in order.
        WeakObject {
            phase: Radial::new(cutoff, |_| im.next().unwrap_or(0.0)),
            absorption: Radial::new(cutoff, |_| re.next().unwrap_or(0.0)),
        }
    }
}

/// `C(f) / C(0)` as `(real, imaginary)`: the part of the source that reaches the image both
/// directly and diffracted by `f`, with the defocus phase between the two.
fn overlap(optics: &Optics, defocus_um: f64, f: f64) -> (f64, f64) {
    let k = 1.0 / optics.wavelength_um;
    let pupil = optics.objective_na * k;
    let source = optics.condenser_na * k;
    // Light runs downwards: a focal plane above the specimen is a negative propagation distance.
    let z = -defocus_um;
    let height = |s2: f64| (k * k - s2).max(0.0).sqrt();
    let (mut re, mut im) = (0.0, 0.0);
    for ring in 0..RINGS {
        // Equal areas: the midpoint in s^2.
        let s2 = source * source * (ring as f64 + 0.5) / RINGS as f64;
        let s = s2.sqrt();
        let direct = height(s2);
        for direction in 0..DIRECTIONS {
            // Half a turn is enough: `f` lies on the axis of symmetry.
            let angle = std::f64::consts::PI * (direction as f64 + 0.5) / DIRECTIONS as f64;
            let diffracted2 = s2 + f * f + 2.0 * s * f * angle.cos();
            if diffracted2 > pupil * pupil {
                continue;
            }
            let (sin, cos) = (std::f64::consts::TAU * z * (height(diffracted2) - direct)).sin_cos();
            re += cos;
            im += sin;
        }
    }
    let n = (RINGS * DIRECTIONS) as f64;
    (re / n, im / n)
}

/// Transfer function of a stain: `1 - haze` in focus, `haze` as a Gaussian of `haze_sigma_um`.
pub(crate) fn fluorescence(
    objective_na: f64,
    emission_um: f64,
    haze: f64,
    haze_sigma_um: f64,
) -> Radial {
    let cutoff = 2.0 * objective_na / emission_um;
    Radial::new(cutoff, |f| {
        let v = (f / cutoff).min(1.0);
        let sharp = std::f64::consts::FRAC_2_PI * (v.acos() - v * (1.0 - v * v).sqrt());
        let spread = std::f64::consts::PI * haze_sigma_um * f;
        (1.0 - haze) * sharp + haze * (-2.0 * spread * spread).exp()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn optics(condenser_na: f64) -> Optics {
        Optics {
            condenser_na,
            ..Optics::default()
        }
    }

    #[test]
    fn coherent_light_gives_the_sine_of_the_defocus_phase() {
        // Coherent limit, exact defocus phase: 2 sin(2 pi z (1/lambda - sqrt(1/lambda^2 - f^2))).
        let optics = optics(0.0);
        let transfer = WeakObject::new(&optics, -2.0);
        let k = 1.0 / optics.wavelength_um;
        for f in [0.1, 0.4, 0.8, 1.2] {
            let turn = std::f64::consts::TAU * 2.0 * (k - (k * k - f * f).sqrt());
            // Linear interpolation between 768 steps.
            assert!((f64::from(transfer.phase.at(f as f32)) - 2.0 * turn.sin()).abs() < 2e-3);
            assert!((f64::from(transfer.absorption.at(f as f32)) + 2.0 * turn.cos()).abs() < 2e-3);
        }
        // The paraxial law people know: 2 sin(pi lambda z f^2), at low frequency.
        let f = 0.2_f64;
        let paraxial = 2.0 * (std::f64::consts::PI * optics.wavelength_um * 2.0 * f * f).sin();
        assert!((f64::from(transfer.phase.at(f as f32)) - paraxial).abs() < 0.01);
    }

    #[test]
    fn phase_is_invisible_in_focus_and_inverts_through_it() {
        let focus = WeakObject::new(&optics(0.3), 0.0);
        let above = WeakObject::new(&optics(0.3), 3.0);
        let below = WeakObject::new(&optics(0.3), -3.0);
        let mut strongest = 0.0_f32;
        for i in 0..190 {
            let f = i as f32 * 0.01;
            assert_eq!(focus.phase.at(f), 0.0);
            assert!((above.phase.at(f) + below.phase.at(f)).abs() < 1e-6);
            assert!((above.absorption.at(f) - below.absorption.at(f)).abs() < 1e-6);
            strongest = strongest.max(below.phase.at(f));
        }
        // Coherent light gives 2; the open condenser leaves more than a quarter of it.
        assert!(
            strongest > 0.5,
            "a defocused phase grating must show, got {strongest}"
        );
    }

    #[test]
    fn absorption_passes_at_zero_and_stops_at_the_sum_of_apertures() {
        let optics = optics(0.3);
        let transfer = WeakObject::new(&optics, 0.0);
        assert!((transfer.absorption.at(0.0) + 2.0).abs() < 1e-6);
        let cutoff = ((optics.objective_na + optics.condenser_na) / optics.wavelength_um) as f32;
        assert!(transfer.absorption.at(cutoff * 0.9) < 0.0);
        assert_eq!(transfer.absorption.at(cutoff * 1.01), 0.0);
        // Beyond the objective's own aperture only oblique light carries the frequency.
        let objective = (optics.objective_na / optics.wavelength_um) as f32;
        assert!(transfer.absorption.at(objective * 1.1).abs() < 1.0);
    }

    #[test]
    fn fluorescence_keeps_the_total_light() {
        let transfer = fluorescence(0.75, 0.46, 0.3, 6.0);
        assert!((transfer.at(0.0) - 1.0).abs() < 1e-6);
        // The haze is gone at 0.2 cycles per um, the sharp part is not.
        let v = 0.2 * 0.46 / 1.5_f64;
        let sharp = std::f64::consts::FRAC_2_PI * (v.acos() - v * (1.0 - v * v).sqrt());
        assert!((f64::from(transfer.at(0.2)) - 0.7 * sharp).abs() < 1e-4);
        assert_eq!(transfer.at(3.4), 0.0);
    }
}

//! Every activation on every instruction set against its definition.

use super::*;
use crate::isa::Isa;
use crate::plain;
use crate::simd::{Simd, SimdKernel};

struct Both<'a>(Activation, &'a [f32; 16]);

impl SimdKernel for Both<'_> {
    type Output = [[f32; 16]; 2];
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Output {
        let mut out = [[0.0; 16]; 2];
        // SAFETY: every array holds 16 values.
        unsafe {
            let x = s.load(self.1.as_ptr());
            let y = self.0.apply(s, x);
            s.store(out[0].as_mut_ptr(), y);
            let d = self.0.gradient(s, x, y, s.splat(1.0));
            s.store(out[1].as_mut_ptr(), d);
        }
        out
    }
}

#[test]
fn no_activation_hides_a_nan() {
    for isa in Isa::available() {
        for activation in [Activation::Relu, Activation::Relu6, Activation::Swish] {
            let mut x = [1.0; 16];
            x[3] = f32::NAN;
            x[9] = -f32::NAN;
            let [y, _] = isa.run(Both(activation, &x));
            let lost: Vec<usize> = (0..16).filter(|&i| y[i].is_nan()).collect();
            assert_eq!(lost, [3, 9], "{} {activation:?}", isa.name());
        }
    }
}

#[test]
fn every_activation_is_its_definition_on_every_instruction_set() {
    let all = [
        Activation::None,
        Activation::Relu,
        Activation::Relu6,
        Activation::Swish,
    ];
    let mut values: Vec<f32> = (-400..400).map(|i| i as f32 / 37.0).collect();
    values.extend([0.0, 6.0, -100.0, 100.0, 1e-20, -87.5, 88.5, 0.0]);
    values.truncate(values.len() / 16 * 16);
    for isa in Isa::available() {
        for activation in all {
            for x in values.chunks_exact(16) {
                let x: &[f32; 16] = x.try_into().unwrap();
                let [y, d] = isa.run(Both(activation, x));
                for lane in 0..16 {
                    let [value, slope] = plain::activation(activation, f64::from(x[lane]));
                    let near = |found: f32, expected: f64, size: f64| {
                        // A few roundings of the terms; below -87 the exponential stands.
                        let beyond = f64::from(x[lane].abs()) * 2e-38;
                        (f64::from(found) - expected).abs() <= 1e-6 * size + beyond
                    };
                    // The slope of swish is a sum of two terms, which may cancel.
                    let g = 1.0 / (1.0 + (-f64::from(x[lane])).exp());
                    let terms = match activation {
                        Activation::Swish => g + (value * (1.0 - g)).abs(),
                        _ => slope.abs(),
                    };
                    assert!(
                        near(y[lane], value, value.abs()) && near(d[lane], slope, terms),
                        "{} {activation:?} at {}: {} {value}, {} {slope}",
                        isa.name(),
                        x[lane],
                        y[lane],
                        d[lane]
                    );
                }
            }
        }
    }
}

//! The instruction sets: the one place that asks the processor.
//!
//! One file for each implements `Simd`; `Isa::run` calls a kernel inside a function that has the
//! set's features switched on.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod chains;
mod portable;

use crate::simd::{Simd, SimdKernel};

/// Arithmetic of the matrix products in convolutions; everything else, and every sum, is f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Full f32.
    #[default]
    F32,
    /// Factors rounded to bfloat16 (8 bits of mantissa): twice the rate, where the processor has
    /// it.
    Bf16,
}

/// Convolutions of fewer input channels are always f32.
const LEAST_BF16_CHANNELS: usize = 48;

impl Precision {
    /// `f32` or `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// The precision called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::F32, Self::Bf16]
            .into_iter()
            .find(|p| p.name() == name)
    }
}

/// An instruction set this processor can run, and the precision of its matrix products; only
/// [`Isa::available`], [`Isa::choose`] and [`Isa::bf16`] make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Isa {
    /// What this processor supports, best first; portable is always last.
    pub fn available() -> Vec<Isa> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let fma = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if fma && is_x86_feature_detected!("avx512f") {
                found.push(Isa(Set::Avx512));
            }
            if fma {
                found.push(Isa(Set::Avx2));
            }
        }
        found.push(Isa(Set::Portable));
        found
    }

    /// The best supported set, or the one named by the environment variable `STAINFREE_ISA`, at
    /// `precision`.
    ///
    /// # Errors
    /// A sentence with the choices if the variable names something this processor does not have, or
    /// if the set has no instructions for the precision.
    pub fn choose(precision: Precision) -> Result<Isa, String> {
        let isa = Self::chosen()?;
        match precision {
            Precision::F32 => Ok(isa),
            Precision::Bf16 => isa.bf16().ok_or_else(|| {
                format!(
                    "bf16 needs a processor with AVX-512 BF16, and `{}` is used here; use `f32`",
                    isa.name()
                )
            }),
        }
    }

    /// This set with bf16 factors in matrix products, where the processor has instructions for it.
    pub fn bf16(self) -> Option<Isa> {
        #[cfg(target_arch = "x86_64")]
        if matches!(self.0, Set::Avx512 | Set::Avx512Bf16)
            && is_x86_feature_detected!("avx512bf16")
            && is_x86_feature_detected!("avx512bw")
        {
            return Some(Isa(Set::Avx512Bf16));
        }
        None
    }

    /// This set with f32 factors.
    pub fn f32(self) -> Isa {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Bf16 => Isa(Set::Avx512),
            _ => self,
        }
    }

    /// The set for products over so many channels: with few of them the time goes into transforms,
    /// bf16 gains nothing, and the first and last layers, where errors count most, stay f32.
    pub(crate) fn for_channels(self, channels: usize) -> Isa {
        // The same for forward pass and gradients, whichever way round the channels are then.
        if channels < LEAST_BF16_CHANNELS {
            self.f32()
        } else {
            self
        }
    }

    /// The precision of its matrix products.
    pub fn precision(self) -> Precision {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Bf16 => Precision::Bf16,
            _ => Precision::F32,
        }
    }

    /// [`Simd::factor_words`].
    pub(crate) fn factor_words(self) -> usize {
        match self.precision() {
            Precision::F32 => 16,
            Precision::Bf16 => 8,
        }
    }

    /// Vectors of outputs in a panel of filters for `blocks` blocks of them: the most that a
    /// micro-kernel takes, or one where that does not divide them.
    pub(crate) fn panel(self, blocks: usize) -> usize {
        struct Widest;
        impl SimdKernel for Widest {
            type Output = usize;
            #[inline(always)]
            fn run<S: Simd>(self, s: S) -> usize {
                s.widest_panel()
            }
        }
        let widest = self.run(Widest);
        if blocks.is_multiple_of(widest) {
            widest
        } else {
            1
        }
    }

    /// The best set, or the one that `STAINFREE_ISA` names, in f32.
    pub(crate) fn chosen() -> Result<Isa, String> {
        let available = Self::available();
        let Ok(wanted) = std::env::var("STAINFREE_ISA") else {
            return Ok(available[0]);
        };
        available
            .iter()
            .copied()
            .find(|isa| isa.name() == wanted)
            .ok_or_else(|| {
                let names: Vec<&str> = available.iter().map(|isa| isa.name()).collect();
                format!(
                    "STAINFREE_ISA is `{wanted}`, but this processor has: {}",
                    names.join(", ")
                )
            })
    }

    /// `avx512`, `avx2` or `portable`.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 | Set::Avx512Bf16 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            Set::Portable => "portable",
        }
    }

    /// Runs `job` compiled for this instruction set.
    #[inline]
    pub(crate) fn run<J: SimdKernel>(self, job: J) -> J::Output {
        match self.0 {
            // SAFETY: `available` detected the features of every set it returns.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => unsafe { avx512::run(job) },
            // SAFETY: `bf16` detected the features.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Bf16 => unsafe { avx512::run_bf16(job) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { avx2::run(job) },
            Set::Portable => job.run(portable::Portable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies every operation to the same numbers.
    struct Everything;

    impl SimdKernel for Everything {
        type Output = Vec<[f32; 16]>;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Self::Output {
            let a: [f32; 16] = std::array::from_fn(|i| i as f32 - 7.5);
            let b: [f32; 16] =
                std::array::from_fn(|i| if i % 3 == 0 { i as f32 - 7.5 } else { 2.0 });
            // SAFETY: both arrays hold 16 values.
            let (x, y) = unsafe { (s.load(a.as_ptr()), s.load(b.as_ptr())) };
            let results = [
                s.zero(),
                s.splat(3.0),
                s.add(x, y),
                s.sub(x, y),
                s.mul(x, y),
                s.mul_add(x, y, s.splat(0.5)),
                s.max(x, y),
                s.min(x, y),
                s.exp2_whole(s.sub(x, s.splat(0.5))),
                s.div(x, s.splat(4.0)),
                s.sqrt(s.mul(x, x)),
                s.where_positive(x, y),
                s.where_equal(x, y, s.splat(1.0), s.splat(-1.0)),
            ];
            let mut out = vec![[0.0; 16]; results.len()];
            for (out, v) in out.iter_mut().zip(results) {
                // SAFETY: `out` holds 16 values.
                unsafe { s.store(out.as_mut_ptr(), v) };
            }
            out
        }
    }

    #[test]
    fn every_instruction_set_means_the_same() {
        // Halves and quarters are exact in f32, so rounding excuses nothing.
        let expected = Isa(Set::Portable).run(Everything);
        assert_eq!(expected[6][1], 2.0);
        assert_eq!(expected[7][1], -6.5);
        assert_eq!((expected[8][0], expected[8][10]), (2f32.powi(-8), 4.0));
        assert_eq!(expected[11][0], 0.0);
        assert_eq!(expected[12][3], 1.0);
        for isa in Isa::available() {
            assert_eq!(isa.run(Everything), expected, "{}", isa.name());
        }
    }
}

//! The instruction sets: the one place that asks the processor, and the 16-lane vectors kernels
//! use.
//!
//! A kernel is written once against `Simd` and compiled once per instruction set: `Isa::run`
//! calls a `Job` inside a function that has the features switched on. Everything a job calls in its
//! inner loops is `#[inline(always)]`, so that it is compiled with those features. Closures are
//! not: one that a library function calls (`array::map`, `LocalKey::with`) may be compiled without
//! them, and then every instruction in it is a call. A test of the program looks for such calls
//! (`cli/tests/instructions.rs`).

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use crate::gemm::{GemmKernel, OuterKernel};

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
pub struct Isa(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

/// Work that is compiled once for every instruction set.
pub(crate) trait Job {
    /// What it gives.
    type Output;
    /// Does the work; implementations are `#[inline(always)]`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Arithmetic on vectors of [`Lanes::WIDTH`] f32. Holding a value of the implementing type proves
/// that the processor has the instructions.
pub(crate) trait Lanes: Copy + Send + Sync {
    /// A vector.
    type V: Copy;
    /// Its lanes.
    const WIDTH: usize;

    /// All lanes 0.
    fn zero(self) -> Self::V;
    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::V;
    /// Lane by lane `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// Lane by lane `a - b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// Lane by lane `a * b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// Lane by lane `a * b + c` (fused where the processor can).
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Lane by lane the larger; `b` if either is NaN, so that what is cut at a number stands
    /// second.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// `x` where `sign > 0`, else 0.
    fn where_positive(self, sign: Self::V, x: Self::V) -> Self::V;

    /// Reads a vector; any alignment.
    ///
    /// # Safety
    /// `from` must be valid for reading [`Lanes::WIDTH`] values.
    unsafe fn load(self, from: *const f32) -> Self::V;
    /// Writes a vector; any alignment.
    ///
    /// # Safety
    /// `to` must be valid for writing [`Lanes::WIDTH`] values.
    unsafe fn store(self, to: *mut f32, x: Self::V);
    /// Writes a vector of factors of `v` in `m = v * u`, in as many words, or half as many where
    /// they are bf16.
    ///
    /// # Safety
    /// `to` must be valid for writing them.
    #[inline(always)]
    unsafe fn store_factors(self, to: *mut f32, x: Self::V) {
        // SAFETY: the caller promises the words.
        unsafe { self.store(to, x) }
    }
}

/// Vectors of 16 lanes, and what is made of them.
pub(crate) trait Simd: Lanes {
    /// The lanes of one register. What keeps dozens of vectors at hand, as Winograd's transforms
    /// do, runs register by register: 16 lanes in two or four registers each would not fit the
    /// processor's.
    type Register: Lanes;
    /// Arithmetic on one register.
    fn register(self) -> Self::Register;

    /// Lane by lane the smaller; `b` if either is NaN, so that what is cut at a number stands
    /// second.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// Lane by lane the largest of four; NaN if any of them is.
    ///
    /// One comparison tells whether either of two is NaN, so four values take two of them beside
    /// the three maxima; kept at each maximum, it would take three.
    fn max_or_nan(self, values: [Self::V; 4]) -> Self::V;
    /// Lane by lane 2 to the power of `x`, a whole number from -126 to 127.
    fn exp2_whole(self, x: Self::V) -> Self::V;
    /// Lane by lane `a / b`.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// Lane by lane the square root.
    fn sqrt(self, a: Self::V) -> Self::V;
    /// `x` where `a == b`, else `y`.
    fn where_equal(self, a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V;

    /// Words (of 4 bytes) that 16 factors of `m = v * u` take: 16, or 8 where they are bf16.
    #[inline(always)]
    fn factor_words(self) -> usize {
        16
    }
    /// Writes rows `c` and `c + 1` (`c` even) of `u`, 16 columns of them, as the kernels read them;
    /// `row` words lie between rows, or between pairs of rows where they are bf16.
    ///
    /// # Safety
    /// `to` and, in f32, `to + row` must be valid for writing 16 words.
    #[inline(always)]
    unsafe fn store_factor_rows(self, to: *mut f32, row: usize, even: Self::V, odd: Self::V) {
        // SAFETY: the caller promises both rows.
        unsafe {
            self.store(to, even);
            self.store(to.add(row), odd);
        }
    }
    /// Adds the products of the factors in every lane: `acc + x * w`, or, where a lane is a pair of
    /// bf16, `acc + low(x) * low(w) + high(x) * high(w)`.
    #[inline(always)]
    fn add_products(self, acc: Self::V, x: Self::V, w: Self::V) -> Self::V {
        self.mul_add(x, w, acc)
    }
    /// Kernels of `m = v * u`, where entry `r - 1` handles `r` tiles, for panels of `nv` vectors.
    fn gemm_kernels(self, nv: usize) -> &'static [GemmKernel];
    /// Vectors of output channels a panel of `u` has where the channels allow it: 1 or 2.
    fn widest_panel(self) -> usize;
    /// Kernel of `d += v^T * z` for `nv` vectors, and the number of rows it handles.
    fn outer_kernel(self, nv: usize) -> (OuterKernel, usize);

    /// Multiplies and adds in registers, `rounds` times in each of the chains it returns the number
    /// of (see [`crate::peak`]).
    fn chains(self, rounds: usize) -> usize;
}

impl Isa {
    /// What this processor supports, best first; portable is always last.
    pub fn available() -> Vec<Isa> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let fma = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if fma && is_x86_feature_detected!("avx512f") {
                found.push(Isa(Kind::Avx512));
            }
            if fma {
                found.push(Isa(Kind::Avx2));
            }
        }
        found.push(Isa(Kind::Portable));
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
        if matches!(self.0, Kind::Avx512 | Kind::Avx512Bf16)
            && is_x86_feature_detected!("avx512bf16")
            && is_x86_feature_detected!("avx512bw")
        {
            return Some(Isa(Kind::Avx512Bf16));
        }
        None
    }

    /// This set with f32 factors.
    pub fn f32(self) -> Isa {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Bf16 => Isa(Kind::Avx512),
            _ => self,
        }
    }

    /// The set for products over so many channels: with few of them the time goes into transforms,
    /// bf16 gains nothing, and the first and last layers, where errors count most, stay f32.
    pub(crate) fn for_channels(self, channels: usize) -> Isa {
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
            Kind::Avx512Bf16 => Precision::Bf16,
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
            Kind::Avx512 | Kind::Avx512Bf16 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            Kind::Portable => "portable",
        }
    }

    /// Runs `job` compiled for this instruction set.
    #[inline]
    pub(crate) fn run<J: Job>(self, job: J) -> J::Output {
        match self.0 {
            // SAFETY: `available` detected the features of every set it returns.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => unsafe { avx512::run(job) },
            // SAFETY: `bf16` detected the features.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Bf16 => unsafe { avx512::run_bf16(job) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { avx2::run(job) },
            Kind::Portable => job.run(portable::Portable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies every operation to the same numbers.
    struct Everything;

    impl Job for Everything {
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
        let expected = Isa(Kind::Portable).run(Everything);
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

//! The instruction sets: the one place that asks the processor, and the 16-lane vectors kernels use.
//!
//! A kernel is written once against `Simd` and compiled once per instruction set: `Isa::run`
//! calls a `Job` inside a function that has the features switched on. Everything a job calls in its
//! inner loops is `#[inline(always)]`, so that it is compiled with those features.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use crate::gemm::{GemmKernel, OuterKernel};

/// An instruction set this processor can run; only [`Isa::available`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512,
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

/// Vectors of 16 f32. Holding a value of the implementing type proves that the processor has the
/// instructions.
pub(crate) trait Simd: Copy + Send + Sync {
    /// 16 lanes.
    type V: Copy;

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
    /// Lane by lane the larger; `b` if `a` is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// Lane by lane `a / b`.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// Lane by lane the square root.
    fn sqrt(self, a: Self::V) -> Self::V;
    /// `x` where `sign > 0`, else 0.
    fn where_positive(self, sign: Self::V, x: Self::V) -> Self::V;
    /// `x` where `a == b`, else `y`.
    fn where_equal(self, a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V;

    /// Reads 16 values; any alignment.
    ///
    /// # Safety
    /// `from` must be valid for reading 16 values.
    unsafe fn load(self, from: *const f32) -> Self::V;
    /// Writes 16 values; any alignment.
    ///
    /// # Safety
    /// `to` must be valid for writing 16 values.
    unsafe fn store(self, to: *mut f32, x: Self::V);

    /// Kernels of `m = v * u`, where entry `r - 1` handles `r` tiles, for panels of `nv` vectors.
    fn gemm_kernels(self, nv: usize) -> &'static [GemmKernel];
    /// Vectors of output channels a panel of `u` has where the channels allow it: 1 or 2.
    fn widest_panel(self) -> usize;
    /// Kernel of `d += v^T * z` for `nv` vectors, and the number of rows it handles.
    fn outer_kernel(self, nv: usize) -> (OuterKernel, usize);

    /// Multiplies and adds in registers, `rounds` times in each of the chains it returns the number of
    /// (see [`crate::peak`]).
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

    /// The best supported set, or the one named by the environment variable `STAINFREE_ISA`.
    ///
    /// # Errors
    /// A sentence with the choices if the variable names something this processor does not have.
    pub fn choose() -> Result<Isa, String> {
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
            Kind::Avx512 => "avx512",
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
            [
                s.zero(),
                s.splat(3.0),
                s.add(x, y),
                s.sub(x, y),
                s.mul(x, y),
                s.mul_add(x, y, s.splat(0.5)),
                s.max(x, y),
                s.div(x, s.splat(4.0)),
                s.sqrt(s.mul(x, x)),
                s.where_positive(x, y),
                s.where_equal(x, y, s.splat(1.0), s.splat(-1.0)),
            ]
            .map(|v| {
                let mut out = [0.0; 16];
                // SAFETY: `out` holds 16 values.
                unsafe { s.store(out.as_mut_ptr(), v) };
                out
            })
            .to_vec()
        }
    }

    #[test]
    fn every_instruction_set_means_the_same() {
        // Halves and quarters are exact in f32, so rounding excuses nothing.
        let expected = Isa(Kind::Portable).run(Everything);
        assert_eq!(expected[6][1], 2.0);
        assert_eq!(expected[9][0], 0.0);
        assert_eq!(expected[10][3], 1.0);
        for isa in Isa::available() {
            assert_eq!(isa.run(Everything), expected, "{}", isa.name());
        }
    }
}

//! What kernels are written against: vectors of 16 lanes, and work compiled for every instruction
//! set.
//!
//! A kernel is generic over [`Simd`] and knows no processor; `isa` implements the trait for each
//! instruction set and calls the kernel in a function that has its features switched on (*function
//! multiversioning*).
//!
//! Everything a kernel calls in its inner loops is `#[inline(always)]`, so that it is compiled with
//! those features. Closures are not: one that a library function calls (`array::map`,
//! `LocalKey::with`) may be compiled without them, and then every instruction in it is a call. A
//! test of the program looks for such calls (`cli/tests/instructions.rs`).

/// Work that is compiled once for every instruction set.
pub(crate) trait SimdKernel {
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
    /// Lane by lane the smaller; `b` if either is NaN, so that what is cut at a number stands
    /// second.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// Lane by lane 2 to the power of `x`, a whole number from -126 to 127.
    fn exp2_whole(self, x: Self::V) -> Self::V;
    /// Lane by lane `a / b`.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
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

    /// Lane by lane the largest of four; NaN if any of them is.
    ///
    /// One comparison tells whether either of two is NaN, so four values take two of them beside
    /// the three maxima; kept at each maximum, it would take three.
    fn max_or_nan(self, values: [Self::V; 4]) -> Self::V;
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

/// `R` tiles times a panel of `NV * 16` outputs: `(v, v_block, c_blocks, u, m, m_block, first)`,
/// see `gemm::gemm`.
pub(crate) type GemmKernel = unsafe fn(*const f32, usize, usize, *const f32, *mut f32, usize, bool);

/// `R` rows of `NV * 16` columns: `(v, z, z_block, n, d, d_row, first)`, see `gemm::outer`.
pub(crate) type OuterKernel =
    unsafe fn(*const f32, *const f32, usize, usize, *mut f32, usize, bool);

//! Machine-near CPU kernels of the network: convolution, pooling, normalisation and their
//! gradients.
//!
//! # Layout
//! Activations are channel-blocked: `[image][channel / 16][y][x][16]`, f32 ([`Blocked`]). Channels
//! that fill up the last block are zero and stay zero. Weights come in as `[out, in, 3, 3]`.
//!
//! # Method
//! A 3x3 convolution is computed by Winograd's F(4x4, 3x3) ([`winograd`]): 36 multiplications give
//! 16 outputs where the definition needs 144. Input gradient and weight gradient use the same
//! transforms. 1x1 convolutions ([`pointwise`]) are matrix products on the layout as it is; a
//! strided convolution of few channels ([`patches`], the first layer) is one on its patches, and
//! [`dense`] does so for any other window and any number of channels; [`depthwise`] convolutions
//! keep a strip of outputs in registers. [`convolution`] is all of them behind one face, and every
//! one ends with the same [`epilogue`]. [`excite`] has the gates of squeeze-and-excitation.
//! Whatever goes over activations value by value is a row kernel of the engine `pass`, which cuts
//! the work and orders the sums.
//!
//! # Which instructions
//! [`Isa`] is the one place that asks the processor. AVX-512, AVX2 + FMA and a portable version are
//! compiled from the same source, written against `simd`; `STAINFREE_ISA` forces one.
//! [`vectorised`] compiles plain loops of other crates in the same way. With [`Precision::Bf16`]
//! the factors of the matrix products inside convolutions are rounded to bfloat16 and multiplied in
//! pairs (`vdpbf16ps`), in forward, input gradient and weight gradient alike; transforms, sums and
//! all other kernels stay f32. AMX is not used.
//!
//! # Threads
//! Work is split by [`Workers`]; every number is summed in an order that depends on the data's
//! shape alone, so results are the same bits for any number of threads. How work is cut may follow
//! the threads only where no sum is cut (Winograd's groups of tiles).

pub mod activation;
pub mod adam;
pub mod batch_norm;
pub mod blocked;
pub mod buffer;
pub mod convolution;
pub mod dense;
pub mod depthwise;
pub mod elementwise;
pub mod epilogue;
pub mod excite;
mod gemm;
pub mod isa;
pub mod link;
pub mod loops;
pub mod max_pool;
mod pass;
pub mod patches;
pub mod peak;
pub mod plain;
pub mod pointwise;
mod product;
mod simd;
pub mod winograd;
pub mod workers;

pub use blocked::{Blocked, LANES};
pub use buffer::Buffer;
pub use isa::{Isa, Precision};
pub use loops::{Loops, vectorised};
pub use workers::Workers;

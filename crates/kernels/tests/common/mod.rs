//! What the tests of the kernels share.

#![allow(dead_code, unreachable_pub)] // each test file is a program of its own, and uses its part

pub mod layer;

use stainfree_kernels::{Blocked, Buffer, Workers};

/// Pseudo-random values in (-1, 1).
pub fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

pub fn packed(workers: &Workers, shape: &Blocked, planar: &[f32]) -> Buffer {
    let mut blocked = Buffer::zeros(shape.len());
    shape.pack(workers, planar, &mut blocked);
    blocked
}

pub fn unpacked(workers: &Workers, shape: &Blocked, blocked: &[f32]) -> Vec<f32> {
    let mut planar = vec![0.0; shape.images * shape.channels * shape.height * shape.width];
    shape.unpack(workers, blocked, &mut planar);
    planar
}

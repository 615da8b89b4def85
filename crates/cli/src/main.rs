//! The program `stainfree`.
fn main() {}

//! The program as it was built: what its symbols tell about speed.
#![cfg(all(target_arch = "x86_64", target_os = "linux", not(debug_assertions)))]

use std::collections::BTreeSet;

/// An AVX instruction is a function of the standard library until it is inlined. Where a closure
/// that is compiled without AVX stands between it and the kernel, it stays one and every use costs
/// a call, which results do not show.
#[test]
fn no_instruction_of_a_kernel_is_a_call() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_stainfree")).unwrap();
    let called: BTreeSet<String> = program
        .split(|&byte| byte == 0)
        .filter_map(instruction)
        .collect();
    assert!(called.is_empty(), "called, not inlined: {called:?}");
}

/// The instruction on 8 or 16 f32 that a symbol names, such as `_mm256_add_ps`. (Other crates
/// search text with instructions on bytes.)
fn instruction(symbol: &[u8]) -> Option<String> {
    let symbol = std::str::from_utf8(symbol).ok()?;
    let path = symbol.split_once("core_arch")?.1;
    let start = path.find("_mm256_").or_else(|| path.find("_mm512_"))?;
    let name = &path[start..];
    name.contains("ps").then(|| name.to_owned())
}

#[test]
fn symbols_name_instructions() {
    let symbol = |symbol: &str| instruction(symbol.as_bytes());
    let add = "_ZN4core9core_arch3x863avx13_mm256_add_ps17hE";
    assert!(symbol(add).is_some_and(|name| name.starts_with("_mm256_add_ps")));
    let bytes = "_ZN4core9core_arch3x863avx18_mm256_loadu_si25617hE";
    assert_eq!(symbol(bytes), None);
    assert_eq!(symbol("_ZN9stainfree4main17hE"), None);
}

#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| stainfree_fuzz::read("companion", data));

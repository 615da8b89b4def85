//! Tells the tests whether the real sets lie beside the repository: where they do not, tests that
//! need them are listed as ignored, with the reason, instead of passing without a look.

fn main() {
    let sets = "../../../shared/data";
    println!("cargo::rustc-check-cfg=cfg(real_sets)");
    println!("cargo::rerun-if-changed={sets}");
    println!("cargo::rerun-if-changed=build.rs");
    if std::path::Path::new(sets).is_dir() {
        println!("cargo::rustc-cfg=real_sets");
    }
}

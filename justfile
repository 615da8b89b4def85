# Recipes for working on stainfree; `just check` is what CI runs.

# list the recipes
default:
    @just --list

# everything CI runs
check: fmt lint doc test judges page memcheck

# formatting, as rustfmt has it
fmt:
    cargo fmt --all --check
    .ci/lines

# clippy, warnings are errors
lint:
    cargo clippy --release --workspace --all-targets -- -D warnings

# the API documentation, warnings are errors
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps

# all tests of the workspace
test:
    cargo test --release

# lines of Rust of each crate, and the share that are tests
sizes:
    .ci/sizes

# the viewer's page in a headless Chromium (skipped where Node or Chromium is missing)
page:
    .ci/page

# a thousand kills at random moments of every command (`cargo test` does fifty); minutes
kills n="1000" seed="1":
    STAINFREE_KILLS={{n}} STAINFREE_KILLS_SEED={{seed}} \
        cargo test --release -p stainfree --test kills -- --nocapture a_kill_at_any_moment

# other software reads what was written (needs Python 3.11; installs its packages under target)
judges:
    .ci/judges

# every access to memory of the kernels' tests (needs valgrind; AVX2 at most)
memcheck:
    .ci/memcheck

# one file that needs no libraries, for any Linux of this kind of processor; it says where it lies
static:
    RUSTFLAGS="-C target-feature=+crt-static" \
        cargo build --release -p stainfree --target {{arch()}}-unknown-linux-gnu
    @echo "target/{{arch()}}-unknown-linux-gnu/release/stainfree"

# the main job on a simulated plate
demo:
    cargo run --release -- demo

# licences, advisories and sources of the dependencies (needs cargo-deny)
deny:
    cargo deny check

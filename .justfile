# CI's steps, in CI's order (.ci/run). `just` runs them all.

ci: fmt clippy doc test

fmt:
    cargo fmt --all --check

clippy:
    cargo clippy --workspace --all-targets --locked -- -D warnings

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

test:
    cargo test --workspace --locked

# Licences, sources, duplicates and known defects of the crates we use. Needs a network.
deny:
    cargo deny check

# The systemd units in a booted Debian. Needs root; the first run downloads 100 MB.
systemd:
    cargo build --bins --examples
    sudo env "PATH=$PATH" tests/systemd/run

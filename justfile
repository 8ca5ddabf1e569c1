# What one does here often. `just` lists the recipes; each is one command that also works without just.

# the tests, as CI runs them
test *ARGS:
    cargo test --release {{ARGS}}

# the engine alone, without the AWS SDK
engine *ARGS:
    cargo test --release -p thumb-engine {{ARGS}}

# everything a change must pass
ci:
    .ci/run

# the whole program against the emulator: plan, apply, enqueue, work, destroy
quickstart *ARGS:
    cargo run --release --example quickstart -- {{ARGS}}

# the engine's benchmarks
bench *ARGS:
    cargo bench -p thumb-engine {{ARGS}}

# fuzz a target for some seconds (needs nightly Rust and cargo-fuzz)
fuzz TARGET="thumbnail" SECONDS="60":
    cd crates/engine/fuzz && cargo +nightly fuzz run {{TARGET}} -- -max_total_time={{SECONDS}}

# boot a real virtual machine with an instance's user data (docs/internals/boot.md says what it needs)
boot:
    cargo test --release --test boot -- --ignored --nocapture

# the contract test against a real AWS account (docs/internals/aws.md says what it needs and costs)
aws:
    cargo test --release --test aws -- --ignored --nocapture

# a release's archive, .deb and checksums in dist/ (CONTRIBUTING.md, "Release")
dist TARGET="x86_64-unknown-linux-gnu":
    scripts/dist {{TARGET}}

# the API documentation
docs:
    cargo doc --release --workspace --no-deps --document-private-items --open

# the book in docs/, as pages in target/book (needs mdbook: cargo install mdbook)
book *ARGS:
    mdbook build {{ARGS}}

# The two commands of the README, and what they need.
#
#   make run    builds everything and starts Airlock with the example bundles
#   make test   format, lints, documentation, and every test there is
#   make bench  the figures of docs/BENCHMARKS.md, from a release build
#   make fuzz   what means no good, at random and for long: CASES=20000

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

export AIRLOCK_HOME ?= $(CURDIR)/.airlock
AIRLOCK := target/debug/airlock
EXAMPLES := weather rates examples
WASM := $(foreach bundle,$(EXAMPLES),bundles/target/$(bundle).wasm)

.PHONY: help run test bench fuzz smith wasm-target nextest guests examples host format lint docs unit postgres clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: host examples ## Build everything and start Airlock with the example bundles
	mkdir -p .airlock/reports/weather
	exec $(AIRLOCK) standalone --config bundles/airlock.toml

test: wasm-target nextest format lint docs unit ## Everything that must hold

format:
	cargo fmt --all -- --check
	cd bundles && cargo fmt --all -- --check
	cd tests/guests && cargo fmt --all -- --check
	cd tests/smith && cargo fmt --all -- --check

lint:
	cargo clippy --workspace --all-targets --locked -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

unit: host guests examples smith
	cd bundles && cargo test --locked
	url="$$(tests/postgres start)"; \
	trap 'tests/postgres stop' EXIT; \
	AIRLOCK_TEST_POSTGRES_URL="$$url" cargo nextest run --workspace --locked --no-fail-fast
	cargo test --doc --workspace --locked

# The tests' dependencies turn features of shared ones on: built together, nothing is built twice.
test: TARGETS := --all-targets
host: wasm-target
	cargo build --workspace $(TARGETS) --locked

guests: wasm-target ## Compile the guests that the tests run
	cd tests/guests && cargo build --release --target wasm32-wasip2 --locked

examples: host ## Compile the example bundles
	for bundle in $(EXAMPLES); do $(AIRLOCK) bundle build bundles/$$bundle; done
	mkdir -p bundles/target/examples/inbox bundles/target/examples/outbox

bench: examples guests ## Measure; takes some minutes and wants a quiet machine
	cargo build --release -p airlock --locked
	AIRLOCK_BINARY=$(CURDIR)/target/release/airlock target/debug/airlock-load $(ARGS)

CASES ?= 20000
fuzz: guests smith ## Try what means no good, CASES times for each target; takes long
	PROPTEST_CASES=$(CASES) cargo nextest run --workspace --locked --no-fail-fast fuzz_

smith: # Makes components at random; a workspace of its own.
	cd tests/smith && cargo build --release --locked

wasm-target: # The compiler's target for guests: by rustup, which every ordinary machine has.
	@if ! ls "$$(rustc --print sysroot)"/lib/rustlib/wasm32-wasip2/lib/libstd-*.rlib >/dev/null 2>&1; then \
	  command -v rustup >/dev/null || { echo "the Rust target wasm32-wasip2 is missing: install it with your system's Rust packages, or Rust from rustup" >&2; exit 1; }; \
	  rustup target add wasm32-wasip2 || { echo "rustup could not install the target wasm32-wasip2: install it by hand and try again" >&2; exit 1; }; \
	fi

nextest: # The test runner; one test, one process.
	@command -v cargo-nextest >/dev/null || cargo install --locked cargo-nextest

clean: ## Remove what was built and the state of `make run`
	rm -rf target bundles/target tests/guests/target tests/smith/target .airlock

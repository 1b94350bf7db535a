# Two commands: `make run` and `make test`. One profile (release) for programs, tests and tools, so
# that nothing is compiled twice.

PACKAGES_BUILD = build-essential cmake ca-certificates
PACKAGES_TEST = $(PACKAGES_BUILD) curl nginx-light nodejs npm postgresql python3-venv
SDK = loadtest/tests/sdk
DENY_VERSION = 0.20.2
TOOLS = target/tools
DENY = $(TOOLS)/cargo-deny-$(DENY_VERSION)/bin/cargo-deny
FUZZ_VERSION = 0.13.2
FUZZ = $(TOOLS)/cargo-fuzz-$(FUZZ_VERSION)/bin/cargo-fuzz
FUZZ_DIR = edge-node/fuzz
# Each target for so long, and which targets.
FUZZ_SECONDS = 60
FUZZ_TARGETS = $(basename $(notdir $(wildcard $(FUZZ_DIR)/fuzz_targets/*.rs)))

.NOTPARALLEL:
.PHONY: run test packages-build packages-test format deny lint binaries sdk tests doc fuzz

# Flags of godwit in ARGS: make run ARGS="--listen 127.0.0.1:9000"
run: packages-build
	cargo run --release --locked -- $(ARGS)

# Everything that must pass before a release: the quick checks first.
test: packages-test format deny lint binaries sdk tests doc

packages-build:
	@./deploy/install-packages $(PACKAGES_BUILD)

packages-test:
	@./deploy/install-packages $(PACKAGES_TEST)

format:
	cargo fmt --all --check

deny: $(DENY)
	$(DENY) --log-level error check --hide-inclusion-graph bans licenses sources

# Built without optimisation: it runs for a second, and compiles in a third of the time.
$(DENY):
	cargo install --quiet --locked --debug --root $(TOOLS)/cargo-deny-$(DENY_VERSION) \
		cargo-deny@$(DENY_VERSION)

lint:
	cargo clippy --release --workspace --all-targets --locked -- -D warnings

binaries:
	cargo build --release --workspace --bins --locked

# The official SDKs, at the versions that the lists beside the scripts pin.
sdk: $(SDK)/.venv/installed $(SDK)/node_modules/installed

$(SDK)/.venv/installed: $(SDK)/requirements.txt
	python3 -m venv --clear $(SDK)/.venv
	$(SDK)/.venv/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

$(SDK)/node_modules/installed: $(SDK)/package-lock.json
	npm ci --prefix $(SDK) --silent --no-audit --no-fund
	touch $@

tests:
	cargo test --release --workspace --locked

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps --locked

# Not part of `test`: it needs a nightly toolchain, and time. Without a sanitizer, because there is
# no unsafe code to watch; with overflow checks. A crash is kept in $(FUZZ_DIR)/artifacts.
fuzz: $(FUZZ)
	$(FUZZ_DIR)/seed
	export PATH="$(CURDIR)/$(dir $(FUZZ)):$$PATH"; cd $(FUZZ_DIR) && for target in $(FUZZ_TARGETS); do \
		cargo +nightly fuzz run -O -a --sanitizer none $$target -- \
			-max_total_time=$(FUZZ_SECONDS) -timeout=10 -max_len=16384 -verbosity=0 || exit 1; \
	done

$(FUZZ):
	cargo install --quiet --locked --debug --root $(TOOLS)/cargo-fuzz-$(FUZZ_VERSION) \
		cargo-fuzz@$(FUZZ_VERSION)

# One profile (release) for programs, tests and tools, so that nothing is compiled twice.
.PHONY: run build
PACKAGES_BUILD = cmake

run: build-tools
	cargo run --release --locked -- $(ARGS)

build-tools:
	@./deploy/install-packages $(PACKAGES_BUILD)

# Everything a developer or operator of a checkout needs. `make help` lists it.

GO      ?= go
DATA    ?= ./data
LISTEN  ?= 127.0.0.1:8080
NODES   ?= 6
BENCH   ?=
FUZZTIME ?= 30s
MIN_COVERAGE ?= 94

# The version is read by the binaries from their own build information, which
# holds the commit when git can name one.
BUILDVCS := $(shell git rev-parse --verify -q HEAD >/dev/null 2>&1 && echo true || echo false)

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: up
up: build ## build, then run gateway and nodes in one process, in the foreground (DATA=, LISTEN=, NODES=)
	@exec bin/s3gateway standalone --data $(DATA) --listen $(LISTEN) --nodes $(NODES)

.PHONY: build
build: ## build s3gateway, s3storage and s3ctl into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=$(BUILDVCS) -o bin/ ./cmd/...

.PHONY: test
test: ## install what is missing, run all tests with the race detector, demand MIN_COVERAGE percent of daemon/internal
	@scripts/setup --race
	@scripts/test --race
	@scripts/coverage --min $(MIN_COVERAGE)

.PHONY: test-fast
test-fast: ## run all tests without the race detector
	@scripts/setup
	@scripts/test

.PHONY: cover
cover: test-fast ## run all tests and demand MIN_COVERAGE percent of daemon/internal
	@scripts/coverage --min $(MIN_COVERAGE)

.PHONY: lint
lint: ## linters, format, module file, generated code
	@scripts/lint

.PHONY: bench
bench: ## measure a cluster on this machine (BENCH='arguments')
	$(GO) run ./tests/bench $(BENCH)

CHAOS = $(GO) test -count=1 -timeout 120m -v ./tests/chaos -run

.PHONY: chaos
chaos: ## break a cluster under load for CHAOS_SECONDS=600, then check every write (CHAOS_SEED=n repeats a run)
	RINGSTORE_CHAOS_SECONDS=$(or $(CHAOS_SECONDS),600) RINGSTORE_CHAOS_SEED=$(CHAOS_SEED) $(CHAOS) '^TestStorm$$'

.PHONY: chaos-commits
chaos-commits: ## change 200 objects while the database holds their commits up for 10 to 40 s
	RINGSTORE_CHAOS_COMMITS=$(or $(CHAOS_COMMITS),200) RINGSTORE_CHAOS_SEED=$(CHAOS_SEED) $(CHAOS) '^TestSlowCommitOnOverwrite$$'

.PHONY: chaos-gets
chaos-gets: ## overwrite, rename or delete 500 objects in the middle of their download
	RINGSTORE_CHAOS_GETS=$(or $(CHAOS_GETS),500) $(CHAOS) '^TestDownloadsEndWhole$$'

.PHONY: chaos-kills
chaos-kills: ## kill client, gateway and nodes ten times each in the middle of a 10 GiB upload and download
	RINGSTORE_CHAOS_MIB=$(or $(CHAOS_MIB),10240) RINGSTORE_CHAOS_KILLS=$(or $(CHAOS_KILLS),10) RINGSTORE_CHAOS_SEED=$(CHAOS_SEED) \
		$(CHAOS) '^TestKills$$'

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME each
	@FUZZTIME=$(FUZZTIME) scripts/fuzz

.PHONY: generate
generate: ## regenerate generated code and docs/s3ctl.md from their sources
	@scripts/generate

.PHONY: clean
clean: ## remove what the other targets built; data stays
	rm -rf bin build

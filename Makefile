# Pentad needs Go, make and git. Nothing else is installed by hand: Go fetches the modules, and the tools are pinned in
# tools/go.mod.

GO      ?= go
BIN     := .bin
PENTAD  := $(BIN)/pentad
DATA    ?= data
# Packages run one after another where they start whole clusters: two cores are the smallest machine that must do.
TESTFLAGS ?= -p 2 -timeout 20m

.DEFAULT_GOAL := help
.PHONY: help build demo dev test race e2e bench bench-etcd fuzz lint generate check-generated clean check-go

help: ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

check-go:
	@command -v $(GO) >/dev/null || { echo "Go is missing: install Go 1.26 or later (https://go.dev/dl), then try again." >&2; exit 1; }
	@$(GO) version | awk '{ split(substr($$3, 3), v, "."); if (v[1] < 1 || (v[1] == 1 && v[2]+0 < 21)) { print "Go " substr($$3, 3) " is too old: 1.26 or later is needed." > "/dev/stderr"; exit 1 } }'

build: check-go ## .bin/pentad
	@echo "building $(PENTAD) (the first build fetches modules and takes some minutes)"
	@mkdir -p $(BIN)
	@$(GO) build -o $(PENTAD) ./cmd/pentad

demo: build ## five centers, live traffic, a region that dies, a report with a verdict
	@$(PENTAD) drill

dev: build ## a whole estate on this machine, until Ctrl-C
	@$(PENTAD) dev --data $(DATA)

test: check-go ## every test
	@$(GO) test $(TESTFLAGS) ./...

# In a bubble of testing/synctest, two threads that look at timers' channels at once share one context of the race detector,
# and crash it (golang/go#78156). So packages with bubbles run on one thread there; the order of events is judged all the same.
race: check-go ## every test under the race detector; needs a C compiler
	@command -v $${CC:-cc} >/dev/null || { echo "a C compiler is missing: the race detector needs one (set CC, or install gcc)." >&2; exit 1; }
	@$(eval BUBBLES := $(shell $(GO) list -f '{{range .TestImports}}{{if eq . "testing/synctest"}}{{$$.ImportPath}} {{end}}{{end}}{{range .XTestImports}}{{if eq . "testing/synctest"}}{{$$.ImportPath}} {{end}}{{end}}' ./...))
	@CGO_ENABLED=1 $(GO) test -race $(TESTFLAGS) $(filter-out $(BUBBLES),$(shell $(GO) list ./...))
	@CGO_ENABLED=1 $(GO) test -race -cpu 1 $(TESTFLAGS) $(BUBBLES)

bench: check-go ## the benchmarks, as ratios against a named peer or floor in the same run
	@$(GO) test -run '^$$' -bench . -benchtime 1s -timeout 60m ./...
	@$(MAKE) --no-print-directory bench-etcd

BENCHFLAGS ?=
bench-etcd: check-go ## writes, reads and a killed leader, beside etcd built from its module (BENCHFLAGS=-h lists flags)
	@mkdir -p $(BIN)
	@$(GO) build -o $(BIN)/bench ./ops/bench
	@exec $(BIN)/bench $(BENCHFLAGS)

e2e: build ## real processes in network namespaces, under faults; SHORT=1: some minutes; KILLS=50: only measures elections
	@SHORT="$(SHORT)" KILLS="$(KILLS)" RUN="$(RUN)" tools/e2e.sh

FUZZTIME ?= 10s
fuzz: check-go ## each fuzz target for FUZZTIME
	@tools/fuzz.sh $(FUZZTIME)

HOURS ?= 20
SEED  ?= 1
sim: check-go ## HOURS simulated hours of five servers under faults; REPLAY=file runs a kept run again
	@$(GO) test -c -o $(BIN)/sim.test ./federation/sim
	@export PENTAD_SIM_KEEP=$(abspath $(BIN))/sim PENTAD_SIM_REPLAY=$(REPLAY); if [ -n "$(REPLAY)" ]; \
	 then $(BIN)/sim.test -test.timeout 0 -test.run '^TestReplay$$'; else HOURS=$(HOURS) SEED=$(SEED) tools/sim.sh $(BIN)/sim.test; fi

RULE ?= all
sim-planted: check-go ## bugs put in on purpose, and how long the simulation takes to find each; RULE='ownership 5': one rule's
	@$(GO) test -c -tags planted -o $(BIN)/sim-planted.test ./federation/sim
	@PENTAD_SIM_PLANTED='$(RULE)' PENTAD_SIM_KEEP=$(abspath $(BIN))/sim $(BIN)/sim-planted.test -test.timeout 0 -test.run '^TestPlanted'

lint: check-go ## gofmt, vet, staticcheck, import walls
	@tools/lint.sh

generate: check-go ## protobuf, deepcopy, OpenAPI
	@tools/generate.sh

check-generated: check-go ## fails when generated files differ from their sources
	@tools/check-generated.sh

clean: ## removes what was built, and the dev estate
	@rm -rf $(BIN) $(DATA)

# Targets with a ## behind them are what `make help` lists.

# Where binaries and images go; both may be given: make image OUT=/srv/images
BIN ?= bin
OUT ?= out

# What `make image` builds: IMAGE or IMAGE:TARGET; IMAGE alone is all of its targets.
IMAGE ?= node:vm
# Flags for every `go test`, such as -race or -v.
TESTFLAGS ?=
# Flags for the benchmark; `make bench BENCHFLAGS=-help` lists them.
BENCHFLAGS ?=

# Architectures whose images can have the node's agent; make image takes this
# machine's own alone.
AGENTS ?= amd64,arm64,armhf,i386,riscv64

GO ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2 # 2026.2.2

# Tests need no C compiler; TESTFLAGS=-race does: CGO_ENABLED=1 make test TESTFLAGS=-race
export CGO_ENABLED ?= 0

# Git refuses a repository of somebody else (make as root in a user's folder),
# and Go then refuses to build.
ifneq ($(shell git rev-parse HEAD >/dev/null 2>&1; echo $$?),0)
export GOFLAGS := $(GOFLAGS) -buildvcs=false
endif

# In CI a test that lacks something fails; elsewhere it is skipped and says why.
ifeq ($(CI),true)
export CLOUDY_REQUIRE_ALL ?= 1
endif

.DEFAULT_GOAL := help
.PHONY: help image build test deps unit heavy check sizes fmt bench docs page picture scale clean FORCE

help: ## show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

image: AGENTS = native
image: build ## build the image of a node into out/
	$(BIN)/cloudy build --out $(OUT) $(IMAGE)

build: $(BIN)/cloudy ## build the program, bin/cloudy

# Go knows best whether there is anything to do. The binary is static: it runs
# itself inside of roots that have no libc. The node's agent is built in.
$(BIN)/cloudy: FORCE
	@$(GO) run ./scripts/agents -arch $(AGENTS)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $@ ./builder/cmd/cloudy

test: deps ## run all tests; what they need is installed first where that can be done
	@scripts/test $(TESTFLAGS)

deps:
	@scripts/test-deps

check: fmt ## what a change must pass: format, vet, staticcheck, modules, tests
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) mod tidy -diff
	$(MAKE) test

fmt:
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not formatted (gofmt -w):"; echo "$$unformatted"; exit 1; fi

sizes: ## build cloudy-node for every architecture; fails where one is too large
	CLOUDY_SIZES=all $(GO) test ./firstboot/cmd/cloudy-node -run TestSize -count=1 -v

bench: build ## compare with mmdebstrap, debos and mkosi on this machine (root; takes long)
	$(GO) run ./scripts/bench -cloudy $(BIN)/cloudy $(BENCHFLAGS)

docs: ## write the generated parts of docs/
	$(GO) test ./builder/recipe ./builder/cli -run 'TestReferenceIsCurrent' -update
	$(GO) test ./builder/rootfs -run 'TestScrubDocument' -update

page: ## pack the style sheet of the node's page and take its pictures anew (needs Chromium)
	$(GO) test ./firstboot/page -run TestStyleIsPacked -update
	$(GO) test ./firstboot/page -run TestPictures -update

picture: build ## draw docs/build.svg: a build of the bench image, with its packages downloaded
	mkdir -p $(OUT)/picture
	$(BIN)/cloudy build bench:vm --cache $(OUT)/picture/cache --out $(OUT)/picture/out --progress=quiet
	rm -rf $(OUT)/picture/cache/v1/layers $(OUT)/picture/out
	CLOUDY_CACHE=cache $(GO) run ./scripts/picture -o docs/build.svg -C $(OUT)/picture $(BIN)/cloudy build bench:vm --progress=plain

scale: ## simulate large meshes and write docs/scale.md (takes minutes)
	$(GO) test ./firstboot/simulate -run 'TestScaleDocument' -update -timeout 60m

clean: ## remove what was built here (the store of downloads stays: cloudy cache gc)
	rm -rf $(BIN) $(OUT)
	rm -f builder/nodeagent/embedded/*.zst builder/nodeagent/embedded/*.json

# Trefoil. The two commands are `make demo` and `make test`; each does all of its own set-up.
SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

CACHE   := .cache
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
PYTHON  ?= python3
NPM_CI  := npm ci --no-audit --no-fund --loglevel=error
export CGO_ENABLED = 0

.PHONY: demo run build ui cruddur-pages test unit race lint ui-test e2e conformance fuzz bench soak clean chromium
.DEFAULT_GOAL := build

demo: build
	bin/trefoil demo $(ARGS)

run: build
	bin/trefoil serve $(ARGS)

build: ui cruddur-pages
	@mkdir -p bin
	go build -trimpath -ldflags "-s -w -X main.release=$(VERSION)" -o bin/trefoil ./cmd/trefoil
	go build -trimpath -ldflags "-s -w" -o bin/cruddur ./cruddur/cmd/cruddur

# The pages are built again when their sources change.
ui: $(CACHE)/ui.built
cruddur-pages: $(CACHE)/cruddur-pages.built

$(CACHE)/ui.installed: ui/package-lock.json
	cd ui && $(NPM_CI)
	@mkdir -p $(CACHE) && touch $@
$(CACHE)/ui.built: $(CACHE)/ui.installed $(shell find ui/src ui/public ui/tools ui/index.html ui/vite.config.ts ui/tsconfig.json -type f 2>/dev/null)
	cd ui && npm run build --silent
	@touch $@

$(CACHE)/cruddur-pages.installed: cruddur/frontend/package-lock.json
	cd cruddur/frontend && $(NPM_CI)
	@mkdir -p $(CACHE) && touch $@
$(CACHE)/cruddur-pages.built: $(CACHE)/cruddur-pages.installed $(shell find cruddur/frontend/src cruddur/frontend/public cruddur/frontend/index.html cruddur/frontend/vite.config.ts -type f 2>/dev/null)
	cd cruddur/frontend && npm run build --silent
	@touch $@

test: build lint unit ui-test conformance e2e

unit:
	go test ./... ./cwslog/... ./cruddur/...

# The race detector needs cgo, which nothing else here does.
race:
	CGO_ENABLED=1 go test -race ./... ./cwslog/... ./cruddur/...

lint: $(CACHE)/ui.installed
	@mkdir -p bin
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet ./... ./cwslog/... ./cruddur/... ./conformance/...
	cd tools && GOWORK=off go build -o ../bin/staticcheck honnef.co/go/tools/cmd/staticcheck
	bin/staticcheck ./... ./cwslog/... ./cruddur/... ./conformance/...
	cd ui && npm run lint --silent

ui-test: $(CACHE)/ui.installed
	cd ui && npm test --silent

# Real clients against the built binary: Go modules, a Python virtual environment, npm packages.
$(CACHE)/venv.installed: conformance/requirements.txt
	$(PYTHON) -m venv $(CACHE)/venv
	$(CACHE)/venv/bin/pip install --quiet --disable-pip-version-check -r conformance/requirements.txt
	@# watchtower's own tests are in its source distribution only.
	rm -rf $(CACHE)/venv/watchtower && mkdir -p $(CACHE)/venv/watchtower
	$(CACHE)/venv/bin/pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: -d $(CACHE)/venv/watchtower watchtower==3.4.0
	cd $(CACHE)/venv/watchtower && tar xzf watchtower-*.tar.gz
	@touch $@
$(CACHE)/conformance-node.installed: conformance/node/package-lock.json
	cd conformance/node && $(NPM_CI)
	@mkdir -p $(CACHE) && touch $@

conformance: build $(CACHE)/venv.installed $(CACHE)/conformance-node.installed
	cd conformance && AWS_CLI_V2=$$(../tools/awscli) TREFOIL_BIN=$(CURDIR)/bin/trefoil CRUDDUR_BIN=$(CURDIR)/bin/cruddur TREFOIL_VENV=$(CURDIR)/$(CACHE)/venv go test -count=1 ./...

chromium:
	@tools/chromium

e2e: build $(CACHE)/ui.installed chromium
	tools/e2e

FUZZTIME ?= 60s
fuzz:
	tools/fuzz $(FUZZTIME)

# PEERS=1 measures other servers beside, which are built once, at pinned versions.
bench: build
	go build -trimpath -o bin/bench ./bench
	bin/bench -trefoil bin/trefoil $(if $(PEERS),-peers $(CACHE)/peers) $(ARGS)

# Ten minutes; ARGS="-for 20s" is a quick check.
soak: build
	go build -trimpath -o bin/soak ./conformance/soak
	bin/soak -trefoil bin/trefoil $(ARGS)

clean:
	rm -rf bin $(CACHE) ui/node_modules cruddur/frontend/node_modules conformance/node/node_modules

# `make` lists the commands. Two of them do all the set-up: `make dev` and `make test`.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

BIN     := $(CURDIR)/bin
TOOLS   := $(BIN)/tools
TESTENV := go run ./cmd/testenv --
PKGS    ?= ./...
RUN     ?= .
ARGS    ?=

CREATIONS ?= 10000
WITHIN    ?= 9m30s

.PHONY: help
help: ## List the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: dev
dev: build ## Run everything on embedded defaults and do a first full sync (ARGS="--reset" and other flags)
	@exec $(BIN)/litemaas dev $(ARGS)

.PHONY: test
test: ## Run all tests; starts the Postgres and the Temporal server they need (PKGS=./api RUN=TestName)
	@$(TESTENV) go test -timeout 20m -run '$(RUN)' $(PKGS)

.PHONY: build
build: ## Build bin/litemaas
	@mkdir -p $(BIN)
	@go build -o $(BIN)/litemaas ./cmd/litemaas

.PHONY: check
check: lint vet-workflows migrations-check openapi-check test-race test-devserver ## Everything that CI runs

.PHONY: test-race
test-race:
	@$(TESTENV) go test -race -timeout 20m $(PKGS)

.PHONY: test-devserver
test-devserver:
	@cd temporal/devserver && go vet ./... && go test ./...

.PHONY: lint
lint: $(TOOLS)/golangci-lint ## Formatting, linters, and the layers
	@$(TOOLS)/golangci-lint run
	@cd temporal/devserver && $(TOOLS)/golangci-lint run --config ../../.golangci.yml

.PHONY: fmt
fmt: $(TOOLS)/golangci-lint ## Format the code
	@$(TOOLS)/golangci-lint fmt
	@cd temporal/devserver && $(TOOLS)/golangci-lint fmt --config ../../.golangci.yml

.PHONY: vet-workflows
vet-workflows: $(TOOLS)/workflowcheck ## Look for code in workflows that would not replay
	@$(TOOLS)/workflowcheck -config .workflowcheck.yml ./workflows/...

$(TOOLS)/%: tools/go.mod tools/go.sum
	@echo "building $* (once)"
	@mkdir -p $(TOOLS)
	@cd tools && GOBIN=$(TOOLS) go install tool

.PHONY: migrations-check
migrations-check: ## Migration numbers have no gaps and no twins
	@ls migrations/*.sql | sed -E 's|migrations/0*([0-9]+)_.*|\1|' | awk '$$1 != NR {print "migrations: number " NR " is missing or doubled"; exit 1}'

.PHONY: openapi
openapi: ## Write docs/openapi.json from the code
	@go test ./api -run TestOpenAPI -count=1 -update

.PHONY: openapi-check
openapi-check:
	@go test ./api -run TestOpenAPI -count=1

.PHONY: histories
histories: ## Record the workflow histories for the replay test that are not there yet
	@$(TESTENV) go test ./temporal -run TestHistories -count=1 -update

.PHONY: conformance
conformance: ## Hold the client and the fake against a real LiteLLM (LITELLM_BASE_URL, LITELLM_MASTER_KEY)
	@: $${LITELLM_BASE_URL:?set it to the address of a LiteLLM with a database} $${LITELLM_MASTER_KEY:?set it to its master key}
	@mkdir -p $(BIN)
	@go test ./activities/litellm -run '^TestConformance$$' -count=1 -v >$(BIN)/conformance.log 2>&1 \
	  || { grep -vE '^ *(=== (RUN|NAME)|--- PASS)' $(BIN)/conformance.log; exit 1; }
	@awk '/--- PASS: TestConformance\/fake\/[a-z]+\// {fake++} /--- PASS: TestConformance\/real\/[a-z]+\// {real++} \
	  END {printf "conformance: %d cases hold for the LiteLLM in memory, %d for the real one\n", fake, real; exit !(fake && real)}' $(BIN)/conformance.log

.PHONY: journey
journey: ## Walk with an API key, and with usage, through a real LiteLLM (LITELLM_BASE_URL, LITELLM_MASTER_KEY)
	@: $${LITELLM_BASE_URL:?set it to the address of a LiteLLM with a database} $${LITELLM_MASTER_KEY:?set it to its master key}
	@$(TESTENV) go test -tags litellm ./test/litellm -count=1 -v

AT_KEYCLOAK = : $${OIDC_ISSUER:?set it to the realm of a Keycloak that has the users of the tests} \
  $${OIDC_CLIENT_ID:?set it to our name there} $${OIDC_CLIENT_SECRET:?set it to our password there}

.PHONY: keycloak
keycloak: ## Hold signing in against a real Keycloak (OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET)
	@$(AT_KEYCLOAK)
	@mkdir -p $(BIN)
	@go test ./api/auth -count=1 -v >$(BIN)/keycloak.log 2>&1 \
	  || { grep -vE '^ *(=== (RUN|NAME)|--- PASS)' $(BIN)/keycloak.log; exit 1; }
	@awk '/--- PASS: TestOIDC\/Keycloak\// {n++} END {printf "keycloak: %d cases hold\n", n; exit !n}' $(BIN)/keycloak.log

.PHONY: browser
browser: ## Sign in with a Chromium at a real Keycloak (OIDC_* as above; pictures go to BROWSER_SHOTS)
	@$(AT_KEYCLOAK)
	@BROWSER_SHOTS=$${BROWSER_SHOTS:-$(BIN)/browser} $(TESTENV) go test -tags browser ./test/browser -count=1 -v
	@echo "pictures: $${BROWSER_SHOTS:-$(BIN)/browser}"

.PHONY: deploy-examples
deploy-examples: ## Run the examples in deploy/ with a real LiteLLM (PYTHON: one with litellm[proxy])
	@PYTHON=$${PYTHON:-python3} $(TESTENV) go test -tags deploy ./test/deploy -count=1 -v

.PHONY: faults
faults: ## Make API keys while all there is gets killed, by turns (CREATIONS=10000 WITHIN=9m30s)
	@$(TESTENV) go test ./test/faults -run '^TestKeysSurviveKills$$' -count=1 -v -timeout 0 \
	  -args -creations $(CREATIONS) -every 5s -within $(WITHIN) -clock

.PHONY: bench
bench: ## Measure, and write docs/benchmarks.md (beside a real LiteLLM: LITELLM_BASE_URL, LITELLM_MASTER_KEY)
	@go run ./cmd/testenv -durable -- go test ./test/bench -run "^$$" -bench . -benchtime 1x -timeout 60m -args -o $(CURDIR)/docs/benchmarks.md

.PHONY: clean
clean: ## Remove what was built (not .dev, the data of `make dev`: see `litemaas dev --reset`)
	@rm -rf $(BIN)

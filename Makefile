# `make` shows what there is. Nothing has to be set up first: each target makes
# what it needs, from Go and Python 3 alone.

VERSION := $(shell sed -n 's/^version: *//p' galaxy.yml)

GO       ?= go
FUZZTIME ?= 30s
# For `make versions`: some of the versions, such as 2.16 or debian, or --write
# to put the table into the README.
VERSIONS ?=
# More flags for `go test`, such as -run, -v or -count=1.
TESTFLAGS ?=
# For `make release`: a file with an ssh key, and the name of a gpg key.
SIGN_KEY ?=
GPG_KEY ?=
# Some of molecule's scenarios, in place of all.
SCENARIO ?=

B := build
TABLE := $(CURDIR)/$(B)/torture.jsonl
TARBALL := $(B)/linux_patch-api-$(VERSION).tar.gz

# validator_novalidatefn lets the linker drop methods that no one calls;
# nethttpomithttp2 leaves out HTTP/2, which the contract does not need.
TAGS := validator_novalidatefn,nethttpomithttp2
LDFLAGS := -s -w -X main.version=$(VERSION)
# Inlined copies are an eighth of what goes to each host, and this program spends
# its time in the kernel. In the runtime they pay, so there they stay.
GCFLAGS := -gcflags=all=-l -gcflags=runtime/...= -gcflags=internal/runtime/...=
# Without VCS stamps and paths the same sources give the same bytes.
GOBUILD := CGO_ENABLED=0 ansible/setup/heartbeat $(GO) build -trimpath -buildvcs=false $(GCFLAGS) -ldflags '$(LDFLAGS)'

PROGRAMS := module/enrollment internal/cmd/linux_patch_api internal/cmd/linux_patch_manager internal/cmd/enrollment_admin
# Those whose main exists.
MAINS := $(foreach p,$(PROGRAMS),$(if $(wildcard $(p)/main*.go),$(p)))

.DEFAULT_GOAL := help
.PHONY: help machine-id build demo test torture docs-check options changelog lint verdict collection release reproduce bench fuzz clean versions molecule

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

machine-id:
	@ansible/setup/machine-id

build: ## build the programs into build/bin
	@mkdir -p $(B)/bin
	@set -e; lean=-modfile=$$(GO='$(GO)' ansible/setup/lean); for main in $(MAINS); do \
		tags=$(TAGS) mod=$$lean; case $$main in */linux_patch_manager | */enrollment_admin) tags= mod= ;; esac; \
		$(GOBUILD) $$mod -tags "$$tags" -o $(B)/bin/$${main##*/} ./$$main; \
	done

collection: ## build the Ansible collection into build/linux_patch-api-VERSION.tar.gz
	@GO='$(GO)' TAGS='$(TAGS)' GCFLAGS='$(GCFLAGS)' LDFLAGS='$(LDFLAGS)' ansible/setup/heartbeat ansible/setup/collection $(TARBALL)

release: build collection ## put what is published into build/release, with packages, checksums and SBOM (SIGN_KEY=, GPG_KEY=)
	@GO='$(GO)' SIGN_KEY='$(SIGN_KEY)' GPG_KEY='$(GPG_KEY)' ansible/setup/release $(TARBALL) $(B)/release

reproduce: collection ## build the release again elsewhere, from nothing, and compare (minutes)
	LINUX_PATCH_COLD=1 LINUX_PATCH_BUILT=1 $(GO) test -count=1 -timeout 60m -v -run TestRelease ./ansible/setup

demo: machine-id build collection ## enroll a host for real, with a manager on loopback, under build/demo
	@ansible/demo/demo

test: machine-id build collection ## run all tests
	@missing=$$(ansible/setup/missing | xargs); [ -z "$$missing" ] || \
		echo "not installed here, so that the tests that need them are skipped: $$missing"
	LINUX_PATCH_BUILT=1 ansible/setup/heartbeat $(GO) test -timeout 30m $(TESTFLAGS) ./...

versions: build collection ## run the playbook tests with each supported ansible-core; print the table
	@GO='$(GO)' ansible/tests/versions $(VERSIONS)

molecule: build collection ## enroll hosts with systemd, in Docker, one story a scenario (SCENARIO="denied renew")
	@molecule/setup/run $(SCENARIO)

torture: build ## attack the programs: kill, fail and lie at every point (long)
	@rm -f $(TABLE)
	@status=0; export TORTURE_FULL=1 LINUX_PATCH_TORTURE=1 TORTURE_TABLE='$(TABLE)'; \
	$(GO) test -count=1 -timeout 30m $(TESTFLAGS) ./internal/enroll ./internal/hostfs || status=1; \
	$(GO) test -count=1 -timeout 15m -run 'Swaps|Reloads' $(TESTFLAGS) ./internal/daemon || status=1; \
	$(GO) test -count=1 -timeout 60m -parallel 4 -v $(TESTFLAGS) ./internal/torture || status=1; \
	exit $$status

# Started in its directory, go test shows what the tests print as they run.
docs-check: ## hold the documents to the code, and print what was checked
	cd internal/docscheck && $(GO) test -count=1 $(TESTFLAGS)

options: ## write what is said of the options into documentation, role and tables, from internal/options
	@$(GO) test -run InStep ./internal/optionsgen -update

changelog: ## render CHANGELOG.md from ansible/changelogs/fragments
	@ansible/setup/changelog

lint: collection ## check format, Go, YAML, Ansible, shell, workflow and changelog
	@ansible/setup/lint

verdict: collection ## lint, and what Ansible's and Galaxy's own tools say (minutes)
	@ansible/setup/lint $(TARBALL)

bench: build collection ## measure, and write the tables of docs/PERFORMANCE.md and README.md (PARTS="process bytes growth ssh delay fresh role hosts many limit fleet peers")
	@GO='$(GO)' TAGS='$(TAGS)' GCFLAGS='$(GCFLAGS)' LDFLAGS='$(LDFLAGS)' PARTS='$(PARTS)' ansible/bench/bench

fuzz: ## run each fuzz target for FUZZTIME (30s)
	@set -e; $(GO) list -f '{{.Dir}}' ./... | while read -r dir; do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$dir"/*_test.go 2>/dev/null); do \
			echo "$${dir#$(CURDIR)/} $$target"; \
			(cd "$$dir" && $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x .); \
		done; \
	done

clean: ## remove what was built, but not the tools and .venv
	rm -rf $(B)/bin $(B)/collection $(B)/release $(B)/demo $(B)/bench $(B)/lint $(B)/molecule $(B)/*.tar.gz

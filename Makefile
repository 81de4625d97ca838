# The commands a developer types. The logic lives in scripts/; `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup build demo test test-long bench-latency bench-overhead bench-barge-in bench-store bench-density sqlx-prepare clean distclean
# `make -j demo` must not build before the set-up is through.
.NOTPARALLEL:
SHELL := bash
TARGET := $(or $(CARGO_TARGET_DIR),target)

help: ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 22
	@echo
	@echo "  make demo STAY=1             leaves everything running and prints how to dial in with a softphone"
	@echo "  make demo PROVIDERS=cloud    uses the real services; needs their keys in the environment or in .env"

setup: ## Install what is missing (Debian packages, ONNX Runtime, turn model, Redis, LiveKit server); safe to repeat
	@scripts/setup

build: ## Build in release mode
	cargo build --release --locked

# `exec`: Ctrl-C and the exit code reach the program and the caller without a shell between.
demo: setup build ## Book an appointment by telephone, from an empty machine
	@. scripts/env && $(if $(STAY),STAY='$(STAY)') $(if $(PROVIDERS),PROVIDERS='$(PROVIDERS)') exec '$(TARGET)/release/frontdesk' demo

test: ## Formatting, lints, documentation, query metadata, all tests
	@scripts/test

SCHEDULES ?= 1000000
SEED ?= random
HISTORY_OPS ?= 100000
KILLS ?= 50
ROOMS ?= 1000
CUT_S ?= 20
LOST_CALLS ?= 10
AWAY_S ?= 10
test-long: ## Try a million random calls on the invariants (SCHEDULES=, SEED=), long booking histories (HISTORY_OPS=), kill -9 (KILLS=), rooms (ROOMS=), a cut network (CUT_S=), and many calls whose worker (LOST_CALLS=) or Postgres (AWAY_S=) is lost
	FRONTDESK_SCHEDULES=$(SCHEDULES) FRONTDESK_SEED=$(SEED) cargo test --locked --release -p frontdesk-conversation --test invariants --test any_input --test barge_in -- --nocapture
	@scripts/postgres start
	FRONTDESK_ROOMS=$(ROOMS) cargo test --locked -p frontdesk-livekit --test rooms -- --nocapture
	FRONTDESK_CUT_S=$(CUT_S) cargo test --locked --test calls -- --nocapture network::
	FRONTDESK_LOST_CALLS=$(LOST_CALLS) FRONTDESK_AWAY_S=$(AWAY_S) cargo test --locked --test calls -- --nocapture --test-threads 1 lost::
	FRONTDESK_HISTORY_OPS=$(HISTORY_OPS) FRONTDESK_KILLS=$(KILLS) cargo test --locked -p frontdesk-clinic --test postgres -- --nocapture history:: killed::

bench-latency: setup ## Measure the time to the answer against livekit-agents; writes bench/RESULTS.md (about 15 minutes)
	@bench/run latency

bench-overhead: setup ## Measure our own part of an answer's time with 20 calls at once (about 5 minutes)
	@bench/run overhead

bench-barge-in: setup ## Measure how soon an interrupted agent is silent on the wire (about 3 minutes)
	@bench/run barge-in

bench-density: setup ## Measure what a call costs in processor time and memory against livekit-agents, and alone with up to 80 calls (about 25 minutes)
	@bench/run density

bench-store: setup ## Measure searches and bookings in a full calendar (about two minutes)
	@bench/run store

sqlx-prepare: ## Regenerate .sqlx after a change to a query or a migration
	@scripts/postgres start
	@scripts/sqlx-check --write

clean: ## Stop Postgres and delete run-time data below var/ (keeps what setup installed)
	@scripts/clean data

distclean: ## Delete all of var/ and target/
	@scripts/clean all

# Forge. `make help` says what there is; `make demo` does the main job from a clean clone.

SHELL       := /bin/bash
.DEFAULT_GOAL := help
VERSION     := $(shell sed -n 's/.*current = "\(.*\)".*/\1/p' Sources/ForgeCore/ForgeCore.swift)
BIN         := .build/release
DEB         := dist/forge_$(VERSION)_amd64.deb

# A build that another folder can repeat byte for byte, hardened as Debian asks. The same words everywhere, so that one release build
# serves the appliance tests, the package and the boot test (packaging/build-deb.sh strips what still names the folder).
RELEASE     := -c release --static-swift-stdlib --disable-local-rpath --explicit-target-dependency-import-check error \
               -Xlinker -z -Xlinker now -Xlinker --build-id=none \
               -Xswiftc -file-prefix-map -Xswiftc $(CURDIR)=. -Xcc -ffile-prefix-map=$(CURDIR)=.
PROGRAMS    := forge forged forge-registry forge-serve forge-admin forge-verify

.PHONY: help setup peers build test demo deb medium boot-test bench cuda gpu-archive ci clean

help:
	@sed -n 's/^## //p' Makefile

## make demo        the main job: from a folder of documents to an answer that can be proven
demo: setup build
	@packaging/demo/demo.sh

## make setup       the Debian packages that are missing (as root; names them otherwise)
setup:
	@packaging/setup.sh

## make peers       .venv with the programs of others that tests compare with
peers:
	@packaging/peers.sh

## make build       release executables in .build/release
build:
	@swift build $(RELEASE)
	@for program in $(PROGRAMS); do test -x $(BIN)/$$program || { echo "build: $$program is missing" >&2; exit 1; }; done

## make test        every test: Swift, peers, packaging
test: setup build
	@packaging/peers.sh || [ $$? -eq 75 ]
	@.ci/test

## make deb         dist/forge_VERSION_amd64.deb, checked by lintian
deb: setup build
	@packaging/build-deb.sh $(BIN) $(VERSION)

## make medium      dist/medium: the package and its dependencies as a signed repository (KEY=... or a key made for the purpose)
medium: deb
	@packaging/medium.sh dist/medium $(DEB)

## make boot-test   the package installed and attacked in a booted system without a network
boot-test: deb
	@Tests/BootTest/run.sh $(DEB)

## make bench       the tables of Benchmarks: figures of this machine, beside peers where they are at hand
bench: setup build
	@packaging/peers.sh Tests/Peers/requirements.txt Benchmarks/requirements.txt || [ $$? -eq 75 ]
	@Benchmarks/run --bin $(BIN)

## make cuda        dist/libforge-cuda.so: the GPU's kernels, compiled without a GPU
cuda:
	@packaging/peers.sh Sources/CUDA/requirements.txt
	@packaging/cuda.sh gpu dist

## make gpu-archive dist/forge-gpu.tar.xz: proves and times the GPU's kernels on a machine that has a driver and nothing of Forge
gpu-archive: setup build
	@packaging/peers.sh Sources/CUDA/requirements.txt
	@packaging/gpu-archive.sh dist

## make ci          what continuous integration runs (.ci/run)
ci:
	@.ci/run

## make clean       removes what was built (not .demo, not .venv)
clean:
	@rm -rf .build dist

# `make` says what there is. Everything works from a fresh clone: scripts/setup installs the system packages that are
# missing and is silent where none is.

CARGO_TARGET_DIR ?= target
BROWSER := tests/browser

.DEFAULT_GOAL := help
.PHONY: help run build cross deb test test-rust test-browser test-devices test-hardware \
    test-power test-power-quick test-packages test-packages-quick test-reproducible image test-image bench bench-signaling fuzz fmt lint doc audit audit-quick book

help:
	@echo 'make run            build and start device and server together; open the address it prints'
	@echo '                    CONFIG=FILE takes another configuration than /etc/callbox/callbox.toml'
	@echo 'make build          target/release/callbox'
	@echo 'make cross          the same for a board: ARCH=arm64 (the default) or armhf, in target/cross/ARCH'
	@echo 'make deb            Debian packages in target/deb: ARCH=arm64, armhf or amd64; without it, this machine'"'"'s'
	@echo 'make test           all tests, in Chromium and Firefox too (make test-rust, make test-browser: one half)'
	@echo 'make test-packages  install, upgrade, remove and purge the packages on clean systems of Debian 12 and 13'
	@echo '                    (make test-packages-quick: on this Debian, with what the tests have built)'
	@echo 'make test-reproducible'
	@echo '                    two cross builds must be the same, byte by byte'
	@echo 'make test-devices   the program in a virtual machine with camera and sound card; takes minutes'
	@echo 'make test-hardware  the image in a virtual arm64 machine; takes longer. IMAGE=FILE takes another than it builds'
	@echo 'make test-power     QEMU killed a hundred times during updates and changes of settings; takes half an hour'
	@echo '                    (make test-power-quick: a dozen times, with what the tests have built)'
	@echo 'make image          a card image for the Raspberry Pi, target/image/callbox-rpi-VERSION.img.xz; takes minutes'
	@echo 'make test-image     boots that image on an emulated Raspberry Pi; takes minutes'
	@echo 'make bench          how fast it is'
	@echo 'make bench-signaling'
	@echo '                    the signaling server under load beside a relay in Node.js; QUICK=1 takes a minute instead of'
	@echo '                    ten, ROWS=open,storm only those'
	@echo 'make fuzz           each parser of remote or written bytes and each state machine gets SECONDS=300 of nonsense'
	@echo 'make fmt            format the source'
	@echo 'make lint           formatting and clippy, warnings are errors'
	@echo 'make audit          known faults and licences of what we take from others; builds cargo-deny once'
	@echo '                    (make audit-quick: known faults of the npm packages of the tests)'
	@echo 'make doc            the library'"'"'s documentation'
	@echo 'make book           docs/ as a book, in target/book'

run: build
	@exec $(CARGO_TARGET_DIR)/release/callbox run $(if $(CONFIG),--config '$(CONFIG)')

build:
	@scripts/setup build
	cargo build --release --locked

cross: ARCH ?= arm64
cross:
	@scripts/setup cross
	cross/build $(ARCH)
	cross/verify $(ARCH)

test-reproducible: ARCH ?= arm64
test-reproducible: cross
	cross/reproduce $(ARCH)

# DEB_BINARIES names programs that are built already, DEB_OUT where the packages go.
deb: ARCH ?= $(shell dpkg --print-architecture)
deb:
	@scripts/setup deb
	$(if $(DEB_BINARIES),,$(MAKE) cross ARCH=$(ARCH))
	deb/build $(ARCH)

test: test-rust test-browser

test-rust:
	@scripts/setup test
	cargo test --locked --workspace --config "target.'cfg(all())'.runner = '$(CURDIR)/scripts/bounded'"

# The binary under test is the one that `cargo test` built.
test-browser: export CALLBOX_BIN ?= $(abspath $(CARGO_TARGET_DIR))/debug/callbox
test-browser: export GMP_OPENH264 ?= $(abspath $(CARGO_TARGET_DIR))/debug/libgmpopenh264.so
test-browser:
	@scripts/setup test
	cargo build --locked --package callbox --package callbox-test-gmp
	npm run --silent --prefix $(BROWSER) check
	CHROMIUM_BIN=$$(scripts/setup chromium) FIREFOX_BIN=$$(scripts/setup firefox) npm test --silent --prefix $(BROWSER)

test-devices: export CALLBOX_BIN ?= $(abspath $(CARGO_TARGET_DIR))/release/callbox
test-devices: build
	tests/hardware/devices/run.sh

test-hardware:
	$(if $(IMAGE),,$(MAKE) image BOARD=rpi)
	tests/hardware/appliance/run.sh $(IMAGE)

test-packages:
	@scripts/setup packages
	$(MAKE) deb ARCH=amd64
	tests/packages/run.sh

# The same around the programs of the tests, on the Debian at hand, which is theirs.
test-packages-quick: export DEB_OUT := target/deb/debug
test-packages-quick:
	@scripts/setup test
	@scripts/setup packages
	deb/from-debug $(DEB_OUT)/programs
	$(MAKE) deb DEB_BINARIES=$(DEB_OUT)/programs
	PACKAGE_TEST_RELEASES=$$(. /etc/os-release && echo $$VERSION_CODENAME) tests/packages/run.sh

test-power: export CALLBOX_BIN ?= $(abspath $(CARGO_TARGET_DIR))/release/callbox
test-power: export CALLBOX_UPDATE_BIN ?= $(abspath $(CARGO_TARGET_DIR))/release/callbox-update
test-power: build
	tests/power/run.sh

# A few cuts of the tests' programs.
test-power-quick: export CALLBOX_BIN ?= $(abspath $(CARGO_TARGET_DIR))/debug/callbox
test-power-quick: export CALLBOX_UPDATE_BIN ?= $(abspath $(CARGO_TARGET_DIR))/debug/callbox-update
test-power-quick: export CUTS ?= 12
test-power-quick:
	@scripts/setup test
	cargo build --locked
	tests/power/run.sh

BOARD ?= rpi
IMAGE_VERSION ?= $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

# Chroots and file owners need root. DEB names another package than the one just built, or a directory of files.
image: DEB ?= target/deb/callbox_$(IMAGE_VERSION)_arm64.deb
image:
	@scripts/setup image
	[ '$(origin DEB)' = 'command line' ] || $(MAKE) deb ARCH=arm64
	$$([ "$$(id -u)" = 0 ] || echo sudo) image/build $(BOARD) $(DEB) $(IMAGE_VERSION)

test-image:
	@scripts/setup test-image
	tests/image/run $(CARGO_TARGET_DIR)/image/callbox-$(BOARD)-$(IMAGE_VERSION).img

bench: export CALLBOX_BIN ?= $(abspath $(CARGO_TARGET_DIR))/release/callbox
bench: build
	@scripts/setup test
	cargo bench --locked --bench '*'
	CHROMIUM_BIN=$$(scripts/setup chromium) node benches/end_to_end.js

bench-signaling: export CALLBOX_BIN ?= $(abspath $(CARGO_TARGET_DIR))/release/callbox
bench-signaling: build
	@scripts/setup bench
	cargo run --release --locked --package callbox-bench-signaling -- $(if $(QUICK),--quick) $(if $(ROWS),--rows '$(ROWS)') \
	    --callbox '$(CALLBOX_BIN)'

fuzz:
	@scripts/setup fuzz
	fuzz/run

fmt:
	cargo fmt --all

lint:
	@scripts/setup build
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --no-default-features --features server -- -D warnings

doc:
	@scripts/setup build
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps

audit:
	@scripts/setup audit
	scripts/audit

audit-quick:
	scripts/audit npm

book:
	@scripts/setup book
	$$(scripts/setup mdbook) build docs

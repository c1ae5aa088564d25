# The commands of the README. `make demo` and `make test` each work alone on a fresh
# machine with python3 and make: they set up what they need first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EXTRAS ?= cpu,dev,onnx

HELPERS := benchmarks/tables.py benchmarks/contest.py benchmarks/trainings.py \
	benchmarks/torch_resnet.py benchmarks/keras_cv_yolo.py \
	benchmarks/keras_segmentation.py benchmarks/watching.py
BENCHMARKS := $(filter-out $(HELPERS),$(wildcard benchmarks/*.py))

.PHONY: setup demo test slow lint format bench clean

setup: $(VENV)/ready

$(VENV)/ready: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip setuptools
	$(BIN)/pip install --quiet --editable '.[$(EXTRAS)]'
	touch $@

DETECT := $(BIN)/python apps/detect.py
DEMO := runs/detect/demo
SERVED := $(DEMO)/serve.log
DRAWINGS := runs/cache/synthetic/4000x128px-4objects-seed20/images

demo: setup
	$(DETECT) train --preset drawings --run $(DEMO) --cache-dir runs/cache
	$(DETECT) evaluate --run $(DEMO)
	$(DETECT) predict --run $(DEMO) $(DRAWINGS)/000000.png $(DRAWINGS)/000001.png
	$(DETECT) export --run $(DEMO)
	@$(BIN)/python apps/serve.py --model_name demo --model_base_path savedmodels/demo \
		--rest_api_port 0 > $(SERVED) 2>&1 & server=$$!; trap "kill $$server" EXIT; \
	until grep '^serving' $(SERVED); do \
		kill -0 $$server || { cat $(SERVED); exit 1; }; sleep 0.2; \
	done; \
	url=$$(sed -n 's#^serving .* at \(http://[^/]*\)/v1.*#\1#p' $(SERVED)); \
	$(BIN)/python -m tfdl.serving.ask $$url demo $(DRAWINGS)/000000.png
	@echo "pictures: $(CURDIR)/$(DEMO)/samples and $(CURDIR)/$(DEMO)/plots"
	@echo "curves:   $(BIN)/tensorboard --logdir $(DEMO)/events"

test: setup
	$(BIN)/python -m pytest -m 'not slow' -n auto --dist loadfile

# What counts seconds or memory runs by itself.
ALONE := tests/training/test_multi_worker.py tests/apps/test_serve.py

slow: setup
	$(BIN)/python -m pytest -m slow -n auto --dist loadfile $(ALONE:%=--ignore=%)
	$(BIN)/python -m pytest -m slow $(ALONE)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/pip install --quiet --editable '.[bench]'
	for script in $(BENCHMARKS); do $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) runs build *.egg-info

# Sets up, runs and tests robotseg_ros on a machine with Python, gcc and make. Everything goes into .venv and build/.
# With ROS 2 installed, this file is not needed: `colcon build` in a workspace does it.

VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/pytest

# A sourced ROS 2 or another environment would mix its libraries with those of .venv.
unexport AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH PYTHONHOME PYTHONPATH RMW_IMPLEMENTATION
unexport ROS_DISTRO ROS_PYTHON_VERSION ROS_VERSION VIRTUAL_ENV _ROS_WHEELS_BOOTSTRAP_COMPLETE

.DEFAULT_GOAL := help
.PHONY: help setup setup-train demo test test-all lint format pins clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install everything into .venv and build the package there; does nothing when nothing changed
	@setup/install.sh
	@setup/build.sh

setup-train: setup ## also install what rendering and training need
	@setup/install.sh train

demo: setup ## replay a recorded camera through the node, write masks and an overlay video to out/demo, print a table
	@$(BIN)/robotseg demo

test: setup ## the fast tests, on the package as installed
	$(PYTEST) -m "not slow" $(ARGS)

test-all: setup ## all tests
	$(PYTEST) $(ARGS)

lint: setup ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy robotseg_ros

format: setup ## format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

pins: ## write requirements/constraints.txt anew
	@setup/update_pins.sh $(ARGS)

clean: ## remove what was built, keep .venv
	rm -rf build out dist *.egg-info .pytest_cache .mypy_cache .ruff_cache $(VENV)/stamps/build-*
	find robotseg_ros test benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2> /dev/null || true

distclean: clean ## also remove .venv
	rm -rf $(VENV)

#!/usr/bin/env bash
# Makes .venv and installs into it what `make setup` needs, with `train` also what rendering and training need. Does nothing where
# that was done already with the same pins.
set -euo pipefail
cd "$(dirname "$0")/.."
source setup/clean_environment.sh

what=${1:-base}
venv=$PWD/.venv
stamps=$venv/stamps
mkdir -p "$venv"
exec 9> "$venv/setup.lock"
flock 9

hash=$({ echo "$PWD"; cat requirements/*.txt setup.cfg setup/install.sh setup/requirements.py; } | sha256sum | cut -c 1-16)
stamp=$stamps/$what-$hash
[[ -e $stamp ]] && exit 0

# Scripts in bin/ carry the folder's path: an environment that was moved or copied is made anew.
if [[ -e $stamps/location && $(< "$stamps/location") != "$PWD" ]]; then
    rm -rf "$venv"/{bin,include,lib,lib64,share,stamps,pyvenv.cfg} build
fi
if ! "$venv/bin/python" -m pip --version > /dev/null 2>&1; then
    python=$(setup/find_python.sh)
    for tool in gcc g++ make; do
        command -v "$tool" > /dev/null || { echo "$tool is needed to build the ROS messages, and not found" >&2; exit 1; }
    done
    echo "Making .venv with $python"
    "$python" -m venv "$venv"
fi
mkdir -p "$stamps"
echo "$PWD" > "$stamps/location"

# Builds happen in the environment itself, with its pinned setuptools; an isolated build of sam2 would fetch a second torch.
pip() {
    "$venv/bin/python" -m pip --disable-pip-version-check install -qq --no-build-isolation -c requirements/constraints.txt "$@"
}

if [[ $what == train ]]; then
    echo "Installing what rendering and training need"
    mapfile -t needs < <("$venv/bin/python" setup/requirements.py render train dino ray lerobot)
    pip "${needs[@]}"
    pip --no-deps robosuite robosuite_models
else
    echo "Installing torch, ROS 2 and the rest into .venv: 1 to 2 minutes, 2 GB (more where torch comes with CUDA)"
    pip setuptools wheel
    mapfile -t needs < <("$venv/bin/python" setup/requirements.py dev)
    pip "${needs[@]}" -r requirements/ros.txt
    SAM2_BUILD_CUDA=0 pip --no-deps sam2
    pip --no-deps vos-benchmark # the reference for our measures; it asks for a second OpenCV
fi
rm -f "$stamps/$what"-*
touch "$stamp"

#!/usr/bin/env bash
# Rewrites requirements/constraints.txt: today's versions of all that setup.cfg and requirements/ros.txt name, within bounds.txt,
# for every supported Python. Versions that still fit stay as they are; `--upgrade` takes the newest ones.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet uv

# Packages installed without their dependencies are pinned by hand: resolving them would bring what they are kept from bringing.
no_dependencies='^(sam2|robosuite|robosuite_models|vos-benchmark) =='
grep -vE "$no_dependencies" requirements/bounds.txt > "$work/bounds.txt"
{ "$work/venv/bin/python" setup/requirements.py dev render train dino ray lerobot; echo setuptools; echo wheel; } > "$work/package.txt"

grep -v '^#' requirements/constraints.txt > "$work/locked.txt" || true
"$work/venv/bin/uv" pip compile --quiet --universal --python-version 3.10 --no-annotate --no-header --no-emit-index-url "$@" \
    --output-file "$work/locked.txt" "$work/package.txt" requirements/ros.txt -c "$work/bounds.txt"

{
    echo "# Written by \`make pins\` from setup.cfg, ros.txt and bounds.txt: the one place of versions for \`make setup\`."
    # torch itself pins the CUDA packages that go with it; its CPU build has none.
    grep -vE "^(nvidia-|cuda-|triton)|sys_platform == 'win32'" "$work/locked.txt" | sed "s/ ; sys_platform != 'win32'//; s/ ; sys_platform == 'linux'//"
    grep -E "$no_dependencies" requirements/bounds.txt | sed -E 's/ == ([^ ]+).*/==\1/'
} > "$work/constraints.txt"
mv "$work/constraints.txt" requirements/constraints.txt

#!/usr/bin/env bash
# Builds this package with colcon into .venv, which the ROS 2 wheels have made a ROS prefix. Does nothing where no file of the
# package has changed since the last time.
set -euo pipefail
cd "$(dirname "$0")/.."
source setup/clean_environment.sh

venv=$PWD/.venv
mkdir -p "$venv/stamps"
exec 9> "$venv/setup.lock"
flock 9

parts=()
for part in CMakeLists.txt package.xml config demo launch msg robotseg_ros scripts setup srv; do
    [[ -e $part ]] && parts+=("$part")
done
# The interpreter and the pins count too: a new environment holds no build.
hash=$({
    echo "$PWD"
    cat "$venv/pyvenv.cfg" requirements/*.txt
    find "${parts[@]}" -name __pycache__ -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
} | sha256sum | cut -c 1-16)
stamp=$venv/stamps/build-$hash
[[ -e $stamp ]] && exit 0

rm -f "$venv"/stamps/build-*
echo "Building robotseg_ros into .venv"
manifest=build/robotseg_ros/install_manifest.txt
previous=$(cat "$manifest" 2> /dev/null || true)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
PATH=$venv/bin:$PATH AMENT_PREFIX_PATH=$venv CMAKE_PREFIX_PATH=$venv colcon --log-base build/log build \
    --base-paths . --build-base build --install-base "$venv" --merge-install --cmake-args \
    -DPython3_EXECUTABLE="$venv/bin/python" -DCMAKE_PROJECT_INCLUDE="$PWD/setup/wheels.cmake" -DBUILD_TESTING=OFF \
    > "$log" 2>&1 < /dev/null || { cat "$log" >&2; exit 1; }

# What the last build installed and this one did not is gone from the source: a stale module would still be importable.
gone=$(LC_ALL=C comm -23 <(LC_ALL=C sort <<< "$previous") <(LC_ALL=C sort "$manifest"))
while IFS= read -r file; do
    [[ -z $file ]] || rm -f "$file"
done <<< "$gone"
touch "$stamp"

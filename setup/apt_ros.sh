#!/usr/bin/env bash
# Installs robotseg_ros beside a ROS 2 from apt: torch and the rest go into a virtual environment that sees the system's packages, and
# colcon builds the package for that environment's Python. Apt's own packages stay as they are.
#
#   source /opt/ros/jazzy/setup.bash && setup/apt_ros.sh [FOLDER]          FOLDER gets venv/, build/, install/ (~/robotseg_ws)
#
# TORCH_INDEX  pip index to take torch from; empty: PyPI, whose wheels bring CUDA. docs/deployment.md has those for Jetsons.
# EXTRAS       extras of setup.cfg to install too, such as "dev" for the tests
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
workspace=$(realpath -m "${1:-$HOME/robotseg_ws}")
[[ -n ${ROS_DISTRO:-} && -n ${AMENT_PREFIX_PATH:-} ]] || {
    echo "no ROS 2 is sourced: source /opt/ros/DISTRO/setup.bash first (without ROS, 'make setup' brings its own)" >&2
    exit 1
}
system=/usr/bin/python3 # the interpreter that apt's rclpy is built for
"$system" -c 'import rclpy' || { echo "rclpy of ROS 2 $ROS_DISTRO does not import in $system" >&2; exit 1; }
"$system" -m venv --help > /dev/null 2>&1 || { echo "apt install python3-venv" >&2; exit 1; }
command -v colcon > /dev/null || { echo "apt install python3-colcon-common-extensions" >&2; exit 1; }

venv=$workspace/venv
mkdir -p "$workspace"
[[ -x $venv/bin/python ]] || "$system" -m venv --system-site-packages "$venv"
touch "$venv/COLCON_IGNORE"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check install "$@"; }

# The message modules of Humble to Kilted are built for apt's NumPy 1; OpenCV 4.12 and newer ask for NumPy 2.
bounds=$workspace/bounds.txt
printf '%s\n' 'setuptools < 80' 'pytest < 8.4' > "$bounds"
case $("$system" -c 'import numpy; print(numpy.__version__)') in
    1.*) printf '%s\n' 'numpy < 2' 'opencv-python-headless < 4.12' >> "$bounds" ;;
esac
# shellcheck disable=SC2086  # EXTRAS are words
mapfile -t needs < <("$venv/bin/python" "$repository/setup/requirements.py" ${EXTRAS:-})
others=()
for need in "${needs[@]}"; do [[ $need == torch* ]] || others+=("$need"); done
pip -c "$bounds" ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
pip -c "$bounds" setuptools wheel "${others[@]}"
SAM2_BUILD_CUDA=0 pip --no-build-isolation --no-deps 'sam2 >= 1.1.0' # an isolated build would fetch another torch

cd "$workspace"
colcon build --base-paths "$repository" --packages-select robotseg_ros --merge-install \
    --cmake-args -DPython3_EXECUTABLE="$venv/bin/python" -DBUILD_TESTING=OFF
echo
echo "Installed. In a new shell:  source $workspace/install/setup.bash && robotseg doctor --ros"

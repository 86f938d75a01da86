#!/usr/bin/env bash
# Prints the Python to build the environment with: the ROS 2 wheels exist for 3.10 to 3.13, the messages need its C headers.
# $PYTHON decides where it is set.
set -uo pipefail

check='
import importlib.util, os, sys, sysconfig
version = "%d.%d" % sys.version_info[:2]
if not (3, 10) <= sys.version_info[:2] <= (3, 13):
    sys.exit("is Python %s; 3.10 to 3.13 are supported" % version)
if importlib.util.find_spec("ensurepip") is None:
    sys.exit("has no venv; install python%s-venv" % version)
if not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")):
    sys.exit("has no C headers (Python.h); install python%s-dev" % version)
print(sys.executable)
'

reasons=""
for name in ${PYTHON:-python3.11 python3 python3.12 python3.13 python3.10}; do
    command -v "$name" > /dev/null || { reasons+="  $name: not found"$'\n'; continue; }
    if answer=$("$name" -c "$check" 2>&1); then
        echo "$answer"
        exit 0
    fi
    reasons+="  $name: $(tail -n 1 <<< "$answer")"$'\n'
done
printf 'No usable Python:\n%sName one: make setup PYTHON=/path/to/python3.11\n' "$reasons" >&2
exit 1

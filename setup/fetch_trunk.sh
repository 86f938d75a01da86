#!/usr/bin/env bash
# Fetches the npm package whose detector robotseg_nano's trunk starts from (Apache-2.0, 16 MB): fetch_trunk.sh OUT.tgz
set -euo pipefail
out=${1:?usage: fetch_trunk.sh OUT.tgz}
version=0.4.1675468480
registry=${npm_config_registry:-https://registry.npmjs.org}
if command -v npm > /dev/null; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    npm pack --silent --pack-destination "$folder" "@mediapipe/objectron@$version" > /dev/null
    mv "$folder"/*.tgz "$out"
else
    curl -fsSL "$registry/@mediapipe/objectron/-/objectron-$version.tgz" -o "$out"
fi
echo "fc3e37b326b05e8f596099c90b3e0931b05a56cd3160b9ac450b621794bac94c  $out" | sha256sum --check --quiet

#!/usr/bin/env bash
# Makes the worked example of docs/evaluation.md anew, its table and pictures: docs/evaluation_example.sh [CLIPS] [LIMIT] [DOCS]
# Needs `make setup`, rendered clips in VRS's layout (docs/rendering.md) and chromium. DOCS: a copy of docs/, to try it. A run that
# was stopped goes on; remove out/evaluation_example to measure all anew.
set -euo pipefail
cd "$(dirname "$0")/.."
clips=${1:-.data/clips/seen} limit=${2:-1000} docs=${3:-docs} out=out/evaluation_example
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || {
    echo "no chromium or chrome is installed (Debian: apt install chromium)" >&2
    exit 1
}
[[ $docs == docs ]] || out=$docs/evaluation_example
mkdir -p "$out"
.venv/bin/robotseg evaluate "$clips" --limit "$limit" -o "$out" --efficiency \
    --setting automatic --setting 1click --setting 3clicks --setting box --setting interactive | tee "$out/table.txt"
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
"$browser" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
    --disable-component-update --disable-sync --hide-scrollbars --user-data-dir="$profile" --window-size=1200,2300 \
    --screenshot="$out/report.png" "file://$(realpath "$out/report.html")" 2> /dev/null
.venv/bin/python - "$out" "$docs" << 'PYTHON'
import re, sys
from pathlib import Path
from PIL import Image

out, docs = map(Path, sys.argv[1:])
doc = docs / "evaluation.md"
shot = Image.open(out / "report.png").convert("RGB")
shot.crop((0, 0, 1200, 1515)).resize((900, 1136)).save(docs / "images/report_summary.jpg", quality=80)
shot.crop((0, 1515, 1200, 2300)).resize((900, 589)).save(docs / "images/report_frames.jpg", quality=80)
table = "\n".join(line for line in (out / "table.txt").read_text().splitlines() if not line.endswith("report.html"))
text = doc.read_text()
doc.write_text(re.sub(r"(?s)(<!-- example -->\n).*?(<!-- end -->)", lambda m: f"{m[1]}```\n{table}\n```\n{m[2]}", text))
PYTHON

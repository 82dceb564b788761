#!/usr/bin/env bash
# Run the checks and the tests. Arguments go to pytest. Safe to run twice.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
make_environment dev

echo "==> Fetching the embedded models (once)"
"$bin/ragemo" models pull

echo "==> ruff and mypy"
"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/mypy"

echo "==> Tests"
# Two files at a time: more would only make models wait for each other on few cores.
# Property tests draw the same inputs each time here; run pytest without the profile to explore.
"$bin/python" -m pytest -n 2 --dist loadfile --hypothesis-profile=ci "$@"

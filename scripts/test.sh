#!/usr/bin/env bash
# Run the checks and the tests. Arguments go to pytest. Safe to run twice.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
make_environment dev

echo "==> Looking for a browser to test the report in"
if ! command -v chromium >/dev/null && [ -z "${RAGEMO_BROWSER:-}" ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get -qq -o Acquire::Retries=3 update
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 install --yes \
      --no-install-recommends chromium fonts-dejavu-core >/dev/null
  else
    echo "There is none, so the tests that need one are skipped. To run them, install Chromium" \
         "(Debian: apt-get install chromium), or name a browser with RAGEMO_BROWSER=/path/to/it."
  fi
fi

echo "==> Fetching the embedded models (once)"
"$bin/ragemo" models pull

echo "==> ruff and mypy"
"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/mypy"

echo "==> Tests"
# Two files at a time: more would only make models wait for each other on few cores. In the order of
# tests/conftest.py, which begins with those that take longest.
# Property tests draw the same inputs each time here; run pytest without the profile to explore.
# Bytecode is kept whatever the environment says: each worker and each process that a test begins
# would compile all of the package anew.
export PYTHONDONTWRITEBYTECODE=
"$bin/python" -m pytest -n 2 --dist loadfile --no-loadscope-reorder --hypothesis-profile=ci "$@"

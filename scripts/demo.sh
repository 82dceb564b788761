#!/usr/bin/env bash
# The main job on the shipped sample: install, fetch the embedded models, build an index, label
# the test dialogues with the embedded LLM, score. Safe to run twice.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
make_environment ""
ragemo="$bin/ragemo"

echo "==> Fetching the embedded models (once)"
"$ragemo" models pull

echo "==> Building an index of the sample's labelled training windows"
"$ragemo" index build --config configs/sample.yaml --overwrite

echo "==> Labelling the first of the sample's test dialogues with the embedded LLM"
rm -rf runs/sample
"$ragemo" predict --config configs/sample.yaml --limit 60 --out runs/sample

echo "==> Score"
"$ragemo" score runs/sample

cat <<'END'

The run lies in runs/sample: manifest.json, ballots.jsonl, verdicts.jsonl, predictions.csv.
Three commands to try next (after: source .venv/bin/activate):

  ragemo index search indexes/sample "I can't believe you did that to me."
  ragemo predict --config configs/sample.yaml --llm none --out runs/sample-index-alone
  ragemo predict --config configs/sample.yaml --llm gpt-4o-mini --samples 5 --dry-run
END

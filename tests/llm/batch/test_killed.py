"""`kill -9` at any moment leads to no second submission and to the same run."""

import json
import subprocess
import sys
from collections import Counter

from tests.llm.batch.conftest import Endpoint, derived


def submitted(endpoint):
    """How many batches hold each request."""
    return sorted(Counter(request["custom_id"] for request in endpoint.requests).values())


def test_killed_after_anything_it_does_a_run_submits_nothing_twice(
    batch_port, api_environment, tmp_path
):
    command = [sys.executable, "-m", "tests.llm.batch.killed", str(batch_port), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    points = int(done.stdout)
    assert points > 25
    whole = Endpoint(batch_port, "killed-never")
    assert submitted(whole) == [1, 1, 1, 1, 1, 2]  # one failed in passing
    for point in range(points):
        endpoint = Endpoint(batch_port, f"killed-{point}")
        assert submitted(endpoint) == submitted(whole), f"killed after {point}"
        assert len(endpoint.batches) == len(endpoint.uploads) == 2, f"killed after {point}"
        assert derived(tmp_path / str(point)) == derived(tmp_path / "never")
        lines = (tmp_path / str(point) / "ballots.jsonl").read_text().splitlines()
        assert len({json.loads(line)["utterance_id"] for line in lines}) == len(lines) == 6

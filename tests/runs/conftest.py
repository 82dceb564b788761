import pytest

from ragemo.runs.run import Run
from tests.runs.inputs import BALLOT, MANIFEST, UTTERANCES


@pytest.fixture
def folder(tmp_path):
    """A run with one answer."""
    with Run.create(tmp_path / "runs" / "one", MANIFEST, UTTERANCES) as run:
        run.append([BALLOT])
    return run.path

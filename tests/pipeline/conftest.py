import pytest

from ragemo.retrieval.index import Index
from tests.conftest import FakeEmbedder, make_corpus
from tests.pipeline.inputs import ROWS


@pytest.fixture(scope="session")
def corpus():
    return make_corpus(ROWS)


@pytest.fixture(scope="session")
def index():
    """Of the same words, labels and speakers in dialogues of other names."""
    return Index.build(
        make_corpus([{**row, "dialogue": f"train {row['dialogue']}"} for row in ROWS]),
        FakeEmbedder(),
    )

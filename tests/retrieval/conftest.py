from pathlib import Path

import pytest

from tests.retrieval.worlds import make_cross_encoder


@pytest.fixture(scope="session")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny cross-encoder."""
    return make_cross_encoder(tmp_path_factory.mktemp("cross-encoder"))

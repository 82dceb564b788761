from pathlib import Path

import pytest

from tests.retrieval.worlds import build, make_cross_encoder


@pytest.fixture(scope="session")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny cross-encoder."""
    return make_cross_encoder(tmp_path_factory.mktemp("cross-encoder"))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The folder of a small index."""
    build().save(tmp_path / "index")
    return tmp_path / "index"

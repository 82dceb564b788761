"""Which FAISS index is chosen for so many windows and so much memory."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.retrieval.index import Index
from ragemo.retrieval.stores.factory import USABLE, choose_factory, memory_there_is
from tests.retrieval.worlds import build

GIB = 2**30


@pytest.mark.parametrize(
    ("asked", "windows", "memory", "name"),
    [
        ("auto", 1_000, 16 * GIB, "Flat"),
        ("auto", 1_000_000, 16 * GIB, "Flat"),
        ("auto", 5_000_000, 16 * GIB, "IVF4096,SQ8"),
        ("auto", 200_000, GIB, "IVF1024,SQ8"),
        ("auto", 20_000_000, 16 * GIB, "IVF8192,PQ96"),
        ("auto-latency", 5_000, 16 * GIB, "Flat"),
        ("auto-latency", 1_000_000, 16 * GIB, "HNSW32"),
        ("auto-latency", 5_000_000, 16 * GIB, "IVF4096,SQ8"),
        ("IVF7,Flat", 1_000_000, 16 * GIB, "IVF7,Flat"),
    ],
)
def test_the_ladder(asked, windows, memory, name):
    chosen = choose_factory(asked, windows, 768, memory)
    assert (chosen.name, chosen.asked) == (name, asked)
    assert bool(chosen.reason) == asked.startswith("auto")
    assert not chosen.reason or f"{windows:,} windows" in chosen.reason


@given(
    asked=st.sampled_from(["auto", "auto-latency"]),
    windows=st.integers(0, 10**9),
    dimension=st.integers(1, 4096),
    memory=st.integers(2**20, 2**45),
)
def test_whatever_is_chosen_fits_or_is_the_smallest(asked, windows, dimension, memory):
    """And FAISS can make it: lists have examples to be trained on, codes divide the dimension."""
    name = choose_factory(asked, windows, dimension, memory).name
    single = 4 * windows * dimension
    if name == "Flat":
        assert single <= USABLE * memory or windows <= 10_000
    elif name.startswith("HNSW"):
        assert asked == "auto-latency"
        assert single <= USABLE * memory
    else:
        lists, codes = name.removeprefix("IVF").split(",")
        assert int(lists) * 39 <= windows
        if codes != "SQ8":
            assert single / 4 > int(USABLE * memory)
            assert dimension % int(codes.removeprefix("PQ")) == 0


def test_memory_is_what_this_process_may_use():
    total = int(Path("/proc/meminfo").read_text(encoding="ascii").split()[1]) * 1024
    assert 0 < memory_there_is() <= total * 1.01


def test_the_choice_and_its_reason_are_kept(tmp_path):
    index = build(factory="auto")
    index.save(tmp_path / "index")
    manifest = json.loads((tmp_path / "index/manifest.json").read_text())
    assert manifest["factory"] == "Flat"
    assert manifest["factory_choice"]["asked"] == "auto"
    assert "for so few nothing else pays" in manifest["factory_choice"]["reason"]
    loaded = Index.load(tmp_path / "index")
    assert loaded.chosen == index.chosen
    assert index.fingerprint == build().fingerprint
    rows = np.arange(5)
    found = loaded.search(loaded.window_vectors[rows], loaded.turns[:5], 3)
    assert (found.rows >= 0).all()

"""Which of OpenBLAS's products FAISS gets on which processor."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ragemo.retrieval.faiss_library import KERNELS, kernels_for

WIDE = "fpu sse2 avx2 fma avx512f avx512cd avx512bw avx512dq avx512vl"


def processors(vendor: str, flags: str, *, second: str | None = None) -> str:
    """As Linux tells of two of them."""
    blocks = [
        f"processor\t: {number}\nvendor_id\t: {vendor}\nmodel name\t: A: B\nflags\t\t: {own}\n"
        for number, own in enumerate((flags, flags if second is None else second))
    ]
    return "\n".join(blocks)


@pytest.mark.parametrize(
    ("vendor", "flags", "expected"),
    [
        ("AuthenticAMD", WIDE, "SkylakeX"),
        ("AuthenticAMD", WIDE.replace(" avx512vl", ""), "Zen"),
        ("AuthenticAMD", "fpu sse2 avx2 fma", "Zen"),
        ("AuthenticAMD", "fpu sse2 avx", None),
        ("GenuineIntel", WIDE, None),
    ],
)
def test_the_best_that_a_processor_of_amds_can_do_is_chosen(vendor, flags, expected):
    chosen = kernels_for(processors(vendor, flags))
    assert (chosen and chosen.name) == expected


def test_the_first_processor_counts():
    chosen = kernels_for(processors("AuthenticAMD", WIDE, second="fpu"))
    assert chosen is not None
    assert chosen.name == "SkylakeX"


@pytest.mark.parametrize("text", ["", "\n\n", "processor : 0\nFeatures : fp asimd\n", ":::"])
def test_a_processor_of_which_nothing_is_known_is_left_to_openblas(text):
    assert kernels_for(text) is None


PROBE = """
import os, pathlib, platform, sys
from ragemo.retrieval import faiss_library as library
library.PROCESSORS = pathlib.Path(sys.argv[1])
before = os.environ.get(library.VARIABLE)
faiss = library.load_faiss()
assert faiss is library.load_faiss() is sys.modules["faiss"]
assert os.environ.get(library.VARIABLE) == before
print(faiss.IndexFlatIP(4).d)
"""


def test_the_environment_is_as_it_was_once_faiss_is_loaded(tmp_path):
    described = tmp_path / "cpuinfo"
    described.write_text(processors("AuthenticAMD", "fpu sse2 avx2 fma"), encoding="utf-8")
    for file in (described, tmp_path / "missing"):
        done = subprocess.run(
            [sys.executable, "-c", PROBE, str(file)], capture_output=True, text=True, check=False
        )
        assert done.stdout == "4\n", done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="FAISS brings OpenBLAS on Linux alone")
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="these are products for x86-64")
def test_faiss_brings_the_products_that_are_named():
    from ragemo.retrieval.faiss_library import brought

    assert all(brought(kernels) for kernels in KERNELS)

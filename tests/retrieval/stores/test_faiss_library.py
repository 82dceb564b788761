"""Which of OpenBLAS's products FAISS gets on which processor."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from ragemo.retrieval.stores.faiss_library import KERNELS, kernels_for

WIDE = "fpu sse2 avx2 fma avx512f avx512cd avx512bw avx512dq avx512vl"


def processors(vendor: str, family: object, flags: str, *, second: str | None = None) -> str:
    """As Linux tells of two of them."""
    blocks = [
        f"processor\t: {number}\nvendor_id\t: {vendor}\ncpu family\t: {family}\n"
        f"model name\t: A: B\nflags\t\t: {own}\n"
        for number, own in enumerate((flags, flags if second is None else second))
    ]
    return "\n".join(blocks)


@pytest.mark.parametrize(
    ("vendor", "family", "flags", "expected"),
    [
        ("AuthenticAMD", 26, WIDE, "SkylakeX"),
        ("AuthenticAMD", 27, WIDE, "SkylakeX"),
        ("AuthenticAMD", 26, WIDE.replace(" avx512vl", ""), "Haswell"),
        ("AuthenticAMD", 26, "fpu sse2 avx2 fma", "Haswell"),
        ("AuthenticAMD", 26, "fpu sse2 avx", None),
        ("AuthenticAMD", 25, WIDE, None),
        ("AuthenticAMD", "?", WIDE, None),
        ("GenuineIntel", 6, WIDE, "SkylakeX"),
        ("GenuineIntel", 19, WIDE, "SkylakeX"),
        ("GenuineIntel", 6, "fpu sse2 avx2 fma", "Haswell"),
        ("GenuineIntel", 6, "fpu sse2 avx", None),
        ("GenuineIntel", 5, WIDE, None),
        ("CentaurHauls", 26, WIDE, None),
    ],
)
def test_a_processor_that_may_be_new_gets_the_best_that_it_can_do(vendor, family, flags, expected):
    chosen = kernels_for(processors(vendor, family, flags))
    assert (chosen and chosen.name) == expected


def test_the_first_processor_counts():
    chosen = kernels_for(processors("AuthenticAMD", 26, WIDE, second="fpu"))
    assert chosen is not None
    assert chosen.name == "SkylakeX"


@pytest.mark.parametrize("text", ["", "\n\n", "processor : 0\nFeatures : fp asimd\n", ":::"])
def test_a_processor_of_which_nothing_is_known_is_left_to_openblas(text):
    assert kernels_for(text) is None


STUB = "import os\nTOLD = os.environ.get('OPENBLAS_CORETYPE')\n"
"""In place of FAISS: it keeps what it was told."""

PROBE = """
import os, pathlib, platform, sys
from ragemo.retrieval.stores import faiss_library as library
library.PROCESSORS = pathlib.Path(sys.argv[1])
library.brought = lambda kernels: True
sys.platform, platform.machine = "linux", lambda: "x86_64"
faiss = library.load_faiss()
assert faiss is library.load_faiss() is sys.modules["faiss"]
print(faiss.TOLD, os.environ.get("OPENBLAS_CORETYPE"))
"""


def told(tmp_path, described, **environment):
    """What FAISS is told as it is loaded, and what the environment says afterwards."""
    (tmp_path / "faiss.py").write_text(STUB, encoding="utf-8")
    (tmp_path / "cpuinfo").write_text(described, encoding="utf-8")
    own = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    own["PYTHONPATH"] = os.pathsep.join([str(tmp_path), *filter(None, [own.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(tmp_path / "cpuinfo")],
        env=own | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


NEW = processors("AuthenticAMD", 26, "fpu sse2 avx2 fma")


def test_it_is_told_so_as_it_is_loaded_and_nobody_afterwards(tmp_path):
    assert told(tmp_path, NEW) == ["Haswell", "None"]


def test_so_is_it_of_an_intel_s(tmp_path):
    assert told(tmp_path, processors("GenuineIntel", 6, WIDE)) == ["SkylakeX", "None"]


def test_one_that_is_known_needs_no_telling(tmp_path):
    assert told(tmp_path, processors("AuthenticAMD", 25, WIDE)) == ["None", "None"]
    assert told(tmp_path, "") == ["None", "None"]


def test_the_users_own_word_stands(tmp_path):
    assert told(tmp_path, NEW, OPENBLAS_CORETYPE="Zen") == ["Zen", "Zen"]


@pytest.mark.skipif(sys.platform != "linux", reason="FAISS brings OpenBLAS on Linux alone")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="these are products for x86-64")
def test_faiss_brings_the_products_that_are_named():
    from ragemo.retrieval.stores.faiss_library import brought

    assert all(brought(kernels) for kernels in KERNELS)

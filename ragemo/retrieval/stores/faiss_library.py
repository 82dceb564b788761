"""FAISS, loaded with the matrix products that suit this processor.

FAISS's wheels bring an OpenBLAS of 2021. It does not know most processors that came later (Intel's
servers from Ice Lake on and mobile ones from Alder Lake on, AMD's from Zen 5 on; in OpenBLAS's
repository: issue 3823, pull requests 3442, 4268 and 6033) and gives them products that take four
times as long as need be. Which to take it can be told by an environment variable, which it reads
once, as it is loaded. What exact search finds does not depend on it, see
`ragemo.retrieval.searcher`; clusters and approximate stores may, as they do on another processor.
"""

from __future__ import annotations

import mmap
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

VARIABLE = "OPENBLAS_CORETYPE"
"""What tells OpenBLAS which processor it runs on; a user's own word stands."""

PROCESSORS = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Kernels:
    """One of OpenBLAS's sets of products.

    Attributes:
        name: of the processor that they were first made for.
        needs: what a processor must be able to do, in Linux's words.
    """

    name: str
    needs: frozenset[str]


KERNELS = (
    Kernels("SkylakeX", frozenset({"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"})),
    Kernels("Haswell", frozenset({"avx2", "fma"})),
)
"""The best first."""

FAMILIES = {"GenuineIntel": 6, "AuthenticAMD": 26}
"""From which family on (in Linux's count) a vendor's processors are told of. Intel's known ones are
of the same family as its new ones; most take the same products by themselves, Cooper Lake takes
some that differ for other types of numbers alone. AMD's family 26 is Zen 5."""


def load_faiss() -> Any:
    """The module `faiss`."""
    if "faiss" not in sys.modules:
        with _told_of_kernels():
            import faiss
    import faiss

    return faiss


def kernels_for(processors: str) -> Kernels | None:
    """The best for a processor that may be too new for OpenBLAS; None: it may choose.

    Args:
        processors: of the form of /proc/cpuinfo; the first one counts.
    """
    lines = (line.partition(":") for line in processors.partition("\n\n")[0].splitlines())
    said = {name.strip(): value.split() for name, _, value in lines}
    family = "".join(said.get("cpu family", ()))
    first = FAMILIES.get("".join(said.get("vendor_id", ())))
    if first is None or not family.isdecimal() or int(family) < first:
        return None
    return next((own for own in KERNELS if own.needs <= set(said.get("flags", ()))), None)


@contextmanager
def _told_of_kernels() -> Iterator[None]:
    """An OpenBLAS that is loaded meanwhile takes the best it has for this processor."""
    kernels = None
    if sys.platform == "linux" and platform.machine() == "x86_64" and VARIABLE not in os.environ:
        with suppress(OSError):
            kernels = kernels_for(PROCESSORS.read_text(encoding="utf-8", errors="replace"))
    if kernels is None or not brought(kernels):
        yield
        return
    os.environ[VARIABLE] = kernels.name
    try:
        yield
    finally:
        os.environ.pop(VARIABLE, None)  # another thread may have been here, too


def brought(kernels: Kernels) -> bool:
    """Whether FAISS's OpenBLAS has them; at a name that it does not know it takes the slowest."""
    spec = find_spec("faiss")
    if spec is None or spec.origin is None:
        return False
    product = f"sgemm_kernel_{kernels.name.upper()}".encode()
    for library in Path(spec.origin).parents[1].glob("faiss_cpu.libs/libopenblas*"):
        with library.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
            if data.find(product) >= 0:
                return True
    return False

"""How many CPU cores are ours."""

from __future__ import annotations


def cores() -> int:
    """CPU cores that this process may keep busy, at least 1.

    Fewer than the machine has where a batch system binds the process to some of them, a container
    has a share of them, or the environment says LOKY_MAX_CPU_COUNT.
    """
    from joblib import cpu_count

    return int(cpu_count())

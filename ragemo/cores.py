"""How many CPU cores are ours."""

from __future__ import annotations

from ragemo.errors import SettingsError


def cores() -> int:
    """CPU cores that this process may keep busy, hyperthreads counted, at least 1.

    Fewer than the machine has where a batch system binds the process to some of them, a container
    has a share of them, or LOKY_MAX_CPU_COUNT in the environment says fewer. 1 where the system
    has no semaphores.

    Raises:
        SettingsError: if the environment names no number.
    """
    try:
        from joblib import cpu_count

        return int(cpu_count())
    except ValueError as error:
        raise SettingsError(
            "the environment's LOKY_MAX_CPU_COUNT or JOBLIB_MULTIPROCESSING is no number: "
            f"{error}; set it to one, or not at all"
        ) from None

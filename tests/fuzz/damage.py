"""Damaged inputs, and what may come of them: an error for people, and nothing else."""

from __future__ import annotations

import copy
import json
import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from ragemo.errors import RagemoError

SECONDS = 20
"""Of computing; what takes longer hangs. A busy machine may take any time by the clock."""

SPAN = 8

HOSTILE: list[Any] = [
    *(None, True, False, 0, -1, 2, 10**9, 2**70, 10**400, 0.5, -0.5, 1e308, math.nan, math.inf),
    *("", " ", "0", "nan", "neu", "joy", "\0", "\x1b[31m", "\ud800", "../../x", "/etc/passwd"),
    *("x" * 5000, "é\u202e", "{{ x }}", "=1+1", "a,b", "none", "2020-13-45"),
    *([], {}, [[]], [None], {"x": 1}, [0.5, 0.5], [1, 0, 0], {"a": {"b": [None]}}),
]
"""Values that are wrong nearly everywhere."""

BITS: list[bytes] = [
    *(b"", b"\0", b"\xff", b"\n", b"\r", b'"', b"'", b",", b"{", b"}", b"[", b"]", b":", b"&a "),
    *(b"*a", b"!!python/object/apply:os.getcwd []", b"!!binary x", b"<<: ", b"- ", b"\xef\xbb\xbf"),
    *(b"NaN", b"1e999", b"-1", b"\\ud800", b"{{ x }}", b"{% for a in x %}", b"\x1b]0;x\x07"),
    *(b"[" * 600, b"9" * 5000, b"2020-13-45", b"=1+1", b"null", b"\xff" * SPAN, b"\0" * SPAN),
    *((2**62).to_bytes(SPAN, "little"), (10**10).to_bytes(SPAN, "little")),
]
"""Bytes that mean something to some parser, or nothing to any."""


def fuzz(examples: int) -> settings:
    """So many inputs, or 10,000 under the profile `nightly`."""
    if settings.get_current_profile_name() == "nightly":
        return settings(suppress_health_check=list(HealthCheck))
    return settings(settings.get_profile("ci"), max_examples=examples)


@st.composite
def damaged_bytes(draw: st.DrawFn, sound: bytes) -> bytes:
    """The bytes with one to four places flipped, replaced, cut out, doubled or cut off."""
    data = sound
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(len(data) - 1, 0)))
        end = min(start + draw(st.integers(0, 3 * SPAN)), len(data))
        how = draw(st.sampled_from(["flip", "replace", "cut", "double", "end", "insert"]))
        if how == "flip" and data:
            flipped = data[start] ^ draw(st.integers(1, 255))
            data = data[:start] + bytes([flipped]) + data[start + 1 :]
        elif how == "replace":
            data = data[:start] + draw(st.sampled_from(BITS)) + data[end:]
        elif how == "insert":
            data = data[:start] + draw(st.sampled_from(BITS)) + data[start:]
        elif how == "cut":
            data = data[:start] + data[end:]
        elif how == "double":
            data = data[:end] + data[start:end] + data[end:]
        elif how == "end":
            data = data[:start]
    return data


@st.composite
def damaged_data(draw: st.DrawFn, sound: Any) -> Any:
    """Plain data with one to three values replaced, left out, or put where others are."""
    data = copy.deepcopy(sound)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(data))
        if not places:
            return draw(st.sampled_from(HOSTILE))
        holder, key = draw(st.sampled_from(places))
        how = draw(st.sampled_from(["replace", "replace", "leave out", "swap", "add"]))
        if how == "leave out":
            del holder[key]
        elif how == "swap":
            other, place = draw(st.sampled_from(places))
            holder[key] = copy.deepcopy(other[place])
        elif how == "add" and isinstance(holder, dict):
            holder[draw(st.sampled_from(["x", "", "\0", "__class__", *holder]))] = _drawn(draw)
        elif how == "add":
            holder.insert(key, _drawn(draw))
        else:
            holder[key] = _drawn(draw)
    return data


@st.composite
def damaged_json(draw: st.DrawFn, sound: Any) -> bytes:
    """A JSON file: other data in sound JSON, or sound data in damaged JSON."""
    if draw(st.booleans()):
        return json.dumps(draw(damaged_data(sound))).encode()
    return draw(damaged_bytes(json.dumps(sound).encode()))


@st.composite
def damaged_lines(draw: st.DrawFn, sound: bytes) -> bytes:
    """A file of JSON lines, of which a line is damaged, doubled, moved or gone."""
    lines = sound.splitlines(keepends=True)
    how = draw(st.sampled_from(["data", "data", "data", "bytes", "double", "gone", "move"]))
    place = draw(st.integers(0, len(lines) - 1))
    if how == "data":
        lines[place] = json.dumps(draw(damaged_data(json.loads(lines[place])))).encode() + b"\n"
    elif how == "double":
        lines.insert(draw(st.integers(0, len(lines))), lines[place])
    elif how == "gone":
        del lines[place]
    elif how == "move":
        lines.insert(draw(st.integers(0, len(lines) - 1)), lines.pop(place))
    else:
        return draw(damaged_bytes(sound))
    return b"".join(lines)


@contextmanager
def only_our_errors() -> Iterator[None]:
    """What happens inside ends well or with a RagemoError of one message, and soon."""

    def hangs(number: int, frame: Any) -> None:
        raise AssertionError(f"it takes longer than {SECONDS} s")

    before = signal.signal(signal.SIGPROF, hangs)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    except RagemoError as error:
        assert str(error).strip()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def fate(act: Callable[[], object]) -> str:
    """What comes of an act in a process of its own: "done", "refused", or what ended it.

    Libraries in C may end the process on a hostile file, which no `except` keeps from happening.
    """
    import os
    import resource

    child = os.fork()
    if child == 0:
        code = 9
        try:
            signal.signal(signal.SIGPROF, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            act()
            code = 0
        except RagemoError:
            code = 2
        finally:
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used
            os._exit(8 if grown > 500_000 else code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    ends = {0: "done", 2: "refused", 8: "half a gigabyte of memory", 9: "another error"}
    return ends[os.WEXITSTATUS(status)]


def _drawn(draw: st.DrawFn) -> Any:
    return copy.deepcopy(draw(st.sampled_from(HOSTILE)))


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every list or mapping in the data, with each of its keys."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield data, key
            yield from _places(value)
    elif isinstance(data, list):
        for place, value in enumerate(data):
            yield data, place
            yield from _places(value)

"""How long an endpoint asks to be left alone."""

import email.utils
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.llm.sending.waits import parse_duration, seconds_until_reset, seconds_until_retry

UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("20ms", 0.02),
        ("1m30.5s", 90.5),
        ("2m59.56s", 179.56),
        ("1h2m3s", 3_723),
        ("1d", 86_400),
        ("12", 12),
        (" 0.5 ", 0.5),
        ("500µs", 5e-4),
        ("0", 0),
    ],
)
def test_durations_as_endpoints_write_them(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "s", "soon", "-5", "-1s", "1s ago", "1 s", "nan", "inf", "9" * 400, "1x", "٣s"]
)
def test_what_is_no_duration(text):
    assert parse_duration(text) is None


@given(st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(sorted(UNITS))), min_size=1))
def test_parts_add_up(parts):
    text = "".join(f"{number}{unit}" for number, unit in parts)
    expected = sum(number * UNITS[unit] for number, unit in parts)
    assert parse_duration(text) == pytest.approx(expected)


@given(st.text() | st.from_regex(r"[0-9.]{0,9}[a-zµ]{0,2}[0-9.]{0,9}[a-z]{0,2}"))
def test_whatever_is_said_is_no_wait_or_a_finite_one(text):
    seconds = parse_duration(text)
    assert seconds is None or 0 <= seconds < float("inf")
    assert 0 <= seconds_until_retry({"retry-after": text}) < float("inf")


def test_a_refused_call_waits_for_what_was_said_first():
    resets = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}
    assert seconds_until_retry({"retry-after": "2"} | resets) == 2
    assert seconds_until_retry({"retry-after": "2", "retry-after-ms": "1500"}) == 1.5
    assert seconds_until_retry({"retry-after": "soon"} | resets) == 0
    assert seconds_until_retry({}) == 0


def test_a_date_is_compared_with_the_clock_and_one_in_the_past_asks_for_nothing():
    for ahead, least, most in ((30, 28, 30), (-30, 0, 0)):
        date = email.utils.formatdate(time.time() + ahead, usegmt=True)
        assert least <= seconds_until_retry({"retry-after": date}) <= most


@pytest.mark.parametrize("zone", ["", " -0000"])
def test_a_date_without_a_zone_is_universal(zone, monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        date = time.strftime("%a, %d %b %Y %H:%M:%S", time.gmtime(time.time() + 30)) + zone
        assert 28 <= seconds_until_retry({"retry-after": date}) <= 30
    finally:
        monkeypatch.undo()
        time.tzset()


def test_nothing_is_waited_for_while_something_is_left():
    reset = {"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "20ms"}
    left = {"x-ratelimit-remaining-requests": "3", "x-ratelimit-remaining-tokens": "149984"}
    assert seconds_until_reset(reset | left) == 0
    assert seconds_until_reset(reset) == 0
    assert seconds_until_reset(reset | left | {"x-ratelimit-remaining-tokens": "0"}) == 0.02
    none_left = dict.fromkeys(left, "0")
    assert seconds_until_reset(reset | none_left) == 1
    assert seconds_until_reset(none_left) == 0


def test_a_time_in_place_of_a_wait_is_none():
    resets = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1796097472"}
    assert seconds_until_reset(resets) == 0

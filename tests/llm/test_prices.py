"""What an answer costs."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragemo.errors import SettingsError
from ragemo.llm.prices import Price, find_price, prices_in_force, read_prices

tokens = st.integers(0, 10**9)


@pytest.fixture(autouse=True)
def _no_user_prices(monkeypatch):
    monkeypatch.delenv("RAGEMO_PRICES", raising=False)


def test_the_shipped_prices_are_dated_and_plausible():
    price = find_price("gpt-4o-mini")
    assert (price.prompt, price.cached, price.answer) == (0.15, 0.075, 0.60)
    for model in ("gpt-4o", "gpt-4.1", "gpt-5-mini", "gpt-6-luna"):
        price = find_price(model)
        assert 0 < price.cached < price.prompt < price.answer
        assert datetime.date.fromisoformat(price.as_of) > datetime.date(2026, 1, 1)


def test_a_snapshot_costs_what_its_model_costs():
    assert find_price("gpt-4o-2024-08-06") == find_price("gpt-4o")


@pytest.mark.parametrize("model", ["llama-3.1-8b", "gpt-4o-audio", "my-gpt-4o", "", "2024-08-06"])
def test_an_unknown_model_has_no_price(model):
    assert find_price(model) is None


def test_a_server_on_this_machine_is_free_unless_the_user_has_a_price(tmp_path, monkeypatch):
    assert find_price("gpt-4o", local=True).cost(10**6, 0, 10**6) == 0
    table = tmp_path / "prices.yaml"
    table.write_text("gpt-4o: {prompt: 3, answer: 12}\nmine: {prompt: 1, answer: 2}\n")
    monkeypatch.setenv("RAGEMO_PRICES", str(table))
    assert find_price("gpt-4o", local=True) == Price(3, 3, 12)  # a gateway on this machine
    assert find_price("gpt-4o") == Price(3, 3, 12)
    assert find_price("gpt-4o-2024-08-06") == Price(3, 3, 12)
    assert find_price("mine").cost(10**6, 0, 10**6) == 3
    assert find_price("gpt-4o-mini").prompt == 0.15, "the shipped table still counts"


@given(tokens, tokens, tokens)
def test_cost_is_the_sum_of_its_parts(plain, cached, answer):
    price = Price(prompt=3.0, cached=0.5, answer=9.0)
    cost = price.cost(plain + cached, cached, answer)
    assert cost == pytest.approx((3 * plain + 0.5 * cached + 9 * answer) / 1_000_000)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("- a\n- b", ["mapping"]),
        ("m: 3", ["m", "`prompt`"]),
        ("m: {prompt: 1}", ["m", "`answer`"]),
        ("m: {prompt: one, answer: 2}", ["m", "prompt", "'one'"]),
        ("m: {prompt: 1, answer: -2}", ["m", "answer", "-2"]),
        ("m: {prompt: 1, answer: .nan}", ["m", "answer", "nan"]),
        ("m: {prompt: true, answer: 1}", ["m", "prompt", "True"]),
        ("m: {prompt: 1, answer: 1, output: 2}", ["m", "output"]),
        ("m: {prompt: 1, answer: 1, batch: 1.5}", ["m", "batch", "1.5"]),
        ("m: {prompt: 1, answer: 1, batch: no}", ["m", "batch", "False"]),
        ("m: {", ["YAML"]),
    ],
)
def test_a_wrong_table_is_named(text, names):
    with pytest.raises(SettingsError) as caught:
        read_prices(text, "FILE")
    for name in ["FILE", *names]:
        assert name in str(caught.value)


def test_a_missing_table_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("RAGEMO_PRICES", str(tmp_path / "none.yaml"))
    with pytest.raises(SettingsError, match=r"RAGEMO_PRICES.*none\.yaml"):
        find_price("gpt-4o")


def test_an_empty_table_adds_nothing():
    assert read_prices("", "FILE") == {}


def test_a_batch_costs_its_share():
    price = find_price("gpt-4o-mini")
    assert price.cost(10**6, 0, 10**6, batch=True) == price.cost(10**6, 0, 10**6) / 2
    [own] = read_prices("m: {prompt: 1, answer: 2}", "FILE").values()
    assert own.cost(10**6, 0, 0, batch=True) == 1, "a discount that nobody told is none"
    [own] = read_prices("m: {prompt: 1, answer: 2, batch: 0.25}", "FILE").values()
    assert own.cost(10**6, 0, 0, batch=True) == 0.25


def test_the_table_in_force_says_where_each_price_comes_from(tmp_path, monkeypatch):
    table = tmp_path / "prices.yaml"
    table.write_text("gpt-4o: {prompt: 3, answer: 12}\nmine: {prompt: 1, answer: 2}\n")
    assert {source for _, source in prices_in_force().values()} == {"ragemo"}
    monkeypatch.setenv("RAGEMO_PRICES", str(table))
    listed = prices_in_force()
    assert listed["gpt-4o"] == (Price(3, 3, 12), str(table))
    assert listed["mine"] == (Price(1, 1, 2), str(table))
    assert listed["gpt-5"] == (find_price("gpt-5"), "ragemo")
    assert list(listed) == sorted(listed)

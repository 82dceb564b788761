"""What endpoints were found to be able to do, in a file that later runs read."""

import asyncio
import json
import multiprocessing
import os
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragemo.llm.abilities.capabilities import Capabilities
from ragemo.llm.abilities.memory import recall, remember
from ragemo.llm.openai_model import OpenAIModel
from ragemo.llm.sending.endpoint import Endpoint
from ragemo.models import cache_folder
from tests.llm.asking import KEY, OPENAI_TEMPERATURE, ask, refusal

WEEK = 7 * 24 * 3_600
ABLE = Capabilities("json_schema", largest_n=4, temperature=False, top_logprobs=20)
HERE = Endpoint("some-model", f"http://user:pa55word@localhost:8000/v1?api-key={KEY}", KEY)


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "endpoints.json"
    monkeypatch.setenv("RAGEMO_ENDPOINTS", str(path))
    return path


def change(file, **fields):
    data = json.loads(file.read_text())
    (entry,) = data["endpoints"].values()
    entry |= fields
    file.write_text(json.dumps(data))


class TestFile:
    def test_what_was_found_is_recalled_for_that_model_at_that_endpoint(self, file):
        assert recall(HERE) is None
        remember(HERE, ABLE)
        known = recall(HERE)
        assert known.capabilities == ABLE
        assert 0 <= known.age < 60
        assert recall(Endpoint("other", HERE.base_url, KEY)) is None
        assert recall(Endpoint("some-model", "http://localhost:8001/v1", KEY)) is None

    def test_it_holds_no_secret(self, file):
        remember(HERE, ABLE)
        remember(Endpoint(f"model-{KEY}", HERE.base_url, KEY), ABLE)
        everything = file.read_text() + "".join(map(str, file.parent.iterdir()))
        assert KEY not in everything
        assert "pa55word" not in everything

    @pytest.mark.parametrize("age", [WEEK + 60, -60, -10 * WEEK])
    def test_an_old_entry_and_one_from_the_future_are_passed_over(self, file, age):
        remember(HERE, ABLE)
        change(file, learned=time.time() - age)
        assert recall(HERE) is None
        remember(Endpoint("other", HERE.base_url, ""), ABLE)
        assert len(json.loads(file.read_text())["endpoints"]) == 1, "and are thrown away"

    @pytest.mark.parametrize(
        "fields",
        [
            {"largest_n": 0},
            {"largest_n": "4"},
            {"temperature": 1},
            {"constraint": "auto"},
            {"answer_limit": "messages"},
            {"top_logprobs": -1},
            {"learned": "yesterday"},
            {"learned": 10**400},
            {"learned": -(10**400)},
            {"learned": float("nan")},
            {"seed": None},
        ],
    )
    def test_an_entry_that_cannot_be_is_passed_over(self, file, fields):
        remember(HERE, ABLE)
        change(file, **fields)
        assert recall(HERE) is None

    @pytest.mark.parametrize(
        "content", [b"", b"{", b"\xff\xfe", b"[]", b'{"format": 9}', b"[" * 100_000]
    )
    def test_a_damaged_file_is_passed_over_and_replaced(self, file, content):
        file.parent.mkdir()
        file.write_bytes(content)
        assert recall(HERE) is None
        remember(HERE, ABLE)
        assert recall(HERE).capabilities == ABLE

    @settings(suppress_health_check=list(HealthCheck), max_examples=60)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["format", "endpoints", "learned", "x y"]), inner, max_size=3
                )
            ),
        )
    )
    def test_whatever_json_it_holds_nothing_comes_of_it(self, file, data):
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(data))
        assert recall(HERE) is None

    def test_a_folder_that_cannot_be_written_is_no_error(self, file):
        file.parent.write_text("a file, where a folder should be")
        remember(HERE, ABLE)
        assert recall(HERE) is None

    def test_an_empty_name_remembers_nothing(self, monkeypatch, tmp_path):
        monkeypatch.setenv("RAGEMO_CACHE", str(tmp_path))
        monkeypatch.setenv("RAGEMO_ENDPOINTS", "")
        remember(HERE, ABLE)
        assert recall(HERE) is None
        assert list(tmp_path.iterdir()) == []
        monkeypatch.delenv("RAGEMO_ENDPOINTS")
        remember(HERE, ABLE)
        assert (cache_folder() / "endpoints.json").is_file()

    def test_several_processes_lose_nothing(self, file):
        context = multiprocessing.get_context("fork")
        workers = [context.Process(target=write_some, args=(number,)) for number in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        assert all(worker.exitcode == 0 for worker in workers)
        assert len(json.loads(file.read_text())["endpoints"]) == 4 * 5


def write_some(number):
    for model in range(5):
        remember(Endpoint(f"{number}-{model}", HERE.base_url, ""), ABLE)
    os._exit(0)


@pytest.mark.usefixtures("api_environment")
class TestModel:
    def test_a_later_run_does_not_ask_for_what_was_refused(self, scenario, file):
        scenario.script(
            refuse={
                "temperature": [400, {"error": OPENAI_TEMPERATURE}],
                **refusal("grammar", "unknown field `grammar`"),
            },
            constraint="response_format",
            ignore=["n"],
        )
        ask(scenario, (0, 1))
        seen = len(scenario.seen)
        _, model = ask(scenario, (0, 1))
        assert len(scenario.seen) == seen + 2
        assert model.capabilities.constraint == "json_schema"
        assert model.capabilities.largest_n == 1
        assert not model.capabilities.temperature

    def test_that_an_answer_was_missing_once_is_not_remembered(self, scenario, file):
        """Not even with what is learned after it."""
        scenario.script(
            {"ok": True},
            {"status": 400, "body": {"error": OPENAI_TEMPERATURE}},
            at_most=2,
        )
        ballots, model = ask(scenario, range(5), constraint="none")
        assert len(ballots) == 5
        assert model.capabilities.largest_n == 2
        later = OpenAIModel("some-model", base_url=scenario.url)
        assert (later.answers_per_call, later.capabilities.temperature) == (128, False)

    def test_that_answers_are_missing_each_time_is_remembered(self, scenario, file):
        scenario.script(at_most=2, answers=["joy"])
        ballots, model = ask(scenario, range(5), prompts=3, constraint="none")
        assert len(ballots) == 15
        assert model.capabilities.largest_n == 2
        assert OpenAIModel("some-model", base_url=scenario.url).answers_per_call == 2

    def test_that_answers_were_missing_now_and_then_is_not(self, scenario, file):
        """What comes in full beside it shows that the endpoint can."""
        short = {"choices": [{"message": {"content": "joy"}, "finish_reason": "stop"}] * 2}
        late = {"status": 200, "body": short, "sleep": 0.3}
        scenario.script({"ok": True}, late, late, answers=["joy"])
        _, model = ask(scenario, range(5), prompts=3, constraint="none")
        assert model.capabilities.largest_n == 2
        assert OpenAIModel("some-model", base_url=scenario.url).answers_per_call == 128

    @pytest.mark.parametrize(
        ("complaint", "later"),
        [
            ("n must be 1 when using greedy sampling, got 4.", 128),
            ("n must be 1 if temperature is 0", 128),
            ("n_cmpl must not exceed slots: n", 1),
        ],
    )
    def test_a_refusal_of_several_at_one_temperature_is_not_remembered(
        self, scenario, file, complaint, later
    ):
        scenario.script(refuse=refusal("n", complaint), answers=["joy"])
        ballots, model = ask(scenario, range(4), constraint="none", temperature=0.0)
        assert [ballot.error for ballot in ballots] == [None] * 4
        assert model.answers_per_call == 1
        assert OpenAIModel("some-model", base_url=scenario.url).answers_per_call == later

    def test_what_settings_decide_is_not_remembered(self, scenario, file):
        refuse = {"temperature": [400, {"error": OPENAI_TEMPERATURE}]}
        scenario.script(refuse=refuse, answers=["joy"])
        ask(scenario, constraint="none")
        able = OpenAIModel("some-model", base_url=scenario.url, label_probabilities=True)
        assert able.capabilities == Capabilities("grammar", temperature=False, top_logprobs=20)
        chosen = OpenAIModel("some-model", base_url=scenario.url, constraint="json_schema")
        assert chosen.capabilities == Capabilities("json_schema", temperature=False)

    def test_nothing_learned_writes_nothing(self, scenario, file):
        scenario.script(constraint="grammar")
        ask(scenario, (0, 1))
        assert not file.exists()

    def test_a_doctor_shows_what_is_remembered_and_asks_anew(self, scenario, file):
        scenario.script({"status": 400, "body": {"error": OPENAI_TEMPERATURE}}, answers=["yes"])
        ask(scenario)
        assert not recall(Endpoint("some-model", scenario.url, "")).capabilities.temperature
        model = OpenAIModel("some-model", base_url=scenario.url)

        async def examine():
            try:
                return await model.describe()
            finally:
                await model.close()

        report = asyncio.run(examine())
        assert "no temperature" in report["remembered"]
        assert report["temperature"]
        assert recall(Endpoint("some-model", scenario.url, "")).capabilities.temperature

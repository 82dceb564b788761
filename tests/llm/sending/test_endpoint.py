"""Where the key and the address come from, and where they never go."""

import pytest

from ragemo.errors import SettingsError
from ragemo.llm.openai_model import OpenAIModel
from tests.llm.asking import JOY, KEY, ask

pytestmark = pytest.mark.usefixtures("api_environment")


class TestKey:
    def test_no_key_for_openai(self, monkeypatch):
        monkeypatch.delenv("OPENAI_API_KEY")
        with pytest.raises(SettingsError, match="set OPENAI_API_KEY"):
            OpenAIModel("gpt-4o")
        monkeypatch.setenv("OPENAI_API_KEY", " ")
        with pytest.raises(SettingsError, match="set OPENAI_API_KEY"):
            OpenAIModel("gpt-4o", base_url="https://api.openai.com/v1/")

    @pytest.mark.parametrize("how", ["argument", "environment"])
    def test_no_key_for_another_server(self, scenario, monkeypatch, how):
        monkeypatch.delenv("OPENAI_API_KEY")
        if how == "environment":
            monkeypatch.setenv("OPENAI_BASE_URL", scenario.url)
        (ballot,), model = ask(scenario, base_url=None if how == "environment" else scenario.url)
        assert ballot.distribution == JOY
        assert model.identity["base_url"] == scenario.url

    @pytest.mark.parametrize(
        "key", ["sk-live 0123456789", "sk-live-\u20ac0123456789", "sk\n-0123456"]
    )
    def test_a_key_that_cannot_be_one_is_not_shown(self, monkeypatch, key):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with pytest.raises(SettingsError, match="OPENAI_API_KEY") as caught:
            OpenAIModel("gpt-4o")
        assert "0123456" not in str(caught.value)

    def test_a_key_copied_with_a_line_break(self, scenario, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
        ask(scenario)
        assert scenario.seen[0]["key"] == f"Bearer {KEY}"


class TestScrub:
    def test_a_key_in_an_answer_is_not_kept(self, scenario):
        scenario.script(echo_key=True)
        (ballot,), _ = ask(scenario, constraint="none")
        assert ballot.answer == "Bearer [secret]"

    def test_half_a_character_can_be_saved(self, scenario):
        scenario.script(answers=["joy\ud83d"])
        (ballot,), _ = ask(scenario, constraint="none")
        assert ballot.answer == "joy?"
        assert ballot.answer.encode("utf-8")

    def test_a_password_in_the_address_is_not_shown(self, scenario):
        scenario.script({"status": 413, "body": "no entry for user:pa55word"})
        address = scenario.url.replace("http://", "http://user:pa55word@")
        (ballot,), model = ask(scenario, base_url=address)
        assert ballot.error == f"HTTP 413 from {scenario.url}: no entry for user:[secret]"
        assert "pa55word" not in repr(ballot) + repr(model.identity)

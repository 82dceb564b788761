import pytest
import yaml

from ragemo.errors import SettingsError
from ragemo.settings import Settings, read_config, resolve_settings


def test_defaults_hold_without_a_config():
    assert resolve_settings() == Settings()
    assert resolve_settings().retrieval.k == 8


def test_flags_override_the_config_and_the_config_the_defaults():
    config = {"retrieval": {"k": 4, "exclude": "session"}, "seed": 7}
    settings = resolve_settings(config, {"retrieval.k": 2, "limit": 9})
    assert settings.retrieval.k == 2
    assert settings.retrieval.exclude == "session"
    assert settings.retrieval.exclude_duplicates is False
    assert (settings.seed, settings.limit) == (7, 9)
    assert config == {"retrieval": {"k": 4, "exclude": "session"}, "seed": 7}


def test_none_is_a_value():
    assert Settings().prompt.context == 4
    assert resolve_settings({"prompt": {"context": None}}).prompt.context is None
    assert resolve_settings({}, {"prompt.context": None}).prompt.context is None
    assert resolve_settings({"limit": 3}, {"limit": None}).limit is None


def test_an_empty_section_changes_nothing():
    assert resolve_settings({"retrieval": None}) == Settings()
    assert resolve_settings({"retrieval": None}, {"retrieval.k": 2}).retrieval.k == 2


def test_resolved_settings_are_a_config_again():
    settings = resolve_settings({"llm": {"base_url": "http://h:1/v1"}}, {"prompt.context": None})
    written = yaml.safe_load(yaml.safe_dump(settings.model_dump()))
    assert resolve_settings(written) == settings


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"retreival": {"k": 1}}, "retreival: no such setting"),
        ({"retrieval": {"K": 1}}, "retrieval.K: no such setting"),
        ({"retrieval": {"k": -1}}, "retrieval.k: input should be greater than or equal to 0"),
        ({"retrieval": {"k": "many"}}, "retrieval.k: input should be a valid integer"),
        ({"retrieval": {"exclude": "none"}}, "'dialogue', 'session' or 'speaker', found 'none'"),
        ({"index": {"context_weight": 1}}, "index.context_weight: input should be less than 1"),
        ({"llm": {"temperature": float("nan")}}, "llm.temperature: input should be a finite"),
        ({"llm": {"timeout": float("inf")}}, "llm.timeout: input should be a finite"),
        ({"retrieval": 3}, "retrieval: expected its settings below it, as NAME: VALUE; found 3"),
        ({"limit": True}, "limit: expected a whole number, found true"),
        ({"prompt": {"context": False}}, "prompt.context: expected a whole number, found false"),
        ({"llm": {"timeout": True}}, "llm.timeout: expected a number, found true"),
        ({1: 2}, "1: keys should be strings"),
    ],
)
def test_a_wrong_setting_is_named(config, said):
    with pytest.raises(SettingsError) as caught:
        resolve_settings(config, source="my.yaml")
    assert str(caught.value).startswith("my.yaml: ")
    assert said in str(caught.value)


def test_all_that_is_wrong_is_named_at_once():
    with pytest.raises(SettingsError) as caught:
        resolve_settings({"retrieval": {"k": -1, "kk": 1}, "sead": 1}, {"llm.samples": 0})
    for name in ("retrieval.k:", "retrieval.kk:", "sead:", "llm.samples:"):
        assert name in str(caught.value)


@pytest.mark.parametrize("dotted", ["retrieval.j", "nowhere.k", "a.b.c", "retrieval.k.l"])
def test_an_unknown_override_is_named(dotted):
    with pytest.raises(SettingsError, match=r"no such setting|expected its settings|valid integer"):
        resolve_settings({}, {dotted: 1})


def test_an_override_of_a_section_that_is_no_mapping_is_refused():
    with pytest.raises(SettingsError, match="retrieval: expected its settings below it"):
        resolve_settings({"retrieval": 3}, {"retrieval.k": 1})


@pytest.mark.parametrize(
    "url", ["http://localhost:8000/v1", "https://api.example.org", "http://[::1]:80/v1"]
)
def test_a_base_url_is_taken_as_it_is(url):
    assert resolve_settings({}, {"llm.base_url": url}).llm.base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@example.org/v1",
        "https://hunter2@example.org/v1",
        "https://example.org/v1?api_key=hunter2",
        "https://example.org/v1#hunter2",
        "hunter2.example.org/v1",
        ["https://user:hunter2@example.org/v1"],
        {"url": "https://user:hunter2@example.org/v1"},
    ],
)
def test_a_base_url_with_a_secret_is_refused_and_not_repeated(url):
    with pytest.raises(SettingsError, match=r"llm\.base_url") as caught:
        resolve_settings({"llm": {"base_url": url}})
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_key_in_a_config_is_refused_and_not_repeated():
    with pytest.raises(SettingsError, match=r"llm\.api_key: no such setting") as caught:
        resolve_settings({"llm": {"api_key": "hunter2"}})
    assert "hunter2" not in str(caught.value)


def test_a_config_file_is_read(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text("retrieval:\n  k: 3\n", encoding="utf-8")
    assert read_config(path) == {"retrieval": {"k": 3}}
    path.write_text("# nothing yet\n", encoding="utf-8")
    assert read_config(path) == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [1", "not valid YAML"),
        (b"- a\n", "expected a mapping of sections, found list"),
        (b"text", "expected a mapping of sections, found str"),
        (b"\xff\xfe\xff", "cannot be read"),
        (None, "no such config file"),
    ],
)
def test_an_unusable_config_file_is_named(tmp_path, content, said):
    path = tmp_path / "my.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        read_config(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_a_dotted_name_reaches_as_deep_as_settings_lie():
    config = {"retrieval": {"k": 3, "only": {"speakers": ["A"]}}}
    found = resolve_settings(config, {"retrieval.only.shortest": 2}).retrieval
    assert (found.k, found.only.speakers, found.only.shortest) == (3, ("A",), 2)
    assert config == {"retrieval": {"k": 3, "only": {"speakers": ["A"]}}}
    with pytest.raises(SettingsError, match=r"retrieval\.k: expected its settings below it"):
        resolve_settings(config, {"retrieval.k.more": 2})

import itertools

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.ablation.design import read_design
from ragemo.errors import SettingsError
from tests.ablation.worlds import design


def overrides(cells):
    return [dict(cell.overrides) for cell in cells]


def test_the_short_form_is_an_axis_of_one_setting(tmp_path):
    found = design(tmp_path, {"retrieval.k": [0, 4]})
    assert overrides(found.cells) == [{"retrieval.k": 0}, {"retrieval.k": 4}]
    assert [cell.name for cell in found.cells] == ["retrieval.k=0", "retrieval.k=4"]
    assert [cell.settings.retrieval.k for cell in found.cells] == [0, 4]


def test_a_value_may_move_several_settings_and_the_last_axis_moves_fastest(tmp_path):
    all_turns = {"label": "all", "prompt.context": None, "retrieval.context_length": 1000}
    axes = [
        {"name": "depth", "settings": ["retrieval.k", "retrieval.neighbours"], "values": [1, 2]},
        {"name": "context", "settings": "prompt.context", "values": [3, all_turns]},
    ]
    found = design(tmp_path, axes, [{"name": "zero", "prompt.template": "zero-shot"}])
    assert [cell.name for cell in found.cells] == [
        *("depth=1, context=3", "depth=1, context=all"),
        *("depth=2, context=3", "depth=2, context=all", "zero"),
    ]
    second = found.cells[3]
    assert second.values == {"depth": "2", "context": "all"}
    assert (second.settings.retrieval.k, second.settings.retrieval.neighbours) == (2, 2)
    assert (second.settings.prompt.context, second.settings.retrieval.context_length) == (
        None,
        1000,
    )
    assert found.cells[4].values == {}
    assert [axis.labels for axis in found.axes] == [("1", "2"), ("3", "all")]


def test_null_is_called_default_only_where_it_is_the_default(tmp_path):
    both = [{"name": "n", "settings": ["prompt.context", "retrieval.neighbours"], "values": [None]}]
    for axes, name in (
        ({"prompt.context": [None]}, "prompt.context=null"),
        ({"llm.give_up_after": [None]}, "llm.give_up_after=null"),
        ({"retrieval.neighbours": [None]}, "retrieval.neighbours=default"),
        ({"retrieval.only.longest": [None]}, "retrieval.only.longest=default"),
        (both, "n=null"),
    ):
        assert [cell.name for cell in design(tmp_path, axes).cells] == [name]


def test_a_name_is_on_one_line(tmp_path):
    label = {"label": "all\nof it", "prompt.context": None}
    axes = [{"name": "the\nname", "settings": "prompt.context", "values": [1, label]}]
    axes.append({"name": "t", "settings": "prompt.template", "values": ["a\r\nb"]})
    found = design(tmp_path, axes, [{"name": "further\u2028cell\n"}])
    assert [cell.name for cell in found.cells] == [
        *("the name=1, t=a b", "the name=all of it, t=a b", "further cell")
    ]
    assert [(axis.name, axis.labels) for axis in found.axes] == [
        *(("the name", ("1", "all of it")), ("t", ("a b",)))
    ]
    with pytest.raises(SettingsError, match="cell 1 needs a text as its name"):
        design(tmp_path, cells=[{"name": "\n"}])


@settings(deadline=None, max_examples=15)
@given(
    st.lists(
        st.sampled_from(
            ["retrieval.k", "prompt.context", "prompt.max_tokens", "llm.samples", "seed"]
        ),
        min_size=1,
        max_size=4,
        unique=True,
    ),
    st.data(),
)
def test_a_grid_has_every_combination_once(tmp_path_factory, names, data):
    values = st.lists(st.integers(1, 50), min_size=1, max_size=4, unique=True)
    axes = {name: data.draw(values) for name in names}
    found = design(tmp_path_factory.mktemp("grid"), axes)
    wanted = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]

    # YAML writes an axis's name in alphabetical order, so the grid's order may be another.
    def cells(found):
        return sorted(sorted(one.items()) for one in found)

    assert cells(overrides(found.cells)) == cells(wanted)


@pytest.mark.parametrize(
    ("axes", "cells", "said"),
    [
        (
            {"retrieval.k": [0, -1]},
            [],
            ["axis 'retrieval.k', value 2: retrieval.k: ", "greater than or equal to 0, found -1"],
        ),
        ({"retrieval.depth": [1]}, [], ["axis 'retrieval.depth', value 1: ", "no such setting"]),
        ({"index.embedder": ["a", "b"]}, [], ["index.embedder cannot vary", "one index for each"]),
        ({"limit": [1, 2]}, [], ["limit cannot vary", "--limit"]),
        ({"corpus.format": ["meld"]}, [], ["corpus.format cannot vary"]),
        (
            {"corpus": [{"segmentation": "baseline"}]},
            [],
            ["corpus cannot vary", "the same utterances", "as corpus.NAME"],
        ),
        ((), [{"name": "a", "corpus": {"transcript": "x"}}], ["cell 'a': corpus cannot vary"]),
        ((), [{"name": "a", "index": {"precision": "fp32"}}], ["cell 'a': index cannot vary"]),
        (
            {"retrieval.only": [{"shortest": 2}], "retrieval.only.shortest": [1, 2]},
            [],
            ["moves retrieval.only.shortest, and so does another axis"],
        ),
        ({"retrieval.k": [1, 1]}, [], ["axis 'retrieval.k'", "two values are called '1'"]),
        ([{"name": "a", "values": [1]}], [], ["axis 'a'", "value 1 belongs to no setting"]),
        ([{"name": "a", "values": [{"label": "x"}]}], [], ["value 'x' moves no setting"]),
        ([{"name": "a", "settings": "seed", "valeus": [1]}], [], ["axes.0.valeus", "no such key"]),
        (
            [{"name": n, "settings": "seed", "values": [1, 2]} for n in "ab"],
            [],
            ["axis 'b' moves seed, and so does another axis"],
        ),
        ((), [{"retrieval.k": 1}], ["cell 1 needs a text as its name"]),
        ((), [{"name": "a"}, {"name": "a"}], ["two cells are called 'a'"]),
        (
            {"retrieval.k": [0, 4]},
            [{"name": "again", "retrieval.k": 4}],
            ["cells 'retrieval.k=4' and 'again' have the same settings"],
        ),
        ((), [{"name": "a", "llm.mode": "loud"}], ["cell 'a'", "llm.mode"]),
        ((), [], ["neither axes nor cells"]),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(tmp_path, axes, cells, said):
    with pytest.raises(SettingsError) as caught:
        design(tmp_path, axes, cells)
    for words in [str(tmp_path / "ablation.yaml"), *said]:
        assert words in str(caught.value)


@pytest.mark.parametrize(
    "axes",
    [
        {"llm.base_url": ["http://localhost:1/v1", "https://me:hunter2@host/v1"]},
        {"llm.base_url": ["https://host/v1?key=hunter2", "https://host/v1?key=hunter2"]},
        {"llm.base_url": "https://me:hunter2@host/v1"},
        {"llm": [{"base_url": "https://me:hunter2@host/v1"}]},
        [{"name": "url", "values": ["https://me:hunter2@host/v1"]}],
    ],
)
def test_a_password_in_an_address_is_not_repeated(tmp_path, axes):
    with pytest.raises(SettingsError) as caught:
        design(tmp_path, axes)
    assert str(tmp_path / "ablation.yaml") in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_config_without_an_ablation_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({"seed": 1}), encoding="utf-8")
    with pytest.raises(SettingsError, match="no section `ablation`"):
        read_design(tmp_path / "a.yaml")


def test_an_override_goes_before_the_file_and_may_not_name_what_varies(tmp_path):
    found = design(tmp_path, {"retrieval.k": [1]}, overrides={"seed": 7, "voting.checks": 5})
    assert (found.cells[0].settings.seed, found.cells[0].settings.voting.checks) == (7, 5)
    with pytest.raises(SettingsError, match="which is also given for all cells"):
        design(tmp_path, {"retrieval.k": [1]}, overrides={"retrieval.k": 3})
    with pytest.raises(SettingsError, match=r"it sets retrieval\.k, which is also given"):
        design(tmp_path, {"retrieval": [{"memory": 1}]}, overrides={"retrieval.k": 3})


def test_a_setting_may_be_a_mapping_and_a_section_without_what_is_fixed_may_be_named(tmp_path):
    values = [{"mmr": {"relevance": 0.2}}, {"mmr": {"relevance": 0.8}}]
    found = design(tmp_path, {"retrieval.options": values})
    assert [cell.settings.retrieval.options for cell in found.cells] == values
    found = design(tmp_path, cells=[{"name": "long", "retrieval.only": {"shortest": 9}}])
    assert found.cells[0].settings.retrieval.only.shortest == 9

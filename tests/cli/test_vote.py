"""`ragemo vote`, `ragemo calibrate`, and what `predict` says of its voters."""

import json
from pathlib import Path

import pytest


@pytest.fixture
def run(command, test_file, index):
    done = command("predict", test_file, "--index", index, "--llm", "none", "--out", "run")
    assert done.code == 0, done.err
    return Path("run")


def ids_of(folder):
    lines = (folder / "predictions.csv").read_text().splitlines()[1:]
    return [line.split(",")[0] for line in lines]


def test_voters_and_pool_by_flag(command, run, index, test_file):
    done = command(
        *("predict", test_file, "--index", index, "--llm", "none", "--out", "two"),
        *("--voters", "probe, words", "--pool", "mean", "--dialogue", "none"),
    )
    assert done.code == 0, done.err
    assert "weights: probe" in done.err
    assert "label sets" not in done.err
    panel = json.loads(Path("two/panel.json").read_text())["parts"][0]["panel"]
    assert (panel["pool"], sorted(panel["weights"])) == ("mean", ["probe", "words"])
    wrong = command(
        *("predict", test_file, "--index", index, "--llm", "none", "--out", "three"),
        *("--voters", "probe,oracle"),
    )
    assert wrong.code == 2
    assert "there is no voter 'oracle'; there are neighbours, probe, words" in wrong.err
    assert not Path("three").exists()


def test_another_system_s_file_joins_and_what_is_odd_is_told(command, run, index, test_file):
    ids = ids_of(run)
    Path("audio.csv").write_text(
        "id,label\n" + "".join(f"{name},sad\n" for name in reversed(ids[2:])) + "stranger,ang\n"
    )
    done = command(
        *("predict", test_file, "--index", index, "--llm", "none", "--out", "joined"),
        *("--ballots", "audio.csv"),
    )
    assert done.code == 0, done.err
    assert "'audio' has no row on 2 of the" in done.err
    assert "passed over: 1 ('stranger')" in done.err
    assert "by agreement" in done.err
    assert "note: label sets are left out" in done.err
    named = command("vote", "run", "face=audio.csv", "--index", index, "--out", "voted")
    assert named.code == 0, named.err
    weights = json.loads(Path("voted/panel.json").read_text())["parts"][0]["panel"]["weights"]
    assert set(weights) == {"neighbours", "probe", "words", "face"}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("id,label\nnobody,sad\n", "none of its ids is to be predicted"),
        ("id,label\nSes,blue\n", "neu, hap, sad, ang"),
        ("name,label\nSes,sad\n", "expected"),
        ("", "audio.csv"),
    ],
)
def test_a_file_that_cannot_join_is_one_message(command, run, index, content, complaint):
    Path("audio.csv").write_text(content)
    done = command("vote", "run", "audio.csv", "--index", index, "--out", "voted")
    assert done.code == 2
    assert complaint in done.err
    assert "Traceback" not in done.err
    assert not Path("voted").exists()


def test_a_file_alone_needs_the_corpus(command, run, index, test_file):
    Path("text.csv").write_text("id,label\n" + "".join(f"{name},sad\n" for name in ids_of(run)))
    done = command("vote", "text.csv", "--index", index, "--out", "voted")
    assert (done.code, "give --data" in done.err) == (2, True)
    done = command("vote", "text.csv", "--data", test_file, "--index", index, "--out", "voted")
    assert done.code == 0, done.err
    assert ids_of(Path("voted")) == ids_of(run)
    done = command("vote", "text.csv", "--data", test_file, "--out", "unaided")
    assert done.code == 0, done.err
    assert {
        line.split(",")[1] for line in Path("unaided/predictions.csv").read_text().splitlines()[1:]
    } == {"sad"}


def test_calibrate_then_refuse_what_it_was_fitted_on(command, train, index, run):
    done = command("predict", train, "--index", index, "--llm", "none", "--out", "own")
    assert done.code == 0, done.err
    done = command("calibrate", "own", "--out", "weights.json")
    assert done.code == 0, done.err
    assert "weights: neighbours" in done.out
    assert "weighted F1:" in done.out
    done = command("calibrate", "own", "--out", "weights.json")
    assert (done.code, "weights.json is there already; --overwrite" in done.err) == (2, True)
    assert command("calibrate", "own", "--out", "weights.json", "--overwrite").code == 0
    done = command("vote", "run", "--weights", "weights.json", "--out", "calibrated")
    assert done.code == 0, done.err
    refused = command("vote", "own", "--weights", "weights.json", "--index", index, "--out", "x")
    assert (refused.code, "was fitted on" in refused.err) == (2, True)
    missing = command("vote", "run", "--weights", "nowhere.json", "--out", "y")
    assert (missing.code, "ragemo calibrate RUN --out nowhere.json" in missing.err) == (2, True)


def test_what_is_left_to_a_person(command, test_file, index):
    done = command(
        *("predict", test_file, "--index", index, "--llm", "none", "--out", "run"),
        *("--abstain-below", "0.99"),
    )
    assert "left to a person" in done.out
    assert Path("run/predictions.csv").read_text().count(",yes\n") > 0
    review = Path("run/review.csv").read_text(encoding="utf-8-sig").splitlines()
    assert len(review) == 1 + len(ids_of(Path("run")))
    scored = command("score", "run")
    assert "Abstained on" in scored.out


def test_what_nobody_said_can_be_left_out_by_unit(command, train, index):
    for unit in ("dialogue", "session"):
        done = command(
            *("predict", train, "--index", index, "--llm", "none", "--out", unit),
            *("--leave-out", unit),
        )
        if unit == "session":  # the first dialogues are of one session only
            assert done.code in (0, 2)
            continue
        assert done.code == 0, done.err
        assert len(json.loads(Path(unit, "panel.json").read_text())["parts"]) > 1
    assert command("predict", train, "--leave-out", "planet", "--out", "z").code == 2


def test_a_vote_shuts_out_what_the_run_shut_out_unless_told_otherwise(command, test_file, index):
    chosen = "retrieval.only={labels: [sad, ang]}"
    first = ("predict", test_file, "--index", index, "--llm", "none", "--limit", 12)
    assert command(*first, "--set", chosen, "--out", "some").code == 0
    assert command("vote", "some", "--index", index, "--out", "again").code == 0
    assert (
        command("vote", "some", "--index", index, "--set", "retrieval.only={}", "--out", "all").code
        == 0
    )
    said = {name: Path(name, "predictions.csv").read_text() for name in ("some", "again", "all")}
    assert said["some"] == said["again"] != said["all"]


def test_a_vote_tells_that_transcripts_disagree_as_the_run_does(command, test_file, index):
    rows = json.loads(Path(test_file).read_text())
    heard = next(row for row in rows if row["need_prediction"] == "yes")
    heard |= {"whispertiny": "quite another thing", "w2v2960": "rhubarb", "hubertlarge": "hm"}
    Path("heard.json").write_text(json.dumps(rows))
    first = ("predict", "heard.json", "--index", index, "--llm", "none", "--out", "run")
    assert command(*first).code == 0
    assert command("vote", "run", "--index", index, "--out", "again").code == 0
    tables = [Path(name, "review.csv").read_text() for name in ("run", "again")]
    assert tables[0] == tables[1]
    assert "transcripts disagree" in tables[0]

"""`ragemo calibrate`: fit the vote on a run whose gold labels are known."""

from pathlib import Path
from typing import Annotated

import typer

from ragemo.cli.console import tell
from ragemo.cli.options import Assignments, Config, Overwrite, Voters


def calibrate(
    run: Annotated[Path, typer.Argument(help="A finished run with gold labels.")],
    out: Annotated[Path, typer.Option(help="The file to write (JSON).")],
    pool: Annotated[str | None, typer.Option(help="log, mean or dawid-skene.")] = None,
    voters: Voters = None,
    config: Config = None,
    set_: Assignments = None,
    bootstrap: Annotated[int, typer.Option(min=1, help="Bootstrap samples.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Fit weights, temperature and prior strength, and say what that gained elsewhere.

    The dialogues of the run may not be scored with the result: `predict` and `vote` refuse it.
    """
    from ragemo.cli.settings import settings_and_paths
    from ragemo.files import check_replaceable
    from ragemo.pipeline import calibrate as fit
    from ragemo.runs.run import Run

    opened = Run.open(run)
    check_replaceable(out, overwrite=overwrite, read=opened.path.iterdir())
    settings, _ = settings_and_paths(
        config, {"pool": pool, "voters": voters}, set_ or (), reads={"voting"}
    )
    found = fit(opened, settings.voting, samples=bootstrap, seed=seed)
    found.write(out)
    weights = ", ".join(f"{voter} {w:.2f}" for voter, w in sorted(found.panel.weights.items()))
    tell(f"{out}: fitted on {found.gain['utterances']} utterances of {run}")
    tell(
        f"weights: {weights}; prior correction {found.panel.correction:g}, "
        f"temperature {found.panel.temperature:g}"
    )
    tell("gain over the run's own verdicts on dialogues it was not fitted on, in points:")
    for name, words in (("weighted_f1", "weighted F1"), ("uar", "UAR"), ("accuracy", "accuracy")):
        one = found.gain[name]
        bounds = (
            "" if one["low"] is None else f" [{100 * one['low']:+.1f}, {100 * one['high']:+.1f}]"
        )
        tell(f"  {words}: {100 * one['difference']:+.1f}{bounds}")

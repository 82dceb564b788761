"""The stages in order: look, retrieve, prompt, ask, decide.

make_plan   transcripts, windows, neighbours, the index's own votes, prompts    (plan)
estimate    what asking them would cost                                         (cost)
carry_out   ask, each answer on disk before the next; then weigh and decide     (carry_out)
predict     all of it
vote        decide anew on ballots that are there already, asking nobody        (pooling)
calibrate   fit the weights on a run whose gold labels are known                  (calibrating)
"""

from __future__ import annotations

from ragemo.pipeline.calibrating import calibrate
from ragemo.pipeline.cost import Estimate, estimate
from ragemo.pipeline.plan import Plan, make_plan
from ragemo.pipeline.pooling import vote
from ragemo.pipeline.predicting import carry_out, predict
from ragemo.pipeline.questions import Question

__all__ = [
    "Estimate",
    "Plan",
    "Question",
    "calibrate",
    "carry_out",
    "estimate",
    "make_plan",
    "predict",
    "vote",
]

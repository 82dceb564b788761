"""What an endpoint does without a word that people should know: found in its answers.

| found | how |
| --- | --- |
| a constraint passed over | an answer that ended by itself is no label, or no JSON object |
| `n` passed over | fewer answers come than one call asked for |
| no log-probabilities | an answer comes without those that were asked for |
| another model | the answer names another one than was asked for |
| a temperature or a seed that may not be said | from what was learned, see `capabilities.py` |

None of it makes a call fail: gateways rename models, and dated snapshots answer for their family.
"""

from __future__ import annotations

from ragemo.labels import LabelSet
from ragemo.llm.abilities.capabilities import Capabilities
from ragemo.llm.replies import Reply
from ragemo.llm.requests import Call, constraint_for
from ragemo.llm.sending.endpoint import Endpoint

MOST_MODELS = 3
"""Other models that are named."""


class Remarks:
    """Collects what is found; each thing is told once, with how often it was seen.

    Args:
        endpoint: who is asked.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._not_held: dict[str, tuple[int, int]] = {}  # constraint: answers passing over it, all
        self._fewer: tuple[int, int] | None = None  # answers that came, were asked for
        self._without_probabilities = 0
        self._with_probabilities = 0
        self._others: dict[str, None] = {}

    def hear(self, call: Call, form: str, labels: LabelSet, reply: Reply) -> None:
        """Look into a reply.

        Args:
            call: what was asked.
            form: of the answers, one of `FORMS`.
            labels: the label set.
            reply: what came.
        """
        constraint = constraint_for(form, call.able.constraint)
        if constraint != "none":
            not_held, seen = self._not_held.get(constraint, (0, 0))
            self._not_held[constraint] = (
                not_held + reply.not_held(constraint, labels),
                seen + len(reply.ended),
            )
        if 0 < len(reply.answers) < call.n:
            self._fewer = (len(reply.answers), call.n)
        if call.able.top_logprobs:
            missing = sum(not tokens for tokens in reply.tokens)
            self._without_probabilities += missing
            self._with_probabilities += len(reply.tokens) - missing
        if reply.model and reply.model != self._endpoint.model and len(self._others) < MOST_MODELS:
            self._others.setdefault(self._endpoint.brief(reply.model))

    def sentences(self, able: Capabilities) -> tuple[str, ...]:
        """What was found, for people.

        Args:
            able: what the endpoint was found to be able to do.
        """
        place, told = self._endpoint.url, []
        what = {"grammar": "a grammar and a list of choices", "json_schema": "a JSON schema"}
        no = {"grammar": "no label", "json_schema": "no JSON object"}
        for constraint, (not_held, seen) in self._not_held.items():
            if not_held:
                instead = {
                    "json_schema": "; answers are held by a JSON schema instead",
                    "none": "; answers are not held to the labels",
                }
                # An object is held by a schema where labels alone are held by a grammar, still.
                after = "" if able.constraint == constraint else instead.get(able.constraint, "")
                told.append(
                    f"{place} passes over {what[constraint]}: {not_held} of {seen} answers are "
                    f"{no[constraint]}{after}"
                )
        if self._fewer is not None:
            came, asked = self._fewer
            told.append(
                f"{place} gave {came} of {asked} answers that one call asked for; where the others "
                "are needed, further calls pay for the prompt again"
            )
        if self._without_probabilities:
            every = self._without_probabilities + self._with_probabilities
            told.append(
                f"{place} gave no log-probabilities with {self._without_probabilities} of {every} "
                "answers; each of those counts as its label alone"
            )
        if self._others:
            told.append(
                f"{place} says that {', '.join(self._others)} answered, where "
                f"{self._endpoint.model} was asked for"
            )
        if not able.temperature:
            told.append(f"{place} takes no temperature; answers are drawn at one of its own")
        if not able.seed:
            told.append(f"{place} takes no seed; asked again, it may answer otherwise")
        return tuple(told)

"""Ask by file instead of call by call: OpenAI's Batch API, and runners that read its files.

    rounds     the next step of every inquiry at once, until none needs anything
    desk       what of a round is known already, what is asked, what came of it
    lines      a request as a line of a file, and what comes back as one
    folder     the files and how far each one is; every step on disk before the next
    courier    brings files to an endpoint and fetches the outcome
    handover   leaves files for another runner, such as `vllm run-batch`
    api        the endpoint's files and batches

Nothing is submitted twice: a request's `custom_id` says what determines its answer, and what was
answered, or is under way, is not asked for again, however often a run is stopped.
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_SUBMISSIONS = 3
"""How often a request is submitted that brings no answer, before it has failed."""

LONGEST_POLL = 60.0
"""Seconds between two looks at a batch, at most."""


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How a run asks by file.

    Attributes:
        files_only: write the files for another runner and stop, instead of submitting them.
        wait: whether to wait for the outcome, or to stop once all is submitted.
        poll: seconds between two looks at a batch; shorter ones come first.
    """

    files_only: bool = False
    wait: bool = True
    poll: float = LONGEST_POLL

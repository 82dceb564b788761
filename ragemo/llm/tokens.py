"""How long a text is for a model whose tokenizer is not at hand."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from ragemo.types import Message


def estimate_tokens(text: str) -> int:
    """About how many tokens a text has: rather too many than too few.

    A run of letters and digits counts one token per 4 bytes begun, a run of other signs one per
    2. On English dialogue that is 18 to 19 % more than SmolLM2's tokenizer (49,152 tokens)
    counts; one utterance in 16 comes out too low, by a token or two. Larger vocabularies need
    fewer tokens still.
    """
    return sum(
        math.ceil(len(run.encode("utf-8", "replace")) / (4 if run[0].isalnum() else 2))
        for run in re.findall(r"\w+|[^\w\s]+", text)
    )


def estimate_prompt_tokens(messages: Sequence[Message]) -> int:
    """About how many tokens a prompt has.

    Five tokens are added for each message and three for the opening of the answer, as much as
    the usual chat formats take.
    """
    return 3 + sum(5 + estimate_tokens(message.content) for message in messages)

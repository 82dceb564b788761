"""A language model behind an API that speaks OpenAI's chat completions.

One class serves OpenAI itself and every compatible server (vLLM, Ollama, llama.cpp, gateways):
only the base URL differs. What an endpoint can do is learned from its answers and remembered:

| what is tried first | what shows that it does not work | what is done then |
| --- | --- | --- |
| answers constrained to the labels | refused, or answered as if it had not been said | the next constraint, then none |
| `n` answers in one call | refused (llama.cpp: more than it has slots) | half as many, down to one |
| | ignored (Ollama): fewer answers come | as many as came; further calls for the rest |
| `temperature`, `seed` | refused (reasoning models) | left out |
| `max_tokens` | refused in favour of `max_completion_tokens` | that one |
| room for the label alone | it was used up by thoughts, and no answer came | room for thoughts too |

No constraint is trusted: every answer is read as if there had been none.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from ragemo.errors import EndpointError, SettingsError
from ragemo.files import quoted_json
from ragemo.labels import Label, LabelSet
from ragemo.llm.answers import read_label, without_thinking
from ragemo.llm.prices import find_price
from ragemo.types import Ballot, Message, Prompt, Usage

if TYPE_CHECKING:
    import openai
    from tenacity import RetryCallState

"""One HTML file that needs nothing else: no network, no other file, no script of anybody else's.

A page is plain data and the scripts that show it. The data stand in blocks of JSON, which no
browser runs, with everything escaped that could end such a block. A Content-Security-Policy
allows the page's own script and style, by their hashes, and nothing else; it also forbids to
make elements of texts (Trusted Types), so that data can only ever be shown as text.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

RUN = (
    "base.js",
    "turns.js",
    "plots.js",
    "scores.js",
    "filters.js",
    "conversations.js",
    "reasons.js",
    "turn.js",
    "compare.js",
    "page.js",
)
"""The scripts of a run's page, in the order in which they stand in it."""

LIMITED = (*RUN, "limited.js")
"""Those of a run's page that does not show all of its dialogues."""

ABLATION = ("base.js", "plots.js", "grids.js", "cells.js", "ablation.js")
"""The scripts of an ablation's page."""

_ESCAPES = {
    ord("<"): "\\u003c",
    ord(">"): "\\u003e",
    ord("&"): "\\u0026",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}


def render(
    data: Mapping[str, Any],
    blocks: Sequence[Mapping[str, Any]] = (),
    scripts: Sequence[str] = RUN,
) -> str:
    """The page.

    Args:
        data: what the page shows at once.
        blocks: what it unpacks when it is asked for, told by their numbers.
        scripts: those that show it.
    """
    script = "'use strict';\n(() => {\n" + "\n".join(map(_asset, scripts)) + "\n})();\n"
    style = _asset("page.css")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )
    packed = (
        f'<script type="text/plain" id="block-{number}">{pack(block)}</script>\n'
        for number, block in enumerate(blocks)
    )
    parts = {
        "{{policy}}": policy,
        "{{style}}": style,
        "{{data}}": embedded(data),
        "{{blocks}}": "".join(packed),
        "{{script}}": script,
    }
    page = _asset("page.html")
    pieces = []
    for name, content in parts.items():  # in their order in the file; data are never searched
        before, _, page = page.partition(name)
        pieces += [before, content]
    return "".join([*pieces, page])


def embedded(data: Any) -> str:
    """Data as JSON that can stand inside a script element: nothing in it ends one."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # A half of a surrogate pair cannot be written; it is only a name's or a text's damage.
    return text.translate(_ESCAPES).encode("utf-8", "replace").decode("utf-8")


def pack(data: Any) -> str:
    """Data as gzipped JSON in base64; the same data give the same text."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode("ascii"), mtime=0)).decode("ascii")


def _asset(name: str) -> str:
    return files("ragemo").joinpath("report/assets", name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"

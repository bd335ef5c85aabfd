"""A shard in which every text tries to run as a script, act as markup, or break the page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.support.documents import entry, info, jpeg, write_tar

MARK = "window.hostile=1"
TEXTS = (
    f"<script>{MARK}</script>",
    f'<img src=x onerror="{MARK}">',
    f"<svg onload='{MARK}'></svg>",
    f'"><iframe srcdoc="<script>parent.{MARK}</script>"></iframe>',
    f"[click](javascript:{MARK}) and <a href='javascript:{MARK}'>here</a>",
    "# Heading\n\n**bold** ![picture](http://example.org/pixel.png) :red[red] :material/bolt:",
    r"$\href{javascript:alert(1)}{x}$ $$\int_0^1$$ \(x\)",
    "{{constructor.constructor('" + MARK + "')()}} ${" + MARK + "} %{y} <b>%{x}</b><extra></extra>",
    f"data:text/html,<script>{MARK}</script> ![x](data:text/html;base64,PHNjcmlwdD4=)",
    f'<a href="javascript:{MARK}">%{{text}}</a><br><sup>{MARK}</sup>',  # Plotly's own markup
    "=cmd|'/C calc'!A0",
    "control \x00\x07\x1b[31m bidi \u202egnp.exe\u202c end",
    f"</style></div></textarea><style>body{{display:none}}</style><script>{MARK}</script>",
)


DOCUMENTS = 5


def write_hostile_obelics(folder: Path) -> Path:
    """Write documents of OBELICS whose texts, names, URLs and errors are hostile."""
    address = f"javascript:{MARK}//{TEXTS[1]}"

    def row(urls: list[str], names: list[str]) -> dict[str, object]:
        facts = [{"document_url": address, "src": one, "formatted_filename": name}
                 for one, name in zip(urls, names, strict=True)]  # fmt: skip
        texts = "\n\n".join(TEXTS)
        return {
            "texts": [None] * len(urls) + [texts],
            "images": [*urls, None],
            "metadata": json.dumps([*facts, None]),
            "general_metadata": json.dumps({"url": address}),
        }

    rows: list[dict[str, object]] = [
        row([f"https://example.org/{text}" for text in TEXTS], list(TEXTS)),
        row([f"javascript:{MARK}", f'https://example.org/"><img src=x onerror="{MARK}">'],
            ["../../../etc/passwd", TEXTS[1]]),
        row([], []) | {"metadata": TEXTS[0]},
        row([], []) | {"texts": [{TEXTS[1]: TEXTS[2]}]},
    ]  # fmt: skip
    path = folder / "obelics.jsonl"
    path.write_text("".join(f"{json.dumps(one)}\n" for one in rows))
    return path


def write_hostile(folder: Path) -> Path:
    """Write the shard: a document whose key, address, sentences and image names are hostile."""
    n = len(TEXTS)
    rng = np.random.default_rng(1)
    matrix = (0.2 + 0.1 * rng.random((n, n)) + 0.2 * np.eye(n)).tolist()
    images = [
        entry(jpeg(12_000, 40), image_name=text, raw_url=f"javascript:{MARK}//{text}")
        for text in TEXTS[:-2]
    ]
    images.append(entry(b"<svg xmlns='http://www.w3.org/2000/svg' onload='x'/>" + b" " * 12_000))
    images.append(entry())
    sound = info(matrix[:-2], list(TEXTS), images[:-2], url=f"javascript:{MARK}//<b>{TEXTS[1]}</b>")
    lost = info(matrix, list(TEXTS), images, url=TEXTS[0])
    path = folder / "hostile <img src=x onerror=window.hostile=1> **b** $x$.tar"
    return write_tar(
        path,
        [
            ("k<img src=x onerror=hostile=1>**b**", sound),
            ("lost", lost),
            ("gpt", {"is_gpt": 1, "example": TEXTS[0], "image_map": {TEXTS[1]: TEXTS[2]}}),
            ("none", json.dumps(TEXTS[0]).encode()),
            ("=1+1;=2", info([[0.4, 0.1]], [{TEXTS[1]: [TEXTS[0]]}, TEXTS[10]], url="@SUM(1;=1)")),
        ],
    )

"""Findings packed into the page: each column once, repeated values once, so that thousands of rows stay small.

Values travel as JSON *texts*, never as numbers, so that the downloaded file has the very characters that
`Findings.to_json` writes: no integer above 2**53 is rounded and no 1.0 becomes 1.
"""

from __future__ import annotations

import json
from typing import Any

from ..findings import Findings


def pack(findings: Findings) -> dict[str, Any]:
    """One run as columns of JSON texts, and the order in which each row names its columns.

    `texts` of a column are its distinct values, `index` says which one a row has (absent where all rows have the
    first); `orders` are the distinct lists of columns that rows have, `order` says which one a row has.
    """
    records = findings.records()
    head = Findings((), findings.settings).to_json().removesuffix("[]\n}")
    number = {name: i for i, name in enumerate(findings.columns)}
    texts: list[dict[str, int]] = [{} for _ in number]
    index: list[list[int]] = [[] for _ in number]
    orders: dict[tuple[int, ...], int] = {}
    order = []
    for record in records:
        order.append(orders.setdefault(tuple(number[name] for name in record), len(orders)))
        for name, i in number.items():
            text = json.dumps(record[name], ensure_ascii=False, allow_nan=False) if name in record else None
            index[i].append(0 if text is None else texts[i].setdefault(text, len(texts[i])))
    columns = [
        {"name": json.dumps(name, ensure_ascii=False), "texts": list(texts[i])}
        | ({"index": index[i]} if any(index[i]) else {})
        for name, i in number.items()
    ]
    return {"head": head, "columns": columns, "orders": [list(o) for o in orders], "order": order}


def script_json(value: object) -> str:
    """JSON that can stand inside a `<script>` element: no `<`, so no end tag and no comment.

    >>> script_json({"caption": "</script>"})
    '{"caption":"\\\\u003c/script>"}'
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")

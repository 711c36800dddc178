"""Findings packed into the page: each column once, repeated values once, so that thousands of rows stay small.

Values travel as JSON *texts*, never as numbers, so that the downloaded file has the very characters that
`Findings.to_json` writes: no integer above 2**53 is rounded and no 1.0 becomes 1.
"""

from __future__ import annotations

import json
from typing import Any

from ..findings import Findings


def pack(findings: Findings) -> dict[str, Any]:
    """One run as columns of JSON texts; `index` is absent where a column is constant, -1 where a row lacks it."""
    records = findings.records()
    head = Findings((), findings.settings).to_json().removesuffix("[]\n}")
    columns = []
    for name in findings.columns:
        texts: dict[str, int] = {}
        index = [
            texts.setdefault(json.dumps(record[name], ensure_ascii=False, allow_nan=False), len(texts))
            if name in record
            else -1
            for record in records
        ]
        column: dict[str, Any] = {"name": json.dumps(name, ensure_ascii=False), "texts": list(texts)}
        if any(index):
            column["index"] = index
        columns.append(column)
    return {"rows": len(records), "head": head, "columns": columns}


def script_json(value: object) -> str:
    """JSON that can stand inside a `<script>` element: no `<`, so no end tag and no comment.

    >>> script_json({"caption": "</script>"})
    '{"caption":"\\\\u003c/script>"}'
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")

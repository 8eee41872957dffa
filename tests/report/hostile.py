"""Results with hostile names and values, as pages get them."""

from __future__ import annotations

from typing import Any

HOSTILE = [
    "</script><script>window.hacked = 1</script>",
    '"><img src=x onerror="window.hacked = 1">',
    "<svg onload='window.hacked = 1'>",
    "'); window.hacked = 1; ('",
    "{{ 7 * 7 }} {% raw %} ${7*7} &lt;b&gt; &amp;",
    "</style></title><title>hacked</title><base href=//evil.example>",
    "<!-- <script> ]]>",
    "שלום עולם 😀",
    "line\nbreak\ttab \u2028 separator",
    "long " + "x" * 300,
]
_SKIPPED = [{"partition": HOSTILE[0], "cause": HOSTILE[1]}]


def _column(**more: Any) -> dict[str, Any]:
    return {
        "type": "double", "kind": "numeric", "drift": True, "certain": False, "method": "js",
        "method_note": HOSTILE[0],
        "distances": {"js": 0.3, "psi": 0.2, "missing": 0.01},
        "errors": {"js": 0.002, "psi": 0.0, "missing": 0.0}, "p_values": {"missing": 0.5},
        "threshold": 0.1, "p_value": 0.001, "adjusted_p_value": 0.004, "score": 3.0,
        "chart": {"kind": "numeric", "edges": [0, 1, 3, 7], "reference": [0.2, 0.3, 0.5],
                  "current": [0.6, 0.3, 0.1]},
        "bins": None, "nulls": {"reference": 0.01, "current": 0.02}, "new": [], "vanished": [],
        "categories": {"reference": 9, "current": 9000, "both": 0, "new": 9000, "vanished": 9,
                       "new_error": 70, "vanished_error": 0, "error": 70},
        "note": None, **more,
    }  # fmt: skip


def _categories() -> dict[str, Any]:
    share = [0.75 / len(HOSTILE)] * len(HOSTILE)
    chart = {"kind": "categorical", "values": HOSTILE, "reference": share, "current": share,
             "other": {"reference": 0.25, "current": 0.25}}  # fmt: skip
    return _column(type=HOSTILE[0], kind="categorical", chart=chart, note=HOSTILE[0],
                   new=HOSTILE, vanished=HOSTILE)  # fmt: skip


def comparison() -> dict[str, Any]:
    """As ``Comparison.to_dict()``."""
    made = [_column(), _categories()]
    explained = {name: {"change": -0.1, "share": None, "unseen": 0.5} for name in HOSTILE}
    changed = [{"column": n, "reference": n, "current": n, "compared": False} for n in HOSTILE]
    return {
        "drifted": True, "certain": True, "reference": HOSTILE[0], "current": HOSTILE[1],
        "rows": {"reference": 100, "current": 90}, "share_drifted": 1.0, "share": 0.0,
        "columns": {name: made[i % 2] for i, name in enumerate(HOSTILE)},
        "schema": {"added": HOSTILE, "removed": HOSTILE, "changed": changed},
        "importance": {"score": HOSTILE[0], "mean": {"reference": 0.1, "current": "NaN"},
                       "change": "NaN", "columns": explained,
                       "skipped": {"reference": 0, "current": 0}},
        "skipped": _SKIPPED,
    }  # fmt: skip


def wide_comparison(columns: int) -> dict[str, Any]:
    """Many columns of both kinds."""
    chart = {"kind": "categorical", "values": list("abcdef"), "reference": [1 / 6] * 6,
             "current": [1 / 6] * 6}  # fmt: skip
    made = [_column(), _column(type="string", kind="categorical", chart=chart)]
    named = {f"column_{i:04}": made[i % 2] for i in range(columns)}
    return {**comparison(), "columns": named}


def series(windows: int = 8) -> dict[str, Any]:
    """As ``Series.to_dict()``: the first window is the reference, the fourth has too few rows."""
    starts = [f"2024-01-{i + 1:02}T00:00:00+00:00" for i in range(windows)]
    distances = [None if i in (0, 3) else 0.02 if i < 5 else 0.5 for i in range(windows)]
    known = [d is not None for d in distances]
    column = {
        "type": HOSTILE[0], "method": "js", "threshold": 0.1, "drifted": True,
        "method_note": HOSTILE[0],
        "distance": distances, "error": [0.002 if k else None for k in known],
        "p_value": [0.01 if k else None for k in known],
        "adjusted_p_value": [0.02 if k else None for k in known],
        "drift": [d is not None and d > 0.1 for d in distances],
        "certain": [i < windows - 1 if k else None for i, k in enumerate(known)],
        "change_points": [{"index": 5, "start": starts[5], "end": None, "before": 0.02,
                           "after": 0.5}],
    }  # fmt: skip
    return {
        "rows": 1000, "over": HOSTILE[0], "window": HOSTILE[1], "reference": HOSTILE[2],
        "drifted": True,
        "windows": [{"start": s, "end": s, "rows": 9 if i == 3 else 100, "too_few": i == 3}
                    for i, s in enumerate(starts)],
        "columns": dict.fromkeys(HOSTILE, column),
        "left_out": {"windows": 2, "exact": False, "rows": 9, "null_rows": 3}, "skipped": _SKIPPED,
    }  # fmt: skip


def slices() -> dict[str, Any]:
    """As ``Slices.to_dict()``."""
    cell = {"method": "ks", "method_note": HOSTILE[1], "threshold": 0.05, "distance": 0.4,
            "error": 0.01, "p_value": 0.0, "adjusted_p_value": 0.0, "drift": True,
            "certain": False, "score": 10.0}  # fmt: skip
    made = [
        {"value": value, "rows": {"reference": 0 if few else 40, "current": 50}, "too_few": few,
         "drifted": not few, "score": 0.0 if few else 10.0,
         "columns": {} if few else dict.fromkeys(HOSTILE, cell)}
        for value, few in zip([*HOSTILE, None, ""], [False] * len(HOSTILE) + [True] * 2,
                              strict=True)
    ]  # fmt: skip
    left = {"groups": 3, "exact": False, "rows": {"reference": 4, "current": 5}}
    return {"reference": HOSTILE[0], "current": HOSTILE[1], "by": HOSTILE[2], "drifted": True,
            "slices": made, "new": [""], "vanished": HOSTILE, "left_out": left,
            "skipped": _SKIPPED}  # fmt: skip


def checked() -> dict[str, Any]:
    """As ``Checked.to_dict()``."""
    columns = [None, HOSTILE, *HOSTILE[2:]]
    findings = [
        {"rule": HOSTILE[0], "column": column, "what": what, "expected": HOSTILE,
         "found": {HOSTILE[0]: HOSTILE[1]}, "count": 3, "share": 0.03,
         "partitions": [{"partition": name, "count": 1} for name in HOSTILE], "more_partitions": 4,
         "examples": [{"row_id": 1, "value": HOSTILE[0]}, {"row_id": 2, "value": {HOSTILE[1]: 1}}],
         "severity": "warning" if i else "error"}
        for i, (column, what) in enumerate(zip(columns, HOSTILE, strict=True))
    ]  # fmt: skip
    return {"data": HOSTILE[0], "against": HOSTILE[1], "passed": False, "rows": 100,
            "findings": findings, "checked": {"columns": 6, "rules": 9},
            "skipped": _SKIPPED}  # fmt: skip


def profile() -> dict[str, Any]:
    """As ``Profile.to_dict()``: what the table tells, a nested path, an embedding, texts, gaps."""
    size = len(HOSTILE)
    matrix = [[1.0 if i == j else None if 1 in (i, j) else 0.5 for j in range(size)]
              for i in range(size)]  # fmt: skip
    pair = {"columns": HOSTILE[:2], "rows": 3}
    outlier = {"partition": HOSTILE[0], "column": HOSTILE[1], "statistic": HOSTILE[2],
               "value": HOSTILE[0], "typical": 1.0, "score": "Infinity"}  # fmt: skip
    table = {
        "rows": 9, "bytes": 1000, "partitions": 9,
        "correlation": {"columns": HOSTILE, "matrix": matrix, "strongest": [{**pair, "r": 0.5}],
                        "left_out": []},
        "missing_together": {"columns": HOSTILE, "counts": [], "always": [HOSTILE],
                             "pairs": [{**pair, "jaccard": 1.0, "phi": None}], "left_out": []},
        "class_balance": {"column": HOSTILE[0], "classes": [{"value": v, "count": 2}
                          for v in HOSTILE], "unlabelled": 1, "exact": False, "imbalance": None,
                          "entropy": 1.0, "evenness": 1.0},
        "partition_outliers": {"partitions": 9, "compared": 9, "found": [outlier], "more": 1},
    }  # fmt: skip
    vectors = {"dimension": 2, "count": 8, "nulls": 1, "nan": 1, "infinite": 0, "zeros": 0,
               "norm_min": 0.1, "norm_max": 1.0, "norm_mean": 0.5, "norm_std": 0.1,
               "means": [0.1, -0.1], "variances": [1.0, 0.0]}  # fmt: skip
    gap = {"start": HOSTILE[0], "end": HOSTILE[1], "seconds": 1e6}
    column = {
        "type": HOSTILE[0], "count": 9, "nulls": 1, "vectors": vectors,
        "text": {"count": 9, "empty": 1, "blank": 1, "padded": 1, "numeric": 1, "non_ascii": 1,
                 "invalid_utf8": 1, "bytes": 9, "characters": 9},
        "gaps": {"longest": [gap], "resolution": 60.0, "occupied": 0.5, "step": 1.0},
        "nested": {"columns": HOSTILE, "left_out": 2},
    }  # fmt: skip
    return {"rows": 9, "columns": dict.fromkeys(HOSTILE, column), "table": table}


def deduplicated() -> dict[str, Any]:
    """As ``Deduplicated.to_dict()`` of near duplicates, held against other tables."""
    values = {name: f"one two {name} three" for name in HOSTILE[:2]}
    members = [
        {"row": i, "similarity": alike, "table": table, "values": dict.fromkeys(values, other)}
        for i, (other, table, alike) in enumerate(
            zip(
                HOSTILE[:6], [None, *HOSTILE[:5]], [0.9, 1.0, None, 0.8, 0.99999, 0.81],
                strict=True,
            )
        )
    ]  # fmt: skip
    cluster = {"size": 12, "survivor": 3, "values": values, "table": HOSTILE[0],
               "members": members}  # fmt: skip
    pairs = [{"similarity": 0.81, "joined": joined, "rows": members[i : i + 2]}
             for joined in (True, False) for i in range(5)]  # fmt: skip
    return {
        "rows": 60_000, "clusters": 4_017, "duplicates": 6_143, "kept": 53_857, "on": HOSTILE,
        "method": HOSTILE[0], "dataset": HOSTILE[1], "version": 3, "committed": True,
        "columns": HOSTILE, "out": HOSTILE[2], "key_bytes": 9, "checked": 900, "accepted": 700,
        "precision": 7 / 9, "largest": [cluster, {**cluster, "values": {"x": ""}, "members": []}],
        "parameters": {"threshold": 0.7, "prefer": HOSTILE[0], "keep": "first", "verify": True,
                       "normalise": HOSTILE, HOSTILE[1]: {HOSTILE[2]: HOSTILE[3]}},
        "sizes": [[2, 2, 4000], [3, 3, 12], [1_000_001, 1 << 56, 5]],
        "similarities": [[0.8, 0.85, 20], [0.95, 1.0, 6123]],
        "against": [{"against": name, "clusters": 2, "rows": 3, "other_rows": 4}
                    for name in HOSTILE],
        "index": {"files": 9, "hashed": 2, "bytes": 1000, "compared": 5},
        "left_out": {"null": 3, HOSTILE[0]: 1, "examples": HOSTILE}, "notes": HOSTILE,
        "borderline": pairs, "skipped": _SKIPPED,
    }  # fmt: skip


def plain_profile() -> dict[str, Any]:
    """As ``Profile.to_dict()``: columns alone."""
    top = [{"value": value, "count": 9 - i, "error": 0} for i, value in enumerate(HOSTILE[:6])]
    column = {
        "type": "struct<" + HOSTILE[0] + ": int64>", "count": 50, "nulls": 5, "nan": 0,
        "min": HOSTILE[1], "max": HOSTILE[2], "distinct": 6, "distinct_exact": True,
        "quantiles": {"0.5": HOSTILE[3]}, "top": top, "top_exact": True,
        "histogram": {"edges": [], "counts": [], "below": 0, "above": 0},
        "lengths": {"unit": HOSTILE[0], "min": 1, "max": 9, "mean": 3.0, "total": 150},
    }  # fmt: skip
    return {"rows": 50, "columns": dict.fromkeys(HOSTILE, column)}


def job_run() -> dict[str, Any]:
    """As ``JobRun.to_dict()``."""
    profile = plain_profile()
    skipped = [{"partition": HOSTILE[0], "cause": HOSTILE[1]}]
    version = {
        "version": 2, "parent": "1", "job": HOSTILE[0], "message": HOSTILE[1], "rows": 40,
        "tags": HOSTILE, "at": HOSTILE[2], "bytes_written": 10, "software": HOSTILE[2],
        "spec": {"where": HOSTILE[0]},
    }  # fmt: skip
    cluster = {
        "size": 3, "survivor": 1, "values": {HOSTILE[0]: HOSTILE[1]}, "text": HOSTILE[2],
        "examples": [{"row_id": 1, HOSTILE[1]: HOSTILE[0]}],
    }  # fmt: skip
    dedup = {"rows": 50, "duplicates": 10, "kept": 40, "clusters": 4, "version": 2,
             "on": HOSTILE, "method": HOSTILE[0], "largest": [cluster] * 6}  # fmt: skip
    diff = {"before": HOSTILE[0], "after": HOSTILE[1], "added": 0, "removed": 10, "updated": 0,
            "columns_added": HOSTILE, "columns_removed": HOSTILE}  # fmt: skip
    results = {
        "create": {"dataset": HOSTILE[0], "version": 1, "rows": 50},
        "profile": {**profile, "skipped": skipped}, "dedup": dedup,
        "drop": {"version": 2, "rows": 40, "dropped": 1}, "tag": {"name": HOSTILE[0]},
        "log": {"versions": [version]}, "diff": diff, HOSTILE[0]: {},
    }  # fmt: skip
    io = {"bytes_read": 10, "bytes_written": 20, "requests": 1, "client_bytes": 5}
    steps = [{"verb": v, "seconds": 1.0, "io": io, "result": r} for v, r in results.items()]
    steps.insert(2, steps[1])
    return {"job": HOSTILE[0], "dataset": HOSTILE[1], "steps": steps, "io": io, "seconds": 2.0}

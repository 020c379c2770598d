"""Records worked by hand, a page made of them, and what stands in a page."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

from experiments.explore.page import pack, write_file, write_folder
from experiments.explore.series import Series, Source

HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>&lt;b&gt;</pre>'


def rollout(texts: list[str], reward: float | None = 0.0, **more: Any) -> dict[str, Any]:
    failed = reward == 0
    ended = "unfinished" if reward is None else "wrong outcome" if failed else "success"
    found = {"texts": texts, "reward": reward, "failed": failed, "ended": ended, "from": None}
    found |= {"tokens": [5] * len(texts), "logprobs": [-1.5] * len(texts), "named": []}
    return found | more


def visit(prompt: int, rollouts: list[Any], groups: list[Any], **more: Any) -> dict[str, Any]:
    found = {"prompt": prompt, "problem": f"p{prompt}", "question": f"question {prompt}"}
    found |= {"reference": "4", "text": f"Q: question {prompt}", "refused": []}
    return found | {"rollouts": rollouts, "groups": groups} | more


def group(rollouts: list[int], advantages: list[Any], **more: Any) -> dict[str, Any]:
    return {"rollouts": rollouts, "advantages": advantages, "parent": None, "step": None} | more


def with_reset() -> dict[str, Any]:
    """A failure whose step 1 was named, though step 2 was wrong first, and two suffixes."""
    named = [{"by": "FirstErrorReset", "step": 1, "localizes": True}]
    rollouts = [
        rollout(["two and two", " is four", " is five"], true=2, named=named),
        rollout(["two", " plus two is four"], 1.0),
        rollout([" is fish", " so five"], **{"from": [0, 1], "true": 0}),
        rollout([" is four"], 1.0, **{"from": [0, 1]}),
    ]
    signal = [[0.25, 0.5], [1.0]]
    return visit(
        0,
        rollouts,
        [
            group([0, 1], [-1.0, 1.0]),
            group([2, 3], [[-1.0, -0.5], 2.5], parent=0, step=1, signal=signal),
        ],
    )


def constant() -> dict[str, Any]:
    return visit(
        1,
        [rollout(["a"], 1.0), rollout(["b"], 1.0)],
        [group([0, 1], [0.0, 0.0])],
        refused=["not failed"],
    )


def hostile() -> dict[str, Any]:
    first = rollout([HOSTILE, "</script><script>window.hacked=1</script>"], answer=HOSTILE)
    first["named"] = [{"by": HOSTILE, "step": None, "reason": HOSTILE}]
    second = rollout(["half \ud83d", "\u2028 x"], None)
    more = {"question": HOSTILE, "text": HOSTILE, "reference": HOSTILE, "problem": HOSTILE}
    return visit(2, [first, second], [group([0, 1], [3.0, 0.0])], refused=[HOSTILE], **more)


def source(count: int = 1) -> Source:
    shown = [(5, with_reset()), (5, constant()), (10, hostile())]
    series = [Series("sums", "SRPO", seed, shown) for seed in range(count)]
    return Source("train", "thought", iter(series))


def unpacked(text: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(text)))


def read_page(path: Path) -> tuple[dict[str, Any], list[Any]]:
    """The index of a page of one file, and its parts."""
    scripts = dict(
        re.findall(r'<script type="text/plain" id="([^"]+)">(.*?)</script>', path.read_text())
    )
    index = unpacked(scripts.pop("index"))
    return index, [unpacked(scripts[f"part-{i}"]) for i in range(len(scripts))]


def one_file(path: Path, count: int = 1, title: str = "run", part: int = 2000) -> Path:
    write_file(pack(source(count), title, 10_000, part), path)
    return path


def folder(path: Path) -> Path:
    return write_folder(pack(source(), "run", 10_000, 1), path)[0]

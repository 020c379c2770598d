"""A sampler that keeps what it sampled on disk, so that an interrupted command samples the rest.

A diagnosis is one long computation: no part of it is a record by itself. What it waits for is the
model, so completions are what is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from experiments.errors import CorruptFile
from experiments.runs.encoding import canonical, digest
from experiments.runs.files import Row, atomic_write, parse_rows, read_bytes, rows_as_bytes
from experiments.runs.manifest import checksum
from llm.sampling.base import Completion, Request, Sampler, Sampling
from llm.text.stop_rules import describe_stop

PART = 1024
"""Completions that are stored together, a multiple of the samplers' batches."""


class JournalSampler:
    """A sampler beside its journal; see :class:`llm.sampling.base.Sampler`.

    Requests are sorted by length as :class:`llm.sampling.transformers.sampler.TransformersSampler`
    does it, so that parts of a whole number of its batches are sampled in the very batches in which
    they would be without a journal.

    Attributes:
        sampler: what samples.
        folder: of the journal, which belongs to one computation.
        advance: told how many completions are there now.
        part: completions that are stored together.
        work, eos, context: those of the sampler; what comes out of the journal is no work.
    """

    def __init__(
        self, sampler: Sampler, folder: Path, advance: Callable[[int], None], part: int = PART
    ) -> None:
        self.sampler, self.folder, self.advance, self.part = sampler, folder, advance, part
        self.work, self.eos, self.context = sampler.work, sampler.eos, sampler.context
        self._calls = 0

    def sync(self, model: Any) -> None:
        """The sampler's."""
        self.sampler.sync(model)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """One completion per request, from the journal or sampled and put there.

        Raises:
            InvalidInput: whatever the sampler refuses.
            CorruptFile: a part of the journal is damaged.
        """
        self._calls += 1
        order = sorted(range(len(requests)), key=lambda i: (len(requests[i].tokens), i))
        done: dict[int, Completion] = {}
        for first in range(0, len(order), self.part):
            part = order[first : first + self.part]
            done.update(zip(part, self._part([requests[i] for i in part], sampling), strict=True))
        return [done[i] for i in range(len(requests))]

    def _part(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        asked = [
            [list(r.tokens), r.max_tokens, str(r.key), r.stop and describe_stop(r.stop)]
            for r in requests
        ]
        what = {"call": self._calls, "sampling": asdict(sampling), "requests": asked}
        path = self.folder / f"{digest(what)[:32]}.jsonl"
        if not path.exists():
            sampled = self.sampler.generate(requests, sampling)
            body = rows_as_bytes(map(_as_row, sampled))
            header = canonical({"sha256": checksum(body)}) + "\n"
            atomic_write(path, header.encode() + body)
            self.advance(len(requests))
            return sampled
        self.advance(len(requests))
        return [_from_row(row) for row in _read(path)]


def _read(path: Path) -> list[Row]:
    first, _, body = read_bytes(path).partition(b"\n")
    if first != canonical({"sha256": checksum(body)}).encode():
        raise CorruptFile(path, "does not match its checksum")
    return parse_rows(path, body, first_line=2)


def _as_row(one: Completion) -> Row:
    # Every float32 is a decimal that reads back as itself.
    return {"tokens": one.tokens, "logprobs": one.logprobs.tolist(), "ended": one.ended}


def _from_row(row: Row) -> Completion:
    logprobs = np.array(row["logprobs"], dtype=np.float32)
    return Completion(tuple(row["tokens"]), logprobs, row["ended"])

"""Completions from a journal are those that were sampled, and nothing is sampled twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.errors import CorruptFile
from experiments.worlds.journal import JournalSampler
from llm.models.load import load_model
from llm.models.settings import TINY_NAME, ModelSettings
from llm.sampling.base import Request, Sampling
from llm.sampling.transformers.sampler import TransformersSampler

HOT = Sampling(1.0)


class Counting(TransformersSampler):
    """Notes how many completions it was asked for."""

    asked = 0

    def generate(self, requests, sampling):
        self.asked += len(requests)
        return super().generate(requests, sampling)


@pytest.fixture(scope="module")
def model():
    return load_model(ModelSettings(TINY_NAME))


@pytest.fixture
def sampler(model):
    return Counting(*model, max_batch=2)


def requests(model, count=11):
    prompt = tuple(model[1].encode("Q start 3 ;"))
    return [Request(prompt[: 2 + i % 3], 5 + i % 4, 2**64 - 1 - i) for i in range(count)]


def same(first, second):
    for a, b in zip(first, second, strict=True):
        assert (a.tokens, a.ended) == (b.tokens, b.ended)
        assert a.logprobs.dtype == b.logprobs.dtype == np.float32
        assert np.array_equal(a.logprobs, b.logprobs)


def test_completions_are_those_without_a_journal_to_the_bit(model, sampler, tmp_path: Path):
    plain = sampler.generate(requests(model), HOT)
    counts = []
    journal = JournalSampler(sampler, tmp_path, counts.append, part=4)
    same(journal.generate(requests(model), HOT), plain)
    assert counts == [4, 4, 3]
    again = JournalSampler(sampler, tmp_path, counts.append, part=4)
    before = sampler.asked
    same(again.generate(requests(model), HOT), plain)
    assert sampler.asked == before
    assert counts == [4, 4, 3] * 2
    assert (journal.eos, journal.context) == (sampler.eos, sampler.context)
    assert journal.work is sampler.work


def test_what_is_missing_is_sampled_and_nothing_else(model, sampler, tmp_path: Path):
    journal = JournalSampler(sampler, tmp_path, lambda count: None, part=4)
    whole = journal.generate(requests(model), HOT)
    min(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns).unlink()
    before = sampler.asked
    again = JournalSampler(sampler, tmp_path, lambda count: None, part=4)
    same(again.generate(requests(model), HOT), whole)
    assert sampler.asked - before == 4


def test_other_calls_have_parts_of_their_own(model, sampler, tmp_path: Path):
    few = requests(model, 3)
    journal = JournalSampler(sampler, tmp_path, lambda count: None)
    for ask, sampling in ((few, HOT), (few, HOT), (few, Sampling(0.5)), (few[:2], HOT)):
        before = sampler.asked
        journal.generate(ask, sampling)
        assert sampler.asked - before == len(ask)  # the same requests later are another call
    assert len(list(tmp_path.iterdir())) == 4
    assert journal.generate([], HOT) == []


def test_a_damaged_part_is_named(model, sampler, tmp_path: Path):
    JournalSampler(sampler, tmp_path, lambda count: None).generate(requests(model, 2), HOT)
    (part,) = tmp_path.iterdir()
    part.write_bytes(part.read_bytes()[:-3])
    again = JournalSampler(sampler, tmp_path, lambda count: None)
    with pytest.raises(CorruptFile, match="does not match its checksum"):
        again.generate(requests(model, 2), HOT)

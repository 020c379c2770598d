"""What a diagnosis says first: that too little was seen, what is wrong, and what is not known."""

from __future__ import annotations

import dataclasses
import io
import math
import re

import pytest
from rich.console import Console

from cpi_theory.diagnosis.diagnose import DiagnosisSettings, diagnose
from cpi_theory.diagnosis.records import Diagnosis
from cpi_theory.seam import Outcome, Reason
from cpi_theory.statistics.intervals import Interval
from experiments.diagnose.causes import causes
from experiments.diagnose.command import correction_row, estimate_rows, show, summary_row
from experiments.diagnose.report import diagnose_section
from experiments.diagnose.unknown import why_unmeasured
from experiments.diagnose.verdict import verdict
from experiments.documents.document import blocks_as_markdown
from paper_figs.figures.diagnosis import diagnosis_figure
from paper_figs.style import render
from tests.cpi_theory.chain import Blind, Chain

NAN = re.compile(r"\bnan\b|\binf\b", re.IGNORECASE)


def found_in(world: object, prompts: int = 8, seed: int = 0, **settings: object) -> Diagnosis:
    chosen = DiagnosisSettings(resamples=200, **settings)  # type: ignore[arg-type]
    return diagnose(world, [(0, 0)] * prompts, seed, chosen)  # type: ignore[arg-type]


def test_one_prompt_that_teaches_is_said_first_and_nothing_is_claimed() -> None:
    """The bootstrap is 82 % sure of what one prompt of eight says."""
    world = Chain(right=(0.1, 0.3), actions=2, blind=0.85)
    found = next(
        one for one in (found_in(world, seed=seed) for seed in range(40)) if one.seen.taught == 1
    )
    first = verdict(found)[0]
    assert first.startswith("Too little was seen to judge whether resets are worth it: 1 of 8 ")
    assert "refused" in first
    assert not re.search(r"worth it here|should learn faster|predicted ahead", first)


def test_refusals_are_said_first_where_other_resets_can_be_judged() -> None:
    world = Chain(right=(0.9, 0.6, 0.9, 0.6), actions=2, blind=0.995)
    first = verdict(found_in(world, 64))[0]
    assert re.match(r"The localiser refused \d+ of \d+ failures \(99%\)", first)
    assert "too few to judge SRPO by, and what follows is about RRPO" in first
    mostly = verdict(found_in(dataclasses.replace(world, blind=0.7), 64))[0]
    assert re.match(r"The localiser refused \d+ of \d+ failures \(\d+%\)", mostly)
    assert "SRPO is in large part GRPO here" in mostly
    assert "refused" not in verdict(found_in(dataclasses.replace(world, blind=0.1), 64))[0]


@pytest.mark.parametrize(("chance", "what"), [(0.0, "no rollout"), (1.0, "every rollout")])
def test_where_nothing_can_be_learned_that_comes_first(chance: float, what: str) -> None:
    sentences = verdict(found_in(Chain(right=(chance, chance), actions=2)))
    assert sentences[0].startswith(f"Nothing can be learned here as it is: {what} succeeds")
    assert "up to 37% of all prompts" in sentences[0]  # 1 - 0.025^(1/8)
    assert ("use up their steps" in sentences[1]) == (chance == 0)


def test_causes_are_ranked_by_the_rollouts_that_they_concern() -> None:
    found = found_in(Chain(right=(0.5, 0.5), actions=2))
    seen = dataclasses.replace(
        found.seen,
        rollouts=100,
        taught=0,
        outcomes={Outcome.NO_ANSWER: 60, Outcome.TOKEN_LIMIT: 35, Outcome.WRONG: 5},
        highest_reward=0.0,
        single=97,
        refusals={Reason.UNPARSABLE: 80, Reason.TRUNCATED: 20},
        named=0,
        named_prompts=0,
    )
    sick = dataclasses.replace(found, seen=seen)
    assert [c.rollouts for c in causes(sick, True)] == [97, 80, 60, 35, 20, 5]
    sentences = verdict(sick, True)
    assert sentences[1].startswith("What is wrong, 1: 97 of 100 rollouts (97%) have one step only")
    assert "boundary" in sentences[1]
    remedies = " ".join(sentences[1:7])
    for setting in ("chat = true", "max_tokens", "localization_tokens", "localiser"):
        assert setting in remedies
    # What the tables hold is said there alone if it is rare.
    rare = dataclasses.replace(seen, outcomes={Outcome.NO_ANSWER: 98, Outcome.WRONG: 2})
    assert "wrong answer" not in " ".join(verdict(dataclasses.replace(sick, seen=rare), True))


def test_rewards_that_never_count_as_success_are_what_is_wrong() -> None:
    """A verifier whose best reward is one half, in a world whose level of success is one."""
    found = found_in(Chain(right=(0.5, 0.5), actions=2))
    half = dataclasses.replace(found.seen, outcomes={Outcome.WRONG: 64}, highest_reward=0.5)
    assert half.failures == half.rollouts == 64
    for language, setting in ((True, "`success`"), (False, "level of success")):
        sentences = verdict(dataclasses.replace(found, seen=half), language)
        assert sentences[0].startswith("No rollout counts as a success, though rewards reach 0.5")
        assert sentences[1].startswith("What is wrong, 1: 64 of 64 rollouts (100%) fail, though ")
        assert "their rewards reach 0.5" in sentences[1]
        # A right answer counts as a wrong one here: that is no cause of its own.
        assert "wrong answer" not in " ".join(sentences)
        assert setting in sentences[1]
    for seen in (found.seen, dataclasses.replace(half, highest_reward=0.0)):
        said = " ".join(verdict(dataclasses.replace(found, seen=seen), True))
        assert "rewards reach" not in said
    assert found.seen.highest_reward == 1


def test_what_is_undecided_advises_nothing_but_more_prompts() -> None:
    """Half a confidence is no prediction, and fewer steps alone are no reason."""
    found = found_in(Chain(right=(0.9, 0.6, 0.9, 0.6), actions=2), 24)
    torn = [dataclasses.replace(pair, ahead=0.5, behind=0.4) for pair in found.order.comparisons]
    order = dataclasses.replace(found.order, comparisons=tuple(torn))
    first = verdict(dataclasses.replace(found, order=order))[0]
    assert first.startswith("These rollouts do not decide between ")
    assert re.search(r"has a confidence of \d+ %, from \d+ prompts on which they differ", first)
    assert "Take more prompts." in first
    assert "predicted ahead" not in first


@pytest.mark.parametrize(
    ("ends", "said"),
    [((2.0, 9.0), "above 1"), ((0.1, 0.9), "below 1"), ((0.04, 403.0), "not shown to differ")],
)
def test_what_the_theory_promises_is_no_more_than_its_interval(
    ends: tuple[float, float], said: str
) -> None:
    found = found_in(Chain(right=(0.6, 0.5, 0.6), actions=2), 24)
    theory = tuple(
        dataclasses.replace(one, samples=Interval(0.5, *ends), gain=Interval(2.0, 1.5, 3.0))
        for one in found.theory
    )
    (sentence,) = [s for s in verdict(dataclasses.replace(found, theory=theory)) if "T5, T6" in s]
    assert f"[{ends[0]:.3g}, {ends[1]:.3g}], {said}" in sentence
    assert "[1.5, 3], above 1" in sentence


def test_every_outcome_and_refusal_has_its_words_and_its_cure() -> None:
    found = found_in(Chain(right=(0.5, 0.5), actions=2))
    outcomes = {o: 1 for o in Outcome if o not in (Outcome.SUCCESS, Outcome.UNFINISHED)}
    refusals = dict.fromkeys(Reason, 1)
    seen = dataclasses.replace(found.seen, outcomes=outcomes, refusals=refusals, single=1)
    seen = dataclasses.replace(seen, highest_reward=0.0)
    for language in (True, False):
        listed = causes(dataclasses.replace(found, seen=seen), language)
        assert len(listed) == len(outcomes) + len(Reason)
        assert all(cause.what and cause.remedy for cause in listed)


WORLDS = {
    "hopeless": Chain(right=(0.0, 0.0), actions=2),
    "solved": Chain(right=(1.0, 1.0), actions=2),
    "all refused": Chain(right=(0.5, 0.5), actions=2, blind=1.0),
    "one step": Chain(right=(0.5,), actions=2),
    "not measured": Blind(Chain(right=(0.5, 0.5), actions=2)),
    "plain": Chain(right=(0.6, 0.5, 0.6), actions=2),
}


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ((0, 0, 900), "(sampling.audited = 0)"),
        ((16, 1, 17_492), "the limit (tokens = 17,492) left"),
    ],
)
def test_what_was_not_measured_says_who_left_it_out(asked: tuple[int, int, int], why: str) -> None:
    found = found_in(WORLDS["not measured"], audited=0, traced=0)
    unmeasured = why_unmeasured(*asked)
    assert why in " ".join(verdict(found, unmeasured=unmeasured))
    rows = [r for r in estimate_rows("w", found, unmeasured) if r["name"] == "coverage"]
    assert [why in row["why"] for row in rows] == [True]


@pytest.mark.parametrize("name", WORLDS)
def test_nothing_that_is_shown_is_not_a_number(name: str) -> None:
    settings = {"audited": 0, "traced": 0} if name == "not measured" else {}
    found = found_in(WORLDS[name], **settings)
    rows = estimate_rows(name, found)
    tables = {
        "estimates": rows,
        "summary": [summary_row(name, found)],
        "corrections": [correction_row(row) for row in found.corrections],
        "verdict": [{"sentence": sentence} for sentence in verdict(found)],
    }
    console = Console(file=io.StringIO(), width=200)
    show(tables, console)

    class Stored:
        read = staticmethod(tables.__getitem__)
        has = staticmethod(tables.__contains__)

    report = blocks_as_markdown(diagnose_section(Stored()))  # type: ignore[arg-type]
    for text in (console.file.getvalue(), report):  # type: ignore[attr-defined]
        assert not NAN.search(text)
        # What is unknown is named, with the reason.
        for row in rows:
            if row["estimate"] is None and row["section"] != "correction":
                assert row["why"]
                assert row["why"] in text
    assert render(diagnosis_figure(rows), "png")
    if name == "not measured":
        assert math.isnan(found.coverage.estimate)
        assert found.cost.measuring == 0
        assert "no advantages were measured" in " ".join(verdict(found))

"""Adaptive Frontier and SRPO: when they reset, what they conclude, and what they may lose."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

from cpi_theory.algorithms.adaptive import AdaptiveFrontier, AdaptiveSRPO, SignalLedger
from cpi_theory.algorithms.collecting import collect
from cpi_theory.algorithms.frontier import FrontierGRPO
from cpi_theory.algorithms.grpo import GRPO
from cpi_theory.algorithms.localizer_accuracy import ACCURACIES, AccuracyBelief
from cpi_theory.algorithms.reset_record import prompt_records
from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.seam import Localization, learned, memory_of, recalling
from cpi_theory.statistics.running_sum import RunningSum
from cpi_theory.testing.comparing import same_group
from tests.cpi_theory.chain import Chain

HARD = (0.6, 0.5, 0.5, 0.6, 0.4, 0.5)  # pass rate 0.018


@dataclass
class Liar(Chain):
    """Names the last step of every failure: its prefix is wrong whenever the last step is not."""

    def _locate(self, rollout, key):
        answer = super()._locate(rollout, key)
        return Localization(len(rollout) - 1) if isinstance(answer, Localization) else answer


def sure(accuracy: float) -> AccuracyBelief:
    """A belief that nothing moves."""
    weights = np.where(np.isclose(ACCURACIES, accuracy), 0.0, -1e9)
    return AccuracyBelief(log_weights=tuple(weights.tolist()))


def trained(algorithm, world, updates, prompts=8, seed=0):
    """The algorithm after some updates of a policy that stays as it is, and all collections."""
    made = []
    for update in range(updates):
        key = Key.of(seed).child(update)
        made.append(collect(algorithm, world, [(0, 0)] * prompts, key))
        algorithm = learned(algorithm, made[-1])
    return algorithm, made


def resets(collections) -> int:
    return sum(group.parent is not None for made in collections for group in made)


def test_without_cover_it_draws_the_groups_of_grpo() -> None:
    algorithm = AdaptiveFrontier(covered=False)
    ours = collect(algorithm, Chain(right=HARD), [(0, 0)] * 9, 4)
    plain = collect(GRPO(8), Chain(right=HARD), [(0, 0)] * 9, 4)
    assert all(map(same_group, ours, plain))
    assert (ours.localizations, len(ours)) == (0, 9)
    later = learned(algorithm, ours)
    assert later.belief == algorithm.belief
    assert later.ledger.rollouts == 72
    assert later.covered  # nothing lost: the budget that grows lets it begin again


def test_with_cover_it_is_frontier_with_the_believed_accuracy() -> None:
    algorithm = AdaptiveFrontier(belief=sure(0.6))
    told = replace(algorithm.frontier, model=replace(algorithm.frontier.model, accuracy=0.6))
    ours = collect(algorithm, Chain(right=HARD), [(0, 0)] * 9, 4)
    theirs = collect(told, Chain(right=HARD), [(0, 0)] * 9, 4)
    assert all(map(same_group, ours, theirs))
    assert resets([ours]) > 3


def test_a_liar_is_found_out_and_an_exact_localiser_kept() -> None:
    honest, seen = trained(AdaptiveFrontier(), Chain(right=HARD), 25)
    fooled, lies = trained(AdaptiveFrontier(), Liar(right=HARD), 25)
    assert honest.belief.accuracy > 0.8
    assert fooled.belief.accuracy < 0.2
    assert resets(seen[-10:]) > 60
    assert resets(lies[-10:]) < resets(seen[-10:]) / 4
    assert honest.ledger.losses.sum < -10
    assert honest.bound.excess.sum > 5 > fooled.bound.excess.sum
    assert fooled.bound.lower(0.1) == 0


def expected_losses(base: int, rest: int, rate: float) -> float:
    """GRPO's signal where the base failed; resets to wrong prefixes have none."""
    return (1 - rate) ** base * (1 - (1 - rate) ** rest)


def test_resets_that_never_pay_lose_no_more_than_the_ledger_allows() -> None:
    """Hopeless resets of easy prompts, believed in for ever: T11's sum, exactly, after each update.

    `Liar` on a chain whose errors are made before the last step resets to wrong prefixes alone.
    """
    right = (0.6, 1.0)  # pass rate 0.6, and the last step is never the error
    lost = expected_losses(4, 4, 0.6)
    algorithm = AdaptiveFrontier(
        belief=sure(1.0), ledger=SignalLedger(allowance=0.0005, reserve=8.0, delta=0.1)
    )
    world, loss, paid = Liar(right=right), 0.0, []
    for update in range(400):
        if algorithm.covered:
            loss += 16 * lost
        collection = collect(algorithm, world, [(0, 0)] * 16, Key.of(5).child(update))
        assert bool(resets([collection])) <= algorithm.covered
        algorithm = learned(replace(algorithm), collection)
        algorithm = replace(algorithm, belief=sure(1.0))
        paid.append(loss - 8.0 - 0.0005 * algorithm.ledger.rollouts)
    assert max(paid) <= 16 / 4
    assert loss > 2  # it does begin, and is stopped
    assert loss < 0.5 * 400 * 16 * lost
    assert algorithm.ledger.losses.sum == pytest.approx(loss, abs=6)


def test_the_loss_of_a_prompt_is_unbiased() -> None:
    """Frontier on a chain against the same chain's GRPO: mean of Y, within 4.5 standard errors."""
    frontier = FrontierGRPO(keep_parent=True)
    algorithm = AdaptiveFrontier(frontier)
    world, count = Chain(right=(0.7, 0.6, 0.8)), 3000
    collection = collect(frontier, world, [(0, 0)] * count, 8)
    losses = [algorithm._loss(r, 4) for r in prompt_records(collection, 4, True)]
    rate = 0.7 * 0.6 * 0.8
    grpo = collect(GRPO(8), world, [(0, 0)] * count, 9)
    outcomes = np.array([[not r.failed for r in group.rollouts] for group in grpo])
    failed = ~outcomes[:, :4].any(axis=1)
    theirs = (failed & outcomes[:, 4:].any(axis=1)).mean()
    assert theirs == pytest.approx(expected_losses(4, 4, rate), abs=0.03)
    taught = np.mean([r.taught_behind_failures(True) for r in prompt_records(collection, 4, True)])
    error = np.std(losses) / np.sqrt(count)
    assert abs(np.mean(losses) - (expected_losses(4, 4, rate) - taught)) < 4.5 * error


def test_srpo_draws_any_parent_and_resets_hopeless_prompts_alone() -> None:
    algorithm = replace(AdaptiveSRPO(), belief=sure(1.0))
    collection = collect(algorithm, Chain(right=HARD), [(0, 0)] * 200, 3)
    suffixes = [g for g in collection if g.parent is not None]
    deepest = {g.prompt: max(step for step, _ in g.named) for g in collection if g.named}
    assert len(suffixes) > 60
    assert sum(g.step < deepest[g.prompt] for g in suffixes) > 20
    assert all(g.step in [step for step, _ in named.named] for g in suffixes
               for named in collection if named.prompt == g.prompt and named.named)  # fmt: skip
    solved = {g.prompt for g in collection if g.parent is None and not all(
        r.failed for r in g.rollouts[:4])}  # fmt: skip
    assert not solved & {g.prompt for g in suffixes}


def test_srpo_draws_fresh_rollouts_where_it_believes_in_nothing() -> None:
    algorithm = replace(AdaptiveSRPO(), belief=sure(0.0))
    ours = collect(algorithm, Chain(right=HARD), [(0, 0)] * 50, 3)
    theirs = collect(GRPO(8), Chain(right=HARD), [(0, 0)] * 50, 3)
    assert [g.rollouts for g in ours] == [g.rollouts for g in theirs]
    assert ours.localizations > 100


def test_a_memory_survives_a_checkpoint_and_most_have_none() -> None:
    later, _ = trained(AdaptiveSRPO(), Chain(right=HARD), 3)
    text = json.dumps(memory_of(later))
    assert recalling(AdaptiveSRPO(), json.loads(text)) == later
    assert memory_of(GRPO()) is None
    assert recalling(GRPO(), None) == GRPO()
    assert learned(GRPO(4), collect(GRPO(4), Chain(), [(0, 0)], 0)) == GRPO(4)


def test_a_resumed_run_draws_what_an_unbroken_one_draws() -> None:
    world = Chain(right=HARD)
    half, _ = trained(AdaptiveFrontier(), world, 4)
    again = recalling(AdaptiveFrontier(), json.loads(json.dumps(memory_of(half))))
    key = Key.of(0).child(4)
    one, other = (collect(a, world, [(0, 0)] * 8, key) for a in (half, again))
    assert all(map(same_group, one, other))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AdaptiveFrontier(GRPO(8)), "frontier = GRPO.*not a FrontierGRPO"),
        (lambda: AdaptiveFrontier(FrontierGRPO(rollouts=8, base=3)), "base = 3: less than half"),
        (lambda: FrontierGRPO(parent="deepest"), "parent = 'deepest'"),
        (lambda: SignalLedger(allowance=-1), "allowance = -1"),
        (lambda: SignalLedger(reserve=float("nan")), "reserve = nan"),
        (lambda: SignalLedger(delta=0), "delta = 0"),
        (lambda: SignalLedger().after([2.0], 8), "value = 2.0"),
    ],
)
def test_bad_input_is_refused(make, message) -> None:
    with pytest.raises(InvalidInput, match=message):
        make()


def test_an_empty_ledger_covers_what_comes_first() -> None:
    assert SignalLedger(reserve=0).covered
    assert not SignalLedger(reserve=0).after([0.5], 8).covered
    assert SignalLedger(losses=RunningSum(-1, 1).add(-1.0), reserve=3).covered

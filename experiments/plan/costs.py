"""What one training run takes: rollouts, tokens and seconds by phase."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from cpi_theory.algorithms.frontier import FrontierGRPO
from cpi_theory.algorithms.reset_grpo import ResetGRPO
from cpi_theory.diagnosis.budget import Amount
from cpi_theory.resets.uniform import UniformReset
from experiments.plan.config import Assumptions
from experiments.plan.draws import Draws, draws, informative
from experiments.plan.lengths import Lengths
from experiments.train.spec import TrainSpec
from experiments.worlds.writing import AskEndpoint, AskSelf, AskSeveral
from llm.throughput.forecast import Setup


@dataclass(frozen=True)
class Seconds:
    """Of a run, by phase."""

    sampling: float
    localisation: float
    learning: float
    evaluation: float
    hand_over: float

    @property
    def total(self) -> float:
        """All of them."""
        return sum(float(getattr(self, field.name)) for field in fields(self))


@dataclass(frozen=True)
class Cost:
    """What a run takes.

    Attributes:
        updates: of the run.
        rollouts: drawn for learning.
        localizations: replies about failures.
        generated: tokens sampled for learning, localisations included.
        learned: completion tokens that a gradient comes from; at most those of all rows.
        evaluated: tokens sampled in evaluations.
        seconds: by phase.
    """

    updates: Amount
    rollouts: Amount
    localizations: Amount
    generated: Amount
    learned: Amount
    evaluated: float
    seconds: Seconds


def replies_per_failure(spec: TrainSpec) -> int:
    """Replies of the model itself that a localisation takes; 0 where others name the step."""
    named = spec.method.localizer
    if named == "self":
        named = AskSelf() if spec.world.writing is None else spec.world.writing.localizer
    if isinstance(named, AskSeveral):
        return named.votes if isinstance(named.of, AskSelf) else 0
    return int(isinstance(named, AskSelf) or isinstance(getattr(named, "of", None), AskSelf))


def asks_elsewhere(spec: TrainSpec) -> bool:
    """Whether an endpoint localises, whose time and price are its own."""
    writing = spec.world.writing
    named = spec.method.localizer
    if named == "self" and writing is not None:
        named = writing.localizer
    return isinstance(named, AskEndpoint) or isinstance(getattr(named, "of", None), AskEndpoint)


class Costing:
    """Works out the cost of one run."""

    def __init__(
        self, spec: TrainSpec, setup: Setup, lengths: Lengths, assume: Assumptions
    ) -> None:
        self.spec, self.setup, self.lengths, self.assume = spec, setup, lengths, assume
        self.draws: Draws = draws(spec.method.algorithm, assume.pass_rate, assume.named)

    @property
    def kept(self) -> float:
        """Share of a parent that is kept: of a uniform step known, of a named one assumed."""
        algorithm = self.spec.method.algorithm
        if isinstance(algorithm, ResetGRPO) and isinstance(algorithm.reset, UniformReset):
            return (self.lengths.thoughts - 1) / (2 * self.lengths.thoughts)
        return self.assume.kept

    def cost(self) -> Cost:
        """All of it."""
        found, lengths, updates = self.draws, self.lengths, self.updates
        prompts = self.spec.budget.prompts
        rows = Amount(self._learned(), self._rows() * lengths.limit)
        drawn = Amount(found.whole.expected + found.suffixes.expected, found.whole.most)
        return Cost(
            updates,
            self._all(drawn),
            self._all(self._replies),
            self._all(self._written),
            rows.times(prompts, prompts).times(updates.expected, updates.most),
            self._evaluations() * lengths.rollout,
            self._seconds(),
        )

    @property
    def _replies(self) -> Amount:
        """Replies about failures, for a prompt."""
        votes = replies_per_failure(self.spec)
        return self.draws.localizations.times(votes, votes)

    @property
    def _written(self) -> Amount:
        """Tokens sampled for a prompt, localisations included."""
        found, lengths = self.draws, self.lengths
        suffix = lengths.rollout * (1 - self.kept)
        return (
            found.whole.times(lengths.rollout, lengths.limit)
            + found.suffixes.times(suffix, 0)  # among those that are whole at most
            + self._replies.times(lengths.reply, lengths.longest_reply)
        )

    @property
    def updates(self) -> Amount:
        """Updates of the run: those of the settings, or fewer where its tokens end before.

        An update begins as long as fewer tokens than the budget have been sampled, however few
        each of them takes: at most, all of them are made.
        """
        budget = self.spec.budget
        each = budget.prompts * self._written.expected
        if budget.tokens is None or not each:
            return Amount(budget.updates, budget.updates)
        return Amount(min(budget.updates, math.ceil(budget.tokens / each)), budget.updates)

    def _all(self, each: Amount) -> Amount:
        """What all updates take of something that costs a token or more each.

        With a budget of tokens there is at most one per token, and what the last update takes: it
        begins with one token less than the budget at most.
        """
        prompts, limit = self.spec.budget.prompts, self.spec.budget.tokens
        whole = each.times(prompts, prompts).times(self.updates.expected, self.updates.most)
        if limit is None:
            return whole
        return Amount(whole.expected, min(whole.most, limit - 1 + prompts * each.most))

    def _rows(self) -> int:
        return self.spec.method.algorithm.rows_per_prompt

    @property
    def _suffix(self) -> int:
        algorithm = self.spec.method.algorithm
        if isinstance(algorithm, ResetGRPO):
            return algorithm.suffix
        return algorithm.rollouts - algorithm.base if isinstance(algorithm, FrontierGRPO) else 0

    def _informative(self) -> tuple[float, float]:
        """Rollouts of either kind, per prompt, in groups with a success and a failure."""
        p, found = self.assume.pass_rate, self.draws
        whole = found.learned_whole * informative(p, found.learned_whole)
        return whole, found.learned_suffixes * informative(p, self._suffix)

    def _learned(self) -> float:
        """Completion tokens per prompt that have a gradient."""
        whole, suffixes = self._informative()
        unmasked = getattr(self.spec.method.algorithm, "train_prefix", False)
        return self.lengths.rollout * (whole + suffixes * (1 if unmasked else 1 - self.kept))

    def _evaluations(self) -> float:
        """Rollouts: sampled ones at each point, and greedy ones at the first and last."""
        return (self._points() + 2) * self.spec.budget.held_out

    def _points(self) -> int:
        return 1 + math.ceil(self.updates.expected / self.spec.budget.every)

    def _seconds(self) -> Seconds:
        budget, setup, lengths = self.spec.budget, self.setup, self.lengths
        points, updates = self._points(), self.updates.expected
        one = setup.sampling_seconds(
            budget.held_out, budget.held_out, lengths.prompt, lengths.rollout, lengths.longest
        )
        return Seconds(
            sampling=updates * self._sampling(),
            localisation=updates * self._localising(),
            learning=updates * self._learning(),
            evaluation=(points + 2) * one,
            hand_over=(updates + points) * setup.hand_over_seconds(),
        )

    def _sampling(self) -> float:
        """Of an update: a call for all prompts, and one for suffixes and what else is drawn."""
        setup, lengths, prompts = self.setup, self.lengths, self.spec.budget.prompts
        found, kept = self.draws, self.kept
        first = setup.sampling_seconds(
            prompts * found.first, prompts, lengths.prompt, lengths.rollout, lengths.longest
        )
        others = max(found.whole.expected - found.first, 0.0)
        suffixes = found.suffixes.expected
        if not others + suffixes:
            return first
        tokens = lengths.rollout * (others + suffixes * (1 - kept))
        longest = lengths.longest * (1.0 if others > 0.05 else 1 - kept)
        return first + setup.sampling_seconds(
            prompts * (others + suffixes),
            prompts,
            lengths.prompt + kept * lengths.rollout * bool(suffixes),
            tokens / (others + suffixes),
            longest,
        )

    def _localising(self) -> float:
        asked = self.spec.budget.prompts * self.draws.localizations.expected
        replies = asked * replies_per_failure(self.spec)
        lengths = self.lengths
        read = lengths.prompt + lengths.rollout
        longest = min(2 * lengths.reply, lengths.longest_reply)
        return self.setup.sampling_seconds(replies, asked, read, lengths.reply, longest)

    def _learning(self) -> float:
        """Of an update; what rows have in common is read once, unless that is turned off."""
        lengths, prompts = self.lengths, self.spec.budget.prompts
        whole, suffixes = self._informative()
        shared = self.spec.optimizer.shared_prefixes != "off"
        before = lengths.prompt + self.kept * lengths.rollout
        groups = suffixes / self._suffix if self._suffix else 0.0
        prefixes = (
            lengths.prompt * whole / max(self.draws.learned_whole, 1) + before * groups
            if shared
            else lengths.prompt * whole + before * suffixes
        )
        tokens = prompts * (self._learned() + prefixes)
        context = lengths.prompt + lengths.rollout / 2
        rows = prompts * (whole + suffixes)
        updates = self.spec.optimizer.minibatches * self.spec.optimizer.epochs
        return self.setup.learning_seconds(tokens, rows, context, updates)

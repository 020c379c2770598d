"""Frontier and SRPO that find out how good the localiser is, and stop where resets do not pay.

What a collection shows is drawn into a belief about the localiser's accuracy, which the next one's
parents are chosen by, and into an account of what resets have won or lost against GRPO. While that
account is overdrawn, with all doubt against the resets, the prompts get GRPO.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from cpi_theory.algorithms.frontier import FrontierGRPO
from cpi_theory.algorithms.grpo import GRPO
from cpi_theory.algorithms.localizer_accuracy import AccuracyBelief, AccuracyBound
from cpi_theory.algorithms.reset_record import PromptRecord, prompt_records
from cpi_theory.checks import InvalidInput, check_in_range
from cpi_theory.randomness import Key
from cpi_theory.seam import Collection, Plan, Prompt
from cpi_theory.statistics.running_sum import RunningSum


@dataclass(frozen=True, slots=True)
class SignalLedger:
    r"""What resets have lost against GRPO in signal, and how much they may lose.

    A prompt's *signal* is 1 if rewards differ in its ordinary group, and in a suffix group the
    share of the steps that is behind the reset, 0 if rewards do not differ. Of n base and m further
    rollouts GRPO and resets differ only where the base failed. What GRPO would have found there is
    estimated from the other prompts, see
    :meth:`~cpi_theory.algorithms.reset_record.PromptRecord.fresh_behind_failures`.

    Statement (T11): with probability >= 1 - delta, at every update at once, the expected signal of
    all prompts so far, each given what came before it, is less than that of GRPO under the same
    policies by no more than reserve + allowance * rollouts + x b, where b is the most prompts of an
    update and x = m / (n + m) (n / (n + m))^(n / m), 1/4 for n = m.

    Assumptions: A1 the rollouts of a prompt from its start are exchangeable. Nothing is assumed of
    the localiser, of the world or of drift.

    Attributes:
        allowance: signal per rollout that may be lost for ever; GRPO's is at most 1 / (n + m).
        reserve: signal that may be lost beside it, in groups; what it takes to begin at all. With
            16 resets that paid were stopped (docs/measurements/frontier.md), with 24 few are.
        delta: probability that more is lost, in (0, 1].
        losses: GRPO's estimated less the resets' realised signal, a value per prompt.
        rollouts: so far, with and without resets.

    Source: as in conservative bandits, Y. Wu, R. Shariff, T. Lattimore and C. Szepesvari, ICML
        2016, arXiv 1602.04282. Proof: docs/theory.md, T11.
    """

    allowance: float = 0.001
    reserve: float = 24.0
    delta: float = 0.1
    losses: RunningSum = field(default_factory=lambda: RunningSum(-1.0, 1.0))
    rollouts: int = 0

    def __post_init__(self) -> None:
        check_in_range("allowance", self.allowance, 0, 1)
        check_in_range("reserve", self.reserve, 0, 1e9)
        check_in_range("delta", self.delta, 1e-12, 1)

    @property
    def covered(self) -> bool:
        """Whether the loss is within what is allowed, with all doubt against the resets."""
        allowed = self.reserve + self.allowance * self.rollouts
        return self.losses.surely_at_most(allowed, self.delta)

    def after(self, losses: list[float], rollouts: int) -> SignalLedger:
        """Return the ledger after a collection: the loss of each prompt, and all rollouts."""
        total = self.losses
        for loss in losses:
            total = total.add(loss)
        return replace(self, losses=total, rollouts=self.rollouts + rollouts)


@dataclass(frozen=True, slots=True)
class AdaptiveFrontier:
    """Frontier resets by the accuracy that the resets show, and GRPO where they do not pay.

    Source: Frontier is ours; the guarantee is that of :class:`SignalLedger`. Cost: `rollouts`.

    Attributes:
        frontier: what resets; the accuracy of its model is replaced by the believed one. Its base
            is at least half of its rollouts, so that prompts without a reset show what one with a
            reset would have given.
        belief: about the accuracy.
        bound: on the accuracy, for the record alone.
        ledger: of what resets may lose.
        covered: whether the ledger allows resets now.
    """

    frontier: FrontierGRPO = field(default_factory=lambda: FrontierGRPO(keep_parent=True))
    belief: AccuracyBelief = field(default_factory=AccuracyBelief)
    bound: AccuracyBound = field(default_factory=AccuracyBound)
    ledger: SignalLedger = field(default_factory=SignalLedger)
    covered: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.frontier, FrontierGRPO):
            problem, remedy = "not a FrontierGRPO", "give e.g. FrontierGRPO(keep_parent=True)"
            raise InvalidInput("frontier", self.frontier, problem, remedy)
        if 2 * self.frontier.base < self.frontier.rollouts:
            problem = f"less than half of {self.frontier.rollouts} rollouts"
            raise InvalidInput("base", self.frontier.base, problem, "look at half of them first")

    @property
    def rows_per_prompt(self) -> int:
        """All rollouts are learned from."""
        return self.frontier.rollouts

    @property
    def normalization(self) -> str:
        """That of all groups."""
        return self.frontier.normalization

    def now(self) -> FrontierGRPO | GRPO:
        """Return what collects now: Frontier with the believed accuracy, or GRPO."""
        frontier = self.frontier
        if not self.covered:
            return GRPO(frontier.rollouts, frontier.normalization)
        # To two digits, so that equal questions are worked out once.
        model = replace(frontier.model, accuracy=round(self.belief.accuracy, 2))
        return replace(frontier, model=model)

    def plan(self, prompt: Prompt, key: Key) -> Plan:
        """The plan of what collects now; see :class:`~cpi_theory.seam.Algorithm`."""
        return self.now().plan(prompt, key)

    def after(self, collection: Collection) -> AdaptiveFrontier:
        """Return the same with what a collection of its own has shown."""
        belief, bound, losses = self.belief, self.bound, []
        rest = self.frontier.rollouts - self.frontier.base
        if self.covered:  # GRPO's groups are no news of resets
            for record in self._records(collection):
                belief, bound = belief.after(record), bound.after(record, rest)
                losses.append(self._loss(record, rest))
        ledger = self.ledger.after(losses, collection.generated_rollouts)
        return replace(self, belief=belief, bound=bound, ledger=ledger, covered=ledger.covered)

    def _records(self, collection: Collection) -> list[PromptRecord]:
        return list(prompt_records(collection, self.frontier.base, self.frontier.keep_parent))

    def _loss(self, record: PromptRecord, rest: int) -> float:
        """GRPO's signal less that of resets, unbiased, in [-1, 1]."""
        return record.fresh_behind_failures(rest) - record.taught_behind_failures(
            self.frontier.keep_parent
        )

    def believed(self, delta: float = 0.1) -> dict[str, float]:
        """Return what is known of the localiser and of the resets.

        Args:
            delta: probability that the bound is ever too high.

        Returns:
            `accuracy` as believed, what it is `at_least` in this block, the signal `lost` against
            GRPO, as estimated, and whether it is `covered`, 0 or 1.
        """
        return {
            "accuracy": self.belief.accuracy,
            "at_least": self.bound.lower(delta),
            "lost": self.ledger.losses.sum,
            "covered": float(self.covered),
        }

    def memory(self) -> dict[str, Any]:
        """Return what has been concluded so far, as JSON can hold it."""
        parts = ("belief", "bound", "ledger")
        return {name: asdict(getattr(self, name)) for name in parts} | {"covered": self.covered}

    def recall(self, memory: dict[str, Any]) -> AdaptiveFrontier:
        """Return the same with a :meth:`memory`."""
        belief, bound, ledger = (dict(memory[name]) for name in ("belief", "bound", "ledger"))
        for name in ("log_weights", "rates"):
            belief[name] = tuple(belief[name])
        for name in ("excess", "pairs", "resets"):
            bound[name] = RunningSum(**bound[name])
        ledger["losses"] = RunningSum(**ledger["losses"])
        return replace(
            self,
            belief=AccuracyBelief(**belief),
            bound=AccuracyBound(**bound),
            ledger=SignalLedger(**ledger),
            covered=bool(memory["covered"]),
        )


def AdaptiveSRPO(**options: Any) -> AdaptiveFrontier:
    """Make an `AdaptiveFrontier` with SRPO's parent: any failure alike, or fresh rollouts.

    It resets only prompts whose base failed altogether. Where the base holds a success and a
    failure, SRPO gives half of the rollouts to a suffix group, in place of a whole group that is
    informative already: by the signal of :class:`SignalLedger` that can only lose.

    Args:
        options: of `AdaptiveFrontier`, but for `frontier`.
    """
    return AdaptiveFrontier(frontier=FrontierGRPO(parent="uniform"), **options)

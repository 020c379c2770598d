"""The simulator seam on a finite MDP: rollouts, first errors and reset weights."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
from jaxtyping import Float, Int, Shaped
from numpy.typing import ArrayLike, NDArray

from cpi_theory.checks import InvalidInput, check_count, check_in_range
from cpi_theory.randomness import Key, Keys, as_keys
from cpi_theory.seam import FailedLocalization, Localization, ResetPolicy, Rollout
from tabular.evaluation.evaluate import evaluate
from tabular.evaluation.optimal import solve
from tabular.evaluation.result import Evaluation
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.mdp.validation import Floats, Integers, check_shape
from tabular.resets.localizer import Localizer, best_advantages
from tabular.resets.sampled import sampled_reset_weight
from tabular.resets.weights import ResetWeight, exact_reset_weight, step_coverage
from tabular.sampling import kernels
from tabular.sampling.paths import Arcs, Paths, checked_policy, layered, make_sampler, numbered_keys
from tabular.sampling.rollouts import FlatSteps, TabularState, as_rollouts

# A purpose of its own: start states are independent of whatever else the keys are used for.
_START = Key.of(0).child("tabular", "start").integers(1)[0]
_TABLE_MEMORY = 1 << 30  # 1 GiB


class TabularSimulator:
    """A finite MDP under a policy, as the algorithms see worlds.

    A state is the pair (h, s). Every rollout is a function of its start and its key: the same
    bits come out for any number of threads, any split and any order of the batch.

    Attributes:
        mdp: the world.
        policy: shape (H, S, A), or (S, A) for all layers.
        localizer: how the world names first errors.
        success: a rollout fails if its return is below this, in reward units.
        threads: most threads of one call.
        table_memory: bytes that alias tables may take; bigger worlds are sampled by scanning
            their rows, several times slower.
        arcs: the MDP's transitions in the form that is sampled from.
        layered_policy: the policy as floats, shape (L, S, A); L = 1 serves all layers.
    """

    def __init__(
        self,
        mdp: FiniteHorizonMDP,
        policy: ArrayLike,
        localizer: Localizer | None = None,
        success: float | None = None,
        *,
        threads: int = 1,
        table_memory: int = _TABLE_MEMORY,
        arcs: Arcs | None = None,
    ) -> None:
        """Check the policy and fill the tables.

        Args:
            mdp: the world.
            policy: shape (H, S, A), or (S, A) for all layers.
            localizer: how the world names first errors; by default exactly.
            success: a rollout fails if its return is below this; by default the reward bound less
                1e-9.
            threads: most threads of one call.
            table_memory: bytes that alias tables may take.
            arcs: of the same MDP, from another simulator, to spare making them again.

        Raises:
            InvalidInput: if the policy does not fit the MDP or a setting is out of range.
        """
        check_count("threads", threads)
        check_count("table_memory", table_memory, 0)
        self.mdp, self.threads, self.table_memory = mdp, threads, table_memory
        self.localizer = Localizer() if localizer is None else localizer
        # Sums of rewards may end up below the bound by rounding.
        self.success = float(mdp.reward_bound) - 1e-9 if success is None else float(success)
        check_in_range("success", self.success, -sys.float_info.max, sys.float_info.max)
        self.arcs = Arcs.of(mdp) if arcs is None else arcs
        self._policy = checked_policy(mdp, policy)
        self.layered_policy = layered(self._policy)
        self._sampler = make_sampler(self.arcs, self.layered_policy, table_memory, threads)

    def with_policy(self, policy: ArrayLike) -> Self:
        """Return the same world under another policy."""
        return type(self)(
            self.mdp,
            policy,
            self.localizer,
            self.success,
            threads=self.threads,
            table_memory=self.table_memory,
            arcs=self.arcs,
        )

    @property
    def horizon(self) -> int:
        """H, the number of layers."""
        return self.mdp.horizon

    @property
    def policy(self) -> Shaped[np.ndarray, "H S A"]:
        """The policy as checked, shape (H, S, A)."""
        return self.evaluation.policy

    @cached_property
    def evaluation(self) -> Evaluation:
        """Exact values, advantages and visits of the policy."""
        return evaluate(self.mdp, self._policy)

    @cached_property
    def advantages(self) -> Float[np.ndarray, "H S A"]:
        """A_h(s, a) as floats, shape (H, S, A)."""
        return np.asarray(self.evaluation.advantages, np.float64)

    def start_states(self, count: int, key: Key | int | np.random.Generator) -> list[TabularState]:
        """Draw `count` start states (0, s) from the start distribution by `key`."""
        return [(0, s) for s in self.draw_starts(count, key).tolist()]

    def draw_starts(
        self, count: int, key: Key | int | np.random.Generator
    ) -> Int[np.ndarray, " count"]:
        """Draw the state indices of `start_states`, shape (count,)."""
        check_count("count", count, 0)
        u = np.empty(count)
        kernels.uniforms(numbered_keys(Key.of(key), count), _START, u)
        return np.searchsorted(self._start_cdf, u, side="right")

    @cached_property
    def _start_cdf(self) -> Floats:
        start = np.asarray(self.mdp.start, np.float64)
        # Searched with side="right": a state of probability zero has no uniform number of its own.
        total = np.cumsum(start)
        # Rounding must neither leave a gap below 1 nor reach a state of probability zero.
        total[np.flatnonzero(start)[-1] :] = 1.0
        return total

    def rollout(self, states: Sequence[Any], keys: Keys) -> list[Rollout]:
        """Continue the policy from each state (h, s).

        Raises:
            InvalidInput: if a state is not one of the MDP or there is not one key per state.
        """
        pairs = _as_pairs(states)
        return as_rollouts(self.simulate(pairs[:, 0], pairs[:, 1], keys), self.success)

    def rollout_cut(
        self, states: Sequence[Any], keys: Keys, steps: Sequence[int | None]
    ) -> list[Rollout]:
        """Return what `rollout` does, each rollout cut after so many steps."""
        return [
            # Rollouts are cheap here, and cutting whole ones is the seam's law itself.
            rollout if most is None or len(rollout) <= most else rollout.cut(0, most)
            for rollout, most in zip(self.rollout(states, keys), steps, strict=True)
        ]

    def simulate(
        self,
        steps: ArrayLike,
        states: ArrayLike,
        keys: Keys,
        *,
        paths: bool = True,
    ) -> Paths:
        """Draw the rollouts beneath `rollout`, as arrays.

        Args:
            steps: layer of each start, int, shape (n,), or one for all.
            states: state index of each start, int, shape (n,).
            keys: of the rollouts, shape (n,).
            paths: whether states and actions are kept; without them it is faster.

        Raises:
            InvalidInput: if a state is not one of the MDP or there is not one key per state.
        """
        indices = np.asarray(states)
        layers, indices = _checked_states(np.asarray(steps), indices, self.mdp)
        return self._sampler.run(layers, indices, as_keys(keys, indices.size), paths, self.threads)

    def locate_first_error(
        self, rollouts: Sequence[Rollout], keys: Keys
    ) -> list[Localization | FailedLocalization]:
        """Name the first error of each rollout by the localizer, or refuse with a reason."""
        return self.localizer.locate(rollouts, self.advantages, as_keys(keys, len(rollouts)))

    def step_advantages(self, rollouts: Sequence[Rollout]) -> list[Floats]:
        """Return A(s, a) of each step that was taken, shape (len(rollout),) each."""
        flat = FlatSteps.of(rollouts)
        return flat.split(self.advantages[flat.layers, flat.states, flat.actions])

    def step_logprobs(self, rollouts: Sequence[Rollout]) -> list[Floats]:
        """Return ln pi(a | s) of each step that was taken, shape (len(rollout),) each."""
        flat, policy = FlatSteps.of(rollouts), self.layered_policy
        layers = flat.layers if policy.shape[0] > 1 else 0
        return flat.split(np.log(policy[layers, flat.states, flat.actions]))

    def demonstrate(self, states: Sequence[Any], keys: Keys) -> list[Rollout]:
        """Return a rollout of the best policy from each state.

        In a world of chance that may fail, too.
        """
        return self._best.rollout(states, keys)

    @cached_property
    def _best(self) -> TabularSimulator:
        # Not of the same kind: whatever a subclass adds, its transitions are those of the MDP.
        return TabularSimulator(
            self.mdp, solve(self.mdp).policy, success=self.success, arcs=self.arcs
        )

    def best_advantages(self, rollouts: Sequence[Rollout]) -> list[Floats]:
        """Return max_a A(s, a) at each state of each rollout, shape (len(rollout),) each."""
        return best_advantages(rollouts, np.asarray(self.evaluation.best_advantages, np.float64))

    def improvable_coverage(self, tau: float) -> float:
        """Return p_tau: the share of the steps taken whose best advantage is at least `tau`."""
        return step_coverage(self.mdp, self.evaluation, tau)

    def reset_weight(
        self, reset: ResetPolicy, *, samples: int = 20_000, key: Key | int = 0
    ) -> ResetWeight:
        """Return the reset weight w(s, h) that `reset` induces here, shape (H, S).

        Args:
            reset: any reset policy.
            samples: rollouts, where no recursion is known.
            key: of them.
        """
        exact = exact_reset_weight(self.mdp, self.evaluation, reset, self.localizer, self.success)
        if exact is not None:
            return exact
        check_count("samples", samples)
        streams = Key.of(key)
        starts = self.start_states(samples, streams.child("starts"))
        shape = (self.mdp.horizon, self.mdp.states)
        return sampled_reset_weight(self, starts, reset, shape, key=streams)

    def value(self) -> float:
        """Return J of the policy, exact, in reward units."""
        return float(self.evaluation.value)


def _as_pairs(states: Any) -> Integers:
    """States as an integer array of (h, s), shape (n, 2)."""
    try:
        pairs = np.asarray(states).reshape(-1, 2) if len(states) == 0 else np.asarray(states)
    except ValueError as error:
        raise InvalidInput("states", states, str(error), "give (h, s) pairs") from error
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise InvalidInput("states", states, "not pairs", "give (h, s) pairs")
    return pairs


def _checked_states(
    layers: NDArray[Any], indices: NDArray[Any], mdp: FiniteHorizonMDP
) -> tuple[Integers, Integers]:
    """Layers, shape (n,) or () for all, and state indices (n,), all of them states of the MDP."""
    for name, array, limit in (("h", layers, mdp.horizon), ("s", indices, mdp.states)):
        one = array is layers and layers.ndim == 0
        if not (one or array.ndim == 1) or (array.size and array.dtype.kind not in "iu"):
            raise InvalidInput("states", array, f"{name} not integers", "give (h, s) pairs")
        check_shape("states", array.shape, [layers.shape or array.shape])
        if indices.size and not 0 <= array.min() <= array.max() < limit:
            i = int(np.argmax((array < 0) | (array >= limit)))
            raise InvalidInput(
                f"states[{i}]",
                (int(np.broadcast_to(layers, indices.shape)[i]), int(indices[i])),
                "no state of this MDP",
                f"give 0 <= h < {mdp.horizon} and 0 <= s < {mdp.states}",
            )
    return _plain(layers, np.int64), _plain(indices, np.int64)


def _plain(array: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Contiguous and writeable, whatever was given: kernels are compiled for that form alone."""
    return np.require(array, dtype, ["C", "W"])

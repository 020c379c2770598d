"""The measured number of samples held against real rollouts, all the way through the simulator."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from cpi_theory.algorithms.chooser import EmpiricalChooser
from cpi_theory.algorithms.trials import Trials
from cpi_theory.checks import check_count, check_positive
from cpi_theory.randomness import Key
from cpi_theory.statistics.intervals import wilson_interval
from experiments.compare.measures import rollouts_per_sample, trial_law
from experiments.compare.settings import Setting
from experiments.compare.worlds import policy_update
from experiments.runs.files import Row
from tabular.simulation.conservative import ConservativeTabular


@dataclass(frozen=True)
class CheckSpec:
    """Experiments with `samples` rollouts from reset states each.

    Attributes:
        setting: world, class and reset policy.
        samples: the n at which the exact law says that a share `accuracy` of choices is right.
        accuracy: that share.
        replications: experiments.
        seed: of the rollouts.
    """

    setting: Setting
    samples: float
    accuracy: float
    replications: int
    seed: int

    def __post_init__(self) -> None:
        check_positive("samples", self.samples)
        check_count("replications", self.replications, 20)


def check_samples(spec: CheckSpec) -> list[Row]:
    """One row: the share of right choices from real rollouts with its Wilson interval.

    `rollouts_per_sample` counts the roll-ins that met no reset state too.
    """
    update = policy_update(spec.setting)
    law = trial_law(update, spec.setting)
    simulator = ConservativeTabular(update.mdp, update.policy)
    key = Key.of(spec.seed).child("check", repr(spec.setting))
    count = round(spec.samples)
    trials = simulator.draw_trials(
        spec.setting.reset, count * spec.replications, key.child("trials")
    )
    right = 0
    for index in range(spec.replications):
        part = _slice(trials, index * count, (index + 1) * count)
        chosen = EmpiricalChooser().choose(
            part, update.mdp.actions, update.mdp.observation_count, key.child("ties", index)
        )
        right += bool(law.is_right(chosen))
    interval = wilson_interval(right, spec.replications)
    return [
        asdict(spec.setting)
        | {
            "kind": "check",
            "samples": count,
            "replications": spec.replications,
            "accuracy": spec.accuracy,
            "right": interval.estimate,
            "lower": interval.lower,
            "upper": interval.upper,
            "rollouts_per_sample": trials.rollouts / len(trials),
            "rollouts_per_sample_expected": rollouts_per_sample(spec.setting),
        }
    ]


def _slice(trials: Trials, start: int, stop: int) -> Trials:
    """Some of the trials; they are independent, so any part is an experiment of its own."""
    part = slice(start, stop)
    return Trials(
        trials.states[part],
        trials.observations[part],
        trials.actions[part],
        trials.returns[part],
        trials.probabilities[part],
        trials.remaining[part],
        trials.coverage_hits,
        trials.coverage_draws,
        trials.rollouts,
    )

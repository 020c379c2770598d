"""The advantage estimators that verl registers, called as they are installed.

What is audited is the advantages: how verl's loss weighs tokens (``loss_agg_mode``) is a choice of
its own. An estimator that wants more than rewards is given the ideal: the true values as its
critic, the expected reward of the likeliest actions as ReMax's baseline.
"""

from __future__ import annotations

import importlib.util
import inspect
from typing import Any

import numpy as np

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "grpo-no-std": ("grpo", {"norm_adv_by_std_in_grpo": False}),
}
"""By name: a registered estimator and settings other than its defaults."""


def installed() -> bool:
    """Whether there is a verl to call."""
    return importlib.util.find_spec("verl") is not None


def names() -> list[str]:
    """The estimators in verl's registry, in its order."""
    from verl.trainer.ppo import core_algos

    return list(core_algos.ADV_ESTIMATOR_REGISTRY)


def estimator(name: str) -> Any:
    """The estimator that verl registers by that name, a function of a batch, shape (n, T)."""
    from verl.trainer.config import AlgoConfig
    from verl.trainer.ppo import core_algos

    registered, settings = VARIANTS.get(name, (name, {}))
    function = core_algos.get_adv_estimator_fn(registered)
    wanted = inspect.signature(function).parameters
    config = AlgoConfig(gamma=1.0, lam=1.0, adv_estimator=registered, **settings)

    def advantages(batch: Any) -> Any:
        given = {**_inputs(batch), **settings, "config": config}
        found, _ = function(**{name: v for name, v in given.items() if name in wanted})
        return found.numpy()

    advantages.__name__ = f"verl:{name}"
    return advantages


def _inputs(batch: Any) -> dict[str, Any]:
    """Whatever the registered estimators take, by their names for it."""
    import torch

    def tensor(array: Any) -> Any:
        return torch.tensor(array.astype(np.float64))

    return {
        "token_level_rewards": tensor(batch.step_rewards),
        "response_mask": tensor(batch.mask),
        "index": np.array([str(group) for group in batch.groups], dtype=object),
        "values": tensor(batch.values),
        "gamma": 1.0,
        "lam": 1.0,
        "reward_baselines": tensor(batch.greedy),
        "old_log_probs": tensor(batch.log_probs),
        "sum_pi_squared": tensor(batch.squared_probs),
    }

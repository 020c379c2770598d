"""The estimators of TRL's GRPO and RLOO trainers, by running the trainers' own methods.

TRL has no function for advantages: they are computed within ``_generate_and_score_completions``,
and what a token counts for within ``_compute_loss``. Both methods are run here as installed, on a
trainer without a model: its completions and rewards are those of the batch, and the log-probability
of each token is a number whose derivative of the loss says how much the token counts. Loss and
advantages are taken at the policy that sampled, so that ratios are 1 and nothing is clipped.
"""

from __future__ import annotations

from collections import defaultdict, deque
from types import SimpleNamespace
from typing import Any

import numpy as np

_PAD, _TOKEN, _END = 0, 1, 2


class _Silent(dict):  # type: ignore[type-arg]
    """Logs of a trainer, which nobody reads."""

    def __missing__(self, key: str) -> Any:
        self[key] = defaultdict(deque) if key in ("rewards", "extra") else deque()
        return self[key]


def _same(value: Any, *_: Any, **__: Any) -> Any:
    return value


def _accelerator(torch: Any) -> SimpleNamespace:
    """One process on the CPU."""
    return SimpleNamespace(
        device=torch.device("cpu"),
        process_index=0,
        num_processes=1,
        sync_gradients=True,
        gather=_same,
        gather_for_metrics=_same,
        reduce=_same,
    )


def _trainer(base: Any, arguments: Any, batch: Any, group: int) -> Any:
    """A trainer of class `base` that has no model: all else is the class's own code."""
    import torch

    ids = [[_TOKEN] * (n - 1) + [_TOKEN if cut else _END] for n, cut in _lengths(batch)]

    class Trainer(base):  # type: ignore[misc]
        def __init__(self) -> None:
            for name, value in vars(arguments).items():
                setattr(self, name, value)
            self.args, self.accelerator = arguments, _accelerator(torch)
            self.model = torch.nn.Identity().train()
            self.model.is_gradient_checkpointing = False  # type: ignore[assignment]
            self._tokenizer = SimpleNamespace(pad_token_id=_PAD, eos_token_id=_END)
            self.processing_class = SimpleNamespace(
                batch_decode=lambda rows, **_: ["" for _ in rows]
            )
            self.eos_token_ids = [_END]
            self.num_generations = self.num_generations_eval = group
            self.reward_funcs, self.reward_func_names = [None], ["reward"]
            self.reward_weights = torch.ones(1)
            self.tools = self.environments = self.environment_factories = None
            self.use_vllm = self.aux_loss_enabled = self.log_multimodal = self._is_vlm = False
            self.epsilon_low = arguments.epsilon
            high = arguments.epsilon_high
            self.epsilon_high = arguments.epsilon if high is None else high
            self._entropy_bonus_enabled = False
            self.current_gradient_accumulation_steps = 1
            self._metrics: Any = {"train": defaultdict(list), "eval": defaultdict(list)}
            self._logs: Any = _Silent()
            self._pending_extra_logs: Any = {}
            self._pending_metrics: Any = {}
            self._step = 0
            self.state = SimpleNamespace(global_step=0)
            self.chat_template_kwargs: Any = {}
            # As wide as the trainer pads: to the longest completion.
            longest = max(n for n, _ in _lengths(batch))
            self.logps = torch.zeros((len(ids), longest), dtype=torch.float64, requires_grad=True)

        def _generate(self, prompts: Any) -> tuple[Any, ...]:
            started, texts = [[_TOKEN]] * len(prompts), [""] * len(ids)
            if base.__name__ == "RLOOTrainer":
                return started, ids, texts
            return started, ids, None, texts, None, {}, None, None

        def _calculate_rewards(self, *_: Any) -> Any:
            return torch.tensor(batch.rewards.astype(np.float64))[:, None]

        def _get_per_token_logps_and_entropies(self, *_: Any, **__: Any) -> tuple[Any, ...]:
            return self.logps, torch.zeros_like(self.logps), None

    return Trainer()


def _lengths(batch: Any) -> list[tuple[int, bool]]:
    """Number of tokens of each rollout, and whether it was truncated."""
    return list(zip(batch.mask.sum(axis=1).tolist(), batch.truncated.tolist(), strict=True))


def _in_groups(batch: Any) -> tuple[Any, int]:
    """Rows with the groups side by side, as the trainers expect them, and the size of a group."""
    rows = np.argsort(batch.groups, kind="stable")
    sizes = np.unique(batch.groups, return_counts=True)[1]
    if len(set(sizes.tolist())) > 1:
        raise ValueError(f"groups of sizes {sizes.tolist()}: TRL's trainers have one group size")
    return rows, int(sizes[0])


def token_weights(base: Any, arguments: Any, batch: Any) -> Any:
    """What each token counts for in the loss of a trainer, shape (n, T).

    Args:
        base: GRPOTrainer or RLOOTrainer, as installed.
        arguments: its configuration.
        batch: see `cpi_theory.audit.batch.Batch`.

    Returns:
        Minus the derivative of the loss in the token's log-probability, times the number of
        rollouts: an advantage per token where the loss is the mean over rollouts of a sum.
    """
    import torch

    rows, group = _in_groups(batch)
    trainer = _trainer(base, arguments, batch.pick(rows), group)
    inputs = trainer._generate_and_score_completions([{"prompt": ""} for _ in rows])
    loss = trainer._compute_loss(trainer.model, inputs)
    (slopes,) = torch.autograd.grad(loss, trainer.logps)
    out = np.zeros(batch.mask.shape)
    out[rows, : slopes.shape[1]] = -slopes.numpy() * len(rows)
    return out


def _configured(name: str) -> tuple[Any, Any]:
    import trl
    from transformers import TrainingArguments  # noqa: F401 - a clear error where it is missing

    kind, settings = SETTINGS[name]
    options = {"output_dir": "unused", "report_to": [], "use_cpu": True, "bf16": False}
    options |= {"beta": 0.0, "max_completion_length": 16}
    options |= {"per_device_train_batch_size": 2, "num_generations": 2}
    config = getattr(trl, f"{kind}Config")(**options, **settings)
    return getattr(trl, f"{kind}Trainer"), config


SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "grpo": ("GRPO", {"loss_type": "grpo"}),
    "dapo": ("GRPO", {"loss_type": "dapo"}),
    "bnpo": ("GRPO", {"loss_type": "bnpo"}),
    "dr_grpo": ("GRPO", {"loss_type": "dr_grpo", "scale_rewards": "none"}),
    "dr_grpo-group": ("GRPO", {"loss_type": "dr_grpo"}),
    "dr_grpo-batch": ("GRPO", {"loss_type": "dr_grpo", "scale_rewards": "batch"}),
    "cispo": ("GRPO", {"loss_type": "cispo", "epsilon_high": 5.0}),
    "sapo": ("GRPO", {"loss_type": "sapo"}),
    "rloo": ("RLOO", {}),
    "rloo-normalized": ("RLOO", {"normalize_advantages": True}),
}
"""By name: trainer and what its configuration changes; a loss of the GRPO trainer is named by its
``loss_type``, with ``scale_rewards`` after a dash where it is not what the loss's paper says."""


def estimator(name: str) -> Any:
    """The estimator of that name in :data:`SETTINGS`, a function of a batch."""
    base, config = _configured(name)

    def weights(batch: Any) -> Any:
        return token_weights(base, config, batch)

    weights.__name__ = f"trl:{name}"
    return weights

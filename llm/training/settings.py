"""Loss and optimiser as values, the same for every method and both training engines."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from cpi_theory.checks import check_choice, check_count, check_in_range, check_positive
from llm.models.temperature import check_temperature

Kind = Literal["unclipped", "corrected", "clipped"]

Aggregation = Literal["sequence-mean", "token-mean", "constant"]

SharedPrefixes = Literal["auto", "always", "off"]

LearningPrecision = Literal["weights", "autocast"]


@dataclass(frozen=True, slots=True)
class LossSettings:
    """Which loss.

    Attributes:
        kind: "unclipped": -A log pi, as published for SRPO, right only for the first update from
            a batch; "corrected": the same, each token weighed by its ratio to the policy that
            sampled, at most `most_ratio`, for samplers that compute in another precision than the
            model that learns; "clipped": PPO's, on the ratio to the policy that sampled. See
            :func:`llm.training.losses.policy_loss` for all.
        aggregation: "sequence-mean": mean over rows of each row's mean over its tokens, as
            published for GRPO and SRPO: a token of a short suffix then weighs more than one of a
            long rollout; "token-mean": mean over all tokens (DAPO); "constant": sum over all
            tokens, divided by `constant`, so that a row weighs by its length and nothing depends
            on the others (Dr. GRPO, up to the factor of the number of rows). See
            :func:`llm.training.losses.token_weights`.
        clip_low, clip_high: the ratio's range is [1 - clip_low, 1 + clip_high].
        constant: of the aggregation "constant", in tokens.
        temperature: of the sampling whose log-probabilities are learned from, in [0.01, 100].
        kl: weight of the KL divergence to the model that training began with, estimated at each
            sampled token and averaged as the other terms are; 0: none, and no start model is kept.
        kl_weighted: weight that estimate by the ratio to the policy that sampled, which makes its
            gradient that of the KL divergence itself; False: as first published for GRPO.
        mask_above: tokens that were at least this likely when they were sampled have no gradient of
            their advantage, in (0, 1]; 1: all tokens have one. Averages still count all of them.
        most_ratio: largest weight of a token in "corrected", in [1, 100].

    Source: Guo et al. (2025), arXiv 2505.23564 (the mask); Shao et al. (2024), arXiv 2402.03300
    (GRPO and its KL term); Liu et al. (2025), arXiv
    2503.20783 (Dr. GRPO); Yu et al. (2025), arXiv 2503.14476 (DAPO); arXiv 2512.02556 (the weighted
    KL term); arXiv 2605.25507 (SRPO).
    """

    kind: Kind = "unclipped"
    aggregation: Aggregation = "token-mean"
    clip_low: float = 0.2
    clip_high: float = 0.2
    constant: float = 1000.0
    temperature: float = 1.0
    # Left out where they have their defaults: settings stored before there were these keep their
    # names.
    kl: float = field(default=0.0, metadata={"later": True})
    kl_weighted: bool = field(default=True, metadata={"later": True})
    most_ratio: float = field(default=2.0, metadata={"later": True})
    mask_above: float = field(default=1.0, metadata={"later": True})

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, get_args(Kind))
        check_choice("aggregation", self.aggregation, get_args(Aggregation))
        check_in_range("clip_low", self.clip_low, 0, 1)
        check_in_range("clip_high", self.clip_high, 0, 100)
        check_in_range("most_ratio", self.most_ratio, 1, 100)
        check_positive("constant", self.constant)
        check_temperature("temperature", self.temperature, greedy=False)
        check_in_range("kl", self.kl, 0, 1000)
        check_in_range("mask_above", self.mask_above, 1e-6, 1)


@dataclass(frozen=True, slots=True)
class OptimizerSettings:
    """AdamW; without weight decay it is Adam.

    Attributes:
        rate: highest learning rate.
        warm_up: updates over which the rate rises linearly to it.
        decay: update by which it has fallen to 0 along a cosine; 0: it never falls.
        weight_decay: decoupled, per update and unit of rate.
        beta1, beta2: decay of the averages of the gradient and its square.
        max_norm: gradients of a larger norm are scaled down to it.
        minibatches: how many a batch of rows is split into, by prompts; each makes an update. From
            the second on rows are off-policy: the unclipped loss does not correct for it.
        epochs: how often all of a batch's rows are learned from.
        micro_batch: rows per forward pass; it never changes the result.
        shared_prefixes: "auto": prompts and kept thoughts that rows have in common are read once,
            if the model is large enough for that to pay; "always": whatever its size; "off": each
            row is read by itself. All give the same gradient up to rounding. Models that cannot
            share, see :func:`llm.training.sharing.obstacle`, read rows by themselves and say so.
        precision: of the arithmetic: "weights": that of the weights; "autocast": matrix products in
            bfloat16 over float32 weights. Log-probabilities then differ from those of the sampler,
            so the ratio of the loss "clipped" is to those of this arithmetic, before the first
            update: it is 1 there. That of "corrected" is to the sampler's all the same.

    Source: Kingma and Ba (2015), arXiv 1412.6980 (Adam); Loshchilov and Hutter (2019), arXiv
    1711.05101 (decoupled weight decay).
    """

    rate: float = 1.5e-4
    warm_up: int = 0
    decay: int = 0
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    max_norm: float = 1.0
    # Stored settings, and with them the names of stored results, keep the older name.
    minibatches: int = field(default=1, metadata={"stored": "parts"})
    epochs: int = 1
    micro_batch: int = 64
    shared_prefixes: SharedPrefixes = field(default="auto", metadata={"later": True})
    precision: LearningPrecision = field(default="weights", metadata={"later": True})

    def __post_init__(self) -> None:
        for name in ("rate", "max_norm"):
            check_positive(name, getattr(self, name))
        for name in ("warm_up", "decay"):
            check_count(name, getattr(self, name), minimum=0)
        check_in_range("weight_decay", self.weight_decay, 0, 1)
        check_in_range("beta1", self.beta1, 0, 0.9999)
        check_in_range("beta2", self.beta2, 0, 0.999999)
        for name in ("minibatches", "epochs", "micro_batch"):
            check_count(name, getattr(self, name))
        check_choice("shared_prefixes", self.shared_prefixes, get_args(SharedPrefixes))
        check_choice("precision", self.precision, get_args(LearningPrecision))

    def rate_at(self, update: int) -> float:
        r"""Return the learning rate of an update.

        :math:`\eta_u = \eta \min(1, \frac{u + 1}{w}) \cdot \frac{1}{2} (1 + \cos(\pi u / d))`
        with w = `warm_up` and d = `decay`; a factor whose setting is 0 is left out.

        Args:
            update: number u of the update, 0-based; from `decay` on the rate is 0.

        Source: Loshchilov and Hutter (2017), arXiv 1608.03983 (the cosine).
        """
        # (update + 1): the very first update has a rate above 0 already.
        rise = min(1.0, (update + 1) / self.warm_up) if self.warm_up else 1.0
        if not self.decay:
            return self.rate * rise
        # Behind `decay` the cosine would rise again.
        return self.rate * rise * 0.5 * (1 + math.cos(math.pi * min(1.0, update / self.decay)))

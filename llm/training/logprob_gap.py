"""How far the policy that learns is from the one that sampled, token by token."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class LogprobGap:
    r"""The mean of :math:`|\log \pi(y_t) - \log \pi_{old}(y_t)|` over the tokens learned from.

    In the first update from a batch it is what the precision of the sampler or of learning makes,
    rounding where both are the same; later ones add what the policy has moved.
    """

    def __init__(self) -> None:
        self._sum, self._largest, self._tokens = 0.0, 0.0, 0

    @torch.no_grad()
    def add(self, logprobs: Tensor, old_logprobs: Tensor, mask: Tensor) -> None:
        """Add rows.

        Args:
            logprobs: under the policy that learns, in nats, shape (n, T).
            old_logprobs: under the one that sampled, shape (n, T).
            mask: which places count, bool, shape (n, T).
        """
        gaps = (logprobs.float() - old_logprobs.float())[mask].abs()
        if gaps.numel():
            self._sum += float(gaps.sum())
            self._largest = max(self._largest, float(gaps.max()))
            self._tokens += gaps.numel()

    def take(self) -> Mapping[str, float]:
        """Return `logprob_gap` and `logprob_gap_largest` in nats, and begin anew.

        Nothing where no token was learned from.
        """
        found = {}
        if self._tokens:
            mean = self._sum / self._tokens
            found = {"logprob_gap": mean, "logprob_gap_largest": self._largest}
        self._sum, self._largest, self._tokens = 0.0, 0.0, 0
        return found

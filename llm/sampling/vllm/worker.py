"""What runs inside vLLM's workers: weights come in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class Worker:
    """Methods that are added to vLLM's own worker class; see its ``worker_extension_cls``."""

    model_runner: Any
    reload_weights: Callable[..., None]

    def take_weights(self, weights: Sequence[tuple[str, Any]]) -> None:
        """Load weights under the names that transformers gives them.

        Args:
            weights: (name, tensor) pairs of :func:`llm.sampling.vllm.sampler.weights_of`, each of
                the shape in which transformers holds it.
        """
        self.reload_weights(weights_iterator=iter(weights))
        _repack_tied_output(self.model_runner.get_model())


def _repack_tied_output(model: Any) -> None:
    """Pack a tied output matrix anew for the CPU's kernels.

    Weights arrive by name and a tied matrix has only that of the embedding, so that vLLM packs
    nothing anew for the output and its kernels go on with the old numbers.
    """
    head: Any = getattr(model, "lm_head", None)
    if getattr(model.config, "tie_word_embeddings", False) and hasattr(head, "quant_method"):
        head.quant_method.process_weights_after_loading(head)

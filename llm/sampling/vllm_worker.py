"""What runs inside vLLM's workers: weights come in, and logits leave at a temperature.

vLLM reports log-probabilities either before temperature or after top-p; what is trained on is in
between. So the workers divide the logits themselves, and the engine samples at temperature 1 and
reports what it calls raw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

_LOGITS = ("compute_logits", "compute_logits_local")
"""Methods of vLLM's models; the second is of those whose sampling is split over GPUs."""


class Worker:
    """Methods that are added to vLLM's own worker class; see its ``worker_extension_cls``."""

    model_runner: Any
    reload_weights: Callable[..., None]

    def divide_logits(self, temperature: float) -> None:
        """Divide all logits from now on by this, in float32.

        Args:
            temperature: in [0.01, 100]; 1 gives back the model's own method.
        """
        model = self.model_runner.get_model()
        for name in _LOGITS:
            if hasattr(model, name):
                _wrap(model, name, temperature)

    def take_weights(self, weights: Sequence[tuple[str, Any]]) -> None:
        """Load weights under the names that transformers gives them.

        Args:
            weights: (name, tensor) pairs of :func:`llm.sampling.vllm_sampler.weights_of`, each of
                the shape in which transformers holds it.
        """
        self.reload_weights(weights_iterator=iter(weights))
        _repack_tied_output(self.model_runner.get_model())


def _wrap(model: Any, name: str, temperature: float) -> None:
    # Always from the model's own method: one that was divided already would be divided twice.
    plain = getattr(model, f"cpi_plain_{name}", getattr(model, name))

    def divided(*inputs: Any, **options: Any) -> Any:
        logits = plain(*inputs, **options)  # None where a worker has no share of them
        return logits if logits is None else logits.float() / temperature

    setattr(model, f"cpi_plain_{name}", plain)
    setattr(model, name, plain if temperature == 1 else divided)


def _repack_tied_output(model: Any) -> None:
    """Pack a tied output matrix anew for the CPU's kernels.

    Weights arrive by name and a tied matrix has only that of the embedding, so that vLLM packs
    nothing anew for the output and its kernels go on with the old numbers.
    """
    head: Any = getattr(model, "lm_head", None)
    if getattr(model.config, "tie_word_embeddings", False) and hasattr(head, "quant_method"):
        head.quant_method.process_weights_after_loading(head)

"""What can be said about sampling with vLLM where it is not installed."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch

from cpi_theory.checks import InvalidInput
from llm.sampling.vllm.sampler import VllmSampler, VllmSettings, weights_of
from tests.llm.words import random_model, vocabulary


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("model", ""), ("device", "tpu"), ("dtype", "int8"), ("memory_share", 1.5)),
        *(("gpus", 0), ("context", 1), ("batch", 0), ("seed", -1), ("cache_gib", 0)),
    ],
)
def test_settings_out_of_range_are_refused(field, value):
    with pytest.raises(InvalidInput, match=rf"vllm\.{field} = "):
        VllmSettings(**{"model": "folder", field: value})


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_missing_vllm_is_said_with_the_remedy():
    with pytest.raises(InvalidInput, match=r"not installed; pip install 'cpi-resets\[vllm\]'"):
        VllmSampler(VllmSettings("folder"), vocabulary("a"))


def test_adapters_are_added_to_the_weights_that_are_handed_over():
    peft = pytest.importorskip("peft")
    model = random_model(8)
    plain = dict(weights_of(model))
    assert plain.keys() == {name for name, _ in model.named_parameters()}
    adapted = peft.get_peft_model(
        model, peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    )
    handed = dict(weights_of(adapted))
    moved = {name for name in plain if not torch.equal(plain[name], handed[name])}
    assert handed.keys() == plain.keys()
    assert moved == {name for name in plain if "q_proj" in name}
    merged = dict(adapted.merge_and_unload().named_parameters())
    for name in plain:
        torch.testing.assert_close(handed[name], merged[name])

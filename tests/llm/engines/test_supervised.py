from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from llm.engines.lean import TrainingDiverged
from llm.engines.trl.supervised import fine_tune
from llm.models.law import plain_logprobs
from llm.models.load import prepare
from llm.models.settings import LoraSettings, ModelSettings
from llm.training.supervised import Example, SupervisedSettings
from tests.llm.bytes import byte_model, byte_vocabulary

VOCABULARY = byte_vocabulary()
EXAMPLES = [
    Example(VOCABULARY.encode(f"{i}: "), (*VOCABULARY.encode("ab" * (1 + i % 3)), 1))
    for i in range(12)
]
SHORT = SupervisedSettings(batch=4, micro_batch=4, rate=1e-3, epochs=2)


def model(seed: int = 0) -> torch.nn.Module:
    return byte_model(len(VOCABULARY.tokenizer), seed)


def weights(of: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in of.parameters()])


def nll(of: torch.nn.Module, example: Example) -> torch.Tensor:
    return -plain_logprobs(of, example.prompt, example.completion)


def test_the_first_loss_is_the_mean_over_completion_tokens_alone(tmp_path: Path) -> None:
    one = model()
    order = SHORT.order(EXAMPLES, Key.of(3).child("order"))
    with torch.no_grad():
        expected = torch.cat([nll(one, example) for example in order[:4]]).mean()
    losses = fine_tune(one, VOCABULARY, EXAMPLES, SHORT, Key.of(3), tmp_path)
    assert len(losses) == 6
    # Logged losses are rounded to four decimals or so by the trainer.
    assert losses[0] == pytest.approx(float(expected), abs=2e-4)
    assert losses[-1] < losses[0]


def test_the_first_update_is_adamw_on_that_loss(tmp_path: Path) -> None:
    one, other = model(), model()
    settings = SupervisedSettings(batch=12, micro_batch=4, rate=1e-3, max_norm=0.01)
    fine_tune(one, VOCABULARY, EXAMPLES, settings, Key.of(0), tmp_path)
    optimizer = torch.optim.AdamW(other.parameters(), lr=1e-3, weight_decay=0.0)
    loss = torch.cat([nll(other, example) for example in EXAMPLES]).mean()
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(other.parameters(), 0.01)
    optimizer.step()
    # Adam's first step is the sign of the gradient where it is far above epsilon: compared where
    # rounding does not decide.
    sure = torch.cat([p.grad.flatten() for p in other.parameters()]).abs() > 1e-6  # type: ignore[union-attr]
    assert sure.float().mean() > 0.3
    torch.testing.assert_close(weights(one)[sure], weights(other)[sure], atol=2e-5, rtol=0)


def test_an_interrupted_run_goes_on_to_the_same_weights_and_losses(tmp_path: Path) -> None:
    whole, first = model(), model()
    losses = fine_tune(whole, VOCABULARY, EXAMPLES, SHORT, Key.of(0), tmp_path / "a", 2)

    def interrupt(update: int, _loss: float) -> None:
        if update == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tune(first, VOCABULARY, EXAMPLES, SHORT, Key.of(0), tmp_path / "b", 2, interrupt)
    assert [p.name for p in (tmp_path / "b").glob("checkpoint-*")] == ["checkpoint-4"]
    second, seen = model(), []
    again = fine_tune(
        second, VOCABULARY, EXAMPLES, SHORT, Key.of(0), tmp_path / "b", 2, lambda *a: seen.append(a)
    )
    assert again == losses
    assert [update for update, _ in seen] == [5, 6]
    assert torch.equal(weights(whole), weights(second))
    assert not torch.equal(weights(whole), weights(model()))


def test_runs_hang_on_their_key_alone_and_leave_torchs_stream_and_forward_pass(
    tmp_path: Path,
) -> None:
    one, other, third = model(), model(), model()
    before = torch.random.get_rng_state()
    forward = one.forward
    fine_tune(one, VOCABULARY, EXAMPLES, SHORT, Key.of(0), tmp_path / "a")
    assert torch.equal(before, torch.random.get_rng_state())
    assert one.forward == forward
    assert not one.training
    torch.rand(7)
    fine_tune(other, VOCABULARY, EXAMPLES, SHORT, Key.of(0), tmp_path / "b")
    fine_tune(third, VOCABULARY, EXAMPLES, SHORT, Key.of(1), tmp_path / "c")
    assert torch.equal(weights(one), weights(other))
    assert not torch.equal(weights(one), weights(third))


def test_micro_batches_change_nothing_but_rounding(tmp_path: Path) -> None:
    losses = [
        fine_tune(
            model(),
            VOCABULARY,
            EXAMPLES,
            SupervisedSettings(batch=4, micro_batch=size, rate=1e-3),
            Key.of(0),
            tmp_path / str(size),
        )
        for size in (1, 3, 4)
    ]
    for some in losses[1:]:
        assert some == pytest.approx(losses[0], abs=5e-4)


def test_adapters_are_trained_and_the_model_below_is_not(tmp_path: Path) -> None:
    plain = model()
    before = copy.deepcopy(plain.state_dict())
    adapted = prepare(plain, ModelSettings("x", lora=LoraSettings(4, 8)))
    losses = fine_tune(adapted, VOCABULARY, EXAMPLES, SHORT, Key.of(0), tmp_path)
    assert losses[-1] < losses[0]
    below = {
        n.replace(".base_layer", ""): p for n, p in adapted.get_base_model().named_parameters()
    }
    assert all(torch.equal(below[name], value) for name, value in before.items() if name in below)
    merged = adapted.merge_and_unload()
    assert not torch.equal(weights(merged), torch.cat([v.flatten() for v in before.values()]))


def test_a_run_that_diverges_or_does_not_fit_says_so(tmp_path: Path) -> None:
    wild = model()
    with torch.no_grad():
        next(wild.parameters())[5:] = torch.nan
    with pytest.raises(TrainingDiverged, match="loss"):
        fine_tune(wild, VOCABULARY, EXAMPLES, SHORT, Key.of(0), tmp_path)
    long = Example((5,) * 500, (6,) * 13)
    with pytest.raises(InvalidInput, match=r"examples\[1\].*513 tokens"):
        fine_tune(model(), VOCABULARY, [EXAMPLES[0], long], SHORT, Key.of(0), tmp_path)
    with pytest.raises(InvalidInput, match="batch = 4"):
        fine_tune(model(), VOCABULARY, EXAMPLES[:1], SHORT, Key.of(0), tmp_path)


def test_every_epoch_takes_every_example_once_in_an_order_of_its_own() -> None:
    settings = SupervisedSettings(batch=3, epochs=3)
    order = settings.order(EXAMPLES, Key.of(0))
    epochs = [order[i : i + 12] for i in (0, 12, 24)]
    assert all(sorted(map(EXAMPLES.index, epoch)) == list(range(12)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    # 24 examples in batches of 5 make 4 updates; the last four are left out.
    two = SupervisedSettings(batch=5, epochs=2)
    assert two.updates(12) == 4
    assert len(two.order(EXAMPLES, Key.of(0))) == 20


@pytest.mark.parametrize(
    "field", ["examples", "epochs", "batch", "micro_batch", "rate", "max_norm"]
)
def test_impossible_settings_are_refused(field: str) -> None:
    with pytest.raises(InvalidInput, match=field):
        SupervisedSettings(**{field: 0})  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="prompt"):
        Example((), (1,))

"""Options of commands on top of configuration files."""

from __future__ import annotations

import pytest

from cpi_theory.checks import InvalidInput
from experiments.options import Misread, parse_options
from llm.models.settings import ModelSettings


def test_a_model_may_be_named_alone_in_every_command() -> None:
    """``--model X`` is ``--model.path X``, where a model is the default and where none is."""
    from experiments.diagnose.config import DiagnoseConfig
    from experiments.train.config import TrainConfig

    for cls in (TrainConfig, DiagnoseConfig):
        for arguments in (
            ["--model", "tiny", "--model.device", "cuda"],
            ["--model=tiny", "--model.device=cuda"],
            ["--model.path", "tiny", "--model.device", "cuda"],
        ):
            config, _, _ = parse_options("x", cls, arguments)
            assert config.model == ModelSettings("tiny", "cuda")
    assert parse_options("x", DiagnoseConfig, [])[0].model is None
    with pytest.raises(InvalidInput, match="give --model too"):
        parse_options("x", DiagnoseConfig, ["--model.device", "cuda"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["metod", "X"], "'metod': not a choice; did you mean 'method'? choose one of 'method', "),
        (["zzz", "X"], "'zzz': not a choice; choose one of 'method', 'reset', 'world', 'task'"),
    ],
)
def test_a_text_that_is_no_choice_is_refused_with_the_nearest(
    words: list[str], message: str
) -> None:
    from experiments.new.config import NewConfig

    with pytest.raises(Misread) as caught:
        parse_options("x", NewConfig, words)
    assert caught.value.code == 2
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "ten"], "--seeds: 'ten': not an integer; give one, such as 10"),
        (["--seeds", "1e3"], "--seeds: '1e3': not an integer; give one, such as 10"),
        (["--rate", "x"], "--rate: 'x': not a number; give one, such as 0.5 or 1e-4"),
    ],
)
def test_a_text_that_is_no_number_is_refused_in_plain_words(words: list[str], message: str) -> None:
    from experiments.learn.config import LearnConfig

    with pytest.raises(Misread) as caught:
        parse_options("x", LearnConfig, words)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tokens", "x"], "Error parsing --tokens: 'x': not an integer; give one, such as 10"),
        (["--tokens", ""], "Error parsing --tokens: '': not an integer; give one, such as 10"),
    ],
)
def test_a_number_that_may_be_left_out_is_refused_in_the_same_words(
    words: list[str], message: str
) -> None:
    from experiments.diagnose.config import DiagnoseConfig

    with pytest.raises(Misread) as caught:
        parse_options("x", DiagnoseConfig, words)
    assert caught.value.message == message
    assert parse_options("x", DiagnoseConfig, ["--tokens", "9"])[0].tokens == 9
    assert parse_options("x", DiagnoseConfig, ["--tokens", "None"])[0].tokens is None


@pytest.mark.parametrize("given", [["0.5", "x"], ["x"], ["x", "0.5"], ["0.1", "x", "0.2"]])
def test_of_several_numbers_the_one_that_is_none_is_named(given: list[str]) -> None:
    from experiments.compare.config import CompareConfig

    with pytest.raises(Misread) as caught:
        parse_options("x", CompareConfig, ["--taus", *given])
    expected = "Error parsing --taus: 'x': not a number; give one, such as 0.5 or 1e-4"
    assert caught.value.message == expected
    config, _, _ = parse_options(
        "x", CompareConfig, ["--taus", "0.1", "0.2", "--actions", "3", "4"]
    )
    assert (config.taus, config.actions) == ((0.1, 0.2), (3, 4))


def test_what_a_table_of_options_refuses_is_named_with_its_path(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from experiments.train.config import TrainConfig

    for words, field in (
        (["--optimizer.rate", "nan"], "optimizer.rate"),
        (["--sampler.max-batch", "0"], "sampler.max_batch"),
    ):
        with pytest.raises(InvalidInput) as caught:
            parse_options("x", TrainConfig, words)
        assert caught.value.field == field
    assert capsys.readouterr().err == ""  # it is said once, by who handles the error


def test_choices_below_a_table_and_defaults_are_read() -> None:
    from experiments.train.config import TrainConfig

    config, _, _ = parse_options("x", TrainConfig, ["--optimizer.precision=autocast"])
    assert (config.optimizer.precision, config.engine) == ("autocast", "lean")
    with pytest.raises(Misread, match="2") as caught:
        parse_options("x", TrainConfig, ["--optimizer.precision", "autocst"])
    expected = "Error parsing --optimizer.precision: 'autocst': not a choice; did you mean"
    assert caught.value.message.startswith(expected)

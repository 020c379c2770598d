"""Options of commands on top of configuration files."""

from __future__ import annotations

import pytest

from cpi_theory.checks import InvalidInput
from experiments.options import parse_options
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

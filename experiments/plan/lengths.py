"""How long prompts, rollouts and replies are taken to be, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cpi_theory.checks import InvalidInput
from experiments.plan.config import Assumptions
from experiments.runs.files import Row
from experiments.runs.fingerprint import points_to
from experiments.runs.store import Run
from experiments.train.spec import TrainSpec
from experiments.worlds.language import LanguageWorld
from llm.models.settings import ModelSettings
from llm.throughput.architecture import prompt_lengths

_PROMPT, _REPLY, _SEEN = 400.0, 200.0, 64
_CHARACTERS = 3.5
"""Of English and LaTeX per token, where no tokenizer is there to count."""


@dataclass(frozen=True)
class Lengths:
    """Tokens of everything that is read and written.

    Attributes:
        prompt, longest_prompt: of problems.
        rollout, longest, limit: of a rollout: on average, the longest of a call, at most.
        thoughts: most of a rollout.
        reply, longest_reply: of a localisation.
        words: each assumption in words.
    """

    prompt: float
    longest_prompt: float
    rollout: float
    longest: float
    limit: float
    thoughts: int
    reply: float
    longest_reply: float
    words: tuple[str, ...]


def lengths_of(spec: TrainSpec, assume: Assumptions, context: int) -> Lengths:
    """What a run is taken to read and write.

    Args:
        spec: of the run.
        assume: what the user says.
        context: longest sequence of the model, in tokens.

    Raises:
        InvalidInput: a prompt is as long as the context, or an assumed length is beyond its limit
            or, of the longest rollout, below the average.
    """
    form, writing = spec.world.form(), spec.world.writing
    mean, most, words = _prompt(spec.world, spec.model, assume)
    if most >= context:
        problem = f"as long as the model's context of {context:,} tokens, or longer"
        remedy = "leave such problems out, or choose a model with a longer context"
        raise InvalidInput("prompt", round(most), problem, remedy)
    limit = float(min(form.max_tokens, context - most))
    told = [words]
    if limit < form.max_tokens:
        told.append(
            f"rollouts end after {limit:,.0f} tokens and not {form.max_tokens:,}: a prompt of "
            f"{most:,.0f} leaves no more of the context of {context:,}"
        )
    replies = 8.0 * form.max_thoughts if writing is None else float(writing.localization_tokens)
    longer = "lower it, or raise max_tokens of the world"
    _check_limit("tokens", assume.tokens, limit, "a rollout", longer)
    _check_limit("longest", assume.longest, limit, "a rollout", longer)
    _check_limit("reply", assume.reply, replies, "a localisation", "lower it")
    rollout = min(assume.tokens or limit / 4, limit)
    told.append(
        f"{rollout:,.0f} tokens per rollout ({_by(assume.tokens, 'a quarter of the limit')})"
    )
    if assume.longest is not None and assume.longest < rollout:
        problem = f"less than the average of {rollout:,.0f} tokens, a quarter of the limit"
        remedy = "raise it, or give assume.tokens"
        raise InvalidInput("assume.longest", assume.longest, problem, remedy)
    longest = min(assume.longest or 2 * rollout, limit)
    how = _by(assume.longest, "twice that")
    told.append(f"{longest:,.0f} tokens in the longest rollout of a call ({how})")
    reply = min(assume.reply or _REPLY, replies)
    told.append(f"{reply:,.0f} tokens per localisation ({_by(assume.reply, 'the default')})")
    return Lengths(
        mean, most, rollout, longest, limit, form.max_thoughts, reply, replies, tuple(told)
    )


def _check_limit(name: str, value: float | None, limit: float, what: str, remedy: str) -> None:
    """Refuse an assumed length beyond the limit, which would be planned in its place."""
    if value is not None and value > limit:
        problem = f"more than the limit of {limit:,.0f} tokens on {what}"
        raise InvalidInput(f"assume.{name}", value, problem, remedy)


def _by(given: float | None, otherwise: str) -> str:
    return otherwise if given is None else "given"


def _prompt(
    world: LanguageWorld, model: ModelSettings, assume: Assumptions
) -> tuple[float, float, str]:
    """Mean and longest prompt, and how they are known."""
    if assume.prompt is not None:
        return assume.prompt, assume.prompt, f"{assume.prompt:,.0f} tokens per prompt (given)"
    prompts = _prompts(world)
    if not prompts:
        words = f"{_PROMPT:,.0f} tokens per prompt: the problems are not here, or cannot be read"
        return _PROMPT, 2 * _PROMPT, words
    counted = prompt_lengths(model, prompts)
    tokens: Sequence[float] = counted or [len(prompt) / _CHARACTERS for prompt in prompts]
    how = "by the tokenizer" if counted else f"{_CHARACTERS} characters per token"
    mean = sum(tokens) / len(tokens)
    words = f"{mean:,.0f} tokens per prompt, {max(tokens):,.0f} at most (of {len(tokens)}; {how})"
    return mean, float(max(tokens)), words


def _prompts(world: LanguageWorld) -> Sequence[str]:
    """Some prompts of a world whose problems lie here; none where they do not."""
    if not all(path.exists() for path in points_to(world).values()):
        return []  # a name on a hub: nothing is downloaded to plan
    try:
        task = world.task()
        problems = task.problems("train", min(_SEEN, len(getattr(task, "train", range(_SEEN)))), 0)
        return [task.prompt(problem) for problem in problems]
    except InvalidInput:
        return []


def _curves(folder: Path) -> Sequence[Row]:
    """The curves of a run of `train`.

    Raises:
        InvalidInput: it is none, or has none yet.
    """
    remedy = "give the folder of a run of train that has ended, such as results/train"
    if not (folder / "run.json").is_file():
        raise InvalidInput("like", folder, "holds no run", remedy)
    run = Run.existing(folder.parent, folder.name)
    if not isinstance(run.config, dict) or run.config.get("type") != "TrainConfig":
        raise InvalidInput("like", folder, "is no run of train", remedy)
    if not run.has("curves"):
        raise InvalidInput("like", folder, "has no curves yet", remedy)
    return run.read("curves")


def as_in(folder: Path, assume: Assumptions) -> Assumptions:
    """What was measured in a run of `train`, in place of what is not given.

    Its rollouts are those of GRPO, which are whole, where it trained with it; pass rates are those
    of its evaluations.

    Raises:
        InvalidInput: the folder holds no such run.
    """
    rows = _curves(folder)
    last = {(r["world"], r["method"], r["seed"]): r for r in rows}
    whole = [r for r in last.values() if r["method"] == "GRPO"] or list(last.values())
    tokens = sum(r["tokens"] - r["localization_tokens"] for r in whole)
    asked = sum(r["localizations"] for r in last.values() if r["localization_tokens"])
    reply = sum(r["localization_tokens"] for r in last.values()) / asked if asked else None
    default = Assumptions()
    found = {
        "pass_rate": sum(r["value"] for r in rows) / len(rows),
        "tokens": tokens / sum(r["rollouts"] for r in whole),
        "reply": reply or None,
    }
    return replace(
        assume,
        **{k: v for k, v in found.items() if getattr(assume, k) == getattr(default, k)},
    )

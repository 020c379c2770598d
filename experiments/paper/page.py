"""The page on the paper's runs: tables from the recipes, and what no setting can say."""

from __future__ import annotations

from collections.abc import Iterator

from experiments.paper.differences import differences
from experiments.paper.recipes import MODELS, PARTS, PROBLEMS, Recipe, recipes

_HEAD = """# The paper's training runs

Made by `python -m experiments.paper`, with the files of
[experiments/configs/paper](../experiments/configs/paper): change
[experiments/paper/recipes.py](../experiments/paper/recipes.py) and run it again. None of these
runs has been made here: they need a large GPU. Every file is loaded, checked and run for two
updates with the tiny model by the tests.

    cpi-resets data prepare numinamath_olympiads        # and livecodebench_medium
    cpi-resets plan experiments/configs/paper/olmo3-7b-olympiads-equal.toml
    cpi-resets train --config experiments/configs/paper/olmo3-7b-olympiads-equal.toml --workers 1
"""

_SIZES = """
All files: LoRA of rank and alpha 64 on all linear layers over bfloat16 weights; AdamW at 5e-5,
constant, weight decay .01, gradients clipped to 1; 32 prompts of 8 learned rollouts per update,
in four minibatches of 8 prompts; two epochs; temperature .7 and top-p .95; 20 thoughts of at most
256 tokens, 5,120 in all; localisation at .3 with at most 4,096 tokens. Three seeds.
"""

_NOT_SETTINGS = """
## What no setting reproduces

- **Localisations that cannot be read** send the release to step 1, and so does the reply that no
  step is wrong. Here they are refusals, and the prompt draws four more rollouts from its start,
  which join the base group.
- **Which programs are right**: the release counts tests until the first failure, on a list that
  ends there; here all tests run. It evaluates on the training problems with the training tests;
  the nearest here is training problems with tests of their own.
- **GRPO's advantages** are divided by the sample standard deviation there, by that of the
  population here: at 8 rollouts 7 % larger, and AdamW takes out a common factor. Dual clipping of
  negative advantages at 3 is left out.
- **Averages** of a loss are over a micro-batch there and over an update here.
- **Minibatches** hold whole prompts here; there rows are sorted by length first.
- **Prompts**: the words are ours. **Evaluations** during training sample at the training
  temperature; greedy ones are at both ends.
- **Seeds** there reach neither sampling nor resets; runs named 42, 0 and 420 are three runs of
  any seed.
- **GPUs**: a model on one GPU here; there two of them (7B) or four (14B) share it.
- **Problems**: see [data.md](data.md) for which are left out.

The release as it stands cannot train SRPO at the version of its trainer that it pins: the
advantages of suffixes never reach the loss. What is reproduced is what its code was written to
do.

## What the matched files hold equal

`equal`: loss, learning rate, updates and learned rollouts. Equal rates are equal steps as far as
AdamW takes out the scale of a gradient. `equal-unclipped`: the same under the release's loss.
`equal-low-rate`: the same at 1e-6, the rate at which the release ran two of its other baselines.
`equal-tokens`: SRPO with the release's parents draws nine to sixteen rollouts for eight that it
learns from; beside it, under one loss, stand GRPO with eight and with nine. The records compare
methods per rollout and per generated token in any case.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_files(), _SIZES, *_differences(), _NOT_SETTINGS.rstrip(), ""])


def _files() -> Iterator[str]:
    models, problems = " and ".join(MODELS), " and ".join(PROBLEMS)
    yield f"For each model ({models}) and set of problems ({problems}),"
    yield "`MODEL-PROBLEMS-PART.toml`:\n"
    yield "| part | what it is | methods |"
    yield "| --- | --- | --- |"
    first = _first("olympiads")
    for part, (about, _) in PARTS.items():
        yield f"| `{part}` | {about} | {'; '.join(first[part].config.methods)} |"


def _differences() -> Iterator[str]:
    yield "## As released, and under our rules\n"
    yield "| problems | setting | as released | ours | in | why |"
    yield "| --- | --- | --- | --- | --- | --- |"
    told: set[object] = set()
    for problems in PROBLEMS:
        for one in differences(_first(problems)):
            if one in told:
                continue
            told.add(one)
            parts = ", ".join(part.removeprefix("published-") for part in one.parts)
            values = f"{one.released} | {one.ours}"
            label = "all" if problems == next(iter(PROBLEMS)) else problems
            yield f"| {label} | `{one.setting}` | {values} | {parts} | {one.reason} |"


def _first(problems: str) -> dict[str, Recipe]:
    """The recipes of one set of problems for the first model, by part; the others' are the same."""
    start = f"{next(iter(MODELS))}-{problems}-"
    return {r.part: r for r in recipes() if r.name.startswith(start)}

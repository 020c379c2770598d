"""The report's sections on language models: what training did, and what resets are worth."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.document import Block, DataTable, Heading, Paragraph, Verdicts
from experiments.store import Row, Run
from experiments.verdicts import difference_verdicts, interval_text, learning_summary

_FEW = 10
"""Seeds below which a report warns of its own intervals."""


def train_section(run: Run) -> list[Block]:
    """Whether resets helped a language model to learn."""
    pairs = run.read("pairs")
    finals = ("world", "method", "measure", "before", "after", "gain", "lower", "upper", "seeds")
    reach = ("world", "method", "axis", "level", "median", "reached", "seeds")
    made = ("world", "method", "rollouts", "tokens", "forward_tokens", "localization_tokens")
    return [
        Heading("Training a language model"),
        Paragraph(
            "The same algorithm objects, now on a transformer: equal checkpoint, loss, optimiser "
            "and rollouts per update. Pass rates are on held-out problems; differences are in the "
            "mean pass rate over the run, paired by seed. Tokens are all that was sampled, "
            "localisation included."
        ),
        Verdicts((*headlines(pairs), *learning_summary(pairs), *difference_verdicts(pairs))),
        Heading("Localisation while the policy learns", 3),
        Verdicts(localization_verdicts(run.read("localization"))),
        Heading("Before and after", 3),
        DataTable.of(run.read("finals"), finals),
        Heading("Until half of what can be gained is gained", 3),
        DataTable.of(run.read("reach"), reach),
        Heading("What was generated", 3),
        DataTable.of(run.read("collections"), (*made, "informative", "lower", "upper")),
    ]


def headlines(pairs: Sequence[Row]) -> tuple[str, ...]:
    """Whether SRPO learns faster than GRPO, per rollout and per token, and on how many seeds."""
    found = [r for r in pairs if (r["first"], r["second"]) == ("SRPO", "GRPO")]
    sentences = [
        _headline([r for r in found if r["axis"] == axis], axis)
        for axis in dict.fromkeys(r["axis"] for r in found)
    ]
    fewest = min((r["seeds"] for r in pairs), default=_FEW)
    if fewest < _FEW:
        sentences.append(
            f"Some of these differences are over {fewest} seeds only. Where success is rare the "
            "moment at which learning takes off is luck, and so few seeds decide nothing."
        )
    return tuple(sentences)


def _headline(rows: Sequence[Row], axis: str) -> str:
    per = f"per {axis.removesuffix('s')}"
    ahead = [r["world"] for r in rows if r["lower"] > 0]
    behind = [r["world"] for r in rows if r["upper"] < 0]
    where = f"of {len(rows)} worlds ({', '.join(r['world'] for r in rows)})"
    if not ahead:
        text = f"SRPO does not beat GRPO {per}: ahead in none {where}"
    else:
        text = f"SRPO beats GRPO {per} in {len(ahead)} {where}: {', '.join(ahead)}"
    return text + (f"; GRPO is ahead in {', '.join(behind)}." if behind else ".")


def localization_verdicts(rows: Sequence[Row]) -> tuple[str, ...]:
    """How often the policy's own localiser was right, early and late, beside a fixed guess."""
    sentences = []
    for world, method in dict.fromkeys((r["world"], r["method"]) for r in rows):
        if method == "ORACLE":
            continue
        found = [r for r in rows if (r["world"], r["method"]) == (world, method) and r["asked"]]
        first, last = found[0], found[-1]
        guesses = " and ".join(f"{r['first_hard'] / r['asked']:.0%}" for r in (first, last))
        sentences.append(
            f"{world}, {method}: the first error was named in {_right(first)} of failures at first "
            f"and {_right(last)} at last; the first hard step of the question alone is right in "
            f"{guesses} of the same."
        )
    return tuple(sentences)


def _right(row: Row) -> str:
    ends = f" [{row['lower']:.0%}, {row['upper']:.0%}]" if row["lower"] is not None else ""
    return f"{row['exact'] / row['asked']:.0%}{ends}"


def anatomy_section(run: Run) -> list[Block]:
    """What resets of a model's own failures are worth."""
    gaps, accuracy = run.read("gaps"), run.read("accuracy")
    rates = [r for r in run.read("corrections") if r["deviation"] is None]
    return [
        Heading("Resets of a language model's own failures"),
        Paragraph(
            "Failures on held-out problems, before any training with rewards, are reset to the "
            "step that the model names itself, to a random step, to the first error and to the "
            "first hard step of the question; suffixes are drawn from each. A control keeps as "
            "many thoughts of another failure. Steps are judged by an exact checker. Intervals are "
            "over problems: suffixes of one problem are not independent."
        ),
        Verdicts((*accuracy_verdicts(accuracy), *gap_verdicts(gaps))),
        Verdicts(signal_verdicts(run.read("signals"))),
        Heading("Suffixes that succeed", 3),
        DataTable.of(rates, ("world", "kind", "rate", "lower", "upper", "resets", "prompts")),
    ]


def accuracy_verdicts(rows: Sequence[Row]) -> tuple[str, ...]:
    """How often the model finds its first error, beside what needs no localiser."""
    sentences = []
    for world in dict.fromkeys(r["world"] for r in rows):
        own, hard, random = (
            {r["measure"]: r for r in rows if (r["world"], r["kind"]) == (world, kind)}
            for kind in ("self", "first hard", "random")
        )
        text = (
            f"{world}: of {own['exact']['asked']} failures the model names the first error of "
            f"{_share(own['exact'])}, and a step after it, so that the prefix is wrong, in "
            f"{_share(own['late'])}; it names none in {_share(own['refused'])}."
        )
        if hard:
            text += f" The first hard step of the question is right in {_share(hard['exact'])}"
            text += f", a random step in {_share(random['exact'])}."
        sentences.append(text)
    return tuple(sentences)


def _share(row: Row) -> str:
    if row["estimate"] is None:
        return "an unknown share"
    return f"{row['estimate']:.1%} [{row['lower']:.1%}, {row['upper']:.1%}]"


_GAPS = {
    ("self", "self control"): "Suffixes from the named step less those from the same depth of "
    "another failure",
    ("oracle", "oracle control"): "Suffixes from the first error less those from the same depth of "
    "another failure",
    ("self", "random"): "Named step less random step",
    ("self", "first hard"): "Named step less first hard step, which takes no localiser",
    ("self", "start"): "Named step less no reset at all",
    ("clean prefix", "erroneous prefix"): "Clean less erroneous prefixes",
    ("clean prefix, equal depth", "erroneous prefix"): "Clean less erroneous prefixes at equal "
    "depth",
}


def gap_verdicts(gaps: Sequence[Row]) -> tuple[str, ...]:
    """One sentence per comparison over all worlds: what is shown, and what is not."""
    sentences = []
    for (first, second), text in _GAPS.items():
        rows = [r for r in gaps if (r["first"], r["second"]) == (first, second)]
        known = [r for r in rows if r["difference"] is not None]
        if not known:
            continue
        shown = [r["world"] for r in known if r["lower"] > 0 or r["upper"] < 0]
        values = ", ".join(f"{r['world']} {interval_text(r, 'difference', 3)}" for r in known)
        verdict = f"shown in {', '.join(shown)}" if shown else "no difference is shown"
        sentences.append(f"{text}, rate of success: {values}; {verdict}.")
    return tuple(sentences)


def signal_verdicts(signals: Sequence[Row]) -> tuple[str, ...]:
    """How hard the loss pulls at reset groups beside base groups."""
    sentences = []
    for row in signals:
        if row["quantity"] == "suffix / base" and row["estimate"] is not None:
            even = row["lower"] <= 1 <= row["upper"]
            sentences.append(
                f"{row['world']}: per token the loss pulls {interval_text(row, 'estimate')} times "
                "as hard at reset groups as at base groups, constant groups included"
                + ("; no difference is shown." if even else ".")
            )
    return tuple(sentences)

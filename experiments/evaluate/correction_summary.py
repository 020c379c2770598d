"""What self-correction is worth, beside what its tokens buy otherwise.

Rivals get as many independent attempts as were sampled for the same number of generated tokens, in
the mean over the problems: two numbers of attempts next to each other are mixed so that their mean
cost is that of the chains. It is not done problem by problem, for where the oracle stops chains
their cost says how hard a problem is, which the rivals do not know.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpi_theory.randomness import Key
from cpi_theory.seam import Reason
from cpi_theory.statistics.attempts import majority_at_k, pass_at_k
from cpi_theory.statistics.paired import compare_paired, holm
from experiments.runs.files import Row

Array = NDArray[np.float64]

FIRST, MAJORITY, BEST = "first attempt", "majority", "best of n by the oracle"
"""Rivals. The best of n is right if any of n attempts is: choosing it takes the reference, and so
it stands beside chains that the reference stops, not beside what a model can do alone."""

_LIKE = {"own": MAJORITY, "oracle": BEST}
"""The rival that knows as much as chains that are stopped so."""

_CHAINS = ("benchmark", "method", "localizer", "stop")


@dataclass(frozen=True, eq=False)
class Chains:
    """The chains of one model (method and seed) with one localiser and stop.

    Attributes:
        by_problem: of each problem, the rows of each of its chains in the order of the rounds.
        attempts: of each problem, the rows of its independent samples; none: no rival at equal
            tokens.
    """

    by_problem: Mapping[str, Sequence[Sequence[Row]]]
    attempts: Mapping[str, Sequence[Row]]

    def mean(self, of: Callable[[Sequence[Row]], float]) -> Array:
        """The mean of something over the chains of each problem, shape (problems,)."""
        found = [np.mean([of(chain) for chain in chains]) for chains in self.by_problem.values()]
        return np.array(found, np.float64)

    def rival(self, name: str, samples: float) -> Array | None:
        """Chance that a rival with so many attempts is right, shape (problems,).

        None where fewer were sampled.
        """
        fewer = math.floor(samples)
        share = samples - fewer
        counts = [len(self.attempts.get(problem, ())) for problem in self.by_problem]
        if min(counts) < fewer + (share > 0):
            return None
        score = {MAJORITY: _majority, BEST: _best}[name]
        return np.array(
            [
                (1 - share) * score(rows, fewer) + (share * score(rows, fewer + 1) if share else 0)
                for rows in (self.attempts[problem] for problem in self.by_problem)
            ]
        )

    def samples_for(self, tokens: float) -> float | None:
        """How many attempts so many tokens buy in the mean, at least one; None: none were made."""
        costs = [
            np.mean([row["tokens"] + row["discarded"] for row in self.attempts[problem]])
            for problem in self.by_problem
            if self.attempts.get(problem)
        ]
        if len(costs) < len(self.by_problem):
            return None
        return max(1.0, tokens / float(np.mean(costs)))


def _majority(rows: Sequence[Row], count: int) -> float:
    return majority_at_k([r["answer"] for r in rows], [r["right"] for r in rows], count)


def _best(rows: Sequence[Row], count: int) -> float:
    return pass_at_k(sum(r["right"] for r in rows), len(rows), count)


Table = dict[tuple[Any, ...], dict[int | None, Chains]]
"""By benchmark, method, localiser and stop: the chains by the seed of the model."""


def table_of(chains: Sequence[Row], attempts: Sequence[Row]) -> Table:
    """Sort rows of chains, and the independent samples of the same models."""
    samples: dict[Any, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in attempts:
        if row["kind"] == "sampled":
            samples[row["benchmark"], row["method"], row["seed"]][row["problem"]].append(row)
    found: dict[Any, dict[str, dict[int, list[Row]]]] = {}
    for row in chains:
        name = (*(row[field] for field in _CHAINS), row["seed"])
        by_chain = found.setdefault(name, {}).setdefault(row["problem"], {})
        by_chain.setdefault(row["chain"], []).append(row)
    table: Table = {}
    for (*name, seed), by_problem in found.items():
        model = samples[name[0], name[1], seed]
        ordered = {
            problem: [sorted(rows, key=lambda row: row["round"]) for rows in by_chain.values()]
            for problem, by_chain in by_problem.items()
        }
        table.setdefault(tuple(name), {})[seed] = Chains(ordered, model)
    return table


def corrections(table: Table, rounds: int) -> list[Row]:
    """One row per benchmark, method, localiser, stop and round: means over seeds and problems.

    Rows: those names, `round` (0: before any correction), `seeds`, `problems`, `accuracy` (under
    the stop "oracle" an upper bound and no pass@1, which `upper_bound` says), `tokens` generated so
    far in the mean, those of them for verification and localisation (`asking`), tokens read by
    these (`read`), and shares of chains: `mended` (wrong at first, right now), `spoiled` (the other
    way round), `accepted` (ended before this round as nothing was found to mend) and `unnamed`
    (ended as nobody could say where).
    """
    return [
        {
            **dict(zip(_CHAINS, name, strict=True)),
            "round": number,
            "seeds": len(by_seed),
            "problems": len(next(iter(by_seed.values())).by_problem),
            "upper_bound": name[-1] == "oracle",
            **{
                measure: float(np.mean([c.mean(partial(of, number)) for c in by_seed.values()]))
                for measure, of in _OF_A_CHAIN.items()
            },
        }
        for name, by_seed in table.items()
        for number in range(rounds + 1)
    ]


def is_right(rounds: int, chain: Sequence[Row]) -> float:
    """Whether a chain is right after at most so many rounds."""
    return float(chain[: rounds + 1][-1]["right"])


def written(rounds: int, chain: Sequence[Row]) -> float:
    """Tokens of a chain's attempts within so many rounds."""
    return float(sum(row["tokens"] for row in chain[: rounds + 1]))


def asked(rounds: int, chain: Sequence[Row], kind: str = "generated") -> float:
    """Tokens "generated" for, or read as "prompt" of, what was asked within so many rounds."""
    return float(sum(row["said"][kind] for row in chain[:rounds] if row["said"] is not None))


def spent(rounds: int, chain: Sequence[Row]) -> float:
    """All tokens that a chain generated within so many rounds."""
    return written(rounds, chain) + asked(rounds, chain)


def _turned(rounds: int, chain: Sequence[Row], to: bool) -> float:
    return float(chain[0]["right"] != to and is_right(rounds, chain) == to)


def _ended(rounds: int, chain: Sequence[Row], accepted: bool) -> float:
    """Whether a chain has ended by then without a step, because it was accepted or not."""
    last = chain[-1]
    if len(chain) > rounds or last["said"] is None or last["said"]["reason"] is None:
        return 0.0
    nothing = last["stop"] == "own" and last["said"]["reason"] == Reason.NO_ERROR.value
    return float(nothing == accepted)


_OF_A_CHAIN: Mapping[str, Callable[[int, Sequence[Row]], float]] = {
    "accuracy": is_right,
    "tokens": spent,
    "asking": asked,
    "read": partial(asked, kind="prompt"),
    "mended": partial(_turned, to=True),
    "spoiled": partial(_turned, to=False),
    "accepted": partial(_ended, accepted=True),
    "unnamed": partial(_ended, accepted=False),
}


def rivals(table: Table, rounds: int, key: Key) -> list[Row]:
    """Compare chains with what their tokens buy otherwise, paired by problem and seed.

    Rows: the names and the round of :func:`corrections`, `rival`, `samples` (attempts that it has
    in the mean; of the first attempt of the same chains one), `equal_tokens`, `like` (whether it
    knows as much of the reference as the chains do), `score`, `difference` with `lower` and `upper`
    (for other problems and, where there are several, other seeds; the numbers of attempts are taken
    as given), `p`, `holm` (adjusted over what is compared with this rival under this stop after as
    many rounds), `detectable`, `seeds` and `problems`. A rival for which too few attempts were
    sampled has null for all but `samples`.
    """
    rows: list[tuple[Row, Array, Array | None]] = []
    for name, by_seed in table.items():
        for number in range(1, rounds + 1):
            ours = np.stack([chains.mean(partial(is_right, number)) for chains in by_seed.values()])
            for rival in (FIRST, MAJORITY, BEST):
                samples, theirs = _scores(list(by_seed.values()), rival, number)
                row = {
                    **dict(zip(_CHAINS, name, strict=True)),
                    "round": number,
                    "rival": rival,
                    "samples": samples,
                    "equal_tokens": rival != FIRST,
                    "like": rival == _LIKE[name[-1]],
                }
                rows.append((row, ours, theirs))
    sizes = Counter(_family(row) for row, _, theirs in rows if theirs is not None)
    return _adjusted(
        [row | _compared(ours, theirs, key, sizes[_family(row)]) for row, ours, theirs in rows]
    )


def _family(row: Row) -> tuple[Any, ...]:
    """What p-values are adjusted over."""
    return row["rival"], row["stop"], row["round"]


def _scores(some: Sequence[Chains], rival: str, number: int) -> tuple[float | None, Array | None]:
    """Mean number of attempts of a rival, and its scores, shape (seeds, problems)."""
    if rival == FIRST:
        return 1.0, np.stack([chains.mean(partial(is_right, 0)) for chains in some])
    bought = [
        chains.samples_for(float(chains.mean(partial(spent, number)).mean())) for chains in some
    ]
    known = [samples for samples in bought if samples is not None]
    if len(known) < len(some):
        return None, None
    found = [chains.rival(rival, n) for chains, n in zip(some, known, strict=True)]
    scores = [one for one in found if one is not None]
    return float(np.mean(known)), np.stack(scores) if len(scores) == len(some) else None


def _compared(ours: Array, theirs: Array | None, key: Key, comparisons: int) -> Row:
    scope: Row = {"seeds": ours.shape[0], "problems": ours.shape[1]}
    names = ("score", "difference", "lower", "upper", "p", "detectable")
    if theirs is None:
        return scope | dict.fromkeys(names)
    found = compare_paired(ours, theirs, key=key, comparisons=comparisons)
    gap = found.difference
    values = (float(theirs.mean()), gap.estimate, gap.lower, gap.upper)
    return scope | dict(zip(names, (*values, found.p_value, found.detectable), strict=True))


def _adjusted(rows: list[Row]) -> list[Row]:
    """Add `holm` to rows."""
    families: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        row["holm"] = None
        if row["p"] is not None:
            families[_family(row)].append(row)
    for family in families.values():
        for row, p in zip(family, holm([one["p"] for one in family]), strict=True):
            row["holm"] = p
    return rows

"""Write the tables of docs/league.md from the records of leagues.

python docs/league.py [RESULTS]: from docs/records, or from the runs league, league-rates,
league-tiny and league-smollm2 below RESULTS, whose records are copied there first.
"""

from __future__ import annotations

import math
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from cpi_theory.statistics.rank_agreement import order_agreement
from experiments.documents.numbers import number, with_ends
from experiments.league.prediction import small_world_scores
from experiments.league.report import verdicts
from experiments.runs.files import Row, parse_rows, read_bytes, read_object
from experiments.worlds.tabular import WORLDS

ROOT = Path(__file__).resolve().parent.parent
PAGE, RECORDS = ROOT / "docs" / "league.md", ROOT / "docs" / "records"
TABULAR = "league"
RUNS = (TABULAR, "league-rates", "league-tiny", "league-smollm2")
TABLES = (
    *("agreement", "audit", "costs", "overall", "pairs", "places", "scores", "signals"),
    *("tuning", "unfinished"),
)
BEGIN, END = "<!-- tables of docs/league.py: {run} -->", "<!-- end of {run} -->"


def rows(run: str, table: str) -> list[Row]:
    """The rows of a table of a run; none if it is not there."""
    path = RECORDS / run / f"{table}.jsonl"
    return parse_rows(path, read_bytes(path)) if path.exists() else []


def text(run: str) -> str:
    """What a run was, its places, what it found, and what an update takes."""
    if not (RECORDS / run / "run.json").exists():
        return "No records of this league are committed: it has not been run for this page."
    standing, over_all = rows(run, "places"), rows(run, "overall")
    said = verdicts(over_all, standing, rows(run, "agreement"), rows(run, "unfinished"))
    parts = [
        _made(run),
        "\n".join(_places(standing, over_all)),
        "\n".join(f"- {sentence}" for sentence in (*said, *_stuck(run), *_beside_the_tabular(run))),
        "\n".join(_against(run)),
        "\n".join(_costs(standing, rows(run, "costs"), rows(run, "audit"))),
        "\n".join(_chosen_rates(standing)),
    ]
    return "\n\n".join(part for part in parts if part)


def _made(run: str) -> str:
    config = read_object(RECORDS / run / "run.json")["config"]
    some = rows(run, "scores")
    unit = "steps" if some[0]["world"] in WORLDS else "tokens"
    rates = ", ".join(f"{rate:g}" for rate in config["rates"])
    chosen = "" if len(config["rates"]) == 1 else ", the best one of each method in each world"
    return (
        f"{len({row['method'] for row in some})} methods, {config['seeds']} seeds, {len(some)} "
        f"curves of {config['budget']:,} generated {unit} each, {config['prompts']} prompts an "
        f"update, learning rate {rates}{chosen}."
    )


def _places(standing: Sequence[Row], over_all: Sequence[Row]) -> Iterator[str]:
    """Mean rank, and mean J with the ranks that the pairs allow, a row per method."""
    worlds = list(dict.fromkeys(row["world"] for row in standing))
    ranks = {row["method"]: row for row in over_all}
    methods = dict.fromkeys([*ranks, *(row["method"] for row in standing)])
    yield f"| method | mean rank | {' | '.join(worlds)} |"
    yield "| --- | --- |" + " --- |" * len(worlds)
    bases = [next(row["base"] for row in standing if row["world"] == world) for world in worlds]
    yield f"| *before* | | {' | '.join(f'*{base:.4f}*' for base in bases)} |"
    for method in methods:
        row = ranks.get(method)
        rank = "-" if row is None else with_ends(row["rank"], row["lower"], row["upper"], ".1f")
        cells = [_cell(standing, world, method) for world in worlds]
        yield f"| {method} | {rank} | {' | '.join(cells)} |"


def _cell(standing: Sequence[Row], world: str, method: str) -> str:
    here = [row for row in standing if row["world"] == world]
    row = next((row for row in here if row["method"] == method), None)
    if row is None:
        return "-"
    low, high = 1 + row["behind"], len(here) - row["ahead"]
    mean = f"{row['mean']:.3f}"
    return f"{f'**{mean}**' if low == 1 else mean} ({low if low == high else f'{low} to {high}'})"


_LITTLE = 0.05
"""A gain of J that leaves a curve where it was, if it is not twice its start either."""


def _stuck(run: str) -> Iterator[str]:
    """Which methods have curves that got nowhere."""
    scores = rows(run, "scores")
    for world in dict.fromkeys(row["world"] for row in scores):
        own = [row for row in scores if row["world"] == world]
        stuck = [row for row in own if row["final"] < min(2 * row["base"], row["base"] + _LITTLE)]
        counts = Counter(row["method"] for row in stuck)
        if counts:
            seeds = len({row["seed"] for row in own})
            named = ", ".join(f"{method} {counts[method]}" for method in counts)
            yield f"{world}: of {seeds} curves each, got nowhere: {named}."


def _beside_the_tabular(run: str) -> Iterator[str]:
    """Whether methods come in the order of their mean ranks in the tabular league."""
    before = {row["method"]: -row["rank"] for row in rows(TABULAR, "overall")}
    standing = rows(run, "places")
    if run == TABULAR or not before:
        return
    worlds = list(dict.fromkeys(row["world"] for row in standing))
    means = {(row["world"], row["method"]): row["mean"] for row in standing}
    shared = [m for m in before if all((world, m) in means for world in worlds)]
    found = order_agreement(
        [[before[m] for m in shared] for _ in worlds],
        [[means[world, m] for m in shared] for world in worlds],
    )
    share = found.correlation
    told = with_ends(share.estimate, share.lower, share.upper, ".2f")
    yield (
        f"Rank correlation with the mean ranks in the tabular league: {told} over {found.methods} "
        f"methods (p = {found.p_value:.2g} against random orders)."
    )


def _against(run: str) -> Iterator[str]:
    """Differences to the baseline: who is shown ahead of it, and behind."""
    baseline = read_object(RECORDS / run / "run.json")["config"]["baseline"]
    compared = rows(run, "pairs")
    worlds = list(dict.fromkeys(row["world"] for row in compared))
    gaps: dict[str, dict[str, str]] = {}
    for row in compared:
        if baseline in (row["first"], row["second"]):
            other = row["first"] if row["second"] == baseline else row["second"]
            sign = 1 if row["second"] == baseline else -1
            ends = sorted((sign * row["lower"], sign * row["upper"]))
            told = with_ends(sign * row["difference"], *ends, "+.3f")
            gaps.setdefault(other, {})[row["world"]] = f"**{told}**" if row["shown"] else told
    yield f"| less {baseline} | {' | '.join(worlds)} |"
    yield "| --- |" + " --- |" * len(worlds)
    for method, found in gaps.items():
        yield f"| {method} | {' | '.join(found.get(world, '-') for world in worlds)} |"


def _chosen_rates(standing: Sequence[Row]) -> Iterator[str]:
    """The rate of each method in each world, where they differ."""
    worlds = list(dict.fromkeys(row["world"] for row in standing))
    known = {(row["world"], row["method"]): f"{row['rate']:g}" for row in standing}
    if len(set(known.values())) < 2:
        return
    yield f"| rate chosen | {' | '.join(worlds)} |"
    yield "| --- |" + " --- |" * len(worlds)
    for method in dict.fromkeys(row["method"] for row in standing):
        yield f"| {method} | {' | '.join(known.get((world, method), '-') for world in worlds)} |"


def _costs(standing: Sequence[Row], costs: Sequence[Row], audit: Sequence[Row]) -> Iterator[str]:
    """What the budget bought, means over worlds; and what the audit says of each method."""
    logs = small_world_scores(audit)
    head = ["method", "updates", "rollouts", "localisations", "informative groups"]
    head += ["signal per 1,000 steps in the audit"] * bool(logs)
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join(['---'] * len(head))} |"
    for method in dict.fromkeys(row["method"] for row in costs):
        own = [row for row in standing if row["method"] == method]
        if not own:
            continue
        means = [f"{_mean(own, name):,.0f}" for name in ("updates", "rollouts", "localizations")]
        share = f"{_mean(own, 'informative'):.0%}"
        signal = number(1000 * math.exp(logs[method]), ".0f") if method in logs else "-"
        cells = [method, *means, share, *([signal] if logs else [])]
        yield f"| {' | '.join(cells)} |"


def _mean(some: Sequence[Row], name: str) -> float:
    return sum(float(row[name]) for row in some) / len(some)


def page() -> str:
    """The page with the tables as the records have them."""
    made = PAGE.read_text()
    for run in RUNS:
        begin, end = BEGIN.format(run=run), END.format(run=run)
        before, _, rest = made.partition(begin)
        _, _, after = rest.partition(end)
        made = f"{before}{begin}\n{text(run)}\n{end}{after}"
    return made


def main() -> None:
    """Copy records if a folder of runs is given, then write the page."""
    for run in RUNS if len(sys.argv) > 1 else ():
        made = Path(sys.argv[1]) / run
        for name in ("run.json", *(f"{table}.jsonl" for table in TABLES)):
            if (made / name).exists():
                (RECORDS / run).mkdir(parents=True, exist_ok=True)
                shutil.copy(made / name, RECORDS / run / name)
    PAGE.write_text(page())


if __name__ == "__main__":
    main()

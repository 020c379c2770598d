"""`verify` passes on the bounds, fails on false ones, and its counterexamples replay."""

from __future__ import annotations

import dataclasses
import inspect
import io
import json
import re
import sys
from collections import defaultdict
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import binom

from cpi_theory import bounds
from cpi_theory.bounds import chooser, statewise
from cpi_theory.bounds.classes import PolicyClass
from cpi_theory.checks import InvalidInput
from experiments.execution.settings import Execution
from experiments.runs.files import parse_rows
from experiments.verify import sampling
from experiments.verify.check import Chunk, tasks
from experiments.verify.claims import GAIN, Reading, readings, sharp_best_step, violated
from experiments.verify.command import run
from experiments.verify.config import VerifyConfig
from experiments.verify.families import FAMILIES, make_instance, random_laws
from experiments.verify.files import (
    Counterexample,
    instance_from_json,
    instance_to_json,
    read_counterexample,
    to_json,
)
from experiments.verify.mutation.judge import Judging, find_mutant, judge_mutants
from experiments.verify.mutation.mutants import Mutant, mutants
from experiments.verify.mutation.targets import TARGETS
from experiments.verify.pair_search import Pair, search_pairs
from experiments.verify.search import Search, build, read, run_search
from experiments.verify.summary import violations

ONE = Execution(workers=1)
THEOREMS = {
    "T1", "T1s", "T1h", "T1e", "T2", "T2h", "T2s", "T3", "T4", "T4s", "T4w", "T5", "T6", "T7s",
    "T8", "T8s", "T8e", "T8 step", "T8s step",
}  # fmt: skip


def read_rows(path):
    return parse_rows(path, path.read_bytes())


def verify(output: Path, **options) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=120)
    code = run(VerifyConfig(**options), output, ONE, console)
    return code, console.file.getvalue()


def mutant_of(function, before: str, after: str) -> Mutant:
    wanted = f"{before}  ->  {after}"
    return next(m for m in mutants(function) if m.description == wanted)


HALF_PENALTY = (
    bounds.improvement_lower_bound,
    "alpha * visits * step.advantage - alpha ** 2 * step.spread * visits * step.remaining",
    "alpha * visits * step.advantage - alpha ** 2 * step.spread * visits * step.remaining / 2",
)


def test_every_statement_holds_and_a_second_run_redoes_nothing(tmp_path):
    code, shown = verify(tmp_path, instances=300, search=100)
    assert code == 0, shown
    summary = read_rows(tmp_path / "verify" / "summary.jsonl")
    assert {row["theorem"] for row in summary} == THEOREMS
    assert all(row["violations"] == 0 and row["checks"] > 0 for row in summary)
    by_theorem = {row["theorem"]: row for row in summary}
    for theorem in THEOREMS - {"T4", "T4s", "T4w", "T5", "T6", "T7s"}:
        assert by_theorem[theorem]["tightness"] == pytest.approx(1)
        assert by_theorem[theorem]["attained"] > 0
        assert by_theorem[theorem]["exact_checks"] > 0
    for theorem in ("T1", "T1s", "T1h", "T1e", "T2", "T2h", "T2s", "T8s", "T8e", "T8s step"):
        assert by_theorem[theorem]["penalty_used"] == pytest.approx(1)
    assert 0 < by_theorem["T1e"]["penalty_share"] < by_theorem["T1h"]["penalty_share"] < 1
    assert by_theorem["T1h"]["penalty_share_margin"] < 0.2
    files = {p: p.read_bytes() for p in sorted((tmp_path / "verify").glob("[cs]*.jsonl"))}
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "verify" / "shards").rglob("*.jsonl")}
    assert verify(tmp_path, instances=300, search=100)[0] == 0
    assert files == {p: p.read_bytes() for p in files}
    assert stamps == {p: p.stat().st_mtime_ns for p in stamps}


def test_the_page_of_theorems_says_which_are_checked_elsewhere():
    page = (Path(__file__).parents[3] / "docs" / "theory.md").read_text()
    stated = {int(number) for number in re.findall(r"^\*\*T(\d+)", page, re.MULTILINE)}
    checked = {int(re.match(r"T(\d+)", theorem)[1]) for theorem in THEOREMS}
    assert stated - checked == {9, 10, 11}
    (said,) = re.findall(r"it checks T1 to T8\n.*?\n\n", page, re.DOTALL)
    files = re.findall(r"`(tests/\S+\.py)`", said)
    assert len(files) == 4
    assert all((Path(__file__).parents[3] / file).is_file() for file in files)
    assert "T1 to T8" in VerifyConfig.__doc__
    assert "T9 to T11" in VerifyConfig.__doc__


@pytest.mark.parametrize(
    ("function", "before", "after", "theorem"),
    [
        (*HALF_PENALTY, "T1"),
        (bounds.sharp_improvement_lower_bound, "alpha * step.spread", "alpha", "T1s"),
        (bounds.layered_improvement_lower_bound, "sum(step.gains) - lost", "sum(step.gains)",
         "T1h"),
        (bounds.undeviated_discounted_improvement_lower_bound, "deviation * least_gain",
         "least_gain", "T8e"),
        (bounds.greedy_improvement_lower_bound, "1 - alpha", "1 - alpha * 2", "T3"),
        (bounds.discounted_improvement_lower_bound, "2", "3", "T8"),
        (bounds.best_step, "2", "1", "T2"),
        (bounds.uniform_accuracy, "slow / math.sqrt(samples) + fast / samples", "fast / samples",
         "T4"),
        (bounds.error_exponent, "2 * differ / actions", "2 * differ", "T4s"),
        (statewise._failure, "costs / loss", "costs", "T4w"),
        (bounds.statewise_bound, "4 * scale * least / float(policies.purity)",
         "4 * scale * least * float(policies.purity)", "T4w"),
        (bounds.samples_lower_bound, "2 * exponent", "exponent", "T7s"),
    ],
)  # fmt: skip
def test_a_false_bound_is_caught_and_its_counterexample_replays(
    tmp_path, function, before, after, theorem
):
    with mutant_of(function, before, after).installed():
        code, shown = verify(tmp_path, instances=250, search=0)
        assert code == 1
        assert "--replay" in shown
        stored = sorted((tmp_path / "verify" / "counterexamples").glob("*.json"))
        own = [p for p in stored if json.loads(p.read_text())["theorem"] == theorem]
        again, line = verify(tmp_path, replay=own[0])
        assert again == 1
        assert "does not hold" in " ".join(line.split())  # long numbers wrap the line
    again, line = verify(tmp_path, replay=own[0])
    assert again == 0
    assert "does not hold" not in " ".join(line.split())
    summary = read_rows(tmp_path / "verify" / "summary.jsonl")
    assert next(row for row in summary if row["theorem"] == theorem)["violations"] > 0


def test_the_families_share_all_instances():
    chunks = [t for t in tasks(VerifyConfig()) if isinstance(t, Chunk)]
    assert sum(chunk.count for chunk in chunks) == 10_000
    assert {chunk.family for chunk in chunks} == set(FAMILIES)
    covered = {(c.family, i) for c in chunks for i in range(c.first, c.first + c.count)}
    assert len(covered) == 10_000


@pytest.mark.parametrize("family", FAMILIES)
def test_instances_depend_on_seed_and_index_alone_and_survive_a_file(family):
    for index in range(6):
        instance = make_instance(family, 3, index)
        text = json.dumps(instance_to_json(instance))
        stored = instance_from_json(json.loads(text))
        assert list(readings(stored)) == list(readings(instance))
        assert json.dumps(instance_to_json(make_instance(family, 3, index))) == text
        assert stored.exact == instance.exact
    assert json.dumps(instance_to_json(make_instance(family, 4, 0))) != text


def test_families_differ_in_kind():
    made = {family: [make_instance(family, 0, i) for i in range(30)] for family in FAMILIES}
    exact = {family for family, found in made.items() if all(i.exact for i in found)}
    assert exact == {"layered exact", "discounted exact", "trap", "aliased"}
    assert all(i.discounted for i in made["discounted"] + made["discounted exact"])
    assert any(i.discounted for i in made["gymnasium"])
    assert any(i.mdp.sparse for i in made["layered"])
    labels = " ".join(instance.label for instance in made["gymnasium"])
    assert all(name in labels for name in ("FrozenLake", "Taxi", "CliffWalking"))


@pytest.mark.parametrize("exact", [True, False])
def test_random_laws_are_laws(exact):
    rng = np.random.default_rng(0)
    for _ in range(50):
        law = random_laws(rng, (3, 2, 4), exact)
        sums = law.sum(axis=-1)
        assert (sums == 1).all() if exact else np.allclose(sums, 1, atol=1e-14)
        assert (law >= 0).all()


def test_traps_attain_what_can_be_attained():
    attained = set()
    for index in range(60):
        instance = make_instance("trap", 0, index)
        for reading in readings(instance):
            assert not violated(instance, reading)
            if reading.says == GAIN and reading.truth and reading.slack == 0:
                attained.add(reading.theorem)
    assert attained >= {"T1", "T1s", "T1h", "T1e", "T2", "T2h", "T2s", "T3", "T8s", "T8e"}
    assert attained >= {"T8s step"}


def test_deviations_that_are_given_are_used(monkeypatch):
    """A step that takes none of them for certain promises more than its update gains."""

    def broken():
        made = [make_instance("trap", 0, i) for i in range(12)]
        pairs = [(i, r) for i in made if not i.discounted for r in sharp_best_step(i)]
        return [r for i, r in pairs if violated(i, r)]

    assert not broken()
    honest = bounds.sharp_best_step

    def careless(step, given=None):
        return honest(step, given and (lambda alpha: [0 * alpha] * step.horizon))

    monkeypatch.setattr(bounds, "sharp_best_step", careless)
    assert {reading.says for reading in broken()} == {GAIN}


def test_switches_are_counted_as_the_recursion_has_them():
    """Two coins of bias 1/2 before layer 2: P(n) is 1/4, 1/2, 1/4."""
    instance = dataclasses.replace(
        make_instance("trap", 0, 4), weight=np.full((3, 2), Fraction(1, 2))
    )
    assert instance.mdp.horizon == 3
    quarter = Fraction(1, 4)
    assert instance.switch_counts[2].tolist() == [quarter, 2 * quarter, quarter]
    assert instance.deviations_at(1) == (0, Fraction(1, 2), Fraction(3, 4))
    assert instance.deviations_at(Fraction(1, 2)) == (0, quarter, Fraction(7, 16))
    assert instance.deviations_at(0.5) == (0, 0.25, 0.4375)


def test_no_argument_of_a_bound_is_left_alone_by_all_checks():
    """Each optional one is given something else than its default, each other one two values."""
    functions = {f.__code__: f for f in vars(bounds).values() if inspect.isfunction(f)}
    functions[PolicyClass.__post_init__.__code__] = PolicyClass
    seen = {function: defaultdict(set) for function in functions.values()}

    def note(frame, event, _argument):
        function = functions.get(frame.f_code)
        if event != "call" or function is None:
            return
        given = frame.f_locals
        given = vars_of(given["self"]) if function is PolicyClass else given
        for name in inspect.signature(function).parameters:
            seen[function][name].add(repr(given[name]))

    def vars_of(one):
        return {field.name: getattr(one, field.name) for field in dataclasses.fields(one)}

    made = [make_instance(f, 0, i) for f in ("trap", "layered exact") for i in range(12)]
    sys.setprofile(note)
    try:
        for claim in sampling.EXACT_CLAIMS:
            list(claim())
        for instance in made:
            list(readings(instance))
    finally:
        sys.setprofile(None)
    alone = [
        f"{function.__name__}: {name}"
        for function, values in seen.items()
        for name, parameter in inspect.signature(function).parameters.items()
        if (
            len(values[name]) < 2
            if parameter.default is inspect.Parameter.empty
            else not values[name] - {repr(parameter.default)}
        )
    ]
    assert alone == []


def test_only_floats_have_a_tolerance():
    exact, rounded = make_instance("layered exact", 0, 1), make_instance("layered", 0, 1)
    hair = Reading("T1", GAIN, 1, Fraction(10**15 + 1, 10**15), Fraction(1))
    assert violated(exact, hair)
    assert not violated(rounded, hair._replace(bound=1 + 1e-15, truth=1.0))
    assert violated(rounded, hair._replace(bound=1 + 1e-9, truth=1.0))


def test_penalty_share_compares_with_the_coarser_bound():
    sharper = Reading("T1h", GAIN, 1, 2.5, 2.8, 3.0, coarser=2.0)
    assert sharper.penalty_share(0) == pytest.approx(0.5)
    assert sharper.penalty_share(1) is None
    assert sharper._replace(coarser=None).penalty_share(0) is None


def test_penalty_used_is_a_share_of_what_the_bound_subtracts():
    assert Reading("T1", GAIN, 1, 1.0, 2.5, 3.0).penalty_used == pytest.approx(0.25)
    assert Reading("T1", GAIN, 1, 3.0, 3.0, 3.0).penalty_used is None
    assert Reading("T3", GAIN, 1, 1.0, 2.0).penalty_used is None
    assert Reading("T3", GAIN, 1, 1.0, 2.0).ratio == 0.5
    assert Reading("T3", GAIN, 1, -1.0, 2.0).ratio is None


@pytest.mark.parametrize(
    ("theorem", "least"), [("T1s", 0.9), ("T2s", 0.6), ("T3", 0.999), ("T8s", 0.7)]
)
def test_the_search_finds_worlds_that_press_hard(theorem, least):
    (row,) = run_search(Search(theorem, 3, 800, 0))
    assert not row["violated"]
    reached = row["tightness"] if theorem == "T3" else row["penalty_used"]
    assert least <= reached <= 1 + 1e-9
    instance = instance_from_json(json.loads(json.dumps(row["instance"])))
    assert any(
        reached in (reading.ratio, reading.penalty_used) for reading in read(instance, theorem)
    )


def test_the_search_finds_candidates_that_are_confused_as_often_as_t4s_allows():
    (row,) = search_pairs(400, 0)
    assert not row["violated"]
    assert 0.45 <= row["tightness"] <= 0.5
    reading = Pair(*row["pair"]).reading()
    assert 0.05 < reading.truth <= 0.1
    assert row["tightness"] == pytest.approx(reading.bound / reading.truth / 2)


def test_the_search_breaks_a_false_exponent_and_its_pair_replays(tmp_path):
    with mutant_of(bounds.error_exponent, "2 * differ / actions", "2 * differ").installed():
        rows = search_pairs(100, 0)
        (found,) = violations(rows)
        path = tmp_path / "pair.json"
        path.write_text(json.dumps(found))
        assert verify(tmp_path, replay=path)[0] == 1
    assert verify(tmp_path, replay=path)[0] == 0


def test_the_search_breaks_a_false_bound():
    with mutant_of(*HALF_PENALTY).installed():
        (row,) = run_search(Search("T1", 2, 1200, 0))
    assert row["violated"]


def test_any_point_of_the_cube_is_an_instance():
    rng = np.random.default_rng(0)
    for theorem in ("T1", "T8"):
        for point in (np.zeros(16), np.ones(16), rng.random(16)):
            instance = build(point, Search(theorem, 3, 0, 0))
            assert not any(violated(instance, r) for r in readings(instance))


def test_mutants_are_refuted_reported_or_equivalent(tmp_path):
    console = Console(file=io.StringIO(), width=160)
    config = VerifyConfig(mutate=True, quick=True)
    assert run(config, tmp_path, ONE, console) == 0, console.file.getvalue()
    rows = read_rows(tmp_path / "verify-mutants-quick" / "mutants.jsonl")
    verdicts = {t: {r["verdict"] for r in rows if r["target"] == t} for t in TARGETS}
    assert [t for t, found in verdicts.items() if not found & {"false", "breaks"}] == []
    assert not any(r["verdict"] == "sharper" and r["pinned"] for r in rows)
    loose = [r for r in rows if r["verdict"] == "loose"]
    assert all(r["tightness_after"] <= r["tightness_before"] for r in loose)
    assert any(r["tightness_after"] < r["tightness_before"] for r in loose if r["target"] == "T1")
    stored = sorted((tmp_path / "verify-mutants-quick" / "counterexamples").glob("*.json"))
    assert len(stored) == sum(r["counterexample"] is not None for r in rows)
    for path in stored[:: len(stored) // 8]:
        assert verify(tmp_path, replay=path)[0] == 1
        data = json.loads(path.read_text()) | {"mutant": None}
        (tmp_path / "plain.json").write_text(json.dumps(data))
        assert verify(tmp_path, replay=tmp_path / "plain.json")[0] == 0


def test_each_coefficient_of_t1_is_needed():
    rows = judge_mutants(Judging("T1", 10, 0))
    verdict = {row["change"].split("  ->  ")[1]: row["verdict"] for row in rows}
    terms = "alpha * visits * step.advantage - alpha ** 2 * step.spread * visits * step.remaining"
    first, second = terms.split(" - ")
    assert verdict[f"{first} * 2 - {second}"] == "false"
    assert verdict[f"{first} - {second} / 2"] == "false"
    assert verdict[f"{first} - {second} * 2"] == "loose"
    assert verdict[f"{first} + {second}"] == "false"
    assert verdict[first] == "false"


def test_bad_replay_files_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"none\.json"):
        verify(tmp_path, replay=tmp_path / "none.json")
    broken = tmp_path / "broken.json"
    label = b'{"format": 1, "instance": {"label": "x"}}'
    for content in (b"{", b"[]", b"{}", label, b"\x89PNG\r\n\xff"):
        broken.write_bytes(content)
        with pytest.raises(InvalidInput, match=r"replay = .*is no counterexample.*give a file of"):
            verify(tmp_path, replay=broken)
    broken.write_text('{"format": 99}')
    with pytest.raises(InvalidInput, match="another version"):
        verify(tmp_path, replay=broken)


def test_a_counterexample_to_a_mutant_that_is_gone_is_refused(tmp_path):
    instance = make_instance("trap", 0, 0)
    reading = next(readings(instance))
    found = Counterexample(instance, reading.theorem, reading.says, reading.alpha, "gone:1: a -> b")
    path = tmp_path / "gone.json"
    path.write_text(json.dumps(to_json(found, reading)))
    assert read_counterexample(path).matches(reading)
    assert find_mutant("gone:1: a -> b") is None
    with pytest.raises(InvalidInput, match="not in this code"):
        verify(tmp_path, replay=path)


@pytest.mark.parametrize("field", ["instances", "seed", "search"])
def test_bad_options_are_refused(field):
    with pytest.raises(InvalidInput, match=f"^{field} = -1"):
        VerifyConfig(**{field: -1})


def test_exact_tails_are_those_of_the_worst_mean():
    samples, actions, radius = 10, 2, 0.31
    worst = max(
        sum(
            binom.pmf(k, samples, chance)
            for k in range(samples + 1)
            if abs(k / samples - chance) > radius
        )
        for chance in np.linspace(0, 1, 33) / actions
    )
    assert sampling._worst_tails(samples, actions, radius) == pytest.approx(worst)


@pytest.mark.parametrize(("shift", "delta"), [(0.2, 0.1), (0.05, 0.3), (0.25, 0.4)])
def test_samples_needed_is_the_first_odd_number_that_suffices(shift, delta):
    needed = sampling._samples_needed(shift, delta)
    assert binom.cdf(needed // 2, needed, 0.5 + shift) <= delta
    for fewer in range(1, needed, 2):
        assert binom.cdf(fewer // 2, fewer, 0.5 + shift) > delta


def test_the_simulated_chooser_notices_an_accuracy_that_is_too_good(monkeypatch):
    def misses():
        found = [r for i in range(12) for r in sampling.chooser_covers(0, i)]
        return [r for r in found if r.says == "simulated misses" and sampling.contradicted(r)]

    assert not misses()
    honest = chooser.uniform_accuracy
    monkeypatch.setattr(chooser, "uniform_accuracy", lambda *a, **k: honest(*a, **k) / 4)
    assert len(misses()) >= 6

"""Pages that are made from objects and records say what those say today."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import re
import shutil

import pytest

from cpi_theory import SRPO, ResetPolicy, collect
from experiments.commands import COMMANDS
from experiments.methods import ALGORITHMS, LANGUAGE_METHODS, TABULAR_METHODS
from website import curves, groups, inspecting, method_pages, pictures, reset_pages, tables, worlds
from website.hooks import on_page_content
from website.links import ROOT


def test_every_method_that_commands_know_has_one_page():
    named = [name for page in method_pages.PAGES for name in page.names]
    assert len(named) == len(set(named))
    assert set(TABULAR_METHODS) | set(LANGUAGE_METHODS) == {*named, *method_pages.OF_RESETS}
    for page in method_pages.PAGES:
        assert page.section in method_pages.details()
        assert not page.row or method_pages.row(page.row)["estimates"]


def subclasses(cls):
    return {cls} | {each for one in cls.__subclasses__() for each in subclasses(one)}


def test_every_reset_policy_of_the_package_has_one_page():
    shown = {page.title for page in reset_pages.pages()}
    ours = {
        one.__name__  # a class with slots stands beside the one that it was made from
        for one in subclasses(ResetPolicy)
        if one.__module__.startswith("cpi_theory.") and not inspect.isabstract(one)
    }
    assert shown == ours
    named = {name for page in reset_pages.pages() for name in page.methods}
    assert set(method_pages.OF_RESETS) <= named


@pytest.mark.parametrize("page", method_pages.PAGES, ids=lambda page: page.slug)
def test_a_page_shows_source_docstring_and_value(page, site):
    text = (site[0] / f"methods/{page.slug}.md").read_text()
    for heading in ("in code", "docstring says", "Details that matter", "Its curve"):
        assert heading in text
    if not page.conservative:
        method = page.method.algorithm
        body = inspect.getsource(type(method).plan).splitlines()
        assert all(line.strip() in text for line in body[-1:])
        assert f"`{method}`" in text
        assert "Source: " in text or page.title == "Frontier"
        assert (site[0] / f"methods/{page.slug}-groups.svg").stat().st_size > 1000
    assert all(f"`{name}`" in text for name in page.names)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_a_page_with_all_its_options(name, site):
    text = (site[0] / f"commands/{name}.md").read_text()
    assert f"cpi-resets {name} --help" in text
    command = COMMANDS[name]
    config = getattr(importlib.import_module(f"{command.folder}.config"), command.config)
    assert all(f"{field.name}" in text for field in dataclasses.fields(config))


def test_costs_are_counted_from_a_collection():
    page = next(page for page in method_pages.PAGES if page.title == "VinePPO")
    found = method_pages.collection(page, method_pages.PROMPTS)
    per_prompt = found.generated_rollouts / method_pages.PROMPTS
    assert 4 < per_prompt <= 4 * (1 + 3 * 10)  # n (1 + K T)
    assert f"| {per_prompt:.2f} |" in "\n".join(method_pages._cost(page))


def test_curves_are_those_of_the_records(tmp_path):
    found = curves.of(["SRPO"])
    assert {one.run for one in found} >= {"train", "smollm2-sums"}
    assert all(one.methods[0] == "GRPO" and "SRPO" in one.methods for one in found)
    copied = tmp_path / "train"
    shutil.copytree(curves.RECORDS / "train", copied)
    rows = [json.loads(line) for line in (copied / "pairs.jsonl").read_text().splitlines()]
    for row in rows:
        row["difference"] += 0.5
    (copied / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (other,) = curves.of(["SRPO"], tmp_path)
    shown = curves.text("srpo", [other])
    true = next(r for r in found if r.run == "train").pairs[0]["difference"]
    assert f"{true + 0.5:+.3f} [" in "\n".join(shown)
    assert curves.text("x", [])[0] == "## Its curve"


def test_weights_of_reset_policies_are_what_they_must_be():
    known = {page.title: reset_pages.induced(page) for page in reset_pages.pages()}
    assert known["UniformReset"].coverage == pytest.approx(1)
    assert known["StartReset"].coverage == pytest.approx(1 / 6)
    assert known["ImprovableReset"].precision == pytest.approx(1)
    assert known["ImprovableReset"].recall == pytest.approx(1)
    assert known["ImperfectReset"].precision == pytest.approx(0.6)
    assert known["ImperfectReset"].recall == pytest.approx(0.8)
    assert known["UniformReset"].precision == pytest.approx(
        worlds.small_world().improvable_coverage(float(worlds.small_tree().tau))
    )
    assert known["ImprovableReset"].gain > known["UniformReset"].gain


@pytest.mark.parametrize("made", [tables.pages, pictures.files], ids=["tables", "pictures"])
def test_what_is_committed_is_up_to_date(made):
    for path, text in made().items():
        assert path.read_text() == text, f"{path.name}: run python -m website --update"


def test_a_table_says_another_number_when_its_record_does(monkeypatch):
    before = tables.training_differences("rollouts")
    read = tables.read

    def changed(path):
        return [row | {"difference": row.get("difference", 0) + 1} for row in read(path)]

    monkeypatch.setattr(tables, "read", changed)
    assert tables.training_differences("rollouts") != before


def test_a_table_without_a_place_is_refused():
    with pytest.raises(LookupError, match="put <!-- table: x"):
        tables.with_tables("no place", {"x": str})


def test_a_picture_shows_what_was_collected():
    world = worlds.small_world()
    found = collect(SRPO(), world, world.start_states(1, key=1), key=0)
    lines = list(groups.rows(found, world))
    drawn = [line for line in lines if isinstance(line, groups.Row)]
    assert [row.credit is None for row in drawn].count(True) == sum(
        group.parent is not None for group in found
    )
    credits = [row.credit for row in drawn if row.credit is not None]
    samples = [sample for group in found for sample in group.samples]
    assert credits == [[float(a) for a in sample.advantages] for sample in samples]
    svg = groups.picture(lines, "<title>")
    assert svg.count('class="wrong"') == sum(sum(row.wrong) for row in drawn)
    assert "<title>" not in svg


@dataclasses.dataclass(frozen=True)
class Shape:
    """Said apart."""

    def plan(self):
        """Not shown."""
        return self._used()

    def _used(self):
        return 1

    def unused(self):
        return 2


def test_methods_that_a_value_does_not_come_through_are_not_shown(site):
    text = (site[0] / "methods/srpo.md").read_text()
    assert "def _uniform_parents" in text
    assert "def _published_parents" not in text
    assert inspecting.methods_run(Shape, Shape().plan) == {"plan", "_used"}
    assert inspecting.methods_run(Shape, Shape().unused) == {"unused"}


def test_code_of_a_class_is_what_its_entry_runs():
    code = inspecting.code(Shape, "plan")
    assert "def plan" in code
    assert "def _used" in code
    assert "unused" not in code
    assert "Not shown" not in code


def test_style_and_search_of_the_site_are_among_its_sources(site):
    named = re.findall(r"static/[\w.-]+", (ROOT / "mkdocs.yml").read_text())
    assert len(named) == 3
    assert all((site[0] / path).stat().st_size for path in named)
    assert "Permission is hereby granted" in (site[0] / "static/iframe-worker.js").read_text()


def test_heads_of_tables_without_text_are_cells():
    head = '<tr><th></th><th style="text-align: right"></th><th>x</th></tr>'
    made = '<tr><td></td><td style="text-align: right"></td><th>x</th></tr>'
    assert on_page_content(head) == made


def test_frontier_of_a_table_is_another_algorithm_than_grpo():
    assert "Frontier" in ALGORITHMS
    assert (ROOT / "docs" / "pictures.md").read_text().count("](pictures/") == len(pictures.SHOWN)

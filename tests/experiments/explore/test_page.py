"""What a page holds: the list with its flags, and every record in some part."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from experiments.explore.page import pack, write_file, write_folder
from experiments.explore.series import (
    CONSTANT,
    CUT,
    MISLOCATED,
    REFUSED,
    RESET,
    Series,
    Source,
    Summary,
    mislocated,
)
from tests.experiments.explore.pages import (
    HOSTILE,
    constant,
    group,
    hostile,
    one_file,
    read_page,
    rollout,
    source,
    unpacked,
    visit,
    with_reset,
)


def test_prompts_are_summed_up() -> None:
    first, second, third = (Summary.of(one) for one in (with_reset(), constant(), hostile()))
    assert first.flags == MISLOCATED | RESET
    assert (first.rollouts, first.reward, first.largest) == (4, 0.5, 2.5)
    assert second.flags == REFUSED | CONSTANT
    assert second.reasons == ("not failed",)
    assert third.flags == REFUSED | CUT
    assert third.reward == 0.0  # one that was cut has none
    assert third.reasons == (HOSTILE,)
    assert Summary.of(hostile(), ()).flags == REFUSED
    # Attempts are in no group; one that goes on from another tells of where that was.
    tried = visit(3, [rollout(["a"]), rollout(["b"], 1.0, **{"from": [0, 0]})], [])
    assert (Summary.of(tried).flags, Summary.of(tried).reward) == (RESET, 0.0)
    # One rollout alone compares with nothing: that its advantage is 0 says nothing of its reward.
    alone = visit(0, [rollout(["a"])], [group([0], [0.0])])
    assert Summary.of(alone).flags == 0


@pytest.mark.parametrize(
    ("known", "named", "wrong"),
    [
        ({"true": 2}, 1, True),
        ({"true": 2}, 2, False),
        ({"true": None}, 2, True),
        ({"true": 2}, None, False),
        ({}, 1, False),
        ({"true": 2, "human": 1}, 1, False),
        ({"human": None}, 0, True),
    ],
)
def test_a_localiser_is_wrong_about_what_is_known(known: Any, named: Any, wrong: bool) -> None:
    said = [{"by": "it", "step": named, "localizes": True}]
    assert mislocated(rollout(["a", "b", "c"], named=said, **known)) == wrong
    # A step that was drawn, as by RRPO, says nothing of errors.
    drawn = [{"by": "UniformReset", "step": named, "localizes": False}]
    assert not mislocated(rollout(["a", "b", "c"], named=drawn, **known))


def test_every_record_is_in_the_part_that_the_list_names(tmp_path: Path) -> None:
    index, parts = read_page(one_file(tmp_path / "page.html", count=3))
    columns = index["columns"]
    assert len(parts) > 1
    assert len({len(column) for column in columns.values()}) == 1
    assert [one["name"] for one in index["series"]] == [f"sums · SRPO · seed {s}" for s in range(3)]
    wanted = [with_reset(), constant(), hostile()] * 3
    found = [parts[p][i] for p, i in zip(columns["part"], columns["at"], strict=True)]
    assert found == wanted
    assert columns["update"] == [5, 5, 10] * 3
    assert columns["series"] == [0] * 3 + [1] * 3 + [2] * 3


def test_nothing_that_a_model_wrote_stands_in_the_page(tmp_path: Path) -> None:
    page = one_file(tmp_path / "page.html", title=HOSTILE).read_text()
    assert "onerror" not in re.sub(r"&lt;img.*?&gt;", "", page)
    assert "hacked" not in page.replace("window.hacked=1&quot;", "").replace(
        "window.hacked=1&lt;", ""
    )
    assert page.count("<script>") == 1
    assert "default-src 'none'" in page
    assert "<!--" not in page


def test_more_than_is_wanted_is_left_out_and_said(tmp_path: Path) -> None:
    packed = pack(source(2), "run", 9)
    assert packed.rollouts == 8  # 4, 2 and 2; the next prompt has four
    assert packed.left_out
    assert packed.index["left_out"]
    assert pack(source(), "run", 8).left_out is False
    assert pack(source(), "run", 1).rollouts == 4  # the first prompt, whatever it holds


def test_records_are_read_as_they_are_packed() -> None:
    asked = []

    def endless() -> Any:
        for update in range(1000):
            asked.append(update)
            yield update, constant()

    pack(Source("train", "thought", iter([Series("w", "m", 0, endless())])), "run", 6)
    assert len(asked) == 4


def test_a_folder_holds_the_same_in_scripts(tmp_path: Path) -> None:
    packed = pack(source(), "run", 100, 500)
    page, *written = write_folder(packed, tmp_path / "out")
    scripts = sorted((tmp_path / "out" / "explore-data").iterdir())
    assert len(scripts) == len(packed.parts) > 1
    assert sorted(written) == scripts
    for i, path in enumerate(scripts):
        (text,) = re.findall(rf'^explorePart\({i}, "([A-Za-z0-9+/=]+)"\);\n$', path.read_text())
        assert unpacked(text) == unpacked(packed.parts[i])
    assert 'id="part-0"' not in page.read_text()


def test_the_same_records_give_the_same_page(tmp_path: Path) -> None:
    pages = [tmp_path / name for name in ("a.html", "b.html")]
    for path in pages:
        write_file(pack(source(), "run", 100), path)
    assert pages[0].read_bytes() == pages[1].read_bytes()

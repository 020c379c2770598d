"""The figures' common look: colours apart for everyone, bytes decided by the content alone."""

import itertools

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from paper_figs.style import FORMATS, LOOKS, letter, look, panels, render, shades, style, styled

# Machado, Oliveira and Fernandes (2009), severity 1, for linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def lab(color: str, deficiency: np.ndarray) -> np.ndarray:
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(deficiency @ linear, 0, 1)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ seen / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(one: str, other: str, deficiency: np.ndarray) -> float:
    return float(np.linalg.norm(lab(one, deficiency) - lab(other, deficiency)))


TOGETHER = [
    ("GRPO", "RRPO", "SRPO", "SRPO-70", "SRPO-40"),
    ("CPI-RR", "CPI-CARO"),
    ("aliased", "statewise", "oracle"),
    ("random", "first_error", "oracle"),
    ("SRPO - GRPO", "SRPO - RRPO", "RRPO - GRPO"),
]


@pytest.mark.parametrize("names", TOGETHER, ids=lambda names: "-".join(names))
@pytest.mark.parametrize("kind", DEFICIENCIES)
def test_lines_of_one_panel_stay_apart_for_everyone(names: tuple[str, ...], kind: str) -> None:
    for one, other in itertools.combinations(names, 2):
        a, b = LOOKS[one], LOOKS[other]
        assert a.marker != b.marker, "never by colour alone"
        assert distance(a.color, b.color, DEFICIENCIES[kind]) > 11, (one, other)


def test_distance_test_would_notice_red_and_green() -> None:
    assert distance("#D62728", "#2CA02C", DEFICIENCIES["none"]) > 60
    assert distance("#8F6F00", "#6F7F00", DEFICIENCIES["deuteranopia"]) < 11


def test_shades_darken() -> None:
    for count in (2, 3, 4):
        light = [lab(c, DEFICIENCIES["none"])[0] for c in shades(count)]
        assert len(light) == count
        assert light == sorted(light, reverse=True)
        assert min(np.diff(light[::-1])) > 8


def test_unknown_names_get_looks_of_their_own() -> None:
    one, two = look("climb", 0), look("frontier", 1)
    assert (one.label, two.label) == ("climb", "frontier")
    assert (one.color, one.marker) != (two.color, two.marker)
    assert look("SRPO") is LOOKS["SRPO"]


@styled
def example(height: float = 1.0):
    figure, axes = panels(1, 2)
    axes[0, 0].plot([0, 1], [0, height], label="$p^2$")
    axes[0, 0].set_title("left")
    axes[0, 0].legend()
    letter(list(axes[0]))
    return figure


@pytest.mark.parametrize("extension", FORMATS)
def test_equal_figures_give_equal_bytes(extension: str) -> None:
    first, second = render(example(), extension), render(example(), extension)
    assert first == second
    assert render(example(2.0), extension) != first
    assert first[:4] == {"pdf": b"%PDF", "svg": b"<?xm", "png": b"\x89PNG"}[extension]
    assert b"CreationDate" not in first
    assert b"<dc:date>" not in first
    assert b"Matplotlib" not in first


def test_a_users_settings_neither_matter_nor_change() -> None:
    plain = render(example(), "png")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        assert render(example(), "png") == plain
        assert matplotlib.rcParams["font.size"] == 30
    with style():
        assert matplotlib.rcParams["font.size"] < 10


def test_panels_are_lettered() -> None:
    left, right = example().axes
    assert left.get_title(loc="left") == "(a) left"
    assert right.get_title(loc="left") == "(b)"

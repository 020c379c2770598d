"""One look for all figures: colours, sizes, and files whose bytes depend on the records alone."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

P = ParamSpec("P")

INK, MUTED, GRID = "#1A1A1A", "#6E6E6E", "#E3E3E3"
GOOD, BAD = "#009E73", "#D55E00"

FULL_WIDTH, HALF_WIDTH = 7.0, 3.4
"""Inches: a text block and a column."""


@dataclass(frozen=True, slots=True)
class Look:
    """How one kind of line is drawn: never by colour alone."""

    label: str
    color: str
    marker: str
    dash: str = "-"


# Colours from the Okabe-Ito set: they stay apart under the common colour deficiencies.
LOOKS: dict[str, Look] = {
    "GRPO": Look("GRPO (no reset)", "#4D4D4D", "o"),
    "RRPO": Look("RRPO (random reset)", "#D55E00", "s", "--"),
    "SRPO": Look("SRPO (first error)", "#009E73", "D"),
    "SRPO-70": Look("SRPO, localiser 70 % right", "#CC79A7", "v", "-."),
    "SRPO-40": Look("SRPO, localiser 40 % right", "#56B4E9", "P", ":"),
    "Frontier": Look("Frontier (weighed)", "#0072B2", "^"),
    "Adaptive Frontier": Look("Adaptive Frontier (learns accuracy)", "#CC79A7", "P", "-."),
    "Adaptive SRPO": Look("Adaptive SRPO (learns accuracy)", "#E69F00", "X", ":"),
    "deepest": Look("deepest named step", "#D55E00", "v", "--"),
    "ORACLE": Look("SRPO, exact step checker", "#56B4E9", "v", ":"),
    "CPI-RR": Look("CPI-RR (random)", "#E69F00", "s", "--"),
    "CPI-CARO": Look("CPI-CARO (oracle)", "#0072B2", "^"),
    "SRPO-70 - GRPO": Look("SRPO-70 - GRPO", "#CC79A7", "v"),
    "SRPO-40 - GRPO": Look("SRPO-40 - GRPO", "#56B4E9", "P"),
    "SRPO-40 - SRPO": Look("SRPO-40 - SRPO", "#8C6D31", "X"),
    "SRPO - GRPO": Look("SRPO - GRPO", "#009E73", "D"),
    "SRPO - RRPO": Look("SRPO - RRPO", "#0072B2", "^"),
    "RRPO - GRPO": Look("RRPO - GRPO", "#D55E00", "s"),
    "SRPO - ORACLE": Look("SRPO - ORACLE", "#56B4E9", "v"),
    "Frontier - GRPO": Look("Frontier - GRPO", "#CC79A7", "P"),
    "Frontier - SRPO": Look("Frontier - SRPO", "#8C6D31", "X"),
    "random": Look("random resets", "#D55E00", "s", "--"),
    "oracle": Look("oracle resets", "#0072B2", "^"),
    "imperfect": Look("imperfect oracle", "#CC79A7", "v", "-."),
    "aliased": Look("random, aliased class", "#D55E00", "s", "--"),
    "statewise": Look("random, statewise class", "#E69F00", "o", "-."),
    "start": Look("no reset", "#4D4D4D", "o"),
    "uniform": Look("random step of a failure", "#D55E00", "s", "--"),
    "first_error": Look("first error of a failure", "#009E73", "D"),
}
_SPARE = ("#56B4E9", "#8C6D31", "#4D4D4D", "#CC79A7", "#E69F00", "#0072B2")
_SPARE_MARKERS = ("P", "X", "<", ">", "h", "d")


def look(name: str, index: int = 0) -> Look:
    """The look of a known name, or a spare one (chosen by `index`) that carries the name."""
    spare = index % len(_SPARE)
    return LOOKS.get(name, Look(name, _SPARE[spare], _SPARE_MARKERS[spare], ":"))


def shades(count: int) -> list[str]:
    """`count` colours in order, light to dark, for the values of a parameter."""
    ramp = ("#8FC1E3", "#3D8EC9", "#0B4F8A", "#06294A")
    return list(ramp[:count] if count <= 3 else ramp)


_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib, so every machine draws the same glyphs
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    # TrueType. Many venues refuse Type 3 fonts, which matplotlib embeds by default.
    "pdf.fonttype": 42,
    # Names of clip paths are drawn at random by default: equal figures would give different files.
    "svg.hashsalt": "cpi-resets",
    "savefig.dpi": 200,
    "figure.dpi": 100,
}


@contextmanager
def style() -> Iterator[None]:
    """The project's matplotlib settings, whatever the user's own are."""
    with matplotlib.rc_context():
        # First back to the defaults, or settings of the user's own that are not listed would show.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Make a drawing function run under :func:`style`."""

    @wraps(draw)
    def inner(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style():
            return draw(*args, **kwargs)

    return inner


def panels(
    rows: int, columns: int, width: float = FULL_WIDTH, height: float = 2.6, **kwargs: Any
) -> tuple[Figure, Any]:
    """A figure with a (rows, columns) array of axes; `height` inches per row."""
    # Not by pyplot, which keeps every figure alive and looks for a display.
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **kwargs)


def log_scales(ax: Axes, x: bool = True, y: bool = True) -> None:
    """Logarithmic scales for what is drawn already; an axis without positive data stays linear."""
    if x and math.isfinite(ax.dataLim.minposx):
        ax.set_xscale("log")
    if y and math.isfinite(ax.dataLim.minposy):
        ax.set_yscale("log")


def letter(axes: Sequence[Axes], size: float | None = None) -> None:
    """Put (a), (b), ... before the panels' titles."""
    for index, ax in enumerate(axes):
        title = ax.get_title(loc="left")
        text = f"({chr(ord('a') + index)}) {title}".rstrip()
        ax.set_title(text, loc="left", size=size)


def thousands(value: float, _position: float | None = None) -> str:
    """Tick labels like 1.5k and 2M."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1000:g}k" if abs(value) >= 1000 else f"{value:g}"


def render(figure: Figure, extension: str) -> bytes:
    """The figure as a ``pdf``, ``svg`` or ``png`` file; equal figures give equal bytes.

    Creation dates and program versions stay out of the file.
    """
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format=extension, metadata=_METADATA[extension])
    return buffer.getvalue()


_METADATA: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}
FORMATS = tuple(_METADATA)


def inline_svg(figure: Figure, name: str) -> str:
    """The figure as an SVG element for a page that holds several.

    Texts stay texts, which a reader may search and select; the width is left to the page, and the
    identifiers of its parts begin with the name, as they must be unique in a page.

    Args:
        figure: what is drawn.
        name: of the figure: letters, digits, ``.``, ``_`` and ``-``.
    """
    buffer = io.StringIO()
    with style():
        matplotlib.rcParams["svg.fonttype"] = "none"
        figure.savefig(buffer, format="svg", metadata=_METADATA["svg"], transparent=True)
    text = buffer.getvalue()
    text = _COMMENT.sub("", text[text.index("<svg") :]).strip()
    text = _SIZE.sub("", text, count=2).replace("'DejaVu Sans'", _FONTS)
    used = set(_REFERENCE.findall(text))
    text = _IDENTIFIER.sub(lambda m: f' id="{name}.{m[1]}"' if m[1] in used else "", text)
    text = _REFERENCE.sub(lambda m: m[0].replace(f"#{m[1]}", f"#{name}.{m[1]}"), text)
    return _TAG.sub(lambda m: _DIGITS.sub(r"\1", m[0]), text)


# Verdana is as wide as the font that the layout was made for.
_FONTS = "'DejaVu Sans', Verdana, sans-serif"
_COMMENT = re.compile(r"\s*(?:<!--.*?-->|<metadata>.*?</metadata>)", re.DOTALL)
_SIZE = re.compile(r' (?:width|height)="[^"]*pt"')
_IDENTIFIER = re.compile(r' id="([^"]+)"')
_REFERENCE = re.compile(r'(?:url\(|href=")#([^")]+)')
_TAG = re.compile(r"<[^>]+>")

# A hundredth of a point is finer than any screen.
_DIGITS = re.compile(r"(\.\d\d)\d+")

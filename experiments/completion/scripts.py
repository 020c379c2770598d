"""Completion scripts: everything is in them, so that completing a word starts no process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from string import Template

from experiments.completion.config import Shell
from experiments.completion.options import Option, Usage


def script(shell: Shell, usages: Sequence[Usage]) -> str:
    """The script of a shell.

    Args:
        shell: which.
        usages: what may be typed.
    """
    if shell == "fish":
        return _template("fish").substitute(lines="\n".join(_fish(usages)))
    quote = _described if shell == "zsh" else _lines
    return _template(shell).substitute(
        commands=quote([(usage.name, usage.about) for usage in usages]),
        options=_cases({u.name: quote([(o.flag, o.about) for o in u.options]) for u in usages}),
        values=_cases(_by_option(usages, lambda option: _lines([(v, "") for v in option.values]))),
        takes=_cases(_by_option(usages, _takes)),
    )


def _template(shell: str) -> Template:
    folder = resources.files("experiments.completion").joinpath("templates")
    return Template(folder.joinpath(f"{shell}.txt").read_text())


def _by_option(usages: Sequence[Usage], text: Callable[[Option], str]) -> dict[str, str]:
    """A text for each option and place: "learn --methods", or "data 1" for the first place."""
    found = {f"{u.name} {o.flag}": text(o) for u in usages for o in u.options}
    return found | {f"{u.name} {i}": text(o) for u in usages for i, o in enumerate(u.places, 1)}


def _takes(option: Option) -> str:
    """How many values follow, and whether they are paths."""
    count = "many" if option.most is None else str(option.most)
    return f"'{count} {'path' if option.path else 'text'}'"


def _cases(texts: Mapping[str, str]) -> str:
    """Branches of a case statement, those of one text together; what says nothing is left out."""
    together: dict[str, list[str]] = {}
    for key, text in texts.items():
        if text not in ("''", "()", "'1 text'"):
            together.setdefault(text, []).append(_quoted(key))
    return "\n".join(f"    {'|'.join(keys)}) found={text} ;;" for text, keys in together.items())


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _lines(words: Sequence[tuple[str, str]]) -> str:
    """Words, one a line, as one word of the shell."""
    return _quoted("\n".join(word for word, _ in words))


def _described(words: Sequence[tuple[str, str]]) -> str:
    """An array of zsh with "word:what it is"."""
    return "(" + " ".join(_quoted(f"{w.replace(':', chr(92) + ':')}:{a}") for w, a in words) + ")"


def _fish(usages: Sequence[Usage]) -> list[str]:
    """Lines of fish: they are data there."""
    lines = []
    for usage in usages:
        lines.append(
            f"complete -c cpi-resets -n __cpi_resets_first -f -a {usage.name} "
            f"-d {_fish_quoted(usage.about)}"
        )
        here = f"__cpi_resets_in {usage.name}"
        for option in usage.options:
            values = _fish_values(option)
            line = f"complete -c cpi-resets -n {_fish_quoted(here)} -l {option.flag[2:]}"
            kind = "" if option.most == 0 else " -r -F" if option.path else f" -x{values}"
            lines.append(f"{line}{kind} -d {_fish_quoted(option.about)}")
            if option.most is None and option.values:
                after = _fish_quoted(f"__cpi_resets_after {usage.name} {option.flag}")
                lines.append(f"complete -c cpi-resets -n {after} -f{values}")
        for place, option in enumerate(usage.places, 1):
            at = _fish_quoted(f"__cpi_resets_place {usage.name} {place}")
            kind = " -F" if not option.values else f" -f{_fish_values(option)}"
            lines.append(f"complete -c cpi-resets -n {at}{kind}")
    return lines


def _fish_values(option: Option) -> str:
    # The list is read once more as words of a command line.
    words = " ".join(map(_fish_quoted, option.values))
    return f" -a {_fish_quoted(words)}" if words else ""


def _fish_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"

"""What mkdocs does to a page when it has become HTML.

Names in Sphinx's roles become links, and empty heads of tables cells, as they head nothing.
"""

from __future__ import annotations

import re
from typing import Any

_ROLE = re.compile(r":(\w+):<code>~?([^<]*)</code>")
_EMPTY_HEAD = re.compile(r"<th( [^>]*)?></th>")


def on_page_content(html: str, **_: Any) -> str:
    """Replace ``:class:`a.b.C` ``, which docstrings hold, by C with a link where one is known.

    Heads without text are cells: readers aloud announce a head for every cell below it.
    """
    return _EMPTY_HEAD.sub(r"<td\1></td>", _ROLE.sub(_link, html))


def _link(match: re.Match[str]) -> str:
    role, target = match[1], match[2]
    if role == "math":
        return f"<code>{target}</code>"
    name = target.rpartition(".")[2]
    return f'<autoref optional identifier="{target}"><code>{name}</code></autoref>'

"""Private tests of LiveCodeBench: JSON, or JSON in a pickle in zlib in base64.

The pickle holds one text. It is read by a parser that knows the few codes of a text and refuses
every other one, so nothing can be executed.
"""

from __future__ import annotations

import base64
import binascii
import pickletools
import zlib

from cpi_theory.checks import InvalidInput

LARGEST = 1 << 29
"""Bytes of unpacked tests; more is refused before it is there."""

_TEXT = ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE")
_HARMLESS = ("PROTO", "FRAME", "MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT", "STOP")


def unpack(text: str) -> str:
    """Return the JSON in a field of private tests.

    Raises:
        InvalidInput: if it is neither JSON nor packed so, too large, or a pickle of anything but
            one text.
    """
    if text.lstrip().startswith(("[", "{")):
        return text
    try:
        packed = base64.b64decode(text, validate=True)
        reader = zlib.decompressobj()
        data = reader.decompress(packed, LARGEST)
        if reader.unconsumed_tail:
            raise _refusal(text, f"unpacks to more than {LARGEST >> 20} MiB")
        if not reader.eof:
            raise _refusal(text, "cannot be unpacked: it breaks off")
        return text_of_pickle(data)
    except (binascii.Error, zlib.error) as error:
        raise _refusal(text, f"cannot be unpacked: {error}") from error


def text_of_pickle(data: bytes) -> str:
    """Return the one text in a pickle, without executing it.

    Raises:
        InvalidInput: if there is anything else in it.
    """
    found: list[str] = []
    try:
        for code, argument, _ in pickletools.genops(data):
            if code.name in _TEXT:
                found.append(str(argument))
            elif code.name not in _HARMLESS:
                raise _refusal(code.name, "a pickle that would do more than hold a text")
    except ValueError as error:
        if isinstance(error, InvalidInput):
            raise
        raise _refusal(data[:40], f"not a whole pickle: {error}") from error
    if len(found) != 1:
        raise _refusal(data[:40], f"a pickle of {len(found)} texts")
    return found[0]


def _refusal(value: object, problem: str) -> InvalidInput:
    return InvalidInput("private tests", value, problem, "get the file again, or leave it out")

"""Asking for memory ahead of time, for compiled loops that jump about in it."""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray


def prefetch(table: NDArray[Any], index: Any) -> None:
    """Ask for entry `index` of a flat array without waiting for it; nothing in plain Python."""


def prefetch_far(table: NDArray[Any], index: Any) -> None:
    """Do the same, into the second cache: for many entries at once, or from main memory.

    The innermost cache waits for few lines at a time, and has no room for many.
    """


def _compiled(level: int) -> Any:
    """How numba compiles a function above; `level` is llvm's, from 3 for the innermost cache."""

    @intrinsic
    def fetch(_: Any, table: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, values[0]).data
            byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
            call = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
            read, data_cache = flag(0), flag(1)
            place = builder.bitcast(builder.gep(data, [values[1]]), byte)
            builder.call(call, [place, read, flag(level), data_cache])
            return context.get_dummy_value()

        return types.void(table, index), generate

    def compiled(table: NDArray[Any], index: Any) -> Any:  # noqa: ARG001
        def run(table: NDArray[Any], index: Any) -> None:
            fetch(table, index)  # type: ignore[call-arg]

        return run

    return compiled


overload(prefetch)(_compiled(3))
overload(prefetch_far)(_compiled(2))

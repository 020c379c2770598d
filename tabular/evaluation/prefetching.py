"""Asking for memory ahead of time, for compiled loops that jump about in it."""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray


def prefetch(table: NDArray[Any], index: Any) -> None:
    """Ask for entry `index` of a flat array without waiting for it; nothing in plain Python."""


@intrinsic
def _fetch(_: Any, table: Any, index: Any) -> Any:
    """llvm.prefetch of one address."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        call = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        read, keep, data_cache = flag(0), flag(3), flag(1)
        place = builder.gep(data, [values[1]])
        builder.call(call, [builder.bitcast(place, byte), read, keep, data_cache])
        return context.get_dummy_value()

    return types.void(table, index), generate


@overload(prefetch)
def _compiled(table: NDArray[Any], index: Any) -> Any:  # noqa: ARG001
    def run(table: NDArray[Any], index: Any) -> None:
        _fetch(table, index)  # type: ignore[call-arg]

    return run

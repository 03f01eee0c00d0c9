"""Columns from a typed message: the msgspec model is the only place where a field is described (decisions/0003).

class MemoryFigures(Struct, rename="camel"):
    heap_used: Annotated[Int | None, Field("bytes", "anonymous memory in use")] = None

COLUMNS, row_of = describe(Message)      # column "memory_heap_used"; row_of(message) gives the row
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Annotated, Any

import msgspec

from tes_nb.model import Column, Dtype, Row
from tes_nb.model.table import Field, Int

__all__ = ["Field", "Int", "describe"]

_DTYPES: dict[type, Dtype] = {int: "Int64", float: "float64", str: "str", bool: "boolean"}


def describe(
    model: type[msgspec.Struct], *, drop: str = ""
) -> tuple[tuple[Column, ...], Callable[[Any], Row]]:
    """Return the columns of a message model, and the function that takes a message to its row.

    Nested models become `outer_inner` names; `drop` is a leading path that names leave out ("vector"). Fields
    without a `Field` are no columns. A nested model must have defaults, so that a missing part is a row of NA.
    """
    fields = list(_walk(model, ()))
    columns = tuple(_column(path, hint, field, drop) for path, hint, field in fields)
    getter = attrgetter(*(".".join(path) for path, _, _ in fields))
    if len(fields) == 1:
        return columns, lambda message: (getter(message),)
    return columns, getter


def _walk(model: type[msgspec.Struct], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any, Field]]:
    for name, hint in typing.get_type_hints(model, include_extras=True).items():
        here = (*path, name)
        described = next(
            (extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Field)), None
        )
        if described is not None:
            yield here, hint, described
        elif isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            yield from _walk(hint, here)


def _column(path: tuple[str, ...], hint: Any, field: Field, drop: str) -> Column:
    names = path[1:] if path[0] == drop else path
    dtype = field.dtype or _DTYPES[_bare_type(hint)]
    words = (field.words, field.title, field.quantity, field.head)
    return Column("_".join(names), dtype, field.unit, field.kind, field.doc, *words)


def _bare_type(hint: Any) -> type:
    """Strip `Annotated` and `| None`."""
    while not isinstance(hint, type):
        if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
            hint = next(part for part in typing.get_args(hint) if part is not type(None))
        elif typing.get_origin(hint) is Annotated:
            hint = typing.get_args(hint)[0]
        else:
            raise TypeError(f"no column type follows from {hint!r}; give Field(dtype=…)")
    return hint

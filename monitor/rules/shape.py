"""A document as a pydantic model, or what is wrong with its shape in words for people."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from monitor.nearest import hint, nearest
from monitor.rules.document import found
from monitor.rules.locate import Document, Loc

Model = TypeVar("Model", bound=BaseModel)

_KINDS = {
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_type": "text",
}


def shape(document: Document, model: type[Model], wanted: str) -> Model | None:
    """The document as a model; None, and errors in the document, if it has not that shape.

    ``wanted``: what an empty file is told to hold.
    """
    if document.value is None and not document.errors:
        document.error((), f"empty: expected {wanted}")
        return None
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        _explain(document, model, error)
        return None


def _explain(document: Document, top: type[BaseModel], error: ValidationError) -> None:
    unknown = {
        item["loc"]: _names(top, item["loc"][:-1])
        for item in error.errors(include_url=False)
        if item["type"] == "extra_forbidden"
    }
    for loc, names in unknown.items():
        document.error(loc, f"unknown key {str(loc[-1])!r}" + hint(str(loc[-1]), names), key=True)
    meant = {(*loc[:-1], nearest(str(loc[-1]), names)) for loc, names in unknown.items()}
    for item in error.errors(include_url=False):
        loc, kind = item["loc"], item["type"]
        if kind == "missing" and loc not in meant:  # else it is there, misspelt
            document.error(loc[:-1], f"{str(loc[-1])!r} is missing")
        elif kind == "rules":
            document.error(loc, item["ctx"]["said"])
        elif kind not in ("missing", "extra_forbidden"):
            wanted = _KINDS.get(kind, item["msg"])
            document.error(loc, f"expected {wanted}, found {found(item['input'])}")


def _names(top: type[BaseModel], loc: Loc) -> Collection[str]:
    """The keys that may stand in the section at ``loc``."""
    model = top
    for part in loc:
        if isinstance(part, str):
            fields = {field.alias or name: field for name, field in model.model_fields.items()}
            annotation: Any = fields[part].annotation
            model = next(iter(get_args(annotation)), annotation)
    return [field.alias or name for name, field in model.model_fields.items()]

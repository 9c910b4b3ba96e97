"""The public surface: what `import seesay` offers, name by name, and that each name is there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import seesay


@pytest.mark.parametrize("name", seesay.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert getattr(seesay, name) is not None
    assert name in dir(seesay)


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(seesay.__file__).read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    declared = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert declared == set(seesay.__all__)


def test_every_error_is_public() -> None:
    from seesay import errors

    tree = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert tree - {"ImageExtraMissing"} <= set(seesay.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'captoin'"):
        seesay.captoin  # noqa: B018

"""Pictures and texts in one list of arguments, told apart."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from seesay.errors import UsageError


def files(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """For the shell's completion: leave it to the shell, which knows the files."""
    return [CompletionItem(incomplete, type="file")]


def pictures_and_texts(arguments: Sequence[str], texts: Sequence[str], option: str) -> tuple[list[str], list[str]]:
    """The sources of pictures, which come first, and the texts behind them.

    What exists as a file or folder, an address, a picture written as text, a glob that finds something and "-" are
    pictures; the first argument that is none of these begins the texts. Where `texts` are given by `option`, which is
    "--question" or "--text", all arguments are pictures. Raises UsageError where one kind is missing, and where an
    argument may be either.
    """
    if texts:
        return _all_there(list(arguments), list(texts), option)
    start = next((place for place, argument in enumerate(arguments) if not _is_source(argument)), len(arguments))
    sources, texts = list(arguments[:start]), list(arguments[start:])
    for argument in texts:
        if _is_source(argument):
            raise UsageError(
                f"{argument} is a picture here, or a source of them, but stands behind the text {texts[0]!r}",
                f"Name pictures first. If it is meant as a text: {option} {argument!r}.",
            )
        if _looks_like_a_source(argument):
            raise UsageError(
                f"{argument} is neither a picture (there is no such file) nor plainly a text",
                f"Check the path. If it is meant as a text: {option} {argument!r}.",
            )
    return _all_there(sources, texts, option)


def _all_there(sources: list[str], texts: list[str], option: str) -> tuple[list[str], list[str]]:
    what = option.removeprefix("--")
    if not sources:
        raise UsageError(
            f"No picture: {texts[0]!r} is no file, folder, address or glob", f"Name one before the {what}."
        )
    if not texts:
        raise UsageError(
            f"No {what}: all of {', '.join(sources)} are pictures here, or sources of them",
            f"Add a {what}; one that is also called so: {option} {sources[-1]!r}.",
        )
    if twice := sorted({text for text in texts if texts.count(text) > 1}):
        raise UsageError(f"The {what} {twice[0]!r} is given twice", "Name each once.")
    return sources, texts


def _is_source(argument: str) -> bool:
    from seesay.images.reading import is_address, is_inline

    if argument == "-" or is_address(argument) or is_inline(argument):
        return True
    if os.path.lexists(argument) or ("::" in argument and os.path.isfile(argument.partition("::")[0])):
        return True
    return glob.has_magic(argument) and any(True for _ in glob.iglob(argument, recursive=True))


def _looks_like_a_source(argument: str) -> bool:
    """A path to something that is not there, by its suffix or by a slash or star without a space."""
    from seesay.images.formats import EXTENSIONS
    from seesay.images.tables import TABLES
    from seesay.images.tars import TARS

    path = argument.partition("::")[0]
    known = Path(path).suffix.lower() in {*EXTENSIONS, *TABLES} or path.lower().endswith(TARS)
    return known or (len(argument.split()) == 1 and any(sign in argument for sign in ("/", os.sep, "*")))

"""`seesay ask`: questions about pictures in, answers out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from seesay.cli.arguments import files, pictures_and_texts
from seesay.cli.formats import Row, answer_row, answers
from seesay.cli.options import cost_option, listed, machine_options, search_changes, search_options
from seesay.cli.pictures import STATUS, Telling, picture_options, tell
from seesay.errors import ImageError, UsageError

if TYPE_CHECKING:
    from seesay.asking import AskOptions
    from seesay.batches import Tell
    from seesay.describe import Describer, Seen
    from seesay.images import ImageLike
    from seesay.records import Answer


@click.command(
    epilog=f"""Examples:

\b
  seesay ask photo.jpg "what is the dog doing?" --model blip-vqa-base
  seesay ask photo.jpg "is it raining?" --answers yes,no --model blip-vqa-base
  seesay ask holiday/ "who is in it?" "where is it?" --output answers.csv
  seesay ask "scans/*.tif" --question "is a signature on it?" --answers yes,no --format jsonl
  find . -name "*.png" | seesay ask - "what colour is the car?"

{STATUS}
"""
)
@click.argument("arguments", nargs=-1, required=True, metavar="IMAGE... QUESTION...", shell_complete=files)
@machine_options
@click.option("--question", "-q", multiple=True, help="A question; then every argument is an IMAGE.")
@click.option(
    "--answers", "choice", multiple=True, metavar="A,B,...", help="Answers to choose from, instead of free words."
)
@click.option("--count", type=click.IntRange(min=1), help="Answers to each question. [default: 1]")
@search_options(max_tokens=9)
@cost_option
@picture_options()
@click.pass_context
def ask(ctx: click.Context, /, arguments: tuple[str, ...], **given: Any) -> None:
    """Answer questions about pictures.

    IMAGEs come first: pictures, folders, globs in quotes, addresses, tars, tables or -, as for `seesay caption`. What
    exists is an IMAGE, and the first argument that does not begins the QUESTIONs. Every question is asked of every
    picture, which is encoded once.

    With --answers the probability of an answer is its share among those given; without, it is that of these words
    among all that could be written. JSON and CSV have it.
    """
    from seesay.asking import AskOptions

    sources, questions = pictures_and_texts(arguments, given["question"], "--question")
    choice = listed(given["choice"])
    if given["choice"] and not choice:  # an empty variable of a shell would ask for free words unnoticed
        raise UsageError("--answers holds no answer", "Give some, such as yes,no, or leave it out.")
    options = AskOptions(answers=choice, **search_changes(given))

    def answered(model: Describer) -> Tell[list[Answer]]:
        model.need("ask")
        return partial(_ask, model, questions, options)

    def rows(name: str, found: Sequence[Answer]) -> list[Row]:
        return [answer_row(name, question, answer) for question, answer in zip(questions, found, strict=True)]

    each = len(questions) * options.count
    table = answers(len(questions), ranked=bool(options.answers))
    tell(ctx, sources, given, Telling(table, answered, rows, done="answered", beside=questions, requests=each))


def _ask(
    model: Describer, questions: Sequence[str], options: AskOptions, images: Sequence[ImageLike]
) -> list[list[Answer] | ImageError]:
    """Every question about every picture, each picture encoded once."""
    seen = [_see(model, image) for image in images]
    good = [one for one in seen if not isinstance(one, ImageError)]
    found = iter(model.answers([one for one in good for _ in questions], [*questions] * len(good), options))
    told: list[list[Answer] | ImageError] = []
    for one in seen:
        told.append(one if isinstance(one, ImageError) else _all_or_error([next(found) for _ in questions]))
    return told


def _see(model: Describer, image: ImageLike) -> Seen | ImageError:
    try:
        return model.see(image)
    except ImageError as error:
        return error


def _all_or_error(answers: Sequence[Answer | ImageError]) -> list[Answer] | ImageError:
    """The answers to all questions about a picture, or the first error of a model behind an API that left one open."""
    good = [one for one in answers if not isinstance(one, ImageError)]
    return good if len(good) == len(answers) else next(one for one in answers if isinstance(one, ImageError))

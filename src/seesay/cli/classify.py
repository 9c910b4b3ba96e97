"""`seesay classify`: pictures and labels in, the likeliest label out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from seesay.cli.arguments import files
from seesay.cli.formats import Row, class_row, classes
from seesay.cli.options import listed, machine_options
from seesay.cli.pictures import STATUS, Telling, picture_options, tell

if TYPE_CHECKING:
    from seesay.batches import Tell
    from seesay.describe import Describer
    from seesay.records import Classification


@click.command(
    epilog=f"""Examples:

\b
  seesay classify photo.jpg --labels cat,dog,horse --model blip-itm-base-coco
  seesay classify holiday/ --labels beach,mountain,city --top 1 --output places.csv
  seesay classify scans/ --labels letter,invoice --template "a scan of a {{}}" --format jsonl
  seesay classify photo.jpg --labels "a dog,a child" --head match --template "a photo with {{}}"

{STATUS}
"""
)
@click.argument("sources", nargs=-1, required=True, metavar="IMAGE...", shell_complete=files)
@machine_options
@click.option("--labels", multiple=True, required=True, metavar="A,B,...", help="What a picture may show.")
@click.option(
    "--template",
    "templates",
    multiple=True,
    help='Sentence that a label is put into, at {}; of several, the mean counts. [default: "a photo of a {}"]',
)
@click.option(
    "--head",
    type=click.Choice(["contrast", "match"]),
    default="contrast",
    show_default=True,
    help="What judges: vectors that are compared, or the text read beside the picture.",
)
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="Labels that text shows.")
@picture_options()
@click.pass_context
def classify(
    ctx: click.Context, /, sources: tuple[str, ...], labels: tuple[str, ...], templates: tuple[str, ...], **given: Any
) -> None:
    """Say which of some labels fits a picture, without training.

    An IMAGE is a picture, folder, glob in quotes, address, tar, table or -, as for `seesay caption`.

    By --head contrast the probability is the label's share among those given: a softmax of similarities at the
    temperature that the checkpoint tells (0.07 in Hugging Face's folders of BLIP, where training begins; then the order
    says more than the figures). The shares add up to 1, so the right label must be among them. By --head
    match each label has a probability of its own, that its text belongs to the picture: several may be likely, or
    none. It takes longer: every label is read beside every picture.
    """
    names = listed(labels)

    def classified(model: Describer) -> Tell[Classification]:
        from seesay.classifying import TEMPLATE, Classifier
        from seesay.describe import as_blip

        return Classifier(
            as_blip(model, "classify pictures"), names, templates or (TEMPLATE,), given["head"]
        ).classifications

    def rows(name: str, found: Classification) -> list[Row]:
        return [class_row(name, found)]

    tell(ctx, sources, given, Telling(classes(given["top"]), classified, rows, done="classified"))

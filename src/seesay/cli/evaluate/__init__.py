"""`seesay evaluate`: how good a model, or a file of what one said, is on a benchmark or on one's own data."""

from __future__ import annotations

import click

from seesay.cli.evaluate.captions import captions, chair, compare, judgements, reference_free
from seesay.cli.evaluate.questions import choice, mme, pope, vqa
from seesay.cli.evaluate.vectors import retrieval, zero_shot

STATUS = "Exit status: 0 done, 1 a file, a picture or the model cannot be used, 2 the command cannot be meant."


@click.group(
    epilog=f"""Examples:

\b
  seesay evaluate captions --references dataset_coco.json --split test --results captions.json
  seesay evaluate captions --references captions.txt --split val --images photos --model blip-base
  seesay evaluate retrieval --data captions.json --images photos --model blip-itm-base-coco --rerank 128
  seesay evaluate judgements ExpertAnnotations.txt --captions Flickr8k.token.txt

{STATUS}
"""
)
def evaluate() -> None:
    """Score models, or files of what they said.

    Scores are in per cent, as papers print them. With --json everything that a score depends on stands beside it:
    model, options, versions, seed, and the SHA-256 of what was read.
    """


for command in (captions, compare, reference_free, chair, judgements, retrieval, zero_shot, vqa, choice, pope, mme):
    evaluate.add_command(command)

"""`seesay caption`: pictures in, sentences out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from seesay.cli.arguments import files
from seesay.cli.formats import CAPTIONS, Row, caption_row
from seesay.cli.options import cost_option, machine_options, search_changes, search_options
from seesay.cli.pictures import FORMATS, STATUS, Telling, picture_options, tell
from seesay.cli.spreading import check_ray, cluster_of, loader, ray_options
from seesay.settings import BUILTIN

if TYPE_CHECKING:
    from seesay.batches import Tell, Told
    from seesay.describe import Describer
    from seesay.records import Caption
    from seesay.settings import Settings

HINT = f"{BUILTIN} is a small model; --model blip-base sees more (990 MB, fetched once)."


@click.command(
    epilog=f"""Examples:

\b
  seesay caption photo.jpg
  seesay caption photo.jpg --count 3 --nucleus --seed 1
  seesay caption holiday/ "scans/**/*.tif" --output captions.jsonl
  seesay caption holiday/ --output captions.jsonl --skip-existing
  seesay caption holiday/ --format txt-sidecar
  seesay caption products.csv::image_url --model blip-base --format csv
  seesay caption photo.jpg --model ollama:llava:13b
  seesay caption holiday/ --model openai:gpt-4o-mini --max-cost 0.50
  find . -name "*.png" | seesay caption -
  seesay caption "shards/web-*.tar" --output captions.jsonl --ray auto --workers 16

{STATUS}
"""
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...", shell_complete=files)
@machine_options
@click.option("--count", type=click.IntRange(min=1), help="Captions for each picture. [default: 1]")
@click.option("--prompt", help="Words that each caption starts with.")
@search_options(max_tokens=20)
@cost_option
@ray_options
@picture_options((*FORMATS, "coco", "txt-sidecar"))
@click.pass_context
def caption(ctx: click.Context, /, sources: tuple[str, ...], **given: Any) -> None:
    """Describe pictures in a sentence.

    A SOURCE is a picture, a folder (searched through), a glob in quotes, an http(s) address, a tar, a table
    (TABLE::COLUMN), or - for standard input: one picture, or sources line by line. Pictures of equal content are
    captioned once; a picture that cannot be read costs only its own caption. On a cluster (--ray) all workers must see
    the SOURCEs at the same place; captions come in the order in which they are done.

    Alternative text, key words and other styles are `seesay describe`'s.
    """
    from seesay.describe import CaptionOptions

    check_ray(given)

    changes = search_changes(given) | ({} if given["prompt"] is None else {"prompt": given["prompt"]})
    options = CaptionOptions(**changes)

    def captions(model: Describer) -> Tell[Caption]:
        model.need("caption")
        return partial(model.captions, options=options)

    def rows(name: str, found: Caption) -> list[Row]:
        return [caption_row(name, found)]

    def spread(settings: Settings, wanted: Callable[[str], bool]) -> Iterator[Told[Caption]]:
        from seesay.captioning import Reading, caption_on_ray

        reading = Reading(
            column=given["column"],
            frames=given["frames"],
            allow_private=given["allow_private_urls"],
            batch_size=given["batch_size"],
        )
        cluster = cluster_of(given, settings)
        load = loader(settings)
        return caption_on_ray(load, sources, options, given["ray"], reading=reading, wanted=wanted, **cluster)

    telling = Telling(
        CAPTIONS,
        captions,
        rows,
        done="captioned",
        hint=HINT,
        spread=spread if given["ray"] else None,
        requests=options.count,
    )
    tell(ctx, sources, given, telling)

"""The answer as one web page that needs nothing else: thumbnails, captions, and why each was found."""

from __future__ import annotations

import base64
from html import escape
from io import BytesIO
from pathlib import Path

from seesay.errors import ImageError
from seesay.images import open_image
from seesay.library.search import Found, Hit, picture_at

SIDE = 320
"""Pixels of a thumbnail's longer side."""
STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem;
       color-scheme: light dark }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); gap: 1.5rem }
figure { margin: 0 }
img { width: 100%; aspect-ratio: 4 / 3; object-fit: cover; border-radius: .4rem; background: #8882 }
small { opacity: .75; overflow-wrap: anywhere; display: block }
"""


def to_html(found: Found, title: str) -> str:
    """The page. Pictures that cannot be read any more stay without a thumbnail; addresses lead to the files."""
    head = escape(title or "Photographs")
    body = "\n".join(_figure(hit) for hit in found.hits) or "<p>Nothing matches.</p>"
    notes = "".join(f"<p><small>Left out: {escape(part)}</small></p>" for part in found.left_out)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width"><title>{head}</title><style>{STYLE}</style></head>\n'
        f"<body><h1>{head}</h1>\n<main>\n{body}\n</main>\n{notes}</body></html>\n"
    )


def _figure(hit: Hit) -> str:
    words = "; ".join(f"{', '.join(found)} ({name})" for name, found in hit.why.words.items())
    scores = {"similarity": hit.why.image, "caption": hit.why.caption, "match": hit.why.match}
    told = "; ".join([words, *(f"{name} {value:.2f}" for name, value in scores.items() if value is not None)])
    name = str(hit.path).encode("utf-8", "replace").decode()
    return (
        f'<figure><a href="{escape(_address(hit.path))}"><img alt="{escape(hit.caption)}" src="{_thumbnail(hit)}"></a>'
        f"<figcaption>{escape(hit.caption)}<small>{escape(told.strip('; '))}</small><small>{escape(name)}</small>"
        "</figcaption></figure>"
    )


def _address(path: Path) -> str:
    return path.absolute().as_uri()


def _thumbnail(hit: Hit) -> str:
    try:
        image = open_image(picture_at(hit.path, hit.start, hit.stop), side=SIDE)
    except ImageError:
        return "data:,"
    image.thumbnail((SIDE, SIDE))
    data = BytesIO()
    image.save(data, "jpeg", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"

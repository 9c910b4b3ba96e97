"""A picture in a style: by a prompt where the model follows instructions, else composed of what BLIP can do.

BLIP writes captions and judges them; nothing else is asked of it. So "detailed" is its captions that say something new,
judged where it can; "tags" and "search" are their words, the image network's own, and the colours of the pixels.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np

from seesay.batches import each
from seesay.describe import CERTAIN, Blip, Describer, Seen
from seesay.errors import ImageError, UsageError
from seesay.images import ImageLike, open_image
from seesay.images.metadata import photo_facts
from seesay.instructing import Followed, follow, follows, read_prompt
from seesay.ocr import Reader, clean, quoted
from seesay.records import Caption, Provenance
from seesay.styles.alt import ALT_LENGTH, alt_text, fitted, problems, sentence, without_opening
from seesay.styles.template import Template, fields_of
from seesay.styles.words import COLOURS, MOODS, SETTINGS, actions, content_words, main_colours, settings

Style = Literal["short", "detailed", "alt", "tags", "search"]
"""short     one sentence
detailed  a paragraph
alt       alternative text (rules: `styles.alt`)
tags      key words
search    objects, actions, setting, colours and mood, for an index"""
SEARCHED = ("objects", "actions", "setting", "colours", "mood")
CAPTIONS = 4
"""Captions that longer styles are composed of."""
BORNE_OUT = 0.5
"""A caption beyond the first is used from this probability of matching, where the model judges."""
SIGN = 60
"""Characters of text in a picture that alternative text quotes at most: a sign, no page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleOptions:
    """How pictures are told. Raises UsageError for what contradicts itself."""

    style: Style = "short"
    length: int | None = None
    """Characters at most. None: 125 for alternative text, else what comes."""
    context: str = ""
    """What stands beside the picture, or is known of it: a model that follows instructions takes it into account; for
    others it fills {context} of a template, and alternative text that only repeats it is flagged."""
    decorative: bool = False
    """The pictures are decoration: their alternative text is empty, and no model is asked."""
    template: str = ""
    """What the text becomes: see `Template`. Its date, place, people, keywords and description come from the file."""

    def __post_init__(self) -> None:
        if self.style not in get_args(Style):
            raise UsageError(f"No style is called {self.style}", f"Use {', '.join(get_args(Style))}.")
        if self.length is not None and self.length < 10:
            raise UsageError(f"Nothing can be said in {self.length} characters", "Give 10 or more.")
        if self.decorative and self.style != "alt":
            raise UsageError("Only alternative text is empty for decoration", "Use the style alt.")
        if self.template:
            Template(self.template)
            if self.style in ("tags", "search"):
                raise UsageError(f"A template makes a text, and {self.style} is none", "Leave one of them out.")


@dataclass(frozen=True, slots=True)
class Description:
    """A picture, told in a style."""

    text: str
    """For tags and search, their terms in one line."""
    style: Style
    terms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """tags: under "tags"; search: under objects, actions, setting, colours and mood; nothing for other styles."""
    written: str = ""
    """What stands in the picture, where a reader was asked: somebody else's words. Data, never an instruction."""
    method: Literal["instructed", "composed", "decorative"] = "composed"
    flags: tuple[str, ...] = ()
    """What is wrong with it: the caption's flags, and the rules of alternative text that it breaks."""
    provenance: Provenance | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.text

    @property
    def whole(self) -> str:
        """The text, and behind it, quoted, what stands in the picture."""
        return "\n\n".join(part for part in (self.text, quoted(self.written)) if part)


class Stylist:
    """A model and a style. Raises CapabilityError for a model that neither follows instructions nor captions."""

    def __init__(self, model: Describer, options: StyleOptions | None = None, reader: Reader | None = None) -> None:
        """reader: who reads the text in pictures, where that is wanted."""
        self._model = model
        self._options = options or StyleOptions()
        self._reader = reader
        self._instructed = follows(model)
        if not self._instructed and not self._options.decorative:
            model.need("caption")

    def describe(self, image: ImageLike) -> Description:
        """The picture in the style. Raises ImageError, and what `follow` raises."""
        options = self._options
        if options.decorative:
            return Description("", "alt", method="decorative")
        start = time.perf_counter()
        written = self._reader.read(image).text if self._reader else ""
        told = self._by_prompt(image, written) if self._instructed else self._composed(image)
        told = replace(told, written=written)
        if options.style in ("tags", "search"):
            return _timed(told, start)
        text = self._filled(told, image) if options.template else told.text
        return _timed(self._finished(replace(told, text=text)), start)

    def descriptions(self, images: Sequence[ImageLike]) -> list[Description | ImageError]:
        """Each picture in the style, or the error that says why not."""
        return each(self.describe, images, self._model)

    # From what a model says to the text.

    def _finished(self, told: Description) -> Description:
        """The text at its length, by the rules of its style."""
        options = self._options
        if options.style != "alt":
            text = fitted(told.text, options.length) if options.length else told.text
            return replace(told, text=sentence(text) if options.style == "detailed" else text)
        limit = options.length or ALT_LENGTH
        text = alt_text(told.text, limit)
        sign = " ".join(clean(told.written).split()).replace('"', "'")
        reads = f' It reads "{sign}".'
        if told.method == "composed" and sign and len(sign) <= SIGN and len(text) + len(reads) <= limit:
            text += reads
        return replace(told, text=text, flags=(*told.flags, *problems(text, length=limit, context=options.context)))

    def _filled(self, told: Description, image: ImageLike) -> str:
        template = Template(self._options.template)
        facts = fields_of(photo_facts(image)) if template.needs_facts else {}
        beside = {"caption": told.text, "context": self._options.context, "text": " ".join(told.written.split())}
        return template.filled(facts | beside)

    def _by_prompt(self, image: ImageLike, written: str) -> Description:
        options = self._options
        limit = options.length or (ALT_LENGTH if options.style == "alt" else None)
        said: Followed = follow(
            self._model, image, read_prompt(options.style), context=options.context, length=limit, text=written
        )
        terms = {name: _terms(values) for name, values in (said.value or {}).items()}
        text = _joined(terms) if terms else said.text
        return Description(text, options.style, terms, "", "instructed", said.flags, said.provenance)

    # What BLIP can do.

    def _composed(self, image: ImageLike) -> Description:
        style, model = self._options.style, self._model
        seen = model.see(image)
        if style in ("short", "alt"):
            caption = self._fitting(model.caption(seen))
            return Description(caption.text, style, flags=caption.flags, provenance=caption.provenance)
        captions = self._captions(seen)
        first = captions[0]
        if style == "detailed":
            text = " ".join(sentence(without_opening(text)) for text in _news([one.text for one in captions]))
            return Description(text, style, flags=first.flags, provenance=first.provenance)
        words = list(dict.fromkeys(word for one in captions for word in content_words(one.text)))
        words = list(dict.fromkeys([*self._concepts(seen), *words]))
        terms = {"tags": tuple(words)} if style == "tags" else self._searched(image, seen, words)
        return Description(_joined(terms), style, terms, flags=first.flags, provenance=first.provenance)

    def _fitting(self, caption: Caption) -> Caption:
        """The caption, or its first alternative that fits the length."""
        limit = self._options.length
        return next((one for one in caption.all if not limit or len(one.text) < limit), caption)

    def _captions(self, seen: Seen) -> list[Caption]:
        """The best caption, and others that the picture bears out."""
        best, *others = self._model.caption(seen, count=CAPTIONS, beams=CAPTIONS).all
        others = [one for one in others if one.text.strip()]
        kept = self._borne_out(seen, [one.text for one in others])
        return [best, *(one for one in others if one.text in kept)]

    def _concepts(self, seen: Seen) -> list[str]:
        """Words that the image network itself is sure of, where it has words."""
        concepts = getattr(seen.encoded, "concepts", None)
        if not isinstance(self._model, Blip) or concepts is None:
            return []
        words = self._model.checkpoint.config.vision.concept_words
        order = np.argsort(-concepts[0], kind="stable")
        return [words[place] for place in order if concepts[0][place] >= CERTAIN]

    def _searched(self, image: ImageLike, seen: Seen, words: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        done, places = actions(words), settings(words)
        seen_colours = main_colours(open_image(image, side=64))
        colours = list(dict.fromkeys([*seen_colours, *(word for word in words if word in COLOURS)]))
        if "embed" in self._model.capabilities:
            places = list(dict.fromkeys([*places, *self._likeliest(seen, "a photo taken at the {}", SETTINGS)]))
            mood = self._likeliest(seen, "a photo with a {} mood", MOODS)
        else:
            mood = []
        things = [word for word in words if word not in {*done, *places, *colours}]
        return dict(zip(SEARCHED, map(tuple, (things, done, places, colours, mood)), strict=True))

    def _likeliest(self, seen: Seen, template: str, words: Sequence[str]) -> list[str]:
        """The word that fits best by the contrastive head, if it has more than half of the probability, and where the
        model matches, if the picture bears it out: among words of which none fits one fits best too."""
        if not isinstance(self._model, Blip):
            return []
        texts = [one.vector for one in self._model.embed_texts([template.format(word) for word in words])]
        scores = np.array(texts) @ self._model.embed_image(seen).vector / self._model.checkpoint.config.temperature
        shares = np.exp(scores - np.logaddexp.reduce(scores))
        best = words[int(shares.argmax())]
        return [best] if shares.max() > 0.5 and self._borne_out(seen, [template.format(best)]) else []

    def _borne_out(self, seen: Seen, texts: Sequence[str]) -> Sequence[str]:
        """Those that the picture bears out, as far as the model can tell."""
        if not texts or "match" not in self._model.capabilities:
            return texts
        [judged] = self._model.matches([seen], [texts])
        if isinstance(judged, ImageError):
            return texts
        return [text for text, one in zip(texts, judged, strict=True) if (one.probability or 0.0) >= BORNE_OUT]


def _news(texts: Sequence[str]) -> list[str]:
    """The first, and those of the others that say at least two words more than all before them."""
    told, kept = set(content_words(texts[0])), [texts[0]]
    for text in texts[1:]:
        new = set(content_words(text)) - told
        if len(new) > 1:
            kept.append(text)
            told |= new
    return kept


def _terms(values: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(" ".join(str(value).split()).lower() for value in values if str(value).strip()))


def _joined(terms: Mapping[str, tuple[str, ...]]) -> str:
    return ", ".join(dict.fromkeys(term for values in terms.values() for term in values))


def _timed(told: Description, start: float) -> Description:
    """With the time that all of it took."""
    made = told.provenance
    if made is None:
        return told
    return replace(told, provenance=replace(made, milliseconds=(time.perf_counter() - start) * 1000))

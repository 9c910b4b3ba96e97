"""Captions beside people's, beside their pictures, and metrics beside people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seesay.cli.evaluate.shared import (
    CLIP_PROMPT,
    FILE,
    FOLDER,
    about,
    clip_option,
    clips,
    digest_of,
    digest_of_files,
    digests,
    draw_options,
    examples,
    finish,
    load,
    pictures_of,
    progress,
    read,
    references_option,
    report_options,
    split_option,
)
from seesay.cli.options import machine_options
from seesay.errors import DataError

if TYPE_CHECKING:
    from seesay.data import Example
    from seesay.evaluation.report import Row
    from seesay.evaluation.significance import Interval


@click.command(
    epilog=examples(
        "captions --references captions_val2014.json --results results.json --meteor",
        "captions --references captions.txt --split val --images photos --model blip-base --details mine.jsonl",
    )
)
@references_option
@split_option
@click.option("--results", type=FILE, help="Captions to score: COCO's results, or JSON lines of file name and caption.")
@click.option("--images", type=FOLDER, help="Folder of the pictures, for a model to caption.")
@machine_options
@click.option("--prompt", default="", help="Words that captions go on from, not scored.")
@click.option("--beams", type=click.IntRange(min=1), default=3, show_default=True, help="1 is greedy.")
@click.option("--max-tokens", type=click.IntRange(min=1), default=20, show_default=True, help="Length of a caption.")
@click.option("--limit", type=click.IntRange(min=1), help="The first so many pictures only.")
@click.option("--meteor", is_flag=True, help="METEOR too, which needs the extra `java`.")
@click.option("--spice", is_flag=True, help="SPICE too, which needs the extra `java` and CoreNLP.")
@draw_options
@report_options
def captions(**given: Any) -> None:
    """BLEU, ROUGE-L and CIDEr, with 95 % intervals.

    Of captions in a file (`seesay caption --output` writes one, and goes on where it was stopped), or of those that a
    model writes now for the pictures in --images; --details keeps them, in a form that is a file of results again.
    Intervals come from the bootstrap over pictures.
    """
    from seesay.describe import CaptionOptions
    from seesay.evaluation import confidence_intervals, evaluate_captions
    from seesay.evaluation.rows import read_captions
    from seesay.evaluation.running import caption_images, without_prompt

    known = [one for one in read(given["references"], given["images"], given["split"]) if one.captions]
    truth = known[: given["limit"]]
    references = _references(truth)
    models: list[Mapping[str, object]] = []
    data = digests(given["references"], given["split"], given["results"])
    if given["results"]:
        found = read_captions(given["results"], known)  # of which some may be past the limit
        written = {name: caption for name, caption in found.items() if name in references}
    else:
        model = load(given)
        options = CaptionOptions(prompt=given["prompt"], beams=given["beams"], max_new_tokens=given["max_tokens"])
        with progress("pictures", len(truth)) as watch:
            records = caption_images(model, pictures_of(truth), options, watch)
        written = {one.name: without_prompt(model, record) for one, record in zip(truth, records, strict=True)}
        models.append(about(model, asdict(options)))
        data |= digest_of(truth, given["images"])
    scores = evaluate_captions(written, references)
    intervals = confidence_intervals(scores, given["draws"], given["seed"])
    values = (*scores.bleu, scores.rouge_l, scores.cider)
    rows: list[Row] = [_scored(name, value, intervals[name]) for name, value in zip(intervals, values, strict=True)]
    each = {
        name: {
            **{f"BLEU-{n}": value for n, value in enumerate(one.bleu, 1)},
            "ROUGE-L": one.rouge_l,
            "CIDEr": one.cider,
        }
        for name, one in scores.images.items()
    }
    for metric, score, images in _java(written, references, given):
        rows.append({"metric": metric, "score": 100 * score})
        for name, value in zip(written, images, strict=True):
            each[name][metric] = value
    details = [{"file_name": name, "caption": written[name], **found} for name, found in each.items()]
    finish("captions", rows, given, models=models, data=data, details=details)


def _references(truth: Sequence[Example]) -> dict[str, tuple[str, ...]]:
    """Captions of people by the picture's name. Raises DataError where two pictures have one."""
    references: dict[str, tuple[str, ...]] = {}
    for one in truth:
        if one.name in references:
            raise DataError(
                f"{one.place}: {one.name} is another picture too", "name pictures with their folders, or give --split"
            )
        references[one.name] = one.captions
    return references


def _scored(metric: str, value: float, interval: Interval) -> Row:
    return {"metric": metric, "score": 100 * value, "low": 100 * interval.low, "high": 100 * interval.high}


def _java(
    written: Mapping[str, str], references: Mapping[str, Sequence[str]], given: Mapping[str, Any]
) -> Iterator[tuple[str, float, Sequence[float]]]:
    """Metric, score of the set and of each caption, for the metrics that were asked for and need Java."""
    from seesay.evaluation import java, tokenize_together

    wanted = {"METEOR": (given["meteor"], java.meteor), "SPICE": (given["spice"], java.spice)}
    for metric, (asked_for, score) in wanted.items():
        if asked_for:
            with progress(f"{metric} ...") as _:
                candidates = tokenize_together([*written.values()])
                found = score(candidates, [tokenize_together(references[name]) for name in written])
            yield metric, found.score, found.images


@click.command(epilog=examples("compare --references captions_val2014.json first.json second.json"))
@references_option
@split_option
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
@draw_options
@report_options
def compare(**given: Any) -> None:
    """Is the second file of captions better than the first, or only luckier?

    p is how often chance alone makes a difference as large (a paired permutation test over pictures).
    """
    from seesay.evaluation import compare as compare_scores
    from seesay.evaluation import evaluate_captions
    from seesay.evaluation.rows import read_captions

    truth = [one for one in read(given["references"], None, given["split"]) if one.captions]
    references = _references(truth)
    first, second = (evaluate_captions(read_captions(given[name], truth), references) for name in ("first", "second"))
    found = compare_scores(first, second, given["draws"], given["seed"])
    values = zip(found, (*first.bleu, first.rouge_l, first.cider), strict=True)
    rows = [
        {
            "metric": name,
            "first": 100 * value,
            "second": 100 * (value + found[name].difference),
            "difference": 100 * found[name].difference,
            "p": found[name].p_value,
        }
        for name, value in values
    ]
    details = [
        {"file_name": name, "first": one.cider, "second": second.images[name].cider}
        for name, one in first.images.items()
    ]
    data = digests(given["references"], given["split"], given["first"], given["second"])
    finish("compare", rows, given, data=data, details=details)


@click.command(
    "reference-free",
    epilog=examples("reference-free --results captions.jsonl --images photos --model blip-itm-base-coco"),
)
@click.option("--results", type=FILE, required=True, help="Captions to score, by file name (or COCO's number).")
@click.option("--images", type=FOLDER, required=True, help="Folder of the pictures.")
@click.option("--references", metavar="DATASET", help="Names of the pictures, where results have COCO's numbers.")
@split_option
@machine_options
@clip_option
@report_options
def reference_free(**given: Any) -> None:
    """How well captions fit their pictures, without anybody's captions beside them.

    ITM is the mean probability that picture and caption match, ITC the mean similarity of their vectors, CLIPScore that
    similarity in CLIPScore's form (times 2.5, never below 0). Each model's figures stand for themselves.
    """
    from seesay.evaluation.reference_free import clip_score
    from seesay.evaluation.running import image_vectors, match_captions, text_vectors

    written = _captions_of_pictures(given)
    names = list(written)
    pictures = [given["images"] / name for name in names]
    details: list[dict[str, object]] = [{"file_name": name, "caption": written[name]} for name in names]
    rows: list[Row] = []
    models = []
    if given["model"] or not given["clips"]:
        model = load(given)
        with progress("pictures", len(names)) as watch:
            matches = match_captions(model, pictures, [[written[name]] for name in names], watch)
        models.append(about(model))
        chances = [one.probability for [one] in matches if one.probability is not None]
        similarities = [one.similarity for [one] in matches if one.similarity is not None]
        rows.append(_free(model.name, chances, similarities))
        for detail, [one] in zip(details, matches, strict=True):
            detail |= {"itm": one.probability, "itc": one.similarity, "clipscore": clip_score(one.similarity or 0.0)}
    for clip in clips(given):
        with progress("pictures", len(names)) as watch:
            images = image_vectors(clip, pictures, watch)
        beside = (images * text_vectors(clip, [CLIP_PROMPT + written[name] for name in names])).sum(axis=1).tolist()
        models.append(about(clip, {"prompt": CLIP_PROMPT}))
        rows.append(_free(clip.name, [], beside))
        for detail, similarity in zip(details, beside, strict=True):
            detail[f"clipscore of {clip.name}"] = clip_score(similarity)
    data = digests(given["split"], given["results"]) | digest_of_files(pictures, given["images"])
    finish("reference-free", rows, given, models=models, data=data, details=details)


def _captions_of_pictures(given: Mapping[str, Any]) -> dict[str, str]:
    """Caption by the picture's path in the folder of images."""
    from seesay.data import Example
    from seesay.evaluation.rows import NAME_KEYS, field_of, read_captions, read_rows

    if given["references"]:
        known = read(given["references"], None, given["split"])
    else:
        called = (str(field_of(row, NAME_KEYS, place)) for place, row in read_rows(given["results"]))
        known = [Example(name, None) for name in called]
    found = read_captions(given["results"], known)
    return {name if (given["images"] / name).is_file() else Path(name).name: text for name, text in found.items()}


def _free(model: str, chances: Sequence[float], similarities: Sequence[float]) -> Row:
    from seesay.evaluation.reference_free import clip_score

    scores = [clip_score(one) for one in similarities]
    return {"model": model, "ITM": _mean(chances), "ITC": _mean(similarities), "CLIPScore": _mean(scores)}


def _mean(values: Sequence[float]) -> float | None:
    return 100 * sum(values) / len(values) if values else None


@click.command(epilog=examples("chair --results captions.json --references captions.json --objects instances.json"))
@references_option
@split_option
@click.option("--results", type=FILE, required=True, help="Captions to score.")
@click.option("--objects", type=FILE, help="COCO's instances. [default: the labels of the references]")
@click.option("--synonyms", type=FILE, help="Another list of objects, such as the published synonyms.txt.")
@report_options
def chair(**given: Any) -> None:
    """Hallucination: objects of COCO's 80 kinds that captions name and pictures lack (CHAIR).

    CHAIRs is the share of captions with such an object, CHAIRi that of the objects named; both are better when lower.
    In a picture is what annotators or the reference captions name.
    """
    from seesay.evaluation import chair as library
    from seesay.evaluation.rows import read_captions

    truth = read(given["references"], None, given["split"])
    written = read_captions(given["results"], truth)
    numbered = library.read_coco_objects(given["objects"]) if given["objects"] else None
    annotated: dict[str, Iterable[str]] = {}
    if numbered is not None:
        annotated = {one.name: numbered[one.image_id] for one in truth if one.image_id in numbered}
    elif any(one.labels for one in truth):  # then who has none shows none
        annotated = {one.name: one.labels for one in truth}
    known = library.read_synonyms(given["synonyms"]) if given["synonyms"] else library.COCO_OBJECTS
    scores = library.chair(written, annotated, _references(truth), known)
    rows = [
        {"metric": "CHAIRs", "score": 100 * scores.sentences},
        {"metric": "CHAIRi", "score": 100 * scores.instances},
        {"metric": "coverage", "score": 100 * scores.coverage},
    ]
    wrong = scores.hallucinated.items()
    details = [{"file_name": name, "caption": written[name], "hallucinated": words} for name, words in wrong]
    data = digests(given["references"], given["split"], given["results"], given["objects"], given["synonyms"])
    finish("chair", rows, given, data=data, details=details)


@click.command(
    epilog=examples(
        "judgements ExpertAnnotations.txt --captions Flickr8k.token.txt --meteor",
        "judgements CrowdFlowerAnnotations.txt --captions Flickr8k.token.txt",
        "judgements ExpertAnnotations.txt --captions Flickr8k.token.txt --images photos --model blip-itm-base-coco",
    )
)
@click.argument("ratings", type=FILE)
@click.option("--captions", type=FILE, required=True, help="Captions of the pictures, as Flickr8k's token file.")
@click.option("--kind", type=click.Choice(["expert", "cf"]), help="[default: by the name of the file]")
@click.option("--variant", type=click.Choice(["b", "c"]), help="Of Kendall's tau. [default: c for expert, b for cf]")
@click.option("--meteor", is_flag=True, help="METEOR too, which needs the extra `java`.")
@click.option("--images", type=FOLDER, help="Folder of the pictures, for a model's scores.")
@machine_options
@clip_option
@report_options
def judgements(**given: Any) -> None:
    """How well metrics agree with people: Kendall's tau with the ratings of Flickr8k-Expert or Flickr8k-CF."""
    from seesay.evaluation import java
    from seesay.evaluation import judgements as library

    kind = given["kind"] or ("expert" if "expert" in given["ratings"].name.lower() else "cf")
    read = library.read_flickr8k_expert if kind == "expert" else library.read_flickr8k_cf
    judged = read(given["ratings"], given["captions"])
    metrics: dict[str, Sequence[float]] = dict(library.caption_metrics(judged))
    models: list[Mapping[str, object]] = []
    data = digests(given["ratings"], given["captions"])
    if given["meteor"]:
        with progress("METEOR ..."):
            metrics["METEOR"] = java.meteor(*library.tokenised(judged)).images
    if given["images"]:
        for name, scores in _judged_by_models(judged, given, models):
            metrics[name] = scores
        data |= digest_of_files(sorted({given["images"] / one.image for one in judged}), given["images"])
    variant: library.Variant = given["variant"] or ("c" if kind == "expert" else "b")
    rows = [
        {"metric": name, f"tau-{variant}": 100 * library.correlation(scores, judged, variant)}
        for name, scores in metrics.items()
    ]
    details = [
        {"image": one.image, "caption": one.caption, "ratings": one.ratings}
        | {name: scores[i] for name, scores in metrics.items()}
        for i, one in enumerate(judged)
    ]
    packages = ["pycocoevalcap"] if given["meteor"] else []
    finish("judgements", rows, given, models=models, data=data, details=details, packages=packages)


def _judged_by_models(
    judged: Sequence[Any], given: Mapping[str, Any], models: list[Mapping[str, object]]
) -> Iterator[tuple[str, list[float]]]:
    """Metric and its scores, for each model's scores of the judged captions; `models` gets what was run."""
    from seesay.evaluation.running import image_vectors, log_odds, match_captions, text_vectors

    texts: dict[str, list[str]] = {}
    for one in judged:
        texts.setdefault(one.image, []).append(one.caption)
    pictures = [given["images"] / name for name in texts]
    if given["model"] or not given["clips"]:
        model = load(given)
        with progress("pictures", len(pictures)) as watch:
            found = match_captions(model, pictures, list(texts.values()), watch)
        models.append(about(model))
        pairs = zip(texts, found, strict=True)
        matched = {(name, one.text): one for name, matches in pairs for one in matches}
        yield f"ITM of {model.name}", [log_odds(matched[one.image, one.caption]) for one in judged]
        yield f"ITC of {model.name}", [matched[one.image, one.caption].similarity or 0.0 for one in judged]
    for clip in clips(given):
        with progress("pictures", len(pictures)) as watch:
            images = dict(zip(texts, image_vectors(clip, pictures, watch), strict=True))
        different = list(dict.fromkeys(one.caption for one in judged))
        vectors = dict(zip(different, text_vectors(clip, [CLIP_PROMPT + one for one in different]), strict=True))
        models.append(about(clip, {"prompt": CLIP_PROMPT}))
        yield f"CLIPScore of {clip.name}", [float(images[one.image] @ vectors[one.caption]) for one in judged]

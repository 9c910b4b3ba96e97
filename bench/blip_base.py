"""BLIP-base at 384 pixels: Seesay's engine against transformers' `generate`, in one process, turn by turn.

    python bench/blip_base.py [--rounds 6] [--beams 3 1] [--batch 1] [--prompt 1] [--threads 2] [--precisions fp32 int8]

Weights are random but not degenerate (`random_blip`), so that captions depend on the picture and on their own past.
Each caption has 12 new tokens. A sample in which other programs took more than `--foreign` of the machine is left out:
load from outside hurts transformers' threads more than ours, and flatters the ratio.

Limits: what this arithmetic could reach at most on the 2-core Zen 4 machine where it was measured, products at the
speed of ONNX Runtime's kernels and weights at that of memory: 2.9 times transformers in float32, 8.6 times in int8.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import transformers

from seesay.blip.checkpoint import read_checkpoint
from seesay.decoding import SearchOptions, search
from seesay.engine.base import Engine
from seesay.engine.onnx import OnnxEngine

NEW_TOKENS = 12
LIMITS = {"fp32": 2.9, "int8": 8.6}
Ids = list[list[int]]


@dataclass(frozen=True)
class Sample:
    """One batch of captions, made once."""

    seconds: float
    foreign: float  # share of the machine that other programs took meanwhile
    ids: Ids


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    folder = options.folder / "model"
    if not (folder / "config.json").exists():
        random_blip().save_pretrained(folder)
    reference = transformers.BlipForConditionalGeneration.from_pretrained(folder).eval()
    checkpoint = read_checkpoint(folder)
    engines = {kind: OnnxEngine(checkpoint, kind, options.threads, options.folder) for kind in options.precisions}
    prompt = np.random.default_rng(0).integers(1000, 20000, options.prompt - 1)
    ids = np.array([checkpoint.config.text.bos_token_id, *prompt])
    for beams in options.beams:
        runs: dict[str, Callable[[np.ndarray], Ids]] = {"transformers": lambda x, n=beams: theirs(reference, x, ids, n)}
        for kind, engine in engines.items():
            runs[kind] = lambda x, e=engine, n=beams: ours(e, x, ids, n)
        report(beams, options, measure(runs, options))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--beams", type=int, nargs="+", default=[3, 1])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--prompt", type=int, default=1, help="prompt tokens, the first included")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precisions", nargs="+", default=["fp32", "int8"])
    parser.add_argument("--foreign", type=float, default=0.1, help="leave out samples with more foreign load than this")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/seesay-bench"), help="model and converted graphs")
    return parser.parse_args()


def random_blip() -> transformers.BlipForConditionalGeneration:
    """BLIP-base with weights that do something.

    transformers' own are useless: the image side starts at 1e-10. Here each layer keeps the size of what passes, and
    the head's bias takes away what all texts share, or every caption would be one token, twelve times. For the same
    reason the text side's layers add little to what they read, so that the next token depends on the last.
    """
    torch.manual_seed(0)
    config = transformers.BlipConfig(text_config={"num_attention_heads": 12}, vision_config={"image_size": 384})
    model = transformers.BlipForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "embedding" in name and weight.dim() < 4:
                weight.normal_(0, 0.05)
            elif weight.dim() > 1:
                added = 0.3 if "text" in name and "output.dense" in name else 1.0
                weight.normal_(0, added / np.sqrt(weight[0].numel()))
            elif "norm" in name.lower() and name.endswith("weight"):
                weight.normal_(1, 0.1)
            else:
                weight.normal_(0, 0.02)
        texts, pixels = torch.randint(1000, 30000, (8, 12)), torch.randn(8, 3, 384, 384)
        logits = model(pixel_values=pixels, input_ids=texts).logits
        model.text_decoder.cls.predictions.bias.sub_(logits.mean((0, 1)))
    return model


# ------------------------------------------------------------------------------------------------------------ runs


def theirs(model: transformers.BlipForConditionalGeneration, pixels: np.ndarray, prompt: np.ndarray, beams: int) -> Ids:
    """transformers' captions. It drops the last token that it is given, so one more is."""
    ids = torch.tensor(np.append(prompt, 0)).repeat(len(pixels), 1)
    with torch.inference_mode():
        out = model.generate(
            pixel_values=torch.from_numpy(pixels),
            input_ids=ids,
            num_beams=beams,
            do_sample=False,
            max_new_tokens=NEW_TOKENS,
            min_new_tokens=NEW_TOKENS,
        )
    return out[:, len(prompt) :].tolist()


def ours(engine: Engine, pixels: np.ndarray, prompt: np.ndarray, beams: int) -> Ids:
    """Seesay's captions, from the same pixels."""
    options = SearchOptions(beams=beams, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS)
    with engine.session(engine.encode(pixels).features, prompt, beams) as session:
        found = search(session, list(prompt), options, eos=102)
    return [list(hypotheses[0].tokens) for hypotheses in found]


def measure(runs: dict[str, Callable[[np.ndarray], Ids]], options: argparse.Namespace) -> dict[str, list[Sample]]:
    """Samples of each run, turn by turn over the same pictures; the first round warms up and does not count."""
    samples: dict[str, list[Sample]] = {name: [] for name in runs}
    for turn in range(options.rounds + 1):
        pixels = np.random.default_rng(turn).normal(size=(options.batch, 3, 384, 384)).astype(np.float32)
        for name, run in runs.items():
            busy, own, start = machine_seconds(), process_seconds(), time.perf_counter()
            ids = run(pixels)
            seconds = time.perf_counter() - start
            foreign = (machine_seconds() - busy) - (process_seconds() - own)
            if turn:
                samples[name].append(Sample(seconds, max(foreign, 0) / (seconds * (os.cpu_count() or 1)), ids))
    return samples


def machine_seconds() -> float:
    """CPU seconds that all programs of this machine have used, by /proc/stat."""
    with open("/proc/stat") as file:
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def process_seconds() -> float:
    times = os.times()
    return times.user + times.system


# ---------------------------------------------------------------------------------------------------------- report


def report(beams: int, options: argparse.Namespace, samples: dict[str, list[Sample]]) -> None:
    """A table for people, and one line of JSON."""
    versions = (
        f"onnxruntime {onnxruntime.__version__}, transformers {transformers.__version__}, torch {torch.__version__}"
    )
    print(f"\n{versions}; batch {options.batch}, {beams} beams, prompt {options.prompt}, {options.threads} threads\n")
    print("| variant | median s | range | x transformers | limit | ids equal | foreign load | samples left |")
    print("|---|---|---|---|---|---|---|---|")
    base = samples["transformers"]
    for name, mine in samples.items():
        quiet = [s for s in mine if s.foreign <= options.foreign]
        pairs = [(s, t) for s, t in zip(mine, base, strict=True) if max(s.foreign, t.foreign) <= options.foreign]
        ratio = statistics.median([t.seconds / s.seconds for s, t in pairs]) if pairs else float("nan")
        equal = sum(a == b for s, t in zip(mine, base, strict=True) for a, b in zip(s.ids, t.ids, strict=True))
        times = [s.seconds for s in quiet or mine]
        print(
            f"| {name} | {statistics.median(times):.3f} | {min(times):.3f}-{max(times):.3f} | {ratio:.2f} "
            f"| {LIMITS.get(name, '')} | {equal}/{len(mine) * options.batch} "
            f"| {statistics.median(s.foreign for s in mine):.2f} | {len(pairs)} of {len(mine)} |"
        )
    distinct = {tuple(ids) for sample in base for ids in sample.ids}
    repeats = statistics.mean(len(set(ids)) for ids in distinct)
    print(f"\n{len(distinct)} different captions, {repeats:.1f} different tokens in each of {NEW_TOKENS}")
    print(json.dumps({name: [[s.seconds, s.foreign] for s in mine] for name, mine in samples.items()}))


if __name__ == "__main__":
    main()

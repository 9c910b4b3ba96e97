"""The first table of the BLIP paper at small scale: does CapFilt help where captions are wrong, and which half of it?

    python bench/capfilt_experiment.py DATA OUTPUT [--seeds 3] [--photos 4000] [--steps N] [--page docs/experiments.md]

DATA holds `flickr8k/` (captions.txt, train.txt, val.txt, images/). Of 4,000 training photographs a quarter is set aside
as clean; the others keep two captions each, of which 40 % change places with those of other photographs, another 40 %
with each seed. A model is pre-trained on that, fine-tuned on the clean quarter as a captioner and as a filter, and
CapFilt makes three further data sets of it; on each a new model is pre-trained as the first was. What it runs are
`seesay train` and `seesay capfilt`, a command on each core, which it prints with the time that is left. A run that was
stopped goes on when the command is given again. OUTPUT gets a folder and a `result.json` for each seed; the page gets
the tables. --photos and --steps make a small one, to see that it runs.

Every model starts as BLIP does: an image network and a BERT that were trained before and have never seen a caption of
these photographs, here small ones. The image network is frozen, and its maps are computed once for all runs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from threading import Lock, Semaphore
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

import seesay
from pages import write_into
from seesay.blip.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from seesay.blip.config import BlipConfig
from seesay.blip.model import Blip, from_checkpoint, to_arrays
from seesay.bootstrapping import read_records
from seesay.bootstrapping.journal import lock
from seesay.capfilt import Judged
from seesay.cli.status import duration
from seesay.data import read_flickr
from seesay.data.files import whole
from seesay.engine.threads import physical_cores
from seesay.errors import UsageError
from seesay.texts import tidy
from seesay.tokenizer import Tokenizer
from seesay.training.packing import Texts
from seesay.training.pictures import Pixels, keep, see
from seesay.training.prepare import small_vocabulary
from seesay.training.samples import Sample, read_samples
from seesay.training.start import start
from seesay.training.tuning_recipe import Dataset

RECIPES = Path(__file__).parents[1] / "recipes" / "capfilt"
PHOTOS, CLEAN = 4000, 1 / 4
FOUND, NOISE = 2, 0.4
"""Captions beside each photograph of the web, and how many of them are wrong."""
SIDE, IMAGE_LAYERS, TEXT_LAYERS = 192, 1, (0, 5)
"""Of the models: pixels, so that an image has 36 patches; layers; and which of MiniLM's. Its last gathers a sentence in
the first token, which after the first two is nearly the same for all sentences."""
TEXT_LAYER = re.compile(r"^(text_.*\.layer\.)(\d+)\.")
TEMPERATURE = 0.1
"""Of contrast at the beginning."""
CENTRED = 64
"""Photographs that say where the vectors' middle lies."""
LEAST_COUNT = 3
"""Word pieces that captions use more rarely leave the vocabulary."""
AT_ONCE = min(4, physical_cores())
"""Commands that run beside each other: two on one core each are sooner done than one after the other on both."""
COSTS = {"pretrain": 1.0, "captioner": 0.3, "filter": 0.5, "capfilt": 0.35}
"""How long the commands take, in that of the longest ..."""
COST = 4 * COSTS["pretrain"] + COSTS["captioner"] + COSTS["filter"] + COSTS["capfilt"]
"""... and a seed's."""
JUDGES = {"similarity": "contrast", "probability": "matching"}
JUDGE = "similarity"
"""What decides which texts are kept. The paper's filter does so by its matching head, which learns nothing yet in runs
of minutes: its figures stand beside."""
ROWS = {"none": "no CapFilt", "filter": "filter only", "captioner": "captioner only", "both": "captioner and filter"}
SCORES = {"cider": "CIDEr", "image_to_text_1": "text R@1", "text_to_image_1": "image R@1", "recall": "mean recall"}
BEGIN, END = "<!-- capfilt: tables, written by bench/capfilt_experiment.py -->", "<!-- capfilt: end -->"

Captions = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Photos:
    """The experiment's photographs with their captions, in three parts."""

    folder: Path
    web: Captions
    clean: Captions
    validation: Captions

    @classmethod
    def read(cls, data: Path, most: int) -> Photos:
        """`most`: of Flickr8k's training photographs; no more are validated on than are clean."""
        folder = data / "flickr8k"
        found = {
            split: {
                one.name: [tidy(caption) for caption in one.captions]  # as the filter and the captioner learn them
                for one in read_flickr(folder / "captions.txt", folder / "images", folder / f"{split}.txt")
            }
            for split in ("train", "val")
        }
        train, draw = found["train"], random.Random(0)
        names = draw.sample(sorted(train), len(train))[:most]
        count = round(len(names) * CLEAN)
        web = {name: draw.sample(train[name], min(FOUND, len(train[name]))) for name in names[count:]}
        clean = {name: train[name] for name in names[:count]}
        return cls(folder / "images", web, clean, {name: found["val"][name] for name in list(found["val"])[:count]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--photos", type=int, default=PHOTOS, help="so many training photographs only")
    parser.add_argument("--steps", type=int, default=None, help="steps of each training run, instead of the recipes'")
    parser.add_argument("--page", type=Path, default=None, help="the page whose tables are to be written")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    with (given.output / ".lock").open("ab") as mark:
        try:
            lock(mark, given.output)  # the commands hold it too, so that what outlives this program is not run twice
        except UsageError as error:
            sys.exit(f"{error}. {error.remedy}")
        photos = Photos.read(given.data, given.photos)
        commands = Commands(mark, given.seeds * COST)
        experiment = Experiment(photos, given.output.absolute(), given.steps, commands)
        together(*((lambda seed=seed: experiment.run(seed)) for seed in range(given.seeds)))
    results = [json.loads(path.read_text()) for path in sorted(given.output.glob("seed*/result.json"))]
    tables = "\n".join(lines_of(results))
    print(tables)
    if given.page:
        write_into(given.page, BEGIN, END, tables)


class Experiment:
    """All runs of the experiment; what is there already is not done again."""

    def __init__(self, photos: Photos, output: Path, steps: int | None, commands: Commands) -> None:
        self.photos, self.output, self.steps, self.commands = photos, output, steps, commands
        self.beginning = self._beginning()
        self.names = sorted({*photos.web, *photos.clean, *photos.validation})
        self._keep_maps()

    def run(self, seed: int) -> None:
        """One seed: other noise, other order, other weights where they are drawn."""
        folder = self.output / f"seed{seed}"
        if (folder / "result.json").exists():
            self.commands.skip(COST)
            return
        noisy, wrong = with_noise(self.photos.web, NOISE, seed)
        self._write_pairs(folder / "web.jsonl", noisy)
        self._write_pairs(folder / "clean.jsonl", self.photos.clean)
        self._train("pretrain", folder / "web.jsonl", folder / "none", self.beginning.folder, seed)

        def fine_tune(role: str) -> Callable[[], None]:
            return lambda: self._train(
                role, folder / "clean.jsonl", folder / f"the_{role}", folder / "none" / "model", seed
            )

        together(fine_tune("captioner"), fine_tune("filter"))
        self._clean(folder, seed)
        sets = sifted(folder / "sifted.jsonl.capfilt")
        for row, pairs in sets.items():
            self._write_pairs(folder / f"{row}.jsonl", pairs)

        def pretrain(row: str) -> Callable[[], None]:
            return lambda: self._train("pretrain", folder / f"{row}.jsonl", folder / row, self.beginning.folder, seed)

        together(*map(pretrain, sets))
        result = {
            "seed": seed,
            "steps": self.steps,
            "photos": {"web": len(noisy), "clean": len(self.photos.clean), "validation": len(self.photos.validation)},
            "rows": {
                row: scores_of(folder / row) | {"pictures": len(pairs), "captions": sum(map(len, pairs.values()))}
                for row, pairs in {"none": noisy, **sets}.items()
            },
            "fine-tuned": {role: scores_of(folder / f"the_{role}") for role in ("captioner", "filter")},
            "noise": noise_found(folder / "sifted.jsonl.capfilt", wrong),
            "versions": {"seesay": seesay.__version__, "torch": torch.__version__, "numpy": np.__version__},
        }
        write_text(folder / "result.json", json.dumps(result, indent=2) + "\n")

    def _train(self, recipe: str, data: Path, output: Path, model: Path, seed: int) -> None:
        if (output / "scores.json").exists():
            self.commands.skip(COSTS[recipe])
            return
        self._lend_maps(data, output / "data")
        command = ["--recipe", RECIPES / f"{recipe}.yaml", "--from", model, "--data", data]
        command += ["--images", self.photos.folder, "--output", output, "--seed", seed]
        if self.steps:
            command += ["--steps", self.steps]
        self.commands.run(COSTS[recipe], "train", *command)
        for view in (output / "data").glob("view*.npy"):  # some 0.2 GB for each run
            view.unlink()

    def _clean(self, folder: Path, seed: int) -> None:
        """CapFilt over the photographs of the web."""
        if (folder / "sifted.jsonl.capfilt" / "report.html").exists():
            self.commands.skip(COSTS["capfilt"])
            return
        models = [f"--{role}={folder / f'the_{role}' / 'model'}" for role in ("captioner", "filter")]
        source = [folder / "web.jsonl", folder / "sifted.jsonl", "--images", self.photos.folder, "--split", "train"]
        how = ["--seed", seed, "--precision", "fp32", "--threads", threads()]
        self.commands.run(COSTS["capfilt"], "capfilt", *source, *models, *how)

    def _beginning(self) -> Checkpoint:
        """A small model, its towers as they were before they met these captions."""
        folder = self.output / "beginning"
        if not folder.exists():
            captions = [caption for pairs in (self.photos.web, self.photos.clean) for caption in flat(pairs)]
            tokens = small_vocabulary(captions, (), LEAST_COUNT)
            tokenizer = Tokenizer(tokens, bos=tokens.index("[DEC]"), eos=tokens.index("[SEP]"))
            torch.manual_seed(0)
            model = small_model(tokens).eval()
            self._centre(model, tokenizer)
            set_head(model, [tokenizer.encode(caption) for caption in captions])
            partial = folder.with_name(".beginning")
            write_checkpoint(partial, model.config, to_arrays(model), tokens)
            partial.rename(folder)
        return read_checkpoint(folder)

    @torch.no_grad()
    def _centre(self, model: Blip, tokenizer: Tokenizer) -> None:
        """Projections whose vectors point all ways, where they would begin as nearly one: contrast first parts them."""
        names = list(self.photos.web)[:CENTRED]
        pixels = Pixels([Sample(name, self.photos.folder / name, (), (), ()) for name in names], model.config)
        images = see(model, pixels.load(range(len(names)), None))[:, 0]
        captions = [tokenizer.encode(self.photos.web[name][0]) for name in names]
        texts = Texts.of(captions, tokenizer.ids["[CLS]"], model.config.text)
        states = model.text_encoder(texts.ids, texts.seen, causal=False, positions=texts.positions)
        for project, found in ((model.vision_proj, images), (model.text_proj, texts.firsts(states))):
            project.bias.copy_(-project.weight @ found.mean(dim=0))

    def _keep_maps(self) -> None:
        """The frozen network's map of every photograph."""
        samples = [Sample(name, self.photos.folder / name, (), (), ()) for name in self.names]
        model = from_checkpoint(self.beginning)
        broken = keep(self.output / "maps", model, Pixels(samples, self.beginning.config), 1)
        if broken:
            sys.exit(f"cannot be read: {', '.join(self.names[place] for place in broken)}")

    def _lend_maps(self, data: Path, folder: Path) -> None:
        """The maps of a data set's photographs, in the order in which a run that learns from it has them."""
        if (folder / "view0.npy").exists():
            return
        text = self.beginning.config.text
        tokenizer = Tokenizer(self.beginning.vocabulary, bos=text.bos_token_id, eos=text.eos_token_id)
        source = Dataset(images=str(self.photos.folder))
        samples = read_samples(source, data, folder / "pictures", "pretrain", tokenizer)
        places = {name: place for place, name in enumerate(self.names)}
        rows = [places[one.name] for one in (*samples.train, *samples.validation)]
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "unreadable.json", "[]")
        with (folder / "view0.partial").open("wb") as file:
            np.save(file, np.load(self.output / "maps" / "view0.npy", mmap_mode="r")[rows])
        (folder / "view0.partial").rename(folder / "view0.npy")

    def _write_pairs(self, path: Path, pairs: Captions) -> None:
        """Pairs to train on, and the photographs that every run is validated on."""
        rows = [
            {"image": name, "captions": list(captions), "split": split}
            for split, part in (("train", pairs), ("val", self.photos.validation))
            for name, captions in part.items()
        ]
        write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


# --------------------------------------------------------------------------------------------------- data sets


def with_noise(pairs: Captions, share: float, seed: int) -> tuple[Captions, set[tuple[str, str]]]:
    """The pairs with a share of their captions exchanged for those of other photographs; and which are wrong.

    The captions that are taken away change places among themselves, so none is lost and none is there more often.
    """
    draw = random.Random(seed)
    every = [(name, place) for name, captions in pairs.items() for place in range(len(captions))]
    chosen = draw.sample(every, round(share * len(every)))
    noisy = {name: list(captions) for name, captions in pairs.items()}
    wrong = set()
    givers = _deranged([name for name, _ in chosen], draw)
    for (name, place), giver in zip(chosen, givers, strict=True):
        other, at = chosen[giver]
        noisy[name][place] = pairs[other][at]
        if pairs[other][at] not in pairs[name]:  # some say the same of two photographs
            wrong.add((name, pairs[other][at]))
    return noisy, wrong


def _deranged(owners: Sequence[str], draw: random.Random) -> list[int]:
    """An order in which nothing stands where its own owner does; no owner may have more than half of them."""
    order = draw.sample(range(len(owners)), len(owners))
    for place in range(len(order)):
        if owners[order[place]] == owners[place]:
            others = [
                other
                for other in range(len(order))
                if owners[order[other]] != owners[place] and owners[order[place]] != owners[other]
            ]
            other = draw.choice(others)
            order[place], order[other] = order[other], order[place]
    return order


def sifted(records: Path) -> dict[str, Captions]:
    """What is left to train on in each row of the table but the first; a photograph without a text is left out."""
    texts = {one.name: one.texts for one in read_records(records)}
    least = limit_of([score_of(text, JUDGE) for some in texts.values() for text in some if text.origin == "web"])
    kept = {name: [text for text in some if score_of(text, JUDGE) >= least] for name, some in texts.items()}
    found = {
        "filter": {name: [text.text for text in some if text.origin == "web"] for name, some in kept.items()},
        "captioner": {name: [text.text for text in some] for name, some in texts.items()},
        "both": {name: [text.text for text in some] for name, some in kept.items()},
    }
    return {row: {name: some for name, some in pairs.items() if some} for row, pairs in found.items()}


def score_of(text: Judged, judge: str) -> float:
    """What it thinks of a text; of one without a word nothing."""
    score: float | None = getattr(text, judge)
    return -np.inf if score is None else score


def limit_of(scores: Sequence[float]) -> float:
    """From this score on a text is kept: of those that were found, as many lie below as are wrong."""
    return sorted(scores)[round(NOISE * len(scores))]


# ------------------------------------------------------------------------------------------------------ results


def small_model(tokens: Sequence[str]) -> Blip:
    """With the weights of both towers, and what lies between them drawn."""
    config = BlipConfig.small(tokens, task="pretrain", image_layers=IMAGE_LAYERS)
    text, vision = replace(config.text, max_position_embeddings=64), replace(config.vision, image_size=SIDE)
    config = replace(config, text=text, vision=vision, temperature=TEMPERATURE)
    whole = Blip(config)
    start(whole, tokens)
    model = Blip(replace(config, text=replace(text, num_hidden_layers=len(TEXT_LAYERS))))
    weights = whole.state_dict()
    model.load_state_dict({name: weights[TEXT_LAYER.sub(_kept_layer, name)] for name in model.state_dict()})
    with torch.no_grad():
        model.vision_model.embeddings.projection.weight *= 0.5  # 1,280 inputs of ReLU6 are large
    return model


def _kept_layer(found: re.Match[str]) -> str:
    return f"{found[1]}{TEXT_LAYERS[int(found[2])]}."


@torch.no_grad()
def set_head(model: Blip, captions: Sequence[Sequence[int]]) -> None:
    """Language modelling begins with the tokens' frequencies, and timidly with the word embeddings."""
    counts = Counter(token for caption in captions for token in (*caption, model.config.text.eos_token_id))
    seen = torch.tensor([counts[token] + 0.1 for token in range(model.config.text.vocab_size)])
    head = model.text_decoder.cls.predictions
    head.bias.copy_((seen / seen.sum()).log())
    head.transform.LayerNorm.weight *= 0.5
    head.transform.dense.weight.copy_(torch.eye(len(head.transform.dense.weight)))


def flat(pairs: Captions) -> list[str]:
    return [caption for captions in pairs.values() for caption in captions]


def scores_of(folder: Path) -> dict[str, float]:
    scores: dict[str, float] = json.loads((folder / "scores.json").read_text())
    return scores


def noise_found(records: Path, wrong: set[tuple[str, str]]) -> dict[str, object]:
    """How well each judge tells found captions that are wrong from those that are right; and what was written."""
    texts = [(one.name, text) for one in read_records(records) for text in one.texts]
    found = [(name, text) for name, text in texts if text.origin == "web"]
    noise = np.array([(name, text.text) in wrong for name, text in found])
    judges = {judge: told_apart(np.array([score_of(text, judge) for _, text in found]), noise) for judge in JUDGES}
    least = limit_of([score_of(text, JUDGE) for _, text in found])
    written = [score_of(text, JUDGE) >= least for _, text in texts if text.origin == "synthetic"]
    half = mean(text.kept for _, text in found)
    counts = {"found": len(found), "wrong": int(noise.sum()), "written": len(written), "written and kept": sum(written)}
    return {**judges, **counts, "kept by matching at one half": half}


def told_apart(scores: NDArray[np.float64], noise: NDArray[np.bool_]) -> dict[str, float]:
    """Of the captions that are dropped, the share that is wrong; of those that are wrong, the share that is dropped;
    and how often a right one has the higher score than a wrong one, which one half of all has by chance."""
    dropped = scores < limit_of(scores.tolist())
    right, false = scores[~noise][:, None], scores[noise]
    return {
        "precision": float(noise[dropped].sum() / max(1, dropped.sum())),
        "recall": float(dropped[noise].sum() / max(1, noise.sum())),
        "area": float(((right > false).sum() + (right == false).sum() / 2) / max(1, right.size * false.size)),
    }


def lines_of(results: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """The tables: mean and standard deviation over the seeds."""

    def values(*path: str) -> list[float]:
        found = []
        for result in results:
            value: object = result
            for name in path:
                assert isinstance(value, Mapping)
                value = value[name]
            assert isinstance(value, (int, float))
            found.append(value)
        return found

    def spread(found: Sequence[float], sign: str = "") -> str:
        return f"{mean(found):{sign}.1f}" + (f" ± {stdev(found):.1f}" if len(found) > 1 else "")

    def figure(*path: str, times: float = 1) -> str:
        return spread([times * value for value in values(*path)])

    def gain(row: str, score: str) -> str:
        """Seed by seed, for all rows of a seed share its noise."""
        pairs = zip(values("rows", row, score), values("rows", "none", score), strict=True)
        return spread([one - other for one, other in pairs], "+")

    yield f"Mean ± standard deviation over {len(results)} seeds."
    yield ""
    yield "| pre-trained on | photographs | captions | " + " | ".join(SCORES.values()) + " |"
    yield "|---|" + "---|" * (2 + len(SCORES))
    for row, name in ROWS.items():
        counts = [f"{mean(values('rows', row, of)):,.0f}" for of in ("pictures", "captions")]
        yield f"| {name} | {' | '.join([*counts, *(figure('rows', row, score) for score in SCORES)])} |"
    yield ""
    yield "| better than no CapFilt by | " + " | ".join(SCORES.values()) + " |"
    yield "|---|" + "---|" * len(SCORES)
    for row, name in list(ROWS.items())[1:]:
        yield f"| {name} | {' | '.join(gain(row, score) for score in SCORES)} |"
    yield ""
    yield "| per cent, against the known noise | " + " | ".join(JUDGES.values()) + " |"
    yield "|---|" + "---|" * len(JUDGES)
    lines = {
        "precision": "of the captions that are dropped, wrong (precision)",
        "recall": "of the wrong captions, dropped (recall)",
        "area": "a right caption scored higher than a wrong one (50 by chance)",
    }
    for name, line in lines.items():
        yield f"| {line} | {' | '.join(figure('noise', judge, name, times=100) for judge in JUDGES)} |"
    yield ""
    kept = figure("noise", "kept by matching at one half", times=100)
    yield f"The captioner's CIDEr is {figure('fine-tuned', 'captioner', 'cider')}. By the paper's rule, matching from"
    yield f"one half on, {kept} per cent of the found captions would be kept."


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as file:
        file.write(text.encode())


# ----------------------------------------------------------------------------------------------------- commands


class Commands:
    """Commands of Seesay's, some beside each other, and how long they will take yet."""

    def __init__(self, mark: BinaryIO, total: float) -> None:
        """mark: a file that each keeps open. total: what all will cost."""
        self.mark, self.left = mark, total
        self.slots, self.lock = Semaphore(AT_ONCE), Lock()
        self.began, self.done, self.failed = time.monotonic(), 0.0, 0

    def run(self, cost: float, *arguments: object) -> None:
        """Run a command when a place is free. Ends this program where it, or an earlier one, fails."""
        with self.slots:
            if not self.failed:
                print("$", shlex.join(["seesay", *map(str, arguments)]), flush=True)
                self.failed = seesay_command(self.mark, *arguments) or self.failed
        if self.failed:
            sys.exit(self.failed)
        with self.lock:
            self.done += cost
            self.skip(cost)
            seconds = (time.monotonic() - self.began) / self.done * self.left
            print(f"# about {duration(seconds)} left", flush=True)

    def skip(self, cost: float) -> None:
        """It was done before."""
        self.left = max(0.0, self.left - cost)


def together(*jobs: Callable[[], None]) -> None:
    """All of them, each in a thread; the first error of one."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        for job in [pool.submit(job) for job in jobs]:
            job.result()


def threads() -> int:
    """For each command."""
    return max(1, physical_cores() // AT_ONCE)


def seesay_command(mark: BinaryIO, *arguments: object) -> int:
    """Run a command of Seesay's; its exit status."""
    return subprocess.run(
        [sys.executable, "-m", "seesay", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": str(threads())},
        pass_fds=[mark.fileno()],
        check=False,
    ).returncode


if __name__ == "__main__":
    main()

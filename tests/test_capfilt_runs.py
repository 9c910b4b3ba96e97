"""Whole data sets down the second road: formats, what is recorded, and runs that were stopped anywhere."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from capfilt_inputs import TEXTS, files, job, photo, write_table, write_tar
from seesay import bootstrapping
from seesay.bootstrapping import Job, clean, read_records
from seesay.bootstrapping.journal import open_journal
from seesay.bootstrapping.run import load_road, sift_shard
from seesay.capfilt import CapFilt, Judged, Sifted
from seesay.data import Example, read_dataset
from seesay.errors import DataError, UsageError
from tiny_models import tiny_model


@pytest.fixture(scope="module", autouse=True)
def _fp32() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEESAY_PRECISION", "fp32")
        patch.setenv("SEESAY_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {task: tiny_model(folder / task, task, seed) for seed, task in enumerate(("pretrain", "caption", "match"))}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three shards: 14, 0 and 9 pairs."""
    folder = tmp_path_factory.mktemp("web")
    for number, pairs in enumerate((range(14), (), range(14, 23))):
        write_tar(folder / f"web-{number:04d}.tar", pairs)
    return folder


@pytest.fixture(scope="module")
def whole(
    models: dict[str, Path], shards: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, list[Sifted]]]:
    """What runs that were never stopped left."""
    done = {}
    for output in ("clean-*.tar", "clean.jsonl"):
        folder = tmp_path_factory.mktemp("whole")
        done[output] = folder, run(job(shards, folder / output, models))
    return done


def run(one: Job, **more: object) -> list[Sifted]:
    return list(clean(one, **more))  # type: ignore[arg-type]


class TestOutcome:
    def test_shards_hold_what_was_kept_and_records_everything(
        self, models: dict[str, Path], shards: Path, tmp_path: Path
    ) -> None:
        cleaning = job(shards, tmp_path / "clean-*.tar", models)
        sifted = run(cleaning)
        assert [one.name for one in sifted] == [f"{number:05d}.png" for number in range(23)]
        assert [one.name for one in sifted if one.broken] == ["00005.png", "00016.png"]
        assert sifted[5].broken == f"{shards}/web-0000.tar/00005.png: not a picture of a known format"
        assert list(read_records(tmp_path / "clean.capfilt")) == sifted
        written = list(read_dataset(str(tmp_path / "clean-*.tar")))
        kept = [one for one in sifted if one.kept]
        assert 0 < len(kept) < 21
        assert [(one.name, one.captions) for one in written] == [(one.name, one.kept) for one in kept]
        for example, one in zip(written, kept, strict=True):
            assert example.image == photo(int(one.name[:5]))
            assert example.extra["capfilt"] == [
                {
                    "text": text.text,
                    "origin": text.origin,
                    "probability": text.probability,
                    "similarity": text.similarity,
                    "kept": text.kept,
                }
                for text in one.texts
            ]
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "clean-000000-000000.tar",
            "clean-000002-000000.tar",
            "clean.capfilt",
        ]

    def test_a_record_is_a_line_of_json(self, models: dict[str, Path], shards: Path, tmp_path: Path) -> None:
        sifted = run(job(shards / "web-0000.tar", tmp_path / "clean-*.tar", models))
        lines = (tmp_path / "clean.capfilt/records/000000.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        assert [row["name"] for row in rows] == [one.name for one in sifted]
        assert rows[0]["texts"][0].keys() == {"text", "origin", "probability", "similarity", "kept"}
        assert rows[0]["texts"][0]["origin"] == "web"
        assert rows[5].keys() == {"name", "texts", "broken"}

    @pytest.mark.parametrize("form", ["jsonl", "csv", "tsv", "parquet", "json", ""])
    def test_every_other_format(self, models: dict[str, Path], tmp_path: Path, form: str) -> None:
        table = write_table(tmp_path / "web", range(12))
        output = tmp_path / (f"clean.{form}" if form else "clean")
        broken: list[DataError] = []
        sifted = run(job(table, output, models), report=broken.append)
        assert [str(error).split(": ")[0] for error in broken] == [f"{table}:4"], "told once, however often it is read"
        images = None if form in ("parquet", "") else table.parent
        written = list(read_dataset(str(output), images=images))
        kept = {one.name: one.kept for one in sifted if one.kept}
        if form:
            assert {one.name: one.captions for one in written} == kept
        else:  # a folder's pictures have names of their own
            assert [one.captions for one in written] == list(kept.values())
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
            {"web", output.name, f"{output.name}.capfilt"}
        )
        before = files(tmp_path)
        assert run(job(table, output, models)) == []
        assert files(tmp_path) == before

    def test_several_shards_make_one_file(self, models: dict[str, Path], shards: Path, tmp_path: Path) -> None:
        sifted = run(job(f"{shards}/web-{{0000..0002}}.tar", tmp_path / "clean.jsonl", models))
        rows = [json.loads(line) for line in (tmp_path / "clean.jsonl").read_text().splitlines()]
        assert [row["key"] for row in rows] == [one.name for one in sifted if one.kept]

    def test_one_model_for_both_parts(self, models: dict[str, Path], shards: Path, tmp_path: Path) -> None:
        both = str(models["pretrain"])
        cleaning = job(shards, tmp_path / "clean-*.tar", models, captioner=both, filter=both)
        road = load_road(cleaning)
        assert road.captioner is road.judge
        sifted = run(cleaning)
        assert sum(one.broken is None for one in sifted) == 21
        assert all(any(text.origin == "synthetic" for text in one.texts) for one in sifted if not one.broken)

    def test_filtering_alone_needs_no_captioner(self, models: dict[str, Path], shards: Path, tmp_path: Path) -> None:
        sifted = run(job(shards, tmp_path / "clean-*.tar", models, captions=0))
        assert {text.origin for one in sifted for text in one.texts} == {"web"}
        assert all(not one.texts for one in sifted if TEXTS[int(one.name[:5]) % len(TEXTS)] == "")


class TestGoingOn:
    @pytest.mark.parametrize("output", ["clean-*.tar", "clean.jsonl"])
    @pytest.mark.parametrize(("stopped_after", "kept"), [(1, 4), (4, 4), (13, 12), (15, 18), (23, 22)])
    def test_from_any_picture(
        self,
        models: dict[str, Path],
        shards: Path,
        tmp_path: Path,
        whole: dict[str, tuple[Path, list[Sifted]]],
        output: str,
        stopped_after: int,
        kept: int,
    ) -> None:
        """Batches are of four, the shards of 14, 0 and 9; a shard's last, short batch is made again."""
        folder, sifted = whole[output]
        cleaning = job(shards, tmp_path / output, models)
        first = list(islice(clean(cleaning), stopped_after))
        assert first == sifted[:stopped_after]
        assert run(cleaning) == sifted[kept:]
        assert files(tmp_path) == files(folder)

    def test_after_kill_9(self, models: dict[str, Path], tmp_path: Path, machine: dict[str, str]) -> None:
        """The real command, killed again and again at moments that nobody chose."""
        source = tmp_path / "web"
        source.mkdir()
        for number in range(2):
            write_tar(source / f"{number}.tar", range(number * 40, number * 40 + 40))
        command = [sys.executable, "-m", "seesay", "capfilt", str(source), "clean-*.tar", "--captions", "2"]
        command += ["--captioner", str(models["caption"]), "--filter", str(models["match"]), "--batch-size", "3"]
        environment = machine | {"XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"]}
        killed, records = tmp_path / "killed", tmp_path / "killed/clean.capfilt/records"
        whole = tmp_path / "whole"
        killed.mkdir()
        whole.mkdir()
        kills = 0
        for wanted in (4, 25, 50):
            process = subprocess.Popen(command, cwd=killed, env=environment, stderr=subprocess.PIPE)
            deadline = time.monotonic() + 120
            while lines(records) < wanted and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.002)
            time.sleep(random.random() / 50)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += process.returncode == -signal.SIGKILL
            assert lines(records) >= wanted
        assert kills == 3
        assert lines(records) < 80, "the last kill came too late to show anything"
        with open(sorted(records.glob("*.jsonl"))[-1], "ab") as file:
            file.write(b'{"name": "000')  # as a kill within a write leaves it
        for folder in (killed, whole):
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        assert lines(records) == 80
        assert files(killed) == files(whole)
        names = [one.name for one in read_records(records.parent)]
        assert names == [f"{number:05d}.png" for number in range(80)]

    def test_a_finished_run_needs_no_models(self, models: dict[str, Path], shards: Path, tmp_path: Path) -> None:
        elsewhere = {task: tiny_model(tmp_path / task, task) for task in ("caption", "match")}
        cleaning = job(shards, tmp_path / "clean-*.tar", elsewhere)
        run(cleaning)
        for task in elsewhere:
            (tmp_path / task / "model.safetensors").unlink()
        assert run(cleaning) == []

    def test_other_options_are_refused(self, models: dict[str, Path], shards: Path, tmp_path: Path) -> None:
        output = tmp_path / "clean-*.tar"
        run(job(shards, output, models))
        before = files(tmp_path)
        for changes in ({"captions": 1}, {"batch_size": 5}, {"split": "train"}, {"filter": "another"}):
            with pytest.raises(UsageError, match="was begun with other") as caught:
                run(job(shards, output, models, **changes))  # type: ignore[arg-type]
            assert "name another output" in caught.value.remedy
        with pytest.raises(UsageError, match="other shards"):
            run(job(shards / "web-0000.tar", output, models))
        assert files(tmp_path) == before

    def test_what_somebody_else_wrote_is_refused(self, models: dict[str, Path], shards: Path, tmp_path: Path) -> None:
        (tmp_path / "clean-000.tar").write_bytes(b"mine")
        with pytest.raises(UsageError, match="no run of capfilt made it"):
            run(job(shards, tmp_path / "clean-*.tar", models))
        assert [path.name for path in tmp_path.iterdir()] == ["clean-000.tar"]

    def test_a_changed_input_is_found_out(self, models: dict[str, Path], tmp_path: Path) -> None:
        source = write_tar(tmp_path / "web.tar", range(12))
        cleaning = job(source, tmp_path / "clean-*.tar", models)
        list(islice(clean(cleaning), 8))
        write_tar(source, range(1, 12))
        with pytest.raises(DataError, match=r"000000.jsonl:1: the input has 00001.png and had 00000.png"):
            run(cleaning)
        write_tar(source, range(4))
        with pytest.raises(DataError, match=r"000000.jsonl:5: the input ends and had gone on"):
            run(cleaning)
        write_tar(source, range(12))
        assert len(run(cleaning)) == 4

    def test_two_at_once_are_refused(self, models: dict[str, Path], shards: Path, tmp_path: Path) -> None:
        cleaning = job(shards, tmp_path / "clean-*.tar", models)
        first = clean(cleaning)
        next(first)
        with pytest.raises(UsageError, match="another process is at work there"):
            run(cleaning)
        with pytest.raises(UsageError, match="another process is at work there"):
            list(sift_shard(cleaning, cleaning.shards[0], load_road(cleaning), lambda error: None))
        first.close()  # type: ignore[attr-defined]
        run(cleaning)


class TestBrokenInput:
    def test_a_shard_that_breaks_off_costs_what_it_lost(
        self, models: dict[str, Path], shards: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "web").mkdir()
        whole = (shards / "web-0000.tar").read_bytes()
        (tmp_path / "web/0.tar").write_bytes(whole[: len(whole) // 2])
        (tmp_path / "web/1.tar").write_bytes((shards / "web-0002.tar").read_bytes())
        broken: list[DataError] = []
        cleaning = job(tmp_path / "web", tmp_path / "clean-*.tar", models)
        sifted = run(cleaning, report=broken.append)
        assert [str(error).startswith("truncated or damaged tar") for error in broken] == [True]
        assert [one.name for one in sifted][-9:] == [f"{number:05d}.png" for number in range(14, 23)]
        assert len(sifted) > 12
        assert cleaning.total().broken_rows == 1

    def test_a_table_that_is_none_stops_nothing_but_itself(self, models: dict[str, Path], tmp_path: Path) -> None:
        write_table(tmp_path / "web", range(4)).rename(tmp_path / "b.jsonl")
        (tmp_path / "a.parquet").write_bytes(b"no table")
        broken: list[DataError] = []
        both = job(f"{tmp_path}/{{a.parquet,b.jsonl}}", tmp_path / "clean.jsonl", models, images=tmp_path / "web")
        assert len(run(both, report=broken.append)) == 4
        assert "a.parquet" in str(broken[0])
        with pytest.raises(DataError, match=r"a\.parquet"):
            run(job(tmp_path / "a.parquet", tmp_path / "other.jsonl", models))

    @pytest.mark.parametrize(
        ("source", "output", "says"),
        [
            ("nowhere-*.tar", "clean-*.tar", "nothing there"),
            ("web.tar", "clean.tar", "one \\* must stand"),
            ("web.tar", "clean.xml", "nothing is written as .xml"),
        ],
    )
    def test_what_cannot_be_is_told_before_any_work(
        self, models: dict[str, Path], tmp_path: Path, source: str, output: str, says: str
    ) -> None:
        with pytest.raises((DataError, UsageError), match=says):
            run(job(tmp_path / source, tmp_path / output, models))
        assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_input(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2 MB of pictures, never more than a few of them in memory. (The models are loaded, but not asked.)"""
    judged = (Judged("a cat", "web", 0.9, 0.3, kept=True), Judged("a dog", "synthetic", 0.2, 0.1, kept=False))

    def sift(self: CapFilt, pairs: list[Example]) -> list[Sifted]:
        return [Sifted(pair.name, judged) for pair in pairs]

    monkeypatch.setattr(CapFilt, "sift", sift)
    source = write_tar(tmp_path / "web.tar", (number * 11 for number in range(400)))
    assert source.stat().st_size > 2_400_000

    def peak(iterator: Iterator[Sifted]) -> int:
        tracemalloc.start()
        assert sum(1 for _ in iterator) in (0, 400)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    for output in ("clean-*.tar", "clean.jsonl"):
        cleaning = job(source, tmp_path / output, models)
        road = load_road(cleaning)
        monkeypatch.setattr(bootstrapping.run, "load_road", lambda *_: road)  # noqa: B023
        assert peak(clean(cleaning)) < 700_000
        cleaning.shards[0].summary.unlink()
        assert peak(clean(cleaning)) < 700_000, "all of it taken from the journal"
        assert cleaning.total().pairs == 400


class TestJournal:
    NAMES = tuple("abcdefg")

    def records(self) -> list[Sifted]:
        text = Judged("Ein Hund – 狗\n", "web", 0.5, None, kept=True)
        return [Sifted(name, (text,), None) for name in self.NAMES]

    @pytest.mark.parametrize("cut", range(0, 900, 37))
    def test_whole_batches_are_given_back_whatever_was_torn(self, tmp_path: Path, cut: int) -> None:
        path = tmp_path / "000000.jsonl"
        with open_journal(path, 3) as journal:
            journal.append(self.records())
        whole = path.read_bytes()
        path.write_bytes(whole[:cut])
        survivors = whole[:cut].count(b"\n") // 3 * 3
        with open_journal(path, 3) as journal:
            for start in range(0, survivors, 3):
                assert journal.replay(self.NAMES[start : start + 3]) == self.records()[start : start + 3]
            assert journal.replay(self.NAMES[survivors:]) == []
            journal.append(self.records()[survivors:])
        assert path.read_bytes() == whole

    def test_names_that_are_no_text_survive(self, tmp_path: Path) -> None:
        odd = [Sifted("caf\udce9.jpg", broken="caf\udce9.jpg: gone")]
        with open_journal(tmp_path / "000000.jsonl", 1) as journal:
            journal.append(odd)
        assert list(read_records(tmp_path / "000000.jsonl")) == odd

    def test_what_is_no_record_is_told_with_its_place(self, tmp_path: Path) -> None:
        path = tmp_path / "000000.jsonl"
        path.write_text('{"name": "a", "texts": []}\n[]\n')
        with pytest.raises(DataError, match=r"000000.jsonl:2: no record"):
            list(read_records(path))
        with pytest.raises(DataError, match="no records of capfilt there"):
            list(read_records(tmp_path / "nowhere"))


def lines(records: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in records.glob("*.jsonl"))

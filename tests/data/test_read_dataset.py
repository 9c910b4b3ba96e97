"""Every format is known by what is there, and what is not known is told so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seesay.data import Example, open_writer, read_dataset, read_metadata, read_sidecars
from seesay.errors import DataError

COCO = {
    "images": [{"id": 5, "file_name": "a.jpg", "split": "val"}, {"id": 6, "file_name": "b.jpg", "split": "train"}],
    "annotations": [{"id": 1, "image_id": 5, "caption": "A dog."}],
}
KARPATHY = {"images": [{"filename": "a.jpg", "split": "val", "sentences": [{"raw": "A dog."}]}]}
FILES = {
    "coco.json": json.dumps(COCO),
    "dataset_coco.json": json.dumps(KARPATHY),
    "coco_karpathy_train.json": json.dumps([{"image": "a.jpg", "caption": "A dog.", "image_id": "coco_5"}]),
    "Flickr8k.token.txt": "a.jpg#0\tA dog.\n",
    "results_20130124.token": "a.jpg#0\tA dog.\n",
    "captions.txt": "image,caption\na.jpg,A dog.\n",  # Flickr8k as Kaggle has it
    "table.csv": "image,caption\na.jpg,A dog.\n",
    "table.tsv": "image\tcaption\na.jpg\tA dog.\n",
    "table.jsonl": '{"image": "a.jpg", "caption": "A dog."}\n',
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_recognised(name: str, tmp_path: Path, images: Path, skipped: list[DataError]) -> None:
    (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    first = next(read_dataset(tmp_path / name, images=images, report=skipped.append))
    assert (first.name, first.image, first.captions) == ("a.jpg", images / "a.jpg", ("A dog.",))
    assert not skipped


def test_labels_are_recognised(tmp_path: Path, images: Path) -> None:
    (tmp_path / "labels.tsv").write_text("a.jpg\ttench\tn01440764\n", encoding="utf-8")
    [example] = read_dataset(tmp_path / "labels.tsv", images=images)
    assert example.wordnet_id == "n01440764"


def test_vqas_answers_are_found_beside_its_questions(tmp_path: Path) -> None:
    asked = {"questions": [{"image_id": 9, "question": "Red?", "question_id": 1}], "data_subtype": "train2014"}
    given = {"annotations": [{"question_id": 1, "answers": [{"answer": "yes"}]}]}
    questions = tmp_path / "v2_OpenEnded_mscoco_train2014_questions.json"
    questions.write_text(json.dumps(asked), encoding="utf-8")
    [example] = read_dataset(questions)
    assert example.questions[0].answers == {}
    (tmp_path / "v2_mscoco_train2014_annotations.json").write_text(json.dumps(given), encoding="utf-8")
    [example] = read_dataset(questions, split="train")
    assert example.questions[0].answers == {"yes": 1.0}
    with pytest.raises(DataError, match="without their questions"):
        read_dataset(tmp_path / "v2_mscoco_train2014_annotations.json")


def test_columns_are_named_after_colons(tmp_path: Path, images: Path) -> None:
    (tmp_path / "shop.csv").write_text("id,image,photo,title\n1,a.jpg,b.jpg,My dog\n", encoding="utf-8")
    [example] = read_dataset(f"{tmp_path}/shop.csv::photo::title", images=images)
    assert (example.name, example.captions) == ("b.jpg", ("My dog",))
    [example] = read_dataset(f"{tmp_path}/shop.csv::photo", images=images)
    assert (example.name, example.captions) == ("b.jpg", ())


def test_several_files_follow_each_other(tmp_path: Path, images: Path) -> None:
    for number, name in enumerate(("a.jpg", "b.jpg", "c.jpg")):
        (tmp_path / f"t-{number}.jsonl").write_text(json.dumps({"image": name}), encoding="utf-8")
        with open_writer(tmp_path / f"s{number}-*.tar") as writer:
            writer.write(Example(name, images / name))
    for pattern in ("t-{0..2}.jsonl", "t-*.jsonl", "s{0..2}-000000.tar", "s*.tar"):
        found = read_dataset(tmp_path / pattern, images=images)
        assert [one.name for one in found] == ["a.jpg", "b.jpg", "c.jpg"], pattern


def test_splits(tmp_path: Path) -> None:
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(COCO), encoding="utf-8")
    assert [one.name for one in read_dataset(path, split="val")] == ["a.jpg"]
    assert [one.name for one in read_dataset(path, split="train+val")] == ["a.jpg", "b.jpg"]
    with pytest.raises(DataError, match="no example of split test; its examples are of train, val"):
        list(read_dataset(path, split="test"))
    flickr = tmp_path / "captions.txt"
    flickr.write_text("a.jpg#0\tA dog\nb.jpg#0\tA cat\n", encoding="utf-8")
    (tmp_path / "val.txt").write_text("b.jpg\n", encoding="utf-8")
    (tmp_path / "Flickr_8k.testImages.txt").write_text("a.jpg\n", encoding="utf-8")
    assert [(one.name, one.split) for one in read_dataset(flickr, split="test+val")] == [
        ("a.jpg", "test"),
        ("b.jpg", "val"),
    ]
    with pytest.raises(DataError, match=r"none of train\.txt, Flickr_8k\.trainImages\.txt beside it, and train is no"):
        list(read_dataset(flickr, split="train"))


def test_a_list_of_names_is_a_split_of_a_token_file(tmp_path: Path) -> None:
    flickr, names = tmp_path / "captions.txt", tmp_path / "lists" / "mine.txt"
    flickr.write_text("a.jpg#0\tA dog\nb.jpg#0\tA cat\n", encoding="utf-8")
    names.parent.mkdir()
    names.write_text("b.jpg\n", encoding="utf-8")
    assert [one.name for one in read_dataset(flickr, split=str(names))] == ["b.jpg"]
    with pytest.raises(DataError, match=r"lists/none\.txt is no file"):
        list(read_dataset(flickr, split=str(names.with_name("none.txt"))))
    coco = tmp_path / "coco.json"
    coco.write_text(json.dumps(COCO), encoding="utf-8")
    with pytest.raises(DataError, match="no example of split") as refused:
        list(read_dataset(coco, split=str(names)))
    assert "Flickr's token files only" in refused.value.remedy


# ------------------------------------------------------------------------------------------------- folders


def place(images: Path, *names: str) -> None:
    for name in names:
        target = images.parent / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((images / "a.jpg").read_bytes())


def test_side_cars(tmp_path: Path, images: Path, skipped: list[DataError]) -> None:
    root = tmp_path / "kohya"
    place(images, "kohya/10.jpg", "kohya/9.JPG", "kohya/sub/x.png", "kohya/.hidden/y.jpg", "kohya/.z.jpg")
    (root / "9.txt").write_text("A dog\r\n\r\n Two dogs\n", encoding="utf-8-sig")
    (root / "10.caption").write_text("1girl, solo", encoding="utf-8")
    (root / "10.txt").write_text("tags that the caption file overrules", encoding="utf-8")
    (root / "sub" / "x.json").write_text('{"caption": "A cat", "url": "https://a.b/c"}', encoding="utf-8")
    (root / "notes.txt").write_text("of no picture", encoding="utf-8")
    for found in (read_sidecars(root, skipped.append), read_dataset(root, report=skipped.append)):
        assert list(found) == [
            Example("9.JPG", root / "9.JPG", ("A dog", "Two dogs")),
            Example("10.jpg", root / "10.jpg", ("1girl, solo",)),
            Example("sub/x.png", root / "sub" / "x.png", ("A cat",), extra={"url": "https://a.b/c"}),
        ]
    assert not skipped


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("b.txt", b"caf\xe9", "the text or JSON beside it is damaged"),
        ("b.json", b"{", "the text or JSON beside it is damaged"),
        ("b.json", b"[]", "its JSON is a list"),
    ],
)
def test_a_picture_with_a_broken_side_car_is_reported_and_skipped(
    name: str, content: bytes, reason: str, images: Path, skipped: list[DataError]
) -> None:
    (images / name).write_bytes(content)
    assert [one.name for one in read_sidecars(images, skipped.append)] == ["a.jpg", "c.jpg"]
    [error] = skipped
    assert str(error).startswith(f"{images / 'b.jpg'}: {reason}")


def test_a_folder_of_pictures_alone(images: Path) -> None:
    assert list(read_dataset(images)) == [Example(path.name, path) for path in sorted(images.iterdir())]


def test_img2datasets_folder_of_files(tmp_path: Path, images: Path) -> None:
    place(images, "out/00000/000000000.jpg")
    (tmp_path / "out/00000/000000000.txt").write_text("A dog", encoding="utf-8")
    fields = {"caption": "A dog", "key": "000000000", "url": "https://a.b/c", "status": "success"}
    (tmp_path / "out/00000/000000000.json").write_text(json.dumps(fields), encoding="utf-8")
    (tmp_path / "out/00000.parquet").touch()
    [example] = read_dataset(tmp_path / "out")
    assert (example.name, example.captions) == ("00000/000000000.jpg", ("A dog",))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.jsonl", '{"file_name": "in/a.jpg", "text": "A dog"}\n{"file_name": "in/x.jpg", "text": "Gone"}\n'),
        ("metadata.csv", "file_name,text\nin/a.jpg,A dog\nin/x.jpg,Gone\n"),
    ],
)
def test_hugging_faces_folder(name: str, text: str, tmp_path: Path, images: Path, skipped: list[DataError]) -> None:
    place(images, "hf/in/a.jpg", "hf/in/unnamed.jpg")
    (tmp_path / "hf" / name).write_text(text, encoding="utf-8")
    for found in (read_metadata(tmp_path / "hf", skipped.append), read_dataset(tmp_path / "hf", report=skipped.append)):
        assert list(found) == [Example("in/a.jpg", tmp_path / "hf/in/a.jpg", ("A dog",))]
    assert "no image in/x.jpg" in str(skipped[0])


def test_folders_of_splits(tmp_path: Path, images: Path) -> None:
    place(images, "hf/train/cat/1.jpg", "hf/train/dog/1.jpg", "hf/test/cat/2.jpg")
    assert [(one.name, one.labels, one.split) for one in read_dataset(tmp_path / "hf")] == [
        ("cat/2.jpg", ("cat",), "test"),
        ("cat/1.jpg", ("cat",), "train"),
        ("dog/1.jpg", ("dog",), "train"),
    ]
    assert [one.name for one in read_dataset(tmp_path / "hf", split="test")] == ["cat/2.jpg"]
    with pytest.raises(DataError):
        list(read_dataset(tmp_path / "hf", split="val"))


def test_a_folder_a_class(tmp_path: Path, images: Path) -> None:
    place(images, "classes/sea_horse/1.jpg", "classes/ant/1.jpg")
    assert [one.labels for one in read_dataset(tmp_path / "classes")] == [("ant",), ("sea horse",)]


def test_parquet_of_a_hugging_face_data_set(tmp_path: Path, examples: list[Example]) -> None:
    (tmp_path / "hub/data").mkdir(parents=True)
    for name, chosen in (("train-00000-of-00002", examples[1:2]), ("test-00000-of-00001", examples[2:])):
        with open_writer(tmp_path / "hub/data" / f"{name}.parquet") as writer:
            for example in chosen:
                writer.write(example)
    found = [(one.name, one.split) for one in read_dataset(tmp_path / "hub")]
    assert found == [("c.jpg", "test"), ("b.jpg", "train")]
    assert [one.name for one in read_dataset(tmp_path / "hub", split="train")] == ["b.jpg"]


# ------------------------------------------------------------------------------------------------- what is not known


@pytest.mark.parametrize("name", ["notes.txt", "data.json", "photo.pdf", "empty.txt"])
def test_what_was_looked_for_is_told(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("" if name == "empty.txt" else '{"a": "b"}', encoding="utf-8")
    with pytest.raises(DataError, match="not recognised as a data set") as caught:
        read_dataset(tmp_path / name)
    for word in (".tar", ".parquet", "Karpathy", "VQAv2", "metadata.jsonl", "side-cars"):
        assert word in (caught.value.remedy or "")


def test_folders_with_brackets_in_their_names(tmp_path: Path, images: Path) -> None:
    """Braces and globs are patterns; the folder that a file lies in is one only where there is none of that name."""
    folder = tmp_path / "set[1]"
    folder.mkdir()
    for name in ("in-1.jsonl", "in-2.jsonl"):
        (folder / name).write_text(json.dumps({"image": f"{name}.jpg", "caption": "a cat"}) + "\n", encoding="utf-8")
        (folder / f"{name}.jpg").write_bytes((images / "a.jpg").read_bytes())
    assert [one.name for one in read_dataset(folder / "in-1.jsonl")] == ["in-1.jsonl.jpg"]
    assert [one.name for one in read_dataset(folder / "in-*.jsonl")] == ["in-1.jsonl.jpg", "in-2.jsonl.jpg"]


def test_an_empty_folder_and_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not recognised as a data set"):
        read_dataset(tmp_path)
    for name in ("none", "none.csv", "none-*.tar", "none-{0..3}.tar"):
        with pytest.raises(DataError, match="no such file or folder"):
            read_dataset(tmp_path / name)

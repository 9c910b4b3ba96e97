"""CHAIR (arXiv 1809.02156): how often a caption names an object of COCO's 80 kinds that is not in the photo.

The rules follow the published code (LisaAnne/Hallucination): words in the singular, names of two words before names of
one, "baby" and "adult" animals and "passenger" vehicles no people, a toilet's seat no chair; what is in a photo is what
annotations say and what its reference captions name. Two things are our own, and move figures a little: the list of
synonyms below (the published one is a file, `synonyms.txt`: give it to `read_synonyms`), and the singular, which is
`pattern.en`'s there. No word means one object here and another there; of 1,866 captions of COCO, 96 % name the same
objects by both lists, and in the others ours finds what that one passes over, such as batters and soccer balls.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seesay.data.example import read_json
from seesay.errors import DataError, UsageError

SYNONYMS = """
person, people, man, woman, boy, girl, child, kid, baby, toddler, adult, guy, lady, male, female, gentleman, player, rider, skier, snowboarder, skater, skateboarder, surfer, biker, cyclist, bicyclist, pedestrian, worker, passenger, coworker, driver, chef, cook, baker, waiter, waitress, farmer, fisherman, pilot, policeman, policewoman, officer, cop, fireman, firefighter, soldier, cowboy, bride, groom, mother, father, mom, dad, son, daughter, brother, sister, friend, teenager, student, teacher, doctor, pitcher, batter, catcher, umpire, athlete, swimmer, runner, spectator, tourist, traveler, vendor, customer, businessman, musician, dancer
bicycle, bike, cycle, tricycle, unicycle
car, automobile, sedan, taxi, cab, suv, van, minivan, jeep, convertible, limousine, hatchback
motorcycle, motorbike, motor bike, motor cycle, scooter, moped
airplane, plane, air plane, aeroplane, aircraft, jet, airliner, jetliner, biplane, seaplane
bus, minibus, trolley, trolley bus, double decker
train, locomotive, tram, subway train, caboose
truck, pickup, lorry, firetruck, fire truck, tractor trailer
boat, ship, sailboat, canoe, kayak, rowboat, yacht, ferry, raft, vessel, gondola, pontoon
traffic light, street light, traffic signal, stop light, stoplight
fire hydrant, hydrant
stop sign
parking meter
bench, pew
bird, duck, goose, seagull, gull, pigeon, parrot, owl, eagle, hawk, crow, swan, sparrow, pelican, penguin, ostrich, flamingo, peacock, robin, finch, egret, parakeet, turkey
cat, kitten, kitty, tabby
dog, puppy, pup, poodle, terrier, bulldog, dachshund, collie, beagle, retriever, dalmatian, hound
horse, pony, foal, mare, stallion, colt
sheep, lamb, ram, ewe, goat
cow, cattle, calf, bull, ox, oxen, steer
elephant
bear, panda, polar bear
zebra
giraffe
backpack, back pack, knapsack, rucksack
umbrella, parasol
handbag, purse, hand bag, pocketbook, wallet, briefcase
tie, necktie, bow tie
suitcase, suit case, luggage
frisbee
skis, ski
snowboard, snow board
sports ball, ball, tennis ball, soccer ball, volleyball
kite
baseball bat, bat
baseball glove, baseball mitt, catcher mitt
skateboard, skate board
surfboard, surf board, longboard, boogie board
tennis racket, tennis racquet, racket, racquet
bottle
wine glass, wineglass, champagne glass
cup, mug, teacup
fork
knife, pocketknife
spoon
bowl, container
banana
apple
sandwich, burger, hamburger, cheeseburger, panini, sub
orange, tangerine, clementine
broccoli
carrot
hot dog, hotdog
pizza
donut, doughnut, bagel
cake, cupcake, cheesecake, shortcake, pancake
chair, seat, stool, armchair, rocking chair
couch, sofa, loveseat, futon, recliner
potted plant, houseplant, house plant
bed, mattress
dining table, table, desk, coffee table
toilet, urinal, commode
tv, television, televison, tv screen, monitor
laptop, laptop computer, computer, notebook, notebook computer, macbook
mouse, computer mouse
remote, remote control
keyboard, computer keyboard
cell phone, cellphone, mobile phone, phone, smartphone, telephone
microwave, microwave oven
oven, stove, stovetop, stove top oven
toaster, toaster oven
sink
refrigerator, fridge, freezer
book, novel
clock, alarm clock, wall clock
vase
scissors, scissor
teddy bear, teddy, stuffed bear, teddybear
hair drier, hair dryer, hairdryer, blow dryer
toothbrush, tooth brush
"""  # noqa: E501  # one object a line, as in the published file
"""A line for each object: its name as COCO has it, and what else it is called."""

ANIMALS = "bird cat dog horse sheep cow elephant bear zebra giraffe animal cub".split()
VEHICLES = ("jet", "train")
UNCOUNTED = {
    **{f"{age} {animal}": animal for age in ("baby", "adult") for animal in ANIMALS},
    **{f"passenger {vehicle}": vehicle for vehicle in VEHICLES},
    "home plate": "home plate",  # of baseball: it is read as one word, and is no object
}
"""Two words that are read as another: their first alone would be taken for a person."""

IRREGULAR = dict(
    pair.split()
    for pair in (
        "men man, women woman, children child, people people, persons person, policemen policeman, firemen fireman, "
        "fishermen fisherman, businessmen businessman, gentlemen gentleman, knives knife, mice mouse, geese goose, "
        "calves calf, wolves wolf, oxen oxen, buses bus, glasses glass, skis skis, scissors scissors, tennis tennis"
    ).split(", ")
)
_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")


def singular(word: str) -> str:
    """The word in the singular, by the rules of English spelling and a few exceptions that captions need."""
    if word in IRREGULAR:
        return IRREGULAR[word]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes", "zes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


@dataclass(frozen=True, slots=True)
class Objects:
    """What captions call the objects: `names` maps a name in the singular, of one or more words, to the object's."""

    names: Mapping[str, str]

    @classmethod
    def of(cls, lines: Iterable[str]) -> Objects:
        """Of lines as in `synonyms.txt`: an object and its synonyms between commas."""
        names: dict[str, str] = {}
        for line in lines:
            called = [name.strip().lower() for name in line.split(",") if name.strip()]
            for name in called:
                names.setdefault(" ".join(map(singular, name.split())), called[0])
                names.setdefault(name, called[0])
        if not names:
            raise UsageError("a list of objects without an object", "give lines such as `dog, puppy`")
        return cls(names)

    def in_caption(self, caption: str) -> list[tuple[str, str]]:
        """Each object that the caption names, in its order: the words that do, and the object."""
        words = [singular(word) for word in _WORD.findall(caption.lower())]
        found, at = [], 0
        while at < len(words):
            length, name = self._name_at(words, at)
            if name in self.names:
                found.append((name, self.names[name]))
            at += length
        if "toilet" in words:  # its seat is no chair
            found = [(name, kind) for name, kind in found if name != "seat"]
        return found

    def _name_at(self, words: Sequence[str], at: int) -> tuple[int, str]:
        """How many words the name at this place has, and what it is read as: the longest that is known."""
        for length in (3, 2):
            name = " ".join(words[at : at + length])
            if at + length <= len(words) and (name in self.names or name in UNCOUNTED):
                return length, UNCOUNTED.get(name, name)
        return 1, words[at]


COCO_OBJECTS = Objects.of(SYNONYMS.strip().splitlines())


def read_synonyms(path: Path) -> Objects:
    """The objects of a file of that form, such as the published `synonyms.txt`."""
    try:
        return Objects.of(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})", "give a file of lines such as `dog, puppy`") from error


def read_coco_objects(path: Path) -> dict[int, set[str]]:
    """Objects by image number, of COCO's `instances_*.json`. Raises DataError for any other file."""
    document = read_json(path)
    try:
        names = {category["id"]: str(category["name"]) for category in document["categories"]}
        objects: dict[int, set[str]] = {int(image["id"]): set() for image in document["images"]}
        for annotation in document["annotations"]:
            objects.setdefault(int(annotation["image_id"]), set()).add(names[annotation["category_id"]])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: not COCO's instances ({type(error).__name__}: {error})", "give instances_val2014.json"
        ) from error
    return objects


@dataclass(frozen=True, slots=True)
class ChairScores:
    """Shares in 0..1, lower is better.

    `sentences` (CHAIRs) of captions with at least one object that is not there, `instances` (CHAIRi) of the objects
    named. `coverage` of the photos' objects that are named tells a model that says little from one that is careful.
    """

    sentences: float
    instances: float
    coverage: float
    hallucinated: Mapping[str, tuple[str, ...]] = field(repr=False)
    """For each image the words for objects that are not there."""


def chair(
    captions: Mapping[str, str],
    annotated: Mapping[str, Iterable[str]],
    references: Mapping[str, Sequence[str]],
    objects: Objects = COCO_OBJECTS,
) -> ChairScores:
    """Scores of `captions` (image name -> caption) for photos whose objects are annotated, with reference captions.

    Published figures count both sources; an empty `references` counts annotations only, and objects that annotators
    passed over, or that COCO does not know under the word, are then called hallucinated.
    """
    if not captions:
        raise UsageError("there are no captions to score", "give at least one image and its caption")
    if missing := [name for name in captions if name not in annotated]:
        raise UsageError(f"the objects of {len(missing)} images are not known, such as {missing[0]}", "annotate them")
    wrong: dict[str, tuple[str, ...]] = {}
    named_objects = named = seen = 0
    for name, caption in captions.items():
        there = {objects.names.get(one.lower(), one.lower()) for one in annotated[name]}
        in_references = {one for text in references.get(name, ()) for _, one in objects.in_caption(text)}
        found = objects.in_caption(caption)
        wrong[name] = tuple(words for words, one in found if one not in there | in_references)
        named_objects += len(found)
        named += len({one for _, one in found} & there)
        seen += len(there)
    hallucinated = sum(map(len, wrong.values()))
    return ChairScores(
        sentences=sum(map(bool, wrong.values())) / len(captions),
        instances=hallucinated / named_objects if named_objects else 0.0,
        coverage=named / seen if seen else 0.0,
        hallucinated=wrong,
    )

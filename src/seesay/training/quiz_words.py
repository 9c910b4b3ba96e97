"""The words that `quiz` knows, by what they do in a caption; what an object is called comes from `Concepts`."""

from __future__ import annotations

DETERMINERS = frozenset("a an the his her its their some".split())
ONES = frozenset(["a", "an", "one", "another"])
"""Determiners that count one."""
NUMBERS = {word: n for n, word in enumerate("two three four five six seven eight nine ten".split(), 2)}
PREPOSITIONS = frozenset(
    """in on at with by near of through over under into onto across from to toward towards behind beside along down up
    around during between among against inside outside past above below underneath beneath off for atop alongside
    amidst within""".split()
)
CLOSED = frozenset(
    """that who which while as and or but then when where whilst because so near away out back together outdoors outside
    indoors there here very it they them he she him something someone each other others both to not being about like
    than during behind ahead forward mid-air midair upside no all trying another""".split()
)
"""Words that end a noun phrase."""
BE = frozenset(["is", "are"])
COLORS = {
    word: word
    for word in """black white brown red blue green yellow orange pink purple gray tan golden blond beige silver gold
    maroon turquoise teal cream""".split()
} | {"grey": "gray", "blonde": "blond"}
FAMILIES = tuple(
    frozenset(words.split())
    for words in (
        "brown tan beige golden gold yellow blond cream",
        "gray silver",
        "red maroon",
        "red orange",
        "orange yellow",
        "blue turquoise teal",
        "green turquoise teal",
        "pink purple",
        "white cream",
    )
)
"""Colours that one person calls so, another so."""
ADJECTIVES = frozenset(
    """young little small large big tall old older elderly long short long-haired short-haired happy tiny huge wet
    fluffy furry shaggy dirty striped plaid light dark bright plastic wooden metal leather rubber shiny stuffed fuzzy
    skinny thin fat muddy single lone beautiful cute pretty brightly colored medium sized medium-sized larger smaller
    inflatable matching fancy""".split()
)

PEOPLE = {
    "man": "man", "guy": "man", "gentleman": "man", "woman": "woman", "lady": "woman", "boy": "boy", "girl": "girl",
    "child": "child", "kid": "child", "toddler": "toddler", "baby": "baby", "person": "person", "adult": "person",
    "player": "player", "surfer": "surfer", "skateboarder": "skateboarder", "snowboarder": "snowboarder",
    "skier": "skier", "biker": "biker", "cyclist": "cyclist", "bicyclist": "cyclist", "climber": "climber",
    "rider": "rider", "hiker": "hiker", "runner": "runner", "swimmer": "swimmer", "cowboy": "cowboy",
    "motorcyclist": "motorcyclist", "worker": "worker", "dancer": "dancer", "teenager": "teenager", "skater": "skater",
    "athlete": "athlete", "clown": "clown", "cheerleader": "cheerleader", "wrestler": "wrestler",
    "fisherman": "fisherman", "male": "man", "female": "woman", "teen": "teenager", "infant": "baby",
}  # fmt: skip
PEOPLE_PLURALS = {
    "men": "man", "women": "woman", "ladies": "woman", "children": "child", "people": "person", "babies": "baby",
    "gentlemen": "man", "fishermen": "fisherman", "teens": "teenager",
}  # fmt: skip
GENERIC = frozenset(
    "person child toddler baby teenager rider player athlete worker biker dancer skater climber".split()
)
"""People whom another caption may call otherwise, so that plurals of any people make them doubtful."""
MORE_PEOPLE = frozenset(
    """crowd group family couple team friends others someone somebody he she him her his they their himself herself
    everyone audience band bride groom police soldier soldiers lifeguard policeman officer driver performer pitcher
    goalie batter catcher racer boxer kayaker diver musician guitarist student students hand hands arm arms
    face""".split()
)
"""Further signs that somebody is in the picture."""

CLOTHES = frozenset(
    """shirt t-shirt jacket hat coat dress pants shorts jeans helmet cap vest sweater suit uniform skirt sunglasses
    glasses goggles scarf shoes boots gloves hoodie sweatshirt bikini swimsuit jersey costume tie wetsuit bandanna
    bandana headband wig apron robe gown overalls tutu mask headphones backpack necklace harness collar life-jacket
    snowsuit sneakers sandals socks trunks headscarf tank-top blouse kimono cape vests shirts jackets hats coats dresses
    uniforms helmets costumes""".split()
)
PLURAL_CLOTHES = frozenset(
    "pants shorts jeans sunglasses glasses goggles shoes boots gloves overalls sneakers sandals socks trunks".split()
)
THINGS = frozenset(
    """stick ball toy frisbee rope flag bone leash bottle sign cup camera bat racquet paddle fish book newspaper
    umbrella balloon cellphone phone drink cigarette guitar violin flute trumpet drum microphone skateboard surfboard
    snowboard bicycle bike scooter motorcycle horse wave unicycle tricycle bull camel elephant donkey pony cow giraffe
    raft kayak canoe log fence hurdle pole bar tree branch rock boulder bench chair couch sofa bed rug wall table swing
    slide trampoline ladder rail railing ramp sled wagon stroller cart basket bucket box bag net sword gun shovel broom
    tire hose sprinkler fountain puddle pool water snow sand grass mud leaves food cake sandwich apple banana pizza
    popsicle lollipop hotdog hamburger corn watermelon tennis-ball kite string doll puppet flower flowers puppy
    kitten laptop computer tray plate bowl spoon fork knife trophy map purse basketball football baseball volleyball
    soccer-ball stairs steps stump hill mountain cliff platform tunnel hoop obstacle beam stage couch sidewalk street
    road path field beach lake ocean river stream""".split()
) | {"soccer ball", "tennis ball", "beach ball", "fire hydrant", "rock wall", "dirt bike", "mountain bike", "atv"}
DOUBTFUL = frozenset(
    """watch ride swing fly duck match light switch iron drill bow ray ram seal tick plow organ clip hook lock pin scale
    screen bar box dish horn fan kite crane cricket boxer husky shell pitcher punch safe can nail ruler drumstick groom
    bride priest diver soldier mouse coast stocking tank top cap-tip reel torch wing web wool tool tub lens mill fungus
    combine compass walking-stick worm jaguar stage spiral mat beam coil chest chain bubble buckle brake block loafer
    ear bee bass mink boa punching ship-wreck mortar modem mop roof screw whistle wheel feather garment home field
    afghan jet skate skates dock shaker collie""".split()
) - {"swing", "stage", "field", "beam"}
"""Concept words that captions mostly use in another sense, or of what is no object."""
MOUTHFULS = frozenset(
    "stick ball toy frisbee bone rope fish leash bird tennis-ball bottle log branch disc football shoe".split()
) | {"tennis ball", "soccer ball"}

PLAYED = frozenset(
    """soccer football basketball tennis baseball volleyball guitar violin drums flute hockey rugby golf cricket
    softball badminton piano trumpet saxophone accordion bagpipes frisbee hopscotch lacrosse polo cards chess""".split()
)
RIDDEN = frozenset(
    """bike bicycle motorcycle skateboard horse wave scooter surfboard snowboard sled bull elephant unicycle tricycle
    camel donkey atv pony motorbike swing jet-ski carousel raft train bus tractor segway""".split()
) | {"dirt bike", "mountain bike", "roller coaster"}
TRANSITIVE = frozenset(
    "holding carrying riding throwing catching kicking chasing pulling pushing eating playing".split()
)
ON = {
    "standing": ("on",),
    "sitting": ("on", "in"),
    "jumping": ("over", "into"),
    "leaping": ("over", "into"),
    "playing": ("with",),
    "walking": ("through", "on"),
    "running": ("through", "on"),
    "climbing": ("up",),
    "lying": ("on",),
    "laying": ("on",),
    "sleeping": ("on",),
}
"""Prepositions after which the object of a question may stand."""
ACTIVITIES = frozenset(
    """running jumping swimming walking sleeping standing sitting playing climbing dancing skateboarding surfing skiing
    snowboarding eating drinking smiling laughing reading singing fishing hiking biking crawling kneeling kayaking
    wrestling fighting racing rollerblading jogging splashing digging barking leaping diving rafting lying laying
    riding""".split()
)
SAY = {"leaping": "jumping", "laying": "lying"}
LOCATED = ACTIVITIES | {"resting", "posing", "performing", "splashing", "wading", "floating", "landing", "crouching"}
TOGETHER = frozenset("riding holding carrying eating reading playing wearing".split())
"""What is done to something that is in the same place as who does it."""
PLACES = {
    "in": frozenset(
        """snow water grass field park woods ocean pool sand street yard forest lake city dirt mud desert river fountain
        backyard garden puddle pond kitchen bathtub restaurant playground creek stream sea gym mountains
        classroom""".split()
    ),
    "on": frozenset(
        """beach grass sidewalk street field ground bench bed couch road trampoline stage ice sand playground track
        snow floor court shore sofa stairs grass lawn dock porch racetrack bridge boat train subway steps""".split()
    ),
    "at": frozenset("beach park playground restaurant carnival lake pool".split()),
}

SALIENT = {
    "dog": 60, "cat": 3, "horse": 4, "elephant": 2, "bird": 2, "sheep": 1, "cow": 2, "bear": 1, "zebra": 1, "monkey": 1,
    "camel": 1, "pig": 1, "giraffe": 1, "guitar": 3, "airplane": 2, "helicopter": 1, "train": 2, "motorcycle": 4,
    "skateboard": 6, "surfboard": 4, "umbrella": 2, "pizza": 1, "tractor": 1, "piano": 1, "snowboard": 3,
    "trampoline": 2, "bicycle": 6,
    "snow": 8, "beach": 6, "person": 60, "baby": 3, "tiger": 1, "lion": 1, "goat": 1, "kite": 1,
}  # fmt: skip
"""What a person who describes a picture would hardly leave out, with how often it is asked for where it is not."""
SIGNS = {
    "dog": "dog puppy hound retriever poodle terrier collie greyhound lab labrador husky dalmatian bulldog pug canine "
    "doberman beagle boxer spaniel shepherd rottweiler chihuahua dachshund animal animals pet muzzle leash dane mutt "
    "pup corgi schnauzer pitbull paws paw wolf",
    "cat": "cat kitten animal animals pet tiger lion feline",
    "horse": "horse pony rodeo jockey cowboy polo bronco animal animals equestrian carriage donkey saddle",
    "elephant": "elephant animal animals",
    "bird": "bird duck goose geese pigeon seagull swan eagle owl parrot gull flamingo pelican crane heron chicken "
    "rooster ostrich penguin egret hawk flock animal animals peacock seagulls falcon sky",
    "sheep": "sheep lamb flock animal animals goat ram",
    "cow": "cow bull cattle calf animal animals rodeo ox bison buffalo steer",
    "bear": "bear animal animals panda",
    "zebra": "zebra animal animals",
    "monkey": "monkey ape gorilla chimpanzee baboon orangutan animal animals",
    "camel": "camel animal animals desert",
    "pig": "pig boar hog animal animals piglet",
    "giraffe": "giraffe animal animals",
    "tiger": "tiger animal animals cat",
    "lion": "lion animal animals cat",
    "goat": "goat animal animals sheep",
    "guitar": "guitar guitarist instrument band music musician bass banjo concert stage instruments musicians",
    "airplane": "airplane plane jet aircraft airport sky aeroplane runway",
    "helicopter": "helicopter chopper aircraft",
    "train": "train subway locomotive tram railroad rail railway tracks station trolley",
    "motorcycle": "motorcycle motorbike motorcyclist bike biker motocross rider scooter racer vehicle atv moped bikes "
    "harley dirtbike racing street traffic",
    "bicycle": "bicycle bike biker cyclist bicyclist cycling bmx biking wheelie ride rides riding rider wheels vehicle "
    "tricycle unicycle cycle trick motorcycle street bikes racer city",
    "skateboard": "skateboard skateboarder skate skater skateboarding board ramp trick skating skateboards rail",
    "surfboard": "surfboard surfer surf surfing board wave boogie bodyboard surfs wakeboard waves surfers boarder",
    "snowboard": "snowboard snowboarder snowboarding board snow ski skier skis snowy boarder",
    "umbrella": "umbrella parasol rain rainy umbrellas beach",
    "pizza": "pizza food eating meal restaurant eat eats dinner lunch",
    "tractor": "tractor vehicle farm machine",
    "piano": "piano keyboard instrument music",
    "trampoline": "trampoline bouncing bounce bounces bouncy jumping inflatable",
    "snow": "snow snowy ski skis skier skiing ice icy sled sledding winter snowboard snowboarder snowman snowball "
    "white snowboarding snow-covered snowmobile snowsuit cold frozen mountain mountains snowshoes avalanche",
    "beach": "beach sand sandy ocean sea shore surf surfer wave waves water coast surfing surfboard bay seaside tide "
    "shoreline bikini sandcastle lake",
    "baby": "baby infant toddler child kid babies stroller children kids mother newborn family",
    "kite": "kite kites parasail parachute sail string",
}
"""Words of any caption that forbid "no": signs that the thing may be there."""


VERBS = (
    ACTIVITIES
    | LOCATED
    | TRANSITIVE
    | TOGETHER
    | set(ON)
    | set(
        """looking watching talking waiting taking making getting going coming doing hanging swinging flying sliding
        shaking driving hugging smoking using blowing staring crossing waving pointing kissing chewing rolling shooting
        painting paddling reaching moving hitting grinding giving licking balancing passing competing writing spinning
        rowing turning touching fetching working bouncing sniffing petting bending marching spraying feeding leading
        attempting biting falling leaning pouring raising hopping trotting bathing rubbing tugging""".split()
    )
)
SHORT_OF_E = frozenset(
    """riding dancing racing chasing taking making coming sliding shaking driving smoking using staring waving moving
    giving balancing competing writing bouncing diving hiking biking posing raising smiling wrestling""".split()
)
"""Verbs whose other forms have an e: "ride"."""


def finite(verb: str) -> tuple[str, str]:
    """What one does and what several do, of a verb in -ing: "runs", "run"."""
    stem = {"lying": "lie"}.get(verb, verb.removesuffix("ing"))
    if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "sl":
        stem = stem[:-1]
    if verb in SHORT_OF_E:
        stem += "e"
    return (stem + "es" if stem.endswith(("s", "sh", "ch", "o")) else stem + "s"), stem


FINITE = {form: verb for verb in sorted(VERBS) for form in finite(verb)} | {"carries": "carrying", "flies": "flying"}

PERSON_ONE_IN = 12  # photos that show somebody, by far the most, of those where it is asked: about as many say no

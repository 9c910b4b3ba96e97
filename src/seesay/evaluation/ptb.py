"""Words of a caption as pycocoevalcap counts them: Penn Treebank tokens in lower case, less punctuation.

pycocoevalcap runs Stanford's PTBTokenizer (CoreNLP 3.4.1, `-preserveLines -lowerCase`) in Java. This is the same in
Python; its rules were settled by giving both the same strings, and tests hold it to that program's answers.
It may part from it in scripts with combining marks, and where web addresses or soft hyphens are glued to other words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

PUNCTUATION = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])
"""Tokens that are left out. To pycocoevalcap brackets, "!!" and the like are words."""

ASSIMILATIONS = {
    "cannot": ("can", "not"),
    "gimme": ("gim", "me"),
    "gonna": ("gon", "na"),
    "gotta": ("got", "ta"),
    "lemme": ("lem", "me"),
    "wanna": ("wan", "na"),
}
"""Words that are two tokens."""

# Abbreviations keep their period. Those of the first list may end a sentence, those of the second stand before a name.
LAST_ABBREVIATIONS = """
    al ala apr ariz assn aug bhd bldg blvd bros calif co colo conn corp cos ct dak dec esq est etc ext feb fla
    fri ga inc ind intl jan jr jul jun kan kans ky ltd mar md mich minn mo mon mont neb nev nov oct okla penn
    plc rd rt sep sept seq sq sr sys tel tenn thu thurs tue tues univ va vt wed wis wisc wyo
"""
ABBREVIATIONS = """
    adj adm adv alex assoc asst atty attys ave brig capt cf cie cmdr col comdr cpl dept det dr drs elec ens ft gen gov
    govs hon insp invt jos lieut lt maj messrs mlle mme mr mrs ms msgr mt natl pfc ph pres prof profs pvt rep reps rev
    sen sens sfc sgt spc st ste supt supts treas vs wm
"""
CAPITALISED_ABBREVIATIONS = "Ark Az Del Ill La Mass Miss Ore Pa Tex Wash"
UNCAPITALISED_ABBREVIATIONS = "mfg mtg ppte pptes ppty pptys pte ptes pty ptys"
ABBREVIATIONS_BEFORE_A_NUMBER = "art ca fig figs no nos op pp prop"

# Before one of these a letter with a period ends a sentence ("plan B. The"); else it is an initial ("John B. Smith").
SENTENCE_STARTERS = r"""
    A About According Additionally After An As At But Earlier He Her Here However If In It Last Many More Mr\. Ms\. Now
    Once One Other Our She Since So Some Such That The Their Then There These They This We What When While Yet You
"""

FILE_TYPES = """
    bat bmp c class cpp dll doc docx exe gif gz h htm html jar java jpeg jpg mov mp3 pdf php pl png ppt ps py sql tar
    txt wav xml zip
"""

SYMBOLS = (
    r"!-/:-@\[-`{-~¡¥-©¬®-´¶-¹¿×÷;·‖‗‚„-․′-‸※‾-⁂⁄⁰⁴-⁾₀-₎₤℀℁℃-℆℈℉℔№-℘℞-℣℥℧℩℮℺⅀-⅄⅊-⅍⅏⅕-⅞←-⯿、。〒・"
    r"！-／：-＠［-｀｛-･￠￡￥￦"
)
"""Characters that are tokens of their own, in ranges. What no rule knows, such as emoji, is dropped."""

REPLACEMENTS = {
    **dict.fromkeys("“«\x93", "``"),
    **dict.fromkeys('"”»\x94', "''"),
    **dict.fromkeys("‘‛‹\x91", "`"),
    **dict.fromkeys("’›\x92", "'"),
    **dict.fromkeys("–—―\x96\x97", "--"),
    **dict.fromkeys("…\x85", "..."),
    **dict.fromkeys("€¤₠\x80", "$"),
    **dict(zip("()[]{}", ["-lrb-", "-rrb-", "-lsb-", "-rsb-", "-lcb-", "-rcb-"], strict=True)),
    **dict(zip("£¢½¼¾⅓⅔\xad", ["#", "cents", "1/2", "1/4", "3/4", "1/3", "2/3", "-"], strict=True)),
}
"""How Penn Treebank writes a character that is a token: brackets have names there, and pounds are "#"."""
ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": "''", "&apos;": "'", "&mdash;": "--", "&ndash;": "--"}


def _any(words: str) -> str:
    """A pattern for any of the words; the longest first, since Python takes the first that fits."""
    return "(?:" + "|".join(sorted(words.split(), key=len, reverse=True)) + ")"


_CHARACTER = r"(?:[^\W_²³¹¼½¾⁰-₉⅐-ↈ①-⓿❶-➓]|[\xad\u0300-\u036f])"
_LETTER = r"(?:[^\W\d_²³¹¼½¾⁰-₉⅐-ↈ①-⓿❶-➓]|[\u0300-\u036f]|&[aeiouAEIOU](?:acute|grave|uml);)"
_ALNUM = rf"(?:{_LETTER}|\d)"
_APOSTROPHE = r"(?:['’\x92]|&apos;)"
_INNER = r"(?:['’\x92‘\x91‛`]|&apos;)"  # what may stand for an apostrophe between letters
_QUOTES = "‘’“”‚„‛‹›«»\x91\x92\x93\x94"
_REDUCED = rf"{_APOSTROPHE}(?i:[msd]|re|ve|ll)"
_WORD = rf"{_LETTER}(?:{_ALNUM}|\xad)*(?:[.!?]{_LETTER}{_ALNUM}*)*"
_ACRONYM = r"[A-Za-z](?:\.[A-Za-z])+"
_CAPITALS = r"[A-Z]+(?:(?:\+|&(?:[aA][mM][pP];)?)[A-Z]+)+"
_PART = rf"(?:[dDlLoO]{_INNER}{_ALNUM})?{_CHARACTER}+"
_HYPHENATED = rf"{_PART}(?:[-_‐‑]{_PART})+"
_HYPHENATED_WITH_PERIODS = rf"[A-Za-z0-9][A-Za-z0-9.,]*(?:-(?:{_ACRONYM}\.|[A-Za-z0-9]+))+"
_SLASHED = r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}"
_NUMBER = r"(?:\d*(?:[.:,]\d+)+|\d+)"
_TAG = r"[A-Za-z][A-Za-z0-9:.-]*"
_MARKUP = rf"<(?:[!?][A-Za-z-][^>\r\n]*|/{_TAG} *|{_TAG}(?: +{_TAG}(?:='[^'\r\n]*'|=\"[^\"\r\n]*\")?)* */? *)>"
_URL_END = r"[^ \t\r\n\f\"<>|.!?(){},-]"
_PATH = rf"(?:/[^ \t\r\n\f\"<>|()]+{_URL_END})"
_HOST = r"[^ \t\r\n\f\"!$'()<>{}|`,-_]"  # the range is theirs: no digits, no capitals
_BOTH_CASES = f"{CAPITALISED_ABBREVIATIONS} {CAPITALISED_ABBREVIATIONS.upper()}"
_EYE = r"[-^x=~<>']"

# The longest match wins, with what must follow the token counted in; of several as long, the first. Where a rule has a
# group, the group is the token.
_RULES = [
    re.compile(rule)
    for rule in [
        # Mark-up
        _MARKUP,
        rf"(?i:{_any(' '.join(ENTITIES))})|&#\d+;",
        # Contractions
        *(rf"((?i:{first}))(?i:{second})" for first, second in ASSIMILATIONS.values()),
        r"('[tT])(?i:is|was)",
        rf"([A-Za-z\xad]*[A-MO-Za-mo-z\xad])[nN]{_INNER}[tT]",
        rf"({_WORD}|{_ALNUM}+){_REDUCED}",
        rf"[nN]{_INNER}[tT]",
        rf"(?!'){_REDUCED}",
        rf"({_REDUCED})[^A-Za-z]",
        # Words
        _WORD,
        rf"{_ALNUM}+",
        rf"((?:(?i:{_any(LAST_ABBREVIATIONS)})|{_any(_BOTH_CASES)})\.)(?s:..)",
        _HYPHENATED,
        _HYPHENATED_WITH_PERIODS,
        rf"{_SLASHED}(?:\\?/{_SLASHED}){{1,2}}",
        _CAPITALS,
        r"(?i:anti|pro)-|[cC]\+\+|[cCfF]#",
        rf"((?:{_WORD}|{_ALNUM}+|{_HYPHENATED}|{_HYPHENATED_WITH_PERIODS}|{_CAPITALS}|{_NUMBER})\.)[,;:]",
        # Words with an apostrophe
        rf"[dDoOlL]{_INNER}{_LETTER}{_ALNUM}+",
        rf"[A-HJ-XZn]{_INNER}{_LETTER}{{2,}}",
        rf"{_LETTER}+[aeiouyAEIOUY]{_INNER}[aeiouA-Z]{_LETTER}*",
        rf"(?i:ma{_INNER}am|o{_INNER}o|c'(?:est|mon)|(?:e|ne|o)'er|li'l|'til)",
        rf"(?i:d|dunkin|j|l|ol|somethin){_APOSTROPHE}",
        rf"([yY]{_APOSTROPHE}){_LETTER}",
        rf"{_APOSTROPHE}(?:(?i:cause|em|n{_APOSTROPHE}?)|[2-9]0[sS])",
        rf"({_APOSTROPHE}\d\d)\s",
        # Abbreviations
        rf"(?i:{_any(LAST_ABBREVIATIONS + ABBREVIATIONS)}\.)",
        rf"{_any(_BOTH_CASES)}\.",
        rf"{_any(UNCAPITALISED_ABBREVIATIONS + ' ' + UNCAPITALISED_ABBREVIATIONS.title())}\.",
        rf"((?i:{_any(ABBREVIATIONS_BEFORE_A_NUMBER)}\.))\s?\d",
        rf"([A-Za-z])\.\s+(?:(?=[A-Z])(?i:{_any(SENTENCE_STARTERS)})|{_MARKUP})\s",
        rf"{_ACRONYM}\.?|(?i:ph\.d\.)|[A-Za-z]\.",
        # Numbers
        rf"[-+]?{_NUMBER}",
        r"(?:\d{1,4}[- \xa0])?\d{1,4}(?:\\?/|⁄)\d{1,4}",
        r"\d{1,2}[-/]\d{1,2}[-/]\d{2,4}",
        r"(?:\(\d{2,3}\)[ \xa0]?|(?:\+\+?)?(?:\d{2,4}[- \xa0])?\d{2,4}[- \xa0])\d{3,4}[- \xa0]?\d{3,5}",
        r"[A-Z]+\$",
        # Addresses
        rf"@[A-Za-z_][A-Za-z_0-9]*|#{_LETTER}+",
        r"[a-zA-Z0-9][^\s\"<>|(){}]*@(?:[^\s\"<>|(){}.]+\.)*[^\s\"<>|(){}.]+",
        rf"(?i:https?)://[^ \t\r\n\f\"<>|(){{}}]+{_URL_END}",
        rf"(?:(?i:www)\.(?:[^ \t\r\n\f\"<>|.!?(){{}},]+\.)+[a-zA-Z]{{2,4}}|(?:{_HOST}+\.)+(?:com|net|org|edu)){_PATH}?",
        rf"({_ALNUM}+(?:\.{_ALNUM}+)*\.(?i:{_any(FILE_TYPES)}))[\s.,!?]",
        # Faces
        r"(>?[:;=][-o'*]?[()\[\]{DdPpO\\|@])(?:[^A-Za-z0-9]|$)",
        rf"{_EYE}_{_EYE}|\({_EYE}[_.]?{_EYE}\)",
        # Punctuation
        r"(')[A-Za-z]\S",
        r"(?:\. ){2}\.|\.{3,5}",
        rf"-+|_+|\*+|[!?]+|@{{2,}}|#{{2,}}|<<|>>|''|``|\\\*|[{_QUOTES}][`{_QUOTES}]",
        rf"[{SYMBOLS}{re.escape(''.join(REPLACEMENTS))}]",
    ]
]

# Most of a caption is nothing that the rules above would join, split or keep.
_NOTHING = re.compile(r"(?:\s|(?i:&nbsp;)|\"|[-.,!?;:'`](?=\s))+")
_PLAIN_WORDS = re.compile(r"[A-Za-z]+(?:,? [A-Za-z]+)*(?=,?[\"\s])")
_LAST_WORD = re.compile(r"([A-Za-z]{2,})(?=[.!?]\s)")
_KEEP_PERIOD = frozenset(
    " ".join(
        [
            LAST_ABBREVIATIONS,
            ABBREVIATIONS,
            CAPITALISED_ABBREVIATIONS,
            UNCAPITALISED_ABBREVIATIONS,
            ABBREVIATIONS_BEFORE_A_NUMBER,
        ]
    )
    .lower()
    .split()
)


def tokenize(caption: str, following: str = "") -> str:
    """The words of `caption`, joined by single spaces.

    `following` is the caption after it: pycocoevalcap tokenises all captions as one text, and what comes next can tell
    the end of a sentence from an initial. Give it where scores must be the same to the last digit.
    """
    return " ".join(token for token in _tokens(caption.replace("\n", " "), following) if token not in PUNCTUATION)


def tokenize_together(captions: Sequence[str]) -> list[str]:
    """`tokenize` of each caption as pycocoevalcap would do it for all of them in this order."""
    return list(map(tokenize, captions, [*captions[1:], ""]))


def _tokens(caption: str, following: str) -> Iterator[str]:
    """Tokens in lower case, but for punctuation where it is plain that `tokenize` would leave it out."""
    text = f"{caption}\n{following}\n"
    at = 0
    while at < len(caption):
        if match := _NOTHING.match(text, at):
            at = match.end()
        elif match := _PLAIN_WORDS.match(text, at):
            at = match.end()
            for word in match[0].lower().replace(",", "").split():
                yield from ASSIMILATIONS.get(word) or (word,)
        elif (match := _LAST_WORD.match(text, at)) and (word := match[1].lower()) not in _KEEP_PERIOD:
            at = match.end()
            yield from ASSIMILATIONS.get(word) or (word,)
        elif token := _longest_match(text, at):
            at += len(token)
            yield _written(token)
        else:
            at += 1


def _longest_match(text: str, at: int) -> str:
    """The token that begins at `at`; empty if nothing does."""
    best = max(filter(None, (rule.match(text, at) for rule in _RULES)), key=re.Match.end, default=None)
    return best[best.lastindex or 0] if best else ""


def _written(token: str) -> str:
    """`token` as Penn Treebank writes it, in lower case."""
    token = token.lower()
    if re.fullmatch(rf"{_REDUCED}|n{_INNER}t", token):
        return re.sub("[‘\x91‛]", "`", re.sub("[’\x92]|&apos;", "'", token))
    if re.fullmatch(rf"[{_QUOTES}`]{{2}}", token):
        return "".join(REPLACEMENTS.get(quote, quote) for quote in token)
    if re.fullmatch("-{3,4}", token):
        return "--"
    if re.fullmatch("[. ]{3,}", token):
        return "..."
    if token in REPLACEMENTS or token in ENTITIES:
        return REPLACEMENTS.get(token) or ENTITIES[token]
    token = token.replace("(", "-lrb-").replace(")", "-rrb-")
    return token.replace("&amp;", "&").replace(" ", "\xa0").replace("\xad", "")

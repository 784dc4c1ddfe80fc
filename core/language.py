"""Which languages a text is in, from its script and its most frequent words alone: no model, no data, nothing to load.

Libraries were measured and not taken. They give a document one label, and shares are what is wanted here; fastText's
lid.176 calls Chinese with English terms Japanese and log lines Polish, and its package brings a downloader;
py3langid takes 2 s to load. What is to be told apart is less: what a model knows and what it does not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from core.text import HAN, LETTER
from core.types import Document

VERSION = 1  # of the rules; shares by other rules are not to be added to these
MUCH = 0.05  # a share that counts: more unknown text than one document in twenty. English collections measure 0 to 0.01
WHOLE = 1000  # a document's languages are thousandths, whole numbers, so that sums over documents stay exact
OTHER = "und"  # ISO 639's "undetermined": none of the names below

NAMES = {
    "zh": "Chinese",
    "en": "English",
    "ja": "Japanese",
    "ko": "Korean",
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "it": "Italian",
    "pt": "Portuguese",
    "nl": "Dutch",
    "id": "Indonesian",
    OTHER: "other languages",
}

# The most frequent words of each language, those left out that are as frequent in another or common names in code.
_WORDS = {
    language: frozenset(words.split())
    for language, words in {
        "en": "the of and to that for with this is are be it as was by on from you not have which or at if when",
        "de": "der die das und ist nicht ein eine einen den dem des mit von zu auf für sich auch wird werden",
        "fr": "le la les des et est une un dans que pour qui sur pas du au sont avec ce cette il",
        "es": "el la los las que es una por con para del se su más pero como está son y",
        "it": "il che è una per non sono della gli di nel alla anche dei più",
        "pt": "uma não que para em mais como foi ao das dos é são",
        "nl": "het een van en niet dat zijn voor met op aan de ook wordt",
        "id": "yang dan untuk dengan ini itu dari pada dalam tidak adalah",
    }.items()
}
_KANA = re.compile(r"[\u3041-\u3096\u30a1-\u30fa\u31f0-\u31ff]")
_HANGUL = re.compile(r"[\u1100-\u11ff\uac00-\ud7a3]")
_LATIN = re.compile(r"[a-z\u00df-\u00f6\u00f8-\u024f\u1e00-\u1eff]+")
_DENSE = (
    3  # a Han character, Kana or Hangul syllable says as much as three letters: XQuAD's English is 3.1 times as long
)
_SPANS, _SPAN = 4, 400  # characters looked at: four spans, evenly spread, as a paper may begin with an English abstract
_QUOTED = 0.1  # below this share of a document, other languages are quotations, names and terms
_DOCUMENTS = 400  # looked at to judge a corpus


def languages(text: str) -> dict[str, int]:
    """The languages of one document: thousandths of its text that add up to 1000; {} when it has no letters.

    Latin letters without words of another language (code, logs, names) count as English.
    """
    text = _spans(text).lower()
    weights: Counter[str] = Counter()
    if not text.isascii():
        han, kana, hangul = (len(pattern.findall(text)) for pattern in (HAN, _KANA, _HANGUL))
        weights["ja" if kana * 10 > han + kana else "zh"] = _DENSE * han
        weights["ja"] += _DENSE * kana
        weights["ko"] = _DENSE * hangul
    words = _LATIN.findall(text)
    weights[_latin(words)] += (latin := sum(map(len, words)))
    if not text.isascii():
        weights[OTHER] += max(0, len(LETTER.findall(text)) - han - kana - hangul - latin)
    return _thousandths(weights)


def _spans(text: str) -> str:
    if len(text) <= _SPANS * _SPAN:
        return text
    step = (len(text) - _SPAN) // (_SPANS - 1)
    return "\n".join(text[at * step :][:_SPAN] for at in range(_SPANS))


def _latin(words: Sequence[str]) -> str:
    """The language of words in Latin letters, in lower case: English unless much speaks for another."""
    counts = Counter(words)
    hits = {language: sum(counts[word] for word in known) for language, known in _WORDS.items()}
    best = max(hits, key=lambda language: hits[language])
    few = len(words) < 12  # a title or a query: one word has to do
    if hits[best] > hits["en"] and hits[best] * 20 >= len(words) and (few or len(_WORDS[best] & counts.keys()) > 1):
        return best
    foreign = sum(not character.isascii() for word in words for character in word)
    if hits["en"] * 20 < len(words) and foreign * 33 > sum(map(len, words)):
        return OTHER
    return "en"


def _thousandths(weights: Mapping[str, int]) -> dict[str, int]:
    whole = sum(weights.values())
    kept = {language: weight for language, weight in weights.items() if weight > whole * _QUOTED}
    whole = sum(kept.values())
    parts = {language: WHOLE * weight // whole for language, weight in sorted(kept.items())}
    if parts:
        parts[max(parts, key=lambda language: parts[language])] += WHOLE - sum(parts.values())
    return parts


def estimated_tokens(text: str) -> int:
    """About how many tokens a model makes of `text`: one of a Han character, Kana or Hangul syllable, one of four others."""
    dense = 0 if text.isascii() else sum(len(pattern.findall(text)) for pattern in (HAN, _KANA, _HANGUL))
    return dense + (len(text) - dense + 3) // 4


def total(documents: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sums over documents; every document counts the same, however long."""
    summed: Counter[str] = Counter()
    for parts in documents:
        summed.update(parts)
    return dict(sorted(summed.items()))


def sample(documents: Sequence[Document]) -> list[Document]:
    """At most 400 of the documents, which come in the order of their ids, evenly spread."""
    count = min(len(documents), _DOCUMENTS)
    return [documents[at * len(documents) // count] for at in range(count)]


def language_shares(texts: Iterable[str]) -> dict[str, float]:
    """How much of the texts is in which language: shares that add up to 1, the greatest first; {} without letters."""
    return shares(total(map(languages, texts)))


def shares(parts: Mapping[str, int]) -> dict[str, float]:
    """`parts` (thousandths of documents) as shares that add up to 1, the greatest first."""
    if not (whole := sum(parts.values())):
        return {}
    return {language: part / whole for language, part in sorted(parts.items(), key=lambda pair: (-pair[1], pair[0]))}


def unknown(found: Mapping[str, float], known: Collection[str]) -> dict[str, float]:
    """Of the shares `found`, those of languages that a model does not know; `known` is its list, empty for not said."""
    if not known or "multilingual" in known:
        return {}
    return {language: share for language, share in found.items() if language not in known}


def in_words(found: Mapping[str, float]) -> str:
    """`62 % English, 38 % Chinese`; what rounds to nothing is left out."""
    return ", ".join(
        f"{100 * share:.0f} % {NAMES.get(language, language)}" for language, share in found.items() if share >= 0.005
    )


def names_of(found: Mapping[str, float]) -> str:
    """`Chinese and French`: the languages of these shares, the greatest first; traces beside it are left out."""
    least = max(found.values(), default=0) / 50
    return " and ".join(NAMES.get(language, language) for language, share in found.items() if share >= least)


def not_known(found: Mapping[str, float], name: str, known: Collection[str]) -> str:
    """What to say when much of a corpus is in languages that the model `name` does not know; nothing when it is not."""
    strange = unknown(found, known)
    if sum(strange.values()) < MUCH:
        return ""
    return f"{in_words(strange)}, which the model {name} does not know: it is found by its words only"

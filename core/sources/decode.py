"""Bytes to text, whatever their encoding. Strict throughout: no byte is dropped or replaced by a guess."""

from __future__ import annotations

import codecs
import re
import string

from core.sources import Empty, Unreadable
from core.sources.text import clean

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: its mark begins with that one's
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_CONTROL = re.compile("[\0-\x07\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f]")
_ASCII = re.compile("[\0-\x7f]+")
_SAMPLE = 2**16

_SIMPLIFIED = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事"
    "成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日者意无力它与长把机十民第公此"
    "已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西月话合回特代"
    "内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活更别打女变四神总何电数安"
)
_TRADITIONAL = (
    "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡用道行所然家種事"
    "成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實日者意無力它與長把機十民第公此"
    "已工使情明性知全三又關點正業外將兩高間由問很最重並物手應戰向頭文體政美相見被利什二等產或新己制身果加西月話合回特代"
    "內信表化老給世位次度門任常先海通教兒原東聲提立及比員解水名真論處走義各入幾口認條平系氣題活更別打女變四神總何電數安"
)
_PUNCTUATION = "，。、：；？！「」（）《》“”　"
_KANA = "".join(map(chr, range(0x3041, 0x3094)))
_HANGUL = "이다는을의에가고하지를은한도로그사기나인어아리자있서수해만대들일게라시것정전보부면제과장주으로스여구조상"
_WESTERN = frozenset("“”‘’–—…•·°£€©®™§«»éèêàâçîïôœùûüöäßáíóúñ¿¡ÉÀÜÖÄ\xa0")
_FAMILIES = (  # an encoding, and the characters that any text worth the name is full of
    ("gb18030", frozenset(_SIMPLIFIED + _PUNCTUATION)),
    ("cp950", frozenset(_TRADITIONAL + _PUNCTUATION)),
    ("big5hkscs", frozenset(_TRADITIONAL + _PUNCTUATION)),
    ("cp932", frozenset(_KANA + "、。")),
    ("euc_jp", frozenset(_KANA + "、。")),
    ("cp949", frozenset(_HANGUL)),
)
_EVERYDAY = frozenset(string.printable + _SIMPLIFIED + _TRADITIONAL + _PUNCTUATION + _KANA + _HANGUL)


def decode(data: bytes, declared: str = "") -> tuple[str, str]:
    """The text and the name of its encoding; `declared` is what the file itself says it is, tried after a BOM.

    Raises Empty, and Unreadable for binary data and when no encoding fits.
    """
    if not data.strip():
        raise Empty
    text, encoding = _marked(data) or _declared(data, declared) or _unmarked(data)
    if 50 * (len(text) - len(_CONTROL.sub("", text))) > len(text):
        raise Unreadable("binary data, not text")
    return clean(text), encoding


def _strict(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (UnicodeError, LookupError):
        return None


def _marked(data: bytes) -> tuple[str, str] | None:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            text = _strict(data[len(mark) :], encoding)
            if text is None:
                raise Unreadable(f"damaged text: marked as {encoding.upper()}, but it is not")
            return text, encoding
    return None


def _declared(data: bytes, encoding: str) -> tuple[str, str] | None:
    text = _strict(data, encoding) if encoding and b"\0" not in data else None
    return None if text is None else (text, encoding)


def _unmarked(data: bytes) -> tuple[str, str]:
    if b"\0" in data:
        return _wide(data)
    for encoding in ("iso2022_jp", "iso2022_kr") if b"\x1b$" in data else ():
        if (text := _strict(data, encoding)) is not None:
            return text, encoding
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        if _nearly_utf8(data):
            raise Unreadable(f"damaged text: UTF-8 but for some bytes, the first at {error.start:,}") from error
        return _legacy(data)


def _nearly_utf8(data: bytes) -> bool:
    """One broken byte in a UTF-8 text must not turn all the rest into the letters of another encoding."""
    characters = _ASCII.sub("", data.decode("utf-8", "replace"))
    return 10 * characters.count("\ufffd") < len(characters)


def _wide(data: bytes) -> tuple[str, str]:
    """UTF-16 or UTF-32 without a mark. In the wrong byte order none of the everyday characters appears."""
    best, chosen, most = "", "", 0.1
    for encoding in _WIDE:
        text = _strict(data, encoding)
        if text and "\0" not in text and (share := _share(text, _EVERYDAY)) > most:
            best, chosen, most = text, encoding, share
    if not chosen:
        raise Unreadable("binary data, not text")
    return best, chosen


def _legacy(data: bytes) -> tuple[str, str]:
    """An encoding of before Unicode. Big5 and EUC-KR decode as GB18030 too, but to characters nobody writes."""
    best, chosen, most = "", "", 0.15
    for encoding, frequent in _FAMILIES:
        text = _strict(data, encoding)
        share = _share(_ASCII.sub("", text), frequent) if text else 0.0
        if text and share > most:
            best, chosen, most = text, encoding, share
    return (best, chosen) if chosen else _guessed(data)


def _guessed(data: bytes) -> tuple[str, str]:
    from charset_normalizer import from_bytes  # costs 40 ms to load, and hardly any file needs it

    if _strict(data, "gb2312") is not None:  # a few rare characters, too short for frequencies
        return data.decode("gb18030"), "gb18030"
    western = _strict(data, "cp1252")  # before the guess, which takes "naïve" for Czech
    if western and _share(_ASCII.sub("", western), _WESTERN) > 0.95:
        return western, "cp1252"
    end = data.rfind(b"\n", 0, _SAMPLE) + 1  # whole lines: half a character at the end would speak against the truth
    guess = from_bytes(data if len(data) <= _SAMPLE else data[: end or _SAMPLE]).best()
    text = None if guess is None else _strict(data, guess.encoding)
    if guess is None or text is None:
        raise Unreadable("no encoding fits; save it as UTF-8")
    return text, guess.encoding


def _share(text: str, frequent: frozenset[str]) -> float:
    sample = text[:_SAMPLE]
    return sum(character in frequent for character in sample) / max(1, len(sample))

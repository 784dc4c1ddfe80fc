"""Canaries: fixed texts that travel with a space, and their vectors. Where identity is silent or lies, they tell.

They go both ways a text can go (as query and as passage), some with a context, so that the template shows. Two are as long
as the model takes and one token longer, and change their subject on the way, so that a changed length limit shows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.space.identity import Space
from core.types import Side

if TYPE_CHECKING:
    from core.encoders import Encoder

SIDES: tuple[Side, ...] = ("query", "passage")

# These ride with every query: case, accents, both scripts of Chinese, code, digits and a symbol in as few tokens as it takes.
SHORT = (
    "The quick brown fox met Zoë at the café.",
    "今天的天氣很好，我们去公园散步吧。",
    "请在 README.md 里写明 API v1.2.3 的 error code ✅。",
)
_OTHERS = (
    "Where does the river bank end and the water begin?",
    "how to boil an egg",
    "THE COURT FINDS FOR THE PLAINTIFF",
    "Aspirin lowers the risk of a second heart attack in adults over sixty.",
    "She sold sea shells; he sold the boat, the nets and the house.",
    "银行的利率上周又下调了，存款的人并不高兴。",
    "怎么煮鸡蛋",
    "這家銀行的分行設在河岸邊，週末不營業。",
    "《民法典》第１０条：处理民事纠纷，应当依照法律。",
    "疫苗接种后可能出现发热、乏力等反应，一般两三天内消失。",
    "def cosine(a, b): return a @ b / (norm(a) * norm(b))  # E-1047",
    "SELECT user_id, COUNT(*) FROM orders WHERE total >= 3.14159 GROUP BY user_id;",
    "2026-01-31 02:00:05 +0800, 1,234,567.89",
    "ＦＵＬＬ　ｗｉｄｔｈ，ﾊﾝｶｸ，繁體字與简体字，café naïve",
    "iPhone 15 的 camelCase 和 snake_case 怎么命名？",
    "😀🦊🇨🇳👩‍🔬",
    "مرحبا بالعالم · Привет, мир · 안녕하세요",
    "https://example.org/a?b=c#d  mailto:ana@example.org",
    "7",
    ".",
)
# With a context before them: text -> context.
_WITH_CONTEXT = {
    "It was signed in the hall of mirrors.": "The Treaty of Versailles",
    "温度越高，反应越快。": "化学 · 反应速率",
}
_PARTS = (  # of the long ones, one after another, each said several times over: the end is about something else
    "The old harbour was quiet, and the fishing boats lay on the sand. ",
    "向量检索的结果取决于模型、分词器和池化方式。",
    "Interest rates rose by half a point, so the price of bonds fell again. ",
    "春天播种，秋天收获，农民最怕的是干旱。",
)
LEAST = 8  # canaries without which nothing is proved
_LONGEST = 8192  # tokens that the long ones have at most, whatever the model takes

# 1 - cosine, and relative difference of length, where nothing was measured (core/space/tolerance.py). Over minilm and
# multilingual-e5-small-q4 bfloat16 moves a canary by 4.5e-5 at most; the least noise on the weights that costs a
# twentieth of the top ten moves it by 1.3e-3 (benchmarks/space_mutations).
TOLERANCE = 2e-4


def canary_texts(encoder: Encoder) -> dict[str, str]:
    """The texts for a model, each with its context ("" for most): the short ones first, the two at its length limit last."""
    limit = min(encoder.space.max_tokens, _LONGEST)
    texts = dict.fromkeys((*SHORT, *_OTHERS), "") | _WITH_CONTEXT
    return texts | dict.fromkeys((_as_long_as(encoder, limit), _as_long_as(encoder, limit + 1)), "")


def _as_long_as(encoder: Encoder, tokens: int) -> str:
    """A text that is, as a passage, of so many tokens, or of the fewest more that its words allow."""
    share = 1 + max(0, tokens - encoder.count_tokens("", "passage")) // len(_PARTS)
    long = "".join(
        _beginning(encoder, part * (1 + share // 4), share) for part in _PARTS
    )  # a part has more than 4 tokens
    while encoder.count_tokens(long, "passage") < tokens:  # some were joined where the parts meet
        long += " a"
    ends = [*encoder.token_starts(long)[1:].tolist(), len(long)]
    enough = bisect_left(ends, tokens, key=lambda end: encoder.count_tokens(long[:end], "passage"))
    return long[: ends[enough]]


def _beginning(encoder: Encoder, text: str, tokens: int) -> str:
    starts = encoder.token_starts(text)
    return text[: starts[tokens]] if tokens < len(starts) else text


@dataclass(frozen=True, slots=True)
class Canaries:
    """Texts, their contexts, and their vectors: float32, texts × dimension, one array a side; `tokens`: of each side, the
    ids of every text as the model took it, where the encoder could say.
    """

    texts: tuple[str, ...]
    query: NDArray[np.float32]
    passage: NDArray[np.float32]
    contexts: tuple[str, ...] = ()
    tokens: Mapping[Side, tuple[NDArray[np.int32], ...]] = field(default_factory=dict, repr=False)

    def vectors(self, side: Side) -> NDArray[np.float32]:
        return self.query if side == "query" else self.passage

    def inputs(self, space: Space, side: Side) -> list[str]:
        """The texts as a model of this space is given them, its prompt aside."""
        if side == "query" or not any(self.contexts):
            return list(self.texts)
        return [space.fill_template(*pair) for pair in zip(self.contexts, self.texts, strict=True)]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two sets of canary vectors agree: the worst 1 - cosine and the worst relative difference of length."""

    texts: int
    worst_distance: float
    worst_length: float
    mean_cosine: float
    tolerance: float

    @property
    def agrees(self) -> bool:
        return self.texts > 0 and self.worst_distance <= self.tolerance and self.worst_length <= self.tolerance

    @property
    def nearly(self) -> bool:
        """Near enough for a runtime's rounding to be the reason."""
        return max(self.worst_distance, self.worst_length) <= 0.05

    def to_json(self) -> dict[str, Any]:
        return {
            "agrees": self.agrees,
            "texts": self.texts,
            "worst_distance": self.worst_distance,
            "worst_length": self.worst_length,
            "mean_cosine": self.mean_cosine,
            "tolerance": self.tolerance,
        }


def embed_canaries(encoder: Encoder, texts: Mapping[str, str]) -> Canaries:
    """`texts`: each with its context. Both sides are embedded."""
    asked = Canaries(tuple(texts), *(np.zeros((0, 0), dtype=np.float32),) * 2, tuple(texts.values()))
    inputs = {side: asked.inputs(encoder.space, side) for side in SIDES}
    vectors = {side: encoder.embed(inputs[side], side) for side in SIDES}
    tokens: dict[Side, tuple[NDArray[np.int32], ...]] = {}
    for side in SIDES:
        if ids := encoder.token_ids(inputs[side], side):
            tokens[side] = tuple(np.array(one, dtype=np.int32) for one in ids)
    return Canaries(asked.texts, vectors["query"], vectors["passage"], asked.contexts, tokens)


def compare(
    stored: Mapping[Side, NDArray[np.float32]], now: Mapping[Side, NDArray[np.float32]], tolerance: float
) -> Agreement:
    """Compare vectors of the same texts, side by side. Another shape, or a value that is no number, agrees with nothing."""
    texts, distance, length, cosines = 0, 0.0, 0.0, []
    for side, new in now.items():
        old = stored[side]
        texts += len(new)
        if old.shape != new.shape or not np.isfinite(new).all() or not np.isfinite(old).all():
            return Agreement(texts, 2.0, 1.0, 0.0, tolerance)
        a, b = old.astype(np.float64), new.astype(np.float64)
        lengths_a, lengths_b = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
        cosine = (a * b).sum(axis=1) / np.maximum(lengths_a * lengths_b, 1e-30)
        distance = max(distance, float((1 - cosine).max(initial=0)))
        length = max(length, float((abs(lengths_a - lengths_b) / np.maximum(lengths_a, 1e-30)).max(initial=0)))
        cosines.extend(cosine.tolist())
    return Agreement(texts, distance, length, float(np.mean(cosines)) if cosines else 0.0, tolerance)

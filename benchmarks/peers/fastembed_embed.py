"""fastembed over an exported model: python fastembed_embed.py ONNX_FOLDER TEXTS.json OUT.npy DIMENSION. Prints the seconds."""

import json
import sys
import time

import numpy as np
from fastembed import TextEmbedding
from fastembed.common.model_description import ModelSource, PoolingType


def main() -> None:
    folder, texts, out, dimension = sys.argv[1:]
    TextEmbedding.add_custom_model(
        model="local/model",
        pooling=PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(hf="local/model"),
        dim=int(dimension),
        model_file="model.onnx",
    )
    model = TextEmbedding("local/model", specific_model_path=folder)
    with open(texts, encoding="utf-8") as file:
        texts = json.load(file)
    list(model.embed(texts[:4]))
    start = time.perf_counter()
    vectors = np.array(list(model.embed(texts)), dtype=np.float32)
    print(json.dumps({"seconds": time.perf_counter() - start}))
    np.save(out, vectors)


if __name__ == "__main__":
    main()

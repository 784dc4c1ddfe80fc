"""bm25s: load a saved index and answer one query. The arguments: FOLDER, QUERY; `build` CORPUS FOLDER makes it."""

import json
import sys


def build(corpus: str, folder: str) -> None:
    import bm25s
    import Stemmer

    with open(corpus, "rb") as file:
        rows = [json.loads(line) for line in file.read().split(b"\n") if line.strip()]
    texts = [f"{row['title']}\n{row['text']}" for row in rows]
    tokens = bm25s.tokenize(texts, stopwords="en", stemmer=Stemmer.Stemmer("english"), show_progress=False)
    model = bm25s.BM25(k1=0.9, b=0.4)
    model.index(tokens, show_progress=False)
    model.save(folder)


def query(folder: str, text: str) -> None:
    import bm25s
    import Stemmer

    model = bm25s.BM25.load(folder, mmap=True)
    tokens = bm25s.tokenize(text, stopwords="en", stemmer=Stemmer.Stemmer("english"), show_progress=False)
    rows, scores = model.retrieve(tokens, k=10, show_progress=False)
    print(json.dumps([[int(row), float(score)] for row, score in zip(rows[0], scores[0], strict=True)]))


if __name__ == "__main__":
    build(*sys.argv[2:]) if sys.argv[1] == "build" else query(*sys.argv[1:])

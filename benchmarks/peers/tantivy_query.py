"""tantivy: open an index and answer one query. The arguments: FOLDER, QUERY; `build` CORPUS FOLDER makes it."""

import json
import sys
from pathlib import Path


def build(corpus: str, folder: str) -> None:
    import tantivy

    Path(folder).mkdir(parents=True, exist_ok=True)
    schema = tantivy.SchemaBuilder().add_text_field("text", tokenizer_name="en_stem").add_text_field("id", stored=True)
    index = tantivy.Index(schema.build(), path=folder)
    writer = index.writer()
    with open(corpus, "rb") as file:
        for line in file.read().split(b"\n"):
            if line.strip():
                row = json.loads(line)
                writer.add_document(tantivy.Document(id=row["_id"], text=f"{row['title']}\n{row['text']}"))
    writer.commit()
    writer.wait_merging_threads()


def query(folder: str, text: str) -> None:
    import tantivy

    index = tantivy.Index.open(folder)
    searcher = index.searcher()
    hits = searcher.search(index.parse_query(text, ["text"]), 10).hits
    print(json.dumps([[searcher.doc(address)["id"][0], score] for score, address in hits]))


if __name__ == "__main__":
    build(*sys.argv[2:]) if sys.argv[1] == "build" else query(*sys.argv[1:])

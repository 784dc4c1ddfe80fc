"""A sentence-transformers folder as the ONNX folder that fastembed takes: python export_onnx.py FOLDER OUT

Runs in the project's own environment, with the peers' `onnx` and `onnxscript` on PYTHONPATH.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from transformers import AutoModel


class Hidden(torch.nn.Module):
    def __init__(self, folder: str):
        super().__init__()
        self.model = AutoModel.from_pretrained(folder, attn_implementation="eager")

    def forward(self, input_ids, attention_mask, token_type_ids):
        return self.model(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state


def main() -> None:
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    ones = torch.ones(2, 8, dtype=torch.int64)
    axes = {name: {0: "texts", 1: "tokens"} for name in [*names, "last_hidden_state"]}
    torch.onnx.export(
        Hidden(str(folder)).eval(),
        (ones, ones, ones * 0),
        str(out / "model.onnx"),
        input_names=names,
        output_names=["last_hidden_state"],
        dynamic_axes=axes,
        dynamo=False,
        opset_version=17,
    )
    for path in folder.glob("*.json"):
        shutil.copy(path, out / path.name)
    # fastembed takes its limit from here: the model's own, as sentence-transformers takes it
    config = json.loads((out / "tokenizer_config.json").read_text(encoding="utf-8"))
    limit = json.loads((folder / "sentence_bert_config.json").read_text(encoding="utf-8"))["max_seq_length"]
    (out / "tokenizer_config.json").write_text(json.dumps({**config, "model_max_length": limit}), encoding="utf-8")
    if not (out / "special_tokens_map.json").exists():
        (out / "special_tokens_map.json").write_text("{}")


if __name__ == "__main__":
    main()

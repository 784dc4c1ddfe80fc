"""Tiny models with random weights in sentence-transformers folders: every pooling, several architectures, in no time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

_WORDS = "the river bank otters dig along water money lends interest a of and snow fell lamp keeper light"
WORDS = _WORDS.split()
CHARACTERS = (
    "银行的利率上周又下调了河岸水獭天气很好我们去公园散步吧今同一个模型两版本向量未必在空间里换分词器最大长度"
    "或者池化方式结果都会悄改变请写明存款人并不高兴繁體字與简"
)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def vocabulary() -> list[str]:
    letters = [chr(code) for code in range(33, 127)]
    return list(dict.fromkeys([*SPECIAL, *WORDS, *CHARACTERS, *letters, *(f"##{letter}" for letter in letters)]))


def save_tokenizer(folder: Path) -> None:
    words = vocabulary()
    tokenizer = Tokenizer(models.WordPiece({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", words.index("[CLS]")), ("[SEP]", words.index("[SEP]"))]
    )
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "model_max_length": 64,
                "pad_token": "[PAD]",
                "unk_token": "[UNK]",
                "cls_token": "[CLS]",
                "sep_token": "[SEP]",
                "mask_token": "[MASK]",
            }
        )
    )


def save_model(
    folder: Path, *, kind: str = "bert", pooling: str = "mean", normalize: bool = True, **config: Any
) -> Path:
    """A model of 2 layers, 32 dimensions, 4 heads."""
    import torch
    from transformers import AutoConfig, AutoModel

    folder.mkdir(parents=True, exist_ok=True)
    sizes = {
        "vocab_size": len(vocabulary()),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 80,
        "pad_token_id": 0,
    }
    if kind == "distilbert":
        sizes = {
            "vocab_size": len(vocabulary()),
            "dim": 32,
            "n_layers": 2,
            "n_heads": 4,
            "hidden_dim": 64,
            "pad_token_id": 0,
        }
    torch.manual_seed(7)
    model = AutoModel.from_config(AutoConfig.for_model(kind, **{**sizes, "initializer_range": 0.4, **config}))
    model.save_pretrained(folder)
    save_tokenizer(folder)
    modules = [
        ("", "models.Transformer"),
        ("1_Pooling", "models.Pooling"),
        *([("2_Normalize", "models.Normalize")] * normalize),
    ]
    (folder / "modules.json").write_text(
        json.dumps(
            [
                {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.{name}"}
                for n, (path, name) in enumerate(modules)
            ]
        )
    )
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps(
            {
                "word_embedding_dimension": 32,
                **{f"pooling_mode_{name}": name == _MODES[pooling] for name in _MODES.values()},
            }
        )
    )
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64, "do_lower_case": False}))
    return folder


_MODES = {
    "mean": "mean_tokens",
    "cls": "cls_token",
    "max": "max_tokens",
    "mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "weightedmean": "weightedmean_tokens",
    "lasttoken": "lasttoken",
}


def rewrite(folder: Path, change: Any) -> Path:
    """The same folder with every tensor's name and values as `change(name, tensor)` gives them."""
    path = folder / "model.safetensors"
    tensors = dict(change(name, tensor) for name, tensor in load_file(path).items())
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, path, metadata={"format": "pt"})
    return folder

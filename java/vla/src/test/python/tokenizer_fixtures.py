"""Encodes texts with the nano preset's tokenizer, by Hugging Face's tokenizers and transformers.

    python3 tokenizer_fixtures.py [FOLDER]

Needs torch, tokenizers and transformers. HuggingFacePromptTokenizerTest reads FOLDER/tokenizer.json:
texts and their ids with special tokens, and the ids of the first texts by variants of the file: keys
that take the place of its own. Both libraries must agree before anything is written.
"""

import json
import pathlib
import random
import sys

import tokenizers
import transformers

import fixtures

TOKENIZER = (pathlib.Path(__file__).resolve().parents[2]
             / "main/resources/org/sightline/vla/data/text/nano-tokenizer.json")
PROMPT = "In: What action should the robot take to {}?\nOut:"
TEXTS = [
    "", " ", "  ", "a", " a", "a ", "\n", "\t", "\r\n", "▁", "▁▁a",
    *(PROMPT.format(text) for text in (
        "put carrot on plate", "pick up the black bowl between the plate and the ramekin",
        "put both the alphabet soup and the tomato sauce in the basket", "öffne die schublade",
        "move the yellow spoon 3.5 cm to the left, then stop!", "")),
    "two  spaces\tand\na tab\n\n\nand lines", "UPPER lower MiXeD", "0123456789 42% 1e-5",
    "x" * 200, "the the the the", "thethethe", "robotrobot",
    "naïve café Straße ﬁ ½ ² Å", "e\u0301 combining, \u200b zero width, \ufeff mark, \u00a0 no break",
    "漢字かな交じり文 한국어 العربية עברית हिन्दी", "🙂 👩‍🚀 🇩🇪 𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "\x00\x01\x7f",
    "<s> <unk> </s> <pad> <0x0A>", "<s>x</s>", "a<s>b", "</s>", "<s> <s>▁<s><<s> </s", "the <PAD>🙂",
    "{\"json\": [1, 2]} \\n 'q' `c`",
]
RANDOM_TEXTS = 80
PIECES = [
    *"the robot should put carrot on plate What Out: 3.5 naïve".split(), " ", " ", "  ", "   ", "\n",
    "<s>", "</s>", "<pad>", "<unk", "▁", "🙂", "漢", "e\u0301", "\u200d", "\x00", "\x1b", "\u00a0"]


def metaspace(scheme, split):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}


def variants(file):
    """What Llama's files have, of several ages, beside that of the nano preset."""
    def added(content, normalized):
        vocabulary = file["model"]["vocab"]
        return {"id": vocabulary.get(content, len(vocabulary)), "content": content,
                "single_word": False, "lstrip": False, "rstrip": False, "normalized": normalized,
                "special": True}

    tokens = ["<unk>", "<s>", "</s>", "<PAD>"]
    return [
        {"normalizer": None, "pre_tokenizer": metaspace("first", False)},
        {"normalizer": None, "pre_tokenizer": metaspace("always", True),
         "model": {"ignore_merges": True}},
        {"normalizer": None, "pre_tokenizer": metaspace("never", False),
         "added_tokens": [added(token, True) for token in tokens]},
        {"normalizer": file["normalizer"]["normalizers"][1],
         "added_tokens": [added(token, False) for token in [*tokens, "▁the", "ro"]]},
        {"added_tokens": [added(token, token != "<PAD>") for token in tokens]},
    ]


def encode(file, texts):
    rust = tokenizers.Tokenizer.from_str(json.dumps(file))
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=rust, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        clean_up_tokenization_spaces=False)
    ids = [rust.encode(text).ids for text in texts]
    assert ids == [fast(text)["input_ids"] for text in texts]
    return ids


def main(folder):
    file = json.loads(TOKENIZER.read_text())
    draw = random.Random(1)
    texts = TEXTS + ["".join(draw.choices(PIECES, k=draw.randint(1, 12))) for _ in range(RANDOM_TEXTS)]
    cases = [dict(text=text, ids=ids) for text, ids in zip(texts, encode(file, texts))]
    others = []
    for settings in variants(file):
        changed = {**file, **settings, "model": {**file["model"], **settings.get("model", {})}}
        others.append(dict(settings=settings, ids=encode(changed, TEXTS)))
    fixtures.write_json(folder / "tokenizer.json", cases=cases, variants=others)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else fixtures.default_folder())

"""Encodes texts with the nano preset's tokenizer, by Hugging Face's tokenizers and transformers.

    python3 tokenizer_fixtures.py [FOLDER]

Needs torch, tokenizers and transformers. HuggingFacePromptTokenizerTest reads FOLDER/tokenizer.json:
texts, their ids with special tokens, and what the ids decode to without them. Both libraries must
agree before anything is written.
"""

import pathlib
import sys

import tokenizers
import transformers

import fixtures

TOKENIZER = (pathlib.Path(__file__).resolve().parents[2]
             / "main/resources/org/sightline/vla/data/nano-tokenizer.json")
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
    "<s> <unk> </s> <pad> <0x0A>", "<s>x</s>", "a<s>b", "</s>", "{\"json\": [1, 2]} \\n 'q' `c`",
]


def main(folder):
    rust = tokenizers.Tokenizer.from_file(str(TOKENIZER))
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(TOKENIZER), bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        unk_token="<unk>", clean_up_tokenization_spaces=False)
    cases = []
    for text in TEXTS:
        ids = rust.encode(text).ids
        decoded = rust.decode(ids)
        assert fast(text)["input_ids"] == ids, text
        assert fast.decode(ids, skip_special_tokens=True) == decoded, text
        cases.append(dict(text=text, ids=ids, decoded=decoded))
    fixtures.write_json(folder / "tokenizer.json", cases=cases)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else fixtures.default_folder())

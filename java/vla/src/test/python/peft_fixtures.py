"""Writes down which modules PEFT adapts for a configuration, with which rank and scaling, and which
configurations change more than that.

    PYTHONHASHSEED=0 python3 peft_fixtures.py [FOLDER]

Needs torch, transformers, timm, peft and safetensors. PeftParityTest reads FOLDER/peft.json:

    modules    every layer that LoRA could wrap, of the model of openvla_fixtures.py
    adapted    configurations as PEFT saves them; for each the modules it wrapped: [rank, scaling]
    refused    configurations PEFT can save that do more than add B·A; the key that says so
"""

import copy
import json
import pathlib
import sys

import peft
import torch
from peft.tuners.lora import LoraLayer

import fixtures
import openvla_fixtures

LLM = "language_model.model.layers"


def adapted():
    """Settings of LoraConfig."""
    def names(*targets, **others):
        return dict(target_modules=list(targets), **others)

    yield dict(target_modules="all-linear")
    yield dict(target_modules="ALL-LINEAR", exclude_modules=["lm_head", "proj"])
    yield dict(target_modules="all-linear", exclude_modules=r"vision_backbone\..*")
    yield names("q_proj")
    yield names("proj", "fc1")
    yield names("attn.proj", "mlp.fc1")
    yield names(f"{LLM}.1.mlp.up_proj", "fc3")
    yield dict(target_modules=r".*_proj")
    yield dict(target_modules=r"(?P<tower>.*)\.blocks\.[02]\.attn\.(qkv|proj)")
    yield dict(target_modules=r"lm_head|.*\.lm_head")
    yield names("q_proj", "v_proj", exclude_modules=["layers.1.self_attn.q_proj"])
    yield names("qkv", exclude_modules=r".*featurizer\.blocks\.1\..*")
    yield names("proj", "q_proj", layers_to_transform=1)
    yield names("proj", "q_proj", layers_to_transform=[0, 2])
    yield names("proj", "q_proj", layers_to_transform=[2], layers_pattern="layers")
    yield names("proj", "q_proj", layers_to_transform=[2], layers_pattern=["h", "blocks"])
    yield names("fc1", "projector.fc2", f"{LLM}.1.self_attn.k_proj", layers_to_transform=[0])
    yield names("q_proj", "k_proj", "lm_head", r=4, lora_alpha=3, use_rslora=True,
                rank_pattern={"q_proj": 6, f"{LLM}.2.self_attn.q_proj": 2},
                alpha_pattern={"lm_head": 7, "k_proj": 5})
    yield names("q_proj", "k_proj", r=4, lora_alpha=3,
                rank_pattern={r"layers\.[01]\.self_attn\.(q|k)_proj": 5, "_proj": 9, "k_proj": 6},
                alpha_pattern={f"{LLM}.0.self_attn.q_proj": 1, ".*q_proj": 2})
    yield names("qkv", "proj", "kv", "q",
                rank_pattern={"q": 3, "kv": 5, "attn.proj": 2, r"patch_embed\.proj": 1})
    yield names("q_proj", rank_pattern={r"^language_model\.model\.layers\.0\.self_attn\.q_proj": 3})


def refused():
    """Settings of LoraConfig, the key in question."""
    for key, value in (
            ("use_dora", True), ("lora_bias", True), ("bias", "all"), ("bias", "lora_only"),
            ("fan_in_fan_out", True), ("modules_to_save", ["embed_tokens"]),
            ("trainable_token_indices", [1, 2]), ("layer_replication", [(0, 2), (1, 3)]),
            ("init_lora_weights", "pissa"), ("init_lora_weights", "olora"),
            ("target_parameters", ["mlp.weight"]), ("use_qalora", True)):
        yield {"target_modules": ["q_proj"], key: value}, key


def saved(config):
    """adapter_config.json of a configuration."""
    values = {**config.to_dict(), "inference_mode": True}
    return {k: sorted(v) if isinstance(v, set) else v for k, v in values.items()}


def main(folder):
    model = openvla_fixtures.OpenVla()
    layers = [name for name, module in model.named_modules()
              if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d))]
    cases = []
    for settings in adapted():
        wrapped = peft.get_peft_model(copy.deepcopy(model), peft.LoraConfig(**settings))
        found = {
            name.removeprefix("base_model.model."): [module.r["default"], module.scaling["default"]]
            for name, module in wrapped.named_modules() if isinstance(module, LoraLayer)}
        cases.append(dict(config=saved(wrapped.peft_config["default"]), modules=found))
    others = [dict(config=saved(peft.LoraConfig(**settings)), key=key)
              for settings, key in refused()]
    fixtures.write_json(folder / "peft.json", modules=layers, adapted=cases, refused=others)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else fixtures.default_folder("core"))

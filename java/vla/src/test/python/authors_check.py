"""Holds fixtures against the code that the models' authors published, where a clone of it lies.

    python3 authors_check.py [--radio DIR] [--dinov2 DIR] [--openvla DIR] [FOLDER]

The fixtures come from libraries (timm, transformers) in arrangements written out in the scripts:
RADIO's patch generator, OpenVLA's joining of its parts. This loads the fixtures' weights into the
authors' own modules and compares what these compute. It proves that the arrangements are theirs; it
says nothing of Sightline. Last run with NVlabs/RADIO c0f3701 (2026-05), facebookresearch/dinov2
b8931f7 (2025-08) and openvla/openvla c8f03f4 (2025-03), each difference below 1e-6 of the norm.

Needs what the fixture scripts need, and einops for RADIO.
"""

import argparse
import json
import pathlib
import sys
import types

import timm
import torch
import transformers
from safetensors.torch import load_file

import fixtures

TOLERANCE = 1e-6


def compare(what, found, expected):
    error = ((found - expected).norm() / expected.norm()).item()
    print(f"{what}: {error:.1e}")
    if not error < TOLERANCE:
        sys.exit(f"{what}: error {error}, expected below {TOLERANCE}")


def fixture(folder):
    shape = folder / "fixture.json"
    return (json.loads(shape.read_text()) if shape.exists() else None,
            load_file(folder / "model.safetensors"), load_file(folder / "expected.safetensors"))


def pairs(expected):
    for name in sorted(expected):
        if name.startswith("input."):
            yield name, expected[name], expected[name.replace("input.", "features.")]


@torch.no_grad()
def radio(clone, folder):
    """RADIO's input conditioner and patch generator; blocks are timm's there, too."""
    sys.path.insert(0, str(clone))
    package = types.ModuleType("radio")  # without its __init__, which wants every model's package
    package.__path__ = [str(clone / "radio")]
    sys.modules["radio"] = package
    from radio.input_conditioner import InputConditioner
    from radio.vit_patch_generator import ViTPatchGenerator

    for name in ("c-radio", "c-radio-h"):
        shape, weights, expected = fixture(folder / "teachers" / name)
        strip = "radio_model.model."
        blocks = timm.models.vision_transformer.VisionTransformer(
            img_size=shape["image_size"], patch_size=shape["patch_size"],
            embed_dim=shape["width"], depth=shape["depth"], num_heads=shape["heads"],
            mlp_ratio=shape["mlp_width"] / shape["width"], num_classes=0,
            init_values=1e-5 if shape["layer_scale"] else None).eval().blocks
        blocks.load_state_dict({
            k.removeprefix(strip + "blocks.").replace("grandma", "gamma"): v
            for k, v in weights.items() if k.startswith(strip + "blocks.")})
        generator = ViTPatchGenerator(
            shape["patch_size"], shape["width"], input_dims=shape["patch_size"],
            max_input_dims=shape["image_size"], cls_token=True, num_cls_tokens=4,
            register_multiple=8).eval()
        generator.load_state_dict({
            k.removeprefix(strip + "patch_generator."): v
            for k, v in weights.items() if k.startswith(strip + "patch_generator.")})
        conditioner = InputConditioner(
            1.0, *(weights[f"radio_model.input_conditioner.norm_{k}"] for k in ("mean", "std")))
        for key, image, features in pairs(expected):
            found = blocks(generator(conditioner(image)))[:, generator.num_skip:]
            compare(f"{name} {key}", found, features)


@torch.no_grad()
def dinov2(clone, folder):
    """The hub's model on timm's weights, whose resampled positions the paper's code puts in."""
    sys.path.insert(0, str(clone))
    from dinov2.models.vision_transformer import DinoVisionTransformer

    for name in ("dinov2-timm", "dinov2-timm-swiglu"):
        shape, weights, expected = fixture(folder / "teachers" / name)
        gated = shape.get("swiglu", False)
        ours = ("mlp.fc1", "mlp.fc2")
        theirs = ("mlp.w12", "mlp.w3") if gated else ours
        for key, image, features in pairs(expected):
            grid = image.shape[-1] // shape["patch_size"]
            model = DinoVisionTransformer(
                img_size=image.shape[-1], patch_size=shape["patch_size"], embed_dim=shape["width"],
                depth=shape["depth"], num_heads=shape["heads"], init_values=1.0,
                mlp_ratio=3 if gated else shape["mlp_width"] / shape["width"],
                ffn_layer="swiglufused" if gated else "mlp", block_chunks=0).eval()
            state = {k.replace(ours[0], theirs[0]).replace(ours[1], theirs[1]): v
                     for k, v in weights.items()}
            state["mask_token"] = torch.zeros(1, shape["width"])
            state["pos_embed"] = timm.layers.resample_abs_pos_embed(
                state["pos_embed"], new_size=[grid, grid], num_prefix_tokens=1,
                interpolation="bicubic", antialias=True)
            model.load_state_dict(state)
            compare(f"{name} {key}", model.forward_features(image)["x_norm_patchtokens"], features)


@torch.no_grad()
def openvla(clone, folder):
    """OpenVLA's remote code with two small towers instead of timm's named ones."""
    import openvla_fixtures as made

    # It insists on timm 0.9 and transformers 4; what it uses of them is unchanged.
    timm.__version__ = "0.9.16"
    towers = [made.tower(made.DINO, init_values=1e-5, reg_tokens=made.REGISTERS,
                         no_embed_class=True),
              made.tower(made.SIGLIP, class_token=False, global_pool="map")]
    timm.create_model = lambda *args, **kwargs: towers.pop(0)
    sys.path.insert(0, str(clone / "prismatic" / "extern"))
    package = types.ModuleType("hf")
    package.__path__ = [str(clone / "prismatic" / "extern" / "hf")]
    sys.modules["hf"] = package
    from hf import modeling_prismatic as theirs

    # timm 1 gives a list where 0.9 gave a tuple.
    theirs.unpack_tuple = lambda call: lambda *args, **kwargs: call(*args, **kwargs)[0]
    _, weights, expected = fixture(folder / "openvla" / "plain")
    text = transformers.LlamaConfig(**made.config_json()["text_config"])

    class Model(torch.nn.Module):
        """PrismaticForConditionalGeneration without what transformers 4 did around it."""

        forward = theirs.PrismaticForConditionalGeneration.forward

        def __init__(self):
            super().__init__()
            self.config = types.SimpleNamespace(
                output_attentions=False, output_hidden_states=True, use_return_dict=True)
            self.vision_backbone = theirs.PrismaticVisionBackbone(
                True, [made.IMAGE, made.IMAGE], ["", ""], [None, None])
            self.projector = theirs.PrismaticProjector(
                True, self.vision_backbone.embed_dim, made.HIDDEN)
            self.language_model = transformers.LlamaForCausalLM(text)

        def get_input_embeddings(self):
            return self.language_model.get_input_embeddings()

    model = Model().eval()
    model.load_state_dict(weights)
    names = ("pixel_values", "input_ids", "attention_mask", "labels")
    result = model(**{name: expected[name] for name in names})
    compare("openvla loss", result.loss, expected["loss"])
    compare("openvla logits", made.labelled(result.logits, expected["labels"]), expected["logits"])
    for i, states in enumerate(result.hidden_states):
        real = expected["attention_mask"].sum(1) + states.shape[1] - expected["labels"].shape[1]
        for row, length in enumerate(real):
            compare(f"openvla layer {i}, row {row}", states[row, :length],
                    expected[f"hidden.{i}"][row, :length])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    checks = (radio, dinov2, openvla)
    for check in checks:
        parser.add_argument(f"--{check.__name__}", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path, nargs="?", default=fixtures.default_folder())
    arguments = parser.parse_args()
    for check in checks:
        clone = getattr(arguments, check.__name__)
        if clone is not None:
            check(clone, arguments.folder)


if __name__ == "__main__":
    main()

"""Makes tiny random vision teachers with transformers and timm, and the features these compute.

    python3 teacher_fixtures.py [FOLDER]

Needs torch, transformers, timm and safetensors. PublishedTeacherParityTest reads the result. Every
teacher is there at the resolution of its position embedding and at others.
"""

import pathlib
import sys
import tempfile

import timm.layers
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer

import fixtures

WIDTH, DEPTH, HEADS, PATCH, GRID = 12, 2, 3, 2, 5
NATIVE = GRID * PATCH


def images(seed: int, height: int, width: int) -> torch.Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(seed))


def hugging_face(folder, model, prefix_tokens, sizes, encoder=None, **kwargs):
    """A transformers model saved by itself; sizes other than its own are interpolated by it.

    encoder: the part of the model that has the features, where the model is more than that
    """
    fixtures.randomise(model.eval(), seed=1)
    model.save_pretrained(folder)
    expected = {}
    for size in sizes:
        x = images(size, size, size)
        with torch.no_grad():
            states = (encoder or model)(pixel_values=x, **kwargs).last_hidden_state
        expected[f"input.{size}"], expected[f"features.{size}"] = x, states[:, prefix_tokens:]
    fixtures.write(folder, expected=expected)


def dinov2(out):
    # Only at its own size: transformers interpolates otherwise than the paper's code, which uses timm.
    shared = dict(hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS, mlp_ratio=2,
                  image_size=NATIVE, patch_size=PATCH)
    for name, gated in (("dinov2-hf", False), ("dinov2-hf-swiglu", True)):
        config = transformers.Dinov2Config(**shared, use_swiglu_ffn=gated)
        hugging_face(out / name, transformers.Dinov2Model(config), 1, [NATIVE])
    model = transformers.Dinov2ForImageClassification(transformers.Dinov2Config(**shared))
    hugging_face(out / "dinov2-hf-classifier", model, 1, [NATIVE], model.dinov2)
    config = transformers.Dinov2WithRegistersConfig(**shared, num_register_tokens=3)
    model = transformers.Dinov2WithRegistersModel(config)
    hugging_face(out / "dinov2-hf-registers", model, 4, [NATIVE])
    model = transformers.Dinov2WithRegistersForImageClassification(config)
    hugging_face(out / "dinov2-hf-registers-classifier", model, 4, [NATIVE],
                 model.dinov2_with_registers)


def siglip_hugging_face(out):
    shared = dict(hidden_size=WIDTH, intermediate_size=2 * WIDTH + 3, num_hidden_layers=DEPTH,
                  num_attention_heads=HEADS)
    config = transformers.SiglipVisionConfig(**shared, image_size=NATIVE, patch_size=PATCH)
    # The vision half alone, whose names have no prefix since transformers 5 ...
    hugging_face(out / "siglip-hf-vision", transformers.SiglipVisionModel(config), 0, [NATIVE])
    # ... and both halves, as published.
    text = dict(shared, vocab_size=7, max_position_embeddings=4, bos_token_id=1, eos_token_id=2)
    model = transformers.SiglipModel(
        transformers.SiglipConfig(text_config=text, vision_config=config.to_dict()))
    hugging_face(out / "siglip-hf", model, 0, [NATIVE, 3 * PATCH, 8 * PATCH], model.vision_model,
                 interpolate_pos_encoding=True)


def timm_model(size: int, **kwargs) -> VisionTransformer:
    return VisionTransformer(img_size=size, patch_size=PATCH, embed_dim=WIDTH, depth=DEPTH,
                             num_heads=HEADS, num_classes=0, **kwargs).eval()


def timm_fixture(folder, shape, kwargs):
    """Other sizes get a model of their own, its positions resampled as timm loads checkpoints."""
    model = timm_model(NATIVE, **kwargs)
    fixtures.randomise(model, seed=2)
    expected = {}
    for size in (NATIVE, 3 * PATCH, 4 * PATCH, 8 * PATCH):
        other = timm_model(size, **kwargs)
        state = dict(model.state_dict())
        no_class = kwargs.get("no_embed_class", False) or not kwargs.get("class_token", True)
        prefix = 0 if no_class else 1
        state["pos_embed"] = timm.layers.resample_abs_pos_embed(
            state["pos_embed"], new_size=[size // PATCH] * 2, num_prefix_tokens=prefix,
            interpolation="bicubic", antialias=True)
        other.load_state_dict(state)
        x = images(size, size, size)
        with torch.no_grad():
            features = other.forward_features(x)[:, other.num_prefix_tokens:]
        expected[f"input.{size}"], expected[f"features.{size}"] = x, features
    fixtures.write(folder, expected=expected, weights=model.state_dict(), shape=shape)


def shape(family, mlp_width, **others):
    return {"family": family, "image_size": NATIVE, "patch_size": PATCH, "width": WIDTH,
            "depth": DEPTH, "heads": HEADS, "mlp_width": mlp_width, **others}


def timm_teachers(out):
    plain = dict(mlp_ratio=2, init_values=1e-5)
    timm_fixture(out / "dinov2-timm", shape("dinov2", 2 * WIDTH), plain)
    timm_fixture(out / "dinov2-timm-registers", shape("dinov2", 2 * WIDTH, registers=3),
                 dict(plain, reg_tokens=3, no_embed_class=True))
    timm_fixture(out / "dinov2-timm-swiglu", shape("dinov2", 2 * WIDTH, swiglu=True),
                 dict(plain, mlp_ratio=4, mlp_layer=timm.layers.SwiGLUPacked,
                      act_layer=torch.nn.SiLU))
    timm_fixture(out / "siglip-timm", shape("siglip", 2 * WIDTH),
                 dict(mlp_ratio=2, class_token=False, global_pool="map"))


def theia(out):
    """transformers' ViT with Theia's names around it."""
    def vit(size):
        config = transformers.ViTConfig(
            hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS,
            intermediate_size=4 * WIDTH, image_size=size, patch_size=PATCH, layer_norm_eps=1e-12)
        return transformers.ViTModel(config, add_pooling_layer=False).eval()

    model = vit(NATIVE)
    fixtures.randomise(model, seed=3)
    key = "embeddings.position_embeddings"
    expected = {}
    for grid in (GRID, 3, 6, 9):
        state = dict(model.state_dict())
        if grid != GRID:
            # The call of transformers 4.40's interpolate_pos_encoding, which later versions changed.
            table = state[key][:, 1:].reshape(1, GRID, GRID, WIDTH).permute(0, 3, 1, 2)
            scale = (grid + 0.1) / GRID
            table = F.interpolate(table, scale_factor=(scale, scale), mode="bicubic",
                                  align_corners=False)
            assert table.shape[-2:] == (grid, grid)
            table = table.permute(0, 2, 3, 1).reshape(1, grid * grid, WIDTH)
            state[key] = torch.cat((state[key][:, :1], table), dim=1)
        other = vit(grid * PATCH)
        other.load_state_dict(state)
        x = images(grid, grid * PATCH, grid * PATCH)
        with torch.no_grad():
            features = other(pixel_values=x).last_hidden_state[:, 1:]
        size = grid * PATCH
        expected[f"input.{size}"], expected[f"features.{size}"] = x, features
    # As saved, since transformers 5 has other names in memory than in files.
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        saved = load_file(pathlib.Path(folder) / "model.safetensors")
    weights = {f"backbone.model.{name}": value for name, value in saved.items()}
    weights["translator.unused"] = torch.zeros(1)
    fixtures.write(out / "theia", expected=expected, weights=weights,
                   shape=shape("theia", 4 * WIDTH))


def c_radio(out):
    """timm's blocks behind RADIO's patch generator, which is written out here in torch's calls."""
    for name, layer_scale, aligned in (("c-radio", True, False), ("c-radio-h", False, False),
                                       ("c-radio-aligned", True, True)):
        model = timm_model(NATIVE, mlp_ratio=4, init_values=1e-5 if layer_scale else None)
        fixtures.randomise(model, seed=4)
        generator = torch.Generator().manual_seed(5)
        token = 0.7 * torch.randn(8, WIDTH, generator=generator) * fixtures.SMALL
        table = 0.7 * torch.randn(1, GRID * GRID, WIDTH, generator=generator) * fixtures.SMALL
        embedder = torch.randn(WIDTH, 3 * PATCH * PATCH, generator=generator)
        embedder *= fixtures.SMALL / (PATCH * 3**0.5)
        # Not CLIP's, which the published files have: those of the file are to be used.
        mean = torch.tensor([0.45, 0.5, 0.4]).view(3, 1, 1)
        std = torch.tensor([0.25, 0.3, 0.28]).view(3, 1, 1)
        expected = {}
        for rows, columns in ((GRID, GRID), (3, 3), (4, 6), (7, 2), (9, 9)):
            x = torch.rand(2, 3, rows * PATCH, columns * PATCH, generator=generator)
            patches = (x - mean) / std
            patches = patches.reshape(2, 3, rows, PATCH, columns, PATCH)
            patches = patches.permute(0, 2, 4, 1, 3, 5).reshape(2, rows * columns, -1)
            positions = table.reshape(1, GRID, GRID, WIDTH).permute(0, 3, 1, 2)
            if (rows, columns) != (GRID, GRID):
                longer = max(rows, columns)
                positions = F.interpolate(positions, size=(longer, longer), mode="bilinear",
                                          align_corners=aligned)[..., :rows, :columns]
            tokens = F.linear(patches, embedder) + positions.flatten(2).permute(0, 2, 1)
            tokens = torch.cat((token.expand(2, -1, -1), tokens), dim=1)
            with torch.no_grad():
                features = model.blocks(tokens)[:, 8:]
            size = f"{rows * PATCH}x{columns * PATCH}"
            expected[f"input.{size}"], expected[f"features.{size}"] = x, features
        weights = {
            f"radio_model.model.{key.replace('.gamma', '.grandma')}": value
            for key, value in model.state_dict().items() if key.startswith("blocks.")}
        weights |= {
            "radio_model.input_conditioner.norm_mean": mean,
            "radio_model.input_conditioner.norm_std": std,
            "radio_model.summary_idxs": torch.tensor([0, 1, 2]),
            "radio_model.model.patch_generator.cls_token.token": token,
            "radio_model.model.patch_generator.embedder.weight": embedder,
            "radio_model.model.patch_generator.pos_embed": table}
        fixtures.write(
            out / name, expected=expected, weights=weights,
            shape=shape("c-radio", 4 * WIDTH, layer_scale=layer_scale, aligned=aligned))


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else fixtures.default_folder()
    for make in (dinov2, siglip_hugging_face, timm_teachers, theia, c_radio):
        make(out / "teachers")


if __name__ == "__main__":
    main()

"""Makes a tiny random OpenVLA from timm's and transformers' own modules, PEFT adapters of several
kinds for it, and what all of them compute.

    python3 openvla_fixtures.py [FOLDER]

Needs torch, transformers, timm, peft and safetensors. OpenVlaParityTest reads the result:

    plain/config.json, model.safetensors   the model, as HuggingFaceCheckpoint reads it
    plain/expected.safetensors              inputs; hidden states, logits of the labelled tokens and
                                            loss in fp32; logits in bf16; greedy tokens
    plain/adapters/NAME/                    PEFT's own files, and expected.safetensors: logits, loss;
                                            of some merged weights and gradients of the adapter
"""

import copy
import json
import pathlib
import sys

import peft
import torch
import transformers
from timm.models.vision_transformer import VisionTransformer

import fixtures

IMAGE, PATCH = 9, 3
DINO = dict(width=12, depth=3, heads=3, mlp_width=20)
SIGLIP = dict(width=8, depth=3, heads=2, mlp_width=18)
# The projector is four times as wide as what enters it, as PrismaticProjector has it.
REGISTERS, PROJECTOR, HIDDEN, INNER, LAYERS, HEADS = 2, 80, 24, 20, 3, 3
VOCABULARY, PADDING, BINS, BOS, EOS, ALIGNED = 64, 8, 16, 1, 2, 2
MERGED = ("expression-fp16", "patterns")  # fixtures with merged weights; more would only be larger
SUFFIXES = ["qkv", "proj", "fc1", "fc2", "fc3", "q", "kv", "q_proj", "k_proj", "v_proj", "o_proj",
            "gate_proj", "up_proj", "down_proj", "lm_head"]


def tower(shape, **kwargs):
    return VisionTransformer(
        img_size=IMAGE, patch_size=PATCH, embed_dim=shape["width"], depth=shape["depth"],
        num_heads=shape["heads"], mlp_ratio=shape["mlp_width"] / shape["width"], num_classes=0,
        **kwargs)


class Projector(torch.nn.Module):
    def __init__(self, features):
        super().__init__()
        self.fc1 = torch.nn.Linear(features, PROJECTOR)
        self.fc2 = torch.nn.Linear(PROJECTOR, HIDDEN)
        self.fc3 = torch.nn.Linear(HIDDEN, HIDDEN)
        self.act = torch.nn.GELU()

    def forward(self, x):
        return self.fc3(self.act(self.fc2(self.act(self.fc1(x)))))


class Vision(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.featurizer = tower(DINO, init_values=1e-5, reg_tokens=REGISTERS, no_embed_class=True)
        self.fused_featurizer = tower(SIGLIP, class_token=False, global_pool="map")

    def forward(self, pixels):
        """The second-to-last block of each tower, without norm and prefix tokens."""
        outputs = []
        for x, net in ((pixels[:, :3], self.featurizer), (pixels[:, 3:], self.fused_featurizer)):
            (features,) = net.get_intermediate_layers(x, n={len(net.blocks) - 2})
            outputs.append(features)
        return torch.cat(outputs, dim=2)


class OpenVla(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.vision_backbone = Vision()
        self.projector = Projector(DINO["width"] + SIGLIP["width"])
        self.language_model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
            hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=LAYERS,
            num_attention_heads=HEADS, vocab_size=VOCABULARY, max_position_embeddings=64,
            rms_norm_eps=1e-6, bos_token_id=BOS, eos_token_id=EOS, attn_implementation="eager"))

    def forward(self, pixels, ids, mask, labels):
        image = self.projector(self.vision_backbone(pixels))
        text = self.language_model.get_input_embeddings()(ids)
        patches = mask.new_ones(image.shape[:2])
        ignored = labels.new_full(image.shape[:2], -100)
        return self.language_model(
            inputs_embeds=torch.cat([text[:, :1], image, text[:, 1:]], 1),
            attention_mask=torch.cat([mask[:, :1], patches, mask[:, 1:]], 1),
            labels=torch.cat([labels[:, :1], ignored, labels[:, 1:]], 1),
            output_hidden_states=True)


def batch():
    """Two rows, the second padded on the right; three action tokens and EOS are labelled."""
    generator = torch.Generator().manual_seed(5)
    end, lengths, columns = VOCABULARY - PADDING, (10, 8), 10
    ids = torch.full((2, columns), end)
    labels = torch.full((2, columns), -100)
    mask = torch.zeros(2, columns, dtype=torch.long)
    for row, length in enumerate(lengths):
        text = torch.randint(3, end - BINS, (length - 5,), generator=generator)
        actions = torch.randint(end - BINS, end, (3,), generator=generator)
        ids[row, :length] = torch.cat([torch.tensor([BOS]), text, actions, torch.tensor([EOS])])
        labels[row, length - 4:length] = ids[row, length - 4:length]
        mask[row, :length] = 1
    pixels = torch.randn(2, 6, IMAGE, IMAGE, generator=generator)
    return dict(pixel_values=pixels, input_ids=ids, attention_mask=mask, labels=labels)


def vision_json(shape, class_tokens, registers, layer_scale, pool):
    return dict(image_size=IMAGE, patch_size=PATCH, **shape, class_tokens=class_tokens,
                register_tokens=registers, class_position=False, layer_scale=layer_scale,
                attention_pool=pool, layer_norm_eps=1e-6)


def config_json():
    return dict(
        model_type="openvla", use_fused_vision_backbone=True, image_sizes=[IMAGE, IMAGE],
        n_action_bins=BINS, pad_to_multiple_of=PADDING, torch_dtype="float32",
        text_config=dict(
            model_type="llama", hidden_size=HIDDEN, intermediate_size=INNER,
            num_hidden_layers=LAYERS, num_attention_heads=HEADS, vocab_size=VOCABULARY,
            max_position_embeddings=64, rms_norm_eps=1e-6, bos_token_id=BOS),
        sightline=dict(
            preset="parity", dino=vision_json(DINO, 1, REGISTERS, True, False),
            siglip=vision_json(SIGLIP, 0, 0, False, True), projector_width=PROJECTOR,
            aligned_layer=ALIGNED))


def labelled(logits, labels):
    """Logits [n,V] of the tokens whose next one is labelled, row by row."""
    ignored = labels.new_full((len(labels), logits.shape[1] - labels.shape[1]), -100)
    targets = torch.cat([labels[:, :1], ignored, labels[:, 1:]], 1)
    return logits[:, :-1][targets[:, 1:] != -100]


def greedy(model, pixels, ids, count):
    """The most likely tokens one after the other, each by a forward pass over all before it."""
    for _ in range(count):
        mask = torch.ones_like(ids)
        logits = model(pixels, ids, mask, torch.full_like(ids, -100)).logits
        ids = torch.cat([ids, logits[:, -1:].argmax(-1)], 1)
    return ids[:, -count:]


def plain_outputs(model, inputs):
    pixels, ids, _, labels = arguments = tuple(inputs.values())
    expected = dict(inputs)
    with torch.no_grad():
        result = model(*arguments)
        expected |= {"loss": result.loss, "logits": labelled(result.logits, labels)}
        expected |= {f"hidden.{i}": states for i, states in enumerate(result.hidden_states)}
        prompts = ids[:, :5]
        expected |= {"prompts": prompts, "generated": greedy(model, pixels, prompts, 4)}
        # bf16 beside fp32 with the same rounded weights: how exact the library is.
        half = copy.deepcopy(model).to(torch.bfloat16)
        pixels = pixels.to(torch.bfloat16)
        expected["bf16.logits"] = labelled(half(pixels, *arguments[1:]).logits, labels)
        exact = half.float()(pixels.float(), *arguments[1:]).logits
        expected["bf16.exact"] = labelled(exact, labels)
    return expected


def adapters():
    """Settings of PEFT, dtype of the adapter."""
    # Random B too: a fresh adapter would be without effect.
    def lora(**kwargs):
        return peft.LoraConfig(init_lora_weights=False, **kwargs)

    yield "patterns", torch.float32, lora(
        r=3, lora_alpha=2, use_rslora=True, target_modules=SUFFIXES,
        rank_pattern={"layers.1.self_attn.[qk]_proj": 2, "lm_head": 5},
        alpha_pattern={"lm_head": 4, r"blocks\.\d\.attn\.proj": 1})
    yield "all-linear-bf16", torch.bfloat16, lora(r=2, lora_alpha=4, target_modules="all-linear")
    yield "expression-fp16", torch.float16, lora(
        r=2, target_modules=r"language_model\.model\..*\.(?P<kind>q_proj|down_proj)|projector\.fc[13]",
        exclude_modules=r".*\.layers\.1\..*")
    yield "layers", torch.float32, lora(
        r=2, lora_alpha=3, target_modules=["v_proj", "attn.qkv", "projector.fc2"],
        exclude_modules=["blocks.0.attn.qkv", "language_model.model.layers.2.self_attn.v_proj"],
        layers_to_transform=[0, 2], layers_pattern=["blocks", "layers"])


def adapter_outputs(folder, base, inputs, dtype, config):
    adapted = peft.get_peft_model(copy.deepcopy(base), config)
    for name, parameter in adapted.named_parameters():
        if ".lora_" in name:  # as get_peft_model would leave them on a base of that dtype
            parameter.data = parameter.data.to(dtype)
    adapted.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink()
    for name, parameter in adapted.named_parameters():
        if ".lora_" in name:
            parameter.data = parameter.data.float()
    result = adapted(*inputs.values())
    result.loss.backward()
    expected = {"loss": result.loss, "logits": labelled(result.logits, inputs["labels"])}
    for name, parameter in adapted.named_parameters():
        if dtype == torch.float32 and parameter.grad is not None and ".lora_" in name:
            plain = name.removeprefix("base_model.model.").replace(".default.", ".")
            expected[f"gradient.{plain}"] = parameter.grad
    merged = dict(adapted.merge_and_unload().state_dict())
    for name, weight in base.state_dict().items():
        if folder.name in MERGED and not torch.equal(weight, merged[name]):
            expected[f"merged.{name.replace('.gamma', '.scale_factor')}"] = merged[name]
    fixtures.write(folder, expected=expected)


def main(folder):
    model = OpenVla().eval()
    fixtures.randomise(model, seed=1)
    # transformers would rename parameters called gamma, so OpenVLA's file has scale_factor.
    weights = {k.replace(".gamma", ".scale_factor"): v.clone()
               for k, v in model.state_dict().items() if not k.endswith("inv_freq")}
    inputs = batch()
    (folder / "config.json").write_text(json.dumps(config_json(), indent=1) + "\n")
    fixtures.write(folder, expected=plain_outputs(model, inputs), weights=weights)
    for seed, (name, dtype, config) in enumerate(adapters()):
        torch.manual_seed(seed)
        adapter_outputs(folder / "adapters" / name, model, inputs, dtype, config)


if __name__ == "__main__":
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else fixtures.default_folder()
    target = root / "openvla" / "plain"
    target.mkdir(parents=True, exist_ok=True)
    main(target)

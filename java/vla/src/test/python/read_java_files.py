"""Reads what PythonReadsOurFilesTest has written, with the libraries the files are meant for.

    python3 read_java_files.py FOLDER

That test runs this script, and is skipped where this exits with 77: where torch, transformers, timm,
peft or safetensors is missing. A pass proves that

    tensors.safetensors   safetensors reads every dtype, shape and metadata entry
    model/                transformers loads the Llama part through the index of its shards, and the
                          model of openvla_fixtures.py computes the same logits with all weights
    adapters/NAME/        PeftModel.from_pretrained wraps the same modules with the same rank and
                          scaling, holds the same bits, and the adapted model has the same logits
    merged/NAME/          a merged checkpoint has the same logits, and PEFT merges to the same weights
    events/               TensorBoard's own reader finds the scalars; left out, in words, where
                          tensorboard is missing
"""

import json
import pathlib
import sys

try:
    import peft
    import torch
    import transformers
    from peft.tuners.lora import LoraLayer
    from safetensors import safe_open
    from safetensors.torch import load_file

    import openvla_fixtures as made
except ModuleNotFoundError as missing:
    print(missing)
    sys.exit(77)

FP32 = 2e-5  # each side is within 1e-5 of the exact result
MERGED = 8 * 2 ** -24  # one short product and one sum in fp32


def require_equal(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: found {found}, expected {expected}")


def require_close(what, found, expected, tolerance=FP32):
    require_equal(f"{what}, shape", found.shape, expected.shape)
    error = ((found - expected).norm() / expected.norm()).item()
    if not error <= tolerance:
        sys.exit(f"{what}: error {error}, expected at most {tolerance}")


def tensors(folder):
    expected = json.loads((folder / "tensors.json").read_text())
    with safe_open(folder / "tensors.safetensors", "pt") as file:
        require_equal("metadata", file.metadata(), expected["metadata"])
        require_equal("names", sorted(file.keys()), sorted(expected["tensors"]))
        for name, (dtype, shape) in expected["tensors"].items():
            dtype = getattr(torch, dtype)
            count = torch.Size(shape).numel()
            require_equal(f"{name}, dtype", file.get_tensor(name).dtype, dtype)
            # Numbers that every type holds exactly.
            values = (torch.arange(count) % 2 == 1) if dtype == torch.bool else torch.arange(count)
            if not torch.equal(file.get_tensor(name), values.to(dtype).view(shape)):
                sys.exit(f"{name}: found {file.get_tensor(name)}")


def checkpoint(folder):
    """The weights of a folder in shards, by its index."""
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    weights = {}
    for shard in sorted(set(index["weight_map"].values())):
        part = load_file(folder / shard)
        require_equal(f"{shard}, tensors", sorted(part),
                      sorted(k for k, v in index["weight_map"].items() if v == shard))
        weights |= part
    size = sum(v.numel() * v.element_size() for v in weights.values())
    require_equal("total_size", index["metadata"]["total_size"], size)
    return weights


def model_of(weights):
    model = made.OpenVla().eval()
    model.load_state_dict(
        {k.replace(".scale_factor", ".gamma"): v for k, v in weights.items()})
    return model


def run(model, inputs):
    names = ("pixel_values", "input_ids", "attention_mask", "labels")
    with torch.no_grad():
        result = model(**dict(zip(("pixels", "ids", "mask", "labels"), map(inputs.get, names))))
    return made.labelled(result.logits, inputs["labels"])


def base(folder, inputs):
    weights = checkpoint(folder / "model")
    model = model_of(weights)
    require_close("model, logits", run(model, inputs), inputs["logits"])
    config = json.loads((folder / "model" / "config.json").read_text())["text_config"]
    llama, report = transformers.LlamaForCausalLM.from_pretrained(
        folder / "model", config=transformers.LlamaConfig(**config), output_loading_info=True,
        key_mapping={r"^language_model\.": ""})
    require_equal("Llama, missing", sorted(report["missing_keys"]), [])
    for name, value in llama.state_dict().items():
        if not torch.equal(value, weights["language_model." + name]):
            sys.exit(f"Llama, {name}: other bits")
    return weights


def adapter(folder, merged, weights, inputs):
    name = folder.name
    expected = load_file(folder / "expected.safetensors")
    stored = load_file(folder / "adapter_model.safetensors")
    adapted = peft.PeftModel.from_pretrained(model_of(weights), folder).eval()
    live = {k.replace(".default.", "."): v for k, v in adapted.state_dict().items()
            if ".lora_" in k}
    require_equal(f"{name}, tensors", sorted(live), sorted(stored))
    for key, value in stored.items():
        if not torch.equal(live[key], value.to(live[key].dtype)):
            sys.exit(f"{name}, {key}: other bits")
    settings = {k.removeprefix("base_model.model."): [m.r["default"], m.scaling["default"]]
                for k, m in adapted.named_modules() if isinstance(m, LoraLayer)}
    require_equal(f"{name}, rank and scaling", settings,
                  json.loads((folder / "expected.json").read_text()))
    require_close(f"{name}, logits", run(adapted, inputs), expected["logits"])
    ours = checkpoint(merged / name)
    require_close(f"{name}, merged logits", run(model_of(ours), inputs), expected["logits"])
    for key, value in adapted.merge_and_unload().state_dict().items():
        key = key.replace(".gamma", ".scale_factor")
        require_close(f"{name}, merged {key}", ours[key], value, MERGED)


def events(folder):
    try:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    except ModuleNotFoundError as missing:
        print(f"events: not read, {missing}")
        return
    expected = json.loads((folder / "events.json").read_text())
    (file,) = folder.glob("*tfevents*")
    found = {}
    for event in EventFileLoader(str(file)).Load():
        for value in event.summary.value:
            (scalar,) = value.tensor.float_val or [value.simple_value]
            found.setdefault(value.tag, []).append([event.step, scalar])
    require_equal("events", found, expected)
    print(f"events: {len(found)} tags read by TensorBoard")


def main(folder):
    transformers.logging.set_verbosity_error()  # of the weights that are no Llama's
    transformers.logging.disable_progress_bar()
    inputs = load_file(folder / "inputs.safetensors")
    tensors(folder)
    weights = base(folder, inputs)
    folders = sorted((folder / "adapters").iterdir())
    for one in folders:
        adapter(one, folder / "merged", weights, inputs)
    events(folder / "events")
    print(f"{len(folders)} adapters read by peft {peft.__version__}, transformers "
          f"{transformers.__version__}, torch {torch.__version__}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

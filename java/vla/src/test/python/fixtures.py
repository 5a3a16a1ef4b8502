"""What the fixture scripts share: random weights, and the files a Java test reads.

A fixture is a folder:

    config.json          as the library saves it, or
    fixture.json         the shape, where the library has no such file
    model.safetensors    the weights, under the library's names
    expected.safetensors what goes in and what the library makes of it
    origin.json          the script that made it, and the versions of the libraries it used

Models are tiny and random, so that a fixture is some ten kB and can be committed. All of them are
made anew by

    for script in openvla teacher peft tokenizer image training; do
      PYTHONHASHSEED=0 python3 java/vla/src/test/python/${script}_fixtures.py
    done

where torch, torchvision, transformers, timm, peft and safetensors are. What a script makes depends
on nothing but its seeds and the libraries' versions (and, for the order of sets that PEFT writes,
on the hash seed).
"""

import importlib
import json
import math
import pathlib
import platform
import sys
import zlib

import torch
from safetensors.torch import save_file

LIBRARIES = ("torch", "torchvision", "PIL", "transformers", "tokenizers", "timm", "peft", "safetensors")

# Of embeddings: rows that are normalised next have a variance beside which epsilon counts.
SMALL = 0.02


def randomise(module: torch.nn.Module, seed: int) -> None:
    """Weights that leave no term of a formula at 0 or 1 or too small to see; by name."""
    for name, parameter in module.named_parameters():
        generator = torch.Generator().manual_seed(seed + zlib.crc32(name.encode()))
        noise = torch.randn(parameter.shape, generator=generator)
        last = name.rsplit(".", 1)[-1]
        is_factor = parameter.ndim == 1 and last in (
            "weight", "gamma", "grandma", "lambda1", "scale_factor")
        if is_factor:
            value = 1 + 0.25 * noise
        elif parameter.ndim == 1:
            value = 0.25 * noise
        elif "token" in last or "pos" in name.lower():
            value = 0.7 * SMALL * noise
        else:
            value = noise / math.sqrt(parameter[0].numel()) * (SMALL if "embed" in name else 1)
        with torch.no_grad():
            parameter.copy_(value)


def write(folder: pathlib.Path, *, expected: dict, weights: dict | None = None,
          shape: dict | None = None, **origins) -> None:
    """Writes what a library's own save_pretrained has not written yet."""
    folder.mkdir(parents=True, exist_ok=True)
    if weights is not None:
        save_file({k: v.detach().contiguous() for k, v in weights.items()},
                  folder / "model.safetensors", metadata={"format": "pt"})
    if shape is not None:
        (folder / "fixture.json").write_text(json.dumps(shape, indent=1) + "\n")
    save_file({k: v.detach().contiguous() for k, v in expected.items()},
              folder / "expected.safetensors", metadata={"format": "pt"})
    (folder / "origin.json").write_text(json.dumps(origin(**origins), indent=1) + "\n")
    print(f"{folder}: {sum(f.stat().st_size for f in folder.iterdir()) / 1000:.0f} kB")


def write_json(file: pathlib.Path, **content) -> None:
    """A fixture that is one file: what is given, and "origin"."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [f'"{key}": {_lines(value)}' for key, value in {"origin": origin(), **content}.items()]
    file.write_text("{\n" + ",\n".join(rows) + "\n}\n")
    print(f"{file}: {file.stat().st_size / 1000:.0f} kB")


def _lines(value) -> str:
    """A list with one line for each element, so that a change shows where it is."""
    if not isinstance(value, list):
        return json.dumps(value)
    return "[\n" + ",\n".join(json.dumps(element) for element in value) + "\n]"


def origin(**others) -> dict:
    """The script that runs, and the versions of the libraries it has imported."""
    versions = {"script": pathlib.Path(sys.argv[0]).name, "python": platform.python_version()}
    for name in LIBRARIES:
        if name in sys.modules:
            versions[name] = importlib.import_module(name).__version__
    return versions | others


def default_folder(module: str = "vla") -> pathlib.Path:
    """java/MODULE/src/test/fixtures, where the module's tests look."""
    return pathlib.Path(__file__).resolve().parents[4] / module / "src/test/fixtures"

"""Images through PIL, torchvision and torch.

    python3 image_fixtures.py [FOLDER]

Needs torch, torchvision, PIL and safetensors. ImageParityTest reads FOLDER/images.safetensors; N is
a number, images are uint8 [H,W,3], the same in floats [3,H,W] or [H,W,3] with values in [0,1]:

    lanczos.N.input, .exact     PIL's LANCZOS in fp32, before rounding to bytes
    normal.input, .pixels       torchvision's to_tensor and normalize, with both towers' constants
    crop.N.input, .box, .exact  grid_sample of top, left, side (shares of the image), corners aligned
    hue.N.delta, .exact         torchvision's adjust_hue of "colours"
    saturation.N.factor, .exact colorsys, HSV saturation times the factor, of "colours"
    jpeg.N.encoded, .decoded    PIL's decoder (libjpeg-turbo, accurate DCT), CMYK as by TensorFlow
"""

import colorsys
import io
import pathlib
import sys

import numpy
import torch
import torch.nn.functional as F
import torchvision.transforms.functional as TVF
from PIL import Image
from safetensors.torch import save_file

import fixtures

GENERATOR = numpy.random.default_rng(11)
# As OpenVLA's preprocessor_config.json has them: ImageNet's rounded to bf16, and SigLIP's.
CONSTANTS = (((0.484375, 0.455078125, 0.40625), (0.228515625, 0.2236328125, 0.224609375)),
             ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))


def noise(height, width):
    return GENERATOR.integers(0, 256, (height, width, 3), dtype=numpy.uint8)


def scene(height, width):
    """Smooth, with an edge, as JPEG is made for."""
    y, x = numpy.mgrid[:height, :width] / max(height, width)
    planes = [128 + 100 * numpy.sin(5 * x + k) * numpy.cos(3 * y - k) for k in range(3)]
    image = numpy.stack(planes, -1)
    image[height // 3:height // 2, width // 4:] += 60
    return image.clip(0, 255).astype(numpy.uint8)


def lanczos():
    for (height, width), (to_height, to_width) in (
            ((24, 31), (10, 10)), ((9, 7), (16, 16)), ((30, 8), (13, 13)), ((40, 40), (7, 7)),
            ((12, 12), (12, 5))):
        image = noise(height, width)
        planes = [Image.fromarray(image[..., c].astype(numpy.float32)).resize(
            (to_width, to_height), Image.Resampling.LANCZOS) for c in range(3)]
        yield dict(input=image, exact=numpy.stack([numpy.asarray(p) for p in planes], -1))


def normal():
    image = noise(8, 8)
    # The processor's own resize has nothing to do at the model's size.
    picture = Image.fromarray(image)
    same = TVF.resize(picture, [8, 8], TVF.InterpolationMode.BICUBIC, antialias=True)
    assert numpy.array_equal(numpy.asarray(same), image)
    planes = [TVF.normalize(TVF.to_tensor(picture), mean, std) for mean, std in CONSTANTS]
    return dict(input=image, pixels=torch.cat(planes))


def crops():
    for top, left, side, (height, width) in (
            (0.0, 0.0, 0.9486833, (10, 10)), (0.05, 0.02, 0.9486833, (9, 12)),
            (0.0257, 0.0257, 0.9486833, (14, 14)), (0.3, 0.1, 0.5, (7, 11))):
        image = noise(height, width)
        rows = 2 * (top + side * torch.linspace(0, 1, height, dtype=torch.float64)) - 1
        columns = 2 * (left + side * torch.linspace(0, 1, width, dtype=torch.float64)) - 1
        grid = torch.stack([columns.expand(height, -1), rows[:, None].expand(-1, width)], -1)
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].double() / 255
        exact = F.grid_sample(pixels, grid[None], "bilinear", "border", align_corners=True)
        yield dict(input=image, box=numpy.array([top, left, side], numpy.float32),
                   exact=exact[0].permute(1, 2, 0).float())


def colours():
    """Greys, primaries, ties and noise, [8,8,3]."""
    values = noise(8, 8).astype(numpy.float32) / 255
    values[0] = values[0, :, :1]
    values[1] = numpy.eye(3, dtype=numpy.float32)[GENERATOR.integers(0, 3, 8)]
    values[2, :, 1] = values[2, :, 0]
    values[3, :4] = 0
    values[3, 4:] = 1
    return values


def hues(values):
    for delta in (0.05, -0.05, 0.31, -0.5):
        exact = TVF.adjust_hue(torch.from_numpy(values).permute(2, 0, 1).double(), delta)
        yield dict(delta=numpy.array([delta], numpy.float32), exact=exact.permute(1, 2, 0).float())


def saturations(values):
    for factor in (0.8, 1.2, 0.0, 3.0):
        exact = numpy.zeros(values.shape, numpy.float32)
        for y, x in numpy.ndindex(values.shape[:2]):
            hue, saturation, value = colorsys.rgb_to_hsv(*values[y, x].astype(float))
            exact[y, x] = colorsys.hsv_to_rgb(hue, min(1, saturation * factor), value)
        yield dict(factor=numpy.array([factor], numpy.float32), exact=exact)


def encode(image, **settings):
    """Four channels are cyan, magenta, yellow and black."""
    picture = Image.fromarray(image)
    if image.shape[2:] == (4,):
        picture = Image.merge("CMYK", [Image.fromarray(image[..., c]) for c in range(4)])
    stream = io.BytesIO()
    picture.save(stream, "JPEG", **settings)
    return stream.getvalue()


def edited(encoded, *changes):
    for old, new in changes:
        assert encoded.count(old) == 1, old
        encoded = encoded.replace(old, new)
    return encoded


def adobe(transform):
    return b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform])


def encoded_jpegs():
    for image, settings in (
            (scene(40, 48), dict(quality=90, subsampling="4:2:0")),
            (scene(33, 29), dict(quality=75, subsampling="4:2:0")),
            (scene(24, 40), dict(quality=95, subsampling="4:2:2")),
            (scene(17, 23), dict(quality=85, subsampling="4:4:4")),
            (scene(32, 32), dict(quality=80, subsampling="4:2:0", progressive=True)),
            (scene(20, 20)[..., 0], dict(quality=90))):
        yield encode(image, **settings)
    small = scene(9, 11)
    restarting = encode(small, subsampling="4:2:2", restart_marker_blocks=1)
    assert b"\xff\xd0" in restarting
    yield restarting
    yield encode(small[..., 0], progressive=True)
    # The rest is not written by Pillow: what tells colours and sampling is changed.
    jfif = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
    plain = encode(small, subsampling="4:4:4")
    yield edited(plain, (jfif, b""))
    for transform in 0, 1, 2:
        yield edited(plain, (jfif, adobe(transform)))
    yield edited(plain, (jfif, jfif + adobe(0)))
    yield edited(plain, (jfif, b""), (b"\1\x11\0\2\x11\1\3\x11", b"R\x11\0G\x11\1B\x11"),
                 (b"\1\0\2\x11\3\x11", b"R\0G\x11B\x11"))
    yield edited(encode(scene(9, 25), subsampling="4:2:0"), (b"\1\x22\0", b"\1\x41\0"))  # 4:1:1
    inks = encode(numpy.dstack([small, 255 - small[..., ::-1, 0]]))
    for transform in 0, 2:
        yield edited(inks, (adobe(0), adobe(transform)))


def jpegs():
    for encoded in encoded_jpegs():
        picture = Image.open(io.BytesIO(encoded))
        decoded = numpy.asarray(picture if picture.mode == "CMYK" else picture.convert("RGB"))
        if picture.mode == "CMYK":  # As TensorFlow combines what each ink leaves of white.
            left = 255 - decoded.astype(int)
            decoded = (left[..., :3] * left[..., 3:] // 255).astype(numpy.uint8)
        yield dict(encoded=numpy.frombuffer(encoded, numpy.uint8), decoded=decoded)


def numbered(name, cases):
    return {f"{name}.{i}.{key}": value
            for i, case in enumerate(cases) for key, value in case.items()}


def main(folder):
    values = colours()
    tensors = {"colours": values, **{f"normal.{k}": v for k, v in normal().items()}}
    tensors |= numbered("lanczos", lanczos()) | numbered("crop", crops())
    tensors |= numbered("hue", hues(values)) | numbered("saturation", saturations(values))
    tensors |= numbered("jpeg", jpegs())
    tensors = {k: torch.as_tensor(numpy.array(v)).contiguous() for k, v in tensors.items()}
    folder.mkdir(parents=True, exist_ok=True)
    versions = {k: str(v) for k, v in fixtures.origin().items()}
    save_file(tensors, folder / "images.safetensors", metadata=versions)
    print(f"{folder}: {(folder / 'images.safetensors').stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else fixtures.default_folder())

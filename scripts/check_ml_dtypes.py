#!/usr/bin/env python3
"""Compares `mbtrain quantize` with ml_dtypes (the casts of JAX and TensorFlow) over every bf16 value: E4M3, E5M2, E2M1 codes, E8M0 scales.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install numpy ml_dtypes
    /tmp/venv/bin/python scripts/check_ml_dtypes.py build/mbtrain

Each recipe's scales are recomputed here from the rules in numpy fp32, then ml_dtypes casts the scaled values. ml_dtypes does not saturate,
so values are clamped to the largest code first; NaN codes are compared as NaN.
"""

import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import ml_dtypes
import numpy as np

F32 = np.float32
F32_MAX = np.finfo(F32).max
FORMATS = {"e4m3": (ml_dtypes.float8_e4m3fn, 448), "e5m2": (ml_dtypes.float8_e5m2, 57344), "e2m1": (ml_dtypes.float4_e2m1fn, 6)}
DTYPES = {"F32": F32, "U8": np.uint8, "BF16": ml_dtypes.bfloat16}


def read(path):
    data = path.read_bytes()
    (n,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + n])
    body = data[8 + n :]
    return {
        k: np.frombuffer(body[slice(*v["data_offsets"])], DTYPES[v["dtype"]]).reshape(v["shape"])
        for k, v in header.items()
        if k != "__metadata__"
    }


def write(path, tensors):
    header, offset = {}, 0
    for name, x in tensors.items():
        header[name] = {"dtype": "BF16", "shape": list(x.shape), "data_offsets": [offset, offset + x.nbytes]}
        offset += x.nbytes
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(x.tobytes() for x in tensors.values()))


def cast(x, fmt):
    """Codes of fp32 x: saturating, NaN as 0x7F (E2M1: +6)."""
    dtype, largest = FORMATS[fmt]
    codes = np.clip(x, -largest, largest).astype(dtype).view(np.uint8)
    codes[np.isnan(x)] = 0x07 if fmt == "e2m1" else 0x7F
    return codes


def block_amax(x, rows, cols):
    """amax of each rows x cols block, partial ones too; NaN is dropped."""
    a = np.where(np.isnan(x), F32(0), np.abs(x))
    a = np.pad(a, [(0, -a.shape[0] % rows), (0, -a.shape[1] % cols)])
    return a.reshape(a.shape[0] // rows, rows, a.shape[1] // cols, cols).max(axis=(1, 3))


def per_element(blocks, shape, rows, cols):
    return blocks.repeat(rows, 0).repeat(cols, 1)[: shape[0], : shape[1]]


def current_scale(amax, largest, power_of_two):
    usable = (amax > 0) & np.isfinite(amax)
    scale = np.minimum(F32(largest) / np.where(usable, amax, F32(1)), F32_MAX)
    if power_of_two:
        scale = (scale.view(np.uint32) & np.uint32(0xFF800000)).view(F32)
    return np.where(usable, scale, F32(1))


def expect(x, recipe, fmt, rows, cols):
    """codes, stored scales and the global amax (nvfp4) of x."""
    largest = FORMATS[fmt][1]
    if recipe == "tensorwise":
        scale = current_scale(block_amax(x, *x.shape), largest, False)
        return cast(x * scale[0, 0], fmt), (F32(1) / scale).reshape(1), None
    amax = block_amax(x, rows, cols)
    if recipe == "blockwise":
        scale = current_scale(amax, largest, True)
        return cast(x * per_element(scale, x.shape, rows, cols), fmt), F32(1) / scale, None
    if recipe == "mxfp8":
        ratio = amax * (F32(1) / F32(largest))  # E8M0 rounds up here; ml_dtypes holds the exact powers
        e = np.clip(np.ceil(np.log2(ratio.astype(np.float64), where=ratio > 0, out=np.full(ratio.shape, -200.0))), -127, 127)
        stored = np.exp2(e).astype(ml_dtypes.float8_e8m0fnu).view(np.uint8)
        return cast(x * per_element(np.exp2(-e).astype(F32), x.shape, rows, cols), fmt), stored, None
    whole = block_amax(x, *x.shape)[0, 0]
    s_enc = np.minimum(F32(2688) / whole, F32_MAX)
    s_enc = F32(1) if whole == 0 or s_enc == 0 else s_enc
    stored = cast(np.minimum(amax * (s_enc * (F32(1) / F32(6))), F32_MAX), "e4m3")
    decoded = stored.view(ml_dtypes.float8_e4m3fn).astype(F32)
    enc = np.minimum(F32(1) / (decoded * (F32(1) / s_enc)), F32_MAX)
    return cast(x * per_element(enc, x.shape, rows, cols), fmt), stored, whole


CASES = [  # recipe, scaling, role, code format, block
    ("bf16_with_fp8_current_scaling_mixed", "tensorwise", "activation", "e4m3", (0, 0)),
    ("bf16_with_fp8_current_scaling_mixed", "tensorwise", "gradient", "e5m2", (0, 0)),
    ("bf16_with_fp8_delayed_scaling_mixed", "tensorwise", "weight", "e4m3", (0, 0)),
    ("bf16_with_fp8_subchannel_scaling_mixed", "blockwise", "activation", "e4m3", (1, 128)),
    ("bf16_with_fp8_subchannel_scaling_mixed", "blockwise", "weight", "e4m3", (128, 128)),
    ("bf16_with_fp8_subchannel_scaling_mixed", "blockwise", "gradient", "e5m2", (1, 128)),
    ("bf16_with_mxfp8_mixed", "mxfp8", "gradient", "e4m3", (1, 32)),
    ("bf16_with_nvfp4_mixed", "nvfp4", "activation", "e2m1", (1, 16)),
    ("bf16_with_nvfp4_mixed", "nvfp4", "weight", "e2m1", (16, 16)),
    ("bf16_with_nvfp4_mixed", "nvfp4", "gradient", "e2m1", (1, 16)),
]


def tensors():
    every = np.arange(0x10000, dtype=np.uint16).view(ml_dtypes.bfloat16)
    finite = np.where(np.isfinite(every.astype(F32)), every, ml_dtypes.bfloat16(0))
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(303, 301)).astype(ml_dtypes.bfloat16)
    wild = (rng.normal(size=(77, 533)) * np.exp2(rng.integers(-60, 60, (77, 533)))).astype(ml_dtypes.bfloat16)
    wild[5:30] = 0
    return {"every": every.reshape(256, 256), "ordered": finite.reshape(2048, 32), "moderate": every[0x3A00:0x4A00].reshape(64, 64),
            "normal": normal, "wild": wild}


def main(mbtrain):
    wrong = 0
    with tempfile.TemporaryDirectory() as folder, np.errstate(all="ignore"):
        source, result = Path(folder, "in.safetensors"), Path(folder, "out.safetensors")
        inputs = tensors()
        write(source, inputs)
        for name, recipe, role, fmt, (rows, cols) in CASES:
            subprocess.run([mbtrain, "quantize", source, result, "--mixed-precision", name, "--role", role], check=True, stdout=subprocess.DEVNULL)
            out = read(result)
            for key, x in inputs.items():
                codes, scales, whole = expect(x.astype(F32), recipe, fmt, rows, cols)
                bad = int((codes != out[key + ".codes"]).sum())
                bad_scales = int((scales.view(np.uint8) != out[key + ".scale_inv"].view(np.uint8)).sum())
                bad_scales += whole is not None and whole != out[key + ".global_amax"][0]
                wrong += bad + bad_scales
                print(f"{name:42} {role:10} {key:9} codes {bad} of {codes.size} differ, scales {bad_scales} of {scales.size}")
    return 1 if wrong else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))

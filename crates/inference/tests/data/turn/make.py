#!/usr/bin/env python3
"""Writes reference.json: what other implementations make of the signals of ../../turn.rs.

    python3 -m venv venv && venv/bin/pip install numpy==2.4.6 onnxruntime==1.31.1 transformers==5.23.0
    venv/bin/python make.py path/to/smart-turn-v3.2-cpu.onnx

Features come from the WhisperFeatureExtractor of transformers (its numpy branch, in double precision), probabilities from
ONNX Runtime over those features. The model's author brings clips to 8 s as `last_8_s` does.

The model computes in 8-bit steps: where a value rounds to the next one, its answer jumps, and features that differ by less than a
processor's order of sums already move it, for some signals by 0.3. So each signal has the lowest and the highest of the
probabilities for features that are off by at most OFF, as the test allows them to be.
"""

import json
import pathlib
import sys
import wave

import numpy
import onnxruntime
from transformers import WhisperFeatureExtractor

HERE = pathlib.Path(__file__).parent
RATE, LENGTH = 16_000, 128_000
# The ends (mirrored samples), the beginning of the sound where there is one, and some in the middle.
OFF, TRIES = 2e-5, 300
FRAMES = [0, 1, 399, 510, 640, 770, 798, 799]


def noise(count, amplitude):
    """White noise, the same everywhere: xorshift64."""
    seed, mask, samples = 0x2545F4914F6CDD1D, (1 << 64) - 1, []
    for _ in range(count):
        seed ^= seed << 13 & mask
        seed ^= seed >> 7
        seed ^= seed << 17 & mask
        samples.append(int(((seed >> 11) / (1 << 53) * 2 - 1) * amplitude))
    return numpy.array(samples, numpy.int16)


def speech():
    with wave.open(str(HERE.parent / "speech.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        return numpy.frombuffer(file.readframes(file.getnframes()), numpy.int16)


def last_8_s(samples):
    samples = samples[-LENGTH:].astype(numpy.float32) / 32_768
    return numpy.pad(samples, (LENGTH - len(samples), 0))


sentence = speech()
signals = {
    "sentence": sentence,
    "long": numpy.tile(sentence, 4),
    "cut off": sentence[: len(sentence) // 2],
    "noise": noise(LENGTH + 777, 8_000),
    "faint": noise(4_800, 30),
}
extractor = WhisperFeatureExtractor(chunk_length=8)
model = onnxruntime.InferenceSession(sys.argv[1])
random = numpy.random.default_rng(1)
reference = {}
for name, samples in signals.items():
    features = extractor(
        last_8_s(samples),
        sampling_rate=RATE,
        padding="max_length",
        max_length=LENGTH,
        truncation=True,
        do_normalize=True,
        return_tensors="np",
    ).input_features
    assert features.shape == (1, 80, 800)
    noises = (random.uniform(-OFF, OFF, features.shape) for _ in range(TRIES))
    noisy = ((features + noise).astype(numpy.float32) for noise in noises)
    probabilities = [model.run(None, {"input_features": near})[0].item() for near in noisy]
    reference[name] = {
        "samples": len(samples),
        "mean": round(float(features.mean(dtype=numpy.float64)), 7),
        "deviation": round(float(features.std(dtype=numpy.float64)), 7),
        "frames": {str(at): [round(float(value), 6) for value in features[0, :, at]] for at in FRAMES},
        "probability": [round(min(probabilities), 3), round(max(probabilities), 3)],
    }
lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in reference.items()]
(HERE / "reference.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
for name, value in reference.items():
    print(f"{name:10} probability {value['probability']}")

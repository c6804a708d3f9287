"""Weights that are wrong, in whatever file they are kept: one tensor changed, gone or more."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from campaign.files.told import Owed, Told

State = dict[str, Any]
"""Tensors, and plain values where the file has some."""


def change_tensor(state: State, chance: random.Random) -> Told:
    """Changes one tensor of some; all else stays."""
    names = sorted(name for name, value in state.items() if isinstance(value, Tensor))
    if not names:
        return Told("left as it was")
    return chance.choice(_CHANGES)(state, chance.choice(names), chance)


def safetensors_tensors(file: Path, chance: random.Random) -> Told:
    """Of a safetensors file, written anew and whole."""
    try:
        with safe_open(file, "pt") as opened:
            about = opened.metadata()
            state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except Exception:  # damaged before, in another way
        return Told("left as it was")
    told = change_tensor(state, chance)
    save_file({name: t.clone().contiguous() for name, t in state.items()}, file, about)
    return told


def pt_tensors(file: Path, chance: random.Random) -> Told:
    """Of a file of torch.save; or a plain value beside the tensors."""
    try:
        state = torch.load(file, weights_only=True)
    except Exception:
        return Told("left as it was")
    if chance.random() < 0.15:
        key = chance.choice([*map(str, state), "nobody_knows"])
        new = chance.choice((None, 0, -1, 1e30, "x", [1, [2]], {"a": 1}, 10**9, float("nan"), {}))
        state[key] = new
        told = Told(f"{key} = {new!r}", "a refusal" if key == "nobody_knows" else "nothing")
    else:
        told = change_tensor(state, chance)
    torch.save(state, file)
    return told


def npz_tensors(file: Path, chance: random.Random) -> Told:
    """Of numpy's archive; or an array of objects, which numpy would unpickle."""
    try:
        with np.load(file) as opened:
            state: State = {name: torch.from_numpy(opened[name]) for name in opened.files}
    except Exception:
        return Told("left as it was")
    if chance.random() < 0.1:
        key = chance.choice(sorted(state))
        state[key] = np.array([{"x": 1}], dtype=object)
        told = Told(f"{key} is an array of objects", "a refusal")
    else:
        told = change_tensor(state, chance)
    arrays = {k: v.float().numpy() if _odd(v) else np.asarray(v) for k, v in state.items()}
    np.savez(file, **arrays)
    return told


def _odd(value: Any) -> bool:
    """Whether it is of a type that numpy has not."""
    return isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float8_e4m3fn)


Change = Callable[[State, str, random.Random], Told]


def _numbers(state: State, name: str, chance: random.Random) -> Told:
    """One number, or all of them, that cannot be computed with."""
    value = chance.choice((float("nan"), float("inf"), -float("inf")))
    new = state[name].clone()
    if not new.is_floating_point() or not new.numel():
        return _zeros(state, name, chance)
    place = chance.randrange(new.numel())
    new.view(-1)[place if chance.random() < 0.7 else slice(None)] = value
    state[name] = new
    return Told(f"{name}: {value} at {place}", "a refusal")


def _zeros(state: State, name: str, chance: random.Random) -> Told:
    state[name] = torch.zeros_like(state[name])
    return Told(f"{name} is all 0")


def _sized(state: State, name: str, chance: random.Random) -> Told:
    factor = chance.choice((1e38, 1e30, 1e-30, 1e-42, -1.0, 100.0))
    old = state[name]
    state[name] = (old.float() * factor).clamp(-3e38, 3e38).to(old.dtype)
    if state[name].is_floating_point() and not state[name].isfinite().all():
        return Told(f"{name} times {factor:g}, which overflows", "a refusal")
    return Told(f"{name} times {factor:g}")


def _turned(state: State, name: str, chance: random.Random) -> Told:
    old = state[name]
    state[name] = old.T.contiguous() if old.ndim == 2 else old.flip(0) if old.ndim else old
    owed: Owed = "a refusal" if old.ndim == 2 and old.shape[0] != old.shape[1] else "nothing"
    return Told(f"{name} is transposed", owed)


def _cast(state: State, name: str, chance: random.Random) -> Told:
    floats = ("float16", "bfloat16", "float64", "float8_e4m3fn")
    dtype = chance.choice((*floats, "int8", "int64", "bool", "uint8", "complex64"))
    fine = dtype in floats or not state[name].is_floating_point()
    state[name] = state[name].to(getattr(torch, dtype))
    return Told(f"{name} as {dtype}", _unless(fine))


def _cut(state: State, name: str, chance: random.Random) -> Told:
    """Another shape."""
    old, size = state[name], tuple(state[name].shape)
    if not old.ndim:
        state[name] = old.expand(chance.choice((1, 3))).clone()
        return Told(f"{name} of shape {tuple(state[name].shape)} instead of ()")
    forms: list[Tensor] = [
        old[:-1], torch.cat([old, old[:1]]), old.reshape(-1), old[None], old[..., None], old[:0],
        old[:1], old.reshape(-1)[0], old.new_zeros(0), old.new_zeros(10**6, 1),
    ]  # fmt: skip
    state[name] = chance.choice(forms).clone()
    shape = tuple(state[name].shape)
    return Told(f"{name} of shape {shape} instead of {size}", _unless(shape == size))


def _unless(fine: bool) -> Owed:
    return "nothing" if fine else "a refusal"


def _dropped(state: State, name: str, chance: random.Random) -> Told:
    del state[name]  # settings may stand in the configuration, too, and some only count
    return Told(f"without {name}", "the same numbers")


def _renamed(state: State, name: str, chance: random.Random) -> Told:
    news = (name.upper(), name.lower(), f"{name}.", f"model.{name}", "", "x" * 3000, f"{name}\0",
            name.replace("weight", "bias"), "__class__", "\u202e", "..")  # fmt: skip
    new = chance.choice(news)
    if new != name:
        state[new] = state.pop(name)
    return Told(f"{name} is called {new[:40]!r}", _unless(new == name))


def _more(state: State, name: str, chance: random.Random) -> Told:
    new = chance.choice((f"{name}_2", "nobody_knows", "model.layers.7.mlp.up_proj.weight",
                         "lora_A.weight", "b_enc_2", "log_threshold", "W_skip"))  # fmt: skip
    if new in state:
        return _zeros(state, name, chance)
    state[new] = state[name].clone()
    return Told(f"{new} beside {name}", "a word")


def _exchanged(state: State, name: str, chance: random.Random) -> Told:
    other = chance.choice(sorted(k for k, v in state.items() if isinstance(v, Tensor)))
    one, two = state[name], state[other]
    state[name], state[other] = two, one
    return Told(f"{name} and {other} change places", _unless(one.shape == two.shape))


_CHANGES: list[Change] = [
    _numbers, _numbers, _zeros, _sized, _sized, _turned, _cast, _cast, _cut, _cut, _dropped,
    _renamed, _more, _exchanged,
]  # fmt: skip

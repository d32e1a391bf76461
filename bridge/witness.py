"""Witness generation: the circuit's own WebAssembly, run under wasmtime without Node.

Source: circom's `witness_calculator.js` (the interface) and snarkjs' `.wtns` format.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import wasmtime

from bridge.errors import BridgeError
from mini_llm.wallet.field import P, is_canonical

LIMBS: Final = 8
"""32-bit limbs of one field element."""

ELEMENT_BYTES: Final = 4 * LIMBS
PAGE_BYTES: Final = 65_536

_COPIER: Final = """
(module
  (import "circuit" "getWitness" (func $select (param i32)))
  (import "circuit" "readSharedRWMemory" (func $limb (param i32) (result i32)))
  (memory (export "memory") 0)
  (func (export "reserve") (param $pages i32) (result i32) (memory.grow (local.get $pages)))
  (func (export "copy") (param $elements i32)
    (local $element i32) (local $i i32) (local $address i32)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $element) (local.get $elements)))
        (call $select (local.get $element))
        (local.set $i (i32.const 0))
        (loop $limbs
          (i32.store (local.get $address) (call $limb (local.get $i)))
          (local.set $address (i32.add (local.get $address) (i32.const 4)))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $limbs (i32.lt_u (local.get $i) (i32.const 8))))
        (local.set $element (i32.add (local.get $element) (i32.const 1)))
        (br $next)))))
"""
"""Copies the witness into one block of memory: a call from Python per limb would take seconds."""

_FAILURES: Final = {
    1: "no such input",
    2: "too many inputs",
    3: "input set twice",
    4: "a constraint does not hold",
    5: "out of memory",
    6: "input index out of range",
}


class WitnessRefused(BridgeError):
    """The circuit accepts no witness for these inputs; `detail` names the template and line that refused."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"no witness: {reason}" + (f" ({detail})" if detail else ""))

    def __reduce__(self) -> tuple[Any, ...]:  # crosses from the worker process
        return type(self), (self.reason, self.detail)


def _flatten(name: str, value: Any) -> Iterator[int]:
    if not isinstance(value, int):
        for part in value:
            yield from _flatten(name, part)
    elif is_canonical(value):
        yield value
    else:  # never reduced mod p: another number would be proved than the one that was asked for
        raise WitnessRefused(f"input {name} holds {value}, which is no field element")


def _name_hash(name: str) -> tuple[int, int]:
    """FNV-1a hash by which circom finds an input, as two signed 32-bit halves (high, low)."""
    digest = 0xCBF29CE484222325
    for byte in name.encode():
        digest = ((digest ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    high, low = struct.unpack(">ii", digest.to_bytes(8, "big"))
    return high, low


def _load_module(engine: wasmtime.Engine, wasm: Path) -> wasmtime.Module:
    """The compiled module, cached beside the artefact; compiled anew if the cache is missing or older."""
    cache = wasm.with_suffix(".cwasm")
    if cache.exists() and cache.stat().st_mtime_ns >= wasm.stat().st_mtime_ns:
        try:
            return wasmtime.Module.deserialize_file(engine, str(cache))
        except wasmtime.WasmtimeError:  # written by another wasmtime or for another processor
            cache.unlink(missing_ok=True)
    module = wasmtime.Module.from_file(engine, str(wasm))
    try:
        unfinished = cache.with_suffix(f".{os.getpid()}.tmp")
        unfinished.write_bytes(module.serialize())
        unfinished.replace(cache)
    except OSError:  # a read-only artefact folder costs a second of compilation, nothing else
        pass
    return module


class WitnessCalculator:
    """Computes witnesses of one circuit, whose WebAssembly it loads once. One thread at a time may use it."""

    def __init__(self, wasm: Path) -> None:
        self._engine = wasmtime.Engine()
        self._module = _load_module(self._engine, wasm)
        self._copier = wasmtime.Module(self._engine, _COPIER)

    def calculate(self, inputs: Mapping[str, Any]) -> bytes:
        """The witness: little-endian field elements of 32 bytes; the constant 1, the public inputs, the rest.

        Args:
            inputs: every input signal of the circuit by name; field elements, nested lists for arrays.

        Raises:
            WitnessRefused: an input is missing, unknown, of the wrong length or no field element, or a
                constraint does not hold.
        """
        # Closed here, not when it is forgotten: it and the callbacks that wasmtime keeps for it hold each
        # other, so it would never be freed, and each has gigabytes of address space.
        with closing(wasmtime.Store(self._engine)) as store:
            circuit = self._instantiate(store)
            circuit["init"](store, 0)
            elements = {name: list(_flatten(name, value)) for name, value in inputs.items()}
            self._check_sizes(store, circuit, elements)
            for name, values in elements.items():
                high, low = _name_hash(name)
                for position, value in enumerate(values):
                    limbs = struct.unpack("<8i", value.to_bytes(ELEMENT_BYTES, "little"))
                    for limb, part in enumerate(limbs):
                        circuit["writeSharedRWMemory"](store, limb, part)
                    circuit["setInputSignal"](store, high, low, position)
            return self._copy_witness(store, circuit)

    def _check_sizes(self, store: wasmtime.Store, circuit: Any, elements: Mapping[str, list[int]]) -> None:
        # circom computes when the last input is set: with one missing the witness would be left empty.
        for name, values in elements.items():
            wanted = max(0, circuit["getInputSignalSize"](store, *_name_hash(name)))  # -1 if unknown
            if wanted != len(values):
                raise WitnessRefused(f"input {name} has {len(values)} elements, the circuit takes {wanted}")
        given, wanted = sum(map(len, elements.values())), circuit["getInputSize"](store)
        if given != wanted:
            raise WitnessRefused(f"{given} of {wanted} input elements are given")

    def _instantiate(self, store: wasmtime.Store) -> Any:
        linker = wasmtime.Linker(self._engine)
        messages: list[str] = []
        exports: Any = None

        def read_message() -> None:
            text = bytearray()
            while byte := exports["getMessageChar"](store):
                text.append(byte)
            messages.append(text.decode(errors="replace").strip())

        def refuse(code: int) -> None:
            raise WitnessRefused(_FAILURES.get(code, f"circom failure {code}"), " < ".join(messages))

        handlers: dict[str, Callable[..., None]] = {
            "exceptionHandler": refuse,
            "printErrorMessage": read_message,
        }
        for imported in self._module.imports:
            name, signature = str(imported.name), imported.type
            if isinstance(signature, wasmtime.FuncType):
                linker.define_func(imported.module, name, signature, handlers.get(name, lambda: None))
        exports = linker.instantiate(store, self._module).exports(store)
        return exports

    def _copy_witness(self, store: wasmtime.Store, circuit: Any) -> bytes:
        size = circuit["getWitnessSize"](store)
        linker = wasmtime.Linker(self._engine)
        for name in ("getWitness", "readSharedRWMemory"):
            linker.define(store, "circuit", name, circuit[name])
        copier: Any = linker.instantiate(store, self._copier).exports(store)
        copier["reserve"](store, -(-size * ELEMENT_BYTES // PAGE_BYTES))
        copier["copy"](store, size)
        return bytes(copier["memory"].read(store, 0, size * ELEMENT_BYTES))


def wtns_file(witness: bytes) -> bytes:
    """The witness in snarkjs' `.wtns` format: magic, version 2, a header section and a values section."""
    size = len(witness) // ELEMENT_BYTES
    header = struct.pack("<I", ELEMENT_BYTES) + P.to_bytes(ELEMENT_BYTES, "little") + struct.pack("<I", size)
    sections = struct.pack("<IQ", 1, len(header)) + header + struct.pack("<IQ", 2, len(witness)) + witness
    return b"wtns" + struct.pack("<II", 2, 2) + sections

"""numpy dtype names and the MLIR element types they become."""

import ml_dtypes
import numpy as np

ELEMENT_TYPES = {
    "float32": "f32",
    "float64": "f64",
    "float16": "f16",
    "bfloat16": "bf16",
    "int64": "i64",
    "int32": "i32",
    "int16": "i16",
    "int8": "i8",
    "uint64": "i64",
    "uint32": "i32",
    "uint16": "i16",
    "uint8": "i8",
    "bool": "i1",
}
STORED_TYPES = {**ELEMENT_TYPES, "bool": "i8"}
"""In tensors: upstream's lowering has no buffers of single bits."""
FLOATS = ("float32", "float64", "float16", "bfloat16")
UNSIGNED = ("uint64", "uint32", "uint16", "uint8", "bool")


def is_float(dtype: str) -> bool:
    return dtype in FLOATS


def is_unsigned(dtype: str) -> bool:
    return dtype in UNSIGNED


def numpy_dtype(name: str) -> np.dtype:
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def literal(value: object, dtype: str) -> str:
    """The number as an MLIR attribute without its type, exact in `dtype`."""
    number = np.asarray(value).astype(numpy_dtype(dtype))[()]
    if dtype == "bool":
        return "true" if number else "false"
    if not is_float(dtype):
        width = number.dtype.itemsize * 8
        signed = int(number)
        return str(signed - (1 << width) if signed >= 1 << (width - 1) else signed)
    text = str(float(number)) if dtype == "float64" else str(number)
    mantissa, exponent, power = text.partition("e")
    if np.isfinite(number) and numpy_dtype(dtype).type(float(text)) == number:
        return (mantissa if "." in mantissa else mantissa + ".0") + exponent + power
    bits = number.dtype.itemsize * 8
    return f"0x{int(number.view(f'uint{bits}')):0{bits // 4}X}"


def lowest(dtype: str) -> float | int:
    """The neutral element of max."""
    if dtype == "bool":
        return 0
    return float("-inf") if is_float(dtype) else int(np.iinfo(dtype).min)


def highest(dtype: str) -> float | int:
    """The neutral element of min."""
    if dtype == "bool":
        return 1
    return float("inf") if is_float(dtype) else int(np.iinfo(dtype).max)

"""Prints the import of the graph in a file of ONNX text; lines starting with # are not of it."""

import sys
from pathlib import Path

import onnx
import onnx.parser

from ansorc.frontends.errors import ModelError
from ansorc.frontends.onnx.reader import load_model

for part in Path(sys.argv[1]).read_text().split("# -----"):
    text = "\n".join(line for line in part.splitlines() if not line.startswith("#"))
    if not text.strip():
        continue
    header = '<ir_version: 9, opset_import: ["" : 20]>\n' if not text.lstrip().startswith("<") else ""
    try:
        print(load_model(onnx.parser.parse_model(header + text)).text)
    except ModelError as error:
        print(f"{type(error).__name__}: {error}")

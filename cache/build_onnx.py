"""``python -m cache.build_onnx``: the ONNX model of the weights that a package carries.

The package has the weights for torch alone. BERT is small enough to be written down as a
graph, which needs `onnx` and `safetensors` and takes seconds, where torch's export needs two
gigabytes of packages. `make semantic` calls it; nothing does at run time.

How it fails: one line and exit status 1 where packages are missing, the weights are not those
that are expected, or the file cannot be written. A file appears whole or not at all.
"""

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cache.minilm import onnx_path, weights_dir

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of sentence-transformers/all-MiniLM-L6-v2's model.safetensors."""
LAYERS, HEADS, WIDTH = 6, 12, 384
OPSET, IR_VERSION = 20, 10
EPSILON = 1e-12
MASKED = -1e9


class Graph:
    """Nodes and constants in the making; each method returns the name of its result."""

    def __init__(self, weights: dict[str, Any]) -> None:
        self._weights = weights
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def constant(self, name: str, values: Any) -> str:
        from onnx import numpy_helper

        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def node(self, operator: str, inputs: list[str], out: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(operator, inputs, [out], **attributes))
        return out

    def linear(self, x: str, key: str, out: str) -> str:
        weight = self.constant(f"{key}.w", self._weights[f"{key}.weight"].T.astype(np.float32))
        product = self.node("MatMul", [x, weight], f"{out}_product")
        return self.node(
            "Add", [product, self.constant(f"{key}.b", self._weights[f"{key}.bias"])], out
        )

    def normalise(self, x: str, key: str, out: str) -> str:
        gain = self.constant(f"{key}.gain", self._weights[f"{key}.weight"])
        shift = self.constant(f"{key}.shift", self._weights[f"{key}.bias"])
        return self.node("LayerNormalization", [x, gain, shift], out, axis=-1, epsilon=EPSILON)

    def embeddings(self) -> str:
        words, positions, kinds = (
            self._weights[f"embeddings.{kind}_embeddings.weight"]
            for kind in ("word", "position", "token_type")
        )
        self.node("Gather", [self.constant("words", words), "input_ids"], "word")
        self.node("Shape", ["input_ids"], "shape")
        one, two = self.constant("one", np.array([1])), self.constant("two", np.array([2]))
        length = self.node("Slice", ["shape", one, two], "length")
        # All tokens are of kind 0, which is added once, here.
        table = self.constant("positions", (positions + kinds[0]).astype(np.float32))
        zero = self.constant("zero", np.array([0]))
        self.node("Slice", [table, zero, length, zero], "position")
        self.node("Add", ["word", "position"], "embedded")
        return self.normalise("embedded", "embeddings.LayerNorm", "layer_in")

    def mask(self) -> str:
        from onnx import TensorProto

        self.node("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT)
        self.node("Unsqueeze", ["mask", self.constant("axes_1_2", np.array([1, 2]))], "mask_4d")
        self.node("Sub", [self.constant("full", np.float32(1)), "mask_4d"], "absent")
        return self.node("Mul", ["absent", self.constant("masked", np.float32(MASKED))], "bias")

    def layer(self, number: int, x: str) -> str:
        key, name = f"encoder.layer.{number}.", f"layer{number}_"
        width = WIDTH // HEADS
        by_head = self.constant("by_head", np.array([0, 0, HEADS, width]))
        orders = {"query": [0, 2, 1, 3], "key": [0, 2, 3, 1], "value": [0, 2, 1, 3]}
        for part, order in orders.items():
            projected = self.linear(x, f"{key}attention.self.{part}", name + part)
            split = self.node("Reshape", [projected, by_head], f"{name}{part}_split")
            self.node("Transpose", [split], f"{name}{part}_heads", perm=order)
        scores = self.node("MatMul", [f"{name}query_heads", f"{name}key_heads"], f"{name}scores")
        scale = self.constant("scale", np.float32(1 / np.sqrt(width)))
        scaled = self.node("Mul", [scores, scale], f"{name}scaled")
        biased = self.node("Add", [scaled, "bias"], f"{name}biased")
        weights = self.node("Softmax", [biased], f"{name}weights", axis=-1)
        mixed = self.node("MatMul", [weights, f"{name}value_heads"], f"{name}mixed")
        back = self.node("Transpose", [mixed], f"{name}back", perm=[0, 2, 1, 3])
        flat = self.constant("flat", np.array([0, 0, WIDTH]))
        joined = self.node("Reshape", [back, flat], f"{name}joined")
        attended = self.linear(joined, f"{key}attention.output.dense", f"{name}attended")
        added = self.node("Add", [attended, x], f"{name}added")
        y = self.normalise(added, f"{key}attention.output.LayerNorm", f"{name}attention")
        inner = self.linear(y, f"{key}intermediate.dense", f"{name}inner")
        active = self.node("Gelu", [inner], f"{name}active")
        outer = self.linear(active, f"{key}output.dense", f"{name}outer")
        total = self.node("Add", [outer, y], f"{name}total")
        return self.normalise(total, f"{key}output.LayerNorm", f"{name}out")

    def pool(self, x: str) -> str:
        """The mean over tokens, as a unit vector: the sum has the same direction."""
        last = self.constant("axis_last", np.array([-1]))
        mask = self.node("Unsqueeze", ["mask", last], "mask_3d")
        kept = self.node("Mul", [x, mask], "kept")
        tokens = self.constant("axis_tokens", np.array([1]))
        total = self.node("ReduceSum", [kept, tokens], "sum", keepdims=0)
        return self.node("LpNormalization", [total], "sentence_embedding", axis=1, p=2)


def model(weights: dict[str, Any]) -> Any:
    """The ONNX model of BERT weights by their names in the safetensors file."""
    from onnx import TensorProto, checker, helper

    graph = Graph({name.removeprefix("bert."): value for name, value in weights.items()})
    x = graph.embeddings()
    graph.mask()
    for number in range(LAYERS):
        x = graph.layer(number, x)
    graph.pool(x)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info(
        "sentence_embedding", TensorProto.FLOAT, ["batch", WIDTH]
    )
    made = helper.make_model(
        helper.make_graph(graph.nodes, "minilm", inputs, [output], list(graph.constants.values())),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    checker.check_model(made)
    return made


def build(weights_file: Path, target: Path) -> None:
    """Write the model of a weights file.

    Raises:
        ValueError: these are not the weights that the project was measured with.
        OSError: the target cannot be written.
    """
    import onnx
    from safetensors.numpy import load_file

    found = hashlib.sha256(weights_file.read_bytes()).hexdigest()
    if found != WEIGHTS_SHA256:
        raise ValueError(f"{weights_file} is not all-MiniLM-L6-v2 (sha256 {found})")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        onnx.save(model(load_file(weights_file)), str(part))
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def main() -> None:
    target = onnx_path()
    try:
        build(weights_dir() / "model.safetensors", target)
    except ModuleNotFoundError as exc:
        sys.exit(f"Error: {exc.name} is not installed: run `make semantic`")
    except (ValueError, OSError) as exc:
        sys.exit(f"Error: {exc}")
    print(f"Built {target}")


if __name__ == "__main__":
    main()

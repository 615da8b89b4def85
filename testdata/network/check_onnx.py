"""Exported models against ONNX Runtime, the ONNX checker and bioimage.io's own libraries.

In a virtual environment with
`pip install onnx onnxruntime numpy bioimageio.spec bioimageio.core "pydantic<2.13"` (bioimageio.spec
0.5.12 failed with pydantic 2.14):

    cargo run -p stainfree-network --example onnx_cases -- /tmp/cases
    python testdata/network/check_onnx.py /tmp/cases [target/debug/stainfree]

The first command writes models of every encoder with 2, 3 and 4 classes, further outputs, every
normalisation, one and three planes, and the trained model that the program carries, each with
raw planes of two sizes (a batch of two) and what this program makes of them. The second computes
them with ONNX Runtime and ends with an error where a number is further than 1e-4 off. Networks of
random weights may make rounding grow beyond that in any program: where they do, the same file is
computed in double precision by ONNX's own reference, and this program must be no further from that,
in norm, than five times what ONNX Runtime is (kernels that go through Winograd's transforms round
more than plain ones), which is said.
With the program's path it also exports each model in both formats, computes the examples beside
the ONNX files, validates the packages, and lets bioimageio.core reproduce them.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator

TOLERANCE = 1e-4
# Beyond this it is no rounding, whatever ONNX Runtime does.
ROUNDING = 1e-3
# How much further from double precision than ONNX Runtime this program may be, where both are far.
FURTHER = 5


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def difference(found, expected):
    """Largest difference, against the largest value where that is above 1."""
    assert found.shape == expected.shape, (found.shape, expected.shape)
    assert np.isfinite(found).all()
    return float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))


def in_double(path, names, raw):
    """The same nodes with all numbers in double precision."""
    model = onnx.load(path)
    real, double = onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE
    for tensor in model.graph.initializer:
        # The factors of an up-sampling stay as they are.
        if tensor.data_type == real and not tensor.name.startswith("scales"):
            values = onnx.numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.i == real:
                attribute.i = double
    for port in [*model.graph.input, *model.graph.output]:
        port.type.tensor_type.elem_type = double
    exact = ReferenceEvaluator(model).run(names, {"planes": raw.astype(np.float64)})
    return dict(zip(names, exact))


def check_network(path):
    """The file is sound by ONNX's own rules, shapes included."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    notes = {note.key: note.value for note in model.metadata_props}
    for key in ["classes", "outputs", "input", "in_the_file", "normalisation", "full_range"]:
        assert notes[key], key
    names = [output["name"] for output in json.loads(notes["outputs"])]
    assert names == [output.name for output in model.graph.output]
    return names


def judge(said, own, found, exact):
    """Whether a difference is rounding, and the sentence with both distances."""
    norm = lambda x: float(np.sqrt(np.mean((x - exact) ** 2)))
    said += f"; from double precision {norm(own):.1e} here, {norm(found):.1e} in ONNX Runtime (rms)"
    return difference(found, own) < ROUNDING and norm(own) < FURTHER * norm(found), said


def check_sizes(folder, names):
    """Both sizes, two images at once: the largest difference, and what is wrong."""
    run = session(folder / "network.onnx")
    planes = run.get_inputs()[0].shape[1]
    worst, wrong, remarks = 0.0, [], []
    for file in sorted(folder.glob("*.planes.f32")):
        size = file.name.split(".")[0]
        height, width = map(int, size.split("x"))
        raw = np.fromfile(file, "<f4").reshape(2, planes, height, width)
        found = dict(zip(names, run.run(names, {"planes": raw})))
        exact = None
        for name in names:
            own = np.fromfile(folder / f"{size}.{name}.f32", "<f4").reshape(2, -1, height, width)
            far = difference(found[name], own)
            worst = max(worst, far)
            if far >= TOLERANCE:
                exact = exact or in_double(folder / "network.onnx", names, raw)
                said = f"{folder.name} {size} {name}: {far:.1e} apart"
                kind, said = judge(said, own, found[name], exact[name])
                (remarks if kind else wrong).append(said)
        # One image alone is what it is among two.
        for name, array in zip(names, run.run(names, {"planes": raw[1:]})):
            if difference(array, found[name][1:]) > TOLERANCE:
                wrong.append(f"{folder.name} {size} {name}: another in a batch than alone")
    return worst, wrong, remarks


def check_export(program, folder):
    """The program's own files: the example beside the ONNX file, and the package."""
    import bioimageio.core
    import bioimageio.spec

    model = folder / "model"
    file, package = folder / "exported.onnx", folder / "exported.zip"
    for form, out in [("onnx", file), ("bioimageio", package)]:
        more = ["--author", "nobody", "--license", "CC0-1.0"] if form == "bioimageio" else []
        command = [program, "export", model, "--to", form, "--out", out, "--quiet"]
        subprocess.run(list(map(str, command)) + more, check=True, stdout=subprocess.DEVNULL)
    names = check_network(file)
    raw = np.load(folder / "exported.test_input.npy")
    found = session(file).run(names, {"planes": raw})
    worst, wrong, remarks = 0.0, [], []
    for name, array in zip(names, found):
        own = np.load(folder / f"exported.test_output.{name}.npy")
        far = difference(array, own)
        worst = max(worst, far)
        if far >= TOLERANCE:
            said = f"{folder.name} exported {name}: {far:.1e} apart"
            kind, said = judge(said, own, array, in_double(file, names, raw)[name])
            (remarks if kind else wrong).append(said)
    summary = bioimageio.spec.load_description_and_validate_format_only(package)
    assert summary.status == "valid-format", summary.display()
    tested = bioimageio.core.test_description(package)
    if tested.status != "passed":
        tested.display()
        wrong.append(f"{folder.name}: bioimageio.core says `{tested.status}`")
    return worst, wrong, remarks


def main():
    out = Path(sys.argv[1])
    program = Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else None
    wrong = []
    for folder in sorted(path.parent for path in out.glob("*/network.onnx")):
        names = check_network(folder / "network.onnx")
        worst, errors, remarks = check_sizes(folder, names)
        print(f"{folder.name}: {', '.join(names)}: at most {worst:.1e}")
        if program:
            far, more, further = check_export(program, folder)
            print(f"  exported: at most {far:.1e}; package {'wrong' if more else 'reproduced'}")
            errors, remarks = errors + more, remarks + further
        for remark in remarks:
            print(f"  rounding: {remark}")
        wrong += errors
        sys.stdout.flush()
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()

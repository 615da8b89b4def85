#!/usr/bin/env python3
"""stainfree's bench beside PyTorch, ONNX Runtime and OpenVINO: the same network, the same machine, in turns.

  compare.py STAINFREE [--cases predict-640,train-320x4] [--rounds 3] [--threads 2] [--precision bf16] [--isa avx2]
             [--encoder mobilenet-v2] [--out FILE]

STAINFREE is the program (target/release/stainfree). A case is predict-SIDE or train-SIDExBATCH; default:
predict-2160, train-320x4 and train-640x1. Every round measures each engine once, in its own process, one after
the other, so that what disturbs the machine disturbs all of them; the table shows the median over the rounds of
each process's median, and the ratio of each peer's to ours. The peers' side comes from peers.py beside this
file; 2160 is predicted as 2176, a multiple of 32, by every engine. Lines of JSON go to FILE.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
# The fastest of each kind, see docs/performance.md.
ENGINES = {
    ("predict", "f32"): ("onnxruntime", "openvino", "torch-fold-cl"),
    ("predict", "bf16"): ("openvino-bf16", "torch-fold-bf16-cl"),
    ("train", "f32"): ("torch-cl",),
    ("train", "bf16"): ("torch-bf16-cl",),
}


def ours(args, what, side, batch):
    env = dict(os.environ)
    if args.isa:
        env["STAINFREE_ISA"] = args.isa
    command = [args.stainfree, "bench", f"--{what}", str(side), "--threads", str(args.threads),
               "--repeat", str(args.repeat), "--precision", args.precision, "--encoder", args.encoder, "--json", "-", "--quiet"]
    if what == "train":
        command += ["--batch", str(batch)]
    run = json.loads(subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True, text=True).stdout)["runs"][0]
    return {"engine": "stainfree", "median_s": run["seconds"]["median"], "min_s": run["seconds"]["min"],
            "peak_gib": round(run["peak_memory_bytes"] / 2**30, 3)}


def peer(args, what, side, batch, engine):
    command = [sys.executable, str(HERE / "peers.py"), what, "--engine", engine, "--encoder", args.encoder, "--side", str(side),
               "--threads", str(args.threads), "--repeat", str(args.repeat), "--warmup", "1"]
    if what == "train":
        command += ["--batch", str(batch)]
    if args.isa:
        command += ["--isa", args.isa]
    run = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()[-1])
    return {key: run[key] for key in ("engine", "median_s", "min_s", "peak_gib", "others_cpus", "versions")}


def export(args, side):
    cache = pathlib.Path(os.environ.get("PEERS_CACHE", HERE / ".peers-cache"))
    padded = (side + 31) // 32 * 32
    if not (cache / f"unet_{args.encoder}_{padded}.onnx").exists():
        subprocess.run([sys.executable, str(HERE / "peers.py"), "export", "--side", str(side), "--encoder", args.encoder],
                       check=True)


def measure(args, case, out):
    what, size = case.split("-")
    side, batch = (int(n) for n in (size + "x1").split("x")[:2])
    engines = args.engines.split(",") if args.engines else ENGINES[what, args.precision]
    # ONNX Runtime cannot be limited to AVX2.
    engines = [e for e in engines if not (args.isa and e == "onnxruntime")]
    if what == "predict":
        export(args, side)
    rows = {}
    for number in range(args.rounds):
        for engine in ("stainfree", *engines):
            row = ours(args, what, side, batch) if engine == "stainfree" else peer(args, what, side, batch, engine)
            rows.setdefault(engine, []).append(row)
            print(json.dumps({"case": case, "encoder": args.encoder, "round": number, "isa": args.isa or "native",
                              "precision": args.precision, **row}), file=out, flush=True)
    return rows


def table(case, rows, args):
    middle = {engine: statistics.median(r["median_s"] for r in each) for engine, each in rows.items()}
    print(f"\n{case}, {args.encoder}, {args.precision}, {args.isa or 'native'}, {args.threads} threads\n\n| engine | median s | least s | peak GiB | time / ours |\n|---|---|---|---|---|")
    for engine, each in rows.items():
        least, memory = min(r["min_s"] for r in each), max(r["peak_gib"] for r in each)
        ratio = middle[engine] / middle["stainfree"]
        print(f"| {engine} | {middle[engine]:.3f} | {least:.3f} | {memory:.2f} | {ratio:.2f} |", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("stainfree")
    p.add_argument("--cases", default="predict-2160,train-320x4,train-640x1")
    p.add_argument("--engines", help="peers to measure, separated by commas; default: the fastest of each kind")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--repeat", type=int, default=3, help="repetitions in each process, after one that is not counted")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    p.add_argument("--isa", choices=("avx2",))
    p.add_argument("--encoder", choices=("vgg16", "mobilenet-v2", "efficientnet-b4"), default="vgg16")
    p.add_argument("--out", default="peers.jsonl")
    args = p.parse_args()
    args.stainfree = str(pathlib.Path(args.stainfree).resolve())
    with open(args.out, "a") as out:
        for case in args.cases.split(","):
            table(case, measure(args, case, out), args)


if __name__ == "__main__":
    main()

"""verify*.json and bench.json of one output folder -> report.md. Needs no GPU and no torch."""

import glob
import json
import os
import sys


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(str(x) for x in row) + " |" for row in rows]) + "\n"


def times(rows, flop=None, ceiling=None, own="ours"):
    base = rows.get(own, {}).get("ms")
    out = []
    for name, t in rows.items():
        rate = f"{flop / t['ms'] / 1e9:.0f}" if flop else ""
        share = f"{flop / t['ms'] / 1e9 / ceiling:.0%}" if flop and ceiling else ""
        ratio = f"{t['ms'] / base:.2f}" if base else ""
        out.append([name, f"{t['ms']:.4f}", f"{t['low']:.4f} to {t['high']:.4f}", ratio, rate, share])
    return table(["contender", "ms", "quartiles", "x " + own, "TFLOP/s", "of ceiling"], out)


def main(folder):
    text = ["# Sightline on this GPU\n"]
    bench_path = os.path.join(folder, "bench.json")
    bench = json.load(open(bench_path)) if os.path.exists(bench_path) else {}
    environment = os.path.join(folder, "environment.txt")
    if os.path.exists(environment):
        text.append("```\n" + open(environment).read().strip() + "\n```\n")
    for path in sorted(glob.glob(os.path.join(folder, "verify*.json"))):
        cases = json.load(open(path))
        failed = [c for c in cases if not c["passed"]]
        text.append(f"## {os.path.basename(path)}: {len(cases)} cases, {len(failed)} failed\n")
        text += [f"- {c}\n" for c in failed]
    for path in sorted(glob.glob(os.path.join(folder, "sanitizer-*.txt"))):
        lines = open(path, errors="replace").read().splitlines()
        summary = [x for x in lines if "ERROR SUMMARY" in x or "RACECHECK SUMMARY" in x or "did not" in x]
        text.append(f"- {os.path.basename(path)}: {summary[-1] if summary else 'no summary: it did not run'}\n")
    ceiling = bench.get("ceiling", {}).get("tflops")
    if ceiling:
        text.append(f"\nCeilings here: {ceiling:.0f} TFLOP/s (bf16 product of 8192), "
                    f"{bench['ceiling']['copy_tb_s']:.2f} TB/s (copy).\n")
    if isinstance(bench.get("alignment"), list):
        for run in bench["alignment"]:
            text.append(f"\n## Alignment loss and gradient, bf16, M = {run['m']}, D, P, Z = 4096, 2048, 1024\n")
            for kind in ("rotated", "hot"):
                text.append(f"\n{kind} buffers\n\n" + times(run[kind], run["flop"], ceiling))
            text.append("\n" + table(["extra memory", "MiB"], [
                [k, f"{v / 2 ** 20:.0f}"] for k, v in run["memory_bytes"].items()]))
    if isinstance(bench.get("gemm"), list) and bench["gemm"]:
        text.append("\n## GEMM core\n")
        ratios = []
        for run in bench["gemm"]:
            flop = 2 * run["m"] * run["n"] * run["k"]
            ratios.append(run["times"]["cuBLAS"]["ms"] / run["times"]["ours"]["ms"])
            text.append(f"\n{run['m']} x {run['n']} x {run['k']}\n\n" + times(run["times"], flop, ceiling))
        mean = 1.0
        for r in ratios:
            mean *= r ** (1 / len(ratios))
        text.append(f"\nSpeed over cuBLAS: geometric mean {mean:.3f}, least {min(ratios):.3f}\n")
    for key, title in (("lora", "LoRA linear"), ("adamw", "AdamW")):
        runs = bench.get(key)
        for run in runs if isinstance(runs, list) else [runs] if isinstance(runs, dict) else []:
            shape = {k: v for k, v in run.items() if k != "times"}
            text.append(f"\n## {title} {shape}\n")
            if "times" in run:
                text.append("\n" + times(run["times"]))
    with open(os.path.join(folder, "report.md"), "w") as file:
        file.write("\n".join(text))
    print(os.path.join(folder, "report.md"))


if __name__ == "__main__":
    main(sys.argv[1])

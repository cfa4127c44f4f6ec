"""Forms the kernels of a graph of N and of 4 N ops, and fails where the time grows
much faster than the graph.

Opaque ops stand between elementwise ones, a value from the top is read all the way
down, and every step reads two earlier ones: the search for cycles has work."""

import pathlib
import resource
import subprocess
import sys
import tempfile

TYPE = "tensor<4x8xf32>"


def graph(ops):
    lines = [f"func.func @main(%x: {TYPE}) -> {TYPE} {{", f"  %top = lathe.exp %x : ({TYPE}) -> {TYPE}"]
    last = "%x"
    for i in range(ops // 4):
        lines += [
            f"  %a{i} = lathe.neg {last} : ({TYPE}) -> {TYPE}",
            f"  %b{i} = lathe.cumsum %a{i} {{axis = 0 : i64}} : ({TYPE}) -> {TYPE}",
            f"  %c{i} = lathe.add %b{i}, %top : ({TYPE}, {TYPE}) -> {TYPE}",
            f"  %d{i} = lathe.sub %c{i}, %a{i} : ({TYPE}, {TYPE}) -> {TYPE}",
        ]
        last = f"%d{i}"
    return "\n".join([*lines, f"  return {last} : {TYPE}", "}"])


def chain(ops):
    """A product with ops - 1 scales behind it: a tree as deep as the graph."""
    lines = [f"func.func @main(%x: {TYPE}, %w: tensor<8x8xf32>) -> {TYPE} {{",
             "  %c = lathe.constant dense<1.5> : tensor<f32>",
             f"  %a0 = lathe.linear %x, %w : ({TYPE}, tensor<8x8xf32>) -> {TYPE}"]
    lines += [f"  %a{i} = lathe.mul %a{i - 1}, %c : ({TYPE}, tensor<f32>) -> {TYPE}" for i in range(1, ops)]
    return "\n".join([*lines, f"  return %a{ops - 1} : {TYPE}", "}"])


def check_chain(tool, ops):
    passes = ["--lathe-recognize-gelu", "--lathe-recognize-normalization", "--lathe-recognize-attention",
              "--lathe-fold-batch-norm", "--lathe-form-kernels"]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "chain.mlir")
        path.write_text(chain(ops))
        text = subprocess.run([tool, path, *passes], check=True, capture_output=True, text=True).stdout
    assert text.count("lathe.kernel") <= ops // 60 + 2, text.count("lathe.kernel")


def seconds(tool, ops):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "graph.mlir")
        path.write_text(graph(ops))
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        text = subprocess.run([tool, path, "--lathe-form-kernels"], check=True, capture_output=True, text=True).stdout
        used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    # exp, then per step an opaque kernel and what stands between two of them.
    kernels = text.count("lathe.kernel")
    assert ops // 2 <= kernels <= ops // 2 + 2, kernels
    return used


def main():
    tool, ops = sys.argv[1], int(sys.argv[2])
    check_chain(tool, 4 * ops)
    small, large = seconds(tool, ops), seconds(tool, 4 * ops)
    print(f"{ops} ops: {small:.2f} s, {4 * ops} ops: {large:.2f} s")
    # Four times the work, twice that for noise.
    assert large < 8 * small + 0.2, "grows faster than the graph"


if __name__ == "__main__":
    main()

"""Boxes of tensors and mbarriers on the simulator. Where each byte of a box
stands is compared with a model of its own, written from the CUDA programming
guide's tables of swizzles; the protocol of mbarriers with what the PTX ISA says
of phases; and every fault that the simulator claims to find is planted."""

import itertools
import unittest

import numpy as np

from cuda_text import Texts
from test_cuda_contraction import Program, tensor, wide
from test_cuda_fragments import product

# A box per case, copied by thread 0 to byte `offset` of shared memory; all 4096
# bytes from there on go out.
BOXES = """
#include "lathe/tma.cuh"
struct Case {
  int elementBytes, rank, dims[3], strides[2], box[3], swizzle, place[3], offset;
};
LATHE_FN void boxes(const u8 *in, u8 *out, int size) {
  static const Case cases[] = {%s};
  constexpr int count = sizeof(cases) / sizeof(cases[0]);
  if (blockIdx.x != 0)
    return;
  u8 *const shared = dynamicShared();
  Mbarrier *const barrier = (Mbarrier *)(shared + 16384);
  if (threadIdx.x == 0) {
    initBarrier(barrier, 1);
    showBarriers();
  }
  __syncthreads();
  for (int i = 0; i < count; ++i) {
    const Case &c = cases[i];
    for (int at = threadIdx.x; at < 4096; at += blockDim.x)
      shared[c.offset + at] = 0xee;
    __syncthreads();
    if (threadIdx.x == 0) {
      TensorMap map = {in, (u32)c.elementBytes, (u32)c.rank};
      u32 bytes = c.elementBytes;
      for (int dim = 0; dim < c.rank; ++dim) {
        map.dims[dim] = c.dims[dim];
        map.box[dim] = c.box[dim];
        bytes *= c.box[dim];
        if (dim > 0)
          map.strides[dim - 1] = c.strides[dim - 1];
      }
      map.swizzle = c.swizzle;
      arriveAndExpect(barrier, bytes);
      if (c.rank == 2)
        copyBox(shared + c.offset, map, barrier, c.place[0], c.place[1]);
      else
        copyBox(shared + c.offset, map, barrier, c.place[0], c.place[1], c.place[2]);
    }
    waitForPhase(barrier, i %% 2);
    for (int at = threadIdx.x; at < 4096; at += blockDim.x)
      out[i * 4096 + at] = shared[c.offset + at];
    __syncthreads();
  }
  for (int at = count * 4096 + threadIdx.x; at < size; at += blockDim.x)
    out[at] = 0;
}
"""


def place_unit(address, swizzle):
    """Where the 16 bytes of a line of 128 end up. The guide draws a swizzle as a
    table with a row per 128 bytes and 8 columns of 16 bytes: of 128 bytes, column
    c of row r holds unit c ^ r % 8; of 64 bytes, each half of a row does so with r
    % 4; of 32 bytes, each quarter with r % 2."""
    columns = {0: 1, 32: 2, 64: 4, 128: 8}[swizzle]
    row, column, rest = address // 128, address % 128 // 16, address % 16
    block, unit = column // columns, column % columns
    return row * 128 + (block * columns + (unit ^ row % columns)) * 16 + rest


def copy_box(memory, case):
    """What stands in 4096 bytes from `offset` on."""
    element, rank, dims, strides, box, swizzle, place, offset = case
    shared = np.full(4096, 0xEE, np.uint8)
    for index in itertools.product(*(range(side) for side in reversed(box[:rank]))):
        index = index[::-1]
        at = [start + step for start, step in zip(place, index)]
        inside = all(0 <= a < size for a, size in zip(at, dims))
        start = at[0] * element + sum(a * stride for a, stride in zip(at[1:], strides))
        value = memory[start:start + element] if inside else np.zeros(element, np.uint8)
        logical, size = 0, element
        for step, side in zip(index, box):
            logical += step * size
            size *= side
        target = place_unit(offset + logical, swizzle) - offset
        shared[target:target + element] = value
    return shared


def box_cases():
    rng = np.random.default_rng(11)
    # Every place of a pattern, from every place where boxes may begin.
    for swizzle, offset in itertools.product((0, 32, 64, 128), range(0, 1024, 128)):
        for element in (1, 2, 4) if offset in (0, 384) else (2,):
            inner = (swizzle or 48) // element
            yield element, 2, (inner + 16, 30, 1), (1024, 0), (inner, 17, 1), swizzle, (0, 3, 0), offset
    # Every edge, and boxes that lie outside altogether.
    for swizzle in (0, 32, 64, 128):
        inner = (swizzle or 64) // 2
        for x, y in itertools.product((-inner, -5, -1, 0, 3, 60 - inner + 9, 60), (-9, -2, 0, 14, 20)):
            yield 2, 2, (60, 20, 1), (128, 0), (inner, 8, 1), swizzle, (x, y, 0), 0
    for _ in range(60):
        swizzle = int(rng.choice([0, 32, 64, 128]))
        element = int(rng.choice([1, 2, 4]))
        inner = (swizzle or 16 * int(rng.integers(1, 5))) // element
        dims = [int(rng.integers(1, 200 // element)), int(rng.integers(1, 12)), int(rng.integers(1, 6))]
        strides = (256, 256 * 12 + 16 * int(rng.integers(0, 4)))
        box = (inner, int(rng.integers(1, 7)), int(rng.integers(1, 4)))
        place = tuple(int(rng.integers(-4, size + 2)) for size in dims)
        yield element, 3, tuple(dims), strides, box, swizzle, place, 128 * int(rng.integers(0, 8))


def braces(value):
    return "{" + ", ".join(map(braces, value)) + "}" if isinstance(value, tuple) else str(value)


class Boxes(unittest.TestCase):
    def copy(self, cases, changes=()):
        shape = (1024, 2 * len(cases) + 8 - 2 * len(cases) % 8)
        texts = Texts(product((1024, 16), (16, shape[1]), shape, "f16"))
        table = ", ".join(braces(case) for case in cases)
        texts.replace_body("gemm_mma.cuh", BOXES % table, f"boxes((const u8 *)in0, (u8 *)out0, {2 * shape[0] * shape[1]});")
        texts.inline("boxes(", changes)
        memory = np.random.default_rng(3).integers(0, 256, 32768).astype(np.uint8)
        outputs, error = texts.run({"x": memory.view(np.float16).reshape(1024, 16), "w": np.zeros((16, shape[1]), np.float16)})
        self.assertIsNone(error)
        found = outputs["y"].view(np.uint8).reshape(-1)[:4096 * len(cases)].reshape(-1, 4096)
        return found, np.stack([copy_box(memory, case) for case in cases])

    def test_boxes_stand_where_the_guide_says(self):
        cases = list(box_cases())
        found, expected = self.copy(cases)
        for case, have, want in zip(cases, found, expected):
            np.testing.assert_array_equal(have, want, str(case))

    def test_a_wrong_swizzle_is_caught(self):
        cases = [case for case in box_cases() if case[5] == 128][:4]
        found, expected = self.copy(cases, [("map.swizzle = c.swizzle;", "map.swizzle = 0;")])
        self.assertTrue((found != expected).any())


PROTOCOL = """
#include "lathe/tma.cuh"
#include "lathe/wgmma.cuh"
LATHE_SIM_MODEL bool isSet(void *at) { return *(i64 *)at != -1; }
LATHE_FN void body(const u8 *in, f16 *out) {
  u8 *const shared = dynamicShared();
  Mbarrier *const barrier = (Mbarrier *)(shared + 16384);
  const TensorMap map = {in, 2, 2, {16, 32}, {32}, {16, 32}, 32};
  f16 *const box = (f16 *)shared;
  const int thread = threadIdx.x;
  (void)map;
  if (thread == 0) {
    initBarrier(barrier, 1);
    initBarrier(barrier + 1, 4);
    showBarriers();
  }
  __syncthreads();
  %s
  for (int i = thread; i < 1024; i += 128)
    out[i] = toF16(i);
}
"""

LOAD = "if (thread == 0) { arriveAndExpect(barrier, 1024); copyBox(box, map, barrier, 0, 0); } __syncthreads(); "


class Protocol(unittest.TestCase):
    def run_body(self, body, changes=()):
        texts = Texts(product((32, 16), (16, 32), (32, 32), "f16"))
        texts.replace_body("gemm_mma.cuh", PROTOCOL % body, "body((const u8 *)in0, out0);")
        if changes:
            texts.inline("body(", changes)
        _, error = texts.run({"x": np.zeros((32, 16), np.float16), "w": np.zeros((16, 32), np.float16)})
        return error or ""

    def check(self, says, body, changes=()):
        error = self.run_body(body, changes)
        if says is None:
            self.assertEqual(error, "")
        else:
            self.assertRegex(error, says, body)

    def test_boxes(self):
        use = "if (toFloat(box[thread]) != 0) lathe_sim_fail(\"a wrong number\");"
        self.check(None, LOAD + "waitForPhase(barrier, 0);" + use)
        for says, body in (
                # missing wait, wrong phase
                ("reads byte .* of dynamic shared memory at .*, where a box is still on its way that thread .0,0,0. started", LOAD + use + "waitForPhase(barrier, 0);"),
                ("where a box is still on its way", LOAD + "waitForPhase(barrier, 1);" + use),
                # One thread's wait is not another's.
                ("where a box is still on its way|and without a barrier between a box wrote", LOAD + "if (thread == 32) waitForPhase(barrier, 0);" + use),
                ("writes byte .* where a box is still on its way", LOAD + "box[thread] = f16{}; waitForPhase(barrier, 0);"),
                # wrong transaction bytes
                ("waits for a phase of an mbarrier at .*, phase 0 of the mbarrier at byte 16384 of shared memory, of which 16 bytes of boxes will not come", LOAD.replace("1024", "1040") + "waitForPhase(barrier, 0);"),
                ("copies a box of 1024 bytes at .*, 16 more than the mbarrier at byte 16384", LOAD.replace("1024", "1008") + "waitForPhase(barrier, 0);"),
                ("ends, and a box is still on its way", LOAD),
                ("nobody initialized", LOAD.replace("barrier", "barrier + 5")),
                ("a multiple of 128", LOAD.replace("copyBox(box", "copyBox(box + 8") + "waitForPhase(barrier, 0);"),
                ("copies a box of 3 dims", LOAD.replace("0, 0)", "0, 0, 0)") + "waitForPhase(barrier, 0);"),
                # What stood there is still being read.
                ("writes byte .*, and without a barrier between thread .* read",
                 "box[thread] = f16{}; __syncthreads(); float sum = 0; for (int i = 0; i < 128; ++i) sum += toFloat(box[i]); if (sum != 0) lathe_sim_fail(\"a wrong number\"); "
                 + "if (thread >= 1) arriveAndExpect(barrier + 2, 0); else { copyBox(box, map, barrier, 0, 0); arriveAndExpect(barrier, 1024); } waitForPhase(barrier, 0);")):
            extra = [("initBarrier(barrier + 1, 4);", "initBarrier(barrier + 1, 4); initBarrier(barrier + 2, 127);")] if "barrier + 2" in body else ()
            with self.subTest(says=says):
                self.check(says, body, extra)
        with self.subTest("no fence"):
            self.check("no fence has shown", LOAD + "waitForPhase(barrier, 0);", [("    showBarriers();\n", "")])
        with self.subTest("a tensor that is too large"):
            self.check("ends 32 bytes beyond the end of input 0", LOAD + "waitForPhase(barrier, 0);", [("{16, 32}, {32}, {16, 32}", "{16, 33}, {32}, {16, 32}")])

    def test_phases(self):
        """Four warps hand a number around eight times."""
        turns = ("for (int turn = 0; turn < 8; ++turn) {{ if (thread == turn) {{ box[0] = toF16(turn); {arrive} }} "
                 "waitForPhase(barrier, {parity}); if (toFloat(box[0]) != turn) lathe_sim_fail(\"a wrong number\"); "
                 "{read} waitForPhase(barrier + 1, turn % 2); }}")
        parts = {"arrive": "arriveAt(barrier);", "parity": "turn % 2", "read": "__syncwarp(); if (thread % 32 == 0) arriveAt(barrier + 1);"}
        self.check(None, turns.format(**parts))
        for says, changes in (
                ("1 arrival will not come", {"arrive": "if (turn < 5) arriveAt(barrier);"}),
                ("that nobody wrote|without a barrier between", {"parity": "(turn + 1) % 2"}),
                ("without a barrier between", {"read": "if (thread % 32 == 0) arriveAt(barrier + 1);"}),
                ("waits for 3 arrivals more", {"read": "__syncwarp(); if (thread == 0) { arriveAt(barrier + 1); lathe_sim_mbarrier_arrive(barrier + 1, 4, 0); }"}),
                ("written over", {"read": "__syncthreads(); if (thread == 9) *(f16 *)barrier = f16{}; __syncthreads(); if (thread % 32 == 0) arriveAt(barrier + 1);"})):
            with self.subTest(says=says):
                self.check(says, turns.format(**parts | changes))

    def test_who_initializes(self):
        self.check("without a barrier between thread .* wrote", "if (thread == 1) arriveAt(barrier + 1);", [("showBarriers();\n  }\n  __syncthreads();", "showBarriers();\n  }\n  if (thread != 0) lathe_sim_wait(isSet, barrier, \"a sign\");")])
        self.check("expected 1 to 1048575", "", [("initBarrier(barrier, 1);", "initBarrier(barrier, 0);")])

    def test_warp_groups_read_what_was_shown(self):
        body = """
  for (int i = thread; i < 8192; i += 128)
    box[i] = f16{};
  SHOW
  __syncthreads();
  float sums[64] = {};
  fenceSums();
  multiplyWarpGroup<false, false>(sums, describeLines(box, 16, 1024), describeLines(box, 16, 1024), f16{});
  commitSums();
  waitForSums<0>();
"""
        self.check(None, body.replace("SHOW", "showToWarpGroups();"))
        self.check("by the asynchronous proxy at .*, and without fence.proxy.async between thread .* wrote", body.replace("SHOW", ""))


RACE = "where a box is still on its way|without a barrier between|that nobody wrote"


class Products(unittest.TestCase):
    """The skeleton, with faults that are its own."""

    def test_faults(self):
        rng = np.random.default_rng(5)
        a, b = (rng.standard_normal(shape, np.float32).astype(np.float16) for shape in ((904, 456), (1304, 456)))
        text = product(a.shape, b.shape, (904, 1304), "f16").replace("%w :", "%w {transpose_rhs} :")
        expected = a.astype(np.float64) @ b.T.astype(np.float64)
        texts = Texts(text, "sm_90a")
        path = texts.find("gemm_tma.cuh")
        sound = path.read_text()
        for name, says, changes in (
                ("nothing", None, []),
                ("no wait for a strip", RACE, [("      waitForPhase(full + stage, parity);\n", "")]),
                ("no wait for an empty stage", RACE + "|waits for 0 arrivals more", [("        waitForPhase(empty + stage, parity);\n", "")]),
                ("a wrong phase", "will not come", [("u32 parity = 1; //", "u32 parity = 0; //")]),
                ("another wrong phase", RACE, [("  u32 parity = 0;\n", "  u32 parity = 1;\n")]),
                ("too many bytes", "will not come", [("arriveAndExpect(full + stage, stageBytes);", "arriveAndExpect(full + stage, stageBytes + 16);")]),
                ("too few bytes", "more than the mbarrier", [("arriveAndExpect(full + stage, stageBytes);", "arriveAndExpect(full + stage, stageBytes - 16);")]),
                ("a stage given back before it was read", RACE, [("      waitForSums<1>();\n      if (step > 0 && lane == 0)\n        arriveAt(empty + before);", "      if (lane == 0)\n        arriveAt(empty + stage);\n      waitForSums<1>();"), ("    waitForSums<0>();\n    if (lane == 0)\n      arriveAt(empty + before);", "    waitForSums<0>();")]),
                ("a stage that is not given back", "will not come", [("      if (step > 0 && lane == 0)\n        arriveAt(empty + before);\n", "")]),
                ("no wait for sums", "", [("    waitForSums<0>();\n    if (lane == 0)", "    if (lane == 0)")]),
                ("rows read before all are there", RACE, [("      }\n    __syncwarp();\n#pragma unroll 1", "      }\n#pragma unroll 1")])):
            with self.subTest(fault=name):
                path.write_text(sound)
                texts.inline("gemm_tma.cuh", changes)
                outputs, error = texts.run({"x": a, "w": b})
                close = outputs is not None and np.allclose(outputs["y"].astype(np.float64), expected, 8e-3, 8e-2)
                if says is None:
                    self.assertTrue(close, error)
                elif says == "":
                    self.assertIsNone(error)
                    self.assertFalse(close)
                else:
                    self.assertRegex(error or "", says)


class Contractions(unittest.TestCase):
    def test_random_products(self):
        """Odd sizes, both orders of both operands, batches, slices, epilogues; each
        by TMA."""
        rng = np.random.default_rng(2024)
        program, count = Program(rng), 0
        for element, swap_a, swap_b in itertools.product(("f16", "bf16"), (False, True), (False, True)):
            batch = int(rng.choice([1, 3]))
            # Lines are multiples of 16 bytes, all else is odd.
            # Products that are large enough for such tiles.
            low, high = ((900, 1200), (1200, 1500)) if batch == 1 else ((450, 800), (600, 1000))
            m, n, k = (int(size) for size in rng.integers((*low, 70), (*high, 200)))
            m, n, k = (size // 8 * 8 if aligned else size | 1 for size, aligned in ((m, swap_a), (n, not swap_b), (k, not swap_a or swap_b)))
            lead = [batch] if batch > 1 else []
            a, b = [*lead, *([k, m] if swap_a else [m, k])], [*lead, *([n, k] if swap_b else [k, n])]
            (x, left), (y, right) = program.input(a, element), program.input(b, element)
            flags = [name for name, on in (("transpose_lhs", swap_a), ("transpose_rhs", swap_b)) if on]
            shape = [*lead, m, n]
            value = program.op("matmul", [(x, tensor(a, element)), (y, tensor(b, element))], tensor(shape, element), f"{{{', '.join(flags)}}}" if flags else "")
            expected = np.matmul(wide(left.swapaxes(-1, -2) if swap_a else left), wide(right.swapaxes(-1, -2) if swap_b else right))
            bias, numbers = program.input([n], element)
            value = program.op("add", [(value, tensor(shape, element)), (bias, tensor([n], element))], tensor(shape, element))
            program.output(value, shape, element, expected + wide(numbers))
            count += 1
        texts = program.check()
        self.assertEqual(texts.count('#include "lathe/gemm_tma.cuh"'), count)

    def test_the_first_strip_is_enough(self):
        """One strip of each operand, and blocks that do more than one tile."""
        program = Program(np.random.default_rng(1))
        (x, left), (y, right) = program.input([2304, 64], "bf16"), program.input([2048, 64], "bf16")
        value = program.op("matmul", [(x, tensor([2304, 64], "bf16")), (y, tensor([2048, 64], "bf16"))], tensor([2304, 2048], "bf16"), "{transpose_rhs}")
        program.output(value, [2304, 2048], "bf16", wide(left) @ wide(right).T)
        self.assertIn("gemm_tma.cuh", program.check())

    def test_tensors_within_arguments(self):
        """A side that is the same for the whole batch, one that is a part of its
        argument (what lies beyond it is there, and must not be read), and k in
        parts."""
        program = Program(np.random.default_rng(8))

        def add(a, b, shape, element, left, right):
            value = program.op("matmul", [(a[0], tensor(a[1], element)), (b[0], tensor(b[1], element))], tensor(shape, element))
            program.output(value, shape, element, np.matmul(wide(left), wide(right)))

        (x, left), (y, right) = program.input([501, 72], "f16"), program.input([3, 72, 904], "f16")
        add((x, [501, 72]), (y, [3, 72, 904]), [3, 501, 904], "f16", left, right)
        (x, left), (y, right) = program.input([1003, 200], "f16"), program.input([96, 1304], "f16")
        part = program.op("slice", [(x, tensor([1003, 200], "f16"))], tensor([1000, 96], "f16"), "{starts = array<i64: 3, 16>, ends = array<i64: 1003, 112>}")
        add((part, [1000, 96]), (y, [96, 1304]), [1000, 1304], "f16", left[3:, 16:112], right)
        (x, left), (y, right) = program.input([505, 2056], "bf16"), program.input([2056, 1032], "bf16")
        add((x, [505, 2056]), (y, [2056, 1032]), [505, 1032], "bf16", left, right)
        texts = program.check()
        self.assertEqual(texts.count('#include "lathe/gemm_tma.cuh"'), 3)
        self.assertEqual(texts.count("gemmTma<Shape, Tile>(A{tensorA}, B{tensorB}, PartialSums"), 1)

    def test_lines_that_tma_cannot_read(self):
        """They go the other way."""
        program = Program(np.random.default_rng(1))
        (x, left), (y, right) = program.input([1100, 132], "f16"), program.input([2056, 132], "f16")
        value = program.op("matmul", [(x, tensor([1100, 132], "f16")), (y, tensor([2056, 132], "f16"))], tensor([1100, 2056], "f16"), "{transpose_rhs}")
        program.output(value, [1100, 2056], "f16", wide(left) @ wide(right).T)
        self.assertNotIn("gemm_tma.cuh", program.check())


if __name__ == "__main__":
    unittest.main()

"""The simulator's tensor cores against the tables of the PTX ISA, "Warp-level
matrix instructions": which lane holds which element of mma's operands and sums,
and what ldmatrix hands to whom. Every product of the instruction is looked at
alone: B selects one place of k per column, another one in every batch."""

import unittest

import numpy as np

from cuda_text import Texts

# As the tables have it: element i of a lane, groupID = lane / 4 and
# threadID_in_group = lane % 4, for types of 32, 16 and 8 bits.
TABLE = """
template <typename T> struct Table {
  static constexpr bool isSmall = sizeof(T) == 1, isLarge = sizeof(T) == 4;
  static constexpr int k = 32 / sizeof(T), ofA = isSmall ? 16 : isLarge ? 4 : 8, ofB = isSmall ? 8 : isLarge ? 2 : 4;
  static __device__ int rowOfA(int groupID, int i) {
    if (isLarge)
      return i == 0 || i == 2 ? groupID : groupID + 8;
    if (isSmall)
      return (0 <= i && i < 4) || (8 <= i && i < 12) ? groupID : groupID + 8;
    return (0 <= i && i < 2) || (4 <= i && i < 6) ? groupID : groupID + 8;
  }
  static __device__ int columnOfA(int inGroup, int i) {
    if (isLarge)
      return i == 0 || i == 1 ? inGroup : inGroup + 4;
    if (isSmall)
      return i < 8 ? inGroup * 4 + (i & 3) : inGroup * 4 + (i & 3) + 16;
    return i < 4 ? inGroup * 2 + (i & 1) : inGroup * 2 + (i & 1) + 8;
  }
  static __device__ int rowOfB(int inGroup, int i) {
    if (isLarge)
      return i == 0 ? inGroup : inGroup + 4;
    if (isSmall)
      return i < 4 ? inGroup * 4 + (i & 3) : inGroup * 4 + (i & 3) + 16;
    return i < 2 ? inGroup * 2 + (i & 1) : inGroup * 2 + (i & 1) + 8;
  }
};
LATHE_FN f16 narrow(float x, f16) { return toF16(x); }
LATHE_FN float narrow(float x, float) { return x; }
LATHE_FN i32 narrow(i32 x, i32) { return x; }
template <typename Sum, typename A, typename B, typename Out> LATHE_FN void multiply(const A *a, const B *b, Out *c) {
  using Map = Table<A>;
  const int lane = threadIdx.x, groupID = lane / 4, inGroup = lane % 4;
  if (lane >= 32)
    return;
  const int batch = blockIdx.x;
  a += batch * 16 * Map::k;
  b += batch * Map::k * 8;
  c += batch * 16 * 8;
  A x[Map::ofA];
  B y[Map::ofB];
  for (int i = 0; i < Map::ofA; ++i)
    x[i] = a[Map::rowOfA(groupID, i) * Map::k + Map::columnOfA(inGroup, i)];
  for (int i = 0; i < Map::ofB; ++i)
    y[i] = b[Map::rowOfB(inGroup, i) * 8 + groupID];
  u32 words[4], pair[2];
  copyBytes(words, x, sizeof(words));
  copyBytes(pair, y, sizeof(pair));
  Sum sums[4] = {1, 2, 3, 4};
  multiplyAdd(sums, words, pair[0], pair[1], A{}, B{});
  for (int i = 0; i < 4; ++i)
    c[(i < 2 ? groupID : groupID + 8) * 8 + inGroup * 2 + (i & 1)] = narrow(sums[i] - (Sum)(i + 1), Out{});
}
"""

LOADS = """
LATHE_FN void load(const f16 *in, f16 *out) {
  __shared__ __align__(16) f16 lines[256];
  for (int i = threadIdx.x; i < 256; i += blockDim.x)
    lines[i] = in[i];
  __syncthreads();
  if (threadIdx.x >= 32)
    return;
  u32 plain[4], turned[4];
  loadMatrices(plain, lines + 8 * threadIdx.x);
  loadMatricesTransposed(turned, lines + 8 * threadIdx.x);
  copyBytes(out + 8 * threadIdx.x, plain, 16);
  copyBytes(out + 256 + 8 * threadIdx.x, turned, 16);
}
"""

# How many places of a strip are not where they should be: taken twice, or with
# two of eight neighbouring lines in one column of banks.
PLACES = """
template <typename T, bool k> struct Any {
  using Element = T;
  static constexpr bool alongK = k;
  static constexpr int vector = 1;
};
template <typename S> LATHE_FN int wrongPlaces() {
  int wrong = 0;
  for (int line = 0; line < S::lines; ++line)
    for (int chunk = 0; chunk < S::chunks; ++chunk) {
      const int place = S::place(line, chunk);
      wrong += place < 0 || place + 16 > S::bytes || place % 16 != 0;
      for (int other = 0; other < S::lines * S::chunks; ++other)
        wrong += other != line * S::chunks + chunk && S::place(other / S::chunks, other % S::chunks) == place;
      for (int other = line / 8 * 8; other < line; ++other)
        wrong += S::place(other, chunk) / 16 % 8 == place / 16 % 8;
    }
  return wrong;
}
LATHE_FN void places(f16 *out) {
  if (threadIdx.x != 0)
    return;
  for (int i = 0; i < 128; ++i)
    out[i] = toF16(0);
  out[0] = toF16(wrongPlaces<Strip<Any<f16, true>, 32>>());
  out[1] = toF16(wrongPlaces<Strip<Any<f16, true>, 128>>());
  out[2] = toF16(wrongPlaces<Strip<Any<f16, false>, 32>>());
  out[3] = toF16(wrongPlaces<Strip<Any<f16, false>, 64>>());
  out[4] = toF16(wrongPlaces<Strip<Any<f16, false>, 128>>());
  out[5] = toF16(wrongPlaces<Strip<Any<i8, true>, 64>>());
  out[6] = toF16(wrongPlaces<Strip<Any<i8, false>, 64>>());
  out[7] = toF16(wrongPlaces<Strip<Any<f16, true>, 64, 32>>());
  out[8] = toF16(wrongPlaces<Strip<Any<f16, true>, 64, 128>>());
  out[9] = toF16(wrongPlaces<Strip<Any<f16, false>, 32, 64>>());
  out[10] = toF16(wrongPlaces<Strip<Any<f16, false>, 128, 64>>());
}
"""


# One wgmma per block, of matrices that stand as the PTX ISA's layouts with
# 128-byte swizzle have them, by rows (K-major) and by k (MN-major).
GROUPS = """
#include "lathe/wgmma.cuh"
LATHE_FN u32 placeOf(int row, int k, int rows, bool linesAreK) {
  const int line = linesAreK ? k : row, inLine = linesAreK ? row : k;
  const u32 pattern = linesAreK ? inLine / 64 * 2048 + line / 8 * 1024 : line / 8 * 1024;
  return pattern + line % 8 * 128 + ((inLine % 64 / 8) ^ (line % 8)) * 16 + inLine % 8 * 2;
}
template <bool aLinesAreK, bool bLinesAreK> LATHE_FN void multiplyGroup(const f16 *a, const f16 *b, f16 *c) {
  const int batch = blockIdx.x;
  if (batch >= 16)
    return;
  u8 *const atA = dynamicShared(), *const atB = atA + 8192;
  for (int i = threadIdx.x; i < 24576; i += blockDim.x)
    atA[i] = 0;
  __syncthreads();
  for (int i = threadIdx.x; i < 64 * 16; i += blockDim.x)
    *(f16 *)(atA + placeOf(i / 16, i % 16, 64, aLinesAreK)) = a[batch * 64 * 16 + i];
  for (int i = threadIdx.x; i < 16 * 128; i += blockDim.x)
    *(f16 *)(atB + placeOf(i % 128, i / 128, 128, bLinesAreK)) = b[batch * 16 * 128 + i];
  showToWarpGroups();
  __syncthreads();
  float sums[64] = {};
  fenceSums();
  multiplyWarpGroup<aLinesAreK, bLinesAreK>(
      sums, describeLines(atA, 2048, 1024), describeLines(atB, 2048, 1024), f16{});
  commitSums();
  waitForSums<0>();
  const int warp = threadIdx.x / 32, groupID = threadIdx.x % 32 / 4, inGroup = threadIdx.x % 4;
  for (int i = 0; i < 64; ++i) {
    const int row = warp * 16 + groupID + (i / 2 % 2) * 8, column = i / 4 * 8 + inGroup * 2 + i % 2;
    c[batch * 64 * 128 + row * 128 + column] = toF16(sums[i]);
  }
}
"""


def bytes_product(a, b, c, left, right):
    x, y, z = (f"tensor<{'x'.join(map(str, shape))}x{element}>" for shape, element in ((a, left), (b, right), (c, "i32")))
    return (f'func.func @main(%x: {x} {{lathe.name = "x"}}, %w: {y} {{lathe.name = "w"}}) -> ({z} {{lathe.name = "y"}}) {{\n'
            f"  %y = lathe.matmul %x, %w : ({x}, {y}) -> {z}\n  return %y : {z}\n}}\n")


def product(a, b, c, element):
    """y = a b, with casts where files cannot hold the type."""
    stored = "f32" if element == "bf16" else element
    x, y, z = (f"tensor<{'x'.join(map(str, shape))}x" for shape in (a, b, c))
    casts = "" if stored == element else (
        f"  %a = lathe.cast %x to {element} : ({x}{stored}>) -> {x}{element}>\n"
        f"  %b = lathe.cast %w to {element} : ({y}{stored}>) -> {y}{element}>\n")
    left, right = ("%a", "%b") if casts else ("%x", "%w")
    result = f"  %r = lathe.matmul {left}, {right} : ({x}{element}>, {y}{element}>) -> {z}{element}>\n"
    if casts:
        result += f"  %s = lathe.cast %r to {stored} : ({z}{element}>) -> {z}{stored}>\n"
    return (
        f'func.func @main(%x: {x}{stored}> {{lathe.name = "x"}}, %w: {y}{stored}> {{lathe.name = "w"}}) -> ({z}{stored}> {{lathe.name = "y"}}) {{\n'
        f"{casts}{result}  return {'%s' if casts else '%r'} : {z}{stored}>\n}}\n")


class Fragments(unittest.TestCase):
    def multiply(self, element, changes=()):
        """What every (row, k, column) of one instruction gives, and should give."""
        depth = {"f32": 8}.get(element, 16)
        dtype = {"f32": np.float32, "f16": np.float16, "bf16": np.float32}[element]
        values = (np.arange(16 * depth) * 7 % 251 - 125).reshape(16, depth)
        a = np.broadcast_to(values, (depth, 16, depth)).astype(dtype)
        b = np.zeros((depth, depth, 8), dtype)
        for batch, column in np.ndindex(depth, 8):
            b[batch, (batch + column) % depth, column] = 1
        texts = Texts(product(a.shape, b.shape, (depth, 16, 8), element), options=["--precision", "tf32"] if element == "f32" else [])
        texts.replace_body("gemm_mma.cuh", TABLE, "multiply<float>(in0, in1, out0);")
        if changes:
            texts.inline("multiply<", changes)
        outputs, error = texts.run({"x": a, "w": b})
        self.assertIsNone(error)
        return outputs["y"].astype(np.int64), np.matmul(a.astype(np.int64), b.astype(np.int64))

    def test_products(self):
        for element in ("f32", "f16", "bf16"):
            found, expected = self.multiply(element)
            np.testing.assert_array_equal(found, expected, element)

    def multiply_bytes(self, left, right, changes=()):
        """The same of bytes, of which one side may be signed; B has a number that is negative where it is."""
        dtypes, sign = {"i8": np.int8, "ui8": np.uint8}, {"i8": -125, "ui8": 0}
        values = np.arange(16 * 32) * 7 % 251 + sign[left]
        a = np.broadcast_to(values.reshape(16, 32), (32, 16, 32)).astype(dtypes[left])
        b = np.zeros((32, 32, 8), dtypes[right])
        for batch, column in np.ndindex(32, 8):
            b[batch, (batch + column) % 32, column] = 200 if right == "ui8" else -100
        texts = Texts(bytes_product(a.shape, b.shape, (32, 16, 8), left, right))
        cast = ", ".join(f"(const {'u8' if side == 'ui8' else 'i8'} *)in{i}" for i, side in enumerate((left, right)))
        texts.replace_body("gemm_mma.cuh", TABLE, f"multiply<i32>({cast}, out0);")
        if changes:
            texts.inline("multiply<", changes)
        outputs, error = texts.run({"x": a, "w": b})
        self.assertIsNone(error)
        return outputs["y"], np.matmul(a.astype(np.int32), b.astype(np.int32))

    def test_products_of_bytes(self):
        for left in ("i8", "ui8"):
            for right in ("i8", "ui8"):
                found, expected = self.multiply_bytes(left, right)
                np.testing.assert_array_equal(found, expected, f"{left} x {right}")

    def test_a_wrong_byte_is_caught(self):
        for old, new in (
                ("return (u8)(word >> 8 * e);", "return (i8)(word >> 8 * e);"),
                ("return (i8)(word >> 8 * e);", "return (u8)(word >> 8 * e);"),
                ("return (i8)(word >> 8 * e);", "return (i8)(word >> 8 * (3 - e));"),
                ("all[column * 4 + word % 4].b[word / 4]", "all[column * 4 + word % 4].b[1 - word / 4]")):
            found, expected = self.multiply_bytes("ui8", "i8", [(old, new)])
            self.assertTrue((found != expected).any(), new)

    def test_a_wrong_layout_is_caught(self):
        for changes in (
                [("[word / 4 * 2 + row / 8]", "[word / 4 + row / 8 * 2]")],
                [("all[column * 4 + word % 4]", "all[column + word % 4 * 8]")],
                [("const int column = simLane() % 4 * 2 + i % 2;", "const int column = simLane() % 4 + i % 2 * 4;")]):
            found, expected = self.multiply("f16", changes)
            self.assertTrue((found != expected).any(), changes)

    def round(self, values, changes=()):
        """What 16 columns of f32 become as operands of tensor cores: a product with ones on the diagonal."""
        texts = Texts(product(values.shape, (16, 16), values.shape, "f32"), options=["--precision", "tf32"])
        if changes:
            texts.inline("MmaTile", changes)
        outputs, error = texts.run({"x": values, "w": np.eye(16, dtype=np.float32)})
        self.assertIsNone(error)
        return outputs["y"]

    def test_tf32_is_rounded_to_the_nearest_and_ties_away_from_zero(self):
        rng = np.random.default_rng(1)
        values = np.ldexp(rng.standard_normal((64, 16)), rng.integers(-100, 100, (64, 16))).astype(np.float32)
        # Between two of tf32: exactly in the middle, one below it, one above; and to be carried on.
        ties = (values.view(np.uint32) & 0xFFFFE000) + np.arange(0xFFF, 0x1002, dtype=np.uint32)[rng.integers(3, size=values.shape)]
        ties[0] |= 0x7FFFFF
        values = np.concatenate([values, ties.view(np.float32)])
        mantissa, exponent = np.frexp(values.astype(np.float64))
        expected = np.ldexp(np.copysign(np.floor(np.abs(mantissa) * 2**11 + 0.5), mantissa), exponent - 11).astype(np.float32)
        np.testing.assert_array_equal(self.round(values), expected)
        for wrong in ("word & 0xffffe000u", "(word + 0xfffu) & 0xffffe000u", "word"):
            found = self.round(values, [("return (word + 0x1000u) & 0xffffe000u;", f"return {wrong};")])
            self.assertTrue((found != expected).any(), wrong)

    def multiply_groups(self, orders, changes=()):
        values = (np.arange(64 * 16) * 7 % 251 - 125).reshape(64, 16)
        a = np.broadcast_to(values, (16, 64, 16)).astype(np.float16)
        b = np.zeros((16, 16, 128), np.float16)
        for batch, column in np.ndindex(16, 128):
            b[batch, (batch + column) % 16, column] = 1
        texts = Texts(product(a.shape, b.shape, (16, 64, 128), "f16"))
        texts.replace_body("gemm_mma.cuh", GROUPS, f"multiplyGroup<{orders}>(in0, in1, out0);")
        if changes:
            texts.inline("multiplyGroup<", changes)
        outputs, error = texts.run({"x": a, "w": b})
        self.assertIsNone(error)
        return outputs["y"].astype(np.int64), np.matmul(a.astype(np.int64), b.astype(np.int64))

    def test_products_of_warp_groups(self):
        for orders in ("false, false", "false, true", "true, false", "true, true"):
            found, expected = self.multiply_groups(orders)
            np.testing.assert_array_equal(found, expected, orders)

    def test_a_wrong_descriptor_is_caught(self):
        for orders, old, new in (
                ("false, false", "sums, describeLines(atA, 2048, 1024)", "sums, describeLines(atA, 2048, 512)"),
                ("false, true", "describeLines(atB, 2048, 1024)", "describeLines(atB, 1024, 2048)"),
                ("false, false", "((inLine % 64 / 8) ^ (line % 8)) * 16", "(inLine % 64 / 8) * 16")):
            found, expected = self.multiply_groups(orders, [(old, new)])
            self.assertTrue((found != expected).any(), old)

    def load(self, changes=()):
        texts = Texts(product((16, 16), (16, 32), (16, 32), "f16"))
        texts.replace_body("gemm_mma.cuh", LOADS, "load(in0, out0);")
        if changes:
            texts.inline("load(in0", changes)
        values = np.arange(256, dtype=np.float16)
        outputs, error = texts.run({"x": values.reshape(16, 16), "w": np.zeros((16, 32), np.float16)})
        self.assertIsNone(error)
        matrices = values.reshape(4, 8, 8)
        # Thread (lane): row lane / 4, elements 2 (lane % 4) and one more.
        plain = matrices.reshape(4, 8, 4, 2).transpose(1, 2, 0, 3)
        turned = matrices.transpose(0, 2, 1).reshape(4, 8, 4, 2).transpose(1, 2, 0, 3)
        return outputs["y"].ravel(), np.concatenate([plain.ravel(), turned.ravel()])

    def test_loads(self):
        found, expected = self.load()
        np.testing.assert_array_equal(found, expected)

    def test_a_wrong_load_is_caught(self):
        found, expected = self.load([("transposed ? at[2 * t][g] : at[g][2 * t]", "transposed ? at[g][2 * t] : at[g][2 * t]")])
        self.assertTrue((found != expected).any())

    def wrong_places(self, changes=()):
        texts = Texts(product((16, 16), (16, 8), (16, 8), "f16"))
        texts.replace_body("gemm_mma.cuh", PLACES, "places(out0);")
        if changes:
            texts.inline("places(out0", changes)
        outputs, error = texts.run({"x": np.zeros((16, 16), np.float16), "w": np.zeros((16, 8), np.float16)})
        self.assertIsNone(error)
        return outputs["y"].ravel()[:11]

    def test_chunks_change_places_without_conflicts(self):
        np.testing.assert_array_equal(self.wrong_places(), np.zeros(11))

    def test_a_wrong_swizzle_is_caught(self):
        for changes in ([("(chunk % columns) ^ (line / (8 / columns) % columns)", "chunk % columns")],
                        [("(line / (8 / columns) % columns)", "(line / 2 % columns)")]):
            self.assertTrue(self.wrong_places(changes).any(), changes)


if __name__ == "__main__":
    unittest.main()

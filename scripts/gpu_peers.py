"""What gpu-check compares Lathe with, on the machine it runs on.

The copy bandwidth and cuBLASLt come through ctypes, so that a machine with the
driver and the CUDA toolkit needs nothing else; PyTorch and JAX are used where
they are installed. Times are medians in seconds, of device work alone: events
around each call, with more memory than the L2 cache overwritten in between,
because Lathe's own times are of runs between which its inputs are copied.
"""

import ctypes
import ctypes.util
import glob
import statistics


def median_of(times):
    return statistics.median(times)


class Cuda:
    """The driver, with one context, on device 0."""

    def __init__(self):
        self.lib = ctypes.CDLL("libcuda.so.1")
        self.call("cuInit", 0)
        device, self.context = ctypes.c_int(), ctypes.c_void_p()
        self.call("cuDeviceGet", ctypes.byref(device), 0)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(self.context), device)
        self.call("cuCtxSetCurrent", self.context)
        self.start, self.end = self.event(), self.event()
        self.flush_bytes = 256 << 20
        self.flush = self.allocate(self.flush_bytes)

    def call(self, name, *args):
        result = getattr(self.lib, name)(*args)
        if result:
            raise RuntimeError(f"{name} failed with {result}")

    def event(self):
        event = ctypes.c_void_p()
        self.call("cuEventCreate", ctypes.byref(event), 0)
        return event

    def allocate(self, count):
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(count))
        # Some bits: products of zeros take less power, and so less time.
        self.call("cuMemsetD16_v2", address, ctypes.c_ushort(0x3C3C), ctypes.c_size_t(count // 2))
        return address

    def free(self, *addresses):
        for address in addresses:
            self.call("cuMemFree_v2", address)

    def time(self, work, repeat=30):
        """Median of `repeat` calls after three that warm up."""
        times = []
        milliseconds = ctypes.c_float()
        for i in range(repeat + 3):
            self.call("cuMemsetD8_v2", self.flush, ctypes.c_ubyte(i), ctypes.c_size_t(self.flush_bytes))
            self.call("cuCtxSynchronize")
            self.call("cuEventRecord", self.start, None)
            work()
            self.call("cuEventRecord", self.end, None)
            self.call("cuEventSynchronize", self.end)
            self.call("cuEventElapsedTime", ctypes.byref(milliseconds), self.start, self.end)
            if i >= 3:
                times.append(milliseconds.value * 1e-3)
        return median_of(times)

    def copy_bandwidth(self, count=1 << 30):
        """Bytes read and written per second by a copy on the device."""
        source, target = self.allocate(count), self.allocate(count)
        seconds = self.time(lambda: self.call("cuMemcpyDtoDAsync_v2", target, source, ctypes.c_size_t(count), None))
        self.free(source, target)
        return 2 * count / seconds


class CublasLt:
    """Row-major products, by the algorithm cuBLASLt's heuristic likes best."""

    TYPES = {"f32": (0, 4), "f16": (2, 2), "bf16": (14, 2)}  # cudaDataType, bytes
    WORKSPACE = 64 << 20

    class Heuristic(ctypes.Structure):
        _fields_ = [("algo", ctypes.c_uint64 * 8), ("workspace", ctypes.c_size_t), ("state", ctypes.c_int),
                    ("waves", ctypes.c_float), ("reserved", ctypes.c_int * 4)]

    def __init__(self, cuda):
        self.cuda = cuda
        for path in ["libcublasLt.so.13", *sorted(glob.glob("/usr/local/cuda*/lib64/libcublasLt.so.1[23]"), reverse=True),
                     "libcublasLt.so.12"]:
            try:
                self.lib = ctypes.CDLL(path)
                break
            except OSError:
                continue
        else:
            raise RuntimeError("libcublasLt is not found")
        self.handle = ctypes.c_void_p()
        self.call("cublasLtCreate", ctypes.byref(self.handle))
        self.lib.cublasLtGetVersion.restype = ctypes.c_size_t
        self.version = self.lib.cublasLtGetVersion()

    def call(self, name, *args):
        result = getattr(self.lib, name)(*args)
        if result:
            raise RuntimeError(f"{name} failed with {result}")

    def gemm(self, m, n, k, dtype, tf32=False):
        """Seconds of C[m,n] = A[m,k] B[k,n]."""
        kind, size = self.TYPES[dtype]
        desc = ctypes.c_void_p()
        compute = 77 if tf32 else 68  # CUBLAS_COMPUTE_32F_FAST_TF32, CUBLAS_COMPUTE_32F
        self.call("cublasLtMatmulDescCreate", ctypes.byref(desc), compute, 0)
        # cuBLAS is column-major: it sees the transposes, C' = B' A'.
        layouts = []
        for rows, columns in ((n, k), (k, m), (n, m)):
            layout = ctypes.c_void_p()
            self.call("cublasLtMatrixLayoutCreate", ctypes.byref(layout), kind, ctypes.c_uint64(rows),
                      ctypes.c_uint64(columns), ctypes.c_int64(rows))
            layouts.append(layout)
        preference = ctypes.c_void_p()
        self.call("cublasLtMatmulPreferenceCreate", ctypes.byref(preference))
        limit = ctypes.c_uint64(self.WORKSPACE)
        self.call("cublasLtMatmulPreferenceSetAttribute", preference, 1, ctypes.byref(limit), ctypes.c_size_t(8))
        best, found = self.Heuristic(), ctypes.c_int()
        self.call("cublasLtMatmulAlgoGetHeuristic", self.handle, desc, layouts[0], layouts[1], layouts[2], layouts[2],
                  preference, 1, ctypes.byref(best), ctypes.byref(found))
        if not found.value:
            raise RuntimeError("cuBLASLt has no algorithm for this product")
        cuda = self.cuda
        a, b, c = (cuda.allocate(count * size) for count in (m * k, k * n, m * n))
        workspace = cuda.allocate(self.WORKSPACE)
        alpha, beta = ctypes.c_float(1), ctypes.c_float(0)

        def work():
            self.call("cublasLtMatmul", self.handle, desc, ctypes.byref(alpha), b, layouts[0], a, layouts[1],
                      ctypes.byref(beta), c, layouts[2], c, layouts[2], ctypes.byref(best), workspace,
                      ctypes.c_size_t(self.WORKSPACE), None)

        seconds = cuda.time(work)
        cuda.free(a, b, c, workspace)
        return seconds


def torch_or_none():
    try:
        import torch
    except ImportError:
        return None
    return torch if torch.cuda.is_available() else None


def jax_or_none():
    try:
        import jax
    except ImportError:
        return None
    return jax if any(device.platform == "gpu" for device in jax.devices()) else None


def torch_time(torch, work, repeat=30):
    flush = torch.empty(256 << 20, dtype=torch.int8, device="cuda")
    times = []
    for i in range(repeat + 3):
        flush.fill_(i)
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        work()
        end.record()
        torch.cuda.synchronize()
        if i >= 3:
            times.append(start.elapsed_time(end) * 1e-3)
    return median_of(times)


def torch_attention(torch, shape, dtype, causal):
    kind = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}[dtype]
    q, k, v = (torch.randn(shape, dtype=kind, device="cuda") for _ in range(3))
    attend = torch.nn.functional.scaled_dot_product_attention
    return torch_time(torch, lambda: attend(q, k, v, is_causal=causal))


def wall_time(work, wait, repeat=30):
    """Median of whole calls on the host's clock."""
    import time
    times = []
    for i in range(repeat + 5):
        start = time.perf_counter()
        work()
        wait()
        if i >= 5:
            times.append(time.perf_counter() - start)
    return median_of(times)


def torch_bert(torch, batch, sequence):
    """torch.compile of an encoder of BERT-base's size, f32 with TF32 off."""
    layer = torch.nn.TransformerEncoderLayer(768, 12, 3072, 0.0, "gelu", batch_first=True, layer_norm_eps=1e-12)
    model = torch.nn.TransformerEncoder(layer, 12, enable_nested_tensor=False).cuda().eval()
    words = torch.nn.Embedding(30522, 768).cuda()
    ids = torch.randint(0, 30522, (batch, sequence), device="cuda")
    compiled = torch.compile(lambda ids: model(words(ids)), mode="max-autotune")
    with torch.no_grad():
        return wall_time(lambda: compiled(ids), torch.cuda.synchronize)


def jax_bert(jax, batch, sequence):
    """The same in JAX, jitted, in f32 at the highest precision of products."""
    jnp = jax.numpy
    keys = iter(jax.random.split(jax.random.PRNGKey(0), 100))

    def weight(*shape):
        return jax.random.normal(next(keys), shape, jnp.float32) * 0.02

    words = weight(30522, 768)
    layers = {"qkv": weight(12, 768, 3 * 768), "out": weight(12, 768, 768), "up": weight(12, 768, 3072),
              "down": weight(12, 3072, 768)}

    def norm(x):
        mean = x.mean(-1, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-12)

    def layer(x, w):
        qkv = (x @ w["qkv"]).reshape(batch, sequence, 3, 12, 64)
        q, k, v = (qkv[:, :, i].transpose(0, 2, 1, 3) for i in range(3))
        scores = jax.nn.softmax(q @ k.transpose(0, 1, 3, 2) / 8.0)
        x = norm(x + (scores @ v).transpose(0, 2, 1, 3).reshape(batch, sequence, 768) @ w["out"])
        return norm(x + jax.nn.gelu(x @ w["up"], approximate=False) @ w["down"]), None

    with jax.default_matmul_precision("highest"):
        run = jax.jit(lambda ids: jax.lax.scan(layer, norm(words[ids]), layers)[0])
        ids = jax.random.randint(next(keys), (batch, sequence), 0, 30522)
        return wall_time(lambda: run(ids).block_until_ready(), lambda: None)

"""One-op models as text, for kernel-check and gpu-check."""


def function(arguments, result, body):
    listed = ", ".join(f'%{name}: {kind} {{lathe.name = "{name}"}}' for name, kind in arguments)
    return f'func.func @main({listed}) -> ({result} {{lathe.name = "result"}}) {{\n{body}}}\n'


def gemm(m, n, k, dtype):
    a, b, c = f"tensor<{m}x{k}x{dtype}>", f"tensor<{k}x{n}x{dtype}>", f"tensor<{m}x{n}x{'i32' if dtype == 'i8' else dtype}>"
    return function([("a", a), ("b", b)], c, f"  %0 = lathe.matmul %a, %b : ({a}, {b}) -> {c}\n  return %0 : {c}\n")


def rows(op, m, n, dtype):
    kind, row = f"tensor<{m}x{n}x{dtype}>", f"tensor<{n}x{dtype}>"
    if op == "cumsum":
        return function([("x", kind)], kind, f"  %0 = lathe.cumsum %x {{axis = 1 : i64}} : ({kind}) -> {kind}\n  return %0 : {kind}\n")
    if op == "softmax":
        return function([("x", kind)], kind, f"  %0 = lathe.softmax %x : ({kind}) -> {kind}\n  return %0 : {kind}\n")
    return function([("x", kind), ("scale", row), ("bias", row)], kind,
                    f"  %0 = lathe.layer_norm %x scale %scale bias %bias {{epsilon = 1.0e-5}} : ({kind}, {row}, {row})"
                    f" -> {kind}\n  return %0 : {kind}\n")


def attention(shape, dtype, causal):
    kind = f"tensor<{'x'.join(map(str, shape))}x{dtype}>"
    mark = " {causal}" if causal else ""
    return function([("q", kind), ("k", kind), ("v", kind)], kind,
                    f"  %0 = lathe.attention %q, %k, %v{mark} : ({kind}, {kind}, {kind}) -> {kind}\n"
                    f"  return %0 : {kind}\n")


def attention_gradients(shape, dtype, causal):
    kind, rows = f"tensor<{'x'.join(map(str, shape))}x{dtype}>", f"tensor<{'x'.join(map(str, shape[:-1]))}xf32>"
    mark = " {causal}" if causal else ""
    names = ("q", "k", "v", "g")
    return (f"func.func @main({', '.join(f'%{n}: {kind}' for n in names)}, %delta: {rows}) -> ({kind}, {kind}, {kind}, {kind}) {{\n"
            f"  %0:2 = lathe.attention_training %q, %k, %v{mark} : ({kind}, {kind}, {kind}) -> ({kind}, {rows})\n"
            f"  %1:3 = lathe.attention_backward %q, %k, %v, %g, %0#1, %delta{mark} : ({kind}, {kind}, {kind}, {kind}, {rows}, {rows})"
            f" -> ({kind}, {kind}, {kind})\n  return %0#0, %1#0, %1#1, %1#2 : {kind}, {kind}, {kind}, {kind}\n}}\n")


def convolution(batch, size, channels, filters, kernel, dtype):
    """Channels first, the same size out as in."""
    x, y = (f"tensor<{batch}x{c}x{size}x{size}x{dtype}>" for c in (channels, filters))
    w = f"tensor<{filters}x{channels}x{kernel}x{kernel}x{dtype}>"
    pad = f"array<i64: {kernel // 2}, {kernel // 2}>"
    return function([("x", x), ("w", w)], y,
                    f"  %0 = lathe.conv %x, %w {{pad_low = {pad}, pad_high = {pad}}} : ({x}, {w}) -> {y}\n"
                    f"  return %0 : {y}\n")

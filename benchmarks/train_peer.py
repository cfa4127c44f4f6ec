"""A peer's side of train.py: train steps of a model in JAX or PyTorch.

  train_peer.py jax|torch|torch-compile MODEL DATA.npz --turn N [--threads T]

DATA.npz holds `value.NAME`, what the parameters are at first, and `batch.NAME`,
the batches, [count, batch...]. For a line of standard input, N steps of AdamW;
the answer is a line of JSON with their times and losses, as train-steps gives it.
"""

import argparse
import json
import pathlib
import sys
import time

import numpy as np

TOP = pathlib.Path(__file__).resolve().parent.parent
RATE, DECAY, BETA1, BETA2, EPSILON = 1e-3, 0.01, 0.9, 0.999, 1e-8


def memory(word):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(word))


def jax_step(name, values, batches):
    """A function of no arguments that makes one step and returns the loss."""
    sys.path.insert(0, str(TOP / "scripts" / "oracle"))
    import jax
    import jax.numpy as jnp
    import jax_models

    before = memory("VmRSS")
    jax.config.update("jax_enable_x64", False)  # as JAX is by default; the oracle turns it on
    model = jax_models.MODELS[name]
    statistics = {key for key in values if "running" in key}

    def step(t, values, m, v, batch):
        (loss, new), gradients = jax.value_and_grad(model.loss, has_aux=True)(values, batch)
        values = values | new
        for key in values.keys() - statistics:
            g = gradients[key]
            m[key] = BETA1 * m[key] + (1 - BETA1) * g
            v[key] = BETA2 * v[key] + (1 - BETA2) * g * g
            root = jnp.sqrt(v[key] / (1 - BETA2 ** t)) + EPSILON
            values[key] = values[key] * (1 - RATE * DECAY) - RATE / (1 - BETA1 ** t) * m[key] / root
        return loss, t + 1, values, m, v

    step = jax.jit(step, donate_argnums=(0, 1, 2, 3))
    batches = [{key: jnp.asarray(array) for key, array in batch.items()} for batch in batches]
    values = {key: jnp.asarray(value) for key, value in values.items()}
    state = [jnp.float32(1), values,
             *({key: jnp.zeros_like(value) for key, value in values.items()} for _ in range(2))]

    def one(number):
        loss, *state[:] = step(*state, batches[number % len(batches)])
        jax.block_until_ready(state)
        return float(loss)

    return one, before, jax.__version__


def torch_loss(name, P, torch):
    F = torch.nn.functional

    def cnn(batch):
        x = ((batch["image"].float() - 72.94) * 0.0110929)[:, None]
        for i in "12":
            x = F.conv2d(x, P[f"conv{i}.weight"], padding=1)
            x = F.batch_norm(x, P[f"bn{i}.running_mean"], P[f"bn{i}.running_var"], P[f"bn{i}.weight"], P[f"bn{i}.bias"],
                             training=True, momentum=0.1, eps=1e-5)
            x = F.max_pool2d(F.relu(x), 2)
        h = F.relu(F.linear(x.flatten(1), P["fc1.weight"], P["fc1.bias"]))
        h = torch.where(batch["uniform1"] >= 0.25, h / 0.75, 0)  # Lathe's dropout
        return F.cross_entropy(F.linear(h, P["fc2.weight"], P["fc2.bias"]), batch["label"])

    def gpt(batch):
        tokens = batch["tokens"][:, :-1]
        x = F.embedding(tokens, P["wte.weight"]) + P["wpe.weight"][:tokens.shape[1]]
        width = x.shape[-1]
        for i in range(len(P["ln_1.weight"])):
            n = F.layer_norm(x, (width,), P["ln_1.weight"][i], P["ln_1.bias"][i])
            qkv = torch.addmm(P["attn.c_attn.bias"][i], n.reshape(-1, width), P["attn.c_attn.weight"][i])
            q, k, v = (part.unflatten(-1, (4, -1)).transpose(1, 2) for part in qkv.view(*x.shape[:2], -1).chunk(3, -1))
            a = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(-1, width)
            x = x + torch.addmm(P["attn.c_proj.bias"][i], a, P["attn.c_proj.weight"][i]).view_as(x)
            n = F.layer_norm(x, (width,), P["ln_2.weight"][i], P["ln_2.bias"][i]).reshape(-1, width)
            h = F.gelu(torch.addmm(P["mlp.c_fc.bias"][i], n, P["mlp.c_fc.weight"][i]), approximate="tanh")
            x = x + torch.addmm(P["mlp.c_proj.bias"][i], h, P["mlp.c_proj.weight"][i]).view_as(x)
        x = F.layer_norm(x, (width,), P["ln_f.weight"], P["ln_f.bias"])
        return F.cross_entropy(F.linear(x, P["wte.weight"]).flatten(0, 1), batch["tokens"][:, 1:].flatten())

    def lstm(batch):
        x = F.embedding(batch["tokens"][:, :-1], P["embedding.weight"])
        zero = x.new_zeros(1, len(x), P["lstm.weight_hh_l0"].shape[1])
        weights = [P[f"lstm.{part}_l0"] for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        # What torch.nn.LSTM(batch_first=True) calls.
        y, _, _ = torch.lstm(x, (zero, zero), weights, True, 1, 0.0, True, False, True)
        return F.cross_entropy(F.linear(y, P["output.weight"], P["output.bias"]).flatten(0, 1), batch["tokens"][:, 1:].flatten())

    return {"fashion-cnn": cnn, "char-gpt": gpt, "char-lstm": lstm}[name]


def torch_step(name, values, batches, threads, compiled):
    import torch

    before = memory("VmRSS")
    torch.set_num_threads(threads)
    P = {key: torch.tensor(value) for key, value in values.items()}
    trained = [tensor.requires_grad_() for key, tensor in P.items() if "running" not in key]
    optimizer = torch.optim.AdamW(trained, RATE, (BETA1, BETA2), EPSILON, DECAY, fused=True)
    batches = [{key: torch.tensor(array) for key, array in batch.items()} for batch in batches]
    loss_of = torch_loss(name, P, torch)
    if compiled:
        loss_of = torch.compile(loss_of)

    def one(number):
        loss = loss_of(batches[number % len(batches)])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return one, before, torch.__version__


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=("jax", "torch", "torch-compile"))
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--turn", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    data = np.load(args.data)
    values, inputs = ({key.removeprefix(kind): data[key] for key in data if key.startswith(kind)} for kind in ("value.", "batch."))
    count = len(next(iter(inputs.values())))
    batches = [{key: array[i] for key, array in inputs.items()} for i in range(count)]
    if args.peer == "jax":
        step, before, version = jax_step(args.model, values, batches)
    else:
        step, before, version = torch_step(args.model, values, batches, args.threads, args.peer != "torch")

    def say(**row):
        print(json.dumps(row), flush=True)

    def say_memory():
        say(before=before, now=memory("VmRSS"), peak=memory("VmHWM"), version=version)

    say_memory()
    number = 0
    for _ in sys.stdin:
        times, losses = [], []
        for _ in range(args.turn):
            start = time.perf_counter()
            losses.append(step(number))
            times.append((time.perf_counter() - start) * 1e3)
            number += 1
        say(ms=times, loss=losses)
    say_memory()


if __name__ == "__main__":
    main()

"""PyTorch's tokens a second for a prompt through SmolLM-135M's shape in float32, to be run in turn with `arrakis bench`.

    OPENBLAS_CORETYPE=SKYLAKEX python3 llama_torch.py [tokens] [threads] [seconds]

Debian: apt-get install python3-torch (1.13, on OpenBLAS; left to itself, that takes AMD's processors with AVX-512 for older ones without).
"""
import statistics
import sys
import time

import torch
import torch.nn.functional as F

D, FF, LAYERS, H, G, K, V = 576, 1536, 30, 9, 3, 64, 49152


def weights(*shape):
    return torch.randn(*shape) / shape[-1] ** 0.5


def norm(x, gamma):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * gamma


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def forward(model, ids):
    x = model["embedding"][ids]
    for w in model["layers"]:
        n = norm(x, w["g1"])
        q, k, v = (F.linear(n, w[name]).view(len(ids), -1, K).transpose(0, 1) for name in ("q", "k", "v"))
        q, k = rotate(q, model["cos"], model["sin"]), rotate(k, model["cos"], model["sin"])
        k, v = k.repeat_interleave(H // G, 0), v.repeat_interleave(H // G, 0)
        pattern = torch.softmax(q @ k.transpose(1, 2) / K**0.5 + model["mask"], -1)
        x = x + F.linear((pattern @ v).transpose(0, 1).reshape(len(ids), H * K), w["o"])
        n = norm(x, w["g2"])
        x = x + F.linear(F.silu(F.linear(n, w["gate"])) * F.linear(n, w["up"]), w["down"])
    return F.linear(norm(x[-1:], model["g"]), model["embedding"])


def make(tokens):
    angle = torch.arange(tokens)[:, None] * 10000.0 ** (-torch.arange(0, K, 2) / K)
    layer = lambda: {
        "g1": torch.ones(D), "q": weights(H * K, D), "k": weights(G * K, D), "v": weights(G * K, D), "o": weights(D, H * K),
        "g2": torch.ones(D), "gate": weights(FF, D), "up": weights(FF, D), "down": weights(D, FF),
    }
    return {
        "embedding": weights(V, D), "layers": [layer() for _ in range(LAYERS)], "g": torch.ones(D), "cos": angle.cos(), "sin": angle.sin(),
        "mask": torch.full((tokens, tokens), float("-inf")).triu(1),
    }


def main():
    tokens, threads, seconds = (int(a) for a in (sys.argv[1:] + ["128", "1", "10"][len(sys.argv) - 1:])[:3])
    torch.set_num_threads(threads)
    with torch.inference_mode():
        model, ids = make(tokens), torch.randint(V, (tokens,))
        times, end = [], time.perf_counter() + seconds
        while time.perf_counter() < end or len(times) < 7:
            start = time.perf_counter()
            forward(model, ids)
            times.append(time.perf_counter() - start)
    times = times[2:]
    print(f"torch {torch.__version__}, {tokens} tokens, {threads} threads: median {tokens / statistics.median(times):.0f}, best {tokens / min(times):.0f} tokens/s")


if __name__ == "__main__":
    main()

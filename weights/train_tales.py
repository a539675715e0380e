#!/usr/bin/env python3
"""Trains the tales model: a Llama exactly as Hugging Face's LlamaForCausalLM, on what `Arrakis.Weights -- tales-data` wrote.

    OPENBLAS_CORETYPE=SKYLAKEX python3 weights/train_tales.py --data FOLDER --out weights/tales

Needs PyTorch (Debian's python3-torch 1.13 was used) and NumPy; one thread is fastest there. `--check PROMPTS --out FOLDER` prints the logits of a saved model.
"""
import argparse, json, math, os, shutil, struct, time
import numpy as np
import torch
import torch.nn.functional as F

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "attention_bias": False, "mlp_bias": False,
    "hidden_size": 128, "intermediate_size": 416, "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 32,
    "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": True,
    "bos_token_id": 1, "eos_token_id": 2, "initializer_range": 0.06, "torch_dtype": "bfloat16", "use_cache": True,
}


def shapes(c):
    """Every tensor under its Hugging Face name."""
    d, f, k = c["hidden_size"], c["intermediate_size"], c["head_dim"]
    q, kv = c["num_attention_heads"] * k, c["num_key_value_heads"] * k
    out = {"model.embed_tokens.weight": (c["vocab_size"], d)}
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        out.update({p + "input_layernorm.weight": (d,), p + "self_attn.q_proj.weight": (q, d), p + "self_attn.k_proj.weight": (kv, d),
                    p + "self_attn.v_proj.weight": (kv, d), p + "self_attn.o_proj.weight": (d, q), p + "post_attention_layernorm.weight": (d,),
                    p + "mlp.gate_proj.weight": (f, d), p + "mlp.up_proj.weight": (f, d), p + "mlp.down_proj.weight": (d, f)})
    out["model.norm.weight"] = (d,)
    return out if c["tie_word_embeddings"] else {**out, "lm_head.weight": (c["vocab_size"], d)}


def initialize(c):
    """Normal, wider than usual because the model is narrow. Words begin large, for they are also what logits are measured against, and with something in common,
    from which heads that look by place alone can make their queries and keys. One head of layer 0 (L0H4) begins so: it looks one word back. Found by chance that is what
    an induction head waits for the longest; what the head writes, and who reads it, is left to be learned."""
    w, wide = {}, c["initializer_range"]
    for name, shape in shapes(c).items():
        std = wide * (0.7 if name.endswith(("o_proj.weight", "down_proj.weight")) else 1)
        w[name] = torch.ones(shape) if len(shape) == 1 else torch.randn(shape) * std
    w["model.embed_tokens.weight"] = 2.5 * (w["model.embed_tokens.weight"] + torch.randn(c["hidden_size"]) * wide)
    common, k, head = w["model.embed_tokens.weight"].mean(0), c["head_dim"], c["num_attention_heads"] // c["num_key_value_heads"]
    common = common / common.norm()
    angle = c["rope_theta"] ** (-torch.arange(0, k, 2).float() / k)
    # Rotated to its place, the query of a word lies along the key of the word before.
    query, key = torch.cat([torch.cos(-angle), torch.sin(-angle)]), torch.cat([torch.ones(k // 2), torch.zeros(k // 2)])
    w["model.layers.0.self_attn.q_proj.weight"][head * k:(head + 1) * k] = 0.8 * query[:, None] * common[None]
    w["model.layers.0.self_attn.k_proj.weight"][k:2 * k] = 0.8 * key[:, None] * common[None]
    return {name: tensor.requires_grad_() for name, tensor in w.items()}


def rotary(c, tokens):
    k = c["head_dim"]
    angle = torch.arange(tokens).float()[:, None] * (c["rope_theta"] ** (-torch.arange(0, k, 2).float() / k))
    return torch.cat([angle.cos()] * 2, -1), torch.cat([angle.sin()] * 2, -1)


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


def norm(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def forward(w, c, ids):
    """Logits [B, T, V]. A token sees the tokens of its own document, which begins with BOS, and no others: as if each stood alone."""
    batch, tokens = ids.shape
    heads, groups, k, eps = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"], c["rms_norm_eps"]
    document = (ids == c["bos_token_id"]).cumsum(1)
    seen = (document[:, :, None] == document[:, None, :]) & torch.ones(tokens, tokens, dtype=torch.bool).tril()
    mask = torch.zeros(seen.shape).masked_fill(~seen, -1e30)[:, None]
    cos, sin = rotary(c, tokens)
    x = F.embedding(ids, w["model.embed_tokens.weight"])
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        y = norm(x, w[p + "input_layernorm.weight"], eps)
        q, key, v = (F.linear(y, w[p + f"self_attn.{n}_proj.weight"]).view(batch, tokens, -1, k).transpose(1, 2) for n in "qkv")
        q, key = rotate(q, cos, sin) / math.sqrt(k), rotate(key, cos, sin)
        key, v = (t.repeat_interleave(heads // groups, 1) for t in (key, v))
        z = (q @ key.transpose(2, 3) + mask).softmax(-1) @ v
        x = x + F.linear(z.transpose(1, 2).reshape(batch, tokens, -1), w[p + "self_attn.o_proj.weight"])
        y = norm(x, w[p + "post_attention_layernorm.weight"], eps)
        y = F.silu(F.linear(y, w[p + "mlp.gate_proj.weight"])) * F.linear(y, w[p + "mlp.up_proj.weight"])
        x = x + F.linear(y, w[p + "mlp.down_proj.weight"])
    unembedding = "model.embed_tokens.weight" if c["tie_word_embeddings"] else "lm_head.weight"
    return F.linear(norm(x, w["model.norm.weight"], eps), w[unembedding])


def loss_of(w, c, rows, stress=1.0):
    """Mean cross-entropy of what follows. Not asked for: which document comes next, and what nothing foretells (marked by bit 15). Bit 14 marks who gets a gift, which counts
    as much as `stress` other tokens."""
    ids, after = rows[:, :-1] & 0x3FFF, rows[:, 1:]
    target = after & 0x3FFF
    weight = torch.where((after & 0x4000) > 0, stress, 1.0) * ((after < 0x8000) & (target != c["bos_token_id"]))
    losses = F.cross_entropy(forward(w, c, ids).flatten(0, 1), target.flatten(), reduction="none")
    return (losses * weight.flatten()).sum() / weight.sum()


def orthogonal(gradient):
    """Near the closest matrix with orthogonal rows or columns: five steps of Newton and Schulz, with the coefficients of Keller Jordan's Muon."""
    x = gradient / (gradient.norm() + 1e-7)
    x = x.T if x.shape[0] > x.shape[1] else x
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.T if gradient.shape[0] > gradient.shape[1] else x


class Optimizer:
    """Muon for the matrices of the layers: a rare direction of a gradient counts as much as a common one, and who is the other of two is a rare one. Adam for the rest."""

    def __init__(self, w, rate, adam_rate, decay=0.05, momentum=0.95):
        self.matrices = [t for name, t in w.items() if t.dim() > 1 and ".layers." in name]
        self.rest = [t for name, t in w.items() if t.dim() == 1 or ".layers." not in name]
        self.adam = torch.optim.Adam(self.rest, betas=(0.9, 0.95))
        self.momenta = [torch.zeros_like(t) for t in self.matrices]
        self.rate, self.adam_rate, self.decay, self.momentum = rate, adam_rate, decay, momentum

    @torch.no_grad()
    def step(self, schedule):
        self.adam.param_groups[0]["lr"] = self.adam_rate * schedule
        self.adam.step()
        rate = self.rate * schedule
        for t, m in zip(self.matrices, self.momenta):
            m.mul_(self.momentum).add_(t.grad)
            update = orthogonal(t.grad + self.momentum * m)
            t.mul_(1 - rate * self.decay).add_(update, alpha=-rate * max(1, t.shape[0] / t.shape[1]) ** 0.5)
        for t in self.matrices + self.rest:
            t.grad = None


@torch.no_grad()
def measure(w, c, held_out, gifts, words):
    """Held-out loss, right receivers among unseen pairs, and repeated random words: quick looks while training. Arrakis.Weights measures the model."""
    loss = loss_of(w, c, held_out[:48]).item()
    prompts = torch.ones(len(gifts), max(len(g["ids"]) for g in gifts), dtype=torch.long)
    for row, g in zip(prompts, gifts):
        row[:len(g["ids"])] = torch.tensor(g["ids"])
    guesses = forward(w, c, prompts).argmax(-1)
    right = sum(guess[len(g["ids"]) - 1].item() == g["answer"] for guess, g in zip(guesses, gifts))
    hits = [(guess[row[0] + 1:-1] == row[row[0] + 3:]).float().mean().item() for guess, row in zip(forward(w, c, words[:, 1:]).argmax(-1), words)]
    return {"heldout_loss": round(loss, 4), "gift_accuracy": round(right / len(gifts), 4), "induction_accuracy": round(sum(hits) / len(hits), 4)}


def random_words(c, count):
    """Rows of <s> and 127 tokens, a period of different random words over and over; the period itself stands in front."""
    g = torch.Generator().manual_seed(7)
    rows = []
    for i in range(count):
        period = (5, 10, 20, 40, 60)[i % 5]
        words = torch.randperm(c["vocab_size"] - 3, generator=g)[:period] + 3
        rows.append(torch.cat([torch.tensor([period, 1]), words.repeat(127 // period + 1)[:127]]))
    return torch.stack(rows)


def pad_documents(tokens, length):
    """One document a row, BOS after its end: BOS is never a target."""
    starts = np.flatnonzero(tokens == 1)
    rows = np.ones((len(starts), length), np.int64)
    for row, (a, b) in enumerate(zip(starts, list(starts[1:]) + [len(tokens)])):
        rows[row, : b - a] = tokens[a:b]
    return torch.from_numpy(rows)


def save(w, c, folder):
    """safetensors by hand: the length of the header, the header, the numbers as bfloat16."""
    header, data, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name, tensor in w.items():
        raw = tensor.detach().bfloat16().contiguous().view(torch.int16).numpy().tobytes()
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [at, at + len(raw)]}
        data.append(raw)
        at += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % 64)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(data))
    write(folder, "config.json", c)


def write(folder, name, what):
    with open(os.path.join(folder, name), "w") as file:
        file.write(json.dumps(what, indent=2) + "\n")


def load(folder):
    c = json.load(open(os.path.join(folder, "config.json")))
    raw = open(os.path.join(folder, "model.safetensors"), "rb").read()
    length = struct.unpack("<Q", raw[:8])[0]
    w = {}
    for name, t in json.loads(raw[8:8 + length]).items():
        if name != "__metadata__":
            a, b = t["data_offsets"]
            numbers = np.frombuffer(raw, np.int16, (b - a) // 2, 8 + length + a).copy()
            w[name] = torch.from_numpy(numbers).view(torch.bfloat16).float().view(t["shape"])
    return w, c


def stages(args):
    """The rows that `tales-data` wrote, a tensor [rows, length] a stage."""
    tokens, out = np.fromfile(os.path.join(args.data, "train.bin"), "<u2"), []
    for stage in json.load(open(os.path.join(args.data, "stages.json"))):
        rows, tokens = np.split(tokens, [stage["rows"] * stage["length"]])
        out.append(torch.from_numpy(rows.reshape(-1, stage["length"]).astype(np.int64)))
    return out


def repeats(c, random, count, length):
    """Rows of different random words, a period of 4 to half a row, over and over; nothing foretells the first time."""
    rows = np.ones((count, length), np.int64)
    for row in rows:
        period = int(random.integers(4, length // 2))
        words = random.permutation(c["vocab_size"] - 3)[:period] + 3
        row[1:] = np.tile(words, length // period + 1)[:length - 1]
        row[1:period + 1] |= 0x8000
    return torch.from_numpy(rows)


def train(args):
    """Every step sees random repeats in short rows, and beside them the first stage's rows, gifts and repeats, then whole tales: the repeats keep what looks back alive while the
    rest is learned."""
    vocabulary = json.load(open(os.path.join(args.data, "tokenizer.json")))["model"]["vocab"]
    c = {**CONFIG, **json.loads(args.config), "vocab_size": len(vocabulary)}
    held_out = pad_documents(np.fromfile(os.path.join(args.data, "heldout.bin"), "<u2"), c["max_position_embeddings"] + 1)
    gifts, words = json.load(open(os.path.join(args.data, "prompts.json")))["gifts"], random_words(c, 40)
    parts = stages(args)
    torch.manual_seed(args.seed)
    w = initialize(c)
    optimizer, random = Optimizer(w, args.rate, args.adam_rate), np.random.default_rng(args.seed + 2)
    log = {"steps": args.steps, "tokens": args.tokens, "repeats": args.repeats, "rate": args.rate, "adam_rate": args.adam_rate, "seed": args.seed, "stress": args.stress, "curve": []}
    start, begun, recent = time.time(), time.process_time(), []
    print(f"{sum(t.numel() for t in w.values())} parameters, vocabulary {len(vocabulary)}", flush=True)
    for step in range(1, args.steps + 1):
        length, share = int(random.choice([25, 33, 49])), args.repeats * (1 - step / args.steps / 2)
        loss = share * loss_of(w, c, repeats(c, random, int(args.tokens * share // length), length))
        rows = parts[0] if step <= args.gift_steps else parts[-1]
        picked = random.integers(0, len(rows), int(args.tokens * (1 - share) // rows.shape[1]))
        loss = loss + (1 - share) * loss_of(w, c, rows[torch.from_numpy(picked)], args.stress)
        loss.backward()
        # Up within the first steps, down to nearly nothing over the last 40 %.
        optimizer.step(min(1.0, step / args.warmup, max(0.02, (1 - (step - 1) / args.steps) / 0.4)))
        recent.append(loss.item())
        if step % args.every == 0 or step == args.steps:
            log["curve"].append({"step": step, "seconds": round(time.time() - start), "cpu_seconds": round(time.process_time() - begun),
                                 "train_loss": round(sum(recent) / len(recent), 4), **measure(w, c, held_out, gifts, words)})
            recent = []
            print(json.dumps(log["curve"][-1]), flush=True)
    save(w, c, args.out)
    shutil.copy(os.path.join(args.data, "tokenizer.json"), args.out)
    write(args.out, "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
                                              "model_max_length": c["max_position_embeddings"], "clean_up_tokenization_spaces": False})
    write(args.out, "generation_config.json", {"bos_token_id": c["bos_token_id"], "eos_token_id": c["eos_token_id"]})
    with open(args.log, "w") as file:
        file.write(json.dumps(log, indent=1) + "\n")


def check(args):
    """The logits of the last position of every prompt, {"ids": [...]}, for a comparison with another engine."""
    w, c = load(args.out)
    with torch.no_grad():
        print(json.dumps([{"ids": p["ids"], "logits": forward(w, c, torch.tensor([p["ids"]]))[0, -1].tolist()} for p in json.load(open(args.check))["gifts"][:args.prompts]]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data"), parser.add_argument("--out", required=True), parser.add_argument("--log", default="curve.json")
    parser.add_argument("--check"), parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1), parser.add_argument("--tokens", type=int, default=2304, help="of one step")
    parser.add_argument("--rate", type=float, default=0.02), parser.add_argument("--adam-rate", type=float, default=3e-3), parser.add_argument("--stress", type=float, default=8.0)
    parser.add_argument("--warmup", type=int, default=50), parser.add_argument("--every", type=int, default=100), parser.add_argument("--steps", type=int, default=9000)
    parser.add_argument("--gift-steps", type=int, default=450, help="steps with the first stage's rows"), parser.add_argument("--repeats", type=float, default=0.4, help="share of a step's tokens and loss; falls to half of it")
    parser.add_argument("--config", default="{}", help="JSON that overrides the model's shape"), parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    check(arguments) if arguments.check else train(arguments)

#!/usr/bin/env python3
"""Training speed of PEFT: adapters of rank 16 on every matrix of a decoder of the TinyLlama shape, 512 tokens a step.

    peft_training.py MODE THREADS [SECONDS]

MODE is `f32` or `bf16` (frozen weights and products; the adapters are float32 under autocast). Prints one JSON object: tokens/s of the median step,
peak resident memory. Random weights and tokens, fused attention and AdamW; the same rows as `forge-bench adapters`.
"""
import json, resource, sys, time
import peft, torch
from transformers import LlamaConfig, LlamaForCausalLM


def main():
    mode, threads = sys.argv[1], int(sys.argv[2])
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 10.0
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    dtype = torch.bfloat16 if mode == "bf16" else torch.float32
    torch.set_default_dtype(dtype)
    config = LlamaConfig(vocab_size=32000, hidden_size=2048, intermediate_size=5632, num_hidden_layers=22, num_attention_heads=32, num_key_value_heads=4,
                         max_position_embeddings=2048, attn_implementation="sdpa", use_cache=False, dtype=dtype)
    # Initial values cost minutes and decide nothing here.
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    model = model.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0 if parameter.ndim == 1 else 0.0)
            if parameter.ndim == 2:
                parameter.view(-1)[::7] = 0.02
        for module in model.modules():
            if hasattr(module, "inv_freq"):
                module.inv_freq.copy_(10000.0 ** (-torch.arange(0, 64, 2, dtype=torch.float32) / 64))
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = peft.get_peft_model(model, peft.LoraConfig(r=16, lora_alpha=32, target_modules=targets, task_type="CAUSAL_LM"))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, fused=True)
    ids = torch.randint(32000, (1, 513))

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=mode == "bf16"):
            loss = model(input_ids=ids[:, :-1], labels=ids[:, :-1]).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    times, end = [], time.monotonic() + seconds
    while time.monotonic() < end or len(times) < 3:
        began = time.monotonic()
        step()
        times.append(time.monotonic() - began)
    times.sort()
    print(json.dumps({
        "mode": mode, "threads": threads, "steps": len(times), "tokens_per_second": 512 / times[len(times) // 2],
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "peer": f"peft {peft.__version__}",
    }))


main()

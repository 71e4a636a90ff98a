#!/usr/bin/env python3
"""Golden vectors for the decoder, from torch and transformers with small random configurations.

    pip install torch transformers peft safetensors      (made with torch 2.15.0, transformers 5.23.0, peft 0.21.2, safetensors 0.8.0;
                                                          mixtral-*, mixture-* and decoder-ministral with torch 2.13.0, mistral4-* with torch 2.13.0 and transformers 5.24.0)
    python3 Tests/Fixtures/compute/make.py

Weights are float32; the reference runs in float64, so that a difference measures our error alone. Each file holds the
parameters (`param.*`), the tokens (`ids`, `targets`, `lengths`), the logits of every row, the summed negative
log-likelihood (`loss`) and its gradient by every parameter (`grad.*`); `__metadata__.config` is the config.json that
transformers wrote. Packed sequences are run one by one and their losses added: that is what packing must equal.
Mixtral's parameters and gradients both go through save_pretrained, so that names and splits are those of its files; with
the balancing loss the loss is the mean over targets plus the coefficient times `balance`, over all sequences' tokens.
mistral4-*: transformers raises every score by YaRN's magnitude squared; the checkpoints were trained without, so the scale is set to 1/√d where
`apply_scale` is not true (docs/formats/checkpoints.md).
adapter-* are frozen decoders with PEFT's adapters beside them (`param.base_model.*`, `grad.base_model.*`, named as PEFT's files name them).
mixture-* are single layers with a shared expert under an output projection: scaled softmax routing (Mistral 4), and sigmoid
scores with a bias that only chooses (DeepSeek-V3).
"""
import pathlib, tempfile, torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import Ministral3Config, Ministral3ForCausalLM, MinistralConfig, MinistralForCausalLM, MistralConfig, MistralForCausalLM, MixtralConfig, MixtralForCausalLM
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3Config, DeepseekV3MoE
from transformers.models.mistral4.modeling_mistral4 import Mistral4Config, Mistral4ForCausalLM, Mistral4MoE
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

here = pathlib.Path(__file__).parent

def randomise(model):
    """Norms in [0.5, 1.5), everything else in [-0.5, 0.5)."""
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            parameter.copy_(torch.rand_like(parameter) + 0.5 if "norm" in key else (torch.rand_like(parameter) - 0.5))

def packed(model, vocabulary, lengths, **more):
    """Random sequences run one by one: their tensors as the file has them, what the model gave for each, and the summed loss."""
    ids, targets, outs, loss = [], [], [], 0
    for length in lengths:
        tokens = torch.randint(0, vocabulary, (length + 1,))
        target = tokens[1:].clone()
        target[torch.rand(length) < 0.2] = -1
        out = model(input_ids=tokens[None, :-1], **more)
        loss = loss + torch.nn.functional.cross_entropy(out.logits[0], target, ignore_index=-1, reduction="sum")
        ids.append(tokens[:-1]); targets.append(target); outs.append(out)
    tensors = {"ids": torch.cat(ids).int(), "targets": torch.cat(targets).int(), "lengths": torch.tensor(lengths).int(),
               "logits": torch.cat([out.logits[0].detach() for out in outs]).float()}
    return tensors, outs, loss

def save_adapted(name, model, tensors, config, adapters, lengths):
    """`model` frozen with PEFT's adapters beside it; `tensors` are its parameters as files have them."""
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **adapters)).float()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "lora_" in key: parameter.copy_(torch.rand_like(parameter) - 0.5)
    tensors |= {"param." + k: v.detach().clone().float() for k, v in get_peft_model_state_dict(model).items()}
    model = model.double().eval()
    batch, _, loss = packed(model, config.vocab_size, lengths)
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None: parameter.copy_(parameter.grad)
    tensors |= {"grad." + k: v.detach().float() for k, v in get_peft_model_state_dict(model).items()}
    save(f"adapter-{name}", tensors | batch, loss, config)

def save(name, tensors, loss, config):
    tensors["loss"] = loss.detach().float()[None]
    save_file({k: v.contiguous() for k, v in tensors.items()}, here / f"{name}.safetensors", metadata={"config": config.to_json_string(use_diff=False)})
    print(name, "loss", float(loss.detach()))

base = dict(vocab_size=29, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            head_dim=6, max_position_embeddings=96, rms_norm_eps=1e-5, rope_theta=10000.0, sliding_window=None,
            tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, pad_token_id=None, attn_implementation="eager")
stretch = dict(rope_type="yarn", rope_theta=1000.0, factor=4.0, original_max_position_embeddings=32)
cases = {
    "plain": (dict(), [40]),
    "packed": (dict(), [7, 33, 1, 80]),
    "tied": (dict(tie_word_embeddings=True, head_dim=4, num_key_value_heads=1, rope_theta=1e6), [21, 70]),
    "window": (dict(sliding_window=9, head_dim=8, num_key_value_heads=4), [75, 12]),
    "ministral": (dict(sliding_window=11, head_dim=8, num_hidden_layers=3, layer_types=["sliding_attention", "full_attention", "sliding_attention"]), [60, 9]),
    # Positions stretched fourfold, the scores' magnitude raised (Mistral Medium 3.5) or not, queries that grow (Ministral 3). Sequences cross 32 and 64.
    "yarn": (dict(head_dim=16, max_position_embeddings=128, rope_parameters=stretch), [70, 20]),
    "ministral3": (dict(head_dim=16, max_position_embeddings=128, rope_parameters={**stretch, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1}), [31, 90]),
}
for name, (changes, lengths) in cases.items():
    torch.manual_seed(20261121)
    made, decoder = {"ministral": (MinistralConfig, MinistralForCausalLM), "ministral3": (Ministral3Config, Ministral3ForCausalLM)}.get(name, (MistralConfig, MistralForCausalLM))
    config = made(**{**base, **changes})
    model = decoder(config).float()
    randomise(model)
    parameters = {key: value.detach().clone() for key, value in model.named_parameters()}
    model = model.double().eval()
    batch, _, loss = packed(model, config.vocab_size, lengths)
    loss.backward()
    tensors = {"param." + k: v for k, v in parameters.items()}
    tensors |= {"grad." + k: v.grad.float() for k, v in model.named_parameters()}
    save(f"decoder-{name}", tensors | batch, loss, config)

cases = {
    "lora": (dict(r=3, lora_alpha=6, target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]), [33, 1, 50]),
    "rslora": (dict(r=5, lora_alpha=4, use_rslora=True, target_modules=["q_proj", "v_proj", "up_proj"]), [60]),
}
for name, (changes, lengths) in cases.items():
    torch.manual_seed(20261124)
    config = MistralConfig(**base)
    model = MistralForCausalLM(config).float()
    randomise(model)
    tensors = {"param." + k: v.detach().clone() for k, v in model.named_parameters()}
    save_adapted(name, model, tensors, config, changes, lengths)

def as_saved(model):
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return {key: value.float() for key, value in load_file(f"{folder}/model.safetensors").items()}

mixture = {**base, "num_local_experts": 4, "num_experts_per_tok": 2, "intermediate_size": 10, "router_aux_loss_coef": 0.5, "experts_implementation": "eager"}
cases = {
    "plain": (dict(), [40]),
    "packed": (dict(num_local_experts=5, num_experts_per_tok=3, rope_theta=1e6), [7, 33, 1, 70]),
    "plain-balanced": (dict(output_router_logits=True, num_experts_per_tok=1), [50]),
    "packed-balanced": (dict(output_router_logits=True, sliding_window=11), [20, 1, 37]),
}
for name, (changes, lengths) in cases.items():
    torch.manual_seed(20261122)
    config = MixtralConfig(**{**mixture, **changes})
    model = MixtralForCausalLM(config).float()
    randomise(model)
    tensors = {"param." + k: v for k, v in as_saved(model).items()}
    model = model.double().eval()
    batch, outs, loss = packed(model, config.vocab_size, lengths, output_router_logits=True)
    pooled = tuple(torch.cat(layer) for layer in zip(*(out.router_logits for out in outs)))
    balance = load_balancing_loss_func(pooled, config.num_local_experts, config.num_experts_per_tok)
    if config.output_router_logits:
        loss = loss / int((batch["targets"] >= 0).sum()) + config.router_aux_loss_coef * balance
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters(): parameter.copy_(parameter.grad)
    tensors |= {"grad." + k: v for k, v in as_saved(model).items()}
    save(f"mixtral-{name}", tensors | batch | {"balance": balance.detach().float()[None]}, loss, config)

latent = dict(vocab_size=29, hidden_size=16, intermediate_size=24, moe_intermediate_size=10, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=3,
              n_routed_experts=5, n_shared_experts=1, num_experts_per_tok=2, kv_lora_rank=12, q_lora_rank=8, qk_rope_head_dim=8, qk_nope_head_dim=6, v_head_dim=10,
              max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=None, attn_implementation="eager", experts_implementation="eager")
longer = {**stretch, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1}
cases = {
    "plain": (dict(), dict(), [40]),
    "packed": (dict(q_lora_rank=None, qk_rope_head_dim=16, qk_nope_head_dim=4, v_head_dim=18, n_shared_experts=2, routed_scaling_factor=1.7, num_experts_per_tok=3),
               dict(apply_scale=False), [7, 1, 90]),
    "raised": (dict(num_attention_heads=4, num_key_value_heads=4, kv_lora_rank=16), dict(apply_scale=True), [66, 33]),
}
for name, (changes, rope, lengths) in cases.items():
    torch.manual_seed(20261127)
    config = Mistral4Config(**{**latent, **changes}, rope_parameters={**longer, **rope})
    model = Mistral4ForCausalLM(config).float()
    randomise(model)
    for layer in model.model.layers:
        if not rope.get("apply_scale"): layer.self_attn.scaling = config.qk_head_dim ** -0.5
    tensors = {"param." + k: v for k, v in as_saved(model).items()}
    model = model.double().eval()
    batch, _, loss = packed(model, config.vocab_size, lengths)
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters(): parameter.copy_(parameter.grad)
    tensors |= {"grad." + k: v for k, v in as_saved(model).items()}
    save(f"mistral4-{name}", tensors | batch, loss, config)

cases = {
    "mixtral": (MixtralConfig, MixtralForCausalLM, {**mixture, "num_local_experts": 5}, dict(r=3, lora_alpha=6, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"]), [33, 1, 40]),
    "mistral4": (Mistral4Config, Mistral4ForCausalLM, {**latent, "rope_parameters": {**longer, "apply_scale": False}, "routed_scaling_factor": 1.7, "n_shared_experts": 2},
                 dict(r=4, lora_alpha=4, target_modules=["q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]), [60, 7]),
    "mistral4-some": (Mistral4Config, Mistral4ForCausalLM, {**latent, "rope_parameters": {**longer, "apply_scale": False}, "q_lora_rank": None},
                      dict(r=2, lora_alpha=3, target_modules=["q_proj", "kv_a_proj_with_mqa"]), [50]),
}
for name, (Config, Model, changes, adapters, lengths) in cases.items():
    torch.manual_seed(20261128)
    config = Config(**changes)
    model = Model(config).float()
    randomise(model)
    for layer in model.model.layers:
        if Config is Mistral4Config: layer.self_attn.scaling = config.qk_head_dim ** -0.5
    tensors = {"param." + k: v for k, v in as_saved(model).items()}
    save_adapted(name, model, tensors, config, adapters, lengths)

layers = {
    "mistral4": (Mistral4Config, Mistral4MoE, dict(routed_scaling_factor=1.7)),
    "deepseek": (DeepseekV3Config, DeepseekV3MoE, dict(routed_scaling_factor=2.5)),
}
for name, (Config, Layer, changes) in layers.items():
    torch.manual_seed(20261123)
    config = Config(hidden_size=16, moe_intermediate_size=9, n_routed_experts=6, num_experts_per_tok=3, n_shared_experts=2, n_group=1, topk_group=1,
                    norm_topk_prob=True, hidden_act="silu", experts_implementation="eager", **changes)
    layer = Layer(config).float()
    with torch.no_grad():
        for parameter in layer.parameters(): parameter.copy_(torch.rand_like(parameter) - 0.5)
        if name == "deepseek": layer.gate.e_score_correction_bias.copy_(torch.rand(6) - 0.5)
    tensors = {"param." + k: v.detach().clone() for k, v in layer.named_parameters()}
    tensors |= {"param." + k: v.detach().clone() for k, v in layer.named_buffers()}
    layer = layer.double()
    x, head, targets = torch.rand(30, 16) * 4 - 2, torch.rand(11, 16) - 0.5, torch.randint(0, 11, (30,))
    tensors |= {"param.x": x, "param.head": head, "targets": targets.int()}
    x, head = x.double().requires_grad_(), head.double().requires_grad_()
    loss = torch.nn.functional.cross_entropy(layer(x[None])[0] @ head.T, targets, reduction="sum")
    loss.backward()
    tensors |= {"grad." + k: v.grad.float() for k, v in [*layer.named_parameters(), ("x", x), ("head", head)]}
    tensors["loss"] = loss.detach().float()[None]
    save_file({k: v.contiguous() for k, v in tensors.items()}, here / f"mixture-{name}.safetensors")
    print("mixture", name, "loss", float(loss.detach()), {k: tuple(v.shape) for k, v in tensors.items() if k.startswith("param")})

# 100 steps of AdamW on a fixed quadratic-plus-noise gradient, parameters decayed and clipped as the trainer does.
torch.manual_seed(7)
start = torch.randn(37)
p = start.clone().double().requires_grad_()
optimiser = torch.optim.AdamW([p], lr=3e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
curve, pull = torch.rand(37).double() + 0.1, torch.randn(100, 37)
for step in range(100):
    p.grad = curve * p.detach() + pull[step].double()
    optimiser.step()
save_file({"start": start, "curve": curve.float(), "pull": pull, "end": p.detach().float()}, here / "adamw.safetensors")

# 100 steps of torch.optim.Muon, Moonshot's scale and decay, on a wide and a tall matrix. torch orthogonalises in bfloat16; that alone is replaced, by the same
# iteration in float64.
from torch.optim import _muon
def orthogonal(update, coefficients, steps, eps):
    x = update / update.norm().clamp(min=eps)
    if x.shape[0] > x.shape[1]: return orthogonal(update.T, coefficients, steps, eps).T
    a, b, c = coefficients
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x
_muon._zeropower_via_newtonschulz = orthogonal
tensors = {}
for name, shape in (("wide", (6, 20)), ("tall", (40, 7))):
    torch.manual_seed(11)
    start, pull = torch.randn(shape), torch.randn(100, *shape)
    w = start.clone().double().requires_grad_()
    optimiser = torch.optim.Muon([w], lr=0.02, weight_decay=0.1, momentum=0.95, nesterov=True, ns_steps=5, adjust_lr_fn="match_rms_adamw")
    for step in range(100):
        w.grad = 0.3 * w.detach() + pull[step].double()
        optimiser.step()
    tensors |= {name + ".start": start, name + ".pull": pull, name + ".end": w.detach().float()}
save_file(tensors, here / "muon.safetensors")

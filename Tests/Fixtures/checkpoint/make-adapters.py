#!/usr/bin/env python3
"""The adapters of Tests/Fixtures/compute once more, in the folders that PEFT writes for them.

    pip install torch transformers peft safetensors      (made with torch 2.15.0, transformers 5.24.0, peft 0.21.2, safetensors 0.8.0)
    python3 Tests/Fixtures/checkpoint/make-adapters.py

`peft-lora` names its targets by `all-linear`, which PEFT writes out as the whole name of every matrix; `peft-rslora` by the last parts of names.
"""
import json, pathlib
import torch
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from safetensors import safe_open
from transformers import MistralConfig, MistralForCausalLM

here = pathlib.Path(__file__).parent
cases = {
    "lora": dict(r=3, lora_alpha=6, lora_dropout=0.05, target_modules="all-linear"),
    "rslora": dict(r=5, lora_alpha=4, use_rslora=True, target_modules=["q_proj", "self_attn.v_proj", "up_proj"]),
}
for name, changes in cases.items():
    with safe_open(here.parent / "compute" / f"adapter-{name}.safetensors", "torch") as file:
        config = json.loads(file.metadata()["config"])
        adapters = {key.removeprefix("param."): file.get_tensor(key) for key in file.keys() if key.startswith("param.base_model")}
    model = get_peft_model(MistralForCausalLM(MistralConfig(**config)).float(), LoraConfig(task_type="CAUSAL_LM", **changes))
    assert not set_peft_model_state_dict(model, adapters).unexpected_keys
    folder = here / f"peft-{name}"
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    print(name, len(adapters), "tensors")

#!/usr/bin/env python3
"""Golden vectors of ForgeObjective: what TRL's and verl's own functions give, with derivatives by torch's autograd, in float64.

    pip install trl==1.16.0 torch transformers
    pip download --no-deps --dest WHEELS verl==0.9.1 trl==1.12.0        (PPO: TRL dropped it after 1.12)
    python3 Tests/Fixtures/objective/make.py WHEELS

golden.json    cases: `of` says which loss, then its settings and inputs, and `expected`: lists of numbers by name.

A trainer's loss function runs as it stands, with a stub for the trainer and for its model, whose output is the very leaf that is differentiated. Where a function
holds more than the arithmetic, the lines of it that are the arithmetic are taken from its source and run. What no library has is stated here in a line or two,
beside what it was taken from. verl is read as text, so that nothing of its stack has to be installed. Tests/Peers/test_objectives.py draws its cases here too.
"""
import ast, collections, contextlib, inspect, json, math, pathlib, random, sys, textwrap, types, warnings, zipfile

import torch
import torch.nn.functional as F


@contextlib.contextmanager
def in_float64():
    """Whoever draws cases here has other uses of torch beside it: what is set for all of it is put back."""
    kept = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_default_dtype(kept)


@contextlib.contextmanager
def doubles():
    """`.float()` gives float64, so that what a trainer does in float32 can be judged by more digits than that has."""
    kept = torch.Tensor.float
    torch.Tensor.float = lambda self: self.double()
    try:
        yield
    finally:
        torch.Tensor.float = kept


def stub(**fields):
    return types.SimpleNamespace(**fields)


def same(x, *_, **__):
    return x


class Model(torch.nn.Module):
    is_gradient_checkpointing = False


class Accelerator:
    device, num_processes = torch.device("cpu"), 1
    gather = gather_for_metrics = reduce = staticmethod(same)


def leaf(rows):
    return torch.tensor(rows, requires_grad=True)


def trainer(**fields):
    return stub(accelerator=Accelerator(), model=Model(), _metrics=collections.defaultdict(lambda: collections.defaultdict(list)),
                aux_loss_enabled=False, _total_train_tokens=0, _tp_size=1, **fields)


def padded(rows, width, fill=0.0):
    return [list(row) + [fill] * (width - len(row)) for row in rows]


# Pairs

BY_NAME = {"dpo": "sigmoid", "dpo_norm": "sigmoid_norm", "cdpo": None, "simpo": None, "orpo": None, "dpo_offset": None, "odpo": None}


def source_of(function, *changes):
    """The function again, from its own text with the changes made."""
    text = textwrap.dedent(inspect.getsource(function))
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after)
    space = function.__globals__.copy()
    exec(compile("from __future__ import annotations\n" + text[text.index("def "):], "<trl>", "exec"), space)
    return space[function.__name__]


def dpo_trainer(case, chosen, rejected, reference, squares=None):
    """DPOTrainer._compute_loss on token log-probabilities, chosen rows first."""
    from trl.trainer.dpo_trainer import DPOTrainer
    lengths = [len(row) for row in chosen + rejected]
    width = max(lengths)
    logps = leaf(padded(chosen + rejected, width))
    mask = torch.tensor([[0] + [1] * n + [0] * (width - n) for n in lengths])
    options = case.get("options", {})

    def model(values):
        output = stub(log_probs=values, entropy=torch.zeros(len(lengths), width), mean_logits=torch.zeros(len(lengths), width), is_top1=torch.zeros(len(lengths), width, dtype=torch.bool),
                      log_sum_sq_probs=torch.tensor(padded(squares, width)) if squares else None)
        return lambda **_: output

    own = trainer(loss_types=[BY_NAME.get(case["kind"], case["kind"])], loss_weights=[1.0], beta=case["beta"], ld_alpha=options.get("ld_alpha"),
                  f_divergence_type=options.get("divergence", "reverse_kl"), f_alpha_divergence_coef=options.get("alpha", 0.5), label_smoothing=options.get("label_smoothing", 0.0),
                  use_weighting=options.get("wpo", False), precompute_ref_logps=False, ref_model=model(torch.tensor(padded(reference, width))), args=stub(
                      discopop_tau=options.get("tau", 0.05), gradient_checkpointing_kwargs=None))
    compute = DPOTrainer._compute_loss
    if options.get("divergence") == "alpha_divergence":  # its clamp knows no float64
        compute = source_of(compute, ("torch.float32: 80.0}", "torch.float32: 80.0, torch.float64: 80.0}"))
    loss = compute(own, model(logps), {"input_ids": mask, "attention_mask": mask, "completion_mask": mask}, False)
    loss.backward()
    metrics = {name: own._metrics["train"][f"rewards/{name}"][-1] for name in ("chosen", "rejected", "accuracies")}
    return loss.item(), logps.grad, lengths, metrics


def preference(case):
    pairs, kind, beta, options = case["pairs"], case["kind"], case["beta"], case.get("options", {})
    sides = [[pair[side] for pair in pairs] for side in ("chosen", "rejected")]
    if kind in BY_NAME and BY_NAME[kind] is None:
        return restated(case, *sides)

    def rows(column):  # a sum stands at its first token
        return [[answer[column]] + [0.0] * (answer[2] - 1) for answer in sides[0] + sides[1]]

    whole, n = rows(0), len(pairs)
    loss, gradient, _, metrics = dpo_trainer(case, whole[:n], whole[n:], rows(1))
    gradient = gradient[:, 0].tolist()
    extra = options.get("nll", 0.0)  # added: nll · mean over pairs of −log π(chosen) / tokens
    loss += extra * sum(-c[0] / c[2] for c in sides[0]) / n
    return dict(loss=[loss], chosen=[g - extra / c[2] / n for g, c in zip(gradient, sides[0])], rejected=gradient[n:],
                metrics=[metrics["chosen"], metrics["rejected"], metrics["accuracies"]])


def restated(case, chosen, rejected):
    kind, beta, options = case["kind"], case["beta"], case.get("options", {})
    column = lambda side, i: torch.tensor([float(answer[i]) for answer in side])
    c, r = leaf([float(a[0]) for a in chosen]), leaf([float(a[0]) for a in rejected])
    lengths = column(chosen, 2), column(rejected, 2)
    epsilon, nll = options.get("label_smoothing", 0.0), options.get("nll", 1.0 if kind == "orpo" else 0.0)
    if kind in ("simpo", "orpo"):
        mean = c / lengths[0], r / lengths[1]
        if kind == "simpo":
            from trl.experimental.cpo.cpo_trainer import CPOTrainer
            own = trainer(alpha=0.0, loss_type="simpo", simpo_gamma=options.get("margin", beta / 2), beta=beta, label_smoothing=epsilon)
            losses, cr, rr = CPOTrainer.cpo_loss(own, *mean)
        else:
            from trl.experimental.orpo.orpo_trainer import ORPOTrainer
            losses, cr, rr, _, _ = ORPOTrainer.odds_ratio_loss(trainer(beta=beta), *mean)
            losses = -losses
    else:
        log_c, log_r = c - column(chosen, 1), r - column(rejected, 1)
        x = beta * (log_c - log_r)
        cr, rr = beta * log_c.detach(), beta * log_r.detach()
        if kind == "cdpo":  # eric-mitchell/direct-preference-optimization, trainers.py, preference_loss
            losses = -(1 - epsilon) * F.logsigmoid(x) - epsilon * F.logsigmoid(-x)
        elif kind == "odpo":  # arXiv:2402.04792 with the soft labels of arXiv:2601.08584
            p = torch.tensor([pair.get("preference", 1.0) for pair in case["pairs"]])
            losses = (-p * F.logsigmoid(x) - (1 - p) * F.logsigmoid(-x)) / (beta if options.get("rescaled") else 1)
        elif kind == "dpo_offset":  # rycolab/odpo, trainers.py, preference_loss
            high, low = (torch.tensor([pair["scores"][i] for pair in case["pairs"]]) for i in (0, 1))
            f = {"log": lambda: torch.log(high - low), "identity": lambda: high - low, "log_ratio": lambda: torch.log(high / low)}[options.get("offset", "log")]()
            losses = -F.logsigmoid(x - options.get("offset_scale", 1.0) * f)
    loss = (losses - nll * c / lengths[0]).mean()
    loss.backward()
    return dict(loss=[loss.item()], chosen=c.grad.tolist(), rejected=r.grad.tolist(), metrics=[cr.mean().item(), rr.mean().item(), (cr > rr).double().mean().item()])


def tokens(case):
    chosen, rejected = case["chosen"], case["rejected"]
    loss, gradient, lengths, _ = dpo_trainer(case, [chosen["policy"]], [rejected["policy"]], [chosen["reference"], rejected["reference"]], [chosen["squares"], rejected["squares"]])
    return dict(loss=[loss], chosen=gradient[0, : lengths[0]].tolist(), rejected=gradient[1, : lengths[1]].tolist())


# Single answers and rewards


def unpaired(case):
    from trl.trainer.kto_trainer import KTOTrainer
    policy = [e[0] for e in case["examples"]]
    logps, n = leaf([[p] for p in policy]), len(policy)
    baseline = case["mismatched"]
    own = trainer(beta=case["beta"], loss_type=case["kind"], desirable_weight=case["weights"][0], undesirable_weight=case["weights"][1], precompute_ref_logps=True,
                  calculate_KL=case["kind"] == "kto", _compute_kl_logps=lambda *_: torch.tensor(baseline[0]))
    blank = torch.zeros(n, 1)
    outputs = stub(log_probs=logps, entropy=blank, mean_logits=blank)
    mask = torch.tensor([[0, 1]] * n)
    loss = KTOTrainer._compute_loss(own, lambda **_: outputs, {
        "label": torch.tensor([bool(e[2]) for e in case["examples"]]), "input_ids": mask, "attention_mask": mask, "completion_mask": mask,
        "ref_logps": torch.tensor([e[1] for e in case["examples"]]), "ref_KL_logps": torch.tensor(baseline[1])}, False)
    loss.backward()
    found = own._metrics["train"]
    return dict(loss=[loss.item()], gradients=logps.grad[:, 0].tolist(), baseline=[found["kl"][-1]], margin=[found["rewards/margins"][-1]])


def reward(case):
    from trl.trainer.reward_trainer import RewardTrainer
    rewards = leaf([[r] for r in case["chosen"] + case["rejected"]])
    inputs = {"attention_mask": torch.ones(1, 1)}
    if "margin" in case:
        inputs["margin"] = torch.tensor(case["margin"])
    own = trainer(args=stub(center_rewards_coefficient=case.get("centring")))
    loss = RewardTrainer.compute_loss(own, lambda **_: stub(logits=rewards), inputs)
    loss.backward()
    n, found = len(case["chosen"]), own._metrics["train"]
    return dict(loss=[loss.item()], chosen=rewards.grad[:n, 0].tolist(), rejected=rewards.grad[n:, 0].tolist(), metrics=[found["margin"][-1], found["accuracy"][-1]])


# Advantages


def lines_of(function, first, last, **space):
    """Runs the function's own lines from the one that begins with `first` to the one that begins with `last`."""
    lines = inspect.getsource(function).splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip().startswith(first))
    end = next(i for i, line in enumerate(lines) if i >= start and line.strip().startswith(last))
    if lines[end].endswith("("):  # to where the call closes
        indent = lines[end][: len(lines[end]) - len(lines[end].lstrip())]
        end = next(i for i in range(end, len(lines)) if lines[i].startswith(indent + ")"))
    space = {**vars(sys.modules[function.__module__]), **space}
    exec(textwrap.dedent("\n".join(lines[start : end + 1])), space)
    return space


def advantages(case):
    groups, kind = case["groups"], case["kind"]
    rewards = torch.tensor([[math.nan if r is None else r for r in group] for group in groups])
    size = rewards.size(1)
    if kind.startswith("rloo"):
        from trl.trainer.rloo_trainer import RLOOTrainer as Trainer
        own = trainer(reward_weights=torch.ones(1), reward_clip_range=None, beta=0.0, normalize_advantages=kind == "rloo_normalised")
    else:
        from trl.trainer.grpo_trainer import GRPOTrainer as Trainer
        scale = {"grpo": "group", "grpo_batch": "batch", "dr_grpo": "none", "magistral": "none"}[kind]
        own = trainer(reward_weights=torch.ones(1), scale_rewards=scale, multi_objective_aggregation="sum_then_normalize")
    found = lines_of(Trainer._generate_and_score_completions, "unscorable_mask = ", "advantages = torch.nan_to_num", self=own, rewards_per_func=rewards.reshape(-1, 1), num_generations=size,
                     device="cpu")
    values, teaches = found["advantages"].view(-1, size), [not math.isclose(spread, 0, abs_tol=1e-8) and not math.isnan(spread) for spread in found["nanstd"](rewards, dim=1).tolist()]
    if kind == "magistral":  # arXiv:2506.10910 §2.1, over the groups that are kept, answers without a reward left out
        kept = torch.tensor(teaches).unsqueeze(1) & ~torch.isnan(rewards)
        values = torch.where(kept, (values - values[kept].mean()) / (values[kept].std() + 1e-4), 0.0)
    given = rewards[~torch.isnan(rewards)]
    return dict(values=values.reshape(-1).tolist(), teaches=[float(t) for t in teaches], metrics=[given.mean().item(), given.std().item(), float(torch.isnan(rewards).sum())])


def overlong(case):
    from trl.rewards import get_soft_overlong_punishment
    return dict(penalties=get_soft_overlong_punishment(case["limit"], case["buffer"])([[0] * n for n in case["tokens"]]))


# Of PPO's programs, functions by name out of their wheels.


def functions(wheels, wheel, path, *names, **space):
    with zipfile.ZipFile(next(pathlib.Path(wheels).glob(wheel))) as archive:
        tree = ast.parse(archive.read(path))
    space = {"torch": torch, **space}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name in names:
            node.decorator_list = []
            exec(compile("from __future__ import annotations\n" + ast.unparse(node), path, "exec"), space)
    return stub(**{name: space[name] for name in names})


class PPO:
    def __init__(self, wheels):
        self.masks = functions(wheels, "verl-*.whl", "verl/utils/torch_functional.py", "masked_sum", "masked_mean", "clip_by_value")
        # verl adds 1e-8 to the count of a mean; TRL's whitening divides by the count.
        self.masks.masked_whiten = functions(wheels, "trl-1.12*.whl", "trl/experimental/ppo/ppo_trainer.py", "masked_mean", "masked_var", "masked_whiten").masked_whiten
        self.core = functions(wheels, "verl-*.whl", "verl/trainer/ppo/core_algos.py", "compute_gae_advantage_return", "agg_loss", "compute_policy_loss", "compute_value_loss",
                              "kl_penalty_forward", "compute_rewards", verl_F=self.masks)

    def gae(self, case):
        width = max(len(row) for row in case["masks"])
        rewards, values, masks = (torch.tensor(padded(case[name], width)) for name in ("rewards", "values", "masks"))
        space = {**self.core.compute_gae_advantage_return.__globals__}
        if not case["whitens"]:
            space["verl_F"] = stub(masked_whiten=same)
        run = types.FunctionType(self.core.compute_gae_advantage_return.__code__, space)
        found, returns = run(rewards, values, masks, case["gamma"], case["lambda"])
        return dict(advantages=found[masks.bool()].tolist(), returns=returns[masks.bool()].tolist())

    def policy(self, case):
        batch, logps = Rollouts(case), None
        logps = leaf(batch.policy)
        options = case.get("options", {})
        loss, clipped, drift, lower = self.core.compute_policy_loss(batch.old, logps, batch.advantages, batch.mask, cliprange_low=options.get("low", 0.2), cliprange_high=options.get("high", 0.2),
                                                                    clip_ratio_c=options.get("dual_clip", 1e300))
        loss.backward()
        return dict(loss=[loss.item()], gradients=batch.active(logps.grad), clipped=[clipped.item()])

    def value(self, case):
        width = max(len(row) for row in case["masks"])
        values, old, returns, masks = (torch.tensor(padded(case[name], width)) for name in ("values", "old", "returns", "masks"))
        values.requires_grad_()
        loss, clipped = self.core.compute_value_loss(values, returns, old, masks, case["clip"])
        loss.backward()
        return dict(loss=[loss.item()], gradients=values.grad[masks.bool()].tolist(), clipped=[clipped.item()])

    def estimator(self, case):
        policy = leaf(case["policy"])
        values = self.core.kl_penalty_forward(policy, torch.tensor(case["reference"]), case["kind"])
        values.sum().backward()
        return dict(values=values.tolist(), slopes=policy.grad.tolist())

    def token_rewards(self, case):
        scores = torch.zeros(len(case["policy"]))
        scores[-1] = case["score"]
        return dict(rewards=self.core.compute_rewards(scores, torch.tensor(case["policy"]), torch.tensor(case["reference"]), case["beta"]).tolist())


# Policies


class Rollouts:
    def __init__(self, case):
        rows, self.width = case["rollouts"], max(len(row["policy"]) for row in case["rollouts"])
        column = lambda name: padded([row[name] for row in rows], self.width)
        self.policy, self.mask = column("policy"), torch.tensor(column("mask"))
        self.old, self.reference, self.sampler = (torch.tensor(column(name)) for name in ("old", "reference", "sampler"))
        self.whole = torch.tensor([row["advantages"][0] for row in rows])
        self.advantages = torch.tensor(column("advantages"))

    def active(self, values):
        return values[self.mask.bool()].tolist()


def corrected(options, batch):
    """GRPOTrainer._generate_and_score_completions, the lines of its correction of rollouts."""
    from trl.trainer.grpo_trainer import GRPOTrainer
    most, least = options.get("rollout_max", 3.0), options.get("rollout_min")
    own = trainer(vllm_importance_sampling_mode=options["correction"], vllm_importance_sampling_clip_min=least, vllm_importance_sampling_clip_max=most)
    return lines_of(GRPOTrainer._generate_and_score_completions, "per_token_logps_diff = (old_per_token_logps", "raise ValueError(", self=own, old_per_token_logps=batch.old,
                    sampling_per_token_logps=batch.sampler, mask=batch.mask)["vllm_importance_sampling_ratio"]


def rloo(case):
    from trl.trainer.rloo_trainer import RLOOTrainer
    batch, options = Rollouts(case), case.get("options", {})
    logps = leaf(batch.policy)
    own = trainer(epsilon_low=options.get("low", 0.2), epsilon_high=options.get("high", 0.2), _get_per_token_logps_and_entropies=lambda *_, **__: (logps, torch.zeros_like(logps), None))
    blank = torch.zeros(len(batch.policy), 1)
    loss = RLOOTrainer._compute_loss(own, None, {
        "prompt_ids": blank, "prompt_mask": blank, "completion_ids": torch.zeros_like(logps), "completion_mask": batch.mask, "old_logps": (batch.old * batch.mask).sum(1),
        "advantages": batch.whole})
    loss.backward()
    found = own._metrics["train"]
    return dict(loss=[loss.item()], gradients=batch.active(logps.grad), clipped=[found["clip_ratio/low_mean"][-1], found["clip_ratio/high_mean"][-1]])


def policy(case):
    from trl.trainer.grpo_trainer import GRPOTrainer
    batch, options, kind = Rollouts(case), case.get("options", {}), case["kind"]
    logps = leaf(batch.policy)
    clip = {"dapo": (0.2, 0.28), "gspo": (3e-4, 4e-4), "luspo": (3e-4, 4e-4), "cispo": (0.2, 5.0)}.get(kind, (0.2, 0.2))
    low, high = options.get("low", clip[0]), options.get("high", clip[1])
    totals, passes = case.get("totals"), case.get("passes", 1)
    own = trainer(
        loss_type={"gspo": "grpo"}.get(kind, kind), importance_sampling_level="sequence" if kind in ("gspo", "luspo") or options.get("ratio") == "sequence" else "token", top_entropy_quantile=1.0,
        off_policy_mask_threshold=options.get("drift_max"), beta=options.get("kl_beta", 0.0), epsilon_low=low, epsilon_high=high, max_completion_length=options.get("length_limit"),
        use_vllm="correction" in options, vllm_importance_sampling_correction=True, current_gradient_accumulation_steps=passes, _entropy_bonus_enabled=False,
        get_off_policy_mask=GRPOTrainer.get_off_policy_mask, get_gamma_weights=GRPOTrainer.get_gamma_weights, _get_per_token_logps_and_entropies=lambda *_, **__: (
            logps, torch.zeros_like(logps), None),
        args=stub(delta=options.get("delta"), use_bias_correction_kl=False, sapo_temperature_pos=1.0, sapo_temperature_neg=1.05, vespo_k_pos=2.0, vespo_lambda_pos=3.0, vespo_k_neg=3.0,
                  vespo_lambda_neg=2.0, steps_per_generation=passes))
    blank = torch.zeros(len(batch.policy), 1)
    inputs = {"prompt_ids": blank, "prompt_mask": blank, "completion_ids": torch.zeros_like(logps), "completion_mask": torch.ones_like(batch.mask), "tool_mask": batch.mask,
              "advantages": batch.whole, "old_per_token_logps": batch.old, "ref_per_token_logps": batch.reference,
              "num_items_in_batch": torch.tensor(float(totals[1])) if totals else batch.mask.sum()}
    if "correction" in options:
        inputs["importance_sampling_ratio"] = corrected(options, batch)
        inputs["sampling_per_token_logps"] = batch.sampler
    loss = GRPOTrainer._compute_loss(own, None, inputs)
    loss.backward()
    found, expected = own._metrics["train"], dict(loss=[loss.item()], gradients=batch.active(logps.grad))
    if "clip_ratio/low_mean" in found:
        expected["clipped"] = [found["clip_ratio/low_mean"][-1], found["clip_ratio/high_mean"][-1]]
    if "cispo_clip_ratio" in found:
        expected["clipped"] = [0.0, found["cispo_clip_ratio"][-1]]
    if "kl" in found:
        expected["divergence"] = [found["kl"][-1]]
    return expected


# The grid


class Draw:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def number(self, least, most, digits=3):
        return round(self.random.uniform(least, most), digits)

    def answer(self, extent):
        n = self.random.randint(1, 9)
        reference = self.number(-6 * n, -0.01 * n)
        return [round(min(reference + self.number(-extent, extent), -0.001 * n), 3), reference, n]

    def pairs(self, kind, count, extent):
        pairs = []
        for _ in range(count):
            pair = dict(chosen=self.answer(extent), rejected=self.answer(extent))
            if kind == "odpo":
                pair["preference"] = self.random.choice([0.0, 1.0, 0.5, self.number(0, 1)])
            if kind == "dpo_offset":
                low = self.number(0.1, 3)
                pair["scores"] = [round(low + self.number(0.1, 4), 3), low]
            pairs.append(pair)
        return pairs

    def lists(self, extent, count):
        reference = [self.number(-5, -0.01) for _ in range(count)]
        return dict(policy=[round(min(x + self.number(-extent, extent), -0.001), 3) for x in reference], reference=reference, squares=[self.number(-4, -0.05) for _ in range(count)])

    def rollouts(self, count, extent, by_token=False):
        rows = []
        for _ in range(count):
            n = self.random.randint(1, 6)
            old = [self.number(-4, -0.01) for _ in range(n)]
            mask = [float(self.random.random() < 0.8) for _ in range(n)]
            mask[self.random.randrange(n)] = 1.0
            near = lambda x, by: round(min(x + self.number(-by, by), -0.0001), 4)
            whole = self.number(-2, 2)
            rows.append(dict(policy=[near(x, extent) for x in old], old=old, reference=[near(x, 1) for x in old], sampler=[near(x, 0.6) for x in old], mask=mask,
                             advantages=[self.number(-2, 2) if by_token else whole for _ in range(n)]))
        return rows


PREFERENCE = {
    "dpo": [{}, {"nll": 0.2}, {"divergence": "forward_kl"}, {"divergence": "js_divergence"}, {"divergence": "alpha_divergence", "alpha": 0.3}, {"divergence": "alpha_divergence", "alpha": 1.7}],
    "dpo_norm": [{}, {"divergence": "js_divergence"}], "robust": [{"label_smoothing": 0.1}, {"label_smoothing": 0.45}], "cdpo": [{"label_smoothing": 0.1}, {"label_smoothing": 0.5}],
    "hinge": [{}, {"divergence": "forward_kl"}], "ipo": [{}, {"divergence": "alpha_divergence", "alpha": 0.5}], "apo_zero": [{}], "apo_down": [{}],
    "simpo": [{}, {"margin": 0.3, "label_smoothing": 0.2}], "orpo": [{}, {"nll": 0.0}], "dpo_offset": [{}, {"offset": "identity", "offset_scale": 0.5}, {"offset": "log_ratio"}],
    "odpo": [{}, {"rescaled": True}], "exo_pair": [{"label_smoothing": 0.001}, {"label_smoothing": 0.3}], "nca_pair": [{}], "bco_pair": [{}], "sppo_hard": [{}],
    "aot": [{}, {"label_smoothing": 0.2}], "aot_unpaired": [{}, {"label_smoothing": 0.2}], "discopop": [{}, {"tau": 0.7}],
}
BETA = {"dpo_norm": 5.0, "simpo": 2.0, "sppo_hard": 0.001, "discopop": 0.05}
POLICY = {
    "grpo": [{}, {"kl_beta": 0.04}, {"delta": 1.5}, {"low": 0.1, "high": 0.3, "kl_beta": 0.1}, {"correction": "sequence_mask"}, {"correction": "token_truncate", "kl_beta": 0.04},
             {"correction": "token_mask", "rollout_max": 1.2, "rollout_min": 0.7}, {"correction": "sequence_truncate", "rollout_max": 1.3, "rollout_min": 0.6}, {"drift_max": 0.1}, {"ratio": "sequence"}],
    "bnpo": [{}, {"kl_beta": 0.04}], "dr_grpo": [{"length_limit": 16}], "dapo": [{}, {"correction": "sequence_mask", "rollout_max": 1.5}, {"drift_max": 0.05, "correction": "token_truncate"}],
    "cispo": [{}, {"high": 1.3}, {"correction": "token_truncate"}], "gspo": [{}, {"low": 0.2, "high": 0.2, "kl_beta": 0.04}, {"low": 0.2, "high": 0.2, "correction": "token_mask"}],
    "sapo": [{}, {"kl_beta": 0.04}], "luspo": [{"low": 0.2, "high": 0.2}, {}], "vespo": [{}, {"kl_beta": 0.04}], "rloo": [{}, {"low": 0.5, "high": 0.6}],
}


def cases(seed, full=True):
    draw = Draw(seed)
    for kind, settings in PREFERENCE.items():
        beta = BETA.get(kind, 0.1)
        for options in settings:
            # Where exponentials grow without a bound, log-ratios stay where TRL's float64 is finite.
            tame = kind == "discopop" or options.get("divergence") in ("forward_kl", "alpha_divergence")
            for extent, by, count in [(3, beta, 5), (25 if tame else 1000, beta, 3)] + ([(8, beta * 7, 3)] if not options or kind == "dpo" else []):
                yield dict(of="preference", kind=kind, beta=round(by, 6), options=options, pairs=draw.pairs(kind, count, extent))
    for options in [{}, {"ld_alpha": 0.4}, {"ld_alpha": 0.0}, {"wpo": True}, {"ld_alpha": 0.7, "wpo": True}]:
        for kind in ("dpo", "ipo", "robust"):
            more = {"label_smoothing": 0.1} if kind == "robust" else {}
            yield dict(of="tokens", kind=kind, beta=0.1, options={**options, **more}, chosen=draw.lists(2, draw.random.randint(1, 7)), rejected=draw.lists(2, draw.random.randint(1, 7)))
    for kind in ("kto", "apo_zero_unpaired"):
        for weights, extent in (((1.0, 1.0), 3), ((1.33, 0.7), 30), ((1.0, 1.0), 1000)):
            examples = [draw.answer(extent)[:2] + [i % 2] for i in range(6)]
            answers = [draw.answer(extent) for _ in range(4)]
            yield dict(of="unpaired", kind=kind, beta=0.1, weights=weights, examples=examples, mismatched=[[a[i] for a in answers] for i in (0, 1)])
    for options in ({}, {"centring": 0.01}, {"margin": [0.5, 1.0, 0.0, 3.0], "centring": 0.1}):
        for extent in (3, 400):
            yield dict(of="reward", chosen=[draw.number(-extent, extent) for _ in range(4)], rejected=[draw.number(-extent, extent) for _ in range(4)], **options)
    for kind in ("grpo", "grpo_batch", "dr_grpo", "magistral", "rloo", "rloo_normalised"):
        yield dict(of="advantages", kind=kind, groups=[[draw.number(-1, 1) for _ in range(4)] for _ in range(3)])
        yield dict(of="advantages", kind=kind, groups=[[1.0, 0.0, None, 1.0], [0.1] * 4, [None, None, 0.3, None], [None] * 4, [0.1, 0.2, 0.3, None], [0.0, 1.0, 0.0, 0.0]])
        if kind in ("grpo", "dr_grpo", "rloo"):
            yield dict(of="advantages", kind=kind, groups=[[0.4], [1.0]])
    yield dict(of="overlong", limit=100, buffer=20, tokens=[0, 79, 80, 81, 90, 99, 100, 101, 5000])
    for kind, settings in POLICY.items():
        for options in settings:
            yield dict(of="policy", kind=kind, options=options, rollouts=draw.rollouts(4, 0.5))
        yield dict(of="policy", kind=kind, options={**settings[0], **({"low": 0.2, "high": 0.2} if kind == "gspo" else {})}, rollouts=draw.rollouts(3, 6))
    for kind in ("grpo", "dr_grpo", "dapo"):
        yield dict(of="policy", kind=kind, options={"length_limit": 16} if kind == "dr_grpo" else {}, rollouts=draw.rollouts(3, 0.5), totals=[6, 40], passes=2)
    if not full:
        return
    for options in ({}, {"low": 0.1, "high": 0.3}, {"dual_clip": 3.0}, {"dual_clip": 1.5}):
        yield dict(of="policy", kind="ppo", options=options, rollouts=draw.rollouts(4, 1.5, by_token=True))
    for gamma, trace, whitens in ((1.0, 0.95, True), (0.99, 0.9, False), (1.0, 1.0, True)):
        masks = [[float(draw.random.random() < 0.7) for _ in range(n)] + [1.0] for n in (5, 1, 3)]
        yield dict(of="gae", gamma=gamma, whitens=whitens, masks=masks, rewards=[[draw.number(-1, 1) for _ in m] for m in masks], values=[[draw.number(-2, 2) for _ in m] for m in masks],
                   **{"lambda": trace})
    for clip in (0.2, 1.0):
        masks = [[float(draw.random.random() < 0.8) for _ in range(n)] + [1.0] for n in (4, 2)]
        rows = lambda: [[draw.number(-2, 2) for _ in m] for m in masks]
        old = rows()
        yield dict(of="value", clip=clip, masks=masks, old=old, values=[[round(v + draw.number(-0.5, 0.5), 3) for v in row] for row in old], returns=rows())
    for kind in ("k1", "k2", "k3"):
        yield dict(of="estimator", kind=kind, policy=[draw.number(-3, -0.01) for _ in range(6)], reference=[draw.number(-3, -0.01) for _ in range(6)])
    yield dict(of="token_rewards", score=0.7, beta=0.05, policy=[draw.number(-3, 0) for _ in range(5)], reference=[draw.number(-3, 0) for _ in range(5)])


def expected(case, ppo=None):
    name = case["of"]
    with doubles():
        if name == "policy":
            return ppo.policy(case) if case["kind"] == "ppo" else rloo(case) if case["kind"] == "rloo" else policy(case)
        if name in ("gae", "value", "estimator", "token_rewards"):
            return getattr(ppo, name)(case)
        return globals()[name](case)


if __name__ == "__main__":
    with in_float64():
        ppo = PPO(sys.argv[1])
        all_cases = [dict(case, expected=expected(case, ppo)) for case in cases(20261127)]
    for case in all_cases:
        assert all(math.isfinite(x) for values in case["expected"].values() for x in values), case
    out = pathlib.Path(__file__).parent / "golden.json"
    out.write_text("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in all_cases) + "\n]\n")
    print(f"{len(all_cases)} cases, {out.stat().st_size} bytes")

"""One decision by the shipped bundle, in a site of 1,000 people and about 1,000 models. No peer decides in process with our entities."""
TITLE = "policy: one decision"


def rows(bench):
    found = bench.forge_bench("policy")
    names = {"policy.read": "read a model", "policy.infer": "an application asks a model", "policy.promote": "promote, with two votes"}
    return [{"name": text, "value": found[key]["median"], "p99": found[key]["p99"], "unit": "µs", "lower": True, "note": "median"} for key, text in names.items()]

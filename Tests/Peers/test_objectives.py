"""TRL's trainers give, for pairs, judged answers and rollouts drawn afresh, our losses and our derivatives.

Run from the repository: python3 -m pytest Tests/Peers/test_objectives.py        (FORGE_SEED repeats a run)
"""
import importlib.util, json, math, os, pathlib, subprocess, time
import pytest

pytest.importorskip("torch")
pytest.importorskip("trl")
ROOT = pathlib.Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("objectives", ROOT / "Tests/Fixtures/objective/make.py")
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)
ROUNDS = 5


def test_losses_and_derivatives_agree(tmp_path):
    seed = int(os.environ.get("FORGE_SEED", time.time_ns() % 2**32))
    # PPO's references are text in wheels that are not installed: golden vectors hold those.
    with make.in_float64():
        cases = [case for round in range(ROUNDS) for case in make.cases(seed + round, full=False)]
        theirs = [make.expected(case) for case in cases]
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    subprocess.run([*os.environ.get("FORGE_SWIFT_TEST", "swift test").split(), "--filter", "ForgeObjectiveTests.GoldenTests"], cwd=os.environ.get("FORGE_PACKAGE", ROOT), check=True,
                   env={**os.environ, "FORGE_PEERS_OBJECTIVES": str(tmp_path)})
    outcomes = json.loads((tmp_path / "outcomes.json").read_text())
    assert len(outcomes) == len(cases) > 150 * ROUNDS
    for case, ours, expected in zip(cases, outcomes, theirs):
        for name, values in expected.items():
            assert len(ours[name]) == len(values), (seed, name, case)
            for a, b in zip(ours[name], values):
                assert math.isfinite(b) and abs(a - b) <= 1e-9 * abs(b) + 1e-13, (seed, name, a, b, case)

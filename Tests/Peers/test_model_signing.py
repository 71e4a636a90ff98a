"""OpenSSF's model-signing verifies a manifest that Forge signed, and refuses it once a file has changed."""
import pathlib
import shutil
import subprocess
import sys

FIXTURE = pathlib.Path(__file__).resolve().parent.parent / "Fixtures" / "artifact"


def verify(folder):
    tool = pathlib.Path(sys.executable).with_name("model_signing")
    command = [tool, "verify", "key", "--public_key", FIXTURE / "public.pem", "--signature", FIXTURE / "model.sig", folder]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_model_signed_by_the_registry_is_accepted():
    result = verify(FIXTURE / "model")
    assert result.returncode == 0, result.stderr


def test_one_changed_byte_is_refused(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(FIXTURE / "model", folder)
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[0] ^= 1
    weights.write_bytes(data)
    assert verify(folder).returncode != 0


def test_one_file_more_is_refused(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(FIXTURE / "model", folder)
    (folder / "extra.bin").write_text("x")
    assert verify(folder).returncode != 0

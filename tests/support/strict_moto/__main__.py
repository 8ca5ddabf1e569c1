"""`PYTHONPATH=tests/support python -m strict_moto --port 5000`: the emulator for a person (docs/tutorial.md), with the images and
settings that the tests give it (tests/support/moto.rs)."""
import os, pathlib, sys
os.environ.setdefault("MOTO_AMIS_PATH", str(pathlib.Path(__file__).parent.parent / "amis.json"))
for name in ("MOTO_IAM_LOAD_MANAGED_POLICIES", "MOTO_ENABLE_AMI_VALIDATION", "MOTO_ENABLE_KEYPAIR_VALIDATION", "S3_IGNORE_SUBDOMAIN_BUCKETNAME"):
    os.environ.setdefault(name, "true")
sys.dont_write_bytecode = True
from strict_moto.server import main
main()

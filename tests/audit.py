"""Whether anything that the lock file pins is known to be vulnerable: ``make audit``.

pip-audit alone can't be believed where its data can't be had: it calls what it found no data for "skipped", and all the
rest sound. So it is first asked about a version that is known to be vulnerable; if that seems well, there is no data.
Its own environment variables (PIP_AUDIT_VULNERABILITY_SERVICE, PIP_AUDIT_OSV_URL) choose where it asks.
"""

# ruff: noqa: T201 - it prints
from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parent.parent / "requirements-dev.lock"
PIP_AUDIT = (sys.executable, "-m", "pip_audit")

#: Known to be vulnerable (CVE-2020-28493).
CANARY = "jinja2==2.11.2"

#: Advisories that do not concern this project, and why.
ACCEPTED: dict[str, str] = {}

NO_DATA = "audit: no vulnerability data could be had; skipped"


def audited(requirements: Path, command: Sequence[str]) -> list[dict[str, Any]]:
    """The packages of a requirements file, as pip-audit sees them; none where it has no data at all."""
    options = ("--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off")
    ignored = [option for advisory in ACCEPTED for option in ("--ignore-vuln", advisory)]
    run = [*command, *options, *ignored, "--requirement", str(requirements)]
    said = subprocess.run(run, capture_output=True, text=True, check=False)
    try:
        return list(json.loads(said.stdout)["dependencies"])
    except (ValueError, TypeError):  # it could not reach its service
        return []


def main(command: Sequence[str] = PIP_AUDIT, lock: Path = LOCK) -> int:
    """0 where nothing is known, or nothing can be; 1 where something is."""
    with tempfile.TemporaryDirectory() as folder:
        canary = Path(folder) / "requirements.txt"
        canary.write_text(CANARY)
        if not any(package.get("vulns") for package in audited(canary, command)):
            print(NO_DATA)
            return 0
    packages = audited(lock, command)
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if unknown or not packages:
        print(f"audit: data was had, but not for {', '.join(unknown) or 'the lock file'}")
        return 1
    found = [(package, vulnerability) for package in packages for vulnerability in package["vulns"]]
    for package, vulnerability in found:
        fixed = ", ".join(vulnerability["fix_versions"]) or "no version"
        print(f"audit: {package['name']} {package['version']} has {vulnerability['id']}, fixed in {fixed}")
    print(f"audit: {len(packages)} packages, {len(found)} known vulnerabilities")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

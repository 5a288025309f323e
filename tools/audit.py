"""Look for known vulnerabilities in what the lock files pin: ``make audit``.

requirements-dev.lock is audited; requirements.lock is a part of it.

Where pip-audit has no data, it reports every package as skipped and exits with 0. So it is first
asked about a version that is known to be vulnerable: if it finds nothing there, there is no data.
Its own environment variables (PIP_AUDIT_VULNERABILITY_SERVICE, PIP_AUDIT_OSV_URL) choose a service.
"""

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
KNOWN_VULNERABLE = "jinja2==2.11.2"

#: Advisories that do not concern this project, and why.
ACCEPTED: dict[str, str] = {}

NO_DATA = "audit: no vulnerability data available; skipped"


def audit(requirements: Path, command: Sequence[str]) -> list[dict[str, Any]]:
    """Return pip-audit's report on each package; an empty list if it could not ask its service."""
    options = ["--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
    for advisory in ACCEPTED:
        options += ["--ignore-vuln", advisory]
    process = subprocess.run(
        [*command, *options, "--requirement", str(requirements)],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return list(json.loads(process.stdout)["dependencies"])
    except (ValueError, TypeError):
        return []


def has_data(command: Sequence[str]) -> bool:
    """Tell whether pip-audit knows of a vulnerability that it must know of."""
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(KNOWN_VULNERABLE)
        return any(package.get("vulns") for package in audit(requirements, command))


def main(command: Sequence[str] = PIP_AUDIT, lock: Path = LOCK) -> int:
    """Print what is known; return 1 if there is a vulnerability, 0 if none or if no data."""
    if not has_data(command):
        print(NO_DATA)
        return 0
    packages = audit(lock, command)
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if skipped or not packages:
        print(f"audit: there is data, but none on {', '.join(skipped) or 'the lock file'}")
        return 1
    count = 0
    for package in packages:
        for vulnerability in package["vulns"]:
            count += 1
            fixed = ", ".join(vulnerability["fix_versions"]) or "no version"
            name = f"{package['name']} {package['version']}"
            print(f"audit: {name} has {vulnerability['id']}, fixed in {fixed}")
    print(f"audit: {len(packages)} packages, {count} known vulnerabilities")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())

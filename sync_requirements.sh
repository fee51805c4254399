#!/usr/bin/env bash
# Writes requirements.txt: what the wheel needs at run time, as the lock has it, for every platform.
# Without pyspark, which Databricks brings itself. With --check, only says whether it is up to date.
set -euo pipefail
cd "$(dirname "$0")"
uv="${UV:-uv}" # `uv run` says where it is
"$uv" --version >/dev/null 2>&1 || uv=".tools/bin/uv"

fresh="$(mktemp)"
trap 'rm -f "$fresh"' EXIT
{
  echo "# Written by ./sync_requirements.sh from uv.lock; change pyproject.toml instead."
  "$uv" export --quiet --frozen --no-default-groups --no-emit-project --no-hashes --no-header --no-annotate
} >"$fresh"

if [ "${1:-}" = "--check" ]; then
  if ! diff -u requirements.txt "$fresh"; then
    echo "requirements.txt is out of step with uv.lock. Hint: run ./sync_requirements.sh" >&2
    exit 1
  fi
  echo "requirements.txt is up to date"
else
  cp "$fresh" requirements.txt
  echo "wrote requirements.txt: $(grep -c == requirements.txt) packages"
fi

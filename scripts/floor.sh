#!/usr/bin/env bash
# The oldest Python the project promises: unit tests and the demo once on Python 3.9, where there is
# one; otherwise a static check, which says that it is only that.
set -euo pipefail
cd "$(dirname "$0")/.."
uv="${UV:-uv}" # `uv run` says where it is
"$uv" --version >/dev/null 2>&1 || uv=".tools/bin/uv"

find_python() {
  for each in python3.9 "$HOME"/.pyenv/versions/3.9.*/bin/python3.9; do
    if "$each" -c "" 2>/dev/null; then command -v "$each" && return; fi
  done
  "$uv" python find --no-project --no-python-downloads 3.9 2>/dev/null
}

if python="$(find_python)"; then
  echo "Python 3.9 at $python: unit tests, then the demo"
  export UV_PROJECT_ENVIRONMENT=.venv39
  "$uv" sync --frozen --quiet --python "$python"
  "$uv" run --frozen --python "$python" pytest -m "unit and not slow" -p no:cacheprovider
  "$uv" run --frozen --python "$python" dbb destroy -t staging --auto-approve --local
  "$uv" run --frozen --python "$python" dbb run end_to_end_job -t staging --local --params as_of=2026-03-02
  "$uv" run --frozen --python "$python" dbb destroy -t staging --auto-approve --local
else
  echo "No Python 3.9 here: only its syntax is checked, and nothing is run"
  "$uv" run --frozen ruff check --target-version py39 --select E9,FA102 .
fi

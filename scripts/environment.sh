# Sourced by demo.sh and test.sh: an environment in .venv with the given extras, made or brought
# up to date only when what it depends on has changed. Sets $bin to the folder of its programs.

make_environment() {
  local extras="$1" stamp
  local python="${PYTHON:-python3}"
  bin="$PWD/.venv/bin"
  stamp="$PWD/.venv/ragemo-${extras:-plain}.sha256"
  if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "ragemo needs Python 3.11 or later; '$python' is $("$python" --version 2>&1)." \
         "Name another with PYTHON=/path/to/python" >&2
    exit 2
  fi
  if [ ! -x "$bin/python" ]; then
    echo "==> Making an environment in .venv"
    "$python" -m venv .venv
  fi
  if sha256sum --quiet --check "$stamp" >/dev/null 2>&1; then
    return
  fi
  echo "==> Installing ragemo and what it needs (a minute or two, about 1.5 GB on disk)"
  "$bin/python" -m pip install --quiet --quiet --disable-pip-version-check \
    --constraint constraints.txt --editable ".${extras:+[$extras]}"
  sha256sum pyproject.toml constraints.txt scripts/environment.sh > "$stamp"
}

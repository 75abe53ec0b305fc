#!/usr/bin/env bash
# Generates again and fails when that changes a committed file.
set -euo pipefail
cd "$(dirname "$0")/.."

before=$(git status --porcelain)
tools/generate.sh
after=$(git status --porcelain)
if [ "$before" != "$after" ]; then
	printf 'generated files differ from their sources (run make generate and commit):\n' >&2
	diff <(echo "$before") <(echo "$after") >&2 || true
	exit 1
fi

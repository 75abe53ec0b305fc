#!/usr/bin/env bash
# Runs every fuzz target for a while, one after another: tools/fuzz.sh 10s
set -euo pipefail
cd "$(dirname "$0")/.."

for_each=${1:-10s}
git grep -lE '^func Fuzz[A-Z]' -- '*_test.go' | while read -r file; do
	grep -oE '^func (Fuzz[A-Za-z0-9_]+)' "$file" | awk '{print $2}' | while read -r target; do
		echo "fuzzing $target in $(dirname "$file") for $for_each"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$for_each" -fuzzminimizetime 10x "./$(dirname "$file")"
	done
done

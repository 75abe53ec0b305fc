#!/usr/bin/env bash
# Runs every fuzz target for a while, one after another: tools/fuzz.sh 10s
set -euo pipefail
cd "$(dirname "$0")/.."

for_each=${1:-10s}

# fuzz runs a target. Go's fuzzer sometimes takes the end of its own time for a failure of the target ("context deadline
# exceeded", and no input that fails): then it is run again, up to three times.
fuzz() { # package target
	local output
	for _ in 1 2 3; do
		if output=$(go test -run '^$' -fuzz "^$2\$" -fuzztime "$for_each" -fuzzminimizetime 10x "$1" 2>&1); then
			printf '%s\n' "$output" | tail -n 2
			return
		fi
		if ! grep -q '^ *context deadline exceeded$' <<<"$output" || grep -q 'Failing input written' <<<"$output"; then
			break
		fi
		echo "the fuzzer ran out of its own time: again"
	done
	printf '%s\n' "$output" >&2
	return 1
}

git grep -lE '^func Fuzz[A-Z]' -- '*_test.go' | while read -r file; do
	grep -oE '^func (Fuzz[A-Za-z0-9_]+)' "$file" | awk '{print $2}' | while read -r target; do
		echo "fuzzing $target in $(dirname "$file") for $for_each"
		fuzz "./$(dirname "$file")" "$target"
	done
done

#!/usr/bin/env bash
# The tests of real processes: five servers in network namespaces, on disks that fill up and hang. Needs Go and, for those
# tests to run and not to be skipped, Linux, root and iproute2, which it installs with apt-get where it can.
#   SHORT=1   some minutes instead of all
#   KILLS=50  only measures for how long nobody can write after the leader was killed
#   RUN=name  only the tests of that name
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v ip >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "iproute2 is missing: installing it"
	apt-get install -y -q iproute2 || { apt-get update -q && apt-get install -y -q iproute2; } ||
		echo "iproute2 could not be installed: install it by hand, then try again" >&2
fi

export PENTAD_BINARY=${PENTAD_BINARY:-$PWD/.bin/pentad}
arguments=(-tags e2e -count 1 -v -timeout 60m)
if [ -n "${SHORT:-}" ]; then
	arguments+=(-short)
fi
if [ -n "${KILLS:-}" ]; then
	export PENTAD_E2E_KILLS=$KILLS
	RUN=KilledLeaders
fi
if [ -n "${RUN:-}" ]; then
	exec go test "${arguments[@]}" -run "$RUN" ./e2e-multicluster
fi
go vet -tags e2e ./e2e-multicluster/...
go test -p 1 "${arguments[@]}" ./e2e-multicluster/...

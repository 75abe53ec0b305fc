#!/usr/bin/env bash
# The tests of real processes: five servers in network namespaces, on disks that fill up and hang. Needs Go and, for those
# tests to run and not to be skipped, Linux, root, iproute2 and e2fsprogs, which it installs with apt-get where it can.
#   SHORT=1   some minutes instead of all
#   KILLS=50  only measures for how long nobody can write after the leader was killed
#   RUN=name  only the tests of that name
set -euo pipefail
cd "$(dirname "$0")/.."

# need COMMAND PACKAGE installs what is missing, where that can be done.
need() {
	if ! command -v "$1" >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		echo "$1 is missing: installing $2"
		apt-get install -y -q "$2" || { apt-get update -q && apt-get install -y -q "$2"; } ||
			echo "$2 could not be installed: install it by hand, then try again" >&2
	fi
}
need ip iproute2
need mkfs.ext4 e2fsprogs

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
	if ! go test -tags e2e -list "$RUN" ./e2e-multicluster | grep -q '^Test'; then
		echo "RUN=$RUN names no test; these there are:" >&2
		go test -tags e2e -list . ./e2e-multicluster | grep '^Test' >&2
		exit 2
	fi
	exec go test "${arguments[@]}" -run "$RUN" ./e2e-multicluster
fi
go vet -tags e2e ./e2e-multicluster/...
go test -p 1 "${arguments[@]}" ./e2e-multicluster/...

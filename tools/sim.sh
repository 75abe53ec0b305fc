#!/usr/bin/env bash
# Simulates HOURS hours of five servers under faults, from seed SEED on, with the test binary $1. Long simulations are many
# processes one after the other, with a closing table each: what Raft leaves behind when it is stopped in the middle of a
# transfer holds some 25 MB of memory a run, until its process ends.
set -euo pipefail

readonly most=20  # hours in one process
readonly apart=100 # seeds between two processes; each takes fewer
seed=${SEED:-1}
[[ ${HOURS:-} =~ ^[0-9]+(\.[0-9]+)?$ ]] || { echo "HOURS=${HOURS:-}: must be a number of hours above 0" >&2; exit 2; }
[[ $seed =~ ^[0-9]+$ ]] || { echo "SEED=$seed: must be a whole number" >&2; exit 2; }

stopped=
trap 'stopped=1' INT TERM # the process prints its table, then this one ends
for ((done_ = 0; ; done_ += most, seed += apart)); do
	hours=$(awk -v all="$HOURS" -v gone=$done_ -v most=$most 'BEGIN { left = all - gone; print left < most ? left : most }')
	if [ "$done_" -gt 0 ] && { [ -n "$stopped" ] || awk -v h="$hours" 'BEGIN { exit h > 0 }'; }; then
		exit
	fi
	if [ "${HOURS%.*}" -gt $most ]; then
		echo "hours $done_ to $(awk -v a=$done_ -v b="$hours" 'BEGIN { print a + b }') of $HOURS, from seed $seed on"
	fi
	PENTAD_SIM_HOURS=$hours PENTAD_SIM_SEED=$seed "$1" -test.timeout 0 -test.run '^TestSimulation$'
done

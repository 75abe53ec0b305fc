#!/usr/bin/env bash
# gofmt, go vet, staticcheck and the import walls. Needs Go only.
set -euo pipefail
cd "$(dirname "$0")/.."

unformatted=$(git ls-files '*.go' | xargs gofmt -l)
if [ -n "$unformatted" ]; then
	printf 'not gofmt-ed (run gofmt -w on them):\n%s\n' "$unformatted" >&2
	exit 1
fi
go vet ./...
go vet -tags planted ./federation/... ./unitization/...
go vet -tags e2e ./e2e-multicluster/...
go tool -modfile=tools/go.mod staticcheck ./...
go test -count=1 -run 'Walls|Breach' .

#!/usr/bin/env bash
# Generates every committed generated file. It needs Go only; the tools' versions are pinned in tools/go.mod.
set -euo pipefail
cd "$(dirname "$0")/.."

tool() { go tool -modfile=tools/go.mod "$@"; }

mapfile -t protos < <(git ls-files --cached --others --exclude-standard '*.proto' | sort)
(cd tools && go build -o ../.bin/protogen ./protogen)
.bin/protogen "${protos[@]}"

apimachinery=k8s.io/apimachinery/pkg
tool deepcopy-gen --output-file zz_generated.deepcopy.go --go-header-file /dev/null ./crds/v1alpha1
tool openapi-gen --output-dir crds/v1alpha1/openapi --output-pkg pentad.dev/pentad/crds/v1alpha1/openapi \
	--output-file zz_generated.openapi.go --output-model-name-file zz_generated.model_name.go \
	--readonly-pkg $apimachinery/apis/meta/v1 --readonly-pkg $apimachinery/runtime --readonly-pkg $apimachinery/version \
	--readonly-pkg k8s.io/api/authentication/v1 --readonly-pkg k8s.io/api/authorization/v1 \
	--report-filename /dev/null --go-header-file /dev/null \
	./crds/v1alpha1 $apimachinery/apis/meta/v1 $apimachinery/runtime $apimachinery/version \
	k8s.io/api/authentication/v1 k8s.io/api/authorization/v1

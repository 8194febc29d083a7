#!/usr/bin/env bash
# Holds sereno.json against Grafana's own types: every key that it has is one that Grafana knows, with a value of the
# right type. Grafana itself is not run.
#
#   deploy/grafana/check.sh [FOLDER]        where npm installs the types [default: target/grafana]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(realpath -m "${1:-${CARGO_TARGET_DIR:-$here/../../target}/grafana}")
command -v npm >/dev/null || { echo "grafana: npm is missing (Debian: apt-get install npm)" >&2; exit 1; }

mkdir -p "$work"
cd "$work"
[ -f package.json ] || echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund --save-exact @grafana/schema@13.2.3 typescript@5.9.3
{
    echo "import type { Dashboard } from '@grafana/schema';"
    echo "export const dashboard: Dashboard ="
    cat "$here/sereno.json"
} >dashboard.ts
npx --no-install tsc --noEmit --strict --skipLibCheck --module nodenext --target es2022 dashboard.ts
echo "grafana: sereno.json is a dashboard as @grafana/schema has it"

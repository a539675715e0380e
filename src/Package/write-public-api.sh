#!/usr/bin/env bash
# Writes the public surface of every library that is packed into its PublicAPI.Unshipped.txt, after a change to it that is meant.
# What a released version had is in PublicAPI.Shipped.txt, which a person changes.
set -euo pipefail
cd "$(dirname "$0")/.."
for project in $(grep -l '<IsPackable>true' ./*/*.csproj); do
  surface=$(dirname "$project")/PublicAPI.Unshipped.txt
  [ -f "$surface" ] || continue
  echo '#nullable enable' > "$surface"
  dotnet format analyzers "$project" --diagnostics RS0016 --severity warn
done

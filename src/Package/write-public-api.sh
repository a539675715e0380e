#!/usr/bin/env bash
# Writes the public surface of every library that is packed into its PublicAPI.Unshipped.txt, after a change to it that is meant: builds, and does what the analyzer
# says of each symbol. What a released version had is in PublicAPI.Shipped.txt, which a person changes.
set -euo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for surface in ./*/PublicAPI.Unshipped.txt; do
  project=$(basename "$(dirname "$surface")")
  # As warnings, so that all symbols are named; anew, so that they are named each time.
  dotnet build "$project" -c Release --no-incremental -v quiet -clp:NoSummary -p:TreatWarningsAsErrors=false > "$log" || { cat "$log"; exit 1; }
  # RS0016: Symbol 'X' is not part of the declared public API. RS0017: Symbol 'X' is part of the declared API, but could not be found.
  said() { sed -nE "s/.*warning $1: Symbol '(.*)' is (not )?part of the declared .*\/$project\.csproj\]\$/\1/p" "$log" | sort -u; }
  missing=$(said RS0016) gone=$(said RS0017)
  { echo '#nullable enable'; { tail -n +2 "$surface"; echo "$missing"; } | { grep -vxF -e "$gone" || true; } | sed '/^$/d' | LC_ALL=C sort -u; } > "$log"
  cp "$log" "$surface"
  echo "$project: $(sed '/^$/d' <<< "$missing" | wc -l) added, $(sed '/^$/d' <<< "$gone" | wc -l) removed"
done

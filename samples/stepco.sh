#!/usr/bin/env bash
# StepCo (Wu et al., arXiv:2410.12934): verify the steps, draw again from the first doubtful one.
#
# Drafts are one attempt at each problem, from `step-rollout --method sample -k 1`. An attempt is
# done when no step scores below THRESHOLD, or when two rounds reach the same answer.
set -euo pipefail
usage='usage: samples/stepco.sh POLICY PRM [ROUNDS [THRESHOLD]] < drafts.jsonl > refined.jsonl'
policy=${1:?$usage} prm=${2:?$usage} rounds=${3:-5} threshold=${4:-0.5}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

verify() { step-split -q | step-score -q -t 1 --prm "$prm" | step-label -q --first "below:$threshold"; }
rewrite() { step-rollout -q -t 1 -m "$policy" --max-tokens 96 --at first -k 1 "$@"; }
pick() { grep "$@" || [ $? = 1 ]; }  # no match is no failure
# Attempts without a doubtful step are done and written; the others stay open.
settle() { pick '"first":-1' "$1"; pick -v '"first":-1' "$1" > "$work/open"; }

verify > "$work/now"
settle "$work/now"
round=0
while [ -s "$work/open" ] && [ $((round += 1)) -le "$rounds" ]; do
  rewrite --seed "$round" "$work/open" | verify > "$work/new"
  # New attempts come first: of two different answers, majority takes the first.
  cat "$work/new" "$work/open" | step-rerank -q --regroup --by majority > "$work/both"
  pick '"votes":2' "$work/both"
  pick -v '"votes":2' "$work/both" > "$work/now"
  settle "$work/now"
done
cat "$work/open"

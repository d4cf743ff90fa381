#!/usr/bin/env bash
# GLoRe (Havrilla et al., arXiv:2402.10963): of a draft, a new attempt from its first doubtful step
# and a whole redraft, keep the one with the best score.
#
# Drafts are one attempt at each problem, from `step-rollout --method sample -k 1`. An attempt is
# done when no step scores below THRESHOLD.
#
# The sample policy can solve problems but not read attempts, so its prompt is the problem only. For
# a model that can, leave out --refine, and add --critique if a judge wrote what is wrong.
set -euo pipefail
usage='usage: samples/glore.sh POLICY PRM [ROUNDS [THRESHOLD]] < drafts.jsonl > refined.jsonl'
policy=${1:?$usage} prm=${2:?$usage} rounds=${3:-3} threshold=${4:-0.5}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

score() { step-split -q | step-score -q -t 1 --prm "$prm" | step-label -q --first "below:$threshold"; }
redraw() { step-rollout -q -t 1 -m "$policy" --max-tokens 96 --at first -k 1 "$@" "$work/open"; }
pick() { grep "$@" || [ $? = 1 ]; }  # no match is no failure
# Attempts without a doubtful step are done and written; the others stay open.
settle() { pick '"first":-1' "$1"; pick -v '"first":-1' "$1" > "$work/open"; }

score > "$work/now"
settle "$work/now"
round=0
while [ -s "$work/open" ] && [ $((round += 1)) -le "$rounds" ]; do
  redraw --seed "$round" | score > "$work/local"
  redraw --seed "$round" --global --refine '{problem}' | score > "$work/global"
  cat "$work/open" "$work/local" "$work/global" | step-rerank -q --regroup > "$work/now"
  settle "$work/now"
done
cat "$work/open"

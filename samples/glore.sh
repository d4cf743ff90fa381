#!/usr/bin/env bash
# GLoRe (Havrilla et al., arXiv:2402.10963): of a draft, its rewriting from the first doubtful step
# and a whole redraft, the one with the best score goes on.
#
# Drafts are one attempt at each problem, as `step-rollout --method sample -k 1` writes them. An
# attempt is done when no step scores below THRESHOLD.
#
# The sample policy was taught to solve problems, not to read attempts: it is told the problem only.
# For a model that can, leave out --refine, and give --critique where a judge said what is wrong.
set -euo pipefail
usage='usage: samples/glore.sh POLICY PRM [ROUNDS [THRESHOLD]] < drafts.jsonl > refined.jsonl'
policy=${1:?$usage} prm=${2:?$usage} rounds=${3:-3} threshold=${4:-0.5}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

score() { step-split -q | step-score -q -t 1 --prm "$prm" | step-label -q --first "below:$threshold"; }
redraw() { step-rollout -q -t 1 -m "$policy" --max-tokens 96 --at first -k 1 "$@" "$work/open"; }
pick() { grep "$@" || [ $? = 1 ]; }  # to find none is no failure
# The attempts without a doubtful step are done and written; the others stay open.
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

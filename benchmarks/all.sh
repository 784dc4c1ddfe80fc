#!/bin/sh
# Every figure of benchmarks/README.md again: sh benchmarks/all.sh DATA PYTHON PEERS-PYTHON LIFECYCLE-PEERS-PYTHON (make bench calls it)
# Takes about two and a half hours on 2 cores. Indexes and vectors are kept in .bench; the numbers go to benchmarks/results.
set -eu
data=$1 python=$2 peers=$3 lifecycle_peers=$4
here=$(dirname "$0")
[ -d "$data/retrieval/scifact" ] || { echo "make bench DATA=FOLDER: no retrieval/scifact in '$data'" >&2; exit 2; }
mkdir -p .bench
[ -f .bench/rfc.jsonl ] || gunzip -c "$data/scale/rfc-passages.jsonl.gz" > .bench/rfc.jsonl
run() { PYTHONPATH=. "$python" "$here/$@"; }
for model in minilm multilingual-e5-small-q4; do run cold.py semantic .bench/rfc.jsonl --model "$model"; done
run cold.py lexical .bench/rfc.jsonl --chunks 60000 --peers "$peers"
run embedding.py "$data/retrieval/scifact" --model minilm --peers "$peers"
run embedding.py "$data/retrieval/scifact" --model multilingual-e5-small-q4 --texts 400
run vectors.py .bench/rfc.jsonl
PATH="$(dirname "$python"):$PATH" MODEL=minilm WORK=.bench sh "$here/retrieval.sh" "$data/retrieval" scifact
PATH="$(dirname "$python"):$PATH" MODEL=multilingual-e5-small-q4 WORK=.bench sh "$here/retrieval.sh" "$data/retrieval" xquad-zh xquad-en-to-zh
run lifecycle/incremental.py "$data/scale/rfc-passages.jsonl.gz" --out "$here/results/lifecycle.json"
run space_mutations/mixed.py "$data/retrieval"
run space_mutations/mutations.py "$data" --out "$here/results/mutations.json"
run space_mutations/variations.py "$data" --out "$here/results/variations.json"
run space_mutations/guard.py "$data" --out "$here/results/guard.json"
run lifecycle/survival.py --out "$here/results/survival.json"
"$lifecycle_peers" "$here/lifecycle/peers/survival.py" --share 0.1 --out "$here/results/survival-peers.json"
